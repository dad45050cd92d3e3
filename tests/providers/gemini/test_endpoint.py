"""Where a connection goes and with which key: from arguments, from variables, or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_core.config import Secret
from realtime_core.errors import AuthFailed, InvalidRequest, RealtimeError, RealtimeException
from realtime_gemini import DEVELOPER_API, VERTEX, Access, Door, Service, reach
from realtime_gemini.endpoint import Key, full_name, secret

pytestmark = pytest.mark.anyio

KEY = "AIzaQuiteASecret"
TOKEN = "auth_tokens/quite-a-secret"
VARIABLES = (
    "CLOUDSDK_AUTH_ACCESS_TOKEN",
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY",
    "GOOGLE_CLOUD_LOCATION",
    "GOOGLE_CLOUD_PROJECT",
    "GOOGLE_GEMINI_BASE_URL",
    "GOOGLE_VERTEX_BASE_URL",
)
LIVE = "ws/google.ai.generativelanguage.{}.GenerativeService.BidiGenerateContent"
DEVELOPER = f"wss://generativelanguage.googleapis.com/{LIVE}"
ON_VERTEX = "/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


def shown(door: Door) -> dict[str, str]:
    return {
        name: value.reveal() if isinstance(value, Secret) else value
        for name, value in door.shown.items()
    }


def developer(**given: Any) -> Access:
    return Access(service=DEVELOPER_API, **{"key": Secret(KEY), **given})


def vertex(**given: Any) -> Access:
    return Access(service=VERTEX, **{"key": Secret(KEY), "project": "mine", **given})


async def refusal(access: Access) -> RealtimeError:
    with pytest.raises(RealtimeException) as caught:
        await reach(access)
    error = caught.value.error
    assert error.what
    assert error.cause
    assert error.fix
    assert KEY not in f"{caught.value} {caught.value!r} {error!r}"
    return error


# --- where ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("access", "url"),
    [
        (developer(), DEVELOPER.format("v1beta")),
        (developer(version="v1"), DEVELOPER.format("v1")),
        (developer(base_url="http://127.0.0.1:8000/a/"), f"ws://127.0.0.1:8000/a/{LIVE}"),
        (developer(base_url="wss://live.example"), f"wss://live.example/{LIVE}"),
        (vertex(), f"wss://aiplatform.googleapis.com{ON_VERTEX}"),
        (vertex(location="eu"), f"wss://aiplatform.eu.rep.googleapis.com{ON_VERTEX}"),
        (
            vertex(location="us-central1"),
            f"wss://us-central1-aiplatform.googleapis.com{ON_VERTEX}",
        ),
        (vertex(base_url="https://gate.example/"), f"wss://gate.example{ON_VERTEX}"),
    ],
)
async def test_every_service_has_its_address(access: Access, url: str) -> None:
    door = await reach(access)
    assert door.socket({"model": "m"}) == url.format("v1beta")
    assert KEY not in repr(door)
    assert KEY not in repr(access)


@pytest.mark.parametrize(
    ("setup", "version"),
    [
        ({}, "v1beta"),
        ({"generationConfig": {"temperature": 1.0}}, "v1beta"),
        ({"generationConfig": None, "proactivity": None}, "v1beta"),
        ({"proactivity": {"proactiveAudio": True}}, "v1alpha"),
        ({"generationConfig": {"enableAffectiveDialog": True}}, "v1alpha"),
    ],
)
async def test_the_setup_chooses_the_version(setup: dict[str, Any], version: str) -> None:
    assert (await reach(developer())).socket(setup) == DEVELOPER.format(version)
    assert (await reach(developer(version="v9"))).socket(setup) == DEVELOPER.format("v9")
    assert (await reach(vertex())).socket(setup).endswith(ON_VERTEX)


async def test_what_is_not_given_comes_from_variables_when_it_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accesses = Access(service=DEVELOPER_API), Access(service=VERTEX)
    monkeypatch.setenv("GEMINI_API_KEY", "another")
    monkeypatch.setenv("GOOGLE_API_KEY", f" {KEY}\n")
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", "https://one.example")
    monkeypatch.setenv("GOOGLE_VERTEX_BASE_URL", "https://two.example/")
    monkeypatch.setenv("CLOUDSDK_AUTH_ACCESS_TOKEN", "ya29.a")
    first, second = [await reach(access) for access in accesses]
    assert (first.url, shown(first)) == ("https://one.example", {"x-goog-api-key": KEY})
    assert (second.url, shown(second)) == (
        "https://two.example",
        {"Authorization": "Bearer ya29.a"},
    )
    monkeypatch.setenv("GOOGLE_API_KEY", " ")
    assert shown(await reach(accesses[0])) == {"x-goog-api-key": "another"}
    monkeypatch.delenv("GOOGLE_VERTEX_BASE_URL")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "mine")
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", "europe-west4")
    assert (await reach(accesses[1])).url == "https://europe-west4-aiplatform.googleapis.com"
    assert full_name(accesses[1], "m") == (
        "projects/mine/locations/europe-west4/publishers/google/models/m"
    )


async def test_arguments_go_before_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.setenv(variable, "another")
    door = await reach(developer(base_url="https://mine.example"))
    assert (door.url, shown(door)) == ("https://mine.example", {"x-goog-api-key": KEY})
    access = vertex(location="us", base_url="https://mine.example")
    assert shown(await reach(access)) == {"Authorization": f"Bearer {KEY}"}
    assert full_name(access, "m") == "projects/mine/locations/us/publishers/google/models/m"


@pytest.mark.parametrize(
    "base",
    [
        "generativelanguage.googleapis.com",
        "ftp://host",
        "https://",
        "https://host:port",
        "https://host/v 1",
        "https://höst",
        f"https://me:{KEY}@host",
        f"https://host/?key={KEY}",
        f"https://host/#{KEY}",
    ],
)
@pytest.mark.parametrize("make", [developer, vertex])
async def test_an_address_that_cannot_be_used_is_refused_and_not_repeated(
    make: Any, base: str
) -> None:
    error = await refusal(make(base_url=base))
    assert isinstance(error, InvalidRequest)
    assert base not in str(error) or base == "https://"


@pytest.mark.parametrize("word", ["", "evil.example/", "a.b", "V1", "v1 ", "v/../x", "é", "a" * 99])
async def test_no_word_that_is_part_of_an_address_leads_elsewhere(word: str) -> None:
    assert isinstance(await refusal(developer(version=word)), InvalidRequest)
    if word:
        assert isinstance(await refusal(vertex(location=word)), InvalidRequest)


# --- the model's name -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("access", "model", "name"),
    [
        (developer(), "m", "m"),
        (developer(), "models/m", "models/m"),
        (developer(model="n"), "", "n"),
        (developer(), "", DEVELOPER_API.model),
        (vertex(), "m", "projects/mine/locations/global/publishers/google/models/m"),
        (vertex(), "publishers/a/models/m", "projects/mine/locations/global/publishers/a/models/m"),
        (vertex(), "projects/p/locations/l/x", "projects/p/locations/l/x"),
        (vertex(project=None), "", f"publishers/google/models/{VERTEX.model}"),
    ],
)
def test_a_model_is_named_as_its_service_names_it(access: Access, model: str, name: str) -> None:
    assert full_name(access, model) == name


async def test_a_missing_project_is_told_where_one_is_needed() -> None:
    error = await refusal(vertex(project=None))
    assert isinstance(error, InvalidRequest)
    assert "GOOGLE_CLOUD_PROJECT" in error.fix
    await reach(vertex(project=None, model="projects/p/locations/l/publishers/google/models/m"))
    await reach(vertex(project=None, base_url="https://gate.example"))


# --- with what ------------------------------------------------------------------------------------


async def plain_async() -> str:
    return KEY


@pytest.mark.parametrize("key", [KEY, Secret(KEY), lambda: KEY, plain_async])
async def test_a_key_can_be_anything_that_gives_one(key: Key) -> None:
    access = developer(key=secret(key))
    assert KEY not in repr(access)
    assert shown(await reach(access)) == {"x-goog-api-key": KEY}


async def test_a_callable_is_asked_at_each_connect() -> None:
    tokens = iter(("first", "second"))
    access = vertex(key=Secret(tokens.__next__))
    told = [shown(await reach(access))["Authorization"] for _ in range(2)]
    assert told == ["Bearer first", "Bearer second"]


async def test_an_ephemeral_token_has_a_path_and_a_scheme_of_its_own() -> None:
    door = await reach(developer(key=Secret(TOKEN)))
    assert door.ephemeral
    assert shown(door) == {"Authorization": f"Token {TOKEN}"}
    assert door.socket({}) == DEVELOPER.format("v1alpha") + "Constrained"
    newer = await reach(developer(key=Secret(TOKEN), version="v2"))
    assert newer.socket({}) == DEVELOPER.format("v2") + "Constrained"
    assert TOKEN not in f"{door!r} {door.shown!r} {door.socket({})}"
    assert not (await reach(vertex(key=Secret(TOKEN)))).ephemeral


@pytest.mark.parametrize("service", [DEVELOPER_API, VERTEX])
@pytest.mark.parametrize("key", [None, Secret(""), Secret(lambda: " \n")])
async def test_a_missing_key_is_told_before_anything_is_dialled(
    service: Service, key: Secret | None
) -> None:
    error = await refusal(Access(service=service, project="mine", key=key))
    assert isinstance(error, AuthFailed)
    assert service.key_variables[0] in error.fix
    assert service.key_option in error.fix


async def test_another_server_may_need_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for service in (DEVELOPER_API, VERTEX):
        for base in ("http://127.0.0.1:8000", "http://[::1]", "https://gate.example"):
            assert shown(await reach(Access(service=service, base_url=base))) == {}
    monkeypatch.setenv("GOOGLE_API_KEY", KEY)
    kept = Access(service=DEVELOPER_API, base_url="https://gate.example", key=Secret(""))
    assert shown(await reach(kept)) == {}


@pytest.mark.parametrize("key", [f"{KEY}\r\nX-Other: 1", f"{KEY} {KEY}", f"{KEY}é"])
@pytest.mark.parametrize("make", [developer, vertex])
async def test_a_key_that_no_header_can_hold_is_refused(make: Any, key: str) -> None:
    assert isinstance(await refusal(make(key=Secret(key))), InvalidRequest)


# --- as the vendor's own client does it -----------------------------------------------------------


class _Dialled(Exception):  # noqa: N818 - no error: it ends the vendor's client early
    """What the vendor's client would have dialled."""


