"""A trace as bytes: what is written is read again, what is cut off is told, all else is refused."""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from realtime_core import (
    Audio,
    InvalidRequest,
    ProtocolViolation,
    RealtimeException,
    ResumptionHandle,
    Secret,
    SessionConfig,
    Text,
    UpdateSession,
    trace,
)
from realtime_core.marks import Marks
from realtime_core.state import Begun, Emit, Pushed, Received, Shed, State, Transition
from realtime_core.testing.fold import Step
from realtime_core.trace import LIMIT, Trace, decode, entry, header
from tests.core.short import I1, R1, opened, plan, say, sound, started

START = State(plan(), "session")


def steps() -> list[Step]:
    """Give some transitions of a session, one with sound."""
    session = opened()
    session.push(Text("hello"))
    say(session, started(R1), sound(item=I1))
    session.close()
    return session.steps


def written(start: State = START, *more: Step) -> bytes:
    """Give a whole trace."""
    first = header("scripted", start)
    data, marks = first.data, first.marks
    for one in more or steps():
        record = entry(marks, one.given, Transition(one.after, one.effects, one.refused))
        data, marks = data + record.data, record.marks
    return data


def read(data: bytes) -> Trace:
    return decode(BytesIO(data).read, "call.rt")


def refused(data: bytes) -> Any:
    with pytest.raises(RealtimeException) as refusal:
        read(data)
    error = refusal.value.error
    assert error.what
    assert error.cause
    assert error.fix
    return error


def framed(content: object) -> bytes:
    data = msgspec.msgpack.encode(content)
    return len(data).to_bytes(4, "big") + data


WHOLE = written()
FIRST = len(header("scripted", START).data)


def test_what_is_written_is_read_again() -> None:
    read_ = read(WHOLE)
    assert (read_.provider, read_.torn) == ("scripted", 0)
    assert repr(read_.start) == repr(START)
    assert [one.given for one in read_.entries] == [one.given for one in steps()]
    assert all(len(one.digest) == 8 for one in read_.entries)


def test_sound_is_kept_to_the_last_bit() -> None:
    pcm = bytes(range(256)) * 20
    given_ = Pushed(at=0.0, frame=Audio(pcm))
    data = header("scripted", START).data + entry(Marks(), given_, Transition(START)).data
    assert pcm in data
    assert read(data).entries[0].given == given_


def test_the_same_gives_the_same_bytes() -> None:
    assert written() == WHOLE


def test_what_followed_shows_in_the_digest() -> None:
    one = Begun(at=0.0)
    event = ResumptionHandle(handle=Secret("handle-1"))
    ways = (
        Transition(START),
        Transition(START, (Emit(event),)),
        Transition(START, (Emit(event), Emit(event))),
        Transition(START, (), InvalidRequest(what="No.")),
    )
    assert len({entry(Marks(), one, way).digest for way in ways}) == len(ways)


@given(st.integers(0, len(WHOLE) - 1))
@example(FIRST)
def test_a_cut_off_end_is_left_out_and_counted(size: int) -> None:
    if size < FIRST:
        assert "call.rt" in refused(WHOLE[:size]).what
        return
    cut = read(WHOLE[:size])
    assert cut.entries == read(WHOLE).entries[: len(cut.entries)]
    assert len(b"".join(_records(WHOLE)[: len(cut.entries) + 1])) + cut.torn == size


def _records(data: bytes) -> list[bytes]:
    records = list[bytes]()
    while data:
        size = 4 + int.from_bytes(data[:4], "big")
        records.append(data[:size])
        data = data[size:]
    return records


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "ends before anything was recorded"),
        (b"RIFF....WAVEfmt ", "claims to have"),
        (b"\0\0\0\0", "claims to have 0 bytes"),
        (b"\0\0\0\x01\xc1", "is no trace"),
        (framed({"trace": 1}), "is no trace"),
        (framed([1, 2]), "is no trace"),
        (framed("trace"), "is no trace"),
        (framed({"trace": 1, "provider": 5, "start": {"State": {}}}), "is no trace"),
        (framed({"trace": 1, "provider": "a", "start": 5}), "does not begin as one"),
        (framed({"trace": 2}), "of format 2; this version reads 1"),
    ],
)
def test_another_file_is_told(data: bytes, told: str) -> None:
    error = refused(data)
    assert isinstance(error, InvalidRequest)
    assert told in error.what


