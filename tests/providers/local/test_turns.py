"""Turn taking as a fold: what it decides from any sequence of frames and verdicts."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from realtime_local.turns import (
    FRAME,
    Began,
    Decision,
    Ended,
    Growing,
    Paused,
    Resumed,
    Rules,
    Turn,
    finish,
    finished,
    hear,
    judge,
)

LOUD, QUIET = 0.9, 0.1
RULES = Rules()

FRAMES = st.lists(
    st.one_of(
        st.tuples(st.just("speech"), st.integers(1, 30)),
        st.tuples(st.just("silence"), st.integers(1, 40)),
        st.tuples(st.sampled_from(["over", "not over"]), st.integers(-1, 3)),
        st.just(("finish", 0)),
    ),
    max_size=40,
)
RULESETS = st.builds(
    Rules,
    late=st.sampled_from([None, 0, 3_072, 12_800, 40_000]),
    prefix=st.sampled_from([0, 512, 5_120]),
    longest=st.sampled_from([960_000, 8_192]),
)


def play(steps: list[tuple[str, int]], rules: Rules = RULES) -> list[tuple[Turn, Decision]]:
    """Fold the steps; give each decision with the state after it."""
    turn, told = Turn(), list[tuple[Turn, Decision]]()
    for what, number in steps:
        for _ in range(number if what in {"speech", "silence"} else 1):
            if what in {"speech", "silence"}:
                turn, decisions = hear(turn, rules, LOUD if what == "speech" else QUIET)
            elif what == "finish":
                turn, decisions = finish(turn, rules)
            else:
                turn, decisions = judge(turn, rules, turn.pause - number, what == "over")
            told += [(turn, decision) for decision in decisions]
    return told


def decisions(steps: list[tuple[str, int]], rules: Rules = RULES) -> list[Decision]:
    return [decision for _, decision in play(steps, rules)]


@given(FRAMES, RULESETS)
def test_decisions_follow_one_grammar(steps: list[tuple[str, int]], rules: Rules) -> None:
    speaking = paused = False
    pause = 0
    for decision in decisions(steps, rules):
        match decision:
            case Began():
                assert not speaking
                speaking, paused = True, False
            case Growing():
                assert speaking
                assert not paused
            case Paused():
                assert speaking
                assert not paused
                assert decision.pause == pause + 1, "each pause has a number of its own"
                paused, pause = True, decision.pause
            case Resumed():
                assert speaking
                assert paused
                assert decision.pause == pause
                paused = False
            case Ended():
                assert speaking
                assert decision.pause == (pause if paused else None)
                speaking = False


@given(FRAMES, RULESETS)
def test_turns_do_not_overlap_and_lie_in_what_was_heard(
    steps: list[tuple[str, int]], rules: Rules
) -> None:
    last_speech = 0
    start = onset = 0
    for turn, decision in play(steps, rules):
        match decision:
            case Began():
                start, onset = decision
                assert last_speech <= start <= onset < turn.at
                assert onset - start <= rules.prefix
            case Growing() | Paused():
                assert (decision.start, decision.end) == (start, turn.at)
            case Ended():
                assert decision.start == start
                assert onset < decision.speech_end <= decision.end == turn.at
                last_speech = decision.speech_end
            case Resumed():
                pass


@given(FRAMES)
@example([("speech", 2), ("silence", 6), ("over", 0)])
def test_a_turn_ends_by_silence_neither_early_nor_late(steps: list[tuple[str, int]]) -> None:
    turn, over = Turn(), False
    for what, number in steps:
        for _ in range(max(1, number)):
            if what in {"speech", "silence"}:
                turn, told = hear(turn, RULES, LOUD if what == "speech" else QUIET)
            elif what == "finish":
                continue
            else:
                turn, told = judge(turn, RULES, turn.pause, what == "over")
                over = turn.over or any(isinstance(decision, Ended) for decision in told)
            for decision in told:
                if isinstance(decision, Resumed | Began | Paused):
                    over = False
                if isinstance(decision, Ended):
                    silence = decision.end - decision.speech_end
                    assert silence >= (RULES.early if over else 12_800)
            if turn.start is not None:
                assert turn.at - turn.end < 12_800


@given(FRAMES, RULESETS)
def test_enough_means_enough_frames_of_speech(steps: list[tuple[str, int]], rules: Rules) -> None:
    turn, voiced, run = Turn(), 0, 0
    for what, number in steps:
        for _ in range(number if what in {"speech", "silence"} else 0):
            loud = what == "speech"
            run = run + 1 if loud else 0
            was = turn
            turn, told = hear(turn, rules, LOUD if loud else QUIET)
            if was.start is None and turn.start is not None:
                voiced = 2 * FRAME
            elif was.start is not None and loud:
                voiced += FRAME
            for decision in told:
                if isinstance(decision, Ended):
                    assert decision.enough == (voiced >= rules.least)


@given(FRAMES)
def test_without_two_frames_in_a_row_nobody_speaks(steps: list[tuple[str, int]]) -> None:
    lonely = [(what, min(number, 1) if what == "speech" else number) for what, number in steps]
    spaced = [step for one in lonely for step in (one, ("silence", 1))]
    assert decisions(spaced) == []


@given(FRAMES, st.integers(1, 5))
def test_a_verdict_on_another_pause_changes_nothing(
    steps: list[tuple[str, int]], back: int
) -> None:
    turn = Turn()
    for what, number in steps:
        for _ in range(number if what in {"speech", "silence"} else 0):
            turn, _told = hear(turn, RULES, LOUD if what == "speech" else QUIET)
            assert judge(turn, RULES, turn.pause - back, over=True) == (turn, ())


def test_speech_begins_after_two_frames_with_what_came_before() -> None:
    told = decisions([("silence", 20), ("speech", 2)])
    assert told == [Began(start=20 * FRAME - 5_120, onset=20 * FRAME)]


def test_the_preroll_does_not_reach_into_the_turn_before() -> None:
    *_, ended, began = decisions([("speech", 10), ("silence", 25), ("speech", 2)])
    assert isinstance(ended, Ended)
    assert began == Began(start=25 * FRAME, onset=35 * FRAME)
    *_, began = decisions([("speech", 10), ("silence", 6), ("finish", 0), ("speech", 2)])
    assert began == Began(start=10 * FRAME, onset=16 * FRAME)


def test_one_frame_of_silence_is_a_pause() -> None:
    *_, paused = decisions([("speech", 10), ("silence", 1)])
    assert paused == Paused(pause=1, start=0, end=11 * FRAME)


def test_one_frame_of_sound_in_a_pause_puts_its_end_off() -> None:
    steps = [("speech", 10), ("silence", 4), ("over", 0), ("speech", 1), ("silence", 5)]
    assert not any(isinstance(one, Resumed | Ended) for one in decisions(steps))
    *_, ended = decisions([*steps, ("silence", 1)])
    assert ended == Ended(0, 21 * FRAME, 15 * FRAME, enough=True, pause=1)


def test_two_frames_of_sound_void_the_verdict() -> None:
    steps = [("speech", 10), ("silence", 1), ("over", 0), ("speech", 2), ("silence", 20)]
    told = decisions(steps)
    assert Resumed(1) in told
    assert not any(isinstance(one, Ended) for one in told)


@pytest.mark.parametrize("silent", [3, 6, 10])
def test_a_verdict_ends_the_turn_at_192_ms(silent: int) -> None:
    *_, ended = decisions([("speech", 10), ("silence", silent), ("over", 0), ("silence", 10)])
    assert isinstance(ended, Ended)
    assert ended.end - ended.speech_end == max(silent, 6) * FRAME


def test_without_an_end_by_silence_only_finishing_ends_a_turn() -> None:
    rules = Rules(late=None)
    steps = [("speech", 10), ("silence", 200), ("over", 0), ("silence", 200)]
    assert not any(isinstance(one, Ended) for one in decisions(steps, rules))
    *_, ended = decisions([*steps, ("finish", 0)], rules)
    assert isinstance(ended, Ended)
    assert ended.pause == 1


def test_a_turn_without_end_is_cut() -> None:
    told = decisions([("speech", 2_000)])
    ends = [one for one in told if isinstance(one, Ended)]
    assert ends[0] == Ended(0, 960_000, 960_000, enough=True, pause=None)


def test_growth_is_told_every_320_ms_of_speech() -> None:
    told = decisions([("speech", 35)])
    assert [one.end // FRAME for one in told if isinstance(one, Growing)] == [10, 20, 30]


@pytest.mark.parametrize(
    ("text", "probability", "over"),
    [
        ("What is the capital of France?", 0.1, True),
        ("What is the capital of France.", 0.9, True),
        ("What is the capital of France.", 0.4, False),
        ("I would like to go to the", 0.9, False),
        ("Tell me more and?", 0.9, False),
        ("Where are you from?", 0.9, True),
        ("Where are you from", 0.9, False),
        ("Where are you from?", 0.1, False),
        ("", 0.9, False),
        ("...", 0.9, False),
    ],
)
def test_words_that_end_a_turn(text: str, probability: float, over: bool) -> None:
    assert finished(text, probability) is over
