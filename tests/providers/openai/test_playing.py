"""Calls: sound on a track of its own, and what the server says of playing it."""

from __future__ import annotations

import pytest

from realtime_core.codec import Media, Wire
from realtime_core.epoch import ResponseId
from realtime_core.events import (
    AudioOutput,
    AudioOutputDone,
    Event,
    Interrupted,
    ResponseDone,
    ResponseStarted,
)
from realtime_core.testing.conformance import check_coded
from tests.providers.openai.wires import (
    CREATED,
    DONE,
    OF,
    PART,
    PCM,
    STARTED,
    I,
    R,
    added,
    fault,
    means,
    planned,
    response,
    said,
)

PLAYS = said("output_audio_buffer.started", response_id=R)
PLAYED = said("output_audio_buffer.stopped", response_id=R)
CLEARED = said("output_audio_buffer.cleared", response_id=R)
HEARD = AudioOutput(response=R, item=I, pcm=PCM, format=planned().output_format)
OVER = AudioOutputDone(response=R, item=I)
END = ResponseDone(response=R, status="completed")


def on_a_call(*wires: Wire) -> tuple[Event, ...]:
    events = means(*wires, carrier="call")
    assert check_coded(events) == []
    return events


class TestCalls:
    def test_an_answer_ends_when_it_has_sounded(self) -> None:
        piece = Media("audio", PCM)
        made = said("response.output_audio.done", **OF)
        assert on_a_call(piece, CREATED, PART, piece, PLAYS, piece, made, DONE, piece, PLAYED) == (
            STARTED,
            HEARD,
            HEARD,
            OVER,
            END,
        )
        assert on_a_call(CREATED, PART, DONE, PLAYS, Media("audio", PCM), PLAYED)[-2:] == (
            OVER,
            END,
        )

    def test_silence_between_answers_belongs_to_none(self) -> None:
        events = on_a_call(CREATED, PART, PLAYS, DONE, PLAYED, Media("audio", PCM), PLAYED)
        assert events == (STARTED, OVER, END)

    def test_it_may_have_sounded_before_it_is_made(self) -> None:
        assert on_a_call(CREATED, PART, PLAYS, PLAYED, DONE) == (STARTED, OVER, END)

    def test_one_that_only_writes_or_calls_ends_at_once(self) -> None:
        assert on_a_call(CREATED, added(), DONE) == (STARTED, END)

    def test_cut_while_it_sounds(self) -> None:
        cut = said("response.done", response=response("cancelled"))
        events = on_a_call(CREATED, PART, PLAYS, cut, CLEARED, CLEARED)
        notice = Interrupted(cause="provider", response=R)
        done = ResponseDone(response=R, status="cancelled")
        assert events == (STARTED, notice, OVER, done, notice)

    def test_one_that_breaks_off_still_sounds(self) -> None:
        off = said("response.done", response=response("incomplete"))
        events = on_a_call(CREATED, PART, off, PLAYS, Media("audio", PCM), PLAYED)
        assert [type(e) for e in events[1:3]] == [AudioOutput, AudioOutputDone]
        assert isinstance(events[3], ResponseDone)

    def test_cut_before_it_sounds(self) -> None:
        cut = said("response.done", response=response("cancelled"))
        assert on_a_call(CREATED, PART, cut)[-1] == ResponseDone(response=R, status="cancelled")

    def test_a_cancel_too_late_for_one_that_never_sounded(self) -> None:
        too_late = fault(f"cancel {R}", "response_cancel_not_active")
        notice = Interrupted(cause="provider", response=R)
        assert on_a_call(CREATED, PART, DONE, too_late) == (STARTED, notice, END)
        assert on_a_call(CREATED, PART, PLAYS, DONE, too_late, CLEARED) == (
            STARTED,
            notice,
            notice,
            OVER,
            END,
        )

    def test_another_answer_beside_one_that_sounds(self) -> None:
        """An answer aside does not silence the one that plays."""
        beside = said("response.created", response=response(id="r2"))
        events = on_a_call(CREATED, PART, PLAYS, DONE, beside, Media("audio", PCM), PLAYED)
        assert events == (STARTED, ResponseStarted(response=ResponseId("r2")), HEARD, OVER, END)

    def test_one_whose_sound_nobody_tells_of_ends_with_the_next(self) -> None:
        following = said("response.created", response=response(id="r2"))
        events = on_a_call(CREATED, PART, DONE, following)
        assert events == (STARTED, ResponseStarted(response=ResponseId("r2")), END)

    def test_joined_in_its_middle(self) -> None:
        (begun, sound) = on_a_call(PLAYS, Media("audio", PCM))
        assert begun == STARTED
        assert isinstance(sound, AudioOutput)
        assert sound.item is not None

    @pytest.mark.parametrize("name", ["started", "stopped"])
    def test_a_buffer_of_nobody(self, name: str) -> None:
        assert on_a_call(said(f"output_audio_buffer.{name}"), Media("audio", PCM)) == ()

    def test_the_sound_of_a_past_answer(self) -> None:
        assert on_a_call(CREATED, DONE, PLAYS, Media("audio", PCM)) == (STARTED, END)

    def test_without_a_call_buffers_mean_nothing(self) -> None:
        assert means(CREATED, PART, PLAYS, DONE) == (STARTED, END)
