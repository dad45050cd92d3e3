"""Endless: a server that lives through many connections, and a person who talks with it for long.

Every sample is numbered, both ways, so that what was lost, doubled or moved can be named. The
server's memory outlives its connections, as that of a service does.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import anyio
from msgspec.structs import replace

from realtime_core import (
    PCM_16K,
    Audio,
    AudioOutput,
    Frame,
    Heard,
    Interrupted,
    ItemId,
    RealtimeEvent,
    RealtimeSession,
    ResponseDone,
    ResponseId,
    ResponseStarted,
    Text,
    ToolCall,
    ToolResult,
)
from realtime_core.beside import beside
from realtime_core.signals import Signal
from realtime_gemini.parts import Blob, Content, Part
from realtime_gemini.server import Caller
from realtime_gemini.server_messages import Transcription, UsageMetadata

__all__ = ("FRAME", "PIECE", "STEP", "Person", "Turn", "World", "ramp")

STEP = 1 / 8
"""Seconds of a frame of the microphone."""
FRAME = PCM_16K.rate // 8
"""Samples of such a frame: the first tells its number, the others what is said in it."""
PIECE = 6_000
"""Samples of a piece of an answer, a quarter of a second."""
_HUSH = 4
"""Silent frames that end what a user says."""
_RAMP = array("H", range(1 << 16)).tobytes() * 2


def ramp(first: int, count: int) -> bytes:
    """Give samples that are numbered, modulo 2 to the 16th."""
    start = 2 * (first % (1 << 16))
    return _RAMP[start : start + 2 * count]


class Turn:
    """One answer, as the server gave it."""

    def __init__(self, conn: int, first: int) -> None:
        self.conn = conn
        self.first = first
        """Number of its first sample."""
        self.samples = 0
        """Those that were sent."""
        self.text = ""
        """The words that were sent."""
        self.end = "lost"


Said = tuple[str, str | Turn]


class World:
    """The server's side of one conversation, over all its connections."""

    def __init__(
        self, life: float, *, refused: int = -1, dropped: int = -1, unrest: Random | None = None
    ) -> None:
        """Let connections end after `life` seconds, or with unrest: in any way, at any moment.

        `refused` is the connection whose handle is refused, `dropped` the answer in whose middle
        another connection breaks.
        """
        self.life = life
        self.unrest = unrest
        self.refused = refused
        self.dropped = dropped
        self.said = list[Said]()
        """The conversation: roles, and words or answers."""
        self.turns = list[Turn]()
        self.frames = list[int]()
        """Numbers of the frames that came, in their order."""
        self.told = list[tuple[str, str]]()
        """The history, as a connection without a handle was told of it."""
        self.handles = [""]
        self.shown = list[str]()
        """What each connection was begun with."""
        self.dialled = list[float]()
        self.left = dict[int, float]()
        """When the client had left a connection."""
        self._sent = 0
        self._wishes = deque[str]()
        self._results = dict[str, str]()
        self._news = Signal()
        self._cut = False
        self._speaking = 0
        self._silent = 0

    # --- one connection -----------------------------------------------------------------------

    async def play(self, caller: Caller) -> None:
        """Serve one connection, until the client leaves it."""
        self.dialled.append(anyio.current_time())
        await caller.until("setup")
        self.shown.append(caller.resumed)
        await anyio.sleep(0.5)  # as long as it may take
        if caller.number == self.refused:
            await caller.close(1008, "BidiGenerateContent session not found.")
            return
        await caller.welcome()
        try:
            async with beside() as tasks:
                tasks.start_soon(self._age, caller)
                tasks.start_soon(self._speak, caller)
                await self._hear(caller)
        finally:
            self.left[caller.number] = anyio.current_time()

    async def _age(self, caller: Caller) -> None:
        if self.unrest is None:
            await anyio.sleep(self.life)
            await caller.go_away(40.0)
            return
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._warn, caller, self.unrest.choice((0.5, 2.0, 10.0, 30.0)))
            await anyio.sleep(STEP * self.unrest.randrange(int(self.life / STEP)))
            if self.unrest.random() < 0.5:
                caller.drop()
            else:
                await caller.close(1011, "Internal error encountered.")

    async def _warn(self, caller: Caller, left: float) -> None:
        assert self.unrest is not None
        await anyio.sleep(STEP * self.unrest.randrange(int(self.life / STEP)))
        await caller.go_away(left)

    async def _hear(self, caller: Caller) -> None:
        owed = self.shown[-1] == "" and caller.number > 0
        while True:
            message = await caller.next()
            content, given = message.client_content, message.realtime_input
            if content is not None and owed:
                owed = False
                self.told = _parts(content.turns or ())
            elif content is not None:
                self._typed(_parts(content.turns or ()))
            elif given is not None and given.audio is not None:
                await self._sound(caller, given.audio.data or b"")
            elif message.tool_response is not None:
                for one in message.tool_response.function_responses or ():
                    self._results[one.id or ""] = str(one.response)
                self._news.give()

    def _typed(self, parts: list[tuple[str, str]]) -> None:
        for _, text in parts:
            if not text.startswith("["):  # else it is a note of what was heard
                self.said.append(("user", text))
                self._want(text)

    def _want(self, text: str) -> None:
        self._cut = True
        self._wishes.append(text)
        self._news.give()

    async def _sound(self, caller: Caller, pcm: bytes) -> None:
        samples = array("H", pcm)
        for start in range(0, len(samples), FRAME):
            self.frames.append(samples[start])
            said = samples[start + 1]
            if said and not self._speaking:
                self._speaking, self._cut = said, True
                self._news.give()
                await caller.hear_user(start="1s")
            self._silent = 0 if said else self._silent + 1
            if self._speaking and self._silent == _HUSH:
                words, self._speaking = f"spoken {self._speaking}", 0
                await caller.hear_user(words[:3], words[3:], end="2s")
                self.said.append(("user", words))
                self._want(words)

    # --- answers ------------------------------------------------------------------------------

    async def _speak(self, caller: Caller) -> None:
        while True:
            while not self._wishes:
                await self._news.wait()
            wish = self._wishes.popleft()
            self._cut = False
            turn = Turn(caller.number, self._sent)
            self.turns.append(turn)
            if wish.startswith("tool"):
                await self._call(caller, wish)
            self.said.append(("assistant", turn))
            await self._answer(caller, turn, wish)
            usage = UsageMetadata(prompt_token_count=3, response_token_count=5)
            if self._cut:
                await caller.interrupt(usage)
                turn.end = "interrupted"
            else:
                await caller.complete(usage)
                turn.end = "completed"
            self.handles.append(await caller.handle(f"handle-{len(self.handles)}"))

    async def _call(self, caller: Caller, wish: str) -> None:
        (id,) = await caller.call(("weather", {"of": wish}))
        self.said.append(("tool_call", f'{{"of":"{wish}"}}'))
        while id not in self._results:
            await self._news.wait()
        assert self._results[id] == f"{{'output': 'rain for {wish}'}}"
        self.said.append(("tool_result", f"rain for {wish}"))

    async def _answer(self, caller: Caller, turn: Turn, wish: str) -> None:
        """Speak twice as fast as it sounds; the turn ends when it has sounded, or was cut."""
        count = 4 + len(self.turns) % 13
        words = f"This is what there is to say about {wish}, and there is nothing else to it."
        began = anyio.current_time()
        for place in range(count):
            said = words[len(words) * place // count : len(words) * (place + 1) // count]
            was_cut = self._cut
            await self._piece(caller, turn, said)
            if len(self.turns) == self.dropped and place == 0:
                caller.drop()
            if was_cut:  # one more is on its way when it is noticed
                return
            await anyio.sleep(STEP)
        await caller.content(generation_complete=True)
        with anyio.move_on_after(began + count / 4 - anyio.current_time()):
            while not self._cut:
                await self._news.wait()

    async def _piece(self, caller: Caller, turn: Turn, said: str) -> None:
        sound = Blob(mime_type="audio/pcm;rate=24000", data=ramp(self._sent, PIECE))
        self._sent += PIECE
        turn.samples += PIECE
        turn.text += said
        await caller.content(
            model_turn=Content((Part(inline_data=sound),), "model"),
            output_transcription=Transcription(said),
        )


def _parts(turns: Any) -> list[tuple[str, str]]:
    return [(turn.role, part.text) for turn in turns for part in turn.parts or ()]


class Person:
    """Who talks: a microphone that is always on, ears, and a mind of its own."""

    def __init__(self, session: RealtimeSession[Frame], seed: int) -> None:
        self.session = session
        self.events = session.events()
        self.trace = list[RealtimeEvent]()
        self.spoken = dict[ResponseId, int]()
        """Samples that were returned, by answer; they are looked at one by one."""
        self.heard = dict[ItemId, int]()
        """Samples that were played to the end, by item."""
        self.pushed = 0
        """Frames of the microphone."""
        self.strange = list[str]()
        """Samples that are not the ones that were to come."""
        self.done = dict[str, int]()
        """How often each kind of thing was done."""
        self._random = Random(seed)
        self._said = 0
        self._says = 0
        self._open = set[ResponseId]()
        self._owed = False
        self._queue = deque[AudioOutput]()
        self._news = Signal()
        self._playing = False
        self._next = dict[ResponseId, int]()

    async def live(self, seconds: float) -> None:
        """Talk for so long, then say goodbye."""
        async with beside() as tasks:
            tasks.start_soon(self._microphone)
            tasks.start_soon(self._listen)
            tasks.start_soon(self._play)
            while anyio.current_time() < seconds:
                do = self._random.choice(
                    (self._types, self._speaks, self._asks, self._barges_in, self._cuts_in)
                )
                self.done[do.__name__] = self.done.get(do.__name__, 0) + 1
                await do()
                await self._quiet()
                await anyio.sleep(STEP * self._random.randrange(24, 64))

    async def take_the_rest(self) -> None:
        """Take what comes after the session was left."""
        async for event in self.events:
            self._take(event)

    # --- what it does -------------------------------------------------------------------------

    async def _types(self, kind: str = "typed", **how: Any) -> None:
        self._said += 1
        self._owed = True
        await self.session.send(Text(f"{kind} {self._said}", **how))

    async def _asks(self) -> None:
        await self._types("tool")

    async def _speaks(self) -> None:
        self._said += 1
        self._owed = True
        self._says = self._said
        await anyio.sleep(STEP * self._random.randrange(6, 24))
        self._says = 0

    async def _barges_in(self) -> None:
        await self._over(self._speaks)

    async def _cuts_in(self) -> None:
        await self._over(lambda: self._types(turn="interrupt"))

    async def _over(self, act: Callable[[], Awaitable[None]]) -> None:
        """Act while an answer is heard."""
        await self._types()
        while not self._playing and (self._owed or self._open):
            await self._news.wait()
        await anyio.sleep(STEP * self._random.randrange(1, 8))
        await act()

    async def _quiet(self) -> None:
        with anyio.fail_after(60.0):
            while self._owed or self._open or self._queue or self._playing:
                await self._news.wait()

    # --- ears and mouth -----------------------------------------------------------------------

    async def _microphone(self) -> None:
        while True:
            samples = array("H", [self._says]) * FRAME
            samples[0] = self.pushed
            await self.session.send(Audio(samples.tobytes(), PCM_16K))
            self.pushed += 1
            await anyio.sleep(STEP)

    async def _listen(self) -> None:
        async for event in self.events:
            self._take(event)
            if isinstance(event, ToolCall):
                wish = event.arguments.partition(':"')[2].removesuffix('"}')
                await self.session.send(ToolResult(event.call, f"rain for {wish}"))

    def _take(self, event: RealtimeEvent) -> None:
        match event:
            case AudioOutput():
                self._sound(event)
                self.trace.append(_without_sound(event))
            case ResponseStarted() if event.response is not None:
                self._open.add(event.response)
                self._owed = False
                self.trace.append(event)
            case ResponseDone() if event.response is not None:
                self._open.discard(event.response)
                self.trace.append(event)
            case Interrupted():
                self._queue.clear()
                self._owed = self._owed and event.cause != "connection"
                self.trace.append(event)
            case _:
                self.trace.append(event)
        self._news.give()

    def _sound(self, event: AudioOutput) -> None:
        assert event.response is not None
        count = event.format.samples(len(event.pcm))
        (first,) = array("H", event.pcm[:2])
        if event.pcm != ramp(first, count):
            self.strange.append(f"{event.response}: no ramp from {first}")
        if self._next.setdefault(event.response, first) != first:
            self.strange.append(f"{event.response}: {first} follows")
        self._next[event.response] = (first + count) % (1 << 16)
        self.spoken[event.response] = self.spoken.get(event.response, 0) + count
        self._queue.append(event)

    async def _play(self) -> None:
        while True:
            while not self._queue:
                await self._news.wait()
            event = self._queue.popleft()
            assert event.item is not None
            count = event.format.samples(len(event.pcm))
            self._playing = True
            await anyio.sleep(count / event.format.rate)
            self._playing = False
            if not self.events.stale(event):
                self.heard[event.item] = self.heard.get(event.item, 0) + count
                self.session.send_nowait(Heard(event.item, self.heard[event.item]))
            self._news.give()


def _without_sound(event: AudioOutput) -> AudioOutput:
    """Keep of a piece what the trace is about; its samples were looked at."""
    return replace(event, pcm=event.pcm[:2])
