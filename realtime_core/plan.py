"""An agreed session: what remains of a wish once it has met what a provider can do.

`negotiate` decides before anything is dialled: a wish the provider lacks becomes a `Warning` where
the session can go on without it, and `Unsupported` where it cannot.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec.structs import replace
from returns.result import Failure, Result, Success

from .audio.format import PCM_24K, AudioFormat
from .capability import Capabilities
from .config import SessionConfig
from .errors import Unsupported
from .events import Warning
from .history import fitted

__all__ = ("OWN", "Plan", "negotiate", "options_of")

Own = TypeVar("Own", bound=msgspec.Struct)

OWN = ("model", "voice", "options")
"""Fields of a configuration that mean something to one provider only."""
_FIXED = (*OWN, "history", "input_format", "output_format")
"""Those, and what no session changes."""


class Plan(msgspec.Struct, frozen=True):
    """An agreed session: the configuration in force, and what was left out of the wish."""

    config: SessionConfig
    capabilities: Capabilities
    input_format: AudioFormat
    output_format: AudioFormat
    warnings: tuple[Warning, ...] = ()
    place: int = 0
    """Which of several providers it was agreed with, in their order."""
    successor: Plan | None = None
    """What was agreed with the provider that takes over when this one is lost for good."""
    former: tuple[SessionConfig, ...] = ()
    """The configurations of providers from which this one has taken over."""

    def at(self, place: int) -> Plan:
        """Give what was agreed with one of the providers from this one on."""
        return self if self.place == place or self.successor is None else self.successor.at(place)

    def meant(self, wish: SessionConfig) -> SessionConfig:
        """Read a wish: what it has of a provider that was left is no wish of this one."""
        foreign = {
            name: getattr(self.config, name)
            for name in OWN
            if any(getattr(wish, name) == getattr(one, name) for one in self.former)
        }
        return replace(wish, **foreign)

    def updated(self, config: SessionConfig) -> Result[Plan, Unsupported]:
        """Put another configuration in force; what changes holds for who takes over, too.

        Refused where one of them could not hold the session then.
        """
        if self.successor is None:
            return Success(replace(self, config=config))
        changes = {
            name: value
            for name in SessionConfig.__struct_fields__
            if name not in _FIXED and (value := getattr(config, name)) != getattr(self.config, name)
        }
        next = self.successor
        agreed = negotiate(next.capabilities, replace(next.config, **changes))
        if isinstance(agreed, Failure):
            return agreed
        made = agreed.unwrap()
        told = replace(next, warnings=(*next.warnings, *made.warnings))
        successor = told.updated(made.config)
        return successor.map(lambda one: replace(self, config=config, successor=one))


def negotiate(capabilities: Capabilities, wish: SessionConfig) -> Result[Plan, Unsupported]:
    """Match a wish with what the provider can do."""
    refusal = _refusal(capabilities, wish)
    if refusal is not None:
        return Failure(refusal)
    config, warnings = wish, list[Warning]()
    told, left_out = fitted(wish.history, capabilities.history_limits)
    if capabilities.history_limits is not None and left_out:
        why = f"{capabilities.provider} takes {len(told)} of {len(wish.history)} entries"
        config, warnings = replace(wish, history=told), [Warning(field="history", why=why)]
    heard, spoken = capabilities.audio_in, capabilities.audio_out
    for field, lacking, without, words in (
        (
            "history",
            bool(wish.history) and not capabilities.history,
            (),
            "takes no earlier messages",
        ),
        (
            "transcribe_user",
            wish.transcribe_user and not capabilities.user_transcripts,
            False,
            "does not write down what the user says",
        ),
        ("voice", _unknown_voice(capabilities, wish), "", f"has no voice {wish.voice!r}"),
        ("input_format", _lacks(heard, wish.input_format), None, "takes audio in another format"),
        ("output_format", _lacks(spoken, wish.output_format), None, "speaks in another format"),
    ):
        if lacking:
            config = replace(config, **{field: without})
            warnings.append(Warning(field=field, why=f"{capabilities.provider} {words}"))
    return Success(
        Plan(
            config,
            capabilities,
            input_format=_agreed(config.input_format, heard),
            output_format=_agreed(config.output_format, spoken),
            warnings=tuple(warnings),
        )
    )


def options_of(config: SessionConfig, kind: type[Own]) -> Result[Own, Unsupported]:
    """Read a configuration's options as the struct of a provider's own; a wrong one is named."""
    try:
        return Success(msgspec.convert(dict(config.options), kind))
    except msgspec.ValidationError as problem:
        known = ", ".join(kind.__struct_fields__)
        return Failure(
            Unsupported(
                what=f"These options cannot be used: {problem}.",
                cause="a misspelt name, or a value of another kind",
                fix=f"Known options: {known}.",
                field="options",
            )
        )


def _refusal(capabilities: Capabilities, wish: SessionConfig) -> Unsupported | None:
    turns = wish.turn_detection
    lacks: tuple[tuple[bool, str, str], ...] = (
        (bool(wish.tools) and not capabilities.tools, "tools", "tools"),
        (
            "audio" not in wish.modalities and not capabilities.text_out,
            "modalities",
            "answers in text alone",
        ),
        (
            "audio" in wish.modalities and not capabilities.audio_out,
            "modalities",
            "answers in audio",
        ),
        (
            turns.mode == "manual" and not capabilities.manual_turns,
            "turn_detection.mode",
            "manual turns",
        ),
        (
            turns.authority not in capabilities.authorities,
            "turn_detection.authority",
            f"barge-in under the authority of the {turns.authority}",
        ),
    )
    for lacking, field, words in lacks:
        if lacking:
            return Unsupported(
                what=f"The provider {capabilities.provider!r} does not offer {words}.",
                cause="this provider or model lacks it",
                fix=f"Choose another `{field}`, or another provider.",
                field=field,
            )
    return None


def _unknown_voice(capabilities: Capabilities, wish: SessionConfig) -> bool:
    return bool(wish.voice and capabilities.voices) and wish.voice not in capabilities.voices


def _lacks(offered: tuple[AudioFormat, ...], wish: AudioFormat | None) -> bool:
    return wish is not None and bool(offered) and wish not in offered


def _agreed(wish: AudioFormat | None, offered: tuple[AudioFormat, ...]) -> AudioFormat:
    if wish is not None:
        return wish
    return offered[0] if offered else PCM_24K
