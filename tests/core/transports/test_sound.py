"""The sound of a call: gaps filled to the sample, repeats left out, frames sent on time."""

from __future__ import annotations

import anyio
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core import PCM_24K, AudioFormat
from realtime_core.audio.convert import convert
from realtime_core.testing import run
from realtime_core.transports.sound import Ear, Voice

OPUS = AudioFormat(rate=48_000, channels=2)
SAMPLES = 960
PACKET = SAMPLES * OPUS.sample_size
LOOKAHEAD = 48
"""Samples at 24 kHz that conversion holds back."""
FRAME = 480 * 2


def speech(packets: int, format: AudioFormat = OPUS) -> bytes:
    """Give a sine of 440 Hz, the same in all channels."""
    samples = packets * SAMPLES
    wave = np.sin(2 * np.pi * 440 * np.arange(samples) / format.rate) * 9_000
    return np.repeat(wave.astype("<i2"), format.channels).tobytes()


def packets(pcm: bytes) -> list[tuple[int, bytes]]:
    """Cut sound into packets, each with where it begins."""
    return [(at // OPUS.sample_size, pcm[at : at + PACKET]) for at in range(0, len(pcm), PACKET)]


def heard(ear: Ear, *told: tuple[int, bytes], source: AudioFormat = OPUS) -> bytes:
    return b"".join(ear.take(pcm, source, at) for at, pcm in told)


class TestEar:
    def test_packets_become_one_stream(self) -> None:
        pcm = speech(10)
        came = heard(Ear(PCM_24K), *packets(pcm))
        assert len(came) // 2 == 10 * 480 - LOOKAHEAD
        assert convert(pcm, OPUS, PCM_24K).startswith(came)

    def test_a_stream_may_begin_anywhere(self) -> None:
        told = [(at + 123_456, pcm) for at, pcm in packets(speech(3))]
        assert heard(Ear(PCM_24K), *told) == heard(Ear(PCM_24K), *packets(speech(3)))

    def test_a_lost_packet_is_silence_of_its_length(self) -> None:
        told = packets(speech(10))
        silent = [(at, bytes(len(pcm)) if at == 4 * SAMPLES else pcm) for at, pcm in told]
        lost = [(at, pcm) for at, pcm in told if at != 4 * SAMPLES]
        assert heard(Ear(PCM_24K), *lost) == heard(Ear(PCM_24K), *silent)

    def test_late_and_repeated_packets_are_left_out(self) -> None:
        told = packets(speech(6))
        messy = [told[0], told[0], told[1], told[3], told[2], told[4], told[3], told[5]]
        tidy = [told[0], told[1], told[3], told[4], told[5]]
        assert heard(Ear(PCM_24K), *messy) == heard(Ear(PCM_24K), *tidy)

    @given(
        st.lists(st.tuples(st.integers(0, 45), st.integers(1, 3)), min_size=1, max_size=40),
        st.sampled_from([PCM_24K, AudioFormat(rate=16_000), AudioFormat(rate=48_000)]),
    )
    def test_the_length_is_that_of_the_far_clock(
        self, order: list[tuple[int, int]], target: AudioFormat
    ) -> None:
        ear, came, last = Ear(target), 0, order[0][0]
        for place, repeats in order:
            for _ in range(repeats):
                came += len(ear.take(bytes(PACKET), OPUS, place * SAMPLES)) // 2
            last = max(last, place)
        length = (last + 1 - order[0][0]) * SAMPLES * target.rate // OPUS.rate
        assert 0 <= length - came <= LOOKAHEAD

    def test_a_long_step_is_a_second_of_silence(self) -> None:
        ear = Ear(PCM_24K)
        heard(ear, (0, bytes(PACKET)))
        came = ear.take(bytes(PACKET), OPUS, 3_600 * OPUS.rate)
        assert len(came) // 2 == 24_000 + 480
        assert len(ear.take(bytes(PACKET), OPUS, 3_600 * OPUS.rate + SAMPLES)) == 2 * 480

    def test_a_far_clock_that_is_set_anew_deafens_nobody(self) -> None:
        ear = Ear(PCM_24K)
        heard(ear, (10 * OPUS.rate, bytes(PACKET)))
        came = heard(ear, *packets(speech(2)))
        assert len(came) // 2 == 2 * 480
        assert any(came)

    def test_a_call_may_change_what_it_carries(self) -> None:
        ear, telephone = Ear(PCM_24K), AudioFormat(rate=8_000)
        assert heard(ear, *packets(speech(2)))
        came = heard(ear, (77, speech(1, telephone)), source=telephone)
        assert len(came) // 2 == 3 * SAMPLES - 3 * LOOKAHEAD

    def test_nothing_is_changed_between_equal_formats(self) -> None:
        pcm = speech(1, PCM_24K)
        assert Ear(PCM_24K).take(pcm, PCM_24K, 5) == pcm


class TestVoice:
    def test_frames_are_due_every_20_ms_and_silent_where_nobody_speaks(
        self, anyio_backend: str
    ) -> None:
        async def program() -> None:
            voice = Voice(PCM_24K)
            await voice.put(b"\1" * (FRAME + 100))
            frames = [await voice.due() for _ in range(3)]
            assert frames == [b"\1" * FRAME, b"\1" * 100 + bytes(FRAME - 100), bytes(FRAME)]
            for _ in range(97):
                await voice.due()
            assert anyio.current_time() == pytest.approx(99 * 0.02)

        run(program, backend=anyio_backend)

    def test_a_rate_without_whole_frames_keeps_to_the_clock(self, anyio_backend: str) -> None:
        async def program() -> None:
            voice = Voice(AudioFormat(rate=11_025))
            samples = 0
            while anyio.current_time() < 10:
                samples += len(await voice.due()) // 2
            assert samples == pytest.approx(10 * 11_025, abs=2 * 220)

        run(program, backend=anyio_backend)

    def test_more_than_400_ms_wait_with_their_sender(self, anyio_backend: str) -> None:
        async def program() -> None:
            voice, sent = Voice(PCM_24K), bytes(range(256)) * 188
            came = list[bytes]()

            async def take() -> None:
                while True:
                    came.append(await voice.due())

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(take)
                await voice.put(sent)
                assert anyio.current_time() == pytest.approx(len(sent) / 48_000 - 0.4, abs=0.03)
                await voice.drained()
                assert anyio.current_time() == pytest.approx(len(sent) / 48_000, abs=0.03)
                tasks.cancel_scope.cancel()
            assert b"".join(came).rstrip(b"\0") == sent.rstrip(b"\0")

        run(program, backend=anyio_backend)

    def test_what_was_spoken_has_had_the_time_to_sound(self, anyio_backend: str) -> None:
        async def program() -> None:
            voice = Voice(PCM_24K)
            await voice.put(b"\1" * (2 * FRAME + 100))
            assert voice.waiting
            assert (voice.spoken(), voice.spoke_at) == (0, float("-inf"))
            for spoken in (0, 480, 960):
                await voice.due()
                assert voice.spoken() == spoken
            assert voice.spoke_at == anyio.current_time() == pytest.approx(0.04)
            assert not voice.waiting
            await voice.due()
            assert voice.spoken() == 1_010
            await voice.due()
            assert voice.spoke_at == pytest.approx(0.04), "silence is not spoken"

        run(program, backend=anyio_backend)

    def test_what_is_cleared_is_not_spoken(self, anyio_backend: str) -> None:
        async def program() -> None:
            voice, put = Voice(PCM_24K), list[float]()

            async def speak() -> None:
                await voice.put(b"\1" * 30_000)
                put.append(anyio.current_time())

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(speak)
                await anyio.sleep(0.1)
                await voice.due()
                await voice.due()
                voice.clear()
                assert voice.spoken() == 480
                await anyio.sleep(0.01)
                voice.clear()
                assert put == [pytest.approx(0.12)], "the rest of it waits: there is room again"
                assert voice.spoken() == 480
            assert await voice.due() == bytes(FRAME)
            assert voice.spoken() == 480

        run(program, backend=anyio_backend)

    def test_what_is_held_waits(self, anyio_backend: str) -> None:
        async def program() -> None:
            voice = Voice(PCM_24K)
            await voice.put(b"\1" * FRAME)
            voice.held = True
            assert await voice.due() == bytes(FRAME)
            assert voice.waiting
            voice.held = False
            assert await voice.due() == b"\1" * FRAME

        run(program, backend=anyio_backend)

    def test_nothing_waiting_is_drained(self, anyio_backend: str) -> None:
        run(Voice(PCM_24K).drained, backend=anyio_backend)

    def test_what_is_late_is_caught_up_with(self, anyio_backend: str) -> None:
        async def program() -> None:
            voice = Voice(PCM_24K)
            await voice.due()
            await anyio.sleep(0.5)
            for _ in range(25):
                await voice.due()
            assert anyio.current_time() == 0.5
            await voice.due()
            assert anyio.current_time() == pytest.approx(0.52)

        run(program, backend=anyio_backend)

    def test_after_a_long_stop_the_clock_begins_anew(self, anyio_backend: str) -> None:
        async def program() -> None:
            voice = Voice(PCM_24K)
            await voice.due()
            await anyio.sleep(3_600)
            await voice.due()
            assert anyio.current_time() == 3_600
            await voice.due()
            assert anyio.current_time() == pytest.approx(3_600.02)

        run(program, backend=anyio_backend)

    def test_nobody_waits_for_a_call_that_is_over(self, anyio_backend: str) -> None:
        async def program() -> None:
            voice = Voice(PCM_24K)
            broken = list[str]()

            async def waits(name: str) -> None:
                try:
                    await (voice.put(bytes(48_000)) if name == "put" else voice.drained())
                except anyio.BrokenResourceError:
                    broken.append(name)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(waits, "put")
                await anyio.sleep(1)
                tasks.start_soon(waits, "drained")
                await anyio.sleep(1)
                voice.end()
            assert sorted(broken) == ["drained", "put"]
            with pytest.raises(anyio.BrokenResourceError):
                await voice.put(bytes(2))

        run(program, backend=anyio_backend)
