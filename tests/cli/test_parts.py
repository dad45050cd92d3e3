"""The parts of the command: what is known of an exchange, captions, JSON, complaints, the feed."""

from __future__ import annotations

import errno
import io
import sys
from collections.abc import Sequence
from types import MappingProxyType

import anyio
import msgspec
import pytest
from msgspec.structs import replace

from realtime_core import (
    PCM_16K,
    PCM_24K,
    AgentTranscript,
    Audio,
    AudioOutput,
    Connected,
    ConversationItem,
    Disconnected,
    Dropped,
    Epoch,
    Error,
    HeardItem,
    InternalFault,
    Interrupted,
    InvalidRequest,
    ItemId,
    Message,
    RealtimeEvent,
    RealtimeException,
    Reconnected,
    RequestId,
    ResponseDone,
    ResponseId,
    ResponseStarted,
    ResponseText,
    ResumptionHandle,
    Secret,
    SessionConfig,
    SessionEnding,
    SpeechStarted,
    SpeechStopped,
    Suspend,
    TimedOut,
    ToolCall,
    ToolCallCancelled,
    Unavailable,
    UserTranscript,
    Warning,
    failover,
    open_session,
)
from realtime_core.cli.captions import Captions, Line, caption
from realtime_core.cli.exchange import Exchange, follow
from realtime_core.cli.faults import DEBUG, code_of, error_of
from realtime_core.cli.feed import Feed
from realtime_core.cli.notation import encode, notation
from realtime_core.cli.output import ReaderGone, clean, note, put
from realtime_core.cli.progress import progress
from realtime_core.config import Lanes
from realtime_core.epoch import CallId
from realtime_core.testing import run
from realtime_core.testing.scripted import SCRIPTED, Peer, scripted

R1, R2, I1, C1 = ResponseId("r1"), ResponseId("r2"), ItemId("i1"), CallId("c1")

# --- exchange -------------------------------------------------------------------------------------


def after(*events: RealtimeEvent, asked: bool = False) -> Exchange:
    known = Exchange(asked=asked)
    for event in events:
        known = follow(known, event)
    return known


SPOKEN = (SpeechStarted(), SpeechStopped(), UserTranscript(text="hi", final=True))
ANSWERED = (ResponseStarted(response=R1), ResponseDone(response=R1, status="completed"))


@pytest.mark.parametrize(
    ("events", "settled", "asked"),
    [
        ((), False, False),
        (SPOKEN, False, True),
        ((*SPOKEN, *ANSWERED), True, True),
        ((*SPOKEN, ANSWERED[0]), False, True),
        ((*SPOKEN, *ANSWERED, SpeechStarted()), False, True),
        ((*SPOKEN, *ANSWERED, *SPOKEN), False, True),
        ((*SPOKEN[:2], UserTranscript(text=" ", final=True)), False, False),
        ((*SPOKEN, ResponseDone(response=R2, status="cancelled")), False, True),
        ((Error(error=TimedOut(what="x"), recoverable=True),), False, False),
        ((Error(error=TimedOut(what="x"), recoverable=True, request=RequestId("q")),), True, False),
        ((Disconnected(reason="x", clean=True),), True, False),
    ],
)
def test_an_exchange_is_settled_when_its_last_question_was_answered(
    events: Sequence[RealtimeEvent], settled: bool, asked: bool
) -> None:
    known = after(*events)
    assert (known.settled, known.asked) == (settled, asked)


def test_a_call_is_due_a_continuation_unless_it_is_void() -> None:
    call = ToolCall(response=R1, call=C1, name="f", arguments="{}")
    called = (*SPOKEN, ANSWERED[0], call, ANSWERED[1])
    assert not after(*called).settled
    more = (ResponseStarted(response=R2), ResponseDone(response=R2, status="completed"))
    assert after(*called, *more).settled
    assert after(*called, ToolCallCancelled(calls=(C1,))).settled
    assert not after(*called, SpeechStarted(), ToolCallCancelled(calls=(C1,))).settled


