"""The codec of the local voice: the engine's messages as events, frames as the engine's messages.

Pure: the engine mints the ids, this codec keeps them apart between connections.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from returns.result import Failure, Result, Success

from realtime_core.audio.format import AudioFormat
from realtime_core.codec import (
    CancelResponse,
    Coded,
    DeleteItem,
    Outgoing,
    Resume,
    TruncateItem,
    Wire,
    as_message,
)
from realtime_core.config import Message, SessionConfig
from realtime_core.epoch import CallId, ItemId, RequestId, ResponseId
from realtime_core.errors import (
    IncompleteTurn,
    InternalFault,
    ProtocolViolation,
    RealtimeError,
    Unsupported,
)
from realtime_core.events import (
    AgentTranscript,
    AudioOutput,
    AudioOutputDone,
    Connected,
    Error,
    RealtimeEvent,
    ResponseDone,
    ResponseStarted,
    ResponseText,
    SpeechStarted,
    SpeechStopped,
    ToolCall,
    Unknown,
    Usage,
    UserTranscript,
)
from realtime_core.frames import (
    ActivityEnd,
    ActivityStart,
    Audio,
    ClearAudio,
    Close,
    CommitAudio,
    CreateResponse,
    Text,
    ToolResult,
    UpdateSession,
    Video,
)
from realtime_core.plan import Plan

from . import wire

__all__ = ("LocalCodec", "LocalState", "settings")


class LocalState(msgspec.Struct, frozen=True):
    """What the codec knows of one connection."""

    plan: Plan
    prefix: str = ""
    """Keeps this connection's ids apart from those of earlier ones."""
    format: AudioFormat = AudioFormat()


class _Tag(msgspec.Struct):
    type: str


_DECODER = msgspec.json.Decoder(wire.EngineMessage)
_ENCODER = msgspec.json.Encoder()
_NAMES = frozenset(kind.__struct_config__.tag for kind in wire.EngineMessage.__args__)


class LocalCodec:
    """Speaks the engine's messages; its state changes only when the engine is ready."""

    def greet(self, plan: Plan, resume: Resume | None) -> Coded[LocalState]:
        """Start the engine with the settings it heeds, and with the conversation so far."""
        history = resume.history if resume is not None else plan.config.history
        start = wire.Start(settings=settings(plan.config), history=tuple(map(_said, history)))
        prefix = f"{resume.conn}:" if resume is not None else ""
        state = LocalState(plan, prefix, plan.output_format)
        return Coded(state, (_ENCODER.encode(start),))

    def encode(
        self, state: LocalState, frame: Outgoing
    ) -> Result[Coded[LocalState], RealtimeError]:
        """Give the engine's message for a frame; some need none."""
        match frame:
            case ActivityStart() | Close():
                return Success(Coded(state))
            case _:
                message = _message(state.prefix, frame)
        if message is None:
            return Failure(Unsupported(what=f"The local voice takes no {type(frame).__name__}."))
        return Success(Coded(state, (_ENCODER.encode(message),)))

    def decode(self, state: LocalState, wire: Wire) -> Result[Coded[LocalState], RealtimeError]:
        """Give the events of one message of the engine."""
        data = as_message(wire)
        try:
            message = _DECODER.decode(data)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as problem:
            return _unread(state, data, str(problem))
        return Success(_read(state, message))


def settings(config: SessionConfig) -> wire.Settings:
    """Give what of a session's configuration the engine heeds."""
    turns = config.turn_detection
    return wire.Settings(
        instructions=config.instructions,
        voice=config.voice,
        modalities=config.modalities,
        manual=turns.mode == "manual",
        barge_in=turns.authority == "provider" and turns.two_phase is None,
        threshold=turns.threshold if turns.threshold is not None else 0.5,
        prefix_ms=turns.prefix_ms if turns.prefix_ms is not None else 320,
        silence_ms=turns.silence_ms,
        transcribe=config.transcribe_user,
        temperature=config.temperature,
        max_tokens=config.max_output_tokens,
        tools=tuple(
            wire.Tool(tool.name, tool.description, dict(tool.parameters)) for tool in config.tools
        ),
        tool_choice=config.tool_choice,
    )


def _said(message: Message) -> wire.Said:
    return wire.Said(message.role, message.text, message.name, message.call or "")


