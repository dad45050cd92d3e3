"""Calls: what is asked of a service over HTTP, a request each, and nothing kept between them.

Redirects are never followed, answers are bounded, and no proxy or password is taken from the
environment. Any failure raises `RealtimeException`; cancelling closes the connection.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

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
from realtime_core.plan import Plan, options_of

from .codec import agree
from .endpoint import Door
from .options import Options
from .refusal import refused

if TYPE_CHECKING:
    import httpx2

__all__ = ("Answer", "ClientSecret", "answer_offer", "hang_up", "mint")

_SECONDS = 30.0
_LONGEST = 1 << 20
"""Bytes of an answer."""
_CALL_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")


class ClientSecret(msgspec.Struct, frozen=True):
    """A key for one session, which can be handed to a browser; it serves as `api_key` too."""

    value: Secret
    expires_at: int
    """Unix time, in seconds."""


class Answer(msgspec.Struct, frozen=True):
    """A call that was taken."""

    sdp: str
    call_id: str = ""
    """Names the call, to join it or to hang up; empty where the service did not tell."""


class _Minted(msgspec.Struct):
    value: str
    expires_at: int


class _Reply(msgspec.Struct):
    status: int
    headers: Mapping[str, str]
    body: bytes


async def mint(
    door: Door, config: SessionConfig | None = None, *, seconds: int = 600
) -> ClientSecret:
    """Ask for a client secret for a session as configured, good for `seconds`."""
    agreed = agree(door.service.dialect.capabilities, config or SessionConfig())
    if isinstance(agreed, Failure):
        raise RealtimeException(agreed.failure())
    return await _minted(door, agreed.unwrap(), seconds)


async def answer_offer(door: Door, plan: Plan, offer: str) -> Answer:
    """Offer a WebRTC call (SDP) and give what the service answers."""
    _check_calls(door)
    raw = door.ephemeral
    if not raw and door.service.calls == "secret":
        minted = await _minted(door, plan, 60)
        door, raw = replace(door, key=minted.value, bearer=True), True
    form: dict[str, Any]
    if raw:
        form = {"content": offer.encode(), "headers": {"Content-Type": "application/sdp"}}
    else:
        session = msgspec.json.encode(_session(door, plan))
        form = {
            "files": {
                "sdp": (None, offer.encode(), "application/sdp"),
                "session": (None, session, "application/json"),
            }
        }
    reply = await _post(door, "/calls", form, accept="application/sdp")
    try:
        sdp = reply.body.decode()
    except UnicodeDecodeError as problem:
        raise RealtimeException(_malformed("The answer to a call is no text.")) from problem
    call_id = reply.headers.get("location", "").rpartition("/")[2]
    return Answer(sdp, call_id if _CALL_ID.fullmatch(call_id) else "")


async def hang_up(door: Door, call_id: str) -> None:
    """End a call."""
    _check_calls(door)
    if not _CALL_ID.fullmatch(call_id):
        raise RealtimeException(
            InvalidRequest(
                what=f"There is no call {call_id!r}.",
                cause="a call's id has letters, digits, `_` and `-` only",
                fix="Give the id as the answer to the offer told it.",
            )
        )
    await _post(door, f"/calls/{call_id}/hangup", {})


# --- what is sent -----------------------------------------------------------------------------


async def _minted(door: Door, plan: Plan, seconds: int) -> ClientSecret:
    _check_calls(door)
    wish: dict[str, Any] = {"session": _session(door, plan)}
    if door.service.expires:
        wish["expires_after"] = {"anchor": "created_at", "seconds": seconds}
    form = {
        "content": msgspec.json.encode(wish),
        "headers": {"Content-Type": "application/json"},
    }
    reply = await _post(door, "/client_secrets", form)
    try:
        made = msgspec.json.decode(reply.body, type=_Minted)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise RealtimeException(_malformed("The answer holds no client secret.")) from None
    return ClientSecret(Secret(made.value), made.expires_at)


def _session(door: Door, plan: Plan) -> dict[str, Any]:
    options = options_of(plan.config, Options).value_or(Options())
    session = door.service.dialect.session(plan, options)
    if options.purpose == "transcription":
        return session
    return {"model": door.model_of(plan.config), **session}


def _check_calls(door: Door) -> None:
    if door.service.calls is None:
        raise RealtimeException(
            Unsupported(
                what=f"{door.service.name} offers neither calls nor client secrets.",
                cause="this provider lacks WebRTC, or this library does not know how it does it",
                fix="Leave out `transport`, for a WebSocket; or choose another provider.",
                field="transport",
            )
        )


# --- the request ------------------------------------------------------------------------------


async def _post(
    door: Door, path: str, form: dict[str, Any], *, accept: str = "application/json"
) -> _Reply:
    """Send one request; give the answer where it is a yes."""
    headers = {"Accept": accept, "Accept-Encoding": "identity", **form.pop("headers", {})}
    for name, value in door.shown.items():
        headers[name] = value.reveal() if isinstance(value, Secret) else value
    reply = await _asked(door, {"url": door.url + path, "headers": headers, **form})
    if reply.status not in {200, 201, 204}:
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
        import httpx2  # noqa: PLC0415 - only these calls need it
    except ImportError:
        raise RealtimeException(
            InvalidRequest(
                what="Calls and client secrets need httpx2, which is not installed.",
                cause="the extra `openai` is not installed",
                fix="Type: pip install 'realtime-core[openai]'",
            )
        ) from None
    return httpx2
