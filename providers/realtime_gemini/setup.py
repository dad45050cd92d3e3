"""The setup: what was agreed, as the first message of a connection.

A wish that the model does not take is left out, as `lacking` tells: a server refuses the whole
setup for one field too many.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec
from msgspec.structs import replace

from realtime_core.capability import Capabilities
from realtime_core.config import SessionConfig, ToolSpec, TurnDetection
from realtime_core.plan import Plan

from .client_messages import Setup
from .models import Model, Service, model_of
from .options import Options
from .parts import Content, Part
from .schema import accepted

__all__ = (
    "HOSTED",
    "behaviour",
    "fitting",
    "name_of",
    "service_of",
    "setup",
    "tools",
    "with_raw",
    "words",
)

Fields = dict[str, Any]

_COVERAGE = {
    "only_activity": "TURN_INCLUDES_ONLY_ACTIVITY",
    "all_input": "TURN_INCLUDES_ALL_INPUT",
    "audio_activity_and_all_video": "TURN_INCLUDES_AUDIO_ACTIVITY_AND_ALL_VIDEO",
}
HOSTED = {
    "googleSearch": "google_search",
    "codeExecution": "code_execution",
    "urlContext": "url_context",
}
"""Tools that the provider runs by itself, with the options that switch them on."""


def service_of(capabilities: Capabilities) -> Service:
    """Tell which of the two services a provider is at."""
    return "vertex" if capabilities.provider == "gemini-vertex" else "developer"


def name_of(config: SessionConfig, capabilities: Capabilities) -> str:
    """Give the name of the model: the one wished for, or the provider's own."""
    return config.model or next((one.name for one in capabilities.models), "")


def fitting(capabilities: Capabilities, wish: SessionConfig, options: Options) -> Capabilities:
    """Give what remains possible with these settings, at this service."""
    known, service = model_of(name_of(wish, capabilities)), service_of(capabilities)
    ordered = (options.typed or known.typed) == "content" and known.converses
    automatic = wish.turn_detection.mode != "manual"
    signals = service == "vertex" and options.explicit_vad_signal is True
    return replace(
        capabilities,
        speech_events=capabilities.speech_events or signals,
        resumption=capabilities.resumption if options.resumption else "none",
        commit=capabilities.commit and automatic and service == "developer",
        truncate=ordered,
        delete=ordered,
        update=known.updates or (service == "vertex" and ordered),
    )


def setup(plan: Plan, options: Options, *, handle: str | None = None, seeds: bool = False) -> Setup:
    """Give the setup; `handle` takes up an earlier session, `seeds` announces a history."""
    config, known = plan.config, model_of(name_of(plan.config, plan.capabilities))
    service = service_of(plan.capabilities)
    speaks = known.speaks and "audio" in config.modalities
    compression = options.compression
    return Setup(
        model=_path(plan),
        generation_config=_generation(config, options, known, speaks=speaks),
        system_instruction=words(config.instructions)
        if config.instructions and known.converses
        else None,
        tools=tools(config, options, known) or None,
        realtime_input_config=_turns(config.turn_detection, options) or None,
        input_audio_transcription=options.transcription if config.transcribe_user else None,
        output_audio_transcription=_switched(options.output_transcription) if speaks else None,
        session_resumption=_resumption(options, handle, service),
        context_window_compression={"slidingWindow": {}}
        if compression is True
        else compression or None,
        proactivity={"proactiveAudio": options.proactive_audio}
        if options.proactive_audio is not None and known.proactive == "choice"
        else None,
        history_config={"initialHistoryInClientContent": True} if seeds else None,
        safety_settings=options.safety_settings,
        explicit_vad_signal=options.explicit_vad_signal if service == "vertex" else None,
        labels=options.labels if service == "developer" else None,
        avatar_config=options.avatar,
    )


def with_raw(made: Setup, options: Options) -> bytes:
    """Write the first message, with what was given as it is."""
    if not options.setup:
        return msgspec.json.encode({"setup": made})
    fields: Fields = msgspec.json.decode(msgspec.json.encode(made))
    return msgspec.json.encode({"setup": _joined(fields, options.setup)})


def _joined(one: Fields, other: Fields) -> Fields:
    joined = dict(one)
    for name, value in other.items():
        known = joined.get(name)
        if isinstance(known, dict) and isinstance(value, dict):
            value = _joined(cast("Fields", known), cast("Fields", value))  # noqa: PLW2901 - deeper
        joined[name] = value
    return joined


def words(text: str, role: str | None = None) -> Content:
    """Give a content of one text."""
    return Content(parts=(Part(text=text),), role=role)


def _path(plan: Plan) -> str:
    name = name_of(plan.config, plan.capabilities)
    return name if "/" in name or not name else f"models/{name}"


def _switched(wish: bool | Fields) -> Fields | None:
    return ({} if wish is True else wish) if wish is not False else None


