"""Hearing: what each message of a client asks of the session, and what is wrong with it."""

from __future__ import annotations

from msgspec.structs import replace

from realtime_core.audio.format import AudioFormat
from realtime_core.epoch import CallId
from realtime_core.frames import (
    ActivityEnd,
    ActivityStart,
    Audio,
    CreateResponse,
    Interrupt,
    Text,
    ToolResult,
    UpdateSession,
    Video,
)

from ..client_messages import (
    ClientContent,
    ContextUpdate,
    RealtimeInput,
    Setup,
    ToolResponse,
)
from ..encoding import BROKEN
from ..parts import Blob, FunctionResponse
from .book import Book, Call, open_calls
from .contents import frames_of, messages_of, output_of, picture, rate_of, wrong
from .page import Muted, Page, Recall
from .rules import judged, shape, takes_scheduling, takes_updates
from .settings import config_of, locked
from .wish import read_setup

__all__ = ("client_content", "context_update", "realtime_input", "set_up", "tool_response")

_NOT_HERE = "Operation is not implemented, or supported, or enabled."
_SCHEDULES = {None, "INTERRUPT", "WHEN_IDLE", "SILENT", "SCHEDULING_UNSPECIFIED"}


def set_up(page: Page, setup: Setup) -> None:
    """Take the settings, which come first and once, or change."""
    book = page.book
    try:
        if book.lock is not None:
            setup = locked(setup, book.lock)
        wish = read_setup(setup)
    except BROKEN as problem:
        page.fail(1007, f"Invalid value at 'setup': {problem}")
        return
    why = shape(setup, wish) or (judged(setup, wish, book.address) if book.judged else None)
    if why is not None:
        page.fail(*why)
        return
    page.keep(setup=setup, wish=wish)


def client_content(page: Page, content: ClientContent) -> None:
    """Add turns to the conversation, and answer them if that is wanted."""
    turns = content.turns or ()
    for turn in turns:
        why = wrong(turn)
        if why is not None:
            page.fail(*why)
            return
    if not turns and not content.turn_complete:
        page.fail(1007, "Contents are required.")
        return
    last = max((place for place, turn in enumerate(turns, 1) if turn.role == "model"), default=0)
    if content.turn_complete:
        _cut(page)
        page.keep(begun=page.book.begun + 1)
    if last:
        page.ask(Recall(messages_of(turns[:last])))
    page.ask(*frames_of(turns[last:]))
    if content.turn_complete:
        page.ask(CreateResponse())


def _cut(page: Page) -> None:
    """Have the model fall silent, if it speaks."""
    if page.book.turn is not None:
        page.ask(Interrupt())


# --- what streams in --------------------------------------------------------------------------


def realtime_input(page: Page, given: RealtimeInput) -> None:
    """Take sound, a picture, typed words, or where a turn begins and ends."""
    named = [name for name in given.__struct_fields__ if getattr(given, name) is not None]
    if len(named) != 1:
        page.fail(1007, f"realtime_input has one field at a time, not {len(named)}.")
        return
    for blob in (given.audio, given.video, *(given.media_chunks or ())):
        if blob is not None:
            _media(page, blob, named[0])
    if given.text is not None:
        page.ask(Text(given.text, turn="interrupt" if page.book.turn is not None else "queue"))
        page.keep(begun=page.book.begun + 1)
    if given.activity_start is not None:
        _activity_start(page)
    if given.activity_end is not None:
        _activity_end(page)
    if given.audio_stream_end:
        _stream_end(page)


def _media(page: Page, blob: Blob, name: str) -> None:
    rate = rate_of(blob)
    if rate is not None and name != "video":
        _sound(page, blob.data or b"", rate)
    elif rate is None and name != "audio" and picture(blob):
        page.ask(Video(blob.data or b"", (blob.mime_type or "").lower()))
    else:
        page.fail(1007, f"Unsupported MIME type for {name}: {(blob.mime_type or '')[:60]!r}.")


def _sound(page: Page, data: bytes, rate: int) -> None:
    if page.book.wish.manual and not page.book.speaking:
        return  # the service drops what is outside of a marked turn
    pcm = page.book.rest + data
    whole = len(pcm) & ~1
    page.keep(rest=pcm[whole:])
    if whole:
        page.ask(Audio(pcm[:whole], AudioFormat(rate=rate)))


def _activity_start(page: Page) -> None:
    if not page.book.wish.manual:
        _unmarked(page)
        return
    if page.book.wish.interrupts:
        _cut(page)
    page.keep(speaking=True, rest=b"", begun=page.book.begun + 1)
    page.ask(ActivityStart())


def _activity_end(page: Page) -> None:
    if not page.book.wish.manual:
        _unmarked(page)
        return
    if page.book.speaking:
        page.keep(speaking=False, rest=b"")
        page.ask(ActivityEnd())


def _unmarked(page: Page) -> None:
    page.fail(
        1007,
        "Explicit activity control is not supported when automatic activity detection is enabled.",
    )


def _stream_end(page: Page) -> None:
    """Let the model answer what was said before the microphone was muted."""
    if page.book.wish.manual:
        page.fail(1007, "audio_stream_end needs automatic activity detection.")
        return
    page.keep(rest=b"")
    page.ask(Muted())


# --- tools and settings -----------------------------------------------------------------------


def tool_response(page: Page, given: ToolResponse) -> None:
    """Take results of calls that are open; those of void calls are passed over."""
    if not given.function_responses:
        page.fail(1007, "Function responses are required.")
    for result in given.function_responses or ():
        _result(page, result)


def _result(page: Page, result: FunctionResponse) -> None:
    id = result.id or _by_name(page.book, result.name)
    call = page.book.calls.get(id)
    if not id:
        page.fail(1007, "A function response needs the id of its call.")
    elif call is None or call.outcome == "answered":
        page.fail(1008, f"No open function call has the id {id[:60]!r}.")
    elif result.response is None:
        page.fail(1007, "A function response needs a response.")
    elif result.scheduling not in _SCHEDULES or (
        result.scheduling and page.book.judged and not takes_scheduling(page.book.wish)
    ):
        page.fail(1007, "Scheduling of a function response is not supported by this model.")
    elif call.outcome == "open":
        _answered(page, id, call, result)


def _by_name(book: Book, name: str | None) -> str:
    """Find a call by its function, as one service allows."""
    if book.address.service != "vertex":
        return ""
    return next((id for id in open_calls(book) if book.calls[id].name == name), "")


def _answered(page: Page, id: str, call: Call, result: FunctionResponse) -> None:
    text, failed = output_of(result)
    if result.will_continue:
        call = replace(call, partial=(*call.partial, text))
        page.book = page.book.with_calls({id: call})
        return
    page.book = page.book.with_calls({id: replace(call, outcome="answered", partial=())})
    page.ask(ToolResult(CallId(id), "\n".join((*call.partial, text)), failed))


def context_update(page: Page, given: ContextUpdate) -> None:
    """Let other instructions or tools hold."""
    setup = page.book.setup
    assert setup is not None  # noqa: S101 - nothing else is heard before it
    if page.book.judged and not takes_updates(page.book.wish):
        page.fail(1008, _NOT_HERE)
        return
    if given.system_instruction is not None:
        setup = replace(setup, system_instruction=given.system_instruction)
    if given.tools is not None:
        setup = replace(setup, tools=given.tools.tools or ())
    set_up(page, setup)
    page.ask(UpdateSession(config_of(setup, page.book.wish, page.book.base)))
