"""The book: what is known of one client, and what the service does not take from it.

Pure. The brackets are followed, and what stands in them is checked as the service does; whose turn
it is follows from the sound and the words. A mistake leaves the book as it was.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec
from msgspec.structs import replace
from returns.result import Failure, Result, Success

from ..brackets import Brackets, follow
from ..client_events import (
    AudioFormat,
    ClientEvent,
    ContentEnd,
    ContentStart,
    PromptStart,
    SessionStart,
    TextInput,
)
from ..encoding import BROKEN
from ..models import HISTORY_BYTES
from .ear import Ear, listened

__all__ = ("Book", "Turned", "hear")

_RATES = {8_000, 16_000, 24_000}
_MOST_PIECE = 1_024
"""Bytes of a `textInput` of the history, by the service's pages."""
_PAUSES = {"HIGH": 1_500, "MEDIUM": 1_750, "LOW": 2_000}
_ROLES = {
    "TEXT": {"SYSTEM", "SYSTEM_SPEECH", "USER", "ASSISTANT"},
    "AUDIO": {"USER"},
    "TOOL": {"TOOL"},
}


class Book(msgspec.Struct, frozen=True):
    """One client."""

    brackets: Brackets = Brackets()
    session: SessionStart | None = None
    prompt: PromptStart | None = None
    pause_ms: int | None = None
    """How long a silence ends a turn; None: as long as the client's settings say."""
    ear: Ear = Ear()
    begun: int = 0
    """Turns of the user that have begun, typed or spoken."""
    told: tuple[tuple[str, str], ...] = ()
    """The history, as it was told: roles, and words."""
    words: str = ""
    """Those of the block of text that is open."""
    calls: tuple[str, ...] = ()
    """Calls that wait for their results."""
    results: int = 0
    """Those that the block of a result has held."""

    @property
    def pause(self) -> int:
        """How long a silence ends a turn, in ms."""
        if self.pause_ms is not None:
            return self.pause_ms
        session = self.session
        wish = session.turn_detection_configuration if session is not None else None
        told = wish.endpointing_sensitivity if wish is not None else None
        return _PAUSES.get(told or "MEDIUM", _PAUSES["MEDIUM"])


Turned = str | None
"""What the user has typed, where a turn is over with this event; "" where it was spoken."""


def hear(book: Book, event: ClientEvent) -> Result[tuple[Book, Turned], str]:
    """Take what a client says, or say in words why the service does not."""
    wrong = _wrong(book, event)
    if wrong:
        return Failure(wrong)
    followed = follow(book.brackets, event)
    if isinstance(followed, Failure):
        return Failure(followed.failure())
    before, book = book, replace(book, brackets=followed.unwrap())
    if event.session_start is not None:
        book = replace(book, session=event.session_start)
    if event.prompt_start is not None:
        book = replace(book, prompt=event.prompt_start)
    if event.audio_input is not None:
        return Success(_heard(book, event.audio_input.content))
    if event.content_start is not None:
        live = event.content_start.interactive and event.content_start.type == "TEXT"
        book = replace(book, begun=book.begun + live, words="", results=0)
    if event.text_input is not None:
        book = replace(book, words=book.words + event.text_input.content)
    if event.tool_result is not None:
        book = replace(book, results=book.results + 1)
    if event.content_end is not None:
        return Success(_ended(book, _block(before, event.content_end)))
    return Success((book, None))


def _heard(book: Book, pcm: bytes) -> tuple[Book, Turned]:
    block = next(one for one in book.brackets.open if one.audio_input_configuration is not None)
    form = cast("AudioFormat", block.audio_input_configuration)
    before, ear = book.ear, listened(book.ear, pcm, form.sample_rate_hertz, book.pause)
    book = replace(book, ear=ear, begun=book.begun + ear.begun - before.begun)
    return book, ("" if ear.ended > before.ended else None)


def _block(book: Book, one: ContentEnd | TextInput) -> ContentStart | None:
    return next((b for b in book.brackets.open if b.content_name == one.content_name), None)


