"""What an interruption costs: until silence, for what was queued, and for many sessions at once."""

from __future__ import annotations

import resource
import statistics
import time
from contextlib import AsyncExitStack
from functools import partial

import anyio

from benchmarks.core import FORMAT, ITEM, R, speaking
from benchmarks.table import Row, median_ns, show, spread
from realtime_core import (
    AudioOutput,
    Interrupted,
    Outlet,
    ResponseStarted,
    SessionConfig,
    open_session,
)
from realtime_core.frames import Interrupt
from realtime_core.machine import step
from realtime_core.outlet import Outlet as Buffer
from realtime_core.session import Events
from realtime_core.state import Emit, Pushed, Received
from realtime_core.testing.scripted import Peer, scripted

_PIECE = AudioOutput(response=R, item=ITEM, pcm=bytes(960), format=FORMAT)
_RUNS = 15
_MANY = 1_000


async def _spoken(seconds: int, peer: Peer) -> None:
    await peer.say(ResponseStarted(response=R), *[_PIECE] * (50 * seconds))
    await peer.drain()


async def _begun(events: Events) -> None:
    async for event in events:
        if isinstance(event, ResponseStarted):
            return


async def _interruption(seconds: int) -> tuple[int, float, float]:
    """Give the steps of the machine, the microseconds of the call, and those until it is seen."""
    async with open_session(scripted(partial(_spoken, seconds))) as session:
        events = session.events()
        await _begun(events)
        before = session.transitions[-1]
        start = time.perf_counter()
        await session.interrupt()
        fenced = time.perf_counter()
        event = await anext(events)
        seen = time.perf_counter()
        assert isinstance(event, Interrupted), "something came before it"
        steps = len(session.transitions) - 1 - session.transitions.index(before)
        return steps, (fenced - start) * 1e6, (seen - start) * 1e6


def to_silence() -> list[Row]:
    rows, floor = [], 0.0
    for seconds in (0, 10, 120):
        runs = [anyio.run(_interruption, seconds) for _ in range(_RUNS)]
        steps, _, seen = (statistics.median(values) for values in zip(*runs, strict=True))
        floor = floor or seen
        rows.append(
            Row(
                f"interrupt() to seen, {seconds} s queued",
                f"{spread((run[2] for run in runs), 'us')}, {steps:.0f} step",
                f"{floor:.0f} us (nothing queued)",
                f"{seen / floor:.1f} x",
                "<= 1 ms, flat",
            )
        )
    return rows


def chunks() -> list[Row]:
    """A 100 ms delta of an answer that is heard, and of one that was cut."""
    codec, live, wire = speaking()
    live = step(codec, live, Received(at=0.5, conn=0, wires=(wire,))).state
    cut = step(codec, live, Pushed(at=1.0, frame=Interrupt())).state
    given = Received(at=2.0, conn=0, wires=(wire,) * 32)

    def through() -> None:
        buffer = Buffer(Outlet())
        for effect in step(codec, live, given).effects:
            if isinstance(effect, Emit):
                buffer.put(effect.event)
        while buffer.take(3.0) is not None:
            pass

    decode = median_ns(lambda: [codec.decode(live.codec, wire) for _ in range(32)], 300) / 32
    delivered = median_ns(through, 300) / 32 - decode
    fenced = median_ns(lambda: step(codec, cut, given), 300) / 32 - decode
    return [
        Row(
            "a fenced chunk, beyond decoding",
            f"{fenced / 1000:.2f} us",
            f"{delivered / 1000:.2f} us (delivered)",
            f"{fenced / delivered:.2f} x",
            "< 1 x",
        )
    ]


async def _stalled() -> tuple[float, float]:
    """Give the MiB that waited, and by how many MiB the process has grown."""
    said = 0

    async def script(peer: Peer) -> None:
        nonlocal said
        await peer.say(ResponseStarted(response=R))
        while True:
            await peer.say(*[_PIECE] * 50)
            said += 1

    config = SessionConfig(outlet=Outlet(seconds=30.0))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    async with open_session(scripted(script, buffer=4), config) as session:
        known = -1
        while known != said:  # until the far end is held up
            known = said
            await anyio.sleep(0.2)
        waiting = session.statistics.output.waiting * 2 / 2**20
    return waiting, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before


def stalled() -> list[Row]:
    waiting, grown = anyio.run(_stalled)
    return [
        Row(
            "a stalled consumer, an endless answer, cap 30 s",
            f"{waiting:.1f} MiB wait, process + {grown:.1f} MiB",
            "1.4 MiB (30 s)",
            f"{waiting / (30 * 48_000 / 2**20):.2f} x",
            "cap, then the sender waits",
        )
    ]


async def _at_once() -> list[float]:
    seen = list[float]()

    async def consume(events: Events) -> None:
        async for event in events:
            if isinstance(event, Interrupted):
                seen.append(time.perf_counter())
                return

    async with AsyncExitStack() as stack:
        sessions = [
            await stack.enter_async_context(open_session(scripted(partial(_spoken, 1))))
            for _ in range(_MANY)
        ]
        async with anyio.create_task_group() as tasks:
            for session in sessions:
                events = session.events()
                await _begun(events)
                tasks.start_soon(consume, events)
            await anyio.sleep(0.5)
            start = time.perf_counter()
            for session in sessions:
                session.send_nowait(Interrupt())
        return [(at - start) * 1000 for at in seen]


def many() -> list[Row]:
    times = anyio.run(_at_once)
    one = statistics.median(anyio.run(_interruption, 1)[2] for _ in range(_RUNS)) / 1000
    each = max(times) / _MANY
    return [
        Row(
            f"{_MANY} sessions interrupted at once: all seen",
            f"{max(times):.0f} ms, {each * 1000:.0f} us each",
            f"{one * 1000:.0f} us (one alone)",
            f"{each / one:.2f} x",
        )
    ]


def main() -> None:
    show("Interruption", to_silence() + chunks() + stalled() + many())


if __name__ == "__main__":
    main()
