"""Reading: what the service says as the library's events.

Blocks are opened, filled and closed by name; to which answer each belongs is decided in `turns`.
"""

from __future__ import annotations

from msgspec.structs import replace

from realtime_core.codec import Coded
from realtime_core.epoch import CallId, ItemId
from realtime_core.events import (
    AgentTranscript,
    AudioOutput,
    Connected,
    Status,
    ToolCall,
    UserTranscript,
)

from .contents import arguments_of, kind_of, object_in, usage_of
from .memory import Block, Kind, Line, Memory, Page, Turn
from .server_events import (
    AudioOutput as Sound,
)
from .server_events import (
    ContentEnd,
    ContentStart,
    ServerEvent,
    TextOutput,
    ToolUse,
)
from .turns import (
    belongs,
    close,
    end_words,
    interrupted,
    new_line,
    outspoken,
    over,
    owner,
    passed_on,
    sound_ended,
    told_final,
)

__all__ = ("accepted", "read")

_STATUS: dict[str, Status] = {
    "": "completed",
    "END_TURN": "completed",
    "INTERRUPTED": "interrupted",
}


def accepted(memory: Memory) -> Coded[Memory]:
    """Open the session, unless it is: the service has answered the request."""
    page = Page(memory)
    _open(page)
    return page.coded()


def read(memory: Memory, event: ServerEvent) -> Coded[Memory]:
    """Give what an event means."""
    return _sound_alone(memory, event) or _read(memory, event)


def _sound_alone(memory: Memory, event: ServerEvent) -> Coded[Memory] | None:
    """Read more sound of the answer that runs, if an event is that and nothing else."""
    sound, turn = event.audio_output, memory.turn
    if sound is None or turn is None or turn.waits:
        return None
    block = memory.blocks.get(sound.content_id or "")
    if block is None or block.item is None or block.kind != "sound" or block.of != turn.response:
        return None
    if block.rest or not sound.content or len(sound.content) % 2:
        return None
    if event != ServerEvent(audio_output=sound):
        return None
    said = AudioOutput(
        response=block.of, item=block.item, pcm=sound.content, format=memory.plan.output_format
    )
    return Coded(memory, (), (said,))


def _read(memory: Memory, event: ServerEvent) -> Coded[Memory]:
    page = Page(memory)
    _open(page)
    if event.content_start is not None:
        _begun(page, event.content_start)
    if event.text_output is not None:
        _text(page, event.text_output)
    if event.audio_output is not None:
        _sound(page, event.audio_output)
    if event.tool_use is not None:
        _call(page, event.tool_use)
    if event.content_end is not None:
        _ended(page, event.content_end)
    if event.usage_event is not None:
        page.keep(usage=usage_of(event.usage_event))
    if event.completion_end is not None:
        end_words(page)
        close(page, _STATUS.get(event.completion_end.stop_reason or "", "incomplete"))
    return page.coded()


def _open(page: Page) -> None:
    if page.memory.is_open:
        return
    page.keep(is_open=True)
    plan = page.memory.plan
    connected = Connected(session_id="", config=plan.config, capabilities=plan.capabilities)
    page.events.append(connected)


# --- blocks -----------------------------------------------------------------------------------


def _begun(page: Page, start: ContentStart) -> None:
    """Note what a block will hold, and the answer it belongs to, where that is known by now."""
    kind = kind_of(start)
    page.put_block(start.content_id or "", Block(kind, owner(page.memory, kind)))


def _block(page: Page, name: str | None, otherwise: Kind) -> Block:
    """Give a block that was opened, or take one that was not for what its content says it is."""
    return page.memory.blocks.get(name or "") or Block(otherwise)


