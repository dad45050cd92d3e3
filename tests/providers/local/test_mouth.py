"""The built-in mouth: sound in pieces that is the sound in one, and a worker that is soon free."""

from __future__ import annotations

import itertools
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing

import anyio
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.errors import InvalidRequest, RealtimeException
from realtime_local import store
from realtime_local.ears import load_ears
from realtime_local.mouth import VOICES, PiperMouth, load_mouth
from realtime_local.network import Brake, Stopped
from realtime_local.piper import PiperVoice, bounds

PARIS = "The capital of France is Paris."


async def whole(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


def milliseconds(pcm: bytes, mouth: PiperMouth) -> float:
    return len(pcm) / 2 * 1000 / mouth.rate


@given(st.integers(0, 2_000))
def test_pieces_cover_every_frame_once_and_the_first_is_short(frames: int) -> None:
    pieces = bounds(frames)
    assert [frame for piece in pieces for frame in range(*piece)] == list(range(frames))
    sizes = [end - begin for begin, end in pieces]
    assert sizes[0] <= 12 or len(sizes) == 1
    assert all(size <= 60 for size in sizes)
    assert len(sizes) == 1 or sizes[-1] >= 20


@pytest.mark.anyio
async def test_what_cannot_be_chosen_is_told() -> None:
    with pytest.raises(RealtimeException, match="Choose one of: joe") as raised:
        await load_mouth("marvin")
    assert isinstance(raised.value.error, InvalidRequest)
    for speed in (0.1, 3.0, float("nan")):
        with pytest.raises(RealtimeException, match=r"from 0\.5 to 2"):
            await load_mouth(speed=speed)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "piper.phonemize_espeak", None)
    with pytest.raises(RealtimeException, match=r"pip install 'realtime-core\[local\]'"):
        PiperVoice(VOICES["joe"])


@pytest.mark.anyio
@pytest.mark.models
async def test_a_clause_comes_in_pieces_the_first_one_short() -> None:
    mouth = await load_mouth()
    pieces = [piece async for piece in mouth.speak(PARIS)]
    lengths = [milliseconds(piece, mouth) for piece in pieces]
    assert mouth.rate == 22_050
    assert all(len(piece) % 2 == 0 for piece in pieces)
    assert len(pieces) >= 3
    assert lengths[0] < 150
    assert 1_000 < sum(lengths) < 3_000
    assert np.abs(np.frombuffer(b"".join(pieces), "<i2").astype(int)).max() > 5_000


@pytest.mark.models
def test_the_pieces_are_sample_for_sample_the_whole() -> None:
    voice, brake = PiperVoice(VOICES["joe"]), Brake()
    frames = voice.frames(voice.read(PARIS)[0], 1.0, brake)
    at_once = voice.sound(frames, 0, frames.shape[-1], brake)
    cuts = bounds(frames.shape[-1])
    pieces = np.concatenate([voice.sound(frames, *cut, brake) for cut in cuts])
    assert len(cuts) > 2
    assert pieces.size == at_once.size == frames.shape[-1] * 256
    error = np.abs(pieces - at_once).max() / np.abs(at_once).max()
    assert 20 * np.log10(error) < -90


@pytest.mark.anyio
@pytest.mark.models
@pytest.mark.parametrize("clause", ["", "  ", "...", "***", "\n", "?!", "\0"])
async def test_what_has_no_sound_gives_none(clause: str) -> None:
    mouth = await load_mouth()
    assert await whole(mouth.speak(clause)) == b""


@pytest.mark.anyio
@pytest.mark.models
async def test_markup_is_not_spoken() -> None:
    mouth = await load_mouth()
    plain = milliseconds(await whole(mouth.speak("This is bold, and this is code.")), mouth)
    marked = milliseconds(await whole(mouth.speak("This is **bold**, and this is `code`.")), mouth)
    assert abs(plain - marked) < plain / 3


@pytest.mark.anyio
@pytest.mark.models
async def test_a_slower_speaker_takes_longer() -> None:
    slow, fast = await load_mouth("joe", 0.7), await load_mouth("joe", 1.4)
    assert len(await whole(slow.speak(PARIS))) > 1.5 * len(await whole(fast.speak(PARIS)))


@pytest.mark.anyio
@pytest.mark.models
async def test_an_endless_sentence_begins_early() -> None:
    mouth = await load_mouth()
    async with aclosing(mouth.speak("and so on " * 300)) as pieces:
        with anyio.fail_after(10):
            assert await anext(pieces)


@pytest.mark.anyio
@pytest.mark.models
async def test_a_cut_clause_frees_the_worker() -> None:
    mouth = await load_mouth()
    with anyio.fail_after(20):
        for _ in range(3):
            async with aclosing(mouth.speak("and so on " * 100)) as pieces:
                with anyio.CancelScope() as scope:
                    async for _piece in pieces:
                        scope.cancel()
        with anyio.CancelScope() as scope:
            scope.cancel()
            await whole(mouth.speak(PARIS))
        assert await whole(mouth.speak("Yes."))


@pytest.mark.models
def test_a_pulled_brake_stops_both_halves() -> None:
    voice, brake = PiperVoice(VOICES["joe"]), Brake()
    sentence = voice.read(PARIS)[0]
    frames = voice.frames(sentence, 1.0, brake)
    brake.pull()
    with pytest.raises(Stopped):
        voice.frames(sentence, 1.0, brake)
    with pytest.raises(Stopped):
        voice.sound(frames, 0, 12, brake)


@pytest.mark.anyio
@pytest.mark.models
async def test_two_sessions_speak_in_turns_piece_by_piece() -> None:
    mouth, order = await load_mouth(), list[str]()

    async def speak(name: str) -> None:
        async for _ in mouth.speak(PARIS):
            order.append(name)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(speak, "a")
        tasks.start_soon(speak, "b")
    changes = sum(one != other for one, other in itertools.pairwise(order))
    assert changes >= 3


@pytest.mark.anyio
@pytest.mark.models
async def test_the_built_in_ears_understand_the_built_in_mouth() -> None:
    mouth, words = await load_mouth(), "the largest planet in our solar system is jupiter"
    pcm = np.frombuffer(await whole(mouth.speak(words)), "<i2").astype(np.float64)
    at = np.arange(0, pcm.size, mouth.rate / 16_000)
    resampled = np.interp(at, np.arange(pcm.size), pcm).astype("<i2").tobytes()
    ears = await anyio.to_thread.run_sync(lambda: load_ears(store.verified))
    heard = (await ears.transcribe(resampled)).lower().strip(".").split()
    assert len({*words.split()} & {*heard}) >= 7