def _message(prefix: str, frame: Outgoing) -> wire.SessionMessage | None:
    match frame:
        case Audio():
            return wire.InputAudio(pcm=frame.pcm)
        case Video():
            return wire.Image(data=frame.image, mime=frame.mime)
        case Text():
            return wire.Typed(text=frame.text, role=frame.role)
        case ToolResult():
            call = frame.call.removeprefix(prefix)
            return wire.ToolOutput(call=call, output=frame.output, failed=frame.failed)
        case CommitAudio() | ActivityEnd():
            return wire.Commit()
        case ClearAudio():
            return wire.Clear()
        case CreateResponse():
            return wire.Create(
                request=frame.request,
                instructions=frame.instructions,
                modalities=frame.modalities,
            )
        case UpdateSession():
            return wire.Update(settings=settings(frame.config))
        case CancelResponse():
            return wire.Cancel(response=frame.response.removeprefix(prefix))
        case TruncateItem():
            item = frame.item.removeprefix(prefix)
            return wire.Truncate(item=item, samples=frame.samples, text=frame.text)
        case DeleteItem():
            return wire.Delete(item=frame.item.removeprefix(prefix))
        case _:
            return None


def _unread(
    state: LocalState, data: str | bytes, problem: str
) -> Result[Coded[LocalState], RealtimeError]:
    try:
        name = msgspec.json.decode(data, type=_Tag).type
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        name = None
    if name is None or name in _NAMES:
        return Failure(
            ProtocolViolation(what="A message of the engine could not be read.", cause=problem)
        )
    text = data if isinstance(data, str) else data.decode(errors="replace")
    return Success(Coded(state, (), (Unknown(name=name, data=text[:1_000]),)))


def _read(state: LocalState, message: wire.EngineMessage) -> Coded[LocalState]:
    if isinstance(message, wire.Ready):
        ready = msgspec.structs.replace(state, format=AudioFormat(rate=message.rate))
        config, able = state.plan.config, state.plan.capabilities
        connected = Connected(session_id="", config=config, capabilities=able)
        return Coded(ready, (), (connected,))
    return Coded(state, (), (_EVENTS[type(message)](state, message),))


def _response(state: LocalState, id: str) -> ResponseId:
    return ResponseId(state.prefix + id)


def _item(state: LocalState, id: str) -> ItemId:
    return ItemId(state.prefix + id)


def _said_by_user(state: LocalState, id: str) -> ItemId | None:
    return _item(state, id) if id else None


def _created(state: LocalState, m: wire.ResponseCreated) -> RealtimeEvent:
    request = RequestId(m.request) if m.request is not None else None
    return ResponseStarted(response=_response(state, m.response), request=request)


def _audio(state: LocalState, m: wire.AudioDelta) -> RealtimeEvent:
    response, item = _response(state, m.response), _item(state, m.item)
    whole = len(m.pcm) - len(m.pcm) % state.format.sample_size
    return AudioOutput(response=response, item=item, pcm=m.pcm[:whole], format=state.format)


def _spoken(state: LocalState, m: wire.Spoken) -> RealtimeEvent:
    response, item = _response(state, m.response), _item(state, m.item)
    if not m.audio:
        return ResponseText(response=response, item=item, text=m.text, is_complete=m.final)
    span = (m.start, None) if m.start is not None else None
    return AgentTranscript(response=response, item=item, text=m.text, final=m.final, span=span)


def _requested(state: LocalState, m: wire.Requested) -> RealtimeEvent:
    return ToolCall(
        response=_response(state, m.response),
        item=_item(state, m.item),
        call=CallId(state.prefix + m.call),
        name=m.name,
        arguments=m.arguments,
    )


def _finished(state: LocalState, m: wire.ResponseFinished) -> RealtimeEvent:
    return ResponseDone(
        response=_response(state, m.response),
        status=m.status,
        usage=Usage(input_tokens=m.input_tokens, output_tokens=m.output_tokens),
        error=IncompleteTurn(what=m.error) if m.error else None,
    )


def _fault(state: LocalState, m: wire.Fault) -> RealtimeEvent:  # noqa: ARG001 - one form for all
    error = InternalFault(what=m.message, cause=m.cause, fix=m.fix)
    return Error(error=error, recoverable=not m.fatal)


_EVENTS: dict[type[wire.EngineMessage], Callable[[LocalState, Any], RealtimeEvent]] = {
    wire.Speech: lambda s, m: SpeechStarted(audio_ms=m.audio_ms, item=_said_by_user(s, m.item)),
    wire.SpeechEnd: lambda s, m: SpeechStopped(audio_ms=m.audio_ms, item=_said_by_user(s, m.item)),
    wire.Transcript: lambda s, m: UserTranscript(item=_item(s, m.item), text=m.text, final=m.final),
    wire.ResponseCreated: _created,
    wire.Spoken: _spoken,
    wire.AudioDelta: _audio,
    wire.AudioDone: lambda s, m: AudioOutputDone(
        response=_response(s, m.response), item=_item(s, m.item)
    ),
    wire.Requested: _requested,
    wire.ResponseFinished: _finished,
    wire.Fault: _fault,
}
