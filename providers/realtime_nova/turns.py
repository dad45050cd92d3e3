"""Turns: where an answer begins, what belongs to it, and where it ends; the wire does not say.

The rule. An answer begins with the first content of an ASSISTANT block (SPECULATIVE words, sound)
or of a call, where none runs; and where one runs, but has said END_TURN, or the user has had the
word since. A block that opened while an answer ran belongs to that one: what still comes of it
afterwards is dropped. A call does not end an answer: what follows its result goes on with it.
An answer has said all at an AUDIO END_TURN. It ends when its last sentence has been told as FINAL,
or else with whatever comes next: words of the user, another answer, a text of ours, the end of the
completion. An interruption ends it at once, and so does another answer in the middle of its sound;
FINAL words that come later find its sentences, as long as no other answer begins, or they fit no
sentence of that one.
Words of ours that wait for the end of an answer wait for its END_TURN, and not for FINAL words that
may never come. An answer is to what was said last: to the oldest request for which none has begun,
but words of the user that come behind requests take their place, whether the service drops those or
answers all together; what begins then was not asked for.
"""

from __future__ import annotations

from msgspec.structs import replace

from realtime_core.epoch import ItemId, RequestId, ResponseId
from realtime_core.events import (
    AgentTranscript,
    AudioOutputDone,
    Interrupted,
    ResponseDone,
    ResponseStarted,
    Status,
    Usage,
    UserTranscript,
)

from .memory import Block, Kind, Line, Memory, Page, Turn

__all__ = (
    "belongs",
    "close",
    "end_words",
    "interrupted",
    "new_line",
    "outspoken",
    "over",
    "owner",
    "passed_on",
    "settled",
    "sound_ended",
    "told_final",
)


def owner(memory: Memory, kind: Kind) -> ResponseId | None:
    """Give the answer to which a block belongs that opens now; None: that will show."""
    turn = None
    if kind == "final":
        turn = memory.turn or memory.past
    elif kind in {"plan", "sound", "tool"}:
        turn = _going_on(memory)
    return turn.response if turn is not None else None


def belongs(page: Page, block: Block) -> Turn | None:
    """Give the answer of a block, begun if need be; None where that one is past."""
    turn = page.memory.turn
    if block.of is None:
        return _running(page)
    return turn if turn is not None and turn.response == block.of else None


def _going_on(memory: Memory) -> Turn | None:
    turn = memory.turn
    return turn if turn is not None and not turn.over and not memory.turned else None


def _running(page: Page) -> Turn:
    """Give the answer that runs, or begin one: for our oldest request, if there is one."""
    memory = page.memory
    going_on, turn = _going_on(memory), memory.turn
    if going_on is not None:
        return going_on
    if turn is not None and memory.turned and any(ln.sounds and not ln.heard for ln in turn.lines):
        interrupted(page, turn.response)  # in the middle of its sound, though nobody said so
    close(page)
    end_words(page)
    turn = Turn(ResponseId(page.mint("r")))
    asked = page.memory.asked
    page.keep(turn=turn, turned=False, asked=asked[1:])
    request = asked[0] if asked else None
    page.events.append(ResponseStarted(response=turn.response, request=request))
    return turn


def passed_on(page: Page) -> None:
    """Give the word to somebody else: an answer that has said all ends, another one will begin."""
    turn = page.memory.turn
    if turn is not None and turn.over:
        close(page)
    elif turn is not None:
        page.keep(turned=True)


def outspoken(page: Page) -> None:
    """Settle what was asked for and has not begun: the user has spoken since, and is answered.

    What was cut by our words, and left to be heard, the user has cut then.
    """
    asked, past = page.memory.asked, page.memory.past
    for request in asked:
        settled(page, request, "interrupted")
    page.keep(asked=())
    if asked and past is not None and past.cut:
        page.events.append(Interrupted(cause="provider", response=past.response))


def settled(page: Page, request: RequestId, status: Status) -> None:
    """Answer a request with nothing: no answer of its own will come."""
    response = ResponseId(page.mint("r"))
    page.events += (
        ResponseStarted(response=response, request=request),
        ResponseDone(response=response, status=status),
    )


def end_words(page: Page) -> None:
    """Say that the user has said all, where something was said."""
    memory = page.memory
    if memory.user is not None:
        page.events.append(UserTranscript(item=memory.user, text=memory.words, final=True))
        page.keep(user=None, words="")


# --- sentences --------------------------------------------------------------------------------


def new_line(page: Page, *, sounds: bool) -> Line:
    """Begin a sentence."""
    return Line(ItemId(page.mint("i")), sounds=sounds)


def sound_ended(page: Page, turn: Turn, item: ItemId | None) -> None:
    """Say that all sound of a sentence has come."""
    line = next((line for line in turn.lines if line.item == item and not line.heard), None)
    if line is None:
        return
    page.put_turn(turn, replace(line, heard=True))
    page.events.append(AudioOutputDone(response=turn.response, item=line.item))


