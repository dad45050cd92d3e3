"""`realtime talk` at work, on virtual time: turns, what is heard and kept, and how it ends."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from realtime_core import (
    Connected,
    Disconnected,
    Interrupted,
    RealtimeEvent,
    RealtimeException,
    SessionConfig,
    UserTranscript,
)
from realtime_core.audio.format import PCM_24K, AudioFormat
from realtime_core.cli import converse as module
from realtime_core.cli.converse import converse
from realtime_core.cli.faults import code_of
from realtime_core.cli.output import ReaderGone
from realtime_core.cli.plan import Barge, Talk
from realtime_core.cli.screen import Screen
from realtime_core.cli.script import Say, Sound, Turn, Typed
from realtime_core.testing import Injection, every_point, no_leaks, run
from realtime_core.timings import Latency
from tests.cli import voices
from tests.cli.conftest import hum, seconds_of
from tests.cli.voices import parrot, tone

ANSWER_SECONDS = 0.1 * len(voices.ANSWER.split())


class Shown:
    """A screen that remembers."""

    def __init__(self, gone_after: int | None = None) -> None:
        self.events: list[RealtimeEvent] = []
        self.latencies: list[Latency] = []
        self.remarks: list[str] = []
        self._gone_after = gone_after

    def take(self, event: RealtimeEvent) -> None:
        if self._gone_after is not None and len(self.events) >= self._gone_after:
            raise ReaderGone
        self.events.append(event)

    def pace(self, latency: Latency) -> None:
        self.latencies.append(latency)

    def say(self, text: str) -> None:
        self.remarks.append(text)

    def of(self, kind: type[RealtimeEvent]) -> list[RealtimeEvent]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture(autouse=True)
def _hums(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "spoken", hum)


def talk(*turns: Turn, **fields: object) -> Talk:
    made = {"provider": parrot(), "config": SessionConfig(), "speaker": False, **fields}
    return Talk(turns=turns, **made)  # type: ignore[arg-type]


def spoken(words: int = 5) -> Turn:
    return Turn(Say(" ".join(["word"] * words)))


async def timed(plan: Talk, screen: Screen) -> tuple[int, float]:
    code = await converse(plan, screen)
    return code, anyio.current_time()


def test_a_typed_turn_is_answered_and_heard_to_its_end(anyio_backend: str, tmp_path: Path) -> None:
    shown, out = Shown(), tmp_path / "out.wav"
    code, took = run(timed, talk(Turn(Typed("hello")), output=out), shown, backend=anyio_backend)
    assert code == 0
    assert took == pytest.approx(ANSWER_SECONDS, abs=0.05)
    assert seconds_of(out) == pytest.approx(ANSWER_SECONDS)
    assert isinstance(shown.events[0], Connected)
    assert isinstance(shown.events[-1], Disconnected)
    assert [event.seq for event in shown.events] == list(range(len(shown.events)))
    assert len(shown.latencies) == 1


def test_a_spoken_turn_is_heard_in_real_time_and_the_microphone_stays_open(
    anyio_backend: str,
) -> None:
    shown = Shown()
    code, took = run(timed, talk(spoken(10), spoken(5)), shown, backend=anyio_backend)
    assert code == 0
    assert [e.text for e in shown.of(UserTranscript) if e.final] == ["tone 1", "tone 2"]  # type: ignore[union-attr]
    assert took == pytest.approx(1.0 + 0.5 + 2 * (0.4 + ANSWER_SECONDS), abs=0.3)
    assert [round(latency.wait, 2) for latency in shown.latencies] == [0.4, 0.4]


@pytest.mark.parametrize("pace", [0.0, 4.0])
def test_input_can_be_faster_than_real_time_and_loses_nothing(
    anyio_backend: str, pace: float
) -> None:
    shown = Shown()
    plan = talk(spoken(300), Turn(Typed("and?")), pace=pace)
    code, took = run(timed, plan, shown, backend=anyio_backend)
    assert code == 0
    assert took < 0.5 if not pace else took < 12
    assert len([e for e in shown.of(UserTranscript) if e.final]) == 1  # type: ignore[union-attr]
    assert len(shown.latencies) == 2


def test_talking_over_an_answer_cuts_it_where_it_was_heard(
    anyio_backend: str, tmp_path: Path
) -> None:
    shown, out = Shown(), tmp_path / "out.wav"
    plan = talk(Turn(Typed("hello")), barge=Barge("oh stop that now", 0.5), output=out)
    assert run(timed, plan, shown, backend=anyio_backend)[0] == 0
    (cut,) = (e for e in shown.of(Interrupted) if isinstance(e, Interrupted) and e.cause != "close")
    assert cut.cause == "provider"
    (part,) = cut.heard
    assert 0.5 <= part.samples / part.rate < 0.6
    assert part.text == "I heard you very well"
    kept = part.samples / part.rate + ANSWER_SECONDS
    assert seconds_of(out) == pytest.approx(kept)
    assert len(shown.latencies) == 2
    assert shown.remarks == [f"what was heard is in {out}"]


def test_an_answer_that_is_too_short_to_be_talked_over_is_no_failure(anyio_backend: str) -> None:
    shown = Shown()
    plan = talk(Turn(Typed("hello")), barge=Barge("stop", 60.0), pace=0.0)
    assert run(timed, plan, shown, backend=anyio_backend)[0] == 0
    assert shown.remarks == ["no answer was heard for 60 s, so none was talked over"]


@pytest.mark.parametrize("pace", [0.0, 1.0])
@pytest.mark.parametrize("pcm", [b"", bytes(48_000)], ids=["nothing", "silence"])
def test_silence_ends_cleanly_and_says_so(anyio_backend: str, pcm: bytes, pace: float) -> None:
    shown = Shown()
    plan = talk(Turn(Sound(pcm, PCM_24K)), Turn(Typed("hello")), pace=pace)
    code, took = run(timed, plan, shown, backend=anyio_backend)
    assert code == 0
    assert took < 9
    (remark,) = shown.remarks
    assert "no answer" in remark
    assert len(shown.latencies) == 1


@pytest.mark.parametrize(
    "form", [AudioFormat(44_100, channels=2), AudioFormat(8_000), AudioFormat(48_000, "f32")]
)
def test_any_format_is_converted(anyio_backend: str, form: AudioFormat) -> None:
    shown = Shown()
    loud = tone(0.5, form.rate * form.channels)
    if form.encoding == "f32":
        import numpy as np

        loud = (np.frombuffer(loud, "<i2") / 32768).astype("<f4").tobytes()
    plan = talk(Turn(Sound(loud, form)))
    assert run(timed, plan, shown, backend=anyio_backend)[0] == 0
    assert len(shown.of(UserTranscript)) == 2


def test_pictures_are_all_shown_before_their_turn(anyio_backend: str) -> None:
    shown = Shown()
    plan = talk(Turn(Typed("what?"), (b"1", b"2", b"3")), provider=voices.counting())
    code, took = run(timed, plan, shown, backend=anyio_backend)
    assert code == 0
    assert took > 2  # one a second
    assert "I saw 3 pictures." in str(shown.events)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("failing", "The parrot has flown."),
        ("refusing", "Too many"),
        ("losing", "The connection to the provider was lost"),
        ("deaf", "The turn was not answered within 30 s."),
    ],
)
def test_a_failure_is_told_in_three_parts(
    anyio_backend: str, name: str, what: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shown, out = Shown(), tmp_path / "out.wav"
    plan = talk(
        Turn(Typed("hello")), Turn(Typed("more")), provider=getattr(voices, name)(), output=out
    )
    code, took = run(timed, plan, shown, backend=anyio_backend)
    assert code == 1
    assert took < 31
    error = capsys.readouterr().err
    assert f"error: {what}" in error
    assert "\x1b" not in error
    assert error.count("error:") == error.count("cause:") == 1
    assert isinstance(shown.events[-1], Disconnected)
    assert seconds_of(out) == pytest.approx(1.0 if name == "losing" else 0.0, abs=0.05)


def test_a_tool_nobody_has_is_answered_for(anyio_backend: str) -> None:
    shown = Shown()
    plan = talk(Turn(Typed("hello")), provider=voices.calling())
    assert run(timed, plan, shown, backend=anyio_backend)[0] == 0
    assert "There is no tool 'fly'." in str(shown.events)


@pytest.mark.parametrize("gone_after", [0, 1, 5, 40])
def test_a_reader_that_leaves_ends_it_quietly(
    anyio_backend: str, gone_after: int, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = Shown(gone_after)
    with pytest.raises((ReaderGone, ExceptionGroup)) as raised:
        run(timed, talk(spoken()), shown, backend=anyio_backend)
    assert code_of(raised.value) == 0
    assert capsys.readouterr().err == ""


def test_a_session_that_cannot_be_opened_leaves_the_file_alone(
    anyio_backend: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.wav"
    out.write_bytes(b"an older answer")
    plan = talk(spoken(), provider=voices.closed(), output=out)
    with pytest.raises((RealtimeException, ExceptionGroup)) as raised:
        run(timed, plan, Shown(), backend=anyio_backend)
    assert code_of(raised.value) == 1
    assert "error: The connection to the provider" in capsys.readouterr().err
    assert out.read_bytes() == b"an older answer"


def test_a_disk_that_fills_up_ends_it_with_the_reason(
    anyio_backend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = talk(Turn(Typed("hello")), output=Path("/dev/full"))
    with pytest.raises((RealtimeException, ExceptionGroup)) as raised:
        run(timed, plan, Shown(), backend=anyio_backend)
    assert code_of(raised.value) == 1
    assert "'/dev/full' cannot be written: No space left" in capsys.readouterr().err


def test_cancelling_it_anywhere_keeps_what_was_heard_and_leaves_nothing(
    anyio_backend: str, tmp_path: Path
) -> None:
    out = tmp_path / "out.wav"

    async def scene(point: Injection) -> None:
        shown = Shown()
        out.unlink(missing_ok=True)
        plan = talk(Turn(Typed("hello")), provider=parrot(answer="one two"), output=out)
        async with no_leaks(within=2.0):
            with anyio.CancelScope() as scope:
                await point.drive(converse(plan, shown), scope.cancel)
        if shown.events:
            assert isinstance(shown.events[-1], Disconnected)
            heard = [e for e in shown.events if isinstance(e, Interrupted)]
            if heard and heard[-1].heard:
                part = heard[-1].heard[0]
                assert seconds_of(out) == pytest.approx(part.samples / part.rate, abs=0.03)

    assert every_point(scene, backend=anyio_backend) > 10
