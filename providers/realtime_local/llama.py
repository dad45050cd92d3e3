"""The process that a language model runs in: this file is its program, and knows nothing else.

It reads one JSON object a line (`{"ask": id, "request": ...}` or `{"stop": id}`) and writes one a
line (`ready`, then `text`, `step` and `end` or `error`, each with the `id`). It ends when its
input ends, so it never outlives the process that began it. Loading a model here rather than in
the caller's process keeps the caller's event loop going meanwhile, and alive whatever happens.
"""

from __future__ import annotations

import importlib
import json
import os
import secrets
import signal
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, BinaryIO, Protocol, cast

__all__ = ()


class _Server(Protocol):
    """What is used of `xllamacpp.Server`; the library is untyped."""

    def handle_chat_completions(
        self, request: dict[str, Any], heed: Callable[[dict[str, Any]], bool]
    ) -> object: ...


_Say = Callable[[dict[str, Any]], None]


def _serve(path: str, context: int, threads: int) -> None:
    out = _quiet_stdout()

    def say(message: dict[str, Any]) -> None:
        out.write(json.dumps(message).encode() + b"\n")
        out.flush()

    try:
        model = _load(path, context, threads)
    except Exception as error:
        say({"failed": f"{type(error).__name__}: {error}"})
        return
    say({"ready": True})
    stopped: set[int] = set()
    asked: SimpleQueue[dict[str, Any]] = SimpleQueue()
    threading.Thread(target=_listen, args=(asked, stopped), daemon=True).start()
    while True:
        message = asked.get()
        _answer(model, message["ask"], message["request"], stopped, say)


def _quiet_stdout() -> BinaryIO:
    """Keep standard output for the messages alone: the model's library may print."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return out


def _load(path: str, context: int, threads: int) -> _Server:
    xllamacpp = importlib.import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.n_ctx = context
    params.n_parallel = 1
    params.verbosity = -1
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = 2
    # A small batch is a prompt that can be stopped midway.
    params.n_batch = 64
    # Room to keep the prompts of other sessions while one has the model, in MiB.
    params.cache_ram_mib = 256
    # It listens on a port of this machine by itself; nobody has the key to it.
    params.api_keys = [secrets.token_hex(16)]
    params.n_threads_http = 1
    params.endpoint_slots = False
    params.ui = False
    return cast("_Server", xllamacpp.Server(params))


def _listen(asked: SimpleQueue[dict[str, Any]], stopped: set[int]) -> None:
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if "stop" in message:
            stopped.add(message["stop"])
        else:
            asked.put(message)
    os._exit(0)


def _answer(
    model: _Server, ident: int, request: dict[str, Any], stopped: set[int], say: _Say
) -> None:
    last: dict[str, Any] = {}

    def heed(chunk: dict[str, Any]) -> bool:
        if "error" in chunk:
            last["error"] = chunk["error"]
            return True
        choice = chunk["choices"][0]
        last["finish"] = choice.get("finish_reason")
        last["timings"] = chunk.get("timings", {})
        if text := choice["delta"].get("content"):
            say({"id": ident, "text": text})
        return ident in stopped

    try:
        if ident not in stopped:
            streamed = {**request, "stream": True, "return_progress": True}
            model.handle_chat_completions(streamed, heed)
    except Exception as error:
        last["error"] = {"message": f"{type(error).__name__}: {error}"}
    stopped.difference_update([old for old in tuple(stopped) if old <= ident])
    say({"id": ident, "end": last})


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
