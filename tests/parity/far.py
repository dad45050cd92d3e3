"""The far side: what a provider's server does, in the same few words for every provider."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, Protocol, TypeVar

import anyio

from realtime_core import Frame
from realtime_core.provider import Provider
from realtime_core.signals import Signal

__all__ = ("Calls", "Far", "Known", "Side", "Visits")

C = TypeVar("C")

Calls = tuple[str, Mapping[str, Any]]
"""A tool's name, and the arguments of a call."""
Known = list[tuple[str, str]]
"""What a provider knows of the conversation: roles and words."""


class Far(Protocol):
    """A provider's side of one conversation, for a script; each call is done when it was said."""

    known: Known
    """What it was told of the conversation, and has said itself, on the connection in use."""
    pictures: int
    """How many it was shown."""

    async def asked(self) -> None:
        """Wait until the user has typed something, and wants an answer."""
        ...

    async def onset(self) -> None:
        """Hear that the user begins to speak; an answer that is being given ends."""
        ...

    async def heard(self, text: str) -> None:
        """Take the user's turn to be over, and write it down."""
        ...

    async def answer(self, text: str, pcm: bytes) -> None:
        """Give a whole spoken answer (24 kHz), to whatever wants one."""
        ...

    async def begin(self, text: str, pcm: bytes) -> None:
        """Begin a spoken answer, and leave it at that."""
        ...

    async def call(self, *calls: Calls) -> None:
        """Have tools called, and nothing else."""
        ...

    async def results(self, count: int) -> None:
        """Wait for the results of so many calls, and for the wish to go on."""
        ...

    async def stopped(self) -> None:
        """Do as a client wishes that wants the answer to stop, if it can say so."""
        ...

    async def hand_out(self) -> None:
        """Give a handle by which the conversation can be taken up, where there are such."""
        ...

    async def drop(self) -> None:
        """Lose the connection, and wait for the next."""
        ...


class Side(Protocol):
    """A provider with its far side."""

    def __call__(self) -> AbstractAsyncContextManager[tuple[Provider[Frame], Far]]:
        """Run it while the block is open."""
        ...


class Visits(Generic[C]):
    """The connections of a client to a loopback server, one after the other."""

    def __init__(self) -> None:
        self._callers = list[C]()
        self._came = Signal()
        self._over = anyio.Event()

    async def script(self, caller: C) -> None:
        """Stay until the conversation is over, whoever plays."""
        self._callers.append(caller)
        self._came.give()
        await self._over.wait()

    async def number(self, number: int) -> C:
        """Wait for a connection: 0 is the first."""
        while len(self._callers) <= number:
            await self._came.wait()
        return self._callers[number]

    def over(self) -> None:
        """Let the servers go."""
        self._over.set()
