"""One exchange, a turn of the user and what answers it, as a fold over events.

It tells whether an answer is still due. What is heard is the player's knowledge, not this.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from ..epoch import CallId, ResponseId
from ..errors import RealtimeError
from ..events import (
    Disconnected,
    Error,
    RealtimeEvent,
    ResponseDone,
    ResponseStarted,
    SpeechStarted,
    SpeechStopped,
    ToolCall,
    ToolCallCancelled,
    UserTranscript,
)

__all__ = ("Exchange", "follow")


class Exchange(msgspec.Struct, frozen=True):
    """What is known of the exchange so far."""

    due: bool = True
    """The user's turn has no answer that began yet."""
    asked: bool = False
    """The provider has something to answer: typed words, or speech it did not find to be none."""
    speaking: bool = False
    """The user speaks, for all the provider knows."""
    open: frozenset[ResponseId] = frozenset()
    calls: frozenset[CallId] = frozenset()
    answers: int = 0
    """Responses that ended by themselves."""
    failure: RealtimeError | None = None
    over: bool = False
    """The session has ended."""

    @property
    def settled(self) -> bool:
        """Whether everything was answered."""
        return self.over or not (self.due or self.speaking or self.open)


def follow(known: Exchange, event: RealtimeEvent) -> Exchange:
    """Add one event."""
    match event:
        case SpeechStarted():
            return replace(known, speaking=True, due=True, asked=True)
        case SpeechStopped():
            return replace(known, speaking=False)
        case UserTranscript(final=True):
            return replace(known, asked=bool(event.text.strip()))
        case ResponseStarted() if event.response is not None:
            return replace(known, due=False, open=known.open | {event.response})
        case ResponseDone() if event.response is not None:
            return _ended(known, event.response, event)
        case ToolCall():
            return replace(known, due=True, asked=True, calls=known.calls | {event.call})
        case ToolCallCancelled():
            return _void(known, known.calls - frozenset(event.calls))
        case Error() if event.request is not None or not event.recoverable:
            return replace(known, due=False, failure=event.error)
        case Disconnected():
            failure = known.failure if event.clean else event.error or known.failure
            return replace(known, over=True, failure=failure)
        case _:
            return known


def _ended(known: Exchange, response: ResponseId, event: ResponseDone) -> Exchange:
    known = replace(known, open=known.open - {response})
    if event.status == "failed" and event.error is not None:
        return replace(known, failure=event.error, answers=known.answers + 1)
    if event.status in {"completed", "incomplete", "failed"}:
        return replace(known, answers=known.answers + 1)
    return known


def _void(known: Exchange, calls: frozenset[CallId]) -> Exchange:
    """Calls that are void want no continuation; an interruption has its own question."""
    return replace(known, calls=calls, due=known.due and (known.speaking or bool(calls)))
