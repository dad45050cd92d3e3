"""A server that sends our key back, in every way: it is in nothing that the library says.

What a server puts into the conversation, or into a message that nobody knows, is data: it is passed
on as it came.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Awaitable, Callable

import pytest
from anyio.abc import SocketStream

from realtime_core import (
    RealtimeEvent,
    RealtimeException,
    ResponseDone,
    ResumptionHandle,
    Unknown,
    UserTranscript,
    open_session,
)
from realtime_core.transports.websocket_server import Response
from realtime_gemini.server import Caller, loopback
from tests.core.transports.loopback import bare, head_of
from tests.providers.gemini.watching import KEY, PLAIN, Way, ended, ours, watched

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("silent")]

Script = Callable[[Caller], Awaitable[None]]
TOLD = f"Bearer {KEY}"
YES = "HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade"
HANDLE = "-".join(("handle", "quite", "a", "secret"))


async def unopened(base_url: str, way: Way = PLAIN) -> str:
    """Fail to open; gives all that is said of it."""
    with pytest.raises(RealtimeException) as caught:
        async with open_session(ours(base_url, way)):
            pytest.fail("it opened")
    problem = caught.value
    shown = (repr(problem), str(problem), repr(problem.args), repr(problem.error))
    return "".join((*shown, *traceback.format_exception(problem)))


async def _never(caller: Caller) -> None:
    raise AssertionError(caller.number)


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 407, 429, 500, 503])
async def test_refused_upgrades(status: int, way: Way) -> None:
    details = [{"reason": KEY, "retryDelay": KEY}]
    error = {"message": TOLD, "status": KEY, "code": KEY, "details": details}
    headers = {"Location": f"http://x/?{KEY}", "Retry-After": KEY, "Date": KEY, "X-Key": TOLD}
    bodies = (json.dumps({"error": error}), TOLD, KEY * 99)
    answers = [Response(status, headers, one.encode()) for one in bodies]
    serving = loopback(_never, ssl=way.server, process_request=lambda _: answers.pop())
    async with watched(), serving as here:
        while answers:
            assert KEY not in await unopened(here.base_url, way)


@pytest.mark.parametrize(
    "head",
    [
        "{told}",
        "HTTP/1.1 {told}",
        "HTTP/1.1 500 {told}",
        "HTTP/1.1 101 {told}\r\nUpgrade: {told}\r\nConnection: {told}",
        f"{YES}\r\nSec-WebSocket-Accept: {{told}}",
        f"{YES}\r\n{{told}}",
    ],
)
async def test_answers_that_are_none(head: str) -> None:
    async def far(stream: SocketStream) -> None:
        asked = await head_of(stream)
        assert KEY.encode() in asked.partition(b"\r\n")[2], "in a header"
        assert KEY.encode() not in asked.partition(b"\r\n")[0], "never in the address"
        await stream.send(head.format(told=TOLD).encode() + b"\r\n\r\n")

    async with watched(), bare(far) as port:
        assert KEY not in await unopened(f"http://127.0.0.1:{port}")


CODES = [1001, 1007, 1008, 1009, 1011, 3000, 4999]
FAREWELLS = [KEY, f"API key not valid: {KEY}.", f"quota of key={KEY}", f"expired: {TOLD}"]


@pytest.mark.parametrize("code", CODES)
async def test_farewells_before_the_setup_is_complete(code: int, way: Way) -> None:
    farewells = list(FAREWELLS)

    async def script(caller: Caller) -> None:
        await caller.until("setup")
        await caller.close(code, farewells.pop())

    async with watched(), loopback(script, ssl=way.server, welcome=False) as here:
        while farewells:
            assert KEY not in await unopened(here.base_url, way)


COMPLAINTS = (
    f'{{"{KEY}":}}',
    f'{{"serverContent":"{KEY}"}}',
    f'{{"serverContent":{{"turnComplete":"{KEY}"}}}}',
    f'{{"usageMetadata":{{"promptTokenCount":"{KEY}"}}}}',
    f'{{"serverContent":{{"modelTurn":{{"parts":[{{"inlineData":{{"data":"{KEY}!"}}}}]}}}}}}',
    f'{{"serverContent":{{"turnComplete":true,"turnCompleteReason":"{KEY}"}}}}',
    f'{{"serverContent":{{"turnComplete":true,"turnCompleteReason":"SAFETY {KEY}"}}}}',
    f'{{"goAway":{{"timeLeft":"{KEY}"}}}}',
    f'{{"sessionResumptionUpdate":{{"newHandle":"{HANDLE}","resumable":true}}}}',
)
DATA = (
    f'{{"{KEY}":"{TOLD}"}}',
    f'{{"serverContent":{{"inputTranscription":{{"text":"{KEY}","finished":true}}}}}}',
)


async def heard(*said: str, code: int = 1011) -> list[RealtimeEvent]:
    """Have a server say this within an answer, and close; gives the events that it became."""

    async def script(caller: Caller) -> None:
        await caller.content(generation_complete=True)
        await caller.answer("Hello.", complete=False)
        await caller.raw(*said)
        await caller.close(code, f"{KEY}.{KEY}")

    seen = list[RealtimeEvent]()
    async with watched(), loopback(script) as here, open_session(ours(here.base_url)) as session:
        await ended(session, session.events(), seen)
        outcome = await session.outcome()
        for shown in (session, session.statistics, session.config, outcome):
            assert KEY not in repr(shown)
    return seen


@pytest.mark.parametrize("code", CODES)
async def test_farewells(code: int) -> None:
    assert KEY not in repr(await heard(code=code))


@pytest.mark.parametrize("said", COMPLAINTS, ids=range(len(COMPLAINTS)))
async def test_complaints(said: str) -> None:
    seen = await heard(said)
    assert any(isinstance(event, ResponseDone) for event in seen)
    assert KEY not in repr(seen)
    assert HANDLE not in repr(seen)


async def test_a_handle_is_kept_and_never_shown() -> None:
    seen = await heard(COMPLAINTS[-1])
    (kept,) = (event for event in seen if isinstance(event, ResumptionHandle))
    assert kept.handle.reveal() == HANDLE


async def test_data_is_passed_on_as_it_came() -> None:
    seen = await heard(*DATA)
    (unknown,) = (event for event in seen if isinstance(event, Unknown))
    assert (unknown.name, unknown.data) == (KEY, f'"{TOLD}"')
    (words,) = (e for e in seen if isinstance(e, UserTranscript) and e.final)
    assert words.text == KEY
