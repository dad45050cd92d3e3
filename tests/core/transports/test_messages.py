"""A WebSocket in use, over pipes in virtual time: batches, pings, ends, cancellation, leaving."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest
from websockets.frames import Opcode

from realtime_core.codec import Media
from realtime_core.errors import (
    InvalidRequest,
    ProtocolViolation,
    RealtimeError,
    RealtimeException,
    Unavailable,
)
from realtime_core.testing import run
from realtime_core.transports._messages import WebSocket

from .pipes import Far, opened

Scene = Callable[[WebSocket, Far], Awaitable[None]]


def played(scene: Scene, backend: str, **named: object) -> None:
    async def program() -> None:
        async with opened(**named) as (ours, far):  # type: ignore[arg-type]
            await scene(ours, far)

    run(program, backend=backend)


async def end_of(ours: WebSocket) -> RealtimeError:
    with pytest.raises(RealtimeException) as caught:
        await ours.receive()
    return caught.value.error


# --- in ---------------------------------------------------------------------------------------


def test_all_that_one_read_brought_is_one_batch(anyio_backend: str) -> None:
    async def scene(ours: WebSocket, far: Far) -> None:
        await far.say(b"a", b"b", "\u00fc".encode())
        await far.say(b"c")
        assert await ours.receive() == (b"a", b"b", b"\xc3\xbc")
        assert await ours.receive() == (b"c",)

    played(scene, anyio_backend)


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_message_may_come_in_pieces(anyio_backend: str, cut: int) -> None:
    async def scene(ours: WebSocket, far: Far) -> None:
        data = far.framed(b"first", b"then")
        await far.pipe.send(data[:cut])
        await far.pipe.send(data[cut:])
        got = await ours.receive()
        if len(got) < 2:
            got += await ours.receive()
        assert got == (b"first", b"then")

    played(scene, anyio_backend)


@pytest.mark.parametrize("kind", ["text", "binary"])
def test_fragments_are_joined(anyio_backend: str, kind: str) -> None:
    async def scene(ours: WebSocket, far: Far) -> None:
        umlaut = "\u00fc".encode()
        await far.do(f"send_{kind}", b"on" + umlaut[:1], fin=False)
        await far.do("send_ping", b"between")
        await far.do("send_continuation", b"", fin=False)
        await far.do("send_continuation", umlaut[1:] + b"e", fin=True)
        await far.say(b"next")
        assert await ours.receive() == (b"on\xc3\xbce",)
        assert await ours.receive() == (b"next",)

    played(scene, anyio_backend)


def test_bytes_are_bytes_whatever_they_are(anyio_backend: str) -> None:
    async def scene(ours: WebSocket, far: Far) -> None:
        await far.do("send_binary", b"\xff\x00")
        assert await ours.receive() == (b"\xff\x00",)

    played(scene, anyio_backend)


@pytest.mark.parametrize("fragmented", [False, True])
def test_text_that_is_none_ends_it_behind_what_was_sound(
    anyio_backend: str, fragmented: bool
) -> None:
    async def scene(ours: WebSocket, far: Far) -> None:
        bad = b"\xff" + far.framed(b"never seen")
        far.protocol.send_text(b"sound")
        far.protocol.send_text(b"\xff", fin=not fragmented)
        if fragmented:
            far.protocol.send_continuation(b"x", fin=True)
        await far.pipe.send(b"".join(far.protocol.data_to_send()) + bad[1:])
        assert await ours.receive() == (b"sound",)
        error = await end_of(ours)
        assert isinstance(error, ProtocolViolation)
        assert error.code == "1007"
        assert (await far.until(Opcode.CLOSE)).data[:2] == (1007).to_bytes(2, "big")

    played(scene, anyio_backend)


def test_the_first_reason_for_an_end_counts(anyio_backend: str) -> None:
    async def scene(ours: WebSocket, far: Far) -> None:
        await far.say(b"sound", b"\xff", close=(4000, "as well"))
        assert await ours.receive() == (b"sound",)
        assert (await end_of(ours)).code == "1007"

    played(scene, anyio_backend)


@pytest.mark.parametrize(
    ("bytes_", "code"),
    [
        (b"\x81\x7f\x00\x00\x00\x00\x7f\xff\xff\xff", 1009),  # only announced: no room is made
        (b"\x83\x00", 1002),
        (b"\x81\x80\x00\x00\x00\x00", 1002),  # masked
        (b"\xf1\x00", 1002),
        (b"\x80\x01x", 1002),
        (b"\x09\x00", 1002),
        (b"\x88\x01\x03", 1002),
        (b"\x88\x02\x03\xed", 1002),  # 1005 may not be sent
        (b"\x88\x03\x03\xe8\xff", 1007),
    ],
)
def test_what_breaks_the_protocol_is_told_and_answered(
    anyio_backend: str, bytes_: bytes, code: int
) -> None:
    async def scene(ours: WebSocket, far: Far) -> None:
        await far.pipe.send(far.framed(b"sound") + bytes_)
        assert await ours.receive() == (b"sound",)
        error = await end_of(ours)
        assert isinstance(error, ProtocolViolation)
        assert error.code == str(code)
        assert (await far.until(Opcode.CLOSE)).data[:2] == code.to_bytes(2, "big")

    played(scene, anyio_backend)


def test_fragments_together_keep_the_limit(anyio_backend: str) -> None:
    async def scene(ours: WebSocket, far: Far) -> None:
        await far.do("send_text", b"x" * 60, fin=False)
        await far.do("send_continuation", b"x" * 60, fin=True)
        assert (await end_of(ours)).code == "1009"

    played(scene, anyio_backend, max_size=100)


def test_giving_up_on_a_message_loses_none(anyio_backend: str) -> None:
    async def scene(ours: WebSocket, far: Far) -> None:
        for patience in (0.5, 1.0):
            with anyio.move_on_after(patience) as scope:
                await ours.receive()
            assert scope.cancelled_caught
        await far.say(b"a")
        assert await ours.receive() == (b"a",)

    played(scene, anyio_backend)


# --- out --------------------------------------------------------------------------------------


def test_a_batch_is_one_write_of_text_messages(anyio_backend: str) -> None:
    async def scene(ours: WebSocket, far: Far) -> None:
        await ours.send(("a", b"b", "\u00fc", Media("audio", b"pcm")))
        frames = await far.hear()
        assert [bytes(frame.data) for frame in frames] == [b"a", b"b", b"\xc3\xbc", b"pcm"]
        assert {frame.opcode for frame in frames} == {Opcode.TEXT}
        assert far.pipe.peer.sends == 1

    played(scene, anyio_backend)


def test_a_wire_that_cannot_be_encoded_sends_nothing_of_its_batch(anyio_backend: str) -> None:
    async def scene(ours: WebSocket, far: Far) -> None:
        with pytest.raises(UnicodeEncodeError):
            await ours.send(("a", "\ud800"))
        await ours.send(("b",))
        assert [bytes(frame.data) for frame in await far.hear()] == [b"b"]

    played(scene, anyio_backend)


def test_senders_take_turns(anyio_backend: str) -> None:
    async def scene(ours: WebSocket, far: Far) -> None:
        async with anyio.create_task_group() as tasks:
            for letter in (b"a", b"b", b"c"):
                tasks.start_soon(ours.send, (letter * 1000, letter * 500))
            while len(far.frames) < 6:
                await anyio.sleep(0.1)
                await far.hear()
        said = [bytes(frame.data[:1]) * (len(frame.data) // 500) for frame in far.frames]
        assert sorted(said[::2]) == [b"aa", b"bb", b"cc"]
        assert said[1::2] == [first[:1] for first in said[::2]]

    played(scene, anyio_backend, limit=100)


def test_a_message_cut_in_its_middle_is_the_last(anyio_backend: str) -> None:
    async def scene(ours: WebSocket, far: Far) -> None:
        with anyio.move_on_after(1.0) as patience:
            await ours.send((b"x" * 1000,))
        assert patience.cancelled_caught
        with pytest.raises(anyio.BrokenResourceError):
            await ours.send(("more",))
        assert anyio.current_time() == 1.0
        sends = far.pipe.peer.sends
        await far.do("send_ping", b"")
        with anyio.move_on_after(1.0):
            await ours.receive()
        await ours.aclose()
        assert far.pipe.peer.sends == sends, "nothing may follow half a message"
        assert anyio.current_time() == 2.0

    played(scene, anyio_backend, limit=100)


# --- out, at once -----------------------------------------------------------------------------


def test_what_fits_goes_without_waiting(anyio_backend: str) -> None:
    async def scene(ours: WebSocket, far: Far) -> None:
        with pytest.raises(UnicodeEncodeError):
            ours.offer(("a", "\ud800"))
        assert ours.offer(("a", b"b"))
        assert far.pipe.peer.sends == 1
        assert [bytes(frame.data) for frame in await far.hear()] == [b"a", b"b"]

    played(scene, anyio_backend)


def test_what_fits_in_part_goes_on_by_itself_before_anything_else(anyio_backend: str) -> None:
    async def scene(ours: WebSocket, far: Far) -> None:
        assert ours.offer((b"x" * 250,))
        assert not ours.offer((b"y",))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ours.send, (b"z",))
            await anyio.wait_all_tasks_blocked()
            while len(far.frames) < 2:
                await far.hear()
        assert [bytes(frame.data[:1]) for frame in far.frames] == [b"x", b"z"]
        assert ours.offer((b"y",))
        assert [bytes(frame.data) for frame in await far.hear()] == [b"y"]

    played(scene, anyio_backend, limit=100)


def test_nothing_is_taken_where_a_pong_waits_or_it_is_over(anyio_backend: str) -> None:
    async def scene(ours: WebSocket, far: Far) -> None:
        far.protocol.send_ping(b"")
        await far.say(b"a")
        await ours.receive()
        assert not ours.offer((b"b",))
        await far.until(Opcode.PONG)
        await far.do("send_close", 4000)
        assert (await end_of(ours)).code == "4000"
        assert not ours.offer((b"b",))

    played(scene, anyio_backend)


@pytest.mark.parametrize("late", [False, True])
def test_what_was_taken_by_a_lost_connection_is_told_by_who_receives(
    anyio_backend: str, late: bool
) -> None:
    async def scene(ours: WebSocket, far: Far) -> None:
        if late:
            assert ours.offer((b"x" * 250,))
            await anyio.wait_all_tasks_blocked()
        far.pipe.shut()
        if late:
            await anyio.wait_all_tasks_blocked()
        assert ours.offer((b"y",)) is not late
        assert (await end_of(ours)).code == "1006"
        assert not ours.offer((b"y",))

    played(scene, anyio_backend, limit=100)


# --- pings ------------------------------------------------------------------------------------


def test_a_ping_is_answered_while_a_message_is_awaited(anyio_backend: str) -> None:
    async def scene(ours: WebSocket, far: Far) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ours.receive)
            await far.do("send_ping", b"are you there?")
            assert (await far.until(Opcode.PONG)).data == b"are you there?"
            assert anyio.current_time() == 0.0
            tasks.cancel_scope.cancel()

    played(scene, anyio_backend)


def test_a_ping_waits_for_a_message_that_is_being_written(anyio_backend: str) -> None:
    async def scene(ours: WebSocket, far: Far) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ours.send, (b"x" * 1000,))
            await anyio.sleep(1.0)
            await far.do("send_ping", b"")
            await far.say(b"y")
            assert await ours.receive() == (b"y",)
            await far.until(Opcode.PONG)
        assert [frame.opcode for frame in far.frames] == [Opcode.TEXT, Opcode.PONG]

    played(scene, anyio_backend, limit=100)


def test_of_a_flood_of_pings_the_last_ones_are_answered(anyio_backend: str) -> None:
    async def scene(ours: WebSocket, far: Far) -> None:
        for number in range(100):
            far.protocol.send_ping(b"%d" % number)
        await far.say(b"y")
        assert await ours.receive() == (b"y",)
        pongs = [frame.data for frame in await far.hear()]
        assert pongs == [b"96", b"97", b"98", b"99"]

    played(scene, anyio_backend)


def test_without_an_interval_there_is_no_ping(anyio_backend: str) -> None:
    async def scene(ours: WebSocket, far: Far) -> None:
        with anyio.move_on_after(1000):
            await ours.receive()
        assert far.pipe.peer.sends == 0

    played(scene, anyio_backend, ping_interval=None)


def test_while_nobody_receives_silence_means_nothing(anyio_backend: str) -> None:
    async def scene(ours: WebSocket, far: Far) -> None:
        await far.say(b"a")
        await anyio.sleep(1000)
        assert await ours.receive() == (b"a",)
        assert anyio.current_time() == 1000
        assert "half-open" in (await end_of(ours)).what
        assert 1020 < anyio.current_time() <= 1040

    played(scene, anyio_backend)


def test_a_write_that_hangs_is_seen_too(anyio_backend: str) -> None:
    async def scene(ours: WebSocket, far: Far) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(end_of, ours)
            with pytest.raises(RealtimeException, match="half-open"):
                await ours.send((b"x" * 1000,))
        assert anyio.current_time() <= 40
        with pytest.raises(RealtimeException, match="half-open"):
            await ours.send(("more",))

    played(scene, anyio_backend, limit=100)


# --- ends -------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1000, 1001, 1008, 3000, 4000])
def test_an_end_is_told_behind_the_last_message_and_answered(anyio_backend: str, code: int) -> None:
    async def scene(ours: WebSocket, far: Far) -> None:
        await far.say(b"last", close=(code, "why"))
        assert await ours.receive() == (b"last",)
        for _ in range(2):
            if code == 1000:
                with pytest.raises(anyio.EndOfStream):
                    await ours.receive()
                with pytest.raises(anyio.BrokenResourceError):
                    await ours.send(("late",))
            else:
                error = await end_of(ours)
                assert (error.code, error.cause) == (str(code), "why")
                assert isinstance(error, InvalidRequest if code == 1008 else Unavailable)
                with pytest.raises(RealtimeException) as caught:
                    await ours.send(("late",))
                assert caught.value.error == error
        assert (await far.until(Opcode.CLOSE)).data == code.to_bytes(2, "big") + b"why"
        assert anyio.current_time() == 0.0

    played(scene, anyio_backend)


@pytest.mark.parametrize("end", ["nothing", "a farewell without a code"])
def test_the_ends_without_a_code_have_numbers_too(anyio_backend: str, end: str) -> None:
    told = list[tuple[int, str]]()

    def failure(code: int, reason: str) -> RealtimeError | None:
        told.append((code, reason))
        return None

    async def scene(ours: WebSocket, far: Far) -> None:
        if end == "nothing":
            far.pipe.shut()
        else:
            await far.do("send_close")
        with pytest.raises(anyio.EndOfStream):
            await ours.receive()

    played(scene, anyio_backend, failure=failure)
    assert told == [(1006 if end == "nothing" else 1005, "")]


def test_who_sends_to_nobody_is_told_why_after_who_receives(anyio_backend: str) -> None:
    async def scene(ours: WebSocket, far: Far) -> None:
        await far.say(b"error: no quota", close=(4000, "quota"))
        assert len(await ours.receive()) == 1
        async with anyio.create_task_group() as tasks:

            async def send() -> None:
                with pytest.raises(RealtimeException, match="quota"):
                    await ours.send(("late",))
                assert anyio.current_time() == 0.5

            tasks.start_soon(send)
            await anyio.sleep(0.5)
            assert (await end_of(ours)).code == "4000"

    played(scene, anyio_backend)


def test_who_sends_to_nobody_while_nobody_receives_waits_for_a_moment(anyio_backend: str) -> None:
    async def scene(ours: WebSocket, far: Far) -> None:
        await far.say(b"last", close=(1000, ""))
        assert await ours.receive() == (b"last",)
        with pytest.raises(anyio.BrokenResourceError):
            await ours.send(("late",))
        assert anyio.current_time() == 0.25

    played(scene, anyio_backend, close_timeout=0.25)


@pytest.mark.parametrize("heard", [False, True])
def test_a_write_that_fails_leaves_the_word_to_who_receives(
    anyio_backend: str, heard: bool
) -> None:
    async def scene(ours: WebSocket, far: Far) -> None:
        async with anyio.create_task_group() as tasks:
            if heard:
                tasks.start_soon(end_of, ours)
            await anyio.wait_all_tasks_blocked()
            far.pipe.peer.lost = True  # not told to who receives
            tasks.start_soon(_later, far)
            with pytest.raises(RealtimeException if heard else anyio.BrokenResourceError):
                await ours.send(("x",))
            assert anyio.current_time() == (0.5 if heard else 0.0)

    async def _later(far: Far) -> None:
        await anyio.sleep(0.5)
        far.pipe.peer.news.give()

    played(scene, anyio_backend)


def test_a_pong_that_cannot_be_written_is_no_failure_of_its_own(anyio_backend: str) -> None:
    async def scene(ours: WebSocket, far: Far) -> None:
        await far.do("send_ping", b"")
        await far.say(b"y")
        far.pipe.shut()
        far.pipe.peer.came.append(far.pipe.peer.came.popleft() + far.pipe.peer.came.popleft())
        assert await ours.receive() == (b"y",)
        assert (await end_of(ours)).code == "1006"

    played(scene, anyio_backend)


# --- leaving ----------------------------------------------------------------------------------


def test_leaving_takes_leave_and_waits_for_the_answer(anyio_backend: str) -> None:
    async def scene(ours: WebSocket, far: Far) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ours.close, 4321, "enough")
            assert (await far.until(Opcode.CLOSE)).data == (4321).to_bytes(2, "big") + b"enough"
            await anyio.sleep(0.5)
            far.protocol = type(far.protocol)(far.protocol.side)
            await far.say(b"not for anybody")
            await far.do("send_close", 1000)
        assert anyio.current_time() == 0.5
        assert far.pipe.peer.closed
        await ours.aclose()
        with pytest.raises(anyio.ClosedResourceError):
            await ours.send(("x",))

    played(scene, anyio_backend)


def test_a_mute_peer_is_left_after_the_timeout(anyio_backend: str) -> None:
    async def scene(ours: WebSocket, far: Far) -> None:
        await ours.aclose()
        assert anyio.current_time() == 0.25
        with pytest.raises(anyio.ClosedResourceError):
            await ours.receive()

    played(scene, anyio_backend, close_timeout=0.25)


def test_leaving_does_not_wait_while_being_cancelled(anyio_backend: str) -> None:
    async def program() -> None:
        with anyio.CancelScope() as scope:
            async with opened() as (_, far):
                scope.cancel()
                await anyio.sleep(1)
        assert anyio.current_time() == 0.0
        assert (await far.until(Opcode.CLOSE)).data == (1000).to_bytes(2, "big")
        assert far.pipe.peer.closed

    run(program, backend=anyio_backend)


def test_leaving_while_another_task_receives(anyio_backend: str) -> None:
    async def scene(ours: WebSocket, far: Far) -> None:
        async with anyio.create_task_group() as tasks:

            async def receive() -> None:
                assert await ours.receive() == (b"one more",)
                with pytest.raises(anyio.EndOfStream):
                    await ours.receive()

            tasks.start_soon(receive)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(ours.aclose)
            await anyio.wait_all_tasks_blocked()
            await far.say(b"one more")
            await anyio.sleep(0.5)
            await far.do("send_close", 1000)
        assert anyio.current_time() == 0.5

    played(scene, anyio_backend)


@pytest.mark.parametrize("answers", [True, False], ids=["a peer", "a mute peer"])
def test_who_begins_to_receive_while_leave_is_taken_is_told_too(
    anyio_backend: str, answers: bool
) -> None:
    """The socket is read by one task at a time, the one that takes leave."""

    async def scene(ours: WebSocket, far: Far) -> None:
        ends = list[type[Exception]]()

        async def receive() -> None:
            try:
                await ours.receive()
            except (anyio.EndOfStream, anyio.ClosedResourceError) as end:
                ends.append(type(end))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ours.close)
            await far.until(Opcode.CLOSE)
            tasks.start_soon(receive)
            await anyio.wait_all_tasks_blocked()
            if answers:
                far.protocol = type(far.protocol)(far.protocol.side)
                await far.do("send_close", 1000)
        assert ends == [anyio.EndOfStream if answers else anyio.ClosedResourceError]

    played(scene, anyio_backend, close_timeout=1.0)


def test_leaving_while_another_task_writes(anyio_backend: str) -> None:
    async def scene(ours: WebSocket, far: Far) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ours.send, (b"x" * 1000,))
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(ours.aclose)
            await far.until(Opcode.CLOSE)
        assert [frame.opcode for frame in far.frames] == [Opcode.TEXT, Opcode.CLOSE]

    played(scene, anyio_backend, limit=100)


def test_leaving_a_peer_that_does_not_read(anyio_backend: str) -> None:
    async def scene(ours: WebSocket, far: Far) -> None:
        async with anyio.create_task_group() as tasks:

            async def send() -> None:
                with pytest.raises(anyio.ClosedResourceError):
                    await ours.send((b"x" * 1000,))

            tasks.start_soon(send)
            await anyio.wait_all_tasks_blocked()
            await ours.aclose()
            assert anyio.current_time() == 1.0

    played(scene, anyio_backend, limit=100)


@pytest.mark.parametrize("busy", [False, True])
def test_the_end_of_what_we_say(anyio_backend: str, busy: bool) -> None:
    async def scene(ours: WebSocket, far: Far) -> None:
        async with anyio.create_task_group() as tasks:
            if busy:
                tasks.start_soon(ours.send, (b"x" * 1000,))
                await anyio.wait_all_tasks_blocked()
            await ours.send_eof()
            await ours.send_eof()
            with pytest.raises(anyio.BrokenResourceError):
                await ours.send(("x",))
            await far.do("send_text", b"and I say")
            assert await ours.receive() == (b"and I say",)
            await far.until(Opcode.CLOSE)

    played(scene, anyio_backend, limit=100)
