"""Marks: what stands for each secret where secrets must not be seen.

A mark has as many characters as its secret, at least, so that what is counted in characters stays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import NamedTuple

from .config import Secret

__all__ = ("Marks", "hidden", "hidden_bytes", "learn")

_SHORTEST = 8
"""Characters; a shorter secret would be found by chance in what is none, such as sound."""


class Marks(NamedTuple):
    """The secrets that are known, as they stand in texts and in bytes, and what stands for them."""

    texts: Mapping[str, str] = {}
    data: Mapping[bytes, bytes] = {}
    given: int = 0

    def of(self, secret: Secret) -> str:
        """Give the mark of a secret; nothing where it has none."""
        return self.texts.get(secret.held or "", "")


def learn(marks: Marks, *secrets: Secret) -> Marks:
    """Give each new one of these secrets a mark; one that is asked for anew is not asked."""
    texts, given = dict(marks.texts), marks.given
    for secret in secrets:
        text = secret.held or ""
        if len(text) < _SHORTEST or text in texts:
            continue
        given += 1
        mark = f"secret-{given}".ljust(len(text), "-")
        # In a message it may stand as JSON writes it.
        escaped = (json.dumps(text, ensure_ascii=ascii)[1:-1] for ascii in (True, False))
        texts |= dict.fromkeys((text, *escaped), mark)
    if given == marks.given:
        return marks
    data = {text.encode(errors="surrogatepass"): mark.encode() for text, mark in texts.items()}
    return Marks(texts, data, given)


def hidden(text: str, marks: Marks) -> str:
    """Give a text with marks in place of the secrets in it."""
    found = [secret for secret in marks.texts if secret in text]
    if not found:
        return text
    pattern = "|".join(re.escape(secret) for secret in sorted(found, key=len, reverse=True))
    return re.sub(pattern, lambda match: marks.texts[match[0]], text)


def hidden_bytes(data: bytes, marks: Marks) -> bytes:
    """Give bytes with marks in place of the secrets in them."""
    found = [secret for secret in marks.data if secret in data]
    if not found:
        return data
    pattern = b"|".join(re.escape(secret) for secret in sorted(found, key=len, reverse=True))
    return re.sub(pattern, lambda match: marks.data[match[0]], data)
