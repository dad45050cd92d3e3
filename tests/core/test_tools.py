"""Tools: what the model is told of a function, and what becomes of the arguments it gives."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct
from returns.result import Failure, Success

from realtime_core import (
    RealtimeException,
    ToolSpec,
)
from realtime_core.tools import parse, tool, toolbox
from tests.core.calling import Place, weather


class Even(Struct):
    number: int

    def __post_init__(self) -> None:
        if self.number % 2:
            raise KeyError(self.number)


def nothing() -> None: ...


def distance(a: Place, b: Place, *, exact: bool = False) -> float:
    return len(a.city) - len(b.city) + exact


def pick(
    count: Annotated[int, Meta(ge=1, le=9, description="How many.")],
    tags: list[str] | None = None,
) -> None: ...


SCHEMAS: list[tuple[Callable[..., object], dict[str, Any]]] = [
    (nothing, {"type": "object", "properties": {}, "required": []}),
    (
        weather,
        {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "unit": {"enum": ["C", "F"], "default": "C"},
            },
            "required": ["city"],
        },
    ),
    (
        distance,
        {
            "type": "object",
            "properties": {
                "a": {"$ref": "#/$defs/Place"},
                "b": {"$ref": "#/$defs/Place"},
                "exact": {"type": "boolean", "default": False},
            },
            "required": ["a", "b"],
            "$defs": {
                "Place": {
                    "title": "Place",
                    "type": "object",
                    "properties": {
                        "city": {"type": "string"},
                        "country": {"type": "string", "default": "France"},
                    },
                    "required": ["city"],
                }
            },
        },
    ),
    (
        pick,
        {
            "type": "object",
            "properties": {
                "count": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": 9,
                    "description": "How many.",
                },
                "tags": {
                    "anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}],
                    "default": None,
                },
            },
            "required": ["count"],
        },
    ),
]


@pytest.mark.parametrize(("function", "schema"), SCHEMAS, ids=lambda v: getattr(v, "__name__", ""))
def test_annotations_become_the_schema(
    function: Callable[..., object], schema: dict[str, Any]
) -> None:
    parameters = dict(tool(function).spec.parameters)
    assert parameters.pop("additionalProperties", False) is False
    assert parameters == schema


def test_the_docstring_is_the_description_and_all_can_be_said_otherwise() -> None:
    assert tool(weather).spec.description == "Tell the weather in a city."
    assert tool(nothing).spec == ToolSpec("nothing", "", tool(nothing).spec.parameters, "cancel")
    other = tool(weather, name="wx", description="Rain?", policy="finish", timeout=1.5)
    assert (other.spec.name, other.spec.description, other.timeout) == ("wx", "Rain?", 1.5)
    assert toolbox(weather, other)[1] is other


@pytest.mark.parametrize("name", ["Place", "wetter für alle", "Place.city"])
def test_a_tool_may_be_called_like_its_types_or_anything_else(name: str) -> None:
    made = tool(distance, name=name)
    assert set(made.spec.parameters["properties"]) == {"a", "b", "exact"}
    (shared,) = made.spec.parameters["$defs"]
    assert made.spec.parameters["properties"]["a"] == {"$ref": f"#/$defs/{shared}"}
    assert made.spec.name == name


def no_annotation(city) -> None: ...  # type: ignore[no-untyped-def]
def no_json_form(door: socket.socket) -> None: ...
def no_such_type(door: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def no_json_default(door: Any = object()) -> None: ...  # noqa: B008
def any_number(*cities: str) -> None: ...
def any_name(**cities: str) -> None: ...
def by_place(city: str, /) -> None: ...


@pytest.mark.parametrize(
    "function",
    [
        no_annotation,
        no_json_form,
        no_such_type,
        no_json_default,
        any_number,
        any_name,
        by_place,
        min,
    ],
)
def test_a_function_that_no_call_could_fill_is_refused(function: Callable[..., object]) -> None:
    with pytest.raises(RealtimeException) as refusal:
        tool(function)
    error = refusal.value.error
    assert function.__name__ in error.what
    assert error.cause
    assert error.fix


def test_arguments_are_decoded_against_the_annotations() -> None:
    assert parse(tool(weather), '{"city": "Paris"}') == Success({"city": "Paris", "unit": "C"})
    decoded = parse(tool(distance), '{"a": {"city": "Paris"}, "b": {"city": "Rome"}}').unwrap()
    assert decoded == {"a": Place("Paris"), "b": Place("Rome"), "exact": False}
    assert parse(tool(nothing), "") == Success({})


def odd(even: Even) -> None: ...


BAD = [
    (weather, ""),
    (weather, "{"),
    (weather, "[]"),
    (weather, '{"city": 3}'),
    (weather, '{"city": "Paris", "unit": "K"}'),
    (weather, '{"city": "Paris", "colour": "red"}'),
    (weather, '{"city": "\ud800"}'),
    (weather, '{"city":' + "[" * 100_000),
    (pick, '{"count": 0}'),
    (odd, '{"even": {"number": 3}}'),
]


@pytest.mark.parametrize(("function", "arguments"), BAD)
def test_bad_arguments_are_a_value(function: Callable[..., object], arguments: str) -> None:
    result = parse(tool(function), arguments)
    assert isinstance(result, Failure)
    assert result.failure().what.startswith(f"Bad arguments for {function.__name__}: ")


@given(arguments=st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(str))
def test_no_arguments_raise(arguments: str) -> None:
    assert isinstance(parse(tool(pick), arguments), Success | Failure)
