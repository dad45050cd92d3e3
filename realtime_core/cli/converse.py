"""`realtime talk` at work: opens what a conversation needs, holds it, and closes everything.

Whatever ends it, what was heard is in the file, and the last events are shown.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import anyio
from msgspec.structs import replace

from ..audio.device import microphone
from ..errors import RealtimeError
from ..playback import Sink, player
from ..recording import recorded
from ..session import RealtimeSession, open_session
from ..tools import answering
from .conversation import Conversation
from .feed import Feed
from .local_voice import spoken
from .output import ReaderGone, complain
from .plan import Talk
from .screen import Screen
from .script import Say, Sound, Turn
from .sight import opened, showing
from .sinks import keeping, sink

__all__ = ("converse",)

_FAREWELL = 1.0
"""Seconds in which the last events are shown."""


async def converse(talk: Talk, screen: Screen) -> int:
    """Hold the conversation and give the exit code. Cancelling it leaves nothing behind."""
    failure = await _hold(talk, screen)
    if talk.output is not None:
        screen.say(f"what was heard is in {talk.output}")
    if talk.record is not None:
        screen.say(f"the session is recorded in {talk.record}")
    if failure is not None:
        complain(failure)
        return 1
    return 0


class _Script(NamedTuple):
    """The turns with all their sound made, and what the answer is talked over with."""

    turns: tuple[Turn, ...]
    over: Sound | None
    after: float

    @property
    def aloud(self) -> bool:
        """Whether anything of it is spoken."""
        return self.over is not None or any(isinstance(turn.ask, Sound) for turn in self.turns)


@asynccontextmanager
async def _preparing(talk: Talk) -> AsyncGenerator[Callable[[], Awaitable[_Script]]]:
    """Make the sound of what is to be said beside the block, which may wait for it."""
    made: _Script | None = None
    ready = anyio.Event()

    async def make() -> None:
        nonlocal made
        turns = tuple([await _sounding(turn) for turn in talk.turns])
        over = await spoken(talk.barge.text) if talk.barge is not None else None
        made = _Script(turns, over, talk.barge.after if talk.barge is not None else 0.0)
        ready.set()

    async def script() -> _Script:
        await ready.wait()
        assert made is not None  # noqa: S101 - set before it is ready
        return made

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(make)
        yield script


async def _sounding(turn: Turn) -> Turn:
    return Turn(await spoken(turn.ask.text), turn.pictures) if isinstance(turn.ask, Say) else turn


async def _hold(talk: Talk, screen: Screen) -> RealtimeError | None:
    session: RealtimeSession[Any] | None = None
    failure: RealtimeError | None = None
    try:
        opening = open_session(talk.provider, talk.config)
        if talk.record is not None:
            opening = recorded(opening, talk.record)
        # The voice that asks loads while the session opens; a camera must be there before that.
        async with _preparing(talk) as script, opened(talk.video) as video, opening as session:
            failure = await _play(replace(talk, video=video), await script(), session, screen)
    finally:
        if session is not None:
            await _farewell(session, screen)
    return failure


async def _play(
    talk: Talk, script: _Script, session: RealtimeSession[Any], screen: Screen
) -> RealtimeError | None:
    form = session.output_format
    # An answer that is to be cut must take its time.
    pace = talk.pace if script.over is None else talk.pace or 1.0
    failure: RealtimeError | None = None
    with keeping(talk.output, form) as keep:
        async with sink(talk.speaker, form.rate, keep, pace) as out:
            failure = await _talk(talk, script, session, out, screen)
    return failure


async def _farewell(session: RealtimeSession[Any], screen: Screen) -> None:
    """Show the events that came while the session was closed."""
    with anyio.move_on_after(_FAREWELL, shield=True), suppress(ReaderGone):
        async for event in session.events():
            screen.take(event)


async def _talk(
    talk: Talk,
    script: _Script,
    session: RealtimeSession[Any],
    out: tuple[Sink, str],
    screen: Screen,
) -> RealtimeError | None:
    (place, remark), feed, failure = out, Feed(session, talk.pace), None
    async with (
        player(session, place) as playing,
        answering(session, ()) as answers,
        anyio.create_task_group() as tasks,
    ):
        held = Conversation(
            session, screen=screen, sink=place, player=playing, answerer=answers, feed=feed
        )
        tasks.start_soon(held.listen)
        await held.begun()
        if remark:
            screen.say(remark)
        async with showing(session, talk.video, screen):
            if script.turns:
                if script.aloud:
                    tasks.start_soon(feed.run)
                await _put_all(script, held, screen)
            else:
                async with microphone(session.input_format.rate) as ear:
                    screen.say("Speak; Ctrl-C ends. Wear headphones, or the voice hears itself.")
                    tasks.start_soon(held.hear, ear)
                    await held.go_on()
        failure = held.exchange.failure
        tasks.cancel_scope.cancel()
    return failure


async def _put_all(script: _Script, held: Conversation, screen: Screen) -> None:
    async with anyio.create_task_group() as tasks:
        said = False

        async def talk_over(sound: Sound, after: float) -> None:
            nonlocal said
            await held.talk_over(sound, after)
            said = True

        if script.over is not None:
            tasks.start_soon(talk_over, script.over, script.after)
        for turn in script.turns:
            await held.put(turn)
            if held.exchange.over or held.exchange.failure is not None:
                break
        if script.over is not None and not said:
            screen.say(f"no answer was heard for {script.after:g} s, so none was talked over")
        tasks.cancel_scope.cancel()
