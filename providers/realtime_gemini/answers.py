"""Answers: what the model says, calls and thinks, from its first output to the end of the turn.

An answer begins once and ends once; whatever comes before the next `turnComplete` belongs to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from realtime_core.audio.format import PCM_24K, AudioFormat
from realtime_core.codec import Coded
from realtime_core.epoch import CallId, ItemId, ResponseId
from realtime_core.events import (
    AgentTranscript,
    AudioOutput,
    AudioOutputDone,
    ResponseDone,
    ResponseStarted,
    ResponseText,
    ResponseThought,
    ToolCall,
    ToolCallCancelled,
    Unknown,
    UserTranscript,
)

from .failures import unfinished
from .memory import Call, Memory, Page, Turn, put
from .parts import Blob, Part
from .server_messages import FunctionCall, ServerContent, ServerMessage, text_of
from .writing import cut_here

__all__ = (
    "end_turn",
    "end_words",
    "finish_items",
    "running",
    "said",
    "sound_alone",
    "take_calls",
    "void_calls",
)

_MIME = "audio/pcm;rate=24000"
_RATE = re.compile(r"audio/(?:pcm|l16)\b(?:.*?;\s*rate=(\d{4,6})\b)?.*", re.IGNORECASE)


def sound_alone(memory: Memory, message: ServerMessage) -> Coded[Memory] | None:
    """Read more sound of the answer that runs, if a message is that and nothing else."""
    turn, content = memory.turn, message.server_content
    if turn is None or not turn.sounds or turn.item is None or turn.rest or content is None:
        return None
    spoken = content.model_turn
    if spoken is None or spoken.parts is None or len(spoken.parts) != 1:
        return None
    blob = spoken.parts[0].inline_data
    if blob is None or blob.mime_type != _MIME or not blob.data or len(blob.data) % 2:
        return None
    if message != ServerMessage(server_content=ServerContent(model_turn=spoken)):
        return None
    sound = AudioOutput(response=turn.response, item=turn.item, pcm=blob.data, format=PCM_24K)
    return Coded(memory, (), (sound,))


def said(page: Page, content: ServerContent) -> None:
    """Give the words and the sound of a message; words are ahead of what they are the words of."""
    told = content.output_transcription
    if told is not None and told.text:
        _spoken(page, told.text)
    if content.model_turn is not None:
        for part in content.model_turn.parts or ():
            _part(page, part)


def _part(page: Page, part: Part) -> None:
    if part.inline_data is not None:
        _sound(page, part.inline_data)
    elif part.text and part.thought:
        turn = running(page)
        page.events.append(ResponseThought(response=turn.response, text=part.text))
    elif part.text:
        _written(page, part.text)
    for name, fields in (
        ("executableCode", part.executable_code),
        ("codeExecutionResult", part.code_execution_result),
    ):
        if fields is not None:
            data = msgspec.json.encode(fields).decode(errors="replace")
            page.events.append(Unknown(name=name, data=data))


def running(page: Page) -> Turn:
    """Give the answer that runs, or begin one: for our oldest request, if there is one."""
    turn = page.memory.turn
    if turn is not None:
        return turn
    end_words(page)
    turn = Turn(ResponseId(page.mint("r")))
    asked = page.memory.asked
    page.keep(
        turn=turn,
        asked=asked[1:],
        by_voice=False,
        was_cut=False,
        superseded=0,
        passing=False,
        picture=None,
    )
    request = asked[0] if asked else None
    page.events.append(ResponseStarted(response=turn.response, request=request))
    return turn


def end_words(page: Page) -> None:
    """Say that the user has said all, where something was said."""
    memory = page.memory
    text = memory.words or memory.guess
    if memory.user is not None and text:
        page.events.append(UserTranscript(item=memory.user, text=text, final=True))
        page.keep(user=None, words="", guess="")


# --- sound and words --------------------------------------------------------------------------


def _speaking(page: Page) -> Turn:
    """Give the answer that runs, with an item for what is spoken."""
    turn = running(page)
    if turn.item is None:
        item = ItemId(page.mint("i"))
        turn = replace(turn, item=item, words="", sounds=False, rest=b"")
        page.keep(turn=turn, owners=put(page.memory.owners, item, turn.response))
    return turn


def _spoken(page: Page, text: str) -> None:
    turn = _speaking(page)
    page.keep(turn=replace(turn, words=turn.words + text))
    words = AgentTranscript(response=turn.response, item=turn.item, text=text, final=False)
    page.events.append(words)


def _sound(page: Page, blob: Blob) -> None:
    form = PCM_24K if blob.mime_type == _MIME else _format(blob.mime_type or "")
    if form is None:
        page.events.append(Unknown(name="inlineData", data=(blob.mime_type or "")[:200]))
        return
    pcm = blob.data
    if not pcm:
        return
    turn = page.memory.turn
    if turn is None or turn.item is None:
        turn = _speaking(page)
    if turn.rest or len(pcm) % 2 or not turn.sounds:
        pcm = turn.rest + pcm
        whole = len(pcm) - len(pcm) % 2
        turn = replace(turn, sounds=True, rest=pcm[whole:])
        page.keep(turn=turn)
        pcm = pcm[:whole]
    sound = AudioOutput(response=turn.response, item=turn.item, pcm=pcm, format=form)
    page.events.append(sound)


def _format(mime: str) -> AudioFormat | None:
    told = _RATE.fullmatch(mime)
    if told is None:
        return None
    return AudioFormat(rate=int(told[1])) if told[1] and int(told[1]) else PCM_24K


def _written(page: Page, text: str) -> None:
    turn = running(page)
    if turn.written is None:
        turn = replace(turn, written=ItemId(page.mint("i")), text="")
    page.keep(turn=replace(turn, text=turn.text + text))
    words = ResponseText(response=turn.response, item=turn.written, text=text, is_complete=False)
    page.events.append(words)


def finish_items(page: Page) -> None:
    """Say that all was generated of what is spoken and written; more would be something new."""
    turn = page.memory.turn
    if turn is None:
        return
    of, spoken, written = turn.response, turn.item, turn.written
    if written is not None:
        text = ResponseText(response=of, item=written, text=turn.text, is_complete=True)
        page.events.append(text)
    if spoken is not None:
        if turn.sounds:
            page.events.append(AudioOutputDone(response=of, item=spoken))
        if turn.words:
            words = AgentTranscript(response=of, item=spoken, text=turn.words, final=True)
            page.events.append(words)
    if spoken is not None or written is not None:
        page.keep(turn=replace(turn, item=None, written=None, words="", text="", rest=b""))


# --- calls ------------------------------------------------------------------------------------


def take_calls(page: Page, calls: Iterable[FunctionCall]) -> None:
    """Pass on calls, each once."""
    for call in calls:
        if not call.name or (call.id and CallId(call.id) in page.memory.calls):
            continue
        turn = running(page)
        id = CallId(call.id or page.mint("c"))
        made = Call(call.name, has_id=bool(call.id))
        page.keep(calls=put(page.memory.calls, id, made))
        wanted = ToolCall(
            response=turn.response,
            item=ItemId(id),
            call=id,
            name=call.name,
            arguments=text_of(call.args) or "{}",
        )
        page.events.append(wanted)


def void_calls(page: Page, ids: Iterable[str]) -> None:
    """Tell which calls are void."""
    calls = tuple(CallId(id) for id in ids)
    if calls:
        page.events.append(ToolCallCancelled(calls=calls))


# --- the end ----------------------------------------------------------------------------------


def end_turn(page: Page, reason: str | None) -> None:
    """End the answer that runs, with what it cost."""
    turn = page.memory.turn or _silent(page)
    if turn is None:
        return
    finish_items(page)
    status, error = unfinished(reason)
    if turn.cut:
        status, error = "interrupted", None
    usage = page.memory.usage
    done = ResponseDone(response=turn.response, status=status, usage=usage, error=error)
    page.events.append(done)
    page.keep(turn=None, usage=None)
    cut_here(page, turn.response)


def _silent(page: Page) -> Turn | None:
    """Begin an answer that ends without output, where one was asked for, or has cost something."""
    memory = page.memory
    if memory.passing:
        page.keep(passing=False, was_cut=False, usage=None)
        return None
    page.keep(was_cut=False, by_voice=False)
    if not memory.asked and (memory.was_cut or memory.usage is None):
        return None
    turn = replace(running(page), cut=memory.was_cut)
    page.keep(turn=turn)
    return turn
