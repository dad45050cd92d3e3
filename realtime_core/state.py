"""The machine's vocabulary: what it knows, what happens to it, and what it wants done.

Every input carries the time at which it happened, so that deciding needs no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Literal, NamedTuple

import msgspec

from .codec import Wire
from .config import Message, Secret
from .epoch import CallId, Epoch, ItemId, ResponseId
from .errors import RealtimeError
from .events import RealtimeEvent
from .frames import Frame
from .heard import Delivered
from .plan import Plan
from .turn import Ledger

__all__ = (
    "Arm",
    "Begun",
    "Dial",
    "Disarm",
    "Effect",
    "Emit",
    "Entered",
    "Fence",
    "Hangup",
    "Heir",
    "Holding",
    "Input",
    "Left",
    "Linked",
    "Lost",
    "Pause",
    "Phase",
    "Purged",
    "Pushed",
    "Rang",
    "Received",
    "Refused",
    "Send",
    "Shed",
    "Standby",
    "State",
    "Stop",
    "Timer",
    "Transition",
    "reserved",
)


class Phase(Enum):
    """Where a session stands: connecting, open, (resuming, open)*, closing, closed."""

    CONNECTING = "connecting"
    OPEN = "open"
    RESUMING = "resuming"
    CLOSING = "closing"
    CLOSED = "closed"

    @property
    def ending(self) -> bool:
        """Whether the session is closing or closed."""
        return self is Phase.CLOSED or self is Phase.CLOSING

    @property
    def waiting(self) -> bool:
        """Whether the provider has yet to acknowledge a connection."""
        return self is Phase.CONNECTING or self is Phase.RESUMING


class Timer(Enum):
    """What the machine may wait for; at most one of each is armed."""

    CONNECT = "connect"
    SETTLE = "settle"
    HOLD = "hold"
    GRACE = "grace"
    TURN = "turn"
    RETRY = "retry"
    CLOSE = "close"
    REPORT = "report"
    ENDING = "ending"
    MOVE = "move"


class Standby(Enum):
    """How far the next connection is that is made beside one that will end."""

    DIALLED = "dialled"
    STANDS = "stands"
    FAILED = "failed"


class Heir(msgspec.Struct, frozen=True):
    """A provider that takes over."""

    place: int
    why: str


class Holding(msgspec.Struct, frozen=True):
    """An answer that is held: somebody may have begun to speak."""

    cause: Literal["provider", "local"]
    since: float
    """When it fell silent, in monotonic seconds."""
    onset: float
    """When the newest sound began."""
    speaking: bool = False
    """Whether that sound is known to go on."""
    partial: bool = False
    """The provider has cancelled the answer by itself."""
    item: ItemId | None = None
    """What the user says, where the provider names it."""


def reserved(message: Message) -> bool:
    """Tell whether an entry of the history is only the place of what the user says."""
    return message.role == "user" and message.item is not None and not message.text


class State(msgspec.Struct, frozen=True):
    """All a session knows."""

    plan: Plan
    session_id: str
    codec: Any = None
    """The codec's own state for this connection."""
    phase: Phase = Phase.CONNECTING
    epoch: Epoch = Epoch(0)
    conn: int = 0
    ledger: Ledger = Ledger()
    history: tuple[Message, ...] = ()
    """The conversation as it was said and heard, with places for words that come late."""
    handle: Secret | None = None
    """The newest resumption handle."""
    barrier: bool = False
    """Between our cancel and the provider's answer to it."""
    holding: Holding | None = None
    paused: float = 0.0
    """Seconds in which answers were held, but for a hold that is on: nothing was played then."""
    listening: bool = False
    """The user speaks, or has just spoken and may be answered by the provider itself."""
    owed: bool = False
    """The user has begun to speak, and was not answered since."""
    due: Mapping[Timer, float] = msgspec.field(default_factory=dict[Timer, float])
    """When each armed timer rings."""
    last_report: float = float("-inf")
    minted: int = 0
    """Request names given out."""
    attempts: int = 0
    """Tries since a connection last stood for long."""
    failing_since: float = 0.0
    opened_at: float = 0.0
    """When the provider acknowledged the connection."""
    standby: Standby | None = None
    heir: Heir | None = None
    """Who the next connection is made to, where it is another provider."""
    leave_by: float | None = None
    """When a connection that will end is left at the latest."""
    moved: str = ""
    """Why another provider has taken over since a connection was last acknowledged."""
    resumed: Literal["handle", "history"] = "history"
    """By what the connection took up the conversation."""
    gone: tuple[str, ...] = ()
    """What a lost connection took with it, in words, until the next one is told of."""
    unanswered: tuple[Message, ...] = ()
    """Tool calls that were open when a connection was lost, until the next one is acknowledged."""
    left: Any = None
    """The codec's state when the last connection was left, until the next one is acknowledged."""
    ending: RealtimeError | None = None
    """Why the session closes, where something failed."""
    shed: Mapping[tuple[str, str], tuple[int, float]] = msgspec.field(
        default_factory=dict[tuple[str, str], tuple[int, float]]
    )
    """Drops not yet reported: (lane, reason) to count and milliseconds."""
    counts: Mapping[str, int] = msgspec.field(default_factory=dict[str, int])
    """Things that were not passed on, by reason: late chunks in samples, other things in items."""

    @property
    def conversation(self) -> tuple[Message, ...]:
        """The history without the places of words that are still to be written down."""
        return tuple(message for message in self.history if not reserved(message))


