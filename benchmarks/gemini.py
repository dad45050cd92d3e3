"""What a session of Gemini's costs over a real WebSocket, beside the vendor's own client.

That one dials TLS whatever it is told, so that it is compared over TLS, and the library as well.
"""

from __future__ import annotations

import asyncio
import ssl
import tempfile
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import trustme
from google import genai
from google.genai import types
from google.genai.live import AsyncSession

from benchmarks import wire
from benchmarks.table import show
from realtime_core import PCM_16K, Frame, RealtimeSession, SessionConfig, open_session
from realtime_gemini import gemini
from realtime_gemini.encoding import server_message
from realtime_gemini.writing import appended

_PATH = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"


def _heard(message: bytes) -> bytes | None:
    content = server_message(message).server_content
    if content is None:
        return b""
    turn = content.model_turn
    if turn is not None and turn.parts:
        blob = turn.parts[0].inline_data
        return (blob.data or b"") if blob is not None else b""
    return None if content.turn_complete or content.input_transcription else b""


def _tongue(scheme: str) -> wire.Tongue:
    return wire.Tongue(
        url=lambda port, _: f"{scheme}://127.0.0.1:{port}{_PATH}",
        hello=lambda model: f'{{"setup":{{"model":"models/{model}"}}}}'.encode(),
        welcome=b"setupComplete",
        ask=b'{"clientContent":{"turnComplete":true}}',
        end=b'{"realtimeInput":{"audioStreamEnd":true}}',
        frame=appended,
        read=_heard,
        input=PCM_16K,
    )


@asynccontextmanager
async def _session(
    base_url: str, trust: ssl.SSLContext | None, model: str
) -> AsyncGenerator[RealtimeSession[Frame]]:
    provider = gemini(model, base_url=base_url, api_key="", ssl=trust)
    options = {"typed": "content"}
    async with open_session(provider, SessionConfig(report_input=False, options=options)) as one:
        yield one


# --- the vendor's client ----------------------------------------------------------------------


@asynccontextmanager
async def _official(
    base_url: str, trust: ssl.SSLContext, model: str
) -> AsyncGenerator[AsyncSession]:
    options = types.HttpOptions(
        base_url=base_url, api_version="v1beta", async_client_args={"ssl": trust, "verify": trust}
    )
    client = genai.Client(api_key="none", http_options=options)
    config = types.LiveConnectConfig(response_modalities=[types.Modality.AUDIO])
    async with client.aio.live.connect(model=model, config=config) as session:
        yield session
    await client.aio.aclose()


async def _official_out(base_url: str, trust: ssl.SSLContext, model: str, times: int) -> float:
    async with _official(base_url, trust, model) as session:
        start = 0.0
        for answer in range(times + 1):
            if answer == 1:
                start = time.process_time()
            await session.send_client_content(turn_complete=True)
            heard = 0
            async for message in session.receive():
                content = message.server_content
                turn = content.model_turn if content is not None else None
                for part in (turn.parts or ()) if turn is not None else ():
                    heard += len(part.inline_data.data or b"") if part.inline_data else 0
            assert heard
        return time.process_time() - start


async def _official_in(base_url: str, trust: ssl.SSLContext, frames: int) -> float:
    silence = types.Blob(data=bytes(640), mime_type="audio/pcm;rate=16000")
    async with _official(base_url, trust, "sink") as session:
        start = time.process_time()
        for _ in range(frames):
            await session.send_realtime_input(audio=silence)
        await session.send_realtime_input(audio_stream_end=True)
        async for message in session.receive():
            if message.server_content and message.server_content.input_transcription:
                break
        return time.process_time() - start


@contextmanager
def _secured() -> Iterator[tuple[str, ssl.SSLContext]]:
    """Give a file with a certificate and its key, and who trusts it."""
    authority, trust = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(trust)
    with tempfile.TemporaryDirectory() as folder:
        pem = Path(folder) / "server.pem"
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(pem))
        yield str(pem), trust


def main() -> None:
    with wire.peer("benchmarks.gemini_peer") as port:
        far, connect = (
            wire.Far(_tongue("ws"), port),
            partial(_session, f"http://127.0.0.1:{port}", None),
        )
        show("Gemini over a loopback WebSocket: received", wire.received(far, connect, {}))
        show("Gemini over a loopback WebSocket: sent", wire.sent(far, connect, {}))
        rows = [*wire.connecting(far, connect), *wire.memory(connect), *wire.stale(connect)]
        show("Gemini over a loopback WebSocket: sessions", rows)
        show("Gemini over a loopback WebSocket: latency", wire.latency(far, connect))
    with _secured() as (pem, trust), wire.peer("benchmarks.gemini_peer", pem) as port:
        base_url = f"https://127.0.0.1:{port}"
        far, connect = wire.Far(_tongue("wss"), port, trust), partial(_session, base_url, trust)
        others = {
            "the vendor's client": lambda *how: asyncio.run(_official_out(base_url, trust, *how))
        }
        show("Gemini over TLS: received", wire.received(far, connect, others))
        frames = {
            "the vendor's client": lambda many: asyncio.run(_official_in(base_url, trust, many))
        }
        show("Gemini over TLS: sent", wire.sent(far, connect, frames))
        show("Gemini over TLS: sessions", [*wire.connecting(far, connect), *wire.memory(connect)])


if __name__ == "__main__":
    main()
