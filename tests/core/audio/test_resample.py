"""The resampler: exact under any cut of the input, true in length, clean in sound."""

from __future__ import annotations

import math
from itertools import pairwise

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_core.audio import resample
from realtime_core.audio.pcm import Fine
from realtime_core.audio.resample import HIGHEST_RATE, LOWEST_RATE, Resampler, ResamplerState
from realtime_core.errors import InvalidRequest, RealtimeException

USUAL = [8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000]
ODD = [(44_101, 48_000), (11_127, 16_000), (16_001, 8_000), (HIGHEST_RATE, LOWEST_RATE)]
PAIRS = [(a, b) for a in USUAL for b in USUAL if a != b] + ODD

pairs = st.sampled_from(PAIRS)


def noise(count: int, seed: int = 1) -> npt.NDArray[np.int16]:
    return np.random.default_rng(seed).integers(-32768, 32768, count).astype(np.int16)


def sine(frequency: float, rate: int, count: int) -> npt.NDArray[np.float32]:
    tone: npt.NDArray[np.float32] = np.sin(2 * np.pi * frequency / rate * np.arange(count)).astype(
        np.float32
    )
    return tone


def streamed(
    resampler: Resampler, samples: npt.NDArray[np.int16], cuts: list[int]
) -> npt.NDArray[np.int16]:
    state, parts = resampler.start(), list[npt.NDArray[np.int16]]()
    for begin, end in pairwise([0, *sorted(cuts), samples.size]):
        state, out = resampler.step(state, samples[begin:end])
        parts.append(out)
    return np.concatenate([*parts, resampler.flush(state, np.int16)])


@settings(deadline=None)
@given(pairs, st.integers(0, 3000), st.lists(st.integers(0, 3000), max_size=12))
def test_any_cut_gives_the_same_samples(pair: tuple[int, int], count: int, cuts: list[int]) -> None:
    resampler, samples = Resampler(*pair), noise(count)
    whole = streamed(resampler, samples, [])
    cut = streamed(resampler, samples, [min(at, count) for at in cuts])
    assert cut.tobytes() == whole.tobytes()


