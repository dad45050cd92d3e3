"""Where a connection goes and with which key: from arguments, from variables, or not at all."""

from __future__ import annotations

import pytest

from realtime_core.config import Secret, SessionConfig
from realtime_core.errors import AuthFailed, InvalidRequest, RealtimeError, RealtimeException
from realtime_openai import (
    AZURE_OPENAI,
    AZURE_VOICE_LIVE,
    OPENAI,
    OPENAI_BETA,
    XAI_GROK,
    Access,
    Door,
    Service,
    reach,
)
from realtime_openai.endpoint import Key, secret

pytestmark = pytest.mark.anyio

KEY = "sk-quite-a-secret"
SERVICES = (AZURE_OPENAI, AZURE_VOICE_LIVE, OPENAI, OPENAI_BETA, XAI_GROK)
VARIABLES = (
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "OPENAI_ORG_ID",
    "OPENAI_PROJECT_ID",
    "AZURE_OPENAI_API_KEY",
    "AZURE_OPENAI_ENDPOINT",
    "AZURE_VOICELIVE_API_KEY",
    "AZURE_VOICELIVE_ENDPOINT",
    "XAI_API_KEY",
)


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


def shown(door: Door) -> dict[str, str]:
    return {
        name: value.reveal() if isinstance(value, Secret) else value
        for name, value in door.shown.items()
    }


async def refusal(access: Access) -> RealtimeError:
    with pytest.raises(RealtimeException) as caught:
        await reach(access)
    error = caught.value.error
    assert error.what
    assert error.cause
    assert error.fix
    assert KEY not in str(caught.value)
    assert KEY not in repr(caught.value)
    return error


ADDRESSES: tuple[tuple[Service, str | None, str, str, dict[str, str]], ...] = (
    (
        OPENAI,
        None,
        "",
        "wss://api.openai.com/v1/realtime?model=gpt-realtime-2.1",
        {"Authorization": f"Bearer {KEY}"},
    ),
    (
        OPENAI,
        "http://127.0.0.1:8000/v1/",
        "a model/of mine",
        "ws://127.0.0.1:8000/v1/realtime?model=a+model%2Fof+mine",
        {"Authorization": f"Bearer {KEY}"},
    ),
    (
        OPENAI_BETA,
        "wss://voice.example:444",
        "",
        "wss://voice.example:444/realtime",
        {"OpenAI-Beta": "realtime=v1", "Authorization": f"Bearer {KEY}"},
    ),
    (
        AZURE_OPENAI,
        "https://mine.openai.azure.com/",
        "deployed",
        "wss://mine.openai.azure.com/openai/v1/realtime?model=deployed",
        {"api-key": KEY},
    ),
    (
        AZURE_OPENAI,
        "https://mine.openai.azure.com/openai/v1/",
        "deployed",
        "wss://mine.openai.azure.com/openai/v1/realtime?model=deployed",
        {"api-key": KEY},
    ),
    (
        AZURE_VOICE_LIVE,
        "https://mine.services.ai.azure.com",
        "g",
        "wss://mine.services.ai.azure.com/voice-live/realtime?api-version=2025-10-01&model=g",
        {"api-key": KEY},
    ),
    (
        XAI_GROK,
        None,
        "",
        "wss://api.x.ai/v1/realtime?model=grok-voice-latest",
        {"Authorization": f"Bearer {KEY}"},
    ),
)


@pytest.mark.parametrize(("service", "base", "model", "url", "headers"), ADDRESSES)
async def test_every_service_has_its_address_and_headers(
    service: Service, base: str | None, model: str, url: str, headers: dict[str, str]
) -> None:
    door = await reach(Access(service=service, base_url=base, model=model, key=Secret(KEY)))
    assert door.socket(SessionConfig()) == url
    assert shown(door) == headers
    assert KEY not in repr(door)


async def test_what_is_not_given_comes_from_variables_when_it_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    access = Access(service=OPENAI)
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://eu.api.openai.com/v1")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    door = await reach(access)
    assert door.url == "https://eu.api.openai.com/v1/realtime"
    assert shown(door) == {
        "OpenAI-Organization": "org-1",
        "OpenAI-Project": "proj-1",
        "Authorization": f"Bearer {KEY}",
    }


async def test_arguments_go_before_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "another")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://another.example")
    monkeypatch.setenv("OPENAI_ORG_ID", "another")
    access = Access(
        service=OPENAI,
        base_url="https://mine.example",
        key=Secret(KEY),
        headers=(("OpenAI-Organization", "mine"), ("OpenAI-Project", None)),
    )
    door = await reach(access)
    assert door.url == "https://mine.example/realtime"
    assert shown(door) == {"OpenAI-Organization": "mine", "Authorization": f"Bearer {KEY}"}


async def plain_async() -> str:
    return KEY


@pytest.mark.parametrize("key", [KEY, Secret(KEY), lambda: KEY, plain_async])
async def test_a_key_can_be_anything_that_gives_one(key: Key) -> None:
    access = Access(service=OPENAI, key=secret(key))
    assert KEY not in repr(access)
    assert shown(await reach(access))["Authorization"] == f"Bearer {KEY}"


