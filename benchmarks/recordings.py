"""Human speech with what was said: two Debian packages, where `make recordings` or apt put them.

Nothing is fetched here; where the packages are absent there are no recordings.
"""

from __future__ import annotations

import gzip
import os
import re
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.g722 import decoded

__all__ = ("ABSENT", "Recording", "errors", "others", "prompts", "words")

ABSENT = "the recordings are not here; type `make recordings` (it needs apt-get)"
_SOUNDS = "usr/share/asterisk/sounds/en_US_f_Allison"
_SCRIPT = "usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz"
_OTHERS = "usr/share/pocketsphinx/test/data"


class Recording(NamedTuple):
    """A file, and the words that are spoken in it."""

    file: Path
    text: str

    def pcm(self) -> bytes:
        """Give its sound: 16 kHz, signed 16-bit, mono."""
        if self.file.suffix == ".g722":
            return decoded(self.file.read_bytes())
        if self.file.suffix == ".raw":
            return self.file.read_bytes()
        with wave.open(str(self.file)) as source:
            if (source.getframerate(), source.getnchannels()) != (16_000, 1):
                raise ValueError(f"{self.file} is not 16 kHz mono")
            return bytes(source.readframes(source.getnframes()))


def prompts(least: int = 4, most: int = 25) -> tuple[Recording, ...]:
    """Give the prompts of one speaker, of so many words, in the order of their names."""
    for root in _roots():
        if (root / _SCRIPT).exists():
            found = tuple(
                Recording(root / _SOUNDS / f"{name}.g722", text)
                for name, text in sorted(_script(root / _SCRIPT))
                if not set("[]()*#") & set(text) and least <= len(words(text)) <= most
            )
            return tuple(one for one in found if one.file.exists())
    return ()


def others() -> tuple[Recording, ...]:
    """Give what other speakers read or said: sentences of a book, and cards."""
    for root in _roots():
        folder = root / _OTHERS
        if folder.exists():
            return (
                *_listed(folder / "librivox", "transcription"),
                *_listed(folder / "cards", "cards.transcription"),
                Recording(folder / "goforward.raw", "go forward ten meters"),
            )
    return ()


def errors(said: list[str], heard: list[str]) -> int:
    """Count the words to change, add or take away to make one of the other."""
    row = list(range(len(heard) + 1))
    for at, word in enumerate(said, 1):
        above, row[0] = row[:], at
        for to, other in enumerate(heard, 1):
            row[to] = min(above[to] + 1, row[to - 1] + 1, above[to - 1] + (word != other))
    return row[-1]


_DIGITS = "zero one two three four five six seven eight nine"
_SAME = {
    **{str(value): name for value, name in enumerate(_DIGITS.split())},
    "10": "ten",
    "goodbye": "good bye",
    "i'm": "i am",
    "that's": "that is",
    "you're": "you are",
    "we're": "we are",
    "it's": "it is",
    "can't": "cannot",
    "mr": "mister",
    "cancelled": "canceled",
    "thankyou": "thank you",
}


def words(text: str) -> list[str]:
    """Give a text's words as they are compared: small letters, digits and contractions in full."""
    plain = re.sub(r"[^\w' ]+", " ", text.casefold().replace("\u2019", "'"))
    full = " ".join(_SAME.get(word, word) for word in plain.split())
    return full.replace("'", "").split()


def _roots() -> tuple[Path, ...]:
    chosen = os.environ.get("REALTIME_RECORDINGS_DIR")
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache = Path(chosen) if chosen else caches / "realtime-core" / "recordings"
    return (cache, Path("/"))


def _script(file: Path) -> Iterator[tuple[str, str]]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            name, colon, text = line.partition(":")
            if colon and not name.startswith(";"):
                yield name.strip(), text.strip()


def _listed(folder: Path, script: str) -> Iterator[Recording]:
    for line in (folder / script).read_text().splitlines():
        match = re.fullmatch(r"<s>(.*)</s>\s*\((.*)\)", line.strip())
        if match:
            yield Recording(folder / f"{match[2]}.wav", match[1].strip())
