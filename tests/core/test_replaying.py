"""A replay: the same decisions again, checked one by one, and the same messages as a provider."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec.structs import replace
from returns.result import Failure, Result

from realtime_core import (
    PCM_16K,
    AudioOutput,
    AuthFailed,
    Codec,
    Coded,
    Connected,
    Disconnected,
    Frame,
    InternalFault,
    InvalidRequest,
    ProtocolViolation,
    Provider,
    RealtimeError,
    RealtimeEvent,
    RealtimeException,
    Reconnected,
    Recurs,
    ResponseDone,
    Text,
    Warning,
    Wire,
    open_session,
    resolve,
)
from realtime_core.codec import Outgoing
from realtime_core.provider import INCOMPLETE
from realtime_core.recording import recorded
from realtime_core.replaying import Diverged, events, load, replay, replayed
from realtime_core.testing import no_leaks, run
from realtime_core.testing.scripted import Peer, ScriptedCodec, scripted
from tests.core.short import R1, R2, done, sound, started
from tests.stand_in import stand_in

CODEC = ScriptedCodec()
Decoded = Result[Coded[int], RealtimeError]


async def answering(peer: Peer) -> None:
    """Answer for two seconds, then lose the connection; the second one ends after a second."""
    if peer.conn == 0:
        await peer.until(Text)
        await peer.say(started(R1), sound(24_000))
        await anyio.sleep(1)
        await peer.say(sound(24_000), done(R1))
        await anyio.sleep(1)
        raise ConnectionResetError("the cable was pulled")
    await peer.say(started(R2))
    await anyio.sleep(1)
    await peer.say(done(R2))
    raise RealtimeException(AuthFailed(what="The key was withdrawn."))


PROVIDER = scripted(answering)
SETTINGS: dict[str, Any] = {"retry": Recurs(1), "output_format": PCM_16K, "connect_timeout": 7}


async def talked(
    path: Path, provider: Provider[Any] | None = None, **settings: Any
) -> list[RealtimeEvent]:
    made = provider if provider is not None else scripted(answering)
    wish = {**SETTINGS, **settings}
    opening = open_session(made, session_id="s", random=lambda: 0.5, **wish)
    async with recorded(opening, path) as session:
        await session.send(Text("hello"))
        return [event async for event in session.events()]


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recorded run."""
    path = tmp_path_factory.mktemp("trace") / "call.rt"
    run(talked, path)
    return path


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> list[RealtimeEvent]:
    """What its consumer got."""
    return run(talked, tmp_path_factory.mktemp("trace") / "call.rt")


# --- through the machine ----------------------------------------------------------------------


def test_an_eager_consumer_gets_what_he_got_then(call: Path, live: list[RealtimeEvent]) -> None:
    trace = load(call)
    assert repr(list(events(trace, replayed(trace, CODEC)))) == repr(live)


