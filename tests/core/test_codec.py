"""What a codec and a link hand each other."""

from __future__ import annotations

import pytest

from realtime_core import Media, Text, Wire
from realtime_core.codec import as_message, unreadable, unsendable
from realtime_core.line import Line
from realtime_core.marks import Marks
from realtime_core.packing import pack, unpack
from realtime_core.state import Received
from realtime_core.testing import run

SOUND = Media("audio", bytes(960), at=480)


def test_a_piece_of_a_track_is_as_long_as_its_data(anyio_backend: str) -> None:
    async def program() -> None:
        line = Line(0)
        line.put(("four", SOUND, b"three"))
        assert len(SOUND) == 960
        assert line.bytes_waiting == 969
        assert line.take() == ("four", SOUND, b"three")

    run(program, backend=anyio_backend)


def test_who_knows_no_tracks_reads_a_piece_of_one_as_a_message() -> None:
    wires: tuple[Wire, ...] = ("{}", b"{}", Media("video", b"\xff\xd8"))
    assert [as_message(wire) for wire in wires] == ["{}", b"{}", b"\xff\xd8"]


def test_a_trace_carries_tracks() -> None:
    given = Received(at=1.0, conn=0, wires=("{}", SOUND, Media("video", b"\xff\xd8")))
    assert unpack(pack(given, Marks(), [])) == given


def test_half_a_character_is_told_with_its_place() -> None:
    with pytest.raises(UnicodeEncodeError) as caught:
        "ab\ud800".encode()
    error = unsendable(Text("ab\ud800"), caught.value)
    assert (error.what, error.cause) == (
        "The text of this Text cannot be sent.",
        "half a character in it, at 2",
    )
    assert "errors=" in error.fix


@pytest.mark.parametrize(
    ("name", "what"), [("", "A message could"), ("ping", "A message ping could")]
)
def test_what_cannot_be_read_is_told_in_few_words(name: str, what: str) -> None:
    error = unreadable("x" * 500, name)
    assert error.what == f"{what} not be read."
    assert error.cause == "x" * 200
    assert "realtime decode" in error.fix
