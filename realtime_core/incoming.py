"""What the provider says, judged: bound to an epoch, entered in the ledger, passed on or dropped.

A perishable event passes only if its response belongs to the epoch in force; what is late, unknown
or repeated changes a counter and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from .changeover import ending, lost
from .codec import CancelResponse
from .config import Message, ToolPolicy
from .epoch import Epoch
from .events import (
    AgentTranscript,
    AudioOutput,
    AudioOutputDone,
    Connected,
    ConversationItem,
    Disconnected,
    Error,
    Held,
    Interrupted,
    Kind,
    LateUsage,
    RealtimeEvent,
    Reconnected,
    Released,
    ResponseDone,
    ResponseStarted,
    ResponseText,
    ResponseThought,
    ResumptionHandle,
    SessionEnding,
    SpeechStarted,
    SpeechStopped,
    Status,
    ToolCall,
    ToolCallCancelled,
    Unknown,
    UserTranscript,
)
from .heard import add_words
from .holding import confirm, hold, hold_cut, speech_stopped, weigh
from .interruption import end_calls, interrupt, passed, settle
from .lifecycle import connected
from .moment import Moment, arm, count, emit, forgo, played, remember, reserve, tell
from .requests import (
    continue_tools,
    settle_request,
    user_answered,
    user_paused,
    user_silent,
    user_speaks,
)
from .state import Lost, State, Timer
from .turn import (
    Call,
    Item,
    Response,
    open_responses,
    put_call,
    put_item,
    put_response,
    running,
)

__all__ = ("judge",)

_CUT: frozenset[Status] = frozenset({"cancelled", "interrupted"})
"""How a provider ends an answer that it cuts by itself."""

_Judge = Callable[[State, Moment, Any], State]


def judge(state: State, now: Moment, event: RealtimeEvent) -> State:
    """Decide what becomes of one event of the codec."""
    if state.phase.ending:
        return count(state, "after close")
    decide: _Judge = _JUDGES.get(type(event), _other)
    return decide(state, now, event)


def _other(state: State, now: Moment, event: RealtimeEvent) -> State:
    """Pass it on as it is, unless it would follow the end of its response."""
    if event.response is not None and _live(state, event) is None:
        event = replace(event, response=None)
    emit(state, now, event)
    return state


def _live(state: State, event: RealtimeEvent) -> Response | None:
    """Give the response of an event, if output of it may still be passed on."""
    ledger = state.ledger
    response = ledger.responses.get(event.response) if event.response is not None else None
    item = ledger.items.get(event.item) if event.item is not None else None
    if item is not None and item.response != event.response:
        return None
    return response if response is not None and response.open else None


def _started(state: State, now: Moment, event: ResponseStarted) -> State:
    id = event.response
    if id is None or id in state.ledger.responses:
        return count(state, "repeated response")
    wish = next((w for w in state.ledger.requests if w.sent and w.id == event.request), None)
    if wish is not None:
        epoch = wish.epoch
        state = settle_request(state, wish.id)
    else:
        ghost = state.barrier
        state = state if ghost or _goes_on(state) else confirm(state, now, "provider")
        state = state if ghost else user_answered(state, now)
        epoch = Epoch(state.epoch - 1) if ghost else state.epoch
        event = replace(event, request=None)
    stale = epoch < state.epoch
    side = wish is not None and wish.side
    response = Response(epoch, state.conn, fenced=stale, side=side)
    state = replace(state, ledger=put_response(state.ledger, id, response))
    if not stale:
        emit(state, now, event)
        return state if side else replace(state, owed=False)
    if Timer.SETTLE not in state.due:
        state = arm(state, now, Timer.SETTLE, state.plan.config.barrier_timeout)
    if wish is not None and state.plan.capabilities.cancel:
        response = replace(response, cancelled=True)
        state = replace(state, ledger=put_response(state.ledger, id, response))
        state, _ = tell(state, now, CancelResponse(id))
    return state


def _goes_on(state: State) -> bool:
    """Tell whether the provider, by itself, takes up the result of a tool, and not a new turn."""
    ledger = state.ledger
    newest = [response for response in ledger.responses.values() if not response.side][-1:]
    answered = any(ledger.calls[id].outcome == "sent" for last in newest for id in last.calls)
    return answered and state.plan.capabilities.tool_reply == "automatic"


def _item(state: State, event: RealtimeEvent) -> Item:
    assert event.response is not None  # noqa: S101 - asked after `_live`
    known = state.ledger.items.get(event.item) if event.item is not None else None
    return known or Item(event.response, rate=state.plan.output_format.rate)


def _audio(state: State, now: Moment, event: AudioOutput) -> State:
    response = _live(state, event)
    samples = event.format.samples(len(event.pcm))
    if response is None or event.item is None:
        return count(state, "late audio samples", samples)
    if response.fenced:
        return count(state, "fenced audio samples", samples)
    item = _item(state, event)
    item = replace(item, received=item.received + samples, rate=event.format.rate, spoken=True)
    emit(state, now, event)
    return replace(state, ledger=put_item(state.ledger, event.item, item))


def _audio_done(state: State, now: Moment, event: AudioOutputDone) -> State:
    response = _live(state, event)
    if response is None or response.fenced or event.item is None:
        return count(state, "late event")
    emit(state, now, event)
    item = replace(_item(state, event), complete=True)
    return replace(state, ledger=put_item(state.ledger, event.item, item))


def _thought(state: State, now: Moment, event: ResponseThought) -> State:
    response = _live(state, event)
    if response is None or response.fenced:
        return count(state, "late event" if response is None else "fenced event")
    emit(state, now, event)
    return state


def _words(state: State, now: Moment, event: AgentTranscript | ResponseText) -> State:
    spoken = isinstance(event, AgentTranscript)
    whole = event.kind is Kind.SETTLING
    response = _live(state, event)
    if response is None or event.item is None:
        if whole and event.response in state.ledger.responses:
            emit(state, now, replace(event, response=None))
            return state
        return count(state, "late event")
    if response.fenced:
        if not whole:
            return count(state, "fenced event")
        emit(state, now, event)
        return state
    emit(state, now, event)
    item = _item(state, event)
    if whole:
        words = replace(item.words, whole=event.text)
    else:
        span = event.span if isinstance(event, AgentTranscript) else None
        words = add_words(item.words, event.text, span)
    item = replace(item, words=words, spoken=item.spoken or spoken)
    state = replace(state, ledger=put_item(state.ledger, event.item, item))
    if response.side:
        return state
    return remember(state, Message("assistant", words.text, item=event.item))


def _tool_call(state: State, now: Moment, event: ToolCall) -> State:
    response = _live(state, event)
    if response is None or event.response is None or event.call in state.ledger.calls:
        return count(state, "late event" if response is None else "repeated call")
    tools: dict[str, ToolPolicy] = {t.name: t.policy for t in state.plan.config.tools}
    call = Call(
        event.response,
        event.name,
        response.epoch,
        state.conn,
        policy=tools.get(event.name, "cancel"),
        outcome="cancelled" if response.fenced else "open",
    )
    state = replace(state, ledger=put_call(state.ledger, event.call, call))
    if response.fenced:
        return count(state, "fenced event")
    emit(state, now, event)
    if response.side:
        return state
    message = Message("tool_call", event.arguments, call=event.call, name=event.name)
    emit(state, now, ConversationItem(response=event.response, item=event.item, message=message))
    return remember(state, message)


def _done(state: State, now: Moment, event: ResponseDone) -> State:
    if event.response is None or _live(state, event) is None:
        return _paid_late(state, now, event)
    response = state.ledger.responses[event.response]
    if state.holding is not None and event.status in _CUT and not response.fenced:
        state = replace(state, holding=replace(state.holding, partial=True))
    return settle(state, now, event.response, event.status, usage=event.usage, error=event.error)


def _paid_late(state: State, now: Moment, event: ResponseDone) -> State:
    """Tell once what an answer cost that was closed here without waiting for the provider."""
    response = state.ledger.responses.get(event.response) if event.response is not None else None
    if response is None or event.response is None or not response.unpaid or event.usage is None:
        return count(state, "late event")
    emit(state, now, LateUsage(of=event.response, usage=event.usage))
    paid = replace(response, unpaid=False)
    return replace(state, ledger=put_response(state.ledger, event.response, paid))


def _speech_started(state: State, now: Moment, event: SpeechStarted) -> State:
    emit(state, now, event)
    state = user_speaks(replace(state, owed=True), now)
    turns = state.plan.config.turn_detection
    if turns.authority != "provider":
        return state
    if turns.two_phase is not None:
        return hold(state, now, "provider", event.item)
    return interrupt(state, now, "provider")


def _speech_stopped(state: State, now: Moment, event: SpeechStopped) -> State:
    emit(state, now, event)
    return speech_stopped(user_paused(state, now), now)


def _notice(state: State, now: Moment, event: Interrupted) -> State:
    """Follow the provider, unless it speaks of a response that is past.

    Where it reports no speech, this alone says that the user has the word, and is owed an answer.
    """
    at = played(state, now.at)
    if event.response is None or event.response in running(
        state.ledger, state.epoch, now.delivered, at
    ):
        state = replace(state, owed=state.owed or not state.plan.capabilities.speech_events)
        if state.plan.config.turn_detection.two_phase is not None:
            state = hold_cut(state, now, event.response)
        else:
            state = interrupt(state, now, "provider")
    return passed(replace(state, barrier=False), now)


def _user_words(state: State, now: Moment, event: UserTranscript) -> State:
    emit(state, now, event)
    state = weigh(state, now, event)
    if not event.final:
        quiet = not state.plan.capabilities.speech_events and not open_responses(state.ledger)
        state = replace(state, owed=True) if quiet else state
        return state if event.item is None else reserve(state, event.item)
    if not event.text:
        state = forgo(state, event.item)
        return user_silent(state, now) if Timer.TURN in state.due else state
    message = Message("user", event.text, item=event.item)
    emit(state, now, ConversationItem(item=event.item, message=message))
    return remember(state, message)


def _cancelled(state: State, now: Moment, event: ToolCallCancelled) -> State:
    calls = state.ledger.calls
    void = [id for id in event.calls if id in calls and calls[id].outcome == "open"]
    if not void:
        return count(state, "late event")
    state = end_calls(state, now, void, "cancelled")
    for response in dict.fromkeys(calls[id].response for id in void):
        state = continue_tools(state, now, response)
    return state


def _handle(state: State, now: Moment, event: ResumptionHandle) -> State:
    emit(state, now, event)
    return replace(state, handle=event.handle)


def _error(state: State, now: Moment, event: Error) -> State:
    if event.request is not None:
        state = settle_request(state, event.request)
    emit(state, now, event)
    if event.recoverable:
        return passed(state, now)
    return lost(state, now, Lost(at=now.at, conn=state.conn, error=event.error))


def _improper(state: State, now: Moment, event: RealtimeEvent) -> State:  # noqa: ARG001 - see `_Judge`
    """Only the session itself says when it has ended or has taken up again."""
    return count(state, "improper event")


def _unknown(state: State, now: Moment, event: Unknown) -> State:
    emit(state, now, event)
    return count(state, "unknown message")


_JUDGES: dict[type[RealtimeEvent], _Judge] = {
    AudioOutput: _audio,
    ResponseThought: _thought,
    AgentTranscript: _words,
    ResponseText: _words,
    AudioOutputDone: _audio_done,
    ResponseStarted: _started,
    ResponseDone: _done,
    ToolCall: _tool_call,
    ToolCallCancelled: _cancelled,
    SpeechStarted: _speech_started,
    SpeechStopped: _speech_stopped,
    Interrupted: _notice,
    UserTranscript: _user_words,
    ResumptionHandle: _handle,
    Connected: connected,
    SessionEnding: ending,
    Error: _error,
    Unknown: _unknown,
    Disconnected: _improper,
    LateUsage: _improper,
    Reconnected: _improper,
    Held: _improper,
    Released: _improper,
}
