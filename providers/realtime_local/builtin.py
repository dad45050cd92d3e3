"""The built-in parts, put together: what the caller did not bring is loaded, once per process."""

from __future__ import annotations

import anyio
from anyio import to_thread

from . import store
from .ears import load_ears
from .eyes import load_eyes
from .hands import load_hands
from .mind import load_mind
from .mouth import load_mouth
from .parts import Parts, Wanted

__all__ = ("assemble",)


async def assemble(wanted: Wanted, voice: str) -> Parts:
    """Load what is missing, side by side; raises `RealtimeException` with the line to type.

    Cancelling leaves what has begun to load to the process's next session.
    """
    ears, mouth, hands, eyes = wanted.ears, wanted.mouth, wanted.hands, wanted.eyes
    mind = None if isinstance(wanted.mind, str) else wanted.mind

    async def hear() -> None:
        nonlocal ears
        ears = ears or await to_thread.run_sync(
            lambda: load_ears(store.verified), abandon_on_cancel=True
        )

    async def think() -> None:
        nonlocal mind, hands
        if isinstance(wanted.mind, str):
            mind = built_in = await load_mind(wanted.mind)
            hands = hands or await load_hands(built_in)

    async def speak() -> None:
        nonlocal mouth
        mouth = mouth or await load_mouth(voice, wanted.speed)

    async def see() -> None:
        nonlocal eyes
        eyes = eyes or (await load_eyes() if wanted.look else None)

    async with anyio.create_task_group() as tasks:
        for load in (hear, think, speak, see):
            tasks.start_soon(load)
    assert ears is not None  # noqa: S101 - loaded above, as the others
    assert mind is not None  # noqa: S101
    assert mouth is not None  # noqa: S101
    names = tuple(getattr(part, "name", type(part).__name__) for part in (ears, mind, mouth))
    return Parts(ears, mind, mouth, hands, eyes, names)
