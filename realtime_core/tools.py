"""Tools: annotated Python functions a model may call, answered inside the epoch that asked.

Each call has one outcome. Bad arguments and raised exceptions become error results for the model;
they never end the session.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast, get_type_hints

import anyio
import msgspec
from anyio import CapacityLimiter, to_thread
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint_if_cancelled
from returns.result import Failure, Result, Success

from .beside import beside
from .config import ToolPolicy, ToolSpec
from .errors import InvalidRequest, RealtimeException, SessionClosed, ToolFailed
from .events import RealtimeEvent, ToolCall
from .faults import uncancelled
from .frames import ToolResult
from .session import RealtimeSession

__all__ = ("Answerer", "Tool", "answer", "answering", "tool", "toolbox")

Function = Callable[..., object]

_SHARED = "#/$defs/"


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

    An async function runs on the loop, a plain one in a worker thread; when that is cut short or
    takes too long, its thread runs to its end unheeded. Raises `RealtimeException` if a parameter
    has no annotation, or one that has no JSON form, or cannot be given by name.
    """
    title = name or getattr(function, "__name__", "tool")
    try:
        arguments = _arguments(title, function)
        parameters = _schema(arguments)
    except Exception as problem:  # whatever is wrong with a signature
        raise RealtimeException(
            InvalidRequest(
                what=f"The function {title!r} cannot be a tool: {problem}.",
                cause="a parameter without annotation, or with one that has no JSON form",
                fix="Annotate every parameter with a type that msgspec can decode.",
            )
        ) from problem
    spec = ToolSpec(title, description or inspect.getdoc(function) or "", parameters, policy)
    return Tool(spec, function, arguments, timeout)


def _arguments(title: str, function: Function) -> type[msgspec.Struct]:
    hints = get_type_hints(function, include_extras=True)
    fields = list[tuple[str, Any] | tuple[str, Any, Any]]()
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}:
            raise TypeError(f"parameter {parameter.name!r} cannot be given by name")
        if parameter.name not in hints:
            raise TypeError(f"parameter {parameter.name!r} has no annotation")
        kind = hints[parameter.name]
        if parameter.default is inspect.Parameter.empty:
            fields.append((parameter.name, kind))
        else:
            fields.append((parameter.name, kind, parameter.default))
    return msgspec.defstruct(
        title, fields, kw_only=True, forbid_unknown_fields=True, module=__name__
    )


def _schema(arguments: type[msgspec.Struct]) -> dict[str, Any]:
    (own,), parts = msgspec.json.schema_components([arguments], ref_template=_SHARED + "{name}")
    schema = parts.pop(own["$ref"].removeprefix(_SHARED))
    del schema["title"]
    return {**schema, "$defs": parts} if parts else schema


def toolbox(*functions: Function | Tool) -> tuple[Tool, ...]:
    """Make tools of functions; pass `[t.spec for t in toolbox]` as `SessionConfig.tools`."""
    return tuple(f if isinstance(f, Tool) else tool(f) for f in functions)


def parse(tool: Tool, arguments: str) -> Result[dict[str, Any], ToolFailed]:
    """Decode a call's arguments against the function's annotations."""
    try:
        values = msgspec.json.decode(arguments or "{}", type=tool.arguments)
    except Exception as problem:  # a `__post_init__` of the user's may raise anything
        return Failure(ToolFailed(what=f"Bad arguments for {tool.spec.name}: {_said(problem)}"))
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
        """Start the handler of a `ToolCall`; all other events pass unheeded. Never waits.

        The session stops a handler whose call is void, and keeps a call from being answered twice.
        """
        if isinstance(event, ToolCall):
            self._tasks.start_soon(self._answer, event)

    async def _answer(self, event: ToolCall) -> None:
        with self._session.handling(event.call):
            await self._send(await self._outcome(self._tools.get(event.name), event))

    async def _outcome(self, tool: Tool | None, event: ToolCall) -> ToolResult:
        if tool is None:
            return self._failed(event, f"There is no tool {event.name!r}.")
        async with self._limit:
            await checkpoint_if_cancelled()  # its turn may come when the call is void
            arguments = parse(tool, event.arguments)
            if isinstance(arguments, Failure):
                return self._failed(event, str(arguments.failure()))
            try:
                with anyio.move_on_after(tool.timeout):
                    return self._result(event, await _call(tool.function, arguments.unwrap()))
            except Exception as problem:  # the model learns of it, the session goes on
                return self._failed(event, f"{type(problem).__name__}: {_said(problem)}")
            except BaseExceptionGroup as group:  # trio: something failed while being cancelled
                failed, cancelled = uncancelled(group)
                if cancelled is None or not isinstance(failed, Exception):
                    raise
                raise cancelled from None
        return self._failed(event, f"{event.name} took longer than {tool.timeout:g} s.")

    def _result(self, event: ToolCall, value: object) -> ToolResult:
        try:
            text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            text.encode()
        except Exception as problem:  # an object of the user's may raise anything
            return self._failed(event, f"The result cannot be sent: {_said(problem)}")
        if len(text) > self._max_result:
            why = f"The result has {len(text)} characters; {self._max_result} are allowed."
            return self._failed(event, why)
        return ToolResult(event.call, text)

    def _failed(self, event: ToolCall, why: str) -> ToolResult:
        text = why[: self._max_result].encode(errors="replace").decode()
        return ToolResult(event.call, text, failed=True)

    async def _send(self, result: ToolResult) -> None:
        try:
            await self._session.send(result)
        except RealtimeException as refusal:
            over = {"call_void", "call_ended"}
            if not isinstance(refusal.error, SessionClosed) and refusal.error.code not in over:
                raise


def _said(problem: Exception) -> str:
    try:
        return str(problem)
    except Exception:  # an exception of the user's may not even say what it is
        return type(problem).__name__


async def _call(function: Function, arguments: dict[str, Any]) -> object:
    if inspect.iscoroutinefunction(function):
        return await cast("Awaitable[object]", function(**arguments))
    # In a tuple, because trio refuses a thread that gives back an awaitable.
    (value,) = await to_thread.run_sync(lambda: (function(**arguments),), abandon_on_cancel=True)
    return await value if inspect.isawaitable(value) else value


@asynccontextmanager
async def answering(
    session: RealtimeSession[Any],
    tools: tuple[Tool, ...],
    *,
    limit: int = 8,
    max_result: int = 64 * 1024,
) -> AsyncGenerator[Answerer]:
    """Run an `Answerer` beside the block; leaving it cancels the handlers that still run.

    A result of more than `max_result` characters becomes an error result.
    """
    async with beside() as tasks:
        yield Answerer(session, tools, tasks, limit, max_result)


async def answer(
    session: RealtimeSession[Any],
    tools: tuple[Tool, ...],
    events: AsyncIterable[RealtimeEvent] | None = None,
) -> None:
    """Answer a session's tool calls until its events end (default: its own `events()`)."""
    async with answering(session, tools) as answers:
        async for event in session.events() if events is None else events:
            answers.take(event)
