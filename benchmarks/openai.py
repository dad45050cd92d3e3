"""What a session of OpenAI's costs over a real WebSocket, beside the vendor's own client."""

from __future__ import annotations

import asyncio
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection

from benchmarks import wire
from benchmarks.table import show
from realtime_core import Frame, RealtimeSession, SessionConfig, open_session
from realtime_openai import openai
from realtime_openai.client_events import Append
from realtime_openai.client_events import encode as written
from realtime_openai.server_events import AudioDelta, Committed, ResponseFinished
from realtime_openai.server_events import decode as read


def _heard(message: bytes) -> bytes | None:
    event = read(message)
    if isinstance(event, AudioDelta):
        return event.delta
    return None if isinstance(event, ResponseFinished | Committed) else b""


TONGUE = wire.Tongue(
    url=lambda port, model: f"ws://127.0.0.1:{port}/v1/realtime?model={model}",
    hello=lambda _: b'{"type":"session.update","session":{"type":"realtime"}}',
    welcome=b"session.updated",
    ask=b'{"type":"response.create"}',
    end=b'{"type":"input_audio_buffer.commit"}',
    frame=lambda pcm: written(Append(audio=pcm)),
    read=_heard,
)


@asynccontextmanager
async def _session(port: int, model: str) -> AsyncGenerator[RealtimeSession[Frame]]:
    provider = openai(model, base_url=f"http://127.0.0.1:{port}/v1", api_key="none")
    config = SessionConfig(report_input=False)
    async with open_session(provider, config) as session:
        yield session


# --- the vendor's client ----------------------------------------------------------------------


@asynccontextmanager
async def _official(port: int, model: str) -> AsyncGenerator[AsyncRealtimeConnection]:
    client = AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none")
    async with client.realtime.connect(model=model) as connection:
        await connection.session.update(session={"type": "realtime"})
        yield connection


async def _official_out(port: int, model: str, times: int) -> float:
    async with _official(port, model) as connection:
        start = 0.0
        for answer in range(times + 1):
            if answer == 1:
                start = time.process_time()
            await connection.response.create()
            heard = 0
            async for event in connection:
                if event.type == "response.output_audio.delta":
                    heard += len(b64decode(event.delta))
                elif event.type == "response.done":
                    break
            assert heard
        return time.process_time() - start


async def _official_in(port: int, frames: int) -> float:
    silence = TONGUE.silence
    async with _official(port, "sink") as connection:
        start = time.process_time()
        for _ in range(frames):
            await connection.input_audio_buffer.append(audio=b64encode(silence).decode())
        await connection.input_audio_buffer.commit()
        async for event in connection:
            if event.type == "input_audio_buffer.committed":
                break
        return time.process_time() - start


def main() -> None:
    with wire.peer("benchmarks.openai_peer") as port:
        far, connect = wire.Far(TONGUE, port), partial(_session, port)
        others = {"the vendor's client": lambda *how: asyncio.run(_official_out(port, *how))}
        show("OpenAI over a loopback WebSocket: received", wire.received(far, connect, others))
        frames = {"the vendor's client": lambda many: asyncio.run(_official_in(port, many))}
        show("OpenAI over a loopback WebSocket: sent", wire.sent(far, connect, frames))
        rows = [*wire.connecting(far, connect), *wire.memory(connect), *wire.stale(connect)]
        show("OpenAI over a loopback WebSocket: sessions", rows)
        show("OpenAI over a loopback WebSocket: latency", wire.latency(far, connect))


if __name__ == "__main__":
    main()
