"""What a session costs over a real socket: against no library at all, and another client.

The far end is a process of its own. CPU is this process's; figures compare within one run.
"""

from __future__ import annotations

import asyncio
import gc
import ssl
import statistics
import struct
import subprocess
import sys
import time
import tracemalloc
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import partial
from typing import NamedTuple

import anyio
from websockets.client import ClientProtocol
from websockets.frames import Frame as Piece
from websockets.frames import Opcode
from websockets.uri import parse_uri

from benchmarks.table import Row, spread
from realtime_core import (
    PCM_24K,
    Audio,
    AudioFormat,
    AudioOutput,
    CommitAudio,
    CreateResponse,
    Frame,
    Interrupted,
    RealtimeSession,
    ResponseDone,
    UserTranscript,
)

__all__ = (
    "MANY",
    "Bare",
    "Far",
    "Session",
    "Tongue",
    "bare_in",
    "bare_out",
    "compared",
    "connecting",
    "latency",
    "memory",
    "peer",
    "received",
    "sent",
    "stale",
)

MANY = 1_500
"""Messages of one measurement."""
_ROUNDS = 7

Session = Callable[[str], AbstractAsyncContextManager[RealtimeSession[Frame]]]
"""Opens a session of the library with a model of the far end."""


class Tongue(NamedTuple):
    """A protocol, as it is spoken without a library."""

    url: Callable[[int, str], str]
    """By port and model."""
    hello: Callable[[str], bytes]
    """The first message, by model."""
    welcome: bytes
    """What the answer to it has in it."""
    ask: bytes
    """Asks for an answer."""
    end: bytes
    """Says that no more sound follows."""
    frame: Callable[[bytes], bytes]
    """Writes sound."""
    read: Callable[[bytes], bytes | None]
    """Reads a message: its sound, if any; None where it ends what was asked for."""
    input: AudioFormat = PCM_24K
    asked: Frame = CreateResponse()
    """What asks for an answer in a session of the library."""
    ended: Frame = CommitAudio()
    """What says there that no more sound follows, and has something of the user told."""

    @property
    def silence(self) -> bytes:
        """20 ms of it."""
        return bytes(self.input.rate // 50 * 2)


@contextmanager
def peer(module: str, *arguments: str) -> Iterator[int]:
    """Run a far end, and give its port."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


class Bare(ABC):
    """No library: a protocol over a socket, one read a batch."""

    def __init__(self, far: Far, model: str) -> None:
        self.far = far
        self.model = model

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(
            "127.0.0.1", self.far.port, limit=2**22, ssl=self.far.ssl
        )
        await self.begin()
        self.send(self.far.tongue.hello(self.model))
        while not any(self.far.tongue.welcome in wire for wire in await self.read()):
            pass

    @abstractmethod
    async def begin(self) -> None:
        """Say what comes before the first message."""

    @abstractmethod
    def send(self, data: bytes) -> None:
        """Send a message."""

    @abstractmethod
    def heard(self, data: bytes) -> list[bytes]:
        """Give the messages that these bytes complete."""

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    async def read(self) -> list[bytes]:
        data = await self._reader.read(65_536)
        assert data, "the far end hung up"
        return self.heard(data)

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


class WebSocket(Bare):
    """The sans-I/O protocol of `websockets`."""

    async def begin(self) -> None:
        url = self.far.tongue.url(self.far.port, self.model)
        self._protocol = ClientProtocol(parse_uri(url), max_size=None)
        self._protocol.send_request(self._protocol.connect())
        self._flush()
        await self.read()

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            self.write(data)

    def send(self, data: bytes) -> None:
        self._protocol.send_text(data)
        self._flush()

    def heard(self, data: bytes) -> list[bytes]:
        self._protocol.receive_data(data)
        events = self._protocol.events_received()
        return [
            bytes(event.data)
            for event in events
            if isinstance(event, Piece) and event.opcode in {Opcode.TEXT, Opcode.BINARY}
        ]


class Far(NamedTuple):
    """Where the far end is, and how it is spoken to without a library."""

    tongue: Tongue
    port: int
    ssl: ssl.SSLContext | None = None
    bare: type[Bare] = WebSocket


@asynccontextmanager
async def _bare(far: Far, model: str) -> AsyncGenerator[Bare]:
    bare = far.bare(far, model)
    await bare.open()
    yield bare
    await bare.close()


# --- sound that comes, and sound that goes ----------------------------------------------------


async def bare_out(far: Far, model: str, times: int) -> float:
    read = far.tongue.read
    async with _bare(far, model) as bare:
        start = 0.0
        for answer in range(times + 1):
            if answer == 1:
                start = time.process_time()
            bare.send(far.tongue.ask)
            heard, over = 0, False
            while not over:
                for wire in await bare.read():
                    pcm = read(wire)
                    if pcm is None:
                        over = True
                    else:
                        heard += len(pcm)
            assert heard
        return time.process_time() - start


async def bare_in(far: Far, sound: bytes, frames: int) -> float:
    write = far.tongue.frame
    async with _bare(far, "sink") as bare:
        start = time.process_time()
        for number in range(frames):
            bare.send(write(sound))
            if number % 16 == 0:
                await asyncio.sleep(0)
        bare.send(far.tongue.end)
        while not any(far.tongue.read(wire) is None for wire in await bare.read()):
            pass
        return time.process_time() - start


async def _ours_out(connect: Session, asked: Frame, model: str, times: int) -> float:
    async with connect(model) as session:
        events, start = session.events(), 0.0
        for answer in range(times + 1):
            if answer == 1:
                start = time.process_time()
            session.send_nowait(asked)
            heard = 0
            async for event in events:
                if isinstance(event, AudioOutput):
                    heard += len(event.pcm)
                elif isinstance(event, ResponseDone):
                    break
            assert heard
        return time.process_time() - start


async def _ours_in(connect: Session, tongue: Tongue, sound: bytes, frames: int) -> float:
    async with connect("sink") as session:
        start = time.process_time()
        for _ in range(frames):
            await session.send(Audio(sound, tongue.input))
        session.send_nowait(tongue.ended)
        async for event in session.events():
            if isinstance(event, UserTranscript):
                break
        return time.process_time() - start


def compared(
    what: str, count: int, clients: Mapping[str, Callable[[], float]], targets: dict[str, str]
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


def received(
    far: Far, connect: Session, others: Mapping[str, Callable[[str, int], float]]
) -> list[Row]:
    """Compare what a message with sound costs; `others` are given a model and a number of times."""
    rows, asked = list[Row](), far.tongue.asked
    for ms in (100, 20):
        model, times = f"flood-{ms}-{MANY}", 2
        clients: dict[str, Callable[[], float]] = {
            "no library": lambda: asyncio.run(bare_out(far, model, times)),  # noqa: B023
            "asyncio": partial(anyio.run, _ours_out, connect, asked, model, times),
            "trio": partial(anyio.run, _ours_out, connect, asked, model, times, backend="trio"),
            **{name: partial(run, model, times) for name, run in others.items()},
        }
        targets = {"asyncio": "<= 1.15 x", "trio": "<= 1.6 x"}
        rows += compared(f"CPU of a message of {ms} ms", MANY * times, clients, targets)
    return rows


def sent(
    far: Far, connect: Session, others: Mapping[str, Callable[[int], float]], ms: int = 20
) -> list[Row]:
    """Compare what sending a frame costs; `others` are given a number of frames."""
    tongue, sound = far.tongue, far.tongue.silence * (ms // 20)
    return compared(
        f"CPU of a sent frame of {ms} ms",
        MANY,
        {
            "no library": lambda: asyncio.run(bare_in(far, sound, MANY)),
            "asyncio": partial(anyio.run, _ours_in, connect, tongue, sound, MANY),
            "trio": partial(anyio.run, _ours_in, connect, tongue, sound, MANY, backend="trio"),
            **{name: partial(run, MANY) for name, run in others.items()},
        },
        {"asyncio": "<= 1.15 x"},
    )


# --- latency ----------------------------------------------------------------------------------


class _Together:
    """Lets talks begin once all are connected, and end once all are over.

    Each begins at its own place in a tenth of a second; what connecting and closing cost the others
    is not measured here.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._connected, self._over = _Gate(count), _Gate(count)

    async def turn(self, number: int) -> None:
        await self._connected.all()
        await anyio.sleep(0.1 * number / self._count)

    async def end(self) -> None:
        await self._over.all()


class _Gate:
    def __init__(self, count: int) -> None:
        self._left = count
        self._open = anyio.Event()

    async def all(self) -> None:
        """Wait until so many wait here."""
        self._left -= 1
        if not self._left:
            self._open.set()
        await self._open.wait()


def _age(pcm: bytes) -> float:
    (then,) = struct.unpack_from("<d", pcm)
    return (time.monotonic() - float(then)) * 1000


async def _bare_late(far: Far, count: int) -> list[float]:
    late: list[float] = []
    together = _Together(count)

    async def one(number: int) -> None:
        async with _bare(far, "pace-100-30") as bare:
            await together.turn(number)
            bare.send(far.tongue.ask)
            over = False
            while not over:
                for wire in await bare.read():
                    pcm = far.tongue.read(wire)
                    over = over or pcm is None
                    if pcm:
                        late.append(_age(pcm))
            await together.end()

    async with anyio.create_task_group() as tasks:
        for number in range(count):
            tasks.start_soon(one, number)
    return late


async def _ours_late(connect: Session, asked: Frame, count: int) -> list[float]:
    late: list[float] = []
    together = _Together(count)

    async def one(number: int) -> None:
        async with connect("pace-100-30") as session:
            await together.turn(number)
            session.send_nowait(asked)
            async for event in session.events():
                if isinstance(event, AudioOutput):
                    late.append(_age(event.pcm))
                elif isinstance(event, ResponseDone):
                    break
            await together.end()

    async with anyio.create_task_group() as tasks:
        for number in range(count):
            tasks.start_soon(one, number)
    return late


def latency(far: Far, connect: Session) -> list[Row]:
    """Compare how late sound comes at the pace of speech, with one session and with many."""
    gc.collect()
    gc.freeze()  # collecting what the vendor's package holds takes longer than a message
    rows: list[Row] = []
    for count in (1, 50, 100):
        floor = anyio.run(_bare_late, far, count)
        ours = anyio.run(_ours_late, connect, far.tongue.asked, count)
        figure, beside = (
            f"p50 {statistics.median(one):.2f}, p99 {statistics.quantiles(one, n=100)[98]:.2f} ms"
            for one in (ours, floor)
        )
        what = f"wire to consumer, {count} sessions"
        rows.append(Row(what, figure, beside, target="p99 <= floor + 1 ms"))
    return rows


# --- sessions ---------------------------------------------------------------------------------


async def _connected(connect: Session) -> float:
    start = time.perf_counter()
    async with connect("idle"):
        return (time.perf_counter() - start) * 1e6


async def _bare_connected(far: Far) -> float:
    start = time.perf_counter()
    async with _bare(far, "idle"):
        return (time.perf_counter() - start) * 1e6


def connecting(far: Far, connect: Session) -> list[Row]:
    """Compare how long it takes until a session may be used."""
    pairs = [(anyio.run(_connected, connect), asyncio.run(_bare_connected(far))) for _ in range(25)]
    ours, floor = zip(*pairs, strict=True)
    ratio = statistics.median(ours) / statistics.median(floor)
    return [Row("connect", spread(ours, "us"), spread(floor, "us"), f"{ratio:.2f} x", "<= 1.2 x")]


async def _idle(connect: Callable[[str], AbstractAsyncContextManager[object]], count: int) -> float:
    """Give the KiB that a further idle session holds, beyond TLS, which Python does not count."""
    async with anyio.create_task_group() as tasks:

        async def hold(task_status: anyio.abc.TaskStatus[None]) -> None:
            async with connect("idle"):
                task_status.started()
                await anyio.sleep_forever()

        for _ in range(20):
            await tasks.start(hold)
        gc.collect()
        tracemalloc.start()  # a process grows by less where something was freed before
        for _ in range(count):
            await tasks.start(hold)
        gc.collect()
        grown, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        tasks.cancel_scope.cancel()
    return grown / count / 1024


def memory(connect: Session, far: Far | None = None) -> list[Row]:
    """Tell what an idle session holds, and what no library at all does at this far end."""
    kib = anyio.run(_idle, connect, 100)
    floor = f"{anyio.run(_idle, partial(_bare, far), 100):.0f} KiB" if far is not None else ""
    return [Row("memory of an idle session", f"{kib:.0f} KiB", floor, target="<= 40 KiB")]


async def _stale(connect: Session, asked: Frame) -> tuple[int, int]:
    """Interrupt in the middle of a flood: count what comes of the old answer, and what was cut."""
    async with connect("flood-20-1000") as session:
        session.send_nowait(asked)
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


def stale(connect: Session, asked: Frame = CreateResponse()) -> list[Row]:  # noqa: B008
    """Tell how much of an answer is heard behind its end."""
    after, fell = anyio.run(_stale, connect, asked)
    return [Row("stale chunks after an interruption", f"{after} ({fell} fell)", target="0")]
