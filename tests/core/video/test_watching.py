"""Watching: at most so many pictures a second, the newest, none twice; and stopped is stopped."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace

from realtime_core import (
    Close,
    Dropped,
    RealtimeException,
    SessionConfig,
    Unavailable,
    Unsupported,
    UpdateSession,
    Video,
    failover,
    mapping,
    open_session,
)
from realtime_core.config import Lanes, Suspend
from realtime_core.frames import Frame
from realtime_core.testing import Injection, every_point, no_leaks, run
from realtime_core.testing.scripted import SCRIPTED, Peer, scripted
from realtime_core.video import Limits, Shot, Watched, film, stills, watch
from realtime_core.video.sources import DEFAULT
from tests.core.video.clips import film_of, flat, shade


class Far:
    """A provider that notes the pictures it gets, and when."""

    def __init__(self) -> None:
        self.seen = list[tuple[bytes, float]]()

    async def script(self, peer: Peer) -> None:
        try:
            while True:
                frame = await peer.next()
                if isinstance(frame, Video):
                    self.seen.append((frame.image, anyio.current_time()))
        except (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
            return

    @property
    def times(self) -> list[float]:
        return [at for _, at in self.seen]


class Scene:
    """A source of the test's: a picture every so often, the newest when asked; it may hang."""

    def __init__(self, *views: int, every: float = 0.0, takes: float = 0.0, hangs: bool = False):
        self.views = views
        self.every = every
        self.takes = takes
        self.hangs = hangs
        self.open_now = False
        self.limits: Limits | None = None
        self.asked = 0
        self._begun = 0.0
        self._given = -1

    @asynccontextmanager
    async def open(self, limits: Limits = DEFAULT) -> AsyncGenerator[AsyncIterator[Shot]]:
        self.limits, self.open_now = limits, True
        self._begun = anyio.current_time()
        try:
            yield self
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.01)
            self.open_now = False

    def __aiter__(self) -> AsyncIterator[Shot]:
        return self

    async def __anext__(self) -> Shot:
        assert self.open_now
        self.asked += 1
        await anyio.sleep(self.takes)
        now = anyio.current_time()
        newest = self._given + 1
        if self.every:
            newest = max(newest, int((now - self._begun) / self.every))
        if newest >= len(self.views) and self._given == len(self.views) - 1:
            if self.hangs:
                await anyio.sleep_forever()
            raise StopAsyncIteration
        newest = min(newest, len(self.views) - 1)
        shot = Shot(b"view %d" % self.views[newest], now, newest - self._given - 1)
        self._given = newest
        return shot


# --- rate, order and counts -----------------------------------------------------------------------


def test_pictures_go_out_at_the_rate_of_the_session(anyio_backend: str) -> None:
    far = Far()

    async def program() -> Watched:
        async with open_session(scripted(far.script), SessionConfig(fps=2.0)) as session:
            counts = await watch(session, Scene(*range(5)))
            await anyio.sleep(3)
            return counts

    counts = run(program, backend=anyio_backend)
    assert counts == Watched(sent=5, bytes=30)
    assert [image for image, _ in far.seen] == [b"view %d" % view for view in range(5)]
    assert far.times == pytest.approx([0.0, 0.5, 1.0, 1.5, 2.0], abs=0.01)


@pytest.mark.parametrize(("fps", "gap"), [(0.5, 2.0), (4.0, 1.0)])
def test_a_rate_of_its_own_is_never_above_that_of_the_session(
    anyio_backend: str, fps: float, gap: float
) -> None:
    far = Far()

    async def program() -> Watched:
        async with open_session(scripted(far.script), SessionConfig(fps=1.0)) as session:
            return await watch(session, Scene(1, 2, 3), fps=fps, max_bytes=900, max_side=64)

    assert run(program, backend=anyio_backend).sent == 3
    assert far.times == pytest.approx([0.0, gap, 2 * gap], abs=0.01)


