"""What a picture costs: as JPEG beside PNG, and for how long the event loop is held meanwhile.

The floor of the first table is the same picture as a PNG. The floor of the second is the same loop
in the seconds between, when nothing is shown: how late a timer of 1 ms comes on this machine now.
"""

from __future__ import annotations

import io
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import anyio
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from benchmarks.table import Row, median_ns, show
from realtime_core import SessionConfig, Video, open_session
from realtime_core.testing.scripted import Peer, scripted
from realtime_core.video import Source, film, live, to_jpeg, watch

SIZE = (1280, 720)
TURNS = 4
TICK = 0.001

Pixels = npt.NDArray[np.uint8]


def camera(number: int = 0) -> Pixels:
    """Soft shapes with the noise of a sensor."""
    y, x = np.mgrid[0 : SIZE[1], 0 : SIZE[0]]
    x = (x + 300 * number) % SIZE[0]
    soft = np.stack([x / 5, y / 3, (x + y) / 8 + 40 * np.sin(x / 90)], -1)
    noise = np.random.default_rng(number).normal(0, 5, soft.shape)
    return np.clip(soft + noise, 0, 255).astype(np.uint8)


def screen(number: int = 0) -> Pixels:
    """A page of small print, with a bar somewhere on it."""
    page = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(page)
    for line in range(0, SIZE[1], 14):
        draw.text(
            (20, line), f"{line:5}  the quick brown fox jumps over the lazy dog " * 4, "black"
        )
    draw.rectangle((300 * number, 100, 300 * number + 200, 600), "navy")
    return np.asarray(page)


def png(pixels: Pixels) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def sizes() -> list[Row]:
    rows = list[Row]()
    for what, pixels in (("camera", camera()), ("screen", screen())):
        jpeg_ms = median_ns(partial(to_jpeg, pixels), 10) / 1e6
        png_ms = median_ns(partial(png, pixels), 1, rounds=5) / 1e6
        jpeg_kb, png_kb = len(to_jpeg(pixels)) / 1000, len(png(pixels)) / 1000
        rows += [
            Row(
                f"{what} picture, 720p, time",
                f"{jpeg_ms:.1f} ms",
                f"{png_ms:.1f} ms",
                f"{jpeg_ms / png_ms:.3f} x",
            ),
            Row(
                f"{what} picture, 720p, size",
                f"{jpeg_kb:.0f} kB",
                f"{png_kb:.0f} kB",
                f"{jpeg_kb / png_kb:.3f} x",
                "<= 250 kB",
            ),
        ]
    return rows


class Lateness:
    """How late a timer came, in milliseconds: the longest of each second."""

    def __init__(self) -> None:
        self.longest = list[float]()

    async def look(self) -> None:
        """Look at the loop for a second."""
        ends, longest = time.perf_counter() + 1, 0.0
        while (due := time.perf_counter() + TICK) < ends:
            await anyio.sleep(TICK)
            longest = max(longest, time.perf_counter() - due)
        self.longest.append(longest * 1000)

    @property
    def usual(self) -> float:
        return statistics.median(self.longest)

    def __str__(self) -> str:
        return f"{self.usual:.1f} ms, worst {max(self.longest):.1f} ms"


async def held(source: Source, fps: float) -> tuple[Lateness, Lateness, int]:
    """Look at the loop while a source is shown to a session, and while it is not, by turns."""
    pictures = 0

    async def script(peer: Peer) -> None:
        nonlocal pictures
        while True:
            pictures += isinstance(await peer.next(), Video)

    busy, idle = Lateness(), Lateness()
    async with open_session(scripted(script), SessionConfig(fps=fps)) as session:
        for _ in range(TURNS):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(watch, session, source)
                await anyio.sleep(1 / 2)  # a process takes a moment to start
                await busy.look()
                await busy.look()
                tasks.cancel_scope.cancel()
            await idle.look()
            await idle.look()
    return busy, idle, pictures


def arrays() -> Iterator[Pixels]:
    return itertools.cycle([screen(number) for number in range(4)])


def clip(path: Path) -> Path:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.bit_rate = 4_000_000
        views = [av.VideoFrame.from_ndarray(camera(number), format="rgb24") for number in range(8)]
        for number in range(30 * 4):
            view = views[number // 15 % len(views)]
            view.pts = None
            container.mux(stream.encode(view))
        container.mux(stream.encode())
    return path


def loop(folder: Path) -> list[Row]:
    path, rows = clip(folder / "clip.mp4"), list[Row]()
    for backend in ("asyncio", "trio"):
        for fps in (1.0, 5.0):
            for what, source in (
                ("arrays of a screen, encoded in a thread", live(arrays())),
                ("a film, in a process of its own", film(path)),
            ):
                busy, idle, count = anyio.run(held, source, fps, backend=backend)
                rows.append(
                    Row(
                        f"{what}, {fps:g} fps, {backend}, {count} pictures",
                        f"{busy}",
                        f"{idle}",
                        f"{busy.usual / idle.usual:.1f} x",
                        "never above 5 ms",
                    )
                )
    return rows


def main() -> None:
    show("A picture of 1280 x 720, JPEG (floor: the same as PNG)", sizes())
    with tempfile.TemporaryDirectory() as folder:
        show("The longest the loop was held in a second (floor: an idle loop)", loop(Path(folder)))


if __name__ == "__main__":
    main()
