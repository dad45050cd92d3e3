"""The mirror: the codec of the other side, client events to frames and events to server events.

Pure: what it knows of a client is the `Book`, every event is looked up in a table. It reads
strictly and raises nothing: what cannot be understood or done is answered with an `error` event
that names the client's event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, cast

import msgspec
from msgspec.structs import replace

from realtime_core.codec import Media, Wire, as_message
from realtime_core.errors import RealtimeError
from realtime_core.events import (
    AgentTranscript,
    AudioOutput,
    AudioOutputDone,
    Error,
    Interrupted,
    RateLimits,
    RealtimeEvent,
    ResponseDone,
    ResponseStarted,
    ResponseText,
    SpeechStarted,
    SpeechStopped,
    ToolCall,
    ToolCallCancelled,
    UserTranscript,
)
from realtime_core.frames import CreateResponse, Frame, ToolResult

from .. import client_events as client
from . import answers, asking, editing, speech
from .book import Book, begin, settled, without
from .page import Ask, Page, Told
from .results import ask_after_all, fence, not_wanted, silence
from .schema import Complaint, Fields, refusal_of

__all__ = (
    "Ask",
    "Book",
    "Told",
    "accepted",
    "begin",
    "declined",
    "greet",
    "hear",
    "played",
    "refused",
    "tell",
)

_BROKEN = (msgspec.DecodeError, UnicodeError, RecursionError)
_LIMITS = {"requests", "tokens"}


def greet(book: Book) -> Told:
    """Say first that the session is there, with the server's own settings."""
    page = Page(book)
    page.say("session.created", session=book.session)
    return page.told()


def hear(book: Book, data: Wire) -> Told:
    """Read what a client sent, or what sound came over its track."""
    page, wire = Page(book), as_message(data)
    if isinstance(data, Media) and book.by_track:
        speech.append(page, client.Append(audio=data.data), "")
        return page.told()
    try:
        event = client.decode(wire)
        strange = None if isinstance(event, client.Append) else _strange(wire, event)
    except _BROKEN as problem:
        _misread(page, wire, problem)
        return page.told()
    id = event.event_id or ""
    if strange is not None:
        page.fail("unknown_parameter", f"Unknown parameter: {strange!r}.", param=strange, event=id)
        return page.told()
    _HEARD[type(event)](page, event, id)
    return page.told()


def _misread(page: Page, wire: str | bytes, problem: Exception) -> None:
    try:
        raw: Any = msgspec.json.decode(wire)
    except _BROKEN:
        page.fail("invalid_json", "This is no JSON that can be read.")
        return
    fields = cast("Fields", raw) if isinstance(raw, dict) else {}
    name, id = fields.get("type"), fields.get("event_id")
    event = id if isinstance(id, str) else ""
    if not isinstance(name, str) or name not in _NAMES:
        what = f"Unknown event: {name!r}." if isinstance(name, str) else "An event needs a type."
        page.fail("invalid_event", what[:300], param="type", event=event)
        return
    wrong = Complaint("invalid_value", f"{problem}.")
    if isinstance(problem, msgspec.ValidationError):
        wrong = refusal_of(problem)
    page.fail(wrong.code, wrong.message, param=wrong.param, event=event)


def _strange(wire: str | bytes, event: client.ClientEvent) -> str | None:
    """Name a field that no event of this type has, if there is one."""
    return _surplus(msgspec.json.decode(wire), msgspec.to_builtins(event), "")


def _surplus(raw: object, known: object, path: str) -> str | None:
    if isinstance(raw, dict) and isinstance(known, dict):
        mine = cast("Fields", known)
        for name, value in cast("Fields", raw).items():
            if name not in mine:
                return path + name
            found = _surplus(value, mine[name], f"{path}{name}.")
            if found is not None:
                return found
    if isinstance(raw, list) and isinstance(known, list | tuple):
        pairs = zip(cast("list[object]", raw), cast("tuple[object, ...]", known), strict=False)
        for place, (one, other) in enumerate(pairs):
            found = _surplus(one, other, f"{path[:-1]}[{place}].")
            if found is not None:
                return found
    return None


