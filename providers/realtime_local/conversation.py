"""The conversation as it was said and heard: what the mind is given to answer.

An immutable value; every change gives a new one. What nobody heard is not in it, and a call
without a result is kept from the mind.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from realtime_core.config import Message
from realtime_core.epoch import CallId, ItemId

from .wire import Said

__all__ = ("SPOKEN_STYLE", "Conversation", "begun")

SPOKEN_STYLE = "You are a helpful voice assistant. Answer in one or two short, plain sentences."
"""What every mind is told behind the session's own instructions."""


class Conversation(msgspec.Struct, frozen=True):
    """Entries in their order, the oldest first, and a note on what the eyes see now."""

    entries: tuple[Message, ...] = ()
    note: str = ""
    sealed: str = ""
    """The item that was cut last: what comes of it later was not heard."""

    def with_message(self, message: Message) -> Conversation:
        """Add an entry at the end."""
        return replace(self, entries=(*self.entries, message))

    def grown(self, item: str, text: str) -> Conversation:
        """Add words to what the assistant says in an item; the first ones make its entry."""
        if item == self.sealed:
            return self
        old = self.said(item)
        if old is None:
            return self.with_message(Message("assistant", text, item=ItemId(item)))
        return self._with(item, old + text)

    def cut(self, item: str, text: str) -> Conversation:
        """Keep of an item exactly `text`, whatever comes of it later."""
        return replace(self._with(item, text), sealed=item)

    def without(self, item: str) -> Conversation:
        """Forget an item."""
        kept = tuple(entry for entry in self.entries if entry.item != item)
        return replace(self, entries=kept, sealed=item)

    def noted(self, note: str) -> Conversation:
        """Replace the note on what is seen; "" removes it."""
        return replace(self, note=note)

    def said(self, item: str) -> str | None:
        """Give the words kept of an item, None where there is no such entry."""
        return next((entry.text for entry in self.entries if entry.item == item), None)

    def asked_for(self, call: str) -> str | None:
        """Give the name of the tool that a call without a result yet is for, else None."""
        found = [entry for entry in self.entries if entry.call == call]
        open_ = len(found) == 1 and found[0].role == "tool_call"
        return found[0].name if open_ else None

    def messages(self, instructions: str) -> tuple[Message, ...]:
        """Give what a mind is given: the instructions first, the note before the last question."""
        answered = {entry.call for entry in self.entries if entry.role == "tool_result"}
        told = [
            entry
            for entry in self.entries
            if entry.text and (entry.role != "tool_call" or entry.call in answered)
        ]
        if self.note:
            asked = [at for at, entry in enumerate(told) if entry.role == "user"]
            seen = Message("system", f"What the camera shows now: {self.note}")
            told.insert(asked[-1] if asked else len(told), seen)
        style = f"{instructions} {SPOKEN_STYLE}" if instructions else SPOKEN_STYLE
        return (Message("system", style), *told)

    def _with(self, item: str, text: str) -> Conversation:
        entries = tuple(
            replace(entry, text=text) if entry.item == item else entry for entry in self.entries
        )
        return replace(self, entries=entries)


def begun(history: Iterable[Said]) -> Conversation:
    """Begin with the history that a session brings along."""
    return Conversation(
        tuple(
            Message(
                entry.role,
                entry.text,
                call=CallId(entry.call) if entry.call else None,
                name=entry.name,
            )
            for entry in history
        )
    )
