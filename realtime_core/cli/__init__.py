"""The `realtime` command: the library from a terminal.

This is the one place of the library that prints, handles signals and reads the environment.
Importing it needs nothing; running it needs the extra `cli`.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

__all__ = ("main",)


def main() -> int:
    """Run the command on the process's arguments and give its exit code; raises nothing.

    0 ok, 1 failure, 2 usage, 130 interrupted.
    """
    try:
        _fill_streams()
        missing = [name for name in ("typer", "rich") if find_spec(name) is None]
        if missing:
            sys.stderr.write(_MISSING.format(" and ".join(missing)))
            return 1
        from .app import leave, run  # noqa: PLC0415 - needs the extra

        return leave(run(sys.argv[1:]))
    except KeyboardInterrupt:
        return 130


def _fill_streams() -> None:
    """Stand in for standard streams that were closed, so that no file takes their place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            setattr(sys, name, open(number, "r+" if number else "r", closefd=False))  # noqa: SIM115


_MISSING = """\
error: The command `realtime` needs {}.
  cause: the extra `cli` is not installed
  fix:   Type: pip install 'realtime-core[cli]'
"""