def test_failures_are_kept() -> None:
    error = Unavailable(what="gone")
    done = ResponseDone(response=R1, status="failed", error=error)
    assert after(ResponseStarted(response=R1), done).failure == error
    assert after(Disconnected(reason="x", clean=False, error=error)).failure == error
    assert after(Disconnected(reason="x", clean=True)).failure is None
    assert after(Error(error=error, recoverable=False)).failure == error


# --- captions -------------------------------------------------------------------------------------


def lines(*events: RealtimeEvent) -> list[str]:
    known, finished = Captions(), list[str]()
    for event in events:
        known = caption(known, event)
        finished += [f"{line.style}: {line.text}" for line in known.finished]
    return finished + [f"open {line.style}: {line.text}" for line in known.open]


def words(text: str, *, final: bool = False) -> AgentTranscript:
    return AgentTranscript(response=R1, item=I1, text=text, final=final)


def heard(text: str, samples: int = 12_000, *, exact: bool = True) -> Interrupted:
    part = HeardItem(I1, R1, samples, 24_000, 24_000, text, exact)
    return Interrupted(cause="provider", heard=(part,), fenced=(R1,), epoch=Epoch(1))


def user(text: str, *, final: bool = False) -> UserTranscript:
    return UserTranscript(item=ItemId("u1"), text=text, final=final)


@pytest.mark.parametrize(
    ("events", "shown"),
    [
        ((user("he"), user("hello")), ["open you: hello"]),
        ((user("he"), user("hello.", final=True)), ["you: hello."]),
        ((user("he"), user("", final=True)), []),
        ((words("Well,"), words(" yes.")), ["open voice: Well, yes."]),
        ((words("Well,"), words("Well, yes.", final=True)), ["voice: Well, yes."]),
        (
            (words("Well,"), user("no"), heard("Well"), words("Well, yes.", final=True)),
            [
                "voice: Well, ...",
                'aside: cut after 0.50 s; the history keeps "Well"',
                "open you: no",
            ],
        ),
        (
            (words("Well, yes.", final=True), heard("Well", exact=False)),
            ["voice: Well, yes.", 'aside: cut after 0.50 s; the history keeps "Well" (about)'],
        ),
        (
            (Interrupted(cause="app", fenced=(R1,)),),
            ["aside: cut after 0.00 s; the history keeps nothing of it"],
        ),
        ((Interrupted(cause="app"),), []),
        ((Interrupted(cause="close", fenced=(R1,)),), []),
        ((ResponseText(response=R1, item=I1, text="A", is_complete=True),), ["voice: A"]),
        ((ConversationItem(message=Message("user", "typed")),), ["you: typed"]),
        ((ConversationItem(item=I1, message=Message("user", "spoken")),), []),
        ((ConversationItem(message=Message("tool_result", "x")),), []),
        ((ToolCall(call=C1, name="f", arguments="{}"),), ["aside: calls f({})"]),
        ((ResponseDone(response=R1, status="incomplete"),), ["aside: the answer ended early"]),
        ((ResponseDone(response=R1, status="completed"),), []),
        ((ResponseDone(response=R1, status="failed"),), ["aside: the answer failed"]),
        (
            (ResponseDone(response=R1, status="failed", error=TimedOut(what="late")),),
            ["aside: the answer failed: late"],
        ),
        ((Error(error=TimedOut(what="late"), recoverable=True),), ["aside: error: late"]),
        ((Warning(field="voice", why="none"),), ["aside: voice: none"]),
        (
            (Dropped(lane="audio", reason="full", count=3, ms=60.0),),
            ["aside: 3 audio frames (60 ms) dropped: full"],
        ),
        ((Reconnected(restored="handle"),), ["aside: connected again by handle"]),
        (
            (Reconnected(restored="history", lost=("a", "b")),),
            ["aside: connected again by history; lost: a, b"],
        ),
        (
            (Reconnected(restored="history", provider="gemini"),),
            ["aside: gemini has taken over by history"],
        ),
        ((SessionEnding(left=5.0),), ["aside: the provider ends this session in 5 s"]),
        ((SessionEnding(),), ["aside: the provider ends this session"]),
        (
            (Connected(session_id="s", config=SessionConfig(model="m"), capabilities=SCRIPTED),),
            ["aside: Connected to scripted:m."],
        ),
    ],
)
def test_captions(events: Sequence[RealtimeEvent], shown: list[str]) -> None:
    assert lines(*events) == shown