@pytest.mark.parametrize(
    "record",
    [
        b"\0\0\0\0",
        (LIMIT + 1).to_bytes(4, "big"),
        framed(5),
        framed([1]),
        framed([{"Text": {"text": "a"}}, b"12345678"]),
        framed([{"Begun": {"at": 0.0}}, "12345678"]),
        framed([{"Begun": {"at": float("nan")}}, b"12345678"]),
        framed([{"Begun": {"at": 0.0, "more": 1}}, b"12345678"]),
        framed([{"Begun": {}}, b"12345678"]),
        framed([{"Nothing": {"at": 0.0}}, b"12345678"]),
    ],
)
def test_a_malformed_record_is_told_with_its_number(record: bytes) -> None:
    error = refused(WHOLE + record)
    assert isinstance(error, ProtocolViolation)
    assert f"'call.rt', record {len(steps()) + 1}: " in error.what


def test_a_size_is_refused_before_it_is_read() -> None:
    asked = list[int]()
    source = BytesIO(WHOLE[:FIRST] + b"\xff\xff\xff\xff")

    def reading(size: int) -> bytes:
        asked.append(size)
        return source.read(size)

    with pytest.raises(RealtimeException):
        decode(reading, "call.rt")
    assert max(asked) < FIRST


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_a_damaged_byte_is_told_or_does_no_harm(place: int, change: int) -> None:
    damaged = bytearray(WHOLE)
    damaged[place] ^= change
    with suppress(RealtimeException):
        read(bytes(damaged))


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data: bytes) -> None:
    refused(data)


def test_deep_nesting_is_refused() -> None:
    deep = b"\x91" * 100_000 + b"\x90"
    refused(len(deep).to_bytes(4, "big") + deep)
    refused(WHOLE + len(deep).to_bytes(4, "big") + deep)


def test_a_record_that_is_too_large_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "LIMIT", 100)
    with pytest.raises(ValueError, match="larger than 100"):
        entry(Marks(), Pushed(at=0.0, frame=Audio(bytes(100))), Transition(START))


# --- secrets ----------------------------------------------------------------------------------

KEY, HANDLE = "sk-0123456789", "handle-0123"


def test_a_secret_is_hidden_wherever_it_was_met_first() -> None:
    """In the order of the fields the text stands before the secret."""
    config = SessionConfig(instructions=f"The key is {KEY}.", options={"key": Secret(KEY)})
    first = header("scripted", State(plan(), "s", history=()))
    given_ = Pushed(at=0.0, frame=UpdateSession(config))
    one = entry(first.marks, given_, Transition(START))
    later = entry(one.marks, Pushed(at=1.0, frame=Text(KEY)), Transition(START))
    assert KEY.encode() not in first.data + one.data + later.data
    assert read(first.data + one.data + later.data).entries[1].given == Pushed(
        at=1.0, frame=Text("secret-1-----")
    )


def test_a_secret_of_the_start_is_hidden_from_the_first_byte() -> None:
    first = header("scripted", State(plan(options={"key": Secret(KEY)}), KEY))
    assert KEY.encode() not in first.data
    assert read(first.data).start.session_id == "secret-1-----"


@pytest.mark.parametrize("emitted", [True, False], ids=["emitted", "kept"])
def test_a_handle_is_hidden_in_the_message_that_brings_it(emitted: bool) -> None:
    handle = Secret(HANDLE)
    after = State(plan(), "s", handle=handle)
    effects = (Emit(ResumptionHandle(handle=handle)),) if emitted else ()
    given_ = Received(at=0.0, conn=0, wires=(f'{{"handle":"{HANDLE}"}}', HANDLE.encode()))
    record = entry(Marks(), given_, Transition(after, effects))
    assert HANDLE.encode() not in record.data
    assert record.marks.of(handle) == "secret-1---"


def test_two_sessions_that_differ_in_their_secrets_leave_the_same_trace() -> None:
    def recorded(key: str) -> bytes:
        first = header("scripted", State(plan(options={"key": Secret(key)}), "s"))
        given_ = Shed(at=0.0, lane=key, reason="x", count=1)
        return first.data + entry(first.marks, given_, Transition(START)).data

    assert recorded("sk-0123456789") == recorded("pw-abcdefghij")
