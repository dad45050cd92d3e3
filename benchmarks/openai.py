"""What a session costs over a real WebSocket: against no library at all, and the vendor's client.

The far end is a process of its own. CPU is this process's; figures compare within one run.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import statistics
import struct
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial

import anyio
from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from benchmarks.table import Row, show, spread
from realtime_core import (
    Audio,
    AudioOutput,
    CommitAudio,
    CreateResponse,
    Interrupted,
    RealtimeSession,
    ResponseDone,
    SessionConfig,
    UserTranscript,
    open_session,
)
from realtime_core import (
    Frame as Input,
)
from realtime_openai import openai
from realtime_openai.client_events import Append
from realtime_openai.client_events import encode as written
from realtime_openai.server_events import AudioDelta, Committed, ResponseFinished
from realtime_openai.server_events import decode as read

_ROUNDS = 7
_SILENCE = bytes(960)
_MANY = 1_500


@contextmanager
def _peer() -> Iterator[int]:
    command = [sys.executable, "-m", "benchmarks.openai_peer"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


# --- three clients ----------------------------------------------------------------------------


class _Bare:
    """No library: the sans-I/O protocol over a socket, one read a batch."""

    def __init__(self, port: int, model: str) -> None:
        self._protocol = ClientProtocol(
            parse_uri(f"ws://127.0.0.1:{port}/v1/realtime?model={model}"), max_size=None
        )
        self._port = port

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(
            "127.0.0.1", self._port, limit=2**22
        )
        self._protocol.send_request(self._protocol.connect())
        self._flush()
        await self.read()
        self.send('{"type":"session.update","session":{"type":"realtime"}}')

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            self._writer.write(data)

    def send(self, text: str | bytes) -> None:
        self._protocol.send_text(text if isinstance(text, bytes) else text.encode())
        self._flush()

    async def read(self) -> list[bytes]:
        self._protocol.receive_data(await self._reader.read(65_536))
        events = self._protocol.events_received()
        return [
            bytes(event.data)
            for event in events
            if isinstance(event, Frame) and event.opcode is Opcode.TEXT
        ]

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


async def _bare_out(port: int, model: str, times: int) -> float:
    bare = _Bare(port, model)
    await bare.open()
    start = 0.0
    for answer in range(times + 1):
        if answer == 1:
            start = time.process_time()
        bare.send('{"type":"response.create"}')
        heard, over = 0, False
        while not over:
            for wire in await bare.read():
                event = read(wire)
                if isinstance(event, AudioDelta):
                    heard += len(event.delta)
                over = over or isinstance(event, ResponseFinished)
        assert heard
    spent = time.process_time() - start
    await bare.close()
    return spent


async def _bare_in(port: int, frames: int) -> float:
    bare = _Bare(port, "sink")
    await bare.open()
    start = time.process_time()
    for number in range(frames):
        bare.send(written(Append(audio=_SILENCE)))
        if number % 16 == 0:
            await asyncio.sleep(0)
    bare.send('{"type":"input_audio_buffer.commit"}')
    while not any(isinstance(read(wire), Committed) for wire in await bare.read()):
        pass
    spent = time.process_time() - start
    await bare.close()
    return spent


@asynccontextmanager
async def _session(port: int, model: str) -> AsyncGenerator[RealtimeSession[Input]]:
    provider = openai(model, base_url=f"http://127.0.0.1:{port}/v1", api_key="none")
    config = SessionConfig(report_input=False)
    async with open_session(provider, config) as session:
        yield session


async def _ours_out(port: int, model: str, times: int) -> float:
    async with _session(port, model) as session:
        events, start = session.events(), 0.0
        for answer in range(times + 1):
            if answer == 1:
                start = time.process_time()
            session.send_nowait(CreateResponse())
            heard = 0
            async for event in events:
                if isinstance(event, AudioOutput):
                    heard += len(event.pcm)
                elif isinstance(event, ResponseDone):
                    break
            assert heard
        return time.process_time() - start


async def _ours_in(port: int, frames: int) -> float:
    async with _session(port, "sink") as session:
        start = time.process_time()
        for _ in range(frames):
            await session.send(Audio(_SILENCE))
        session.send_nowait(CommitAudio())
        async for event in session.events():
            if isinstance(event, UserTranscript):
                break
        return time.process_time() - start


@asynccontextmanager
async def _official(port: int, model: str) -> AsyncGenerator[AsyncRealtimeConnection]:
    client = AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none")
    async with client.realtime.connect(model=model) as connection:
        await connection.session.update(session={"type": "realtime"})
        yield connection


async def _official_out(port: int, model: str, times: int) -> float:
    async with _official(port, model) as connection:
        start = 0.0
        for answer in range(times + 1):
            if answer == 1:
                start = time.process_time()
            await connection.response.create()
            heard = 0
            async for event in connection:
                if event.type == "response.output_audio.delta":
                    heard += len(b64decode(event.delta))
                elif event.type == "response.done":
                    break
            assert heard
        return time.process_time() - start


async def _official_in(port: int, frames: int) -> float:
    async with _official(port, "sink") as connection:
        start = time.process_time()
        for _ in range(frames):
            await connection.input_audio_buffer.append(audio=b64encode(_SILENCE).decode())
        await connection.input_audio_buffer.commit()
        async for event in connection:
            if event.type == "input_audio_buffer.committed":
                break
        return time.process_time() - start


# --- rows -------------------------------------------------------------------------------------


def _compared(
    what: str,
    count: int,
    clients: dict[str, Callable[[], float]],
    targets: dict[str, str],
) -> list[Row]:
    """Run all clients in turn, round by round; the first is the floor."""
    spent: dict[str, list[float]] = {name: [] for name in clients}
    for _ in range(_ROUNDS):
        for name, run in clients.items():
            spent[name].append(run() / count * 1e6)
    first, *_ = clients
    floor = statistics.median(spent[first])
    return [
        Row(
            f"{what}, {name}",
            spread(costs, "us"),
            f"{floor:.1f} us",
            f"{statistics.median(costs) / floor:.2f} x",
            targets.get(name, ""),
        )
        for name, costs in spent.items()
    ]


def received(port: int) -> list[Row]:
    rows = []
    for ms in (100, 20):
        model, times = f"flood-{ms}-{_MANY}", 2
        rows += _compared(
            f"CPU of a delta of {ms} ms",
            _MANY * times,
            {
                "no library": lambda: asyncio.run(_bare_out(port, model, times)),  # noqa: B023
                "asyncio": lambda: anyio.run(_ours_out, port, model, times),  # noqa: B023
                "trio": lambda: anyio.run(_ours_out, port, model, times, backend="trio"),  # noqa: B023
                "the vendor's client": lambda: asyncio.run(_official_out(port, model, times)),  # noqa: B023
            },
            {"asyncio": "<= 1.15 x", "trio": "<= 1.6 x"},
        )
    return rows


def sent(port: int) -> list[Row]:
    return _compared(
        "CPU of a sent frame of 20 ms",
        _MANY,
        {
            "no library": lambda: asyncio.run(_bare_in(port, _MANY)),
            "asyncio": lambda: anyio.run(_ours_in, port, _MANY),
            "trio": partial(anyio.run, _ours_in, port, _MANY, backend="trio"),
            "the vendor's client": lambda: asyncio.run(_official_in(port, _MANY)),
        },
        {"asyncio": "<= 1.15 x"},
    )


class _Together:
    """Lets talks begin once all are connected, each at its own place in a tenth of a second."""

    def __init__(self, count: int) -> None:
        self._count = self._left = count
        self._all = anyio.Event()

    async def turn(self, number: int) -> None:
        self._left -= 1
        if not self._left:
            self._all.set()
        await self._all.wait()
        await anyio.sleep(0.1 * number / self._count)


async def _bare_late(port: int, count: int) -> list[float]:
    late: list[float] = []
    begin = _Together(count)

    async def one(number: int) -> None:
        bare = _Bare(port, "pace-100-30")
        await bare.open()
        await begin.turn(number)
        bare.send('{"type":"response.create"}')
        while True:
            for wire in await bare.read():
                event = read(wire)
                if isinstance(event, AudioDelta):
                    late.append(_age(event.delta))
                elif isinstance(event, ResponseFinished):
                    await bare.close()
                    return

    async with anyio.create_task_group() as tasks:
        for number in range(count):
            tasks.start_soon(one, number)
    return late


def _age(pcm: bytes) -> float:
    (then,) = struct.unpack_from("<d", pcm)
    return (time.monotonic() - float(then)) * 1000


async def _ours_late(port: int, count: int) -> list[float]:
    late: list[float] = []
    begin = _Together(count)

    async def one(number: int) -> None:
        async with _session(port, "pace-100-30") as session:
            await begin.turn(number)
            session.send_nowait(CreateResponse())
            async for event in session.events():
                if isinstance(event, AudioOutput):
                    late.append(_age(event.pcm))
                elif isinstance(event, ResponseDone):
                    return

    async with anyio.create_task_group() as tasks:
        for number in range(count):
            tasks.start_soon(one, number)
    return late


def latency(port: int) -> list[Row]:
    gc.collect()
    gc.freeze()  # collecting what the vendor's package holds takes longer than a message
    rows = []
    for count in (1, 50, 100):
        floor, ours = anyio.run(_bare_late, port, count), anyio.run(_ours_late, port, count)
        figure, beside = (
            f"p50 {statistics.median(one):.2f}, p99 {statistics.quantiles(one, n=100)[98]:.2f} ms"
            for one in (ours, floor)
        )
        what = f"wire to consumer, {count} sessions"
        rows.append(Row(what, figure, beside, target="p99 <= floor + 1 ms"))
    return rows


async def _connected(port: int) -> float:
    start = time.perf_counter()
    async with _session(port, "idle"):
        return (time.perf_counter() - start) * 1000


async def _bare_connected(port: int) -> float:
    start = time.perf_counter()
    bare = _Bare(port, "idle")
    await bare.open()
    while not any(b"session.updated" in wire for wire in await bare.read()):
        pass
    spent = (time.perf_counter() - start) * 1000
    await bare.close()
    return spent


def connecting(port: int) -> list[Row]:
    ours = [anyio.run(_connected, port) for _ in range(25)]
    floor = [asyncio.run(_bare_connected(port)) for _ in range(25)]
    ratio = statistics.median(ours) / statistics.median(floor)
    return [Row("connect", spread(ours), spread(floor), f"{ratio:.2f} x", "<= 1.2 x")]


async def _idle(port: int, count: int) -> float:
    """Give the KiB that a further idle session holds."""
    async with anyio.create_task_group() as tasks:

        async def hold(task_status: anyio.abc.TaskStatus[None]) -> None:
            async with _session(port, "idle"):
                task_status.started()
                await anyio.sleep_forever()

        for _ in range(20):
            await tasks.start(hold)
        gc.collect()
        before = _rss()
        for _ in range(count):
            await tasks.start(hold)
        gc.collect()
        grown = _rss() - before
        tasks.cancel_scope.cancel()
    return grown / count


def _rss() -> float:
    with open("/proc/self/statm") as file:  # noqa: PTH123 - not a file of ours
        return int(file.read().split()[1]) * resource.getpagesize() / 1024


def memory(port: int) -> list[Row]:
    return [
        Row(
            "memory of an idle session",
            f"{anyio.run(_idle, port, 200):.0f} KiB",
            target="<= 40 KiB",
        )
    ]


async def _stale(port: int) -> tuple[int, int]:
    """Interrupt in the middle of a flood: count what comes of the old answer, and what was cut."""
    async with _session(port, "flood-20-1000") as session:
        session.send_nowait(CreateResponse())
        before, after, cut = 0, 0, False
        async for event in session.events():
            if isinstance(event, AudioOutput):
                before, after = before + (not cut), after + cut
                if before == 100 and not cut:
                    await session.interrupt()
            cut = cut or isinstance(event, Interrupted)
            if isinstance(event, ResponseDone):
                break
        return after, session.statistics.dropped.get("fenced audio samples", 0) // 480


def stale(port: int) -> list[Row]:
    after, fell = anyio.run(_stale, port)
    return [Row("stale chunks after an interruption", f"{after} ({fell} fell)", target="0")]


def main() -> None:
    with _peer() as port:
        show("OpenAI over a loopback WebSocket: received", received(port))
        show("OpenAI over a loopback WebSocket: sent", sent(port))
        show(
            "OpenAI over a loopback WebSocket: sessions",
            [*connecting(port), *memory(port), *stale(port)],
        )
        show("OpenAI over a loopback WebSocket: latency", latency(port))


if __name__ == "__main__":
    main()
