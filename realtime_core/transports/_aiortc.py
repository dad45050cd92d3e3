"""Calls carried by aiortc: the only place that knows it, and the only one of asyncio alone.

aiortc decodes and encodes in threads of its own; everything here is of the event loop's thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import anyio
from aiortc import (
    InvalidStateError,
    MediaStreamTrack,
    RTCBundlePolicy,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from anyio import to_thread
from av import AudioFrame, CodecContext, Packet, VideoFrame
from av.error import FFmpegError

from ..audio.format import AudioFormat
from ..errors import (
    InvalidRequest,
    ProtocolViolation,
    RealtimeError,
    RealtimeException,
    Unavailable,
    Unsupported,
)
from ..signals import Signal
from ..video.jpeg import MOST_PIXELS, image_mime
from .webrtc import Call, Handset

if TYPE_CHECKING:
    from aiortc.rtp import RtpPacket
    from av import VideoCodecContext

__all__ = ("calling",)

_LEAVE = 2.0
"""Seconds that hanging up may take."""
_LAST_WORDS = 0.5
"""Seconds of it in which the peer may say that it has every message."""
_MOST_BUFFERED = 1024 * 1024
"""Bytes of messages that may wait in the data channel."""
_CLOCK = 90_000
"""Ticks of a video track's second."""
_MOST_SIDE = 1280
"""Pixels of a picture's longer side."""
_DECODERS: dict[str | None, str] = {
    "image/jpeg": "mjpeg",
    "image/png": "png",
    "image/webp": "webp",
}
_NUMBERS = 1 << 16
"""Numbers that packets have before they begin anew."""
_LATE = 100
"""Packets behind the newest that one may be to count as late; else the far end begins anew."""


@asynccontextmanager
async def calling(handset: Handset, *, channel: str, video: bool) -> AsyncGenerator[Call]:
    """Make a call; leaving hangs up."""
    call = _AiortcCall(handset, channel, video=video)
    try:
        yield call
    finally:
        with anyio.move_on_after(_LEAVE, shield=True):
            await call.aclose()


class _Speech(MediaStreamTrack):
    """What the handset sends."""

    kind = "audio"

    def __init__(self, handset: Handset) -> None:
        super().__init__()
        self._handset = handset
        self._at = 0

    async def recv(self) -> AudioFrame:
        pcm = await self._handset.voice.due()
        format = self._handset.format
        samples = format.samples(len(pcm))
        frame = AudioFrame(format="s16", layout="mono", samples=samples)
        frame.planes[0].update(pcm)
        frame.sample_rate, frame.time_base = format.rate, Fraction(1, format.rate)
        frame.pts = self._at
        self._at += samples
        return frame


class _Pictures(MediaStreamTrack):
    """The newest picture, each once."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self._newest: VideoFrame | None = None
        self._shown = Signal()
        self._began = anyio.current_time()

    def show(self, frame: VideoFrame) -> None:
        frame.time_base = Fraction(1, _CLOCK)
        frame.pts = int((anyio.current_time() - self._began) * _CLOCK)
        self._newest = frame
        self._shown.give()

    async def recv(self) -> VideoFrame:
        while self._newest is None:
            await self._shown.wait()
        frame, self._newest = self._newest, None
        return frame


class _Encoded:
    """What aiortc's decoder takes; a packet of sound is always whole."""

    __slots__ = ("data", "timestamp")

    def __init__(self, packet: RtpPacket) -> None:
        self.data = packet.payload
        self.timestamp = packet.timestamp


class _AtOnce:
    """Instead of aiortc's own buffer for received sound: gives each packet when it comes.

    aiortc holds back 80 ms, and for one lost packet it drops three more and holds back 280 ms from
    then on. Here what is missing is silence at once, and what then comes too late is left out. An
    aiortc that keeps its buffer under another name goes on with its own.
    """

    def __init__(self) -> None:
        self._next: int | None = None

    def add(self, packet: RtpPacket) -> tuple[bool, _Encoded | None]:
        """Give the packet; nothing asks for a key frame, which sound does not have."""
        number = packet.sequence_number
        late = self._next is not None and 0 < (self._next - number) % _NUMBERS <= _LATE
        if late or not packet.payload:
            return False, None
        self._next = (number + 1) % _NUMBERS
        return False, _Encoded(packet)


