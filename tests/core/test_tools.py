"""Tools: whatever a model asks and a function does, each call has one outcome, and no more."""

from __future__ import annotations

import socket
import threading
from collections.abc import Awaitable, Callable, Iterable
from functools import wraps
from typing import Annotated, Any, Literal

import anyio
import anyio.lowlevel
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct
from msgspec.structs import replace
from returns.result import Failure, Success

from realtime_core import (
    CallId,
    Close,
    Error,
    Provider,
    RealtimeEvent,
    RealtimeException,
    Recurs,
    ResponseDone,
    SessionConfig,
    ToolCall,
    ToolCallCancelled,
    ToolResult,
    ToolSpec,
    Unavailable,
    open_session,
)
from realtime_core.config import ToolPolicy
from realtime_core.testing import TICK, Injection, every_point, no_leaks, run
from realtime_core.testing.scripted import Peer, scripted
from realtime_core.tools import Tool, answer, answering, parse, tool, toolbox
from tests.core.short import C1, C2, NO, R1, Refusing, done, names, started


class Place(Struct):
    city: str
    country: str = "France"


class Even(Struct):
    number: int

    def __post_init__(self) -> None:
        if self.number % 2:
            raise KeyError(self.number)


def weather(city: str, unit: Literal["C", "F"] = "C") -> str:
    """Tell the weather in a city."""
    return f"It rains in {city}, 12 {unit}."


def wanted(name: str = "weather", arguments: str = "{}", call: CallId = C1) -> ToolCall:
    return ToolCall(response=R1, call=call, name=name, arguments=arguments)


# --- what the model is told -------------------------------------------------------------------


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


# --- arguments --------------------------------------------------------------------------------


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


# --- one outcome ------------------------------------------------------------------------------


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


# --- interruption, cancellation, loss ---------------------------------------------------------


class Handler:
    """A handler that takes four ticks, and remembers what became of it."""

    def __init__(self, policy: ToolPolicy) -> None:
        self.begun = self.ended = self.cancelled = 0
        self.tool = tool(self.work, name=policy, policy=policy)

    async def work(self) -> str:
        self.begun += 1
        try:
            for _ in range(4):
                await anyio.sleep(TICK)
        except BaseException:
            self.cancelled += 1
            raise
        self.ended += 1
        return "done"


def asking_one(
    policy: ToolPolicy, results: list[ToolResult], *more: RealtimeEvent
) -> Provider[Any]:
    async def script(peer: Peer) -> None:
        await peer.say(started(), wanted(policy), *more)
        try:
            while True:
                result = await peer.until(ToolResult)
                assert isinstance(result, ToolResult)
                results.append(result)
        except anyio.EndOfStream:
            return

    return scripted(script)


@pytest.mark.parametrize("policy", ["cancel", "finish", "detach"])
@pytest.mark.parametrize("action", ["interrupt", "close"])
def test_a_call_has_one_outcome_wherever_it_is_cut(
    anyio_backend: str, policy: ToolPolicy, action: str
) -> None:
    async def scenario(point: Injection) -> None:
        handler, results = Handler(policy), list[ToolResult]()
        async with open_session(asking_one(policy, results), config([handler.tool])) as session:

            def close() -> None:
                session.send_nowait(Close())

            async with no_leaks(), answering(session, (handler.tool,)) as answers:
                point.arm(session.interrupt if action == "interrupt" else close)
                with anyio.move_on_after(1):
                    async for event in session.events():
                        assert not isinstance(event, Error)
                        answers.take(event)
                    await anyio.sleep_forever()
                point.close()
            ended = session._driver.state.ledger.calls[C1].outcome
            _check(policy, action, handler, results, ended, cut=point.fired)

    assert every_point(scenario, backend=anyio_backend, tasks=_is_handler) > 5


def _is_handler(name: str) -> bool:
    return name.endswith("Answerer._answer")


def _check(
    policy: str, action: str, handler: Handler, results: list[ToolResult], ended: str, *, cut: bool
) -> None:
    assert len(results) == (ended == "sent")
    assert handler.begun <= 1
    assert handler.ended + handler.cancelled == handler.begun
    if not cut:
        assert ended == "sent"
    elif action == "close":
        assert ended in {"sent", "lost", "cancelled"}
    elif policy == "cancel":
        assert ended in {"sent", "cancelled"}
    else:
        assert ended == {"finish": "sent", "detach": "kept"}[policy] or ended == "sent"
        assert handler.ended == 1


@pytest.mark.parametrize(
    ("policy", "outcome", "cancelled"),
    [("cancel", "cancelled", 1), ("finish", "sent", 0), ("detach", "kept", 0)],
)
def test_an_interruption_follows_the_policy(
    anyio_backend: str, policy: ToolPolicy, outcome: str, cancelled: int
) -> None:
    async def program() -> None:
        handler, results = Handler(policy), list[ToolResult]()
        async with (
            open_session(asking_one(policy, results), config([handler.tool])) as session,
            answering(session, (handler.tool,)) as answers,
        ):
            async for event in session.events():
                answers.take(event)
                if isinstance(event, ToolCall):
                    break
            await anyio.sleep(TICK)
            await session.interrupt()
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()
            assert handler.cancelled == cancelled
            await anyio.sleep(1)
            assert session._driver.state.ledger.calls[C1].outcome == outcome
            assert handler.ended == 1 - cancelled
            assert len(results) == (outcome == "sent")
            told = [m for m in session.history if m.role == "tool_result"]
            assert len(told) == 1 - cancelled, "the conversation keeps what the call gave"

    run(program, backend=anyio_backend)


