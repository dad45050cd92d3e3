"""The one transition of interruption, and how responses come to their single end.

Whoever cuts in (provider, local detector, application, lost connection, close), the same steps
follow: read what was heard, raise the epoch, fence, settle the tools, repair the provider's
context, keep the conversation as heard, announce once with the cause.
"""

from __future__ import annotations

from msgspec.structs import replace

from .codec import CancelResponse, DeleteItem, TruncateItem
from .epoch import Epoch, ItemId, ResponseId
from .errors import RealtimeError
from .events import (
    Cause,
    ConversationItem,
    HeardItem,
    Interrupted,
    ResponseDone,
    Status,
    ToolCallCancelled,
    Usage,
)
from .heard import heard_words
from .moment import Moment, arm, disarm, emit, keep, tell
from .requests import continue_tools, release
from .state import Fence, Phase, State, Timer
from .turn import Ledger, forget, heard_samples, open_responses, put_response, running

__all__ = ("interrupt", "passed", "settle", "settle_all", "settle_stale", "void_calls")

_REMEMBERED = 64
"""Answers we asked for that are overdue: known by name until they come, the newest of them."""


def interrupt(state: State, now: Moment, cause: Cause) -> State:
    """Make everything said and not yet heard stale.

    Automatic causes change nothing where nothing can be cut; the application's own interrupt
    always raises the epoch by one.
    """
    cut = running(state.ledger, state.epoch, now.delivered, now.at)
    if cause != "app" and not cut and all(request.doomed for request in state.ledger.requests):
        return state
    heard = tuple(
        _heard(state.ledger, now, item)
        for id in cut
        for item in state.ledger.responses[id].items
        if state.ledger.items[item].spoken
    )
    state = replace(state, epoch=Epoch(state.epoch + 1))
    now.effects.append(Fence(state.epoch))
    emit(state, now, Interrupted(cause=cause, heard=heard, fenced=cut))
    state = replace(state, ledger=_doom(_fence(state.ledger, cut)))
    state = void_calls(state, now, "cancelled")
    for part in heard:
        state = keep(state, part.item, part.text, exact=part.exact)
    if state.phase is Phase.OPEN and cause not in {"connection", "close"}:
        state = _repair(state, now, cut, heard, cancel=cause != "provider")
    return state


def _heard(ledger: Ledger, now: Moment, id: ItemId) -> HeardItem:
    item = ledger.items[id]
    samples = heard_samples(ledger, id, now.delivered, now.at)
    text, exact = heard_words(item.words, samples, item.received, item.rate, complete=item.complete)
    return HeardItem(
        item=id,
        response=item.response,
        samples=samples,
        received=item.received,
        rate=item.rate,
        text=text,
        exact=exact and ledger.confirmed,
    )


def _fence(ledger: Ledger, cut: tuple[ResponseId, ...]) -> Ledger:
    stale = {id: replace(ledger.responses[id], fenced=True) for id in cut}
    return replace(ledger, responses={**ledger.responses, **stale})


def _doom(ledger: Ledger) -> Ledger:
    """Unsent requests are superseded; sent ones will be cancelled when they are born."""
    sent = tuple(replace(request, doomed=True) for request in ledger.requests if request.sent)
    return replace(ledger, requests=sent)


def void_calls(state: State, now: Moment, outcome: Status) -> State:
    """End the open calls that their policy lets an interruption end, or all when they are lost."""
    ledger = state.ledger
    everything = outcome != "cancelled"
    void = {
        id: replace(call, outcome="lost" if everything else "cancelled")
        for id, call in ledger.calls.items()
        if call.outcome == "open" and (everything or call.policy == "cancel")
    }
    if not void:
        return state
    emit(state, now, ToolCallCancelled(calls=tuple(void)))
    return replace(state, ledger=replace(ledger, calls={**ledger.calls, **void}))


def _repair(
    state: State,
    now: Moment,
    cut: tuple[ResponseId, ...],
    heard: tuple[HeardItem, ...],
    *,
    cancel: bool,
) -> State:
    able = state.plan.capabilities
    for id in cut:
        response = state.ledger.responses[id]
        if cancel and able.cancel and response.open and not response.cancelled:
            state, _ = tell(state, now, CancelResponse(id))
            ledger = put_response(state.ledger, id, replace(response, cancelled=True))
            state = replace(state, ledger=ledger)
    for part in heard:
        if part.samples == 0 and able.delete:
            state, _ = tell(state, now, DeleteItem(part.item))
        elif 0 < part.samples < part.received and able.truncate:
            command = TruncateItem(part.item, part.samples, part.rate, part.text)
            state, _ = tell(state, now, command)
    if not _stale_open(state) and not _unborn(state):
        return state
    state = replace(state, barrier=state.barrier or (cancel and able.cancel))
    if not cut and Timer.SETTLE in state.due:
        return state
    return arm(state, now, Timer.SETTLE, state.plan.config.barrier_timeout)


def _stale_open(state: State) -> tuple[ResponseId, ...]:
    ledger = state.ledger
    return tuple(id for id in open_responses(ledger) if ledger.responses[id].fenced)


def _unborn(state: State) -> bool:
    """Tell whether an answer is still to come that will be stale when it does."""
    return any(request.doomed and not request.overdue for request in state.ledger.requests)


def settle(
    state: State,
    now: Moment,
    id: ResponseId,
    status: Status,
    *,
    usage: Usage | None = None,
    error: RealtimeError | None = None,
    by_provider: bool = True,
) -> State:
    """Bring an open response to its single end."""
    response = replace(state.ledger.responses[id], open=False)
    items = {item: replace(state.ledger.items[item], complete=True) for item in response.items}
    ledger = put_response(state.ledger, id, response)
    state = replace(state, ledger=replace(ledger, items={**ledger.items, **items}))
    for message in state.history:
        if message.item is not None and message.item in items and message.text:
            emit(state, now, ConversationItem(response=id, item=message.item, message=message))
    done = ResponseDone(
        response=id, status=status, usage=usage, error=error, by_provider=by_provider
    )
    emit(state, now, done)
    state = replace(state, ledger=forget(state.ledger))
    state = continue_tools(state, now, id)
    return passed(state, now)


def passed(state: State, now: Moment) -> State:
    """Lift the barrier once nothing stale is open, and let waiting requests go."""
    if not _stale_open(state) and not _unborn(state):
        state = disarm(replace(state, barrier=False), now, Timer.SETTLE)
    return release(state, now)


def settle_stale(state: State, now: Moment) -> State:
    """Close what the provider left unanswered after an interruption."""
    requests = state.ledger.requests
    alive = tuple(wish for wish in requests if not wish.doomed)
    overdue = tuple(replace(wish, overdue=True) for wish in requests if wish.doomed)[-_REMEMBERED:]
    ledger = replace(state.ledger, requests=(*overdue, *alive))
    state = replace(state, barrier=False, ledger=ledger)
    for id in _stale_open(state):
        state = settle(state, now, id, "interrupted", by_provider=False)
    return release(state, now)


def settle_all(state: State, now: Moment, status: Status, error: RealtimeError | None) -> State:
    """Close every open response, request and call, for a connection that is gone."""
    state = replace(state, barrier=False, ledger=replace(state.ledger, requests=()))
    for id in open_responses(state.ledger):
        state = settle(state, now, id, status, error=error, by_provider=False)
    return void_calls(state, now, status)
