"""Addresses: which of the vendor's two services, and which version of it, a path means."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

__all__ = ("DEVELOPER_PATH", "Address", "address_of")

DEVELOPER_PATH = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
_DEVELOPER = re.compile(
    r".*/ws/google\.ai\.generativelanguage\.(?P<version>v\w{1,20})\.GenerativeService"
    r"[./]BidiGenerateContent(?P<constrained>Constrained)?"
)
_VERTEX = re.compile(
    r".*/ws/google\.cloud\.aiplatform\.(?P<version>v\w{1,20})\.LlmBidiService/BidiGenerateContent"
)


class Address(msgspec.Struct, frozen=True):
    """What a client has dialled."""

    service: Literal["developer", "vertex"] = "developer"
    version: str = "v1beta"
    constrained: bool = False
    """It comes with a token, which may fix its setup."""


def address_of(path: str) -> Address | None:
    """Read a path without its query; None where no session is."""
    if found := _DEVELOPER.fullmatch(path):
        return Address("developer", found["version"], bool(found["constrained"]))
    if found := _VERTEX.fullmatch(path):
        return Address("vertex", found["version"])
    return None
