"""Conversations over loopback, as in the OpenAI family, in the tongue of this service."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http import HTTPStatus
from inspect import isawaitable
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from realtime_core.config import SessionConfig
from realtime_core.frames import Frame
from realtime_core.link import Dial, Link
from realtime_core.plan import Plan
from realtime_core.provider import Provider, provided
from realtime_core.serving import Socket, inside
from realtime_core.transports.websocket_server import Judge, Request, Response, ServedSocket
from realtime_openai import server as family
from realtime_openai.failures import closed
from realtime_openai.server import HARMLESS, Loopback, Script, Served
from realtime_openai.server.bridge import bridge
from realtime_openai.server.conversation import listening
from realtime_openai.server.tongue import Tongue

from .events import decode
from .hearing import hear
from .schema import meaning
from .telling import say

__all__ = ("TONGUE", "loopback", "serve")

TONGUE = Tongue(hear=hear, say=say, decode=decode, given=meaning({}), voice="", prefix="/api-ws/v1")
"""Qwen-Omni Realtime."""
_PATH = f"{TONGUE.prefix}/realtime"


@asynccontextmanager
async def serve(
    provider: str | Provider[Frame],
    config: SessionConfig | None = None,
    *,
    host: str = "127.0.0.1",
    port: int | None = 0,
    key: str | None = None,
    process_request: Judge | None = None,
    **options: Any,  # noqa: ANN401 - the provider's own
) -> AsyncGenerator[Served]:
    """Serve a provider's sessions while the block is open, one for each client that connects.

    `config` holds where a client says nothing. A client shows a key, and with `key` this one; it
    names a model in the query. `process_request` may answer whatever is asked, before anything
    else does. With `port=None` there is no socket, only `dial`. Raises `RealtimeException` if there
    is no such provider.
    """
    found = provided(provider, options)
    base = config if config is not None else found.defaults

    async def attend(socket: Socket, path: str = "") -> None:
        model = next(iter(parse_qs(urlsplit(path).query).get("model", [])), "")
        await bridge(socket, found, base, model, tongue=TONGUE)

    async def handler(socket: ServedSocket) -> None:
        await attend(socket, socket.request.path)

    async with listening(handler, host, port, _door(key, process_request)) as (name, number):
        yield Served(name, number, _dial(attend), TONGUE.prefix)


@asynccontextmanager
async def loopback(
    script: Script,
    *,
    host: str = "127.0.0.1",
    port: int | None = 0,
    key: str | None = None,
    mirrored: bool = True,
    allowed: Collection[str] = HARMLESS,
    process_request: Judge | None = None,
) -> AsyncGenerator[Loopback]:
    """Run a scripted server while the block is open; each client gets a run of the script.

    As `realtime_openai.server.loopback`; at the door it does as `serve`.
    """
    async with family.loopback(
        script,
        host=host,
        port=port,
        mirrored=mirrored,
        allowed=allowed,
        process_request=_door(key, process_request),
        tongue=TONGUE,
    ) as stage:
        stage.dial = _dial(stage.attend)
        yield stage


def _dial(attend: Callable[[Socket, str], Awaitable[None]]) -> Dial:
    """Reach a server without a socket; what a client shows at the door is its model alone."""

    def dial(plan: Plan) -> AbstractAsyncContextManager[Link]:
        path = f"{_PATH}?{urlencode({'model': plan.config.model})}"
        return inside(lambda socket: attend(socket, path), closed)(plan)

    return dial


def _door(key: str | None, judge: Judge | None) -> Callable[[Request], Awaitable[Response | None]]:
    """Let in who shows a key and names a model, at the right place."""

    async def judged(request: Request) -> Response | None:
        answer = None if judge is None else judge(request)
        answer = await answer if isawaitable(answer) else answer
        return answer or _verdict(key, request)

    return judged


def _verdict(key: str | None, request: Request) -> Response | None:
    asked = urlsplit(request.path)
    kind, _, shown = request.headers.get("authorization", "").partition(" ")
    if asked.path != _PATH:
        return Response(HTTPStatus.NOT_FOUND)
    if kind != "Bearer" or not shown or key not in {None, shown}:
        said = b'{"code":"InvalidApiKey","message":"Invalid API-key provided."}'
        return Response(HTTPStatus.UNAUTHORIZED, {"Content-Type": "application/json"}, said)
    if not any(parse_qs(asked.query).get("model", [])):
        said = b'{"code":"InvalidParameter","message":"A model is wanted."}'
        return Response(HTTPStatus.BAD_REQUEST, {"Content-Type": "application/json"}, said)
    return None
