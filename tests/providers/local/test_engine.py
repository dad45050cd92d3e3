"""The engine with scripted parts: what crosses the link, in which order, what is left behind."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from realtime_local import wire
from realtime_local.parts import Parts, ToolChoice
from tests.providers.local.scripted_parts import (
    SAMPLES_A_CHARACTER,
    FakeEars,
    FakeEyes,
    FakeHands,
    FakeMind,
    FakeMouth,
    engine,
    kinds,
    of,
    samples,
    silence,
    speech,
    texts,
)

pytestmark = pytest.mark.anyio

LONG = ("One two three. ", "Four five six. ", "Seven eight nine. ", "Ten.")
TURN = ["speech_stopped", "user_transcript", "response_created", "spoken", "audio"]
END = ["audio_done", "spoken", "response_done"]


class Stage:
    """One of each part, and the parts put together."""

    def __init__(self, **answers: tuple[str, ...] | Exception) -> None:
        self.ears = FakeEars()
        self.mind = FakeMind({key.replace("_", " "): text for key, text in answers.items()})
        self.mouth = FakeMouth()

    def parts(self, hands: FakeHands | None = None, eyes: FakeEyes | None = None) -> Parts:
        return Parts(self.ears, self.mind, self.mouth, hands, eyes, names=("a", "b"))


async def test_start_warms_the_mind_then_says_it_is_ready() -> None:
    stage = Stage()
    said = wire.Said("user", "before")
    async with engine(stage.parts(), wire.Settings(instructions="Be brief."), said) as caller:
        assert caller.log == [wire.Ready(rate=22_050, models=("a", "b"))]
    (read,) = stage.mind.read
    system, *talk = read
    assert system.text.startswith("Be brief.")
    assert [(m.role, m.text) for m in talk] == [("user", "before")]


async def test_spoken_turn_gives_a_spoken_answer_in_order() -> None:
    stage = Stage()
    async with engine(stage.parts()) as caller:
        heard = await caller.audio(silence(320), speech("who are you"), silence(600))
    assert kinds(heard) == ["speech_started", "user_transcript", *TURN, *END]
    (began,), (stopped,) = of(wire.Speech, heard), of(wire.SpeechEnd, heard)
    assert began.audio_ms == 320
    assert stopped.audio_ms == 320 + 3 * 320
    *partial, final = of(wire.Transcript, heard)
    assert partial
    assert not any(one.final for one in partial)
    assert final == wire.Transcript(item="u0", text="who are you", final=True)
    assert texts(heard) == ["I heard who are you."]
    *_, whole = of(wire.Spoken, heard)
    assert whole.text == "I heard who are you."
    assert whole.final
    (done,) = of(wire.ResponseFinished, heard)
    assert done.status == "completed"
    assert done.output_tokens == 2


async def test_words_carry_the_samples_they_are_spoken_in() -> None:
    stage = Stage(hello=LONG)
    async with engine(stage.parts()) as caller:
        heard = await caller.audio(speech("hello"), silence(600))
    at = 0
    for said in of(wire.Spoken, heard):
        if not said.final:
            assert said.start == at
            before = heard[: heard.index(said)]
            assert samples(before) == at, "words come just before their sound"
            at += len(said.text.strip()) * SAMPLES_A_CHARACTER
    assert samples(heard) == at


async def test_nothing_of_a_guess_leaves_before_the_turn_is_over() -> None:
    stage = Stage()
    async with engine(stage.parts()) as caller:
        heard = await caller.audio(speech("who are you"), silence(160))
        assert kinds(heard) == ["speech_started", "user_transcript"]
        assert stage.mind.given
        assert stage.mouth.said == ["I heard who are you."], "one clause is prepared, and no more"
        heard = await caller.audio(silence(64))
        assert kinds(heard) == [*TURN, *END]
    assert len(stage.mind.asked) == 1, "what was prepared is what is said"


async def test_a_speaker_who_goes_on_voids_the_guess() -> None:
    stage = Stage()
    async with engine(stage.parts()) as caller:
        heard = await caller.audio(speech("tell me"), silence(128))
        assert stage.mind.talk() == [("user", "tell me")]
        heard = await caller.audio(speech("more"), silence(600))
    assert kinds(heard) == ["user_transcript", *TURN, "spoken", "audio", *END]
    assert of(wire.Transcript, heard)[-1].text == "tell me more"
    assert texts(heard) == ["I heard tell me", " more."]
    assert stage.mind.running == 0


async def test_an_unfinished_sentence_waits_for_the_longer_silence() -> None:
    stage = Stage()
    stage.ears.over = lambda text: 0.1
    async with engine(stage.parts()) as caller:
        heard = await caller.audio(speech("I think"), silence(740))
        assert "speech_stopped" not in kinds(heard)
        heard = await caller.audio(silence(64))
    assert kinds(heard) == [*TURN, *END]


async def test_silence_of_the_sessions_choice_ends_a_turn() -> None:
    stage = Stage()
    stage.ears.over = lambda text: 0.1
    async with engine(stage.parts(), wire.Settings(silence_ms=300)) as caller:
        heard = await caller.audio(speech("I think"), silence(330))
    assert kinds(heard)[-6:] == [*TURN[2:], *END]


async def test_noise_gets_no_answer() -> None:
    stage = Stage()
    async with engine(stage.parts()) as caller:
        heard = await caller.audio(speech("hm")[:4096], silence(1_000))
    assert kinds(heard) == ["speech_started", "speech_stopped", "user_transcript"]
    assert of(wire.Transcript, heard) == [wire.Transcript(item="u0", text="", final=True)]
    assert stage.mind.asked == []
    assert stage.ears.asked == []


async def test_speech_without_words_gets_no_answer() -> None:
    stage = Stage()
    sound = b"".join((n % 90 + 1).to_bytes(2, "little") * 10 for n in range(1_000))
    async with engine(stage.parts()) as caller:
        heard = await caller.audio(sound, silence(1_000))
    assert kinds(heard) == ["speech_started", "speech_stopped", "user_transcript"]
    assert stage.mind.asked == []


async def test_two_turns_share_one_conversation() -> None:
    stage = Stage()
    async with engine(stage.parts()) as caller:
        await caller.audio(speech("my name"), silence(600))
        heard = await caller.audio(speech("who am"), silence(900))
    assert stage.mind.talk() == [
        ("user", "my name"),
        ("assistant", "I heard my name."),
        ("user", "who am"),
    ]
    assert of(wire.ResponseCreated, heard)[0].response == "r1"
    assert of(wire.Transcript, heard)[-1].item == "u1"


async def test_barge_in_stops_mind_and_mouth_at_once() -> None:
    stage = Stage(hello=LONG)
    async with engine(stage.parts()) as caller:
        stage.mind.gate.shut()
        await caller.audio(speech("hello"), silence(600))
        assert stage.mind.running == 1
        heard = await caller.audio(speech("stop")[: 2 * 2 * 512])
        assert kinds(heard) == ["speech_started", "response_done"]
        assert of(wire.ResponseFinished, heard)[0].status == "interrupted"
        assert stage.mind.running == stage.mouth.running == 0
        stage.mind.gate.open()
        heard = await caller.audio(speech("stop"), silence(600))
    assert {sound.response for sound in of(wire.AudioDelta, heard)} == {"r1"}
    assert of(wire.ResponseCreated, heard)[0].response == "r1"


async def test_barge_in_while_the_mouth_speaks() -> None:
    stage = Stage(hello=LONG)
    async with engine(stage.parts()) as caller:
        await caller.audio(speech("hello"), silence(160))
        stage.mouth.gate.shut()
        heard = await caller.audio(silence(100))
        assert stage.mouth.running == 1
        heard += await caller.audio(speech("stop")[: 2 * 2 * 512])
        assert kinds(heard)[-3:] == ["speech_started", "spoken", "response_done"]
        assert stage.mind.running == stage.mouth.running == 0
        stage.mouth.gate.open()
        assert await caller.heard() == []


async def test_barge_in_after_generation_is_the_sessions_to_repair() -> None:
    stage = Stage(hello=LONG)
    async with engine(stage.parts()) as caller:
        await caller.audio(speech("hello"), silence(600))
        heard = await caller.audio(speech("and then")[: 2 * 2 * 512])
        assert kinds(heard) == ["speech_started"]
        await caller.send(wire.Truncate(item="i0", samples=5, text="One two"))
        await caller.audio(speech("and then"), silence(1_000))
    assert stage.mind.talk()[:2] == [("user", "hello"), ("assistant", "One two")]


async def test_an_answer_nobody_heard_is_forgotten() -> None:
    stage = Stage(hello=LONG)
    async with engine(stage.parts()) as caller:
        await caller.audio(speech("hello"), silence(600))
        await caller.send(wire.Delete(item="i0"), wire.Typed(text="what"), wire.Create(request="q"))
    assert stage.mind.talk() == [("user", "hello"), ("user", "what")]


async def test_a_cut_answer_keeps_what_was_sent_until_the_session_says_more() -> None:
    stage = Stage(hello=LONG)
    async with engine(stage.parts()) as caller:
        await caller.audio(speech("hello"), silence(160))
        stage.mouth.gate.shut()
        await caller.audio(silence(100))
        await caller.send(wire.Cancel(response="r0"))
        stage.mouth.gate.open()
        await caller.send(wire.Typed(text="go on"), wire.Create(request="q"))
    assert stage.mind.talk() == [
        ("user", "hello"),
        ("assistant", "One two three."),
        ("user", "go on"),
    ]


async def test_under_the_applications_authority_the_answer_goes_on() -> None:
    stage = Stage(hello=LONG)
    async with engine(stage.parts(), wire.Settings(barge_in=False)) as caller:
        stage.mouth.gate.shut()
        await caller.audio(speech("hello"), silence(600))
        heard = await caller.audio(speech("me too"))
        assert kinds(heard) == ["speech_started", "user_transcript"]
        stage.mouth.gate.open()
        heard = await caller.audio(silence(900))
    assert [done.status for done in of(wire.ResponseFinished, heard)] == ["completed"] * 2
    assert of(wire.ResponseCreated, heard)[-1].response == "r1"
    assert stage.mind.talk()[-1] == ("user", "me too")


async def test_cancel_names_the_answer() -> None:
    stage = Stage(hello=LONG)
    async with engine(stage.parts()) as caller:
        stage.mind.gate.shut()
        await caller.send(wire.Typed(text="hello"), wire.Create(request="q"))
        assert await caller.send(wire.Cancel(response="r7")) == []
        heard = await caller.send(wire.Cancel(response="r0"), wire.Cancel(response="r0"))
    assert kinds(heard) == ["response_done"]
    assert of(wire.ResponseFinished, heard)[0].status == "cancelled"


async def test_answers_asked_for_come_one_after_the_other() -> None:
    stage = Stage()
    async with engine(stage.parts()) as caller:
        heard = await caller.send(
            wire.Typed(text="one"),
            wire.Create(request="a"),
            wire.Typed(text="two"),
            wire.Create(request="b", instructions="Sing."),
        )
    answer = ["response_created", "spoken", "audio", *END]
    assert kinds(heard) == [*answer, *answer]
    assert [made.request for made in of(wire.ResponseCreated, heard)] == ["a", "b"]
    assert [asked[0].text.startswith("Sing.") for asked in stage.mind.asked] == [False, True]


async def test_barge_in_ends_the_answers_still_asked_for() -> None:
    stage = Stage()
    async with engine(stage.parts()) as caller:
        stage.mind.gate.shut()
        await caller.send(wire.Typed(text="a"), wire.Create(request="a"), wire.Create(request="b"))
        heard = await caller.audio(speech("stop")[: 2 * 2 * 512])
    assert kinds(heard) == ["speech_started", "response_done", "response_created", "response_done"]
    assert [done.status for done in of(wire.ResponseFinished, heard)] == ["interrupted"] * 2


async def test_text_alone_is_written() -> None:
    stage = Stage(hello=LONG)
    async with engine(stage.parts(), wire.Settings(modalities=("text",))) as caller:
        heard = await caller.send(wire.Typed(text="hello"), wire.Create(request="q"))
    assert kinds(heard) == ["response_created", "spoken", "response_done"]
    assert texts(heard) == list(LONG)
    assert of(wire.Spoken, heard)[-1].text == "".join(LONG)
    assert not any(said.audio for said in of(wire.Spoken, heard))
    assert stage.mouth.said == []


async def test_one_answer_may_be_written_alone() -> None:
    stage = Stage()
    async with engine(stage.parts()) as caller:
        heard = await caller.send(
            wire.Typed(text="one"),
            wire.Create(request="a", modalities=("text",)),
            wire.Create(request="b"),
        )
    answers = [said.audio for said in of(wire.Spoken, heard)]
    assert answers == sorted(answers)
    assert set(answers) == {False, True}
    assert len(of(wire.AudioDone, heard)) == 1


async def test_an_answer_is_broken_off_at_its_most_tokens() -> None:
    stage = Stage(hello=LONG)
    async with engine(stage.parts(), wire.Settings(max_tokens=2)) as caller:
        heard = await caller.send(wire.Typed(text="hello"), wire.Create(request="q"))
    (done,) = of(wire.ResponseFinished, heard)
    assert (done.status, done.output_tokens) == ("incomplete", 2)
    assert of(wire.Spoken, heard)[-1].text == "One two three. Four five six."


async def test_an_empty_answer_is_an_answer() -> None:
    stage = Stage(hello=())
    async with engine(stage.parts()) as caller:
        heard = await caller.send(wire.Typed(text="hello"), wire.Create(request="q"))
    assert kinds(heard) == ["response_created", "response_done"]


async def test_manual_turns_wait_for_commit_and_create() -> None:
    stage = Stage()
    async with engine(stage.parts(), wire.Settings(manual=True)) as caller:
        heard = await caller.audio(speech("who are"), silence(2_000), speech("you"))
        assert set(kinds(heard)) == {"user_transcript"}
        heard = await caller.send(wire.Commit())
        assert heard == [wire.Transcript(item="u0", text="who are you", final=True)]
        heard = await caller.send(wire.Create(request="q"))
        assert kinds(heard) == [*TURN[2:], *END]
        assert of(wire.ResponseCreated, heard)[0].request == "q"
        heard = await caller.send(wire.Commit())
        assert heard == [wire.Transcript(item="u1", text="", final=True)]


async def test_manual_turn_committed_in_a_pause_uses_the_guess() -> None:
    stage = Stage()
    async with engine(stage.parts(), wire.Settings(manual=True)) as caller:
        await caller.audio(speech("who are you"), silence(500))
        heard = await caller.send(wire.Commit(), wire.Create(request="q"))
    assert kinds(heard) == [*TURN[1:], *END]
    assert len(stage.mind.asked) == 1


async def test_an_answer_asked_for_waits_for_the_words_of_the_turn() -> None:
    stage = Stage()
    async with engine(stage.parts(), wire.Settings(manual=True)) as caller:
        await caller.audio(speech("who are you"))
        stage.ears.gate.shut()
        assert await caller.send(wire.Commit(), wire.Create(request="q")) == []
        stage.ears.gate.open()
        heard = await caller.heard()
    assert kinds(heard) == [*TURN[1:], *END]
    assert stage.mind.talk() == [("user", "who are you")]


async def test_clear_forgets_the_turn() -> None:
    stage = Stage()
    async with engine(stage.parts()) as caller:
        await caller.audio(speech("never mind"), silence(100))
        heard = await caller.send(wire.Clear())
        assert kinds(heard) == ["speech_stopped", "user_transcript"]
        assert of(wire.Transcript, heard)[0].text == ""
        assert await caller.audio(silence(1_000)) == []
        assert stage.mind.running == 0
        heard = await caller.audio(speech("hello"), silence(600))
    assert of(wire.Transcript, heard)[-1].text == "hello"


async def test_a_turn_whose_begin_was_not_told_ends_untold() -> None:
    stage = Stage()
    async with engine(stage.parts(), wire.Settings(manual=True)) as caller:
        await caller.audio(speech("who are"))
        await caller.send(wire.Update(settings=wire.Settings()))
        heard = await caller.audio(speech("you"), silence(600))
    assert kinds(heard) == ["user_transcript", *TURN[2:], *END]


async def test_without_transcripts_none_is_told() -> None:
    stage = Stage()
    async with engine(stage.parts(), wire.Settings(transcribe=False)) as caller:
        heard = await caller.audio(speech("who are you"), silence(600))
    assert kinds(heard) == ["speech_started", "speech_stopped", *TURN[2:], *END]


async def test_the_mind_reads_along_while_the_user_speaks() -> None:
    stage = Stage()
    async with engine(stage.parts()) as caller:
        await caller.audio(speech("one two three"))
    assert [m[-1].text for m in stage.mind.read[1:]] == ["one", "one two", "one two three"]


async def test_what_the_link_has_not_taken_is_taken_back() -> None:
    stage = Stage(hello=LONG)
    async with engine(stage.parts(), buffer=1) as caller:
        asked = wire.Typed(text="hello"), wire.Create(request="q")
        await caller.link.send(tuple(map(msgspec.json.encode, asked)))
        stage.mind.stops_after = 3
        await caller.rest()
        await caller.link.send((msgspec.json.encode(wire.Cancel(response="r0")),))
        await caller.rest()
        heard = await caller.heard()
        stage.mind.gate.open()
        await caller.send(wire.Typed(text="go on"), wire.Create(request="p"))
    assert kinds(heard)[-1] == "response_done"
    said = texts(heard)
    assert len(said) < 2, "the third clause is made, the second was said, the link took less"
    kept = [("assistant", "".join(said))] if said else []
    assert stage.mind.talk() == [("user", "hello"), *kept, ("user", "go on")]


async def test_a_link_that_takes_nothing_holds_the_mouth_up() -> None:
    stage = Stage(hello=("word " * 10_000,))
    async with engine(stage.parts(), buffer=0) as caller:
        asked = wire.Typed(text="hello"), wire.Create(request="q")
        await caller.link.send(tuple(map(msgspec.json.encode, asked)))
        for _ in range(20):
            await caller.rest()
        made = sum(map(len, stage.mouth.said)) * SAMPLES_A_CHARACTER * 2
        assert stage.mouth.running == 1
        assert made < 2 << 20
        heard = await caller.heard()
    assert of(wire.ResponseFinished, heard)[0].status == "completed"


# --- tools ------------------------------------------------------------------------------------

WEATHER = wire.Tool("weather", "the weather in a place", {"type": "object"})
CLOCK = wire.Tool("clock", "the time", {"type": "object"})
PARIS = ToolChoice("weather", '{"place":"Paris"}')
TIME = ToolChoice("clock", "{}")
TOOLS = wire.Settings(tools=(WEATHER, CLOCK))


async def test_a_tool_round_in_speech() -> None:
    stage, hands = Stage(), FakeHands({"weather in Paris": [PARIS]})
    async with engine(stage.parts(hands), TOOLS) as caller:
        heard = await caller.audio(speech("weather in Paris"), silence(600))
        tail = ["response_created", "tool_call", "response_done"]
        assert kinds(heard)[-5:] == ["speech_stopped", "user_transcript", *tail]
        (call,) = of(wire.Requested, heard)
        assert (call.call, call.name, call.arguments) == ("c0", *PARIS)
        heard = await caller.send(wire.ToolOutput(call="c0", output="sunny"))
    assert kinds(heard) == [*TURN[2:], *END]
    assert of(wire.ResponseCreated, heard)[0] == wire.ResponseCreated(response="r1")
    assert stage.mind.talk() == [
        ("user", "weather in Paris"),
        ("tool_call", PARIS.arguments),
        ("tool_result", "sunny"),
    ]
    assert {m.name for m in stage.mind.asked[0] if m.call} == {"weather"}


async def test_parallel_tools_are_all_awaited() -> None:
    stage, hands = Stage(), FakeHands({"both": [PARIS, TIME]})
    async with engine(stage.parts(hands), TOOLS) as caller:
        heard = await caller.send(wire.Typed(text="both"), wire.Create(request="q"))
        assert [call.call for call in of(wire.Requested, heard)] == ["c0", "c1"]
        assert await caller.send(wire.ToolOutput(call="c1", output="noon")) == []
        assert await caller.send(wire.ToolOutput(call="c1", output="again")) == []
        assert await caller.send(wire.ToolOutput(call="c9", output="what")) == []
        heard = await caller.send(wire.ToolOutput(call="c0", output="gone", failed=True))
    assert kinds(heard)[0] == "response_created"
    results = [m.text for m in stage.mind.asked[-1] if m.role == "tool_result"]
    assert results == ["noon", "The tool failed: gone"]


async def test_results_after_the_user_spoke_are_only_noted() -> None:
    stage, hands = Stage(), FakeHands({"weather": [PARIS]})
    async with engine(stage.parts(hands), TOOLS) as caller:
        await caller.audio(speech("weather"), silence(600))
        await caller.audio(speech("never"))
        assert await caller.send(wire.ToolOutput(call="c0", output="sunny")) == []
        await caller.audio(speech("mind"), silence(600))
    assert stage.mind.talk()[-2:] == [("tool_result", "sunny"), ("user", "never mind")]


async def test_a_call_without_a_result_is_kept_from_the_mind() -> None:
    stage, hands = Stage(), FakeHands({"weather": [PARIS]})
    async with engine(stage.parts(hands), TOOLS) as caller:
        await caller.send(wire.Typed(text="weather"), wire.Create(request="q"))
        await caller.send(wire.Typed(text="hello"), wire.Create(request="p"))
    assert stage.mind.talk() == [("user", "weather"), ("user", "hello")]


@pytest.mark.parametrize(
    ("choice", "called", "must"),
    [("none", [], []), ("required", ["weather", "clock"], [True]), ("clock", ["clock"], [True])],
)
async def test_tool_choice(choice: str, called: list[str], must: list[bool]) -> None:
    stage, hands = Stage(), FakeHands({"both": [PARIS, TIME]})
    settings = wire.Settings(tools=(WEATHER, CLOCK), tool_choice=choice)
    async with engine(stage.parts(hands), settings) as caller:
        heard = await caller.send(wire.Typed(text="both"), wire.Create(request="q"))
    assert [call.name for call in of(wire.Requested, heard)] == called
    assert hands.must == must


# --- pictures ---------------------------------------------------------------------------------


async def test_the_note_on_a_picture_reaches_the_mind() -> None:
    stage, eyes = Stage(), FakeEyes()
    async with engine(stage.parts(eyes=eyes)) as caller:
        await caller.send(wire.Image(data=b"EXIT", mime="image/png"))
        await caller.send(wire.Typed(text="read it"), wire.Create(request="q"))
    assert stage.mind.talk() == [
        ("system", "What the camera shows now: text in view: EXIT"),
        ("user", "read it"),
    ]


async def test_an_answer_asked_for_waits_for_the_newest_picture() -> None:
    stage, eyes = Stage(), FakeEyes()
    async with engine(stage.parts(eyes=eyes)) as caller:
        await caller.send(wire.Image(data=b"A", mime="image/png"))
        await caller.send(wire.Image(data=b"A", mime="image/png"))
        eyes.gate.shut()
        heard = await caller.send(wire.Image(data=b"B", mime="image/png"), wire.Create(request="q"))
        assert kinds(heard) == ["response_created"]
        eyes.gate.open()
        await caller.heard()
    assert eyes.seen == [b"A", b"B"]
    assert stage.mind.talk() == [("system", "What the camera shows now: text in view: B")]


async def test_no_look_between_pause_and_first_sound() -> None:
    stage, eyes = Stage(), FakeEyes()
    async with engine(stage.parts(eyes=eyes)) as caller:
        stage.mouth.gate.shut()
        await caller.audio(speech("what comes now"), silence(64))
        await caller.send(wire.Image(data=b"A", mime="image/png"))
        await caller.audio(silence(300))
        assert eyes.seen == []
        stage.mouth.gate.open()
        await caller.heard()
    assert eyes.seen == [b"A"]


# --- parts that fail --------------------------------------------------------------------------


async def test_a_mind_that_fails_ends_the_answer_and_nothing_else() -> None:
    stage = Stage(bad=ValueError("no thought"))
    async with engine(stage.parts()) as caller:
        heard = await caller.send(wire.Typed(text="bad"), wire.Create(request="q"))
        assert kinds(heard) == ["response_created", "error", "response_done"]
        (fault,), (done,) = of(wire.Fault, heard), of(wire.ResponseFinished, heard)
        assert fault.message == "The mind of the local voice failed: ValueError: no thought."
        assert not fault.fatal
        assert (done.status, done.error) == ("failed", fault.message)
        heard = await caller.send(wire.Typed(text="good"), wire.Create(request="p"))
    assert of(wire.ResponseFinished, heard)[0].status == "completed"


async def test_a_mouth_that_fails_ends_the_answer_and_frees_the_mind() -> None:
    stage = Stage(hello=LONG)
    stage.mouth.failure = OSError("hoarse")
    async with engine(stage.parts()) as caller:
        heard = await caller.send(wire.Typed(text="hello"), wire.Create(request="q"))
        assert kinds(heard) == ["response_created", "spoken", "error", "response_done"]
        assert "mouth" in of(wire.Fault, heard)[0].message
        assert stage.mind.running == stage.mouth.running == 0


async def test_ears_that_fail_lose_the_turn_and_nothing_else() -> None:
    stage = Stage()
    stage.ears.failure = OSError("deaf")
    async with engine(stage.parts()) as caller:
        heard = await caller.audio(speech("who are you"), silence(1_000))
        assert kinds(heard) == ["speech_started", "error", "speech_stopped", "user_transcript"]
        assert len(of(wire.Fault, heard)) == 1, "a failure that goes on is told once"
        stage.ears.failure = None
        heard = await caller.audio(speech("who are you"), silence(600))
    assert of(wire.ResponseFinished, heard)[0].status == "completed"


async def test_eyes_that_fail_do_not_keep_the_answer() -> None:
    stage, eyes = Stage(), FakeEyes()
    eyes.failure = OSError("blind")
    async with engine(stage.parts(eyes=eyes)) as caller:
        heard = await caller.send(
            wire.Image(data=b"A", mime="image/png"),
            wire.Typed(text="what"),
            wire.Create(request="q"),
        )
    assert "eyes" in of(wire.Fault, heard)[0].message
    assert of(wire.ResponseFinished, heard)[0].status == "completed"


async def test_a_detector_that_fails_ends_the_engine_with_a_word() -> None:
    class Deaf(FakeEars):
        def detector(self) -> Callable[[bytes], float]:
            def fail(frame: bytes) -> float:
                raise OSError("broken")

            return fail

    parts = Parts(Deaf(), FakeMind(), FakeMouth())
    async with engine(parts) as caller:
        heard = await caller.audio(silence(64))
    (fault,) = of(wire.Fault, heard)
    assert fault.fatal
    assert "ears" in fault.message


@pytest.mark.parametrize("data", [b"", b"\xff", b"{}", b'{"type":"??"}', b"[" * 100_000])
async def test_a_message_that_is_none_is_told_and_passed_over(data: bytes) -> None:
    stage = Stage()
    async with engine(stage.parts()) as caller:
        await caller.link.send((data,))
        heard = await caller.send(wire.Typed(text="hello"), wire.Create(request="q"))
    assert kinds(heard)[0] == "error"
    assert of(wire.ResponseFinished, heard)[0].status == "completed"
