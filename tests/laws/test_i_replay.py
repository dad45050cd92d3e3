"""I. Replay: 69 a recorded session decides the same again, byte for byte; 67 no secret in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from realtime_core import (
    AudioOutput,
    ItemId,
    Recurs,
    ResumptionHandle,
    Secret,
    SessionConfig,
    Text,
    Unknown,
    UpdateSession,
    UserTranscript,
    incoming,
    marks,
    open_session,
    packing,
    recording,
)
from realtime_core.codec import as_message
from realtime_core.driver import Watcher
from realtime_core.marks import Marks, hidden
from realtime_core.recording import recorded
from realtime_core.replaying import load, replayed
from realtime_core.session import Opening
from realtime_core.state import Emit, Input, Received, State, Transition
from realtime_core.testing import live, run
from realtime_core.testing.scripted import Peer, ScriptedCodec, scripted, written
from realtime_core.trace import Trace, entry, header
from tests.laws.stories import BACKENDS, Story, catches, played, stories
from tests.laws.test_i_secrets import SECRETS, _clocked
from tests.laws.traces import apart

both = pytest.mark.parametrize("backend", BACKENDS)
CODEC = ScriptedCodec()


class Recording(NamedTuple):
    """A story as it was lived, and the file it left."""

    lived: list[tuple[Input, Transition]]
    data: bytes
    trace: Trace


def record(story: Story, backend: str, play: Callable[..., object] = played) -> Recording:
    """Play a story on a real session that is recorded."""
    lived = list[tuple[Input, Transition]]()

    @contextmanager
    def watching(provider: object, state: State) -> Generator[Watcher]:
        yield lambda *step: lived.append(step)

    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder) / "call.rt"

        def opened(*given_: Any, **settings: Any) -> Opening[Any]:
            opening = recorded(open_session(*given_, session_id="s", **settings), path)
            opening.recorders += (watching,)
            return opening

        patch.setattr(live, "open_session", opened)
        play(story, backend)
        return Recording(lived, path.read_bytes(), load(path))


def sounds(steps: list[tuple[Input, Transition]]) -> list[bytes]:
    return [
        effect.event.pcm
        for _, transition in steps
        for effect in transition.effects
        if isinstance(effect, Emit) and isinstance(effect.event, AudioOutput)
    ]


def known(trace: Trace, steps: list[tuple[Input, Transition]]) -> Marks:
    """Give the marks at the end."""
    known_ = header(trace.provider, trace.start).marks
    for step in steps:
        known_ = entry(known_, *step).marks
    return known_


def replays(story: Story, backend: str = "asyncio") -> None:
    """The law: all that was decided is decided again, and the same file would be left."""
    told = record(story, backend)
    steps = list(replayed(told.trace, CODEC))
    assert len(steps) == len(told.lived)
    assert sounds(steps) == sounds(told.lived)
    secrets = known(told.trace, told.lived)
    for (_, before), (_, again) in zip(told.lived, steps, strict=True):
        assert repr(again[1:]) == hidden(repr(before[1:]), secrets)
    first = header(told.trace.provider, told.trace.start)
    data, known_ = first.data, first.marks
    for step in steps:
        record_ = entry(known_, *step)
        data, known_ = data + record_.data, record_.marks
    assert data == told.data


class TestARecordedSession:
    """69. It is replayed to the same effects."""

    @both
    @given(stories())
    def test_decides_the_same_again(self, backend: str, story: Story) -> None:
        replays(story, backend)

    @staticmethod
    def same(story: Story) -> None:
        one, other = (record(story, backend, apart).data for backend in BACKENDS)
        assert one == other
        assert record(story, "asyncio", apart).data == one

    @given(stories())
    def test_leaves_the_same_bytes_on_both_backends_and_every_time(self, story: Story) -> None:
        self.same(story)

    def test_fault_a_machine_that_reads_the_clock(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(incoming, "emit", _clocked)
        catches(replays, stories())
        catches(self.same, stories())

    def test_fault_a_recorder_that_forgets_what_the_consumer_took(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def forgetful(known_: Marks, given_: Input, transition: Transition) -> object:
            return entry(known_, replace(given_, delivered=()), transition)

        monkeypatch.setattr(recording, "entry", forgetful)
        catches(replays, stories())

    def test_fault_a_recorder_that_rounds_times(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def rounding(known_: Marks, given_: Input, transition: Transition) -> object:
            return entry(known_, replace(given_, at=round(given_.at)), transition)

        monkeypatch.setattr(recording, "entry", rounding)
        catches(replays, stories())

    def test_fault_a_recorder_that_cuts_sound(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def cutting(known_: Marks, given_: Input, transition: Transition) -> object:
            if isinstance(given_, Received):
                wires = tuple(wire.replace(b"AAAA", b"AA==") for wire in _bytes(given_))
                given_ = replace(given_, wires=wires)
            return entry(known_, given_, transition)

        monkeypatch.setattr(recording, "entry", cutting)
        catches(replays, stories())


def _bytes(given_: Received) -> list[bytes]:
    told = map(as_message, given_.wires)
    return [wire if isinstance(wire, bytes) else wire.encode() for wire in told]


# --- secrets ----------------------------------------------------------------------------------


async def _told(path: Path, key: str, handle: str, later: str) -> None:
    """Live a session in which everybody says what nobody should, once it is known as a secret."""

    async def script(peer: Peer) -> None:
        said = UserTranscript(item=ItemId("u"), text=f"It is {key}, {handle}.", final=True)
        (raw,) = written(Unknown(name="x", data=key))
        await peer.say(ResumptionHandle(handle=Secret(handle)), said)
        await peer.raw(json.dumps({"type": "moon_phase", "data": [key, handle]}), raw)
        await peer.raw(f"{key} {handle}", f"{key} {handle}".encode())
        await peer.until(UpdateSession)
        await peer.say(said, replace(said, item=ItemId("v"), text=later))
        await anyio.sleep(1)
        if not peer.conn:
            raise ConnectionResetError(key)

    config = SessionConfig(
        instructions=f"The key is {key}.",
        options={key: "as a name", "key": Secret(key), "more": [{"deep": Secret(key)}]},
        retry=Recurs(1),
    )
    opening = open_session(scripted(script), config, session_id=key)
    async with recorded(opening, path) as session:
        events = session.events()
        for _ in range(2):
            await anyio.sleep(0.5)
            await session.send(Text(f"{key} {handle}", participant=key))
            new = replace(config, options={"key": Secret(later), "text": later})
            await session.send(UpdateSession(new))
            await session.send(Text(later))
            await anyio.sleep(1)
    assert [event async for event in events]


class TestNoSecretInTheFile:
    """67. Whoever says it: it is not in the file, and the file is replayed all the same."""

    @staticmethod
    def law(three: tuple[str, str, str], backend: str = "asyncio") -> None:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "call.rt"
            run(_told, path, *three, backend=backend)
            data = path.read_bytes()
            for secret in three:
                for text in (secret, json.dumps(secret)[1:-1]):
                    assert text.encode() not in data
            assert list(replayed(load(path), CODEC))

    @both
    @given(st.tuples(SECRETS, SECRETS, SECRETS))
    def test_the_file_holds_none(self, backend: str, three: tuple[str, str, str]) -> None:
        self.law(three, backend)

    def test_fault_a_text_is_not_looked_at(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(packing, "hidden", lambda text, _: text)
        catches(self.law, st.tuples(SECRETS, SECRETS, SECRETS), tries=5)

    def test_fault_bytes_are_not_looked_at(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(packing, "hidden_bytes", lambda data, _: data)
        catches(self.law, st.tuples(SECRETS, SECRETS, SECRETS), tries=5)

    def test_fault_a_handle_is_no_secret(self, monkeypatch: pytest.MonkeyPatch) -> None:
        learn = marks.learn

        def deaf(known_: Marks, *secrets: Secret) -> Marks:
            return known_ if known_.given else learn(known_, *secrets)

        monkeypatch.setattr("realtime_core.trace.learn", deaf)
        catches(self.law, st.tuples(SECRETS, SECRETS, SECRETS), tries=20)
