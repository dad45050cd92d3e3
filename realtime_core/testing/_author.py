"""An author of what a provider says: moves in, events out, by the codec contract or against it.

Every piece of audio is filled with its own number, so that a test can tell what arrived, in which
order.
"""

from __future__ import annotations

from ..audio.format import AudioFormat
from ..config import Secret, SessionConfig
from ..epoch import CallId, ItemId, RequestId, ResponseId
from ..errors import AuthFailed, InvalidRequest, ProtocolViolation, Unavailable
from ..events import (
    AgentTranscript,
    AudioOutput,
    AudioOutputDone,
    Connected,
    Disconnected,
    Dropped,
    Error,
    Interrupted,
    RateLimit,
    RateLimits,
    RealtimeEvent,
    Reconnected,
    ResponseDone,
    ResponseStarted,
    ResponseText,
    ResumptionHandle,
    SessionEnding,
    SpeechStarted,
    SpeechStopped,
    Status,
    ToolCall,
    ToolCallCancelled,
    Unknown,
    Usage,
    UserTranscript,
)
from .scripted import SCRIPTED

__all__ = ("ERRORS", "FORMAT", "LAWFUL", "SAMPLES_A_TICK", "Author", "number_of")

FORMAT = AudioFormat(rate=640)
"""Slow enough to be small, and divides into ticks without a rest."""
SAMPLES_A_TICK = FORMAT.rate // 64

_OUTPUT = ("audio", "words", "text", "audio done", "whole words", "whole text", "call")
_ASIDE = (
    *("speech", "quiet", "notice", "user", "error", "refusal"),
    *("ending", "limits", "handle", "unknown"),
)
LAWFUL = (*_OUTPUT, *["audio", "start", "done"] * 4, *_ASIDE)
"""Moves of a provider that keeps the contract; what is frequent in life stands twice."""
ERRORS = (
    "late",
    "orphan",
    "start again",
    "done again",
    "call again",
    "foreign item",
    "late notice",
    "misplaced",
)
"""Moves that break it."""

_STATUSES: tuple[Status, ...] = ("completed", "cancelled", "incomplete", "failed")
_TOOLS = ("tool-cancel", "tool-finish", "tool-detach", "tool-unknown")


def number_of(event: AudioOutput) -> int:
    """Give the number of a piece of audio; -1 for an empty one."""
    return int.from_bytes(event.pcm[:2], "little") if event.pcm else -1


