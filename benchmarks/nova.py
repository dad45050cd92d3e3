"""What a session of Nova Sonic's costs over a real connection of HTTP/2.

The floor is `h2`, the framing of the event stream and a chain of signatures, with the day's key
derived once. The vendor's own client needs Python 3.12 or later; beside the library stand the parts
of it that run here: botocore's parser of event streams, and its signer.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import struct
import time
from base64 import b64decode, b64encode
from binascii import crc32
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import cache, partial
from hashlib import sha256
from typing import Any

import msgspec
from botocore.auth import SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials as Keys  # type: ignore[import-untyped]
from botocore.eventstream import EventStreamBuffer  # type: ignore[import-untyped]
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived
from h2.settings import SettingCodes, Settings

from benchmarks import wire
from benchmarks.table import Row, show
from realtime_core import (
    PCM_16K,
    CreateResponse,
    Frame,
    RealtimeSession,
    SessionConfig,
    open_session,
)
from realtime_core.config import Secret
from realtime_nova import Credentials, nova
from realtime_nova.encoding import server_event
from realtime_nova.signing import Scope, sign_request
from realtime_nova.writing import appended

_REGION = "us-east-1"
_KEYS = Credentials(Secret("AKIDEXAMPLE"), Secret("none"))
_SCOPE = Scope(_KEYS, _REGION)
_AUDIO = b'{"event":{"audioInput":{"promptName":"p","contentName":"a","content":"'
_ASKED = CreateResponse(instructions="Go on.")
_WINDOW = 1024 * 1024


def _heard(message: bytes) -> bytes | None:
    event = server_event(message)
    if event.audio_output is not None:
        return event.audio_output.content
    begun, ended = event.content_start, event.content_end
    if (begun and begun.role == "USER") or (ended and ended.type == "AUDIO"):
        return None
    return b""


def _path(model: str) -> str:
    return f"/model/{model}/invoke-with-bidirectional-stream"


_TONGUE = wire.Tongue(
    url=lambda port, model: f"http://127.0.0.1:{port}{_path(model)}",
    hello=lambda _: b'{"event":{"sessionStart":{}}}',
    welcome=b"completionStart",
    ask=b'{"event":{"contentStart":{"type":"TEXT","role":"USER"}}}',
    end=b'{"event":{"contentStart":{"type":"TEXT","role":"USER"}}}',
    frame=partial(appended, _AUDIO),
    read=_heard,
    input=PCM_16K,
    asked=_ASKED,
    ended=_ASKED,
)


@asynccontextmanager
async def _session(port: int, model: str) -> AsyncGenerator[RealtimeSession[Frame]]:
    base_url = f"http://127.0.0.1:{port}"
    provider = nova(model, region=_REGION, credentials=_KEYS, base_url=base_url)
    async with open_session(provider, SessionConfig(report_input=False)) as session:
        yield session


# --- no library -------------------------------------------------------------------------------


def _header(name: str, value: bytes) -> bytes:
    return bytes((len(name),)) + name.encode() + value


def _text(name: str, text: str) -> bytes:
    return _header(name, struct.pack("!BH", 7, len(text)) + text.encode())


_CHUNK = (
    _text(":event-type", "chunk")
    + _text(":message-type", "event")
    + _text(":content-type", "application/json")
)


def _framed(headers: bytes, payload: bytes) -> bytes:
    lengths = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    framed = b"".join((lengths, crc32(lengths).to_bytes(4, "big"), headers, payload))
    return framed + crc32(framed).to_bytes(4, "big")


class _Part(msgspec.Struct):
    data: bytes = msgspec.field(name="bytes")


_PART = msgspec.json.Decoder(_Part)


class _Floor(wire.Bare):
    """`h2`, event stream, signatures."""

    async def begin(self) -> None:
        self._h2 = H2Connection(H2Configuration(client_side=True))
        self._h2.local_settings = Settings(True, {SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW})
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(4 * _WINDOW)
        host = f"127.0.0.1:{self.far.port}"
        path, at = _path(self.model), int(time.time())
        headers, chain = sign_request(_SCOPE, "POST", path, {"host": host}, at)
        head = [(":method", "POST"), (":scheme", "http"), (":authority", host), (":path", path)]
        for name, value in headers.items():
            head.append((name, value.reveal() if isinstance(value, Secret) else value))
        self._h2.send_headers(1, head)
        self._body = bytearray()
        self._signature = chain.signature
        self._second = 0
        self._flush()

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data:
            self.write(data)

    def send(self, data: bytes) -> None:
        payload = _framed(_CHUNK, b'{"bytes":"' + b64encode(data) + b'"}')
        at = int(time.time())
        dated = b"\x05:date\x08" + struct.pack("!q", at * 1000)
        signature = self.signed(dated, payload, at)
        self._signature = signature.hex()
        signed = dated + b"\x10:chunk-signature\x06\x00\x20" + signature
        self._h2.send_data(1, _framed(signed, payload))
        self._flush()

    def signed(self, headers: bytes, payload: bytes, at: int) -> bytes:
        """Sign a message."""
        if at != self._second:
            self._second, stamp = at, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
            self._scope = f"AWS4-HMAC-SHA256-PAYLOAD\n{stamp}\n{_SCOPE.named(at)}\n"
            self._key = _day_key(stamp[:8])
        hashes = f"{sha256(headers).hexdigest()}\n{sha256(payload).hexdigest()}"
        text = f"{self._scope}{self._signature}\n{hashes}"
        return hmac.digest(self._key, text.encode(), sha256)

    def heard(self, data: bytes) -> list[bytes]:
        for event in self._h2.receive_data(data):
            if isinstance(event, DataReceived):
                self._body += event.data
                self._h2.acknowledge_received_data(event.flow_controlled_length, 1)
        self._flush()
        return self.events()

    def events(self) -> list[bytes]:
        """Give the events that are complete."""
        found, at, body = list[bytes](), 0, self._body
        with memoryview(body) as view:
            while len(body) - at >= 12:
                length, headers, crc = struct.unpack_from("!III", body, at)
                end = at + length
                if len(body) < end:
                    break
                whole = crc32(view[at : end - 4]).to_bytes(4, "big") == view[end - 4 : end]
                assert crc32(view[at : at + 8]) == crc
                assert whole
                found.append(_PART.decode(view[at + 12 + headers : end - 4]).data)
                at = end
        del body[:at]
        return found


@cache
def _day_key(day: str) -> bytes:
    key = b"AWS4none"
    for part in (day, _REGION, "bedrock", "aws4_request"):
        key = hmac.digest(key, part.encode(), sha256)
    return key


# --- the vendor's parts -----------------------------------------------------------------------


class _Botocore(_Floor):
    """botocore's parser and signer, over `h2`."""

    async def begin(self) -> None:
        await super().begin()
        self._buffer: Any = EventStreamBuffer()
        self._auth: Any = SigV4Auth(Keys("AKIDEXAMPLE", "none"), "bedrock", _REGION)

    def events(self) -> list[bytes]:
        self._buffer.add_data(bytes(self._body))
        self._body.clear()
        return [b64decode(json.loads(message.payload)["bytes"]) for message in self._buffer]

    def signed(self, headers: bytes, payload: bytes, at: int) -> bytes:
        stamp = datetime.fromtimestamp(at, UTC).strftime("%Y%m%dT%H%M%SZ")
        request = AWSRequest()
        request.context["timestamp"] = stamp
        hashes = sha256(headers).hexdigest(), sha256(payload).hexdigest()
        scope = self._auth.credential_scope(request)
        parts = ("AWS4-HMAC-SHA256-PAYLOAD", stamp, scope, self._signature, *hashes)
        return bytes.fromhex(self._auth.signature("\n".join(parts), request))


