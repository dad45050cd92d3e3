"""The provider: what it agrees to per model, what it needs, and what it tells nobody."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import msgspec
import pytest
from anyio.lowlevel import checkpoint
from returns.result import Failure

from realtime_core import open_session
from realtime_core import provider as registry
from realtime_core.cli import app
from realtime_core.config import Secret, SessionConfig
from realtime_core.errors import AuthFailed, InvalidRequest, RealtimeError, RealtimeException
from realtime_core.events import Connected
from realtime_core.frames import Frame
from realtime_core.provider import Provider, resolve
from realtime_core.schedule import RECONNECT
from realtime_core.transports.http2_server import Served, serve
from realtime_nova import Credentials, nova
from realtime_nova import credentials as module
from realtime_nova.models import DEFAULT_MODEL, capabilities

from .wires import FIRST, MODELS, SECOND

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[3]
SECRETS = ("AKIDQUITESECRET", "quite-a-s3cret", "quite-a-t0ken", "user:passw0rd")
KEYS = Credentials(*map(Secret, SECRETS[:3]))
PROXY = f"http://{SECRETS[3]}@127.0.0.1:1"


def entries() -> dict[str, EntryPoint]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["entry-points"][registry.GROUP]
    return {name: EntryPoint(name, value, registry.GROUP) for name, value in lines.items()}


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Give a machine on which nothing of AWS is set up, and this tree's own providers."""
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(registry, "installed", entries)


async def opened(provider: Provider[Frame], **settings: Any) -> Connected:
    async with open_session(provider, **settings) as session:
        async for event in session.events():
            assert isinstance(event, Connected)
            return event
    raise AssertionError


async def failed(provider: Provider[Frame]) -> RealtimeError:
    with pytest.raises(RealtimeException) as caught:
        await opened(provider)
    error = caught.value.error
    told = f"{caught.value!r} {caught.value} {error!r}"
    assert not any(secret in told for secret in SECRETS)
    assert error.cause
    assert error.fix
    return error


class Visit:
    """What clients asked for."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.paths = list[str]()
        self.proofs = list[str]()

    async def take(self, served: Served) -> None:
        self.paths.append(served.request.path)
        self.proofs.append(served.request.headers["authorization"])
        served.respond(self.status)
        if self.status == 200:
            while True:
                await served.receive()


# --- what is installed ------------------------------------------------------------------------


def test_it_is_made_without_a_key() -> None:
    provider = resolve("nova").unwrap()
    assert provider.name == provider.capabilities.provider == "nova"
    assert provider.defaults.model == DEFAULT_MODEL
    assert provider.defaults.retry is RECONNECT
    assert provider.capabilities.session_seconds == 480
    assert resolve(f"nova:{FIRST}").unwrap().defaults.model == FIRST, "names have colons in them"


def test_it_is_listed_with_its_variables(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["providers", "--json"]) == 0
    listed = {one["name"]: one for one in msgspec.json.decode(capsys.readouterr().out)}["nova"]
    assert listed["error"] is None
    assert listed["capabilities"]["session_seconds"] == 480
    assert listed["variables"] == ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"]
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRETS[1])
    assert app.run(["doctor"]) == 0
    told = capsys.readouterr().out
    assert SECRETS[1] not in told
    assert ["ok", "key", "AWS_SECRET_ACCESS_KEY", "set,", "for", "nova"] in [
        line.split() for line in told.splitlines()
    ]


WITHOUT = """
import sys
for name in ("h2", "hpack", "hyperframe", "botocore", "urllib3"):
    sys.modules[name] = None
import realtime_nova
from realtime_core import open_session
from realtime_core.config import Secret
from realtime_core.errors import RealtimeException
import anyio
keys = realtime_nova.Credentials(Secret("a"), Secret("b"))
async def tell(**given):
    try:
        async with open_session(realtime_nova.nova(base_url="http://127.0.0.1:1", **given)):
            pass
    except RealtimeException as caught:
        print(type(caught.error).__name__, caught.error.what, caught.error.fix)
