"""The server: it says what the service says, and no mistake of a client escapes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from time import time
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from realtime_core import (
    AgentTranscript,
    AudioOutput,
    AuthFailed,
    Disconnected,
    Frame,
    Interrupted,
    InvalidRequest,
    Provider,
    RateLimited,
    RealtimeError,
    RealtimeEvent,
    RealtimeSession,
    ResponseDone,
    ResponseStarted,
    Secret,
    Text,
    TimedOut,
    ToolCall,
    ToolResult,
    ToolSpec,
    Unavailable,
    UserTranscript,
    open_session,
)
from realtime_core.config import TurnDetection
from realtime_core.events import Usage
from realtime_core.frames import Audio
from realtime_core.schedule import Recurs
from realtime_core.testing import run
from realtime_core.testing.conformance import check_trace
from realtime_nova import Credentials, nova
from realtime_nova.chunks import chunk
from realtime_nova.framing import Timestamp, encode
from realtime_nova.server import Caller, Loopback, Script, loopback
from realtime_nova.server.ear import Ear, listened
from realtime_nova.server.telling import Voice, interrupted, sounding
from realtime_nova.signing import Chain, sign_chunk
from tests.providers.nova.hand import (
    AUDIO,
    CLOSE,
    PROMPT,
    SESSION,
    SOUND,
    SYSTEM,
    Hand,
    block,
    calling,
    fill,
    opening,
    prompt,
    start,
    stop,
    wire,
)
from tests.providers.nova.watching import KEYS, MODEL, Way, ours, until
from tests.providers.nova.wires import FIRST, planned

Talk = Callable[[RealtimeSession[Frame], list[RealtimeEvent]], Awaitable[None]]

LOUD = b"\x00\x40" * 8_000
SECOND = bytes(range(256)) * 187 + bytes(128)
LOOK = ToolSpec("look")
PLAN = planned()


def inside(here: Loopback, model: str = "") -> Provider[Frame]:
    made = nova(model)
    return replace(made, dial=here.dial, defaults=replace(made.defaults, retry=Recurs(0)))


def talked(
    backend: str, script: Script, talk: Talk, model: str = "", **config: Any
) -> tuple[list[RealtimeEvent], Loopback]:
    """Let a session talk with a script, on virtual time; gives its trace."""

    async def program() -> tuple[list[RealtimeEvent], Loopback]:
        seen = list[RealtimeEvent]()
        async with loopback(script, port=None) as here:
            async with open_session(inside(here, model), **config) as session:
                await talk(session, seen)
            seen += [event async for event in session.events()]
            assert not check_trace(seen, complete=True)
            return seen, here

    return run(program, backend=backend)


def of(trace: list[RealtimeEvent], kind: type[Any]) -> list[Any]:
    return [event for event in trace if isinstance(event, kind)]


def finals(trace: list[RealtimeEvent]) -> list[str]:
    return [event.text for event in of(trace, AgentTranscript) if event.final]


async def done(session: RealtimeSession[Frame], seen: list[RealtimeEvent]) -> ResponseDone:
    return await until(session.events(), ResponseDone, seen)


# --- conversations ----------------------------------------------------------------------------


def test_a_typed_turn_and_a_spoken_one(anyio_backend: str) -> None:
    turns = list[str]()

    async def script(caller: Caller) -> None:
        turns.append(await caller.turn())
        await caller.answer("Hi there. And so on!", pcm=SECOND, usage=Usage(10, 20, 4, 6))
        turns.append(await caller.turn())
        await caller.heard("Well,", "what now?")
        await caller.answer("Nothing.", pcm=SECOND, pieces=2, usage=Usage(1, 2))
        await caller.until("session_end")

    async def talk(session: RealtimeSession[Frame], seen: list[RealtimeEvent]) -> None:
        await session.simple_response("Hi")
        assert (await done(session, seen)).usage == Usage(10, 20, 4, 6)
        await session.simple_audio_response(LOUD)
        assert (await done(session, seen)).usage == Usage(1, 2)

    trace, here = talked(anyio_backend, script, talk)
    assert turns == ["Hi", ""]
    assert finals(trace) == ["Hi there.", "And so on!", "Nothing."]
    assert [event.text for event in of(trace, UserTranscript) if event.final] == [
        "Well,",
        "what now?",
    ]
    assert b"".join(event.pcm for event in of(trace, AudioOutput)) == SECOND * 2
    (caller,) = here.callers
    assert caller.received[-1].session_end is not None
    assert caller.prompt.audio_output_configuration.sample_rate_hertz == 24_000
    assert caller.session.inference_configuration.max_tokens == 1_024


def test_calls_wait_for_their_results(anyio_backend: str) -> None:
    async def script(caller: Caller) -> None:
        await caller.turn()
        await caller.answer("Let me see.", calls=[("look", {"at": 1}), ("look", {"at": 2})])
        ids = caller.calls
        assert len(set(ids)) == 2
        assert await caller.results() == ('{"result":"saw 1"}', '{"result":"saw 2"}')
        assert caller.calls == ()
        (id,) = await caller.call(("look", {"at": 3}))
        assert await caller.results(id) == ('{"error":"saw 3"}',)
        await caller.answer("All seen.")
        await caller.until("session_end")

    async def talk(session: RealtimeSession[Frame], seen: list[RealtimeEvent]) -> None:
        await session.simple_response("Look")
        calls = [await until(session.events(), ToolCall, seen) for _ in range(2)]
        for call in reversed(calls):
            await session.send(ToolResult(call.call, f"saw {call.arguments[-2]}"))
        third = await until(session.events(), ToolCall, seen)
        await session.send(ToolResult(third.call, "saw 3", failed=True))
        await done(session, seen)

    trace, _ = talked(anyio_backend, script, talk, tools=(LOOK,))
    assert finals(trace) == ["Let me see.", "All seen."]
    assert len(of(trace, ResponseDone)) == 1


@pytest.mark.parametrize("form", ["both", "text", "stop"])
@pytest.mark.parametrize("stale", [0, 3])
def test_who_speaks_over_an_answer_cuts_it(form: Any, stale: int, anyio_backend: str) -> None:
    whole = list[bool]()

    async def script(caller: Caller) -> None:
        await caller.turn()
        text = "This is long. And longer still."
        whole.append(
            await caller.answer(text, pcm=SECOND, pieces=8, pace=0.5, stale=stale, form=form)
        )
        await caller.turn()
        await caller.heard("Stop")
        whole.append(await caller.answer("Yes?"))
        await caller.until("session_end")

    async def talk(session: RealtimeSession[Frame], seen: list[RealtimeEvent]) -> None:
        await session.simple_response("Tell")
        await until(session.events(), AudioOutput, seen)
        await session.send(Audio(LOUD, session.config.input_format or PLAN.input_format))
        cut = await until(session.events(), Interrupted, seen)
        assert cut.cause == "provider"
        await session.send(Audio(bytes(80_000), PLAN.input_format))
        while (await done(session, seen)).status != "completed":
            pass

    trace, _ = talked(anyio_backend, script, talk)
    assert whole == [False, True]
    assert Counter(one.cause for one in of(trace, Interrupted))["provider"] == 1
    assert [one.status for one in of(trace, ResponseDone)] == ["interrupted", "completed"]
    assert finals(trace)[-1] == "Yes?"


def test_an_interruption_by_hand_needs_no_word_of_the_service(anyio_backend: str) -> None:
    async def script(caller: Caller) -> None:
        await caller.turn()
        await caller.answer("This is long.", pcm=SECOND, pieces=8, pace=0.5)
        assert await caller.turn() == "Stop"
        await caller.answer("Yes?")
        await caller.until("session_end")

    async def talk(session: RealtimeSession[Frame], seen: list[RealtimeEvent]) -> None:
        await session.simple_response("Tell")
        await until(session.events(), AudioOutput, seen)
        await session.interrupt()
        await until(session.events(), Interrupted, seen)
        await session.simple_response("Stop")
        while (await done(session, seen)).status != "completed":
            pass

    trace, _ = talked(anyio_backend, script, talk)
    assert {one.cause for one in of(trace, Interrupted)} >= {"app"}
    assert finals(trace)[-1] == "Yes?"


def test_what_was_said_may_be_told_late_or_never(anyio_backend: str) -> None:
    async def script(caller: Caller) -> None:
        await caller.turn()
        await caller.answer("One. Two.", finals=False)
        await anyio.sleep(1)
        await caller.final("One.", "Two.")
        await caller.turn()
        await caller.answer("Three.", finals=False)
        await caller.turn()
        await caller.answer("Four.")
        await caller.until("session_end")

    async def talk(session: RealtimeSession[Frame], seen: list[RealtimeEvent]) -> None:
        await session.simple_response("a")
        await done(session, seen)
        await session.send(Text("b"))
        await until(session.events(), ResponseStarted, seen)
        await anyio.sleep(1)
        await session.send(Text("c"))
        for _ in range(2):
            await done(session, seen)

    trace, _ = talked(anyio_backend, script, talk)
    assert finals(trace) == ["One.", "Two.", "Three.", "Four."]
    assert [one.status for one in of(trace, ResponseDone)] == ["completed"] * 3


def test_the_first_model_hears_but_does_not_read(anyio_backend: str) -> None:
    async def script(caller: Caller) -> None:
        assert await caller.turn() == ""
        await caller.heard("Hello?")
        await caller.answer("Hi.")
        await caller.until("session_end")

    async def talk(session: RealtimeSession[Frame], seen: list[RealtimeEvent]) -> None:
        await session.simple_audio_response(LOUD)
        await done(session, seen)

    trace, _ = talked(anyio_backend, script, talk, model=FIRST)
    assert finals(trace) == ["Hi."]


@pytest.mark.parametrize(("eagerness", "pause"), [("high", 1.5), ("medium", 1.75), ("low", 2.0)])
def test_a_silence_ends_a_turn(eagerness: Any, pause: float, anyio_backend: str) -> None:
    async def script(caller: Caller) -> None:
        assert caller.desk.book.pause == pause * 1_000
        await caller.turn()
        await caller.answer("Hi.")
        await caller.until("session_end")

    async def talk(session: RealtimeSession[Frame], seen: list[RealtimeEvent]) -> None:
        form = PLAN.input_format
        await session.send(Audio(LOUD, form))
        await session.send(Audio(bytes(int(pause * 32_000) - 320), form))
        await anyio.sleep(1)
        await session.send(Audio(bytes(640), form))
        await done(session, seen)

    trace, _ = talked(
        anyio_backend, script, talk, turn_detection=TurnDetection(eagerness=eagerness)
    )
    assert len(of(trace, ResponseDone)) == 1


def test_the_ear_hears_turns() -> None:
    ear = listened(Ear(), LOUD + bytes(3_200) + LOUD, 16_000, 200)
    assert (ear.begun, ear.ended) == (1, 0), "a tenth of a second is no pause"
    ear = listened(ear, bytes(6_400) + LOUD, 16_000, 200)
    assert (ear.begun, ear.ended) == (2, 1)
    assert listened(Ear(), b"\x0f\x00" * 16_000, 16_000, 200) == Ear()


def test_an_interruption_is_told_in_every_form() -> None:
    voice, _ = sounding(Voice(), b"\0\0")
    told = {form: interrupted(voice, form).events for form in ("both", "text", "stop")}
    ends = {
        form: [(e.content_end.type, e.content_end.stop_reason) for e in events if e.content_end]
        for form, events in told.items()
    }
    assert ends == {
        "both": [("TEXT", "INTERRUPTED"), ("AUDIO", "INTERRUPTED")],
        "text": [("TEXT", "PARTIAL_TURN"), ("AUDIO", "END_TURN")],
        "stop": [("AUDIO", "INTERRUPTED")],
    }
    assert [e.text_output.content for e in told["text"] if e.text_output] == [
        '{ "interrupted" : true }'
    ]


def test_it_speaks_as_the_service_does(anyio_backend: str) -> None:
    async def script(caller: Caller) -> None:
        await caller.turn()
        await caller.heard("Hm?")
        await caller.answer("Hi.", pcm=b"\1\0", pieces=1, calls=[("f", {})], usage=Usage(1, 2, 1))
        await caller.next()

    heard = list[dict[str, Any]]()

    async def program() -> None:
        async with loopback(script, port=None) as here, here.dial(PLAN) as link:
            one = Hand(link)
            await one.say(*opening(), *block("t", "USER", "Hi", live=True))
            while not heard or "stopReason" not in str(heard[-1]) or "TOOL" not in str(heard[-1]):
                heard.extend(await one.heard())
            await one.say(*CLOSE)
            heard.append({"completionEnd": await one.until("completionEnd")})

    run(program, backend=anyio_backend)
    said = [
        (name, fields.get("type", ""), fields.get("role", ""), fields.get("stopReason", ""))
        for event in heard
        for name, fields in event.items()
    ]
    assert said == [
        ("completionStart", "", "", ""),
        ("contentStart", "TEXT", "USER", ""),
        ("textOutput", "", "USER", ""),
        ("contentEnd", "TEXT", "", "PARTIAL_TURN"),
        ("usageEvent", "", "", ""),
        ("contentStart", "TEXT", "ASSISTANT", ""),
        ("textOutput", "", "ASSISTANT", ""),
        ("contentEnd", "TEXT", "", "PARTIAL_TURN"),
        ("contentStart", "AUDIO", "ASSISTANT", ""),
        ("audioOutput", "", "ASSISTANT", ""),
        ("contentEnd", "AUDIO", "", "PARTIAL_TURN"),
        ("contentStart", "TEXT", "ASSISTANT", ""),
        ("textOutput", "", "ASSISTANT", ""),
        ("contentEnd", "TEXT", "", "END_TURN"),
        ("contentStart", "TOOL", "TOOL", ""),
        ("toolUse", "", "TOOL", ""),
        ("contentEnd", "TOOL", "", "TOOL_USE"),
        ("completionEnd", "", "", "END_TURN"),
    ]
    ids = [
        {*fields} & {"sessionId", "promptName", "completionId"}
        for e in heard
        for fields in e.values()
    ]
    assert all(len(found) == 3 for found in ids)
    stages = [f.get("additionalModelFields") for e in heard for f in e.values() if "role" in f]
    assert [one for one in stages if one] == [
        '{"generationStage":"FINAL"}',
        '{"generationStage":"SPECULATIVE"}',
        '{"generationStage":"FINAL"}',
    ]


# --- mistakes ---------------------------------------------------------------------------------

TOOLS = {
    "toolUseOutputConfiguration": {"mediaType": "application/json"},
    "toolConfiguration": {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": "{}"}}}]},
}
BAD_TOOL = {**TOOLS, "toolConfiguration": {"tools": [{"toolSpec": {"name": "f"}}]}}
RESULT = start("r", "TOOL", "TOOL", use="tu-9"), fill("r", "toolResult", "{}"), stop("r")
MISTAKES: dict[str, tuple[tuple[bytes, ...], str]] = {
    "no JSON": ((b"{",), "no JSON"),
    "an unknown event": ((wire("connectionEnd"),), "not known"),
    "two in one": (
        (b'{"event":{"sessionEnd":{},"sessionStart":{"inferenceConfiguration":{}}}}',),
        "not known",
    ),
    "no session": ((prompt(),), "prompt_start"),
    "no prompt": ((SESSION, *SYSTEM), "not open"),
    "a session in a session": ((SESSION, SESSION), "session is open"),
    "a second prompt": ((SESSION, prompt(), prompt()), "second prompt"),
    "another prompt": ((SESSION, prompt(), wire("promptEnd", promptName="q")), "not open"),
    "no SYSTEM block": ((SESSION, prompt(), SOUND), "SYSTEM"),
    "sound before its block": (
        (SESSION, prompt(), *SYSTEM, fill(AUDIO, "audioInput", "")),
        "not open",
    ),
    "half a sample": ((*opening(), fill(AUDIO, "audioInput", "AAAA")), "half a sample"),
    "a bracket closed twice": ((*opening(), stop(AUDIO), stop(AUDIO)), "not open"),
    "a second block of sound": (
        (*opening(), start("b", "AUDIO", "USER", live=True)),
        "second audio",
    ),
    "a name used again": ((*opening(), *block("system", "USER", "a", live=True)), "used before"),
    "history behind the sound": ((*opening(), stop(AUDIO), *block("h", "USER", "a")), "not open"),
    "words in the sound": ((*opening(), fill(AUDIO, "textInput", "a")), "type AUDIO"),
    "a prompt ended around a block": ((*opening(), CLOSE[1]), "blocks are open"),
    "a session ended around its prompt": ((*opening(), stop(AUDIO), CLOSE[2]), "prompt is open"),
    "an assistant first": (
        (SESSION, prompt(), *SYSTEM, *block("h", "ASSISTANT", "a")),
        "alternate",
    ),
    "a piece too long": (
        (SESSION, prompt(), *SYSTEM, *block("h", "USER", "a" * 1_025)),
        "1025 bytes",
    ),
    "too long a history": (
        (SESSION, prompt(), *SYSTEM, *block("h", "USER", *["a" * 1_000] * 41)),
        "too long",
    ),
    "no words": ((*opening(), fill("t", "textInput", "")), "without words"),
    "an empty block": ((SESSION, prompt(), *block("s", "SYSTEM")), "without words"),
    "nobody asked": ((*opening(**TOOLS), *RESULT), "waits for none"),
    "a tool without a schema": ((SESSION, prompt(**BAD_TOOL)), "schema"),
    "tools without their output": (
        (SESSION, prompt(toolConfiguration=TOOLS["toolConfiguration"])),
        "toolUseOutput",
    ),
    "a strange rate": ((SESSION, prompt(form={"sampleRateHertz": 44_100})), "form of sound"),
    "no voice": ((SESSION, prompt(form={"voiceId": ""})), "voice"),
    "a strange rate of the microphone": (
        (*opening()[:-1], start(AUDIO, "AUDIO", "USER", live=True, sampleRateHertz=48_000)),
        "form of sound",
    ),
    "a role that there is not": ((SESSION, prompt(), start("s", "TEXT", "TOOL")), "role"),
    "a nameless block": ((SESSION, prompt(), start("", "TEXT", "SYSTEM")), "name"),
    "no configuration": (
        (
            SESSION,
            prompt(),
            wire(
                "contentStart",
                promptName=PROMPT,
                contentName="s",
                type="TEXT",
                role="SYSTEM",
                interactive=False,
            ),
        ),
        "configuration",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_and_judged(name: str, anyio_backend: str) -> None:
    said, why = MISTAKES[name]
    ends = list[RealtimeError | None]()

    async def script(caller: Caller) -> None:
        await caller.until("session_end")
        raise AssertionError

    async def program() -> None:
        async with loopback(script, port=None) as here, here.dial(PLAN) as link:
            one = Hand(link)
            await one.say(*said)
            ends.append(await one.ended())

    with pytest.raises(AssertionError, match=why) as caught:
        run(program, backend=anyio_backend)
    assert "connection 0: " in str(caught.value)
    (end,) = ends
    assert isinstance(end, InvalidRequest)
    assert why in end.what


def test_a_result_that_cannot_be_read(anyio_backend: str) -> None:
    ends = list[RealtimeError | None]()

    async def script(caller: Caller) -> None:
        (id,) = await caller.call(("f", {}))
        await caller.results(id)

    async def program() -> Loopback:
        async with loopback(script, port=None) as here, here.dial(PLAN) as link:
            one = Hand(link)
            await one.say(*opening(**TOOLS))
            use = (await one.until("toolUse"))["toolUseId"]
            await one.say(start("r", "TOOL", "TOOL", use=use), fill("r", "toolResult", "well"))
            ends.append(await one.ended())
            return here

    with pytest.raises(AssertionError, match="parsing error"):
        run(program, backend=anyio_backend)
    assert isinstance(ends[0], Unavailable)


def test_a_script_that_nobody_judges_hears_what_there_is(anyio_backend: str) -> None:
    async def script(caller: Caller) -> None:
        await caller.until("session_end")
        assert len(caller.received) == 4

    async def program() -> Loopback:
        mirrored = loopback(script, port=None, welcome=False, mirrored=False)
        async with mirrored as here, here.dial(PLAN) as link:
            one = Hand(link)
            await one.say(SESSION, SESSION, CLOSE[2], CLOSE[2])
            assert await one.ended() is None
            return here

    assert run(program, backend=anyio_backend).violations == []


def test_what_a_script_raises_ends_the_test(anyio_backend: str) -> None:
    class OwnError(Exception): ...

    ends = list[RealtimeError | None]()

    async def script(caller: Caller) -> None:
        raise OwnError

    async def program() -> None:
        async with loopback(script, port=None, welcome=False) as here, here.dial(PLAN) as link:
            ends.append(await Hand(link).ended())

    with pytest.raises(OwnError):
        run(program, backend=anyio_backend)
    assert isinstance(ends[0], Unavailable)


ENDINGS: dict[str, tuple[Callable[[Caller], Awaitable[None]], type[RealtimeError] | None]] = {
    "in good order": (lambda caller: caller.close(), None),
    "throttled": (lambda caller: caller.fail("throttlingException"), RateLimited),
    "too slow": (lambda caller: caller.fail("modelTimeoutException", "late"), TimedOut),
    "refused": (lambda caller: caller.refuse(403, "AccessDeniedException"), AuthFailed),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_the_ends_are_the_same_without_a_socket(name: str, anyio_backend: str) -> None:
    by, kind = ENDINGS[name]

    async def program() -> RealtimeError | None:
        async with loopback(by, port=None) as here, here.dial(PLAN) as link:
            one = Hand(link)
            await one.say(*opening())
            return await one.ended()

    error = run(program, backend=anyio_backend)
    assert (type(error) if error is not None else None) is kind


@pytest.mark.parametrize("how", ["abort", "reset", "halve"])
def test_a_loss_is_one_without_a_socket_too(how: str, anyio_backend: str) -> None:
    async def script(caller: Caller) -> None:
        caller.go_away()
        if how == "halve":
            await caller.halve(sounding(Voice(), b"").events[0])
        else:
            getattr(caller, how)()

    async def program() -> RealtimeError | None:
        async with loopback(script, port=None) as here, here.dial(PLAN) as link:
            one = Hand(link)
            await one.say(*opening())
            return await one.ended()

    assert isinstance(run(program, backend=anyio_backend), Unavailable)


# --- over sockets -----------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.usefixtures("silent")
async def test_a_session_over_the_wire(way: Way) -> None:
    """Signed, framed, and closed in order by whoever leaves."""

    async def script(caller: Caller) -> None:
        assert caller.model == MODEL
        assert await caller.turn() == "Hi"
        await caller.answer("Hi there.", pcm=SECOND, calls=[("look", {})], usage=Usage(3, 5))
        await caller.results()
        await caller.answer("Seen.")
        await caller.turn()
        await caller.heard("Hello?")
        await caller.answer("Hello!", pcm=SECOND, usage=Usage(1, 2))
        await caller.gone()

    seen = list[RealtimeEvent]()
    with anyio.fail_after(20):
        async with loopback(script, ssl=way.server, credentials=KEYS) as here:
            async with open_session(ours(here.base_url, way), tools=(LOOK,)) as session:
                await session.simple_response("Hi")
                call = await until(session.events(), ToolCall, seen)
                await session.send(ToolResult(call.call, "a tree"))
                assert (await done(session, seen)).usage == Usage(3, 5)
                await session.simple_audio_response(LOUD)
                assert (await done(session, seen)).usage == Usage(1, 2)
            seen += [event async for event in session.events()]
            assert not check_trace(seen, complete=True)
            assert isinstance(seen[-1], Disconnected)
            assert seen[-1].clean
            (caller,) = here.callers
            assert [*caller.received][-1].session_end is not None
    assert finals(seen) == ["Hi there.", "Seen.", "Hello!"]
    assert b"".join(event.pcm for event in of(seen, AudioOutput))[: len(SECOND)] == SECOND


OTHER = Credentials(Secret("AKIDOTHER"), *[Secret("x")] * 2)
WRONG = Credentials(KEYS.access_key, Secret("x"), KEYS.session_token)
TOKENLESS = Credentials(KEYS.access_key, KEYS.secret_key)
PATH = f"/model/{MODEL}/invoke-with-bidirectional-stream"
DOORS: dict[str, tuple[dict[str, Any], str]] = {
    "another key": ({"keys": OTHER}, "UnrecognizedClientException"),
    "a wrong secret": ({"keys": WRONG}, "InvalidSignatureException"),
    "no token": ({"keys": TOKENLESS}, "UnrecognizedClientException"),
    "another region": ({"region": "eu-north-1"}, "InvalidSignatureException"),
    "no signature": ({"authorization": None}, "MissingAuthenticationTokenException"),
    "another token": ({"x_amz_security_token": "other"}, "UnrecognizedClientException"),
    "an unsigned header": ({"x_amz_other": "1"}, "IncompleteSignatureException"),
    "another body": ({"x_amz_content_sha256": "UNSIGNED-PAYLOAD"}, "IncompleteSignatureException"),
    "another date": ({"x_amz_date": "yesterday"}, "IncompleteSignatureException"),
    "another place": ({"path": "/model/x/converse"}, "UnknownOperationException"),
    "another kind of body": ({"content_type": "text/plain"}, "ValidationException"),
    "changed on the way": ({"content_type": "application/vnd.amazon.eventstream "}, ""),
}


@pytest.mark.anyio
@pytest.mark.parametrize("name", DOORS)
async def test_nobody_gets_in_who_does_not_sign(name: str) -> None:
    asked, why = DOORS[name]

    async def script(caller: Caller) -> None:
        await caller.until("session_end")

    stages = list[Loopback]()

    async def knock() -> RealtimeError | None:
        async with loopback(script, credentials=KEYS) as here:
            stages.append(here)
            async with calling(here, **asked) as one:
                if why:
                    return await one.ended()
                await one.say(*opening(), *CLOSE)
                await one.bye()
                return await one.ended()

    with anyio.fail_after(10):
        if not why:  # the space is not part of the header
            assert await knock() is None
            return
        with pytest.raises(AssertionError, match=why):
            await knock()
    (stage,) = stages
    assert [one.name for one in stage.refused] == [why]
    assert not stage.callers


@pytest.mark.anyio
@pytest.mark.parametrize("late", [-900.0, 900.0])
async def test_a_wrong_clock_is_told_and_no_violation(late: float) -> None:
    async def script(caller: Caller) -> None:
        await caller.turn()
        await caller.answer("Hi.")
        await caller.until("session_end")

    with anyio.fail_after(10):
        async with loopback(script, credentials=KEYS, now=lambda: time() + late) as here:
            async with calling(here) as one:
                error = await one.ended()
                assert isinstance(error, AuthFailed)
            async with open_session(ours(here.base_url)) as session:
                await session.simple_response("Hi")
                await done(session, [])
    assert [one.name for one in here.refused] == ["InvalidSignatureException"] * 2
    assert all("date" in one.headers for one in here.refused)


def _resigned(chain: Chain, payload: bytes, at: int) -> tuple[bytes, Chain]:
    """Sign upon something else than what came before."""
    return sign_chunk(chain._replace(signature="0" * 64), payload, at)


def _aged(chain: Chain, payload: bytes, at: int) -> tuple[bytes, Chain]:
    return sign_chunk(chain, payload, at - 900)


def _bare(chain: Chain, payload: bytes, at: int) -> tuple[bytes, Chain]:
    return payload, chain


def _untyped(chain: Chain, payload: bytes, at: int) -> tuple[bytes, Chain]:
    return encode({":date": Timestamp(at * 1_000), ":chunk-signature": "a"}, payload), chain


async def _swapped(one: Hand) -> None:
    first, second = (one.signed(chunk(event)) for event in (SESSION, prompt()))
    await one.raw(second, first)


async def _left_out(one: Hand) -> None:
    one.signed(chunk(SESSION))
    await one.say(*opening())


async def _twice(one: Hand) -> None:
    framed = one.signed(chunk(SESSION))
    await one.raw(framed, framed)


async def _changed(one: Hand) -> None:
    framed = bytearray(one.signed(chunk(SESSION)))
    framed[-20] ^= 1
    await one.raw(bytes(framed))


async def _two_inside(one: Hand) -> None:
    await one.raw(one.signed(chunk(SESSION) * 2))


async def _another_kind(one: Hand) -> None:
    headers = {":event-type": "chunk", ":message-type": "exception"}
    await one.raw(one.signed(encode(headers, b'{"bytes":"e30="}')))


async def _no_base64(one: Hand) -> None:
    headers = {
        ":event-type": "chunk",
        ":message-type": "event",
        ":content-type": "application/json",
    }
    await one.raw(one.signed(encode(headers, b'{"bytes":"?"}')))


async def _unended(one: Hand) -> None:
    await one.say(*opening(), *CLOSE)
    await one.raw(end=True)


async def _cut(one: Hand) -> None:
    await one.raw(one.signed(chunk(SESSION))[:-5], end=True)


async def _beyond(one: Hand) -> None:
    await one.say(*opening(), *CLOSE)
    await one.raw(one.signed(b""))
    await one.say(SESSION)


async def _left_open(one: Hand) -> None:
    await one.say(*opening())
    await one.bye()


def _doctored(doctor: Any) -> Callable[[Hand], Awaitable[None]]:
    return lambda one: one.say(SESSION, doctor=doctor)


DOCTORED: dict[str, tuple[Callable[[Hand], Awaitable[None]], str]] = {
    "out of chain": (_doctored(_resigned), "does not fit"),
    "of another time": (_doctored(_aged), "another time"),
    "not signed": (_doctored(_bare), "around it"),
    "signed with a word": (_doctored(_untyped), "bytes"),
    "swapped": (_swapped, "does not fit"),
    "left out": (_left_out, "does not fit"),
    "twice": (_twice, "does not fit"),
    "changed": (_changed, "no event stream"),
    "two in one": (_two_inside, "one message"),
    "of another kind": (_another_kind, "chunk of JSON"),
    "no base64": (_no_base64, "chunk of JSON"),
    "not ended": (_unended, "signed empty event"),
    "cut": (_cut, "no event stream"),
    "behind the end": (_beyond, "behind the empty event"),
    "left open": (_left_open, "session is open"),
}


@pytest.mark.anyio
@pytest.mark.parametrize("name", DOCTORED)
async def test_an_event_that_is_not_signed_well_is_found(name: str) -> None:
    act, why = DOCTORED[name]

    async def script(caller: Caller) -> None:
        while True:
            await caller.next()

    async def talk() -> None:
        async with loopback(script, credentials=KEYS) as here, calling(here) as one:
            await act(one)
            error = await one.ended()
            await here.callers[0].gone()
            if name != "left open":
                assert isinstance(error, InvalidRequest)
                assert why in error.what

    with anyio.fail_after(10), pytest.raises(AssertionError, match=f"connection 0: .*{why}"):
        await talk()


@pytest.mark.anyio
async def test_a_judge_may_answer_first(way: Way) -> None:
    async def script(caller: Caller) -> None:
        raise AssertionError

    async def judge(served: Any) -> bool:
        served.respond(503, {"retry-after": "7"})
        await served.send(b"busy")
        return True

    with anyio.fail_after(10):
        async with (
            loopback(script, ssl=way.server, credentials=KEYS, judge=judge) as here,
            calling(here, way) as one,
        ):
            error = await one.ended()
    assert isinstance(error, Unavailable)
    assert error.retry_after == 7.0
