"""WAV: everything other programs write is read, and what we write is whole at every moment."""

from __future__ import annotations

import io
import os
import signal
import struct
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.audio.format import PCM_16K, PCM_24K, AudioFormat
from realtime_core.audio.wav import UnknownCoding, WavWriter, parse_wav, write_wav
from realtime_core.errors import InvalidRequest, RealtimeException

STEPS = np.array([0, 1, -1, 12_345, -32_768, 32_767], np.int64)


def riff(
    body: bytes,
    coding: int = 1,
    bits: int = 16,
    channels: int = 1,
    rate: int = 8000,
    extra: bytes = b"",
) -> bytes:
    frame = bits // 8 * channels
    fmt = struct.pack("<HHIIHH", coding, channels, rate, rate * frame, frame, bits) + extra
    chunks = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt
    chunks += b"LIST" + struct.pack("<I", 3) + b"abc\0"
    chunks += b"data" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def heard(data: bytes) -> list[int]:
    return [int(sample) for sample in np.frombuffer(parse_wav(data)[1], "<i2")]


def test_every_width_of_pcm_gives_the_same_samples() -> None:
    narrow = (STEPS[[0, 4]] // 256 + 128).astype(np.uint8).tobytes()
    wide = (STEPS * 65_536).astype("<i4")
    middle = b"".join(one[1:] for one in (four.tobytes() for four in wide))
    assert heard(riff(narrow, bits=8)) == [0, -32_768]
    assert heard(riff(STEPS.astype("<i2").tobytes())) == STEPS.tolist()
    assert heard(riff(middle, bits=24)) == STEPS.tolist()
    assert heard(riff(wide.tobytes(), bits=32)) == STEPS.tolist()


@pytest.mark.parametrize(("kind", "bits"), [("<f4", 32), ("<f8", 64)])
def test_floats_are_clipped_and_holes_counted(kind: str, bits: int) -> None:
    floats = np.array([0.5, -1, 1, 7, np.nan, -np.inf]).astype(kind).tobytes()
    data = riff(floats, coding=3, bits=bits, channels=2, rate=44_100)
    format, pcm, cleaned = parse_wav(data)
    assert format == AudioFormat(rate=44_100, channels=2)
    assert np.frombuffer(pcm, "<i2").tolist() == [16_384, -32_768, 32_767, 32_767, 0, 0]
    assert cleaned == 2


def test_the_laws_of_telephony() -> None:
    assert heard(riff(b"\xff\x80\x00", coding=7, bits=8)) == [0, 32_124, -32_124]
    assert heard(riff(b"\xd5\xaa\x2a", coding=6, bits=8)) == [8, 32_256, -32_256]


def test_an_extensible_header_names_the_coding_further_in() -> None:
    guid = struct.pack("<HHIH", 22, 16, 0, 1) + bytes.fromhex("000000001000800000aa00389b71")
    data = riff(STEPS.astype("<i2").tobytes(), coding=0xFFFE, extra=guid)
    assert heard(data) == STEPS.tolist()


def test_a_long_file_is_worked_on_in_slices() -> None:
    body = np.random.default_rng(1).integers(0, 256, 3 * ((1 << 18) + 5)).astype(np.uint8)
    assert len(parse_wav(riff(body.tobytes(), bits=24))[1]) == 2 * ((1 << 18) + 5)


@pytest.mark.parametrize("size", [0, 0xFFFF_FFFF, 7])
def test_a_header_that_lies_is_read_as_far_as_it_goes(size: int) -> None:
    data = bytearray(riff(STEPS.astype("<i2").tobytes()))
    data[-16:-12] = size.to_bytes(4, "little")
    assert heard(bytes(data)) == STEPS.tolist()[: size // 2]


def test_a_file_cut_off_is_read_as_far_as_it_goes() -> None:
    assert heard(riff(STEPS.astype("<i2").tobytes())[:-3]) == STEPS.tolist()[:-2]


def test_a_file_without_samples_is_empty_audio() -> None:
    data = riff(b"")
    assert parse_wav(data) == (AudioFormat(rate=8000), b"", 0)
    assert parse_wav(data[:-8]) == (AudioFormat(rate=8000), b"", 0)


@pytest.mark.parametrize(("coding", "bits"), [(2, 4), (85, 0), (1, 12), (0xFFFE, 16)])
def test_a_compressed_file_is_for_another_reader(coding: int, bits: int) -> None:
    with pytest.raises(UnknownCoding):
        parse_wav(riff(bytes(16), coding=coding, bits=bits))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF",
        b"not a wav file at all, but words",
        b"RIFF\0\0\0\0WAVE",
        riff(bytes(8))[:30],
        riff(bytes(8), channels=0),
        riff(bytes(8), rate=0),
    ],
)
def test_what_is_no_wav_says_so(data: bytes) -> None:
    with pytest.raises(RealtimeException) as refused:
        parse_wav(data)
    error = refused.value.error
    assert isinstance(error, InvalidRequest)
    assert error.what
    assert error.cause
    assert error.fix


