"""Writing: frames and commands as client events."""

from __future__ import annotations

from base64 import b64encode
from binascii import b2a_base64
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace
from returns.result import Failure, Result, Success

from realtime_core.codec import CancelResponse, Coded, DeleteItem, Outgoing, TruncateItem
from realtime_core.config import Message, SessionConfig
from realtime_core.epoch import ItemId, ResponseId
from realtime_core.errors import RealtimeError, Unsupported
from realtime_core.events import Warning
from realtime_core.frames import (
    ActivityEnd,
    ActivityStart,
    Audio,
    ClearAudio,
    Close,
    CommitAudio,
    CreateResponse,
    Frame,
    Text,
    ToolResult,
    UpdateSession,
    Video,
)
from realtime_core.plan import options_of

from . import client_events as client
from .dialect import Dialect, unmet
from .memory import Memory, known
from .options import Options
from .session_object import replacing, without

__all__ = ("appended", "greeting", "seeded", "write")

Written = Result[Coded[Memory], RealtimeError]


def greeting(dialect: Dialect, memory: Memory) -> client.ClientEvent:
    """Give the first event of a connection: the settings."""
    session = dialect.session(memory.plan, memory.options)
    return client.UpdateSession(event_id="open", session=session)


def seeded(dialect: Dialect, message: Message) -> client.ClientEvent:
    """Give the event that adds an earlier message to the conversation."""
    return client.CreateItem(item=_said(dialect, message))


def appended(pcm: bytes) -> bytes:
    """Write sound; the one event that is sent fifty times a second."""
    text = b2a_base64(pcm, newline=False)
    return b'{"type":"input_audio_buffer.append","audio":"%b"}' % text


def write(dialect: Dialect, memory: Memory, frame: Outgoing) -> Written:
    """Give the events for a frame; some need none."""
    match frame:
        case Audio():
            if dialect.picture is not None and not memory.primed:
                memory = replace(memory, primed=True)
            return Success(Coded(memory, (appended(frame.pcm),)))
        case Video():
            if dialect.picture is not None:
                return dialect.picture(memory, frame)
            return Success(_picture(memory, frame))
        case ActivityStart() | ActivityEnd() | CommitAudio() if _undivided(dialect, memory):
            return Failure(_by_itself(frame))
        case CommitAudio() | ActivityEnd() | ClearAudio():
            return Success(_emptied(memory, frame))
        case UpdateSession():
            return _update(dialect, memory, frame)
        case CreateResponse():
            return Success(_create(dialect, memory, frame))
        case CancelResponse():
            return Success(_cancel(dialect, memory, frame))
        case TruncateItem():
            return Success(_truncate(dialect, memory, frame))
        case ActivityStart():
            return Success(Coded(memory))
        case Close():
            return Success(Coded(memory, tuple(client.encode(one) for one in dialect.farewell)))
        case _:
            event = _event(dialect, frame)
    if event is None:
        return Failure(Unsupported(what=f"This provider takes no {type(frame).__name__}."))
    return Success(Coded(memory, (client.encode(event),)))


def _undivided(dialect: Dialect, memory: Memory) -> bool:
    """Tell whether the server alone divides what it hears into turns."""
    return not dialect.commits_any and memory.plan.config.turn_detection.mode != "manual"


def _by_itself(frame: Frame) -> Unsupported:
    return Unsupported(
        what=f"{type(frame).__name__} is not taken here.",
        cause="the provider detects turns by itself, and then takes no commits",
        fix='Choose `TurnDetection(mode="manual")`.',
        field="turn_detection.mode",
    )


def _emptied(memory: Memory, frame: CommitAudio | ActivityEnd | ClearAudio) -> Coded[Memory]:
    """Make an item of what was heard, or forget it; then there is no sound for a picture."""
    if memory.primed:
        memory = replace(memory, primed=False)
    cleared = isinstance(frame, ClearAudio)
    event = client.Clear() if cleared else client.Commit(event_id="commit")
    return Coded(memory, (client.encode(event),))


def _event(dialect: Dialect, frame: Outgoing) -> client.ClientEvent | None:
    match frame:
        case Text():
            return client.CreateItem(item=_said(dialect, Message(frame.role, frame.text)))
        case ToolResult():
            output = frame.output
            if frame.failed:
                output = msgspec.json.encode({"error": output}).decode()
            return client.CreateItem(
                item=client.FunctionCallOutput(call_id=frame.call, output=output)
            )
        case DeleteItem():
            return _deleted(frame.item)
        case _:
            return None


def _cancel(dialect: Dialect, memory: Memory, frame: CancelResponse) -> Coded[Memory]:
    named: ResponseId | UnsetType = frame.response
    if not dialect.names_cancelled:
        memory, named = replace(memory, stopped=frame.response), UNSET
    event = client.Cancel(event_id=f"cancel {frame.response}", response_id=named)
    return Coded(memory, (client.encode(event),))


def _deleted(item: ItemId) -> client.ClientEvent:
    return client.DeleteItem(event_id=f"delete {item}", item_id=item)


