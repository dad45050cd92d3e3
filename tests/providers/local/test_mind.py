"""The built-in minds: what they are asked, the process they run in, and what they answer."""

# pyright: reportPrivateUsage=false
# A process is killed from outside to see what becomes of those who wait for it.

from __future__ import annotations

import itertools
import threading
from collections.abc import AsyncIterator, Generator
from contextlib import aclosing
from pathlib import Path

import anyio
import anyio.lowlevel
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.config import Message
from realtime_core.errors import InvalidRequest, RealtimeException, Unavailable
from realtime_local import llama_process
from realtime_local.answer import Answer
from realtime_local.conversation import SPOKEN_STYLE
from realtime_local.llm import Ending, Llm
from realtime_local.mind import MINDS, LlamaMind, load_mind
from realtime_local.plain import plain_answer
from realtime_local.prompt import Line, rendered

FAKE = Path(__file__).with_name("fake_llama.py")


def user(text: str) -> Message:
    return Message("user", text)


def assistant(text: str) -> Message:
    return Message("assistant", text)


async def whole(pieces: AsyncIterator[str]) -> str:
    return "".join([piece async for piece in pieces])


# --- the prompt -----------------------------------------------------------------------------------


def test_instructions_come_first_and_speech_is_asked_for() -> None:
    told = rendered([Message("system", "You are a pirate."), user("Hello.")])
    assert told == [Line("system", "You are a pirate."), Line("user", "Hello.")]
    assert rendered([user("Hello.")])[0].content == SPOKEN_STYLE


def test_both_sides_take_turns_whatever_was_said() -> None:
    told = rendered(
        [
            user("What is the weather?"),
            Message("tool_call", '{"city":"Oslo"}', name="weather"),
            Message("tool_result", "rain", name="weather"),
            Message("system", "What the camera shows now: nothing"),
            user("And?"),
            assistant("It rains."),
            assistant("Much."),
            user(""),
        ]
    )
    assert [line.role for line in told] == ["system", "user", "assistant", "user"]
    assert "weather says: rain" in told[1].content
    assert "(Note: What the camera shows now: nothing)\nAnd?" in told[1].content
    assert told[2].content == "It rains.\nMuch."


said = st.builds(
    Message,
    st.sampled_from(["user", "assistant", "tool_call", "tool_result", "system"]),
    st.text("ab ", max_size=60),
)


@given(st.lists(said, max_size=30), st.integers(100, 400))
def test_a_prompt_fits_its_room_and_ends_with_the_user(messages: list[Message], room: int) -> None:
    told = rendered(messages, room)[1:]
    roles = [line.role for line in told]
    assert roles[-1] == "user"
    assert all(one != other for one, other in itertools.pairwise(roles))
    assert all(len(line.content) <= room for line in told)
    if len(told) > 1:
        assert sum(len(line.content) for line in told) <= room
        assert roles[0] == "user" or len(told) == len(rendered(messages, 10**6)[1:])


@given(st.lists(st.text("ab", min_size=1, max_size=60), min_size=1, max_size=40))
def test_a_growing_conversation_is_seldom_read_anew(words: list[str]) -> None:
    room = 400
    talk = [assistant(text) if at % 2 else user(text) for at, text in enumerate(words)]
    grown = [rendered(talk[: at + 1], room) for at in range(0, len(talk), 2)]
    anew = [one for one, two in itertools.pairwise(grown) if two[: len(one)] != one]
    assert len(anew) * room // 2 <= sum(len(text) + 16 for text in words)


# --- answers without a model ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "answer"),
    [
        ("18 degrees and sunny", "18 degrees and sunny."),
        ('{"temperatureNow": 18, "sky": "sunny"}', "Temperature now is 18, sky is sunny."),
        ('{"open": true, "doors": ["front", "back"]}', "Open is yes, doors is front, back."),
        ("null", "Nothing."),
        ("", "It gave nothing."),
        ('"It rains!"', "It rains!"),
    ],
)
def test_a_result_is_read_out(result: str, answer: str) -> None:
    talk = [user("Tell me."), Message("tool_call", "{}"), Message("tool_result", result)]
    assert plain_answer(talk) == answer


def test_results_of_one_question_are_read_out_in_order() -> None:
    call, old = Message("tool_call", "{}"), Message("tool_result", "old")
    talk = [old, assistant("Old."), user("?"), call, Message("tool_result", "one"), call]
    assert plain_answer([*talk, Message("tool_result", "two")]) == "One. Two."


def test_what_is_in_view_is_told_when_asked_for() -> None:
    note = Message("system", 'What the camera shows now: text in view: "EXIT 42"')
    assert plain_answer([note, user("What do you see?")]) == 'I can read: "EXIT 42".'
    assert plain_answer([note, user("What is the capital of France?")]) is None
    assert plain_answer([user("What do you see?")]) is None
    assert plain_answer([]) is None


