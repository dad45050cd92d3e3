"""The scripted provider: a real codec, link and machine, with a script at the far end."""

from __future__ import annotations

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from returns.result import Success

from realtime_core import (
    CancelResponse,
    CreateResponse,
    Disconnected,
    Error,
    InternalFault,
    RealtimeException,
    ResumptionHandle,
    Secret,
    SessionConfig,
    Spaced,
    SpeechStarted,
    Text,
    Unavailable,
    Unknown,
    Wire,
    open_session,
)
from realtime_core.testing import run
from realtime_core.testing.scripted import (
    SCRIPTED,
    Greeting,
    Peer,
    ScriptedCodec,
    read,
    scripted,
    written,
)
from tests.core.short import R1, of, plan


def test_the_peer_reads_what_was_pushed_and_the_session_what_the_peer_says(
    anyio_backend: str,
) -> None:
    async def script(peer: Peer) -> None:
        text = await peer.until(Text)
        assert text == Text("Hello")
        assert isinstance(await peer.next(), CreateResponse)
        await peer.say(SpeechStarted(audio_ms=7.0))
        await peer.drain()
        assert isinstance(peer.sent[0], Greeting)

    async def program() -> None:
        async with open_session(scripted(script)) as session:
            await session.send(Text("Hello"))
            async for event in session.events():
                if isinstance(event, SpeechStarted):
                    assert event.audio_ms == 7.0
                    return

    run(program, backend=anyio_backend)


def test_each_connection_has_its_own_peer(anyio_backend: str) -> None:
    conns = list[int]()

    async def script(peer: Peer) -> None:
        conns.append(peer.conn)
        if peer.conn:
            await peer.drain()

    async def program() -> None:
        config = SessionConfig(retry=Spaced(1.0))
        async with open_session(scripted(script), config) as session:
            await anyio.sleep(5.0)
            assert session.connected

    run(program, backend=anyio_backend)
    assert conns == [0, 1]


def test_a_script_that_raises_loses_the_connection(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        raise ConnectionResetError("by peer")

    async def program() -> None:
        async with open_session(scripted(script)) as session:
            events = [event async for event in session.events()]
            (last,) = of(Disconnected, events)
            assert isinstance(last.error, Unavailable)

    run(program, backend=anyio_backend)


def test_a_script_with_a_defect_fails_the_test_that_plays_it(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        assert isinstance(await peer.next(), CreateResponse), "not what was expected"

    async def program() -> None:
        async with open_session(scripted(script)) as session:
            await session.send(Text("Hello"))
            await session.outcome()

    with pytest.raises(RealtimeException) as failure:
        run(program, backend=anyio_backend)
    assert isinstance(failure.value.error, InternalFault)
    assert isinstance(failure.value.__cause__, AssertionError)


def test_a_script_may_keep_the_session_waiting(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        greeting = await peer.next()
        assert isinstance(greeting, Greeting)
        await anyio.sleep(5.0)
        await peer.welcome()
        await peer.drain()

    async def program() -> float:
        async with open_session(scripted(script, welcome=False)):
            return anyio.current_time()

    assert run(program, backend=anyio_backend) == 5.0


def test_bytes_nobody_promised_can_be_sent_raw(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.raw(b"{", b'{"type": "new"}')
        await peer.drain()

    async def program() -> None:
        async with open_session(scripted(script)) as session:
            events = session.events()
            kinds = [type(await anext(events)) for _ in range(3)]
            assert kinds[1:] == [Error, Unknown]

    run(program, backend=anyio_backend)


def test_a_secret_crosses_the_wire_and_stays_one() -> None:
    (wire,) = written(ResumptionHandle(handle=Secret("take me back")))
    (event,) = ScriptedCodec().decode(0, wire).unwrap().events
    assert isinstance(event, ResumptionHandle)
    assert event.handle.reveal() == "take me back"
    assert "take me back" not in repr(event)


def test_what_is_no_secret_is_no_handle() -> None:
    wire = b'{"type": "resumption_handle", "handle": 5}'
    assert not isinstance(ScriptedCodec().decode(0, wire), Success)


def test_commands_are_read_like_frames() -> None:
    coded = ScriptedCodec().encode(0, CancelResponse(R1)).unwrap()
    assert [read(wire) for wire in coded.wires] == [CancelResponse(R1)]


def test_the_greeting_carries_the_configuration() -> None:
    agreed = plan(voice="joe")
    (wire,) = ScriptedCodec().greet(agreed, None).wires
    assert read(wire) == Greeting(agreed.config)


HOSTILE: tuple[Wire, ...] = (
    b"[" * 100_000,
    '{"type": "new", "x": "\ud800"}',
    b'{"type": "audio_output", "pcm": "%%%"}',
    b'{"type": 5}',
    b"\xff\xfe",
    "",
)


@pytest.mark.parametrize("wire", HOSTILE, ids=range(len(HOSTILE)))
def test_the_codec_answers_anything_with_events_or_one_error(wire: Wire) -> None:
    ScriptedCodec().decode(0, wire)


@given(st.one_of(st.binary(), st.text(st.characters(codec=None, exclude_categories=()))))
def test_the_codec_answers_any_bytes_with_events_or_one_error(wire: Wire) -> None:
    ScriptedCodec().decode(0, wire)


def test_all_abilities_are_there_to_be_taken_away() -> None:
    flags = [field for field in msgspec.structs.fields(SCRIPTED) if field.type is bool]
    manners = {"late_words"}  # no abilities
    assert all(getattr(SCRIPTED, field.name) for field in flags if field.name not in manners)
