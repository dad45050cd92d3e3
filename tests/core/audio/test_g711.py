"""G.711: every code and every sample, against the interpreter's own implementation."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from realtime_core.audio import g711

EVERY_SAMPLE = np.arange(-32768, 32768).astype(np.int16)
EVERY_CODE = bytes(range(256))


@pytest.fixture(scope="module")
def audioop() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return pytest.importorskip("audioop", reason="audioop left Python with 3.13")


def test_mu_law_is_audioop_s(audioop: Any) -> None:
    assert g711.encode_ulaw(EVERY_SAMPLE) == audioop.lin2ulaw(EVERY_SAMPLE.tobytes(), 2)
    assert g711.decode_ulaw(EVERY_CODE).tobytes() == audioop.ulaw2lin(EVERY_CODE, 2)


def test_a_law_is_audioop_s(audioop: Any) -> None:
    assert g711.encode_alaw(EVERY_SAMPLE) == audioop.lin2alaw(EVERY_SAMPLE.tobytes(), 2)
    assert g711.decode_alaw(EVERY_CODE).tobytes() == audioop.alaw2lin(EVERY_CODE, 2)


def test_the_corners_of_the_recommendation() -> None:
    assert g711.decode_ulaw(b"\xff\x80\x7f\x00").tolist() == [0, 32124, 0, -32124]
    assert g711.decode_alaw(b"\xd5\xaa\x55\x2a").tolist() == [8, 32256, -8, -32256]


def test_every_code_survives_a_round_trip() -> None:
    again = g711.encode_ulaw(g711.decode_ulaw(EVERY_CODE))
    assert again == EVERY_CODE.replace(b"\x7f", b"\xff")
    assert g711.encode_alaw(g711.decode_alaw(EVERY_CODE)) == EVERY_CODE


@pytest.mark.parametrize("law", ["ulaw", "alaw"])
def test_a_sample_moves_by_at_most_half_a_step(law: str) -> None:
    encode, decode = getattr(g711, f"encode_{law}"), getattr(g711, f"decode_{law}")
    heard = decode(encode(EVERY_SAMPLE)).astype(int)
    levels = np.unique(decode(EVERY_CODE)).astype(int)
    gaps = np.diff(levels, prepend=levels[0], append=levels[-1])
    widest = np.maximum(gaps[:-1], gaps[1:])[np.searchsorted(levels, heard)]
    grain = 8  # A-law counts in 13 bits, mu-law in 14
    assert np.all(
        np.abs(heard - np.clip(EVERY_SAMPLE, levels[0], levels[-1])) <= widest / 2 + grain
    )
    assert np.all(np.diff(heard) >= 0)


def test_nothing_becomes_nothing() -> None:
    assert g711.encode_ulaw(EVERY_SAMPLE[:0]) == b""
    assert g711.decode_alaw(b"").size == 0
