"""The far end of `benchmarks.openai`, in a process of its own: a bare server of the GA protocol.

The model's name says what it does: `flood-MS-COUNT` and `pace-MS-COUNT` answer each
`response.create` with so many pieces of sound, at once or in real time; others only listen. Given a
name, it calls pieces of sound by that: others of the family have names of their own. Prints its
port.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import struct
import sys
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve

_BYTES_A_MS = 48
_DELTA = sys.argv[1] if len(sys.argv) > 1 else "response.output_audio.delta"


def _wire(type: str, **fields: Any) -> str:  # noqa: ANN401 - whatever JSON holds
    return json.dumps({"type": type, "event_id": "e", **fields})


def _of(response: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    place = {"output_index": 0, "content_index": 0}
    return {"response_id": response, "item_id": f"i{response}", **place, **fields}


def _sound(response: str, ms: int) -> str:
    """A piece whose first eight bytes say when it was sent."""
    pcm = struct.pack("<d", time.monotonic()) + bytes(ms * _BYTES_A_MS - 8)
    fields = _of(response, delta=base64.b64encode(pcm).decode())
    return _wire(_DELTA, **fields)


async def _answer(peer: ServerConnection, response: str, task: list[str], wish: Any) -> None:  # noqa: ANN401
    metadata = (wish.get("response") or {}).get("metadata")
    born = {"id": response, "object": "realtime.response", "metadata": metadata}
    await peer.send(_wire("response.created", response={**born, "status": "in_progress"}))
    item = {"id": f"i{response}", "type": "message", "role": "assistant", "content": []}
    await peer.send(
        _wire("response.output_item.added", response_id=response, output_index=0, item=item)
    )
    if len(task) == 3:
        ms, count = int(task[1]), int(task[2])
        ready = _sound(response, ms)
        start = time.monotonic()
        for number in range(count):
            if task[0] == "pace":
                await asyncio.sleep(max(0.0, start + number * ms / 1000 - time.monotonic()))
                ready = _sound(response, ms)
            await peer.send(ready)
    done: dict[str, Any] = {**born, "status": "completed", "output": [], "usage": None}
    await peer.send(_wire("response.done", response=done))


async def _talk(peer: ServerConnection) -> None:
    assert peer.request is not None
    model = parse_qs(urlsplit(peer.request.path).query)["model"][0]
    answers = 0
    session = {"type": "realtime", "id": "s", "object": "realtime.session", "model": model}
    await peer.send(_wire("session.created", session=session))
    async for message in peer:
        if str(message).startswith('{"type":"input_audio_buffer.append"'):
            continue
        event = json.loads(message)
        match event["type"]:
            case "session.update":
                await peer.send(_wire("session.updated", session=session))
            case "input_audio_buffer.commit":
                await peer.send(
                    _wire("input_audio_buffer.committed", item_id="u", previous_item_id=None)
                )
            case "response.create":
                answers += 1
                await _answer(peer, f"r{answers}", model.split("-"), event)
            case _:
                pass


async def main() -> None:
    async with serve(_talk, "127.0.0.1", 0, compression=None, max_size=None) as server:
        (listener,) = server.sockets
        print(listener.getsockname()[1], flush=True)
        logging.getLogger("websockets").setLevel(logging.CRITICAL)  # bare clients just hang up
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
