"""Sound devices, on a device of the tests' own: what is heard, what was played, and how they fail.

The device calls back from a thread, as a real one does; time is virtual but for that thread.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType, SimpleNamespace
from typing import Any

import anyio
import numpy as np
import pytest

from realtime_core import PCM_24K, AudioFormat, InvalidRequest, RealtimeException, Unavailable
from realtime_core.audio.device import PATIENCE, Microphone, absence, microphone
from realtime_core.audio.speaker import SpeakerSink, speaker
from realtime_core.sinks import Pausable
from realtime_core.testing import no_leaks, run


class PortAudioError(Exception):
    pass


class Device:
    """A sound card whose clock the test turns; `sounddevice` for the code under test."""

    def __init__(self) -> None:
        self.rates: tuple[int, ...] = (24_000, 16_000)
        self.channels: tuple[int, ...] = (1, 2)
        self.own = 48_000
        self.there = True
        self.time = 0.0
        self.latency = 0.0
        self.silent_opens = 0
        """How many times an opened device gives no sign of life."""
        self.refuses_start = False
        self.opened = list[Stream]()

    def module(self) -> ModuleType:
        module = ModuleType("sounddevice")
        for name, value in {
            "PortAudioError": PortAudioError,
            "RawInputStream": lambda **words: Stream(self, "input", words),
            "RawOutputStream": lambda **words: Stream(self, "output", words),
            "check_input_settings": self.check,
            "check_output_settings": self.check,
            "query_devices": self.query,
        }.items():
            setattr(module, name, value)
        return module

    def check(self, *, samplerate: int, channels: int, dtype: str) -> None:
        assert dtype == "int16"
        if samplerate not in (*self.rates, self.own) or channels not in self.channels:
            raise PortAudioError("Invalid sample rate")

    def query(self, *, kind: str) -> dict[str, Any]:
        if not self.there:
            raise PortAudioError(f"Error querying device -1 ({kind})")
        return {"default_samplerate": float(self.own)}

    @property
    def running(self) -> list[Stream]:
        return [stream for stream in self.opened if stream.alive]

    def returned(self) -> bool:
        """Tell whether every stream is closed; a moment is given to the thread that does it."""
        ends = time.monotonic() + 2
        while time.monotonic() < ends and not all(stream.closed for stream in self.opened):
            time.sleep(0.001)
        return all(stream.closed for stream in self.opened)

    def tick(self) -> bytes:
        """Let 20 ms pass: one callback of each running stream."""
        played = b"".join(stream.call() for stream in self.running)
        self.time += 0.02
        return played


class Stream:
    def __init__(self, device: Device, kind: str, words: dict[str, Any]) -> None:
        self.device = device
        self.kind = kind
        self.words = words
        self.alive = False
        self.closed = False
        self.frames = words["blocksize"]
        assert self.frames == words["samplerate"] // 50
        device.opened.append(self)

    @property
    def time(self) -> float:
        return self.device.time

    def start(self) -> None:
        if self.device.refuses_start:
            raise PortAudioError("Device unavailable")
        if self.device.silent_opens:
            self.device.silent_opens -= 1
            return
        self.alive = True
        for _ in range(2):  # fills its buffer, and after a while begins to play
            self.call()
            self.device.time += 0.1

    def abort(self) -> None:
        self.alive = False

    def close(self) -> None:
        assert not self.closed
        self.closed = True

    def call(self) -> bytes:
        size = self.frames * 2 * self.words["channels"]
        if self.kind == "input":
            self.words["callback"](
                memoryview(bytes(range(256)) * 99)[:size], self.frames, None, None
            )
            return b""
        out = bytearray(size)
        now = self.device.time
        times = SimpleNamespace(currentTime=now, outputBufferDacTime=now + self.device.latency)
        self.words["callback"](out, self.frames, times, None)
        assert len(out) == size
        return bytes(out)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    card = Device()
    monkeypatch.setitem(sys.modules, "sounddevice", card.module())
    return card


async def turning(device: Device, played: list[bytes] | None = None) -> None:
    """Let the device's time pass with the program's."""
    while True:
        await anyio.sleep(0.02)
        pcm = device.tick()
        if played is not None:
            played.append(pcm)


def sound(seconds: float, rate: int = 24_000) -> bytes:
    return (np.arange(int(seconds * rate)) % 30_000 + 1).astype("<i2").tobytes()


# --- what is there --------------------------------------------------------------------------------


def test_absence_is_explained(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    assert absence("input") is None
    device.there = False
    error = absence("input")
    assert isinstance(error, Unavailable)
    assert "no microphone" in error.what
    assert "Error querying device -1" in error.what
    error = absence("output")
    assert error is not None
    assert "no loudspeaker" in error.what
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    error = absence("input")
    assert isinstance(error, InvalidRequest)
    assert "pip install 'realtime-core[audio]'" in error.fix


def test_a_missing_system_library_is_explained(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    from realtime_core.audio import device as module

    def missing(name: str) -> ModuleType:
        raise OSError("PortAudio library not found")

    monkeypatch.setattr(module, "importlib", SimpleNamespace(import_module=missing))
    error = absence("output")
    assert isinstance(error, InvalidRequest)
    assert "libportaudio2" in error.fix


@pytest.mark.parametrize(
    ("rates", "channels", "agreed"),
    [
        ((16_000,), (1,), AudioFormat(16_000)),
        ((), (1,), AudioFormat(48_000)),
        ((), (2,), AudioFormat(48_000, channels=2)),
        ((), (), None),
    ],
)
def test_a_device_is_taken_at_the_rate_it_has(
    device: Device,
    anyio_backend: str,
    rates: tuple[int, ...],
    channels: tuple[int, ...],
    agreed: AudioFormat | None,
) -> None:
    device.rates, device.channels = rates, channels

    async def program() -> AudioFormat:
        async with microphone(16_000) as ear:
            assert (await anext(ear)).format == ear.format
            return ear.format

    if agreed is None:
        with pytest.raises(RealtimeException, match="Invalid sample rate"):
            run(program, backend=anyio_backend)
    else:
        assert run(program, backend=anyio_backend) == agreed
    assert device.returned()


# --- the microphone -------------------------------------------------------------------------------


def test_the_microphone_gives_frames_and_drops_the_oldest(
    device: Device, anyio_backend: str
) -> None:
    async def program() -> None:
        async with no_leaks(), microphone(16_000, buffer_ms=100) as ear:
            for _ in range(8):
                device.tick()
            assert ear.dropped == 5
            frames = [await anext(ear) for _ in range(5)]
            assert all(len(frame.pcm) == 640 for frame in frames)
            with anyio.move_on_after(0.1):
                await anext(ear)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(turning, device)
                assert (await anext(ear)).format == AudioFormat(16_000)
                tasks.cancel_scope.cancel()

    run(program, backend=anyio_backend)
    assert device.returned()


def test_a_microphone_that_falls_silent_is_told(device: Device, anyio_backend: str) -> None:
    async def program() -> float:
        async with microphone() as ear:
            await anext(ear)
            await anext(ear)
            with pytest.raises(RealtimeException, match="fallen silent"):
                await anext(ear)
            return anyio.current_time()

    assert run(program, backend=anyio_backend) == pytest.approx(PATIENCE, abs=0.1)


def test_frames_are_taken_by_one_call_each() -> None:
    ear = Microphone(AudioFormat(16_000), 2)
    for number in range(3):
        ear.hear(bytes([number, 0]))
    assert (ear.calls, ear.dropped) == (3, 1)


# --- opening --------------------------------------------------------------------------------------


@pytest.mark.parametrize("silent", [1, 2])
def test_a_device_that_gives_no_sign_of_life_is_opened_twice(
    device: Device, anyio_backend: str, silent: int
) -> None:
    device.silent_opens = silent

    async def program() -> float:
        with suppress(RealtimeException):
            async with speaker(24_000):
                pass
        return anyio.current_time()

    took = run(program, backend=anyio_backend)
    assert silent * PATIENCE <= took <= silent * (PATIENCE + 2) + 2.1  # closing may take 2 s each
    assert len(device.opened) == 2
    assert device.returned()


def test_a_device_that_cannot_be_started_is_told_and_closed(
    device: Device, anyio_backend: str
) -> None:
    device.refuses_start = True

    async def program() -> None:
        async with speaker(24_000):
            pass

    with pytest.raises(RealtimeException, match="Device unavailable"):
        run(program, backend=anyio_backend)
    assert device.returned()


def test_cancelling_while_a_device_is_opened_closes_it(device: Device, anyio_backend: str) -> None:
    device.silent_opens = 9

    async def program() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(opening)
            while not device.opened:  # noqa: ASYNC110 - a thread's doing
                await anyio.sleep(0.001)
            await anyio.sleep(0.05)
            tasks.cancel_scope.cancel()

    async def opening() -> None:
        async with speaker(24_000):
            pass

    anyio.run(program, backend=anyio_backend)  # in real time: a thread decides when it is open
    assert len(device.opened) == 1
    assert device.returned()


# --- the loudspeaker ------------------------------------------------------------------------------


def playing(
    device: Device, act: Callable[[SpeakerSink], Any], backend: str, rate: int = 24_000
) -> list[bytes]:
    played = list[bytes]()

    async def program() -> None:
        async with speaker(rate) as sink, anyio.create_task_group() as tasks:
            tasks.start_soon(turning, device, played)
            await act(sink)
            tasks.cancel_scope.cancel()

    run(program, backend=backend)
    return played


def test_what_is_played_is_counted_to_the_sample(device: Device, anyio_backend: str) -> None:
    device.latency = 0.05
    pcm = sound(0.5)

    async def act(sink: SpeakerSink) -> None:
        for start in range(0, len(pcm), 960):
            before = sink.heard()
            await sink.write(pcm[start : start + 960], PCM_24K)
            assert before <= sink.heard() <= (start + 960) // 2
        assert sink.heard() < 12_000
        await sink.drain()
        assert sink.heard() == 12_000
        await sink.drain()
        assert sink.heard() == 12_000

    played = b"".join(playing(device, act, anyio_backend))
    assert pcm in played


def test_a_flush_silences_and_what_the_device_holds_does_not_count(
    device: Device, anyio_backend: str
) -> None:
    device.latency = 0.05

    async def act(sink: SpeakerSink) -> None:
        with anyio.move_on_after(0.3):
            for _ in range(50):
                await sink.write(sound(0.02), PCM_24K)
        sink.flush()
        heard = sink.heard()
        assert 0.1 * 24_000 < heard < 0.3 * 24_000
        await anyio.sleep(0.3)
        assert sink.heard() == heard
        await sink.write(sound(0.1), PCM_24K)
        await sink.drain()
        assert sink.heard() == heard + 2_400

    playing(device, act, anyio_backend)


def test_a_pause_keeps_what_the_device_does_not_have_yet(
    device: Device, anyio_backend: str
) -> None:
    device.latency = 0.05
    pcm = sound(0.5)

    async def act(sink: SpeakerSink) -> None:
        assert isinstance(sink, Pausable)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sink.write, pcm, PCM_24K)
            await anyio.sleep(0.2)
            sink.pause()
            at_once = sink.heard()
            await anyio.sleep(0.1)
            heard = sink.heard()
            assert at_once < heard <= at_once + 0.08 * 24_000, "what the device held sounds on"
            await anyio.sleep(0.5)
            assert sink.heard() == heard
            sink.resume()
        await sink.drain()
        assert sink.heard() == 12_000

    played = np.frombuffer(b"".join(playing(device, act, anyio_backend)), "<i2")
    loud = np.flatnonzero(played)
    assert played[loud].tobytes() == pcm, "no sample twice, none lost"
    assert np.count_nonzero(np.diff(loud) > 0.4 * 24_000) == 1


def test_what_is_cut_in_a_pause_does_not_sound_and_what_comes_next_does(
    device: Device, anyio_backend: str
) -> None:
    first, second = sound(0.5), bytes([9, 9]) * 2_400

    async def act(sink: SpeakerSink) -> None:
        with anyio.move_on_after(0.2):
            await sink.write(first, PCM_24K)
        sink.pause()
        sink.flush()
        sink.resume()
        heard = sink.heard()
        await sink.write(second, PCM_24K)
        await sink.drain()
        assert sink.heard() == heard + 2_400

    played = np.frombuffer(b"".join(playing(device, act, anyio_backend)), "<i2")
    loud = played[np.flatnonzero(played)].tobytes()
    assert loud.endswith(second)
    assert first.startswith(loud.removesuffix(second))


def test_a_device_with_its_own_rate_counts_in_the_rate_of_the_sound(
    device: Device, anyio_backend: str
) -> None:
    device.rates, device.channels = (), (2,)

    async def act(sink: SpeakerSink) -> None:
        assert sink.format == AudioFormat(48_000, channels=2)
        for rate in (24_000, 8_000):
            before = sink.heard()
            form = AudioFormat(rate)
            for _ in range(10):
                await sink.write(sound(0.02, rate), form)
                assert before <= sink.heard() <= before + rate // 5
            await sink.drain()
            assert sink.heard() == before + rate // 5

    played = b"".join(playing(device, act, anyio_backend))
    samples = np.frombuffer(played, "<i2").reshape(-1, 2)
    loud = np.flatnonzero(np.abs(samples[:, 0]) > 0)
    assert (samples[:, 0] == samples[:, 1]).all()
    assert 0.4 * 48_000 - 9 <= loud[-1] - loud[0] <= 0.45 * 48_000 + 960


def test_a_device_without_times_is_counted_from_its_calls() -> None:
    sink = SpeakerSink(PCM_24K)
    sink.attach(SimpleNamespace(time=1.01))

    async def program() -> None:
        await sink.write(sound(0.02), PCM_24K)
        times = SimpleNamespace(currentTime=1.0, outputBufferDacTime=0.0)
        sink.play(bytearray(960), 480, times)
        assert sink.heard() == pytest.approx(240, abs=1)

    anyio.run(program)


def test_nothing_is_heard_before_the_device_runs() -> None:
    sink = SpeakerSink(PCM_24K)
    sink.play(bytearray(960), 480, SimpleNamespace(currentTime=1.0, outputBufferDacTime=1.0))
    assert sink.heard() == 0


def test_a_loudspeaker_that_takes_no_more_is_told(device: Device, anyio_backend: str) -> None:
    async def program() -> float:
        async with speaker(24_000) as sink:
            with pytest.raises(RealtimeException, match="takes no more"):
                await sink.write(sound(1.0), PCM_24K)
            return anyio.current_time()

    assert run(program, backend=anyio_backend) == pytest.approx(PATIENCE, abs=0.1)
