"""Resampling: a session's answers in another audio format, and their positions told in its samples.

The length of an item is kept to within one sample. A position is never told too late: what was not
heard does not become heard on the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from msgspec.structs import replace

from .audio.convert import Conversion, ConversionState
from .audio.format import AudioFormat
from .epoch import ItemId
from .events import (
    AgentTranscript,
    AudioOutput,
    AudioOutputDone,
    HeardItem,
    Interrupted,
    RealtimeEvent,
    ResponseDone,
)
from .frames import Frame, Heard

__all__ = ("Resampling",)

_KEPT = 256
"""Items whose positions are remembered."""


class _Running(NamedTuple):
    """The sound of an item so far."""

    last: AudioOutput
    conversion: Conversion
    state: ConversionState


class _Length(NamedTuple):
    """Samples of an item: taken from the provider at `rate` Hz, and given out."""

    rate: int
    taken: int = 0
    given: int = 0


class Resampling:
    """Converts one session's answers; its two functions go into `mapped`."""

    def __init__(self, source: AudioFormat, target: AudioFormat) -> None:
        Conversion(source, target).start()  # refuses what cannot be made, and makes the filter
        self._target = target
        self.rate = source.rate
        """Of what the session speaks now: another provider may take over."""
        self._running: dict[ItemId | None, _Running] = {}
        self._lengths: dict[ItemId | None, _Length] = {}

    @property
    def _usual(self) -> _Length:
        return _Length(self.rate)

    def frame(self, frame: Frame) -> tuple[Frame]:
        """Tell a sink's position in the provider's samples."""
        if not isinstance(frame, Heard):
            return (frame,)
        known = self._lengths.get(frame.item, self._usual)
        samples = frame.samples * known.rate // self._target.rate
        return (replace(frame, samples=min(samples, known.taken) if known.taken else samples),)

    def event(self, event: RealtimeEvent) -> Iterator[RealtimeEvent]:
        """Convert sound; tell positions in samples of the target."""
        match event:
            case AudioOutput():
                yield from self._sound(event)
            case AudioOutputDone():
                yield from self._rest(event.item, event.at)
                yield event
            case ResponseDone():
                of = [
                    id for id, one in self._running.items() if one.last.response == event.response
                ]
                for id in of:
                    yield from self._rest(id, event.at)
                yield event
            case Interrupted():
                self._running.clear()
                yield replace(event, heard=tuple(map(self._part, event.heard)))
            case AgentTranscript(span=(begin, end)):
                rate = self._lengths.get(event.item, self._usual).rate
                span = self._told(begin, rate), end if end is None else self._told(end, rate)
                yield replace(event, span=span)
            case _:
                yield event

    def _sound(self, event: AudioOutput) -> Iterator[AudioOutput]:
        running = self._running.get(event.item)
        if running is None or running.conversion.source != event.format:
            yield from self._rest(event.item, event.at)
            conversion = Conversion(event.format, self._target)
            state = conversion.start()
        else:
            _, conversion, state = running
        state, pcm = conversion.step(state, event.pcm)
        self._running[event.item] = _Running(event, conversion, state)
        yield from self._given(event, pcm, taken=event.format.samples(len(event.pcm)))

    def _rest(self, item: ItemId | None, at: float) -> Iterator[AudioOutput]:
        """Give what conversion still holds of an item, which ends here."""
        running = self._running.pop(item, None)
        if running is not None:
            last, conversion, state = running
            yield from self._given(replace(last, at=at), conversion.finish(state), taken=0)

    def _given(self, event: AudioOutput, pcm: bytes, *, taken: int) -> Iterator[AudioOutput]:
        known = self._lengths.pop(event.item, None)
        if known is None and len(self._lengths) >= _KEPT:
            del self._lengths[next(iter(self._lengths))]
        _, before, given = known or self._usual
        given += self._target.samples(len(pcm))
        self._lengths[event.item] = _Length(event.format.rate, before + taken, given)
        if pcm:
            yield replace(event, pcm=pcm, format=self._target)

    def _part(self, part: HeardItem) -> HeardItem:
        rate = self._target.rate
        received = -(-part.received * rate // part.rate)
        whole = part.samples >= part.received
        samples = received if whole else self._told(part.samples, part.rate)
        known = self._lengths.get(part.item)
        if known is not None:
            samples = min(samples, known.given)
        return replace(part, samples=samples, received=received, rate=rate)

    def _told(self, samples: int, rate: int) -> int:
        return samples * self._target.rate // rate
