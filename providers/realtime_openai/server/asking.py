"""Asking: settings, answers and their end, as a client asks for them."""

from __future__ import annotations

from typing import Any, cast

from realtime_core.epoch import RequestId
from realtime_core.frames import CreateResponse, UpdateSession

from .. import client_events as client
from .book import Book, Wish
from .messages import messages_of
from .page import Page
from .results import goes_on, interrupt
from .schema import Complaint, read_session
from .settings import config_of, merged

__all__ = ("cancel", "clear_output", "create", "update")

_WAITING = 64


def update(page: Page, event: client.UpdateSession, id: str) -> None:
    """Ask for other settings."""
    wished = read_session(event.session)
    given = merged(page.book.given, event.session)
    if not isinstance(wished, Complaint):
        wished = read_session(given)
    if isinstance(wished, Complaint):
        page.fail(wished.code, wished.message, param=wished.param, event=id)
        return
    page.ask(UpdateSession(config_of(given, page.book.base, None)), id, given)


def create(page: Page, event: client.Create, id: str) -> None:
    """Ask for an answer, unless one is being given.

    Tools, voice and limits of a single response are passed over: the session's hold.
    """
    wish = event.response or client.ResponseWish()
    side = wish.conversation == "none"
    active = page.book.active
    if not side and active is not None:
        what = f"Conversation already has an active response in progress: {active or 'to come'}."
        page.fail("conversation_already_has_active_response", what, event=id)
        return
    read = messages_of(wish.input or (), page.book)
    why = _wrong(page.book, wish)
    if isinstance(read, Complaint):
        why, read = why or read, ()
    if why is not None:
        page.fail(why.code, why.message, param=why.param, event=id)
        return
    metadata, modes = wish.metadata or None, wish.output_modalities or ()
    asked = Wish(id, metadata, tuple(modes), side, page.book.epoch)
    if not side and goes_on(page):
        page.keep(continuing=asked)
        return
    name = (metadata or {}).get("request") or id
    if not name or name in page.book.wishes:
        name = page.mint("create")
    page.keep(wishes={**page.book.wishes, name: asked})
    frame = CreateResponse(
        instructions=wish.instructions or "",
        request=RequestId(name),
        modalities=cast("Any", tuple(modes)),
        conversation="none" if side else "auto",
        input=read,
        metadata=metadata or {},
    )
    page.ask(frame, id)


def _wrong(book: Book, wish: client.ResponseWish) -> Complaint | None:
    """Say what of a wish cannot be."""
    if wish.modalities:
        return Complaint("unknown_parameter", "Unknown parameter.", "response.modalities")
    modes, labels = wish.output_modalities or (), wish.metadata or {}
    if modes and tuple(modes) not in {("audio",), ("text",)}:
        what = "Sound brings its transcript along: ask for one modality."
        return Complaint("invalid_value", what, "response.output_modalities")
    if len(labels) > 16 or any(len(k) > 64 or len(v) > 512 for k, v in labels.items()):
        what = "At most 16 pairs, of names up to 64 and values up to 512 characters."
        return Complaint("invalid_value", what, "response.metadata")
    if len(book.wishes) >= _WAITING:
        return Complaint("rate_limit_exceeded", "Too many responses are waited for.")
    return None


def cancel(page: Page, event: client.Cancel, id: str) -> None:
    """Cut the answer that is being given."""
    book, named = page.book, event.response_id
    running = [one for one in book.replies if not named or one == named]
    if not running and (named or not (book.wishes or book.continuing)):
        what = f"Cancellation failed: no active response found{f' {named!r}' if named else ''}."
        page.fail("response_cancel_not_active", what[:300], param="response_id", event=id)
        return
    if any(one not in book.fenced for one in running) or not running:
        interrupt(page, tuple(running), id)


def clear_output(page: Page, event: client.ClearOutput, id: str) -> None:  # noqa: ARG001
    """Cut what plays on a track; over a socket nothing does."""
    if page.book.by_track:
        mine = tuple(one for one in page.book.unplayed if one not in page.book.fenced)
        if mine:
            interrupt(page, mine, id)
        return
    what = "Over a socket the client plays the sound, and clears it by itself."
    page.fail("invalid_event", what, param="type", event=id)
