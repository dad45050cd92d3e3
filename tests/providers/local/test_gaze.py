"""When pictures are looked at, on virtual time."""

from __future__ import annotations

import anyio
import pytest
from anyio.abc import TaskGroup

from realtime_core.testing import run
from realtime_local.complaint import PartFailed
from realtime_local.gaze import Gaze
from tests.providers.local.scripted_parts import FakeEyes


class Seeing:
    """A gaze, and what came of it."""

    def __init__(self, tasks: TaskGroup) -> None:
        self.eyes = FakeEyes()
        self.busy = False
        self.notes = list[tuple[float, str]]()
        self.failures = list[PartFailed]()
        self.gaze = Gaze(
            self.eyes,
            tasks,
            busy=lambda: self.busy,
            noted=lambda note: self.notes.append((anyio.current_time() - self.began, note)),
            failed=self.failures.append,
        )
        self.began = anyio.current_time()


def test_a_camera_is_looked_at_once_a_second_and_the_newest_picture_counts(
    anyio_backend: str,
) -> None:
    async def play() -> None:
        async with anyio.create_task_group() as tasks:
            seeing = Seeing(tasks)
            for number in range(60):
                seeing.gaze.show(b"%d" % number)
                await anyio.sleep(3 / 64)
            await anyio.sleep(3)
        assert [at for at, _ in seeing.notes] == [0.0, 1.0, 2.0, 3.0]
        assert seeing.eyes.seen == [b"0", b"21", b"42", b"59"]

    run(play, backend=anyio_backend)


def test_the_same_picture_is_looked_at_once(anyio_backend: str) -> None:
    async def play() -> None:
        async with anyio.create_task_group() as tasks:
            seeing = Seeing(tasks)
            for _ in range(5):
                seeing.gaze.show(b"A")
                await anyio.sleep(2)
            await seeing.gaze.settle()
        assert seeing.eyes.seen == [b"A"]

    run(play, backend=anyio_backend)


def test_nothing_is_looked_at_while_an_answer_is_due(anyio_backend: str) -> None:
    async def play() -> None:
        async with anyio.create_task_group() as tasks:
            seeing = Seeing(tasks)
            seeing.busy = True
            seeing.gaze.show(b"A")
            await anyio.sleep(5)
            assert seeing.eyes.seen == []
            seeing.busy = False
            seeing.gaze.nudge()
            await anyio.sleep(0.5)
            assert seeing.eyes.seen == [b"A"]
            seeing.gaze.show(b"B")  # due in half a second, and then there is no time for it
            seeing.busy = True
            await anyio.sleep(5)
            assert seeing.eyes.seen == [b"A"]
            seeing.busy = False
            seeing.gaze.nudge()
        assert seeing.eyes.seen == [b"A", b"B"]

    run(play, backend=anyio_backend)


@pytest.mark.parametrize("busy", [False, True])
def test_who_waits_for_a_picture_gets_it_at_once(anyio_backend: str, busy: bool) -> None:
    async def play() -> None:
        async with anyio.create_task_group() as tasks:
            seeing = Seeing(tasks)
            await seeing.gaze.settle()
            seeing.gaze.show(b"A")
            await seeing.gaze.settle()
            seeing.busy = busy
            seeing.gaze.show(b"B")
            await anyio.sleep(1 / 64)
            await seeing.gaze.settle()
            assert [note for _, note in seeing.notes] == ["text in view: A", "text in view: B"]
            assert anyio.current_time() - seeing.began < 0.1

    run(play, backend=anyio_backend)


def test_a_camera_that_never_rests_keeps_nobody_waiting(anyio_backend: str) -> None:
    async def play() -> None:
        async with anyio.create_task_group() as tasks:
            seeing = Seeing(tasks)

            async def film() -> None:
                for number in range(1_000):
                    seeing.gaze.show(b"%d" % number)
                    await anyio.sleep(1 / 64)

            tasks.start_soon(film)
            await anyio.sleep(1.5)
            await seeing.gaze.settle()
            assert anyio.current_time() - seeing.began < 1.6
            tasks.cancel_scope.cancel()

    run(play, backend=anyio_backend)


def test_a_picture_that_came_during_a_look_is_looked_at_next(anyio_backend: str) -> None:
    async def play() -> None:
        async with anyio.create_task_group() as tasks:
            seeing = Seeing(tasks)
            seeing.eyes.gate.shut()
            seeing.gaze.show(b"A")
            await anyio.sleep(0.5)
            seeing.gaze.show(b"B")
            seeing.gaze.show(b"A")
            seeing.eyes.gate.open()
            await seeing.gaze.settle()
            assert seeing.eyes.seen == [b"A"], "back to what is being looked at"
            seeing.gaze.show(b"B")
            await seeing.gaze.settle()
            assert seeing.eyes.seen == [b"A", b"B"]

    run(play, backend=anyio_backend)


def test_eyes_that_fail_are_told_and_tried_again(anyio_backend: str) -> None:
    async def play() -> None:
        async with anyio.create_task_group() as tasks:
            seeing = Seeing(tasks)
            seeing.eyes.failure = OSError("blind")
            seeing.gaze.show(b"A")
            await seeing.gaze.settle()
            assert [one.part for one in seeing.failures] == ["eyes"]
            seeing.eyes.failure = None
            seeing.gaze.show(b"B")
            await seeing.gaze.settle()
            assert [note for _, note in seeing.notes] == ["text in view: B"]

    run(play, backend=anyio_backend)