def told_final(page: Page, of: ResponseId | None, text: str) -> None:
    """Find the sentences that FINAL words are the words of, and tell those that are whole.

    Of an answer that was cut the words are what was spoken, and nothing more of a sentence comes.
    """
    memory = page.memory
    runs = memory.turn is not None and memory.turn.response == of
    if runs and _fits(memory.past, text) and not _fits(memory.turn, text):
        runs, of = False, None  # the one before it was cut, and this was spoken of it
    turn = memory.turn if runs else memory.past
    if turn is None or of not in {None, turn.response}:
        return
    lines, finished = _found(turn, text)
    turn = replace(turn, lines=lines)
    page.keep(**{"turn" if runs else "past": turn})
    page.events += (
        AgentTranscript(response=turn.response, item=line.item, text=line.said, final=True)
        for line in finished
    )
    if runs:
        _end_if_told(page, turn)


def _found(turn: Turn, text: str) -> tuple[tuple[Line, ...], list[Line]]:
    lines, finished, rest = list[Line](), list[Line](), _plain(text)
    for line in turn.lines:
        if not rest or line.final or not line.text:
            lines.append(line)
            continue
        said, whole = _plain(f"{line.said} {rest}"), _plain(line.text)
        final = turn.cut or not _is_part(said, whole)
        said, rest = (whole, said[len(whole) :]) if said.startswith(whole) else (said, "")
        lines.append(replace(line, said=said, final=final))
        finished += lines[-1:] if final else []
    return tuple(lines), finished


def _plain(text: str) -> str:
    return " ".join(text.split())


def _fits(turn: Turn | None, text: str) -> bool:
    """Tell whether words begin the next sentence of an answer that waits for its own."""
    lines = turn.lines if turn is not None else ()
    line = next((line for line in lines if line.text and not line.final), None)
    whole = _bare(line.text) if line is not None else ""
    return bool(whole) and (whole.startswith(_bare(text)) or _bare(text).startswith(whole))


def _bare(text: str) -> str:
    return "".join(filter(str.isalnum, text)).casefold()


def _is_part(said: str, whole: str) -> bool:
    """Tell whether words are the beginning of others, and more will come of them."""
    return _bare(whole).startswith(_bare(said)) and _bare(said) != _bare(whole)


# --- the end ----------------------------------------------------------------------------------


def over(page: Page) -> None:
    """Note that the answer that runs has said all."""
    turn = page.memory.turn
    if turn is not None:
        turn = replace(turn, over=True)
        page.keep(turn=turn)
        _end_if_told(page, turn)


def _end_if_told(page: Page, turn: Turn) -> None:
    told = all(line.final or not line.text for line in turn.lines)
    if turn.over and (told or page.memory.held):
        close(page)


def close(page: Page, status: Status = "completed") -> None:
    """End the answer that runs; what was not told as FINAL was said as it was meant to be."""
    turn = page.memory.turn
    if turn is None:
        return
    for line in turn.lines:
        if line.text and not line.final:
            said = line.text if _is_part(line.said, line.text) else line.said or line.text
            words = AgentTranscript(response=turn.response, item=line.item, text=said, final=True)
            page.events.append(words)
        if line.sounds and not line.heard:
            page.events.append(AudioOutputDone(response=turn.response, item=line.item))
    _done(page, replace(turn, lines=()), status)


def interrupted(page: Page, of: ResponseId | None) -> None:
    """Follow an interruption, once for each answer.

    It may speak of the answer before, of which all has come and some may still be audible. Where
    that was cut by words of ours, they wanted an answer after it: it is left to be heard.
    """
    turn, past = page.memory.turn, page.memory.past
    if turn is not None and of in {None, turn.response}:
        page.events.append(Interrupted(cause="provider", response=turn.response))
        _done(page, replace(turn, cut=True), "interrupted")
    elif turn is None and past is not None and not past.cut and of in {None, past.response}:
        page.keep(past=replace(past, cut=True))
        if not page.memory.asked:
            page.events.append(Interrupted(cause="provider", response=past.response))


def _done(page: Page, turn: Turn, status: Status) -> None:
    usage = _spent(page)
    page.events.append(ResponseDone(response=turn.response, status=status, usage=usage))
    page.keep(turn=None, past=turn, turned=False)


def _spent(page: Page) -> Usage | None:
    """Give what was used since an answer ended last; the service counts up."""
    total, before = page.memory.usage, page.memory.billed or Usage()
    if total is None or total == page.memory.billed:
        return None
    page.keep(billed=total)
    return Usage(
        input_tokens=max(0, total.input_tokens - before.input_tokens),
        output_tokens=max(0, total.output_tokens - before.output_tokens),
        input_audio_tokens=max(0, total.input_audio_tokens - before.input_audio_tokens),
        output_audio_tokens=max(0, total.output_audio_tokens - before.output_audio_tokens),
    )