def test_captions_are_values() -> None:
    assert Captions() == Captions((), MappingProxyType({}))
    assert Line("you", "a") == Line("you", "a")


# --- JSON -----------------------------------------------------------------------------------------


def test_sound_is_counted_and_secrets_do_not_show() -> None:
    sound = AudioOutput(response=R1, item=I1, pcm=bytes(96), format=PCM_24K, seq=3, at=1.5)
    shown = notation(sound)
    assert list(shown)[:4] == ["type", "seq", "epoch", "at"]
    assert shown["samples"] == 48
    assert "pcm" not in shown
    line = encode(notation(ResumptionHandle(handle=Secret("s3cret"))))
    assert b'"handle":"***"' in line
    assert b"s3cret" not in line


def test_foreign_values_in_options_do_not_stop_the_output() -> None:
    options = MappingProxyType({"mind": print, "more": MappingProxyType({"a": Secret("x")})})
    config = SessionConfig(options=options)
    line = encode(notation(Connected(session_id="s", config=config, capabilities=SCRIPTED)))
    options_shown = msgspec.json.decode(line)["config"]["options"]
    assert options_shown == {"mind": "<builtin_function_or_method>", "more": {"a": "***"}}


# --- complaints -----------------------------------------------------------------------------------


def test_exit_codes_of_exceptions(capsys: pytest.CaptureFixture[str]) -> None:
    told = RealtimeException(InvalidRequest(what="A.", cause="b", fix="C."))
    assert code_of(KeyboardInterrupt()) == 130
    assert code_of(BaseExceptionGroup("", [ValueError(), KeyboardInterrupt()])) == 130
    assert code_of(ExceptionGroup("", [ExceptionGroup("", [ReaderGone()]), ValueError()])) == 0
    assert capsys.readouterr().err == ""
    assert code_of(ExceptionGroup("", [told])) == 1
    assert capsys.readouterr().err == "error: A.\n  cause: b\n  fix:   C.\n"


def test_a_defect_says_where_and_how_to_learn_more(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ValueError("secret words")

    with pytest.raises(ValueError, match="secret") as raised:
        fail()
    monkeypatch.delenv(DEBUG, raising=False)
    assert code_of(raised.value) == 1
    err = capsys.readouterr().err
    assert "ValueError (test_parts.py:" in err
    assert "secret words" not in err
    assert DEBUG in err
    monkeypatch.setenv(DEBUG, "1")
    assert code_of(raised.value) == 1
    assert "ValueError: secret words" in capsys.readouterr().err


def test_exceptions_are_told_as_errors() -> None:
    assert error_of(FileNotFoundError(errno.ENOENT, "No such file", "a")).what == "No such file: a."
    assert "No module named 'rapidocr'" in error_of(_missing("rapidocr")).what
    assert "realtime-core[local-eyes]" in error_of(_missing("rapidocr")).fix
    assert "doctor" in error_of(_missing("strange")).fix
    assert isinstance(error_of(MemoryError()), InternalFault)


def _missing(name: str) -> ImportError:
    return ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünï 👍\tx", "plain ünï 👍\tx"),
        ("a\nb\r\nc", "a b c"),
        ("\x1b]0;title\x07x\x9b31m", "]0;titlex31m"),
        ("\ud800x", "x"),
    ],
)
def test_only_what_cannot_steer_a_terminal_is_shown(text: str, shown: str) -> None:
    assert clean(text) == shown


class _Pipe(io.StringIO):
    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def flush(self) -> None:
        raise OSError(self.number, "no")