# --- from a thread to a loop ----------------------------------------------------------------------


@pytest.mark.anyio
async def test_what_a_thread_gives_arrives_whole_and_in_order() -> None:
    answer = Answer[int](list)

    def give() -> None:
        for number in range(1_000):
            answer.give(number)
        answer.finish()

    thread = threading.Thread(target=give)
    thread.start()
    taken = list[int]()
    while pieces := await answer.take():
        taken += pieces
    thread.join()
    assert taken == list(range(1_000))


@pytest.mark.anyio
async def test_a_failure_comes_after_what_was_given() -> None:
    answer = Answer[int](list)
    answer.give(1)
    answer.finish(OSError("broken"))
    assert await answer.take() == (1,)
    with pytest.raises(OSError, match="broken"):
        await answer.take()


@pytest.mark.anyio
async def test_stopping_is_told_once_and_not_after_the_end() -> None:
    told = list[str]()
    answer = Answer[int](lambda: told.append("stop"))
    answer.stop()
    answer.stop()
    assert told == ["stop"]
    over = Answer[int](lambda: told.append("late"))
    over.finish()
    over.stop()
    assert told == ["stop"]
    assert await over.take() == ()


def test_a_loop_that_ended_stops_the_answer() -> None:
    told = list[str]()

    async def make() -> Answer[int]:
        return Answer[int](lambda: told.append("stop"))

    for backend in ("asyncio", "trio"):
        anyio.run(make, backend=backend).give(1)
    assert told == ["stop", "stop"]


# --- the process ----------------------------------------------------------------------------------


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Llm]:
    """A model in a process that repeats what it is asked."""
    monkeypatch.setattr(llama_process, "_PROGRAM", FAKE)
    file = tmp_path / "fake.gguf"
    file.write_bytes(b"GGUF")
    started = list[llama_process.LlamaProcess]()
    begin = llama_process.LlamaProcess.__init__

    def recorded(self: llama_process.LlamaProcess, file: Path, threads: int) -> None:
        begin(self, file, threads)
        started.append(self)

    monkeypatch.setattr(llama_process.LlamaProcess, "__init__", recorded)
    yield Llm("fake", lambda: file)
    for process in started:
        process.close()


@pytest.mark.anyio
async def test_an_answer_comes_in_pieces_and_tells_what_it_took(fake: Llm) -> None:
    endings = list[Ending]()
    mind = LlamaMind(fake)
    pieces = [piece async for piece in mind.answer([user("one two")], ended=endings.append)]
    assert pieces == ["one ", "two "]
    assert endings == [Ending("stop", 12, 7, 2, 1.5, 0.0)]
    await mind.prefill([user("three")])
    assert await mind.complete([user("{}")], {}) == "{} "


@pytest.mark.anyio
async def test_sessions_share_a_process_and_get_their_own_answers(fake: Llm) -> None:
    mind, answers = LlamaMind(fake), dict[int, str]()

    async def ask(number: int) -> None:
        answers[number] = await whole(mind([user(f"number {number}")]))

    async with anyio.create_task_group() as tasks:
        for number in range(8):
            tasks.start_soon(ask, number)
    assert answers == {number: f"number {number} " for number in range(8)}


@pytest.mark.anyio
@pytest.mark.parametrize("way", ["close", "cancel", "before"])
async def test_an_answer_nobody_wants_frees_the_model(fake: Llm, way: str) -> None:
    mind = LlamaMind(fake)
    await mind.start()
    async with aclosing(mind([user("endless")])) as pieces:
        if way == "before":
            with anyio.CancelScope() as scope:
                scope.cancel()
                await anext(pieces)
        elif way == "cancel":
            with anyio.CancelScope() as scope:
                async for _ in pieces:
                    scope.cancel()
        else:
            await anext(pieces)
    with anyio.fail_after(10):
        assert await whole(mind([user("next")])) == "next "


async def asked(mind: LlamaMind, text: str, failed: list[RealtimeException]) -> None:
    try:
        await whole(mind([user(text)]))
    except RealtimeException as failure:
        failed.append(failure)


@pytest.mark.anyio
async def test_a_process_that_dies_is_begun_again(fake: Llm) -> None:
    mind, failed = LlamaMind(fake), list[RealtimeException]()
    with anyio.fail_after(20):
        await asked(mind, "die", failed)
        assert await whole(mind([user("again")])) == "again "
    assert isinstance(failed[0].error, Unavailable)
    assert "exit code 3" in failed[0].error.what