# --- inputs: what happened --------------------------------------------------------------------


class _Input(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    at: float
    """Monotonic seconds."""
    delivered: Delivered = ()
    """What the consumer had taken by then."""


class Begun(_Input, frozen=True):
    """The owner entered the session."""


class Linked(_Input, frozen=True):
    """A connection stands."""

    conn: int


class Received(_Input, frozen=True):
    """One read brought these messages."""

    conn: int
    wires: tuple[Wire, ...]


class Pushed(_Input, frozen=True):
    """The caller pushed a frame, or its turn in the lane came."""

    frame: Frame


class Lost(_Input, frozen=True):
    """A connection ended: in good order (`error` is None) or not; or could not be made."""

    conn: int
    error: RealtimeError | None = None
    random: float = 0.5
    """Drawn by the shell, for the jitter of the retry."""


class Rang(_Input, frozen=True):
    """An armed timer's time has come."""

    timer: Timer
    random: float = 0.5
    """Drawn by the shell, for the jitter of a retry."""


class Shed(_Input, frozen=True):
    """A lane or the outlet dropped frames."""

    lane: str
    reason: str
    count: int
    ms: float = 0.0


class Refused(_Input, frozen=True):
    """A frame that came through the queue was refused, and nobody waits for the answer."""

    error: RealtimeError


class Entered(_Input, frozen=True):
    """A handler begins to run for a call."""

    call: CallId


class Left(_Input, frozen=True):
    """The handler of a call has left its scope."""

    call: CallId


class Purged(_Input, frozen=True):
    """A fence purged these calls before the consumer took them: nobody will ever answer them."""

    calls: tuple[CallId, ...]


Input = Begun | Linked | Received | Pushed | Lost | Rang | Shed | Refused | Entered | Left | Purged


# --- effects: what to do ----------------------------------------------------------------------


class Send(msgspec.Struct, frozen=True, gc=False):
    """Hand these messages to the connection, behind what waits there."""

    wires: tuple[Wire, ...]


class Emit(msgspec.Struct, frozen=True, gc=False):
    """Queue this event for the consumer."""

    event: RealtimeEvent


class Fence(msgspec.Struct, frozen=True, gc=False):
    """Purge what belongs to an older epoch; cancel the scopes of older epochs and these answers."""

    epoch: Epoch
    responses: tuple[ResponseId, ...] = ()


class Pause(msgspec.Struct, frozen=True, gc=False):
    """Let what plays fall silent and keep its place, or go on from there."""

    on: bool


class Stop(msgspec.Struct, frozen=True, gc=False):
    """Cancel the handlers of these calls."""

    calls: tuple[CallId, ...]


class Arm(msgspec.Struct, frozen=True, gc=False):
    """Ring at this time; replaces an earlier time of the same timer."""

    timer: Timer
    at: float


class Disarm(msgspec.Struct, frozen=True, gc=False):
    """Do not ring."""

    timer: Timer


class Dial(msgspec.Struct, frozen=True, gc=False):
    """Open this connection."""

    conn: int


class Hangup(msgspec.Struct, frozen=True, gc=False):
    """Send what waits, then end the connection."""

    conn: int


Effect = Send | Emit | Fence | Pause | Stop | Arm | Disarm | Dial | Hangup


class Transition(NamedTuple):
    """The next state, what to do, and why a pushed frame was refused, if it was."""

    state: State
    effects: tuple[Effect, ...] = ()
    refused: RealtimeError | None = None
