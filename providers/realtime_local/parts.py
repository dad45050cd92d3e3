"""The four parts of a local voice, each a small protocol: Ears, Mind, Mouth, Eyes (and Hands).

Bring your own by passing any object of the right shape to `local(...)`. Async methods must not
block the event loop, and stop their work soon after they are cancelled.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple, Protocol

from realtime_core.config import Message

from .wire import Tool

__all__ = ("Ears", "Eyes", "Hands", "Mind", "Mouth", "Parts", "ToolChoice", "Wanted")


class Ears(Protocol):
    """Hears speech in 16 kHz signed 16-bit mono."""

    def detector(self) -> Callable[[bytes], float]:
        """Give a voice detector of its own state: 512 samples in, probability of speech out."""
        ...

    async def transcribe(self, pcm: bytes) -> str:
        """Give the words in this audio."""
        ...

    async def turn_over(self, pcm: bytes) -> float:
        """Give the probability that a speaker who pauses here has finished, 0 to 1."""
        ...


Mind = Callable[[Sequence[Message]], AsyncIterator[str]]
"""From the conversation (system message first) to the pieces of an answer as they come.

Closing the iterator stops the work behind it.
"""


class ToolChoice(NamedTuple):
    """A tool to call, with arguments as JSON text that fits its schema."""

    name: str
    arguments: str


class Hands(Protocol):
    """Decides whether the last user message calls for a tool."""

    async def choose(
        self, messages: Sequence[Message], tools: Sequence[Tool], *, must: bool
    ) -> tuple[ToolChoice, ...]:
        """Give the calls to make, none if words should answer; `must` asks for at least one."""
        ...


class Mouth(Protocol):
    """Speaks one clause at a time, signed 16-bit mono at `rate` Hz."""

    @property
    def rate(self) -> int:
        """Sample rate in Hz."""
        ...

    def speak(self, clause: str) -> AsyncIterator[bytes]:
        """Give the clause's sound in pieces, the first as early as can be."""
        ...


class Eyes(Protocol):
    """Says in words what is in a picture."""

    async def look(self, image: bytes) -> str:
        """Give a note on an encoded picture (JPEG, PNG); empty where there is nothing to say."""
        ...


class Parts(NamedTuple):
    """A voice put together; what is None the engine does without."""

    ears: Ears
    mind: Mind
    mouth: Mouth
    hands: Hands | None = None
    eyes: Eyes | None = None
    names: tuple[str, ...] = ()
    """Names of the models in use, for `Connected`."""


class Wanted(NamedTuple):
    """What a caller chose (a name, a path) or brought (an object); None is the built-in part."""

    mind: str | Mind
    ears: Ears | None
    mouth: Mouth | None
    hands: Hands | None
    eyes: Eyes | None
    look: bool
    """Whether pictures are to be understood."""
    speed: float
