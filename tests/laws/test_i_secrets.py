"""I. Secrets and determinism: 67 secrets stay in, 69 replay, 70 the pure step."""

from __future__ import annotations

import ast
import copy
import logging
import os
import pickle
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

import realtime_core
from realtime_core import (
    Connected,
    Plan,
    RealtimeEvent,
    RealtimeException,
    Recurs,
    Resume,
    ResumptionHandle,
    Secret,
    SessionConfig,
    Text,
    UpdateSession,
    driver,
    incoming,
    moment,
    open_session,
)
from realtime_core.machine import step
from realtime_core.state import Emit, Input, State, Transition
from realtime_core.testing import run
from realtime_core.testing.fold import Fold
from realtime_core.testing.scripted import SCRIPTED, Peer, ScriptedCodec, scripted
from realtime_core.testing.timeline import act, welcome
from tests.laws.stories import BACKENDS, Story, catches, played, stories
from tests.laws.traces import apart, as_json

ROOT = Path(realtime_core.__file__).parent
both = pytest.mark.parametrize("backend", BACKENDS)


# --- 67 ---------------------------------------------------------------------------------------

SECRETS = st.text(st.sampled_from("aZ09-_.=§ß"), min_size=6, max_size=20).map("sk-{}".format)


KEY = "-".join(("sk", "0123456789"))
"""Not to be found in a traceback, which quotes the source."""


def held(secret: str) -> list[Secret]:
    return [Secret(secret), Secret(lambda: secret)]


def values(one: Secret) -> Iterator[object]:
    """Give public values that hold a secret."""
    config = SessionConfig(options={"key": one, "more": [one, {"deep": one}]})
    plan = Plan(config, SCRIPTED, realtime_core.PCM_24K, realtime_core.PCM_24K)
    state = State(plan, "session", handle=one)
    event = ResumptionHandle(handle=one)
    yield from (one, config, plan, state, event, Resume(1, one), UpdateSession(config))
    yield Connected(session_id="", config=config, capabilities=SCRIPTED)
    yield replace(scripted(Peer.drain), defaults=config)
    yield Transition(state, (Emit(event),))
    yield from ((one,), {"key": one}, RealtimeException(realtime_core.Unsupported(what=str(one))))


def shown(value: object) -> Iterator[str]:
    """Give every string the library, or Python for it, makes of a value."""
    yield repr(value)
    yield str(value)
    yield f"{value}"
    yield f"{value!a}"
    record = logging.LogRecord("x", 10, "x", 1, "%s %r", (value, value), None)
    yield record.getMessage()
    for make in (
        lambda: msgspec.json.encode(value),
        lambda: msgspec.json.encode(value, enc_hook=str),
        lambda: msgspec.json.encode(value, enc_hook=repr),
        lambda: msgspec.msgpack.encode(value),
        lambda: msgspec.to_builtins(value),
        lambda: pickle.dumps(value),
        lambda: copy.deepcopy(value),
        value.__getstate__,
        lambda: format(value, ">40"),
        lambda: hash(value),
        lambda: int(value),  # type: ignore[call-overload]
    ):
        yield _made(make)


def _made(make: Callable[[], object]) -> str:
    try:
        return repr(make())
    except Exception as problem:
        return "".join(traceback.format_exception(problem)) + repr(problem.args)


