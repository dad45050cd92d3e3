"""Signatures, against botocore's signer and the vectors that AWS and its SDKs publish."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime
from hashlib import sha256

import pytest
from botocore import auth  # type: ignore[import-untyped]
from botocore.auth import SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials as Theirs  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.config import Secret
from realtime_nova.framing import Reader, Timestamp, encode, encode_headers
from realtime_nova.signing import (
    EVENTS,
    OVERHEAD,
    Chain,
    Credentials,
    Scope,
    canonical,
    chunk_signature,
    request_signature,
    sign_chunk,
    sign_request,
)

EMPTY = sha256(b"").hexdigest()
AT = int(datetime(2015, 8, 30, 12, 36, tzinfo=UTC).timestamp())
KEYS = Credentials(Secret("AKIDEXAMPLE"), Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"))
SUITE = Scope(KEYS, "us-east-1", "service")
BASE = {"host": "example.amazonaws.com", "x-amz-date": "20150830T123600Z"}
FORM = b"Param1=value1"


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "body", "expected"),
    [
        (
            "GET",
            "/",
            "",
            {},
            b"",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            "POST",
            "/",
            "",
            {},
            b"",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        ),
        (
            "GET",
            "/\u1234",
            "",
            {},
            b"",
            "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
        ),
        (
            "GET",
            "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
            "",
            {},
            b"",
            "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
        ),
        (
            "GET",
            "/",
            "Param1=value1&Param2=value2",
            {},
            b"",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            "POST",
            "/",
            "",
            {"my-header1": "VALUE1"},
            b"",
            "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
        ),
        (
            "GET",
            "/",
            "",
            {"my-header1": "  value1", "my-header2": ' "a   b   c"'},
            b"",
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
        ),
        (
            "POST",
            "/",
            "",
            {"content-type": "application/x-www-form-urlencoded"},
            FORM,
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
    ],
)
def test_suite(
    method: str, path: str, query: str, headers: dict[str, str], body: bytes, expected: str
) -> None:
    """The test suite that AWS publishes for version 4."""
    asked = canonical(method, path, query, {**BASE, **headers}, sha256(body).hexdigest())
    assert request_signature(SUITE, asked, AT) == expected


NAMES = st.sampled_from(["accept", "content-type"]) | st.from_regex(
    r"x-k[a-z0-9-]{0,20}", fullmatch=True
)
TEXTS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30)
PATHS = st.from_regex(r"(/[A-Za-z0-9%3A._~:!$&'()*+,;=@-]{1,12}){1,4}", fullmatch=True).filter(
    lambda path: not any(part in {".", ".."} for part in path.split("/"))
)


@given(
    st.tuples(TEXTS, TEXTS, st.none() | TEXTS),
    st.dictionaries(NAMES, TEXTS, max_size=4),
    PATHS,
    st.integers(0, 4_000_000_000),
)
def test_botocore_signs_the_same(
    keys: tuple[str, str, str | None], headers: dict[str, str], path: str, at: int
) -> None:
    access, secret, token = keys
    ours = Credentials(Secret(access), Secret(secret), None if token is None else Secret(token))
    host = "bedrock-runtime.eu-north-1.amazonaws.com"
    sent, chain = sign_request(
        Scope(ours, "eu-north-1"), "POST", path, {**headers, "host": host}, at
    )
    request = AWSRequest(
        "POST", f"https://{host}{path}", {**headers, "X-Amz-Content-SHA256": EVENTS}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auth, "get_current_datetime", lambda: datetime.fromtimestamp(at, UTC))
        SigV4Auth(Theirs(access, secret, token), "bedrock", "eu-north-1").add_auth(request)
    shown = {
        name: text.reveal() if isinstance(text, Secret) else text for name, text in sent.items()
    }
    theirs = {name.lower(): text for name, text in request.headers.items()}
    assert shown == theirs
    assert theirs["authorization"].endswith(f"Signature={chain.signature}")


# --- events -----------------------------------------------------------------------------------


def test_chain_of_the_go_sdk() -> None:
    keys = Credentials(Secret("AKID"), Secret("SECRET"))
    chain = Chain(Scope(keys, "us-east-1", "transcribestreaming"), b"foobarbazqux".hex())
    for text, at, expected in (
        (b"foo", 10, "e3a136405ec1152f62136742efd41f8639cd647a1cf21fab12aedb22cccd8999"),
        (b"bar", 20, "92a6ad677e839d3003672cb2cefc71ef80d42e8cb300fefce0807e8398c74068"),
        (b"baz", 30, "46d6660bd40f2ff5d6246a347895cabe7f4e89d9e1f4c6dad6dabdc801923be1"),
        (b"", 30, "492bcb3e21de447c85f8a9bef6c0eb833e992e405b9b3584be84edaccc5aad18"),
    ):
        signature = chunk_signature(chain, text, text, at).hex()
        assert signature == expected
        chain = Chain(chain.scope, signature)


def test_event_of_the_swift_and_rust_sdks() -> None:
    keys = Credentials(Secret("fake access key"), Secret("fake secret key"))
    payload = encode({"some-header": "value"}, b"test payload")
    assert sha256(payload).hexdigest() == (
        "f2eba0f2e95967ee9fbc6db5e678d2fd599229c0d04b11e4fc8e0f2a02a806c6"
    )
    dated = encode_headers({":date": Timestamp(123_456_789_000)})
    assert sha256(dated).hexdigest() == (
        "0c0e3b3bf66b59b976181bd7d401927bbd624107303c713fd1e5f3d3c8dd1b1e"
    )
    prior = sha256(b"last message sts").hexdigest()
    chain = Chain(Scope(keys, "us-east-1", "testservice"), prior)
    framed, after = sign_chunk(chain, payload, 123_456_789)
    assert after.signature == "1ea04a4f6becd85ae3e38e379ffaf4bb95042603f209512476cc6416868b31ee"
    (message,) = Reader().feed(framed)
    assert message.headers == {
        ":date": Timestamp(123_456_789_000),
        ":chunk-signature": bytes.fromhex(after.signature),
    }
    assert message.payload == payload


def by_hand(scope: Scope, prior: str, payload: bytes, at: int) -> str:
    """Sign an event as the documents say, step by step."""
    moment = datetime.fromtimestamp(at, UTC)
    day = f"{moment:%Y%m%d}"
    key = b"AWS4" + scope.credentials.secret_key.reveal().encode()
    for part in (day, scope.region, scope.service, "aws4_request"):
        key = hmac.new(key, part.encode(), sha256).digest()
    dated = b"\x05:date\x08" + (at * 1000).to_bytes(8, "big", signed=True)
    text = (
        f"AWS4-HMAC-SHA256-PAYLOAD\n{moment:%Y%m%dT%H%M%SZ}\n"
        f"{day}/{scope.region}/{scope.service}/aws4_request\n{prior}\n"
        f"{sha256(dated).hexdigest()}\n{sha256(payload).hexdigest()}"
    )
    return hmac.new(key, text.encode(), sha256).hexdigest()


@given(
    st.lists(st.tuples(st.binary(max_size=200), st.integers(0, 100_000)), max_size=6),
    st.integers(0, 4_000_000_000),
)
def test_each_event_signs_the_one_before(events: list[tuple[bytes, int]], at: int) -> None:
    """Over midnight too: the key is that of the day of the event."""
    scope = Scope(KEYS, "us-east-1")
    _, chain = sign_request(scope, "POST", "/model/x", {"host": "h"}, at)
    for payload, later in events:
        prior, at = chain.signature, at + later
        framed, chain = sign_chunk(chain, payload, at)
        assert chain.signature == by_hand(scope, prior, payload, at)
        assert len(framed) == len(payload) + OVERHEAD


def test_no_secret_shows() -> None:
    keys = Credentials(Secret("AKID-X"), Secret("SECRET-X"), Secret("TOKEN-X"))
    sent, chain = sign_request(Scope(keys, "us-east-1"), "POST", "/", {"host": "h"}, AT)
    shown = repr((sent, chain, keys))
    assert not any(secret in shown for secret in ("AKID-X", "SECRET-X", "TOKEN-X"))
    assert isinstance(sent["authorization"], Secret)
    assert isinstance(sent["x-amz-security-token"], Secret)
    assert "host" not in sent
