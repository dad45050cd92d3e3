"""Tools: annotated Python functions a model may call, answered inside the epoch that asked.

Each call has one outcome. Bad arguments and raised exceptions become error results for the model;
they never end the session.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import Any, cast, get_type_hints

import anyio
import msgspec
from anyio import CapacityLimiter, to_thread
from anyio.abc import TaskGroup
from returns.result import Failure, Result, Success

from .config import ToolPolicy, ToolSpec
from .errors import InvalidRequest, RealtimeException, SessionClosed, ToolFailed
from .events import RealtimeEvent, ToolCall
from .frames import ToolResult
from .session import RealtimeSession

__all__ = ("Answerer", "Tool", "answer", "answering", "tool", "toolbox")

Function = Callable[..., object]


class Tool(msgspec.Struct, frozen=True):
    """A function with its specification; made by `tool`."""

    spec: ToolSpec
    function: Function
    arguments: type[msgspec.Struct]
    timeout: float
    """Seconds a call may take."""


def tool(
    function: Function,
    *,
    name: str = "",
    description: str = "",
    policy: ToolPolicy = "cancel",
    timeout: float = 30.0,
) -> Tool:
    """Make a tool of a function: its annotations become the schema, its docstring the description.

    A plain function runs in a worker thread, an async one on the loop. Raises `RealtimeException`
    if a parameter has no annotation or one that has no JSON form.
    """
    title = name or getattr(function, "__name__", "tool")
    try:
        arguments = _arguments(title, function)
        (schema,), parts = msgspec.json.schema_components(
            [arguments], ref_template="#/$defs/{name}"
        )
        parameters = dict(parts.pop(title))
    except (TypeError, NameError) as problem:
        raise RealtimeException(
            InvalidRequest(
                what=f"The function {title!r} cannot be a tool: {problem}.",
                cause="a parameter without annotation, or with one that has no JSON form",
                fix="Annotate every parameter with a type that msgspec can decode.",
            )
        ) from problem
    del schema
    parameters.pop("title", None)
    spec = ToolSpec(
        title,
        description or inspect.getdoc(function) or "",
        {**parameters, "$defs": parts} if parts else parameters,
        policy,
    )
    return Tool(spec, function, arguments, timeout)


def _arguments(title: str, function: Function) -> type[msgspec.Struct]:
    hints = get_type_hints(function, include_extras=True)
    fields = list[tuple[str, Any] | tuple[str, Any, Any]]()
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name not in hints:
            raise TypeError(f"parameter {parameter.name!r} has no annotation")
        kind = hints[parameter.name]
        if parameter.default is inspect.Parameter.empty:
            fields.append((parameter.name, kind))
        else:
            fields.append((parameter.name, kind, parameter.default))
    return msgspec.defstruct(title, fields, kw_only=True, forbid_unknown_fields=True)


def toolbox(*functions: Function | Tool) -> tuple[Tool, ...]:
    """Make tools of functions; pass `[t.spec for t in toolbox]` as `SessionConfig.tools`."""
    return tuple(f if isinstance(f, Tool) else tool(f) for f in functions)


def parse(tool: Tool, arguments: str) -> Result[dict[str, Any], ToolFailed]:
    """Decode a call's arguments against the function's annotations."""
    try:
        values = msgspec.json.decode(arguments or "{}", type=tool.arguments)
    except (msgspec.MsgspecError, RecursionError) as problem:
        return Failure(ToolFailed(what=f"Bad arguments for {tool.spec.name}: {problem}"))
    return Success({name: getattr(values, name) for name in tool.arguments.__struct_fields__})


class Answerer:
    """Runs the tools among the events it is given; at most `limit` at once."""

    def __init__(
        self,
        session: RealtimeSession[Any],
        tools: tuple[Tool, ...],
        tasks: TaskGroup,
        limit: int,
        max_result: int,
    ) -> None:
        self._session = session
        self._tools = {tool.spec.name: tool for tool in tools}
        self._tasks = tasks
        self._limit = CapacityLimiter(limit)
        self._max_result = max_result

    def take(self, event: RealtimeEvent) -> None:
        """Start the handler of a `ToolCall`; other events pass unheeded. Never waits."""
        if isinstance(event, ToolCall):
            self._tasks.start_soon(self._answer, event)

    async def _answer(self, event: ToolCall) -> None:
        tool = self._tools.get(event.name)
        lasting = tool is not None and tool.spec.policy != "cancel"
        scope: AbstractContextManager[object] = (
            nullcontext() if lasting else self._session.within(event.epoch)
        )
        with scope:
            if tool is None:
                result = ToolResult(event.call, f"There is no tool {event.name!r}.", failed=True)
            else:
                async with self._limit:
                    result = await self._run(tool, event)
            await self._send(result)

    async def _run(self, tool: Tool, event: ToolCall) -> ToolResult:
        arguments = parse(tool, event.arguments)
        if isinstance(arguments, Failure):
            return ToolResult(event.call, str(arguments.failure()), failed=True)
        try:
            with anyio.fail_after(tool.timeout):
                value = await _call(tool.function, arguments.unwrap())
        except TimeoutError:
            why = f"{event.name} took longer than {tool.timeout:g} s."
            return ToolResult(event.call, why, failed=True)
        except Exception as problem:  # the model learns of it, the session goes on
            return ToolResult(event.call, f"{type(problem).__name__}: {problem}", failed=True)
        return self._result(event, value)

    def _result(self, event: ToolCall, value: object) -> ToolResult:
        try:
            text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        except (TypeError, msgspec.MsgspecError, RecursionError) as problem:
            return ToolResult(event.call, f"The result cannot be sent: {problem}", failed=True)
        if len(text) > self._max_result:
            why = f"The result has {len(text)} characters; {self._max_result} are allowed."
            return ToolResult(event.call, why, failed=True)
        return ToolResult(event.call, text)

    async def _send(self, result: ToolResult) -> None:
        try:
            await self._session.send(result)
        except RealtimeException as refusal:
            ended = isinstance(refusal.error, SessionClosed) or refusal.error.code == "call_ended"
            if not ended:
                raise


async def _call(function: Function, arguments: dict[str, Any]) -> object:
    if inspect.iscoroutinefunction(function):
        return await cast("Awaitable[object]", function(**arguments))
    return await to_thread.run_sync(lambda: function(**arguments), abandon_on_cancel=True)


@asynccontextmanager
async def answering(
    session: RealtimeSession[Any],
    tools: tuple[Tool, ...],
    *,
    limit: int = 8,
    max_result: int = 64 * 1024,
) -> AsyncGenerator[Answerer]:
    """Run an `Answerer` beside the block; leaving it cancels the handlers that still run."""
    async with anyio.create_task_group() as tasks:
        yield Answerer(session, tools, tasks, limit, max_result)
        tasks.cancel_scope.cancel()


async def answer(
    session: RealtimeSession[Any],
    tools: tuple[Tool, ...],
    events: AsyncIterable[RealtimeEvent] | None = None,
) -> None:
    """Answer a session's tool calls until its events end (default: its own `events()`)."""
    async with answering(session, tools) as answers:
        async for event in session.events() if events is None else events:
            answers.take(event)
