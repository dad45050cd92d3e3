"""How many words the ears get wrong: human recordings, live through the ears and as whole files.

Live means frame by frame through the voice detector and the turns, as a session hears them; each
frame waits for what the ears do about the one before, as on a machine that is always fast enough.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import anyio

from benchmarks.recordings import ABSENT, Recording, errors, others, prompts, words
from benchmarks.table import Row, show
from realtime_local import store
from realtime_local.ears import ModelEars, load_ears
from realtime_local.hearing import Heard, Hearing, Over, Words
from realtime_local.turns import FRAME, Rules

SILENCE = bytes(2 * 16_000)


class Busy:
    """Ears that know whether they are at work."""

    def __init__(self, ears: ModelEars) -> None:
        self._ears = ears
        self._jobs = 0
        self._rest = anyio.Event()

    def detector(self) -> Callable[[bytes], float]:
        return self._ears.detector()

    async def transcribe(self, pcm: bytes) -> str:
        with self._job():
            return await self._ears.transcribe(pcm)

    async def turn_over(self, pcm: bytes) -> float:
        with self._job():
            return await self._ears.turn_over(pcm)

    async def rest(self) -> None:
        """Wait until they are not."""
        for _ in range(3):  # whoever was just asked to listen gets to it
            await anyio.lowlevel.checkpoint()
        while self._jobs:
            await self._rest.wait()

    @contextmanager
    def _job(self) -> Generator[None]:
        self._jobs += 1
        try:
            yield
        finally:
            self._jobs -= 1
            self._rest.set()
            self._rest = anyio.Event()


class Score(NamedTuple):
    """What came of some recordings."""

    files: int
    seconds: float
    said: int
    live: int
    whole: int
    turns: int
    cost: float
    """Seconds of recognition of the whole files."""


async def live(ears: Busy, pcm: bytes) -> list[Heard]:
    """Hear a recording as a session would, after half a second of silence and before one."""
    told = list[Heard]()
    async with anyio.create_task_group() as tasks:
        hearing = Hearing(ears, Rules(), tasks, told.append)
        sound = SILENCE[: 2 * 8_000] + pcm + SILENCE
        for at in range(0, len(sound), 2 * FRAME):
            await hearing.listen(sound[at : at + 2 * FRAME])
            await ears.rest()
        if hearing.speaking:
            hearing.commit()
        await ears.rest()
    return told


def text_of(told: Sequence[Heard]) -> str:
    """Give the words of all turns."""
    return " ".join(one.text for one in told if isinstance(one, Words) and one.text)


async def score(recordings: Sequence[Recording], *, show_errors: bool) -> Score:
    """Hear all recordings, both ways."""
    ears = load_ears(store.verified)
    busy = Busy(ears)
    total = Score(0, 0.0, 0, 0, 0, 0, 0.0)
    for recording in recordings:
        pcm = await anyio.to_thread.run_sync(recording.pcm)
        said = words(recording.text)
        start = time.perf_counter()
        whole = await ears.transcribe(pcm)
        cost = time.perf_counter() - start
        told = await live(busy, pcm)
        text, turns = text_of(told), sum(isinstance(one, Over) for one in told)
        wrong = errors(said, words(text)), errors(said, words(whole))
        if show_errors and any(wrong):
            print(f"{wrong}  {recording.text}\n    live:  {text}\n    whole: {whole}")
        total = Score(
            total.files + 1,
            total.seconds + len(pcm) / 32_000,
            total.said + len(said),
            total.live + wrong[0],
            total.whole + wrong[1],
            total.turns + turns,
            total.cost + cost,
        )
    return total


def rows(name: str, target: str, got: Score) -> list[Row]:
    of = f"n={got.files}, {got.said} words, {got.seconds:.0f} s"
    return [
        Row(f"{name}: words wrong, live", f"{got.live / got.said:.1%}", target=target),
        Row(f"{name}: words wrong, whole files", f"{got.whole / got.said:.1%} ({of})"),
        Row(f"{name}: turns of a recording", f"{got.turns / got.files:.2f}"),
        Row(f"{name}: recognising 1 s", f"{1000 * got.cost / got.seconds:.0f} ms"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--prompts", type=int, default=60, help="how many recordings of one voice")
    parser.add_argument("--errors", action="store_true", help="print what was heard wrong")
    given, _ = parser.parse_known_args()
    known = prompts()
    if not known:
        print(f"\nEars: left out, for {ABSENT}")
        return
    step = max(1, len(known) // given.prompts)
    run = partial(anyio.run, backend="asyncio")
    one = run(partial(score, known[::step][: given.prompts], show_errors=given.errors))
    rest = run(partial(score, others(), show_errors=given.errors))
    table = [
        *rows("one speaker", "<= 6.3%", one),
        *(rows("other speakers", "<= 5.2%", rest) if rest.files else []),
    ]
    show("Ears: Moonshine tiny, human recordings", table)


if __name__ == "__main__":
    main()
