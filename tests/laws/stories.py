"""Stories: a session's agreement, what happens to it, and how a law is shown to catch a fault."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from hypothesis import HealthCheck, Phase, find, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample
from msgspec.structs import replace

from realtime_core import Capabilities, Plan, SessionConfig, negotiate
from realtime_core.epoch import ItemId, ResponseId
from realtime_core.events import AudioOutput, Kind, RealtimeEvent
from realtime_core.frames import Heard, Interrupt
from realtime_core.testing._author import FORMAT, SAMPLES_A_TICK
from realtime_core.testing.conformance import check_trace
from realtime_core.testing.fold import Fold, Step
from realtime_core.testing.live import Performance, performed
from realtime_core.testing.scripted import SCRIPTED, ScriptedCodec
from realtime_core.testing.strategies import _written, plans, timelines
from realtime_core.testing.timeline import Pushes, Takes, Timeline, Waits, act, welcome

__all__ = (
    "BACKENDS",
    "SEEDS",
    "Story",
    "audio",
    "catches",
    "folded",
    "is_perishable",
    "lawful_session",
    "lawful_trace",
    "live_config",
    "many",
    "opened",
    "plain",
    "played",
    "singly",
    "speeches",
    "stories",
)

_LEAST = 1_000 if os.environ.get("REALTIME_LAWS") == "mutants" else 75
many = settings(max_examples=max(_LEAST, settings().max_examples))
"""For laws that are cheap to try."""

SEEDS = range(5) if os.environ.get("REALTIME_LAWS") == "deep" else range(1)
"""Orders in which trio runs tasks that are ready together."""

BACKENDS = ("asyncio", "trio")
_CODEC = ScriptedCodec()

T = TypeVar("T")


class Story(NamedTuple):
    """What was agreed, what happens, and the seed of every chance in it."""

    plan: Plan
    timeline: Timeline
    seed: int = 0


def stories(
    *, lawful: bool = False, losses: bool = True, holds: bool = False, successors: bool = False
) -> st.SearchStrategy[Story]:
    happenings = timelines(lawful=lawful, losses=losses, holds=holds)
    agreed = plans(holds=holds, successors=successors)
    return st.builds(Story, agreed, happenings, st.integers(0, 2**16))


def speeches() -> st.SearchStrategy[Story]:
    """Give stories of one answer in two items: its sound, its words, what of it is heard, a cut."""
    slots = st.integers(0, 3)
    move = st.tuples(st.sampled_from(("audio", "audio", "words", "audio done")), st.just(0), slots)
    items = st.sampled_from((ItemId("r0-0"), ItemId("r0-1")))
    ack = st.builds(Heard, items, st.integers(0, 8).map(lambda ticks: ticks * SAMPLES_A_TICK))
    kinds: list[st.SearchStrategy[Any]] = [
        *[st.lists(move, min_size=1, max_size=4)] * 3,
        *[st.builds(Takes, st.integers(1, 4))] * 2,
        *[st.builds(Waits, st.integers(1, 6))] * 2,
        st.builds(Pushes, ack),
        st.just(Pushes(Interrupt())),
    ]
    drafts = st.lists(st.sampled_from(kinds).flatmap(lambda kind: kind), min_size=4, max_size=20)
    return st.builds(Story, plans(), drafts.map(_written), st.integers(0, 2**16))


def plain(able: Capabilities = SCRIPTED, **config: Any) -> Fold:
    """Open a session with these settings, by hand."""
    plan = negotiate(able, SessionConfig(**config)).unwrap()
    return opened(Story(plan, ()))


def audio(response: str, samples: int = 0, number: int = 1) -> AudioOutput:
    """Give a piece of sound of a response's one item."""
    pcm = number.to_bytes(2, "little") * samples
    id = ResponseId(response)
    return AudioOutput(response=id, item=ItemId(f"{response}-0"), pcm=pcm, format=FORMAT)


def opened(story: Story) -> Fold:
    fold = Fold(_CODEC, story.plan)
    welcome(fold)
    return fold


def folded(story: Story) -> Fold:
    """Play a story without tasks, to its end."""
    fold = opened(story)
    act(fold, story.timeline)
    fold.close()
    return fold


def live_config(plan: Plan) -> SessionConfig:
    """Give the agreed configuration, with time enough to connect on a busy machine."""
    return replace(plan.config, connect_timeout=64.0)


def played(story: Story, backend: str, late: int = 4) -> Performance:
    """Play a story on a real session, on virtual time."""
    config = live_config(story.plan)
    return performed(
        story.timeline,
        config,
        story.plan.capabilities,
        backend=backend,
        seed=story.seed,
        late=late,
    )


def lawful_trace(story: Story) -> None:
    """What a consumer can see of laws 1, 2 and 7, to the end."""
    assert check_trace(folded(story).events, complete=True) == []


def lawful_session(story: Story, backend: str) -> None:
    """The same of a real session."""
    done = played(story, backend)
    assert check_trace(done.events, complete=done.session is not None) == []


def is_perishable(event: RealtimeEvent) -> bool:
    return event.kind is Kind.PERISHABLE


def catches(law: Callable[[T], None], among: st.SearchStrategy[T], tries: int = 3_000) -> None:
    """Require that a law is broken somewhere: the fault that is planted now must be seen."""

    def broken(case: T) -> bool:
        try:
            law(case)
        except Exception:
            return True
        return False

    looking = settings(
        max_examples=tries,
        phases=(Phase.generate,),
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    try:
        find(among, broken, settings=looking, random=random.Random(7))
    except NoSuchExample:
        raise AssertionError(f"{law.__name__} does not see the planted fault") from None


def singly(fold: Fold) -> list[Step]:
    """Give the steps that one thing caused: reads of several messages are left out."""
    return [one for one in fold.steps if len(getattr(one.given, "wires", ())) < 2]
