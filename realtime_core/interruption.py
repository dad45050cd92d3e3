"""The one transition of interruption, and how responses come to their single end.

Whoever cuts in (provider, local detector, application, lost connection, close), the same steps
follow: read what was heard, raise the epoch, fence, settle the tools, repair the provider's
context, keep the conversation as heard, announce once with the cause.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec.structs import replace

from .codec import CancelResponse, DeleteItem, TruncateItem
from .epoch import CallId, Epoch, ItemId, ResponseId
from .errors import RealtimeError
from .events import (
    Cause,
    Confirmed,
    ConversationItem,
    HeardItem,
    Interrupted,
    ResponseDone,
    Status,
    ToolCallCancelled,
    Usage,
)
from .heard import Delivered, heard_words
from .moment import Moment, arm, disarm, emit, keep, let_go, played, tell
from .requests import continue_tools, release
from .state import Arm, Fence, Phase, State, Stop, Timer
from .turn import Call, Ledger, forget, heard_samples, open_responses, put_response, running

__all__ = (
    "end_calls",
    "interrupt",
    "passed",
    "reached",
    "report_left",
    "report_overdue",
    "settle",
    "settle_all",
    "settle_stale",
    "void_calls",
)

_REMEMBERED = 64
"""Answers we asked for that are overdue: known by name until they come, the newest of them."""


def interrupt(
    state: State,
    now: Moment,
    cause: Cause,
    *,
    confirmed: Confirmed | None = None,
) -> State:
    """Make everything said and not yet heard stale.

    Automatic causes change nothing where nothing can be cut; the application's own interrupt
    always raises the epoch by one. The provider is told to stop where it did not do so by itself:
    a hold that is `confirmed` is our decision, whoever heard the onset.
    """
    at = played(state, now.at)
    cut = running(state.ledger, state.epoch, now.delivered, at)
    if cause != "app" and not cut and all(request.doomed for request in state.ledger.requests):
        return state
    reached_by = {id: reached(state.ledger, id, now.delivered, at) for id in cut}
    heard = tuple(part for parts in reached_by.values() for part in parts)
    state = replace(state, epoch=Epoch(state.epoch + 1))
    now.effects.append(Fence(state.epoch, cut))
    state = let_go(state, now)
    emit(state, now, Interrupted(cause=cause, heard=heard, fenced=cut, confirmed=confirmed))
    state = replace(state, ledger=_doom(_fence(state.ledger, reached_by)))
    state = void_calls(state, now, "cancelled")
    for part in heard:
        state = keep(state, part.item, part.text, exact=part.exact)
    if state.phase is Phase.OPEN and cause not in {"connection", "close"}:
        state = _repair(state, now, cut, heard, cause if confirmed is None else "hold")
    return state


def reached(
    ledger: Ledger, id: ResponseId, delivered: Delivered, at: float
) -> tuple[HeardItem, ...]:
    """Give what has reached the ear of a response's spoken items, or had when it was fenced."""
    response = ledger.responses.get(id)
    if response is None or response.fenced:
        return () if response is None else response.heard
    return tuple(
        _heard(ledger, item, delivered, at) for item in response.items if ledger.items[item].spoken
    )


def _heard(ledger: Ledger, id: ItemId, delivered: Delivered, at: float) -> HeardItem:
    item = ledger.items[id]
    samples = heard_samples(ledger, id, delivered, at)
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


def _fence(ledger: Ledger, cut: Mapping[ResponseId, tuple[HeardItem, ...]]) -> Ledger:
    stale = {
        id: replace(ledger.responses[id], fenced=True, heard=heard) for id, heard in cut.items()
    }
    return replace(ledger, responses={**ledger.responses, **stale})


def _doom(ledger: Ledger) -> Ledger:
    """Unsent requests are superseded; sent ones will be cancelled when they are born."""
    sent = tuple(replace(request, doomed=True) for request in ledger.requests if request.sent)
    return replace(ledger, requests=sent)


