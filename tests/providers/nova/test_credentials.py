"""Credentials as botocore's chain finds them: environment, files, roles, container, instance."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from realtime_core.config import Secret
from realtime_core.errors import (
    AuthFailed,
    InvalidRequest,
    RealtimeError,
    RealtimeException,
    Unavailable,
)
from realtime_nova import credentials as module
from realtime_nova.credentials import Access, Credentials, Door, Profile, reach

pytestmark = pytest.mark.anyio
MODEL = "amazon.nova-sonic-v1:0"
KEYS = Credentials(Secret("AKIDGIVEN"), Secret("given-secret"))


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Give a machine on which nothing of AWS is set up."""
    import os

    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return tmp_path


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def put(**named: str) -> None:
        for name, value in named.items():
            monkeypatch.setenv(f"AWS_{name}", value)

    return put


class Service(ThreadingHTTPServer):
    """Answers what is asked of it by path, and writes down what that was."""

    daemon_threads = True

    def __init__(self) -> None:
        self.asked = list[str]()
        self.answers = dict[str, Callable[[], tuple[str, str]]]()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Service)
        length = int(self.headers.get("content-length", 0))
        self.server.asked.append(f"{self.command} {self.path}")
        self.rfile.read(length)
        kind, body = self.server.answers[f"{self.command} {self.path}"]()
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.send_header("x-aws-ec2-metadata-token-ttl-seconds", "60")
        self.end_headers()
        self.wfile.write(body.encode())

    do_POST = do_PUT = do_GET  # noqa: N815 - the library's names

    def log_message(self, *given: object) -> None:
        return


