"""A session's hearing: microphone audio in, turns and words out.

The fold of `turns` decides; this shell runs the voice detector on each frame, recognition and end
of turn beside it, and tells what came of it in order. It answers nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple, assert_never

from anyio import CancelScope, create_task_group
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from .complaint import PartFailed, blamed
from .parts import Ears
from .tape import Tape
from .turns import (
    FRAME,
    Began,
    Decision,
    Ended,
    Growing,
    Paused,
    Resumed,
    Rules,
    Turn,
    finish,
    finished,
    hear,
    judge,
)

__all__ = ("Doubt", "Guess", "Heard", "Hearing", "Onset", "Over", "Partial", "Trouble", "Words")

_FRAMES_AT_ONCE = 32
"""Frames between two looks at other tasks: about 4 ms of work."""


class Onset(NamedTuple):
    """The turn's speech began at this sample."""

    turn: int
    sample: int


class Partial(NamedTuple):
    """What was said so far; a later one replaces it."""

    turn: int
    text: str


class Guess(NamedTuple):
    """What was said, if the pause ends the turn."""

    turn: int
    text: str


class Doubt(NamedTuple):
    """The last guess is void."""

    turn: int


class Over(NamedTuple):
    """The turn is over; its speech ended at this sample. Its words follow."""

    turn: int
    sample: int


class Words(NamedTuple):
    """What was said in a turn; "" where it was a noise."""

    turn: int
    text: str


class Trouble(NamedTuple):
    """Recognition or end of turn failed; the session goes on without its result."""

    problem: PartFailed


Heard = Onset | Partial | Guess | Doubt | Over | Words | Trouble


class _Reading:
    """One recognition of a turn's audio, which may become its last."""

    def __init__(self, turn: int, pause: int | None, pcm: bytes) -> None:
        self.turn = turn
        self.pause = pause
        self.pcm = pcm
        self.text: str | None = None
        self.last = False
        self.scope = CancelScope()