def _truncate(dialect: Dialect, memory: Memory, frame: TruncateItem) -> Coded[Memory]:
    """Cut an item at whole milliseconds; less than one was not heard at all."""
    heard = frame.samples * 1000 // frame.rate
    if heard == 0 and not dialect.capabilities.delete:
        return Coded(memory)
    if heard == 0:
        return Coded(memory, (client.encode(_deleted(frame.item)),))
    item = memory.items.get(frame.item)
    event = client.TruncateItem(
        event_id=f"truncate {frame.item}",
        item_id=frame.item,
        content_index=item.part if item is not None else 0,
        audio_end_ms=heard,
    )
    return Coded(memory, (client.encode(event),))


def _create(dialect: Dialect, memory: Memory, frame: CreateResponse) -> Coded[Memory]:
    fields: dict[str, Any] = {}
    if frame.modalities:
        mode = "audio" if "audio" in frame.modalities else "text"
        along = mode == "audio" and dialect.modalities == "modalities"
        fields[dialect.modalities] = ("text", mode) if along else (mode,)
    fields |= {
        "metadata": {**frame.metadata, "request": frame.request},
        "instructions": frame.instructions or UNSET,
        "conversation": "none" if frame.conversation == "none" else UNSET,
        "input": tuple(_said(dialect, message) for message in frame.input) or UNSET,
    }
    if dialect.wishes is not None:
        fields = {name: fields[name] for name in fields if name in dialect.wishes}
    wish = client.ResponseWish(**fields)
    asks = UNSET if wish == client.ResponseWish() else wish
    event = client.Create(event_id=f"create {frame.request}", response=asks)
    before = memory.asked if frame.conversation == "none" else ()
    memory = replace(memory, asked=known(before, frame.request))
    return Coded(memory, (client.encode(event),))


def _picture(memory: Memory, frame: Video) -> Coded[Memory]:
    id = ItemId(f"picture_{memory.conn}_{memory.minted}")
    image = f"data:{frame.mime};base64,{b64encode(frame.image).decode()}"
    part = client.ImageContent(image_url=image, detail=memory.options.detail or UNSET)
    made = client.CreateItem(item=client.MessageItem(id=id, role="user", content=(part,)))
    shown = (*memory.pictures, id)
    old, kept = shown[: -memory.options.pictures], shown[-memory.options.pictures :]
    events = (made, *(_deleted(one) for one in old))
    return Coded(
        replace(memory, minted=memory.minted + 1, pictures=kept),
        tuple(client.encode(event) for event in events),
    )


def _update(dialect: Dialect, memory: Memory, frame: UpdateSession) -> Written:
    options = options_of(frame.config, dialect.options)
    if isinstance(options, Failure):
        return Failure(options.failure())
    plan, given = memory.plan, options.unwrap()
    config, warnings = _changeable(dialect, memory, frame.config, given)
    checked, before = dialect.check(config), dialect.check(plan.config).value_or(())
    if isinstance(checked, Failure):
        return Failure(checked.failure())
    warnings += tuple(one for one in checked.unwrap() if one not in before)
    given = replace(given, **{name: getattr(memory.options, name) for name in dialect.fixed})
    agreed = replace(memory, plan=replace(plan, config=config), options=given)
    after = dialect.session(agreed.plan, agreed.options)
    session = replacing(dialect.session(plan, memory.options), after)
    event = client.UpdateSession(event_id="update", session=without(session, dialect.settled))
    return Success(Coded(agreed, (client.encode(event),), warnings))


def _changeable(
    dialect: Dialect, memory: Memory, wish: SessionConfig, options: Options
) -> tuple[SessionConfig, tuple[Warning, ...]]:
    """Leave out what stays as it is for as long as a connection lasts."""
    provider, config = dialect.capabilities.provider, memory.plan.config
    known_before = unmet(dialect, config)
    warnings = [one for one in unmet(dialect, wish) if one not in known_before]
    if memory.has_spoken and wish.voice != config.voice:
        warnings.append(Warning(field="voice", why=f"{provider} keeps a voice that has spoken"))
        wish = replace(wish, voice=config.voice)
    if wish.model != config.model:
        warnings.append(Warning(field="model", why=f"{provider} keeps the model of a session"))
        wish = replace(wish, model=config.model)
    warnings += [
        Warning(field=f"options.{name}", why=f"{provider} keeps it for as long as a session lasts")
        for name in dialect.fixed
        if getattr(options, name) != getattr(memory.options, name)
    ]
    return wish, tuple(warnings)


_TOLD = {
    "assistant": "[You said: {text}]",
    "system": "[Note: {text}]",
    "tool_call": "[You called {name} with {text}]",
    "tool_result": "[{name} answered: {text}]",
}
"""How a model is told what somebody else than the user has said."""


def _said(dialect: Dialect, message: Message) -> client.Item:
    if message.role not in dialect.roles:
        told = _TOLD[message.role].format(name=message.name or "the tool", text=message.text)
        part: client.Content = client.InputText(text=told)
        return client.MessageItem(role="user", content=(part,))
    match message.role:
        case "tool_call":
            return client.FunctionCall(
                name=message.name, arguments=message.text, call_id=message.call or UNSET
            )
        case "tool_result":
            return client.FunctionCallOutput(call_id=message.call or "", output=message.text)
        case "assistant" if dialect.assistant_text == "text":
            part = client.PlainText(text=message.text)
        case "assistant":
            part = client.OutputText(text=message.text)
        case _:
            part = client.InputText(text=message.text)
    return client.MessageItem(role=message.role, content=(part,))
