"""Providers of the family: each a service, a codec, and a way to reach it.

Making one reads nothing and goes nowhere; a missing key, model or address shows when a session is
opened.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from ssl import SSLContext
from typing import Literal

from msgspec.structs import replace

from realtime_core.audio.format import PCM_24K
from realtime_core.capability import Capabilities
from realtime_core.config import Secret, SessionConfig
from realtime_core.errors import InvalidRequest, RealtimeException
from realtime_core.frames import Frame
from realtime_core.link import Dial, Link
from realtime_core.plan import Plan
from realtime_core.provider import Provider
from realtime_core.schedule import RECONNECT
from realtime_core.transports.webrtc import webrtc
from realtime_core.transports.websocket import Endpoint, websocket

from .calls import answer_offer
from .codec import OpenAICodec, agree
from .endpoint import Access, Door, Key, reach, secret
from .failures import closed
from .refusal import refused
from .service import AZURE_OPENAI, AZURE_VOICE_LIVE, OPENAI, OPENAI_BETA, XAI_GROK

__all__ = ("azure_openai", "azure_voice_live", "openai", "openai_beta", "xai")

Transport = Literal["websocket", "webrtc"]
OnCall = Callable[[str], object]


def openai(
    model: str = "",
    *,
    api_key: Key | None = None,
    base_url: str | None = None,
    organization: str | None = None,
    project: str | None = None,
    safety_identifier: str | None = None,
    transport: Transport = "websocket",
    on_call: OnCall | None = None,
    video: bool = False,
    call_id: str = "",
    proxy: str | Secret | None = None,
    ssl: SSLContext | None = None,
) -> Provider[Frame]:
    """Make OpenAI, or a server at `base_url` that speaks as OpenAI does today.

    `api_key` is a key, a client secret, or a callable (plain or async, quick) that is asked for one
    at each connect; empty, none is sent. What is None comes from `OPENAI_API_KEY`,
    `OPENAI_BASE_URL`, `OPENAI_ORG_ID`, `OPENAI_PROJECT_ID`. Other servers need no key.
    With `transport="webrtc"` sound travels as a call, and with `video` pictures do; `on_call` is
    told its id at each connect. With `call_id` the session joins that running call beside its
    caller: it gets every event but no sound, and sends none.
    """
    headers = (
        ("OpenAI-Organization", organization),
        ("OpenAI-Project", project),
        ("OpenAI-Safety-Identifier", safety_identifier),
    )
    access = Access(
        service=OPENAI,
        model=model,
        base_url=base_url,
        key=secret(api_key),
        headers=headers,
        proxy=secret(proxy),
        ssl=ssl,
    )
    return _beside(access, call_id) if call_id else _reached(access, transport, on_call, video)


def azure_openai(
    model: str = "",
    *,
    endpoint: str | None = None,
    api_key: Key | None = None,
    token: Key | None = None,
    transport: Transport = "websocket",
    on_call: OnCall | None = None,
    proxy: str | Secret | None = None,
    ssl: SSLContext | None = None,
) -> Provider[Frame]:
    """Make Azure OpenAI; `model` is the name of a deployment.

    `token` is an Entra token, or a callable that is asked for one at each connect, in place of
    `api_key`. What is None comes from `AZURE_OPENAI_ENDPOINT` and `AZURE_OPENAI_API_KEY`.
    """
    access = Access(
        service=AZURE_OPENAI,
        model=model,
        base_url=endpoint,
        key=secret(api_key),
        token=secret(token),
        proxy=secret(proxy),
        ssl=ssl,
    )
    return _reached(access, transport, on_call)


def azure_voice_live(
    model: str = "",
    *,
    endpoint: str | None = None,
    api_key: Key | None = None,
    token: Key | None = None,
    proxy: str | Secret | None = None,
    ssl: SSLContext | None = None,
) -> Provider[Frame]:
    """Make Azure Voice Live.

    `token` is an Entra token, or a callable that is asked for one at each connect, in place of
    `api_key`. What is None comes from `AZURE_VOICELIVE_ENDPOINT` and `AZURE_VOICELIVE_API_KEY`.
    """
    access = Access(
        service=AZURE_VOICE_LIVE,
        model=model,
        base_url=endpoint,
        key=secret(api_key),
        token=secret(token),
        proxy=secret(proxy),
        ssl=ssl,
    )
    return _reached(access)


def xai(
    model: str = "",
    *,
    api_key: Key | None = None,
    base_url: str | None = None,
    proxy: str | Secret | None = None,
    ssl: SSLContext | None = None,
) -> Provider[Frame]:
    """Make xAI's Grok voice. A key that is None comes from `XAI_API_KEY`."""
    access = Access(
        service=XAI_GROK,
        model=model,
        base_url=base_url,
        key=secret(api_key),
        proxy=secret(proxy),
        ssl=ssl,
    )
    return _reached(access)


