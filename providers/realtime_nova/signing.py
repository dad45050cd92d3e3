"""Signatures of AWS, version 4: of a request, then of each event, chained to the one before.

Pure functions of key, time and bytes. Nothing leaves here unsigned; the secret key is revealed to
the hash alone.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import sha256
from time import gmtime, strftime
from typing import NamedTuple
from urllib.parse import quote

import msgspec

from realtime_core.config import Secret

from .framing import Timestamp, encode, encode_headers

__all__ = (
    "EVENTS",
    "OVERHEAD",
    "Chain",
    "Credentials",
    "Scope",
    "canonical",
    "chunk_signature",
    "request_signature",
    "sign_chunk",
    "sign_request",
)

EVENTS = "STREAMING-AWS4-HMAC-SHA256-EVENTS"
"""Stands for the hash of a body whose events are signed one by one."""
OVERHEAD = len(encode({":date": Timestamp(0), ":chunk-signature": bytes(32)}, b""))
"""Bytes that signing adds to an event."""
_ALGORITHM = "AWS4-HMAC-SHA256"
_CHUNKS = "AWS4-HMAC-SHA256-PAYLOAD"
_SIGNATURE = encode_headers({":chunk-signature": bytes(32)})[:-32]


class Credentials(msgspec.Struct, frozen=True):
    """What proves to AWS who asks."""

    access_key: Secret
    """Names the key."""
    secret_key: Secret
    session_token: Secret | None = None
    """Sent with keys that expire."""


class Scope(msgspec.Struct, frozen=True):
    """Who signs, and what the signature is good for."""

    credentials: Credentials
    region: str
    service: str = "bedrock"

    def named(self, at: int) -> str:
        """Give the scope as it is signed, on the day of `at` (seconds of Unix time)."""
        return f"{_day(at)}/{self.region}/{self.service}/aws4_request"

    def key(self, at: int) -> bytes:
        """Derive the day's key."""
        key = b"AWS4" + self.credentials.secret_key.reveal().encode()
        for part in (_day(at), self.region, self.service, "aws4_request"):
            key = _hash(key, part)
        return key


class _Second(NamedTuple):
    """What the events of one second have in common; its key shows in no repr."""

    at: int
    dated: bytes
    """The header that says when."""
    head: str
    """How what is signed begins."""
    key: hmac.HMAC


class Chain(NamedTuple):
    """Where a stream of signed events stands."""

    scope: Scope
    signature: str
    """Of the request, or of the last event, in hexadecimal digits."""
    second: _Second | None = None
    """That of the last event: deriving it costs more than the rest of a signature."""


def sign_request(
    scope: Scope, method: str, path: str, headers: Mapping[str, str], at: int
) -> tuple[dict[str, str | Secret], Chain]:
    """Sign a request whose events are signed too.

    `headers` have names in small letters, `host` among them, and `path` is as it is sent, with what
    is special in it escaped; `at` is in seconds of Unix time. Gives the headers to send, `host`
    left out, and the beginning of the chain.
    """
    token = scope.credentials.session_token
    signed = {**headers, "x-amz-content-sha256": EVENTS, "x-amz-date": _stamp(at)}
    if token is not None:
        signed["x-amz-security-token"] = token.reveal()
    asked = canonical(method, path, "", signed, EVENTS)
    signature = request_signature(scope, asked, at)
    proof = (
        f"{_ALGORITHM} Credential={scope.credentials.access_key.reveal()}/{scope.named(at)}, "
        f"SignedHeaders={';'.join(sorted(signed))}, Signature={signature}"
    )
    sent: dict[str, str | Secret] = {**signed, "authorization": Secret(proof)}
    if token is not None:
        sent["x-amz-security-token"] = token
    del sent["host"]
    return sent, Chain(scope, signature)


def canonical(method: str, path: str, query: str, headers: Mapping[str, str], body: str) -> str:
    """Give the one form of a request that both ends sign.

    The path is escaped once more, the query is sorted already, and `body` is the hash of the body.
    """
    lines = (f"{name}:{' '.join(headers[name].split())}\n" for name in sorted(headers))
    fields = ("".join(lines), ";".join(sorted(headers)), body)
    return "\n".join((method, quote(path, safe="/~"), query, *fields))


def request_signature(scope: Scope, asked: str, at: int) -> str:
    """Sign a request in its `canonical` form; for who checks one, too."""
    parts = (_ALGORITHM, _stamp(at), scope.named(at), _digest(asked.encode()))
    return _hash(scope.key(at), "\n".join(parts)).hex()


def sign_chunk(chain: Chain, payload: bytes, at: int) -> tuple[bytes, Chain]:
    """Frame and sign an event; an empty payload is the last. `at` is in seconds of Unix time."""
    second = _second(chain, at)
    signature = _chunk_signature(second, chain.signature, second.dated, payload)
    framed = encode(b"".join((second.dated, _SIGNATURE, signature)), payload)
    return framed, Chain(chain.scope, signature.hex(), second)


def chunk_signature(chain: Chain, headers: bytes, payload: bytes, at: int) -> bytes:
    """Sign an event with these headers; for who checks one, too."""
    return _chunk_signature(_second(chain, at), chain.signature, headers, payload)


def _second(chain: Chain, at: int) -> _Second:
    if chain.second is not None and chain.second.at == at:
        return chain.second
    scope = chain.scope
    dated = encode_headers({":date": Timestamp(1_000 * at)})
    head = "\n".join((_CHUNKS, _stamp(at), scope.named(at)))
    return _Second(at, dated, head, hmac.new(scope.key(at), digestmod=sha256))


def _chunk_signature(second: _Second, prior: str, headers: bytes, payload: bytes) -> bytes:
    seal = second.key.copy()
    seal.update("\n".join((second.head, prior, _digest(headers), _digest(payload))).encode())
    return seal.digest()


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()


def _hash(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), sha256)


def _stamp(at: int) -> str:
    return strftime("%Y%m%dT%H%M%SZ", gmtime(at))


def _day(at: int) -> str:
    return strftime("%Y%m%d", gmtime(at))
