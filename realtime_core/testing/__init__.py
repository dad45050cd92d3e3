"""What this library is tested with, for testing what is built on it.

Virtual time on asyncio and trio (`run`), an action at every instant of a program (`every_point`),
random lateness (`stalls`), a count of what is left behind (`no_leaks`), and recorded runs as tests
(`replay`).
"""

from __future__ import annotations

from .clock import TICK, Deadlock, run
from .driven import Driven, Probe, stalled, stalls
from .fixtures import Replayed, replay
from .injection import Injection, inject_at, suspensions
from .leaks import Census, Leaked, census, no_leaks
from .sweep import Point, PointsFailed, every_point, points

__all__ = (
    "TICK",
    "Census",
    "Deadlock",
    "Driven",
    "Injection",
    "Leaked",
    "Point",
    "PointsFailed",
    "Probe",
    "Replayed",
    "census",
    "every_point",
    "inject_at",
    "no_leaks",
    "points",
    "replay",
    "run",
    "stalled",
    "stalls",
    "suspensions",
)
