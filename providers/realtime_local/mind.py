"""The built-in minds: a small one that is fast and often wrong, a better one, or any model file.

A mind is called with the conversation and gives the answer in pieces. It keeps nothing between
calls but what the model has already computed.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from realtime_core.config import Message
from realtime_core.errors import InvalidRequest, RealtimeException

from . import store
from .llm import Ending, Llm, ending
from .models import BETTER_MIND, SMALL_MIND
from .plain import plain_answer
from .prompt import ROOM, rendered

__all__ = ("MINDS", "Choice", "LlamaMind", "load_mind")

_LIMIT = 160
"""Tokens of an answer, about a minute of speech, unless the caller says otherwise."""
_TOO_LONG = "exceed_context_size_error"
_SAMPLING: Mapping[str, Any] = {"temperature": 0.0, "repeat_penalty": 1.05}


class Choice(msgspec.Struct, frozen=True):
    """A mind that can be chosen by name, and what a person should know of it beforehand."""

    file: str
    notice: str
    simple: bool = False
    """It cannot read a tool's result or a note on a picture: such answers are put in plain words
    without it."""


MINDS = {
    "small": Choice(
        SMALL_MIND,
        "the small mind answers fast and is often wrong; choose `better` for better answers",
        simple=True,
    ),
    "better": Choice(BETTER_MIND, "the better mind takes longer, and is still a very small model"),
}
"""The built-in minds by name."""


class LlamaMind:
    """A mind on a language model; any number of sessions may share it and take turns."""

    def __init__(self, llm: Llm, *, simple: bool = False) -> None:
        self._llm = llm
        self.simple = simple

    @property
    def name(self) -> str:
        """The name of the model's file."""
        return self._llm.name

    def __call__(self, messages: Sequence[Message]) -> AsyncGenerator[str]:
        """Give the answer in pieces; closing or cancelling stops the model within one token."""
        return self.answer(messages)

    def answer(
        self,
        messages: Sequence[Message],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        ended: Callable[[Ending], object] | None = None,
    ) -> AsyncGenerator[str]:
        """Give the answer in pieces, and to `ended` how it ended and how many tokens it took."""
        plain = plain_answer(messages) if self.simple else None
        if plain is not None:
            return _said(plain)
        sampling = {**_SAMPLING, "max_tokens": max_tokens or _LIMIT}
        if temperature is not None:
            sampling["temperature"] = temperature
        return self._asked(messages, sampling, ended)

    async def prefill(self, messages: Sequence[Message]) -> None:
        """Have the model read this conversation ahead of an answer that begins like it.

        Cancelling stops it; what was read so far is kept.
        """
        async for _ in self._asked(messages, {"max_tokens": 1}, None):
            pass

    async def complete(self, prompt: Sequence[Message], schema: Mapping[str, Any]) -> str:
        """Give JSON text that fits the schema, or its beginning where it grew too long."""
        form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        entries = [{"role": one.role, "content": one.text} for one in prompt]
        request = {"messages": entries, "response_format": form, "max_tokens": _LIMIT}
        pieces = list[str]()
        answer = await self._llm.ask({**request, "temperature": 0.0})
        try:
            while lines := await answer.take():
                pieces += [line.text for line in lines]
        finally:
            answer.stop()
        return "".join(pieces)

    async def start(self) -> None:
        """Have the model loaded; raise `RealtimeException` where it cannot be."""
        await self._llm.start()

    async def _asked(
        self,
        messages: Sequence[Message],
        sampling: Mapping[str, Any],
        ended: Callable[[Ending], object] | None,
    ) -> AsyncGenerator[str]:
        """Ask, and should the words be more than the model can take, once again with fewer."""
        for room in (ROOM, ROOM // 4):
            entries = [msgspec.to_builtins(line) for line in rendered(messages, room)]
            answer = await self._llm.ask({**sampling, "messages": entries})
            try:
                while lines := await answer.take():
                    for line in lines:
                        if line.text:
                            yield line.text
                        if line.end is not None and ended is not None:
                            ended(ending(line.end))
            except RealtimeException as refusal:
                if refusal.error.code != _TOO_LONG or room != ROOM:
                    raise
            else:
                return
            finally:
                answer.stop()


async def _said(text: str) -> AsyncGenerator[str]:
    yield text


_loaded: dict[str, LlamaMind] = {}
_loading = threading.Lock()


async def load_mind(choice: str | Path = "small") -> LlamaMind:
    """Give the mind of that name, or the one in that GGUF file, ready to answer.

    The first call in a process loads it, in about a second; the event loop goes on meanwhile. Raise
    `InvalidRequest` for an unknown name or a file that is missing, wrong or no model.
    """
    mind = _mind(str(choice))
    await mind.start()
    return mind


def _mind(choice: str) -> LlamaMind:
    known = MINDS.get(choice)
    file = choice if known else str(_model_file(choice))
    with _loading:
        if file not in _loaded:
            _loaded[file] = (
                LlamaMind(Llm(known.file, partial(store.verified, known.file)), simple=known.simple)
                if known
                else LlamaMind(Llm(Path(file).name, lambda: _model_file(file)))
            )
        return _loaded[file]


def _model_file(choice: str) -> Path:
    """Check that this is a model file; its digest nobody knows."""
    file = Path(choice).expanduser().absolute()
    try:
        with file.open("rb") as stream:
            magic = stream.read(4)
    except OSError as error:
        raise RealtimeException(_no_mind(choice, error.strerror or str(error))) from error
    if magic != b"GGUF":
        raise RealtimeException(_no_mind(choice, "it is not a GGUF model file"))
    return file


def _no_mind(choice: str, why: str) -> InvalidRequest:
    return InvalidRequest(
        what=f"There is no mind {choice!r}: {why}.",
        cause="a typing mistake in the name, or in the path of a model file",
        fix=f"Choose {', '.join(repr(name) for name in MINDS)} or the path of a GGUF file.",
    )
