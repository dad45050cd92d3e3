"""The minds and the mouth alone: how soon they begin, how many questions they get right.

The event loop is watched meanwhile: `loop held` is how late a task that wants to run every 2 ms
ran at worst; its floor is the same while nothing is asked of it. Minds that are not installed are
left out, with the line that installs them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import NamedTuple

import anyio

from benchmarks.questions import QUESTIONS
from benchmarks.table import Row, show, spread
from realtime_core.config import Message
from realtime_core.errors import RealtimeException
from realtime_local.llm import Ending
from realtime_local.mind import MINDS, LlamaMind, load_mind
from realtime_local.mouth import load_mouth

SYSTEM = Message("system", "")
SPOKEN = (
    "Hello!",
    "The capital of France is Paris.",
    "A spider has eight legs and most of them have eight eyes as well.",
    "Yes,",
    "Water freezes at zero degrees Celsius, which is thirty two degrees Fahrenheit.",
    "I can see a dog",
)


class Loop:
    """The event loop under watch."""

    def __init__(self) -> None:
        self.worst = self.floor = 0.0

    async def watch(self) -> None:
        last = time.perf_counter()
        while True:
            await anyio.sleep(0.002)
            now = time.perf_counter()
            self.worst = max(self.worst, now - last - 0.002)
            last = now

    async def idle(self) -> None:
        """See how late a task runs on this machine while nothing is asked of it."""
        await anyio.sleep(2)
        self.floor, self.worst = self.worst, 0.0

    def row(self) -> Row:
        worst, self.worst = self.worst, 0.0
        held, floor = f"{worst * 1000:.0f} ms", f"{self.floor * 1000:.0f} ms"
        return Row("loop held", held, floor, target="20 ms")


class Run(NamedTuple):
    """One answer: its words, and when the first and the last of them came, in ms."""

    words: str
    first: float
    whole: float


async def timed(pieces: AsyncIterator[str]) -> Run:
    start, words, first = time.perf_counter(), "", 0.0
    async for piece in pieces:
        first = first or time.perf_counter() - start
        words += piece
    return Run(words, first * 1000, (time.perf_counter() - start) * 1000)


async def taken(work: Callable[[], Awaitable[object]]) -> float:
    start = time.perf_counter()
    await work()
    return (time.perf_counter() - start) * 1000


def talk(question: str) -> list[Message]:
    return [SYSTEM, Message("user", question)]


async def freed(mind: LlamaMind) -> tuple[float, float]:
    """Cut a long answer; give the time until it is left, and until the next one begins."""
    pieces = mind.answer(talk("Tell me a very long story of the sea."), max_tokens=1_000)
    async with aclosing(pieces):
        await anext(pieces)
        cut = time.perf_counter()
    left = time.perf_counter()
    await timed(mind.answer(talk("Hello."), max_tokens=1))
    return (left - cut) * 1000, (time.perf_counter() - left) * 1000


async def mind_rows(name: str, loop: Loop, *, wrong: bool) -> list[Row]:
    try:
        load = await taken(lambda: load_mind(name))
    except RealtimeException as missing:
        return [Row(f"{name}: not measured", str(missing.error))]
    mind = await load_mind(name)
    await mind.prefill([SYSTEM])
    endings, cold = list[Ending](), list[Run]()
    for question in QUESTIONS:
        cold.append(await timed(mind.answer(talk(question.text), ended=endings.append)))
        if wrong and not question.right(cold[-1].words):
            print(f"  {name}: {question.text} {cold[-1].words}")
    ahead = list[Run]()
    for question in QUESTIONS:
        await mind.prefill(talk(question.text.rsplit(" ", 1)[0]))
        ahead.append(await timed(mind.answer(talk(question.text), max_tokens=1)))
    cuts = [await freed(mind) for _ in range(5)]
    rate = spread((one.answer_tokens * 1000 / one.answer_ms for one in endings), "tokens/s")
    right = sum(one.right(run.words) for one, run in zip(QUESTIONS, cold, strict=True))
    return [
        Row(f"{name}: loading", f"{load:.0f} ms"),
        Row(f"{name}: first word", spread(run.first for run in cold)),
        Row(f"{name}: first word, question read ahead", spread(run.first for run in ahead)),
        Row(f"{name}: whole answer", spread(run.whole for run in cold)),
        Row(f"{name}: rate", rate),
        Row(f"{name}: left when cut", spread(left for left, _ in cuts)),
        Row(f"{name}: next answer's first word", spread(after for _, after in cuts)),
        Row(f"{name}: simple questions right", f"{right} of {len(QUESTIONS)}"),
        loop.row(),
    ]


async def mouth_rows(loop: Loop) -> list[Row]:
    load = await taken(load_mouth)
    mouth = await load_mouth()
    first, factors = list[float](), list[float]()
    for clause in SPOKEN * 3:
        start, samples = time.perf_counter(), 0
        async for pcm in mouth.speak(clause):
            if not samples:
                first.append((time.perf_counter() - start) * 1000)
            samples += len(pcm) // 2
        factors.append((time.perf_counter() - start) * 100 * mouth.rate / samples)
    return [
        Row("mouth: loading", f"{load:.0f} ms"),
        Row("mouth: first piece of a clause", spread(first)),
        Row("mouth: computing, of the sound's length", spread(factors, "%")),
        loop.row(),
    ]


async def measure(names: list[str], *, wrong: bool) -> list[Row]:
    loop, rows = Loop(), list[Row]()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(loop.watch)
        await loop.idle()
        for name in names:
            rows += await mind_rows(name, loop, wrong=wrong)
        rows += await mouth_rows(loop)
        tasks.cancel_scope.cancel()
    return rows


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--mind", action="append", help="a name or a GGUF file; default: all")
    options.add_argument("--wrong", action="store_true", help="print the wrong answers")
    options.add_argument("--backend", default="asyncio", choices=("asyncio", "trio"))
    given = options.parse_args()

    async def run() -> list[Row]:
        return await measure(given.mind or list(MINDS), wrong=given.wrong)

    show("Minds and mouth, models alone", anyio.run(run, backend=given.backend))


if __name__ == "__main__":
    main()
