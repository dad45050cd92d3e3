"""A call behind the seam: an engine of the tests' own, on virtual time and on both backends."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from msgspec.structs import replace

from realtime_core import (
    PCM_24K,
    AudioFormat,
    InternalFault,
    InvalidRequest,
    Media,
    Plan,
    RealtimeException,
    SessionConfig,
    Unavailable,
    Unsupported,
    negotiate,
)
from realtime_core.faults import fault_of
from realtime_core.link import Link
from realtime_core.testing import no_leaks, run
from realtime_core.testing.scripted import SCRIPTED
from realtime_core.transports import webrtc as module
from realtime_core.transports.webrtc import Call, Handset, answering, webrtc

PLAN = negotiate(SCRIPTED, SessionConfig()).unwrap()
FRAME = 480 * 2


class Switchboard:
    """An engine whose calls are in the test's hands."""

    def __init__(self) -> None:
        self.log = list[object]()
        self.opens = True
        """Whether accepting the answer opens the channel."""
        self.handset: Handset | None = None

    @asynccontextmanager
    async def __call__(
        self, handset: Handset, *, channel: str, video: bool
    ) -> AsyncGenerator[Call]:
        self.handset = handset
        self.log.append((channel, video))
        try:
            yield self
        finally:
            self.log.append("left")

    @property
    def far(self) -> Handset:
        assert self.handset is not None
        return self.handset

    async def offer(self) -> str:
        return "offer"

    async def answer(self, offer: str) -> str:
        return f"answer to {offer}"

    async def accept(self, answer: str) -> None:
        self.log.append(answer)
        if self.opens:
            self.far.opened()

    async def send(self, message: str) -> None:
        self.log.append(message)

    async def show(self, picture: bytes) -> None:
        self.log.append(picture)

    async def speak(self, sound: list[bytes]) -> None:
        """Take frames as a sound track does."""
        while True:
            sound.append(await self.far.voice.due())


async def answer(plan: Plan, offer: str) -> str:
    assert plan is PLAN
    return f"answer to {offer}"


def called(
    test: Callable[[Link, Switchboard], Awaitable[None]], backend: str, *, video: bool = False
) -> list[object]:
    """Run a test on a call that stands; give what the engine was asked for."""
    board = Switchboard()

    async def program() -> None:
        async with no_leaks(), webrtc(answer, engine=board, video=video)(PLAN) as link:
            await test(link, board)

    run(program, backend=backend)
    return board.log


class TestDial:
    def test_an_offer_is_exchanged_for_an_answer(self, anyio_backend: str) -> None:
        async def test(link: Link, board: Switchboard) -> None:
            await link.send_eof()

        log = called(test, anyio_backend, video=True)
        assert log == [("oai-events", True), "answer to offer", "left"]

    def test_the_channel_has_the_name_that_is_asked_for(self, anyio_backend: str) -> None:
        async def program() -> None:
            board = Switchboard()
            async with webrtc(answer, engine=board, channel="events")(PLAN):
                assert board.log[0] == ("events", False)

        run(program, backend=anyio_backend)

    def test_it_waits_for_the_channel(self, anyio_backend: str) -> None:
        async def program() -> None:
            board = Switchboard()
            board.opens = False

            async def later() -> None:
                await anyio.sleep(3)
                board.far.heard(bytes(FRAME), PCM_24K, 0)
                await anyio.sleep(3)
                board.far.opened()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(later)
                async with webrtc(answer, engine=board)(PLAN) as link:
                    assert anyio.current_time() == 6
                    assert await link.receive() == (Media("audio", bytes(FRAME)),)

        run(program, backend=anyio_backend)

    def test_why_it_does_not_stand_is_raised(self, anyio_backend: str) -> None:
        no = RealtimeException(Unavailable(what="No."))

        async def ends(problem: Exception | None) -> None:
            board = Switchboard()
            board.opens = False

            async def answers(plan: Plan, offer: str) -> str:
                board.far.ended(problem)
                return "too late"

            async with webrtc(answers, engine=board)(PLAN):
                pytest.fail("it stands")

        async def program() -> None:
            with pytest.raises(RealtimeException) as refusal:
                await ends(no)
            assert refusal.value is no
            with pytest.raises(RealtimeException, match="before it stood"):
                await ends(None)

        run(program, backend=anyio_backend)

    def test_what_the_exchange_raises_comes_out_as_it_is(self, anyio_backend: str) -> None:
        async def refuses(plan: Plan, offer: str) -> str:
            raise RealtimeException(InvalidRequest(what="No such model."))

        async def program() -> None:
            board = Switchboard()
            with pytest.raises(RealtimeException, match="No such model"):
                async with no_leaks(), webrtc(refuses, engine=board)(PLAN):
                    pytest.fail("it stands")
            assert board.log[-1] == "left"

        run(program, backend=anyio_backend)

    def test_dialling_can_be_given_up(self, anyio_backend: str) -> None:
        async def never(plan: Plan, offer: str) -> str:
            await anyio.sleep_forever()
            return ""

        async def program() -> None:
            for exchange in (never, answer):
                board = Switchboard()
                board.opens = False
                with anyio.move_on_after(5) as patience:
                    async with no_leaks(), webrtc(exchange, engine=board)(PLAN):
                        pytest.fail("it stands")
                assert patience.cancelled_caught
                assert board.log[-1] == "left"

        run(program, backend=anyio_backend)

    @pytest.mark.parametrize("field", ["input_format", "output_format"])
    @pytest.mark.parametrize("format", [AudioFormat(encoding="pcmu"), AudioFormat(channels=2)])
    def test_tracks_are_pcm16_mono(
        self, field: str, format: AudioFormat, anyio_backend: str
    ) -> None:
        async def program() -> None:
            with pytest.raises(RealtimeException) as refusal:
                async with webrtc(answer, engine=Switchboard())(replace(PLAN, **{field: format})):
                    pytest.fail("it stands")
            assert isinstance(refusal.value.error, Unsupported)

        run(program, backend=anyio_backend)


