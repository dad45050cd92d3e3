"""Rows of a benchmark: what was measured, the figure, its floor in the same run, the target."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

__all__ = ("Row", "median_ns", "show", "spread")


class Row(NamedTuple):
    """One line of the table."""

    what: str
    figure: str
    floor: str = ""
    ratio: str = ""
    target: str = ""


def median_ns(run: Callable[[], object], times: int, rounds: int = 7) -> float:
    """Give the median cost of one call, in nanoseconds, over some rounds."""
    costs = []
    for _ in range(rounds):
        start = time.perf_counter_ns()
        for _ in range(times):
            run()
        costs.append((time.perf_counter_ns() - start) / times)
    return statistics.median(costs)


def spread(values: Iterable[float], unit: str = "ms") -> str:
    """Give median, quartiles and size of a sample."""
    ordered = sorted(values)
    if len(ordered) < 4:
        return f"{statistics.median(ordered):.0f} {unit} (n={len(ordered)})"
    low, middle, high = statistics.quantiles(ordered, n=4)
    return f"{middle:.0f} {unit} (p25 {low:.0f}, p75 {high:.0f}, n={len(ordered)})"


def show(title: str, rows: Iterable[Row]) -> None:
    """Print a table."""
    lines = [Row("", "figure", "floor", "ratio", "target"), *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(5)]
    print(f"\n{title}")
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  " + "  ".join(cells).rstrip())