@pytest.mark.parametrize("pair", [(48_000, 16_000), (16_000, 44_100), (44_101, 48_000)])
def test_a_minute_at_once_is_a_minute_in_frames(pair: tuple[int, int]) -> None:
    resampler, samples = Resampler(*pair), noise(pair[0] * 10)
    frames = list(range(0, samples.size, pair[0] // 50))
    assert np.array_equal(streamed(resampler, samples, frames), streamed(resampler, samples, []))


@settings(deadline=None)
@given(pairs, st.integers(0, 5000))
def test_34_duration_is_kept_to_a_sample_per_stream(pair: tuple[int, int], count: int) -> None:
    resampler = Resampler(*pair)
    made = streamed(resampler, noise(count), list(range(0, count, 160))).size
    assert made == resampler.length(count)
    assert abs(made - count * pair[1] / pair[0]) < 1


@settings(deadline=None)
@given(pairs, st.integers(1, 5000))
def test_nothing_is_held_back_longer_than_the_stated_latency(
    pair: tuple[int, int], count: int
) -> None:
    resampler = Resampler(*pair)
    _, out = resampler.step(resampler.start(), noise(count))
    reached = (count - 1 - resampler.lookahead) * pair[1] / pair[0]
    assert out.size >= math.floor(reached)
    assert resampler.latency_ms == resampler.lookahead * 1000 / pair[0]


@pytest.mark.parametrize("pair", PAIRS)
def test_every_sum_of_products_is_exact(pair: tuple[int, int]) -> None:
    bank = resample._kernel(*pair).bank
    assert np.all(bank == np.rint(bank))
    assert np.all(bank.sum(axis=1) == 1 << 22)
    assert np.abs(bank).sum(axis=1).max() * (8 << 23) < 1 << 53
    assert bank.nbytes <= 4 << 20


@pytest.mark.parametrize("pair", PAIRS)
def test_a_constant_stays_that_constant(pair: tuple[int, int]) -> None:
    resampler = Resampler(*pair)
    reach = 2 * resampler.lookahead
    level = np.full(reach + 500, 12_345, np.int16)
    _, out = resampler.step(resampler.start(), level)
    edge = math.ceil(resampler.lookahead * pair[1] / pair[0])
    assert set(out[edge:].tolist()) <= {12_345}


@pytest.mark.parametrize(
    "pair",
    [
        (48_000, 16_000),
        (24_000, 16_000),
        (44_100, 16_000),
        (16_000, 24_000),
        (22_050, 24_000),
        (8_000, 16_000),
        (44_101, 48_000),
    ],
)
@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.85])
def test_the_pass_band_is_flat_and_nothing_is_shifted(pair: tuple[int, int], part: float) -> None:
    resampler, frequency = Resampler(*pair), part * min(pair) / 2
    _, out = resampler.step(resampler.start(), sine(frequency, pair[0], pair[0] // 4))
    middle = slice(out.size // 4, out.size * 3 // 4)
    ideal = sine(frequency, pair[1], out.size)
    error = np.sqrt(np.mean((out[middle] - ideal[middle]) ** 2)) * math.sqrt(2)
    assert 20 * math.log10(error) < -60


@pytest.mark.parametrize(
    "pair",
    [(48_000, 16_000), (24_000, 16_000), (44_100, 16_000), (16_000, 8_000), (48_000, 44_101)],
)
def test_what_would_alias_is_gone(pair: tuple[int, int]) -> None:
    resampler = Resampler(*pair)
    for part in np.linspace(1.003, min(0.99 * pair[0] / pair[1], 3), 12):
        tone = sine(part * pair[1] / 2, pair[0], pair[0] // 4)
        _, out = resampler.step(resampler.start(), tone)
        middle = out[out.size // 4 : out.size * 3 // 4]
        assert 10 * math.log10(2 * float(np.mean(np.square(middle, dtype=np.float64)))) < -70


def test_a_state_is_a_value() -> None:
    resampler, samples = Resampler(44_100, 16_000), noise(441)
    state, _ = resampler.step(resampler.start(), samples)
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=ResamplerState)
    again, once, twice = resampler.step(state, samples), resampler.step(state, samples), kept
    assert once[0] == again[0] == resampler.step(twice, samples)[0]
    assert np.array_equal(once[1], again[1])
    assert hash(state) == hash(kept)


def test_floats_are_not_clipped_and_holes_are_silence() -> None:
    resampler = Resampler(16_000, 8_000)
    loud = np.full(1000, 1.5, np.float32)
    state, out = resampler.step(resampler.start(), loud)
    rest = resampler.flush(state, np.float32)
    assert out.dtype == rest.dtype == np.float32
    assert out[100:].tolist() == [1.5] * (out.size - 100)
    holes = resampler.step(resampler.start(), np.full(1000, np.nan, np.float32))[1]
    assert not holes.any()


def test_a_loud_step_is_clipped_not_wrapped() -> None:
    square = np.repeat(np.array([32767, -32768] * 20, np.int16), 200)
    out = streamed(Resampler(16_000, 24_000), square, [])
    assert (out.max(), out.min()) == (32767, -32768)
    assert np.abs(np.diff(out.astype(int))).max() < 60_000


@pytest.mark.parametrize("rate", [0, -1, LOWEST_RATE - 1, HIGHEST_RATE + 1, 2**32 - 1])
def test_a_rate_no_audio_has_is_refused(rate: int) -> None:
    for pair in ((rate, 16_000), (16_000, rate)):
        with pytest.raises(RealtimeException) as refused:
            Resampler(*pair)
        assert isinstance(refused.value.error, InvalidRequest)
        assert str(rate) in refused.value.error.what
        assert refused.value.error.fix


def test_an_empty_chunk_changes_nothing() -> None:
    resampler = Resampler(48_000, 16_000)
    nothing: Fine = np.empty(0)
    state, out = resampler.advance(resampler.start(), nothing)
    assert (state, out.size) == (resampler.start(), 0)
    assert resampler.flush(state, np.int16).size == 0
