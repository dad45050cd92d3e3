"""The recipes: each runs, does what it says, and is short; with the local voice too."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import anyio
import pytest
from msgspec.structs import replace

from realtime_core import (
    ActivityEnd,
    ActivityStart,
    AgentTranscript,
    Audio,
    AudioFormat,
    CreateResponse,
    Frame,
    ItemId,
    RealtimeSession,
    ResponseDone,
    ResponseId,
    ResponseText,
    SpeechStarted,
    Text,
    ToolResult,
    UserTranscript,
    Video,
)
from realtime_core.audio.files import write_wav
from realtime_core.playback import ClockSink, player
from realtime_core.testing import TICK, run
from realtime_core.testing.scripted import Peer, Script, scripted
from realtime_gemini import gemini
from realtime_gemini.server import Caller, loopback
from tests.core.short import C1, I1, R1, R2, SECOND, call, done, sound, started, words
from tests.stand_in import stand_in

HERE = Path(__file__).parent
RECIPES = sorted(path.stem for path in HERE.glob("*.py") if not path.stem.startswith("test_"))


def recipe(name: str) -> ModuleType:
    return importlib.import_module(f"tests.recipes.{name}")


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_short_and_says_how_to_run_it(name: str) -> None:
    text = (HERE / f"{name}.py").read_text()
    assert len(text.splitlines()) < 60
    assert f"tests/recipes/{name}.py" in (recipe(name).__doc__ or "")
    assert "async def main(" in text
    assert 'provider: str = "local"' in text


def played(
    name: str,
    script: Script,
    backend: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *arguments: str,
) -> str:
    """Run a recipe with a script in place of the local voice, and give what it printed."""
    stand_in(monkeypatch, scripted(script))
    run(recipe(name).main, *arguments, backend=backend)
    return capsys.readouterr().out


async def asked(peer: Peer) -> str:
    """Wait until an answer is asked for, and give the name of the request."""
    create = await peer.until(CreateResponse)
    assert isinstance(create, CreateResponse)
    return create.request


@pytest.fixture
def recording(tmp_path: Path) -> str:
    path = tmp_path / "question.wav"
    write_wav(path, b"\x00\x10" * 3 * 4_800, AudioFormat(rate=48_000, channels=2))
    return str(path)


def test_voice_agent_with_tools(
    anyio_backend: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    results = list[str]()

    async def script(peer: Peer) -> None:
        request = await asked(peer)
        wanted = replace(call(C1, "weather"), arguments='{"city": "Rome"}')
        await peer.say(started(R1, request), wanted, done())
        result = await peer.until(ToolResult)
        assert isinstance(result, ToolResult)
        results.append(result.output)
        request = await asked(peer)
        answer = words(result.output, response=R2, final=True)
        await peer.say(started(R2, request), answer, sound(response=R2), done(R2))
        await peer.drain()

    out = played("voice_agent_with_tools", script, anyio_backend, capsys, monkeypatch, "Rome?")
    assert results == ["It rains in Rome, 12 degrees."]
    assert out == "It rains in Rome, 12 degrees.\n"


async def wanting_pizza(peer: Peer) -> None:
    """Play a provider that calls the tool of the recipe, and ends the response with the call."""
    request = await asked(peer)
    wanted = replace(call(C1, "order_pizza"), arguments='{"topping": "ham"}')
    await peer.say(started(R1, request), wanted, done())


@pytest.mark.parametrize(
    ("verdict", "progress", "output"),
    [
        ("yes", "[50 %]\n[100 %]\n", "The pizza with ham is on its way."),
        ("no", "", "It was not approved."),
    ],
)
def test_approval(
    anyio_backend: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    verdict: str,
    progress: str,
    output: str,
) -> None:
    async def script(peer: Peer) -> None:
        await wanting_pizza(peer)
        result = await peer.until(ToolResult)
        assert isinstance(result, ToolResult)
        request = await asked(peer)
        answer = words(result.output, response=R2, final=True)
        await peer.say(started(R2, request), answer, done(R2))
        await peer.drain()

    out = played("approval", script, anyio_backend, capsys, monkeypatch, "Ham!", verdict)
    assert out == f"[a pizza with ham?]\n{progress}{output}\n"


@pytest.mark.parametrize("ticks", [8, 65], ids=["while it waits", "while it works"])
def test_approval_is_taken_back_by_speaking(
    anyio_backend: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    ticks: int,
) -> None:
    peers = list[Peer]()

    async def script(peer: Peer) -> None:
        peers.append(peer)
        await wanting_pizza(peer)
        await anyio.sleep(ticks * TICK)
        await peer.say(SpeechStarted())
        await anyio.sleep(2)
        await peer.say(started(R2), words("All right.", response=R2, final=True), done(R2))
        await peer.drain()

    out = played("approval", script, anyio_backend, capsys, monkeypatch)
    assert out == "[a pizza with ham?]\n[taken back]\nAll right.\n"
    sent = [type(frame).__name__ for frame in peers[0].sent]
    assert sent == ["Greeting", "Text", "CreateResponse", "Close"]


def test_push_to_talk(
    anyio_backend: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    recording: str,
) -> None:
    sent = list[str]()

    async def script(peer: Peer) -> None:
        await peer.until(CreateResponse)
        sent.extend(type(frame).__name__ for frame in peer.sent[1:])
        await peer.say(
            UserTranscript(item=ItemId("user"), text="And now?", final=True),
            started(),
            words("Yes."),
            done(),
        )
        await peer.drain()

    out = played("push_to_talk", script, anyio_backend, capsys, monkeypatch, recording)
    wanted = (ActivityStart, Audio, ActivityEnd, CreateResponse)
    assert list(dict.fromkeys(sent)) == [kind.__name__ for kind in wanted]
    assert out == "user: And now?\nassistant: Yes.\n"


def test_camera_question(
    anyio_backend: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = list[Frame]()

    async def script(peer: Peer) -> None:
        for _ in range(3):
            frame = await peer.until(Video, Text)
            assert isinstance(frame, Video | Text)
            frames.append(frame)
        pieces = (ResponseText(response=R1, item=I1, text=t, is_complete=False) for t in "OK")
        await peer.say(started(), *pieces, done())
        await peer.drain()

    out = played("camera_question", script, anyio_backend, capsys, monkeypatch, "What is it?")
    assert [type(frame) for frame in frames] == [Video, Text, Video]
    assert all(f.image.startswith(b"\xff\xd8") for f in frames if isinstance(f, Video))
    assert out == "OK\n"


@pytest.mark.parametrize("spoken", [False, True], ids=["typed", "spoken"])
def test_point_a_camera(
    anyio_backend: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    recording: str,
    spoken: bool,
) -> None:
    frames = list[Frame]()

    async def script(peer: Peer) -> None:
        for _ in range(2):
            frame = await peer.until(Video, Text, Audio)
            assert isinstance(frame, Video | Text | Audio)
            frames.append(frame)
        said = UserTranscript(item=ItemId("user"), text="What is it?", final=True)
        await peer.say(*[said] * spoken, started(), words("A sign.", final=True), done())
        await peer.drain()

    question = recording if spoken else "What is it?"
    out = played("point_a_camera", script, anyio_backend, capsys, monkeypatch, question)
    assert [type(frame) for frame in frames] == [Video, Audio if spoken else Text]
    assert isinstance(frames[0], Video)
    assert frames[0].image.startswith(b"\xff\xd8")
    assert out == "user: What is it?\nassistant: A sign.\n"


def test_a_camera_is_pointed_at_a_film(
    anyio_backend: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The same program with another service, which is here on loopback."""
    from tests.core.video.clips import film_of

    pictures = list[bytes]()

    async def script(caller: Caller) -> None:
        pictures.append(await caller.until("realtime_input.video.data"))
        assert await caller.turn() == "What is it?"
        await caller.answer("A film.", pcm=bytes(4_800))
        await caller.until("never")

    async def program() -> None:
        async with loopback(script, port=None) as here:
            far = gemini(base_url="http://127.0.0.1:1", api_key="")
            stand_in(monkeypatch, replace(far, dial=here.dial))
            path = film_of(tmp_path / "a.mp4", *range(0, 250, 25), fps=5)
            await recipe("point_a_camera").main("What is it?", shown=str(path))

    anyio.run(program, backend=anyio_backend)
    assert pictures[0].startswith(b"\xff\xd8")
    assert capsys.readouterr().out == "user: What is it?\nassistant: A film.\n"