@pytest.fixture
def service() -> Generator[Service]:
    server = Service()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def temporary(minutes: float, number: int = 1) -> tuple[str, str]:
    until = datetime.now(UTC) + timedelta(minutes=minutes)
    keys = {
        "Code": "Success",
        "AccessKeyId": f"ASIA{number}",
        "SecretAccessKey": "temporary-s3cret",
        "Token": "temporary-t0ken",
        "Expiration": until.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return "application/json", json.dumps(keys)


async def found(profile: Profile | None = None, **given: Any) -> Door:
    access = Access(**{"region": "us-east-1", **given})
    return await reach(access, MODEL, profile or Profile())


async def refusal(profile: Profile | None = None, **given: Any) -> RealtimeError:
    with pytest.raises(RealtimeException) as caught:
        await found(profile, **given)
    assert caught.value.__cause__ is None
    return caught.value.error


def shown(keys: Credentials) -> tuple[str, str, str | None]:
    token = keys.session_token
    return (
        keys.access_key.reveal(),
        keys.secret_key.reveal(),
        None if token is None else token.reveal(),
    )


# --- what is given ----------------------------------------------------------------------------


async def test_what_is_given_is_taken_and_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_library", lambda: pytest.fail("botocore was asked"))

    async def later() -> Credentials:
        await checkpoint()
        return KEYS

    for given in (KEYS, lambda: KEYS, later):
        door = await found(credentials=given, region="eu-north-1")
        assert door.credentials is KEYS
        assert door.url == "https://bedrock-runtime.eu-north-1.amazonaws.com"
        assert (door.region, door.model) == ("eu-north-1", MODEL)
    door = await found(credentials=KEYS, region="cn-north-1")
    assert door.url.endswith(".amazonaws.com.cn")
    assert "given-secret" not in repr(door)
    assert "AKIDGIVEN" not in repr(door)


async def test_the_library_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(module, "import_module", missing)
    error = await refusal()
    assert isinstance(error, InvalidRequest)
    assert "realtime-core[aws]" in error.fix


# --- the chain --------------------------------------------------------------------------------


async def test_the_environment(env: Callable[..., None]) -> None:
    env(ACCESS_KEY_ID="AKIDENV", SECRET_ACCESS_KEY="env-secret")
    profile = Profile()
    assert shown((await found(profile)).credentials) == ("AKIDENV", "env-secret", None)
    env(ACCESS_KEY_ID="AKIDNEW", SECRET_ACCESS_KEY="new-secret", SESSION_TOKEN="t")
    assert shown((await found(profile)).credentials) == ("AKIDNEW", "new-secret", "t")


async def test_files_and_profiles(home: Path, env: Callable[..., None]) -> None:
    text = "[{}]\naws_access_key_id = {}\naws_secret_access_key = file-secret\n"
    (home / "credentials").write_text(text.format("default", "A1") + text.format("other", "A2"))
    (home / "config").write_text(
        "[default]\nregion = eu-west-1\n"
        "[profile other]\nregion = eu-west-2\nendpoint_url = http://all:1\n"
        "[profile third]\nsource_profile = other\nservices = mine\nregion = eu-west-3\n"
        "aws_access_key_id = A3\naws_secret_access_key = file-secret\n"
        "[services mine]\nbedrock_runtime =\n  endpoint_url = http://mine:1\n"
        "[profile odd]\nsource_profile = other\nservices = odd\nregion = eu-west-3\n"
        "aws_access_key_id = A4\naws_secret_access_key = file-secret\n"
        "[services odd]\nbedrock_runtime = http://odd:1\n"
    )
    for name, key, region, url in (
        (None, "A1", "eu-west-1", "https://bedrock-runtime.eu-west-1.amazonaws.com"),
        ("other", "A2", "eu-west-2", "http://all:1"),
        ("third", "A3", "eu-west-3", "http://mine:1"),
        ("odd", "A4", "eu-west-3", "https://bedrock-runtime.eu-west-3.amazonaws.com"),
    ):
        door = await found(Profile(name), region=None)
        assert (door.credentials.access_key.reveal(), door.region, door.url) == (key, region, url)
    env(PROFILE="other")
    assert (await found(region=None)).region == "eu-west-2"
    error = await refusal(Profile("none"))
    assert isinstance(error, InvalidRequest)
    assert "list-profiles" in error.fix


async def test_a_process(home: Path) -> None:
    keys = json.dumps({"Version": 1, "AccessKeyId": "AP", "SecretAccessKey": "process-secret"})
    (home / "keys.json").write_text(keys)
    (home / "config").write_text(f"[default]\ncredential_process = cat {home}/keys.json\n")
    assert (await found()).credentials.access_key.reveal() == "AP"
    (home / "keys.json").unlink()
    error = await refusal()
    assert isinstance(error, Unavailable)
    assert str(home) not in str(error), "what a process says is not handed on"


async def test_the_container(service: Service, env: Callable[..., None]) -> None:
    """What expires is kept, and asked for again well before it does."""
    left = [60.0, 5.0, 60.0]
    service.answers["GET /keys"] = lambda: temporary(left.pop(0), 3 - len(left))
    env(CONTAINER_CREDENTIALS_FULL_URI=f"{service.url}/keys")
    profile = Profile()
    for _ in range(3):
        keys = (await found(profile)).credentials
        assert shown(keys) == ("ASIA1", "temporary-s3cret", "temporary-t0ken")
    assert len(service.asked) == 1
    profile = Profile()
    for number in (2, 3, 3):
        held = await profile.ask()
        assert held.credentials is not None
        assert held.credentials.access_key.reveal() in {f"ASIA{number}", "ASIA3"}
    assert len(service.asked) == 3


async def test_the_instance(
    service: Service, env: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    env(EC2_METADATA_SERVICE_ENDPOINT=service.url)
    where = "/latest/meta-data/iam/security-credentials/"
    service.answers["PUT /latest/api/token"] = lambda: ("text/plain", "t0ken-of-imds")
    service.answers[f"GET {where}"] = lambda: ("text/plain", "role")
    service.answers[f"GET {where}role"] = lambda: temporary(60)
    assert (await found()).credentials.access_key.reveal() == "ASIA1"


async def test_a_role(service: Service, home: Path, env: Callable[..., None]) -> None:
    until = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    service.answers["POST /"] = lambda: (
        "text/xml",
        (
            "<AssumeRoleResponse xmlns='https://sts.amazonaws.com/doc/2011-06-15/'><AssumeRoleResult>"
            "<AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/s</Arn><AssumedRoleId>A:s"
            "</AssumedRoleId></AssumedRoleUser><Credentials><AccessKeyId>ASIAROLE</AccessKeyId>"
            "<SecretAccessKey>temporary-s3cret</SecretAccessKey><SessionToken>temporary-t0ken"
            f"</SessionToken><Expiration>{until}</Expiration></Credentials></AssumeRoleResult>"
            "</AssumeRoleResponse>"
        ),
    )
    (home / "config").write_text(
        "[default]\nregion = us-east-1\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = base\n"
        "[profile base]\naws_access_key_id = AB\naws_secret_access_key = file-secret\n"
    )
    env(ENDPOINT_URL_STS=service.url)
    keys = (await found(region=None)).credentials
    assert shown(keys) == ("ASIAROLE", "temporary-s3cret", "temporary-t0ken")


async def test_a_role_that_nobody_gives(home: Path, env: Callable[..., None]) -> None:
    (home / "config").write_text(
        "[default]\nregion = us-east-1\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = base\n"
        "[profile base]\naws_access_key_id = AB\naws_secret_access_key = file-secret\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    env(ENDPOINT_URL_STS=f"http://127.0.0.1:{port}")
    error = await refusal()
    assert isinstance(error, Unavailable)
    assert error.retryable


async def test_a_sign_in_that_has_expired(home: Path) -> None:
    (home / "config").write_text(
        "[default]\nregion = us-east-1\nsso_session = s\nsso_account_id = 1\nsso_role_name = r\n"
        "[sso-session s]\nsso_region = us-east-1\nsso_start_url = https://example.com/start\n"
        "sso_registration_scopes = sso:account:access\n"
    )
    error = await refusal()
    assert isinstance(error, AuthFailed)
    assert "aws sso login" in error.fix


async def test_nothing_anywhere() -> None:
    error = await refusal()
    assert isinstance(error, AuthFailed)
    assert "AWS_ACCESS_KEY_ID" in error.fix


# --- the rest ---------------------------------------------------------------------------------


async def test_the_region(env: Callable[..., None]) -> None:
    error = await refusal(region=None, credentials=KEYS)
    assert isinstance(error, InvalidRequest)
    assert "AWS_REGION" in error.fix
    env(DEFAULT_REGION="eu-west-1")
    assert (await found(region=None, credentials=KEYS)).region == "eu-west-1"
    env(REGION="eu-west-2")
    assert (await found(region=None, credentials=KEYS)).region == "eu-west-2"
    assert (await found(credentials=KEYS)).region == "us-east-1"
    for region in ("evil.example/", "US", "a b", "x" * 200, "@host"):
        assert isinstance(await refusal(region=region, credentials=KEYS), InvalidRequest)


async def test_the_address(env: Callable[..., None]) -> None:
    env(ENDPOINT_URL="http://all:1")
    assert (await found(credentials=KEYS)).url == "http://all:1"
    env(ENDPOINT_URL_BEDROCK_RUNTIME="http://own:1/")
    assert (await found(credentials=KEYS)).url == "http://own:1"
    assert (await found(credentials=KEYS, base_url="http://given:1/")).url == "http://given:1"
    env(IGNORE_CONFIGURED_ENDPOINT_URLS="true")
    assert "amazonaws.com" in (await found(credentials=KEYS)).url


async def test_no_key_is_logged(
    service: Service,
    home: Path,
    env: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG):
        await test_the_container(service, env)
        await test_a_role(service, home, env)
        await test_a_process(home)
        await test_files_and_profiles(home, env)
        logging.getLogger("botocore.parsers").debug("others are heard")
    for secret in ("temporary-s3cret", "temporary-t0ken", "file-secret", "process-secret"):
        assert secret not in caplog.text
    assert "others are heard" in caplog.text


async def test_cancelling_does_not_wait(service: Service, env: Callable[..., None]) -> None:
    go = threading.Event()

    def slow() -> tuple[str, str]:
        go.wait(5)
        return temporary(60)

    service.answers["GET /keys"] = slow
    env(CONTAINER_CREDENTIALS_FULL_URI=f"{service.url}/keys")
    profile = Profile()
    began = anyio.current_time()
    with anyio.move_on_after(0.1) as scope:
        await found(profile)
    assert scope.cancelled_caught
    assert anyio.current_time() - began < 1.0
    go.set()
    assert (await found(profile)).credentials.access_key.reveal() == "ASIA1"


async def test_several_may_ask_at_once(service: Service, env: Callable[..., None]) -> None:
    service.answers["GET /keys"] = lambda: temporary(60)
    env(CONTAINER_CREDENTIALS_FULL_URI=f"{service.url}/keys")
    profile = Profile()
    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(found, profile)
    assert len(service.asked) == 1