class Hearing:
    """The ears of one session, used from one event loop.

    `tell` is called in the order of events, and must neither wait nor raise. Cancelling the task
    group ends everything.
    """

    def __init__(
        self, ears: Ears, rules: Rules, tasks: TaskGroup, tell: Callable[[Heard], None]
    ) -> None:
        self._ears = ears
        self._rules = rules
        self._tasks = tasks
        self._tell = tell
        self._detect = ears.detector()
        self._tape = Tape()
        self._turn = Turn()
        self._count = -1
        self._guess: _Reading | None = None
        self._partial: _Reading | None = None
        self._last = deque[_Reading]()

    @property
    def speaking(self) -> bool:
        """Whether a turn of the user goes on."""
        return self._turn.start is not None

    @property
    def paused(self) -> bool:
        """Whether the user has stopped, perhaps for good."""
        return self._turn.paused

    @property
    def pending(self) -> bool:
        """Whether the words of a finished turn are not known yet."""
        return bool(self._last)

    def follow(self, rules: Rules) -> None:
        """Take turns by other rules from here on."""
        self._rules = rules

    async def listen(self, pcm: bytes) -> None:
        """Take in 16 kHz audio; other tasks get their turn every few milliseconds.

        Cancelling leaves the rest of the audio for the next call. Raises what the detector raises.
        """
        self._tape.add(pcm)
        frames = 0
        while self._tape.end - self._turn.at >= FRAME:
            at = self._turn.at
            with blamed("ears"):
                probability = self._detect(self._tape.cut(at, at + FRAME))
            self._advance(hear(self._turn, self._rules, probability))
            frames += 1
            if frames % _FRAMES_AT_ONCE == 0:
                await checkpoint()
        if not self.speaking:
            self._tape.forget(self._turn.at - self._rules.prefix - 2 * FRAME)

    def commit(self) -> None:
        """End the turn now; where nobody spoke, its words are ""."""
        if self.speaking:
            self._advance(finish(self._turn, self._rules))
        else:
            self._count += 1
            self._end(_Reading(self._count, None, b""), "")

    def clear(self) -> None:
        """Forget the audio since the last turn; a turn that goes on ends without words."""
        speaking, turn = self.speaking, self._turn
        self._drop()
        self._turn = Turn(at=self._tape.end, end=self._tape.end, pause=turn.pause)
        self._tape.forget(self._tape.end)
        if speaking:
            self._tell(Over(self._count, turn.end))
            self._end(_Reading(self._count, None, b""), "")

    def _advance(self, step: tuple[Turn, tuple[Decision, ...]]) -> None:
        self._turn, decisions = step
        for decision in decisions:
            self._act(decision)

    def _act(self, decision: Decision) -> None:
        match decision:
            case Began():
                self._count += 1
                self._tell(Onset(self._count, decision.onset))
            case Growing():
                self._grow(decision)
            case Paused():
                self._pause(decision)
            case Resumed():
                self._drop()
            case Ended():
                self._finish(decision)
            case _:
                assert_never(decision)

    def _grow(self, grown: Growing) -> None:
        if self._partial is None:
            pcm = self._tape.cut(grown.start, grown.end)
            self._partial = _Reading(self._count, None, pcm)
            self._tasks.start_soon(self._follow_speech, self._partial)

    def _pause(self, paused: Paused) -> None:
        self._drop()
        if self._turn.voiced >= self._rules.least:
            pcm = self._tape.cut(paused.start, paused.end)
            self._guess = _Reading(self._count, paused.pause, pcm)
            self._tasks.start_soon(self._consider, self._guess)

    def _finish(self, ended: Ended) -> None:
        guess, self._guess = self._guess, None
        self._tell(Over(self._count, ended.speech_end))
        if not ended.enough:
            self._drop()
            self._end(_Reading(self._count, None, b""), "")
        elif guess is not None and guess.pause == ended.pause:
            if guess.text is not None:
                guess.scope.cancel()
            self._end(guess, guess.text)
        else:
            self._guess = guess
            self._drop()
            pcm = self._tape.cut(ended.start, ended.end + FRAME)
            reading = _Reading(self._count, None, pcm)
            self._end(reading, None)
            self._tasks.start_soon(self._consider, reading)

    def _end(self, reading: _Reading, text: str | None) -> None:
        """Have this turn's words told as soon as they, and those of earlier turns, are known."""
        reading.last, reading.text = True, text
        self._last.append(reading)
        self._tell_words()

    def _tell_words(self) -> None:
        while self._last and self._last[0].text is not None:
            reading = self._last.popleft()
            self._tell(Words(reading.turn, reading.text or ""))

    def _drop(self) -> None:
        """Stop what is being read of a turn that goes on, and take back the guess."""
        guess, partial = self._guess, self._partial
        self._guess = self._partial = None
        if partial is not None:
            partial.scope.cancel()
        if guess is not None:
            guess.scope.cancel()
            if guess.text:
                self._tell(Doubt(guess.turn))

    async def _follow_speech(self, reading: _Reading) -> None:
        with reading.scope:
            text = await self._read(reading)
            if text and self._partial is reading:
                self._tell(Partial(reading.turn, text))
        if self._partial is reading:
            self._partial = None

    async def _consider(self, reading: _Reading) -> None:
        odds, text = list[float](), ""
        with reading.scope:
            async with create_task_group() as both:
                if reading.pause is not None and self._rules.late is not None:
                    both.start_soon(self._weigh, reading, odds)
                reading.text = text = await self._read(reading)
                if reading.last:
                    both.cancel_scope.cancel()
                    self._tell_words()
                elif text:
                    self._tell(Guess(reading.turn, text))
            if reading is self._guess and reading.pause is not None and odds:
                over = finished(text, odds[0])
                self._advance(judge(self._turn, self._rules, reading.pause, over))

    async def _read(self, reading: _Reading) -> str:
        try:
            with blamed("ears"):
                return await self._ears.transcribe(reading.pcm)
        except PartFailed as problem:
            self._tell(Trouble(problem))
            return ""

    async def _weigh(self, reading: _Reading, odds: list[float]) -> None:
        try:
            with blamed("ears"):
                odds.append(await self._ears.turn_over(reading.pcm))
        except PartFailed as problem:
            self._tell(Trouble(problem))
