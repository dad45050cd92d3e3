"""Mapping: a session seen through functions over what goes in and what comes out.

The result is a session again. What becomes stale behind the function is never given out, places in
the trace are counted anew without a gap, and `Disconnected` stays the last event.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace as rewired
from typing import TypeVar

from anyio.lowlevel import checkpoint_if_cancelled
from msgspec.structs import replace

from .audio.format import AudioFormat
from .doors import whole
from .ends import Entrance, Exit
from .epoch import Epoch
from .events import Disconnected, RealtimeEvent
from .frame_queue import behind
from .frames import Frame
from .session import RealtimeSession
from .signals import Signal

__all__ = ("EventMapping", "FrameMapping", "mapped", "resampled")

FrameMapping = Callable[[Frame], Iterable[Frame]]
"""What becomes of one pushed frame: nothing, itself, others."""
EventMapping = Callable[[RealtimeEvent], Iterable[RealtimeEvent]]
"""What becomes of one event: nothing, itself, others."""

F = TypeVar("F")


def mapped(
    session: RealtimeSession[F],
    *,
    frames: FrameMapping | None = None,
    events: EventMapping | None = None,
) -> RealtimeSession[F]:
    """Give a session whose frames and events pass through functions; what they raise comes out.

    Each frame is mapped once, when it is pushed, in whatever way; where several come of it and one
    is refused or the push is cancelled, those before it have been sent. Closing by leaving the
    session's block is not mapped.

    Each event is mapped when it is taken. An event made anew (`seq` -1) belongs to the epoch of the
    one it was made from; one that was kept back keeps its own, and if it is output of an answer
    that was cut meanwhile it is dropped. `Interrupted` should stay in: it announces the epoch.

    Take events from the mapped session or from the original, not from both: each goes to one of
    them. Counters, and what counts as delivered where no sink reports, are those of the original.
    """
    ends = session.ends
    if events is not None:
        ends = ends._replace(exit=_MappedExit(ends.exit, events))
    if frames is not None:
        ends = ends._replace(entrance=_MappedEntrance(ends.entrance, frames))
        session = rewired(session, frames=behind(session.frames, ends.entrance))
    return rewired(session, ends=ends)


def resampled(session: RealtimeSession[F], format: AudioFormat) -> RealtimeSession[F]:
    """Give a session whose answers come in this format: rate, channels, encoding.

    Positions are told in samples of this rate both ways: `Heard`, `Interrupted.heard`,
    `AgentTranscript.span`. The length of an item is kept to within one sample; up to 48 samples of
    the lower rate are held back until more of it comes or it ends. Raises `RealtimeException` where
    the format cannot be made; audio that goes in needs no such function, any format is taken.
    """
    from .resampling import Resampling  # noqa: PLC0415 - numpy only where it is needed

    one = Resampling(session.output_format, format)

    def events(event: RealtimeEvent) -> Iterator[RealtimeEvent]:
        one.rate = session.output_format.rate
        return one.event(event)

    made = mapped(session, frames=one.frame, events=events)
    return rewired(made, ends=made.ends._replace(output_format=format))


class _MappedExit:
    """Events as a function makes them."""

    __slots__ = ("_conn", "_epoch", "_exit", "_made", "_mapping", "_seq")

    def __init__(self, exit: Exit, mapping: EventMapping) -> None:
        self._exit = exit
        self._mapping = mapping
        self._made = deque[RealtimeEvent]()
        self._epoch = Epoch(0)
        self._conn = 0
        self._seq = 0

    @property
    def filled(self) -> Signal:
        return self._exit.filled

    @property
    def over(self) -> bool:
        return self._exit.over and not self._made

    def stale(self, event: RealtimeEvent) -> bool:
        return self._exit.stale(event)

    def take(self, at: float) -> RealtimeEvent | None:
        while True:
            while self._made:
                event = self._made.popleft()
                if not self._exit.stale(event):
                    return self._placed(event)
            taken = self._exit.take(at)
            if taken is None:
                return None
            self._map(taken)

    def _map(self, event: RealtimeEvent) -> None:
        try:
            for made in self._mapping(event):
                if not isinstance(made, Disconnected):
                    self._made.append(made if made.seq >= 0 else _born(made, event))
        finally:
            if isinstance(event, Disconnected):
                self._made.append(event)

    def _placed(self, event: RealtimeEvent) -> RealtimeEvent:
        self._epoch = max(self._epoch, event.epoch)
        self._conn = max(self._conn, event.conn)
        placed = replace(event, seq=self._seq, epoch=self._epoch, conn=self._conn)
        self._seq += 1
        return placed


def _born(made: RealtimeEvent, source: RealtimeEvent) -> RealtimeEvent:
    """Let an event belong to what it was made from."""
    return replace(made, epoch=source.epoch, conn=source.conn, at=source.at)


class _MappedEntrance:
    """Calls whose frames a function makes."""

    __slots__ = ("_entrance", "_mapping")

    def __init__(self, entrance: Entrance, mapping: FrameMapping) -> None:
        self._entrance = entrance
        self._mapping = mapping

    async def send(self, frame: Frame, *, patient: bool = False) -> None:
        made = tuple(self._mapping(frame))
        if not made:
            await checkpoint_if_cancelled()
        for one in made:
            await self._entrance.send(one, patient=patient)

    def send_nowait(self, frame: Frame) -> None:
        for one in tuple(self._mapping(frame)):
            self._entrance.send_nowait(one)

    def check(self, frame: Frame) -> None:
        whole(frame)  # whether the rest can be sent is known once it is mapped
