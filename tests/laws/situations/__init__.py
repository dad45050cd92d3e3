"""Situations of real use: what the provider says and what the user does, in a few dozen waits."""

from __future__ import annotations

from tests.laws.scene import Situation
from tests.laws.situations.asking import ASKING
from tests.laws.situations.built import BUILT
from tests.laws.situations.changing import CHANGING
from tests.laws.situations.cutting import CUTTING
from tests.laws.situations.working import WORKING

__all__ = ("SITUATIONS",)

SITUATIONS: tuple[type[Situation], ...] = (*ASKING, *CUTTING, *WORKING, *BUILT, *CHANGING)
