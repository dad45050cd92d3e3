"""Words that want another after them: a speaker who stops there has not finished.

A pure rule on English text, used to wait for a speaker and to cut an answer where it may pause.
"""

from __future__ import annotations

import re

__all__ = ("wants_more", "words")

_WANTING = """
    a an the and or but nor because if unless whether while than of to into
    my your our their its i'm it's what's um uh er hmm
"""
_HANGING = """
    so that which who whose when where as like in on at by for from with without about between
    i we they he she is are was were am be been has have had can could will would shall should
    may might must do does did this these those some any every each
"""
_ALWAYS = frozenset(_WANTING.split())
_UNLESS_ASKED = frozenset(_HANGING.split())


def words(text: str) -> list[str]:
    """Give the words of a text in small letters, without punctuation."""
    return re.findall(r"[\w']+", text.casefold().replace("\u2019", "'"))


def wants_more(text: str, *, question: bool = False) -> bool:
    """Tell whether the last word wants another; the end of a question may be a preposition."""
    said = words(text)
    if not said:
        return True
    return said[-1] in _ALWAYS or (not question and said[-1] in _UNLESS_ASKED)
