"""The built-in hands: the right tool, arguments in the user's own words, and no tool for talk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.config import Message
from realtime_local.affinity import affinities
from realtime_local.hands import LlamaHands, load_hands
from realtime_local.mind import LlamaMind, load_mind
from realtime_local.narrowing import narrowed, settled
from realtime_local.wire import Tool


def record(*required: str, **properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


def text(description: str = "", **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": description, **more}


WEATHER = Tool(
    "get_weather",
    "Get the current weather in a city",
    record("city", city=text("Name of the city")),
)
TIMER = Tool(
    "set_timer",
    "Start a countdown timer",
    record("minutes", minutes={"type": "integer", "description": "Length in minutes"}),
)
MUSIC = Tool(
    "play_music",
    "Play a song or an artist",
    record("title", title=text("Song or artist to play")),
)
LIGHT = Tool(
    "switchLight",
    "Turn the light in a room on or off",
    record(
        "room",
        "state",
        room=text("Room", enum=["kitchen", "bedroom", "bathroom"]),
        state=text(enum=["on", "off"]),
    ),
)
CLOCK = Tool("what_time", "The time now", record())
TOOLS = (WEATHER, TIMER, MUSIC, LIGHT)

CALLS = (
    ("What is the weather in Paris?", WEATHER, "paris"),
    ("How's the weather in New York today?", WEATHER, "new york"),
    ("Tell me the weather for Oslo.", WEATHER, "oslo"),
    ("Set a timer for ten minutes.", TIMER, 10),
    ("Start a countdown timer of 5 minutes, please.", TIMER, 5),
    ("Set the timer to twenty five minutes.", TIMER, 25),
    ("Play some music by Mozart.", MUSIC, "mozart"),
    ("Please play Imagine.", MUSIC, "imagine"),
    ("Turn on the light in the kitchen.", LIGHT, "kitchen"),
    ("Switch off the bedroom lights.", LIGHT, "bedroom"),
)
TALK = (
    "What is the capital of France?",
    "Tell me a joke.",
    "How are you today?",
    "I had eggs for breakfast.",
    "My name is Anna.",
    "Do you like Paris?",
    "Thank you, that is all.",
    "Why is the sky blue?",
)


class Scripted:
    """A mind's stand-in that says what it is told to, and keeps what it was asked."""

    def __init__(self, *answers: str, simple: bool = True) -> None:
        self.simple = simple
        self._answers = list(answers)
        self.schemas = list[Mapping[str, Any]]()

    async def complete(self, prompt: Sequence[Message], schema: Mapping[str, Any]) -> str:
        assert prompt[-1].role == "user"
        self.schemas.append(schema)
        return self._answers.pop(0)


def hands(mind: Scripted) -> LlamaHands:
    return LlamaHands(cast("LlamaMind", mind))


def user(words: str) -> list[Message]:
    return [Message("user", words)]


# --- what is meant --------------------------------------------------------------------------------


@pytest.mark.parametrize(("words", "tool", "value"), CALLS)
def test_words_are_nearest_to_the_tool_they_mean(words: str, tool: Tool, value: object) -> None:
    del value
    near = {one.name: close for one, close in affinities(words, TOOLS)}
    assert max(near, key=lambda name: near[name]) == tool.name
    assert near[tool.name] >= 2


@pytest.mark.parametrize("words", TALK)
def test_talk_is_near_to_no_tool(words: str) -> None:
    assert all(close < 2 for _, close in affinities(words, TOOLS))


def test_a_word_that_all_tools_share_counts_little() -> None:
    alike = [Tool(f"light_{name}", "", record()) for name in ("red", "green", "blue")]
    near = {tool.name: close for tool, close in affinities("The green light", alike)}
    assert near["light_green"] > 2 > near["light_red"] > 0


# --- arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tool", "words", "arguments"),
    [
        (TIMER, "a timer for twenty five minutes", {"minutes": 25}),
        (TIMER, "90 minutes", {"minutes": 90}),
        (LIGHT, "lights off in the bathroom", {"room": "bathroom", "state": "off"}),
        (WEATHER, "What is the weather in Paris?", None),
        (LIGHT, "the light in the cellar", None),
        (CLOCK, "What time is it?", {}),
    ],
)
def test_what_is_said_plainly_needs_no_model(
    tool: Tool, words: str, arguments: dict[str, Any] | None
) -> None:
    closer = narrowed(tool.parameters, words)
    assert closer["additionalProperties"] is False
    if tool is not WEATHER:
        assert settled(closer) == arguments
    else:
        assert "Paris" in closer["properties"]["city"]["enum"]