def _resumption(options: Options, handle: str | None, service: Service) -> Fields | None:
    if not options.resumption:
        return None
    fields: Fields = {} if handle is None else {"handle": handle}
    if options.transparent is not None and service == "vertex":
        fields["transparent"] = options.transparent
    return fields


def _generation(config: SessionConfig, options: Options, known: Model, *, speaks: bool) -> Fields:
    resolution = options.media_resolution
    fields: Fields = {
        "responseModalities": ["AUDIO" if speaks else "TEXT"],
        "temperature": config.temperature,
        "topP": options.top_p,
        "topK": options.top_k,
        "maxOutputTokens": config.max_output_tokens,
        "seed": options.seed,
        "mediaResolution": f"MEDIA_RESOLUTION_{resolution.upper()}" if resolution else None,
        "speechConfig": _speech(config, known) if speaks else None,
        "thinkingConfig": _thinking(options, known) or None,
        "enableAffectiveDialog": options.affective_dialog if known.affective else None,
        "translationConfig": _translation(options) if known.translates else None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _speech(config: SessionConfig, known: Model) -> Fields | None:
    fields: Fields = {}
    if config.voice:
        fields["voiceConfig"] = {"prebuiltVoiceConfig": {"voiceName": config.voice}}
    if config.language and known.language:
        fields["languageCode"] = config.language
    return fields or None


def _thinking(options: Options, known: Model) -> Fields:
    fields: Fields = {}
    if known.thinks == "none":
        return fields
    if known.thinks == "budget" and options.thinking_budget is not None:
        fields["thinkingBudget"] = options.thinking_budget
    if known.thinks in {"level", "required"} and options.thinking_level is not None:
        fields["thinkingLevel"] = options.thinking_level.upper()
    if known.thinks == "required" and options.thinking_level in {None, "minimal"}:
        fields["thinkingLevel"] = "LOW"
    if options.include_thoughts is not None:
        fields["includeThoughts"] = options.include_thoughts
    return fields


def _translation(options: Options) -> Fields | None:
    fields = {
        "targetLanguageCode": options.target_language,
        "echoTargetLanguage": options.echo_target_language,
    }
    return {name: value for name, value in fields.items() if value is not None} or None


def _turns(turns: TurnDetection, options: Options) -> Fields:
    """Give who decides about turns; one that is marked by hand is cut by whoever marks the next."""
    automatic = turns.mode != "manual"
    fields: Fields = {}
    detection = _detection(turns, options) if automatic else {"disabled": True}
    if detection:
        fields["automaticActivityDetection"] = detection
    if automatic and turns.authority != "provider":
        fields["activityHandling"] = "NO_INTERRUPTION"
    if options.turn_coverage is not None:
        fields["turnCoverage"] = _COVERAGE[options.turn_coverage]
    return fields


def _detection(turns: TurnDetection, options: Options) -> Fields:
    start, end = options.start_sensitivity, options.end_sensitivity
    if start is None and turns.threshold is not None:
        start = "low" if turns.threshold > 0.5 else "high"
    if end is None and turns.eagerness in {"low", "high"}:
        end = "low" if turns.eagerness == "low" else "high"
    fields = {
        "startOfSpeechSensitivity": f"START_SENSITIVITY_{start.upper()}" if start else None,
        "endOfSpeechSensitivity": f"END_SENSITIVITY_{end.upper()}" if end else None,
        "prefixPaddingMs": turns.prefix_ms,
        "silenceDurationMs": turns.silence_ms,
    }
    return {name: value for name, value in fields.items() if value is not None}


def tools(config: SessionConfig, options: Options, known: Model) -> tuple[Fields, ...]:
    """Give what the model may call: our functions, and what the provider runs by itself."""
    if not known.converses:
        return ()
    hosted = tuple(
        {name: switched}
        for name, option in HOSTED.items()
        if name in known.hosts and (switched := _switched(getattr(options, option))) is not None
    )
    if not config.tools or config.tool_choice == "none":
        return hosted
    declared = [_declared(tool, options, known) for tool in config.tools]
    return (*hosted, {"functionDeclarations": declared})


def behaviour(name: str, options: Options, known: Model) -> str:
    """Tell whether the model waits for the result of a tool: it does, unless it cannot."""
    wish = options.behaviour.get(name, "BLOCKING")
    return wish if wish in known.behaviours else next(iter(known.behaviours), "BLOCKING")


def _declared(tool: ToolSpec, options: Options, known: Model) -> Fields:
    """Declare a function; how it is called is only said where the model has a choice."""
    declared: Fields = {"name": tool.name, "description": tool.description}
    parameters = accepted(tool.parameters)
    if parameters.get("properties"):
        declared["parameters"] = parameters
    wish = behaviour(tool.name, options, known)
    if len(known.behaviours) > 1 and wish != known.behaviours[0]:
        declared["behavior"] = wish
    return declared