def _ended(page: Page, end: ContentEnd) -> None:
    name = end.content_id or ""
    block = _block(page, name, "sound" if end.type == "AUDIO" else "other")
    reason = end.stop_reason
    turn = page.memory.turn
    if block.kind == "ended":
        return
    if reason == "INTERRUPTED" and block.kind not in {"user", "guess"}:
        interrupted(page, block.of)
    elif block.kind == "sound" and turn is not None and block.of in {None, turn.response}:
        sound_ended(page, turn, block.item)
        if reason == "END_TURN":
            over(page)
    if block.kind == "final":
        told_final(page, block.of, block.text)
    elif block.kind == "user":
        end_words(page)
    page.put_block(name, Block("ended", block.of))


# --- words ------------------------------------------------------------------------------------


def _text(page: Page, told: TextOutput) -> None:
    name, text = told.content_id or "", told.content or ""
    block = _block(page, name, "user" if told.role == "USER" else "plan")
    if not text or block.kind == "ended":
        return
    if "interrupted" in text and (fields := object_in(text)) and fields.get("interrupted") is True:
        interrupted(page, block.of)
        return
    match block.kind:
        case "user" | "guess":
            _user(page, name, block, text)
        case "final":
            page.put_block(name, replace(block, text=f"{block.text} {text}".strip()))
        case "plan":
            _planned(page, name, block, text)
        case _:
            pass


def _user(page: Page, name: str, block: Block, text: str) -> None:
    """Take words of the user; guesses are told, and replaced by what was really said."""
    if block.kind == "user":
        passed_on(page)
        outspoken(page)
    text = f"{block.text} {text}".strip()
    page.put_block(name, replace(block, text=text))
    if page.memory.user is None:
        page.keep(user=ItemId(page.mint("u")))
    page.keep(words=text)
    page.events.append(UserTranscript(item=page.memory.user, text=text, final=False))


def _planned(page: Page, name: str, block: Block, text: str) -> None:
    turn = belongs(page, block)
    if turn is None:
        return
    line = next((line for line in turn.lines if line.item == block.item), None)
    line = line or new_line(page, sounds=False)
    page.put_turn(replace(turn, waits=False), replace(line, text=line.text + text))
    page.put_block(name, replace(block, of=turn.response, item=line.item))
    words = AgentTranscript(response=turn.response, item=line.item, text=text, final=False)
    page.events.append(words)


# --- sound ------------------------------------------------------------------------------------


def _sound(page: Page, told: Sound) -> None:
    name = told.content_id or ""
    block = _block(page, name, "sound")
    if not told.content or block.kind != "sound":
        return
    turn = belongs(page, block)
    if turn is None:
        return
    line = _spoken(page, turn, block)
    page.put_turn(replace(turn, waits=False), line)
    pcm = block.rest + told.content
    whole = len(pcm) - len(pcm) % 2
    page.put_block(name, replace(block, of=turn.response, item=line.item, rest=pcm[whole:]))
    if not whole:
        return
    form = page.memory.plan.output_format
    sound = AudioOutput(response=turn.response, item=line.item, pcm=pcm[:whole], format=form)
    page.events.append(sound)


def _spoken(page: Page, turn: Turn, block: Block) -> Line:
    """Give the sentence of a sound: the first that has none, or one without words."""
    for line in turn.lines:
        if line.item == block.item or (block.item is None and not line.sounds):
            return replace(line, sounds=True)
    return new_line(page, sounds=True)


# --- calls ------------------------------------------------------------------------------------


def _call(page: Page, told: ToolUse) -> None:
    """Pass on a call, once."""
    id = CallId(told.tool_use_id or "")
    block = _block(page, told.content_id, "tool")
    if not id or not told.tool_name or id in page.memory.calls or block.kind == "ended":
        return
    turn = belongs(page, block)
    if turn is None:
        return
    page.put_turn(replace(turn, waits=True))
    page.put_call(id, waits=True)
    arguments = arguments_of(told.content)
    call = ToolCall(
        response=turn.response,
        item=ItemId(id),
        call=id,
        name=told.tool_name,
        arguments=arguments,
    )
    page.events.append(call)
