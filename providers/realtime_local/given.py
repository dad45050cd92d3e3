"""An answer that is being given, as the messages that tell of it.

Words and sound of it carry its names; what it said is kept until its end.
"""

from __future__ import annotations

from typing import Literal

from . import wire
from .complaint import complaint
from .parts import ToolChoice
from .reply import Phrase, Reply

__all__ = ("Given", "Status")

Status = Literal["completed", "cancelled", "interrupted", "incomplete", "failed"]


class Given:
    """One response and its only item; `aloud` tells whether its words are spoken."""

    def __init__(self, number: int, reply: Reply, *, aloud: bool) -> None:
        self.response = f"r{number}"
        self.item = f"i{number}"
        self.reply = reply
        self.aloud = aloud
        self.text = ""
        """What was said of it."""
        self.unsounded = ""
        """Its last words, while no sound of them was told."""
        self.sounded = False
        self.calls = list[ToolChoice]()

    def sound(self, pcm: bytes) -> wire.AudioDelta:
        """Tell a piece of its sound."""
        self.sounded = True
        self.unsounded = ""
        return wire.AudioDelta(response=self.response, item=self.item, pcm=pcm)

    def words(self, phrase: Phrase) -> wire.Spoken | None:
        """Tell a piece of its words; white space before the first one is left out."""
        text = phrase.text if self.text else phrase.text.lstrip()
        if not text:
            return None
        self.text += text
        self.unsounded = text if self.aloud else ""
        return self._spoken(text, phrase.start if self.aloud else None, final=False)

    def whole(self, *, cut: bool = False) -> tuple[wire.EngineMessage, ...]:
        """Tell that all its sound was sent, unless it was cut, and all its words once more."""
        told = list[wire.EngineMessage]()
        if self.sounded and not cut:
            told.append(wire.AudioDone(response=self.response, item=self.item))
        if self.text:
            told.append(self._spoken(self.text.rstrip(), None, final=True))
        return tuple(told)

    def end(self, status: Status, problem: BaseException | None = None) -> wire.ResponseFinished:
        """Tell that it has ended, and how many tokens it took, as far as known."""
        return wire.ResponseFinished(
            response=self.response,
            status=status,
            input_tokens=self.reply.tokens_in,
            output_tokens=self.reply.tokens_out,
            error="" if problem is None else complaint(problem).message,
        )

    def _spoken(self, text: str, start: int | None, *, final: bool) -> wire.Spoken:
        return wire.Spoken(
            response=self.response,
            item=self.item,
            text=text,
            final=final,
            audio=self.aloud,
            start=start,
        )
