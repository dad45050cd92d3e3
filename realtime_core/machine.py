"""The machine: every decision the library makes, as one pure function.

`step` takes a state and what happened, and gives the next state and what to do. It reads no clock,
draws no number, waits for nothing and changes nothing it was given.
"""

from __future__ import annotations

from typing import Any, assert_never

from msgspec.structs import replace
from returns.result import Failure

from .alarms import rang
from .capability import Capabilities
from .changeover import change_if_due, lost
from .codec import Codec
from .config import Message
from .epoch import CallId
from .errors import InvalidRequest, RealtimeError, SessionClosed, Unavailable, Unsupported
from .events import AudioInput, ConversationItem, Error
from .frames import (
    ActivityEnd,
    ActivityStart,
    Audio,
    ClearAudio,
    Close,
    CommitAudio,
    CreateResponse,
    Frame,
    Heard,
    Hold,
    Interrupt,
    Release,
    Text,
    ToolResult,
    UpdateSession,
    Video,
)
from .holding import hold, release_hold
from .incoming import judge
from .interruption import end_calls, interrupt, report_left
from .lifecycle import begin, close, linked, shed
from .moment import Moment, absorb, count, emit, remember, tell
from .plan import negotiate
from .requests import continue_tools, request
from .state import (
    Begun,
    Effect,
    Entered,
    Input,
    Left,
    Linked,
    Lost,
    Phase,
    Purged,
    Pushed,
    Rang,
    Received,
    Refused,
    Shed,
    State,
    Transition,
)
from .turn import put_call, put_item

__all__ = ("step", "takes_no_result")


def step(codec: Codec[Any], state: State, given: Input) -> Transition:
    """Decide what follows from one thing that happened; after the end nothing does."""
    if state.phase is Phase.CLOSED and not isinstance(given, Pushed):
        return Transition(state)
    effects = list[Effect]()
    now = Moment(codec, given.at, given.delivered, effects, [])
    refused = None
    match given:
        case Received():
            state = _received(state, now, given)
        case Pushed():
            state, refused = _pushed(state, now, given.frame)
        case Linked():
            state = linked(state, now, given)
        case Lost():
            state = lost(state, now, given)
        case Rang():
            state = rang(state, now, given)
        case Shed():
            state = shed(state, now, given)
        case Refused():
            emit(state, now, Error(error=given.error, recoverable=True))
        case Entered() | Left():
            state = _handled(state, now, given)
        case Purged():
            state = _purged(state, now, given)
        case Begun():
            state = begin(state, now, given)
        case _:
            assert_never(given)
    state = _settle_pending(state, now)
    if state.leave_by is not None:
        state = change_if_due(state, now, state.leave_by)
    return Transition(state, tuple(effects), refused)


def _settle_pending(state: State, now: Moment) -> State:
    while now.pending:
        state = judge(state, now, now.pending.pop(0))
    return state


def _received(state: State, now: Moment, given: Received) -> State:
    if given.conn != state.conn or state.phase.ending:
        late = "after close" if state.phase.ending else "old connection"
        return count(state, late, len(given.wires))
    decode = now.codec.decode
    for wire in given.wires:
        result = decode(state.codec, wire)
        if isinstance(result, Failure):
            emit(state, now, Error(error=result.failure(), recoverable=True))
            continue
        state = absorb(state, now, result.unwrap())
        if now.pending:
            state = _settle_pending(state, now)
        if given.conn != state.conn or state.phase is Phase.CLOSED:
            return state
    return state


# --- frames of the caller ---------------------------------------------------------------------


def _pushed(state: State, now: Moment, frame: Frame) -> tuple[State, RealtimeError | None]:
    if state.phase.ending:
        return state, None if isinstance(frame, Close) else _closed()
    if frame.urgent:
        return _urgent(state, now, frame), None
    match frame:
        case _ if state.phase is not Phase.OPEN:
            return state, Unavailable(what="The session is not connected yet.")
        case Audio():
            return _audio(state, now, frame)
        case _ if lacking := _lacking(state.plan.capabilities, frame):
            return state, _lacks(state, lacking)
        case Text():
            return _text(state, now, frame)
        case ToolResult():
            return _tool_result(state, now, frame)
        case CreateResponse(input=(_, *_), conversation="auto"):
            return state, _misplaced()
        case CreateResponse():
            return request(state, now, frame), None
        case UpdateSession():
            return _update(state, now, frame)
        case ActivityStart():
            state, refused = tell(state, now, frame)
            return (state, refused) if refused else (replace(state, owed=True), None)
        case ActivityEnd():
            state, refused = tell(state, now, frame)
            return (state, refused) if refused else (request(state, now, CreateResponse()), None)
        case _:
            return tell(state, now, frame)


def _urgent(state: State, now: Moment, frame: Frame) -> State:
    match frame:
        case Interrupt():
            return interrupt(state, now, frame.cause)
        case Heard():
            return _heard(state, frame)
        case Hold():
            return hold(state, now, "local")
        case Release():
            return release_hold(state, now, "app")
        case _:
            return close(state, now)


