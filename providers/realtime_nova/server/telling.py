"""Telling: what the service says, in its own words; a small state in, events out.

Blocks are opened and closed once each, all names are the service's, and what a session has cost
only grows. The completion begins with the first thing that is said, and ends with the session.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from realtime_core.events import Usage

from ..server_events import (
    AudioOutput,
    Completion,
    ContentEnd,
    ContentStart,
    ServerEvent,
    TextOutput,
    Tokens,
    ToolUse,
    UsageDetails,
    UsageEvent,
    UsageSide,
)

__all__ = (
    "Form",
    "Reason",
    "Said",
    "Voice",
    "called",
    "completed",
    "final",
    "heard",
    "interrupted",
    "planned",
    "sounded",
    "sounding",
    "spent",
)

Form = Literal["both", "text", "stop"]
"""How an interruption is told: as words, as the reason why a block of sound ends, or both."""

Reason = Literal["PARTIAL_TURN", "END_TURN", "INTERRUPTED", "TOOL_USE"]
_NOTICE = '{ "interrupted" : true }'
_PLAIN = {"mediaType": "text/plain"}
_JSON = {"mediaType": "application/json"}


class Voice(msgspec.Struct, frozen=True):
    """How far the service is in what it says to one client."""

    number: int = 0
    """Of the connection."""
    prompt: str = ""
    rate: int = 24_000
    """Samples in a second of what is spoken."""
    begun: bool = False
    ended: bool = False
    minted: int = 0
    sound: str = ""
    """The block of sound that is open."""
    spent: Usage = Usage()
    """What the session has cost so far."""


class Said(NamedTuple):
    """What is said, and how far the service is then."""

    voice: Voice
    events: tuple[ServerEvent, ...] = ()


def _ids(voice: Voice) -> dict[str, Any]:
    return {
        "session_id": f"session-{voice.number}",
        "prompt_name": voice.prompt,
        "completion_id": f"completion-{voice.number}",
    }


def _minted(voice: Voice) -> tuple[Voice, str]:
    name = f"content-{voice.number}-{voice.minted}"
    return replace(voice, minted=voice.minted + 1), name


def _said(voice: Voice, *events: ServerEvent) -> Said:
    if voice.begun:
        return Said(voice, events)
    start = ServerEvent(completion_start=Completion(**_ids(voice)))
    return Said(replace(voice, begun=True), (start, *events))


# --- words ------------------------------------------------------------------------------------


def _words(voice: Voice, text: str, role: str, stage: str, reason: Reason) -> Said:
    voice, name = _minted(voice)
    own = {**_ids(voice), "content_id": name}
    start = ContentStart(
        **own,
        type="TEXT",
        role=role,
        additional_model_fields=f'{{"generationStage":"{stage}"}}',
        text_output_configuration=_PLAIN,
    )
    return _said(
        voice,
        ServerEvent(content_start=start),
        ServerEvent(text_output=TextOutput(**own, role=role, content=text)),
        ServerEvent(content_end=ContentEnd(**own, type="TEXT", stop_reason=reason)),
    )


def heard(voice: Voice, text: str) -> Said:
    """Tell what the user said."""
    return _words(voice, text, "USER", "FINAL", "PARTIAL_TURN")


def planned(voice: Voice, text: str) -> Said:
    """Tell what will be said: a sentence."""
    return _words(voice, text, "ASSISTANT", "SPECULATIVE", "PARTIAL_TURN")


def final(voice: Voice, text: str, reason: Reason = "END_TURN") -> Said:
    """Tell what was said: a sentence."""
    return _words(voice, text, "ASSISTANT", "FINAL", reason)


# --- sound ------------------------------------------------------------------------------------


def sounding(voice: Voice, pcm: bytes) -> Said:
    """Say a piece of sound, in the block that is open or in a new one."""
    start: tuple[ServerEvent, ...] = ()
    if not voice.sound:
        voice, name = _minted(voice)
        voice = replace(voice, sound=name)
        form = {
            "mediaType": "audio/lpcm",
            "sampleRateHertz": voice.rate,
            "sampleSizeBits": 16,
            "channelCount": 1,
            "encoding": "base64",
        }
        opened = ContentStart(
            **_ids(voice),
            content_id=name,
            type="AUDIO",
            role="ASSISTANT",
            audio_output_configuration=form,
        )
        start = (ServerEvent(content_start=opened),)
    piece = AudioOutput(**_ids(voice), content_id=voice.sound, role="ASSISTANT", content=pcm)
    return _said(voice, *start, ServerEvent(audio_output=piece))


def sounded(voice: Voice, reason: Reason = "PARTIAL_TURN") -> Said:
    """End the block of sound, where one is open."""
    if not voice.sound:
        return Said(voice)
    end = ContentEnd(**_ids(voice), content_id=voice.sound, type="AUDIO", stop_reason=reason)
    return _said(replace(voice, sound=""), ServerEvent(content_end=end))


def interrupted(voice: Voice, form: Form = "both") -> Said:
    """Tell that the user has interrupted; a block of sound that is open ends with it."""
    notice: tuple[ServerEvent, ...] = ()
    if form != "stop" or not voice.sound:
        reason: Reason = "INTERRUPTED" if form != "text" else "PARTIAL_TURN"
        voice, notice = _words(voice, _NOTICE, "ASSISTANT", "FINAL", reason)
    voice, end = sounded(voice, "INTERRUPTED" if form != "text" else "END_TURN")
    return Said(voice, (*notice, *end))


# --- calls, and the rest ----------------------------------------------------------------------


def called(voice: Voice, id: str, name: str, arguments: Mapping[str, Any]) -> Said:
    """Have a tool called."""
    voice, content = _minted(voice)
    own = {**_ids(voice), "content_id": content}
    start = ContentStart(**own, type="TOOL", role="TOOL", tool_use_output_configuration=_JSON)
    use = ToolUse(
        **own,
        role="TOOL",
        tool_name=name,
        tool_use_id=id,
        content=msgspec.json.encode(arguments).decode(),
    )
    return _said(
        voice,
        ServerEvent(content_start=start),
        ServerEvent(tool_use=use),
        ServerEvent(content_end=ContentEnd(**own, type="TOOL", stop_reason="TOOL_USE")),
    )


def spent(voice: Voice, usage: Usage) -> Said:
    """Tell what this has cost, and with it all so far."""
    before = voice.spent
    total = Usage(
        input_tokens=before.input_tokens + usage.input_tokens,
        output_tokens=before.output_tokens + usage.output_tokens,
        input_audio_tokens=before.input_audio_tokens + usage.input_audio_tokens,
        output_audio_tokens=before.output_audio_tokens + usage.output_audio_tokens,
    )
    event = UsageEvent(
        **_ids(voice),
        details=UsageDetails(delta=_sides(usage), total=_sides(total)),
        total_input_tokens=total.input_tokens,
        total_output_tokens=total.output_tokens,
        total_tokens=total.input_tokens + total.output_tokens,
    )
    return _said(replace(voice, spent=total), ServerEvent(usage_event=event))


def _sides(usage: Usage) -> UsageSide:
    taken, given = usage.input_audio_tokens, usage.output_audio_tokens
    return UsageSide(
        input=Tokens(speech_tokens=taken, text_tokens=usage.input_tokens - taken),
        output=Tokens(speech_tokens=given, text_tokens=usage.output_tokens - given),
    )


def completed(voice: Voice, reason: Reason = "END_TURN") -> Said:
    """End the completion, once, where it has begun."""
    if not voice.begun or voice.ended:
        return Said(voice)
    end = ServerEvent(completion_end=Completion(**_ids(voice), stop_reason=reason))
    return Said(replace(voice, ended=True), (end,))