class TestAnswering:
    def test_an_offer_is_taken(self, anyio_backend: str) -> None:
        async def program() -> None:
            board = Switchboard()
            async with no_leaks(), answering("offer", PCM_24K, engine=board) as far:
                assert far.sdp == "answer to offer"
                board.far.opened()
                await far.handset.standing()
                await far.link.send(("hello",))
                board.far.said("hello yourself")
                board.far.heard(bytes(FRAME), PCM_24K, 0)
                assert await far.link.receive() == ("hello yourself", Media("audio", bytes(FRAME)))
            assert board.log == [("oai-events", False), "hello", "left"]

        run(program, backend=anyio_backend)

    def test_its_sound_is_pcm(self, anyio_backend: str) -> None:
        async def program() -> None:
            with pytest.raises(RealtimeException) as refusal:
                async with answering("offer", AudioFormat(8_000, "pcmu"), engine=Switchboard()):
                    pytest.fail("it stands")
            assert isinstance(refusal.value.error, Unsupported)

        run(program, backend=anyio_backend)


class TestSending:
    def test_messages_are_text_and_pictures_are_shown(self, anyio_backend: str) -> None:
        async def test(link: Link, board: Switchboard) -> None:
            await link.send(("one", b"zw\xc3\xb6lf", Media("video", b"\xff\xd8")))
            await link.send(("three",))

        log = called(test, anyio_backend)
        assert log[2:-1] == ["one", "zwölf", b"\xff\xd8", "three"]

    def test_sound_goes_out_in_real_time(self, anyio_backend: str) -> None:
        spoken = bytes(range(1, 241)) * 4 * 100

        async def test(link: Link, board: Switchboard) -> None:
            sound = list[bytes]()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(board.speak, sound)
                await link.send((Media("audio", spoken[:FRAME]), Media("audio", spoken[FRAME:])))
                assert anyio.current_time() == pytest.approx(2.0 - 0.4, abs=0.03)
                await anyio.sleep(1)
                tasks.cancel_scope.cancel()
            assert b"".join(sound).rstrip(b"\0") == spoken
            assert len(sound) == pytest.approx(130, abs=2)

        called(test, anyio_backend)

    def test_messages_overtake_sound_but_not_a_mark(self, anyio_backend: str) -> None:
        async def test(link: Link, board: Switchboard) -> None:
            async with anyio.create_task_group() as tasks:
                await link.send((Media("audio", b"\1" * 10 * FRAME), "cancel"))
                assert board.log[2:] == ["cancel"]
                tasks.start_soon(board.speak, [])
                await link.send((Media("audio", b""), "commit"))
                assert anyio.current_time() == pytest.approx(9 * 0.02)
                assert board.log[2:] == ["cancel", "commit"]
                tasks.cancel_scope.cancel()

        called(test, anyio_backend)

    def test_a_call_that_ends_keeps_no_sender(self, anyio_backend: str) -> None:
        async def test(link: Link, board: Switchboard) -> None:
            async def ends() -> None:
                await anyio.sleep(1)
                board.far.ended()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ends)
                with pytest.raises(anyio.BrokenResourceError):
                    await link.send((Media("audio", bytes(48_000)),))
            assert anyio.current_time() == 1

        called(test, anyio_backend)


