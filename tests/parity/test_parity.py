"""Parity: every provider tells of a conversation as every other does, but for what it lacks."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from realtime_core.capability import Capabilities
from realtime_core.events import AgentTranscript, AudioInput, AudioOutput, Event, ResponseText
from realtime_core.testing.conformance import check_trace
from realtime_core.testing.scripted import SCRIPTED
from tests.parity.conversations import CONVERSATIONS, Conversation
from tests.parity.expected import RULES, Rule, judge, references, rewritten
from tests.parity.far_scripted import scripted_inside
from tests.parity.matrix import judged
from tests.parity.sides import SIDES, SOCKETS
from tests.parity.stage import Played, play, played
from tests.parity.steps import Refused, differences, read, steps

Trace = list[Event | Refused]
conversations = pytest.mark.parametrize(
    "conversation", CONVERSATIONS, ids=[one.name for one in CONVERSATIONS]
)


def checked(conversation: Conversation, told: Played) -> tuple[str, ...]:
    """Require that a trace keeps the grammar, and that what differs may; gives what explains it."""
    events: list[Any] = [event for event in told[0] if not isinstance(event, Refused)]
    assert not check_trace(events, complete=True)
    found = judged(conversation, told)
    assert not found.differences, "\n".join(("", *found.differences))
    return found.because


@conversations
@pytest.mark.parametrize("name", SIDES)
def test_only_what_is_lacking_differs(
    anyio_backend: str, name: str, conversation: Conversation
) -> None:
    checked(conversation, played(SIDES[name], conversation, anyio_backend))


@conversations
def test_who_can_do_everything_gives_the_references(
    anyio_backend: str, conversation: Conversation
) -> None:
    assert checked(conversation, played(scripted_inside, conversation, anyio_backend)) == ()


@pytest.mark.parametrize("name", SOCKETS)
def test_the_same_over_sockets(name: str) -> None:
    """All conversations at once, in real time, each with a server of its own."""
    told = dict[str, Played]()

    async def one(conversation: Conversation) -> None:
        told[conversation.name] = await play(SOCKETS[name], conversation)

    async def every() -> None:
        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                for conversation in CONVERSATIONS:
                    tasks.start_soon(one, conversation)

    anyio.run(every)
    for conversation in CONVERSATIONS:
        trace, able = played(SIDES[name], conversation)
        assert differences(steps(told[conversation.name][0]), steps(trace)) == []
        assert told[conversation.name][1] == able


# --- what is found ----------------------------------------------------------------------------


def whole(conversation: Conversation) -> Trace:
    """Give a trace without fault, with the microphone's sound in one piece."""
    trace = played(scripted_inside, conversation)[0]
    pcm = b"".join(event.pcm for event in trace if isinstance(event, AudioInput))
    first = next((event for event in trace if isinstance(event, AudioInput)), None)
    return [
        replace(event, pcm=pcm) if isinstance(event, AudioInput) else event
        for event in trace
        if not isinstance(event, AudioInput) or event is first
    ]


def is_found(conversation: Conversation, trace: Trace) -> bool:
    return bool(judged(conversation, (trace, SCRIPTED)).differences)


def is_piece(event: Event | Refused) -> bool:
    """Tell whether this is one piece of several, of which the whole is compared."""
    match event:
        case AgentTranscript(final=False) | ResponseText(is_complete=False) | AudioOutput():
            return True
        case _:
            return False


@conversations
def test_a_missing_event_is_found(conversation: Conversation) -> None:
    trace = whole(conversation)
    for place, event in enumerate(trace):
        assert is_found(conversation, [*trace[:place], *trace[place + 1 :]]), event


@conversations
def test_an_event_that_comes_twice_is_found(conversation: Conversation) -> None:
    """Doubled sound among them."""
    trace = whole(conversation)
    for place, event in enumerate(trace):
        assert is_found(conversation, [*trace[:place], event, *trace[place:]]), event


@conversations
def test_a_wrong_order_is_found(conversation: Conversation) -> None:
    trace = whole(conversation)
    for place, (one, other) in enumerate(pairwise(trace)):
        swapped = [*trace[:place], other, one, *trace[place + 2 :]]
        if not (is_piece(one) and is_piece(other)):
            assert is_found(conversation, swapped), (one, other)


@conversations
def test_output_behind_the_end_of_its_answer_is_found(conversation: Conversation) -> None:
    trace = whole(conversation)
    sound = [place for place, event in enumerate(trace) if isinstance(event, AudioOutput)]
    assert sound
    for place in sound:
        late = [*trace[:place], *trace[place + 1 : -1], trace[place], trace[-1]]
        assert is_found(conversation, late)


@conversations
@pytest.mark.parametrize(
    "wrong",
    [
        lambda event: replace(event, epoch=event.epoch + 1),
        lambda event: replace(event, conn=event.conn + 1),
        lambda event: replace(event, response=None if event.response else "another"),
        lambda event: replace(event, item=None if event.item else "another"),
    ],
    ids=["epoch", "conn", "response", "item"],
)
def test_a_wrong_stamp_is_found(
    conversation: Conversation, wrong: Callable[[Event], Event]
) -> None:
    trace = whole(conversation)
    for place, event in enumerate(trace):
        if isinstance(event, Event) and not isinstance(event, AudioInput):
            assert is_found(conversation, [*trace[:place], wrong(event), *trace[place + 1 :]]), (
                event
            )


# --- the rules --------------------------------------------------------------------------------


def lacking(rule: Rule) -> Capabilities:
    """Give capabilities that lack what one rule is about."""
    without: dict[str, object] = {
        "closing_silence_ms": 2_500,
        "late_words": True,
        "resumption": "none",
        "tool_reply": "automatic",
    }
    return replace(SCRIPTED, **{rule.field: without.get(rule.field, False)})


@pytest.mark.parametrize("rule", RULES, ids=[rule.rewrite.__name__ for rule in RULES])
def test_a_difference_needs_its_capability(rule: Rule) -> None:
    able, changed = lacking(rule), 0
    for reference in references().values():
        told = rewritten(reference, [rule], able)
        if told == list(reference):
            continue
        changed += 1
        assert judge(told, reference, able).because == (rule.field,)
        assert judge(told, reference, SCRIPTED).differences
    assert changed


def test_what_is_needless_is_not_named() -> None:
    """A provider that lacks much gives the reference where that is not asked of it."""
    able = replace(SCRIPTED, cancel=False, images=False, speech_events=False)
    told = references()["text turn"]
    assert judge(told, told, able).because == ()


def test_a_reference_is_read_as_it_is_shown() -> None:
    for reference in references().values():
        assert [read(str(one)) for one in reference] == list(reference)


def test_names_are_no_difference() -> None:
    (conversation, *_) = CONVERSATIONS
    trace = [
        replace(event, response="another") if isinstance(event, Event) and event.response else event
        for event in whole(conversation)
    ]
    assert steps(trace) == steps(whole(conversation))
