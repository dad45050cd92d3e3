"""Calling: a provider that asks for tools, and the results it gets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from msgspec import Struct

from realtime_core import CallId, Provider, SessionConfig, ToolCall, ToolResult, open_session
from realtime_core.testing import no_leaks, run
from realtime_core.testing.scripted import Peer, scripted
from realtime_core.tools import Tool, answer
from tests.core.short import C1, R1, done, started


class Place(Struct):
    city: str
    country: str = "France"


def weather(city: str, unit: Literal["C", "F"] = "C") -> str:
    """Tell the weather in a city."""
    return f"It rains in {city}, 12 {unit}."


def wanted(name: str = "weather", arguments: str = "{}", call: CallId = C1) -> ToolCall:
    return ToolCall(response=R1, call=call, name=name, arguments=arguments)


def asking(calls: Iterable[ToolCall], results: list[ToolResult]) -> Provider[Any]:
    """Make a provider that asks for these calls at once and hangs up when all are answered."""

    async def script(peer: Peer) -> None:
        await peer.say(started(), *calls, done())
        for _ in calls:
            result = await peer.until(ToolResult)
            assert isinstance(result, ToolResult)
            results.append(result)

    return scripted(script)


def config(tools: Iterable[Tool]) -> SessionConfig:
    return SessionConfig(tools=tuple(tool.spec for tool in tools))


def answered(backend: str, tools: tuple[Tool, ...], *calls: ToolCall) -> list[ToolResult]:
    """Give the results that the provider gets for its calls, in the order in which they come."""
    results = list[ToolResult]()

    async def program() -> None:
        async with no_leaks(), open_session(asking(calls, results), config(tools)) as session:
            await answer(session, tools)

    run(program, backend=backend)
    return results
