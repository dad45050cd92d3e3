"""`realtime talk` as a command: order of inputs, what it prints, bad input, exit codes."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from realtime_core import provider as registry
from realtime_core.cli import conversation
from tests.cli.conftest import Realtime, seconds_of, write_wav
from tests.cli.voices import ANSWER, parrot, tone

FAST = ("--pace", "0", "--no-speaker")


def test_inputs_are_turns_in_the_order_given(realtime: Realtime, tmp_path: Path) -> None:
    loud = write_wav(tmp_path / "loud.wav", tone(0.3))
    words = ("--text", "first", "--say", "a b", "--text=third", "--audio", loud, "--text", "fifth")
    ran = realtime("talk", "parrot", *words, "--json", *FAST)
    assert ran.code == 0
    said = [
        event["message"]["text"]
        for event in ran.of("conversation_item")
        if event["message"]["role"] == "user"
    ]
    assert said == ["first", "tone 1", "third", "tone 2", "fifth"]


def test_the_provider_may_come_after_the_options(realtime: Realtime) -> None:
    ran = realtime("talk", "--text", "b", *FAST, "--text", "talk", "parrot", "--text", "--say")
    assert ran.code == 0
    assert [line for line in ran.out.splitlines() if line.startswith("  you:")] == [
        "  you: b",
        "  you: talk",
        "  you: --say",
    ]


def test_the_transport_is_an_option_of_the_provider(
    realtime: Realtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = dict[str, object]()

    def made(model: str, **options: object) -> object:
        given.update(options)
        return parrot(model)

    class Entry:
        def load(self) -> object:
            return made

    monkeypatch.setattr(registry, "installed", lambda: {"parrot": Entry()})
    assert realtime("talk", "parrot", "--text", "a", *FAST).code == 0
    assert given == {}
    assert realtime("talk", "parrot", "--text", "a", "--transport", "webrtc", *FAST).code == 0
    assert given == {"transport": "webrtc"}


def test_a_provider_without_a_choice_of_transport_says_so(realtime: Realtime) -> None:
    ran = realtime("talk", "parrot", "--text", "a", "--transport", "webrtc", *FAST)
    assert ran.code == 1
    assert "'transport'" in ran.err


def test_json_is_one_event_a_line_and_nothing_else(realtime: Realtime) -> None:
    ran = realtime("talk", "parrot", "--say", "a b c", "--json", *FAST)
    assert ran.code == 0
    assert ran.err == ""
    events = ran.events
    assert all(list(event)[:4] == ["type", "seq", "epoch", "at"] for event in events)
    assert [event["seq"] for event in events] == list(range(len(events)))
    kinds = [event["type"] for event in events]
    assert kinds[0] == "connected"
    assert kinds[-1] == "disconnected"
    assert events[-1]["clean"] is True
    assert {"audio_input", "speech_started", "user_transcript", "audio_output"} <= set(kinds)
    for event in ran.of("audio_input", "audio_output"):
        assert "pcm" not in event
        assert event["samples"] > 0
        assert event["format"] == {"rate": 24_000, "encoding": "pcm16", "channels": 1}
    assert sum(event["samples"] for event in ran.of("audio_output")) == 2_400 * 12


def test_a_person_reads_captions_and_where_the_time_went(realtime: Realtime) -> None:
    ran = realtime("talk", "parrot", "--say", "a b c", *FAST)
    lines = ran.out.splitlines()
    assert lines[0].strip() == "Connected to parrot, voice polly. A bird that repeats itself."
    assert lines[1] == "  you: tone 1"
    assert lines[2] == f"voice: {ANSWER}"
    assert lines[3].strip().startswith("first sound after 0.")
    assert all(part in lines[3] for part in ("wait ", "hear ", "think ", "speak "))
    assert len(lines) == 4


def test_a_barge_in_is_told_and_only_what_was_heard_is_kept(
    realtime: Realtime, tmp_path: Path
) -> None:
    out = tmp_path / "out.wav"
    ran = realtime(
        *("talk", "parrot", "--text", "hello", "--interrupt-with", "stop it", "--after", "0.2"),
        *("--output", out, "--no-speaker"),
    )
    assert ran.code == 0
    (cut,) = (line for line in ran.out.splitlines() if "cut after" in line)
    assert 'the history keeps "I heard' in cut
    heard = float(cut.split("cut after ")[1].split(" s;")[0])
    assert 0.2 <= heard < 0.5
    assert seconds_of(out) == pytest.approx(heard + 1.2, abs=0.03)


def test_voice_and_instructions_reach_the_session(realtime: Realtime) -> None:
    ran = realtime(
        *("talk", "parrot", "--text", "hi", "--voice", "jack", "--instructions", "Be brief."),
        *("--json", *FAST),
    )
    (connected,) = ran.of("connected")
    assert connected["config"]["voice"] == "jack"
    assert connected["config"]["instructions"] == "Be brief."


def test_an_unknown_voice_is_a_warning(realtime: Realtime) -> None:
    ran = realtime("talk", "parrot", "--text", "hi", "--voice", "nobody", *FAST)
    assert ran.code == 0
    assert "voice: parrot has no voice 'nobody'" in ran.out


def test_a_picture_at_the_end_asks_what_is_seen(realtime: Realtime, tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    Image.new("RGB", (64, 48), "red").save(picture)
    ran = realtime("talk", "counting", "--image", picture, *FAST)
    assert ran.code == 0
    assert "  you: What do you see?" in ran.out
    assert "I saw 1 pictures." in ran.out


def test_every_kind_of_wav_is_understood(realtime: Realtime, tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    loud = np.frombuffer(tone(0.3, 44_100), "<i2").astype(np.float32) / 32768
    broken = loud.copy()
    broken[100:110] = np.nan
    stereo = np.stack([loud, loud], axis=1)
    kinds = {
        "u8.wav": (loud, "PCM_U8"),
        "stereo.wav": (stereo, "PCM_16"),
        "float.wav": (broken, "FLOAT"),
        "s24.wav": (loud, "PCM_24"),
        "a.flac": (stereo, "PCM_16"),
        "a.ogg": (loud, "VORBIS"),
    }
    words = list[str | Path]()
    for name, (samples, subtype) in kinds.items():
        soundfile.write(str(tmp_path / name), samples, 44_100, subtype=subtype)
        words += ["--audio", tmp_path / name]
    ran = realtime("talk", "parrot", *words, *FAST)
    assert ran.code == 0
    assert ran.out.count("  you: tone") == len(kinds)
    assert "10 samples were no numbers and became silence" in ran.err


@pytest.mark.parametrize("pcm", [b"", bytes(9_600)], ids=["nothing", "silence"])
def test_silence_is_answered_by_nothing_and_said_so(
    realtime: Realtime, tmp_path: Path, pcm: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "_SILENCE", 0.2)
    ran = realtime("talk", "parrot", "--audio", write_wav(tmp_path / "a.wav", pcm), *FAST)
    assert ran.code == 0
    assert "no answer: no speech was heard" in ran.out
    ran = realtime("talk", "parrot", "--audio", tmp_path / "a.wav", "--json", *FAST)
    assert ran.code == 0
    assert "no answer: no speech was heard" in ran.err
    assert ran.events[-1]["type"] == "disconnected"


# --- bad input ------------------------------------------------------------------------------------


def assert_told(ran: object, code: int, *words: str) -> None:
    assert isinstance(ran, tuple)
    assert ran.code == code, ran  # type: ignore[attr-defined]
    err = ran.err  # type: ignore[attr-defined]
    assert err.startswith("error: "), err
    assert err.count("error:") == 1
    assert "\n  cause: " in err
    assert "\n  fix:   " in err
    assert "Traceback" not in err
    assert ran.out == ""  # type: ignore[attr-defined]
    for word in words:
        assert word in err, err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--audio", "no.wav"), "There is no file 'no.wav'"),
        (("--audio", "."), "'.' is a folder"),
        (("--audio", "empty"), "'empty' is empty"),
        (("--audio", "words.txt"), "'words.txt' is not audio"),
        (("--image", "no.png"), "There is no file 'no.png'"),
        (("--image", "words.txt"), "'words.txt' is not a picture"),
        (("--image", "half.png"), "'half.png'"),
        (
            ("--text", "hi", "--output", "no/such/place.wav"),
            "'no/such/place.wav' cannot be written",
        ),
        (("--text", "hi", "--output", "."), "'.' cannot be written"),
        (("--audio", "loud.wav", "--output", "loud.wav"), "'loud.wav' is an input"),
        (("--audio", "many.wav"), "channels"),
    ],
)
def test_a_bad_file_is_told_before_anything_is_opened(
    realtime: Realtime,
    words: tuple[str, ...],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").touch()
    (tmp_path / "words.txt").write_text("These are words.")
    write_wav(tmp_path / "loud.wav", tone(0.2))
    write_wav(tmp_path / "many.wav", tone(0.2), channels=0x7F)
    Image.new("RGB", (64, 48), "red").save(tmp_path / "whole.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "whole.png").read_bytes()[:60])
    before = sorted(tmp_path.iterdir())
    ran = realtime("talk", "parrot", *words, *FAST)
    if words == ("--audio", "many.wav"):
        assert ran.code == 0  # any number of channels becomes one
        return
    assert_told(ran, 1, told)
    assert sorted(tmp_path.iterdir()) == before
    assert seconds_of(tmp_path / "loud.wav") == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nobody", "--text", "hi"), ("no provider named 'nobody'", "parrot", "local")),
        (("absent", "--text", "hi"), ("'absent' could not be built",)),
        (("broken", "--text", "hi"), ("ZeroDivisionError", "voices.py")),
        (("parrot", "--text", "hi", "--mind", "small"), ("'parrot' could not be built", "mind")),
        (("closed", "--text", "hi"), ("The connection to the provider was lost",)),
        (("blind", "--say", "hi"), ("'blind' takes no speech",)),
        (("blind", "--image", "a.png"), ("'blind' takes no pictures",)),
        (("blind", "--text", "a", "--interrupt-with", "b"), ("'blind' takes no speech",)),
    ],
)
def test_a_provider_that_cannot_is_told(
    realtime: Realtime,
    words: tuple[str, ...],
    told: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (64, 48), "red").save(tmp_path / "a.png")
    assert_told(realtime("talk", *words, *FAST), 1, *told)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--speek", "hi"), ("--speek", "--say", "--audio", "--interrupt-with")),
        (("--say",), ("--say",)),
        (("--say", " "), ("there are no words in it",)),
        (("--text", ""), ("there are no words in it",)),
        (("--pace", "-1"), ("--pace",)),
        (("--pace", "nan"), ("--pace",)),
        (("--pace", "inf"), ("--pace",)),
        (("--pace", "fast"), ("--pace",)),
        (("--text", "hi", "--after", "1"), ("--interrupt-with",)),
        (("--interrupt-with", "stop"), ("it needs an input",)),
        (("--text", "a", "--interrupt-with", "", "--after", "1"), ("no words",)),
        (("--text", "a", "--interrupt-with", "b", "--after", "nan"), ("--after",)),
        (("parrot", "more"), ("more",)),
    ],
)
def test_misuse_is_told_with_what_is_known(
    realtime: Realtime, words: tuple[str, ...], told: tuple[str, ...]
) -> None:
    assert_told(realtime("talk", *words), 2, "realtime talk --help", *told)


def test_text_that_is_no_unicode_is_taken_as_far_as_it_goes(realtime: Realtime) -> None:
    ran = realtime("talk", "parrot", "--text", "gr\udcfc\udcdfe", *FAST)
    assert ran.code == 0
    assert "  you: gr??e" in ran.out


def test_control_characters_do_not_reach_the_terminal(realtime: Realtime) -> None:
    ran = realtime("talk", "parrot", "--text", "red \x1b[31m and\nmore\a", *FAST)
    assert "  you: red [31m and more" in ran.out.splitlines()
    ran = realtime("talk", "refusing", "--text", "hi", *FAST)
    assert "error: Too many [31mwords." in ran.err
    assert ran.code == 1


def test_without_inputs_the_microphone_is_needed(
    realtime: Realtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sounddevice", None)
    ran = realtime("talk", "parrot", "--no-speaker")
    assert ran.code == 1
    assert "pip install 'realtime-core[audio]'" in ran.err


def test_without_a_loudspeaker_the_clock_plays(
    realtime: Realtime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sounddevice", None)
    out = tmp_path / "out.wav"
    ran = realtime("talk", "parrot", "--text", "hi", "--speaker", "--output", out, "--json")
    assert ran.code == 0
    assert "extra `audio`" in ran.err
    assert seconds_of(out) == pytest.approx(1.2)
    with wave.open(str(out), "rb") as file:
        assert np.frombuffer(file.readframes(9_999_999), "<i2").max() > 2_000
