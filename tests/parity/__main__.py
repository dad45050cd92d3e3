"""Prints the matrix, and what no capability explains."""

from __future__ import annotations

from tests.parity.conversations import CONVERSATIONS
from tests.parity.matrix import matrix, verdict
from tests.parity.sides import SIDES

print(matrix())
for name, side in SIDES.items():
    for one in CONVERSATIONS:
        found = verdict(side, one).differences
        if found:
            print(f"\n{name}, {one.name}:", *found, sep="\n  ")
