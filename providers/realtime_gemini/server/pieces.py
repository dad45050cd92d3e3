"""Pieces: an answer as the messages in which a server sends it."""

from __future__ import annotations

from collections.abc import Iterator

from realtime_core.audio.format import PCM_24K

from ..parts import Blob, Content, Part
from ..server_messages import ServerContent, ServerMessage, Transcription

__all__ = ("Piece", "spoken", "thinking", "typed")

Piece = tuple[ServerMessage, ...]
"""What is sent together."""


def thinking(text: str) -> ServerMessage:
    """Give a thought."""
    return _content(Part(text=text, thought=True))


def typed(text: str, count: int) -> Iterator[Piece]:
    """Give written words in so many pieces; none of no words."""
    for place in range(count if text else 0):
        yield (_content(Part(text=_share(text, place, count))),)


def spoken(text: str, pcm: bytes, count: int, *, written: bool, together: bool) -> Iterator[Piece]:
    """Give sound at 24 kHz in so many pieces, and its words where they are `written` down.

    Words come before their sound; `together` has both in one message.
    """
    samples = PCM_24K.samples(len(pcm))
    for place in range(count):
        begin, end = (samples * at // count * 2 for at in (place, place + 1))
        sound = Part(inline_data=Blob("audio/pcm;rate=24000", pcm[begin:end]))
        words = _share(text, place, count) if written else ""
        heard = Transcription(words) if words else None
        if together or heard is None:
            yield (_content(sound, heard),)
        else:
            yield (
                ServerMessage(server_content=ServerContent(output_transcription=heard)),
                _content(sound),
            )


def _share(text: str, place: int, count: int) -> str:
    return text[len(text) * place // count : len(text) * (place + 1) // count]


def _content(part: Part, heard: Transcription | None = None) -> ServerMessage:
    turn = Content((part,), "model")
    return ServerMessage(server_content=ServerContent(model_turn=turn, output_transcription=heard))
