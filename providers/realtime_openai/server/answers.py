"""Answers: what the session answers, as server events that keep the protocol's grammar.

Each thing begins once, its pieces add up to its final, and it ends once.
"""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from realtime_core.events import (
    AgentTranscript,
    AudioOutput,
    AudioOutputDone,
    RealtimeEvent,
    ResponseDone,
    ResponseStarted,
    ResponseText,
    ToolCall,
    ToolCallCancelled,
)

from . import objects
from .book import Call, Entry, Part, Reply, Wish, newest, without
from .items import close, enter, grow, open_part, put_reply, where
from .page import Page

__all__ = ("all_sound", "call", "calls_void", "done", "sound", "started", "words")

Kind = Literal["audio", "text"]
Spot = tuple[str, str, int]
"""Response, item, and place of a part in it."""


def started(page: Page, event: ResponseStarted) -> None:
    """Let an answer begin, with the wish that it fulfils."""
    id = event.response
    if id is None or id in page.book.replies:
        return
    wish = page.book.wishes.get(event.request or "")
    if wish is not None:
        page.keep(wishes=without(page.book.wishes, event.request or ""))
    else:
        wish = page.book.continuing or Wish()
        page.keep(continuing=None)
    put_reply(page, id, Reply(wish))
    if not wish.side:
        page.keep(last=id)
    page.say("response.created", response=objects.response(page.book, id, Reply(wish)))


def _part(
    page: Page, event: RealtimeEvent, kind: Kind, ended: str, *, again: bool = True
) -> Spot | None:
    """Give where a piece belongs: the part of its kind that goes on, or (`again`) a new one."""
    response, id = event.response, event.item
    if response is None or id is None or response not in page.book.replies:
        return None
    entry = page.book.replies[response].items.get(id)
    if entry is None and id in page.book.items:
        return None
    parts = entry.parts if entry is not None else ()
    for place in reversed(range(len(parts))):
        if parts[place].kind == kind:
            if not getattr(parts[place], ended):
                return response, id, place
            if not again:
                return None
            break
    open_part(page, response, id, Part(kind))
    return response, id, len(parts)


def _change(page: Page, at: Spot, part: Part) -> Entry:
    response, id, place = at
    entry = page.book.replies[response].items[id]
    grow(page, response, id, (*entry.parts[:place], part, *entry.parts[place + 1 :]))
    return entry


def _at(page: Page, at: Spot) -> Part:
    response, id, place = at
    return page.book.replies[response].items[id].parts[place]


def sound(page: Page, event: AudioOutput) -> None:
    """Write a piece of sound, or remember that it goes over a track."""
    at = _part(page, event, "audio", "sounded") if event.pcm else None
    if at is None:
        return
    part = _at(page, at)
    samples = part.samples + page.book.output_format.samples(len(event.pcm))
    entry = _change(page, at, replace(part, samples=samples))
    if page.book.by_track:
        page.keep(unplayed=(*(id for id in page.book.unplayed if id != at[0]), at[0]))
        return
    page.say("response.output_audio.delta", **where(entry, *at[1:]), delta=event.pcm)


def all_sound(page: Page, event: AudioOutputDone) -> None:
    """Write that all of an item's sound was sent."""
    reply = page.book.replies.get(event.response or "")
    entry = reply.items.get(event.item or "") if reply is not None else None
    for place, part in enumerate(entry.parts if entry is not None else ()):
        if part.kind == "audio" and not part.sounded:
            assert event.response is not None  # noqa: S101 - an answer was found
            assert event.item is not None  # noqa: S101 - an item was found
            _end_sound(page, (event.response, event.item, place))


def _end_sound(page: Page, at: Spot) -> None:
    entry = _change(page, at, replace(_at(page, at), sounded=True))
    page.say("response.output_audio.done", **where(entry, *at[1:]))


def words(page: Page, event: AgentTranscript | ResponseText) -> None:
    """Write words; the whole of them adds what is still missing."""
    spoken = isinstance(event, AgentTranscript)
    whole = event.final if isinstance(event, AgentTranscript) else event.is_complete
    if not event.text and not whole:
        return
    at = _part(page, event, "audio" if spoken else "text", "worded", again=not whole)
    if at is None:
        return
    part, more = _at(page, at), event.text
    if whole:
        cut = page.book.replies[at[0]].cut
        more = more[len(part.words) :] if more.startswith(part.words) and not cut else ""
    name = "output_audio_transcript" if spoken else "output_text"
    if more:
        entry = _change(page, at, replace(part, words=part.words + more))
        page.say(f"response.{name}.delta", **where(entry, *at[1:]), delta=more)
    if whole:
        _end_words(page, at)


def _end_words(page: Page, at: Spot) -> None:
    part = _at(page, at)
    entry = _change(page, at, replace(part, worded=True))
    if part.kind == "text":
        page.say("response.output_text.done", **where(entry, *at[1:]), text=part.words)
    else:
        page.say(
            "response.output_audio_transcript.done",
            **where(entry, *at[1:]),
            transcript=part.words,
        )


def call(page: Page, event: ToolCall) -> None:
    """Write a function call, which comes whole."""
    response = event.response
    if response is None or response not in page.book.replies or event.call in page.book.calls:
        return
    reply = page.book.replies[response]
    taken = event.item is None or event.item in page.book.items or event.item in reply.items
    id = page.mint("item") if taken or event.item is None else event.item
    object = objects.called(id, event.call, event.name, "", "in_progress")
    enter(page, response, id, object)
    entry = page.book.replies[response].items[id]
    spot = {**where(entry, id, 0), "call_id": event.call}
    del spot["content_index"]
    said = event.arguments
    if said:
        page.say("response.function_call_arguments.delta", **spot, delta=said)
    page.say("response.function_call_arguments.done", **spot, name=event.name, arguments=said)
    close(page, response, id, objects.called(id, event.call, event.name, said, "completed"))
    made = Call(response, side=reply.wish.side)
    page.keep(calls=newest({**page.book.calls, event.call: made}))


def calls_void(page: Page, event: ToolCallCancelled) -> None:
    """Forget results that nobody wants any more."""
    calls = dict(page.book.calls)
    for id in event.calls:
        if id in calls:
            calls[id] = replace(calls[id], outcome="void")
    held = tuple(result for result in page.book.held if result.call not in event.calls)
    page.keep(calls=calls, held=held)


def done(page: Page, event: ResponseDone) -> None:
    """Let an answer end, with all that is still open of it."""
    id = event.response
    if id is None or id not in page.book.replies:
        return
    status = "completed" if event.status == "completed" else "incomplete"
    for item, entry in page.book.replies[id].items.items():
        for place, part in enumerate(entry.parts):
            at = (id, item, place)
            if part.kind == "audio" and not part.sounded:
                _end_sound(page, at)
            if not part.worded:
                _end_words(page, at)
            fields = where(entry, item, place)
            page.say("response.content_part.done", **fields, part=objects.part_of(_at(page, at)))
        parts = page.book.replies[id].items[item].parts
        close(page, id, item, objects.said(item, parts, status))
    reply = page.book.replies[id]
    page.keep(replies=without(page.book.replies, id))
    page.say("response.done", response=objects.response(page.book, id, reply, event))
