"""Audio files of every kind, and the clear word for everything that is none."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from realtime_core.audio.convert import convert
from realtime_core.audio.files import Recording, read_audio, write_wav
from realtime_core.audio.format import PCM_16K, AudioFormat
from realtime_core.errors import InvalidRequest, RealtimeException

INSTALL = "pip install 'realtime-core[cli]'"


@pytest.fixture
def soundfile() -> Any:
    return pytest.importorskip("soundfile", reason="needs the extra cli")


@pytest.fixture
def no_soundfile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)


def tones(rate: int, seconds: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    at = np.arange(round(rate * seconds)) / rate
    return np.stack([np.sin(at * 2765) / 2, np.sin(at * 1885) / 3], axis=1)


def refusal(path: Path | str) -> InvalidRequest:
    with pytest.raises(RealtimeException) as refused:
        read_audio(path)
    error = refused.value.error
    assert isinstance(error, InvalidRequest)
    assert error.what
    assert error.cause
    assert error.fix
    assert Path(path).name in error.what or "\0" in str(path)
    return error


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.flac", {}),
        ("a.ogg", {}),
        ("a.mp3", {}),
        ("a.aiff", {}),
        ("a.wav", {"subtype": "PCM_U8"}),
        ("a.wav", {"subtype": "PCM_24"}),
        ("a.wav", {"subtype": "FLOAT"}),
        ("a.wav", {"subtype": "DOUBLE"}),
        ("a.wav", {"subtype": "ULAW"}),
        ("a.wav", {"subtype": "PCM_16", "format": "WAVEX"}),
        ("a.wav", {"subtype": "MS_ADPCM"}),
    ],
)
def test_a_file_is_what_the_reference_reads(
    tmp_path: Path, soundfile: Any, name: str, kind: dict[str, str]
) -> None:
    # Long enough for several blocks: an MP3 must be read straight through.
    soundfile.write(tmp_path / name, tones(44_100, 8), 44_100, **kind)
    recording = read_audio(tmp_path / name)
    expected = soundfile.read(tmp_path / name, always_2d=True)[0]
    assert recording.format == AudioFormat(rate=44_100, channels=2)
    samples = np.frombuffer(recording.pcm, "<i2").reshape(-1, 2) / 32768
    assert samples.shape == expected.shape
    assert np.abs(samples - expected).max() < 1.01 / 65536
    assert recording.milliseconds == pytest.approx(8000, rel=0.01)


def test_a_file_becomes_what_the_session_hears(tmp_path: Path, soundfile: Any) -> None:
    soundfile.write(tmp_path / "a.flac", tones(44_100, 1), 44_100)
    recording = read_audio(str(tmp_path / "a.flac"))
    assert len(convert(recording.pcm, recording.format, PCM_16K)) == 2 * 16_000


def test_wav_needs_nothing_else(tmp_path: Path, no_soundfile: None) -> None:
    write_wav(tmp_path / "a.wav", b"\1\2\3\4", PCM_16K)
    assert read_audio(tmp_path / "a.wav") == Recording(b"\1\2\3\4", PCM_16K)


def test_holes_are_silence_and_counted(tmp_path: Path, soundfile: Any) -> None:
    holes = np.array([0.5, np.nan, np.inf, -0.5], np.float32)
    for name in ("a.wav", "a.caf"):
        soundfile.write(tmp_path / name, holes, 16_000, subtype="FLOAT")
        recording = read_audio(tmp_path / name)
        assert np.frombuffer(recording.pcm, "<i2").tolist() == [16384, 0, 0, -16384]
        assert recording.cleaned == 2


@pytest.mark.parametrize("name", ["a.wav", "a.ogg"])
def test_a_recording_of_no_length_is_one(tmp_path: Path, soundfile: Any, name: str) -> None:
    soundfile.write(tmp_path / name, np.zeros((0, 1)), 16_000)
    assert read_audio(tmp_path / name) == Recording(b"", PCM_16K)


def test_no_file_a_folder_an_empty_one_and_an_impossible_name(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    assert "There is no file" in refusal(tmp_path / "missing.wav").what
    assert "is a folder" in refusal(tmp_path).what
    assert "is empty" in refusal(tmp_path / "empty.wav").what
    assert "cannot be read" in refusal("nul\0byte.wav").what


@pytest.mark.usefixtures("soundfile")
def test_words_and_noise_are_not_audio(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "words.mp3"
    for data in (b"These are words.\n" * 50, bytes(range(256)) * 20, b"\0" * 4000, b"fLaC"):
        path.write_bytes(data)
        assert "is not audio" in refusal(path).what
    assert "<" not in refusal(path).what
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("name", ["a.flac", "a.ogg", "a.aiff"])
def test_a_damaged_file_gives_audio_or_says_so(
    tmp_path: Path, soundfile: Any, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    soundfile.write(tmp_path / name, tones(16_000, 0.5), 16_000)
    whole, path = (tmp_path / name).read_bytes(), tmp_path / f"damaged-{name}"
    random = np.random.default_rng(7)
    for _ in range(60):
        data = bytearray(whole[: random.integers(1, len(whole))])
        for at in random.integers(0, min(len(data), 200), 4):
            data[at] = random.integers(0, 256)
        path.write_bytes(data)
        with suppress(RealtimeException):
            recording = read_audio(path)
            assert len(recording.pcm) % recording.format.sample_size == 0
    assert "Traceback" not in capfd.readouterr().err


def test_a_damaged_wav_is_named(tmp_path: Path) -> None:
    (tmp_path / "half.wav").write_bytes(b"RIFF\0\0\0\0WAVE")
    assert "half.wav" in refusal(tmp_path / "half.wav").what


def test_without_the_extra_the_line_to_type_is_given(tmp_path: Path, no_soundfile: None) -> None:
    (tmp_path / "a.flac").write_bytes(b"fLaC" + bytes(40))
    error = refusal(tmp_path / "a.flac")
    assert error.fix == f"Type: {INSTALL}"


def test_a_compressed_wav_needs_the_extra(
    tmp_path: Path, soundfile: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "a.wav", tones(16_000, 0.1), 16_000, subtype="MS_ADPCM")
    monkeypatch.setitem(sys.modules, "soundfile", None)
    assert INSTALL in refusal(tmp_path / "a.wav").fix
