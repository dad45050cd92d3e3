"""A server that sends our key back, in every way: it is in nothing that the library says.

What a server puts into the conversation, or into an event that nobody knows, is data: it is passed
on as it came.
"""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable

import pytest
from anyio.abc import SocketStream

from realtime_core import (
    RealtimeEvent,
    RealtimeException,
    Unknown,
    UserTranscript,
    open_session,
)
from realtime_core.transports.websocket_server import Response
from realtime_openai import client_events as client
from realtime_openai import server_events as server
from realtime_openai.failures import quoted
from realtime_openai.server import Caller, loopback
from tests.core.transports.loopback import bare, head_of
from tests.providers.openai.watching import KEY, ended, ours, watched

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("silent")]

Script = Callable[[Caller], Awaitable[None]]
ECHO = server.ErrorDetails(
    type=KEY, code=KEY, message=f"Incorrect API key provided: {KEY}.", param=KEY, event_id=KEY
)
TOLD = f"Bearer {KEY}"
YES = "HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade"


async def unopened(base_url: str) -> str:
    """Fail to open; gives all that is said of it."""
    with pytest.raises(RealtimeException) as caught:
        async with open_session(ours(base_url)):
            pytest.fail("it opened")
    problem = caught.value
    shown = (repr(problem), str(problem), repr(problem.args), repr(problem.error))
    return "".join((*shown, *traceback.format_exception(problem)))


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 407, 429, 500, 503])
async def test_refused_upgrades(status: int) -> None:
    body = f'{{"error":{{"message":"{TOLD}","code":"{KEY}","type":"{KEY}"}}}}'.encode()
    headers = {"Location": f"http://x/?{KEY}", "Retry-After": KEY, "Date": KEY, "X-Key": TOLD}
    answers = [Response(status, headers, one) for one in (body, TOLD.encode(), KEY.encode() * 99)]
    async with watched(), loopback(_never, process_request=lambda _: answers.pop()) as here:
        while answers:
            assert KEY not in await unopened(here.base_url)


async def _never(caller: Caller) -> None:
    raise AssertionError(caller.path)


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
        assert TOLD.encode() in await head_of(stream)
        await stream.send(head.format(told=TOLD).encode() + b"\r\n\r\n")

    async with watched(), bare(far) as port:
        assert KEY not in await unopened(f"http://127.0.0.1:{port}/v1")


CODES = [1001, 1008, 1009, 1011, 3000, 3003, 4000, 4999]


@pytest.mark.parametrize("code", CODES)
async def test_farewells_before_the_acknowledgement(code: int) -> None:
    async def script(caller: Caller) -> None:
        await caller.until(client.UpdateSession)
        await caller.close(code, f"{KEY}.{KEY}")

    async with watched(), loopback(script, mirrored=False) as here:
        assert KEY not in await unopened(here.base_url)


async def test_an_error_before_the_acknowledgement() -> None:
    async def script(caller: Caller) -> None:
        await caller.say(server.Fault(error=ECHO))
        await caller.close(3000, f"invalid_request_error.{KEY}")

    async with watched(), loopback(script, mirrored=False) as here:
        said = await unopened(here.base_url)
        assert KEY not in said
        assert "Incorrect API key provided: ***" in said


FAILED = server.StatusDetails(type="failed", reason=KEY, error=ECHO)
SPOKEN = "conversation.item.input_audio_transcription"
COMPLAINTS: tuple[server.ServerEvent | str, ...] = (
    server.Fault(error=ECHO),
    server.ResponseFinished(
        response=server.ResponseObject("r", status="failed", status_details=FAILED)
    ),
    server.UserFailed(item_id="u", error=ECHO),
    f'{{"type":"{KEY}","a":}}',
    f'{{"type":"error","error":"{KEY}"}}',
    f'{{"type":"error","error":{{"code":{{"{KEY}":1}}}}}}',
    f'{{"type":"response.output_audio.delta","response_id":"r","item_id":"i","delta":"{KEY}!"}}',
)
DATA: tuple[server.ServerEvent | str, ...] = (
    server.SessionUpdated(session={"model": KEY}),
    server.UserDone(item_id="v", transcript=KEY),
    f'{{"type":"{KEY}","said":"{TOLD}"}}',
)


async def heard(*said: server.ServerEvent | str, code: int = 4000) -> list[RealtimeEvent]:
    """Have a server say this, and close; gives the events that it became."""

    async def script(caller: Caller) -> None:
        await caller.until(client.UpdateSession)
        await caller.say(server.SessionUpdated())
        for one in said:
            await (caller.raw(one) if isinstance(one, str) else caller.say(one))
        await caller.close(code, f"{KEY}.{KEY}")

    seen = list[RealtimeEvent]()
    serving = loopback(script, mirrored=False)
    async with watched(), serving as here, open_session(ours(here.base_url)) as session:
        await ended(session, session.events(), seen)
        outcome = await session.outcome()
        for shown in (session, session.statistics, session.config, outcome):
            assert KEY not in repr(shown)
    return seen


@pytest.mark.parametrize("code", CODES)
async def test_farewells(code: int) -> None:
    assert KEY not in repr(await heard(code=code))


@pytest.mark.parametrize("said", COMPLAINTS, ids=range(len(COMPLAINTS)))
async def test_complaints(said: server.ServerEvent | str) -> None:
    seen = await heard(said)
    assert len(seen) > 2
    assert KEY not in repr(seen)


async def test_data_is_passed_on_as_it_came() -> None:
    seen = await heard(*DATA)
    (unknown,) = (event for event in seen if isinstance(event, Unknown))
    (words,) = (event for event in seen if isinstance(event, UserTranscript))
    assert (unknown.name, words.text) == (KEY, KEY)
    assert unknown.data == DATA[-1]


@pytest.mark.parametrize(
    "key",
    [
        KEY,
        "ek_68af296e8e408191a1120ab6383263c2",
        "xai-" + "aB3" * 26,
        "0123456789abcdef" * 2,
        "A1b2" * 21,
        "eyJhbGciOi.eyJzdWIiOi.SflKxwRJSMeKK",
    ],
)
def test_every_vendors_keys_are_known(key: str) -> None:
    for words in ("Wrong: {}", "{}", "'{}'", "Bearer {}.", "a={}&b", "{}, and {}"):
        assert quoted(words.replace("{}", key)) == words.replace("{}", "***")


@pytest.mark.parametrize(
    "words",
    [
        "Conversation already has an active response in progress: resp_DKxYz0123456789abcdef.",
        "Item with item_id 'item_DKxYz0123456789abcdefghijkl' was not found.",
        "conversation_already_has_active_response",
        "The request 11d4b43e-5c5b-4d1e-8f43-0a5e2d7a3c11 failed.",
        "Model gpt-realtime-2.1-2026-08-28 does not exist. This task-force asks.",
    ],
)
def test_what_is_no_key_stays(words: str) -> None:
    assert quoted(words) == words


def test_words_without_end_are_not_quoted_whole() -> None:
    assert len(quoted("a b " * 1_000_000)) == 1_000
