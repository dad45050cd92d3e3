"""Loudness and silence."""

from __future__ import annotations

import math

import numpy as np
import pytest

from realtime_core.audio.levels import is_silent, rms_dbfs


def tone(level: float, count: int = 4800) -> bytes:
    return (np.sin(np.arange(count) * 2 * np.pi / 48) * level * 32767).astype("<i2").tobytes()


def test_full_scale_is_zero_and_a_sine_three_less() -> None:
    assert rms_dbfs(np.full(100, -32768, "<i2").tobytes()) == 0
    assert rms_dbfs(tone(1.0)) == pytest.approx(-3.01, abs=0.01)
    assert rms_dbfs(tone(0.1)) == pytest.approx(-23.01, abs=0.01)


@pytest.mark.parametrize("pcm", [b"", b"\1", bytes(1000), bytes(641)])
def test_nothing_and_zeros_are_silent(pcm: bytes) -> None:
    assert rms_dbfs(pcm) == -math.inf
    assert is_silent(pcm)


def test_a_word_in_a_minute_of_silence_is_not_silence() -> None:
    minute = bytes(2 * 60 * 16_000)
    assert not is_silent(minute + tone(0.03, 1600) + minute)
    assert rms_dbfs(minute + tone(0.03, 1600) + minute) < -60


def test_the_last_stretch_counts_though_it_is_short() -> None:
    assert not is_silent(bytes(6400) + tone(0.5, 100))


def test_the_bound_is_the_caller_s() -> None:
    assert is_silent(tone(0.0005))
    assert not is_silent(tone(0.0005), below=-80.0)
    assert is_silent(tone(0.5), below=0.0)
