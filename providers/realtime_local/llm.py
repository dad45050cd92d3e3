"""A language model in a process of its own, which answers one question at a time.

The process is begun at the first use, kept for the next, and begun again should it die. One model
file is one process for all sessions and event loops; it keeps the prompts of several sessions, so
that each finds its own again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from .answer import Answer
from .llama_process import Line, LlamaProcess
from .worker import Worker

__all__ = ("Ending", "Llm", "ending")


class Ending(msgspec.Struct, frozen=True):
    """How an answer ended, and what it took: tokens, and milliseconds of computing."""

    finish: str | None = None
    prompt_tokens: int = 0
    cached_tokens: int = 0
    answer_tokens: int = 0
    prompt_ms: float = 0.0
    answer_ms: float = 0.0


class Llm:
    """A model by a function that gives its file, which is called in a thread before each start.

    `threads` is how many cores one answer may use.
    """

    def __init__(self, name: str, find: Callable[[], Path], threads: int = 1) -> None:
        self.name = name
        self._find = find
        self._threads = threads
        self._starting = Worker(f"realtime_local.llm.{name}")
        self._running: LlamaProcess | None = None

    async def start(self) -> None:
        """Have the process running and the model loaded; what is running already is left alone.

        Raise `RealtimeException` where the file or the package behind it is missing or broken.
        """
        await self._process()

    async def ask(self, request: Mapping[str, Any]) -> Answer[Line]:
        """Put a chat request and give the answer to come, of which the caller must take or `stop`.

        A stop takes effect within one token, or one batch of 64 tokens of a prompt, and waits for
        nothing. Taking raises `Unavailable` if the process dies meanwhile.
        """
        return (await self._process()).ask(request)

    async def _process(self) -> LlamaProcess:
        running = self._running
        if running is not None and running.alive:
            return running
        return await self._starting.run(self._start, _nothing)

    def _start(self) -> LlamaProcess:
        if self._running is None or not self._running.alive:
            self._running = LlamaProcess(self._find(), self._threads)
        return self._running


def _nothing() -> None:
    pass


def ending(end: Mapping[str, Any]) -> Ending:
    """Read the last line of an answer."""
    timings: Mapping[str, Any] = end.get("timings") or {}
    return Ending(
        finish=end.get("finish"),
        prompt_tokens=int(timings.get("cache_n", 0)) + int(timings.get("prompt_n", 0)),
        cached_tokens=int(timings.get("cache_n", 0)),
        answer_tokens=int(timings.get("predicted_n", 0)),
        prompt_ms=float(timings.get("prompt_ms", 0.0)),
        answer_ms=float(timings.get("predicted_ms", 0.0)),
    )
