"""`realtime talk`: hold a conversation with a provider, from files, words or the microphone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import anyio
import typer
from msgspec.structs import replace
from returns.result import Failure

from ..config import SessionConfig, Suspend
from ..errors import InvalidRequest, RealtimeException, Unsupported
from ..frames import Frame
from ..provider import Provider, resolve
from .converse import converse
from .order import in_order
from .plan import Barge, Talk
from .screen import screen
from .script import Given, Turn, Typed, read
from .sight import source_of
from .stop import stoppable

__all__ = ("talk",)

_DEFAULT_AFTER = 1.0


def talk(
    ctx: typer.Context,
    *,
    provider: Annotated[
        str, typer.Argument(help="A provider, or provider:model. See `realtime providers`.")
    ] = "local",
    say: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="A turn: the local voice speaks it into the session."),
    ] = None,
    audio: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="A turn: a recording (WAV, FLAC, MP3, Ogg)."),
    ] = None,
    text: Annotated[list[str] | None, typer.Option(metavar="TEXT", help="A turn: typed.")] = None,
    image: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="A picture, shown before the next turn; after the last, it asks what is seen.",
        ),
    ] = None,
    video: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|camera|screen",
            help="Show this while talking: a video file, the camera (camera:1 the second), the "
            "screen.",
        ),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(metavar="NUMBER", help="Pictures a second that are shown.  [default: 1.0]"),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE.wav", help="Keep what was heard of the answers.")
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Record the session, for `realtime replay`."),
    ] = None,
    pace: Annotated[
        float, typer.Option(min=0, help="Speed of the input: 1 is real time, 0 as fast as it goes.")
    ] = 1.0,
    interrupt_with: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Talk over the first answer with this.")
    ] = None,
    after: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="SECONDS", help="How much of it is heard before that.  [default: 1.0]"
        ),
    ] = None,
    mind: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH", help="The local voice's mind: small, better, or a GGUF file."
        ),
    ] = None,
    transport: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="How sound travels, where a provider offers a choice: websocket or webrtc.",
        ),
    ] = None,
    voice: Annotated[str, typer.Option(help="The voice that answers.")] = "",
    instructions: Annotated[str, typer.Option(help="What the model is told about its task.")] = "",
    speaker: Annotated[
        bool | None,
        typer.Option(help="Play on the sound device.  [default: if there is one]"),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per event, nothing else.")
    ] = False,
) -> int:
    """Talk with a provider. Inputs are turns, in the order given; without any: the microphone."""
    _check_number("--pace", pace)
    _check_number("--after", after)
    _check_number("--fps", fps)
    if fps is not None and fps <= 0:
        raise typer.BadParameter("pictures come more often than never", param_hint="--fps")
    given = {"say": say, "audio": audio, "text": text, "image": image}
    inputs = cast(
        "tuple[Given, ...]", in_order(ctx, {kind: values or () for kind, values in given.items()})
    )
    barge = _barge(interrupt_with, after, inputs)
    for kind, value in inputs:
        _check_words(kind, value)
    made = _made(provider, mind=mind, transport=transport)
    turns = read(inputs, made.capabilities.image_bytes)
    _check_able(made, turns, speaks=barge is not None, shows=video is not None)
    source = source_of(video, pace) if video is not None else None
    taken = [Path(value) for kind, value in inputs if kind in {"audio", "image"}]
    taken += [Path(video)] if video is not None else []
    for option, path in (("--output", output), ("--record", record)):
        if path is not None:
            _check_output(option, path, taken)
            taken.append(path)
    plan = Talk(
        provider=made,
        config=_config(made, pace, voice=voice, instructions=instructions, fps=fps),
        turns=turns,
        video=source,
        barge=barge,
        output=output,
        record=record,
        pace=pace,
        speaker=speaker,
    )
    with screen(json=json) as shown:
        return anyio.run(stoppable, lambda: converse(plan, shown))


def _check_number(option: str, value: float | None) -> None:
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no number to count with", param_hint=option)


def _check_words(kind: str, value: str) -> None:
    if kind in {"say", "text", "interrupt-with"} and not value.strip():
        raise typer.BadParameter("there are no words in it", param_hint=f"--{kind}")


def _barge(words: str | None, after: float | None, inputs: tuple[Given, ...]) -> Barge | None:
    if words is None:
        if after is not None:
            raise typer.BadParameter("it needs --interrupt-with", param_hint="--after")
        return None
    _check_words("interrupt-with", words)
    if not inputs:
        raise typer.BadParameter("it needs an input to answer", param_hint="--interrupt-with")
    return Barge(words, _DEFAULT_AFTER if after is None else after)


def _made(name: str, **options: str | None) -> Provider[Frame]:
    made = resolve(name, **{name: value for name, value in options.items() if value is not None})
    if isinstance(made, Failure):
        raise RealtimeException(made.failure())
    return made.unwrap()


def _config(made: Provider[Frame], pace: float, **wish: str | float | None) -> SessionConfig:
    config = replace(
        made.defaults, **cast("Any", {name: value for name, value in wish.items() if value})
    )
    if pace == 1:
        return config
    # Faster than real time nothing may be dropped: the input is all there.
    return replace(config, lanes=replace(config.lanes, audio=Suspend()))


def _check_able(
    made: Provider[Frame], turns: tuple[Turn, ...], *, speaks: bool, shows: bool
) -> None:
    """Refuse at once what this provider cannot take."""
    able = made.capabilities
    shows = shows or any(turn.pictures for turn in turns)
    speaks = speaks or any(not isinstance(turn.ask, Typed) for turn in turns)
    lacks = (
        (speaks and not able.audio_in, "speech"),
        (shows and not able.images, "pictures"),
        (any(isinstance(turn.ask, Typed) for turn in turns) and not able.text_in, "typed text"),
    )
    for lacking, words in lacks:
        if lacking:
            raise RealtimeException(
                Unsupported(
                    what=f"The provider {made.name!r} takes no {words}.",
                    cause="this provider or model lacks it, or an extra of it is not installed",
                    fix="Look at `realtime providers` and `realtime doctor`.",
                    field=words,
                )
            )


def _check_output(option: str, path: Path, taken: Sequence[Path]) -> None:
    """Refuse a file that cannot be written, or that was given before; leave it as it is."""
    for other in taken:
        if path == other or (path.exists() and other.exists() and path.samefile(other)):
            raise RealtimeException(
                InvalidRequest(
                    what=f"{str(path)!r} is an input or another output; it would be overwritten.",
                    cause="the same name was given twice",
                    fix=f"Choose another name for {option}.",
                )
            )
    there = path.exists()
    if there and not path.is_file() and not path.is_dir():
        return
    try:
        with path.open("ab"):
            pass
        if not there:
            path.unlink()
    except (OSError, ValueError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else str(problem)
        raise RealtimeException(
            InvalidRequest(
                what=f"{str(path)!r} cannot be written: {why}.",
                cause="a folder that does not exist, or a place where you may not write",
                fix=f"Choose another name for {option}.",
            )
        ) from problem
