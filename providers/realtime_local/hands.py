"""The built-in hands: which tool the user's words call for, and with what arguments.

Words that have nothing in common with any tool cost nothing: no model is asked. Arguments are
generated under the tool's own JSON schema, so they fit it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from realtime_core.config import Message

from .affinity import affinities
from .mind import LlamaMind
from .narrowing import narrowed, settled
from .parts import ToolChoice
from .schema import closed, properties
from .wire import Tool

__all__ = ("LlamaHands", "load_hands")

_MEANT = 2.0
"""Affinity from which on a tool is meant."""
_NOTHING: Mapping[str, Any] = {
    "type": "object",
    "properties": {"tool": {"const": "none"}},
    "required": ["tool"],
    "additionalProperties": False,
}


class LlamaHands:
    """Hands on the model of a mind, which they share."""

    def __init__(self, mind: LlamaMind) -> None:
        self._mind = mind

    async def choose(
        self, messages: Sequence[Message], tools: Sequence[Tool], *, must: bool
    ) -> tuple[ToolChoice, ...]:
        """Give the one call to make, or none; with `must` the likeliest where none is meant.

        None too after a tool's result, and where the model finds no whole arguments. Cancelling
        stops the model.
        """
        asked = messages[-1].text if messages and messages[-1].role == "user" else ""
        if must and messages[-1:] and messages[-1].role != "tool_result":
            asked = next((one.text for one in reversed(messages) if one.role == "user"), "")
        if not tools or not asked:
            return ()
        likely = sorted(affinities(asked, tools), key=lambda pair: -pair[1])
        best, closeness = likely[0]
        if must or closeness >= _MEANT:
            return await self._call(best, asked)
        near = [tool for tool, close in likely if close > 0]
        return await self._weigh(near, asked) if near and not self._mind.simple else ()

    async def _call(self, tool: Tool, asked: str) -> tuple[ToolChoice, ...]:
        closer = narrowed(tool.parameters, asked, tool.name)
        arguments = settled(closer)
        if arguments is None:
            schema = closer if self._mind.simple else closed(tool.parameters)
            prompt = (Message("system", _FILL + _described(tool)), Message("user", asked))
            arguments = _whole(await self._mind.complete(prompt, schema))
        if arguments is None:
            return ()
        return (ToolChoice(tool.name, msgspec.json.encode(arguments).decode()),)

    async def _weigh(self, tools: Sequence[Tool], asked: str) -> tuple[ToolChoice, ...]:
        known = "\n".join(_described(tool) for tool in tools)
        schema = {"oneOf": [_NOTHING, *(_tagged(tool) for tool in tools)]}
        prompt = (Message("system", _WEIGH + known), Message("user", asked))
        chosen = _whole(await self._mind.complete(prompt, schema))
        if chosen is None or chosen.get("tool") == "none":
            return ()
        arguments = msgspec.json.encode(chosen.get("arguments", {})).decode()
        return (ToolChoice(str(chosen["tool"]), arguments),)


async def load_hands(mind: LlamaMind) -> LlamaHands:
    """Give hands on the model of this mind; nothing more is loaded."""
    return LlamaHands(mind)


_FILL = (
    "Take the arguments of this function from what the user says. "
    "Use the user's own words for them.\n"
)
_WEIGH = (
    "The user talks with an assistant that has these functions. Which one does what the user "
    "asks to have done? For talk, or a question that none of them can answer, the tool is none.\n"
)


def _described(tool: Tool) -> str:
    known = properties(tool.parameters).items()
    about = ", ".join(f"{name} ({_about(schema)})" for name, schema in known)
    return f"{tool.name}: {tool.description}. {about}".strip()


def _about(schema: Mapping[str, Any]) -> str:
    values = " or ".join(str(value) for value in schema.get("enum", ()))
    told = str(schema.get("description") or schema.get("type") or "anything")
    return f"{told}: {values}" if values else told


def _tagged(tool: Tool) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"tool": {"const": tool.name}, "arguments": closed(tool.parameters)},
        "required": ["tool", "arguments"],
        "additionalProperties": False,
    }


def _whole(text: str) -> dict[str, Any] | None:
    """Read an object; None for one that was broken off."""
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        return None
