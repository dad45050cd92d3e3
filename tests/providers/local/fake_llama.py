"""A stand-in for the language model's process: it says what it was asked, a word a line.

`die` makes it end, `endless` never ends by itself, `huge` and more than 200 words are refused; a
model file that ends with `bad` does not load.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from queue import SimpleQueue
from typing import Any


def say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def listen(asked: SimpleQueue[dict[str, Any]], stopped: set[int]) -> None:
    for line in sys.stdin:
        message = json.loads(line)
        if "stop" in message:
            stopped.add(message["stop"])
        else:
            asked.put(message)
    os._exit(0)


def answer(ident: int, words: list[str], stopped: set[int]) -> None:
    if "die" in words:
        say({"id": ident, "text": "dying "})
        os._exit(3)
    if "huge" in words or len(words) > 200:
        error = {"message": "too long", "type": "exceed_context_size_error"}
        say({"id": ident, "end": {"error": error}})
        return
    while ident not in stopped:
        for word in words:
            say({"id": ident, "text": word + " "})
        if "endless" not in words:
            break
        time.sleep(0.001)
    timings = {"prompt_n": 5, "cache_n": 7, "predicted_n": len(words), "prompt_ms": 1.5}
    say({"id": ident, "end": {"finish": "stop", "timings": timings}})


def main() -> None:
    if Path(sys.argv[1]).read_bytes().endswith(b"bad"):
        say({"failed": "it is bad"})
        return
    say({"ready": True})
    asked: SimpleQueue[dict[str, Any]] = SimpleQueue()
    stopped: set[int] = set()
    threading.Thread(target=listen, args=(asked, stopped), daemon=True).start()
    while True:
        message = asked.get()
        words = str(message["request"]["messages"][-1]["content"]).split()
        answer(message["ask"], words, stopped)


main()
