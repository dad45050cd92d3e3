"""The local voice on real speech in real time: how soon it answers, how soon it falls silent.

Times are taken at the library's own edge: from the last loud sample pushed to the first sound of
the answer handed to the consumer, and from the first loud sample of the interrupting words to the
moment the sink was flushed. Questions are spoken by the built-in mouth at three speeds.
"""

from __future__ import annotations

import argparse
import array
from functools import partial

import anyio
import anyio.lowlevel

from benchmarks.table import Row, show, spread
from realtime_core import (
    Audio,
    AudioFormat,
    AudioOutput,
    Interrupted,
    RealtimeSession,
    ResponseDone,
    SpeechStopped,
    open_session,
)
from realtime_core.frames import Frame
from realtime_core.playback import ClockSink, player

QUESTIONS = (
    "What is the capital of France?",
    "How many legs does a spider have?",
    "Can you tell me a short story about a dog?",
    "What is two plus three?",
    "Which planet is the largest?",
    "Who wrote Romeo and Juliet?",
)
SPEEDS = (0.9, 1.0, 1.2)
LOUD = 650
FRAME_MS = 20


def edges(pcm: bytes) -> tuple[int, int]:
    """Give the first and the last loud sample."""
    samples = array.array("h", pcm)
    loud = [place for place, sample in enumerate(samples) if abs(sample) > LOUD]
    return loud[0], loud[-1]


class Microphone:
    """An open microphone: silence, and now and then what is said into it."""

    def __init__(self, session: RealtimeSession[Frame], form: AudioFormat) -> None:
        self.session, self.form = session, form
        self.step = form.sample_size * form.rate * FRAME_MS // 1000
        self.words = b""
        self.began = 0.0
        self.first = self.last = 0.0
        """When the first and the last loud sample of the latest words were (or will be) pushed."""

    def say(self, pcm: bytes) -> None:
        first, last = edges(pcm)
        now = anyio.current_time()
        self.words = pcm + bytes(-len(pcm) % self.step)
        self.first, self.last = now + first / self.form.rate, now + last / self.form.rate

    async def run(self) -> None:
        due = anyio.current_time()
        while True:
            piece, self.words = self.words[: self.step], self.words[self.step :]
            await self.session.send(Audio(piece or bytes(self.step), self.form))
            due += FRAME_MS / 1000
            await anyio.sleep_until(due)


class TimedSink(ClockSink):
    """Remembers when it fell silent."""

    silent_at = 0.0

    def flush(self) -> None:
        super().flush()
        self.silent_at = anyio.current_time()


async def measure(mind: str, rounds: int) -> tuple[list[float], list[float]]:
    """Give the milliseconds to first sound, and from onset to silence."""
    from realtime_local import local
    from realtime_local.mouth import load_mouth

    answers, silences = list[float](), list[float]()
    async with open_session(local(mind=mind)) as session:
        mouth = await load_mouth()
        spoken = list[bytes]()
        for speed in SPEEDS:
            voice = await load_mouth(speed=speed)
            for question in QUESTIONS:
                spoken.append(b"".join([piece async for piece in voice.speak(question)]))
        form = AudioFormat(rate=mouth.rate)
        stop = b"".join([piece async for piece in mouth.speak("Stop. I want to ask another.")])
        microphone, sink = Microphone(session, form), TimedSink()
        async with anyio.create_task_group() as tasks, player(session, sink) as speaker:
            tasks.start_soon(microphone.run)
            for place in range(rounds):
                await anyio.sleep(0.4)
                microphone.say(spoken[place % len(spoken)])
                cutting = False
                async with anyio.create_task_group() as turn:
                    async for event in session.events():
                        speaker.take(event)
                        if isinstance(event, AudioOutput) and not cutting:
                            answers.append((anyio.current_time() - microphone.last) * 1000)
                            cutting = True
                            turn.start_soon(_cut, microphone, stop)
                        if isinstance(event, Interrupted) and cutting:
                            await anyio.lowlevel.checkpoint()
                            silences.append((sink.silent_at - microphone.first) * 1000)
                            break
                        if isinstance(event, SpeechStopped) and cutting:
                            break  # a short answer was over before the words came
                    turn.cancel_scope.cancel()
                microphone.words = b""
                await _quiet(session)
            tasks.cancel_scope.cancel()
    return answers, silences


async def _cut(microphone: Microphone, words: bytes) -> None:
    await anyio.sleep(0.5)
    microphone.say(words)


async def _quiet(session: RealtimeSession[Frame]) -> None:
    """Let the turn that the interrupting words made pass, up to its end."""
    with anyio.move_on_after(4):
        async for event in session.events():
            if isinstance(event, ResponseDone) and event.status == "completed":
                break
    await session.interrupt()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mind", default="small")
    parser.add_argument("--rounds", type=int, default=18)
    given, _ = parser.parse_known_args()
    answers, silences = anyio.run(partial(measure, given.mind, given.rounds))
    show(
        f"Local voice, mind {given.mind}",
        [
            Row("end of speech to first sound", spread(answers), target="386-442 ms"),
            Row("onset of speech to silence", spread(silences), target="65 ms, p90 129"),
        ],
    )


if __name__ == "__main__":
    main()