def tell(book: Book, event: RealtimeEvent) -> Told:
    """Write what an event of the session means to the client; many mean nothing."""
    write = _TOLD.get(type(event))
    if write is None:
        return Told(book)
    page = Page(book)
    write(page, event)
    return page.told()


def _interrupted(page: Page, event: Interrupted) -> None:
    """Say that the user speaks, where nobody has, and remember what was cut, and by whom."""
    by_voice = event.cause in {"provider", "local"}
    if by_voice and event.confirmed is None:
        speech.speech_started(page, SpeechStarted())
    silence(
        page,
        event.fenced,
        "turn_detected" if by_voice else "client_cancelled",
        event.epoch if event.seq >= 0 else None,
    )
    ask_after_all(page)  # results of before are known, and nothing goes on with them by itself
    past = {call.response for call in page.book.calls.values() if call.outcome in {"open", "held"}}
    fence(page, *(past - page.book.replies.keys()))


def _error(page: Page, event: Error) -> None:
    wish = page.book.wishes.get(event.request or "")
    if wish is not None:
        page.keep(wishes=without(page.book.wishes, event.request or ""))
    page.complain(event.error, wish.event_id if wish is not None else "")


def _limits(page: Page, event: RateLimits) -> None:
    limits = [
        {
            "name": one.name,
            "limit": int(one.limit),
            "remaining": int(one.remaining),
            "reset_seconds": one.reset_seconds,
        }
        for one in event.limits
        if one.name in _LIMITS
    ]
    page.say("rate_limits.updated", rate_limits=limits)


def played(book: Book, response: str, how: Literal["started", "stopped", "cleared"]) -> Told:
    """Say that an answer begins to sound on its track, has sounded, or was cut."""
    page = Page(book)
    if how != "started":
        page.keep(unplayed=tuple(id for id in book.unplayed if id != response))
    page.say(f"output_audio_buffer.{how}", response_id=response)
    return page.told()


# --- what the session said to what was asked --------------------------------------------------


def accepted(book: Book, given: Fields) -> Told:
    """Let settings hold that were asked for, now that the session has taken them."""
    page = Page(replace(settled(book, given), own=book.wished))
    page.say("session.updated", session=page.book.session)
    return page.told()


def declined(book: Book, why: Complaint, event: str) -> Told:
    """Say that something that a client sent does not fit here."""
    page = Page(book)
    page.fail(why.code, why.message, param=why.param, event=event)
    return page.told()


def refused(book: Book, frame: Frame, error: RealtimeError, event: str) -> Told:
    """Say that the session did not take a frame."""
    page = Page(book)
    if isinstance(frame, CreateResponse):
        page.keep(wishes=without(book.wishes, frame.request))
    if isinstance(frame, ToolResult):
        not_wanted(page, frame)
    if error.code != "call_void":
        page.complain(error, event)
    return page.told()


_HEARD: dict[type[client.ClientEvent], Callable[[Page, Any, str], None]] = {
    client.Append: speech.append,
    client.UpdateSession: asking.update,
    client.Commit: speech.commit_audio,
    client.Clear: speech.clear,
    client.CreateItem: editing.create_item,
    client.RetrieveItem: editing.retrieve,
    client.DeleteItem: editing.delete,
    client.TruncateItem: editing.truncate,
    client.Create: asking.create,
    client.Cancel: asking.cancel,
    client.ClearOutput: asking.clear_output,
}
_NAMES = frozenset(str(kind.__struct_config__.tag) for kind in _HEARD)

_TOLD: dict[type[RealtimeEvent], Callable[[Page, Any], None]] = {
    AudioOutput: answers.sound,
    AgentTranscript: answers.words,
    ResponseText: answers.words,
    AudioOutputDone: answers.all_sound,
    ResponseStarted: answers.started,
    ResponseDone: answers.done,
    ToolCall: answers.call,
    ToolCallCancelled: answers.calls_void,
    SpeechStarted: speech.speech_started,
    SpeechStopped: speech.speech_stopped,
    UserTranscript: speech.user_words,
    Interrupted: _interrupted,
    Error: _error,
    RateLimits: _limits,
}