class TestReceiving:
    def test_a_read_gives_all_there_is_in_order(self, anyio_backend: str) -> None:
        async def test(link: Link, board: Switchboard) -> None:
            board.far.said("one")
            board.far.heard(b"\1\0" * 480, PCM_24K, 0)
            board.far.said(b"\2")
            board.far.heard(b"\3\0" * 480, PCM_24K, 960)
            assert await link.receive() == (
                "one",
                Media("audio", b"\1\0" * 480),
                b"\2",
                Media("audio", bytes(FRAME) + b"\3\0" * 480, at=480),
            )

        called(test, anyio_backend)

    def test_a_read_waits_and_a_repeat_wakes_nobody(self, anyio_backend: str) -> None:
        async def test(link: Link, board: Switchboard) -> None:
            board.far.heard(bytes(FRAME), PCM_24K, 0)
            await link.receive()

            async def later() -> None:
                await anyio.sleep(1)
                board.far.heard(bytes(FRAME), PCM_24K, 0)
                await anyio.sleep(1)
                board.far.said("late")

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(later)
                assert await link.receive() == ("late",)
            assert anyio.current_time() == 2

        called(test, anyio_backend)

    def test_unread_the_newest_sound_and_every_message_wait(self, anyio_backend: str) -> None:
        async def test(link: Link, board: Switchboard) -> None:
            for number in range(50 * 100):
                board.far.heard(bytes(FRAME), PCM_24K, number * 480)
                if number % 50 == 0:
                    board.far.said(f"{number}")
            wires = await link.receive()
            said = [wire for wire in wires if isinstance(wire, str)]
            sound = [wire for wire in wires if isinstance(wire, Media)]
            assert said == [f"{number}" for number in range(0, 50 * 100, 50)]
            assert 29 * 50 <= len(sound) <= 30 * 50
            assert [one.at for one in sound] == list(range(sound[0].at, 50 * 100 * 480, 480))
            board.far.heard(bytes(FRAME), PCM_24K, 50 * 100 * 480)
            assert await link.receive() == (Media("audio", bytes(FRAME), at=50 * 100 * 480),)

        called(test, anyio_backend)

    def test_too_many_messages_unread_end_the_call(self, anyio_backend: str) -> None:
        async def test(link: Link, board: Switchboard) -> None:
            mebibyte = "x" * 1024 * 1024
            for _ in range(20):
                board.far.said(mebibyte)
            assert await link.receive() == (mebibyte,) * 16
            board.far.said("more")
            with pytest.raises(RealtimeException, match="16 MiB") as full:
                await link.receive()
            assert isinstance(full.value.error, Unavailable)

        called(test, anyio_backend)

    def test_the_end_comes_behind_what_was_said(self, anyio_backend: str) -> None:
        async def test(link: Link, board: Switchboard) -> None:
            board.far.said("last")
            board.far.ended()
            board.far.ended(ValueError("only the first end counts"))
            assert await link.receive() == ("last",)
            for _ in range(2):
                with pytest.raises(anyio.EndOfStream):
                    await link.receive()

        called(test, anyio_backend)

    def test_a_defect_of_the_engine_comes_out(self, anyio_backend: str) -> None:
        async def test(link: Link, board: Switchboard) -> None:
            board.far.ended(ValueError("a defect"))
            with pytest.raises(ValueError, match="a defect") as defect:
                await link.receive()
            assert isinstance(fault_of(defect.value), InternalFault)

        called(test, anyio_backend)

    def test_a_closed_link_gives_nothing(self, anyio_backend: str) -> None:
        async def test(link: Link, board: Switchboard) -> None:
            async def closes() -> None:
                await anyio.sleep(1)
                await link.aclose()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(closes)
                with pytest.raises(anyio.EndOfStream):
                    await link.receive()

        called(test, anyio_backend)


class TestEngine:
    def test_on_trio_there_is_none(self) -> None:
        async def program() -> None:
            with pytest.raises(RealtimeException) as refusal:
                async with webrtc(answer)(PLAN):
                    pytest.fail("it stands")
            error = refusal.value.error
            assert isinstance(error, Unsupported)
            assert all((error.what, error.cause, error.fix))

        run(program, backend="trio")

    def test_without_aiortc_the_package_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, f"{module.__package__}._aiortc", None)

        async def program() -> None:
            with pytest.raises(RealtimeException, match=r"realtime-core\[webrtc\]") as refusal:
                async with webrtc(answer)(PLAN):
                    pytest.fail("it stands")
            assert isinstance(refusal.value.error, InvalidRequest)

        run(program, backend="asyncio")
