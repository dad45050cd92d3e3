"""Speech: the user's turns, as the client sends them and as it is told of them.

What the session calls an item of the user and what the client calls it are kept together here.
"""

from __future__ import annotations

from typing import Any

from realtime_core.events import SpeechStarted, SpeechStopped, UserTranscript
from realtime_core.frames import Audio, ClearAudio, CommitAudio

from .. import client_events as client
from . import objects
from .book import Entry, newest, without
from .items import commit
from .page import Page
from .results import hand_over

__all__ = ("append", "clear", "commit_audio", "speech_started", "speech_stopped", "user_words")

_LONGEST = 15 * 1024 * 1024
_NAMES = 64


def append(page: Page, event: client.Append, id: str) -> None:
    """Pass sound on, in whole samples."""
    if len(event.audio) > _LONGEST:
        page.fail("invalid_value", "At most 15 MiB at a time.", param="audio", event=id)
        return
    form = page.book.input_format
    pcm = page.book.rest + event.audio
    samples = form.samples(len(pcm))
    whole = samples * form.sample_size
    page.keep(
        rest=pcm[whole:],
        heard=page.book.heard + samples,
        buffered=page.book.buffered + samples,
    )
    if samples:
        page.ask(Audio(pcm[:whole], form), id)


def commit_audio(page: Page, event: client.Commit, id: str) -> None:  # noqa: ARG001 - one form for all
    """Make an item of what was heard."""
    if not page.book.buffered:
        what = "The input audio buffer is empty."
        page.fail("input_audio_buffer_commit_empty", what, event=id)
        return
    item = page.book.speech or page.mint("item")
    waiting = page.book.unbound
    if item not in page.book.names.values():
        waiting = (*waiting, item)[-_NAMES:]
    page.keep(unbound=waiting, speech="")
    if item not in page.book.items:
        commit(page, item)
    page.ask(CommitAudio(), id)


def clear(page: Page, event: client.Clear, id: str) -> None:  # noqa: ARG001 - one form for all
    """Forget what was heard."""
    page.keep(buffered=0, rest=b"")
    page.say("input_audio_buffer.cleared")
    if page.book.begun:
        page.ask(ClearAudio(), id)


# --- what the client is told ------------------------------------------------------------------


def speech_started(page: Page, event: SpeechStarted) -> None:
    """Write that the user speaks, unless it was written."""
    if page.book.speech:
        return
    id = event.item or page.mint("item")
    rate = page.book.input_format.rate
    begun = event.audio_ms if event.audio_ms is not None else page.book.heard * 1_000 / rate
    named = newest({**page.book.names, id: id}, _NAMES) if event.item else page.book.names
    page.keep(speech=id, names=named)
    page.say("input_audio_buffer.speech_started", audio_start_ms=max(0, int(begun)), item_id=id)
    hand_over(page)  # what the user says now is answered by who knows the results


def speech_stopped(page: Page, event: SpeechStopped) -> None:
    """Write that the user has spoken, and what item that is."""
    id = page.book.speech
    if not id:
        return
    rate = page.book.input_format.rate
    ended = event.audio_ms if event.audio_ms is not None else page.book.heard * 1_000 / rate
    page.say("input_audio_buffer.speech_stopped", audio_end_ms=max(0, int(ended)), item_id=id)
    bound = id in page.book.names.values()
    waiting = page.book.unbound if bound else (*page.book.unbound, id)[-_NAMES:]
    page.keep(speech="", unbound=waiting)
    if id not in page.book.items:
        commit(page, id)


def user_words(page: Page, event: UserTranscript) -> None:
    """Write what the user says: what is new of it, and in the end the whole."""
    id = _user_item(page, event.item or "")
    written: Any = page.book.session.get("audio", {}).get("input", {}).get("transcription")
    if event.final and id == page.book.speech:
        speech_stopped(page, SpeechStopped())
    if event.final and id not in page.book.items:
        commit(page, id)
    if written is None:
        return
    before = page.book.words.get(id, "")
    if event.text.startswith(before) and event.text != before:
        page.say(
            "conversation.item.input_audio_transcription.delta",
            item_id=id,
            content_index=0,
            delta=event.text[len(before) :],
        )
        before = event.text
    page.keep(words=newest({**without(page.book.words, id), id: before}, _NAMES))
    if event.final:
        _written_down(page, id, event)


def _written_down(page: Page, id: str, event: UserTranscript) -> None:
    page.say(
        "conversation.item.input_audio_transcription.completed",
        item_id=id,
        content_index=0,
        transcript=event.text,
        usage=objects.transcript_usage(event.usage),
    )
    page.keep(words=without(page.book.words, id))
    entry = page.book.items.get(id)
    if entry is not None and entry.object.get("role") == "user":
        content = [{"type": "input_audio", "transcript": event.text}]
        said = Entry(objects.message(id, "user", content))
        page.keep(items={**page.book.items, id: said})


def _user_item(page: Page, name: str) -> str:
    """Find the client's item for the session's name of it; the oldest without a name gets it."""
    book = page.book
    if name in book.names:
        return book.names[name]
    if book.unbound:
        id = book.unbound[0]
        page.keep(unbound=book.unbound[1:])
    elif book.speech and book.speech not in book.names.values():
        id = book.speech
    else:
        id = page.mint("item") if not name or name in book.items else name
    if name:
        page.keep(names=newest({**book.names, name: id}, _NAMES))
    return id
