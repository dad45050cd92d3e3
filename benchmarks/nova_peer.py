"""The far end of `benchmarks.nova`, in a process of its own: a server of Nova Sonic's protocol.

The model's name says what it does: `flood-MS-COUNT` and `pace-MS-COUNT` answer each block of the
user's words with so many pieces of sound, at once or in real time; others tell words of the user.
It believes every signature. Prints its port.
"""

from __future__ import annotations

import json
import struct
import time
from base64 import b64decode, b64encode
from typing import Any

import anyio

from realtime_core.transports.http2_server import Served, serve
from realtime_nova.framing import Message, Reader, encode, encode_headers

_BYTES_A_MS = 48
_WINDOW = 64 * 1024 * 1024
"""More than any client sends: no one waits for room."""
_HEAD = encode_headers(
    {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}
)
_SOUND = b64encode(b'{"event":{"audioInput":'[:21])
_IDS = {"sessionId": "s", "promptName": "p", "completionId": "c"}


def _wire(name: str, **fields: Any) -> bytes:  # noqa: ANN401 - whatever JSON holds
    event = json.dumps({"event": {name: {**_IDS, **fields}}}).encode()
    return encode(_HEAD, b'{"bytes":"' + b64encode(event) + b'"}')


def _begin(id: str, type: str, role: str, stage: str) -> bytes:
    told = {"additionalModelFields": f'{{"generationStage":"{stage}"}}'} if stage else {}
    return _wire("contentStart", contentId=id, type=type, role=role, **told)


def _end(id: str, type: str, reason: str) -> bytes:
    return _wire("contentEnd", contentId=id, type=type, stopReason=reason)


def _words(id: str, role: str, stage: str, reason: str) -> tuple[bytes, ...]:
    said = _wire("textOutput", contentId=id, role=role, content="Hm.")
    return _begin(id, "TEXT", role, stage), said, _end(id, "TEXT", reason)


def _sound(id: str, ms: int) -> bytes:
    """A piece whose first eight bytes say when it was sent."""
    pcm = struct.pack("<d", time.monotonic()) + bytes(ms * _BYTES_A_MS - 8)
    return _wire("audioOutput", contentId=id, role="ASSISTANT", content=b64encode(pcm).decode())


async def _answer(served: Served, number: int, task: list[str]) -> None:
    if len(task) != 3:
        await served.send(*_words(f"u{number}", "USER", "FINAL", "PARTIAL_TURN"))
        return
    id, ms, count = f"a{number}", int(task[1]), int(task[2])
    await served.send(*_words(f"s{number}", "ASSISTANT", "SPECULATIVE", "PARTIAL_TURN"))
    await served.send(_begin(id, "AUDIO", "ASSISTANT", ""))
    ready, start = _sound(id, ms), time.monotonic()
    for piece in range(count):
        if task[0] == "pace":
            await anyio.sleep(max(0.0, start + piece * ms / 1000 - time.monotonic()))
            ready = _sound(id, ms)
        await served.send(ready)
    await served.send(_end(id, "AUDIO", "END_TURN"))
    await served.send(*_words(f"f{number}", "ASSISTANT", "FINAL", "END_TURN"))


def _asks(message: Message) -> bool:
    """Tell whether a signed message holds the beginning of words of the user."""
    if _SOUND in message.payload or not message.payload:
        return False
    (inner,) = Reader().feed(message.payload)
    event = json.loads(b64decode(json.loads(inner.payload)["bytes"]))["event"]
    begun = event.get("contentStart", {})
    return (begun.get("type"), begun.get("role")) == ("TEXT", "USER")


async def _talk(served: Served) -> None:
    task = served.request.path.split("/")[2].split("-")
    served.respond(200, {"content-type": "application/vnd.amazon.eventstream"})
    await served.send(_wire("completionStart"))
    reader, answers = Reader(), 0
    while True:
        pieces = await served.receive()
        for message in reader.feed(b"".join(piece for piece in pieces if type(piece) is bytes)):
            if _asks(message):
                answers += 1
                await _answer(served, answers, task)


async def main() -> None:
    async with serve(_talk, window=_WINDOW) as (_, port):
        print(port, flush=True)
        await anyio.sleep_forever()


if __name__ == "__main__":
    anyio.run(main)