def void_calls(state: State, now: Moment, outcome: Status) -> State:
    """End the open calls that their policy lets an interruption end, or all when they are lost."""
    everything = outcome != "cancelled"
    return end_calls(
        state,
        now,
        (
            id
            for id, call in state.ledger.calls.items()
            if call.outcome == "open" and (everything or call.policy == "cancel")
        ),
        "lost" if everything else "cancelled",
    )


def end_calls(
    state: State, now: Moment, calls: Iterable[CallId], outcome: Literal["cancelled", "lost"]
) -> State:
    """End open calls without a result; handlers to be stopped leave before that is reported."""
    known = state.ledger.calls
    void = {id: replace(known[id], outcome=outcome) for id in calls}
    until = now.at + state.plan.config.grace_timeout
    leaving = {id: replace(c, leaving=until) for id, c in void.items() if _stops(c)}
    if leaving:
        now.effects.append(Stop(tuple(leaving)))
    gone = tuple(id for id in void if id not in leaving)
    if gone:
        emit(state, now, ToolCallCancelled(calls=gone))
    state = replace(state, ledger=replace(state.ledger, calls={**known, **void, **leaving}))
    return _await_leaving(state, now)


def _stops(call: Call) -> bool:
    """Tell whether the end of a call stops its handler: its policy may let it end by itself."""
    return call.handled and call.policy == "cancel"


def report_left(state: State, now: Moment, calls: Iterable[CallId]) -> State:
    """Report cancelled calls among these: their handlers have left, or nobody waits any more."""
    known = state.ledger.calls
    waited = (id for id in calls if known[id].leaving is not None)
    left = {id: replace(known[id], leaving=None) for id in waited}
    if not left:
        return state
    emit(state, now, ToolCallCancelled(calls=tuple(left)))
    state = replace(state, ledger=replace(state.ledger, calls={**known, **left}))
    return _await_leaving(state, now)


def report_overdue(state: State, now: Moment) -> State:
    """Report cancelled calls whose handlers have had their grace time."""
    calls = state.ledger.calls.items()
    return report_left(
        state, now, tuple(id for id, c in calls if c.leaving is not None and c.leaving <= now.at)
    )


def _await_leaving(state: State, now: Moment) -> State:
    """Ring when the next grace time is over."""
    waited = [c.leaving for c in state.ledger.calls.values() if c.leaving is not None]
    if not waited:
        return disarm(state, now, Timer.GRACE)
    due = min(waited)
    now.effects.append(Arm(Timer.GRACE, due))
    return replace(state, due={**state.due, Timer.GRACE: due})


def _repair(
    state: State,
    now: Moment,
    cut: tuple[ResponseId, ...],
    heard: tuple[HeardItem, ...],
    by: Cause | Literal["hold"],
) -> State:
    """Tell the provider what was not heard, and to stop what it has not stopped by itself."""
    able, told = state.plan.capabilities, False
    cancel = able.cancel and by != "provider"
    for id in cut:
        response = state.ledger.responses[id]
        if cancel and response.open and (by == "app" or not response.cancelled):
            told = True
            state, _ = tell(state, now, CancelResponse(id))
            ledger = put_response(state.ledger, id, replace(response, cancelled=True))
            state = replace(state, ledger=ledger)
    for part in heard:
        if state.ledger.responses[part.response].side:
            continue
        if part.samples == 0 and able.delete:
            state, _ = tell(state, now, DeleteItem(part.item))
        elif 0 < part.samples < part.received and able.truncate:
            command = TruncateItem(part.item, part.samples, part.rate, part.text)
            state, _ = tell(state, now, command)
    if not _stale_open(state) and not _unborn(state):
        return state
    state = replace(state, barrier=state.barrier or told or (cancel and _unborn(state)))
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
    response = replace(state.ledger.responses[id], open=False, unpaid=not by_provider)
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
    ledger = replace(state.ledger, requests=())
    state = replace(
        state, barrier=False, listening=False, ledger=ledger, history=state.conversation
    )
    state = disarm(disarm(state, now, Timer.TURN), now, Timer.ENDING)
    for id in open_responses(state.ledger):
        state = settle(state, now, id, status, error=error, by_provider=False)
    return void_calls(state, now, status)
