"""Answering: whatever a model asks and a function does, each call has one outcome."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from functools import wraps

import anyio
import pytest
from msgspec.structs import replace

from realtime_core import (
    CallId,
    RealtimeException,
    ToolResult,
    open_session,
)
from realtime_core.testing import run
from realtime_core.tools import Tool, answer, answering, tool, toolbox
from tests.core.calling import Place, answered, asking, config, wanted, weather
from tests.core.short import C1, NO, Refusing


def outcome(backend: str, function: Tool | Callable[..., object], arguments: str) -> ToolResult:
    (made,) = toolbox(function)
    (result,) = answered(backend, (made,), wanted(made.spec.name, arguments))
    assert result.call == C1
    return result


async def weather_soon(city: str) -> str:
    await anyio.sleep(1)
    return weather(city)


@wraps(weather_soon)
def decorated(city: str) -> Awaitable[str]:
    return weather_soon(city)


async def place(city: str) -> Place:
    return Place(city)


def thread(city: str) -> bool:
    return threading.current_thread() is threading.main_thread()


@pytest.mark.parametrize(
    ("function", "output"),
    [
        (weather, "It rains in Paris, 12 C."),
        (weather_soon, "It rains in Paris, 12 C."),
        (decorated, "It rains in Paris, 12 C."),
        (place, '{"city":"Paris","country":"France"}'),
        (thread, "false"),
    ],
)
def test_a_result_is_sent(anyio_backend: str, function: Callable[..., object], output: str) -> None:
    result = outcome(anyio_backend, function, '{"city": "Paris"}')
    assert (result.output, result.failed) == (output, False)


def boom(city: str) -> str:
    raise LookupError(f"no such city: {city}\udc80")


def late(city: str) -> str:
    raise TimeoutError("the weather service did not answer")


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise AttributeError("not even this")


def unspeakable(city: str) -> str:
    raise UnspeakableError


async def in_vain(city: str) -> str:
    """Fail in a task of its own, just when its time is over."""

    async def fail() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise LookupError(city)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(fail)
    return city


def strange(city: str) -> object:
    return {(1, 2): city}


def broken(city: str) -> str:
    return "\ud800"


def long(city: str) -> str:
    return city * 100_000


def long_complaint(city: str) -> str:
    raise ValueError(city * 100_000)


async def never(city: str) -> str:
    await anyio.sleep_forever()
    return city


@pytest.mark.parametrize(
    ("function", "arguments", "output"),
    [
        (boom, '{"city": "Rome"}', "LookupError: no such city: Rome?"),
        (late, '{"city": "Rome"}', "TimeoutError: the weather service did not answer"),
        (unspeakable, '{"city": "Rome"}', "UnspeakableError: UnspeakableError"),
        (tool(in_vain, timeout=0.5), '{"city": "Rome"}', "ExceptionGroup: "),
        (strange, '{"city": "Rome"}', "The result cannot be sent: "),
        (broken, '{"city": "Rome"}', "The result cannot be sent: "),
        (long, '{"city": "Rome"}', "The result has 400000 characters; 65536 are allowed."),
        (long_complaint, '{"city": "Rome"}', "ValueError: RomeRome"),
        (weather, '{"town": "Rome"}', "Bad arguments for weather: "),
        (tool(never, timeout=2.5), '{"city": "Rome"}', "never took longer than 2.5 s."),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_failure_is_told_to_the_model(
    anyio_backend: str, function: Tool | Callable[..., object], arguments: str, output: str
) -> None:
    result = outcome(anyio_backend, function, arguments)
    assert result.failed
    assert result.output.startswith(output)
    assert len(result.output) <= 65_536


def test_an_unknown_tool_is_told_to_the_model(anyio_backend: str) -> None:
    (result,) = answered(anyio_backend, toolbox(weather), wanted("whether"))
    assert (result.output, result.failed) == ("There is no tool 'whether'.", True)


def test_calls_run_side_by_side_up_to_a_limit(anyio_backend: str) -> None:
    calls = [wanted("busy", call=CallId(str(number))) for number in range(7)]
    running, most = 0, 0

    async def busy() -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await anyio.sleep(1)
        running -= 1
        return running

    tools = toolbox(busy)
    results = list[ToolResult]()

    async def program() -> float:
        async with (
            open_session(asking(calls, results), config(tools)) as session,
            answering(session, tools, limit=3) as answers,
        ):
            async for event in session.events():
                answers.take(event)
        return anyio.current_time()

    assert run(program, backend=anyio_backend) == 3.0
    assert most == 3
    assert {result.call for result in results} == {call.call for call in calls}


@pytest.mark.anyio
async def test_a_thread_that_takes_too_long_is_left_to_its_end() -> None:
    """In real time: virtual time stands still while a thread works."""
    release = threading.Event()

    def stuck() -> None:
        release.wait(60)

    tools = (tool(stuck, timeout=0.01),)
    results = list[ToolResult]()
    try:
        async with open_session(asking([wanted("stuck")], results), config(tools)) as session:
            await answer(session, tools)
    finally:
        release.set()
    assert [result.output for result in results] == ["stuck took longer than 0.01 s."]


def test_the_same_event_twice_runs_one_handler(anyio_backend: str) -> None:
    runs = 0

    async def count() -> int:
        nonlocal runs
        runs += 1
        await anyio.sleep(1)
        return runs

    tools, results = toolbox(count), list[ToolResult]()

    async def program() -> None:
        async with (
            open_session(asking([wanted("count")], results), config(tools)) as session,
            answering(session, tools) as answers,
        ):
            async for event in session.events():
                answers.take(event)
                answers.take(event)

    run(program, backend=anyio_backend)
    assert [result.output for result in results] == ["1"]


def test_what_refuses_a_result_for_another_reason_surfaces(anyio_backend: str) -> None:
    async def program() -> None:
        tools = toolbox(weather)
        provider = replace(asking([wanted()], []), codec=Refusing(ToolResult))
        async with open_session(provider, config(tools)) as session:
            await answer(session, tools)

    with pytest.raises(RealtimeException) as refusal:
        run(program, backend=anyio_backend)
    assert refusal.value.error == NO
