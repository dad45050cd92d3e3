"""Ephemeral tokens: keys for few sessions, which can be handed to a browser.

One request each, and nothing kept. Redirects are never followed, answers are bounded, and no proxy
or password is taken from the environment. Any failure raises `RealtimeException`; cancelling closes
the connection.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import anyio
import msgspec
from msgspec.structs import replace
from returns.result import Failure

from realtime_core.config import Secret, SessionConfig
from realtime_core.errors import (
    InvalidRequest,
    ProtocolViolation,
    RealtimeException,
    TimedOut,
    Unavailable,
    Unsupported,
)

from .codec import GeminiCodec, agree
from .endpoint import Door
from .models import capabilities
from .refusal import refused

if TYPE_CHECKING:
    import httpx2

    from realtime_core.plan import Plan

__all__ = ("EphemeralToken", "mint", "setup_of")

_SECONDS = 30.0
_LONGEST = 1 << 20
"""Bytes of an answer."""
_LIFE = 20 * 3_600
"""Seconds that a token lives at most."""
_FREE = ("historyConfig", "sessionResumption")
"""What is the client's to say: how a session begins, and how it is taken up again."""
_LOCKED = ("systemInstruction", "tools")
"""What a client may not add where the session has none."""


class EphemeralToken(msgspec.Struct, frozen=True):
    """A key for few sessions; it serves as `api_key`. Times are Unix times, in seconds."""

    name: Secret
    expires_at: int
    """When its sessions end."""
    start_until: int
    """Until when a session may begin; taking one up again counts as none."""


class _Minted(msgspec.Struct):
    name: str


class _Reply(msgspec.Struct):
    status: int
    headers: Mapping[str, str]
    body: bytes


async def mint(
    door: Door,
    config: SessionConfig | None = None,
    *,
    seconds: int = 1_800,
    start_within: int = 60,
    uses: int = 1,
) -> EphemeralToken:
    """Ask for a token whose sessions end after `seconds`, and begin within `start_within`.

    `uses` is the number of sessions, 0: any. What `config` sets is locked, instructions and tools
    in any case; without one each session is what its client asks for.
    """
    _check(door, seconds, start_within, uses)
    now = _by_calendar()
    wish = {
        "uses": uses,
        "expireTime": _stamp(now + timedelta(seconds=seconds)),
        "newSessionExpireTime": _stamp(now + timedelta(seconds=start_within)),
        **({} if config is None else _lock(door, config)),
    }
    reply = await _post(door, f"/{door.service.token_version}/auth_tokens", wish)
    try:
        name = msgspec.json.decode(reply.body, type=_Minted).name
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise RealtimeException(_malformed("The answer holds no token.")) from None
    begun = int(now.timestamp())
    return EphemeralToken(Secret(name), begun + seconds, begun + start_within)


def setup_of(plan: Plan) -> dict[str, Any]:
    """Give the setup that opens a session as planned, as it stands on the wire."""
    wire = GeminiCodec().greet(plan, None).wires[0]
    return cast("dict[str, Any]", msgspec.json.decode(cast("str | bytes", wire))["setup"])


# --- what is sent -----------------------------------------------------------------------------


def _check(door: Door, seconds: int, start_within: int, uses: int) -> None:
    if not door.service.token_version:
        raise RealtimeException(
            Unsupported(
                what=f"{door.service.name} has no ephemeral tokens.",
                cause="only the Developer API makes them",
                fix="Use the provider `gemini`; or let your server hold the connection.",
                field="mint",
            )
        )
    if door.ephemeral:
        raise RealtimeException(
            InvalidRequest(
                what="An ephemeral token cannot make another one.",
                cause="the key at hand begins with `auth_tokens/`",
                fix="Give an API key.",
            )
        )
    if not (0 < start_within <= seconds < _LIFE and uses >= 0):
        raise RealtimeException(
            InvalidRequest(
                what=f"No token lives for {seconds} s, begins in {start_within} s, {uses} times.",
                cause="times are positive, less than 20 hours, and sessions begin before they end",
                fix="Choose other `seconds`, `start_within` or `uses`.",
            )
        )


