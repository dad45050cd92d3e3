"""What a caller asks of a session: plain frozen values.

Nothing here opens, reads or checks anything; `capability.negotiate` does the checking.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from .audio.format import AudioFormat
from .epoch import CallId, ItemId
from .schedule import Recurs, Schedule

__all__ = (
    "Authority",
    "Lanes",
    "Latest",
    "Message",
    "Outlet",
    "Policy",
    "Secret",
    "SessionConfig",
    "Slide",
    "Suspend",
    "ToolPolicy",
    "ToolSpec",
    "TurnDetection",
    "TwoPhase",
)

Authority = Literal["provider", "local", "application"]
ToolPolicy = Literal["cancel", "finish", "detach"]


class Secret:
    """A credential that never shows: not in repr, str, logs, exceptions or pickles.

    Holds a string, or a callable asked anew at each connect. `reveal()` gives the string.
    """

    __slots__ = ("_source",)

    def __init__(self, source: str | Callable[[], str]) -> None:
        self._source = source

    def reveal(self) -> str:
        """Give the secret itself; only the transport that sends it should ask."""
        return self._source if isinstance(self._source, str) else self._source()

    @property
    def held(self) -> str | None:
        """The secret, where it is held here; None where it is asked for anew, and not asked."""
        return self._source if isinstance(self._source, str) else None

    def __repr__(self) -> str:
        return "Secret(***)"

    def __getstate__(self) -> object:
        raise TypeError("a Secret cannot be pickled or copied to another process")

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("a Secret cannot be pickled or copied to another process")


class Suspend(msgspec.Struct, frozen=True, tag=True):
    """A full lane makes `send` wait and `send_nowait` raise `LaneFull`; nothing is dropped."""

    cap: int = 2_000
    """Room in milliseconds of audio; in frames for other kinds."""


class Slide(msgspec.Struct, frozen=True, tag=True):
    """A full lane drops its oldest frames, counted; no push ever waits."""

    cap: int = 2_000
    """Room in milliseconds of audio; in frames for other kinds."""
    max_age: int = 2_000
    """Milliseconds after which a waiting frame is too old to be worth sending."""


class Latest(msgspec.Struct, frozen=True, tag=True):
    """Only the newest frame waits; an older one is dropped, counted."""


Policy = Suspend | Slide | Latest


class Lanes(msgspec.Struct, frozen=True):
    """Backpressure per kind of input, towards the provider."""

    audio: Policy = Slide()
    video: Policy = Latest()
    control: Suspend = Suspend(cap=1_024)


class Outlet(msgspec.Struct, frozen=True):
    """The buffer between provider and consumer: large, because a small one makes the session deaf.

    At the cap the provider's connection is no longer read (`pause`), the oldest audio is dropped,
    counted (`drop`), or the session ends with a typed error (`fail`). Far beyond any conversation
    there is a cap on the number of events too, at which reading pauses.
    """

    seconds: float = 120.0
    policy: Literal["pause", "drop", "fail"] = "pause"


class TwoPhase(msgspec.Struct, frozen=True):
    """A barge-in in two phases: held at the onset of sound, cut once that is confirmed as speech.

    What confirms first cuts: duration, words, the application's `Interrupt`, or the provider, when
    it answers the new turn. Speech that ends unconfirmed releases the answer where it was held.
    """

    confirm_ms: int | None = 1_000
    """Speech of this length confirms, the silence that tells its end included; None: none does.

    A provider that only says that it has interrupted tells of no length.
    """
    confirm_words: int | None = 1
    """As many recognised words confirm; None: words are not waited for."""
    deadline_ms: int = 3_000
    """A hold that is still undecided after this time is decided."""
    at_deadline: Literal["confirm", "release"] = "release"


class TurnDetection(msgspec.Struct, frozen=True):
    """Who decides that a turn of the user began and ended, and who may start a barge-in."""

    mode: Literal["server", "semantic", "manual"] = "server"
    authority: Authority = "provider"
    threshold: float | None = None
    """Loudness or probability above which sound is speech, 0 to 1; None: the provider's default."""
    prefix_ms: int | None = None
    silence_ms: int | None = None
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    idle_timeout_ms: int | None = None
    two_phase: TwoPhase | None = None
    """Hold first, cut when confirmed; None: cut at the onset."""


class ToolSpec(msgspec.Struct, frozen=True):
    """A tool the model may call: its JSON schema and what an interruption does to a running call.

    `cancel` stops the handler, `finish` lets it end and sends the result, `detach` lets it end and
    keeps the result from the model.
    """

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = msgspec.field(
        default_factory=lambda: {"type": "object", "properties": {}}
    )
    policy: ToolPolicy = "cancel"


class Message(msgspec.Struct, frozen=True):
    """One entry of the conversation, as it was said and heard."""

    role: Literal["user", "assistant", "system", "tool_call", "tool_result"]
    text: str
    item: ItemId | None = None
    call: CallId | None = None
    name: str = ""
    exact: bool = True
    """False where the end of a heard text is an estimate."""


class SessionConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a caller may choose; what a provider lacks is a `Warning` or `Unsupported`."""

    model: str = ""
    voice: str = ""
    instructions: str = ""
    language: str = ""
    modalities: tuple[Literal["audio", "text"], ...] = ("audio",)
    input_format: AudioFormat | None = None
    output_format: AudioFormat | None = None
    turn_detection: TurnDetection = TurnDetection()
    transcribe_user: bool = True
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: str = "auto"
    temperature: float | None = None
    max_output_tokens: int | None = None
    history: tuple[Message, ...] = ()
    fps: float = 1.0
    """Video frames per second sent to the model; faster pushes keep the latest."""
    report_input: bool = True
    """Whether audio that was sent comes back as `AudioInput` events."""
    lanes: Lanes = Lanes()
    outlet: Outlet = Outlet()
    retry: Schedule = Recurs(0)
    """Whether and when a lost connection is made again; `RECONNECT` is what users of a call expect.

    A connection that the provider says will end is changed for another ahead of that in any case.
    """
    connect_timeout: float = 30.0
    """Seconds until the provider must have acknowledged the session."""
    barrier_timeout: float = 2.0
    """Seconds after an interruption until an unanswered response is settled by us."""
    grace_timeout: float = 2.0
    """Seconds that a cancelled tool handler has to leave before its call is reported cancelled."""
    close_timeout: float = 2.0
    """Seconds that closing may take although the peer is mute."""
    options: Mapping[str, Any] = msgspec.field(default_factory=dict[str, Any])
    """Provider-specific settings, named in that provider's page."""
