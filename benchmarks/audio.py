"""What audio conversion costs for each frame of 20 ms, beside plain numpy interpolation.

The floor is `numpy.interp` on the same frame: no filter, no state, aliases freely. It says what
moving the samples alone costs on this machine at this moment.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from benchmarks.table import Row, median_ns, show
from realtime_core.audio import PCM_16K, AudioFormat, Rechunk, g711
from realtime_core.audio.convert import Conversion
from realtime_core.audio.levels import rms_dbfs
from realtime_core.audio.resample import Resampler

FRAME_MS = 20
RATES = (
    (48_000, 16_000),
    (24_000, 16_000),
    (16_000, 24_000),
    (44_100, 16_000),
    (22_050, 24_000),
    (8_000, 16_000),
    (44_101, 16_000),
)


def frame(rate: int) -> npt.NDArray[np.int16]:
    return np.random.default_rng(1).integers(-9999, 9999, rate * FRAME_MS // 1000).astype(np.int16)


def interp(source: int, target: int) -> Callable[[], object]:
    samples = frame(source)
    places = np.arange(target * FRAME_MS // 1000) * (source / target)
    given = np.arange(samples.size)
    return lambda: np.interp(places, given, samples).astype(np.int16)


def resampled(source: int, target: int) -> Callable[[], object]:
    resampler, samples = Resampler(source, target), frame(source)
    state = resampler.start()
    for _ in range(5):
        state, _ = resampler.step(state, samples)
    return lambda: resampler.step(state, samples)


def converted(source: AudioFormat, target: AudioFormat) -> Callable[[], object]:
    conversion = Conversion(source, target)
    pcm = bytes(source.rate * FRAME_MS // 1000 * source.sample_size)
    state = conversion.start()
    for _ in range(5):
        state, _ = conversion.step(state, pcm)
    return lambda: conversion.step(state, pcm)


def row(what: str, run: Callable[[], object], floor_ns: float, target: str = "") -> Row:
    cost = median_ns(run, 500)
    return Row(
        what,
        f"{cost / 1000:.1f} us",
        f"{floor_ns / 1000:.1f} us",
        f"{cost / floor_ns:.2f} x",
        target,
    )


def rates() -> list[Row]:
    rows = list[Row]()
    for source, target in RATES:
        floor = median_ns(interp(source, target), 500)
        what = (
            f"resample {source} -> {target} Hz, {Resampler(source, target).latency_ms:.1f} ms late"
        )
        rows.append(row(what, resampled(source, target), floor, "< 200 us"))
    return rows


def formats() -> list[Row]:
    floor = median_ns(interp(48_000, 16_000), 500)
    phone, speech = AudioFormat(8_000, "pcmu"), frame(8_000)
    codes = g711.encode_ulaw(speech)
    microphone = AudioFormat(48_000, "f32", 2)
    rechunk, pcm = Rechunk(PCM_16K), frame(16_000).tobytes()
    runs: tuple[tuple[str, Callable[[], object]], ...] = (
        ("mu-law encode, 8 kHz", lambda: g711.encode_ulaw(speech)),
        ("mu-law decode, 8 kHz", lambda: g711.decode_ulaw(codes)),
        ("A-law encode, 8 kHz", lambda: g711.encode_alaw(speech)),
        ("A-law decode, 8 kHz", lambda: g711.decode_alaw(codes)),
        ("convert pcm16 16 kHz to itself", converted(PCM_16K, PCM_16K)),
        ("convert pcm16 48 -> 16 kHz, bytes to bytes", converted(AudioFormat(48_000), PCM_16K)),
        ("convert f32 stereo 48 kHz -> pcm16 mono 16 kHz", converted(microphone, PCM_16K)),
        ("convert mu-law 8 kHz -> pcm16 16 kHz", converted(phone, PCM_16K)),
        ("rechunk, one frame", lambda: rechunk.step(rechunk.start(), pcm)),
        ("loudness, 16 kHz", lambda: rms_dbfs(pcm)),
    )
    return [row(what, run, floor) for what, run in runs]


def main() -> None:
    show(f"Sample rates, per {FRAME_MS} ms frame (floor: numpy.interp, same rates)", rates())
    show(f"Formats, per {FRAME_MS} ms frame (floor: numpy.interp 48 -> 16 kHz)", formats())


if __name__ == "__main__":
    main()
