"""Items: how they enter the conversation, and how an answer's items come to their ends."""

from __future__ import annotations

from msgspec.structs import replace

from . import objects
from .book import Book, Entry, Part, Reply, newest, without
from .page import Page
from .schema import Fields

__all__ = ("add", "close", "commit", "enter", "grow", "open_part", "place", "put_reply")


def place(book: Book, id: str, entry: Entry, after: str | None = None) -> Book:
    """Put an item into the conversation, at the end or behind another ("root": in front)."""
    if after is None:
        return replace(book, items=newest({**book.items, id: entry}))
    order = [] if after != "root" else [(id, entry)]
    for name, other in book.items.items():
        order.append((name, other))
        if name == after:
            order.append((id, entry))
    return replace(book, items=newest(dict(order)))


def _previous(book: Book, id: str) -> str | None:
    before = None
    for name in book.items:
        if name == id:
            break
        before = name
    return before


def add(page: Page, id: str, entry: Entry, after: str | None = None) -> None:
    """Let a whole item enter the conversation."""
    page.book, object = place(page.book, id, entry, after), entry.object
    previous = _previous(page.book, id)
    for event in ("added", "done"):
        page.say(f"conversation.item.{event}", previous_item_id=previous, item=object)


def commit(page: Page, id: str) -> None:
    """Make an item of what was heard."""
    object = objects.message(id, "user", [{"type": "input_audio", "transcript": None}])
    previous = next(reversed(list(page.book.items)), None)
    page.say("input_audio_buffer.committed", previous_item_id=previous, item_id=id)
    page.keep(buffered=0)
    add(page, id, Entry(object))


# --- items of an answer -----------------------------------------------------------------------


def put_reply(page: Page, id: str, reply: Reply) -> None:
    """Enter or replace an answer that is being given."""
    page.keep(replies={**page.book.replies, id: reply})


def enter(page: Page, response: str, id: str, object: Fields) -> None:
    """Let an item of an answer begin."""
    reply = page.book.replies[response]
    entry = Entry(object, response, reply.begun)
    reply = replace(reply, items={**reply.items, id: entry}, begun=reply.begun + 1)
    put_reply(page, response, reply)
    page.say(
        "response.output_item.added",
        response_id=response,
        output_index=entry.index,
        item=object,
    )
    if not reply.wish.side:
        page.book = place(page.book, id, entry)
        previous = _previous(page.book, id)
        page.say("conversation.item.added", previous_item_id=previous, item=object)


def open_part(page: Page, response: str, id: str, part: Part) -> None:
    """Let a part of an item begin, and the item with its first part."""
    if id not in page.book.replies[response].items:
        enter(page, response, id, objects.said(id, (), "in_progress"))
    entry = page.book.replies[response].items[id]
    grow(page, response, id, (*entry.parts, part))
    page.say(
        "response.content_part.added",
        **where(entry, id, len(entry.parts)),
        part=objects.part_of(part),
    )


def where(entry: Entry, id: str, place: int) -> Fields:
    """Give the fields of an event that name one part."""
    return {
        "response_id": entry.response,
        "item_id": id,
        "output_index": entry.index,
        "content_index": place,
    }


def grow(page: Page, response: str, id: str, parts: tuple[Part, ...]) -> None:
    """Let an item of an answer have these parts."""
    reply = page.book.replies[response]
    entry = replace(reply.items[id], parts=parts)
    put_reply(page, response, replace(reply, items={**reply.items, id: entry}))


def close(page: Page, response: str, id: str, object: Fields) -> None:
    """Let an item of an answer be whole."""
    reply = page.book.replies[response]
    entry = replace(reply.items[id], object=object)
    output = {**reply.output, entry.index: object}
    put_reply(page, response, replace(reply, items=without(reply.items, id), output=output))
    if not reply.wish.side and id in page.book.items:
        page.keep(items={**page.book.items, id: entry})
        previous = _previous(page.book, id)
        page.say("conversation.item.done", previous_item_id=previous, item=object)
    page.say(
        "response.output_item.done",
        response_id=response,
        output_index=entry.index,
        item=object,
    )