def test_it_follows_the_rate_of_the_session(anyio_backend: str) -> None:
    far = Far()

    async def program() -> None:
        async with open_session(scripted(far.script), SessionConfig(fps=1.0)) as session:

            def told(counts: Watched) -> None:
                if counts.sent == 2:  # the gap that it begins is still of the old rate
                    session.send_nowait(UpdateSession(replace(session.config, fps=4.0)))

            await watch(session, Scene(1, 2, 3, 4), tell=told)
            await anyio.sleep(3)

    run(program, backend=anyio_backend)
    gaps = [later - sooner for sooner, later in pairwise(far.times)]
    assert gaps == pytest.approx([1.0, 1.0, 0.25], abs=0.01)


def test_the_newest_wins_and_the_rest_is_counted(anyio_backend: str) -> None:
    far, scene = Far(), Scene(*range(31), every=0.1)
    told = list[Watched]()

    async def program() -> Watched:
        async with open_session(scripted(far.script)) as session:
            return await watch(session, scene, max_bytes=900, max_side=64, tell=told.append)

    counts = run(program, backend=anyio_backend)
    assert [image for image, _ in far.seen] == [b"view 0", b"view 10", b"view 20", b"view 30"]
    assert counts == Watched(sent=4, replaced=27, bytes=27)
    assert [one.sent for one in told] == [1, 2, 3, 4]
    assert told[-1] is counts
    assert scene.limits == Limits(900, 64)


def test_what_shows_nothing_new_is_left_out(anyio_backend: str) -> None:
    far = Far()

    async def program() -> Watched:
        async with open_session(scripted(far.script)) as session:
            return await watch(session, Scene(1, 1, 1, 2, 2, 1))

    assert run(program, backend=anyio_backend) == Watched(sent=3, unchanged=3, bytes=18)
    assert far.times == pytest.approx([0.0, 3.0, 5.0], abs=0.01)


def test_noise_is_nothing_new_but_how_much_can_be_said(anyio_backend: str) -> None:
    far = Far()

    async def program(change: int) -> Watched:
        async with open_session(scripted(far.script), SessionConfig(fps=10.0)) as session:
            source = stills(flat(100), flat(106), flat(100))
            return await watch(session, source, change=change)

    assert run(program, 12, backend=anyio_backend).sent == 1
    assert run(program, 3, backend=anyio_backend).sent == 3


def test_a_slow_source_builds_no_queue(anyio_backend: str) -> None:
    far, scene = Far(), Scene(*range(100), every=0.1, takes=2.5)

    async def program() -> Watched:
        async with open_session(scripted(far.script)) as session:
            return await watch(session, scene)

    counts = run(program, backend=anyio_backend)
    assert counts.sent == 4
    assert [image for image, _ in far.seen] == [b"view 25", b"view 50", b"view 75", b"view 99"]
    assert far.times == pytest.approx([2.5, 5.0, 7.5, 10.0], abs=0.1)


def test_a_session_seen_through_functions_is_watched_for_too(anyio_backend: str) -> None:
    far = Far()

    def stamped(frame: Frame) -> tuple[Frame, ...]:
        return (Video(frame.image + b"!"),) if isinstance(frame, Video) else (frame,)

    async def program() -> None:
        async with open_session(scripted(far.script)) as session:
            await watch(mapping.mapped(session, frames=stamped), Scene(1))
            await anyio.sleep(1)

    run(program, backend=anyio_backend)
    assert [image for image, _ in far.seen] == [b"view 1!"]


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("takes", "most"), [(None, 50_000), (40_000, 40_000), (60_000, 50_000)])
def test_pictures_are_no_larger_than_the_provider_takes(
    anyio_backend: str, takes: int | None, most: int
) -> None:
    scene = Scene(1)

    async def program() -> None:
        able = replace(SCRIPTED, image_bytes=takes)
        async with open_session(scripted(Far().script, able)) as session:
            await watch(session, scene, max_bytes=50_000)

    run(program, backend=anyio_backend)
    assert scene.limits is not None
    assert scene.limits.max_bytes == most


