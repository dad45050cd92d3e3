"""The little that is used of JSON Schema: the properties of an object, as plain dictionaries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

__all__ = ("closed", "properties")

Schema = dict[str, Any]


def properties(schema: Mapping[str, Any]) -> dict[str, Schema]:
    """Give the schema of each property; {} stands for one that allows anything."""
    found = schema.get("properties")
    if not isinstance(found, Mapping):
        return {}
    known = cast("Mapping[str, object]", found)
    return {
        name: dict(cast("Mapping[str, Any]", one)) if isinstance(one, Mapping) else {}
        for name, one in known.items()
    }


def closed(schema: Mapping[str, Any]) -> Schema:
    """Give the schema with no properties allowed beyond its own, unless it says otherwise."""
    return {"additionalProperties": False, **schema}
