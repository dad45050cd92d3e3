"""JSON schemas as the Live API takes them: the subset of OpenAPI 3.0 that function calls allow.

Total: every JSON value gives a schema the service accepts. What the subset cannot say is left out,
so that a schema only ever becomes wider; references are written out, and cut where they recur.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

__all__ = ("accepted",)

Schema = dict[str, Any]
Fields = Mapping[str, object]

_DEEP = 16
"""Levels of a schema; below these only its kind is told."""
_MANY = 2_000
"""Parts of a schema that are written out: references can multiply without end."""
_TYPES = frozenset({"string", "number", "integer", "boolean", "array", "object"})
_FORMATS = {
    "string": {"date-time"},
    "number": {"float", "double"},
    "integer": {"int32", "int64"},
}
_COUNTS = {
    "string": ("minLength", "maxLength"),
    "array": ("minItems", "maxItems"),
    "object": ("minProperties", "maxProperties"),
}
_SIGNS = {
    "type": None,
    "properties": "object",
    "required": "object",
    "additionalProperties": "object",
    "items": "array",
    "prefixItems": "array",
    "minimum": "number",
    "maximum": "number",
}
"""What a schema that tells no type is about."""


def accepted(schema: object) -> Schema:
    """Give the parameters of a function as the service takes them: always an object."""
    found = _Reader(_fields(schema)).read(schema, 0, ())
    if found.get("type") == "OBJECT":
        return {**found, "properties": found.get("properties", {})}
    return {"type": "OBJECT", "properties": {}}


class _Reader:
    """Reads one schema; counts what it has written."""

    def __init__(self, root: Fields) -> None:
        self._root = root
        self._left = _MANY

    def read(self, value: object, depth: int, within: tuple[str, ...]) -> Schema:
        """Give one schema; `within` are the references that led here."""
        self._left -= 1
        flat, within = self._flat(_fields(value), within, 0)
        kinds = _kinds(flat)
        nullable = "null" in kinds or flat.get("nullable") is True
        options = self._options(flat)
        if options is not None:
            nullable = nullable or any(_is_null(one) for one in options)
            real = [one for one in options if not _is_null(one)]
            found = self._union(flat, real, depth, within)
        else:
            told = tuple(kind for kind in kinds if kind != "null")
            if len(told) > 1:
                each: list[object] = [{**flat, "type": kind, "description": ""} for kind in told]
                found = self._union(flat, each, depth, within)
            else:
                found = self._one(flat, told[0] if told else "string", depth, within)
        words = flat.get("description")
        if isinstance(words, str) and words:
            found = {"description": words, **found}
        return {**found, "nullable": True} if nullable else found

    def _flat(
        self, fields: Fields, within: tuple[str, ...], depth: int
    ) -> tuple[Fields, tuple[str, ...]]:
        """Write out a reference and what is to hold together."""
        reference = fields.get("$ref")
        if isinstance(reference, str):
            own = {name: one for name, one in fields.items() if name != "$ref"}
            if reference in within or depth > _DEEP or self._left <= 0:
                kind = self._found(reference).get("type", "object")
                return {"type": kind, **own}, within
            target, within = self._flat(self._found(reference), (*within, reference), depth + 1)
            fields = _merged(target, own)
        parts = fields.get("allOf")
        if not isinstance(parts, list):
            return fields, within
        fields = {name: one for name, one in fields.items() if name != "allOf"}
        for part in cast("list[object]", parts):
            self._left -= 1
            if depth > _DEEP or self._left <= 0:
                break
            flat, within = self._flat(_fields(part), within, depth + 1)
            fields = _merged(fields, flat)
        return fields, within

    def _found(self, reference: str) -> Fields:
        if not reference.startswith("#"):
            return {}
        at: object = self._root
        for step in reference.removeprefix("#").strip("/").split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            at = _fields(at).get(name) if name else at
        return _fields(at)

    def _options(self, flat: Fields) -> list[object] | None:
        for name in ("anyOf", "oneOf"):
            options = flat.get(name)
            if isinstance(options, list) and options:
                return cast("list[object]", options)
        return None

    def _union(
        self, flat: Fields, options: list[object], depth: int, within: tuple[str, ...]
    ) -> Schema:
        """Give a choice; of one it is that one, of none anything."""
        if depth >= _DEEP or self._left <= 0 or not options:
            return self._one(flat, next(iter(_kinds(flat)), "string"), depth, within)
        if len(options) == 1:
            own = {name: one for name, one in flat.items() if name not in {"anyOf", "oneOf"}}
            return self.read(_merged(own, _fields(options[0])), depth + 1, within)
        return {"anyOf": [self.read(one, depth + 1, within) for one in options]}

    def _one(self, flat: Fields, kind: str, depth: int, within: tuple[str, ...]) -> Schema:
        """Give a schema of one type."""
        kind = kind if kind in _TYPES else "string"
        found: Schema = {"type": kind.upper()}
        written = flat.get("format")
        if isinstance(written, str) and written in _FORMATS.get(kind, ()):
            found["format"] = written
        for name in _COUNTS.get(kind, ()):
            count = flat.get(name)
            if isinstance(count, int) and not isinstance(count, bool) and count >= 0:
                found[name] = count
        match kind:
            case "string":
                _put_choice(found, flat)
            case "number" | "integer":
                _put_bounds(found, flat)
            case "array":
                found["items"] = self._items(flat, depth, within)
            case "object":
                self._put_properties(found, flat, depth, within)
            case _:
                pass
        return found

    def _items(self, flat: Fields, depth: int, within: tuple[str, ...]) -> Schema:
        if depth >= _DEEP or self._left <= 0:
            return {"type": "STRING"}
        items = flat.get("items")
        one: object = items
        for several in (items, flat.get("prefixItems")):
            if isinstance(several, list) and several:
                one = {"anyOf": cast("list[object]", several)}
        return self.read(one, depth + 1, within)

    def _put_properties(
        self, found: Schema, flat: Fields, depth: int, within: tuple[str, ...]
    ) -> None:
        named = _fields(flat.get("properties"))
        if not named or depth >= _DEEP:
            return
        properties: Schema = {}
        for name, one in named.items():
            if self._left <= 0:
                break
            properties[name] = self.read(one, depth + 1, within)
        found["properties"] = properties
        required = flat.get("required")
        if isinstance(required, list):
            names = dict.fromkeys(
                one
                for one in cast("list[object]", required)
                if isinstance(one, str) and one in properties
            )
            if names:
                found["required"] = list(names)


def _fields(value: object) -> Fields:
    return cast("Fields", value) if isinstance(value, Mapping) else {}


def _is_null(value: object) -> bool:
    fields = _fields(value)
    return fields.get("type") == "null" or ("const" in fields and fields["const"] is None)


def _kinds(flat: Fields) -> tuple[str, ...]:
    """Tell the types, or guess them from what else is told."""
    told = flat.get("type")
    if isinstance(told, str) and told:
        return (told.lower(),)
    if isinstance(told, list):
        return tuple(
            dict.fromkeys(t.lower() for t in cast("list[object]", told) if isinstance(t, str))
        )
    values = _choices(flat)
    if values:
        return tuple(dict.fromkeys(_kind_of(one) for one in values))
    signs = (kind for name, kind in _SIGNS.items() if kind and name in flat)
    return tuple(signs)[:1]


def _choices(flat: Fields) -> list[object]:
    values = flat.get("enum")
    if isinstance(values, list):
        return cast("list[object]", values)
    return [flat["const"]] if "const" in flat else []


def _kind_of(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case list():
            return "array"
        case dict():
            return "object"
        case _:
            return "string"


def _put_choice(found: Schema, flat: Fields) -> None:
    values = [one for one in _choices(flat) if isinstance(one, str) and one]
    if values:
        found |= {"format": "enum", "enum": list(dict.fromkeys(values))}
    if isinstance(pattern := flat.get("pattern"), str):
        found["pattern"] = pattern


def _put_bounds(found: Schema, flat: Fields) -> None:
    """Give bounds; the values of an enumeration of numbers are told by its least and greatest."""
    values = [one for one in _choices(flat) if _is_number(one)]
    low, high = flat.get("minimum"), flat.get("maximum")
    if values:
        numbers = cast("list[float]", values)
        low, high = min(numbers), max(numbers)
    if _is_number(low):
        found["minimum"] = low
    if _is_number(high):
        found["maximum"] = high


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) or math.isfinite(value)


def _merged(one: Fields, other: Fields) -> Fields:
    """Let two schemas hold together: their properties and what they require are joined."""
    merged = {**one, **{name: value for name, value in other.items() if value is not None}}
    if "properties" in one and "properties" in other:
        merged["properties"] = {**_fields(one["properties"]), **_fields(other["properties"])}
    required = [part["required"] for part in (one, other) if isinstance(part.get("required"), list)]
    if required:
        merged["required"] = [name for part in required for name in cast("list[object]", part)]
    return merged
