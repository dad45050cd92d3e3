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
    Connected,
    Error,
    ProtocolViolation,
    RealtimeError,
    RealtimeEvent,
    ResponseDone,
    Unknown,
    open_session,
)
from realtime_core.testing.conformance import check_trace
from realtime_core.transports.websocket_server import Handler, ServedSocket, serve
from tests.providers.gemini.watching import PLAIN, SECURE, Way, ended, ours, until, watched

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("silent")]

E = TypeVar("E", bound=RealtimeEvent)
READY = b'{"setupComplete":{}}'
WORDS = b'{"serverContent":{"outputTranscription":{"text":"Hi"}}}'
DONE = b'{"serverContent":{"turnComplete":true}}'
DEEPLY = b"[" * 1_000_000
SOUND = (
    b'{"serverContent":{"modelTurn":{"parts":[{"inlineData":'
    b'{"mimeType":"audio/pcm;rate=24000","data":"%b"}}]}}}'
)
MANY = 16_000_000

MALFORMED = {
    "empty": b"",
    "a word": b"Hello",
    "cut": WORDS[:-1],
    "two in one": WORDS * 2,
    "a list": b"[]",
    "null": b"null",
    "a field of another kind": b'{"serverContent":"No."}',
    "words that are none": b'{"serverContent":{"outputTranscription":{"text":[]}}}',
    "half a pair": b'{"serverContent":{"outputTranscription":{"text":"\\ud800"}}}',
    "a count beyond all": b'{"usageMetadata":{"promptTokenCount":%b}}' % (b"9" * 5_000),
    "deep": DEEPLY,
    "deep and known": b'{"setupComplete":{"a":' + DEEPLY + b"}}",
    "base64 that is none": SOUND % b"!!!!",
    "base64 in part": SOUND % b"AAAAA",
    "sound that is a number": SOUND.replace(b'"%b"', b"7"),
    "huge": b'{"setupComplete":{"sessionId":"' + b"a" * MANY,
}


@asynccontextmanager
async def served(handler: Handler, way: Way) -> AsyncGenerator[str]:
    """Run a server whose every byte is the test's, under watch; gives its base URL."""
    async with watched(), serve(handler, ssl=way.server) as (_, port):
        yield way.base_url(port)


def message(data: bytes, kind: Opcode = Opcode.BINARY) -> bytes:
    """Write one message, as a server does."""
    return Piece(kind, data).serialize(mask=False)


async def odd(data: bytes, kind: type[E], way: Way = PLAIN) -> E:
    """Say this; gives the event that it becomes, once the session has been seen to go on."""

    async def handler(served: ServedSocket) -> None:
        await served.receive()
        await served.send((READY,))
        await served.raw(data)
        await served.send((WORDS, DONE))
        await served.receive()

    async with served(handler, way) as base_url, open_session(ours(base_url, way)) as session:
        events = session.events()
        found = await until(events, kind)
        assert (await until(events, ResponseDone)).status == "completed"
        assert session.connected
        return found


async def fatal(data: bytes, way: Way = PLAIN) -> RealtimeError | None:
    """Say this in the middle of an answer; gives why the session ended."""

    async def handler(served: ServedSocket) -> None:
        await served.receive()
        await served.send((READY, WORDS))
        await served.raw(data)
        await served.receive()

    async with served(handler, way) as base_url, open_session(ours(base_url, way)) as session:
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
    way = SECURE if kind is Opcode.TEXT else PLAIN
    error = await odd(message(MALFORMED[name], kind), Error, way)
    assert isinstance(error.error, ProtocolViolation)
    assert error.recoverable
    assert len(str(error.error)) < 2_000


UNKNOWN = {
    "plain": (b'{"newThing":{"a":[1]}}', "newThing", b'{"a":[1]}'),
    "without a name": (b'{"":1}', "", b"1"),
    "huge": (b'{"newThing":"' + b"a" * MANY + b'"}', "newThing", b'"' + b"a" * 999),
    "a name without end": (b'{"' + b"n" * 5_000 + b'":0}', "n" * 200, b"0"),
    "in content": (
        b'{"serverContent":{"newThing":true}}',
        "serverContent.newThing",
        b"true",
    ),
}


@pytest.mark.parametrize("kind", [Opcode.TEXT, Opcode.BINARY], ids=["text", "binary"])
@pytest.mark.parametrize("name", UNKNOWN)
async def test_what_is_not_known_is_passed_on(name: str, kind: Opcode, way: Way) -> None:
    data, title, rest = UNKNOWN[name]
    event = await odd(message(data, kind), Unknown, way)
    assert (event.name, event.data) == (title, rest.decode())


