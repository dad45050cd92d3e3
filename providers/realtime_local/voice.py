"""The local voice as a provider: which parts it is put together from, and what it can do.

Models are loaded when a session opens, once per process, and never fetched then.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.util import find_spec

import anyio

from realtime_core.audio.format import PCM_16K, AudioFormat
from realtime_core.capability import Capabilities, ModelInfo
from realtime_core.errors import InvalidRequest, RealtimeException
from realtime_core.frames import Frame
from realtime_core.link import Link
from realtime_core.plan import Plan
from realtime_core.provider import Provider
from realtime_core.transports.memory import memory_link

from .codec import LocalCodec
from .models import FILES, SETS
from .parts import Ears, Eyes, Hands, Mind, Mouth, Parts, Wanted

__all__ = ("local",)

_RATE = 22_050
_NEEDS = ("onnxruntime", "piper", "xllamacpp")


def local(
    model: str = "",
    *,
    mind: str | Mind = "",
    ears: Ears | None = None,
    mouth: Mouth | None = None,
    hands: Hands | None = None,
    eyes: Eyes | None = None,
    speed: float = 1.0,
) -> Provider[Frame]:
    """Make the embedded voice: offline, no key.

    `mind` (or the part after the colon of `"local:better"`) is `small` (the default: fast, often
    wrong), `better`, the path of a GGUF file, or any callable from messages to an async iterator
    of text. The other parts replace the built-in ones (see `parts`); `speed` makes the built-in
    mouth speak faster (above 1) or slower. A mind of your own uses no tools unless `hands` come
    with it. Raises nothing: what is missing shows when a session is opened.
    """
    look = eyes is not None or find_spec("rapidocr") is not None
    own = Wanted(mind or model or "small", ears, mouth, hands, eyes, look, speed)
    rate = mouth.rate if mouth is not None else _RATE

    @asynccontextmanager
    async def dial(plan: Plan) -> AsyncGenerator[Link]:
        from .engine import run  # noqa: PLC0415 - the models' libraries load only when dialled

        parts = await _assembled(own, plan)
        ours, theirs = memory_link()

        async def engine() -> None:
            async with theirs:
                await run(parts, theirs)

        async with anyio.create_task_group() as tasks, ours:
            tasks.start_soon(engine)
            yield ours
            tasks.cancel_scope.cancel()

    return Provider("local", _capabilities(own, rate), LocalCodec(), dial)


def _capabilities(own: Wanted, rate: int) -> Capabilities:
    named = isinstance(own.mind, str)
    return Capabilities(
        provider="local",
        audio_in=(PCM_16K,),
        audio_out=(AudioFormat(rate=rate),),
        text_out=True,
        images=own.look,
        tools=named or own.hands is not None,
        parallel_tools=False,
        user_transcripts=own.ears is not None or find_spec("onnxruntime") is not None,
        agent_transcripts=True,
        speech_events=True,
        authorities=("provider", "application"),
        manual_turns=True,
        commit=True,
        cancel=True,
        truncate=True,
        delete=True,
        update=True,
        history=True,
        closing_silence_ms=1_200,
        voices=("joe",) if own.mouth is None else (),
        models=_models(own),
        note=_note(own.mind),
    )


def _models(own: Wanted) -> tuple[ModelInfo, ...]:
    if not isinstance(own.mind, str):
        return ()
    wanted = SETS.get(own.mind, SETS["small"])
    return tuple(
        ModelInfo(file.name, file.part, file.licence, file.source)
        for file in FILES
        if file.name in wanted
    )


def _note(mind: object) -> str:
    if mind == "small":
        return "The small mind (SmolLM2, 135 million weights) is fast and often wrong."
    if mind == "better":
        return (
            "The better mind (Qwen2.5-Coder, 0.5 billion weights) is slower and wrong less often."
        )
    return "The mind is one of your own choice."


async def _assembled(own: Wanted, plan: Plan) -> Parts:
    """Load what was not brought along; raises `RealtimeException` with the line to type."""
    missing = [name for name in _NEEDS if find_spec(name) is None]
    if missing and None in {own.ears, own.mouth}:
        raise RealtimeException(
            InvalidRequest(
                what=f"The local voice needs {', '.join(missing)}.",
                cause="the extra `local` is not installed",
                fix="Type: pip install 'realtime-core[local]'",
            )
        )
    from .builtin import assemble  # noqa: PLC0415 - the models' libraries load only when dialled

    return await assemble(own, plan.config.voice)