class Author:
    """Writes for one connection, remembering what it has begun and ended."""

    def __init__(self, prefix: str = "r") -> None:
        self._prefix = prefix
        self._made = 0
        self._open = list[ResponseId]()
        self._ended = list[ResponseId]()
        self._samples = dict[ItemId, int]()
        self._calls = list[CallId]()
        self._asked = list[RequestId]()
        self._pieces = 0

    def asked(self) -> None:
        """Learn that the session asks for an answer, by the name it gives by itself."""
        self._asked.append(RequestId(f"request-{len(self._asked)}"))

    def write(self, move: str, a: int, b: int) -> tuple[RealtimeEvent, ...]:
        """Give the events of one move; the numbers choose among what there is."""
        match move:
            case "start":
                return (self._start(a),)
            case "done":
                return self._done(a, b)
            case _ if move in _OUTPUT:
                first = () if self._open else (self._start(b),)
                response = self._open[a % len(self._open)]
                return (*first, self._output(move, response, _item(response, b), b))
            case _ if move in ERRORS:
                return self._error(move, a, b)
            case _:
                return (self._aside(move, a, b),)

    def _start(self, a: int) -> ResponseStarted:
        response = ResponseId(f"{self._prefix}{self._made}")
        self._made += 1
        self._open.append(response)
        request = self._asked[-min(a, len(self._asked))] if a and self._asked else None
        return ResponseStarted(response=response, request=request)

    def _done(self, a: int, b: int) -> tuple[RealtimeEvent, ...]:
        if not self._open:
            return ()
        response = self._open.pop(a % len(self._open))
        self._ended.append(response)
        usage = Usage(output_tokens=1 + b)
        return (ResponseDone(response=response, status=_STATUSES[b], usage=usage),)

    def _output(self, move: str, response: ResponseId, item: ItemId, b: int) -> RealtimeEvent:
        match move:
            case "audio":
                return self._audio(response, item, b)
            case "words":
                end = self._samples.get(item, 0)
                span = (max(0, end - SAMPLES_A_TICK), end) if b > 1 and end else None
                text = f"word{self._pieces} "
                return AgentTranscript(
                    response=response, item=item, text=text, final=False, span=span
                )
            case "text":
                text = f"text{self._pieces} "
                return ResponseText(response=response, item=item, text=text, is_complete=False)
            case "audio done":
                return AudioOutputDone(response=response, item=item)
            case "whole words":
                return AgentTranscript(response=response, item=item, text="all words", final=True)
            case "whole text":
                return ResponseText(response=response, item=item, text="all text", is_complete=True)
            case _:
                call = CallId(f"c{len(self._calls)}")
                self._calls.append(call)
                return ToolCall(response=response, call=call, name=_TOOLS[b], arguments="{}")

    def _audio(self, response: ResponseId, item: ItemId, b: int) -> AudioOutput:
        samples = (b or 8) * SAMPLES_A_TICK if self._pieces % 8 else 0
        self._samples[item] = self._samples.get(item, 0) + samples
        self._pieces += 1
        pcm = self._pieces.to_bytes(2, "little") * samples
        return AudioOutput(response=response, item=item, pcm=pcm, format=FORMAT)

    def _aside(self, move: str, a: int, b: int) -> RealtimeEvent:
        match move:
            case "speech":
                return SpeechStarted(audio_ms=float(a))
            case "quiet":
                return SpeechStopped(audio_ms=float(a))
            case "notice":
                return Interrupted(cause="provider")
            case "user":
                text = f"user{b}" if a or b < 3 else ""
                usage = Usage(seconds=b / 4) if b > 1 else None
                return UserTranscript(item=ItemId(f"u{a}"), text=text, final=b > 1, usage=usage)
            case "error":
                return Error(error=InvalidRequest(what="not active"), recoverable=True)
            case "refusal":
                refused = InvalidRequest(what="refused")
                return Error(error=refused, recoverable=True, request=RequestId(f"request-{a}"))
            case "ending":
                return SessionEnding(left=(0.0, 1.0, 3.0, None)[a])
            case "limits":
                return RateLimits(limits=(RateLimit("tokens", 9.0, float(a), float(b)),))
            case "handle":
                return ResumptionHandle(handle=Secret(f"handle-{a}"))
            case _:
                return Unknown(name=f"unknown-{a}", data="?")

    def _error(self, move: str, a: int, b: int) -> tuple[RealtimeEvent, ...]:
        ended = self._ended[a % len(self._ended)] if self._ended else ResponseId("never")
        open = self._open[a % len(self._open)] if self._open else ended
        kind = _OUTPUT[(a + 2 * b) % len(_OUTPUT)]
        match move:
            case "late":
                return (self._output(kind, ended, _item(ended, b), b),)
            case "orphan":
                orphan = ResponseId(f"orphan{a}")
                return (self._output(kind, orphan, _item(orphan, b), b),)
            case "start again":
                return (ResponseStarted(response=open if b > 1 else ended),)
            case "done again":
                return (ResponseDone(response=ended, status=_STATUSES[b]),)
            case "call again":
                call = self._calls[a % len(self._calls)] if self._calls else CallId("c0")
                again = ToolCall(response=open, call=call, name=_TOOLS[b], arguments="{}")
                return (again, ToolCallCancelled(calls=(call, CallId("no such call"))))
            case "foreign item":
                return (self._output(kind, open, _item(ended, b), b),)
            case "late notice":
                return (Interrupted(cause="provider", response=ended),)
            case _:
                return (_MISPLACED[(a + 4 * b) % len(_MISPLACED)],)


def _item(response: ResponseId, b: int) -> ItemId:
    return ItemId(f"{response}-{b % 2}")


_MISPLACED: tuple[RealtimeEvent, ...] = (
    Disconnected(reason="says who", clean=True),
    Reconnected(restored="nothing"),
    Connected(session_id="", config=SessionConfig(), capabilities=SCRIPTED),
    Dropped(lane="audio", reason="says who", count=1),
    Error(error=Unavailable(what="going down"), recoverable=False),
    Error(error=AuthFailed(what="no longer welcome"), recoverable=False),
    Error(error=ProtocolViolation(what="no id"), recoverable=True, response=ResponseId("r0")),
    SpeechStopped(response=ResponseId("r0")),
    Interrupted(cause="app"),
)
"""What no codec should say, or says once in a while."""
