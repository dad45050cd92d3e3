"""The built-in ears on the real models, and what they are made of."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path

import anyio
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.ears_wer import Busy, live, text_of
from benchmarks.recordings import ABSENT, errors, others, prompts, words
from realtime_core.errors import RealtimeException
from realtime_local import store
from realtime_local.ears import ModelEars, load_ears, pieces
from realtime_local.hearing import Guess, Heard, Hearing, Onset, Over, Partial, Trouble, Words
from realtime_local.moonshine import spoken
from realtime_local.network import Brake, Network, Stopped, floats
from realtime_local.smart_turn import log_mel
from realtime_local.tape import Tape
from realtime_local.turns import FRAME, Rules
from realtime_local.worker import Worker

RATE = 16_000


def tone(ms: int, hertz: float = 300.0, level: float = 0.3) -> bytes:
    moments = np.arange(RATE * ms // 1000) / RATE
    return bytes((level * 32767 * np.sin(2 * math.pi * hertz * moments)).astype("<i2").tobytes())


def noise(ms: int, level: int = 2_000) -> bytes:
    source = random.Random(7)
    return b"".join(
        source.randint(-level, level).to_bytes(2, "little", signed=True)
        for _ in range(RATE * ms // 1000)
    )


# --- without models ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("You", ""),
        ("So,", ""),
        ("so... you", "so... you"),
        ("", ""),
        (" . ", ""),
        ("Open the door, open the door, open the door.", "Open the door,"),
        ("No, no, no.", "No, no, no."),
        ("I know. I know. But why?", "I know. But why?"),
        ("You are right.", "You are right."),
    ],
)
def test_what_is_kept_of_a_transcript(text: str, kept: str) -> None:
    assert spoken(text) == kept


@given(st.integers(0, 60), st.integers(1, 400))
def test_grown_audio_is_cut_at_the_same_places(seconds: int, more: int) -> None:
    source = np.random.default_rng(seconds)
    pcm = (source.normal(size=RATE * seconds + more * 100) * 1_000).astype("<i2").tobytes()
    before, after = pieces(pcm[: 2 * RATE * seconds]), pieces(pcm)
    assert b"".join(after) == pcm
    assert after[: len(before) - 1] == before[:-1]
    assert all(len(one) <= 2 * 8 * RATE for one in after)


def test_long_audio_is_cut_in_its_silence() -> None:
    pcm = noise(5_000) + bytes(2 * RATE // 2) + noise(6_000)
    first, second = pieces(pcm)
    assert 5.1 * RATE <= len(first) / 2 <= 5.4 * RATE
    assert first + second == pcm


@given(st.lists(st.tuples(st.binary(max_size=9), st.integers(0, 30)), max_size=20))
def test_a_tape_gives_what_was_put_on_it(steps: list[tuple[bytes, int]]) -> None:
    tape, whole = Tape(), b""
    for pcm, before in steps:
        tape.add(pcm)
        whole += pcm
        tape.forget(before)
        assert tape.end == len(whole) // 2
        assert tape.origin <= tape.end
        assert tape.cut(tape.origin, tape.end) == whole[2 * tape.origin : 2 * tape.end]


def test_features_of_silence_and_sound_differ_and_fit_the_network() -> None:
    for samples in (floats(b""), floats(tone(1_000)), floats(tone(9_000))):
        features = log_mel(samples)
        assert features.shape == (80, 800)
        assert features.dtype == np.float32
        assert np.isfinite(features).all()
    loud = log_mel(floats(bytes(2 * 7 * RATE) + tone(1_000)))
    assert loud[:, -90:].mean() > loud[:, :600].mean()


def test_a_file_that_is_no_network_is_told_in_three_parts(tmp_path: Path) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"not a network")
    with pytest.raises(RealtimeException) as told:
        Network(bad)
    assert told.value.error.what.startswith("The model file bad.onnx could not be loaded")
    assert "realtime models" in told.value.error.fix


@pytest.mark.anyio
async def test_a_worker_runs_one_job_at_a_time_and_drops_who_gave_up() -> None:
    worker, running, ran = Worker("test"), list[int](), list[int]()
    begun, go = anyio.Event(), list[bool]()
    stopped = list[int]()

    def slow() -> int:
        running.append(1)
        assert len(running) == 1
        while not go:
            pass
        running.pop()
        ran.append(0)
        return 0

    def quick() -> int:
        running.append(1)
        assert len(running) == 1
        running.pop()
        ran.append(1)
        return 1

    async def first() -> None:
        with anyio.CancelScope() as scope:
            scopes.append(scope)
            begun.set()
            await worker.run(slow, lambda: stopped.append(0))

    scopes = list[anyio.CancelScope]()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first)
        await begun.wait()
        while not running:
            await anyio.lowlevel.checkpoint()
        scopes[0].cancel()
        while not stopped:
            await anyio.lowlevel.checkpoint()
        go.append(True)
        assert await worker.run(quick, lambda: stopped.append(1)) == 1
    assert ran[-1] == 1
    assert stopped == [0, 1]


@pytest.mark.anyio
async def test_a_job_that_fails_raises_what_it_raised() -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await Worker("test").run(fail, lambda: None)


# --- with models ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ears() -> ModelEars:
    return load_ears(store.verified)


@pytest.mark.models
def test_the_ears_are_loaded_once(ears: ModelEars) -> None:
    assert load_ears(store.verified) is ears


@pytest.mark.models
def test_detectors_have_a_state_of_their_own(ears: ModelEars) -> None:
    sound = noise(320)
    frames = [sound[at : at + 2 * FRAME] for at in range(0, len(sound), 2 * FRAME)]
    first, second = ears.detector(), ears.detector()
    alone = [first(frame) for frame in frames]
    ears.detector()(tone(32))
    assert [second(frame) for frame in frames] == alone
    with pytest.raises(ValueError, match="512"):
        first(b"\0" * 10)


@pytest.mark.models
@pytest.mark.anyio
@pytest.mark.parametrize(
    "sound", [bytes(2 * RATE), noise(1_000), tone(1_000), tone(50), b"", b"\1"]
)
async def test_where_nothing_is_said_no_words_are_heard(ears: ModelEars, sound: bytes) -> None:
    assert len((await ears.transcribe(sound)).split()) <= 2
    assert 0 <= await ears.turn_over(sound) <= 1


@pytest.mark.models
@pytest.mark.anyio
async def test_silence_noise_and_tones_are_no_turn(ears: ModelEars) -> None:
    told = list[Heard]()
    async with anyio.create_task_group() as tasks:
        hearing = Hearing(ears, Rules(), tasks, told.append)
        await hearing.listen(bytes(2 * RATE) + noise(500, 300) + tone(500) + bytes(2 * RATE))
    assert [one for one in told if isinstance(one, Words) and one.text] == []


@pytest.mark.models
def test_a_pulled_brake_stops_the_recogniser(ears: ModelEars) -> None:
    brake = Brake()
    brake.pull()
    assert brake.pulled
    with pytest.raises(Stopped):
        ears._moonshine.words(noise(1_000), brake)


@pytest.mark.models
@pytest.mark.anyio
async def test_giving_up_frees_the_recogniser(ears: ModelEars) -> None:
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ears.transcribe, noise(7_900))
            await anyio.lowlevel.checkpoint()
            scope.cancel()
    with anyio.fail_after(10):
        await ears.transcribe(noise(200))


@pytest.fixture(scope="module")
def recordings() -> list[tuple[bytes, str]]:
    known = prompts(least=6, most=12)
    if not known:
        pytest.skip(ABSENT)
    return [(one.pcm(), one.text) for one in (*known[:: len(known) // 6][:6], *others()[:2])]


@pytest.mark.models
@pytest.mark.anyio
async def test_people_are_understood(ears: ModelEars, recordings: list[tuple[bytes, str]]) -> None:
    wrong = said = 0
    for pcm, text in recordings:
        heard = await ears.transcribe(pcm)
        wrong += errors(words(text), words(heard))
        said += len(words(text))
    assert wrong / said < 0.12


@pytest.mark.models
@pytest.mark.anyio
async def test_people_are_heard_live(ears: ModelEars, recordings: list[tuple[bytes, str]]) -> None:
    pcm, text = recordings[0]
    told = await live(Busy(ears), pcm)
    begun = [one.sample for one in told if isinstance(one, Onset)]
    ended = [one.sample for one in told if isinstance(one, Over)]
    assert isinstance(told[0], Onset)
    assert any(isinstance(one, Partial) for one in told)
    assert any(isinstance(one, Guess) for one in told)
    assert len(begun) == len(ended) == sum(isinstance(one, Words) for one in told)
    assert errors(words(text), words(text_of(told))) <= 2
    assert RATE // 2 - 1_600 < begun[0] < ended[0]
    assert ended[-1] <= RATE // 2 + len(pcm) // 2


@pytest.mark.anyio
async def test_ears_that_raise_are_told_apart() -> None:
    class Sore:
        def detector(self) -> Callable[[bytes], float]:
            return lambda frame: 1.0 if any(frame) else 0.0

        async def transcribe(self, pcm: bytes) -> str:
            raise OSError(len(pcm))

        async def turn_over(self, pcm: bytes) -> float:
            raise OSError(len(pcm))

    told = list[Heard]()
    async with anyio.create_task_group() as tasks:
        hearing = Hearing(Sore(), Rules(), tasks, told.append)
        await hearing.listen(tone(600))
        await hearing.listen(bytes(2 * RATE))
    troubles = [one.problem for one in told if isinstance(one, Trouble)]
    assert troubles
    assert {one.part for one in troubles} == {"ears"}
    assert Words(0, "") in told