@pytest.mark.parametrize("policy", ["cancel", "finish"])
@pytest.mark.parametrize("at_once", [True, False])
def test_a_call_the_provider_takes_back_is_not_answered(
    anyio_backend: str, policy: ToolPolicy, at_once: bool
) -> None:
    """Its handler is stopped unless its policy says that it shall end."""
    handler, results = Handler(policy), list[ToolResult]()
    back = ToolCallCancelled(calls=(C1, C2))

    async def script(peer: Peer) -> None:
        if at_once:
            await peer.say(started(), wanted(policy), back)
        else:
            await peer.say(started(), wanted(policy))
            await anyio.sleep(2 * TICK)
            await peer.say(back)
        await anyio.sleep(1)
        await peer.say(done())
        result = await peer.until(ToolResult, Close)
        results.extend([result] if isinstance(result, ToolResult) else [])

    async def program() -> None:
        async with (
            open_session(scripted(script), config([handler.tool])) as session,
            answering(session, (handler.tool,)) as answers,
        ):
            async for event in session.events():
                assert not isinstance(event, Error)
                answers.take(event)
                if isinstance(event, ResponseDone):
                    break

    run(program, backend=anyio_backend)
    assert results == []
    assert handler.begun == (not at_once)
    assert handler.cancelled == (not at_once and policy == "cancel")


def test_a_call_that_is_void_before_its_handler_begins_never_begins(anyio_backend: str) -> None:
    handler = Handler("finish")

    async def program() -> None:
        async with (
            open_session(asking_one("finish", []), config([handler.tool])) as session,
            answering(session, (handler.tool,)) as answers,
        ):
            answers.take(wanted("finish"))
            answers.take(ToolCallCancelled(calls=(C1,)))
            await anyio.sleep(1)

    run(program, backend=anyio_backend)
    assert handler.begun == 0


def test_a_call_that_was_lost_with_its_connection_is_not_answered(anyio_backend: str) -> None:
    handler = Handler("finish")

    async def script(peer: Peer) -> None:
        if peer.conn == 0:
            await peer.say(started(), wanted("finish"))
            await anyio.sleep(TICK)
            raise OSError("reset")
        await anyio.sleep(1)
        await peer.say(done())
        assert not any(isinstance(frame, ToolResult) for frame in peer.sent)
        await peer.drain()
        assert not any(isinstance(frame, ToolResult) for frame in peer.sent)

    async def program() -> list[RealtimeEvent]:
        wish = replace(config([handler.tool]), retry=Recurs(1))
        seen = list[RealtimeEvent]()
        async with (
            open_session(scripted(script), wish) as session,
            answering(session, (handler.tool,)) as answers,
        ):
            with anyio.move_on_after(2):
                async for event in session.events():
                    answers.take(event)
                    seen.append(event)
        return seen

    seen = run(program, backend=anyio_backend)
    assert handler.ended == 1
    assert "Reconnected" in names(seen)
    assert "Error" not in names(seen)


def test_a_result_after_the_end_of_the_session_is_let_go(anyio_backend: str) -> None:
    handler = Handler("finish")

    async def script(peer: Peer) -> None:
        await peer.say(started(), wanted("finish"))
        await anyio.sleep(TICK)
        raise OSError("reset")

    async def program() -> None:
        async with (
            open_session(scripted(script), config([handler.tool])) as session,
            answering(session, (handler.tool,)) as answers,
        ):
            async for event in session.events():
                if not isinstance(event, ToolCallCancelled):
                    answers.take(event)
            await anyio.sleep(1)
            error = (await session.outcome()).failure()
            assert isinstance(error, Unavailable)

    run(program, backend=anyio_backend)
    assert handler.ended == 1


def test_leaving_the_block_cancels_what_still_runs(anyio_backend: str) -> None:
    handler = Handler("finish")

    async def program() -> None:
        async with (
            open_session(asking_one("finish", []), config([handler.tool])) as session,
            no_leaks(),
            answering(session, (handler.tool,)) as answers,
        ):
            answers.take(wanted("finish"))
            await anyio.sleep(TICK)

    run(program, backend=anyio_backend)
    assert (handler.begun, handler.cancelled) == (1, 1)


@given(
    ticks=st.lists(st.integers(0, 6), min_size=1, max_size=6),
    cut=st.integers(1, 6),
    policies=st.lists(st.sampled_from(("cancel", "finish", "detach")), min_size=6, max_size=6),
)
def test_every_call_ends_and_none_twice(
    anyio_backend: str, ticks: list[int], cut: int, policies: list[ToolPolicy]
) -> None:
    async def work(ticks: int) -> int:
        await anyio.sleep(ticks * TICK)
        return ticks

    tools = tuple(
        tool(work, name=policy, policy=policy) for policy in ("cancel", "finish", "detach")
    )
    calls = [
        wanted(policy, msgspec.json.encode({"ticks": tick}).decode(), CallId(str(number)))
        for number, (tick, policy) in enumerate(zip(ticks, policies, strict=False))
    ]
    results = list[ToolResult]()

    async def script(peer: Peer) -> None:
        await peer.say(started(), *calls, done())
        try:
            while isinstance(result := await peer.until(ToolResult), ToolResult):
                results.append(result)
        except anyio.EndOfStream:
            return

    async def program() -> None:
        async with open_session(scripted(script), config(tools)) as session:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(answer, session, tools)
                await anyio.sleep(cut * TICK)
                await session.interrupt()
                await anyio.sleep(1)
                tasks.cancel_scope.cancel()
            outcomes = {id: call.outcome for id, call in session._driver.state.ledger.calls.items()}
        assert set(outcomes) == {call.call for call in calls}
        assert set(outcomes.values()) <= {"sent", "kept", "cancelled"}
        sent = sorted(result.call for result in results)
        assert sent == sorted(id for id, outcome in outcomes.items() if outcome == "sent")

    run(program, backend=anyio_backend)
