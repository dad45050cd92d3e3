"""Writing: frames as client events; whatever is opened here is closed in the same step.

Words that want an answer wait for the request and go with it as one block: on this wire words are
the request, and cut what is being said.
"""

from __future__ import annotations

from binascii import b2a_base64

import msgspec
from returns.result import Failure, Result, Success

from realtime_core.codec import Coded, Outgoing
from realtime_core.errors import InvalidRequest, RealtimeError, SessionClosed, Unsupported
from realtime_core.frames import Audio, Close, CreateResponse, Text, ToolResult

from .client_events import (
    ClientEvent,
    ContentEnd,
    ContentStart,
    PromptEnd,
    SessionEnd,
    ToolResultFormat,
)
from .client_events import ToolResult as Result_
from .encoding import BROKEN, encode
from .memory import Memory, Page
from .opening import PLAIN, block, words
from .telling import pieces, spoken_by
from .turns import passed_on, settled

__all__ = ("appended", "write")

Written = Result[Coded[Memory], RealtimeError]
_HELD = 64
"""Texts that wait for a request; of more, the oldest are forgotten."""


def appended(head: bytes, pcm: bytes) -> bytes:
    """Write sound; the one event that is sent all the time."""
    return b'%b%b"}}}' % (head, b2a_base64(pcm, newline=False))


def write(memory: Memory, frame: Outgoing) -> Written:
    """Give the events for a frame; some need none, and many the wire does not have."""
    if memory.closed:
        return Failure(SessionClosed(what="The session has taken leave of the service."))
    if isinstance(frame, Audio):
        return Success(Coded(memory, _sound(memory, frame.pcm)))
    page = Page(memory)
    match frame:
        case Text():
            return _typed(page, frame)
        case CreateResponse():
            return _create(page, frame)
        case ToolResult():
            return _result(page, frame)
        case Close():
            _close(page)
            return Success(page.coded())
        case _:
            return Failure(_lacks(f"{type(frame).__name__} is not taken here."))


def _sound(memory: Memory, pcm: bytes) -> tuple[bytes, ...]:
    """Write sound in events of a length that the service likes."""
    head, most = memory.head, memory.most
    if len(pcm) <= most:
        return (appended(head, pcm),) if pcm else ()
    return tuple(appended(head, pcm[at : at + most]) for at in range(0, len(pcm), most))


def _close(page: Page) -> None:
    prompt, audio = page.memory.prompt, page.memory.audio
    page.wires += [
        encode(ClientEvent(content_end=ContentEnd(prompt, audio))),
        encode(ClientEvent(prompt_end=PromptEnd(prompt))),
        encode(ClientEvent(session_end=SessionEnd())),
    ]
    page.keep(closed=True)


# --- words ------------------------------------------------------------------------------------


def _typed(page: Page, frame: Text) -> Written:
    """Let words wait for their request; what has said all need not be waited for any more."""
    memory = page.memory
    if not memory.model.typed:
        return Failure(_lacks("Typed words are not taken here.", "text"))
    if frame.turn == "context":
        return Failure(_lacks("Words are always answered.", "text"))
    text = spoken_by(frame.role, frame.text)
    text.encode()  # half a character is refused here, and not when the words go
    page.keep(held=(*memory.held, text)[-_HELD:])
    if memory.turn is not None and memory.turn.over:
        passed_on(page)
    return Success(page.coded())


def _create(page: Page, frame: CreateResponse) -> Written:
    """Send the words that wait: they are the request.

    A request whose words went with an earlier one is answered by the answer to that.
    """
    memory = page.memory
    frame.instructions.encode()
    texts = tuple(text for text in (*memory.held, frame.instructions) if text)
    if not memory.model.typed or not (texts or memory.held or memory.covered):
        return Failure(_lacks("The service alone decides when it answers."))
    if not texts:
        page.keep(held=(), covered=max(0, memory.covered - 1))
        settled(page, frame.request, "completed")
        return Success(page.coded())
    words(page, pieces("\n".join(texts)), "USER", interactive=True)
    covered = memory.covered + max(0, len(memory.held) - 1)
    page.keep(held=(), covered=covered, asked=(*memory.asked, frame.request))
    if memory.turn is not None and memory.turn.waits:  # nothing is said that this would cut
        passed_on(page)
    return Success(page.coded())


# --- calls ------------------------------------------------------------------------------------


def _result(page: Page, frame: ToolResult) -> Written:
    """Answer a call, once; the service takes one JSON object."""
    if not page.memory.calls.get(frame.call):
        return Failure(
            InvalidRequest(
                what=f"The call {frame.call!r} waits for no result on this connection.",
                cause="it was answered, or made on an earlier connection",
                fix="Answer each `ToolCall` once.",
            )
        )
    prompt, name = page.memory.prompt, page.memory.options.names + page.mint("b")
    form = ToolResultFormat(frame.call, "TEXT", PLAIN)
    start = ContentStart(prompt, name, "TOOL", False, "TOOL", tool_result_input_configuration=form)
    content = _object(frame.output, "error" if frame.failed else "result", frame.failed)
    block(page, start, ClientEvent(tool_result=Result_(prompt, name, content)))
    page.put_call(frame.call, waits=False)
    return Success(page.coded())


def _object(text: str, name: str, failed: bool) -> str:
    """Give JSON as it is, where it is an object; anything else, and what failed, under a name."""
    try:
        value = msgspec.json.decode(text)
    except BROKEN:
        return msgspec.json.encode({name: text}).decode()
    if isinstance(value, dict) and not failed:
        return text
    return msgspec.json.encode({name: msgspec.Raw(text.strip().encode())}).decode()


def _lacks(what: str, field: str = "") -> Unsupported:
    return Unsupported(
        what=what,
        cause="Nova Sonic has no such event",
        fix="Look at `Connected.capabilities`.",
        field=field,
    )
