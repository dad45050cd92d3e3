"""Sampling: at most fps, the latest picture, none twice, each one accounted for."""

from __future__ import annotations

import io
import sys
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.errors import InvalidRequest, RealtimeException
from realtime_core.frames import Video
from realtime_core.video.sampling import Sampler, Sampling, glimpse

TICK = 1 / 64

moments = st.lists(
    st.tuples(st.integers(0, 40), st.one_of(st.none(), st.integers(0, 3))), max_size=40
)


def shown(content: int) -> Video:
    return Video(b"picture %d" % content)


@given(moments, st.sampled_from([0.5, 1.0, 4.0, 32.0]))
def test_the_laws_of_sampling(moments: list[tuple[int, int | None]], fps: float) -> None:
    sampler, state, at = Sampler(fps, look=bytes), Sampling(), 0.0
    sent, offered = list[tuple[float, Video]](), 0
    latest: Video | None = None
    for pause, content in moments:
        at += pause * TICK
        if content is None:
            state, out = sampler.tick(state, at)
        else:
            latest, offered = shown(content), offered + 1
            state, out = sampler.offer(state, latest, at)
        if out is not None:
            assert out is latest
            sent.append((at, out))
        assert state.waiting is None or (state.wake is not None and state.wake > at)
        waiting = state.waiting is not None
        assert offered == state.sent + state.replaced + state.unchanged + waiting
    assert all(later - sooner >= 1 / fps for (sooner, _), (later, _) in pairwise(sent))
    assert all(one != other for (_, one), (_, other) in pairwise(sent))
    assert len(sent) == state.sent


def test_the_latest_wins_when_its_time_has_come() -> None:
    sampler = Sampler(1.0, look=bytes)
    state, out = sampler.offer(Sampling(), shown(1), 10.0)
    assert out == shown(1)
    assert state.wake is None
    state, out = sampler.offer(state, shown(2), 10.25)
    assert out is None
    state, out = sampler.offer(state, shown(3), 10.5)
    assert (out, state.replaced, state.wake) == (None, 1, 11.0)
    assert sampler.tick(state, 10.75) == (state, None)
    state, out = sampler.tick(state, 11.0)
    assert (out, state.wake) == (shown(3), None)
    assert sampler.tick(state, 20.0) == (state, None)


def test_an_unchanged_picture_does_not_use_up_the_turn() -> None:
    sampler = Sampler(1.0, look=bytes)
    state, _ = sampler.offer(Sampling(), shown(1), 0.0)
    state, out = sampler.offer(state, shown(1), 5.0)
    assert (out, state.unchanged) == (None, 1)
    _, out = sampler.offer(state, shown(2), 5.25)
    assert out == shown(2)


@pytest.mark.parametrize("fps", [0.0, -1.0, float("inf"), float("nan")])
def test_a_rate_that_is_none_is_refused(fps: float) -> None:
    with pytest.raises(RealtimeException) as refused:
        Sampler(fps)
    assert isinstance(refused.value.error, InvalidRequest)


def packed(grey: np.ndarray[Any, np.dtype[np.float64]], kind: str = "JPEG") -> Video:
    image = pytest.importorskip("PIL.Image", reason="needs the extra cli")
    out = io.BytesIO()
    image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)).save(out, kind)
    return Video(out.getvalue(), f"image/{kind.lower()}")


def test_noise_and_a_cursor_are_no_change_but_a_word_is() -> None:
    random, screen = np.random.default_rng(1), np.full((720, 1280), 230.0)
    cursor, word = screen.copy(), screen.copy()
    cursor[300:318, 400:402] = 0
    word[300:318, 400:470:2] = 0
    sampler = Sampler()
    state, out = sampler.offer(Sampling(), packed(screen), 0.0)
    assert out is not None
    for at, same in enumerate((screen + random.normal(0, 6, screen.shape), cursor, screen), 1):
        state, out = sampler.offer(state, packed(same), float(at))
        assert out is None
    assert state.unchanged == 3
    assert sampler.offer(state, packed(word), 9.0)[1] is not None
    assert sampler.offer(state, packed(word, "PNG"), 9.0)[1] is not None


def test_what_cannot_be_unpacked_is_compared_byte_by_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    assert glimpse(b"no picture") == glimpse(b"no picture") != glimpse(b"no picture!")
    flat = packed(np.full((64, 64), 9.0), "PNG")
    again = Video(flat.image + b"\0")
    assert glimpse(flat.image) == glimpse(again.image)
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert glimpse(flat.image) != glimpse(again.image)


def test_from_unreadable_to_readable_is_a_change() -> None:
    sampler = Sampler()
    state, _ = sampler.offer(Sampling(), Video(b"no picture"), 0.0)
    assert sampler.offer(state, packed(np.zeros((64, 64))), 5.0)[1] is not None


def test_the_first_picture_is_sent_whatever_it_looks_like() -> None:
    assert Sampler(look=bytes).offer(Sampling(), Video(b""), 0.0)[1] == Video(b"")
