"""Results and cuts: what the session is handed for its calls, and what becomes of cut answers."""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from realtime_core.epoch import RequestId
from realtime_core.events import ResponseDone
from realtime_core.frames import CreateResponse, Interrupt, ToolResult

from . import objects
from .book import Reply
from .page import Page

__all__ = ("ask_after_all", "fence", "goes_on", "hand_over", "interrupt", "not_wanted", "silence")

_NAMES = 64


def hand_over(page: Page) -> None:
    """Give the session the results that it does not have yet."""
    calls = dict(page.book.calls)
    for result in page.book.held:
        calls[result.call] = replace(calls[result.call], outcome="sent")
        page.ask(result)
    page.keep(calls=calls, held=())


def not_wanted(page: Page, result: ToolResult) -> None:
    """Mark a call whose result the session did not take; what was to go on is asked for."""
    call = page.book.calls.get(result.call)
    if call is not None:
        page.keep(calls={**page.book.calls, result.call: replace(call, outcome="void")})
    ask_after_all(page)


def ask_after_all(page: Page) -> None:
    """Ask for the answer that was to come by itself, if one was."""
    wish = page.book.continuing
    if wish is not None:
        name = page.mint("create")
        page.keep(continuing=None, wishes={**page.book.wishes, name: wish})
        page.ask(CreateResponse(request=RequestId(name)), wish.event_id)


def fence(page: Page, *responses: str) -> None:
    """Remember that answers were cut."""
    page.keep(fenced=(*page.book.fenced, *responses)[-_NAMES:])


def goes_on(page: Page) -> bool:
    """Hand results over; tell whether the session then goes on without being asked."""
    book = page.book
    if not book.held:
        return False
    last = book.calls[book.held[-1].call].response
    hand_over(page)
    calls = [call for call in page.book.calls.values() if call.response == last]
    return last not in book.fenced and all(call.outcome == "sent" for call in calls)


def interrupt(page: Page, fenced: tuple[str, ...], event: str) -> None:
    """Have the session fall silent."""
    silence(page, fenced, "client_cancelled")
    page.ask(Interrupt(), event)


def silence(
    page: Page,
    fenced: tuple[str, ...],
    reason: Literal["turn_detected", "client_cancelled"],
    epoch: int | None = None,
) -> None:
    """Cut answers; those that were asked for and have not begun are given as cancelled ones.

    With `epoch`, only those that were asked for before it: the others will begin.
    """
    book = page.book
    replies = {
        id: replace(reply, cut=reply.cut or reason) if id in fenced else reply
        for id, reply in book.replies.items()
    }
    void = {id: wish for id, wish in book.wishes.items() if epoch is None or wish.epoch < epoch}
    waiting, goes_on = list(void.values()), book.continuing
    if goes_on is not None and (epoch is None or goes_on.epoch < epoch):
        waiting.append(goes_on)
        goes_on = None
    wishes = {id: wish for id, wish in book.wishes.items() if id not in void}
    page.keep(replies=replies, wishes=wishes, continuing=goes_on)
    fence(page, *fenced)
    for wish in waiting:
        id, reply = page.mint("resp"), Reply(wish, cut=reason)
        done = ResponseDone(status="cancelled")
        page.say("response.created", response=objects.response(page.book, id, reply))
        page.say("response.done", response=objects.response(page.book, id, reply, done))
