"""Errands: what a model asks of tools, what their handlers do, and all that happens meanwhile."""

from __future__ import annotations

import json
from typing import Literal, NamedTuple

from hypothesis import strategies as st

from realtime_core.config import ToolPolicy
from realtime_core.epoch import CallId
from realtime_core.testing import TICK
from realtime_core.testing.conformance import HOSTILE

__all__ = ("ARGUMENTS", "HOW", "POLICIES", "STAYS", "VALID", "Day", "Errand", "days", "number_of")

POLICIES: tuple[ToolPolicy, ...] = ("cancel", "finish", "detach")
How = Literal["returns", "raises", "hangs", "stays", "babbles", "misread"]
HOW: tuple[How, ...] = ("returns", "raises", "hangs", "stays", "babbles", "misread")
STAYS = 8 * TICK
"""For how long a handler that `stays` does not leave though it is cancelled."""

VALID = (
    '{"count": 2, "names": ["a", "b"]}',
    '{"unit":"F","names":[],"count":-7}',
    '{"count": 0, "names": ["\\u00e4"], "unit": "C"}',
)
"""Arguments that fit; what a model writes is often nearly like them."""


def _spoilt(text: str, place: int, piece: str, length: int) -> str:
    place %= len(text) + 1
    return text[:place] + piece + text[place + length :]


_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
_FIELDS = st.sampled_from(("count", "names", "unit", "", "extra"))
_VALUES = st.recursive(_LEAVES, lambda some: st.lists(some) | st.dictionaries(_FIELDS, some))
ARGUMENTS = st.lists(
    st.sampled_from(VALID)
    | st.builds(
        _spoilt,
        st.sampled_from(VALID),
        st.integers(0, 60),
        st.sampled_from(("", "1", "null", '"x"', "[", "}", ",", "e9", ".0", "\x00")),
        st.integers(0, 3),
    )
    | st.dictionaries(_FIELDS, _VALUES).map(json.dumps)
    | st.text(max_size=30)
    | st.sampled_from([wire for wire in HOSTILE if isinstance(wire, str) and wire.isascii()]),
    min_size=1,
    max_size=8,
)


class Errand(NamedTuple):
    """One call, and what its handler does: how many ticks it takes, and how it ends."""

    policy: ToolPolicy = "cancel"
    ticks: int = 2
    how: How = "returns"


class Day(NamedTuple):
    """What happens: the errands of each response, and everything else, in one order."""

    happenings: tuple[tuple[str, int], ...]
    errands: tuple[Errand, ...]
    limit: int = 8
    timeout: int = 1_000
    """Ticks a handler may take."""
    grace: int = 4
    retry: int = 1
    one: bool = True
    seed: int = 0

    def has(self, *what: str) -> bool:
        return any(happening in what for happening, _ in self.happenings)


def days() -> st.SearchStrategy[Day]:
    """Give timelines of calls: parallel ones, of all policies, answered, cut, taken back, lost."""
    usual = ("ask", "ask", "ask", "end", "end", "wait", "wait", "wait", "interrupt")
    rare = ("speak", "sound", "take back", "again", "stray", "stray", "lose", "close")
    what = st.sampled_from((*usual, *usual, *rare))
    return st.builds(
        Day,
        st.lists(st.tuples(what, st.integers(0, 5)), min_size=4, max_size=20).map(tuple),
        st.lists(
            st.builds(
                Errand,
                st.sampled_from(POLICIES),
                st.integers(0, 6),
                st.sampled_from((*["returns"] * 6, *HOW)),
            ),
            min_size=1,
            max_size=8,
        ).map(tuple),
        limit=st.integers(1, 4),
        timeout=st.sampled_from((3, 1_000)),
        grace=st.sampled_from((2, 16)),
        retry=st.integers(0, 6),
        one=st.booleans(),
        seed=st.integers(0, 2**16),
    )


def number_of(call: CallId) -> int:
    return int(call.removeprefix("c"))
