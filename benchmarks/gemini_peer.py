"""The far end of `benchmarks.gemini`, in a process of its own: a bare server of the Live protocol.

The model's name says what it does: `flood-MS-COUNT` and `pace-MS-COUNT` answer each turn with so
many pieces of sound, at once or in real time; others only listen. Given a file with a certificate
and its key, it listens behind TLS. Prints its port.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import ssl
import struct
import sys
import time
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

_BYTES_A_MS = 48
_SOUND = '{"realtimeInput":{"audio":'


def _wire(**fields: Any) -> bytes:  # noqa: ANN401 - whatever JSON holds
    return json.dumps(fields).encode()


def _content(**fields: Any) -> bytes:  # noqa: ANN401 - as above
    return _wire(serverContent=fields)


def _sound(ms: int) -> bytes:
    """A piece whose first eight bytes say when it was sent."""
    pcm = struct.pack("<d", time.monotonic()) + bytes(ms * _BYTES_A_MS - 8)
    blob = {"mimeType": "audio/pcm;rate=24000", "data": base64.b64encode(pcm).decode()}
    return _content(modelTurn={"parts": [{"inlineData": blob}]})


async def _answer(peer: ServerConnection, task: list[str]) -> None:
    if len(task) == 3:
        ms, count = int(task[1]), int(task[2])
        ready = _sound(ms)
        start = time.monotonic()
        for number in range(count):
            if task[0] == "pace":
                await asyncio.sleep(max(0.0, start + number * ms / 1000 - time.monotonic()))
                ready = _sound(ms)
            await peer.send(ready)
    await peer.send(_content(generationComplete=True))
    usage = {"promptTokenCount": 1, "responseTokenCount": 2, "totalTokenCount": 3}
    await peer.send(_wire(serverContent={"turnComplete": True}, usageMetadata=usage))


async def _talk(peer: ServerConnection) -> None:
    model = ""
    async for message in peer:
        text = message if isinstance(message, str) else message.decode()
        if text.startswith(_SOUND):
            continue
        said = json.loads(text)
        given = said.get("realtimeInput") or said.get("realtime_input") or {}
        content = said.get("clientContent") or said.get("client_content") or {}
        if "setup" in said:
            model = said["setup"]["model"].rpartition("/")[2]
            await peer.send(_wire(setupComplete={}))
        elif "audioStreamEnd" in given or "audio_stream_end" in given:
            await peer.send(_content(inputTranscription={"text": "Hm."}))
        elif content.get("turnComplete") or content.get("turn_complete"):
            await _answer(peer, model.split("-"))


async def main() -> None:
    context = None
    if len(sys.argv) > 1:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(sys.argv[1])
    async with serve(_talk, "127.0.0.1", 0, compression=None, max_size=None, ssl=context) as server:
        (listener,) = server.sockets
        print(listener.getsockname()[1], flush=True)
        logging.getLogger("websockets").setLevel(logging.CRITICAL)  # bare clients just hang up
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
