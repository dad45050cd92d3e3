"""The brackets of a session: what is open on the client's side, and what closes it.

Session, prompt and blocks are opened and closed once each and in order, with one audio block that
lasts. Who sends events folds them here, and so knows at any moment, also when it is cancelled, what
is left to be closed; who receives them sees the first that does not fit.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec.structs import replace
from returns.result import Failure, Result, Success

from .client_events import (
    AudioFormat,
    AudioInput,
    ClientEvent,
    ContentEnd,
    ContentStart,
    PromptEnd,
    SessionEnd,
)
from .encoding import BROKEN, client_event, encode

__all__ = ("Brackets", "closing", "follow", "seconds", "sent", "silence")

_SOUND = b'{"event":{"audioInput":'
"""How sound begins: the one event that opens and closes nothing, and comes all the time."""
_CONTENT = b'"content":"'
_AROUND = len(_CONTENT) + len(b'"}}}')
_ENDING = len(b'=="}}}')
_FILLING = {"TEXT": "text_input", "AUDIO": "audio_input", "TOOL": "tool_result"}


class Brackets(msgspec.Struct, frozen=True, gc=False):
    """How far a session is."""

    session: Literal["new", "open", "closed"] = "new"
    prompt: Literal["new", "open", "closed"] = "new"
    name: str = ""
    """Of the prompt."""
    open: tuple[ContentStart, ...] = ()
    """The blocks that are open, the oldest first."""
    used: frozenset[str] = frozenset()
    """Names of blocks that there were."""
    heard: bool = False
    """There was an audio block."""
    told: bool = False
    """There was a SYSTEM block."""


def follow(brackets: Brackets, event: ClientEvent) -> Result[Brackets, str]:
    """Take one more event, or say in words why it cannot come here."""
    given = [name for name in event.__struct_fields__ if getattr(event, name) is not None]
    if len(given) != 1:
        return Failure(f"an event holds one thing, not {len(given)}")
    if brackets.session != ("new" if event.session_start is not None else "open"):
        return Failure(f"{given[0]} where the session is {brackets.session}")
    if event.session_start is not None:
        return Success(replace(brackets, session="open"))
    if event.prompt_start is not None:
        if brackets.prompt != "new":
            return Failure("a second prompt")
        return Success(replace(brackets, prompt="open", name=event.prompt_start.prompt_name))
    if event.session_end is not None:
        if brackets.prompt == "open":
            return Failure("the prompt is open")
        return Success(replace(brackets, session="closed"))
    return _inside(brackets, event)


def _inside(brackets: Brackets, event: ClientEvent) -> Result[Brackets, str]:
    one = next(part for name in event.__struct_fields__ if (part := getattr(event, name)))
    if brackets.prompt != "open" or one.prompt_name != brackets.name:
        return Failure(f"{type(one).__name__} of a prompt that is not open")
    if isinstance(one, PromptEnd):
        if brackets.open:
            return Failure(f"blocks are open: {[block.content_name for block in brackets.open]}")
        return Success(replace(brackets, prompt="closed"))
    if isinstance(one, ContentStart):
        return _opened(brackets, one)
    block = next((b for b in brackets.open if b.content_name == one.content_name), None)
    if block is None:
        return Failure(f"{type(one).__name__} of a block that is not open")
    if isinstance(one, ContentEnd):
        left = tuple(other for other in brackets.open if other is not block)
        return Success(replace(brackets, open=left))
    if getattr(event, _FILLING.get(block.type, ""), None) is None:
        return Failure(f"{type(one).__name__} in a block of type {block.type}")
    return Success(brackets)


def _opened(brackets: Brackets, block: ContentStart) -> Result[Brackets, str]:
    if block.content_name in brackets.used:
        return Failure("a name that was used before")
    if block.type not in _FILLING:
        return Failure(f"a block of type {block.type}")
    if not brackets.told and block.role != "SYSTEM":
        return Failure("the first block is the SYSTEM block")
    if any(other.type != "AUDIO" for other in brackets.open):
        return Failure("a block inside of another that is not the audio block")
    sound = block.type == "AUDIO"
    if sound and brackets.heard:
        return Failure("a second audio block")
    live = sound or any(other.type == "AUDIO" for other in brackets.open)
    if (brackets.heard or block.type == "TOOL" or block.interactive) and not live:
        return Failure("a block that belongs beside the audio block, which is not open")
    return Success(
        replace(
            brackets,
            open=(*brackets.open, block),
            used=brackets.used | {block.content_name},
            heard=brackets.heard or sound,
            told=True,
        )
    )


def sent(brackets: Brackets, wire: str | bytes) -> Brackets:
    """Take note of an event of ours that is on its way; what is none, or does not fit, is not."""
    if isinstance(wire, bytes) and wire.startswith(_SOUND):
        return brackets
    try:
        return follow(brackets, client_event(wire)).value_or(brackets)
    except BROKEN:
        return brackets


def closing(brackets: Brackets) -> tuple[bytes, ...]:
    """Give the events that close what is open, the innermost first; none where all is closed."""
    if brackets.session != "open":
        return ()
    name = brackets.name
    events = [
        ClientEvent(content_end=ContentEnd(name, block.content_name))
        for block in reversed(brackets.open)
    ]
    if brackets.prompt == "open":
        events.append(ClientEvent(prompt_end=PromptEnd(name)))
    events.append(ClientEvent(session_end=SessionEnd()))
    return tuple(map(encode, events))


def silence(brackets: Brackets, ms: int) -> bytes | None:
    """Give sound of nothing for the audio block, where it is open: the service needs sound."""
    for block in brackets.open:
        form = block.audio_input_configuration
        if form is not None:
            pcm = bytes(_rate(form) * ms // 1000)
            sound = AudioInput(brackets.name, block.content_name, pcm)
            return encode(ClientEvent(audio_input=sound))
    return None


def seconds(brackets: Brackets, wire: bytes) -> float:
    """Give how long the sound in an event of ours lasts; 0 where there is none."""
    if wire.startswith(_SOUND):
        size = len(wire) - wire.find(_CONTENT) - _AROUND
        for block in brackets.open:
            form = block.audio_input_configuration
            if form is not None:
                return (size * 3 // 4 - wire.count(b"=", -_ENDING)) / _rate(form)
    return 0.0


def _rate(form: AudioFormat) -> int:
    """Give the bytes of a second."""
    return form.sample_rate_hertz * form.sample_size_bits // 8
