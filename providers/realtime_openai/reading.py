"""Reading: server events as the library's events, by a table with one function per event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from msgspec.structs import replace

from realtime_core.codec import Coded
from realtime_core.config import SessionConfig
from realtime_core.epoch import ItemId, RequestId, ResponseId
from realtime_core.errors import RealtimeError
from realtime_core.events import (
    Connected,
    Error,
    Interrupted,
    RateLimit,
    RateLimits,
    RealtimeEvent,
    SpeechStarted,
    SpeechStopped,
    Usage,
    UserTranscript,
    Warning,
)

from . import server_events as server
from .answers import ANSWERS, usage_of
from .failures import complaint, quoted
from .memory import Memory, Read, put_words, say, settled, written
from .playing import PLAYING, unheld

__all__ = ("read",)


def read(memory: Memory, event: server.ServerEvent) -> Read | None:
    """Give what an event means; None where the library has no word for it."""
    return _TABLE[type(event)](memory, event)


def _nothing(memory: Memory, event: server.ServerEvent) -> Read:
    del event
    return Coded(memory)


# --- the session ------------------------------------------------------------------------------


def _updated(memory: Memory, event: server.SessionUpdated) -> Read:
    if memory.is_open:
        return Coded(memory)
    config = _in_force(memory.plan.config, event.session)
    connected = Connected(session_id="", config=config, capabilities=memory.plan.capabilities)
    return say(replace(memory, is_open=True), connected)


def _in_force(config: SessionConfig, session: dict[str, Any]) -> SessionConfig:
    """Tell which model and voice the server chose, where it was asked for none."""
    voice = _at(session, "audio", "output", "voice") or session.get("voice")
    named = voice if isinstance(voice, str) else _at(session, "voice", "name")
    model = session.get("model")
    return replace(
        config,
        model=model if isinstance(model, str) and model else config.model,
        voice=named if isinstance(named, str) and named else config.voice,
    )


def _at(fields: object, *path: str) -> object:
    """Give what stands at a path, if that leads somewhere."""
    for name in path:
        if not isinstance(fields, dict):
            return None
        fields = cast("dict[str, object]", fields).get(name)
    return fields


_NAMED = frozenset({"create", "cancel", "truncate", "delete", "commit"})
_BUSY = ("already_has_active_response", "already has an active response", "cannot create response")
_IDLE = ("response_cancel_not_active", "none active response")
"""Words of complaints, in a code or where there is none."""


def _fault(memory: Memory, event: server.Fault) -> Read:
    error = complaint(event.error)
    if not memory.is_open:
        return say(memory, Error(error=error, recoverable=False))
    about, _, name = (event.error.event_id or "").partition(" ")
    if about not in _NAMED:
        about, name = _meant(memory, event.error)
    match about:
        case "create":
            return _refused(memory, RequestId(name), error)
        case "cancel" if name:  # it had ended already: the answer that a cancel waits for
            memory, ends = unheld(memory, ResponseId(name))
            notice = Interrupted(cause="provider", response=ResponseId(name))
            return say(memory, notice, *ends)
        case "cancel" | "truncate" | "delete" | "commit":
            return say(memory, Warning(field=about, why=error.what))
        case _:
            return say(memory, Error(error=error, recoverable=True))


def _meant(memory: Memory, details: server.ErrorDetails) -> tuple[str, str]:
    """Tell what a complaint that names none of our messages is about, and whose; most have a code.

    A request that nobody answers would be waited for, and so would all behind it.
    """
    said = f"{details.code} {details.message}".lower()
    if memory.asked and any(words in said for words in _BUSY):
        return "create", memory.asked[-1]
    return ("cancel", memory.stopped or "") if any(words in said for words in _IDLE) else ("", "")


def _refused(memory: Memory, request: RequestId, error: RealtimeError) -> Read:
    memory = settled(memory, request)
    return say(memory, Error(error=error, recoverable=True, request=request))


def _limits(memory: Memory, event: server.RateLimitsUpdated) -> Read:
    limits = tuple(
        RateLimit(one.name, one.limit, one.remaining, one.reset_seconds)
        for one in event.rate_limits
    )
    return say(memory, RateLimits(limits=limits))


# --- the user ---------------------------------------------------------------------------------


def _item_of(name: str | None) -> ItemId | None:
    return ItemId(name) if name else None


def _speech(memory: Memory, event: server.SpeechBegan) -> Read:
    return say(memory, SpeechStarted(item=_item_of(event.item_id), audio_ms=event.audio_start_ms))


def _silence(memory: Memory, event: server.SpeechEnded) -> Read:
    return say(memory, SpeechStopped(item=_item_of(event.item_id), audio_ms=event.audio_end_ms))


def _partial(memory: Memory, item: ItemId, text: str) -> Read:
    if item in memory.written:
        return Coded(memory)
    words = UserTranscript(item=item, text=text, final=False)
    return say(put_words(memory, item, text), words)


def _committed(memory: Memory, event: server.Committed) -> Read:
    """Say where in the conversation the user's words belong, though they come later."""
    item = ItemId(event.item_id)
    if memory.primed:
        memory = replace(memory, primed=False)
    return _partial(memory, item, memory.words.get(item, ""))


def _more_words(memory: Memory, event: server.UserDelta) -> Read:
    item = ItemId(event.item_id)
    if event.text or event.stash:
        return _partial(memory, item, f"{event.text or ''}{event.stash or ''}")
    return _partial(memory, item, memory.words.get(item, "") + event.delta)


def _words_so_far(memory: Memory, event: server.UserSnapshot) -> Read:
    return _partial(memory, ItemId(event.item_id), event.transcript)


def _words(memory: Memory, event: server.UserDone) -> Read:
    item = ItemId(event.item_id)
    if event.status == "in_progress":
        return _partial(memory, item, event.transcript)
    return _written(memory, item, event.transcript, usage_of(event.usage))


def _written(
    memory: Memory, item: ItemId, text: str, usage: Usage | None = None, *others: RealtimeEvent
) -> Read:
    if item in memory.written:
        return Coded(memory)
    words = UserTranscript(item=item, text=text, final=True, usage=usage)
    return say(written(memory, item), *others, words)


def _unwritten(memory: Memory, event: server.UserFailed) -> Read:
    why = quoted(event.error.message or "what the user said could not be written down")
    warning = Warning(field="transcribe_user", why=why)
    return _written(memory, ItemId(event.item_id), "", None, warning)


_READ: dict[type[server.ServerEvent], Callable[[Memory, Any], Read | None]] = {
    server.SessionCreated: _nothing,
    server.SessionUpdated: _updated,
    server.Fault: _fault,
    server.SpeechBegan: _speech,
    server.SpeechEnded: _silence,
    server.Committed: _committed,
    server.InputCleared: _nothing,
    server.ItemAdded: _nothing,
    server.ItemDone: _nothing,
    server.ItemDeleted: _nothing,
    server.ItemTruncated: _nothing,
    server.UserDelta: _more_words,
    server.UserSnapshot: _words_so_far,
    server.UserDone: _words,
    server.UserFailed: _unwritten,
    server.PartDone: _nothing,
    server.RateLimitsUpdated: _limits,
    server.Quiet: _nothing,
    **ANSWERS,
    **PLAYING,
}
_TABLE = {kind: _READ[meant] for kind, meant in server.MEANT.items()}
