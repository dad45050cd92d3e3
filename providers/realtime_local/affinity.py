"""How near a sentence is to each tool: the words they share, rare ones counting more.

Pure; it knows English endings and nothing of meaning.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from .schema import properties
from .wire import Tool

__all__ = ("EMPTY", "affinities", "stems")

_NAME, _OTHER = 2.0, 1.0
"""What a word weighs that is in the tool's name, or elsewhere in its description."""
EMPTY = frozenset(
    word
    for line in (
        "a an and any are as at be by call can could current currently do does fetch for from",
        "function get give given how i in into is it its let like me my name of on or out please",
        "return returns run set should some string tell than that the their them there they this",
        "to tool use used user using value want what when where which who will with would you your",
    )
    for word in line.split()
)
"""Words that say nothing about what is asked for."""
_ENDINGS = ("ing", "ed", "es", "s", "y")


def affinities(words: str, tools: Sequence[Tool]) -> list[tuple[Tool, float]]:
    """Give every tool with its affinity, 0 where nothing is shared; 2 is a word of its name."""
    said = set(stems(words))
    weights = [_weights(tool) for tool in tools]
    owners = Counter(stem for weight in weights for stem in weight)
    return [
        (tool, sum(weight[stem] / owners[stem] for stem in said if stem in weight))
        for tool, weight in zip(tools, weights, strict=True)
    ]


def _weights(tool: Tool) -> dict[str, float]:
    around = (stem for text in _texts(tool) for stem in stems(text))
    return {**dict.fromkeys(around, _OTHER), **dict.fromkeys(stems(tool.name), _NAME)}


def _texts(tool: Tool) -> Iterator[str]:
    yield tool.description
    for name, schema in properties(tool.parameters).items():
        yield name
        yield str(schema.get("description", ""))
        yield from (str(value) for value in schema.get("enum", ()))


def stems(text: str) -> Iterator[str]:
    """Give the stems of the words of a text or a name that say something."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|[_\W\d]+", " ", text)
    return (_stem(word) for word in spaced.lower().split() if word not in EMPTY)


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word.removesuffix(ending)
            return word[:-1] if word[-1] == word[-2] and word[-1] not in "aeiousl" else word
    return word
