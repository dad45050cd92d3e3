"""What a session of Qwen-Omni's costs over a real WebSocket, beside the vendor's own client.

That one waits in threads: what it costs is the process's, as for all.
"""

from __future__ import annotations

import time
import warnings
from base64 import b64decode
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any

from dashscope import Client

from benchmarks import wire
from benchmarks.openai import TONGUE as FAMILY
from benchmarks.table import show
from realtime_core import (
    PCM_16K,
    Frame,
    RealtimeSession,
    SessionConfig,
    TurnDetection,
    open_session,
)
from realtime_qwen import qwen

_PATH = "/api-ws/v1"
_TONGUE = FAMILY._replace(
    url=lambda port, model: f"ws://127.0.0.1:{port}{_PATH}/realtime?model={model}",
    hello=lambda _: b'{"type":"session.update","session":{"modalities":["text","audio"]}}',
    input=PCM_16K,
)


@asynccontextmanager
async def _session(port: int, model: str) -> AsyncGenerator[RealtimeSession[Frame]]:
    provider = qwen(model, base_url=f"http://127.0.0.1:{port}{_PATH}", api_key="none")
    config = SessionConfig(report_input=False, turn_detection=TurnDetection(mode="manual"))
    async with open_session(provider, config) as session:
        yield session


# --- the vendor's client ----------------------------------------------------------------------


@contextmanager
def _official(port: int, model: str) -> Generator[Any]:
    maker: Any = Client
    realtime = maker(api_key="none", workspace="none").audio.realtime
    url = f"ws://127.0.0.1:{port}{_PATH}/realtime"
    with realtime.connect(model=model, ws_url=url, timeout=10) as session:
        session.update_session(["text", "audio"], enable_turn_detection=False)
        yield session


def _official_out(port: int, model: str, times: int) -> float:
    with _official(port, model) as session:
        events, start = session.events(), 0.0
        for answer in range(times + 1):
            if answer == 1:
                start = time.process_time()
            session.create_response()
            heard = 0
            for event in events:
                if event["type"] == "response.audio.delta":
                    heard += len(b64decode(event["delta"]))
                elif event["type"] == "response.done":
                    break
            assert heard
        return time.process_time() - start


def _official_in(port: int, sound: bytes, frames: int) -> float:
    with _official(port, "sink") as session:
        start = time.process_time()
        for _ in range(frames):
            session.append_audio(sound)
        session.commit()
        for event in session.events():
            if event["type"] == "input_audio_buffer.committed":
                break
        return time.process_time() - start


def main() -> None:
    warnings.filterwarnings("ignore", "dashscope 2.0 audio API", FutureWarning)
    with wire.peer("benchmarks.openai_peer", "response.audio.delta") as port:
        far, connect = wire.Far(_TONGUE, port), partial(_session, port)
        others = {"the vendor's client": partial(_official_out, port)}
        show("Qwen over a loopback WebSocket: received", wire.received(far, connect, others))
        rows = []
        for ms in (100, 20):
            sound = _TONGUE.silence * (ms // 20)
            frames = {"the vendor's client": partial(_official_in, port, sound)}
            rows += wire.sent(far, connect, frames, ms)
        show("Qwen over a loopback WebSocket: sent", rows)
        rows = [*wire.connecting(far, connect), *wire.memory(connect, far), *wire.stale(connect)]
        show("Qwen over a loopback WebSocket: sessions", rows)
        show("Qwen over a loopback WebSocket: latency", wire.latency(far, connect))


if __name__ == "__main__":
    main()
