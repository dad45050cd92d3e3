"""Timings: folds over events that say where the time went.

A fold is a pure function from what is known and the next event to what is known now; it reads no
clock, only the `at` of the events.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from .epoch import Epoch, ResponseId
from .events import (
    AgentTranscript,
    AudioInput,
    AudioOutput,
    ConversationItem,
    Interrupted,
    RealtimeEvent,
    Reconnected,
    ResponseText,
    SpeechStarted,
    SpeechStopped,
    UserTranscript,
)

__all__ = ("Cut", "Latency", "Timings", "observe")

_REMEMBERED = 512


class Latency(msgspec.Struct, frozen=True):
    """Seconds from the end of the user's turn to the first sound of the answer, in four parts.

    `wait`: until the turn was taken to be over; `hear`: until its words were known; `think`: until
    the first words of the answer; `speak`: until its first sound. Parts that overlap count once,
    for the earlier one.
    """

    wait: float
    hear: float
    think: float
    speak: float

    @property
    def total(self) -> float:
        """End of the user's turn to first sound, in seconds."""
        return self.wait + self.hear + self.think + self.speak


class Cut(msgspec.Struct, frozen=True):
    """One interruption: which epoch it began, and how much of the answer had been heard."""

    epoch: Epoch
    heard: float
    """Seconds of the cut answer that were heard."""
    kept: str
    """The words the conversation keeps."""
    delay: float | None
    """Seconds from the reported onset of the user's speech to the fence; None without an onset."""


class Timings(msgspec.Struct, frozen=True):
    """What the events so far tell of a session's pace."""

    latencies: tuple[Latency, ...] = ()
    cuts: tuple[Cut, ...] = ()
    sent: tuple[tuple[float, float], ...] = ()
    """Milliseconds of input audio sent, and when."""
    ended: float | None = None
    """When the user's turn ended, on the session's clock."""
    taken: float | None = None
    """When it was taken to be over."""
    heard: float | None = None
    """When its words were known."""
    worded: float | None = None
    """When the first words of the answer came."""
    onset: float | None = None
    """When the user began to speak, until an answer to it sounds or is cut."""
    answer: ResponseId | None = None
    """The answer that came last."""
    before: ResponseId | None = None
    """The answer that was already there when the user's turn ended; it is no answer to it."""


def observe(known: Timings, event: RealtimeEvent) -> Timings:
    """Add one event."""
    match event:
        case AudioInput():
            before = known.sent[-1][0] if known.sent else 0.0
            ms = before + event.format.milliseconds(len(event.pcm))
            return replace(known, sent=(*known.sent[1 - _REMEMBERED :], (ms, event.at)))
        case SpeechStarted():
            return replace(known, onset=event.at)
        case SpeechStopped():
            return _ended(known, _when(known, event.audio_ms, event.at), event.at)
        case UserTranscript(final=True) if known.heard is None:
            return replace(known, heard=event.at)
        case ConversationItem() if event.message.role == "user" and event.item is None:
            return replace(_ended(known, event.at, event.at), heard=event.at)
        case AgentTranscript() | ResponseText() | AudioOutput():
            return _answered(replace(known, answer=event.response), event)
        case Interrupted():
            return _cut(known, event)
        case Reconnected():
            return Timings(known.latencies, known.cuts)
        case _:
            return known


def _ended(known: Timings, ended: float, taken: float) -> Timings:
    return replace(known, ended=ended, taken=taken, heard=None, worded=None, before=known.answer)


def _answered(known: Timings, event: AgentTranscript | ResponseText | AudioOutput) -> Timings:
    if event.response is not None and event.response == known.before:
        return known
    if known.taken is not None and event.at < known.taken:  # the end of the turn overtook it
        return replace(known, before=event.response)
    if isinstance(event, AudioOutput):
        return known if known.ended is None else _sounded(known, known.ended, event.at)
    return replace(known, worded=event.at) if known.worded is None and event.text else known


def _when(known: Timings, audio_ms: float | None, at: float) -> float:
    """Tell when the sample at `audio_ms` of the input had been sent."""
    if audio_ms is None:
        return at
    for ms, sent in known.sent:
        if ms >= audio_ms:
            return min(sent, at)
    return at


def _sounded(known: Timings, ended: float, at: float) -> Timings:
    taken = at if known.taken is None else known.taken
    heard = taken if known.heard is None else min(at, max(taken, known.heard))
    worded = at if known.worded is None else min(at, max(heard, known.worded))
    latency = Latency(taken - ended, heard - taken, worded - heard, at - worded)
    return replace(
        known,
        latencies=(*known.latencies, latency),
        ended=None,
        taken=None,
        heard=None,
        worded=None,
        onset=None,
    )


def _cut(known: Timings, event: Interrupted) -> Timings:
    seconds = sum(part.samples / part.rate for part in event.heard)
    kept = " ".join(part.text for part in event.heard if part.text)
    delay = None if known.onset is None else event.at - known.onset
    cut = Cut(event.epoch, seconds, kept, delay)
    return replace(known, cuts=(*known.cuts, cut), onset=None, worded=None)
