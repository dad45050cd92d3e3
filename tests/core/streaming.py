"""Streaming: events with pauses between them, through an operator."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, TypeVar

import anyio
from aiostream import Stream

from realtime_core import (
    ConversationItem,
    Epoch,
    HeardItem,
    Interrupted,
    ItemId,
    Message,
    RealtimeEvent,
    ResponseId,
)
from realtime_core.testing import TICK, run
from tests.core.short import R1, SECOND

T = TypeVar("T")


class Source(AsyncIterator[RealtimeEvent]):
    """Events with pauses between them (numbers, in ticks); a pending read may be cancelled."""

    def __init__(self, *things: RealtimeEvent | int) -> None:
        self.left = self._things = list(things)
        self._due = 0.0

    def __or__(self, operator: Any) -> Any:
        return operator(self)

    async def __anext__(self) -> RealtimeEvent:
        while self._things or self._due > anyio.current_time():
            if self._due > anyio.current_time():
                await anyio.sleep(self._due - anyio.current_time())
            elif isinstance(thing := self._things.pop(0), int):
                self._due = anyio.current_time() + thing * TICK
            else:
                return thing
        raise StopAsyncIteration


async def listed(stream: Stream[T]) -> list[T]:
    out = list[T]()
    async with stream.stream() as things:
        async for thing in things:
            out.append(thing)
    return out


def given_out(backend: str, operator: Any, *things: RealtimeEvent | int) -> list[Any]:
    """Give what an operator makes of these events."""

    async def program() -> list[Any]:
        return await listed(Source(*things) | operator.pipe())

    return run(program, backend=backend)


def said(text: str, item: str | None = "user") -> ConversationItem:
    return ConversationItem(
        item=ItemId(item) if item else None, message=Message("user", text, item=ItemId("x"))
    )


def cut(*heard: tuple[ItemId, str], fenced: Iterable[ResponseId] = (R1,)) -> Interrupted:
    return Interrupted(
        epoch=Epoch(1),
        cause="provider",
        fenced=tuple(fenced),
        heard=tuple(
            HeardItem(item=item, response=R1, samples=1, received=9, rate=SECOND, text=text)
            for item, text in heard
        ),
    )