def test_the_codec_is_found_by_the_recorded_name(
    call: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = load(call)
    with pytest.raises(RealtimeException) as refusal:
        list(replayed(trace))
    assert "no provider named 'scripted'" in refusal.value.error.what
    stand_in(monkeypatch, PROVIDER)
    assert len(list(replayed(trace._replace(provider="local")))) == len(trace.entries)


class Changed(ScriptedCodec):
    """A codec of another version."""

    def decode(self, state: int, wire: Wire) -> Result[Coded[int], RealtimeError]:
        result = super().decode(state, wire)
        if "response_started" in str(wire):
            return self.differs(result)
        return result

    def differs(self, result: Decoded) -> Decoded:
        return result.map(lambda coded: coded._replace(events=()))


class Raising(Changed):
    def differs(self, result: Decoded) -> Decoded:
        raise ZeroDivisionError


class Sending(Changed):
    def differs(self, result: Decoded) -> Decoded:
        return result.map(lambda coded: coded._replace(wires=(b"more",)))


class Failing(Changed):
    def differs(self, result: Decoded) -> Decoded:
        return Failure(ProtocolViolation(what="No."))


@pytest.mark.parametrize("codec", [Changed(), Raising(), Sending(), Failing()])
def test_the_first_step_that_differs_is_told(call: Path, codec: Codec[Any]) -> None:
    trace = load(call)
    number = next(
        place
        for place, one in enumerate(trace.entries, start=1)
        if b"response_started" in b"".join(getattr(one.given, "wires", ()))
    )
    steps = replayed(trace, codec)
    for _ in range(number - 1):
        next(steps)
    with pytest.raises(Diverged) as divergence:
        next(steps)
    assert (divergence.value.step, divergence.value.kind) == (number, "Received")
    error = divergence.value.error
    assert error.what.startswith(f"Step {number} (Received, at 0.000 s) differs: ")
    assert error.code == "diverged"
    assert error.cause
    assert error.fix


def test_a_step_that_is_missing_shows(call: Path) -> None:
    trace = load(call)
    with pytest.raises(Diverged):
        list(replayed(trace._replace(entries=(*trace.entries[:2], *trace.entries[3:])), CODEC))


class Defective(ScriptedCodec):
    """A codec with a defect."""

    def encode(self, state: int, frame: Outgoing) -> Result[Coded[int], RealtimeError]:
        raise ZeroDivisionError


def test_a_run_that_a_defect_ended_is_replayed_too(tmp_path: Path) -> None:
    with pytest.raises(RealtimeException):
        run(talked, tmp_path / "call.rt", replace(PROVIDER, codec=Defective()))
    *_, (_, transition) = replayed(load(tmp_path / "call.rt"), Defective())
    assert isinstance(transition.state.ending, InternalFault)


@pytest.mark.parametrize("name", ["no.rt", ".", "nul\0.rt"])
def test_a_file_that_cannot_be_read_is_told(name: str) -> None:
    with pytest.raises(RealtimeException) as refusal:
        load(name)
    error = refusal.value.error
    assert isinstance(error, InvalidRequest)
    assert f"{name!r} cannot be read" in error.what
    assert error.cause
    assert error.fix


# --- as a provider ----------------------------------------------------------------------------


async def heard(provider: Provider[Frame], **settings: Any) -> list[tuple[float, RealtimeEvent]]:
    begun = anyio.current_time()
    async with open_session(provider, **settings) as session:
        return [(anyio.current_time() - begun, event) async for event in session.events()]


def by_provider(given_: list[RealtimeEvent]) -> list[str]:
    """Give what the provider said, without what depends on the caller."""
    kinds = (Connected, Warning, AudioOutput, ResponseDone, Reconnected, Disconnected)
    return [
        repr(replace(event, seq=0, epoch=0, at=0.0, **_unnamed(event)))
        for event in given_
        if isinstance(event, kinds)
    ]


def _unnamed(event: RealtimeEvent) -> dict[str, Any]:
    if isinstance(event, Reconnected):
        return {"lost": ()}  # nobody has asked anything here
    return {"session_id": ""} if isinstance(event, Connected) else {}


@pytest.mark.parametrize(("speed", "seconds"), [(1.0, 3.0), (4.0, 0.75), (0.5, 6.0), (0, 0.0)])
def test_it_says_again_what_was_said_with_its_own_timing(
    call: Path, live: list[RealtimeEvent], anyio_backend: str, speed: float, seconds: float
) -> None:
    with no_leaks():
        provider = replay(str(call), provider=PROVIDER, speed=speed)
        got = run(heard, provider, backend=anyio_backend)
    assert by_provider([event for _, event in got]) == by_provider(live)
    assert got[-1][0] == seconds
    sounds = [at for at, event in got if isinstance(event, AudioOutput)]
    assert sounds == ([0.0, 1.0 / speed] if speed else [0.0, 0.0])


def test_with_a_gate_it_goes_step_by_step(call: Path, anyio_backend: str) -> None:
    async def program() -> list[str]:
        steps, let = anyio.create_memory_object_stream[None](0)
        told = list[str]()
        provider = replay(str(call), provider=PROVIDER, gate=let.receive)
        async with anyio.create_task_group() as tasks:

            async def listen() -> None:
                async with open_session(provider) as session:
                    async for event in session.events():
                        told.append(type(event).__name__)

            tasks.start_soon(listen)
            for _ in range(8):
                told.append("-")
                await steps.send(None)
                await anyio.sleep(1)
        steps.close()
        let.close()
        return told

    told = run(program, backend=anyio_backend)
    lines = [line.split() for line in " ".join(told).split("-")[1:]]
    assert [line[-1:] for line in lines] == [
        ["Warning"],
        ["AudioOutput"],
        ["ResponseDone"],
        [],
        ["Reconnected"],
        ["ResponseStarted"],
        ["ResponseDone"],
        ["Disconnected"],
    ]


def test_it_is_the_recorded_provider_to_whoever_asks(call: Path) -> None:
    made = replay(str(call), provider=PROVIDER)
    plan = load(call).start.plan
    assert (made.name, made.capabilities, made.defaults) == (
        "scripted",
        PROVIDER.capabilities,
        plan.config,
    )
    assert repr(made.agree(made.capabilities, made.defaults).unwrap()) == repr(plan)
    other = made.agree(made.capabilities, replace(made.defaults, fps=2.0)).unwrap()
    assert other.config.fps == 2.0


def test_a_replay_can_be_recorded_and_replayed(call: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.rt"
    run(talked, again, replay(str(call), provider=PROVIDER))
    assert load(again).provider == "scripted"
    assert list(replayed(load(again), CODEC))


def test_what_is_pushed_is_taken_and_forgotten(call: Path) -> None:
    async def program() -> list[str]:
        async with open_session(replay(str(call), provider=PROVIDER)) as session:
            await session.send(Text("hello"))
            await session.interrupt()
            return [type(event).__name__ async for event in session.events()]

    assert run(program)[-1] == "Disconnected"


def test_it_can_be_left_at_any_time(call: Path, anyio_backend: str) -> None:
    async def program() -> None:
        async with open_session(replay(str(call), provider=PROVIDER)):
            await anyio.sleep(0.5)

    with no_leaks():
        run(program, backend=anyio_backend)


def test_after_its_last_connection_it_is_over(tmp_path: Path) -> None:
    run(lambda: talked(tmp_path / "call.rt", retry=Recurs(0)))
    provider = replay(str(tmp_path / "call.rt"), provider=PROVIDER, speed=0)
    last = run(lambda: heard(provider, retry=Recurs(5)))[-1][1]
    assert isinstance(last, Disconnected)
    assert last.error is not None
    assert last.error.what == "The trace is over: connections in it: 1."
    with pytest.raises(RealtimeException, match="The trace is over"):
        run(heard, provider)


def test_a_connection_that_could_not_be_made_fails_again(tmp_path: Path) -> None:
    def dial(plan: object) -> Any:
        raise ConnectionRefusedError("nobody is at home")

    path = tmp_path / "call.rt"
    with pytest.raises(RealtimeException):
        run(talked, path, replace(scripted(answering), dial=dial))
    with pytest.raises(RealtimeException, match="could not be made"):
        run(heard, replay(str(path), provider=PROVIDER))


def test_a_connection_that_ended_in_good_order_does_so_again(tmp_path: Path) -> None:
    async def script(peer: Peer) -> None:
        await peer.until(Text)
        await anyio.sleep(1)

    run(lambda: talked(tmp_path / "call.rt", scripted(script), retry=Recurs(0)))
    ((at, last),) = run(heard, replay(str(tmp_path / "call.rt"), provider=PROVIDER))[-1:]
    assert isinstance(last, Disconnected)
    assert (at, last.reason) == (1.0, "The provider closed the connection.")


def test_a_run_that_was_cut_off_ends_in_good_order(call: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.rt"
    size = next(len(data) for data in _growing(call) if b"response_started" in data)
    path.write_bytes(call.read_bytes()[: size + 3])
    assert load(path).torn == 3
    got = run(heard, replay(str(path), provider=PROVIDER))
    assert [type(event).__name__ for _, event in got][-2:] == ["ResponseDone", "Disconnected"]


def _growing(path: Path) -> Iterator[bytes]:
    source, data = BytesIO(path.read_bytes()), b""
    while length := source.read(4):
        data += length + source.read(int.from_bytes(length, "big"))
        yield data


def test_it_is_found_by_name_with_the_options_of_the_recorded_one(
    call: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = list[dict[str, Any]]()

    class Entry:
        def __init__(self, make: Callable[..., Provider[Any]]) -> None:
            self.load = lambda: make

    def made(model: str, **given_: Any) -> Provider[Any]:
        options.append(given_)
        return PROVIDER

    entries = {"replay": Entry(replay), "scripted": Entry(made)}
    monkeypatch.setattr("realtime_core.provider.installed", lambda: entries)
    found = resolve(f"replay:{call}", speed=0, region="eu").unwrap()
    assert options == [{"region": "eu"}]
    assert run(heard, found)[-1][0] == 0.0
    del entries["scripted"]
    assert "no provider named 'scripted'" in resolve(f"replay:{call}").failure().what


@pytest.mark.parametrize("speed", [-1, float("nan"), float("inf")])
def test_a_speed_that_is_none_is_refused(call: Path, speed: float) -> None:
    with pytest.raises(RealtimeException, match="cannot run at speed"):
        replay(str(call), speed=speed)


def test_without_a_file_it_is_no_provider() -> None:
    error = resolve("replay").failure()
    assert error.code == INCOMPLETE
    assert "`replay:call.rt`" in error.fix
