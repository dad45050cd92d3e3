"""Run the benches named, or all: `python -m benchmarks [core audio local_voice ...]`."""

from __future__ import annotations

import importlib
import sys

ALL = (
    "core",
    "interruption",
    "audio",
    "video",
    "openai",
    "gemini",
    "nova",
    "qwen",
    "local_voice",
    "ears_wer",
    "minds",
)


def main() -> None:
    for name in sys.argv[1:] or ALL:
        module = importlib.import_module(f"benchmarks.{name}")
        sys.argv[1:] = []
        module.main()


if __name__ == "__main__":
    main()
