"""The doors: what cannot be sent is refused, sound is converted, pictures keep their pace."""

from __future__ import annotations

import anyio
import pytest
from msgspec.structs import replace

from realtime_core import (
    PCM_16K,
    PCM_24K,
    ActivityEnd,
    ActivityStart,
    Audio,
    AudioFormat,
    ClearAudio,
    Close,
    CommitAudio,
    Error,
    Frame,
    InvalidRequest,
    Lanes,
    RealtimeException,
    RealtimeSession,
    Suspend,
    Unsupported,
    UpdateSession,
    Video,
)
from realtime_core.lane import Balance
from realtime_core.testing import TICK
from realtime_core.testing.scripted import SCRIPTED
from tests.core.pushing import context, piece, play, samples
from tests.core.short import names, of

# --- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [PCM_24K, PCM_16K], ids=["native", "converted"])
def test_audio_that_is_no_whole_number_of_samples_is_refused(
    anyio_backend: str, form: AudioFormat
) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        with pytest.raises(RealtimeException) as refusal:
            session.send_nowait(Audio(bytes(3), form))
        assert isinstance(refusal.value.error, InvalidRequest)
        assert session.statistics.lanes["audio"].offered == 0

    assert play(anyio_backend, program) == []


def test_audio_that_cannot_be_converted_is_refused_before_it_waits(anyio_backend: str) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        with pytest.raises(RealtimeException) as refusal:
            await session.send(Audio(bytes(12), AudioFormat(channels=3)))
        assert isinstance(refusal.value.error, InvalidRequest)

    able = replace(SCRIPTED, audio_in=(AudioFormat(channels=2),))
    assert play(anyio_backend, program, able=able) == []


def test_a_frame_the_provider_lacks_is_refused_to_the_caller_or_reported(
    anyio_backend: str,
) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        with pytest.raises(RealtimeException) as refusal:
            session.send_nowait(Video(b"1"))
        session.send_nowait(context("a"))
        session.send_nowait(Video(b"2"))
        await anyio.sleep(2.0)
        assert session.statistics.lanes["video"] == Balance(offered=2, refused=2)
        await session.send(Close())
        (error,) = of(Error, [event async for event in session.events()])
        assert isinstance(error.error, Unsupported)
        assert error.error == refusal.value.error

    play(anyio_backend, program, able=replace(SCRIPTED, images=False))


# --- conversion -------------------------------------------------------------------------------


def test_audio_is_converted_to_the_format_of_the_provider(anyio_backend: str) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        stereo = AudioFormat(rate=48_000, encoding="f32", channels=2)
        for _ in range(50):
            await session.send(Audio(bytes(8 * 960), stereo))
        await session.send(CommitAudio())

    heard = play(anyio_backend, program)
    assert {frame.format for _, frame in heard if isinstance(frame, Audio)} == {PCM_24K}
    assert samples(heard) == 24_000
    assert names(frame for _, frame in heard)[-2:] == ["Audio", "CommitAudio"]


@pytest.mark.parametrize("end", [ActivityEnd(), CommitAudio()], ids=["activity", "commit"])
def test_what_conversion_held_back_goes_ahead_of_the_end_of_the_turn(
    anyio_backend: str, end: Frame
) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        for _ in range(2):
            session.send_nowait(ActivityStart())
            session.send_nowait(Audio(bytes(2 * 320), PCM_16K))
            session.send_nowait(end)

    heard = play(anyio_backend, program)
    assert samples(heard) == 960
    kinds = [type(frame) for _, frame in heard if isinstance(frame, Audio | ActivityStart)]
    assert kinds == [ActivityStart, Audio, Audio] * 2


def test_what_conversion_held_back_goes_ahead_of_audio_in_another_format(
    anyio_backend: str,
) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        session.send_nowait(Audio(bytes(2 * 160), AudioFormat(rate=8_000)))
        session.send_nowait(Audio(bytes(2 * 320), PCM_16K))
        session.send_nowait(piece(7))

    assert samples(play(anyio_backend, program)) == 3 * 480


def test_clearing_forgets_what_conversion_held_back(anyio_backend: str) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        session.send_nowait(Audio(bytes(2 * 320), PCM_16K))
        await anyio.sleep(0.5)
        session.send_nowait(ClearAudio())
        await anyio.sleep(0.5)
        session.send_nowait(CommitAudio())

    heard = play(anyio_backend, program)
    assert samples(heard) < 480
    assert names(frame for _, frame in heard) == ["Audio", "ClearAudio", "CommitAudio"]


def test_audio_that_is_dropped_or_refused_leaves_no_trace_in_the_conversion(
    anyio_backend: str,
) -> None:
    loud = b"\x00\x40" * 320

    async def program(session: RealtimeSession[Frame]) -> None:
        session.send_nowait(Audio(bytes(2 * 320), PCM_16K))
        session.send_nowait(Audio(bytes(2 * 320), PCM_16K))
        with pytest.raises(RealtimeException):
            session.send_nowait(Audio(loud, PCM_16K))
        await anyio.sleep(1.0)
        session.send_nowait(Audio(bytes(2 * 320), PCM_16K))
        session.send_nowait(CommitAudio())

    heard = play(anyio_backend, program, lanes=Lanes(audio=Suspend(cap=20)))
    assert samples(heard) == 3 * 480
    assert not any(any(frame.pcm) for _, frame in heard if isinstance(frame, Audio))


def test_audio_without_a_sample_is_not_sent(anyio_backend: str) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        session.send_nowait(Audio(b""))
        session.send_nowait(Audio(bytes(4), PCM_16K))

    assert play(anyio_backend, program) == []


# --- pictures ---------------------------------------------------------------------------------


def test_pictures_are_sent_at_the_agreed_rate_the_latest_one_each_time(anyio_backend: str) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        for number in range(16):
            session.send_nowait(Video(str(number).encode()))
            await anyio.sleep(10 * TICK)
        await anyio.sleep(1.0)

    heard = play(anyio_backend, program, fps=2.0)
    assert [(at, frame.image) for at, frame in heard if isinstance(frame, Video)] == [
        (0.0, b"0"),
        (0.5, b"3"),
        (1.0, b"6"),
        (1.5, b"9"),
        (2.0, b"12"),
        (2.5, b"15"),
    ]


def test_the_rate_of_pictures_changes_with_the_configuration(anyio_backend: str) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        await session.send(UpdateSession(replace(session.config, fps=4.0)))
        assert session.fps == 4.0
        await anyio.sleep(0.5)
        for number in range(3):
            session.send_nowait(Video(str(number).encode()))
            await anyio.sleep(0.25)

    heard = play(anyio_backend, program, fps=0.5)
    assert [at for at, frame in heard if isinstance(frame, Video)] == [0.5, 0.75, 1.0]


@pytest.mark.parametrize("fps", [0.0, -1.0])
def test_a_session_that_sends_no_pictures_says_so(anyio_backend: str, fps: float) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        with pytest.raises(RealtimeException) as refusal:
            await session.send(Video(b"1"))
        assert "fps" in str(refusal.value)

    assert play(anyio_backend, program, fps=fps) == []


def test_a_picture_that_waits_when_pictures_are_switched_off_is_the_last(
    anyio_backend: str,
) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        for number in range(2):
            session.send_nowait(Video(str(number).encode()))
        session.send_nowait(UpdateSession(replace(session.config, fps=0.0)))
        await anyio.sleep(2.0)
        assert session.connected

    heard = play(anyio_backend, program)
    assert [frame.image for _, frame in heard if isinstance(frame, Video)] == [b"0", b"1"]
