"""E. What the sources must not do: look at the wall clock, hold a scope across a yield."""

from __future__ import annotations

import ast
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

import realtime_core
from realtime_core.driver import Driver
from realtime_core.events import Connected
from realtime_core.testing.live import Performance
from tests.laws.stories import BACKENDS, Story, catches, played, stories

STORIES = stories()


class TestClock:
    """45. Deadlines use the monotonic clock: jumps of the wall clock change nothing."""

    @staticmethod
    def law(story: Story, backend: str = "asyncio") -> None:
        calm = played(story, backend, late=0)
        with pytest.MonkeyPatch.context() as patch:
            jumps = count(10**9, -86_400)
            patch.setattr(time, "time", lambda: float(next(jumps)))
            wild = played(story, backend, late=0)
        assert told(wild) == told(calm)

    @pytest.mark.parametrize("backend", BACKENDS)
    @given(STORIES)
    def test_live(self, backend: str, story: Story) -> None:
        self.law(story, backend)

    def test_no_module_asks_for_the_time_of_day(self) -> None:
        assert [str(at) for path in sources() for at in wall_clocks(path.read_text(), path)] == []

    def test_fault_looks_at_the_wall(self, monkeypatch: pytest.MonkeyPatch) -> None:
        init = Driver.__init__

        def wall(self: Driver, *given: Any, **named: Any) -> None:
            init(self, *given, **named)
            self.clock = lambda: time.time()  # noqa: PLW0108 - as patched later

        monkeypatch.setattr(Driver, "__init__", wall)
        catches(self.law, STORIES)
        assert wall_clocks("import time\nnow = time.time()", Path("x"))
        assert wall_clocks("from datetime import datetime\ndatetime.now()", Path("x"))


def told(done: Performance) -> list[str]:
    """Give a trace as it shows, without the session's name."""
    return [repr(event) for event in done.events if not isinstance(event, Connected)]


class TestNoGeneratorHoldsAScope:
    """46. No cancel scope or task group is open across a yield of an async generator."""

    def test_sources(self) -> None:
        assert [str(at) for path in sources() for at in held_scopes(path.read_text(), path)] == []

    @pytest.mark.parametrize(
        "scope",
        [
            "async with anyio.create_task_group() as tasks:",
            "with anyio.CancelScope():",
            "with move_on_after(1):",
            "async with session.beside() as tasks:",
            "with session.within():",
            "async with open_session('local') as s:",
        ],
    )
    def test_fault_is_seen(self, scope: str) -> None:
        bad = f"async def g():\n    {scope}\n        for x in y:\n            yield x\n"
        assert held_scopes(bad, Path("x"))
        assert not held_scopes(f"@asynccontextmanager\n{bad}", Path("x"))
        assert not held_scopes(bad.replace("yield x", "await x"), Path("x"))
        nested = bad.replace("yield x", "(lambda: (yield x))()")
        assert not held_scopes(nested, Path("x"))


def sources() -> list[Path]:
    root = Path(realtime_core.__file__).parent
    return sorted([*root.rglob("*.py"), *(root.parent / "providers").rglob("*.py")])


_WALL = {("time", "time"), ("time", "time_ns"), ("time", "localtime"), ("datetime", "now")}
_SCOPES = {
    "CancelScope",
    "create_task_group",
    "TaskGroup",
    "open_nursery",
    "move_on_after",
    "move_on_at",
    "fail_after",
    "fail_at",
    "timeout",
    "timeout_at",
    "beside",
    "within",
    "open_session",
}
"""Names of what opens a scope: anyio's own, the backends', and ours that hold one."""


def wall_clocks(source: str, path: Path) -> list[str]:
    """List the places that look at the wall; a `_by_calendar` tells others when something ends."""
    tree = ast.parse(source)
    told = {
        node
        for one in ast.walk(tree)
        if isinstance(one, ast.FunctionDef) and one.name == "_by_calendar"
        for node in ast.walk(one)
    }
    return [
        f"{path}:{node.lineno}"
        for node in ast.walk(tree)
        if node not in told
        and isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (node.value.id, node.attr) in _WALL
    ]


def held_scopes(source: str, path: Path) -> list[str]:
    """List the places where an async generator yields inside a scope."""
    found = list[str]()
    for function in ast.walk(ast.parse(source)):
        if not isinstance(function, ast.AsyncFunctionDef):
            continue
        if any("contextmanager" in ast.unparse(d) for d in function.decorator_list):
            continue
        for block in own_nodes(function):
            if isinstance(block, ast.With | ast.AsyncWith) and any(map(opens_scope, block.items)):
                yields = (n for n in own_nodes(block) if isinstance(n, ast.Yield | ast.YieldFrom))
                found += [f"{path}:{node.lineno} in {function.name}" for node in yields]
    return found


def own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Walk a function or block without going into functions defined in it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from own_nodes(child)


def opens_scope(item: ast.withitem) -> bool:
    call = item.context_expr
    called = call.func if isinstance(call, ast.Call) else call
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    return name in _SCOPES
