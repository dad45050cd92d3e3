"""Updating: other instructions and tools in a running session, as far as the service allows it."""

from __future__ import annotations

from msgspec.structs import replace
from returns.result import Failure, Result, Success

from realtime_core.codec import Coded
from realtime_core.config import SessionConfig
from realtime_core.errors import RealtimeError, Unsupported
from realtime_core.events import Warning
from realtime_core.frames import UpdateSession
from realtime_core.plan import options_of

from .client_messages import ClientContent, ClientMessage, ContextUpdate, Tools
from .encoding import encode
from .memory import Memory, Page, held, is_busy
from .options import Options
from .setup import tools, words

__all__ = ("update",)

_FIXED = (
    "model",
    "voice",
    "language",
    "modalities",
    "turn_detection",
    "transcribe_user",
    "temperature",
    "max_output_tokens",
)
_OF_TOOLS = ("behaviour", "scheduling", "google_search", "code_execution", "url_context")


def update(memory: Memory, frame: UpdateSession) -> Result[Coded[Memory], RealtimeError]:
    """Change what can be changed; the rest stays as it is, and is told."""
    wish = options_of(frame.config, Options)
    if isinstance(wish, Failure):
        return Failure(wish.failure())
    if not memory.plan.capabilities.update:
        return Failure(Unsupported(what="This model keeps the settings of a session."))
    page = Page(memory)
    options = replace(memory.options, **{name: getattr(wish.unwrap(), name) for name in _OF_TOOLS})
    config = _changed(page, frame.config, wish.unwrap(), options)
    before = memory.plan.config
    page.keep(plan=replace(memory.plan, config=config), options=options)
    if memory.model.updates:
        _in_context(page, memory)
    else:
        _in_words(page, before)
    return Success(page.coded())


def _changed(page: Page, wish: SessionConfig, given: Options, options: Options) -> SessionConfig:
    """Leave out what lasts as long as a session."""
    memory = page.memory
    before = memory.plan.config
    name = before.model.rpartition("/")[2] or memory.plan.capabilities.provider
    for field in _FIXED:
        value, kept = getattr(wish, field), getattr(before, field)
        if field == "model" and value in {"", kept.rpartition("/")[2]}:
            value = kept
        if value != kept:
            why = f"{name} keeps it for as long as a session lasts"
            page.events.append(Warning(field=field, why=why))
        wish = replace(wish, **{field: kept})
    if given != options:
        why = f"{name} keeps them for as long as a session lasts, but for those of tools"
        page.events.append(Warning(field="options", why=why))
    return wish


def _in_context(page: Page, before: Memory) -> None:
    memory = page.memory
    old, new = before.plan.config, memory.plan.config
    declared = tools(new, memory.options, memory.model)
    changed = ContextUpdate(
        system_instruction=words(new.instructions)
        if new.instructions != old.instructions
        else None,
        tools=Tools(declared) if declared != tools(old, before.options, before.model) else None,
    )
    if changed != ContextUpdate():
        page.wires.append(encode(ClientMessage(context_update=changed)))


def _in_words(page: Page, before: SessionConfig) -> None:
    """Give other instructions as a turn of the system: what Vertex takes."""
    memory = page.memory
    config = memory.plan.config
    if (config.tools, config.tool_choice) != (before.tools, before.tool_choice):
        why = "the model keeps its tools for as long as a session lasts"
        page.events.append(Warning(field="tools", why=why))
    if config.instructions == before.instructions:
        return
    page.keep(held=held(memory, words(config.instructions, "system")))
    if not is_busy(memory):
        content = ClientContent(page.memory.held, turn_complete=False)
        page.wires.append(encode(ClientMessage(client_content=content)))
        page.keep(held=())
