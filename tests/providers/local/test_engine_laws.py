"""Laws of the engine: over generated scripts, and at every instant at which anything can happen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.link import Link
from realtime_core.testing import Injection, every_point
from realtime_core.testing import run as run_virtually
from realtime_core.transports.memory import memory_link
from realtime_local import wire
from realtime_local.engine import run
from realtime_local.parts import Parts, ToolChoice
from tests.providers.local.scripted_parts import (
    Caller,
    FakeEars,
    FakeEyes,
    FakeHands,
    FakeMind,
    FakeMouth,
    engine,
    silence,
    speech,
)

WEATHER = wire.Tool("weather", "the weather in a place", {"type": "object"})
ANSWERS: dict[str, Sequence[str] | Exception] = {
    "hello": ("One two. ", "Three. "),
    "bad": ValueError("no thought"),
}
WORDS = ("hello", "bad", "weather", "one", "the")


class Cast:
    """All parts, and whether any of them is still at work."""

    def __init__(self) -> None:
        self.ears = FakeEars(over=lambda text: 0.9 if len(text) % 2 else 0.1)
        self.mind = FakeMind(ANSWERS)
        self.mouth = FakeMouth()
        self.hands = FakeHands({"weather": [ToolChoice("weather", "{}")]})
        self.eyes = FakeEyes()
        self.parts = Parts(self.ears, self.mind, self.mouth, self.hands, self.eyes)

    def assert_idle(self) -> None:
        gates = (self.ears.gate, self.mind.gate, self.mouth.gate, self.hands.gate, self.eyes.gate)
        assert [gate.waiting for gate in gates] == [0] * 5
        assert self.mind.running == self.mouth.running == 0


def assert_lawful(log: Sequence[wire.EngineMessage]) -> None:
    """One answer at a time, each with one end; spans that are exact; turns that alternate."""
    open_: str | None = None
    seen, ended, asked = set[str](), set[str](), set[str]()
    speaking, sounds = False, dict[str, int]()
    words = dict[str, str]()
    for message in log:
        match message:
            case wire.ResponseCreated():
                assert open_ is None
                assert message.response not in seen
                open_ = message.response
                seen.add(open_)
            case wire.ResponseFinished():
                assert message.response == open_
                ended.add(open_)
                open_ = None
            case wire.AudioDelta():
                assert message.response == open_
                sounds[message.item] = sounds.get(message.item, 0) + len(message.pcm) // 2
            case wire.Spoken(final=False):
                assert message.response == open_
                assert message.start == sounds.get(message.item, 0)
                words[message.item] = words.get(message.item, "") + message.text
            case wire.Spoken(final=True):
                assert message.response == open_
                assert message.text == words[message.item].rstrip()
            case wire.AudioDone():
                assert message.response == open_
            case wire.Requested():
                assert message.response == open_
                assert message.call not in asked
                asked.add(message.call)
            case wire.Speech():
                assert not speaking
                speaking = True
            case wire.SpeechEnd():
                assert speaking
                speaking = False
            case wire.Transcript():
                pass
            case wire.Ready() | wire.Fault():
                pass
    finals = [one.item for one in log if isinstance(one, wire.Transcript) and one.final]
    assert len(set(finals)) == len(finals), "a turn's words are final once"
    assert finals == sorted(finals, key=lambda item: int(item[1:]))


SOUNDS: dict[str, bytes] = {
    **{word: speech(word) for word in WORDS},
    "bad weather": speech("bad weather"),
    "the one the": speech("the one the"),
    **{f"{ms} ms of silence": silence(ms) for ms in (40, 200, 900)},
    **{f"{frames} frames of noise": speech("hm")[: 1_024 * frames] for frames in (1, 2, 6)},
}
MESSAGES = st.one_of(
    st.sampled_from(WORDS).map(lambda word: wire.Typed(text=word)),
    st.sampled_from(
        [
            wire.Create(request="q"),
            wire.Create(request="p", instructions="Sing."),
            wire.Cancel(response="r0"),
            wire.Cancel(response="r1"),
            wire.Truncate(item="i0", samples=1, text="One"),
            wire.Delete(item="i1"),
            wire.Commit(),
            wire.Clear(),
            wire.ToolOutput(call="c0", output="sunny"),
            wire.Image(data=b"A", mime="image/png"),
            wire.Update(settings=wire.Settings()),
            wire.Update(settings=wire.Settings(manual=True)),
        ]
    ),
)
GATES = ("ears", "mind", "mouth", "hands", "eyes")
STEPS = st.lists(
    st.one_of(
        st.sampled_from(sorted(SOUNDS)),
        MESSAGES,
        st.tuples(st.sampled_from(GATES), st.booleans()),
    ),
    max_size=25,
)
SETTINGS = st.builds(
    wire.Settings,
    manual=st.booleans(),
    barge_in=st.booleans(),
    tools=st.sampled_from([(), (WEATHER,)]),
    max_tokens=st.sampled_from([None, 1]),
)


@given(STEPS, SETTINGS)
def test_whatever_the_session_says_the_answers_keep_the_grammar(
    anyio_backend: str,
    steps: list[str | wire.SessionMessage | tuple[str, bool]],
    settings: wire.Settings,
) -> None:
    cast = Cast()

    async def play() -> None:
        async with engine(cast.parts, settings) as caller:
            for step in steps:
                if isinstance(step, str):
                    await caller.send(wire.InputAudio(pcm=SOUNDS[step]))
                elif isinstance(step, tuple):
                    gate = getattr(cast, step[0]).gate
                    gate.open() if step[1] else gate.shut()
                    await caller.heard()
                else:
                    await caller.send(step)
            for name in GATES:
                getattr(cast, name).gate.open()
            await caller.audio(silence(1_000))
            assert_lawful(caller.log)
            created = sum(isinstance(one, wire.ResponseCreated) for one in caller.log)
            ended = sum(isinstance(one, wire.ResponseFinished) for one in caller.log)
            assert created == ended, "every answer ends"
            if not settings.manual:
                requests = [s for s in steps if isinstance(s, wire.Create)]
                answered = [
                    one
                    for one in caller.log
                    if isinstance(one, wire.ResponseCreated) and one.request is not None
                ]
                assert len(answered) == len(requests), "every answer asked for is given"
        cast.assert_idle()

    run_virtually(play, backend=anyio_backend)


async def _talk(link: Link) -> list[wire.EngineMessage]:
    """A conversation with all that takes time in it: a guess, a tool, a picture, a barge-in."""
    caller = Caller(link)
    settings = wire.Settings(tools=(WEATHER,))
    with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
        await caller.send(wire.Start(settings=settings))
        await caller.send(wire.Image(data=b"A", mime="image/png"))
        await caller.audio(speech("one"), silence(100), chunk=4_096)
        await caller.audio(speech("two"), silence(300), chunk=4_096)
        await caller.audio(speech("weather"), silence(300), chunk=4_096)
        await caller.send(wire.ToolOutput(call="c0", output="sunny"))
    return caller.log


def _around(
    act: Callable[[anyio.CancelScope, Link], Callable[[], object]],
    after: Callable[[Caller, Cast], Awaitable[object]] | None = None,
) -> Callable[[Injection], Awaitable[object]]:
    """Make the scenario: the conversation above with one act in it, then what must hold."""

    async def scenario(point: Injection) -> None:
        cast, scope = Cast(), anyio.CancelScope()
        ours, theirs = memory_link(float("inf"))

        async def serve() -> None:
            async with theirs:
                with scope:
                    await point.drive(run(cast.parts, theirs), act(scope, ours))

        async with anyio.create_task_group() as tasks, ours:
            tasks.start_soon(serve)
            log = await _talk(ours)
            if after is not None:
                caller = Caller(ours)
                caller.log = log
                await after(caller, cast)
            assert_lawful(log)
            scope.cancel()
        cast.assert_idle()

    return scenario


def _of_the_engine(name: str) -> bool:
    return "realtime_local" in name or "Reply." in name or "Hearing." in name


def test_cancelling_at_any_instant_leaves_nothing(anyio_backend: str) -> None:
    instants = every_point(
        _around(lambda scope, _: scope.cancel), backend=anyio_backend, tasks=_of_the_engine
    )
    assert instants > 100


def test_the_end_of_the_link_at_any_instant_ends_all(anyio_backend: str) -> None:
    instants = every_point(
        _around(lambda _, link: link.aclose), backend=anyio_backend, tasks=_of_the_engine
    )
    assert instants > 100


@pytest.mark.parametrize(
    "message",
    [
        wire.InputAudio(pcm=speech("stop") + silence(300)),
        wire.Create(request="q"),
        pytest.param(wire.Cancel(response="r0"), marks=pytest.mark.slow),
        pytest.param(wire.Clear(), marks=pytest.mark.slow),
        pytest.param(wire.Truncate(item="i0", samples=1, text="I"), marks=pytest.mark.slow),
        pytest.param(wire.Update(settings=wire.Settings()), marks=pytest.mark.slow),
    ],
    ids=lambda message: type(message).__name__,
)
def test_a_message_at_any_instant_breaks_no_law(
    anyio_backend: str, message: wire.SessionMessage
) -> None:
    async def settled(caller: Caller, cast: Cast) -> None:
        await caller.audio(silence(1_000), chunk=4_096)
        created = [m.response for m in caller.log if isinstance(m, wire.ResponseCreated)]
        ended = [m.response for m in caller.log if isinstance(m, wire.ResponseFinished)]
        assert created == ended
        assert created

    def send(_: anyio.CancelScope, link: Link) -> Callable[[], object]:
        async def deliver() -> None:
            with suppress(anyio.ClosedResourceError):  # at the very end it comes too late
                await link.send((msgspec.json.encode(message),))

        return deliver

    every_point(_around(send, settled), backend=anyio_backend, tasks=_of_the_engine)
