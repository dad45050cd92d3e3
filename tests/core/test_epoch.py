"""Epochs: the one comparison that matters."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from realtime_core.epoch import Epoch, is_stale

epochs = st.integers(min_value=0).map(Epoch)


@given(epoch=epochs)
def test_what_belongs_to_the_current_epoch_is_fresh(epoch: Epoch) -> None:
    assert not is_stale(epoch, epoch)


@given(epoch=epochs, rises=st.integers(min_value=1))
def test_any_rise_of_the_epoch_makes_it_stale_for_good(epoch: Epoch, rises: int) -> None:
    assert is_stale(epoch, Epoch(epoch + rises))
    assert not is_stale(Epoch(epoch + rises), epoch)


@given(epoch=epochs, now=epochs, later=epochs)
def test_nothing_becomes_fresh_again(epoch: Epoch, now: Epoch, later: Epoch) -> None:
    if is_stale(epoch, now):
        assert is_stale(epoch, max(now, later))
