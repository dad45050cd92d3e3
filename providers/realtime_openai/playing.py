"""Playing: what a server says of the sound it plays, where that travels on a track of its own.

An answer ends when it has sounded, not when it was made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from realtime_core.codec import Coded
from realtime_core.epoch import ItemId, ResponseId
from realtime_core.events import (
    AudioOutput,
    AudioOutputDone,
    Interrupted,
    RealtimeEvent,
    ResponseDone,
)

from . import server_events as server
from .memory import Memory, Read, opened, say

__all__ = ("PLAYING", "all_unheld", "heard", "still_plays", "unheld")


def heard(memory: Memory, pcm: bytes) -> Read:
    """Give sound that came over a track, to the answer that the server plays."""
    if memory.sounding is None:
        return Coded(memory)
    response, item = memory.sounding
    event = AudioOutput(response=response, item=item, pcm=pcm, format=memory.plan.output_format)
    return Coded(memory, (), (event,))


def still_plays(memory: Memory, id: ResponseId, done: ResponseDone) -> bool:
    """Tell whether an answer that is made has yet to sound, or sounds."""
    if memory.sounding is not None and memory.sounding[0] == id:
        return True
    sounds = any(item.response == id and item.sounds for item in memory.items.values())
    return memory.by_track and sounds and done.status in {"completed", "incomplete"}


def _playing(memory: Memory, event: server.BufferStarted) -> Read:
    response = ResponseId(event.response_id or "")
    if not memory.by_track or not response:
        return Coded(memory)
    memory, events = opened(memory, response)
    if response not in memory.open and response not in memory.unplayed:
        return Coded(memory)
    mine = (one for one in memory.items.items() if one[1].response == response)
    items = [id for id, item in mine if not item.name]
    sound = [id for id in items if memory.items[id].sounds] or items or [ItemId(response)]
    return say(replace(memory, sounding=(response, sound[-1]), has_spoken=True), *events)


def _played(memory: Memory, event: server.BufferStopped) -> Read:
    memory, events = _silent(memory, ResponseId(event.response_id or ""))
    return say(memory, *events)


def _cleared(memory: Memory, event: server.BufferCleared) -> Read:
    response = ResponseId(event.response_id or "")
    memory, events = _silent(memory, response)
    return say(memory, Interrupted(cause="provider", response=response), *events)


def _silent(memory: Memory, response: ResponseId) -> tuple[Memory, tuple[RealtimeEvent, ...]]:
    """Let an answer have sounded: all of it, or all of it that will."""
    events: tuple[RealtimeEvent, ...] = ()
    if memory.sounding is not None and memory.sounding[0] == response:
        events = (AudioOutputDone(response=response, item=memory.sounding[1]),)
    items = {
        id: replace(item, sounds=False) if item.response == response else item
        for id, item in memory.items.items()
    }
    memory = replace(memory, items=items, sounding=None if events else memory.sounding)
    memory, ends = unheld(memory, response)
    return memory, (*events, *ends)


def unheld(memory: Memory, response: ResponseId) -> tuple[Memory, tuple[RealtimeEvent, ...]]:
    """Say at last that an answer has ended, unless it sounds."""
    done = memory.unplayed.get(response)
    if done is None or (memory.sounding is not None and memory.sounding[0] == response):
        return memory, ()
    left = {id: end for id, end in memory.unplayed.items() if id != response}
    return replace(memory, unplayed=left), (done,)


def all_unheld(memory: Memory) -> tuple[Memory, tuple[RealtimeEvent, ...]]:
    """Give up waiting for sound that nobody will speak of any more."""
    events: tuple[RealtimeEvent, ...] = ()
    for response in memory.unplayed:
        memory, ends = unheld(memory, response)
        events += ends
    return memory, events


PLAYING: dict[type[server.ServerEvent], Callable[[Memory, Any], Read | None]] = {
    server.BufferStarted: _playing,
    server.BufferStopped: _played,
    server.BufferCleared: _cleared,
}
"""How each event of a call is read."""
