"""Packing: every value the machine knows comes back as it was, and nothing else comes back."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, IntEnum, StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple, get_args, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core import (
    Audio,
    Exponential,
    Frame,
    RealtimeError,
    RealtimeEvent,
    Recurs,
    Secret,
    SessionConfig,
    SessionEnding,
    Text,
    ToolSpec,
    UpdateSession,
)
from realtime_core.heard import Reading
from realtime_core.marks import Marks, learn
from realtime_core.packing import Opaque, _kinds, pack, unpack
from realtime_core.schedule import Capped
from realtime_core.state import Effect, Input, Linked, Pushed, Rang, Received, State, Timer
from realtime_core.testing.strategies import structs
from tests.core.short import plan
from tests.laws.stories import Story, folded, stories


def packed(value: object, marks: Marks | None = None) -> bytes:
    return msgspec.msgpack.encode(pack(value, marks or Marks(), []))


def again(value: object) -> Any:
    return unpack(msgspec.msgpack.decode(packed(value)))


def configured(**options: Any) -> Pushed:
    return Pushed(at=1.0, frame=UpdateSession(SessionConfig(options=options)))


# --- the same value ---------------------------------------------------------------------------


@given(structs(*(kind for kind in get_args(Frame) if kind is not UpdateSession)))
def test_every_frame_comes_back(frame: Frame) -> None:
    given_ = Pushed(at=1.5, delivered=(Reading("i", 1, 2, 3.5),), frame=frame)  # type: ignore[arg-type]
    assert repr(again(given_)) == repr(given_)


@given(stories())
def test_all_that_happens_and_all_that_follows_comes_back(story: Story) -> None:
    for one in folded(story).steps:
        for value in (one.given, one.effects, one.refused):
            assert repr(again(value)) == repr(value)


@pytest.mark.parametrize(
    "value",
    [
        configured(number=1, float=1.0, big=1 << 70, small=-(1 << 70), word=(1 << 63) - 1),
        configured(nan=float("inf"), true=True, none=None, empty={}, nothing=()),
        configured(list=[1, [2], (3, 4)], tuple=(1, [2]), nested={"a": {"b": [{}]}}),
        configured(text="half \ud83d of", whole="\ud83d\ude00 ü", bytes=b"\0\xff"),
        Pushed(at=1.0, frame=UpdateSession(SessionConfig(connect_timeout=5, temperature=1))),
        Pushed(at=1.0, frame=UpdateSession(SessionConfig(retry=Capped(Exponential(1, 2.0), 3)))),
        Pushed(at=1.0, frame=UpdateSession(SessionConfig(modalities=["text"]))),  # type: ignore[arg-type]
        Received(at=2.0, conn=0, wires=("a", b"a", "\ud800", "")),
        Rang(at=0.0, timer=Timer.RETRY),
        State(plan(tools=(ToolSpec("a", parameters={"type": "object"}),)), "x"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_least_difference_stays(value: object) -> None:
    assert repr(again(value)) == repr(value)


def test_a_set_has_no_order() -> None:
    one, other = (
        configured(set=frozenset(order)) for order in (("a", "b", 8, 0), (0, 8, "b", "a"))
    )
    assert packed(one) == packed(other)
    assert again(one) == one


def test_what_is_of_a_kind_becomes_that_kind() -> None:
    class Voice(StrEnum):
        JOE = "joe"

    class Number(IntEnum):
        ONE = 1

    class Pair(NamedTuple):
        a: int

    class Half(float):
        pass

    value = configured(
        voice=Voice.JOE,
        number=Number.ONE,
        pair=Pair(2),
        half=Half(0.5),
        proxy=MappingProxyType({"a": 1}),
    )
    plain = {"voice": "joe", "number": 1, "pair": (2,), "half": 0.5, "proxy": {"a": 1}}
    assert repr(again(value)) == repr(configured(**plain))
    audio = Pushed(at=1.0, frame=Audio(bytearray(b"ab")))  # type: ignore[arg-type]
    assert again(audio) == Pushed(at=1.0, frame=Audio(b"ab"))
    view = Pushed(at=1.0, frame=Audio(memoryview(b"ab")))  # type: ignore[arg-type]
    assert again(view) == Pushed(at=1.0, frame=Audio(b"ab"))


class Own(msgspec.Struct):
    key: str


class Colour(Enum):
    RED = "red"


@pytest.mark.parametrize("value", [print, Own("k"), Colour.RED, {1, 2}, object()])
def test_what_cannot_be_packed_is_named_once_and_for_all(value: object) -> None:
    back = again(configured(mine=value))
    kind = type(value).__name__
    assert back == configured(mine=Opaque(kind))
    assert again(back) == back


# --- secrets ----------------------------------------------------------------------------------


def test_marks_stand_for_secrets_and_for_their_texts() -> None:
    met = list[Secret]()
    secret = Secret("sk-0123456789")
    value = configured(key=secret, sk_0123456789=1, text="is sk-0123456789", data=b"sk-0123456789")
    pack(value, Marks(), met)
    assert met == [secret]
    marks = learn(Marks(), *met)
    assert b"sk-0123456789" not in packed(value, marks)
    options = unpack(pack(value, marks, [])).frame.config.options
    assert options["key"].held == "secret-1-----"
    assert options["text"] == "is secret-1-----"
    assert options["data"] == b"secret-1-----"


def test_a_secret_without_a_mark_is_empty() -> None:
    back = again(configured(short=Secret("1234"), asked=Secret(lambda: "sk-0123456789")))
    assert {name: key.held for name, key in back.frame.config.options.items()} == {
        "short": "",
        "asked": "",
    }


# --- the vocabulary ---------------------------------------------------------------------------


def test_the_vocabulary_is_all_that_can_happen() -> None:
    members = (get_args(union) for union in (Input, Effect, Frame, RealtimeEvent, RealtimeError))
    for kind in (State, Timer, Reading, *(kind for union in members for kind in union)):
        assert _kinds()[kind.__name__] is kind


def test_no_two_classes_have_the_same_name() -> None:
    for kind in _kinds().values():
        hints = list[Any]([] if issubclass(kind, Enum) else get_type_hints(kind).values())
        while hints:
            hint = hints.pop()
            hints.extend(get_args(hint))
            if isinstance(hint, type) and hint.__name__ in _kinds():
                assert _kinds()[hint.__name__] is hint


def test_defaults_are_left_out() -> None:
    assert pack(Text("hi"), Marks(), []) == {"Text": {"text": "hi"}}
    assert pack(Linked(at=0.0, conn=0), Marks(), []) == {"Linked": {"conn": 0, "at": 0.0}}
    assert pack(SessionEnding(), Marks(), []) == {"SessionEnding": {}}
    assert pack(Recurs(0), Marks(), []) == {"Recurs": {"times": 0}}


# --- what is no value -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "plain",
    [
        {},
        {"Text": {}, "Audio": {}},
        {"NoSuch": {}},
        {"Text": []},
        {"Text": {"text": 5}},
        {"Text": {"text": "a", "role": "robot"}},
        {"Text": {"text": "a", "role": 1}},
        {"Text": {"text": "a", "more": 1}},
        {"Text": {"text": "a", "participant": 1}},
        {"Text": {}},
        {"Timer": "tea"},
        {"Rang": {"at": 0.0, "timer": "retry"}},
        {"Linked": {"at": 0.0, "conn": True}},
        {"Linked": {"at": "now", "conn": 0}},
        {"Received": {"at": 0.0, "conn": 0, "wires": [1]}},
        {"Received": {"at": 0.0, "conn": 0, "wires": "ab"}},
        {"Fence": {"epoch": 1.0}},
        {"Emit": {"event": {"Text": {"text": "a"}}}},
        {"Reading": {"item": "a"}},
        {"SessionConfig": {"options": [1]}},
        {"SessionConfig": {"options": {"dict": [[1, 2]]}}},
        {"HeardItem": {}},
        {"AgentTranscript": {"text": "", "final": True, "span": [1]}},
        {"AgentTranscript": {"text": "", "final": True, "span": [1, "2"]}},
        {"AgentTranscript": {"text": "", "final": True, "span": 1}},
        {"int": 5},
        {"int": "twelve"},
        {"text": "a"},
        {"text": b"\xff"},
        {"dict": [1]},
        {"dict": [[{"list": []}, 1]]},
        {"list": 5},
        {"set": [{"list": []}]},
    ],
    ids=str,
)
def test_what_pack_does_not_make_is_refused(plain: Any) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        unpack(plain)


_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from((*_kinds(), "list", "dict", "text", "int", "secret", "opaque")),
            inner | st.dictionaries(st.sampled_from(("at", "conn", "text", "frame")), inner),
            max_size=2,
        )
    ),
)


@given(_PLAIN)
def test_reading_anything_raises_nothing_unforeseen(plain: Any) -> None:
    checked: Callable[[], Any] = lambda: unpack(plain)  # noqa: E731 - read once
    try:
        checked()
    except (ValueError, KeyError, TypeError, AttributeError):
        return