async def official(monkeypatch: pytest.MonkeyPatch, client: Any) -> tuple[str, dict[str, str]]:
    def dial(uri: str, *, additional_headers: dict[str, str], **_: Any) -> Any:
        raise _Dialled(uri, {name.lower(): value for name, value in additional_headers.items()})

    monkeypatch.setattr("google.genai.live.ws_connect", dial)
    with pytest.raises(_Dialled) as dialled:
        async with client.aio.live.connect(model="m", config={}):
            pass
    uri, headers = dialled.value.args
    return str(uri).replace("googleapis.com//", "googleapis.com/"), dict(headers)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.filterwarnings("ignore::Warning")
@pytest.mark.parametrize("place", ["global", "eu", "us", "us-central1"])
async def test_the_official_client_goes_to_the_same_place_on_vertex(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from google import genai
    from google.oauth2.credentials import Credentials

    made = Credentials(token="ya29.a")  # type: ignore[no-untyped-call]
    client = genai.Client(vertexai=True, project="mine", location=place, credentials=made)
    uri, headers = await official(monkeypatch, client)
    door = await reach(vertex(location=place, key=Secret("ya29.a")))
    assert door.socket({}) == uri
    assert {name.lower(): value for name, value in shown(door).items()}.items() <= headers.items()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.filterwarnings("ignore::Warning")
@pytest.mark.parametrize(("key", "version"), [(KEY, "v1beta"), (TOKEN, "v1alpha")])
async def test_the_official_client_goes_to_the_same_place(
    key: str, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from google import genai

    client = genai.Client(api_key=key, http_options={"api_version": version})
    uri, headers = await official(monkeypatch, client)
    door = await reach(developer(key=Secret(key)))
    assert door.socket({}) == uri
    assert {name.lower(): value for name, value in shown(door).items()}.items() <= headers.items()
