"""A client by hand, well-behaved unless it is doctored: its events, and how they are signed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from time import time
from typing import Any

import anyio
import msgspec

from realtime_core.errors import RealtimeError, RealtimeException
from realtime_core.link import Link, Wires
from realtime_core.transports.http2 import Endpoint, connected
from realtime_nova.chunks import chunk, event, said
from realtime_nova.failures import exception, refused
from realtime_nova.framing import Reader
from realtime_nova.server import REGION, Loopback
from realtime_nova.signing import Chain, Credentials, Scope, sign_chunk, sign_request
from tests.providers.nova.watching import KEYS, MODEL, PLAIN, Way

__all__ = ("AUDIO", "Hand", "block", "calling", "opening", "start", "stop", "wire")

PROMPT = "p"
AUDIO = "audio"
FORM = {
    "mediaType": "audio/lpcm",
    "sampleRateHertz": 16_000,
    "sampleSizeBits": 16,
    "channelCount": 1,
    "audioType": "SPEECH",
    "encoding": "base64",
}
Doctor = Callable[[Chain, bytes, int], tuple[bytes, Chain]]


def wire(name: str, **fields: Any) -> bytes:
    """Write an event."""
    return msgspec.json.encode({"event": {name: fields}})


def start(name: str, type: str, role: str, *, live: bool = False, **form: Any) -> bytes:
    """Open a block."""
    forms: dict[str, Any] = {
        "TEXT": {"textInputConfiguration": {"mediaType": "text/plain"}},
        "AUDIO": {"audioInputConfiguration": {**FORM, **form}},
        "TOOL": {
            "toolResultInputConfiguration": {
                "toolUseId": form.get("use", "tu-1"),
                "type": "TEXT",
                "textInputConfiguration": {"mediaType": "text/plain"},
            }
        },
    }
    own = {"promptName": PROMPT, "contentName": name, "interactive": live}
    return wire("contentStart", **own, type=type, role=role, **forms.get(type, {}))


def stop(name: str) -> bytes:
    """Close a block."""
    return wire("contentEnd", promptName=PROMPT, contentName=name)


def fill(name: str, kind: str, content: str) -> bytes:
    """Say something in a block."""
    return wire(kind, promptName=PROMPT, contentName=name, content=content)


def block(name: str, role: str, *texts: str, live: bool = False) -> tuple[bytes, ...]:
    """Write a block of words, whole."""
    inside = (fill(name, "textInput", text) for text in texts)
    return start(name, "TEXT", role, live=live), *inside, stop(name)


def prompt(**more: Any) -> bytes:
    """Open the prompt."""
    fields = {
        "promptName": PROMPT,
        "textOutputConfiguration": {"mediaType": "text/plain"},
        "audioOutputConfiguration": {**FORM, "voiceId": "tiffany", **more.pop("form", {})},
    }
    return wire("promptStart", **fields, **more)


SESSION = wire("sessionStart", inferenceConfiguration={"maxTokens": 1024})
SYSTEM = block("system", "SYSTEM", "Be brief.")
SOUND = start(AUDIO, "AUDIO", "USER", live=True)
CLOSE = (stop(AUDIO), wire("promptEnd", promptName=PROMPT), wire("sessionEnd"))


def opening(**more: Any) -> tuple[bytes, ...]:
    """Open a session, up to the block of sound."""
    return SESSION, prompt(**more), *SYSTEM, SOUND


class Hand:
    """Says what the test says, over HTTP/2, or through a link of which nothing is known."""

    def __init__(self, link: Link, chain: Chain | None = None) -> None:
        self._link = link
        self._chain = chain
        self._reader = Reader()

    async def say(self, *wires: bytes, doctor: Doctor = sign_chunk) -> None:
        """Say events; a doctor signs them otherwise."""
        if self._chain is None:
            await self._link.send(wires)
            return
        await self.raw(*(self.signed(chunk(one), doctor) for one in wires))

    def signed(self, payload: bytes, doctor: Doctor = sign_chunk) -> bytes:
        """Sign a payload, and go on from there."""
        assert self._chain is not None
        framed, self._chain = doctor(self._chain, payload, int(time()))
        return framed

    async def raw(self, *pieces: bytes, end: bool = False) -> None:
        """Send bytes of the body as they are."""
        await self._link.send(pieces)
        if end:
            await self._link.send_eof()

    async def bye(self) -> None:
        """Say that nothing more comes."""
        await self.raw(self.signed(b""), end=True)

    async def heard(self) -> list[dict[str, Any]]:
        """Take what the service says next, those that come together."""
        wires: Wires = ()
        while not wires:
            wires = await self._link.receive()
            if self._chain is not None:
                wires = self._unframed(wires)
        return [_json(one) for one in wires if isinstance(one, bytes) and one]

    def _unframed(self, pieces: Wires) -> Wires:
        found = list[bytes]()
        for message in self._reader.feed(b"".join(one for one in pieces if type(one) is bytes)):
            if message.text(":message-type") == "exception":
                raise RealtimeException(exception(*said(message)))
            inside = event(message)
            assert inside is not None
            found.append(inside)
        return tuple(found)

    async def until(self, name: str) -> dict[str, Any]:
        """Take what the service says, until there is one of this name."""
        while True:
            for one in await self.heard():
                if name in one:
                    return dict(one[name])

    async def ended(self) -> RealtimeError | None:
        """Wait for the end, and give how it was."""
        try:
            while True:
                await self.heard()
        except RealtimeException as end:
            return end.error
        except anyio.EndOfStream:
            return None


def _json(wire: bytes) -> dict[str, Any]:
    return msgspec.json.decode(wire, type=dict[str, dict[str, Any]])["event"]


@asynccontextmanager
async def calling(
    here: Loopback,
    way: Way = PLAIN,
    *,
    keys: Credentials = KEYS,
    region: str = REGION,
    at: float = 0.0,
    path: str = f"/model/{MODEL}/invoke-with-bidirectional-stream",
    **headers: str | None,
) -> AsyncGenerator[Hand]:
    """Call a server over HTTP/2; a header that is given is changed behind the signature."""
    url = f"{here.base_url}{path}"
    endpoint = Endpoint(url=url, ssl=way.client, refusal=refused, close_timeout=0.2)
    async with connected(endpoint) as caller:
        stream = "application/vnd.amazon.eventstream"
        fields = {"content-type": stream, "host": caller.target.authority}
        when = int(time() + at)
        signed, chain = sign_request(Scope(keys, region), "POST", path, fields, when)
        for name, text in headers.items():
            if text is None:
                del signed[name.replace("_", "-")]
            else:
                signed[name.replace("_", "-")] = text
        async with caller.request(signed) as link:
            yield Hand(link, chain)