def _heard_by_json(message: bytes) -> bytes | None:
    event = json.loads(message)["event"]
    if "audioOutput" in event:
        return b64decode(event["audioOutput"]["content"])
    return _heard(message)


def _written_by_json(pcm: bytes) -> bytes:
    sound = {"promptName": "p", "contentName": "a", "content": b64encode(pcm).decode()}
    return json.dumps({"event": {"audioInput": sound}}, separators=(",", ":")).encode()


def _signing() -> list[Row]:
    """Compare what the signature of a request costs, once a connection."""
    auth: Any = SigV4Auth(Keys("AKIDEXAMPLE", "none"), "bedrock", _REGION)
    headers, path, times = {"host": "127.0.0.1"}, _path("nova"), 200

    def theirs() -> None:
        auth.add_auth(AWSRequest("POST", f"https://127.0.0.1{path}", headers, b""))

    def ours() -> None:
        sign_request(_SCOPE, "POST", path, headers, int(time.time()))

    def spent(sign: Callable[[], None]) -> float:
        start = time.process_time()
        for _ in range(times):
            sign()
        return time.process_time() - start

    clients = {"botocore": partial(spent, theirs), "the library": partial(spent, ours)}
    return wire.compared("CPU of signing a request", times, clients, {})


def main() -> None:
    with wire.peer("benchmarks.nova_peer") as port:
        far, connect = wire.Far(_TONGUE, port, bare=_Floor), partial(_session, port)
        tongue = _TONGUE._replace(read=_heard_by_json, frame=_written_by_json)
        vendor = far._replace(tongue=tongue, bare=_Botocore)
        others = {"botocore's parts": lambda *how: asyncio.run(wire.bare_out(vendor, *how))}
        show("Nova over a loopback HTTP/2: received", wire.received(far, connect, others))
        rows = []
        for ms in (100, 20):
            sound = _TONGUE.silence * (ms // 20)
            run = partial(wire.bare_in, vendor, sound)
            frames = {"botocore's parts": lambda many: asyncio.run(run(many))}  # noqa: B023
            rows += wire.sent(far, connect, frames, ms)
        show("Nova over a loopback HTTP/2: sent", rows)
        rows = [*wire.connecting(far, connect), *_signing(), *wire.memory(connect, far)]
        rows += wire.stale(connect, _ASKED)
        show("Nova over a loopback HTTP/2: sessions", rows)
        show("Nova over a loopback HTTP/2: latency", wire.latency(far, connect))


if __name__ == "__main__":
    main()