HARMLESS = {
    "empty": b"{}",
    "empty content": b'{"serverContent":{}}',
    "nulls": b'{"serverContent":null,"toolCall":null,"goAway":null,"usageMetadata":null}',
    "no parts": b'{"serverContent":{"modelTurn":{"parts":null,"role":"model"}}}',
    "no sound": SOUND % b"",
    "the end of nothing": DONE,
    "an interruption of nothing": b'{"serverContent":{"interrupted":true}}',
    "calls of nobody": b'{"toolCallCancellation":{"ids":["x"]}}',
    "a handle that is none": b'{"sessionResumptionUpdate":{"resumable":true}}',
    "set up again": READY,
}


@pytest.mark.parametrize("name", HARMLESS)
async def test_what_says_nothing_changes_nothing(name: str, way: Way) -> None:
    said = message(HARMLESS[name]) * 3

    async def handler(served: ServedSocket) -> None:
        await served.receive()
        await served.send((READY,))
        await served.raw(said)
        await served.send((WORDS,))
        await served.raw(said)
        await served.send((DONE,))
        await served.receive()

    async with served(handler, way) as base_url, open_session(ours(base_url, way)) as session:
        seen = list[RealtimeEvent]()
        done = await until(session.events(), ResponseDone, seen)
        assert done.status in {"completed", "interrupted"}
        assert not [one for one in seen if isinstance(one, Error | Unknown)]
        assert len([one for one in seen if isinstance(one, Connected)]) == 1
        assert not check_trace(seen)


async def test_messages_may_be_text_or_binary_or_in_pieces(way: Way) -> None:
    half = len(WORDS) // 2
    torn = (
        Piece(Opcode.BINARY, WORDS[:half], fin=False).serialize(mask=False)
        + Piece(Opcode.PING, b"?").serialize(mask=False)
        + Piece(Opcode.CONT, WORDS[half:]).serialize(mask=False)
    )
    data = message(READY, Opcode.TEXT) + torn + message(DONE)

    async def handler(served: ServedSocket) -> None:
        await served.receive()
        await served.raw(data)
        await served.receive()

    async with served(handler, way) as base_url, open_session(ours(base_url, way)) as session:
        assert (await until(session.events(), ResponseDone)).status == "completed"


async def test_bytes_that_are_no_text_in_a_text_end_the_session(way: Way) -> None:
    error = await fatal(message(b'{"a":"\xc3\x28"}', Opcode.TEXT), way)
    assert isinstance(error, ProtocolViolation)
    assert error.code == "1007"


async def test_bytes_that_are_no_text_in_a_binary_message_are_an_error() -> None:
    error = await odd(message(b'{"serverContent":"\xc3\x28"}'), Error)
    assert isinstance(error.error, ProtocolViolation)


async def test_a_message_beyond_the_limit_ends_the_session_before_it_has_come(way: Way) -> None:
    error = await fatal(b"\x82\x7f" + (32 * 1024 * 1024 + 1).to_bytes(8, "big"), way)
    assert isinstance(error, ProtocolViolation)
    assert error.code == "1009"


async def test_a_flood_of_nonsense_neither_stops_the_loop_nor_the_session() -> None:
    flood = (b"{", b'{"newThing":1}', b"{}", SOUND % b"!", READY)
    await odd(b"".join(message(one) for one in flood) * 3_000, Error)


async def heard(*messages: bytes, way: Way = PLAIN, turns: int = 1) -> bytes:
    """Say these, then the end of the turn; gives the samples that came in so many turns."""

    async def handler(served: ServedSocket) -> None:
        await served.receive()
        await served.send((READY, *messages, DONE))
        await served.receive()

    async with served(handler, way) as base_url, open_session(ours(base_url, way)) as session:
        events, seen = session.events(), list[RealtimeEvent]()
        for _ in range(turns):
            await until(events, ResponseDone, seen)
        assert not check_trace(seen)
        return b"".join(event.pcm for event in seen if isinstance(event, AudioOutput))


async def test_samples_that_are_torn_are_joined(way: Way) -> None:
    """Odd counts of bytes, one after the other: no sample is lost, and none is out of place."""
    pcm = bytes(range(64))
    torn = [pcm[a:b] for a, b in pairwise((0, 1, 2, 5, 5, 12, 40, 41, 63))]
    assert await heard(*(SOUND % b64encode(one) for one in torn), way=way) == pcm[:62]


async def test_half_a_sample_is_not_carried_into_the_next_turn() -> None:
    one, other = SOUND % b64encode(bytes(3)), SOUND % b64encode(b"\1\1")
    assert await heard(one, DONE, other, turns=2) == b"\0\0\1\1"


async def test_either_alphabet_of_base64_will_do_and_padding_is_not_missed() -> None:
    pcm = bytes((251, 239, 190, 255))
    standard = b64encode(pcm)
    url = standard.replace(b"+", b"-").replace(b"/", b"_")
    assert await heard(*(SOUND % one for one in (standard, url, url.rstrip(b"=")))) == pcm * 3
