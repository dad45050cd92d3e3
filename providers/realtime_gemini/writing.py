"""Writing: frames and commands as client messages, each at a moment at which it cuts nothing.

Ordered content interrupts what is being generated, so it waits for the end of the turn. Words that
want an answer wait for the request and go with it, in one message.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Iterable

import msgspec
from msgspec.structs import replace
from returns.result import Failure, Result, Success

from realtime_core.codec import CancelResponse, Coded, DeleteItem, Outgoing, TruncateItem
from realtime_core.epoch import ResponseId
from realtime_core.errors import InvalidRequest, RealtimeError, Unsupported
from realtime_core.events import ResponseDone, ResponseStarted, Warning
from realtime_core.frames import (
    ActivityEnd,
    ActivityStart,
    Audio,
    Close,
    CommitAudio,
    CreateResponse,
    Text,
    ToolResult,
    UpdateSession,
    Video,
)

from .client_messages import ClientContent, ClientMessage, RealtimeInput, ToolResponse
from .encoding import encode
from .memory import Memory, Page, held, is_busy, known, put
from .parts import Blob, Content, FunctionResponse, Part
from .setup import behaviour, words
from .telling import contents_of, note, text_of
from .updating import update

__all__ = ("appended", "cut_here", "let_go", "taken_up", "write")

Written = Result[Coded[Memory], RealtimeError]


def appended(pcm: bytes) -> bytes:
    """Write sound; the one message that is sent fifty times a second."""
    text = b2a_base64(pcm, newline=False)
    return b'{"realtimeInput":{"audio":{"mimeType":"audio/pcm;rate=16000","data":"%b"}}}' % text


def write(memory: Memory, frame: Outgoing) -> Written:
    """Give the messages for a frame or command; some need none."""
    if isinstance(frame, Audio):
        return Success(Coded(memory, (appended(frame.pcm),)))
    if isinstance(frame, Text | CreateResponse) and not memory.model.converses:
        return Failure(Unsupported(what="A translating model answers speech alone."))
    page = Page(memory)
    match frame:
        case Video():
            _picture(page, frame)
        case Text():
            _typed(page, frame)
        case CreateResponse():
            _create(page, frame)
        case ToolResult():
            _result(page, frame)
        case TruncateItem() | DeleteItem():
            _cut(page, frame)
        case UpdateSession():
            return update(memory, frame)
        case CancelResponse() | Close():
            pass
        case ActivityStart() | ActivityEnd() | CommitAudio():
            return _marked(page, frame)
        case _:
            return Failure(Unsupported(what=f"This provider takes no {type(frame).__name__}."))
    return Success(page.coded())


def _send(page: Page, message: ClientMessage) -> None:
    page.wires.append(encode(message))


def _stream(page: Page, given: RealtimeInput) -> None:
    _send(page, ClientMessage(realtime_input=given))


def _content(page: Page, turns: Iterable[Content], *, complete: bool) -> None:
    content = ClientContent(tuple(turns) or None, turn_complete=complete)
    _send(page, ClientMessage(client_content=content))


def _is_ordered(memory: Memory) -> bool:
    """Tell whether the model takes ordered content at any time."""
    return (memory.options.typed or memory.model.typed) == "content"


# --- words and pictures -----------------------------------------------------------------------


def _picture(page: Page, frame: Video) -> None:
    blob = Blob(mime_type=frame.mime, data=frame.image)
    _stream(page, RealtimeInput(video=blob))
    if page.memory.options.pictures and _is_ordered(page.memory):
        page.keep(picture=blob)


def _typed(page: Page, frame: Text) -> None:
    memory = page.memory
    page.keep(held=held(memory, text_of(memory.service, frame.role, frame.text)))
    if frame.turn != "context":
        return
    let_go(page)
    if not _is_ordered(memory):
        name = memory.plan.config.model.rpartition("/")[2] or "the model"
        page.events.append(Warning(field="text", why=f"{name} is told of it with the next request"))


def let_go(page: Page) -> None:
    """Send what was held back, if now it cuts nothing; no answer is asked for."""
    memory = page.memory
    if not memory.held or is_busy(memory) or not _is_ordered(memory):
        return
    _content(page, memory.held, complete=False)
    page.keep(held=())


def _create(page: Page, frame: CreateResponse) -> None:
    """Ask for an answer, with the words that wait; a spoken turn is answered without asking."""
    page.keep(asked=known(page.memory.asked, frame.request))
    if page.memory.by_voice:
        page.keep(by_voice=False)
        return
    if page.memory.turn is not None:
        cut_here(page, page.memory.turn.response)
    memory = page.memory
    turns = memory.held
    if frame.instructions:
        turns = (*turns, words(frame.instructions, "user"))
    page.keep(held=(), picture=None)
    text = "\n".join(part.text for one in turns for part in one.parts or () if part.text)
    if text and not _is_ordered(memory):
        _stream(page, RealtimeInput(text=text))
        return
    if memory.picture is not None:
        turns = _with_picture(turns, memory.picture)
    _content(page, turns, complete=True)


def _with_picture(turns: tuple[Content, ...], picture: Blob) -> tuple[Content, ...]:
    """Show the newest picture along with what is typed: what is streamed only speech can see."""
    part = Part(inline_data=picture)
    if not turns or turns[-1].role != "user":
        return (*turns, Content(parts=(part,), role="user"))
    last = turns[-1]
    return (*turns[:-1], replace(last, parts=(part, *(last.parts or ()))))


# --- turns by hand ----------------------------------------------------------------------------


def _marked(page: Page, frame: ActivityStart | ActivityEnd | CommitAudio) -> Written:
    by_hand = page.memory.plan.config.turn_detection.mode == "manual"
    match frame:
        case ActivityStart() if by_hand:
            _stream(page, RealtimeInput(activity_start={}))
            page.keep(marked=True)
            _supersede(page)
        case ActivityEnd() if by_hand and page.memory.marked:
            _stream(page, RealtimeInput(activity_end={}))
            page.keep(marked=False, by_voice=True)
        case CommitAudio() if not by_hand and page.memory.service == "developer":
            _stream(page, RealtimeInput(audio_stream_end=True))
        case _:
            return Failure(_unmarked(frame, by_hand=by_hand))
    return Success(page.coded())


def _supersede(page: Page) -> None:
    """Settle what was asked for and has not begun: who speaks now takes its place."""
    if page.memory.turn is not None:
        return
    for request in page.memory.asked:
        id = ResponseId(page.mint("r"))
        page.events.append(ResponseStarted(response=id, request=request))
        page.events.append(ResponseDone(response=id, status="interrupted"))
    superseded = page.memory.superseded + len(page.memory.asked) + page.memory.by_voice
    page.keep(asked=(), by_voice=False, superseded=superseded)


def _unmarked(
    frame: ActivityStart | ActivityEnd | CommitAudio, *, by_hand: bool
) -> Unsupported | InvalidRequest:
    name = type(frame).__name__
    if by_hand and isinstance(frame, ActivityEnd):
        return InvalidRequest(
            what="No turn is open.",
            cause="the service takes what was said outside of a marked turn for silence",
            fix="Push `ActivityStart` before what is said.",
        )
    if by_hand:
        return Unsupported(
            what=f"{name} does nothing here.",
            cause="turns are marked by hand, and each is answered",
            fix="Push `ActivityEnd`.",
            field="turn_detection.mode",
        )
    return Unsupported(
        what=f"{name} is not taken here.",
        cause="the provider detects turns by itself",
        fix='Choose `TurnDetection(mode="manual")`.',
        field="turn_detection.mode",
    )


# --- calls ------------------------------------------------------------------------------------


def _result(page: Page, frame: ToolResult) -> None:
    """Answer a call; JSON stays JSON."""
    memory = page.memory
    call = memory.calls.get(frame.call)
    name = call.name if call is not None else ""
    told = memory.options.scheduling.get(name)
    free = memory.model.schedules and behaviour(name, memory.options, memory.model) != "BLOCKING"
    answer = FunctionResponse(
        id=frame.call if call is None or call.has_id else None,
        name=name or None,
        response={"error" if frame.failed else "output": _json(frame.output)},
        scheduling=told if free else None,
    )
    _send(page, ClientMessage(tool_response=ToolResponse((answer,))))


def _json(text: str) -> object:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return text
    return msgspec.Raw(text.strip().encode())


# --- what was heard ---------------------------------------------------------------------------


def _cut(page: Page, frame: TruncateItem | DeleteItem) -> None:
    """Put right what the model remembers of an answer, once it has ended.

    Of what the server itself has cut it keeps what was heard.
    """
    memory = page.memory
    response = memory.owners.get(frame.item)
    if response is None or response in memory.kept or not _is_ordered(memory):
        return
    text = frame.text if isinstance(frame, TruncateItem) else ""
    before = memory.cuts.get(response, "")
    page.keep(cuts=put(memory.cuts, response, f"{before} {text}".strip()))
    if memory.turn is None or memory.turn.response != response:
        cut_here(page, response)
        let_go(page)


def cut_here(page: Page, response: ResponseId) -> None:
    """Let a note go first of what was heard of an answer that is over, if it was cut here."""
    memory = page.memory
    if response not in memory.cuts:
        return
    told = words(note(memory.cuts[response]), "user")
    rest = {id: heard for id, heard in memory.cuts.items() if id != response}
    page.keep(held=(told, *memory.held), cuts=rest)


# --- the beginning ----------------------------------------------------------------------------


def taken_up(page: Page) -> None:
    """Tell what was said before, and answer calls of which nobody else will say anything."""
    memory = page.memory
    page.keep(history=(), unanswered=())
    if memory.unanswered:
        lost = {"error": "The connection was lost before there was a result."}
        answers = (
            FunctionResponse(id=one.call, name=one.name or None, response=lost)
            for one in memory.unanswered
        )
        _send(page, ClientMessage(tool_response=ToolResponse(tuple(answers))))
    else:
        let_go(page)
    contents = contents_of(memory.service, memory.history)
    if contents:
        seeds = memory.model.seeds and memory.service == "developer"
        _content(page, contents, complete=seeds)
