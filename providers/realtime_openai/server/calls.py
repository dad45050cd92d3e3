"""Calls: what clients ask over HTTP at the socket's own port, and the calls that come of it.

A client secret binds settings to a key; an offer begins a call, which others may join beside, and
which lasts until one side hangs up. Everything else is left to the socket.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from contextlib import suppress
from email import message_from_bytes, policy
from email.message import Message
from functools import partial
from http import HTTPStatus
from inspect import isawaitable
from secrets import token_urlsafe
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import parse_qs, urlsplit

import anyio
import msgspec
from anyio import CancelScope, current_time
from anyio.abc import TaskGroup, TaskStatus
from returns.result import Failure

from realtime_core.audio.format import PCM_24K
from realtime_core.beside import beside
from realtime_core.config import SessionConfig
from realtime_core.errors import RealtimeException
from realtime_core.frames import Frame
from realtime_core.provider import Provider
from realtime_core.serving import ENDS, Socket
from realtime_core.transports.webrtc import answering
from realtime_core.transports.websocket_server import Judge, Request, Response

from .book import newest
from .bridge import bridge
from .objects import error_of
from .parties import Parties
from .schema import Complaint, Fields, refusal_of
from .settings import config_of, default_session, unfit
from .speaker import Speaker

__all__ = ("Calls",)

_PATH = re.compile(r".*/realtime/(client_secrets|calls(?:/(?P<call>[\w-]{1,200})/hangup)?)")
_EPHEMERAL = "ek_"
_SECRETS = 1_000
"""Client secrets that are remembered."""
_PATIENCE = 30.0
"""Seconds in which a call that was answered has to stand."""


class _After(msgspec.Struct, frozen=True):
    anchor: Literal["created_at"] = "created_at"
    seconds: Annotated[int, msgspec.Meta(ge=10, le=7_200)] = 600


class _Asked(msgspec.Struct, frozen=True):
    session: Fields = msgspec.field(default_factory=lambda: {"type": "realtime"})
    expires_after: _After = _After()


class _Secret(NamedTuple):
    session: Fields
    until: float
    """On the clock of the loop, which does not jump."""


class _Held(NamedTuple):
    parties: Parties
    scope: CancelScope


class _Refused(Exception):  # noqa: N818 - it tells an answer
    def __init__(self, status: int, **error: Any) -> None:  # noqa: ANN401 - JSON
        super().__init__(status)
        self.answer = _json(status, {"error": {"param": None, "code": None, **error}})


class Calls:
    """The calls and client secrets of one server."""

    def __init__(
        self,
        tasks: TaskGroup,
        provider: Provider[Frame],
        base: SessionConfig,
        judge: Judge | None = None,
    ) -> None:
        """Hold calls in `tasks`; `judge` is asked first."""
        self._tasks = tasks
        self._provider = provider
        self._base = base
        self._judge = judge
        self._secrets: Mapping[str, _Secret] = {}
        self._held: dict[str, _Held] = {}

    async def answer(self, request: Request) -> Response | None:
        """Answer what is asked, unless it is a matter of the socket."""
        if self._judge is not None:
            told = self._judge(request)
            told = await told if isawaitable(told) else told
            if told is not None:
                return told
        try:
            return await self._answered(request)
        except _Refused as refusal:
            return refusal.answer
        except RealtimeException as problem:
            return _json(HTTPStatus.BAD_REQUEST, {"error": error_of(problem.error)})

    async def _answered(self, request: Request) -> Response | None:
        asked = _PATH.fullmatch(urlsplit(request.path).path)
        if request.method == "GET":
            self.bound(request)
            id = _query(request, "call_id")
            if id:
                self._find(id)
            return None
        if request.method != "POST" or asked is None:
            return None
        if asked["call"]:
            self._find(asked["call"]).scope.cancel()
            return Response(HTTPStatus.OK)
        if asked[1] == "client_secrets":
            return self._minted(request)
        return await self._taken(request)

    def _find(self, id: str) -> _Held:
        if id not in self._held:
            message = f"There is no call {id[:200]!r}."
            kind, code = "invalid_request_error", "call_id_not_found"
            raise _Refused(HTTPStatus.NOT_FOUND, type=kind, code=code, message=message)
        return self._held[id]

    # --- client secrets -----------------------------------------------------------------------

    def bound(self, request: Request) -> Fields | None:
        """Give the settings that come with the client secret of a request, if it shows one."""
        kind, _, key = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not key.startswith(_EPHEMERAL):
            return None
        secret = self._secrets.get(key)
        if secret is None or secret.until <= current_time():
            raise _Refused(
                HTTPStatus.UNAUTHORIZED,
                type="authentication_error",
                code="invalid_api_key",
                message="This client secret is not known here, or has expired.",
            )
        return secret.session

    def _minted(self, request: Request) -> Response:
        try:
            asked = msgspec.json.decode(request.body or b"{}", type=_Asked)
        except msgspec.ValidationError as problem:
            raise _wrong(refusal_of(problem)) from problem
        except (msgspec.DecodeError, UnicodeError, RecursionError) as problem:
            raise _wrong(Complaint("invalid_json", "This is no JSON.")) from problem
        given = self._checked(asked.session)
        value = _EPHEMERAL + token_urlsafe(24)
        seconds = asked.expires_after.seconds
        secret = _Secret(given, current_time() + seconds)
        self._secrets = newest({**self._secrets, value: secret}, _SECRETS)
        voice = self._base.voice or next(iter(self._provider.capabilities.voices), "alloy")
        model = self._provider.capabilities.provider
        session = default_session(token_urlsafe(9), model, voice, given)
        return _json(
            HTTPStatus.OK,
            {"value": value, "expires_at": _by_calendar(seconds), "session": session},
        )

    def _checked(self, given: Fields) -> Fields:
        """Give settings that a session can have; raises why it cannot."""
        why = unfit(given)
        if why is not None:
            raise _wrong(why)
        able = self._provider.capabilities
        agreed = self._provider.agree(able, config_of(given, self._base, able))
        if isinstance(agreed, Failure):
            raise RealtimeException(agreed.failure())
        return given

    # --- calls --------------------------------------------------------------------------------

    async def _taken(self, request: Request) -> Response:
        bound = self.bound(request)
        offer, session = _offered(request)
        given = self._checked({"type": "realtime", **(bound or {}), **session})
        id = f"rtc_{token_urlsafe(15)}"
        sdp: str = await self._tasks.start(self._hold, id, offer, given)
        place = f"{urlsplit(request.path).path}/{id}"
        headers = {"Content-Type": "application/sdp", "Location": place}
        return Response(HTTPStatus.CREATED, headers, sdp.encode())

    async def _hold(
        self, id: str, offer: str, given: Fields, *, task_status: TaskStatus[str]
    ) -> None:
        """Hold a call from its answer to its end."""
        with CancelScope() as scope:
            async with answering(offer, PCM_24K) as (sdp, handset, link), beside() as tasks:
                parties = Parties(link)
                self._held[id] = _Held(parties, scope)
                task_status.started(sdp)
                try:
                    with suppress(*ENDS):
                        with anyio.fail_after(_PATIENCE):
                            await handset.standing()
                        tasks.start_soon(parties.listen)
                        speaker = partial(Speaker, handset.voice)
                        model = str(given.get("model", ""))
                        await bridge(
                            parties, self._provider, self._base, model, given, playing=speaker
                        )
                except TimeoutError:
                    return
                finally:
                    del self._held[id]
                    parties.abort()

    async def join(self, socket: Socket, request: Request) -> bool:
        """Let a client take part in the call that it names; False if it names none."""
        held = self._held.get(_query(request, "call_id"))
        if held is not None:
            await held.parties.join(socket)
        return held is not None


def _by_calendar(seconds: float) -> int:
    """Give the Unix time so far from now: for others to know, and for no deadline of ours."""
    return int(time.time() + seconds)


def _offered(request: Request) -> tuple[str, Fields]:
    """Read an offer, and the settings that came along."""
    kind = request.headers.get("content-type", "")
    parts: dict[str, bytes] = {"sdp": request.body}
    if kind.startswith("multipart/form-data"):
        head = f"Content-Type: {kind}\r\n\r\n".encode()
        form = message_from_bytes(head + request.body, policy=policy.HTTP)
        parts = {_part_name(part): _payload(part) for part in form.walk() if _part_name(part)}
    elif not kind.startswith("application/sdp"):
        raise _wrong(Complaint("invalid_content_type", "Send SDP, or a form that holds it."))
    model = _query(request, "model")
    try:
        session = msgspec.json.decode(parts.get("session") or b"{}", type=Fields)
        return parts.get("sdp", b"").decode(), {"model": model, **session} if model else session
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as problem:
        raise _wrong(Complaint("invalid_value", "The form cannot be read.")) from problem


def _part_name(part: Message) -> str:
    return str(part.get_param("name", "", header="content-disposition"))


def _payload(part: Message) -> bytes:
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def _query(request: Request, name: str) -> str:
    return next(iter(parse_qs(urlsplit(request.path).query).get(name, [])), "")


def _wrong(why: Complaint) -> _Refused:
    kind = "invalid_request_error"
    return _Refused(HTTPStatus.BAD_REQUEST, type=kind, **why._asdict())


def _json(status: int, value: Fields) -> Response:
    return Response(status, {"Content-Type": "application/json"}, msgspec.json.encode(value))