async def test_a_callable_is_asked_at_each_connect() -> None:
    keys = iter(("first", "second"))
    access = Access(service=AZURE_OPENAI, base_url="https://a.example", key=Secret(keys.__next__))
    assert [shown(await reach(access))["api-key"] for _ in range(2)] == ["first", "second"]


async def test_a_token_stands_in_place_of_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "another")
    access = Access(service=AZURE_OPENAI, base_url="https://a.example", token=Secret(KEY))
    assert shown(await reach(access)) == {"Authorization": f"Bearer {KEY}"}


@pytest.mark.parametrize("service", SERVICES)
async def test_a_missing_key_is_told_before_anything_is_dialled(service: Service) -> None:
    base = service.base_url or "https://somewhere.example"
    access = Access(service=service, base_url=base)
    if service is OPENAI_BETA:
        assert shown(await reach(access)) == {"OpenAI-Beta": "realtime=v1"}
        return
    error = await refusal(access)
    assert isinstance(error, AuthFailed)
    assert service.key_variable in error.fix


@pytest.mark.parametrize(
    ("service", "base"),
    [
        (OPENAI, "http://127.0.0.1:8000/v1"),
        (OPENAI, "http://localhost/v1"),
        (OPENAI, "http://[::1]:8000/v1"),
        (OPENAI, "https://voice.example/v1"),
        (AZURE_OPENAI, "http://127.0.0.1:8000"),
    ],
)
async def test_another_server_may_need_no_key(service: Service, base: str) -> None:
    assert shown(await reach(Access(service=service, base_url=base))) == {}


async def test_an_empty_key_means_that_none_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    access = Access(service=OPENAI, base_url="https://voice.example/v1", key=Secret(""))
    assert shown(await reach(access)) == {}


async def test_an_empty_token_is_a_missing_one() -> None:
    access = Access(service=AZURE_OPENAI, base_url="https://a.example", token=Secret(""))
    assert isinstance(await refusal(access), AuthFailed)


@pytest.mark.parametrize("service", [OPENAI_BETA, AZURE_OPENAI, AZURE_VOICE_LIVE])
async def test_a_missing_address_is_told(service: Service) -> None:
    error = await refusal(Access(service=service, key=Secret(KEY)))
    assert isinstance(error, InvalidRequest)
    assert service.base_variable in error.fix
    assert service.base_option in error.fix


@pytest.mark.parametrize(
    "base",
    [
        "api.openai.com/v1",
        "ftp://host/v1",
        "https://",
        "https://host:port/v1",
        "https://host/v 1",
        "https://höst/v1",
        f"https://me:{KEY}@host/v1",
        f"https://{KEY}@host/v1",
        f"https://host/v1?api-key={KEY}",
        f"https://host/v1#{KEY}",
    ],
)
async def test_an_address_that_cannot_be_used_is_refused_and_not_repeated(base: str) -> None:
    error = await refusal(Access(service=OPENAI, base_url=base, key=Secret(KEY)))
    assert isinstance(error, InvalidRequest)
    assert base.removeprefix("https://") not in str(error) or base == "https://"


@pytest.mark.parametrize("key", [f"{KEY}\r\nX-Other: 1", f"{KEY} {KEY}", f"{KEY}é"])
async def test_a_key_that_no_header_can_hold_is_refused(key: str) -> None:
    assert isinstance(await refusal(Access(service=OPENAI, key=Secret(key))), InvalidRequest)


async def test_a_header_that_cannot_be_sent_is_refused() -> None:
    headers = (("OpenAI-Safety-Identifier", "a\nb"),)
    access = Access(service=OPENAI, key=Secret(KEY), headers=headers)
    assert "OpenAI-Safety-Identifier" in (await refusal(access)).what


async def test_the_model_is_the_sessions_or_the_callers_or_the_services() -> None:
    for config, model, asked in (("a", "b", "a"), ("", "b", "b"), ("", "", OPENAI.model)):
        door = await reach(Access(service=OPENAI, model=model, key=Secret(KEY)))
        assert door.model_of(SessionConfig(model=config)) == asked


@pytest.mark.parametrize("service", [AZURE_OPENAI, AZURE_VOICE_LIVE])
async def test_a_model_that_has_to_be_told_is_asked_for(service: Service) -> None:
    door = await reach(Access(service=service, base_url="https://a.example", key=Secret(KEY)))
    with pytest.raises(RealtimeException) as caught:
        door.socket(SessionConfig())
    assert f"`{service.name}:NAME`" in str(caught.value)


async def test_a_sideband_and_a_transcription_name_no_model() -> None:
    door = await reach(Access(service=OPENAI, model="m", key=Secret(KEY)))
    start = "wss://api.openai.com/v1/realtime"
    assert door.socket(SessionConfig(), "rtc_1") == f"{start}?call_id=rtc_1"
    config = SessionConfig(options={"purpose": "transcription"})
    assert door.socket(config) == f"{start}?intent=transcription"
