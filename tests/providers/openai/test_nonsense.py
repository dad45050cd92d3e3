"""What no server should say, over real sockets: an event or a typed error, and nothing stops."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import TypeVar

import pytest
from websockets.frames import Frame as Piece
from websockets.frames import Opcode

from realtime_core import (
    AudioOutput,
    Error,
    ProtocolViolation,
    RealtimeError,
    RealtimeEvent,
    ResponseDone,
    Unknown,
    open_session,
)
from realtime_core.transports.websocket_server import Handler, ServedSocket, serve
from tests.providers.openai.watching import ended, ours, until, watched

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("silent")]

E = TypeVar("E", bound=RealtimeEvent)
UPDATED = b'{"type":"session.updated","session":{}}'
ANSWER = (
    b'{"type":"response.created","response":{"id":"r"}}',
    b'{"type":"response.output_text.delta","response_id":"r","item_id":"i","delta":"Hi"}',
)
DONE = b'{"type":"response.done","response":{"id":"r","status":"completed"}}'
DEEPLY = b"[" * 1_000_000
DELTA = b'{"type":"response.output_audio.delta","response_id":"r","item_id":"i","delta":"%b"}'
MANY = 16_000_000

MALFORMED = {
    "empty": b"",
    "a word": b"Hello",
    "cut": UPDATED[:-1],
    "two in one": UPDATED * 2,
    "a list": b"[]",
    "without a type": b"{}",
    "a type that is a number": b'{"type":1}',
    "a field lacks": b'{"type":"response.created"}',
    "a field of another kind": b'{"type":"error","error":"No."}',
    "half a pair": b'{"type":"error","error":{"message":"\\ud800"}}',
    "a number beyond all": b'{"type":"input_audio_buffer.speech_started","audio_start_ms":1e999}',
    "a count beyond all": b'{"type":"error","error":{"code":%b}}' % (b"9" * 5_000),
    "deep": DEEPLY,
    "deep and known": b'{"type":"session.created","session":{"a":' + DEEPLY + b"}}",
    "base64 that is none": DELTA % b"!!!!",
    "base64 in part": DELTA % b"AAAAA",
    "sound that is a number": DELTA.replace(b'"%b"', b"7"),
    "huge": b'{"type":"session.created","session":"' + b"a" * MANY,
}


@asynccontextmanager
async def served(handler: Handler) -> AsyncGenerator[str]:
    """Run a server whose every byte is the test's, under watch; gives its base URL."""
    async with watched(), serve(handler) as (host, port):
        yield f"http://{host}:{port}/v1"


def message(data: bytes, kind: Opcode = Opcode.TEXT) -> bytes:
    """Write one message, as a server does."""
    return Piece(kind, data).serialize(mask=False)


async def odd(data: bytes, kind: type[E]) -> E:
    """Say this; gives the event that it becomes, once the session has been seen to go on."""

    async def handler(served: ServedSocket) -> None:
        await served.receive()
        await served.send((UPDATED,))
        await served.raw(data)
        await served.send((*ANSWER, DONE))
        await served.receive()

    async with served(handler) as base_url, open_session(ours(base_url)) as session:
        events = session.events()
        found = await until(events, kind)
        assert (await until(events, ResponseDone)).status == "completed"
        assert session.connected
        return found


async def fatal(data: bytes) -> RealtimeError | None:
    """Say this in the middle of an answer; gives why the session ended."""

    async def handler(served: ServedSocket) -> None:
        await served.receive()
        await served.send((UPDATED, *ANSWER))
        await served.raw(data)
        await served.receive()

    async with served(handler) as base_url, open_session(ours(base_url)) as session:
        seen = list[RealtimeEvent]()
        error = await ended(session, session.events(), seen)
        (done,) = (event for event in seen if isinstance(event, ResponseDone))
        assert (done.status, done.error) == ("lost", error)
        return error


@pytest.mark.parametrize("kind", [Opcode.TEXT, Opcode.BINARY], ids=["text", "binary"])
@pytest.mark.parametrize("name", MALFORMED)
async def test_what_cannot_be_read_is_an_error_and_the_session_goes_on(
    name: str, kind: Opcode
) -> None:
    error = await odd(message(MALFORMED[name], kind), Error)
    assert isinstance(error.error, ProtocolViolation)
    assert error.recoverable


UNKNOWN = {
    "plain": b'{"type":"new.thing","a":[1]}',
    "without a name": b'{"type":""}',
    "huge": b'{"type":"new.thing","a":"' + b"a" * MANY + b'"}',
    "an item of another kind": b'{"type":"response.output_item.done","response_id":"x",'
    b'"item":{"id":"m","type":"mcp_call"}}',
}


@pytest.mark.parametrize("kind", [Opcode.TEXT, Opcode.BINARY], ids=["text", "binary"])
@pytest.mark.parametrize("name", UNKNOWN)
async def test_what_is_not_known_is_passed_on(name: str, kind: Opcode) -> None:
    event = await odd(message(UNKNOWN[name], kind), Unknown)
    assert event.data == UNKNOWN[name][:1_000].decode()


async def test_a_binary_message_is_as_good_as_text() -> None:
    async def handler(served: ServedSocket) -> None:
        await served.receive()
        await served.raw(b"".join(message(one, Opcode.BINARY) for one in (UPDATED, *ANSWER, DONE)))
        await served.receive()

    async with served(handler) as base_url, open_session(ours(base_url)) as session:
        done = await until(session.events(), ResponseDone)
        assert done.status == "completed"


async def test_bytes_that_are_no_text_in_a_text_end_the_session() -> None:
    error = await fatal(message(b'{"type":"\xc3\x28"}'))
    assert isinstance(error, ProtocolViolation)
    assert error.code == "1007"


async def test_bytes_that_are_no_text_in_a_binary_message_are_an_error() -> None:
    error = await odd(message(b'{"type":"\xc3\x28"}', Opcode.BINARY), Error)
    assert isinstance(error.error, ProtocolViolation)


async def test_a_message_beyond_the_limit_ends_the_session_before_it_has_come() -> None:
    error = await fatal(b"\x81\x7f" + (32 * 1024 * 1024 + 1).to_bytes(8, "big"))
    assert isinstance(error, ProtocolViolation)
    assert error.code == "1009"


async def test_a_flood_of_nonsense_neither_stops_the_loop_nor_the_session() -> None:
    await odd(b"".join(message(one) for one in (b"{", b'{"type":"a"}', ANSWER[0])) * 5_000, Error)


async def test_samples_that_are_torn_are_joined() -> None:
    """Odd counts of bytes, one after the other: no sample is lost, and none is out of place."""
    pcm = bytes(range(64))
    torn = [pcm[a:b] for a, b in pairwise((0, 1, 2, 5, 5, 12, 40, 41, 63))]

    async def handler(served: ServedSocket) -> None:
        await served.receive()
        await served.send((UPDATED, ANSWER[0], *(DELTA % b64encode(one) for one in torn), DONE))
        await served.receive()

    async with served(handler) as base_url, open_session(ours(base_url)) as session:
        heard = b""
        async for event in session.events():
            if isinstance(event, AudioOutput):
                assert len(event.pcm) % 2 == 0
                heard += event.pcm
            if isinstance(event, ResponseDone):
                break
        assert heard == pcm[:62]
