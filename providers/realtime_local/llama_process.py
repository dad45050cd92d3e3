"""The running process of a language model, seen from the process that began it.

Lines of JSON go in and come out; a thread of its own reads them and hands each to the answer it
belongs to. It ends with this process, however that ends.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, cast

import msgspec

from realtime_core.errors import InvalidRequest, RealtimeError, RealtimeException, Unavailable

from .answer import Answer

__all__ = ("CONTEXT", "Line", "LlamaProcess")

CONTEXT = 2048
"""Tokens of prompt and answer together."""
_PROGRAM = Path(__file__).with_name("llama.py")
_GRACE = 2.0
"""Seconds given to the process to end by itself."""


class Line(msgspec.Struct, frozen=True):
    """One message of the process; which fields are set says what it means."""

    id: int = 0
    ready: bool = False
    failed: str = ""
    text: str = ""
    end: dict[str, Any] | None = None


class LlamaProcess:
    """The process, with its model loaded; constructing blocks until it is.

    Raise `InvalidRequest` for a file that is no model or a package that is not installed.
    """

    def __init__(self, file: Path, threads: int) -> None:
        self._child = _spawn(file, threads)
        self._input = cast("IO[bytes]", self._child.stdin)
        self._writing = threading.Lock()
        self._idents = itertools.count(1)
        self._answers: dict[int, Answer[Line]] = {}
        self._dead: RealtimeError | None = None
        atexit.register(self.close)
        lines = cast("IO[bytes]", self._child.stdout)
        first = _line(lines.readline())
        if not first.ready:
            self.close()
            lines.close()
            raise RealtimeException(_unloadable(file, first.failed or "its process ended"))
        reader = threading.Thread(target=self._read, args=(lines,), name=__name__, daemon=True)
        reader.start()

    @property
    def alive(self) -> bool:
        """Whether it takes questions."""
        return self._dead is None and self._child.poll() is None

    def ask(self, request: Mapping[str, Any]) -> Answer[Line]:
        """Put a question and give the answer to come; questions are answered one by one."""
        ident = next(self._idents)
        answer = self._answers[ident] = Answer[Line](lambda: self._write({"stop": ident}))
        if self._dead is None:
            self._write({"ask": ident, "request": request})
        else:
            self._bury(self._dead)
        return answer

    def close(self) -> None:
        """End the process; a second time changes nothing."""
        atexit.unregister(self.close)
        with contextlib.suppress(OSError):
            self._input.close()
        try:
            self._child.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def _write(self, message: Mapping[str, Any]) -> None:
        line = msgspec.json.encode(message) + b"\n"
        # That the process died is seen where its lines are read.
        with self._writing, contextlib.suppress(OSError, ValueError):
            self._input.write(line)
            self._input.flush()

    def _read(self, lines: IO[bytes]) -> None:
        with lines:
            for raw in lines:
                line = _line(raw)
                answer = self._answers.get(line.id)
                if answer is None:
                    continue
                answer.give(line)
                if line.end is not None:
                    del self._answers[line.id]
                    answer.finish(_failure(line.end))
        self._dead = _died(self._child.wait())
        self._bury(self._dead)
        self.close()

    def _bury(self, error: RealtimeError) -> None:
        for ident in tuple(self._answers):
            answer = self._answers.pop(ident, None)
            if answer is not None:
                answer.finish(RealtimeException(error))


def _spawn(file: Path, threads: int) -> subprocess.Popen[bytes]:
    if find_spec("xllamacpp") is None:
        raise RealtimeException(_NO_XLLAMACPP)
    return subprocess.Popen(  # noqa: S603 - our own program, by this Python
        [sys.executable, "-P", str(_PROGRAM), str(file), str(CONTEXT), str(threads)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        # Threads that spin while they wait make a model twenty times slower on a busy machine.
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
    )


def _line(raw: bytes) -> Line:
    return msgspec.json.decode(raw, type=Line) if raw.endswith(b"\n") else Line()


def _failure(end: Mapping[str, Any]) -> RealtimeException | None:
    error = end.get("error")
    if not error:
        return None
    return RealtimeException(
        InvalidRequest(
            what=f"The language model refused the request: {error.get('message', error)}.",
            cause="a prompt that is too long, or a tool schema it cannot follow",
            code=str(error.get("type", "")),
        )
    )


def _unloadable(file: Path, why: str) -> RealtimeError:
    return InvalidRequest(
        what=f"The language model {file} could not be loaded: {why}.",
        cause="a file that is no GGUF model, or one of a kind that llama.cpp does not know",
        fix="Choose another file, or leave it away to use the built-in one.",
    )


def _died(code: int) -> RealtimeError:
    return Unavailable(
        what=f"The language model's process ended (exit code {code}).",
        cause="no memory left, or a fault in the model's library",
        fix="Ask again: it is begun anew. A smaller model needs less memory.",
    )


_NO_XLLAMACPP = InvalidRequest(
    what="The local mind needs the package xllamacpp, which is not installed.",
    cause="the local voice's extra was left out",
    fix="Type `pip install 'realtime-core[local]'`.",
)