def _lacking(able: Capabilities, frame: Frame) -> str:
    """Name what this frame needs and the provider does not have."""
    match frame:
        case Video() if not able.images:
            return "pictures"
        case Text() if not able.text_in:
            return "typed text"
        case UpdateSession() if not able.update:
            return "changes of a running session"
        case ActivityStart() | ActivityEnd() if not able.manual_turns:
            return "turns marked by hand"
        case CommitAudio() | ClearAudio() if not able.commit:
            return "audio committed or cleared by hand"
        case CreateResponse(conversation="none") if not able.side_responses:
            return "requests outside the conversation"
        case CreateResponse(modalities=modes) if modes and "audio" not in modes:
            return "" if able.text_out else "requests for text alone"
        case CreateResponse(modalities=modes) if modes and not able.audio_out:
            return "requests for sound"
        case _:
            return ""


def _audio(state: State, now: Moment, frame: Audio) -> tuple[State, RealtimeError | None]:
    if not state.plan.capabilities.audio_in:
        return state, _lacks(state, "sound")
    state, refused = tell(state, now, frame)
    if refused is None and state.plan.config.report_input:
        emit(state, now, AudioInput(pcm=frame.pcm, format=frame.format))
    return state, refused


def _text(state: State, now: Moment, frame: Text) -> tuple[State, RealtimeError | None]:
    if frame.turn == "interrupt":
        state = interrupt(state, now, "app")
    state, refused = tell(state, now, frame)
    if refused is not None:
        return state, refused
    message = Message(frame.role, frame.text)
    emit(state, now, ConversationItem(message=message))
    state = remember(state, message)
    return (state if frame.turn == "context" else request(state, now, CreateResponse())), None


def _tool_result(
    state: State, now: Moment, frame: ToolResult
) -> tuple[State, RealtimeError | None]:
    unwanted = takes_no_result(state, frame.call)
    if unwanted is not None:
        return state, unwanted
    call = state.ledger.calls[frame.call]
    side = state.ledger.responses[call.response].side
    withheld = side or (call.policy == "detach" and call.epoch < state.epoch)
    if not withheld:
        state, refused = tell(state, now, frame)
        if refused is not None:
            return state, refused
    ended = replace(call, outcome="kept" if withheld else "sent")
    state = replace(state, ledger=put_call(state.ledger, frame.call, ended))
    if side:
        return state, None
    message = Message("tool_result", frame.output, call=frame.call, name=call.name)
    emit(state, now, ConversationItem(message=message))
    return continue_tools(remember(state, message), now, call.response), None


def takes_no_result(state: State, call: CallId) -> RealtimeError | None:
    """Tell why a call takes no result, if it does not; code `call_void` where it was cut short."""
    known = state.ledger.calls.get(call)
    if known is not None and known.outcome == "open":
        return None
    outcome = "unknown" if known is None else known.outcome
    why = "is not known" if known is None else f"has already ended: {outcome}"
    return InvalidRequest(
        what=f"The tool call {call!r} {why}.",
        cause="a second result, a result after an interruption, or a misspelt call id",
        fix="Answer each `ToolCall` once, inside `session.handling(event.call)`.",
        code="call_void" if outcome in {"cancelled", "lost"} else "call_ended",
    )


def _handled(state: State, now: Moment, given: Entered | Left) -> State:
    call = state.ledger.calls.get(given.call)
    if call is None:
        return state
    call = replace(call, handled=isinstance(given, Entered))
    state = replace(state, ledger=put_call(state.ledger, given.call, call))
    return state if call.handled else report_left(state, now, (given.call,))


def _purged(state: State, now: Moment, given: Purged) -> State:
    calls = state.ledger.calls
    unanswered = [id for id in given.calls if id in calls and calls[id].outcome == "open"]
    return end_calls(state, now, unanswered, "cancelled")


def _heard(state: State, frame: Heard) -> State:
    item = state.ledger.items.get(frame.item)
    if item is None or state.ledger.responses[item.response].fenced:
        return count(state, "late acknowledgement")
    item = replace(item, heard=max(item.heard, min(frame.samples, item.received)))
    ledger = replace(put_item(state.ledger, frame.item, item), confirmed=True)
    return replace(state, ledger=ledger)


def _update(state: State, now: Moment, frame: UpdateSession) -> tuple[State, RealtimeError | None]:
    plan = state.plan
    wish = plan.meant(replace(frame.config, model=frame.config.model or plan.config.model))
    agreed = negotiate(plan.capabilities, wish)
    if isinstance(agreed, Failure):
        return state, agreed.failure()
    if wish.input_format not in {None, plan.input_format} or wish.output_format not in {
        None,
        plan.output_format,
    }:
        return state, _lacks(state, "another audio format while it runs")
    config, warnings = agreed.unwrap().config, agreed.unwrap().warnings
    updated = plan.updated(config)
    if isinstance(updated, Failure):
        return state, updated.failure()
    state, refused = tell(state, now, UpdateSession(config))
    if refused is not None:
        return state, refused
    for warning in warnings:
        emit(state, now, warning)
    return replace(state, plan=updated.unwrap()), None


def _lacks(state: State, words: str) -> RealtimeError:
    return Unsupported(
        what=f"{state.plan.capabilities.provider} does not take {words}.",
        cause="this provider or model lacks it",
        fix="Look at `realtime providers`, or at `Connected.capabilities`.",
        field=words,
    )


def _misplaced() -> RealtimeError:
    return InvalidRequest(
        what="A request within the conversation reads the conversation, and no `input`.",
        cause="`input` was given without `conversation`",
        fix='Add `conversation="none"`, or send the messages as `Text`.',
    )


def _closed() -> RealtimeError:
    return SessionClosed(
        what="The session is closed.", cause="it was left, closed, or lost", fix="Open a new one."
    )