class _AiortcCall:
    def __init__(self, handset: Handset, channel: str, *, video: bool) -> None:
        self._handset = handset
        self._label = channel
        self._peer = RTCPeerConnection(
            RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
        )
        self._listeners = list[asyncio.Task[None]]()
        self._room = Signal()
        self._peer.addTrack(_Speech(handset))
        for transceiver in self._peer.getTransceivers():
            vars(transceiver.receiver)["_RTCRtpReceiver__jitter_buffer"] = _AtOnce()
        self._pictures = _Pictures() if video else None
        if self._pictures is not None:
            self._peer.addTransceiver(self._pictures, direction="sendonly")
        self._channel: RTCDataChannel | None = None
        self._peer.on("track", self._listen)
        self._peer.on("datachannel", self._attend)
        self._peer.on("connectionstatechange", self._changed)

    def _attend(self, channel: RTCDataChannel) -> None:
        """Let what happens on the channel reach the handset; others are left alone."""
        if self._channel is not None or channel.label != self._label:
            return
        self._channel = channel
        channel.bufferedAmountLowThreshold = _MOST_BUFFERED // 2
        channel.on("open", self._handset.opened)
        channel.on("message", self._handset.said)
        channel.on("close", self._closed)
        channel.on("bufferedamountlow", self._room.give)
        if channel.readyState == "open":
            self._handset.opened()

    async def offer(self) -> str:
        self._attend(self._peer.createDataChannel(self._label))
        await self._peer.setLocalDescription(await self._peer.createOffer())
        return self._peer.localDescription.sdp

    async def accept(self, answer: str) -> None:
        try:
            await self._peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        except Exception as problem:  # whatever a made-up answer makes aiortc raise
            raise RealtimeException(_no_answer(problem)) from problem

    async def answer(self, offer: str) -> str:
        (sound,) = self._peer.getTransceivers()
        try:
            await self._peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
            for other in self._peer.getTransceivers():
                other.direction = "sendrecv" if other is sound else "inactive"
            await self._peer.setLocalDescription(await self._peer.createAnswer())
        except Exception as problem:  # whatever a made-up offer makes aiortc raise
            raise RealtimeException(_no_offer(f"{type(problem).__name__}: {problem}")) from problem
        if sound.mid is None or self._peer.sctp is None:
            raise RealtimeException(_no_offer("it lacks sound, or a data channel"))
        return self._peer.localDescription.sdp

    async def send(self, message: str) -> None:
        channel = self._channel
        if channel is None:
            raise anyio.BrokenResourceError
        while channel.readyState == "open" and channel.bufferedAmount > _MOST_BUFFERED:
            await self._room.wait()
        try:
            channel.send(message)
        except InvalidStateError as problem:
            raise anyio.BrokenResourceError from problem
        except ValueError as problem:
            raise RealtimeException(_too_long(problem)) from problem

    async def show(self, picture: bytes) -> None:
        if self._pictures is None:
            raise RealtimeException(_no_video())
        self._pictures.show(await to_thread.run_sync(_unpacked, picture))

    async def aclose(self) -> None:
        for listener in self._listeners:
            listener.cancel()  # a track that never began to sound does not end by itself
        await asyncio.gather(*self._listeners, return_exceptions=True)
        if self._channel is not None:
            self._channel.close()
            with anyio.move_on_after(_LAST_WORDS):
                while self._channel.readyState != "closed":
                    await self._room.wait()
        await self._peer.close()

    def _closed(self) -> None:
        sctp = self._peer.sctp
        assert sctp is not None  # noqa: S101 - it carries the channel
        lost = sctp.transport.transport.state == "failed"  # else the peer has taken its leave
        self._handset.ended(RealtimeException(_lost()) if lost else None)
        self._room.give()

    def _changed(self) -> None:
        if self._peer.connectionState == "failed":
            self._handset.ended(RealtimeException(_lost()))

    def _listen(self, track: MediaStreamTrack) -> None:
        self._listeners.append(asyncio.create_task(self._hear(track)))

    async def _hear(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                frame: object = await track.recv()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - av's
                if isinstance(frame, AudioFrame):
                    self._heard(frame)
        except MediaStreamError:  # the track is over; the channel tells of the end
            pass
        except Exception as problem:  # nobody waits for this task: the link raises it
            self._handset.ended(problem)

    def _heard(self, frame: AudioFrame) -> None:
        format = AudioFormat(rate=frame.sample_rate, channels=frame.layout.nb_channels)
        pcm = bytes(frame.planes[0])[: frame.samples * format.sample_size]
        self._handset.heard(pcm, format, frame.pts or 0)


def _unpacked(picture: bytes) -> VideoFrame:
    """Unpack a picture; blocks for some milliseconds."""
    try:  # by its own decoder: nothing is guessed, and nothing in it can name a file or an address
        name = _DECODERS[image_mime(picture)]
        decoder = cast("VideoCodecContext", CodecContext.create(name, "r"))
        decoder.options = {"max_pixels": str(MOST_PIXELS)}
        decode = decoder.decode  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - av's
        (frame,) = (*decode(Packet(picture)), *decode(None))
        scale = min(1.0, _MOST_SIDE / max(frame.width, frame.height))
        width, height = (max(2, int(side * scale) & ~1) for side in (frame.width, frame.height))
        return frame.reformat(width, height, "yuv420p")
    except (FFmpegError, KeyError, ValueError) as problem:
        raise RealtimeException(_no_picture(problem)) from problem


def _no_answer(problem: Exception) -> RealtimeError:
    return ProtocolViolation(
        what="The answer to the offer could not be taken.",
        cause=f"{type(problem).__name__}: {problem}",
        fix="Look at what the endpoint sent: it should be SDP with sound and a data channel.",
    )


def _no_offer(why: str) -> RealtimeError:
    return InvalidRequest(
        what="The offer of a call could not be taken.",
        cause=why,
        fix="Send SDP with one track of sound and a data channel, all its candidates in it.",
    )


def _too_long(problem: Exception) -> RealtimeError:
    return InvalidRequest(
        what="A message is too long for the data channel.",
        cause=str(problem),
        fix="Send less at once; pictures by the video track, or smaller.",
    )


def _no_video() -> RealtimeError:
    return Unsupported(
        what="This call has no video track.",
        cause="it was offered without one",
        fix="Make the dial with `video=True`.",
        field="video",
    )


def _no_picture(problem: Exception) -> RealtimeError:
    return InvalidRequest(
        what="This is not a picture that can be unpacked.",
        cause=f"damaged, cut off, or of a kind that is not known ({type(problem).__name__})",
        fix="Use a JPEG, a PNG or a WebP.",
    )


def _lost() -> RealtimeError:
    return Unavailable(
        what="The call was lost, or could not be made.",
        cause="the peer cannot be reached any more, or UDP does not get through to it",
        fix="Check the network and its firewall, or take the WebSocket.",
    )
