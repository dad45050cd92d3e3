"""One step in progress: when it happens, and the effects it has gathered so far.

The gathered lists are born and dropped within one `step`; nothing outside ever sees them change.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from msgspec.structs import replace
from returns.result import Failure

from .codec import Codec, Coded, Outgoing
from .config import Message
from .epoch import ItemId
from .errors import RealtimeError
from .events import RealtimeEvent
from .heard import Delivered
from .state import Arm, Disarm, Effect, Emit, Pause, Send, State, Timer, reserved

__all__ = (
    "Moment",
    "absorb",
    "arm",
    "count",
    "disarm",
    "emit",
    "forgo",
    "keep",
    "let_go",
    "played",
    "remember",
    "reserve",
    "tell",
)

_HISTORY = 512
_RESERVED = 16
"""Places that wait for words: of those before them nobody will say any more."""


class Moment(NamedTuple):
    """The codec in force, the time, what the consumer had taken, and what is to be done."""

    codec: Codec[Any]
    at: float
    delivered: Delivered
    effects: list[Effect]
    pending: list[RealtimeEvent]
    """Events of the codec that wait to be judged."""


def emit(state: State, now: Moment, event: RealtimeEvent) -> None:
    """Queue an event for the consumer, stamped with epoch, connection and time."""
    now.effects.append(Emit(replace(event, epoch=state.epoch, conn=state.conn, at=now.at)))


def absorb(state: State, now: Moment, coded: Coded[Any]) -> State:
    """Take over what the codec said: its state, its messages to send, its events to judge."""
    if coded.wires:
        now.effects.append(Send(coded.wires))
    if coded.events:
        now.pending.extend(coded.events)
    return state if coded.state is state.codec else replace(state, codec=coded.state)


def tell(state: State, now: Moment, outgoing: Outgoing) -> tuple[State, RealtimeError | None]:
    """Have the codec send a frame or command; gives its refusal, if it refuses."""
    result = now.codec.encode(state.codec, outgoing)
    if isinstance(result, Failure):
        return state, result.failure()
    return absorb(state, now, result.unwrap()), None


def arm(state: State, now: Moment, timer: Timer, after: float) -> State:
    """Ring `after` seconds from now."""
    due = now.at + after
    now.effects.append(Arm(timer, due))
    return replace(state, due={**state.due, timer: due})


def disarm(state: State, now: Moment, timer: Timer) -> State:
    """Forget a timer, if it is armed."""
    if timer not in state.due:
        return state
    now.effects.append(Disarm(timer))
    return replace(state, due={t: due for t, due in state.due.items() if t is not timer})


def played(state: State, at: float) -> float:
    """Give the time on a clock that stands still during holds, as what is played does."""
    reached = at if state.holding is None else state.holding.since
    return reached - state.paused


def let_go(state: State, now: Moment) -> State:
    """End a hold, if there is one."""
    if state.holding is None:
        return state
    now.effects.append(Pause(on=False))
    paused = state.paused + now.at - state.holding.since
    return disarm(replace(state, holding=None, paused=paused), now, Timer.HOLD)


def count(state: State, reason: str, amount: int = 1) -> State:
    """Count something that was not passed on."""
    return replace(state, counts={**state.counts, reason: state.counts.get(reason, 0) + amount})


def remember(state: State, message: Message) -> State:
    """Add to the conversation; an entry of a known item is replaced where it stands."""
    if message.item is not None:
        for place in reversed(range(len(state.history))):
            if state.history[place].item == message.item:
                history = (*state.history[:place], message, *state.history[place + 1 :])
                return replace(state, history=history)
    return replace(state, history=(*state.history, message)[-_HISTORY:])


def reserve(state: State, item: ItemId) -> State:
    """Keep a place in the conversation for what the user says, until it is written down."""
    if any(message.item == item for message in state.history):
        return state
    waiting = [message for message in state.history if reserved(message)]
    gone = waiting[: 1 - _RESERVED]
    history = tuple(message for message in state.history if message not in gone)
    return remember(replace(state, history=history), Message("user", "", item=item))


def forgo(state: State, item: ItemId | None) -> State:
    """Give up the place of an item, if it is still without words."""
    history = tuple(m for m in state.history if m.item != item or not reserved(m))
    return replace(state, history=history)


def keep(state: State, item: ItemId, text: str, *, exact: bool) -> State:
    """Let the conversation keep just this text of an item; without text, nothing of it."""
    history = (
        replace(message, text=text, exact=exact) if message.item == item else message
        for message in state.history
    )
    return replace(state, history=tuple(m for m in history if m.item != item or m.text))
