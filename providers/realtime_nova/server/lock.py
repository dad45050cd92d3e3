"""The lock: who is let in, and whether every event that comes is the client's own.

Pure. The request is checked as AWS checks it (address, time, key, signature), and each event by its
signature, which holds the one before it: what was changed, left out or moved is found.
"""

from __future__ import annotations

import hmac
import re
from calendar import timegm
from collections.abc import Mapping
from email.utils import formatdate
from time import strptime
from urllib.parse import unquote

import msgspec
from returns.result import Failure, Result, Success

from realtime_core.transports.http2_server import Request

from ..chunks import event
from ..framing import Message, Reader, Timestamp, encode_headers
from ..signing import EVENTS, Chain, Scope, canonical, chunk_signature, request_signature

__all__ = ("Farewell", "Mistake", "Unsealed", "admitted", "farewell", "model_of")

SKEW = 300
"""Seconds by which a client's clock may be wrong."""
_PATH = re.compile(r"/model/([^/?]+)/invoke-with-bidirectional-stream")
_PROOF = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/,\s]+)/([^,\s]+),\s*"
    r"SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]{64})"
)
_SIGNED = {"host", "x-amz-content-sha256", "x-amz-date"}
_STREAM = "application/vnd.amazon.eventstream"
_WRONG = (
    "The request signature we calculated does not match the signature you provided. Check your"
    " AWS Secret Access Key and signing method. Consult the service documentation for details."
)


class Farewell(msgspec.Struct, frozen=True, kw_only=True):
    """Why the service ends a stream, or does not let it begin."""

    status: int = 0
    """Of HTTP; 0 where the stream has begun."""
    name: str
    message: str = ""
    headers: Mapping[str, str] = {}

    @property
    def body(self) -> bytes:
        """What stands in the answer, or in the message of the exception."""
        return msgspec.json.encode({"message": self.message})

    @property
    def head(self) -> dict[str, str]:
        """The headers of an answer that is a refusal."""
        return {
            "content-type": "application/json",
            "x-amzn-errortype": self.name,
            **self.headers,
        }


def farewell(reason: str) -> Farewell:
    """Read one that was written as JSON."""
    return msgspec.json.decode(reason, type=Farewell)


def model_of(request: Request) -> str:
    """Give the model that is asked for; "" where there is none in the path."""
    found = _PATH.fullmatch(request.path)
    return unquote(found[1]) if found is not None else ""


def admitted(scope: Scope, request: Request, at: float) -> Result[Chain, Farewell]:
    """Let a request in, with what its first event is signed upon; or say why not.

    `at` is the service's time, in seconds of Unix time.
    """
    headers = request.headers
    if request.method != "POST" or not model_of(request):
        return _no("UnknownOperationException", "There is no such operation.", at, 404)
    if headers.get("content-type") != _STREAM:
        return _no("ValidationException", f"The body of the request is no {_STREAM}.", at, 400)
    proof = _PROOF.fullmatch(headers.get("authorization", ""))
    if proof is None:
        return _no("MissingAuthenticationTokenException", "Missing Authentication Token", at)
    key, named, list, signature = proof.groups()
    names = list.split(";")
    mine = {name for name in headers if name.startswith("x-amz-")}
    if names != sorted(set(names)) or not (_SIGNED | mine) <= set(names) <= set(headers):
        return _no("IncompleteSignatureException", "Headers are missing in SignedHeaders.", at)
    signed = _moment(headers["x-amz-date"])
    if signed is None or headers["x-amz-content-sha256"] != EVENTS:
        return _no("IncompleteSignatureException", "Date or content hash cannot be one.", at)
    if abs(signed - at) > SKEW:
        late = "expired" if signed < at else "not yet current"
        return _no("InvalidSignatureException", f"Signature {late}: {headers['x-amz-date']}", at)
    keys = scope.credentials
    token = keys.session_token.reveal() if keys.session_token is not None else ""
    if key != keys.access_key.reveal() or headers.get("x-amz-security-token", "") != token:
        about = "The security token included in the request is invalid."
        return _no("UnrecognizedClientException", about, at)
    if named != scope.named(signed):
        return _no("InvalidSignatureException", f"Credential should be scoped to {named}.", at)
    asked = canonical("POST", request.path, "", {name: headers[name] for name in names}, EVENTS)
    if not hmac.compare_digest(request_signature(scope, asked, signed), signature):
        return _no("InvalidSignatureException", _WRONG, at)
    return Success(Chain(scope, signature))


def _moment(stamp: str) -> int | None:
    try:
        return timegm(strptime(stamp, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        return None


def _no(name: str, message: str, at: float, status: int = 403) -> Failure[Farewell]:
    date = {"date": formatdate(at, usegmt=True)}
    return Failure(Farewell(status=status, name=name, message=message, headers=date))


class Mistake(Exception):  # noqa: N818 - the client's
    """What came is not what a client may send."""


class Unsealed:
    """Events out of the bytes of a body, as long as they are signed and in order."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._reader = Reader()
        self.ended = False
        """The empty event came, behind which nothing comes."""

    def feed(self, data: bytes, at: float) -> tuple[bytes, ...]:
        """Take bytes, and give the JSON of the events they complete; raises `Mistake`."""
        events = [self._open(message, at) for message in self._reader.feed(data)]
        self._check()
        return tuple(one for one in events if one is not None)

    def end(self) -> None:
        """Tell that the body is over; raises `Mistake` where it is not complete."""
        self._reader.end()
        self._check()
        if not self.ended:
            raise Mistake("The body ended without the signed empty event.")

    def _check(self) -> None:
        if self._reader.fault is not None:
            raise Mistake(f"The body is no event stream: {self._reader.fault.cause}.")

    def _open(self, message: Message, at: float) -> bytes | None:
        date, signature = message.headers.get(":date"), message.headers.get(":chunk-signature")
        if self.ended:
            raise Mistake("Something comes behind the empty event.")
        if set(message.headers) != {":date", ":chunk-signature"}:
            raise Mistake("An event is signed with `:date` and `:chunk-signature` around it.")
        if not isinstance(date, Timestamp) or not isinstance(signature, bytes):
            raise Mistake("`:date` is a timestamp, and `:chunk-signature` bytes.")
        if abs(date.ms / 1_000 - at) > SKEW:
            raise Mistake("The signature of an event is of another time.")
        dated = encode_headers({":date": date})
        right = chunk_signature(self._chain, dated, message.payload, date.ms // 1_000)
        if not hmac.compare_digest(right, signature):
            raise Mistake("The signature of an event does not fit it, or what came before.")
        self._chain = self._chain._replace(signature=signature.hex())
        if not message.payload:
            self.ended = True
            return None
        return _inner(message.payload)


def _inner(payload: bytes) -> bytes:
    reader = Reader()
    inner = reader.feed(payload)
    reader.end()
    if len(inner) != 1 or reader.fault is not None:
        raise Mistake("In a signed event there is one message.")
    (message,) = inner
    kinds = message.text(":message-type"), message.text(":event-type")
    found = event(message) if kinds == ("event", "chunk") else None
    if found is None or message.text(":content-type") != "application/json":
        raise Mistake("The message in a signed event is a chunk of JSON.")
    return found
