"""A wish: what of a client's setup is read, in its types.

What is not named passes unread; null means that nothing was said.
"""

from __future__ import annotations

from typing import Any, Literal, cast

import msgspec

from ..client_messages import Setup

__all__ = ("Function", "Wish", "read_setup")

Fields = dict[str, Any]


class _Struct(msgspec.Struct, frozen=True, rename="camel"):
    """Names are camelCase on the wire."""


class Detection(_Struct, frozen=True):
    """How the ends of turns are found."""

    disabled: bool = False
    prefix_padding_ms: int | None = None
    silence_duration_ms: int | None = None


class Input(_Struct, frozen=True):
    """Who decides about turns."""

    automatic_activity_detection: Detection = Detection()
    activity_handling: str = ""


class Prebuilt(_Struct, frozen=True):
    """A voice by its name."""

    voice_name: str = ""


class Voice(_Struct, frozen=True):
    """A voice."""

    prebuilt_voice_config: Prebuilt = Prebuilt()


class Speech(_Struct, frozen=True):
    """How the model speaks."""

    voice_config: Voice = Voice()
    language_code: str = ""


class Thinking(_Struct, frozen=True):
    """How much the model thinks, and whether it tells of it."""

    include_thoughts: bool = False
    thinking_level: str = ""


class Generation(_Struct, frozen=True):
    """How the model answers."""

    response_modalities: tuple[str, ...] | None = None
    temperature: float | None = None
    max_output_tokens: int | None = None
    speech_config: Speech = Speech()
    thinking_config: Thinking = Thinking()
    enable_affective_dialog: bool = False


class Function(_Struct, frozen=True):
    """A function that the model may call."""

    name: str = ""
    description: str = ""
    parameters: Fields | None = None
    parameters_json_schema: Fields | None = None
    behavior: Literal["", "UNSPECIFIED", "BLOCKING", "NON_BLOCKING"] = ""


class Tool(_Struct, frozen=True):
    """Functions; other tools are the vendor's own."""

    function_declarations: tuple[Function, ...] = ()


class Resumption(_Struct, frozen=True):
    """Handles are wanted, or one is brought along."""

    handle: str = ""
    transparent: bool = False


class Wish(_Struct, frozen=True):
    """A setup."""

    model: str = ""
    generation_config: Generation = Generation()
    tools: tuple[Tool, ...] | None = None
    realtime_input_config: Input = Input()
    session_resumption: Resumption | None = None

    @property
    def manual(self) -> bool:
        """Whether the client marks its turns."""
        return self.realtime_input_config.automatic_activity_detection.disabled

    @property
    def interrupts(self) -> bool:
        """Whether a new turn of the user cuts that of the model."""
        return self.realtime_input_config.activity_handling != "NO_INTERRUPTION"

    @property
    def thoughts(self) -> bool:
        """Whether the model's thoughts are to be told."""
        return self.generation_config.thinking_config.include_thoughts

    @property
    def written(self) -> bool:
        """Whether answers are text alone."""
        return self.generation_config.response_modalities == ("TEXT",)

    @property
    def functions(self) -> tuple[Function, ...]:
        """All functions."""
        return tuple(one for tool in self.tools or () for one in tool.function_declarations)

    @property
    def handle(self) -> str:
        """The handle of the session that is taken up again, or ""."""
        return self.session_resumption.handle if self.session_resumption is not None else ""


def read_setup(setup: Setup) -> Wish:
    """Read a setup; raises `msgspec.ValidationError` where it holds something of another type."""
    return msgspec.convert(_given(msgspec.to_builtins(setup)), Wish, strict=False)


def _given(value: object) -> object:
    if isinstance(value, list):
        return list(map(_given, cast("list[object]", value)))
    if not isinstance(value, dict):
        return value
    fields = cast("dict[str, object]", value).items()
    return {name: _given(one) for name, one in fields if one is not None}