def test_a_provider_without_pictures_says_so_before_anything_is_opened(anyio_backend: str) -> None:
    scene = Scene(1)

    async def program() -> None:
        blind = scripted(Far().script, replace(SCRIPTED, images=False))
        async with open_session(blind) as session:
            await watch(session, scene)

    with pytest.raises(RealtimeException, match="takes no pictures") as refused:
        run(program, backend=anyio_backend)
    assert isinstance(refused.value.error, Unsupported)
    assert refused.value.error.field == "images"
    assert refused.value.error.fix
    assert scene.limits is None


@pytest.mark.parametrize("takes", [0.0, 0.7])
def test_where_a_provider_without_pictures_takes_over_it_ends(
    anyio_backend: str, takes: float
) -> None:
    far, scene = Far(), Scene(*range(20), takes=takes)

    async def first(peer: Peer) -> None:
        with anyio.move_on_after(2.2):
            await far.script(peer)
        raise RealtimeException(Unavailable(what="The cable was pulled."))

    async def program() -> Watched:
        blind = scripted(Far().script, replace(SCRIPTED, images=False))
        both = failover(scripted(first), blind)
        async with open_session(both, SessionConfig(fps=1.0)) as session:
            return await watch(session, scene)

    counts = run(program, backend=anyio_backend)
    assert 0 < counts.sent <= len(far.seen) + 1
    assert not scene.open_now


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan")])
def test_a_rate_that_is_none_is_refused_before_anything_is_opened(
    anyio_backend: str, fps: float
) -> None:
    scene = Scene(1)

    async def program() -> None:
        async with open_session(scripted(Far().script)) as session:
            await watch(session, scene, fps=fps)

    with pytest.raises(RealtimeException, match="pictures a second"):
        run(program, backend=anyio_backend)
    assert scene.limits is None


def test_what_a_source_raises_comes_out_alone_and_what_waits_is_taken_back(
    anyio_backend: str,
) -> None:
    class Failing(Scene):
        async def __anext__(self) -> Shot:
            if self.asked:
                raise RealtimeException(Unavailable(what="It fell off the table."))
            return await super().__anext__()

    far, scene = Far(), Failing(1, 2)

    async def program() -> int:
        async with open_session(scripted(far.script)) as session:
            await session.send(Video(b"by hand"))  # so that the next one waits for a second
            await session.send(UpdateSession(replace(session.config, fps=4.0)))
            await anyio.sleep(0.1)
            with pytest.raises(RealtimeException, match="fell off"):
                await watch(session, scene)
            await anyio.sleep(3)
            return session.statistics.lanes["video"].dropped

    assert run(program, backend=anyio_backend) == 1
    assert [image for image, _ in far.seen] == [b"by hand"]
    assert not scene.open_now


# --- stopped is stopped ---------------------------------------------------------------------------


def test_a_picture_that_waits_is_taken_back(anyio_backend: str) -> None:
    far = Far()

    async def program() -> None:
        async with open_session(scripted(far.script)) as session:
            await session.send(Video(b"by hand"))
            with anyio.move_on_after(0.5):
                await watch(session, Scene(1, 2, 3, hangs=True))
            video = session.statistics.lanes["video"]
            assert (video.waiting, video.dropped) == (0, 1)
            await anyio.sleep(3)
            session.send_nowait(Close())
            reports = [e async for e in session.events() if isinstance(e, Dropped)]
            assert [(e.lane, e.reason, e.count) for e in reports] == [("video", "withdrawn", 1)]

    run(program, backend=anyio_backend)
    assert [image for image, _ in far.seen] == [b"by hand"]


def test_the_last_picture_of_a_source_that_ended_is_still_sent(anyio_backend: str) -> None:
    far = Far()

    async def program() -> None:
        async with open_session(scripted(far.script)) as session:
            await session.send(Video(b"by hand"))
            assert (await watch(session, Scene(1))).sent == 1
            await anyio.sleep(3)

    run(program, backend=anyio_backend)
    assert [image for image, _ in far.seen] == [b"by hand", b"view 1"]


