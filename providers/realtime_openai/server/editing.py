"""Editing: what a client adds to the conversation, asks of it, shortens and removes."""

from __future__ import annotations

from msgspec.structs import replace

from realtime_core.epoch import CallId, ItemId
from realtime_core.frames import Audio, Heard, ToolResult

from .. import client_events as client
from . import objects
from .book import Call, Entry, Part, newest, without
from .items import add
from .messages import frames_of, object_of, weight, wrong
from .page import Page
from .results import interrupt
from .schema import Complaint, Fields

__all__ = ("create_item", "delete", "retrieve", "truncate")

_EARLY = 32 * 1024 * 1024
"""Bytes of items that wait for a session; more are told to one at once."""


def create_item(page: Page, event: client.CreateItem, event_id: str) -> None:
    """Add an item, and tell the session of it."""
    item, after = event.item, event.previous_item_id or None
    if isinstance(item, client.FunctionCall) and not item.call_id:
        item = replace(item, call_id=page.mint("call"))
    id = item.id or page.mint("item")
    complaint = wrong(item)
    if id in page.book.items:
        complaint = Complaint("invalid_value", f"There is an item {id!r} already.", "item.id")
    if after is not None and after != "root" and after not in page.book.items:
        what = f"There is no item {after!r}."
        complaint = Complaint("invalid_value", what, "previous_item_id")
    if isinstance(item, client.FunctionCallOutput):
        complaint = complaint or _unwanted(page, item)
    if complaint is not None:
        page.fail(complaint.code, complaint.message, param=complaint.param, event=event_id)
        return
    frames = frames_of(item, page.book.input_format)
    early = page.book.early + weight(item)
    told = page.book.begun or early > _EARLY or any(isinstance(one, Audio) for one in frames)
    page.keep(early=early)
    add(page, id, Entry(object_of(item, id), source=None if told else item), after)
    if isinstance(item, client.FunctionCallOutput):
        _result(page, item)
    if isinstance(item, client.FunctionCall):
        seeded = {str(item.call_id): Call("", outcome="void")}
        page.keep(calls=newest({**page.book.calls, **seeded}))
    for frame in frames if told else ():
        page.ask(frame, event_id)


def _unwanted(page: Page, item: client.FunctionCallOutput) -> Complaint | None:
    if item.call_id not in page.book.calls:
        what = f"There is no call {item.call_id!r} in the conversation."
        return Complaint("invalid_tool_call_id", what, "item.call_id")
    if page.book.calls[item.call_id].outcome in {"held", "sent"}:
        what = f"The call {item.call_id!r} has a result already."
        return Complaint("invalid_value", what, "item.call_id")
    return None


def _result(page: Page, item: client.FunctionCallOutput) -> None:
    call = page.book.calls[item.call_id]
    if call.outcome != "open":
        return
    calls = {**page.book.calls, item.call_id: replace(call, outcome="held")}
    page.keep(calls=calls, held=(*page.book.held, ToolResult(CallId(item.call_id), item.output)))


def retrieve(page: Page, event: client.RetrieveItem, id: str) -> None:
    """Give an item back."""
    entry = _found(page, event.item_id, "retrieve", id)
    if entry is not None:
        page.say("conversation.item.retrieved", item=_shown(event.item_id, entry))


def _shown(id: str, entry: Entry) -> Fields:
    if not entry.parts:
        return entry.object
    return objects.said(id, entry.parts, entry.object["status"])


def delete(page: Page, event: client.DeleteItem, id: str) -> None:
    """Forget an item; a session that was told of it is not told."""
    if _found(page, event.item_id, "delete", id) is not None:
        page.keep(items=without(page.book.items, event.item_id))
        page.say("conversation.item.deleted", item_id=event.item_id)


def _found(page: Page, item: str, verb: str, event: str) -> Entry | None:
    entry = page.book.find(item)
    if entry is None:
        what = f"There is no item {item[:100]!r} in the conversation."
        page.fail(f"item_{verb}_invalid_item_id", what, param="item_id", event=event)
    return entry


def truncate(page: Page, event: client.TruncateItem, id: str) -> None:
    """Shorten an answer's sound to what was heard."""
    entry = _found(page, event.item_id, "truncate", id)
    if entry is None:
        return
    place, rate = event.content_index, page.book.output_format.rate
    part = entry.parts[place] if place < len(entry.parts) else Part("text")
    there = part.samples * 1_000 // rate
    if part.kind != "audio":
        what, param = "Only the sound of an answer can be truncated.", "content_index"
    elif event.audio_end_ms > there:
        what = f"Audio content of {there}ms is already shorter than {event.audio_end_ms}ms"
        param = "audio_end_ms"
    else:
        _cut(page, event, entry, part)
        return
    page.fail("invalid_value", what, param=param, event=id)


def _cut(page: Page, event: client.TruncateItem, entry: Entry, part: Part) -> None:
    """Shorten an item; if nobody has cut the answer yet, this does."""
    id, place = event.item_id, event.content_index
    page.say(
        "conversation.item.truncated",
        item_id=id,
        content_index=place,
        audio_end_ms=event.audio_end_ms,
    )
    kept = event.audio_end_ms * page.book.output_format.rate // 1_000
    before = sum(part.samples for part in entry.parts[:place])
    goes_on = kept < part.samples or entry.response in page.book.replies
    shorter = replace(part, samples=kept, cut=True)
    _keep(
        page, id, replace(entry, parts=(*entry.parts[:place], shorter, *entry.parts[place + 1 :]))
    )
    page.ask(Heard(ItemId(id), before + kept), event.event_id or "")
    fresh = entry.response == page.book.last and entry.response not in page.book.fenced
    if fresh and goes_on:
        interrupt(page, (entry.response,), event.event_id or "")


def _keep(page: Page, id: str, entry: Entry) -> None:
    reply = page.book.replies.get(entry.response)
    if reply is not None and id in reply.items:
        reply = replace(reply, items={**reply.items, id: entry})
        page.keep(replies={**page.book.replies, entry.response: reply})
    else:
        page.keep(items={**page.book.items, id: entry})