def test_what_was_not_said_stays_open() -> None:
    closer = narrowed(LIGHT.parameters, "Make it brighter.")
    assert closer["properties"] == LIGHT.parameters["properties"]
    dated = record("day", day=text(format="date"))
    assert narrowed(dated, "on Sunday")["properties"]["day"] == text(format="date")
    assert narrowed({}, "nothing") == {"additionalProperties": False, "properties": {}}


@given(st.text(max_size=60))
def test_any_words_leave_a_schema_that_is_no_wider(words: str) -> None:
    for tool in TOOLS:
        closer = narrowed(tool.parameters, words)
        for name, schema in tool.parameters["properties"].items():
            values = closer["properties"][name].get("enum", schema.get("enum", []))
            assert all(value in schema["enum"] for value in values if "enum" in schema)
            kind = str if schema["type"] == "string" else int
            assert all(isinstance(value, kind) for value in values)
            assert len(set(values)) == len(values)


# --- the choice -----------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_talk_asks_no_model() -> None:
    mind = Scripted()
    for words in TALK:
        assert await hands(mind).choose(user(words), TOOLS, must=False) == ()
    assert await hands(mind).choose(user("The weather?"), (), must=False) == ()
    assert await hands(mind).choose([], TOOLS, must=True) == ()
    assert mind.schemas == []


@pytest.mark.anyio
async def test_a_result_is_not_answered_with_another_call() -> None:
    talk = [*user("The weather in Oslo?"), Message("tool_call", "{}", name="get_weather")]
    talk.append(Message("tool_result", "rain in the city", name="get_weather"))
    for must in (False, True):
        assert await hands(Scripted()).choose(talk, TOOLS, must=must) == ()


@pytest.mark.anyio
async def test_a_small_mind_chooses_among_the_words_that_were_said() -> None:
    mind = Scripted('{"city":"New York"}')
    (choice,) = await hands(mind).choose(user("The weather in New York?"), TOOLS, must=False)
    assert choice == ("get_weather", '{"city":"New York"}')
    (schema,) = mind.schemas
    assert schema["properties"]["city"]["enum"] == ["New", "New York", "York"]


@pytest.mark.anyio
async def test_a_better_mind_writes_its_own_arguments() -> None:
    mind = Scripted('{"city":"NYC"}', simple=False)
    (choice,) = await hands(mind).choose(user("The weather in New York?"), TOOLS, must=False)
    assert choice.arguments == '{"city":"NYC"}'
    assert mind.schemas == [{"additionalProperties": False, **WEATHER.parameters}]


@pytest.mark.anyio
async def test_a_better_mind_weighs_what_is_near() -> None:
    chosen = json.dumps({"tool": "play_music", "arguments": {"title": "Yesterday"}})
    mind = Scripted(chosen, '{"tool": "none"}', simple=False)
    words = user("I would like to hear the song Yesterday.")
    (choice,) = await hands(mind).choose(words, TOOLS, must=False)
    assert (choice.name, json.loads(choice.arguments)) == ("play_music", {"title": "Yesterday"})
    assert await hands(mind).choose(words, TOOLS, must=False) == ()
    assert await hands(Scripted()).choose(words, TOOLS, must=False) == ()


@pytest.mark.anyio
@pytest.mark.parametrize("broken", ['{"city": "New', "", "[]", '"New York"'])
async def test_arguments_that_broke_off_call_nothing(broken: str) -> None:
    words = user("The weather in New York?")
    assert await hands(Scripted(broken)).choose(words, TOOLS, must=False) == ()


@pytest.mark.anyio
async def test_a_tool_that_must_be_called_is() -> None:
    mind = Scripted('{"city":"France"}')
    (choice,) = await hands(mind).choose(user("And in France?"), (WEATHER,), must=True)
    assert choice.name == "get_weather"
    (choice,) = await hands(mind).choose(user("Tell me."), (CLOCK,), must=True)
    assert choice == ("what_time", "{}")


# --- with a real mind -----------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.models
async def test_the_small_mind_calls_the_right_tools() -> None:
    own = await load_hands(await load_mind("small"))
    right = 0
    for words, tool, value in CALLS:
        choices = await own.choose(user(words), TOOLS, must=False)
        assert [choice.name for choice in choices] == [tool.name]
        values = json.loads(choices[0].arguments).values()
        right += any(str(value) in str(one).lower() for one in values)
    assert right >= len(CALLS) - 1