class Ears(logging.Handler):
    """Hears all that is logged, at any level, by anyone."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.said = list[str]()

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(self.format(record))

    def __enter__(self) -> Ears:
        self._root, self._level = logging.getLogger(), logging.getLogger().level
        self._root.addHandler(self)
        self._root.setLevel(logging.DEBUG)
        return self

    def __exit__(self, *_: object) -> None:
        self._root.removeHandler(self)
        self._root.setLevel(self._level)


async def _lived(one: Secret, said: list[str]) -> None:
    """Live a session that holds a secret, resumes by it, and fails; note all that it says."""

    async def script(peer: Peer) -> None:
        await peer.say(ResumptionHandle(handle=one))
        await peer.raw(b'{"type": "resumption_handle", "handle": [1]}')
        await peer.until(Text)
        if peer.conn:
            raise ValueError("the provider has a defect")

    config = SessionConfig(options={"key": one}, retry=Recurs(1))
    async with open_session(scripted(script), config) as session:
        for _ in range(2):
            await session.send(Text("x", turn="context"))
            await anyio.sleep(1.0)
        said.extend((repr(session), str(session), repr(session.frames)))
        said.extend(shown(session.config))
        said.extend(shown(session.statistics))
        said.extend(shown(await session.outcome()))
        async for event in session.events():
            said.extend(shown(event))


def lived(one: Secret, backend: str) -> list[str]:
    said = list[str]()
    with Ears() as ears:
        try:
            run(_lived, one, said, backend=backend)
        except RealtimeException as failure:
            said.extend((*traceback.format_exception(failure), repr(failure.args)))
            said.extend(shown(failure.error))
    assert any("ValueError" in text for text in said)
    return [*said, *ears.said]


class TestSecretsStayIn:
    """67. No secret is in any string the library gives out."""

    @staticmethod
    def law(secret: str) -> None:
        for one in held(secret):
            for value in values(one):
                assert not any(secret in text for text in shown(value)), type(value).__name__
            assert one.reveal() == secret

    @given(SECRETS)
    def test_values(self, secret: str) -> None:
        self.law(secret)

    @both
    @pytest.mark.parametrize("which", [0, 1], ids=["text", "callable"])
    def test_a_whole_session(self, backend: str, which: int) -> None:
        secret = KEY
        said = lived(held(secret)[which], backend)
        assert len(said) > 100
        assert not [text for text in said if secret in text]

    @both
    def test_a_misplaced_key_is_not_quoted(self, backend: str) -> None:
        async def program() -> None:
            async with open_session(scripted(Peer.drain), api_key=KEY):
                raise AssertionError("it opened")

        with pytest.raises(RealtimeException) as failure:
            run(program, backend=backend)
        assert "api_key" in str(failure.value)
        assert KEY not in "".join(traceback.format_exception(failure.value))

    def test_a_secret_that_is_asked_for_anew_is_never_kept(self) -> None:
        answers = iter(("first", "second"))
        secret = Secret(lambda: next(answers))
        assert (secret.reveal(), secret.reveal()) == ("first", "second")

    def test_fault_shows_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Secret, "__repr__", lambda self: f"Secret({self.reveal()})")
        catches(self.law, SECRETS, tries=5)

    def test_fault_lets_it_be_pickled(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Secret, "__reduce__", lambda self: (Secret, (self.reveal(),)))
        catches(self.law, SECRETS, tries=5)

    def test_fault_a_session_that_says_too_much(self, monkeypatch: pytest.MonkeyPatch) -> None:
        enter = driver.Driver.push

        def loud(self: Any, frame: Any) -> Any:
            logging.getLogger("x").debug("%s", self.state.plan.config.options["key"].reveal())
            return enter(self, frame)

        monkeypatch.setattr(driver.Driver, "push", loud)
        assert [text for text in lived(Secret(KEY), "asyncio") if KEY in text]


# --- 69 ---------------------------------------------------------------------------------------


def elsewhere(backend: str, how: str, hash_seed: str) -> bytes:
    """Give the traces of some stories as another process tells them."""
    paths = os.pathsep.join(map(str, (ROOT.parent, ROOT.parent / "providers")))
    return subprocess.run(
        [sys.executable, "-m", "tests.laws.traces", backend, how],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": paths},
        cwd=ROOT.parent,
        check=True,
        capture_output=True,
    ).stdout


class TestReplay:
    """69. Seed and script give the same trace, byte for byte."""

    @staticmethod
    def law(story: Story) -> None:
        one, other = (as_json(apart(story, backend)) for backend in BACKENDS)
        assert one == other

    @given(stories())
    def test_both_backends_tell_the_same(self, story: Story) -> None:
        self.law(story)

    @both
    @given(stories())
    def test_a_story_told_twice_is_the_same(self, backend: str, story: Story) -> None:
        assert as_json(played(story, backend)) == as_json(played(story, backend))

    def test_other_processes_with_other_hash_seeds_tell_the_same(self) -> None:
        told = {elsewhere(backend, "apart", seed) for backend in BACKENDS for seed in ("0", "77")}
        assert len(told) == 1
        assert len(told.pop()) > 1_000

    @both
    def test_so_do_they_when_all_is_late_and_things_meet(self, backend: str) -> None:
        assert elsewhere(backend, "tied", "1") == elsewhere(backend, "tied", "4242")

    @both
    @given(stories())
    def test_a_recorded_session_replays_to_the_same_effects(
        self, backend: str, story: Story
    ) -> None:
        self.replays(story, backend)

    @staticmethod
    def replays(story: Story, backend: str = "asyncio") -> None:
        inputs, transitions = list[Input](), list[Transition]()
        states = list[State]()

        def recorded(codec: Any, state: State, given: Input) -> Transition:
            if not states:
                states.append(state)
            inputs.append(given)
            transitions.append(step(codec, state, given))
            return transitions[-1]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(driver, "step", recorded)
            played(story, backend)
        state = states[0]
        for given_, transition in zip(inputs, transitions, strict=True):
            again = step(ScriptedCodec(), state, given_)
            assert repr(again) == repr(transition)
            state = again.state

    def test_fault_reads_the_clock(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(incoming, "emit", _clocked)
        catches(self.replays, stories())
        catches(self.law, stories())

    def test_fault_order_of_hashes(self) -> None:
        """Things named in the order of their hashes, which each process chooses anew."""
        told = {elsewhere("asyncio", "hashed", seed) for seed in ("0", "1", "2", "3")}
        assert len(told) > 1


def _clocked(state: State, now: moment.Moment, event: RealtimeEvent) -> None:
    moment.emit(state, now._replace(at=time.monotonic()), event)


# --- 70 ---------------------------------------------------------------------------------------

IMPURE = frozenset(
    (
        *("anyio", "asyncio", "trio", "time", "random", "os", "logging", "io", "sys", "socket"),
        *("threading", "datetime", "secrets", "uuid", "pathlib", "subprocess", "ssl", "tempfile"),
        *("shutil", "contextvars", "gc", "weakref", "signal", "warnings", "importlib"),
    )
)
ACTS = frozenset(("open", "print", "input", "exec", "eval", "globals", "vars", "setattr", "id"))


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Give the modules that a module imports, ours as `.name`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")


def reachable(start: str) -> dict[str, ast.AST]:
    """Give the modules of the core that one needs, with all that those need."""
    found: dict[str, ast.AST] = {}
    todo = [start]
    while todo:
        name = todo.pop()
        path = ROOT.joinpath(*name.split("."))
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if name in found:
            continue
        found[name] = ast.parse(file.read_text())
        package = name.split(".") if path.is_dir() else name.split(".")[:-1]
        for _, target in imports(found[name]):
            if target.startswith("."):
                level = len(target) - len(target.lstrip("."))
                base = package[: len(package) - level + 1]
                todo.append(".".join([*base, target.lstrip(".")]))
    return found


def impurities(tree: ast.AST) -> list[str]:
    """Give what a module does that a pure one does not."""
    found = [
        f"line {line}: imports {name}"
        for line, name in imports(tree)
        if name.split(".")[0] in IMPURE
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Global | ast.Nonlocal | ast.Await | ast.AsyncFunctionDef):
            found.append(f"line {node.lineno}: {type(node).__name__}")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            found += [f"line {node.lineno}: {node.func.id}"] * (node.func.id in ACTS)
    return found


class Watched(Fold):
    """A session folded by hand that sees whether a step changes what it was given."""

    def give(self, given: Input) -> Any:
        known, asked = repr(self.state), repr(given)
        before, mine = self.state, len(self.steps)
        refusal = super().give(given)
        assert (repr(before), repr(given)) == (known, asked), "nothing given was changed"
        again = step(self.codec, before, given)
        first = Transition(self.steps[mine].after, self.steps[mine].effects, refusal)
        assert repr(again) == repr(first), "the same twice"
        return refusal


class TestPureStep:
    """70. The reducer reads nothing but what it is given, and changes nothing of it."""

    def test_the_machine_and_all_it_needs_are_pure(self) -> None:
        modules = reachable("machine")
        assert {"machine", "incoming", "heard", "turn", "config", "audio.format"} <= set(modules)
        assert not {"driver", "session", "outlet", "doors"} & set(modules)
        found = {name: impurities(tree) for name, tree in modules.items()}
        assert {name: faults for name, faults in found.items() if faults} == {}

    @pytest.mark.parametrize(
        "source",
        [
            "import time",
            "from os import environ",
            "import logging.handlers",
            "def f():\n    from random import random",
            "def f():\n    global x",
            "async def f(): ...",
            "open('x')",
            "print(1)",
        ],
    )
    def test_fault_in_a_source_is_seen(self, source: str) -> None:
        assert len(impurities(ast.parse(source))) == 1

    @staticmethod
    def law(story: Story) -> None:
        session = Watched(ScriptedCodec(), story.plan)
        welcome(session)
        act(session, story.timeline)
        session.close()

    @given(stories())
    def test_a_step_changes_nothing_and_repeats(self, story: Story) -> None:
        self.law(story)

    def test_fault_changes_a_counter_in_place(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def in_place(state: State, reason: str, amount: int = 1) -> State:
            counts: Any = state.counts
            counts[reason] = counts.get(reason, 0) + amount
            return state

        monkeypatch.setattr(incoming, "count", in_place)
        catches(self.law, stories())

    def test_fault_reads_the_clock(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(incoming, "emit", _clocked)
        catches(self.law, stories())
