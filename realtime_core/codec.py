"""The contract of a provider: bytes to events, frames to bytes.

A codec is a frozen value with pure functions over its own immutable state: no I/O, no clock, no
randomness, and no epoch. It emits the very events a user sees, unstamped; the machine stamps and
gates them.
"""

from __future__ import annotations

from typing import Generic, Literal, NamedTuple, Protocol, TypeVar

import msgspec
from returns.result import Result

from .config import Message, Secret
from .epoch import ItemId, ResponseId
from .errors import InvalidRequest, ProtocolViolation, RealtimeError
from .events import RealtimeEvent
from .frames import Frame
from .plan import Plan

__all__ = (
    "CancelResponse",
    "Codec",
    "Coded",
    "Command",
    "DeleteItem",
    "Media",
    "Outgoing",
    "Resume",
    "TruncateItem",
    "Wire",
    "as_message",
    "unreadable",
    "unsendable",
)


class Media(msgspec.Struct, frozen=True, gc=False):
    """Sound or a picture that travels beside the messages, on a track of its own.

    Its length is that of its data, in bytes.
    """

    kind: Literal["audio", "video"]
    data: bytes
    """Whole samples, PCM16 mono at the plan's rate; or one encoded picture.

    Sound of no samples, sent, is a mark: what follows waits until the sound before it is on its
    way. A message that speaks of that sound (commit, end of an utterance) goes behind one.
    """
    at: int = 0
    """Samples before it in the received sound, those that were dropped unread included."""

    def __len__(self) -> int:
        return len(self.data)


Wire = str | bytes | Media
"""One message of the provider's protocol as it stands on the wire, or a piece of a track."""


def as_message(wire: Wire) -> str | bytes:
    """Give a wire as a message: for who has no tracks, a piece of one is bytes like any others."""
    return wire.data if isinstance(wire, Media) else wire


S = TypeVar("S")


class Coded(NamedTuple, Generic[S]):
    """The codec's next state, and what it has to send and to say."""

    state: S
    wires: tuple[Wire, ...] = ()
    events: tuple[RealtimeEvent, ...] = ()


class CancelResponse(msgspec.Struct, frozen=True, tag_field="type", tag=True):
    """Stop the named response (capability `cancel`)."""

    response: ResponseId


class TruncateItem(msgspec.Struct, frozen=True, tag_field="type", tag=True):
    """Forget what comes after `samples` samples at `rate` Hz of an item (capability `truncate`)."""

    item: ItemId
    samples: int
    rate: int
    text: str = ""
    """The words that remain."""


class DeleteItem(msgspec.Struct, frozen=True, tag_field="type", tag=True):
    """Forget an item of which nothing was heard (capability `delete`)."""

    item: ItemId


Command = CancelResponse | TruncateItem | DeleteItem
"""What the machine itself has to tell a provider."""

Outgoing = Frame | Command


def unsendable(frame: Outgoing, problem: UnicodeEncodeError) -> InvalidRequest:
    """Give the error for text that is no text."""
    return InvalidRequest(
        what=f"The text of this {type(frame).__name__} cannot be sent.",
        cause=f"half a character in it, at {problem.start}",
        fix='Type: text.encode(errors="replace").decode()',
    )


def unreadable(problem: str, name: str = "") -> ProtocolViolation:
    """Give the error for a message that is none; `problem` shows no secret."""
    return ProtocolViolation(
        what=f"A message {name} could not be read." if name else "A message could not be read.",
        cause=problem[:200],
        fix="Look at it with `realtime decode`; if it is right, this is a defect here.",
    )


class Resume(NamedTuple):
    """What a new connection takes over from the lost one."""

    conn: int
    """Generation of the new connection, from 1; ids a codec mints must differ from older ones."""
    handle: Secret | None = None
    history: tuple[Message, ...] = ()
    """What can be replayed of the conversation, within the provider's limits."""
    unanswered: tuple[Message, ...] = ()
    """Tool calls that were open when a connection was lost: nobody will answer them."""
    left: object = None
    """The codec's state when the last connection was left, with what it had still to send."""


class Codec(Protocol[S]):
    """One provider's dialect; `S` is its state, an immutable value.

    A codec may rely on: `greet` first on each connection; only frames its capabilities allow;
    `CreateResponse` never while a response is open where `one_response` holds, unless either is
    outside the conversation. It must: name every response and item in its events (minting ids where
    the wire has none), emit `ResponseStarted` before anything else of a response and one
    `ResponseDone` at its end, emit `Connected` (with an empty `session_id`) once the provider has
    acknowledged the session, turn a provider's interruption notice into
    `Interrupted(cause="provider")`, and an answer "not active" to a cancel into one that names the
    response, and answer any bytes with events, an `Unknown` event or one error.
    """

    def greet(self, plan: Plan, resume: Resume | None) -> Coded[S]:
        """Begin a connection: the state at its start and the first messages to send."""
        ...

    def encode(self, state: S, frame: Outgoing) -> Result[Coded[S], RealtimeError]:
        """Turn a frame or command into messages; a refusal leaves the state as it was."""
        ...

    def decode(self, state: S, wire: Wire) -> Result[Coded[S], RealtimeError]:
        """Turn one message into events; a failure leaves the state as it was."""
        ...
