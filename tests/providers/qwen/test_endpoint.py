"""Where a connection goes: regions as hosts, workspaces, variables, and what is shown there."""

from __future__ import annotations

import os
from typing import Any

import pytest

from realtime_core.config import Secret, SessionConfig
from realtime_core.errors import AuthFailed, InvalidRequest, RealtimeError, RealtimeException
from realtime_openai.endpoint import Access
from realtime_qwen.endpoint import QWEN, Place, arrive

pytestmark = pytest.mark.anyio
KEY = "sk-quite-a-secret"
MODEL = "?model=qwen3.8-omni-flash-realtime"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in os.environ:
        if variable.startswith("DASHSCOPE_"):
            monkeypatch.delenv(variable)


async def address(base_url: str | None = None, key: str | None = KEY, **place: Any) -> str:
    access = Access(service=QWEN, base_url=base_url, key=Secret(key) if key is not None else None)
    return (await arrive(access, Place(**place))).socket(SessionConfig())


async def refused(**given: Any) -> RealtimeError:
    with pytest.raises(RealtimeException) as caught:
        await address(**given)
    error = caught.value.error
    assert error.cause
    assert error.fix
    return error


@pytest.mark.parametrize(
    ("region", "workspace", "host"),
    [
        (None, None, "dashscope.aliyuncs.com"),
        ("beijing", "ws-1", "dashscope.aliyuncs.com"),
        ("singapore", None, "dashscope-intl.aliyuncs.com"),
        ("cn-beijing", None, "dashscope.aliyuncs.com"),
        ("ap-southeast-1", None, "dashscope-intl.aliyuncs.com"),
        ("cn-hongkong", None, "cn-hongkong.dashscope.aliyuncs.com"),
        ("cn-beijing", "ws-1", "ws-1.cn-beijing.maas.aliyuncs.com"),
        ("us-east-1", "ws-1", "ws-1.us-east-1.maas.aliyuncs.com"),
    ],
)
async def test_regions_are_hosts(region: str | None, workspace: str | None, host: str) -> None:
    told = await address(region=region, workspace=workspace)
    assert told == f"wss://{host}/api-ws/v1/realtime{MODEL}"


@pytest.mark.parametrize(
    "given",
    ["ws://127.0.0.1:1/x", "ws://127.0.0.1:1/x/realtime", "http://127.0.0.1:1/x/inference/"],
)
async def test_an_address_goes_before_a_region(given: str) -> None:
    assert await address(given, region="singapore") == f"ws://127.0.0.1:1/x/realtime{MODEL}"


async def test_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHSCOPE_REGION", "us-east-1")
    monkeypatch.setenv("DASHSCOPE_WORKSPACE", "ws-2")
    assert (await address()).startswith("wss://ws-2.us-east-1.maas.aliyuncs.com/")
    assert (await address(workspace="ws-3")).startswith("wss://ws-3.us-east-1.")
    assert (await refused(workspace="")).what == "There is no host for the region 'us-east-1'."
    monkeypatch.setenv("DASHSCOPE_WEBSOCKET_BASE_URL", "wss://host.example/api-ws/v1/inference")
    assert await address() == f"wss://host.example/api-ws/v1/realtime{MODEL}"
    assert (await address(region="beijing")).startswith("wss://dashscope.aliyuncs.com/")


async def test_what_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
    monkeypatch.setenv("DASHSCOPE_WORKSPACE", "ws-2")
    shown = (await arrive(Access(service=QWEN), Place())).shown
    assert shown["X-DashScope-WorkSpace"] == "ws-2"
    key = shown["Authorization"]
    assert isinstance(key, Secret)
    assert key.reveal() == f"Bearer {KEY}"
    assert KEY not in repr(shown)
    other = (await arrive(Access(service=QWEN), Place(workspace="ws-3"))).shown
    assert other["X-DashScope-WorkSpace"] == "ws-3"


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"region": "singapore"},
        {"base_url": "wss://dashscope-intl.aliyuncs.com/api-ws/v1"},
        {"region": "us-east-1", "workspace": "ws-1"},
    ],
)
async def test_the_vendor_asks_for_a_key(given: dict[str, str]) -> None:
    error = await refused(key=None, **given)
    assert isinstance(error, AuthFailed)
    assert "DASHSCOPE_API_KEY" in error.fix


async def test_other_servers_need_none() -> None:
    assert await address("https://host.example/v1", key=None)
    assert await address("http://127.0.0.1:1", key="")


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"region": "mars"}, "'mars'"),
        ({"region": "us-east-1"}, "'us-east-1'"),
        ({"region": "us-east-1", "workspace": "evil.example/"}, "workspace"),
        ({"base_url": "dashscope.aliyuncs.com"}, "https://"),
        ({"base_url": "http://[::1"}, "it is none"),
    ],
)
async def test_what_means_no_host(given: dict[str, str], what: str) -> None:
    error = await refused(**given)
    assert isinstance(error, InvalidRequest)
    assert what in error.what
