"""A recorded run as a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from returns.result import Result

from realtime_core import Coded, Disconnected, RealtimeError, Text, Wire, open_session
from realtime_core.recording import recorded
from realtime_core.replaying import Diverged
from realtime_core.testing import replay, run
from realtime_core.testing.scripted import Peer, ScriptedCodec, scripted
from tests.core.short import R1, done, sound, started, words
from tests.stand_in import stand_in


async def answering(peer: Peer) -> None:
    await peer.until(Text)
    await peer.say(started(R1), words("Hi"), sound(), done(R1))


@pytest.fixture
def call(tmp_path: Path) -> Path:
    async def talked() -> None:
        opening = open_session(replace(scripted(answering), name="local"))
        async with recorded(opening, tmp_path / "call.rt") as session:
            await session.send(Text("hello"))
            [event async for event in session.events()]

    run(talked)
    return tmp_path / "call.rt"


def test_it_gives_what_happened_and_what_followed(call: Path) -> None:
    run_ = replay(call, scripted(answering))
    kinds = [type(event).__name__ for event in run_.events]
    assert kinds[0] == "Connected"
    assert {"AgentTranscript", "AudioOutput", "ResponseDone"} <= set(kinds)
    assert isinstance(run_.events[-1], Disconnected)
    assert [event.seq for event in run_.events] == list(range(len(run_.events)))
    assert [type(one).__name__ for one in run_.inputs[:2]] == ["Begun", "Linked"]
    assert len(run_.inputs) == len(run_.transitions) == len(run_.states) - 1
    assert run_.states[0] == run_.trace.start
    assert [type(effect).__name__ for effect in run_.effects[:2]] == ["Dial", "Arm"]


def test_the_provider_is_found_by_its_name(call: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, scripted(answering))
    assert replay(str(call)).events


def test_another_decision_fails_the_test(call: Path) -> None:
    class Mute(ScriptedCodec):
        def decode(self, state: int, wire: Wire) -> Result[Coded[int], RealtimeError]:
            return super().decode(state, wire).map(_without_sound)

    with pytest.raises(Diverged):
        replay(call, replace(scripted(answering), codec=Mute()))


def _without_sound(coded: Coded[Any]) -> Coded[Any]:
    return coded._replace(events=tuple(e for e in coded.events if not hasattr(e, "pcm")))