@pytest.mark.parametrize("hangs", [False, True])
def test_cancelled_anywhere_nothing_is_sent_any_more_and_nothing_is_left(
    anyio_backend: str, hangs: bool
) -> None:
    async def scene(point: Injection) -> None:
        far, source = Far(), Scene(1, 2, 2, 3, takes=0.05, hangs=hangs)
        told = list[Watched]()
        async with no_leaks(within=1.0):
            async with open_session(scripted(far.script)) as session:
                session.send_nowait(Video(b"by hand"))
                with anyio.CancelScope(deadline=anyio.current_time() + 9) as scope:
                    work = watch(session, source, tell=told.append)
                    await point.drive(work, scope.cancel)
                stopped = scope.cancelled_caught
                assert not source.open_now
                waiting = session.statistics.lanes["video"].waiting
                assert not (waiting and stopped)
                sent, asked = session.statistics.lanes["video"].sent, source.asked
                await anyio.sleep(3)
                assert session.statistics.lanes["video"].sent == sent + waiting
                assert source.asked == asked
            assert len(far.seen) == sent + waiting

    assert every_point(scene, backend=anyio_backend) > 20


def test_cancelling_is_before_sending_at_every_instant(anyio_backend: str) -> None:
    class Strict:
        """A session that takes nothing once its watcher was told to stop."""

        fps = 1.0
        capabilities = SCRIPTED

        def __init__(self) -> None:
            self.stopped = False
            self.withdrawn = 0

        def send_nowait(self, frame: Video) -> None:
            assert not self.stopped

        def withdraw_pictures(self) -> None:
            self.withdrawn += 1

        async def outcome(self) -> None:
            await anyio.sleep_forever()

    async def scene(point: Injection) -> None:
        session, scope = Strict(), anyio.CancelScope()

        def stop() -> None:
            session.stopped = True
            scope.cancel()

        with scope:
            await point.drive(watch(session, Scene(1, 2, 3, takes=0.05)), stop)

    assert every_point(scene, backend=anyio_backend) > 20


def test_it_ends_with_the_session_at_every_instant(anyio_backend: str) -> None:
    async def scene(point: Injection) -> None:
        far, source = Far(), Scene(1, 2, 3, takes=0.05, hangs=True)
        async with no_leaks(within=3.0), open_session(scripted(far.script)) as session:
            with anyio.move_on_after(9):
                work = watch(session, source)
                counts = await point.drive(work, lambda: session.send_nowait(Close()))
                assert 0 <= counts.sent <= 3
            assert not source.open_now

    assert every_point(scene, backend=anyio_backend) > 20


def test_a_lane_that_suspends_refuses_and_the_refusal_comes_out(anyio_backend: str) -> None:
    config = SessionConfig(lanes=Lanes(video=Suspend(cap=1)))

    async def program() -> None:
        async with open_session(scripted(Far().script), config) as session:
            for name in (b"one", b"two"):
                session.send_nowait(Video(name))
            await watch(session, Scene(1, 2))

    with pytest.raises(RealtimeException, match="video lane is full"):
        run(program, backend=anyio_backend)


# --- a real film, end to end ----------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_real_film_is_shown_to_a_session(tmp_path: Path) -> None:
    path = film_of(tmp_path / "a.mp4", *[10] * 10, *[100] * 10, *[200] * 10, fps=10)
    far = Far()
    opening = open_session(scripted(far.script), SessionConfig(fps=5.0))
    async with no_leaks(within=1.0), opening as session:
        counts = await watch(session, film(path), max_side=48)
        await anyio.sleep(0.3)
    assert [shade(image) for image, _ in far.seen] == [10, 100, 200]
    assert counts.sent == 3
    assert counts.sent + counts.unchanged + counts.replaced == 30
    assert counts.bytes == sum(len(image) for image, _ in far.seen)
