"""Failover: who is asked for what, who takes over when, and what the next one is told."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from msgspec.structs import replace
from returns.result import Failure

from realtime_core import (
    PCM_16K,
    PCM_24K,
    Audio,
    AuthFailed,
    Capabilities,
    CommitAudio,
    Connected,
    Disconnected,
    Error,
    InternalFault,
    InvalidRequest,
    Link,
    Message,
    Provider,
    RateLimited,
    RealtimeEvent,
    RealtimeException,
    Reconnected,
    Recurs,
    SessionConfig,
    SessionEnding,
    Spaced,
    Text,
    ToolSpec,
    Unavailable,
    Unsupported,
    UpdateSession,
    Warning,
    failover,
    open_session,
    resolve,
)
from realtime_core.codec import Coded, Resume
from realtime_core.plan import Plan
from realtime_core.provider import INCOMPLETE
from realtime_core.state import Dial, Phase, Standby, Timer
from realtime_core.testing import run
from realtime_core.testing.fold import Fold
from realtime_core.testing.scripted import SCRIPTED, Greeting, Peer, Script, ScriptedCodec, scripted
from tests.core.short import done, names, of, say, sent, started, taken, welcome

LOST = Unavailable(what="The cable was pulled.")
REFUSED = AuthFailed(what="The key was withdrawn.")
HISTORY = replace(SCRIPTED, resumption="none")
HANDLE = b'{"type": "resumption_handle", "handle": "take me back"}'


async def silent(peer: Peer) -> None:
    await peer.drain()


async def absent(peer: Peer) -> None:
    raise RealtimeException(REFUSED)


def named(
    name: str, script: Script = silent, able: Capabilities = HISTORY, **defaults: Any
) -> Provider[Any]:
    provider = scripted(script, replace(able, provider=name), welcome=script is not absent)
    return replace(provider, name=name, defaults=SessionConfig(**defaults))


def agreed(*providers: Provider[Any], **wish: Any) -> Plan:
    made = failover(*providers)
    return made.agree(made.capabilities, replace(made.defaults, **wish)).unwrap()


def moving(first: Capabilities = HISTORY, second: Capabilities = HISTORY, **wish: Any) -> Fold:
    """Give an open session with a second provider, and no retry unless one is given."""
    providers = named("first", able=first), named("second", able=second)
    plan = agreed(*providers, **wish)
    session = Fold(failover(*providers).codec, plan)
    welcome(session)
    taken(session)
    sent(session)
    return session


def place(session: Fold) -> int:
    return session.state.plan.place


# --- what is agreed ---------------------------------------------------------------------------


def test_it_is_the_primary_with_others_behind_it() -> None:
    first, second = named("first", voice="ann"), named("second")
    both = failover(replace(first, variables=("KEY", "A")), replace(second, variables=("KEY", "B")))
    assert both.name == "failover:first,second"
    assert both.capabilities is first.capabilities
    assert both.defaults == first.defaults
    assert both.variables == ("KEY", "A", "B")


def test_each_is_asked_for_the_same_session_with_a_model_and_voice_of_its_own() -> None:
    first = named("first", model="one", voice="ann", barrier_timeout=0.25)
    second = named("second", model="two", voice="joe", barrier_timeout=1.0, options={"x": 1})
    plan = agreed(first, second, instructions="Be brief.", voice="eve")
    assert (plan.place, plan.config.model, plan.config.voice) == (0, "one", "eve")
    successor = plan.successor
    assert successor is not None
    assert (successor.place, successor.successor) == (1, None)
    told = successor.config
    assert (told.model, told.voice, told.options) == ("two", "joe", {"x": 1})
    assert told.instructions == "Be brief."
    assert told.barrier_timeout == 1.0
    agreed_on = agreed(first, second, barrier_timeout=0.5).successor
    assert agreed_on is not None
    assert agreed_on.config.barrier_timeout == 0.5


def test_one_that_cannot_hold_the_session_is_refused_before_anything_is_dialled() -> None:
    both = failover(named("first"), named("second", able=replace(HISTORY, tools=False)))
    wish = SessionConfig(tools=(ToolSpec(name="a"),))
    refusal = both.agree(both.capabilities, wish)
    assert isinstance(refusal, Failure)
    assert "'second' does not offer tools" in refusal.failure().what


def test_each_may_hear_and_speak_in_a_format_of_its_own() -> None:
    lower = replace(HISTORY, audio_in=(PCM_16K,), audio_out=(PCM_16K,))
    plan = agreed(named("first"), named("second", able=lower))
    assert plan.successor is not None
    assert (plan.input_format, plan.successor.input_format) == (PCM_24K, PCM_16K)
    assert (plan.output_format, plan.successor.output_format) == (PCM_24K, PCM_16K)


def test_several_in_one_are_several_of_all() -> None:
    inner = failover(named("b"), named("c"))
    made = failover(named("a"), inner)
    assert made.name == "failover:a,b,c"
    plan = made.agree(made.capabilities, SessionConfig()).unwrap()
    assert [plan.at(place).capabilities.provider for place in (0, 1, 2)] == ["a", "b", "c"]
    assert plan.at(2).successor is None


# --- by name ----------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["", "local", "local,", ",", " , "])
def test_it_needs_two_names(model: str) -> None:
    refusal = resolve(f"failover:{model}").failure()
    assert isinstance(refusal, InvalidRequest)
    assert (refusal.code, "failover:openai,local" in refusal.fix) == (INCOMPLETE, True)


def test_the_names_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[str]()

    def given(name: str, options: Any) -> Provider[Any]:
        assert not options
        asked.append(name)
        return named(name.partition(":")[0])

    monkeypatch.setattr("realtime_core.takeover.provided", given)
    made = resolve("failover:openai:gpt-realtime, local").unwrap()
    assert asked == ["openai:gpt-realtime", "local"]
    assert made.name == "failover:openai,local"


def test_an_unknown_name_is_an_error_of_its_own() -> None:
    with pytest.raises(RealtimeException) as caught:
        failover("nobody", named("second"))
    assert "nobody" in caught.value.error.what


# --- lost for good ----------------------------------------------------------------------------


def test_who_cannot_be_tried_again_is_left_at_once_and_the_next_is_told_what_was_said() -> None:
    session = moving(SCRIPTED, SCRIPTED, retry=Spaced(1.0))
    session.push(Text("Hold the line.", turn="context"))
    session.receive(HANDLE)
    sent(session)
    session.lose(REFUSED)
    assert (place(session), session.state.phase) == (1, Phase.RESUMING)
    welcome(session)
    (greeting,) = of(Greeting, sent(session))
    assert (greeting.handle, greeting.history) == (None, 1)
    (event,) = of(Reconnected, taken(session))
    assert (event.provider, event.restored) == ("second", "history")
    assert (event.conn, event.lost) == (1, ("sound of earlier turns",))


def test_who_can_be_tried_again_is_left_after_the_last_try() -> None:
    session = moving(retry=Recurs(2))
    for _ in range(2):
        session.lose(LOST)
        assert place(session) == 0
        session.wait(0.0)
    session.lose(LOST)
    assert place(session) == 1
    welcome(session)
    session.lose(LOST)  # the next one has as many tries
    session.wait(0.0)
    assert (place(session), session.state.phase) == (1, Phase.RESUMING)
    session.lose(REFUSED)
    (end,) = of(Disconnected, taken(session))
    assert end.error == REFUSED


def test_one_that_goes_on_as_before_is_not_named() -> None:
    session = moving(retry=Recurs(1))
    session.lose(LOST)
    session.wait(0.0)
    welcome(session)
    assert of(Reconnected, taken(session))[0].provider == ""


def test_a_defect_of_ours_is_no_reason_to_ask_another() -> None:
    session = moving()
    session.lose(InternalFault(what="A defect."))
    assert (place(session), session.state.phase) == (0, Phase.CLOSED)


def test_who_remembers_nothing_says_so() -> None:
    session = moving(second=replace(HISTORY, history=False))
    session.lose(LOST)
    welcome(session)
    (event,) = of(Reconnected, taken(session))
    assert (event.provider, event.restored) == ("second", "nothing")


def test_what_the_next_one_lacks_is_told_with_it() -> None:
    session = moving(second=replace(HISTORY, voices=("joe",)), voice="eve")
    assert session.state.plan.successor is not None
    assert session.state.plan.successor.config.voice == ""  # voices are each one's own
    session = moving(second=replace(HISTORY, user_transcripts=False))
    session.lose(LOST)
    welcome(session)
    reconnected, why, warning = taken(session)
    assert isinstance(reconnected, Reconnected)
    assert why == replace(why, field="provider", why="first was left: The cable was pulled.")
    assert isinstance(warning, Warning)
    assert "second does not write down" in warning.why


def test_an_answer_in_progress_is_cut_and_the_next_ones_limit_holds() -> None:
    session = moving(replace(HISTORY, session_seconds=480.0), HISTORY)
    say(session, started())
    taken(session)
    assert Timer.ENDING in session.state.due
    session.lose(LOST)
    assert Timer.ENDING not in session.state.due
    assert names(taken(session)) == ["Interrupted", "ResponseDone"]
    welcome(session)
    assert names(taken(session)) == ["Reconnected", "Warning"]
    session.wait(1_000.0)
    assert session.state.phase is Phase.OPEN


def test_a_first_connection_that_fails_goes_to_the_next_one_too(anyio_backend: str) -> None:
    async def program() -> tuple[str, str]:
        both = failover(named("first", absent), named("second"))
        async with open_session(both) as session:
            events = session.events()
            event = await anext(events)
            assert isinstance(event, Connected)
            return event.capabilities.provider, session.capabilities.provider

    both = failover(named("first", absent), named("second", absent))

    async def nobody() -> None:
        with pytest.raises(RealtimeException) as caught:
            async with open_session(both):
                pass
        assert caught.value.error == REFUSED

    assert run(program, backend=anyio_backend) == ("second", "second")
    run(nobody, backend=anyio_backend)


# --- make before break ------------------------------------------------------------------------


def test_one_that_is_ending_is_made_anew_before_another_is_asked() -> None:
    session = moving()
    say(session, SessionEnding(left=60.0))
    session.link()
    welcome(session)
    assert (place(session), session.state.conn) == (0, 1)


def test_where_it_cannot_be_made_anew_the_next_stands_before_it_is_left() -> None:
    session = moving()
    say(session, started(), SessionEnding(left=60.0))
    session.lose(REFUSED, conn=1)
    assert (session.state.standby, place(session)) == (Standby.DIALLED, 0)
    session.link()
    assert (session.state.standby, place(session)) == (Standby.STANDS, 0)
    taken(session)
    say(session, done())
    taken(session)
    session.wait(2.0)
    assert (place(session), session.state.conn) == (1, 1)
    welcome(session)
    (event,) = of(Reconnected, taken(session))
    assert (event.provider, event.restored) == ("second", "history")


@pytest.mark.parametrize("error", [LOST, RateLimited(what="x", retry_after=100.0)])
def test_the_last_moment_to_make_another_is_not_missed(error: Any) -> None:
    session = moving()
    say(session, SessionEnding(left=20.0))
    session.lose(error, conn=1)
    while session.state.heir is None:
        session.wait(5.0)
        session.lose(error, conn=1)
    assert session.at <= 15.0
    session.link()
    assert place(session) == 1


def test_one_that_cannot_take_itself_up_again_is_changed_for_one_that_can() -> None:
    session = moving(replace(HISTORY, history=False))
    say(session, SessionEnding(left=20.0))
    assert (session.state.standby, session.state.conn) == (Standby.DIALLED, 0)
    session.link()
    assert place(session) == 1


@pytest.mark.parametrize("history", [True, False])
def test_nobody_is_left_early_for_one_that_remembers_nothing(history: bool) -> None:
    session = moving(replace(HISTORY, history=history), replace(HISTORY, history=False))
    say(session, SessionEnding(left=20.0))
    if history:
        session.lose(REFUSED, conn=1)
    assert (session.state.standby, place(session)) == (None, 0)
    session.lose(LOST)
    assert place(session) == 1


def test_a_third_one_is_asked_where_the_second_is_not_there_either() -> None:
    providers = [named(name) for name in ("first", "second", "third")]
    session = Fold(failover(*providers).codec, agreed(*providers))
    welcome(session)
    say(session, SessionEnding(left=60.0))
    session.lose(REFUSED, conn=1)
    session.lose(REFUSED, conn=1)
    session.link()
    assert place(session) == 2


def test_a_loss_takes_the_one_that_is_made_beside() -> None:
    session = moving()
    say(session, SessionEnding(left=60.0))
    session.lose(REFUSED)  # its next connection is being made: it may be refused as well
    assert (place(session), session.state.phase) == (0, Phase.RESUMING)
    session.lose(REFUSED)
    assert (place(session), session.state.conn) == (1, 2)
    assert Dial(2) in session.steps[-1].effects


def test_who_remembers_is_asked_over_one_that_does_not() -> None:
    blind = replace(HISTORY, history=False)
    providers = named("first", able=blind), named("second", able=blind), named("third")
    session = Fold(failover(*providers).codec, agreed(*providers))
    welcome(session)
    say(session, SessionEnding(left=60.0))
    session.link()
    assert place(session) == 2


def test_a_defect_at_the_next_one_is_no_end_of_this_one(anyio_backend: str) -> None:
    async def first(peer: Peer) -> None:
        await peer.say(SessionEnding(left=20.0))
        await peer.drain()

    @asynccontextmanager
    async def broken(plan: Plan) -> AsyncGenerator[Link]:
        raise LookupError("no such entry in the vault")
        yield

    async def program() -> Reconnected:
        blind = replace(HISTORY, history=False)
        second = replace(named("second"), dial=broken)
        async with open_session(
            failover(named("first", first, blind), second, named("third"))
        ) as s:
            async for event in s.events():
                if isinstance(event, Reconnected):
                    return event
        raise AssertionError("it ended")

    assert run(program, backend=anyio_backend).provider == "third"


def test_one_that_ends_and_fails_in_one_read_is_hung_up(anyio_backend: str) -> None:
    ended = list[float]()

    async def first(peer: Peer) -> None:
        if peer.conn == 0:
            await peer.say(SessionEnding(left=60.0), Error(error=LOST, recoverable=False))
        try:
            await peer.drain()
        finally:
            ended.append(anyio.current_time())

    async def program() -> None:
        async with open_session(failover(named("first", first), named("second"))) as session:
            await until(session.events(), lambda event: isinstance(event, Reconnected))
            await anyio.sleep(5.0)
            assert ended == [pytest.approx(0.0)]

    run(program, backend=anyio_backend)


# --- what goes along --------------------------------------------------------------------------


def test_a_changed_configuration_holds_for_who_takes_over() -> None:
    session = moving(voice="ann")
    wish = replace(session.state.plan.config, instructions="Sing.", voice="eve", model="m")
    assert session.push(UpdateSession(wish)) is None
    session.lose(LOST)
    welcome(session)
    (greeting,) = of(Greeting, sent(session))
    told = greeting.config
    assert (told.instructions, told.voice, told.model) == ("Sing.", "", "")


def test_one_that_stands_by_is_told_of_a_changed_configuration() -> None:
    session = moving(replace(HISTORY, history=False))
    say(session, SessionEnding(left=20.0))
    wish = replace(session.state.plan.config, instructions="Sing.")
    assert session.push(UpdateSession(wish)) is None
    sent(session)
    session.link()
    (greeting,) = of(Greeting, sent(session))
    assert (place(session), greeting.config.instructions) == (1, "Sing.")


def test_what_was_meant_for_one_that_was_left_is_no_wish_of_the_next() -> None:
    first = named("first", model="one", voice="ann", options={"x": 1})
    second = named("second", model="two", voice="joe")
    session = Fold(failover(first, second).codec, agreed(first, second))
    welcome(session)
    mine = session.state.plan.config
    session.lose(LOST)
    welcome(session)
    assert session.push(UpdateSession(replace(mine, instructions="Sing."))) is None
    config = session.state.plan.config
    assert (config.model, config.voice, config.options) == ("two", "joe", {})
    assert config.instructions == "Sing."
    assert session.push(UpdateSession(replace(config, voice="jim"))) is None
    assert session.state.plan.config.voice == "jim"


def test_a_change_that_one_of_them_could_not_make_is_refused() -> None:
    session = moving(second=replace(HISTORY, text_out=False))
    wish = replace(session.state.plan.config, modalities=("text",))
    refusal = session.push(UpdateSession(wish))
    assert isinstance(refusal, Unsupported)
    assert "'second' does not offer answers in text alone" in refusal.what
    assert session.state.plan.config.modalities == ("audio",)
    assert not of(UpdateSession, sent(session))


def test_what_the_next_one_lacks_of_a_change_is_told_when_it_takes_over() -> None:
    session = moving(second=replace(HISTORY, user_transcripts=False), transcribe_user=False)
    wish = replace(session.state.plan.config, transcribe_user=True)
    assert session.push(UpdateSession(wish)) is None
    session.lose(LOST)
    welcome(session)
    warnings = of(Warning, taken(session))
    assert [warning.field for warning in warnings] == ["provider", "transcribe_user"]


def test_formats_are_each_ones_own_for_ever() -> None:
    low = replace(HISTORY, audio_in=(PCM_16K,), audio_out=(PCM_16K,))
    session = moving(second=low)
    wish = replace(session.state.plan.config, input_format=PCM_24K, instructions="Sing.")
    assert session.push(UpdateSession(wish)) is None
    session.lose(LOST)
    welcome(session)
    config = session.state.plan.config
    assert (session.state.plan.input_format, config.input_format) == (PCM_16K, None)
    assert session.push(UpdateSession(replace(config, instructions="Hum."))) is None


def test_a_first_connection_to_the_next_one_takes_the_whole_history() -> None:
    first, second = named("first", able=replace(HISTORY, history=False)), named("second")
    said = (Message("user", "I am Ann."), Message("assistant", "Hello, Ann."))
    session = Fold(failover(first, second).codec, agreed(first, second, history=said))
    session.lose(REFUSED)
    welcome(session)
    (greeting,) = of(Greeting, sent(session))
    assert (greeting.history, session.state.conversation) == (2, said)
    connected, why = taken(session)
    assert isinstance(connected, Connected)
    assert isinstance(why, Warning)
    assert (why.field, why.why) == ("provider", "first was left: The key was withdrawn.")


class Leaving(ScriptedCodec):
    """A codec that keeps what an older connection had left."""

    def __init__(self) -> None:
        self.left: list[object] = []

    def greet(self, plan: Plan, resume: Resume | None) -> Coded[int]:
        self.left.append(None if resume is None else resume.left)
        return super().greet(plan, resume)


def test_what_a_codec_left_is_shown_to_it_alone() -> None:
    codecs = Leaving(), Leaving()
    providers = [
        replace(named(name), codec=codec)
        for name, codec in zip(("first", "second"), codecs, strict=True)
    ]
    session = Fold(failover(*providers).codec, agreed(*providers, retry=Recurs(1)))
    welcome(session)
    session.push(Text("Hold the line.", turn="context"))
    for _ in range(4):
        session.lose(LOST)
        session.wait(0.0)
        welcome(session)
        session.wait(11.0 if place(session) else 0.0)
    assert codecs[0].left == [None, 2]
    assert codecs[1].left == [None, 1, 1]


def test_messages_that_change_nothing_leave_the_same_state() -> None:
    class Still(ScriptedCodec):
        def decode(self, state: int, wire: Any) -> Any:
            return super().decode(state, wire).map(lambda coded: coded._replace(state=state))

    provider = replace(named("first"), codec=Still())
    codec = failover(provider, named("second")).codec
    plan = agreed(provider, named("second"))
    state = codec.greet(plan, None).state
    assert codec.decode(state, HANDLE).unwrap().state is state


def test_sound_goes_in_as_whoever_hears_it_takes_it(anyio_backend: str) -> None:
    heard: dict[str, list[Any]] = {"first": [], "second": []}

    def ear(name: str, sounds: int) -> Script:
        async def script(peer: Peer) -> None:
            for _ in range(sounds):
                frame = await peer.until(Audio, CommitAudio)
                heard[name].append(frame)
            if name == "first":
                raise RealtimeException(REFUSED)
            await peer.drain()

        return script

    lower = replace(HISTORY, audio_in=(PCM_16K,))

    async def program() -> None:
        both = failover(named("first", ear("first", 1)), named("second", ear("second", 3), lower))
        async with open_session(both) as session:
            events = session.events()
            await session.send(Audio(bytes(960), PCM_16K))
            await until(events, lambda event: isinstance(event, Reconnected))
            assert session.input_format == PCM_16K
            await session.send(Audio(bytes(640), PCM_16K))
            await session.send(Audio(bytes(960), PCM_24K))
            await session.send(CommitAudio())
            await anyio.wait_all_tasks_blocked()

    run(program, backend=anyio_backend)
    (first,) = heard["first"]
    assert first.format == PCM_24K
    plain, made, *rest = heard["second"]
    assert (plain.pcm, plain.format) == (bytes(640), PCM_16K)
    assert made.format == PCM_16K
    assert rest


async def until(events: Any, enough: Callable[[RealtimeEvent], bool]) -> None:
    async for event in events:
        if enough(event):
            return
    raise AssertionError("it never came")


def test_history_begins_with_what_was_given(anyio_backend: str) -> None:
    async def leave(peer: Peer) -> None:
        raise RealtimeException(REFUSED)

    async def program() -> tuple[int, tuple[Message, ...]]:
        greetings = list[Greeting]()

        async def script(peer: Peer) -> None:
            (greeting,) = of(Greeting, peer.sent)
            greetings.append(greeting)
            await peer.drain()

        both = failover(named("first", leave), named("second", script))
        said = (Message("user", "I am Ann."), Message("assistant", "Hello, Ann."))
        async with open_session(both, history=said) as session:
            await until(session.events(), lambda event: isinstance(event, Reconnected))
            await anyio.wait_all_tasks_blocked()
            return greetings[0].history, session.history

    count, history = run(program, backend=anyio_backend)
    assert (count, [message.text for message in history]) == (2, ["I am Ann.", "Hello, Ann."])


def test_unsupported_frames_are_judged_by_who_speaks_now() -> None:
    session = moving(second=replace(HISTORY, update=False))
    session.lose(LOST)
    welcome(session)
    assert isinstance(session.push(UpdateSession(SessionConfig())), Unsupported)