def openai_beta(
    model: str = "",
    *,
    base_url: str | None = None,
    api_key: Key | None = None,
    proxy: str | Secret | None = None,
    ssl: SSLContext | None = None,
) -> Provider[Frame]:
    """Make a server at `base_url` that speaks as OpenAI did in the preview of 2024.

    What is None comes from `OPENAI_BASE_URL` and `OPENAI_API_KEY`; a key need not be.
    """
    access = Access(
        service=OPENAI_BETA,
        model=model,
        base_url=base_url,
        key=secret(api_key),
        proxy=secret(proxy),
        ssl=ssl,
    )
    return _reached(access)


# --- ways to reach them -----------------------------------------------------------------------


def _reached(
    access: Access,
    transport: Transport = "websocket",
    on_call: OnCall | None = None,
    video: bool = False,
) -> Provider[Frame]:
    dialect = access.service.dialect
    match transport:
        case "websocket":
            codec, dial = OpenAICodec(dialect), _over_socket(access)
            return _provider(access, dialect.capabilities, codec, dial)
        case "webrtc":
            able = replace(_called(dialect.capabilities), images=video)
            codec, dial = OpenAICodec(dialect, "call"), _over_call(access, on_call, video)
            return _provider(access, able, codec, dial)
    raise RealtimeException(
        InvalidRequest(
            what=f"{access.service.name} cannot be reached by {transport!r}.",
            cause="a misspelt `transport`",
            fix="Known: websocket, webrtc.",
        )
    )


def _beside(access: Access, call_id: str) -> Provider[Frame]:
    """Join a call that someone else holds; the conversation in it needs no history of ours."""
    dialect = access.service.dialect
    able = replace(
        _called(dialect.capabilities),
        audio_in=(),
        images=False,
        manual_turns=False,
        commit=False,
        history=False,
    )
    return _provider(access, able, OpenAICodec(dialect, "call"), _over_socket(access, call_id))


def _called(able: Capabilities) -> Capabilities:
    """Say what can be done in a call: the server plays, and knows by itself what was heard."""
    return replace(able, audio_in=(PCM_24K,), audio_out=(PCM_24K,), truncate=False, delete=False)


def _provider(
    access: Access, able: Capabilities, codec: OpenAICodec, dial: Dial
) -> Provider[Frame]:
    model = access.model or access.service.model
    return Provider(
        able.provider,
        able,
        codec,
        dial,
        SessionConfig(model=model, retry=RECONNECT),
        agree,
        variables=(access.service.key_variable,),
    )


def _over_socket(access: Access, call_id: str = "") -> Dial:
    async def endpoint(plan: Plan) -> Endpoint:
        door = await reach(access)
        return Endpoint(
            url=door.socket(plan.config, call_id),
            headers=door.shown,
            ssl=door.ssl,
            proxy=door.proxy,
            failure=closed,
            refusal=refused,
        )

    return websocket(endpoint)


def _over_call(access: Access, on_call: OnCall | None, video: bool) -> Dial:
    @asynccontextmanager
    async def dial(plan: Plan) -> AsyncGenerator[Link]:
        door = await reach(access)
        door.model_of(plan.config)
        async with webrtc(partial(_signal, door, on_call), video=video)(plan) as link:
            yield link

    return dial


async def _signal(door: Door, on_call: OnCall | None, plan: Plan, offer: str) -> str:
    answer = await answer_offer(door, plan, offer)
    if on_call is not None and answer.call_id:
        on_call(answer.call_id)
    return answer.sdp
