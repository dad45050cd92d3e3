"""Frames of a fixed length out of chunks of any."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.audio.format import PCM_24K, AudioFormat
from realtime_core.audio.rechunk import Rechunk
from realtime_core.errors import InvalidRequest, RealtimeException

formats = st.builds(
    AudioFormat,
    rate=st.sampled_from([8_000, 11_025, 16_000, 44_100, 48_000]),
    encoding=st.sampled_from(["pcm16", "f32", "pcmu"]),
    channels=st.integers(1, 2),
)


@given(formats, st.integers(1, 40), st.lists(st.binary(max_size=900), max_size=12))
def test_nothing_is_lost_and_frames_never_drift(
    format: AudioFormat, ms: int, chunks: list[bytes]
) -> None:
    rechunk = Rechunk(format, ms)
    state, frames = rechunk.start(), list[bytes]()
    for chunk in chunks:
        state, made = rechunk.step(state, chunk)
        frames.extend(made)
    whole = b"".join(chunks)
    assert b"".join(frames) + state.rest == whole
    for count, _ in enumerate(frames, 1):
        cut = format.samples(len(b"".join(frames[:count])))
        assert cut == count * ms * format.rate // 1000
    assert all(len(frame) % format.sample_size == 0 for frame in frames)
    assert len(rechunk.finish(state)) % format.sample_size == 0
    assert (frames, state) == _at_once(rechunk, whole)


def _at_once(rechunk: Rechunk, whole: bytes) -> tuple[list[bytes], object]:
    state, frames = rechunk.step(rechunk.start(), whole)
    return list(frames), state


def test_twenty_milliseconds_at_24_khz() -> None:
    rechunk = Rechunk(PCM_24K)
    state, frames = rechunk.step(rechunk.start(), bytes(2401))
    assert [len(frame) for frame in frames] == [960, 960]
    assert rechunk.finish(state) == bytes(480)


def test_a_rate_that_does_not_divide_alternates() -> None:
    rechunk = Rechunk(AudioFormat(rate=11_025, encoding="pcmu"), 20)
    _, frames = rechunk.step(rechunk.start(), bytes(882))
    assert [len(frame) for frame in frames] == [220, 221, 220, 221]


def test_a_frame_without_a_sample_is_refused() -> None:
    for ms, rate in ((0, 24_000), (-20, 24_000), (1, 900)):
        with pytest.raises(RealtimeException) as refused:
            Rechunk(AudioFormat(rate=rate), ms)
        assert isinstance(refused.value.error, InvalidRequest)
