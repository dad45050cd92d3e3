"""The far side of Qwen-Omni: its loopback server, in a script's hands."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from msgspec.structs import replace

from realtime_core.frames import Frame
from realtime_core.provider import Provider
from realtime_openai.client_events import ClientEvent
from realtime_qwen import qwen
from realtime_qwen.server import AppendImage, Caller, loopback
from tests.parity.far import Far, Visits
from tests.parity.far_openai import OpenAIFar

__all__ = ("qwen_inside", "qwen_over_a_socket")


_NOTE = "[You said: "


class _QwenFar(OpenAIFar):
    async def _next(self) -> ClientEvent:
        before = len(self.known)
        event = await super()._next()
        self.pictures += isinstance(event, AppendImage)
        for at, (_, text) in enumerate(self.known[before:], before):
            if text.startswith(_NOTE):  # an earlier answer is told so
                self.known[at] = "assistant", text.removeprefix(_NOTE).removesuffix("]")
        return event


@asynccontextmanager
async def qwen_inside() -> AsyncGenerator[tuple[Provider[Frame], Far]]:
    """Run it inside the process."""
    visits = Visits[Caller]()
    async with loopback(visits.script, port=None) as here:
        made = qwen(api_key="none", base_url="http://127.0.0.1")
        yield replace(made, dial=here.dial), _QwenFar(visits)
        visits.over()


@asynccontextmanager
async def qwen_over_a_socket() -> AsyncGenerator[tuple[Provider[Frame], Far]]:
    """Run it on a port of this machine."""
    visits = Visits[Caller]()
    async with loopback(visits.script) as here:
        yield qwen(api_key="none", base_url=here.base_url), _QwenFar(visits)
        visits.over()
