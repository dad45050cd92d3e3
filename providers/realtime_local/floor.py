"""Who has the floor: the answer that is given, the one prepared on a guess, those asked for.

At most one answer is open. What it says enters the conversation as it is sent; what is taken back
before the link took it leaves it again. Every answer asked for gets one end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, assert_never

from anyio.abc import TaskGroup
from msgspec.structs import replace

from realtime_core.config import Message
from realtime_core.epoch import CallId, ItemId

from . import wire
from .complaint import complaint
from .conversation import Conversation
from .given import Given, Status
from .outbox import Outbox
from .parts import Parts, ToolChoice
from .reply import Call, Closing, Part, Phrase, Plan, Reply, Sound
from .rounds import Rounds

__all__ = ("Floor", "Want")


class Want(NamedTuple):
    """An answer somebody waits for."""

    request: str | None = None
    """The `create` it answers; None where it answers what was spoken or the tools."""
    instructions: str = ""
    tools: bool = True
    modalities: tuple[str, ...] = ()

    def aloud(self, settings: wire.Settings) -> bool:
        """Tell whether the answer is to be spoken."""
        return "audio" in (self.modalities or settings.modalities)


class _Guess:
    """An answer that is prepared in case the user has finished."""

    def __init__(self, base: tuple[Message, ...], text: str, reply: Reply) -> None:
        self.base = base
        self.text = text
        self.reply = reply


class Floor:
    """One session's answers, used from one event loop; no method waits.

    `may_start` tells whether an answer to a want may begin now, and `settle` waits for what it
    should know before; call `advance` when the former may have changed. `moved` is called when an
    answer that was due is heard of or gone. Cancelling the task group ends everything.
    """

    def __init__(
        self,
        parts: Parts,
        tasks: TaskGroup,
        outbox: Outbox,
        *,
        may_start: Callable[[Want], bool],
        settle: Callable[[Want], Awaitable[None]],
        moved: Callable[[], None],
    ) -> None:
        self._parts = parts
        self._tasks = tasks
        self._outbox = outbox
        self._may_start = may_start
        self._settle = settle
        self._moved = moved
        self.settings = wire.Settings()
        self.conversation = Conversation()
        self._given: Given | None = None
        self._guess: _Guess | None = None
        self._wants = deque[Want]()
        self._rounds = Rounds()
        self._answers = self._calls = 0

    @property
    def idle(self) -> bool:
        """Whether no answer is given, prepared or waiting."""
        return self._given is None and self._guess is None and not self._wants

    @property
    def due(self) -> bool:
        """Whether somebody waits for the first sound of an answer."""
        return self._guess is not None or (self._given is not None and not self._given.sounded)

    def ask(self, want: Want) -> None:
        """Answer as soon as may be; what was spoken is answered once, however often it is asked."""
        if want.request is not None or want not in self._wants:
            self._wants.append(want)
        self.advance()

    def advance(self) -> None:
        """Begin the next answer if it may begin."""
        while self._given is None and self._wants and self._may_start(self._wants[0]):
            self._begin(self._wants.popleft())

    def guess(self, text: str) -> None:
        """Prepare the answer to these words, in case they are all the user says."""
        if self.idle:
            base = self.conversation
            asked = base.with_message(Message("user", text))
            self._guess = _Guess(base.entries, text, self._reply(Want(), asked))
            self._tasks.start_soon(self._guess.reply.run)

    def doubt(self) -> None:
        """Throw away what was prepared; nobody learns of it."""
        guess, self._guess = self._guess, None
        if guess is not None:
            guess.reply.cut()

    def heard(self, text: str, item: str) -> None:
        """Enter what the user said."""
        before = self.conversation.entries
        self.conversation = self.conversation.with_message(Message("user", text, item=ItemId(item)))
        guess = self._guess
        if guess is not None and guess.base is before and guess.text == text:
            guess.base = self.conversation.entries
        else:
            self.doubt()

    def yield_to_user(self, *, cut: bool) -> None:
        """Let the user speak: results of tools are from now on only noted, and with `cut` the
        answer ends, as do those asked for."""
        self.doubt()
        self._rounds.stale()
        if cut:
            self._cut("interrupted")
            asked = [want for want in self._wants if want.request is not None]
            self._wants.clear()
            for want in asked:
                given = self._announce(want, self._reply(want, self.conversation))
                self._outbox.say(given.end("interrupted"))

    def cancel(self, response: str) -> None:
        """End this answer if it is being given; its calls, if it is over, are only noted."""
        self._rounds.stale(response)
        if self._given is not None and self._given.response == response:
            self._cut("cancelled")
            self.advance()

    def output(self, call: str, text: str) -> None:
        """Enter the outcome of a call; the last one of a response makes the answer go on."""
        name = self.conversation.asked_for(call)
        if name is None:
            return
        result = Message("tool_result", text, call=CallId(call), name=name)
        self.conversation = self.conversation.with_message(result)
        if self._rounds.answered(call):
            self.ask(Want(tools=False))

    def _begin(self, want: Want) -> None:
        reply = self._prepared(want)
        if reply is None:
            self.doubt()
            reply = self._reply(want, self.conversation)
            self._tasks.start_soon(reply.run)
        given = self._given = self._announce(want, reply)
        reply.open(lambda part: self._put(given, part))

    def _prepared(self, want: Want) -> Reply | None:
        """Give the answer that was prepared, if it answers this."""
        guess = self._guess
        if guess is None or guess.base is not self.conversation.entries:
            return None
        if want != Want(want.request):
            return None
        self._guess = None
        return guess.reply

    def _announce(self, want: Want, reply: Reply) -> Given:
        given = Given(self._answers, reply, aloud=want.aloud(self.settings))
        self._answers += 1
        self._outbox.say(wire.ResponseCreated(response=given.response, request=want.request))
        return given

    def _reply(self, want: Want, conversation: Conversation) -> Reply:
        settings = self.settings

        async def compose() -> Sequence[Message]:
            await self._settle(want)
            seen = replace(conversation, note=self.conversation.note)
            return seen.messages(want.instructions or settings.instructions)

        return Reply(self._parts, _plan(settings, want), compose, self._outbox.room)

    def _put(self, given: Given, part: Part) -> None:
        match part:
            case Sound():
                first = not given.sounded
                self._outbox.say(given.sound(part.pcm))
                if first:
                    self._moved()
            case Phrase():
                said = given.words(part)
                if said is not None:
                    self.conversation = self.conversation.grown(given.item, said.text)
                    self._outbox.say(said)
            case Call():
                given.calls.append(part.choice)
            case Closing():
                self._close(given, part)
            case _:
                assert_never(part)

    def _close(self, given: Given, closing: Closing) -> None:
        self._given = None
        if closing.problem is not None:
            self._outbox.say(complaint(closing.problem))
            self._unsay(given, len(given.unsounded))
        calls = self._call(given.response, given.calls)
        ending = given.end(closing.status, closing.problem)
        self._outbox.say(*given.whole(), *calls, ending)
        self.advance()
        self._moved()

    def _call(self, response: str, choices: Sequence[ToolChoice]) -> tuple[wire.Requested, ...]:
        """Enter the calls in the conversation and give the messages that ask for them."""
        asked = list[wire.Requested]()
        for choice in choices:
            call, self._calls = f"c{self._calls}", self._calls + 1
            wish = Message("tool_call", choice.arguments, call=CallId(call), name=choice.name)
            self.conversation = self.conversation.with_message(wish)
            asked.append(
                wire.Requested(
                    response=response,
                    item=call,
                    call=call,
                    name=choice.name,
                    arguments=choice.arguments,
                )
            )
        if asked:
            self._rounds.begin(response, [wish.call for wish in asked])
        return tuple(asked)

    def _cut(self, how: Status) -> None:
        given, self._given = self._given, None
        if given is not None:
            given.reply.cut()
            unsent = len("".join(self._outbox.take_back(given.response)) or given.unsounded)
            self._unsay(given, unsent)
            self._outbox.say(*given.whole(cut=True), given.end(how))
            self._moved()

    def _unsay(self, given: Given, characters: int) -> None:
        """Take back the last words of an answer, of which no sound was sent."""
        if characters:
            given.text = given.text[: len(given.text) - characters]
            self.conversation = self.conversation.cut(given.item, given.text)


def _plan(settings: wire.Settings, want: Want) -> Plan:
    named = tuple(tool for tool in settings.tools if tool.name == settings.tool_choice)
    tools = named or settings.tools
    return Plan(
        tools=tools if want.tools and settings.tool_choice != "none" else (),
        must=bool(named) or settings.tool_choice == "required",
        aloud=want.aloud(settings),
        temperature=settings.temperature,
        most=settings.max_tokens,
    )
