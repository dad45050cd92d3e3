"""The grid on which samples meet between two encodings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.audio.format import Encoding
from realtime_core.audio.pcm import FULL_SCALE, decode, encode, fine_from_float

EVERY_SAMPLE = np.arange(-32768, 32768).astype("<i2").tobytes()


@pytest.mark.parametrize("through", ["pcm16", "f32"])
def test_sixteen_bits_survive(through: Encoding) -> None:
    fine, _ = decode(EVERY_SAMPLE, "pcm16")
    again, cleaned = decode(encode(fine, through), through)
    assert (encode(again, "pcm16"), cleaned) == (EVERY_SAMPLE, 0)


@pytest.mark.parametrize("law", ["pcmu", "pcma"])
def test_g711_goes_through_the_same_grid(law: Encoding) -> None:
    codes = bytes(range(128, 256))
    assert encode(decode(codes, law)[0], law) == codes


def test_what_is_not_a_number_is_silence_and_counted() -> None:
    floats = np.array([0.5, np.nan, np.inf, -np.inf, -0.25], np.float32)
    fine, cleaned = fine_from_float(floats)
    assert (fine / FULL_SCALE).tolist() == [0.5, 0, 0, 0, -0.25]
    assert cleaned == 3


def test_loud_floats_are_kept_as_floats_and_clipped_as_integers() -> None:
    fine, _ = fine_from_float(np.array([1.0, -1.0, 1.5, -1.5, 1e30, -1e30], np.float32))
    assert np.frombuffer(encode(fine, "pcm16"), "<i2").tolist() == [32767, -32768] * 3
    assert np.frombuffer(encode(fine, "f32"), "<f4").tolist() == [1, -1, 1.5, -1.5, 8, -8]


@given(st.lists(st.floats(width=32), max_size=50))
def test_every_float_lands_on_the_grid(values: list[float]) -> None:
    fine, _ = fine_from_float(np.array(values, np.float32))
    assert np.all(fine == np.rint(fine))
    assert np.all(np.abs(fine) <= 8 * FULL_SCALE)
