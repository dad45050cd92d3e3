"""A recording: the file holds the run, and what happens to the file does not hit the session."""

from __future__ import annotations

import errno
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import anyio
import pytest

from realtime_core import (
    Disconnected,
    Error,
    InvalidRequest,
    RealtimeEvent,
    RealtimeException,
    Secret,
    SessionConfig,
    Text,
    ToolSpec,
    open_session,
)
from realtime_core.recording import recorded
from realtime_core.replaying import load, replayed
from realtime_core.testing import Injection, every_point, no_leaks, run
from realtime_core.testing.scripted import Peer, ScriptedCodec, scripted
from tests.core.short import R1, done, sound, started


async def answering(peer: Peer) -> None:
    """Answer each message with a second of sound."""
    while True:
        await peer.until(Text)
        await peer.say(started(R1), sound(24_000), done(R1))
        await peer.drain()


async def talked(path: Path, **settings: Any) -> list[RealtimeEvent]:
    """Hold a conversation that is recorded; give what the consumer got."""
    opening = open_session(scripted(answering), session_id="s", random=lambda: 0.5, **settings)
    async with recorded(opening, path) as session:
        events = session.events()
        got = [await anext(events)]
        await session.send(Text("hello"))
        await anyio.sleep(1)
        await session.interrupt()
    return [*got, *[event async for event in events]]


def test_a_run_is_recorded_to_its_end(tmp_path: Path, anyio_backend: str) -> None:
    path = tmp_path / "call.rt"
    run(talked, path, backend=anyio_backend)
    trace = load(path)
    assert (trace.provider, trace.start.session_id, trace.torn) == ("scripted", "s", 0)
    kinds = [type(one.given).__name__ for one in trace.entries]
    assert kinds[:3] == ["Begun", "Linked", "Received"]
    assert kinds[-1] == "Lost"
    assert len(list(replayed(trace, ScriptedCodec()))) == len(trace.entries)


def test_the_same_run_leaves_the_same_bytes(tmp_path: Path) -> None:
    for backend in ("asyncio", "trio", "asyncio"):
        run(talked, tmp_path / f"{backend}.rt", backend=backend)
        assert (tmp_path / f"{backend}.rt").read_bytes() == (tmp_path / "asyncio.rt").read_bytes()


def test_an_older_file_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "call.rt"
    path.write_bytes(bytes(1_000_000))
    run(talked, path)
    assert load(path).torn == 0


def test_several_can_record_one_session(tmp_path: Path) -> None:
    async def both() -> None:
        opening = recorded(open_session(scripted(answering)), tmp_path / "a.rt")
        async with recorded(opening, str(tmp_path / "b.rt")):
            pass

    run(both)
    assert (tmp_path / "a.rt").read_bytes() == (tmp_path / "b.rt").read_bytes()


# --- at the door ------------------------------------------------------------------------------


def refused(path: Path, **settings: Any) -> InvalidRequest:
    with pytest.raises(RealtimeException) as refusal:
        run(lambda: talked(path, **settings))
    assert isinstance(refusal.value.error, InvalidRequest)
    assert refusal.value.error.cause
    assert refusal.value.error.fix
    return refusal.value.error


@pytest.mark.parametrize("name", ["no/such/place.rt", ".", "nul\0.rt", "/dev/full"])
def test_a_file_that_cannot_be_written_is_told_before_anything_is_opened(
    tmp_path: Path, name: str
) -> None:
    assert repr(str(tmp_path / name)) in refused(tmp_path / name).what


def test_a_setting_that_cannot_be_recorded_is_told(tmp_path: Path) -> None:
    error = refused(tmp_path / "call.rt", voice=None)
    assert "SessionConfig.voice" in error.what
    endless: list[Any] = []
    endless.append(endless)
    error = refused(tmp_path / "call.rt", tools=(ToolSpec("a", parameters={"a": endless}),))
    assert "cannot be recorded" in error.what
    assert not (tmp_path / "call.rt").exists()


# --- while it runs ----------------------------------------------------------------------------


class Disk(BytesIO):
    """A file on a disk that is full after so many bytes."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > self._room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def of(room: int) -> None:
        monkeypatch.setattr(Path, "open", lambda *_: Disk(room))

    return of


def test_a_full_disk_ends_the_recording_and_not_the_session(
    anyio_backend: str, disk: Callable[[int], None]
) -> None:
    disk(10_000)
    with no_leaks():
        got = run(talked, Path("call.rt"), backend=anyio_backend)
    (told,) = [event for event in got if isinstance(event, Error)]
    assert told.recoverable
    assert "No space left on device" in told.error.what
    assert isinstance(got[-1], Disconnected)
    assert got[-1].clean


def test_what_cannot_be_recorded_ends_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime_core.trace.LIMIT", 5_000)
    got = run(talked, tmp_path / "call.rt")
    (told,) = [event for event in got if isinstance(event, Error)]
    assert "is larger than 5000" in told.error.what
    assert load(tmp_path / "call.rt").torn == 0


class Last(BytesIO):
    """A file that fails when it is closed."""

    def close(self) -> None:
        super().close()
        raise OSError(errno.EIO, "Input/output error")


def test_a_failure_at_the_very_end_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "open", lambda *_: Last())
    with pytest.raises(RealtimeException, match="Input/output error"):
        run(talked, Path("call.rt"))


def test_it_does_not_hide_what_the_block_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "open", lambda *_: Last())

    async def failing() -> None:
        async with recorded(open_session(scripted(answering)), "call.rt"):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(failing)


def test_a_failure_that_no_event_can_tell_is_raised(disk: Callable[[int], None]) -> None:
    """The last record finds no room; the session is over by then."""

    async def quiet() -> None:
        async with recorded(open_session(scripted(answering), session_id="s"), "call.rt"):
            pass

    room = Disk(1_000_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", lambda *_: room)
        patch.setattr(room, "close", lambda: None)
        run(quiet)
    disk(len(room.getvalue()) - 1)
    with pytest.raises(RealtimeException, match="No space left on device"):
        run(quiet)


def test_a_failure_that_was_told_is_not_raised_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class Both(Disk, Last):
        pass

    monkeypatch.setattr(Path, "open", lambda *_: Both(10_000))
    got = run(talked, Path("call.rt"))
    assert len([event for event in got if isinstance(event, Error)]) == 1


def test_a_recording_that_is_cancelled_anywhere_is_whole(
    tmp_path: Path, anyio_backend: str
) -> None:
    path = tmp_path / "call.rt"

    async def scenario(point: Injection) -> None:
        with anyio.CancelScope() as scope:
            await point.drive(talked(path), scope.cancel)
        trace = load(path)
        assert trace.torn == 0
        assert len(list(replayed(trace, ScriptedCodec()))) == len(trace.entries)

    assert every_point(scenario, backend=anyio_backend) > 5


def test_secrets_are_absent(tmp_path: Path) -> None:
    key = "sk-0123456789"
    config = SessionConfig(options={"key": Secret(key)}, instructions=f"It is {key}.")
    run(lambda: talked(tmp_path / "call.rt", config=config))
    assert key.encode() not in (tmp_path / "call.rt").read_bytes()
