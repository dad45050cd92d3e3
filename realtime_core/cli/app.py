"""The command line: its commands, its usage errors, its exit codes.

0 ok, 1 failure, 2 usage, 130 interrupted; whatever happens, no traceback.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any, cast

import typer

from ..errors import InvalidRequest
from . import decode, doctor, models, providers, replay, talk
from .faults import code_of
from .order import InOrder
from .output import complain, hush, put

__all__ = ("app", "leave", "run")

_USAGE = cast("type[Exception]", typer.BadParameter.__mro__[1])
"""What every usage error is; typer exports only this child of it."""

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Talk with speech-to-speech models, and look inside.",
)
app.command("talk", cls=InOrder)(talk.talk)
app.add_typer(models.app, name="models")
app.command("providers")(providers.providers)
app.command("doctor")(doctor.doctor)
app.command("decode")(decode.decode)
app.command("replay")(replay.replay)


def _show_version(wished: bool) -> None:
    if wished:
        try:
            put(f"realtime-core {version('realtime-core')}")
        except PackageNotFoundError:
            put("realtime-core, from a source tree")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Talk with speech-to-speech models, and look inside."""


def run(arguments: Sequence[str]) -> int:
    """Run the command on these arguments and give its exit code; raises nothing."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            cast("Any", stream).reconfigure(errors="backslashreplace")
    command = typer.main.get_command(app)
    try:
        code = command.main(
            args=list(arguments) or ["--help"], prog_name="realtime", standalone_mode=False
        )
    except typer.Abort:
        return 130
    except _USAGE as problem:
        return _misused(problem, command, arguments)
    except SystemExit as end:
        return 0 if isinstance(end.__context__, BrokenPipeError) else 1
    except BaseException as problem:
        return code_of(problem)
    return code if isinstance(code, int) else 0


def _misused(problem: Any, command: Any, arguments: Sequence[str]) -> int:  # noqa: ANN401 - typer's
    """Say what was wrong with the command line, and what would be right."""
    path, meant = _meant(problem, command, arguments)
    names = [
        name
        for parameter in meant.params
        for name in (*parameter.opts, *parameter.secondary_opts)
        if name.startswith("--")
    ]
    commands = ", ".join(getattr(meant, "commands", ()))
    known = f"Known commands: {commands}. " if commands else ""
    complain(
        InvalidRequest(
            what=problem.format_message(),
            cause="a misspelt word, a missing value, or an option of another command",
            fix=f"{known}Known options: {', '.join((*names, '--help'))}. "
            f"Type `{path} --help` for what they mean.",
        )
    )
    return 2


def _meant(problem: Any, command: Any, arguments: Sequence[str]) -> tuple[str, Any]:  # noqa: ANN401
    """Give the command in which the mistake was made, and how it is called."""
    if problem.ctx is not None:
        return problem.ctx.command_path, problem.ctx.command
    path = "realtime"
    for word in arguments:
        inner = getattr(command, "commands", {}).get(word)
        if inner is not None:
            path, command = f"{path} {word}", inner
    return path, command


def leave(code: int) -> int:
    """Flush what was printed, and let nothing disturb the end of the process any more."""
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        sys.stdout.flush()
    except (OSError, ValueError, AttributeError):
        hush()
    return code