assert realtime_nova.nova().capabilities.tools
anyio.run(lambda: tell(region="us-east-1", credentials=keys))
del sys.modules["h2"], sys.modules["hpack"], sys.modules["hyperframe"]
anyio.run(lambda: tell(region="us-east-1"))
"""


def test_without_the_extra_it_is_made_and_says_what_is_missing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((".", "providers"))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    fix = "Type: pip install 'realtime-core[aws]'"
    assert first == f"InvalidRequest Reaching Bedrock needs h2, which is not installed. {fix}"
    assert second == (
        f"InvalidRequest Finding AWS credentials needs botocore, which is not installed. {fix}"
    )


def test_no_repr_holds_a_secret() -> None:
    provider = nova(region="us-east-1", credentials=KEYS, proxy=PROXY)
    for one in (provider, provider.dial, provider.agree, provider.codec, KEYS):
        assert not any(secret in f"{one!r} {one}" for secret in SECRETS)


# --- agreement --------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_what_it_can_do_depends_on_the_model(model: str) -> None:
    provider = nova(model)
    assert provider.capabilities == capabilities(model)
    assert provider.capabilities.text_in == (model != FIRST)
    plan = provider.agree(provider.capabilities, provider.defaults).unwrap()
    assert plan.config.model == model
    assert plan.capabilities.models[0].name == model
    assert not plan.warnings


def test_the_sessions_model_goes_before_the_providers() -> None:
    provider = nova(FIRST)
    plan = provider.agree(provider.capabilities, SessionConfig(model=SECOND)).unwrap()
    assert plan.capabilities == capabilities(SECOND)
    plan = provider.agree(provider.capabilities, SessionConfig()).unwrap()
    assert plan.config.model == FIRST


def test_a_wish_that_cannot_be_is_refused() -> None:
    provider = nova()
    refused = provider.agree(provider.capabilities, SessionConfig(options={"tpo_p": 1}))
    assert isinstance(refused, Failure)
    assert refused.failure().field == "options"


# --- over a socket ----------------------------------------------------------------------------


async def test_without_credentials_nothing_is_dialled() -> None:
    assert isinstance(await failed(nova(region="us-east-1")), AuthFailed)
    assert isinstance(await failed(nova(credentials=KEYS)), InvalidRequest)
    error = await failed(nova(region="us-east-1", profile="none"))
    assert isinstance(error, InvalidRequest)
    assert "list-profiles" in error.fix


@pytest.mark.parametrize("address", ["ws://h", "h", f"http://{SECRETS[3]}@h", "http://h h"])
async def test_an_address_that_is_none_is_refused(address: str) -> None:
    provider = nova(region="us-east-1", credentials=KEYS, base_url=address)
    assert isinstance(await failed(provider), InvalidRequest)


async def test_a_session_opens_with_keys_region_and_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given here, or by the environment; asked anew for each connection."""
    visit, asked = Visit(), list[int]()

    async def keys() -> Credentials:
        await checkpoint()
        asked.append(1)
        return Credentials(Secret(f"AKID{len(asked)}"), Secret("s"))

    async with serve(visit.take) as (host, port):
        provider = nova(
            FIRST, region="eu-north-1", credentials=keys, base_url=f"http://{host}:{port}"
        )
        connected = await opened(provider)
        await opened(provider, config=SessionConfig(model=SECOND))
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRETS[1])
        monkeypatch.setenv("AWS_REGION", "us-west-2")
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", f"http://{host}:{port}/")
        await opened(nova())
    assert connected.config.model == FIRST
    assert visit.paths == [
        f"/model/{model.replace(':', '%3A')}/invoke-with-bidirectional-stream"
        for model in (FIRST, SECOND, DEFAULT_MODEL)
    ]
    for proof, key, region in zip(
        visit.proofs,
        ("AKID1", "AKID2", "AKIDENV"),
        ("eu-north-1", "eu-north-1", "us-west-2"),
        strict=True,
    ):
        assert f"Credential={key}/" in proof
        assert f"/{region}/bedrock/aws4_request" in proof


async def test_one_profile_serves_all_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps what expires; another provider has its own."""
    made = list[module.Profile]()

    async def ask(self: module.Profile, *, keys: bool = True) -> module.Found:
        made.append(self)
        return module.Found(KEYS, "us-east-1")

    monkeypatch.setattr(module.Profile, "ask", ask)
    visit = Visit()
    async with serve(visit.take) as (host, port):
        one, other = (nova(base_url=f"http://{host}:{port}") for _ in range(2))
        for provider in (one, one, other):
            await opened(provider)
    assert made[0] is made[1] is not made[2]


async def test_a_refusal_is_a_typed_error() -> None:
    visit = Visit(403)
    async with serve(visit.take) as (host, port):
        error = await failed(
            nova(region="us-east-1", credentials=KEYS, base_url=f"http://{host}:{port}")
        )
    assert isinstance(error, AuthFailed)
    assert len(visit.paths) == 1, "it is not tried again"