def _lock(door: Door, config: SessionConfig) -> dict[str, Any]:
    model, dialect = config.model or door.model or door.service.model, door.service.dialect
    agreed = agree(capabilities(model, dialect), replace(config, model=model))
    if isinstance(agreed, Failure):
        raise RealtimeException(agreed.failure())
    whole = setup_of(agreed.unwrap())
    setup = {name: value for name, value in whole.items() if name not in _FREE}
    unset = (name for name in _LOCKED if name not in setup)
    return {"bidiGenerateContentSetup": setup, "fieldMask": ",".join((*_mask(setup), *unset))}


def _mask(setup: Mapping[str, Any]) -> Iterator[str]:
    """Name the fields that are set, those of objects one by one."""
    for name, value in setup.items():
        inner = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
        yield from [f"{name}.{one}" for one in inner] or [name]


def _by_calendar() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


# --- the request ------------------------------------------------------------------------------


async def _post(door: Door, path: str, wish: dict[str, Any]) -> _Reply:
    """Send one request; give the answer where it is a yes."""
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    for name, value in door.shown.items():
        headers[name] = value.reveal() if isinstance(value, Secret) else value
    headers["Content-Type"] = "application/json"
    content = msgspec.json.encode(wish)
    reply = await _asked(door, {"url": door.url + path, "headers": headers, "content": content})
    if reply.status != 200:
        body = _blotted(door, reply.body.decode("latin-1")).encode("latin-1")
        raise RealtimeException(refused(reply.status, reply.headers, body))
    return reply


def _blotted(door: Door, text: str) -> str:
    """Give a text from outside without what must not be shown."""
    return text if door.key is None else text.replace(door.key.reveal(), "***")


async def _asked(door: Door, request: dict[str, Any]) -> _Reply:
    http = _library()
    try:
        with anyio.fail_after(_SECONDS):
            async with (
                http.AsyncClient(
                    verify=door.ssl or ssl.create_default_context(),
                    proxy=door.proxy.reveal() if door.proxy is not None else None,
                    trust_env=False,
                    follow_redirects=False,
                    timeout=None,
                ) as client,
                client.stream("POST", **request) as response,
            ):
                body = await _read(response, http.HTTPError)
                return _Reply(response.status_code, dict(response.headers), body)
    except TimeoutError:
        raise RealtimeException(
            TimedOut(
                what=f"{door.service.name} has not answered for {_SECONDS:.0f} seconds.",
                cause="trouble at the provider, or on the way to it",
                fix="Try again.",
            )
        ) from None
    except (http.HTTPError, http.InvalidURL, http.StreamError, OSError) as problem:
        # Its request holds the key: it must not be seen behind the error.
        said = _blotted(door, str(problem)) or type(problem).__name__
    raise RealtimeException(
        Unavailable(
            what=f"{door.service.name} could not be asked: {said}.",
            cause="the network, the address, or a certificate",
            fix="Check the network and the address.",
        )
    )


async def _read(response: httpx2.Response, broken: type[Exception]) -> bytes:
    body = bytearray()
    try:
        async for piece in response.aiter_raw():
            body += piece
            if len(body) > _LONGEST:
                await response.aclose()  # the stream then ends by itself, as its generators must
    except broken:
        if len(body) <= _LONGEST:
            raise
    if len(body) > _LONGEST:
        raise RealtimeException(_malformed(f"The answer is longer than {_LONGEST} bytes."))
    return bytes(body)


def _malformed(what: str) -> ProtocolViolation:
    return ProtocolViolation(
        what=what,
        cause="an address where something else answers",
        fix="Look at the address.",
    )


def _library() -> Any:  # noqa: ANN401 - the module, which only this extra brings
    try:
        import httpx2  # noqa: PLC0415 - only this call needs it
    except ImportError:
        raise RealtimeException(
            InvalidRequest(
                what="Ephemeral tokens need httpx2, which is not installed.",
                cause="the extra `gemini` is not installed",
                fix="Type: pip install 'realtime-core[gemini]'",
            )
        ) from None
    return httpx2
