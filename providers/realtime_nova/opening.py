"""Opening: the first events of a connection, from `sessionStart` to the audio block.

What a session is cannot be changed later; so everything of the plan stands here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from realtime_core.config import Message, SessionConfig, ToolSpec
from realtime_core.plan import Plan

from .client_events import (
    AudioFormat,
    AudioInput,
    ClientEvent,
    ContentEnd,
    ContentStart,
    Inference,
    MediaType,
    PromptStart,
    SessionStart,
    TextInput,
    Tools,
    TurnDetection,
)
from .encoding import encode
from .memory import Memory, Page
from .models import Model, voice_for
from .options import Options
from .telling import clean, pieces, told

__all__ = ("PLAIN", "block", "opened", "words")

PLAIN = MediaType("text/plain")
_JSON = MediaType("application/json")
_SENSITIVITY = {"high": "HIGH", "medium": "MEDIUM", "low": "LOW"}
_MAX_TOKENS = 1_024
_TEMPERATURE = 0.7
_SYSTEM = "You are a helpful assistant in a spoken conversation."
"""Said where there are no instructions: the service insists on a SYSTEM block."""
_PIECE_MS = 100
"""The most that is said of a sound in one event."""


def opened(memory: Memory, history: Iterable[Message]) -> Page:
    """Write the first events; raises `UnicodeEncodeError` or `TypeError` for bad schemas."""
    page = Page(memory)
    plan, options = memory.plan, memory.options
    config = plan.config
    prompt = f"{options.names}p{memory.conn}"
    page.keep(prompt=prompt)
    page.wires += [
        _with(encode(ClientEvent(session_start=_session(config, options, memory.model))), options),
        _with(encode(ClientEvent(prompt_start=_prompt(plan, prompt, memory.model))), options),
    ]
    words(page, (config.instructions or _SYSTEM,), "SYSTEM")
    if options.speech_instructions:
        words(page, (options.speech_instructions,), "SYSTEM_SPEECH")
    for role, text in told(tuple(history), plan.capabilities.history_limits):
        words(page, pieces(text), role)
    _audio(page, plan)
    return page


# --- blocks -----------------------------------------------------------------------------------


def words(page: Page, texts: Iterable[str], role: str, *, interactive: bool = False) -> None:
    """Write a whole block of words."""
    prompt, name = page.memory.prompt, page.memory.options.names + page.mint("b")
    start = ContentStart(prompt, name, "TEXT", interactive, role, text_input_configuration=PLAIN)
    inputs = (ClientEvent(text_input=TextInput(prompt, name, clean(text))) for text in texts)
    block(page, start, *inputs)


def block(page: Page, start: ContentStart, *inside: ClientEvent) -> None:
    """Write a block that is closed at once."""
    end = ContentEnd(start.prompt_name, start.content_name)
    events = (ClientEvent(content_start=start), *inside, ClientEvent(content_end=end))
    page.wires += map(encode, events)


def _audio(page: Page, plan: Plan) -> None:
    """Open the one audio block."""
    prompt, name = page.memory.prompt, page.memory.options.names + page.mint("b")
    rate = plan.input_format.rate
    form = AudioFormat("audio/lpcm", rate, 16, 1, "SPEECH", "base64")
    start = ContentStart(prompt, name, "AUDIO", True, "USER", audio_input_configuration=form)
    page.wires.append(encode(ClientEvent(content_start=start)))
    empty = encode(ClientEvent(audio_input=AudioInput(prompt, name, b"")))
    most = rate * _PIECE_MS // 1000 * plan.input_format.sample_size
    page.keep(audio=name, head=empty.removesuffix(b'"}}}'), most=most)


# --- settings ---------------------------------------------------------------------------------


def _session(config: SessionConfig, options: Options, model: Model) -> SessionStart:
    temperature = config.temperature
    inference = Inference(
        max_tokens=config.max_output_tokens or _MAX_TOKENS,
        top_p=options.top_p,
        temperature=_TEMPERATURE if temperature is None else temperature,
    )
    wish = _SENSITIVITY.get(config.turn_detection.eagerness)
    if wish is None or model.endpointing == "session":
        return SessionStart(inference, endpointing_sensitivity=wish)
    return SessionStart(inference, turn_detection_configuration=TurnDetection(wish))


def _prompt(plan: Plan, name: str, model: Model) -> PromptStart:
    config = plan.config
    voice = clean(voice_for(model, config.voice, config.language))
    rate = plan.output_format.rate
    tools = tuple(map(_tool, config.tools)) if config.tool_choice != "none" else ()
    return PromptStart(
        prompt_name=name,
        text_output_configuration=PLAIN,
        audio_output_configuration=AudioFormat(
            "audio/lpcm", rate, 16, 1, "SPEECH", "base64", voice_id=voice
        ),
        tool_use_output_configuration=_JSON if tools else None,
        tool_configuration=Tools(tools, _choice(config)) if tools else None,
    )


def _tool(tool: ToolSpec) -> dict[str, Any]:
    schema = msgspec.json.encode(dict(tool.parameters)).decode()
    about = {"description": tool.description} if tool.description else {}
    return {"toolSpec": {"name": tool.name, **about, "inputSchema": {"json": schema}}}


def _choice(config: SessionConfig) -> dict[str, Any] | None:
    choice = config.tool_choice
    if choice == "required":
        return {"any": {}}
    if any(tool.name == choice for tool in config.tools):
        return {"tool": {"name": choice}}
    return None


def _with(wire: bytes, options: Options) -> bytes:
    """Add the raw fields of the options, those inside of others too."""
    raw = {"sessionStart": options.session_start, "promptStart": options.prompt_start}
    event = msgspec.json.decode(wire, type=dict[str, dict[str, Any]])["event"]
    (name,) = event
    if not raw[name]:
        return wire
    return msgspec.json.encode({"event": {name: _merged(event[name], raw[name])}})


def _merged(fields: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    both = {**fields, **more}
    for name in fields.keys() & more.keys():
        if isinstance(fields[name], dict) and isinstance(more[name], dict):
            both[name] = _merged(fields[name], more[name])
    return both
