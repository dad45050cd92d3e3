"""Faults between a session and its server, over real sockets: the matrix of the OpenAI family.

Its cases are taken as they are, with this provider and this server; beside them stand those of
this service's own door.
"""

from __future__ import annotations

from collections.abc import Generator

import anyio
import pytest
from msgspec.structs import replace

from realtime_core import (
    AuthFailed,
    InvalidRequest,
    RealtimeError,
    RealtimeEvent,
    Reconnected,
    Recurs,
    ResponseDone,
    open_session,
)
from realtime_core.frames import Frame
from realtime_core.provider import Provider
from realtime_core.testing.conformance import check_trace
from realtime_core.transports.websocket import Endpoint, websocket
from realtime_core.transports.websocket_server import Request, Response
from realtime_openai import client_events as client
from realtime_qwen import qwen
from realtime_qwen.providers import closed, refused
from realtime_qwen.server import Caller, loopback
from tests.providers.openai import test_faults as family
from tests.providers.openai.test_faults import (
    test_a_mute_server,
    test_a_peer_that_falls_silent_before_the_acknowledgement_is_lost,
    test_a_peer_that_falls_silent_in_the_middle_of_an_answer_is_lost,
    test_a_refused_connection,
    test_an_answer_without_credit_fails_alone,
    test_an_error_and_a_close_in_the_middle_of_an_answer,
    test_an_error_before_the_acknowledgement_says_more_than_the_close,
    test_closed_before_the_acknowledgement,
    test_closed_in_good_order_before_the_acknowledgement,
    test_closed_in_good_order_in_the_middle_of_an_answer,
    test_closed_in_the_middle_of_an_answer,
    test_cut_at_every_byte,
)
from tests.providers.qwen.watching import KEY, items, ours
from tests.providers.watching import silently, unopened, until, watched

__all__ = (
    "test_a_mute_server",
    "test_a_peer_that_falls_silent_before_the_acknowledgement_is_lost",
    "test_a_peer_that_falls_silent_in_the_middle_of_an_answer_is_lost",
    "test_a_refused_connection",
    "test_an_answer_without_credit_fails_alone",
    "test_an_error_and_a_close_in_the_middle_of_an_answer",
    "test_an_error_before_the_acknowledgement_says_more_than_the_close",
    "test_closed_before_the_acknowledgement",
    "test_closed_in_good_order_before_the_acknowledgement",
    "test_closed_in_good_order_in_the_middle_of_an_answer",
    "test_closed_in_the_middle_of_an_answer",
    "test_cut_at_every_byte",
)

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def in_place(
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Generator[None]:
    """Let the family's cases meet this provider, and complain of nothing, in a log or on stderr."""
    monkeypatch.delenv("DASHSCOPE_WORKSPACE", raising=False)
    for name, ours_here in (("loopback", loopback), ("ours", ours), ("pinging", pinging)):
        monkeypatch.setattr(family, name, ours_here)
    with silently(caplog, capfd, KEY):
        yield


def pinging(host: str, port: int) -> Provider[Frame]:
    """Make the provider with less patience than its own."""
    endpoint = Endpoint(
        url=f"ws://{host}:{port}/api-ws/v1/realtime",
        failure=closed,
        refusal=refused,
        ping_interval=0.1,
        ping_timeout=0.2,
    )
    return replace(ours(f"http://{host}:{port}"), dial=websocket(endpoint))


async def nobody(caller: Caller) -> None:
    raise AssertionError(caller.path)


# --- this service's door ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "path", "kind", "status"),
    [
        ("wrong", "/api-ws/v1", AuthFailed, 401),
        ("", "/api-ws/v1", AuthFailed, 401),
        (KEY, "/v1", InvalidRequest, 404),
    ],
)
async def test_a_shut_door(key: str, path: str, kind: type[RealtimeError], status: int) -> None:
    async with watched(), loopback(nobody, key=KEY) as here:
        place = f"http://{here.host}:{here.port}{path}"
        error = await unopened(qwen(api_key=key, base_url=place), retry=Recurs(2))
    assert type(error) is kind
    assert str(status) in error.what
    assert "Invalid API-key" not in error.what


async def test_a_model_is_wanted_at_the_door() -> None:
    async with watched(), loopback(nobody) as here:
        bare = Endpoint(
            url=here.url,
            headers={"Authorization": f"Bearer {KEY}"},
            failure=closed,
            refusal=refused,
        )
        error = await unopened(replace(ours(here.base_url), dial=websocket(bare)))
    assert "A model is wanted" in error.what


async def test_a_judge_of_ones_own_comes_first() -> None:
    asked = list[Request]()

    def judge(request: Request) -> Response | None:
        asked.append(request)
        return Response(429, {"Retry-After": "0"}) if len(asked) == 1 else None

    async def script(caller: Caller) -> None:
        await caller.next()
        await caller.next()

    async with watched(), loopback(script, key=KEY, process_request=judge) as here:
        async with open_session(ours(here.base_url, "qwen3.5-omni-plus-realtime"), retry=Recurs(1)):
            pass
        assert here.callers[0].path == "/api-ws/v1/realtime?model=qwen3.5-omni-plus-realtime"
    assert asked[1].headers["authorization"] == f"Bearer {KEY}"


async def test_the_conversation_goes_on_over_a_new_connection() -> None:
    heard = anyio.Event()

    async def script(caller: Caller) -> None:
        await caller.until(client.Create)
        await caller.answer("Hello", pcm=bytes(4_800))
        if caller.number == 0:
            await heard.wait()
            caller.abort()
        await caller.next()

    async with watched(), loopback(script) as here:
        async with open_session(ours(here.base_url), retry=Recurs(2)) as session:
            events, seen = session.events(), list[RealtimeEvent]()
            await session.simple_response("Hi")
            await until(events, ResponseDone, seen)
            heard.set()
            again = await until(events, Reconnected, seen)
            assert (again.restored, again.conn) == ("history", 1)
            await session.simple_response("And now?")
            await until(events, ResponseDone, seen)
            assert not check_trace(seen)
        told = items(here.callers[1])
        assert (told[0], told[-1]) == (("user", "Hi"), ("user", "And now?"))