@pytest.mark.anyio
async def test_all_who_wait_hear_that_the_process_died(fake: Llm) -> None:
    mind, failed = LlamaMind(fake), list[RealtimeException]()
    await mind.start()
    running = fake._running
    assert running is not None
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for text in ("endless", "endless", "endless"):
                tasks.start_soon(asked, mind, text, failed)
            while len(running._answers) < 3:
                await anyio.lowlevel.checkpoint()
            running._child.kill()
    assert [type(failure.error) for failure in failed] == [Unavailable] * 3
    await asked(mind, "fine", failed)
    assert len(failed) == 3


@pytest.mark.anyio
async def test_a_conversation_that_is_too_long_is_asked_again_shorter(fake: Llm) -> None:
    answer = await whole(LlamaMind(fake)([user("word " * 800)]))
    assert 100 < len(answer.split()) <= 200
    with pytest.raises(RealtimeException, match="too long") as raised:
        await whole(LlamaMind(fake)([user("huge")]))
    assert isinstance(raised.value.error, InvalidRequest)


@pytest.mark.anyio
async def test_a_file_that_does_not_load_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama_process, "_PROGRAM", FAKE)
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"GGUF bad")
    with pytest.raises(RealtimeException, match="it is bad") as raised:
        await load_mind(bad)
    assert isinstance(raised.value.error, InvalidRequest)


@pytest.mark.anyio
async def test_a_mind_that_does_not_exist_names_those_that_do(tmp_path: Path) -> None:
    with pytest.raises(RealtimeException, match="'small', 'better'"):
        await load_mind("clever")
    text = tmp_path / "text.gguf"
    text.write_text("no model")
    with pytest.raises(RealtimeException, match="not a GGUF"):
        await load_mind(text)


@pytest.mark.anyio
async def test_a_missing_package_is_named(fake: Llm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama_process, "find_spec", no_spec)
    with pytest.raises(RealtimeException, match=r"pip install 'realtime-core\[local\]'"):
        await LlamaMind(fake).start()


def no_spec(name: str) -> None:
    del name


# --- the real ones --------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.models
async def test_the_small_mind_answers_and_the_loop_goes_on() -> None:
    late = list[float]()

    async def beat() -> None:
        while True:
            before = anyio.current_time()
            await anyio.sleep(0.005)
            late.append(anyio.current_time() - before - 0.005)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(beat)
        mind = await load_mind("small")
        assert mind.simple
        system = Message("system", SPOKEN_STYLE)
        await mind.prefill([system])
        talk = [system, user("What is the capital of France?")]
        answer = await whole(mind(talk))
        assert "paris" in answer.lower()
        again = [*talk, assistant(answer), user("In which country is that city?")]
        assert "france" in (await whole(mind(again))).lower()
        tasks.cancel_scope.cancel()
    # Loading the model in this process would hold the loop for half a second.
    assert max(late) < 0.2


@pytest.mark.anyio
@pytest.mark.models
async def test_a_real_answer_is_stopped_and_the_next_one_begins_at_once() -> None:
    mind = await load_mind("small")
    async with aclosing(mind.answer([user("Tell me a long story.")], max_tokens=1_000)) as pieces:
        await anext(pieces)
    with anyio.fail_after(5):
        assert await whole(mind.answer([user("Hello.")], max_tokens=3))


@pytest.mark.anyio
@pytest.mark.models
async def test_a_real_conversation_that_is_too_long_is_still_answered() -> None:
    mind = await load_mind("small")
    story = "The dog went for a walk. " * 120
    talk = [user(story), assistant("I see."), user(story), assistant("Fine.")]
    assert await whole(mind.answer([*talk, user(story[:1_200] + "What do bees make?")]))


@pytest.mark.anyio
@pytest.mark.models
async def test_json_is_constrained_to_its_schema() -> None:
    mind = await load_mind("small")
    schema = {
        "type": "object",
        "properties": {"color": {"enum": ["red", "green"]}},
        "required": ["color"],
        "additionalProperties": False,
    }
    text = await mind.complete([user("Which color has grass?")], schema)
    assert msgspec.json.decode(text)["color"] in {"red", "green"}


@pytest.mark.anyio
@pytest.mark.models
async def test_a_file_that_only_looks_like_a_model_is_refused(tmp_path: Path) -> None:
    fraud = tmp_path / "fraud.gguf"
    fraud.write_bytes(b"GGUF" + bytes(1_000))
    with pytest.raises(RealtimeException, match="could not be loaded") as raised:
        await load_mind(fraud)
    assert isinstance(raised.value.error, InvalidRequest)


def test_every_named_mind_says_what_to_expect() -> None:
    assert all(choice.notice for choice in MINDS.values())
