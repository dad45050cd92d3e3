"""Lanes: the order of the pushes, a stated policy for each kind, and every frame counted."""

from __future__ import annotations

import pytest

from realtime_core import (
    Audio,
    AudioFormat,
    ClearAudio,
    CommitAudio,
    Frame,
    LaneFull,
    Lanes,
    Latest,
    RealtimeException,
    Slide,
    Suspend,
    Text,
    Video,
)
from realtime_core.lane import Balance, Drop, Inlet, lane_of


def audio(ms: int, mark: int = 0) -> Audio:
    """Give so many milliseconds of sound, told apart by a mark."""
    return Audio(bytes([mark, 0]) * (ms * 24))


def inlet(
    audio: Slide | Suspend | Latest = Slide(cap=100, max_age=1_000),  # noqa: B008 - a value
    video: Slide | Suspend | Latest = Latest(),  # noqa: B008 - a value
    control: Suspend = Suspend(cap=3),  # noqa: B008 - a value
) -> Inlet:
    return Inlet(Lanes(audio=audio, video=video, control=control))


def put(lanes: Inlet, *frames: Frame, at: float = 0.0) -> Inlet:
    for frame in frames:
        lanes.put(frame, at)
    return lanes


def emptied(lanes: Inlet, at: float = 0.0) -> list[Frame]:
    return list(iter(lambda: lanes.take(at), None))


def test_frames_leave_in_the_order_of_the_pushes_over_all_kinds() -> None:
    pushed: list[Frame] = [audio(20), Text("a"), audio(20), Video(b"x"), CommitAudio(), audio(20)]
    lanes = put(inlet(), *pushed)
    assert not lanes.empty
    assert emptied(lanes) == pushed
    assert lanes.empty


def test_each_kind_has_its_lane() -> None:
    assert [lane_of(frame) for frame in (audio(1), Video(b""), Text(""), ClearAudio())] == [
        "audio",
        "video",
        "control",
        "control",
    ]


def test_a_sliding_lane_drops_its_oldest_frames_as_few_as_make_room() -> None:
    lanes = put(inlet(), *(audio(20, mark) for mark in range(5)), audio(30, 9))
    assert [frame.pcm[0] for frame in emptied(lanes) if isinstance(frame, Audio)] == [2, 3, 4, 9]
    assert list(lanes.drops) == [Drop("audio", "full", 2, 40.0)]
    assert lanes.balances["audio"] == Balance(offered=6, sent=4, dropped=2)


def test_a_frame_larger_than_its_lane_is_taken_when_nothing_waits() -> None:
    lanes = put(inlet(), audio(20), audio(500))
    assert [len(frame.pcm) // 48 for frame in emptied(lanes) if isinstance(frame, Audio)] == [500]


def test_frames_too_old_to_be_worth_sending_are_dropped_when_it_is_their_turn() -> None:
    lanes = put(inlet(), audio(20, 1), at=0.0)
    put(lanes, audio(20, 2), at=0.5)
    (left,) = emptied(lanes, at=1.25)
    assert isinstance(left, Audio)
    assert left.pcm[0] == 2
    assert list(lanes.drops) == [Drop("audio", "too old", 1, 20.0)]


def test_a_frame_of_exactly_the_age_allowed_is_sent() -> None:
    assert len(emptied(put(inlet(), audio(20)), at=1.0)) == 1


def test_a_suspending_lane_refuses_what_finds_no_room_and_drops_nothing() -> None:
    lanes = put(inlet(), Text("1"), Text("2"), Text("3"))
    assert lanes.full(Text("4"))
    with pytest.raises(RealtimeException) as refusal:
        lanes.put(Text("4"), 0.0)
    assert isinstance(refusal.value.error, LaneFull)
    assert "control" in refusal.value.error.what
    assert lanes.balances["control"] == Balance(offered=4, refused=1, waiting=3)
    assert len(emptied(lanes, at=1e6)) == 3
    assert not lanes.drops


def test_a_latest_lane_keeps_the_newest_frame() -> None:
    lanes = put(inlet(), Video(b"1"))
    assert lanes.full(Video(b"2"))
    put(lanes, Video(b"2"), Video(b"3"))
    assert emptied(lanes) == [Video(b"3")]
    assert list(lanes.drops) == [Drop("video", "newer", 1, 0.0)] * 2


def test_other_kinds_are_not_dropped_for_the_sake_of_audio() -> None:
    lanes = put(inlet(), Text("1"), Video(b"1"), *[audio(20)] * 20)
    assert lanes.balances["control"].waiting == lanes.balances["video"].waiting == 1


def test_clearing_takes_the_audio_that_waits_with_it() -> None:
    lanes = put(inlet(), audio(20), Text("a"), audio(20), ClearAudio(), audio(30))
    assert emptied(lanes) == [Text("a"), ClearAudio(), audio(30)]
    assert list(lanes.drops) == [Drop("audio", "cleared", 2, 40.0)]


def test_a_picture_waits_for_its_time_and_lets_others_pass() -> None:
    lanes = put(inlet(), Video(b"1"), Text("a"))
    lanes.video_at = 2.0
    assert lanes.next_at() is None
    assert emptied(lanes, at=1.0) == [Text("a")]
    assert lanes.next_at() == 2.0
    assert emptied(lanes, at=2.0) == [Video(b"1")]
    assert lanes.next_at() is None


def test_what_went_straight_through_is_counted_too() -> None:
    lanes = inlet()
    lanes.passed(audio(20), refused=False)
    lanes.passed(audio(20), refused=True)
    put(lanes, Text("a"))
    (text,) = emptied(lanes)
    lanes.refuse(text)
    assert lanes.balances["audio"] == Balance(offered=2, sent=1, refused=1)
    assert lanes.balances["control"] == Balance(offered=1, refused=1)


def test_what_waits_in_one_lane_can_be_taken_back() -> None:
    lanes = put(inlet(), Video(b"1"), Text("a"))
    lanes.withdraw("video")
    lanes.withdraw("video")
    assert emptied(lanes) == [Text("a")]
    assert list(lanes.drops) == [Drop("video", "withdrawn", 1, 0.0)]
    assert lanes.balances["video"] == Balance(offered=1, dropped=1)


def test_at_the_end_everything_that_waits_is_dropped_and_counted() -> None:
    lanes = put(inlet(), audio(20), audio(20), Text("a"))
    lanes.abandon("closed")
    assert lanes.empty
    assert list(lanes.drops) == [
        Drop("audio", "closed", 2, 40.0),
        Drop("control", "closed", 1, 0.0),
    ]


def test_audio_is_measured_in_its_own_time() -> None:
    stereo = AudioFormat(rate=8_000, channels=2)
    lanes = put(inlet(), Audio(bytes(4 * 8 * 60), stereo), audio(60))
    assert list(lanes.drops) == [Drop("audio", "full", 1, 60.0)]


def test_a_lane_says_by_what_policy_it_goes() -> None:
    assert inlet().policy(Video(b"")) == Latest()
