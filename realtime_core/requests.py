"""Requests for an answer: each is sent at most once, when it is its turn, and settled.

Where a provider allows one open response, a request waits while one is open, while an earlier
request is unborn, or while a barrier is pending; one outside the conversation waits for the barrier
alone. One that continues after tool results also waits while the user speaks; an answer that the
provider then gives by itself supersedes it.
"""

from __future__ import annotations

from msgspec.structs import replace

from .epoch import RequestId, ResponseId
from .events import Error
from .frames import CreateResponse
from .moment import Moment, arm, disarm, emit, tell
from .state import Phase, State, Timer
from .turn import Ledger, Request, open_responses

__all__ = (
    "continue_tools",
    "release",
    "request",
    "settle_request",
    "user_answered",
    "user_paused",
    "user_silent",
    "user_speaks",
)


def request(state: State, now: Moment, frame: CreateResponse, *, continues: bool = False) -> State:
    """Ask for an answer, now or when it is its turn."""
    name = frame.request or RequestId(f"request-{state.minted}")
    wish = Request(replace(frame, request=name), state.epoch, continues)
    ledger = replace(state.ledger, requests=(*state.ledger.requests, wish))
    return release(replace(state, minted=state.minted + 1, ledger=ledger), now)


def release(state: State, now: Moment) -> State:
    """Send the requests whose turn has come."""
    while (place := _next(state)) is not None:
        wish = state.ledger.requests[place]
        requests = (
            *state.ledger.requests[:place],
            replace(wish, sent=True),
            *state.ledger.requests[place + 1 :],
        )
        state = replace(state, ledger=replace(state.ledger, requests=requests))
        state, refused = tell(state, now, wish.frame)
        if refused is not None:
            state = settle_request(state, wish.id)
            emit(state, now, Error(error=refused, recoverable=True, request=wish.id))
    return state


def _next(state: State) -> int | None:
    if state.phase is not Phase.OPEN or state.barrier:
        return None
    busy = state.plan.capabilities.one_response and _busy(state.ledger)
    return next(
        (
            place
            for place, wish in enumerate(state.ledger.requests)
            if not wish.sent
            and (wish.side or not busy)
            and not (wish.continues and state.listening)
        ),
        None,
    )


def _busy(ledger: Ledger) -> bool:
    """Tell whether an answer of the conversation is open, or asked for and unborn."""
    return any(not ledger.responses[id].side for id in open_responses(ledger)) or any(
        wish.sent and not wish.overdue and not wish.side for wish in ledger.requests
    )


def user_speaks(state: State, now: Moment) -> State:
    """Let what continues after tool results wait: it must not talk over the user."""
    if state.plan.capabilities.tool_reply != "create":
        return state
    return disarm(replace(state, listening=True), now, Timer.TURN)


def user_paused(state: State, now: Moment) -> State:
    """Give the provider a moment to answer by itself, where tools would continue otherwise."""
    if not state.listening:
        return state
    if any(call.outcome == "open" for call in state.ledger.calls.values()) or any(
        wish.continues and not wish.sent for wish in state.ledger.requests
    ):
        return arm(state, now, Timer.TURN, state.plan.config.barrier_timeout)
    return replace(state, listening=False)


def user_answered(state: State, now: Moment) -> State:
    """Give up what would continue: the provider answers the user, and knows the results."""
    kept = tuple(w for w in state.ledger.requests if w.sent or not w.continues)
    state = replace(state, listening=False, ledger=replace(state.ledger, requests=kept))
    return disarm(state, now, Timer.TURN)


def user_silent(state: State, now: Moment) -> State:
    """Let what waited for the user go: nobody has spoken, or is answered."""
    return release(disarm(replace(state, listening=False), now, Timer.TURN), now)


def settle_request(state: State, id: RequestId) -> State:
    """Forget a request that was sent: it was answered, refused or lost."""
    requests = tuple(wish for wish in state.ledger.requests if wish.id != id or not wish.sent)
    return replace(state, ledger=replace(state.ledger, requests=requests))


def continue_tools(state: State, now: Moment, id: ResponseId) -> State:
    """Ask for the one continuation, once a response has ended and its last call is answered."""
    if state.plan.capabilities.tool_reply != "create":
        return state
    response = state.ledger.responses.get(id)
    if response is None or response.open or response.fenced or response.epoch != state.epoch:
        return state
    outcomes = {state.ledger.calls[call].outcome for call in response.calls}
    if "sent" not in outcomes or "open" in outcomes:
        return state
    return request(state, now, CreateResponse(), continues=True)
