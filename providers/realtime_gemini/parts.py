"""Contents and their parts, as both sides of the Live API write them."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ("Blob", "Content", "FunctionCallPart", "FunctionResponse", "Part")


class _Struct(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", gc=False):
    """Names are camelCase on the wire; what is not there is None."""


class Blob(_Struct, frozen=True, gc=False):
    """Sound or a picture; `mime_type` is such as `audio/pcm;rate=24000` or `image/jpeg`."""

    mime_type: str | None = None
    data: bytes | None = None


class FunctionCallPart(_Struct, frozen=True, gc=False):
    """An earlier call, in a history."""

    name: str | None = None
    args: dict[str, Any] | None = None
    id: str | None = None


class FunctionResponse(_Struct, frozen=True, gc=False):
    """What a function gave; `response` is a JSON object."""

    name: str | None = None
    response: dict[str, Any] | None = None
    id: str | None = None
    scheduling: str | None = None
    """`INTERRUPT`, `WHEN_IDLE` or `SILENT`, for calls that do not block."""
    will_continue: bool | None = None


class Part(_Struct, frozen=True, gc=False):
    """A piece of a content: one of its fields is set, and `thought` with a text."""

    text: str | None = None
    thought: bool | None = None
    inline_data: Blob | None = None
    function_call: FunctionCallPart | None = None
    function_response: FunctionResponse | None = None
    executable_code: dict[str, Any] | None = None
    code_execution_result: dict[str, Any] | None = None


class Content(_Struct, frozen=True, gc=False):
    """What `user` or `model` said."""

    parts: tuple[Part, ...] | None = ()
    role: str | None = None