def _ended(book: Book, block: ContentStart | None) -> tuple[Book, Turned]:
    assert block is not None  # noqa: S101 - the brackets fit
    if block.type == "TEXT" and block.interactive and block.role == "USER":
        return book, book.words
    if block.type == "TEXT" and block.role in {"USER", "ASSISTANT"}:
        return replace(book, told=(*book.told, (block.role, book.words))), None
    form = block.tool_result_input_configuration
    if form is not None:
        return replace(book, calls=tuple(c for c in book.calls if c != form.tool_use_id)), None
    return book, None


# --- what is not taken ------------------------------------------------------------------------


def _wrong(book: Book, event: ClientEvent) -> str:
    """Say what is wrong inside of an event; "" where nothing is."""
    if event.prompt_start is not None:
        return _prompt(event.prompt_start)
    if event.content_start is not None:
        return _start(book, event.content_start)
    if event.text_input is not None:
        return _text(book, event.text_input)
    if event.audio_input is not None and len(event.audio_input.content) % 2:
        return "half a sample"
    if event.tool_result is not None and not _is_object(event.tool_result.content):
        return "Tool Response parsing error"
    if event.content_end is not None:
        return _end(book, _block(book, event.content_end))
    return ""


def _prompt(prompt: PromptStart) -> str:
    if not prompt.prompt_name:
        return "a prompt without a name"
    form = prompt.audio_output_configuration
    if not form.voice_id:
        return "no voice"
    tools = prompt.tool_configuration.tools if prompt.tool_configuration is not None else ()
    for tool in tools:
        spec: dict[str, Any] = tool.get("toolSpec", {})
        if not spec.get("name") or not _is_object(spec.get("inputSchema", {}).get("json")):
            return "a tool without a name, or whose schema is no JSON object in a string"
    if tools and prompt.tool_use_output_configuration is None:
        return "tools without toolUseOutputConfiguration"
    return _form(form)


def _form(form: AudioFormat) -> str:
    fixed = (form.media_type, form.sample_size_bits, form.channel_count, form.encoding)
    if fixed != ("audio/lpcm", 16, 1, "base64") or form.sample_rate_hertz not in _RATES:
        return "a form of sound that is not taken"
    return ""


def _start(book: Book, block: ContentStart) -> str:
    if not block.content_name:
        return "a block without a name"
    if block.role not in _ROLES.get(block.type, {block.role}):
        return f"a block of type {block.type} with the role {block.role}"
    sound, result = block.audio_input_configuration, block.tool_result_input_configuration
    given = {"TEXT": block.text_input_configuration, "AUDIO": sound, "TOOL": result}
    if block.type in given and given[block.type] is None:
        return f"a block of type {block.type} without its configuration"
    if sound is not None:
        return _form(sound)
    if result is not None and result.tool_use_id not in book.calls:
        return "a result of a call that waits for none"
    if block.type == "TEXT" and not block.interactive and block.role in {"USER", "ASSISTANT"}:
        last = book.told[-1][0] if book.told else "ASSISTANT"
        if block.role == last:
            return "a history in which roles do not alternate, the user's first"
    return ""


def _text(book: Book, given: TextInput) -> str:
    block, size = _block(book, given), len(given.content.encode())
    if not given.content:
        return "a textInput without words"
    if block is None or block.interactive or block.role not in {"USER", "ASSISTANT"}:
        return ""
    if size > _MOST_PIECE:
        return f"a textInput of {size} bytes in the history"
    told = sum(len(text.encode()) for _, text in book.told) + len(book.words.encode())
    return "a history that is too long" if told + size > HISTORY_BYTES else ""


def _end(book: Book, block: ContentStart | None) -> str:
    if block is None:
        return ""
    if block.type == "TEXT" and not book.words:
        return "a block of text without words"
    return "a result without its content" if block.type == "TOOL" and not book.results else ""


def _is_object(text: object) -> bool:
    try:
        return isinstance(msgspec.json.decode(cast("str", text)), dict)
    except (*BROKEN, TypeError):
        return False