@given(
    st.binary(max_size=80),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=6),
    st.integers(0, 200),
)
def test_any_bytes_give_audio_or_a_typed_error(
    body: bytes, changes: list[tuple[int, int]], length: int
) -> None:
    data = bytearray(riff(body))
    for at, value in changes:
        data[at % len(data)] = value
    try:
        format, pcm, _ = parse_wav(bytes(data[:length]))
    except (RealtimeException, UnknownCoding):
        return
    assert len(pcm) % format.sample_size == 0


def test_after_every_write_the_file_is_whole(tmp_path: Path) -> None:
    path, pcm = tmp_path / "heard.wav", STEPS.astype("<i2").tobytes()
    with WavWriter(path, PCM_24K) as writer:
        for count in range(3):
            with wave.open(str(path)) as read:
                assert read.getparams()[:4] == (1, 2, 24_000, count * STEPS.size)
                assert read.readframes(1000) == pcm * count
            writer.write(pcm)
    assert parse_wav(path.read_bytes()) == (PCM_24K, pcm * 3, 0)


def test_half_a_sample_is_not_counted_until_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "heard.wav"
    with WavWriter(path, PCM_24K) as writer:
        writer.write(b"\1\2\3")
        assert parse_wav(path.read_bytes())[1] == b"\1\2"
        writer.write(b"\4")
        assert parse_wav(path.read_bytes())[1] == b"\1\2\3\4"


def test_a_killed_process_leaves_what_it_wrote(tmp_path: Path) -> None:
    path = tmp_path / "heard.wav"
    program = (
        "import os, signal, sys\n"
        "from realtime_core.audio.wav import WavWriter\n"
        "from realtime_core.audio.format import PCM_16K\n"
        "writer = WavWriter(sys.argv[1], PCM_16K)\n"
        "for _ in range(7): writer.write(bytes(640))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    with wave.open(str(path)) as read:
        assert read.getnframes() == 7 * 320
    assert path.stat().st_size == 44 + 7 * 640


@pytest.mark.parametrize("encoding", ["pcm16", "f32", "pcmu", "pcma"])
def test_every_encoding_is_written_and_read_by_others(tmp_path: Path, encoding: str) -> None:
    soundfile = pytest.importorskip("soundfile", reason="needs the extra cli")
    format = AudioFormat(8000, encoding, 3)  # type: ignore[arg-type]
    path, floats = tmp_path / "a.wav", np.linspace(-0.9, 0.9, 21).reshape(-1, 3)
    from realtime_core.audio.pcm import encode, fine_from_float

    write_wav(path, encode(fine_from_float(floats)[0], format.encoding), format)
    read, rate = soundfile.read(path)
    assert rate == 8000
    assert np.abs(read - floats).max() < (0.03 if "pcm" in encoding[:4] else 1e-6)
    assert path.stat().st_size % 2 == 0
    assert len(parse_wav(path.read_bytes())[1]) == 42


def test_a_pipe_gets_the_header_of_a_stream(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with WavWriter(pipe, PCM_16K) as writer:
            writer.write(b"\1\2\3\4\5")
        data = os.read(reader, 1000)
    finally:
        os.close(reader)
    assert data[40:44] == b"\xff\xff\xff\xff"
    assert parse_wav(data) == (PCM_16K, b"\1\2\3\4", 0)


@pytest.mark.parametrize("name", ["missing/heard.wav", ".", "nul\0byte.wav"])
def test_a_place_that_cannot_be_written_says_so(tmp_path: Path, name: str) -> None:
    with pytest.raises(RealtimeException) as refused:
        WavWriter(f"{tmp_path}/{name}", PCM_24K)
    error = refused.value.error
    assert isinstance(error, InvalidRequest)
    assert "cannot be written" in error.what
    assert error.fix


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_is_full_from_the_start() -> None:
    with pytest.raises(RealtimeException, match="No space left"):
        WavWriter("/dev/full", PCM_24K)


def test_a_disk_that_fills_up_keeps_what_fitted(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="needs limits on file sizes")
    path, before = tmp_path / "heard.wav", resource.getrlimit(resource.RLIMIT_FSIZE)
    with WavWriter(path, PCM_24K) as writer:
        writer.write(bytes(100))
        resource.setrlimit(resource.RLIMIT_FSIZE, (201, before[1]))
        try:
            with pytest.raises(RealtimeException, match="cannot be written"):
                writer.write(bytes(500))
            writer.close()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert parse_wav(path.read_bytes())[1] == bytes(156)


def test_close_twice_and_write_after(tmp_path: Path) -> None:
    writer = WavWriter(tmp_path / "heard.wav", AudioFormat(8000, "pcmu"))
    writer.write(b"\xff")
    writer.close()
    writer.close()
    assert (tmp_path / "heard.wav").stat().st_size == 46
    with pytest.raises(RealtimeException, match="is closed"):
        writer.write(b"\xff")


def test_a_disk_that_fails_at_the_end_says_so(tmp_path: Path) -> None:
    writer = WavWriter(tmp_path / "heard.wav", PCM_24K)
    os.close(writer._file.fileno())
    with pytest.raises(RealtimeException, match="Bad file descriptor"):
        writer.close()


def test_the_standard_library_reads_a_recording_of_no_length(tmp_path: Path) -> None:
    write_wav(tmp_path / "none.wav", b"", PCM_24K)
    with wave.open(io.BytesIO((tmp_path / "none.wav").read_bytes())) as read:
        assert read.getnframes() == 0
