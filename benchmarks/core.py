"""What the core costs: a step, an event end to end, the import.

Floors are measured in the same run; targets are ratios or flatness, because machines are noisy.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections import deque

import anyio
import anyio.lowlevel
import msgspec

from benchmarks.table import Row, median_ns, show
from realtime_core import (
    AudioFormat,
    AudioOutput,
    Capabilities,
    ItemId,
    Plan,
    ResponseDone,
    ResponseId,
    ResponseStarted,
    SessionConfig,
    negotiate,
    open_session,
)
from realtime_core.machine import step
from realtime_core.state import Phase, Received, State
from realtime_core.testing.scripted import SCRIPTED, Peer, ScriptedCodec, scripted

FORMAT = AudioFormat()
R, ITEM = ResponseId("r"), ItemId("i")


def plan(capabilities: Capabilities = SCRIPTED) -> Plan:
    return negotiate(capabilities, SessionConfig()).unwrap()


def speaking() -> tuple[ScriptedCodec, State, bytes]:
    """A state in the middle of an answer, and the wire of its next 100 ms."""
    codec = ScriptedCodec()
    encoder = msgspec.json.Encoder()
    greeted = codec.greet(plan(), None).state
    state = State(plan(), "bench", codec=greeted, phase=Phase.OPEN)
    begun = encoder.encode(ResponseStarted(response=R))
    state = step(codec, state, Received(at=0.0, conn=0, wires=(begun,))).state
    piece = AudioOutput(response=R, item=ITEM, pcm=bytes(4800), format=FORMAT)
    return codec, state, encoder.encode(piece)


def step_cost() -> list[Row]:
    codec, state, wire = speaking()
    given = Received(at=1.0, conn=0, wires=(wire,))
    decode = median_ns(lambda: codec.decode(state.codec, wire), 5_000)
    whole = median_ns(lambda: step(codec, state, given), 5_000)
    batch = Received(at=1.0, conn=0, wires=(wire,) * 32)
    many = median_ns(lambda: step(codec, state, batch), 300) / 32
    return [
        Row(
            "step, one 100 ms delta decoded",
            f"{whole / 1000:.2f} us",
            f"{decode / 1000:.2f} us (decode alone)",
            f"{whole / decode:.2f} x",
        ),
        Row(
            "step, a delta in a batch of 32",
            f"{many / 1000:.2f} us",
            f"{decode / 1000:.2f} us (decode alone)",
            f"{many / decode:.2f} x",
        ),
    ]


async def _stream(events: int, burst: int) -> float:
    """Give the microseconds of one event from the far end of a memory link to the consumer."""

    async def script(peer: Peer) -> None:
        piece = AudioOutput(response=R, item=ITEM, pcm=bytes(960), format=FORMAT)
        await peer.say(ResponseStarted(response=R))
        for _ in range(events // burst):
            await peer.say(*[piece] * burst)
        await peer.say(ResponseDone(response=R, status="completed"))
        await peer.drain()

    async with open_session(scripted(script)) as session:
        start = time.process_time()
        async for event in session.events():
            if isinstance(event, ResponseDone):
                break
        return (time.process_time() - start) / events * 1e6


async def _floor(events: int, burst: int) -> float:
    """The same JSON through a bare deque and one wake-up a burst."""
    from realtime_core.testing.scripted import _ENCODER, _SAID

    queue, filled = deque[object](), [anyio.Event()]

    async def produce() -> None:
        piece = AudioOutput(response=R, item=ITEM, pcm=bytes(960), format=FORMAT)
        for _ in range(events // burst):
            for wire in [_ENCODER.encode(piece) for _ in range(burst)]:
                queue.append(_SAID.decode(wire))
            filled[0].set()
            await anyio.lowlevel.checkpoint()

    start = time.process_time()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(produce)
        taken = 0
        while taken < events // burst * burst:
            if not queue:
                filled[0] = anyio.Event()
                await filled[0].wait()
            queue.popleft()
            taken += 1
    return (time.process_time() - start) / events * 1e6


def end_to_end(backend: str) -> list[Row]:
    rows = []
    for burst in (32, 1):
        pairs = [
            (
                anyio.run(_stream, 3_200, burst, backend=backend),
                anyio.run(_floor, 3_200, burst, backend=backend),
            )
            for _ in range(5)
        ]
        ours, floor = (statistics.median(values) for values in zip(*pairs, strict=True))
        rows.append(
            Row(
                f"20 ms event end to end, {burst} a read, {backend}",
                f"{ours:.1f} us",
                f"{floor:.1f} us (JSON, deque)",
                f"{ours / floor:.2f} x",
            )
        )
    return rows


def import_cost() -> list[Row]:
    rss = "int(open('/proc/self/statm').read().split()[1]) * 4096 / 2**20"
    code = (
        "import time;a=time.process_time();import realtime_core;"
        f"print(time.process_time()-a, {rss})"
    )
    base = f"import time; print(0, {rss})"

    def run(program: str) -> tuple[float, float]:
        out = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
        cpu, memory = out.stdout.split()
        return float(cpu), float(memory)

    runs = [run(code) for _ in range(7)]
    empty = min(run(base)[1] for _ in range(3))
    cpu = statistics.median(cpu for cpu, _ in runs)
    memory = statistics.median(memory for _, memory in runs) - empty
    return [
        Row("import realtime_core, CPU", f"{cpu * 1000:.0f} ms", target="< 100 ms"),
        Row("import realtime_core, memory", f"{memory:.1f} MiB", target="< 12 MB"),
    ]


def main() -> None:
    rows = step_cost() + end_to_end("asyncio") + end_to_end("trio") + import_cost()
    show("Core", rows)


if __name__ == "__main__":
    main()
