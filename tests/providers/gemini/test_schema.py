"""Schemas: any JSON schema becomes one that function calls take, and never a narrower one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st

from realtime_gemini.schema import accepted
from tests.laws.stories import many

ALLOWED = {
    *("type", "format", "description", "nullable", "enum", "pattern", "anyOf"),
    *("items", "minItems", "maxItems", "minLength", "maxLength", "minimum", "maximum"),
    *("properties", "required", "minProperties", "maxProperties"),
}
KINDS = {"STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT"}


def check(schema: dict[str, Any], depth: int = 0) -> None:
    """Require what the service requires of a schema, at every level."""
    assert set(schema) <= ALLOWED
    assert depth < 40
    if "anyOf" in schema:
        assert "type" not in schema
        assert len(schema["anyOf"]) > 1
        for one in schema["anyOf"]:
            check(one, depth + 1)
        return
    assert schema["type"] in KINDS
    assert ("items" in schema) == (schema["type"] == "ARRAY")
    if "enum" in schema:
        assert schema["type"] == "STRING"
        assert all(isinstance(one, str) and one for one in schema["enum"])
    if "items" in schema:
        check(schema["items"], depth + 1)
    assert set(schema.get("required", ())) <= set(schema.get("properties", ()))
    for one in schema.get("properties", {}).values():
        check(one, depth + 1)


def judged(schema: object) -> dict[str, Any]:
    made = accepted(schema)
    check(made)
    assert made["type"] == "OBJECT"
    types.Schema.model_validate_json(json.dumps(made), strict=True)
    return made


def of(schema: object, **more: Any) -> dict[str, Any]:
    """Give what becomes of a property."""
    made = judged({"type": "object", "properties": {"p": schema}, **more})
    found: dict[str, Any] = made["properties"]["p"]
    return found


@pytest.mark.parametrize(
    ("schema", "made"),
    [
        ({"type": "string", "title": "T", "$comment": "c"}, {"type": "STRING"}),
        ({"type": ["string", "null"]}, {"type": "STRING", "nullable": True}),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, {"type": "INTEGER", "nullable": True}),
        (
            {"oneOf": [{"type": "integer"}, {"type": "string"}], "description": "d"},
            {"description": "d", "anyOf": [{"type": "INTEGER"}, {"type": "STRING"}]},
        ),
        (
            {"type": ["integer", "string", "null"]},
            {"anyOf": [{"type": "INTEGER"}, {"type": "STRING"}], "nullable": True},
        ),
        ({"const": "a"}, {"type": "STRING", "format": "enum", "enum": ["a"]}),
        ({"enum": ["a", "b", "a"]}, {"type": "STRING", "format": "enum", "enum": ["a", "b"]}),
        (
            {"enum": ["a", None]},
            {"type": "STRING", "format": "enum", "enum": ["a"], "nullable": True},
        ),
        ({"enum": [3, 1]}, {"type": "INTEGER", "minimum": 1, "maximum": 3}),
        ({"const": True}, {"type": "BOOLEAN"}),
        ({"type": "null"}, {"type": "STRING", "nullable": True}),
        (
            {"type": "array", "items": {"type": "number"}, "uniqueItems": True, "maxItems": 3},
            {"type": "ARRAY", "maxItems": 3, "items": {"type": "NUMBER"}},
        ),
        ({"type": "array"}, {"type": "ARRAY", "items": {"type": "STRING"}}),
        (
            {"prefixItems": [{"type": "number"}, {"type": "string"}]},
            {"type": "ARRAY", "items": {"anyOf": [{"type": "NUMBER"}, {"type": "STRING"}]}},
        ),
        ({"type": "string", "format": "date-time"}, {"type": "STRING", "format": "date-time"}),
        ({"type": "string", "format": "uuid", "minLength": 2}, {"type": "STRING", "minLength": 2}),
        ({"minimum": 0}, {"type": "NUMBER", "minimum": 0}),
        ({"additionalProperties": {"type": "integer"}}, {"type": "OBJECT"}),
        (True, {"type": "STRING"}),
        ({}, {"type": "STRING"}),
        (
            {
                "allOf": [
                    {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
                    {"properties": {"b": {"type": "integer"}}, "required": ["b", "z"]},
                ]
            },
            {
                "type": "OBJECT",
                "properties": {"a": {"type": "STRING"}, "b": {"type": "INTEGER"}},
                "required": ["a", "b"],
            },
        ),
    ],
)
def test_one_schema(schema: object, made: dict[str, Any]) -> None:
    assert of(schema) == made


def test_references_are_written_out() -> None:
    defs = {
        "City": {"type": "object", "properties": {"name": {"$ref": "#/$defs/Name"}}},
        "Name": {"type": "string", "description": "its name"},
    }
    found = of({"$ref": "#/$defs/City", "description": "where"}, **{"$defs": defs})
    name = {"type": "STRING", "description": "its name"}
    assert found == {"type": "OBJECT", "description": "where", "properties": {"name": name}}


def test_a_reference_to_itself_is_cut() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}
    found = of({"$ref": "#/$defs/Node"}, **{"$defs": {"Node": node}})
    assert found == {"type": "OBJECT", "properties": {"next": {"type": "OBJECT"}}}
    assert judged({"$ref": "#"}) == {"type": "OBJECT", "properties": {}}


def test_references_that_multiply_are_bounded() -> None:
    both = {"type": "array"}
    defs: dict[str, Any] = {
        f"d{n}": {"type": "object", "properties": {k: {"$ref": f"#/$defs/d{n + 1}"} for k in "ab"}}
        for n in range(60)
    }
    made = judged({"$ref": "#/$defs/d0", "$defs": {**defs, "d60": both}})
    assert len(json.dumps(made)) < 200_000


def test_what_must_hold_together_without_end_is_bounded() -> None:
    defs = {"A": {"allOf": [{"$ref": "#/$defs/A"}, {"minLength": 1}], "type": "string"}}
    assert of({"$ref": "#/$defs/A"}, **{"$defs": defs})["minLength"] == 1
    assert of({"allOf": [{"minLength": 1}] * 5_000, "type": "string"})["minLength"] == 1


@pytest.mark.parametrize("name", ["items", "anyOf"])
def test_depth_is_bounded(name: str) -> None:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(200):
        one = {"type": "null"}
        schema = (
            {"type": "array", "items": schema} if name == "items" else {name: [schema, one, {}]}
        )
    assert len(json.dumps(of(schema))) < 2_000


@pytest.mark.parametrize("schema", [None, 7, [], "object", {"type": "string"}, {"$ref": "#/no"}])
def test_parameters_are_always_an_object(schema: object) -> None:
    assert judged(schema) == {"type": "OBJECT", "properties": {}}


_KEYS = st.sampled_from(
    (
        "type",
        "properties",
        "items",
        "anyOf",
        "oneOf",
        "allOf",
        "$ref",
        "$defs",
        "enum",
        "const",
        "required",
        "format",
        "minimum",
        "maxItems",
        "minLength",
        "nullable",
        "description",
        "default",
        "additionalProperties",
        "prefixItems",
        "pattern",
        "not",
        "a",
    )
)
_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(("string", "object", "array", "null", "INTEGER", "#", "#/$defs/a", "x", ""))
)
_ANY = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=5),
    max_leaves=25,
)


@many
@given(_ANY)
def test_any_json_is_taken(schema: object) -> None:
    before = repr(schema)
    first = accepted({"type": "object", "properties": {"p": schema}, "$defs": {"a": schema}})
    check(first)
    assert repr(schema) == before, "it is only read"
    check(accepted(schema))


@given(st.dictionaries(st.text(max_size=4), _ANY, max_size=4))
def test_names_are_the_users_own(properties: dict[str, Any]) -> None:
    made = accepted({"type": "object", "properties": properties})
    assert list(made["properties"]) == list(properties)