def test_output_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (errno.EPIPE, errno.EIO):
        monkeypatch.setattr(sys, "stdout", _Pipe(number))
        with pytest.raises(ReaderGone):
            put("x")
    monkeypatch.setattr(sys, "stdout", _Pipe(errno.ENOSPC))
    with pytest.raises(RealtimeException, match="cannot be written: no"):
        put("x")
    monkeypatch.setattr(sys, "stderr", _Pipe(errno.EPIPE))
    note("nobody reads this")


# --- progress -------------------------------------------------------------------------------------


class _Stage(msgspec.Struct, frozen=True):
    label: str
    done: int
    total: int


def test_progress_is_sparse_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("models") as tell:
        for done in range(0, 1_000_001, 1_000):
            tell(_Stage("file", done, 1_000_000))
        tell(_Stage("waiting", 0, 0))
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "models: file (0 % of 1 MB)"
    assert told[-1] == "models: waiting"
    assert len(told) == 12


def test_progress_is_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setenv("TERM", "xterm-256color")
    with progress("models") as tell:
        tell(_Stage("a file", 500_000, 1_000_000))
        tell(_Stage("preparing", 0, 0))
    assert "\x1b[" in shown.getvalue()


# --- the feed -------------------------------------------------------------------------------------


def test_the_feed_is_an_open_microphone_on_an_absolute_schedule(anyio_backend: str) -> None:
    frames = list[tuple[float, bytes]]()

    async def script(peer: Peer) -> None:
        while True:
            try:
                frame = await peer.next()
            except anyio.EndOfStream:
                return
            if isinstance(frame, Audio):
                frames.append((anyio.current_time(), frame.pcm))

    async def program() -> None:
        async with open_session(scripted(script)) as session:
            feed = Feed(session, 1.0)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(feed.run)
                await anyio.sleep(0.5)
                feed.speak(b"\1\0" * 2_000)
                assert [feed.busy] == [True]
                await feed.spoken()
                assert [feed.busy] == [False]
                assert 0.9 < feed.rest <= 1.0
                await anyio.sleep(0.5)
                tasks.cancel_scope.cancel()
            feed.speak(b"\1\0")
            assert not feed.busy
            await feed.spoken()

    run(program, backend=anyio_backend)
    whole = b"".join(pcm for _, pcm in frames)
    assert whole.strip(b"\0").count(b"\1\0") == 1_999  # the last one lost its zero to the strip
    assert all(len(pcm) == 960 for _, pcm in frames)
    start = frames[0][0]
    for number, (at, _) in enumerate(frames):
        assert at - start == pytest.approx(number * 0.02, abs=0.001)


def test_the_feed_speaks_as_fast_to_whoever_takes_over(anyio_backend: str) -> None:
    heard = list[Audio]()

    async def first(peer: Peer) -> None:
        await anyio.sleep(0.5)
        raise RealtimeException(Unavailable(what="The cable was pulled."))

    async def second(peer: Peer) -> None:
        while True:
            frame = await peer.until(Audio)
            assert isinstance(frame, Audio)
            heard.append(frame)

    async def program() -> None:
        low = replace(SCRIPTED, audio_in=(PCM_16K,))
        async with open_session(failover(scripted(first), scripted(second, low))) as session:
            feed = Feed(session, 1.0)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(feed.run)
                await anyio.sleep(1.0)
                assert session.input_format == PCM_16K
                feed.speak(b"\x10\x10" * feed.format.rate)
                await feed.spoken()
                await anyio.sleep(0.1)
                tasks.cancel_scope.cancel()

    run(program, backend=anyio_backend)
    pcm = b"".join(frame.pcm for frame in heard)
    assert {frame.format for frame in heard} == {PCM_16K}
    assert sum(map(bool, memoryview(pcm).cast("h"))) == pytest.approx(16_000, abs=100)


def test_the_feed_ends_with_its_session(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.until(Audio)

    async def program() -> None:
        config = SessionConfig(lanes=Lanes(audio=Suspend()))
        for pace in (0.0, 1.0):
            async with open_session(scripted(script), config) as session:
                feed = Feed(session, pace)
                with anyio.fail_after(30):
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(feed.run)
                        feed.speak(bytes(480_000))
                        await feed.spoken()

    run(program, backend=anyio_backend)
