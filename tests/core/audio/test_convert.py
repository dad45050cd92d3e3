"""Conversion of byte streams: cut anywhere, whole samples, the same bytes."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from realtime_core.audio.convert import Conversion, ConversionState, convert
from realtime_core.audio.format import PCM_16K, PCM_24K, AudioFormat
from realtime_core.errors import InvalidRequest, RealtimeException

formats = st.builds(
    AudioFormat,
    rate=st.sampled_from([8_000, 16_000, 22_050, 24_000, 44_100, 48_000]),
    encoding=st.sampled_from(["pcm16", "f32", "pcmu", "pcma"]),
    channels=st.integers(1, 3),
)


def streamed(conversion: Conversion, pcm: bytes, cuts: list[int]) -> tuple[list[bytes], int]:
    state, parts = conversion.start(), list[bytes]()
    for begin, end in pairwise([0, *sorted(cuts), len(pcm)]):
        state, out = conversion.step(state, pcm[begin:end])
        parts.append(out)
    return [*parts, conversion.finish(state)], state.cleaned


@settings(deadline=None)
@given(formats, formats, st.binary(max_size=2000), st.lists(st.integers(0, 2000), max_size=8))
def test_any_cut_gives_the_same_bytes_in_whole_samples(
    source: AudioFormat, target: AudioFormat, pcm: bytes, cuts: list[int]
) -> None:
    assume(source.channels == target.channels or 1 in {source.channels, target.channels})
    conversion = Conversion(source, target)
    whole, holes = streamed(conversion, pcm, [])
    parts, cleaned = streamed(conversion, pcm, [min(at, len(pcm)) for at in cuts])
    assert (b"".join(parts), cleaned) == (b"".join(whole), holes)
    assert all(len(part) % target.sample_size == 0 for part in parts)
    assert b"".join(parts) == convert(pcm, source, target)


@settings(deadline=None)
@given(formats, formats, st.integers(0, 1500), st.integers(0, 3))
def test_34_duration_is_kept_to_a_sample_per_stream(
    source: AudioFormat, target: AudioFormat, samples: int, stray: int
) -> None:
    assume(source.channels == target.channels or 1 in {source.channels, target.channels})
    stray = min(stray, source.sample_size - 1)
    made = convert(bytes(samples * source.sample_size + stray), source, target)
    assert len(made) % target.sample_size == 0
    assert abs(target.samples(len(made)) - samples * target.rate / source.rate) < 1


@pytest.mark.parametrize("encoding", ["pcm16", "f32", "pcmu", "pcma"])
def test_between_equal_formats_the_same_object_comes_back(encoding: str) -> None:
    format = msgspec.structs.replace(PCM_24K, encoding=encoding)
    conversion, pcm = Conversion(format, format), bytes(480)
    state = conversion.start()
    again, out = conversion.step(state, pcm)
    assert out is pcm
    assert again is state
    assert conversion.latency_ms == 0


@pytest.mark.parametrize("encoding", ["pcm16", "f32"])
def test_between_equal_formats_a_cut_sample_waits_for_its_end(encoding: str) -> None:
    format = AudioFormat(encoding="f32" if encoding == "f32" else "pcm16")
    conversion, size = Conversion(format, format), format.sample_size
    state, first = conversion.step(conversion.start(), b"\1" * (size + 1))
    state, second = conversion.step(state, b"\1" * (size - 1))
    assert (first, second, state.rest) == (b"\1" * size, b"\1" * size, b"")
    state, _ = conversion.step(state, b"\1")
    assert conversion.finish(state) == b""


def test_holes_are_mended_and_counted_even_between_equal_formats() -> None:
    format = AudioFormat(rate=16_000, encoding="f32")
    conversion = Conversion(format, format)
    floats = np.array([0.5, np.nan, -0.5, np.inf], "<f4").tobytes()
    state, out = conversion.step(conversion.start(), floats)
    assert np.frombuffer(out, "<f4").tolist() == [0.5, 0, -0.5, 0]
    state, _ = conversion.step(state, floats)
    assert state.cleaned == 4


def test_channels_are_averaged_copied_or_kept() -> None:
    pairs = np.array([[100, 300], [-100, -300]], "<i2").tobytes()
    stereo = AudioFormat(rate=16_000, channels=2)
    mono = convert(pairs, stereo, PCM_16K)
    assert np.frombuffer(mono, "<i2").tolist() == [200, -200]
    assert np.frombuffer(convert(mono, PCM_16K, stereo), "<i2").tolist() == [200, 200, -200, -200]
    kept = convert(pairs, stereo, msgspec.structs.replace(stereo, encoding="f32"))
    assert np.frombuffer(kept, "<f4").tolist() == [
        100 / 2**15,
        300 / 2**15,
        -100 / 2**15,
        -300 / 2**15,
    ]


def test_each_channel_is_resampled_by_itself() -> None:
    left = np.random.default_rng(1).integers(-9999, 9999, 2000).astype("<i2")
    right = left[::-1]
    source, target = AudioFormat(rate=48_000, channels=2), AudioFormat(rate=16_000, channels=2)
    both = convert(np.stack([left, right], axis=1).tobytes(), source, target)
    wide = np.frombuffer(both, "<i2").reshape(-1, 2)
    mono = AudioFormat(rate=48_000)
    assert wide[:, 0].tobytes() == convert(left.tobytes(), mono, PCM_16K)
    assert wide[:, 1].tobytes() == convert(right.tobytes(), mono, PCM_16K)


def test_sixteen_bits_survive_floats_and_back() -> None:
    pcm = np.arange(-32768, 32768).astype("<i2").tobytes()
    floats = msgspec.structs.replace(PCM_24K, encoding="f32")
    assert convert(convert(pcm, PCM_24K, floats), floats, PCM_24K) == pcm


def test_a_long_recording_is_converted_in_slices() -> None:
    source, target = AudioFormat(rate=48_000, channels=2), PCM_16K
    pcm = np.random.default_rng(1).integers(0, 256, (1 << 21) + 3).astype(np.uint8).tobytes()
    state, whole = Conversion(source, target).step(Conversion(source, target).start(), pcm)
    assert convert(pcm, source, target) == whole + Conversion(source, target).finish(state)


def test_a_state_is_a_value() -> None:
    conversion = Conversion(AudioFormat(rate=48_000, channels=2), PCM_16K)
    state, _ = conversion.step(conversion.start(), bytes(range(255)))
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=ConversionState)
    assert kept == state
    assert conversion.step(kept, b"abc") == conversion.step(state, b"abc")
    assert conversion.latency_ms == 3.0


@pytest.mark.parametrize(("source", "target"), [(2, 3), (0, 1), (1, 0), (-1, 1)])
def test_channels_nobody_can_assign_are_refused(source: int, target: int) -> None:
    with pytest.raises(RealtimeException) as refused:
        Conversion(AudioFormat(channels=source), AudioFormat(channels=target))
    assert isinstance(refused.value.error, InvalidRequest)
    assert refused.value.error.fix


def test_a_rate_no_audio_has_is_refused_at_once() -> None:
    with pytest.raises(RealtimeException, match="1 Hz"):
        Conversion(AudioFormat(rate=1), PCM_16K)
