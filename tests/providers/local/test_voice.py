"""The whole local voice on speech that is really spoken, in real time, through the public API."""

from __future__ import annotations

import io
import re
from collections.abc import AsyncGenerator, Sequence

import anyio
import anyio.lowlevel
import pytest
from PIL import Image, ImageDraw, ImageFont

from benchmarks.recordings import ABSENT, errors, others, prompts, words
from realtime_core import (
    AudioFormat,
    AudioOutput,
    Interrupted,
    Message,
    SessionConfig,
    ToolCall,
    Video,
    open_session,
)
from realtime_core.tools import answering, toolbox
from realtime_local import local
from realtime_local.mind import load_mind
from tests.providers.local.speech import room, spoken

pytestmark = [pytest.mark.anyio, pytest.mark.models, pytest.mark.timeout(90)]


@pytest.mark.parametrize(
    ("question", "speed", "known"),
    [
        ("What do bees make?", 0.85, r"bees"),
        ("What is the opposite of hot?", 1.0, r"opposite"),
        ("In which country is the city of Tokyo?", 1.2, r"country"),
    ],
)
async def test_a_spoken_question_gets_a_spoken_answer(
    question: str, speed: float, known: str
) -> None:
    async with open_session("local") as session, room(session) as inside:
        inside.say(*await spoken(question, speed))
        done = await inside.answered()
        assert done.by_provider
        assert re.search(known, inside.heard_user, re.IGNORECASE)
        assert len(inside.answer.split()) > 1
        assert session.statistics.output.received > session.output_format.rate // 2


async def long_winded(messages: Sequence[Message]) -> AsyncGenerator[str]:
    """Tell the story of every day of a month."""
    for day in range(1, 30):
        await anyio.lowlevel.checkpoint()
        yield f"On day {day} the dog went for a walk in the park. "


async def test_talking_over_the_answer_silences_it_and_what_was_said_is_answered() -> None:
    provider = local(mind=long_winded)
    async with open_session(provider) as session, room(session) as inside:
        stop = await spoken("Please tell me what bees make.")
        inside.say(*await spoken("Tell me a long story about a dog."))
        await inside.until(AudioOutput)
        await anyio.sleep(1.0)
        inside.say(*stop)
        cut = await inside.until(Interrupted)
        assert isinstance(cut, Interrupted)
        (part,) = cut.heard
        assert 0.5 < part.samples / part.rate < 3.0
        assert part.samples < part.received
        assert [m.text for m in session.history if m.item == part.item] in ([part.text], [])
        await inside.until(AudioOutput)
        assert re.search(r"bees", inside.heard_user, re.IGNORECASE)
        assert session.epoch == 1
        after = inside.events[inside.events.index(cut) :]
        assert not [e for e in after if isinstance(e, AudioOutput) and e.item == part.item]


async def test_the_second_turn_is_answered_with_the_first_in_mind() -> None:
    small = await load_mind("small")
    told = list[Sequence[Message]]()

    async def mind(messages: Sequence[Message]) -> AsyncGenerator[str]:
        told.append(messages)
        async for piece in small(messages):
            yield piece

    provider = local(mind=mind)
    async with open_session(provider) as session, room(session) as inside:
        inside.say(*await spoken("I have a dog. Its name is Max."))
        await inside.answered()
        first = inside.answer
        inside.say(*await spoken("What is the name of my dog?"))
        await inside.answered()
        assert [m.role for m in session.history] == ["user", "assistant"] * 2
        system, *before, question = told[-1]
        assert system.role == "system"
        assert [m.role for m in before] == ["user", "assistant"]
        assert re.search(r"max", before[0].text, re.IGNORECASE)
        assert first.startswith(before[1].text)
        assert re.search(r"name of my dog", question.text, re.IGNORECASE)


async def test_a_tool_is_called_by_speech() -> None:
    asked = list[str]()

    def weather(city: str) -> str:
        """Tell the weather in a city."""
        asked.append(city)
        return f"It rains in {city}."

    tools = toolbox(weather)
    config = SessionConfig(tools=tuple(tool.spec for tool in tools))
    async with (
        open_session("local", config) as session,
        answering(session, tools) as answers,
        room(session, answers) as inside,
    ):
        inside.say(*await spoken("What is the weather in London?"))
        await inside.until(ToolCall)
        while "rains" not in inside.answer:
            await inside.answered()
        assert [city.lower() for city in asked] == ["london"]


async def test_a_picture_with_words_is_read() -> None:
    picture = Image.new("RGB", (640, 480), "white")
    font = ImageFont.load_default(size=64)
    ImageDraw.Draw(picture).text((60, 180), "OPEN SUNDAY", fill="black", font=font)
    jpeg = io.BytesIO()
    picture.save(jpeg, "JPEG")
    async with open_session("local") as session, room(session) as inside:
        await session.send(Video(jpeg.getvalue()))
        inside.say(*await spoken("What does the sign say?"))
        await inside.answered()
        assert re.search(r"open\s*sunday", inside.answer, re.IGNORECASE)


@pytest.mark.parametrize("number", [0, 1, 2])
async def test_people_are_understood_and_answered(number: int) -> None:
    people = [one for one in others() if len(words(one.text)) <= 12] + list(prompts()[:40:20])
    if len(people) <= number:
        pytest.skip(ABSENT)
    person = people[number]
    async with open_session("local") as session, room(session) as inside:
        inside.say(person.pcm(), AudioFormat(rate=16_000))
        await inside.answered()
        said, heard = words(person.text), words(inside.heard_user)
        assert errors(said, heard) <= len(said) // 3
        assert inside.answer
