"""The vendor's package as a client: it waits in threads, so each conversation runs in one.

It is the one client we did not write: what it takes from a server, any client of the service takes.
"""

from __future__ import annotations

import queue
from base64 import b64decode
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import anyio
import anyio.to_thread
from dashscope import Client
from dashscope.audio.qwen_omni import (
    MultiModality,
    OmniRealtimeCallback,
    OmniRealtimeConversation,
)

__all__ = ("BOTH", "Newer", "Older", "newer", "older", "threaded")

BOTH = [MultiModality.TEXT, MultiModality.AUDIO]
_PATIENCE = 10.0
"""Seconds, for each thing that is waited for."""
_END = object()

Fields = dict[str, Any]


async def threaded(talk: Callable[[], None]) -> None:
    """Hold a conversation in a thread of its own; it waits for nothing without an end."""
    with anyio.fail_after(30.0):
        await anyio.to_thread.run_sync(talk, abandon_on_cancel=True)


class _Told:
    """All that a client was told, and the sound of the newest answer."""

    def __init__(self) -> None:
        self.events: list[Fields] = []
        self.pcm = b""

    def take(self, event: Fields, wanted: str) -> bool:
        self.events.append(event)
        kind = event["type"]
        if kind == "response.created":
            self.pcm = b""
        if kind == "response.audio.delta":
            self.pcm += b64decode(event["delta"])
        if kind == "error" != wanted:
            raise AssertionError(event["error"])
        return bool(kind == wanted)


class Older(OmniRealtimeCallback):
    """`OmniRealtimeConversation`, which calls back from a thread of its own."""

    def __init__(self, model: str, url: str, key: str) -> None:
        self.vendor: Any = OmniRealtimeConversation(model, self, url=url, api_key=key)
        self.told = _Told()
        self.closed: tuple[int | None, str | None] | None = None
        self._came: queue.Queue[object] = queue.Queue()

    def on_event(self, message: Any) -> None:
        self._came.put(message)

    def on_close(self, close_status_code: Any, close_msg: Any) -> None:
        self.closed = close_status_code, close_msg
        self._came.put(_END)

    def until(self, type: str) -> Fields:
        """Wait for an event of a type."""
        while True:
            event: Any = self._came.get(timeout=_PATIENCE)
            assert event is not _END, f"closed with {self.closed}"
            if self.told.take(event, type):
                return event  # type: ignore[no-any-return] # it is JSON

    def over(self) -> None:
        """Wait until the connection is closed."""
        while self._came.get(timeout=_PATIENCE) is not _END:
            pass


@contextmanager
def older(model: str, url: str, key: str) -> Generator[Older]:
    """Connect as the vendor's documentation says.

    Its thread sees a close of its own late: let the server close, and wait until it is `over`. The
    socket that the server has closed it leaves to the collector.
    """
    one = Older(model, url, key)
    one.vendor.connect()
    socket = one.vendor.ws.sock
    try:
        yield one
    finally:
        one.vendor.close()
        socket.shutdown()
        one.vendor.thread.join(_PATIENCE)
    assert not one.vendor.thread.is_alive()


class Newer:
    """The realtime sessions of the second SDK, which are read one event after the other."""

    def __init__(self, vendor: Any) -> None:
        self.vendor = vendor
        self.told = _Told()

    def until(self, type: str) -> Fields:
        """Wait for an event of a type."""
        for event in self.vendor.events():
            if self.told.take(event, type):
                return event  # type: ignore[no-any-return] # it is JSON
        raise AssertionError(f"it ended without {type}")


@contextmanager
def newer(model: str, url: str, key: str) -> Generator[Newer]:
    """Connect as the vendor's documentation says."""
    maker: Any = Client
    realtime = maker(api_key=key, workspace="ws-test").audio.realtime
    with realtime.connect(model=model, ws_url=url, timeout=_PATIENCE) as session:
        yield Newer(session)
