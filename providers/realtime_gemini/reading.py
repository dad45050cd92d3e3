"""Reading: what a server says as the library's events, several things of one message in safe order.

First the session, then the user, then what becomes of the answer that runs, then its output, and
its end last: so that a message which ends one answer and speaks of the next harms neither.
"""

from __future__ import annotations

import re

from msgspec.structs import replace

from realtime_core.codec import Coded
from realtime_core.config import Secret
from realtime_core.epoch import ItemId
from realtime_core.events import (
    Connected,
    Interrupted,
    ResumptionHandle,
    SessionEnding,
    SpeechStarted,
    SpeechStopped,
    Unknown,
    UserTranscript,
)

from .answers import (
    end_turn,
    end_words,
    finish_items,
    running,
    said,
    sound_alone,
    take_calls,
    void_calls,
)
from .memory import Memory, Page, known
from .server_messages import ResumptionUpdate, ServerContent, ServerMessage, text_of
from .usage import usage_of
from .writing import let_go, taken_up

__all__ = ("read",)

_SECONDS = re.compile(r"\s*(\d{1,9}(?:\.\d{1,9})?)s?\s*")


def read(memory: Memory, message: ServerMessage) -> Coded[Memory]:
    """Give what a message means."""
    return sound_alone(memory, message) or _read(memory, message)


def _read(memory: Memory, message: ServerMessage) -> Coded[Memory]:
    page = Page(memory)
    content = message.server_content
    if message.setup_complete is not None:
        _open(page)
    if message.session_resumption_update is not None:
        _handle(page, message.session_resumption_update)
    if message.go_away is not None:
        page.events.append(SessionEnding(left=_seconds(message.go_away.time_left)))
    if content is not None:
        _user(page, content)
    if message.voice_activity is not None or message.voice_activity_detection_signal is not None:
        _voice(page, message)
    if content is not None:
        if content.interrupted:
            _interrupted(page)
        said(page, content)
    if message.tool_call is not None:
        take_calls(page, message.tool_call.function_calls or ())
    if message.tool_call_cancellation is not None:
        void_calls(page, message.tool_call_cancellation.ids or ())
    if message.usage_metadata is not None:
        page.keep(usage=usage_of(message.usage_metadata))
    if content is not None:
        _passed_on(page, content)
        _ended(page, content)
    _status(page, message)
    return page.coded()


# --- the session ------------------------------------------------------------------------------


def _open(page: Page) -> None:
    plan = page.memory.plan
    if page.memory.is_open:
        return
    page.keep(is_open=True)
    connected = Connected(session_id="", config=plan.config, capabilities=plan.capabilities)
    page.events.append(connected)
    taken_up(page)


def _handle(page: Page, update: ResumptionUpdate) -> None:
    if update.resumable and update.new_handle:
        page.events.append(ResumptionHandle(handle=Secret(update.new_handle)))


def _seconds(duration: str | None) -> float | None:
    """Read a duration such as `50s`."""
    told = _SECONDS.fullmatch(duration or "")
    return float(told[1]) if told is not None else None


# --- the user ---------------------------------------------------------------------------------


def _voice(page: Page, message: ServerMessage) -> None:
    activity, signal = message.voice_activity, message.voice_activity_detection_signal
    kind, at = "", None
    if activity is not None:
        kind, at = activity.type or activity.voice_activity_type or "", activity.audio_offset
    elif signal is not None:
        kind = signal.vad_signal_type or ""
    seconds = _seconds(at)
    audio_ms = seconds * 1000 if seconds is not None else None
    if kind.endswith(("START", "SOS")):
        end_words(page)
        page.events.append(SpeechStarted(audio_ms=audio_ms, item=_user_item(page)))
    elif kind.endswith(("END", "EOS")):
        page.events.append(SpeechStopped(audio_ms=audio_ms, item=page.memory.user))


def _user_item(page: Page) -> ItemId:
    if page.memory.user is None:
        page.keep(user=ItemId(page.mint("u")))
    item = page.memory.user
    assert item is not None  # noqa: S101 - it was minted
    return item


def _user(page: Page, content: ServerContent) -> None:
    told, guess = content.input_transcription, content.interim_input_transcription
    if told is None and guess is None:
        return
    if not page.memory.plan.config.transcribe_user:
        return
    more = (told.text or "") if told is not None else ""
    unsure = (guess.text or "") if guess is not None else ""
    words = page.memory.words + more if page.memory.words else more.lstrip()
    if words != page.memory.words or unsure:
        page.keep(words=words, guess=unsure)
        item = _user_item(page)
        page.events.append(UserTranscript(item=item, text=words + unsure, final=False))
    if told is not None and told.finished:
        end_words(page)


# --- what becomes of the answer ---------------------------------------------------------------


def _interrupted(page: Page) -> None:
    """Tell of it; where no answer runs, some of the last may still be audible.

    An answer that a later turn of ours has cut before anything of it came is none of these.
    """
    memory = page.memory
    if memory.turn is None and memory.superseded:
        page.keep(superseded=memory.superseded - 1, passing=True, was_cut=True)
        return
    turn = running(page) if memory.turn is None and len(memory.asked) > 1 else memory.turn
    if turn is None:
        page.keep(was_cut=True)
        page.events.append(Interrupted(cause="provider"))
        return
    if turn.cut:
        return
    cuts = {id: heard for id, heard in page.memory.cuts.items() if id != turn.response}
    kept = known(page.memory.kept, turn.response)
    page.keep(turn=replace(turn, cut=True), kept=kept, cuts=cuts)
    page.events.append(Interrupted(cause="provider", response=turn.response))


def _passed_on(page: Page, content: ServerContent) -> None:
    for name, raw in (
        ("groundingMetadata", content.grounding_metadata),
        ("urlContextMetadata", content.url_context_metadata),
    ):
        if text := text_of(raw):
            page.events.append(Unknown(name=name, data=text))


def _ended(page: Page, content: ServerContent) -> None:
    if content.generation_complete:
        finish_items(page)
    if not content.turn_complete:
        return
    was_cut = page.memory.was_cut or (page.memory.turn is not None and page.memory.turn.cut)
    end_turn(page, content.turn_complete_reason)
    if not was_cut:  # else the words that cut it are still coming
        end_words(page)


def _status(page: Page, message: ServerMessage) -> None:
    """Hold back what would cut the exchange until its last turn is over."""
    content = message.server_content
    status = message.interaction_status or (content.interaction_status if content else None)
    if status is not None and page.memory.more != (status == "IN_PROGRESS"):
        page.keep(more=status == "IN_PROGRESS")
    if status is not None or (content is not None and content.turn_complete):
        let_go(page)
