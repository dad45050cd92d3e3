"""Telling: earlier messages, typed words and notes as contents, in the roles the service knows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from realtime_core.config import Message

from .models import Service
from .parts import Content, Part
from .setup import words

__all__ = ("contents_of", "note", "text_of")


def text_of(service: Service, role: Literal["user", "system"], text: str) -> Content:
    """Give typed words; the Developer API knows two roles, and takes a system's words as a note."""
    if role == "user":
        return words(text, "user")
    return words(text, "system") if service == "vertex" else words(f"[{text}]", "user")


def note(heard: str) -> str:
    """Say what was heard of an answer that was cut, as the model is told of it."""
    if not heard:
        return "[The user stopped you before any of your last answer was heard.]"
    return f'[The user stopped you. Of your last answer, only this was heard: "{heard}"]'


def contents_of(service: Service, messages: Iterable[Message]) -> tuple[Content, ...]:
    """Give a history; calls and results are told in words, as the service takes no others there."""
    contents = list[Content]()
    for message in messages:
        one = _content(service, message)
        last = contents[-1] if contents else None
        if last is not None and last.role == one.role:
            contents[-1] = Content((*(last.parts or ()), *(one.parts or ())), last.role)
        else:
            contents.append(one)
    return tuple(contents)


def _content(service: Service, message: Message) -> Content:
    name = message.name or "a tool"
    match message.role:
        case "assistant":
            return Content((Part(text=message.text),), "model")
        case "tool_call":
            return Content((Part(text=f"[Calls {name} with {message.text}]"),), "model")
        case "tool_result":
            return Content((Part(text=f"[{name} gave: {message.text}]"),), "user")
        case _:
            return text_of(service, message.role, message.text)