def test_captions(
    anyio_backend: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    recording: str,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.until(Audio)
        await peer.say(UserTranscript(text="And", final=False))
        await peer.say(UserTranscript(text="And now?", final=True))
        await peer.say(started(), words("Not "), words("now."), words("Not now.", final=True))
        await peer.drain()

    out = played("captions", script, anyio_backend, capsys, monkeypatch, recording)
    assert out.split("\r")[1:] == [
        "you: And",
        "you: And now?\n",
        "it: Not ",
        "it: Not now.",
        "it: Not now.\n",
    ]


class Couple:
    """Alice speaks for two seconds; Bob talks over her once he has heard half a second of her."""

    def __init__(self) -> None:
        self.heard = {0: 0, 1: 0}
        """Samples of sound, not silence, that reached the ears of Alice's and Bob's providers."""
        self.late = 0
        """Those of Alice's that reached Bob after she was talked over."""
        self.cut = False

    async def __call__(self, peer: Peer) -> None:
        if peer.conn == 0:
            await self.answer(peer, R1, "One two three four.", await asked(peer))
            await self.listen(peer, 2_400)
            self.cut = True
            await peer.say(SpeechStarted(), done(R1, "cancelled"))
            await peer.drain()
            return
        await self.listen(peer, SECOND // 2)
        await self.answer(peer, R2, "Stop.", None)
        await self.listen(peer, 2 * SECOND)

    async def answer(self, peer: Peer, id: ResponseId, text: str, request: str | None) -> None:
        said = replace(sound(2 * SECOND, response=id), pcm=b"\1\0" * 2 * SECOND)
        spoken = words(text, response=id, span=(0, 2 * SECOND))
        await peer.say(started(id, request), spoken, said)
        if id == R2:
            await peer.say(done(id))

    async def listen(self, peer: Peer, samples: int) -> None:
        with suppress(anyio.EndOfStream):
            while self.heard[peer.conn] < samples:
                frame = await peer.until(Audio)
                assert isinstance(frame, Audio)
                self.heard[peer.conn] += frame.pcm.count(1)
                self.late += self.cut * (peer.conn == 1) * frame.pcm.count(1)


def test_two_agents(
    anyio_backend: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    couple = Couple()
    monkeypatch.setattr(recipe("two_agents"), "ANSWERS", 2)
    out = played("two_agents", couple, anyio_backend, capsys, monkeypatch)
    assert out == "bob: Stop.\nalice: One\n"
    assert couple.heard[0] >= 2_400
    assert SECOND // 2 <= couple.heard[1] < SECOND
    assert couple.late <= SECOND // 50, "what was under way when she fell silent"


def test_downstream_test_example(
    anyio_backend: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    example = recipe("downstream_test_example")
    example.test_the_agent_notes_what_was_heard()
    name = "downstream_test_example"
    out = played(name, example.teacher, anyio_backend, capsys, monkeypatch)
    assert out == "It is Paris, of course.\n"


async def _hasty(session: RealtimeSession[Frame]) -> str:
    """Note a word as soon as it comes, whether it is heard or not."""
    noted = ""
    async with player(session, ClockSink()) as speaker:
        await session.simple_response("What is the capital of France?")
        async for event in session.events():
            speaker.take(event)
            noted += event.text if isinstance(event, AgentTranscript) else ""
            if isinstance(event, ResponseDone):
                break
        await speaker.drained()
    return noted


def test_the_example_finds_an_agent_that_notes_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    example = recipe("downstream_test_example")
    monkeypatch.setattr(example, "agent", _hasty)
    with pytest.raises(AssertionError, match="fails at"):
        example.test_the_agent_notes_what_was_heard()


@pytest.mark.models
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_runs_with_the_local_voice(name: str) -> None:
    paths = os.pathsep.join(("providers", ".", os.environ.get("PYTHONPATH", "")))
    done = subprocess.run(
        [sys.executable, f"tests/recipes/{name}.py"],
        cwd=HERE.parent.parent,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
