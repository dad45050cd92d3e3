"""Telling: what each event of a session means to a client, in turns as the service tells them.

A turn begins with an answer, goes on over the calls for which it waits, and ends once: when its
sound must be over, or as soon as it is interrupted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from realtime_core.errors import ContentFiltered, RealtimeError
from realtime_core.events import (
    AgentTranscript,
    AudioOutput,
    Error,
    Interrupted,
    RealtimeEvent,
    ResponseDone,
    ResponseStarted,
    ResponseText,
    ResponseThought,
    SessionEnding,
    SpeechStarted,
    SpeechStopped,
    ToolCall,
    ToolCallCancelled,
    UserTranscript,
)
from realtime_core.schedule import Attempt

from ..encoding import BROKEN
from ..parts import Blob, Content, Part
from ..server_messages import (
    FunctionCall,
    GoAway,
    ResumptionUpdate,
    ServerContent,
    ToolCallCancellation,
    Transcription,
    VoiceActivity,
)
from ..server_messages import ToolCall as Calls
from .book import Fields, Turn, open_calls
from .costs import added, metadata
from .page import Page

__all__ = ("TOLD", "end_turn", "give_handle")


_LONGEST = 48_000
"""Bytes of sound in one message; clients take messages up to a mebibyte."""


def _output(page: Page, *parts: Part) -> None:
    page.say(server_content=ServerContent(model_turn=Content(parts=parts, role="model")))


def _mine(page: Page, event: RealtimeEvent) -> Turn | None:
    """Give the turn to which an event of an answer belongs, while that may be heard."""
    turn = page.book.turn
    belongs = turn is not None and turn.running == event.response and not turn.cut
    return turn if belongs else None


def _goes_on(page: Page, event: RealtimeEvent) -> Turn | None:
    """Give the turn of which output comes: by now the model knows the results that there are."""
    turn = _mine(page, event)
    if turn is None or not turn.calls:
        return turn
    still = tuple(id for id in turn.calls if id in open_calls(page.book))
    return replace(turn, calls=still)


def _started(page: Page, event: ResponseStarted) -> None:
    turn = page.book.turn
    if turn is not None and (turn.running or turn.made or turn.cut):
        end_turn(page)
        turn = None
    page.keep(turn=replace(turn or Turn(), running=event.response or "", calls=()))


def _sound(page: Page, event: AudioOutput) -> None:
    turn = _goes_on(page, event)
    if turn is None or not event.pcm:
        return
    seconds = event.format.milliseconds(len(event.pcm)) / 1_000
    until = max(turn.sounds_until, event.at) + seconds
    page.keep(turn=replace(turn, sounds_until=until))
    mime = f"audio/pcm;rate={event.format.rate}"
    for begin in range(0, len(event.pcm), _LONGEST):
        piece = event.pcm[begin : begin + _LONGEST]
        _output(page, Part(inline_data=Blob(mime, piece)))


def _words(page: Page, event: AgentTranscript | ResponseText) -> None:
    """Write words; the whole of them adds what is still missing."""
    turn = _goes_on(page, event)
    if turn is None:
        return
    whole = event.final if isinstance(event, AgentTranscript) else event.is_complete
    item = event.item or ""
    told = turn.words if turn.item == item else ""
    more = _rest(event.text, told) if whole else event.text
    page.keep(turn=replace(turn, item=item, words=told + more))
    if not more:
        return
    if isinstance(event, ResponseText):
        _output(page, Part(text=more))
    elif page.book.worded:
        page.say(server_content=ServerContent(output_transcription=Transcription(more)))


def _rest(text: str, told: str) -> str:
    """Give what was not told of a text, if it goes on as it was told."""
    return text[len(told) :] if text.startswith(told) else ""


def _thought(page: Page, event: ResponseThought) -> None:
    if page.book.wish.thoughts and _mine(page, event) is not None:
        _output(page, Part(text=event.text, thought=True))


def _call(page: Page, event: ToolCall) -> None:
    turn = _mine(page, event)
    if turn is None or event.call in open_calls(page.book):
        return
    page.keep(turn=replace(turn, calls=(*turn.calls, event.call)))
    try:
        arguments = msgspec.json.encode(msgspec.json.decode(event.arguments, type=Fields))
    except BROKEN:
        arguments = b"{}"
    page.say(tool_call=Calls((FunctionCall(event.name, msgspec.Raw(arguments), event.call),)))


def _calls_void(page: Page, event: ToolCallCancelled) -> None:
    void = tuple(id for id in open_calls(page.book) if id in event.calls)
    if void:
        page.say(tool_call_cancellation=ToolCallCancellation(void))
        _give_up(page)


def _refused(page: Page, event: Error) -> None:
    turn = page.book.turn
    if event.request is not None and turn is not None:
        page.keep(turn=replace(turn, calls=()))
        _give_up(page)


def _give_up(page: Page) -> None:
    """End a turn that went on with results, now that it does not."""
    turn = page.book.turn
    if turn is not None and not turn.running and not turn.made and not page.book.waiting:
        end_turn(page)


def _done(page: Page, event: ResponseDone) -> None:
    turn = page.book.turn
    if turn is None or turn.running != event.response:
        return
    turn = replace(turn, running="", usage=added(turn.usage, event.usage))
    page.keep(turn=turn)
    if turn.cut:
        end_turn(page)
    elif event.status != "completed":
        page.keep(turn=replace(turn, reason=_reason(event.error)))
        end_turn(page)
    elif not page.book.waiting:
        page.keep(turn=replace(turn, made=True))
        page.say(server_content=ServerContent(generation_complete=True))


def _reason(error: RealtimeError | None) -> str:
    if isinstance(error, ContentFiltered):
        return "RESPONSE_REJECTED"
    return "GENERATED_OTHER" if error is not None else ""


def end_turn(page: Page) -> None:
    """Tell the end of the turn, with what it cost; nothing where there is none."""
    turn = page.book.turn
    if turn is None:
        return
    page.keep(turn=None)
    page.say(
        server_content=ServerContent(turn_complete=True, turn_complete_reason=turn.reason or None),
        usage_metadata=None if turn.usage is None else metadata(turn.usage),
    )
    give_handle(page)


def _interrupted(page: Page, event: Interrupted) -> None:
    turn = page.book.turn
    if turn is None and not event.fenced:
        return
    page.say(server_content=ServerContent(interrupted=True))
    if turn is None:
        return
    page.keep(turn=replace(turn, cut=True))
    if not turn.running:
        end_turn(page)


# --- the user, and the session ----------------------------------------------------------------


def _speech_started(page: Page, event: SpeechStarted) -> None:
    page.say(voice_activity=VoiceActivity("ACTIVITY_START", audio_offset=_offset(event.audio_ms)))


def _speech_stopped(page: Page, event: SpeechStopped) -> None:
    page.say(voice_activity=VoiceActivity("ACTIVITY_END", audio_offset=_offset(event.audio_ms)))


def _offset(milliseconds: float | None) -> str | None:
    return None if milliseconds is None else f"{max(0.0, milliseconds) / 1_000:.3f}s"


def _user_words(page: Page, event: UserTranscript) -> None:
    """Write what the user has said; what may still change is told as that."""
    setup = page.book.setup
    if not event.text or (setup is not None and setup.input_audio_transcription is None):
        return
    words = Transcription(event.text, finished=event.final or None)
    if event.final:
        page.say(server_content=ServerContent(input_transcription=words))
    else:
        page.say(server_content=ServerContent(interim_input_transcription=words))


def _ending(page: Page, event: SessionEnding) -> None:
    """Warn of an end, unless the session goes on over a connection of its own."""
    again = page.book.base.retry.delay(Attempt(0)).map(lambda _: True).value_or(False)
    if not again:
        left = "0s" if event.left is None else f"{event.left:g}s"
        page.say(go_away=GoAway(left))


def give_handle(page: Page) -> None:
    """Give a new handle, where handles are wanted and no call is being made."""
    if page.book.handle and not open_calls(page.book):
        number = page.book.handles + 1
        page.keep(handles=number)
        update = ResumptionUpdate(f"{page.book.handle}.{number}", resumable=True)
        page.say(session_resumption_update=update)


TOLD: dict[type[RealtimeEvent], Callable[[Page, Any], None]] = {
    ResponseStarted: _started,
    AudioOutput: _sound,
    AgentTranscript: _words,
    ResponseText: _words,
    ResponseThought: _thought,
    ToolCall: _call,
    ToolCallCancelled: _calls_void,
    ResponseDone: _done,
    Error: _refused,
    Interrupted: _interrupted,
    SpeechStarted: _speech_started,
    SpeechStopped: _speech_stopped,
    UserTranscript: _user_words,
    SessionEnding: _ending,
}
"""What is told of each kind of event; others mean nothing to a client."""
