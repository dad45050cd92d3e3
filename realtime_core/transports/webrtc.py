"""WebRTC: messages over a data channel, sound and pictures over tracks, behind a seam for engines.

Messages are `str` or `bytes` wires, what is on the tracks is `Media`. How offer and answer are
exchanged is the provider's own; how packets travel is the engine's. The engine that comes along is
aiortc (extra `webrtc`), which needs asyncio.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import NamedTuple, Protocol

import anyio
from anyio.abc import ObjectStream
from anyio.lowlevel import checkpoint

from ..audio.format import AudioFormat
from ..codec import Media, Wire
from ..errors import InvalidRequest, RealtimeException, Unavailable, Unsupported
from ..link import Dial, Link, Wires
from ..plan import Plan
from ..signals import Signal
from .sound import Ear, Voice

__all__ = ("Answer", "Call", "Engine", "Exchange", "Handset", "answering", "webrtc")

_MOST_SOUND = 30
"""Seconds of received sound that may wait to be read."""
_MOST_TEXT = 16 * 1024 * 1024
"""Bytes of received messages that may wait to be read."""

Exchange = Callable[[Plan, str], Awaitable[str]]
"""Brings an offer to the peer and its answer back, both SDP; raises as a `Dial` does."""


# --- the seam ---------------------------------------------------------------------------------


class Call(Protocol):
    """One call, as an engine carries it."""

    async def offer(self) -> str:
        """Give the offer: SDP with every candidate in it, no server asked for any."""
        ...

    async def accept(self, answer: str) -> None:
        """Begin to connect; raises `RealtimeException` for what is no answer to the offer."""
        ...

    async def answer(self, offer: str) -> str:
        """Give the answer to an offer, as whole as an offer is, and begin to connect.

        Only its sound and its channel are taken. Raises `RealtimeException` for what is no offer
        of both.
        """
        ...

    async def send(self, message: str) -> None:
        """Send a text message; waits while too much waits in the engine.

        Raises `anyio.BrokenResourceError` where the channel is closed.
        """
        ...

    async def show(self, picture: bytes) -> None:
        """Send an encoded picture as the newest frame of the video track.

        Raises `RealtimeException` where there is no such track, or it is no picture.
        """
        ...


class Handset:
    """This side of a call, as an engine sees it: what to send, and where to put what comes.

    Of the event loop's own thread, as all here.
    """

    def __init__(self, sent: AudioFormat, received: AudioFormat) -> None:
        self.format = sent
        """Of the sound to send."""
        self.voice = Voice(sent)
        """Asked by the engine for each frame of its sound track: `await handset.voice.due()`."""
        self._ear = Ear(received)
        self._received = received
        self._wires = deque[Wire]()
        self._stirred = Signal()
        self._sound = 0
        self._text = 0
        self._at = 0
        self._open = False
        self._over = False
        self._problem: Exception | None = None

    def opened(self) -> None:
        """Tell that messages can be sent."""
        self._open = True
        self._stirred.give()

    def said(self, message: str | bytes) -> None:
        """Tell of a message; one too many unread ends the call."""
        self._text += len(message)
        if self._text > _MOST_TEXT:
            self.ended(RealtimeException(_unread()))
        elif not self._over:
            self._put(message)

    def heard(self, pcm: bytes, source: AudioFormat, at: int) -> None:
        """Tell of a packet of sound that begins `at` samples of its own clock.

        While nobody reads, the newest 30 s wait; the rest is a step in `Media.at`.
        """
        sound = self._ear.take(pcm, source, at)
        if not sound:
            return
        self._put(Media("audio", sound, self._at))
        self._at += self._received.samples(len(sound))
        self._sound += len(sound)
        most = _MOST_SOUND * self._received.rate * self._received.sample_size
        if self._sound > most:
            self._forget(most // _MOST_SOUND)

    def ended(self, problem: Exception | None = None) -> None:
        """Tell that the call is over: in good order, or why not. Only the first time counts."""
        if not self._over:
            self._over, self._problem = True, problem
            self.voice.end()
            self._stirred.give()

    # --- the link's side ----------------------------------------------------------------------

    async def standing(self) -> None:
        """Wait until messages can be sent; raises why they never will."""
        while not self._open:
            if self._over:
                raise self._problem or RealtimeException(_refused())
            await self._stirred.wait()

    async def read(self) -> Wires:
        """Wait for anything, and give all there is; raises once the call is over."""
        while not self._wires:
            if self._over:
                raise self._problem or anyio.EndOfStream
            await self._stirred.wait()
        wires = tuple(self._wires)
        self._wires.clear()
        self._sound = self._text = 0
        return wires

    def _put(self, wire: Wire) -> None:
        self._wires.append(wire)
        self._stirred.give()

    def _forget(self, size: int) -> None:
        """Drop the oldest sound that waits, at least `size` bytes of it."""
        wires, self._wires = self._wires, deque[Wire]()
        for wire in wires:
            if size > 0 and isinstance(wire, Media):
                size -= len(wire)
                self._sound -= len(wire)
            else:
                self._wires.append(wire)


class Engine(Protocol):
    """Makes calls, and takes them.

    Entering makes one, not yet connected; leaving ends it, and nothing of it remains.
    """

    def __call__(
        self, handset: Handset, *, channel: str, video: bool
    ) -> AbstractAsyncContextManager[Call]:
        """Give a call with a sound track both ways, a data channel, and a video track if asked."""
        ...


# --- the link ---------------------------------------------------------------------------------


def webrtc(
    exchange: Exchange,
    *,
    engine: Engine | None = None,
    channel: str = "oai-events",
    video: bool = False,
) -> Dial:
    """Make a dial that calls: offer, exchange, answer, and on until the data channel is open.

    Messages go out as text (`bytes` as UTF-8) and come in as what they are. Sound goes out in real
    time, and sending waits while 400 ms of it wait; silence goes out where there is none. What
    comes in is all handed on, silence too: a wire each 20 ms. Pictures need `video`.

    The peer's hanging up ends the link in good order; that it has gone is noticed after 30 s
    (RFC 7675) and is `Unavailable`.
    """

    @asynccontextmanager
    async def dial(plan: Plan) -> AsyncGenerator[Link]:
        sent, received = _carried(plan.input_format), _carried(plan.output_format)
        carry = engine if engine is not None else _aiortc()
        handset = Handset(sent, received)
        async with carry(handset, channel=channel, video=video) as call:
            await call.accept(await exchange(plan, await call.offer()))
            await handset.standing()
            yield _CallLink(handset, call)

    return dial


class Answer(NamedTuple):
    """A call that was answered."""

    sdp: str
    handset: Handset
    """Messages can be sent once it is `standing`; its `voice` is heard by the caller."""
    link: Link


@asynccontextmanager
async def answering(
    offer: str, format: AudioFormat, *, engine: Engine | None = None, channel: str = "oai-events"
) -> AsyncGenerator[Answer]:
    """Take a call that somebody offers; it connects once the answer has reached the caller.

    Sound comes and goes in `format`. Raises `RealtimeException` for what is no offer of sound and a
    data channel, and where no engine runs. Leaving the block hangs up.
    """
    handset = Handset(_carried(format), format)
    carry = engine if engine is not None else _aiortc()
    async with carry(handset, channel=channel, video=False) as call:
        yield Answer(await call.answer(offer), handset, _CallLink(handset, call))


class _CallLink(ObjectStream[Wires]):
    def __init__(self, handset: Handset, call: Call) -> None:
        self._handset = handset
        self._call = call

    async def receive(self) -> Wires:
        await checkpoint()
        return await self._handset.read()

    async def send(self, item: Wires) -> None:
        await checkpoint()
        for wire in item:
            if isinstance(wire, Media):
                await self._track(wire)
            else:
                await self._call.send(wire if isinstance(wire, str) else wire.decode())

    async def _track(self, wire: Media) -> None:
        if wire.kind == "video":
            await self._call.show(wire.data)
        elif wire.data:
            await self._handset.voice.put(wire.data)
        else:
            await self._handset.voice.drained()

    async def send_eof(self) -> None:
        """Do nothing: a call ends both ways at once."""

    async def aclose(self) -> None:
        self._handset.ended()
        await checkpoint()


def _carried(format: AudioFormat) -> AudioFormat:
    if format.encoding == "pcm16" and format.channels == 1:
        return format
    raise RealtimeException(
        Unsupported(
            what=f"A call does not carry {format.encoding} in {format.channels} channels.",
            cause="sound on a track is PCM16 mono on this side, whatever the network carries",
            fix="Leave `input_format` and `output_format` as they are.",
            field="input_format",
        )
    )


def _aiortc() -> Engine:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise RealtimeException(_only_asyncio()) from None
    try:
        from ._aiortc import calling  # noqa: PLC0415 - an extra
    except ImportError as problem:
        raise RealtimeException(_missing()) from problem
    return calling


def _only_asyncio() -> Unsupported:
    return Unsupported(
        what="WebRTC does not run on trio.",
        cause="its engine, aiortc, is made of asyncio tasks",
        fix="Run the program on asyncio, or take the WebSocket.",
        field="transport",
    )


def _missing() -> InvalidRequest:
    return InvalidRequest(
        what="WebRTC needs the extra `webrtc`.",
        cause="the package aiortc is not installed, or does not load",
        fix="Type: pip install 'realtime-core[webrtc]'",
    )


def _refused() -> Unavailable:
    return Unavailable(
        what="The peer ended the call before it stood.",
        cause="it took the offer back, or answered for a call it does not hold",
        fix="Try again.",
    )


def _unread() -> Unavailable:
    return Unavailable(
        what=f"More than {_MOST_TEXT // (1024 * 1024)} MiB of messages wait unread.",
        cause="nobody takes the events, or takes them slower than they come",
        fix="Take events faster, or choose the outlet policy `drop`.",
    )
