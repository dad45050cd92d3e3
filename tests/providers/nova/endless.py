"""Endless: a service whose every stream ends after eight minutes, and what was said on all of them.

Every sample is numbered, both ways, so that what was lost, doubled or moved can be named. Nothing
is resumed: what the service knows of earlier streams is what it is told.
"""

from __future__ import annotations

from array import array
from collections import deque
from random import Random

import anyio

from realtime_core.beside import beside
from realtime_core.events import Usage
from realtime_core.signals import Signal
from realtime_nova.client_events import ClientEvent
from realtime_nova.server import Caller
from realtime_nova.server.pieces import sentences
from realtime_nova.server.telling import Form, interrupted, planned, sounded, sounding, spent
from tests.providers.gemini.endless import FRAME, PIECE, STEP, Said, Turn, ramp

__all__ = ("LIFE", "USAGE", "World")

LIFE = 480.0
"""Seconds after which the service ends a stream."""
USAGE = Usage(input_tokens=3, output_tokens=5)
_HUSH = 4
"""Silent frames that end what a user says."""
_MUCH = ", ".join(["it is a lot"] * 8)
_FORMS: tuple[Form, ...] = ("both", "text", "stop")


class World:
    """The service's side of one conversation, over all its streams."""

    def __init__(self, *, dropped: int = -1, unrest: Random | None = None) -> None:
        """`dropped` is the answer in whose middle a stream breaks.

        With unrest streams end in any way, at any moment.
        """
        self.dropped = dropped
        self.unrest = unrest
        self.said = list[Said]()
        """The conversation: roles, and words or answers."""
        self.turns = list[Turn]()
        self.frames = list[int]()
        """Numbers of the frames that came, in their order."""
        self.told = list[tuple[int, tuple[tuple[str, str], ...]]]()
        """How much had been said when a stream began, and what it was told of that."""
        self.dialled = list[float]()
        self.left = dict[int, float]()
        """When the client had left a stream."""
        self.expired = 0
        """Streams that the service had to end."""
        self._sent = 0
        self._wishes = deque[str]()
        self._news = Signal()
        self._cut = False
        self._speaking = 0
        self._silent = 0
        self._part = b""

    # --- one stream ---------------------------------------------------------------------------

    async def play(self, caller: Caller) -> None:
        """Serve one stream, until the client leaves it."""
        self.dialled.append(anyio.current_time())
        await anyio.sleep(0.5)  # as long as it may take
        await caller.accept()
        while (await caller.until("content_start")).type != "AUDIO":
            pass
        self.told.append((len(self.said), caller.told))
        try:
            async with beside() as tasks:
                tasks.start_soon(self._age, caller)
                tasks.start_soon(self._speak, caller)
                await self._hear(caller)
        finally:
            self.left[caller.number] = anyio.current_time()

    async def _age(self, caller: Caller) -> None:
        if self.unrest is None:
            await anyio.sleep(LIFE - 0.5)
            self.expired += 1
            await caller.fail("modelTimeoutException", "The session has lasted too long.")
            return
        await anyio.sleep(STEP * self.unrest.randrange(int(50 / STEP)))
        if self.unrest.random() < 0.5:
            caller.abort()
        else:
            await caller.fail("internalServerException", "Try again.")

    async def _hear(self, caller: Caller) -> None:
        self._part, words = b"", ""
        while True:
            event = await caller.next()
            if event.audio_input is not None:
                await self._sound(caller, event.audio_input.content)
            elif event.content_start is not None:
                words = ""
            elif event.text_input is not None:
                words += event.text_input.content
            elif event.content_end is not None and words:
                self.said.append(("user", words))
                self._want(words)
                words = ""
            elif event.tool_result is not None:
                self._result(event)

    def _want(self, text: str) -> None:
        self._cut = True
        self._wishes.append(text)
        self._news.give()

    async def _sound(self, caller: Caller, pcm: bytes) -> None:
        """Put frames together: what goes at once is cut into events of a tenth of a second."""
        self._part += pcm
        while len(self._part) >= 2 * FRAME:
            frame, self._part = self._part[: 2 * FRAME], self._part[2 * FRAME :]
            await self._frame(caller, array("H", frame))

    async def _frame(self, caller: Caller, samples: array[int]) -> None:
        self.frames.append(samples[0])
        said = samples[1]
        assert set(samples[1:]) == {said}
        if said and not self._speaking:
            self._speaking, self._cut = said, True
            self._news.give()
        self._silent = 0 if said else self._silent + 1
        if self._speaking and self._silent == _HUSH:
            words, self._speaking = f"spoken {self._speaking}", 0
            await caller.heard(words)
            self.said.append(("user", words))
            self._want(words)

    # --- answers ------------------------------------------------------------------------------

    async def _speak(self, caller: Caller) -> None:
        while True:
            while not self._wishes:
                await self._news.wait()
            wish = self._wishes.popleft()
            self._cut = False
            turn = Turn(caller.number, self._sent)
            self.turns.append(turn)
            if wish.startswith("tool"):
                await self._call(caller, wish)
            self.said.append(("assistant", turn))
            await self._answer(caller, turn, wish)
            caller.desk.tell(spent, USAGE)
            if self._cut:
                turn.end = "interrupted"
                caller.desk.tell(interrupted, _FORMS[len(self.turns) % 3])
            else:
                turn.end = "completed"
                await caller.final(*sentences(turn.text))

    async def _call(self, caller: Caller, wish: str) -> None:
        await caller.call(("weather", {"of": wish}))
        while caller.calls:
            await self._news.wait()
        self.said.append(
            ("tool", f'[weather, called with {{"of":"{wish}"}}, gave: rain for {wish}]')
        )

    def _result(self, event: ClientEvent) -> None:
        assert event.tool_result is not None
        assert event.tool_result.content.startswith('{"result":"rain for tool ')
        self._news.give()

    async def _answer(self, caller: Caller, turn: Turn, wish: str) -> None:
        """Speak twice as fast as it sounds; the turn ends when it has sounded, or was cut."""
        count = 4 + len(self.turns) % 13
        began = anyio.current_time()
        for place in range(count):
            was_cut = self._cut
            if place in {0, count // 2}:
                await self._sentence(caller, turn, wish, place)
            caller.desk.tell(sounding, ramp(self._sent, PIECE))
            self._sent += PIECE
            turn.samples += PIECE
            await caller.desk.said()
            if len(self.turns) == self.dropped and place == 2:
                caller.abort()
            if was_cut:  # one more is on its way when it is noticed
                return
            await anyio.sleep(STEP)
        caller.desk.tell(sounded, "END_TURN")
        with anyio.move_on_after(began + count / 4 - anyio.current_time()):
            while not self._cut:
                await self._news.wait()

    async def _sentence(self, caller: Caller, turn: Turn, wish: str, place: int) -> None:
        caller.desk.tell(sounded)
        text = f"This is part {place} of what there is to say about {wish}, and {_MUCH}."
        turn.text = f"{turn.text} {text}".strip()
        caller.desk.tell(planned, text)
