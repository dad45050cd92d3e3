"""Calls over loopback: our dial against a bare aiortc peer in the same event loop, in real time."""

from __future__ import annotations

import asyncio
import io
import struct
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from fractions import Fraction
from typing import Any

import anyio
import numpy as np
import numpy.typing as npt
import pytest

from realtime_core import (
    PCM_24K,
    InvalidRequest,
    Media,
    Plan,
    ProtocolViolation,
    RealtimeException,
    SessionConfig,
    Unavailable,
    Unsupported,
    negotiate,
)
from realtime_core.link import Link
from realtime_core.testing import no_leaks
from realtime_core.testing.scripted import SCRIPTED
from realtime_core.transports.webrtc import Answer, answering, webrtc

aiortc = pytest.importorskip("aiortc", reason="needs the extra `webrtc` (aiortc)")

import aioice.ice  # noqa: E402 - comes with aiortc
from aiortc import (  # noqa: E402
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError  # noqa: E402
from av import AudioFrame, VideoFrame  # noqa: E402

PLAN = negotiate(SCRIPTED, SessionConfig()).unwrap()
RATE = 24_000
LIMIT = 10.0
"""Seconds for one step; it takes far less."""


@pytest.fixture(autouse=True)
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    def hosts(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        return ["127.0.0.1"]

    monkeypatch.setattr(aioice.ice, "get_host_addresses", hosts)


def sine(samples: int, hertz: int, rate: int, start: int = 0) -> npt.NDArray[np.int16]:
    wave = np.sin(2 * np.pi * hertz * (np.arange(samples) + start) / rate) * 9_000
    return wave.astype(np.int16)


def pitch(samples: npt.NDArray[np.int16], rate: int) -> float:
    """Give the loudest frequency in Hz."""
    spectrum = np.abs(np.fft.rfft(samples))
    return float(spectrum.argmax()) * rate / samples.size


def phase(samples: npt.NDArray[np.int16], hertz: int, at: int) -> complex:
    """Give the phase of a sine, as if it had begun at sample 0; `at` is where these begin."""
    turns = np.exp(-2j * np.pi * hertz * (np.arange(samples.size) + at) / RATE)
    total = complex((samples * turns).sum())
    return total / abs(total)


class Sine(MediaStreamTrack):
    """A sine of 440 Hz, paced by the clock."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._began: float | None = None
        self._at = 0

    async def recv(self) -> AudioFrame:
        began = self._began = self._began or anyio.current_time()
        await anyio.sleep_until(began + self._at / 48_000)
        frame = AudioFrame(format="s16", layout="mono", samples=960)
        frame.planes[0].update(sine(960, 440, 48_000, self._at).tobytes())
        frame.sample_rate, frame.pts, frame.time_base = 48_000, self._at, Fraction(1, 48_000)
        self._at += 960
        return frame


class Peer:
    """The far end: answers the offer, keeps what comes, and speaks a sine."""

    def __init__(self, *, codec: str | None = None) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.texts = list[str | bytes]()
        self.frames = list[AudioFrame]()
        self.pictures = list[VideoFrame]()
        self.news = asyncio.Event()
        self._codec = codec
        self._tasks = list[asyncio.Task[None]]()
        self.channel: Any = None
        self.connection.on("datachannel", self._opened)
        self.connection.on("track", self._heard)

    def _opened(self, channel: Any) -> None:
        self.channel = channel
        channel.on("message", self._told)

    def _told(self, message: str | bytes) -> None:
        self.texts.append(message)
        self.news.set()

    def _heard(self, track: MediaStreamTrack) -> None:
        self._tasks.append(asyncio.create_task(self._listen(track)))

    async def _listen(self, track: MediaStreamTrack) -> None:
        with suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                kept: list[Any] = self.frames if isinstance(frame, AudioFrame) else self.pictures
                kept.append(frame)
                self.news.set()

    async def until(self, enough: Callable[[], bool]) -> None:
        """Wait until what came is enough."""
        with anyio.fail_after(LIMIT):
            while not enough():
                self.news.clear()
                await self.news.wait()

    async def answer(self, plan: Plan, offer: str) -> str:
        connection = self.connection
        await connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        connection.addTrack(Sine())
        if self._codec is not None:
            able = RTCRtpReceiver.getCapabilities("audio")
            assert able is not None
            chosen = [codec for codec in able.codecs if codec.mimeType == self._codec]
            connection.getTransceivers()[0].setCodecPreferences(chosen)
        await connection.setLocalDescription(await connection.createAnswer())
        return connection.localDescription.sdp

    @property
    def transport(self) -> Any:
        """The DTLS transport, over which everything goes."""
        sctp = self.connection.sctp
        assert sctp is not None
        return sctp.transport

    def mute(self) -> None:
        """Send nothing any more, not even that one is still there."""
        for protocol in self.transport.transport._connection._protocols:
            protocol.send_stun = protocol.transport.sendto = lambda *_: None

    def disturb(self, trouble: str, number: int) -> None:
        """Lose, repeat or delay the n-th packet of sound from now on."""
        transport, count, held = self.transport, iter(range(1_000_000)), list[bytes]()
        send = transport._send_rtp

        async def sends(data: bytes) -> None:
            control = 64 <= data[1] & 0x7F <= 95
            chosen = not control and next(count) == number
            if not chosen or trouble == "repeated":
                await send(data)
            if chosen and trouble != "lost":
                held.append(data)
            elif not control and held:
                await send(held.pop())

        transport._send_rtp = sends

    async def close(self) -> None:
        await self.connection.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def on_loopback(
    test: Callable[[Link, Peer], Awaitable[None]], *, video: bool = False, codec: str | None = None
) -> None:
    """Run a test on a call over loopback; at its end nothing is left of it."""

    async def program() -> None:
        far = Peer(codec=codec)
        async with no_leaks(within=1.0), calls(far, video=video) as (link, peer):
            await test(link, peer)

    anyio.run(program)


@asynccontextmanager
async def calls(peer: Peer, *, video: bool = False) -> AsyncGenerator[tuple[Link, Peer]]:
    try:
        with anyio.fail_after(4 * LIMIT):
            async with webrtc(peer.answer, video=video)(PLAN) as link:
                yield link, peer
    finally:
        with anyio.CancelScope(shield=True):
            await peer.close()


async def listen(link: Link, seconds: float) -> tuple[npt.NDArray[np.int16], list[str | bytes]]:
    """Read until so much sound has come; sound that is not contiguous fails."""
    pcm, messages = b"", list[str | bytes]()
    with anyio.fail_after(LIMIT):
        while len(pcm) < seconds * RATE * 2:
            for wire in await link.receive():
                if isinstance(wire, Media):
                    assert wire.at == len(pcm) // 2
                    pcm += wire.data
                else:
                    messages.append(wire)
    return np.frombuffer(pcm, np.int16), messages


async def ends(link: Link) -> None:
    """Read until the link raises."""
    with anyio.fail_after(LIMIT):
        while True:
            await link.receive()


# --- messages ---------------------------------------------------------------------------------


def test_messages_go_both_ways_in_order() -> None:
    async def test(link: Link, peer: Peer) -> None:
        said = [f'{{"number": {number}}}' for number in range(50)]
        await link.send(tuple(said))
        await peer.until(lambda: len(peer.texts) == 50)
        assert peer.texts == said
        assert peer.channel.label == "oai-events"
        for text in said:
            peer.channel.send(text)
        peer.channel.send(b"\0\1")
        came = list[object]()
        while len(came) < 51:
            came += [wire for wire in await link.receive() if not isinstance(wire, Media)]
        assert came == [*said, b"\0\1"]

    on_loopback(test)


def test_many_long_messages_wait_with_their_sender() -> None:
    async def test(link: Link, peer: Peer) -> None:
        said = [f"{number:02}" + "x" * 60_000 for number in range(30)]
        await link.send(tuple(said))
        await peer.until(lambda: len(peer.texts) == len(said))
        assert peer.texts == said

    on_loopback(test)


def test_a_message_that_is_too_long_is_refused() -> None:
    async def test(link: Link, peer: Peer) -> None:
        with pytest.raises(RealtimeException, match="too long") as refusal:
            await link.send(("x" * 300_000,))
        assert isinstance(refusal.value.error, InvalidRequest)

    on_loopback(test)


# --- sound ------------------------------------------------------------------------------------


def test_sound_comes_whole_at_its_pitch() -> None:
    async def test(link: Link, peer: Peer) -> None:
        sound, _ = await listen(link, 1.0)
        assert pitch(sound[-RATE // 2 :], RATE) == pytest.approx(440, abs=2)

    on_loopback(test)


@pytest.mark.parametrize("trouble", ["lost", "repeated", "late"])
def test_the_network_moves_no_sound(trouble: str) -> None:
    async def test(link: Link, peer: Peer) -> None:
        peer.disturb(trouble, 20)
        sound, _ = await listen(link, 1.0)
        sound = sound[RATE // 10 :]
        loudest = np.abs(sound[: sound.size // 120 * 120].astype(int)).reshape(-1, 120).max(axis=1)
        (silent,) = np.nonzero(loudest < 500)
        assert silent.size == (0 if trouble == "repeated" else pytest.approx(4, abs=1)), "20 ms"
        before, after = sound[: RATE // 10], sound[RATE // 2 :]
        turned = phase(after, 440, RATE // 2) / phase(before, 440, 0)
        assert abs(np.angle(turned)) < 0.1, "20 ms more or less would be 1.3"

    on_loopback(test)


def test_a_call_may_carry_telephone_sound() -> None:
    async def test(link: Link, peer: Peer) -> None:
        sound, _ = await listen(link, 1.0)
        assert pitch(sound[-RATE // 2 :], RATE) == pytest.approx(440, abs=2)

    on_loopback(test, codec="audio/PCMU")


def test_sound_goes_out_whole_at_its_pitch() -> None:
    async def test(link: Link, peer: Peer) -> None:
        spoken = sine(RATE, 1_000, RATE)
        await link.send((Media("audio", spoken.tobytes()), Media("audio", b""), "commit"))
        await peer.until(lambda: peer.texts == ["commit"])
        already = len(peer.frames)
        await peer.until(lambda: len(peer.frames) > already + 25)
        sound = np.concatenate([left(frame) for frame in peer.frames])
        steps = {
            (b.pts or 0) - (a.pts or 0) for a, b in zip(peer.frames, peer.frames[1:], strict=False)
        }
        assert steps == {960}
        (loud,) = np.nonzero(np.abs(sound.astype(int)) > 4_000)
        assert loud[-1] - loud[0] == pytest.approx(48_000, abs=600)
        assert pitch(sound[loud[0] : loud[-1]], 48_000) == pytest.approx(1_000, abs=2)

    on_loopback(test)


def left(frame: AudioFrame) -> npt.NDArray[np.int16]:
    return np.frombuffer(bytes(frame.planes[0]), np.int16)[: frame.samples * 2 : 2]


# --- pictures ---------------------------------------------------------------------------------


def drawn(kind: str, width: int, height: int) -> bytes:
    pillow = pytest.importorskip("PIL.Image", reason="needs the extra `cli` (pillow)")
    out = io.BytesIO()
    pillow.new("RGB", (width, height), (200, 40, 40)).save(out, kind)
    return out.getvalue()


def vast() -> bytes:
    """Give a PNG that says it has 3.6 billion pixels."""
    small = drawn("PNG", 8, 8)
    head = b"IHDR" + struct.pack(">II", 60_000, 60_000) + small[24:29]
    return small[:12] + head + struct.pack(">I", zlib.crc32(head)) + small[33:]


@pytest.mark.parametrize(
    ("kind", "size", "shown"),
    [("PNG", (321, 241), (320, 240)), ("JPEG", (2_560, 1_280), (1_280, 640))],
)
def test_a_picture_is_shown(kind: str, size: tuple[int, int], shown: tuple[int, int]) -> None:
    async def test(link: Link, peer: Peer) -> None:
        picture = drawn(kind, *size)
        while not peer.pictures:  # the far end unpacks a picture when the next one begins
            await link.send((Media("video", picture),))
            with anyio.move_on_after(0.1):
                await peer.until(lambda: bool(peer.pictures))
        frame = peer.pictures[0]
        assert (frame.width, frame.height) == shown
        red, green, blue = frame.to_ndarray(format="rgb24").reshape(-1, 3).mean(axis=0)
        assert (red, green, blue) == pytest.approx((200, 40, 40), abs=25)

    on_loopback(test, video=True)


def test_what_is_no_picture_is_refused() -> None:
    async def test(link: Link, peer: Peer) -> None:
        for broken in (b"", b"#EXTM3U", b"\xff\xd8\xff", drawn("JPEG", 64, 64)[:200], vast()):
            with pytest.raises(RealtimeException, match="not a picture") as refusal:
                await link.send((Media("video", broken),))
            assert isinstance(refusal.value.error, InvalidRequest)

    on_loopback(test, video=True)


def test_without_a_track_no_picture_is_shown() -> None:
    async def test(link: Link, peer: Peer) -> None:
        with pytest.raises(RealtimeException, match="no video track") as refusal:
            await link.send((Media("video", b"\xff\xd8\xff"),))
        assert isinstance(refusal.value.error, Unsupported)

    on_loopback(test)


# --- the end ----------------------------------------------------------------------------------


def test_hanging_up_loses_no_message() -> None:
    said = [f"{number:02}" + "x" * 20_000 for number in range(20)]

    async def program() -> None:
        peer = Peer()
        async with no_leaks(within=1.0):
            async with webrtc(peer.answer)(PLAN) as link:
                await link.send(tuple(said))
            await peer.until(lambda: len(peer.texts) == len(said))
            await peer.close()
        assert peer.texts == said

    anyio.run(program)


def test_hanging_up_waits_for_nobody() -> None:
    async def program() -> None:
        peer = Peer()
        async with no_leaks(within=1.0):
            async with webrtc(peer.answer)(PLAN):
                peer.mute()
                began = anyio.current_time()
            assert 0.4 < anyio.current_time() - began < 2
            await peer.close()

    anyio.run(program)


def test_the_peer_hangs_up() -> None:
    async def test(link: Link, peer: Peer) -> None:
        await link.receive()
        await peer.connection.close()
        with pytest.raises(anyio.EndOfStream):
            await ends(link)
        with pytest.raises(anyio.BrokenResourceError):
            await link.send(("too late",))

    on_loopback(test)


def test_the_peer_closes_the_channel() -> None:
    async def test(link: Link, peer: Peer) -> None:
        peer.channel.close()
        with pytest.raises(anyio.EndOfStream):
            await ends(link)

    on_loopback(test)


def test_a_peer_that_falls_silent_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioice.ice, "CONSENT_INTERVAL", 0.05)
    monkeypatch.setattr(aioice.ice, "CONSENT_FAILURES", 1)

    async def test(link: Link, peer: Peer) -> None:
        broken = list[str]()

        async def says() -> None:
            try:
                await link.send(("x" * 60_000,) * 30)
            except anyio.BrokenResourceError:
                broken.append("broken")

        async with anyio.create_task_group() as tasks:
            peer.mute()
            tasks.start_soon(says)
            with pytest.raises(RealtimeException, match="lost") as loss:
                await ends(link)
        assert isinstance(loss.value.error, Unavailable)
        assert broken == ["broken"]

    on_loopback(test)


# --- the other end ----------------------------------------------------------------------------


def answered(test: Callable[[Link, Answer], Awaitable[None]], *, video: bool = False) -> None:
    """Run a test on a call between our own two ends."""

    async def program() -> None:
        async with no_leaks(within=1.0):
            with anyio.fail_after(4 * LIMIT):
                async with AsyncExitStack() as stack:
                    taken = list[Answer]()

                    async def exchange(plan: Plan, offer: str) -> str:
                        far = await stack.enter_async_context(answering(offer, PCM_24K))
                        taken.append(far)
                        return far.sdp

                    async with webrtc(exchange, video=video)(PLAN) as link:
                        await taken[0].handset.standing()
                        await test(link, taken[0])

    anyio.run(program)


def test_a_call_is_answered() -> None:
    async def test(link: Link, far: Answer) -> None:
        await link.send(("hello", Media("audio", sine(RATE // 2, 1_000, RATE).tobytes())))
        await far.link.send((b"hello yourself",))
        await far.handset.voice.put(sine(RATE // 4, 440, RATE).tobytes())
        for end, said, hertz in ((far.link, "hello", 1_000), (link, "hello yourself", 440)):
            sound, messages = await listen(end, 0.6)
            assert messages == [said]
            (loud,) = np.nonzero(np.abs(sound.astype(int)) > 4_000)
            assert pitch(sound[loud[0] : loud[0] + RATE // 5], RATE) == pytest.approx(hertz, abs=4)

    answered(test)


def test_who_answered_hangs_up() -> None:
    async def test(link: Link, far: Answer) -> None:
        await far.link.aclose()
        with pytest.raises(anyio.EndOfStream):
            await ends(far.link)

    answered(test)


def test_pictures_are_declined() -> None:
    async def test(link: Link, far: Answer) -> None:
        assert "a=inactive" in far.sdp
        await link.send(("hello",))
        assert "hello" in (await listen(far.link, 0.1))[1]

    answered(test, video=True)


@pytest.mark.parametrize(
    "offer", ["", "no offer", "v=0\r\n", "v=0\r\nm=audio x\r\n", "sound", "channel"]
)
def test_a_made_up_offer_is_refused(offer: str) -> None:
    async def program() -> None:
        async with no_leaks(within=1.0):
            connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
            if offer == "sound":
                connection.addTransceiver("audio")
            if offer == "channel":
                connection.createDataChannel("oai-events")
            sdp = offer
            if offer in {"sound", "channel"}:
                await connection.setLocalDescription(await connection.createOffer())
                sdp = connection.localDescription.sdp
            with pytest.raises(RealtimeException, match="offer") as refusal:
                async with answering(sdp, PCM_24K):
                    pytest.fail("it stands")
            assert isinstance(refusal.value.error, InvalidRequest)
            await connection.close()

    anyio.run(program)


def test_another_channel_is_left_alone() -> None:
    async def program() -> None:
        async with no_leaks(within=1.0):
            connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
            connection.addTransceiver("audio")
            other = connection.createDataChannel("other")
            await connection.setLocalDescription(await connection.createOffer())
            sdp = connection.localDescription.sdp
            async with answering(sdp, PCM_24K) as far:
                answer = RTCSessionDescription(far.sdp, "answer")
                with anyio.fail_after(LIMIT):
                    opened = asyncio.Event()
                    other.on("open", opened.set)
                    await connection.setRemoteDescription(answer)
                    await opened.wait()
                with pytest.raises(anyio.BrokenResourceError):
                    await far.link.send(("nobody hears it",))
            await connection.close()

    anyio.run(program)


# --- what does not come about -----------------------------------------------------------------


def refused(change: Callable[[str], str]) -> RealtimeException:
    """Call a peer whose answer is changed on its way; give what the dial raises."""

    class Changed(Peer):
        async def answer(self, plan: Plan, offer: str) -> str:
            return change(await super().answer(plan, offer))

    async def program() -> RealtimeException:
        async with no_leaks(within=1.0):
            with pytest.raises(RealtimeException) as refusal:
                async with calls(Changed()):
                    pytest.fail("it stands")
        return refusal.value

    return anyio.run(program)


@pytest.mark.parametrize(
    "answer", ["", "no answer", "v=0\r\n", "v=0\r\nm=audio x\r\n", '{"error": {}}']
)
def test_a_made_up_answer_is_refused(answer: str) -> None:
    assert isinstance(refused(lambda _: answer).error, ProtocolViolation)


def test_an_answer_that_was_recorded_is_taken() -> None:
    """Ice-lite, TCP among the candidates, no end of them; nobody is there to take the call."""

    async def answer(plan: Plan, offer: str) -> str:
        return "\r\n".join((*RECORDED, ""))

    async def program() -> None:
        async with no_leaks(within=1.0):
            with anyio.move_on_after(0.3) as patience:
                async with webrtc(answer)(PLAN):
                    pytest.fail("it stands")
            assert patience.cancelled_caught

    anyio.run(program)


def test_a_peer_that_is_not_who_it_says_is_refused() -> None:
    def forged(answer: str) -> str:
        lines = answer.splitlines(keepends=True)
        start = "a=fingerprint:sha-256 "
        return "".join(
            start + ":".join(["00"] * 32) + "\r\n" if line.startswith(start) else line
            for line in lines
            if not line.startswith(("a=fingerprint:sha-384", "a=fingerprint:sha-512"))
        )

    assert isinstance(refused(forged).error, Unavailable)


def test_dialling_a_mute_peer_can_be_given_up() -> None:
    class Mute(Peer):
        async def answer(self, plan: Plan, offer: str) -> str:
            answer = await super().answer(plan, offer)
            self.mute()
            return answer

    async def program() -> None:
        async with no_leaks(within=1.0):
            with anyio.move_on_after(0.3) as patience:
                async with calls(Mute()):
                    pytest.fail("it stands")
            assert patience.cancelled_caught

    anyio.run(program)


def test_a_defect_in_hearing_ends_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: object) -> bytes:
        raise ArithmeticError("a defect")

    monkeypatch.setattr("realtime_core.transports.sound.Ear.take", broken)

    async def test(link: Link, peer: Peer) -> None:
        await ends(link)

    with pytest.raises(ArithmeticError, match="a defect"):  # at the latest; it may not even stand
        on_loopback(test)


def test_a_track_nobody_asked_for_is_left_alone() -> None:
    class Showing(Peer):
        async def answer(self, plan: Plan, offer: str) -> str:
            offer = offer.replace("a=sendonly", "a=sendrecv")
            self.connection.addTrack(Green())
            return await super().answer(plan, offer)

    async def program() -> None:
        async with no_leaks(within=1.0), calls(Showing(), video=True) as (link, _):
            sound, messages = await listen(link, 1.0)
            assert sound.any()
            assert not messages

    anyio.run(program)


class Green(aiortc.VideoStreamTrack):  # type: ignore[misc, name-defined]
    """Thirty green frames a second."""


RECORDED = (
    "v=0",
    "o=- 4596005847736977740 1784852417 IN IP4 0.0.0.0",
    "s=-",
    "t=0 0",
    "a=msid-semantic:WMS *",
    "a=fingerprint:sha-256 " + ":".join(["7E"] * 32),
    "a=ice-lite",
    "a=group:BUNDLE 0 1",
    "m=audio 9 UDP/TLS/RTP/SAVPF 96 0 8",
    "c=IN IP4 0.0.0.0",
    "a=setup:active",
    "a=mid:0",
    "a=ice-ufrag:HqBApb",
    "a=ice-pwd:x" + "y" * 31,
    "a=rtcp-mux",
    "a=rtcp-rsize",
    "a=rtpmap:96 opus/48000/2",
    "a=fmtp:96 minptime=10;useinbandfec=1",
    "a=rtpmap:0 PCMU/8000",
    "a=rtpmap:8 PCMA/8000",
    "a=ssrc:3830135120 cname:realtimeapi",
    "a=ssrc:3830135120 msid:realtimeapi audio",
    "a=msid:realtimeapi audio",
    "a=sendrecv",
    "a=candidate:1352698770 1 udp 2130706431 127.0.0.1 9 typ host ufrag HqBApb",
    "a=candidate:2321888134 1 tcp 1671430143 127.0.0.1 443 typ host tcptype passive ufrag HqBApb",
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
    "c=IN IP4 0.0.0.0",
    "a=setup:active",
    "a=mid:1",
    "a=sendrecv",
    "a=sctp-port:5000",
    "a=max-message-size:1073741823",
    "a=ice-ufrag:HqBApb",
    "a=ice-pwd:x" + "y" * 31,
)
"""An answer of the OpenAI Realtime API of 2026, its addresses and keys replaced."""
