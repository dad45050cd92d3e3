"""Answers: what a server says of its responses, their items, words, sound and calls.

An answer begins once and ends once, whatever is repeated, late or cut.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UnsetType
from msgspec.structs import replace

from realtime_core.codec import Coded
from realtime_core.epoch import CallId, ItemId, RequestId, ResponseId
from realtime_core.events import (
    AgentTranscript,
    AudioOutput,
    AudioOutputDone,
    RealtimeEvent,
    ResponseDone,
    ResponseStarted,
    ResponseText,
    Status,
    ToolCall,
    Usage,
)

from . import server_events as server
from .failures import unfinished
from .memory import Item, Memory, Read, begin, end, known, opened, put_item, say, settled
from .playing import all_unheld, still_plays

__all__ = ("ANSWERS", "usage_of")


def _begun(memory: Memory, event: server.ResponseCreated) -> Read:
    id = ResponseId(event.response.id)
    if id in memory.open or id in memory.ended:
        return Coded(memory)
    request = _request(memory, event.response.metadata)
    if request is not None:
        memory = settled(memory, request)
    memory, ends = all_unheld(memory)
    return say(begin(memory, id), ResponseStarted(response=id, request=request), *ends)


def _request(memory: Memory, kept: dict[str, Any] | UnsetType | None) -> RequestId | None:
    """Tell which of our requests an answer belongs to, by the mark that it carries.

    A server that keeps no marks is taken to answer what it was asked last.
    """
    marked = kept.get("request") if isinstance(kept, dict) else None
    if isinstance(marked, str) and marked:
        return RequestId(marked)
    if memory.asked and not (memory.marks and kept is not msgspec.UNSET):
        return memory.asked[0]
    return None


# --- sound and words --------------------------------------------------------------------------


def _item_begun(memory: Memory, event: server.OutputItemAdded) -> Read:
    id, response = ItemId(event.item.id), ResponseId(event.response_id)
    if id in memory.items:
        return Coded(memory)
    memory, events = opened(memory, response)
    return say(put_item(memory, id, Item(response, name=event.item.name or "")), *events)


def _part_begun(memory: Memory, event: server.PartAdded) -> Read:
    if event.part.type != "audio":
        return Coded(memory)
    memory, events = opened(memory, event.response_id)
    return say(_sounding(memory, event), *events)


def _sounding(memory: Memory, event: server.PartAdded | server.AudioDelta) -> Memory:
    """Remember that this part of an item sounds."""
    id = ItemId(event.item_id)
    item = memory.items.get(id) or Item(ResponseId(event.response_id))
    if not item.sounds or item.part != event.content_index:
        item = replace(item, part=event.content_index, sounds=True, rest=b"")
    return replace(put_item(memory, id, item), has_spoken=True)


def _audio(memory: Memory, event: server.AudioDelta) -> Read:
    response, id, pcm = ResponseId(event.response_id), ItemId(event.item_id), event.delta
    form = memory.plan.output_format
    item = memory.items.get(id)
    events: tuple[RealtimeEvent, ...] = ()
    if item is None or not item.sounds or response not in memory.open:
        memory, events = opened(_sounding(memory, event), response)
        item = memory.items[id]
    if item.rest or len(pcm) % form.sample_size:
        memory, pcm = _joined(memory, id, item, pcm)
    sound = AudioOutput(response=response, item=id, pcm=pcm, format=form)
    return Coded(memory, (), (*events, sound) if events else (sound,))


def _joined(memory: Memory, id: ItemId, item: Item, pcm: bytes) -> tuple[Memory, bytes]:
    """Give whole samples; the beginning of one waits for its end."""
    pcm = item.rest + pcm
    whole = len(pcm) - len(pcm) % memory.plan.output_format.sample_size
    return put_item(memory, id, replace(item, rest=pcm[whole:])), pcm[:whole]


def _audio_done(memory: Memory, event: server.AudioDone) -> Read:
    if memory.by_track:
        return Coded(memory)  # made, not played
    memory, events = opened(memory, event.response_id)
    response, item = ResponseId(event.response_id), ItemId(event.item_id)
    return say(memory, *events, AudioOutputDone(response=response, item=item))


def _spoken(memory: Memory, event: server.TranscriptDelta) -> Read:
    memory, events = opened(memory, event.response_id)
    response, item = ResponseId(event.response_id), ItemId(event.item_id)
    words = AgentTranscript(response=response, item=item, text=event.delta, final=False)
    return say(memory, *events, words)


def _all_spoken(memory: Memory, event: server.TranscriptDone) -> Read:
    memory, events = opened(memory, event.response_id)
    response, item = ResponseId(event.response_id), ItemId(event.item_id)
    words = AgentTranscript(response=response, item=item, text=event.transcript, final=True)
    return say(memory, *events, words)


def _text(memory: Memory, event: server.TextDelta) -> Read:
    memory, events = opened(memory, event.response_id)
    response, item = ResponseId(event.response_id), ItemId(event.item_id)
    words = ResponseText(response=response, item=item, text=event.delta, is_complete=False)
    return say(memory, *events, words)


def _all_text(memory: Memory, event: server.TextDone) -> Read:
    memory, events = opened(memory, event.response_id)
    response, item = ResponseId(event.response_id), ItemId(event.item_id)
    words = ResponseText(response=response, item=item, text=event.text, is_complete=True)
    return say(memory, *events, words)


# --- calls ------------------------------------------------------------------------------------


def _arguments(memory: Memory, event: server.ToolArguments) -> Read:
    """Call as soon as all is known; an answer that was cut ends with arguments that are not JSON.

    Where something is lacking, the item itself tells it all in a moment.
    """
    item = memory.items.get(ItemId(event.item_id))
    name = event.name or (item.name if item is not None else "")
    if not name or not event.call_id or not _is_whole(event.arguments):
        return Coded(memory)
    id, call = ItemId(event.item_id), CallId(event.call_id)
    wanted = ToolCall(item=id, call=call, name=name, arguments=event.arguments)
    return _call(memory, event.response_id, wanted)


def _is_whole(arguments: str) -> bool:
    try:
        msgspec.json.decode(arguments, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True


def _item_done(memory: Memory, event: server.OutputItemDone) -> Read | None:
    item = event.item
    if item.type not in {"", "message", "function_call"}:
        return None
    if item.type != "function_call" or item.status == "incomplete":
        return Coded(memory)
    if not item.name or not item.call_id:
        return Coded(memory)
    id, call = ItemId(item.id), CallId(item.call_id)
    wanted = ToolCall(item=id, call=call, name=item.name, arguments=item.arguments or "{}")
    return _call(memory, event.response_id, wanted)


def _call(memory: Memory, response: str, wanted: ToolCall) -> Read:
    if wanted.call in memory.calls:
        return Coded(memory)
    memory, events = opened(memory, response)
    wanted = replace(wanted, response=ResponseId(response))
    return say(replace(memory, calls=known(memory.calls, wanted.call)), *events, wanted)


# --- the end ----------------------------------------------------------------------------------


_STATUS: dict[str, Status] = {
    "completed": "completed",
    "incomplete": "incomplete",
    "failed": "failed",
    "cancelled": "cancelled",
}


def _finished(memory: Memory, event: server.ResponseFinished) -> Read:
    memory, events = opened(memory, event.response.id)
    id, response = ResponseId(event.response.id), event.response
    if id not in memory.open:
        return Coded(memory)
    details = response.status_details
    status = _STATUS.get(response.status, "completed")
    if isinstance(details, server.StatusDetails) and details.reason == "turn_detected":
        status = "interrupted"
    done = ResponseDone(
        response=id,
        status=status,
        usage=usage_of(event.usage or response.usage),
        error=unfinished(response),
    )
    memory = end(memory, id)
    if still_plays(memory, id, done):
        return say(replace(memory, unplayed={**memory.unplayed, id: done}), *events)
    return say(memory, *events, done)


def usage_of(tokens: server.Tokens | None) -> Usage | None:
    """Read what something cost, where the server tells."""
    if tokens is None:
        return None
    taken = tokens.input_token_details or tokens.input_tokens_details or server.TokenDetails()
    given = tokens.output_token_details or tokens.output_tokens_details or server.TokenDetails()
    return Usage(
        input_tokens=tokens.input_tokens,
        output_tokens=tokens.output_tokens,
        input_audio_tokens=taken.audio_tokens or 0,
        output_audio_tokens=given.audio_tokens or 0,
        input_image_tokens=taken.image_tokens or 0,
        cached_tokens=taken.cached_tokens or 0,
        seconds=tokens.seconds,
    )


ANSWERS: dict[type[server.ServerEvent], Callable[[Memory, Any], Read | None]] = {
    server.AudioDelta: _audio,
    server.TranscriptDelta: _spoken,
    server.TextDelta: _text,
    server.ResponseCreated: _begun,
    server.ResponseFinished: _finished,
    server.OutputItemAdded: _item_begun,
    server.OutputItemDone: _item_done,
    server.PartAdded: _part_begun,
    server.AudioDone: _audio_done,
    server.TranscriptDone: _all_spoken,
    server.TextDone: _all_text,
    server.ToolArguments: _arguments,
}
"""How each event of an answer is read."""
