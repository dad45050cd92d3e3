"""What an argument can be at most, by the words that were said: for a model too small to choose.

Pure: a JSON schema and a sentence in, a narrower schema out. Values that are named in the sentence
leave no others; text is taken from the sentence word for word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .affinity import EMPTY, stems
from .schema import closed, properties

__all__ = ("narrowed", "settled")

_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    "nineteen",
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_WORD = re.compile(r"[\w'\u2019:.-]*[\w'\u2019]")
_LONGEST = 8
"""Words of a text that is taken from the sentence, but for the whole sentence."""
_SHAPED = ("enum", "const", "pattern", "format", "oneOf", "anyOf", "$ref")


def narrowed(schema: Mapping[str, Any], words: str, tool: str = "") -> dict[str, Any]:
    """Give the schema with each property confined to what the words allow.

    A word of the tool's name calls the tool, so no text begins or ends with it.
    """
    calling = {*stems(tool)}
    closer = {
        name: _property(one, words, {*calling, *stems(name), *stems(one.get("description", ""))})
        for name, one in properties(schema).items()
    }
    return {**closed(schema), "properties": closer}


def settled(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """Give the arguments if only one choice is left for each, None where there is one to make."""
    known = properties(schema)
    single = {name: one["enum"][0] for name, one in known.items() if len(one.get("enum", ())) == 1}
    return single if len(single) == len(known) else None


def _property(schema: dict[str, Any], words: str, told: set[str]) -> dict[str, Any]:
    options: list[Any] = []
    kind = schema.get("type")
    if kind == "integer":
        options = [number for number in _numbers(words) if number == int(number)]
    elif kind == "number":
        options = list(_numbers(words))
    elif kind == "string" and "enum" in schema:
        options = _named(schema["enum"], words)
    elif kind == "string" and not any(key in schema for key in _SHAPED):
        options = list(_spans(words, told))
    return {**schema, "enum": list(dict.fromkeys(options))} if options else schema


def _named(values: list[Any], words: str) -> list[Any]:
    said = {*stems(words), *words.lower().split()}
    known = {value: str(value).lower().replace("_", " ").split() for value in values}
    return [v for v, parts in known.items() if parts and all({p, *stems(p)} & said for p in parts)]


def _numbers(words: str) -> Iterator[float | int]:
    said = re.findall(r"\d+(?:\.\d+)?|[a-z]+", words.lower())
    at = 0
    while at < len(said):
        word, following = said[at], said[at + 1] if at + 1 < len(said) else ""
        at += 1
        if word[0].isdigit():
            yield float(word) if "." in word else int(word)
        elif word in _ONES:
            yield _ONES.index(word)
        elif word in _TENS:
            tens = 10 * (_TENS.index(word) + 2)
            more = _ONES.index(following) if following in _ONES[1:10] else 0
            at += bool(more)
            yield tens + more


def _spans(words: str, told: set[str]) -> Iterator[str]:
    """Give the runs of words that may be meant: none that begins or ends with an empty word."""
    found = _WORD.findall(words)
    full = [word.lower() not in EMPTY and not told.issuperset(stems(word)) for word in found]
    spans = (
        " ".join(found[begin:end])
        for begin in range(len(found))
        for end in range(begin + 1, min(begin + _LONGEST, len(found)) + 1)
        if full[begin] and full[end - 1]
    )
    return iter(dict.fromkeys(spans))
