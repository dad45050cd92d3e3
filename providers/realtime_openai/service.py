"""Services: who offers the protocol, and what differs at their doors, as values.

One value per provider name; nothing in this package asks for a name.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from .dialect import AZURE, BETA, GA, VOICE_LIVE, XAI, Dialect

__all__ = (
    "AZURE_OPENAI",
    "AZURE_VOICE_LIVE",
    "OPENAI",
    "OPENAI_BETA",
    "XAI_GROK",
    "Service",
)


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """One vendor's door: its address, what opens it, and which variables tell both."""

    dialect: Dialect
    key_variable: str
    base_url: str = ""
    """The vendor's own address; empty where every customer has another."""
    base_variable: str = ""
    base_option: str = "base_url"
    """The factory's argument for the address."""
    prefix: str = ""
    """What paths begin with, behind the address of a customer."""
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    header_variables: tuple[tuple[str, str], ...] = ()
    """Headers that carry the value of a variable, where it is set."""
    key_header: str = "Authorization"
    """`Authorization` carries a key as a bearer token, any other header the bare key."""
    keyless: bool = False
    """Whether servers at other addresses than the vendor's may need no key."""
    model: str = ""
    """The model where none is chosen."""
    needs_model: bool = True
    calls: Literal["relayed", "secret"] | None = None
    """How a WebRTC call begins: its settings go along with the offer, or are bound to a client
    secret before; None: no calls."""
    expires: bool = True
    """Whether the life of a client secret can be chosen."""

    @property
    def name(self) -> str:
        """The provider's name."""
        return self.dialect.capabilities.provider


OPENAI = Service(
    dialect=GA,
    key_variable="OPENAI_API_KEY",
    base_url="https://api.openai.com/v1",
    base_variable="OPENAI_BASE_URL",
    header_variables=(
        ("OpenAI-Organization", "OPENAI_ORG_ID"),
        ("OpenAI-Project", "OPENAI_PROJECT_ID"),
    ),
    keyless=True,
    model="gpt-realtime-2.1",
    calls="relayed",
)

OPENAI_BETA = Service(
    dialect=BETA,
    key_variable="OPENAI_API_KEY",
    base_variable="OPENAI_BASE_URL",
    headers=(("OpenAI-Beta", "realtime=v1"),),
    keyless=True,
    needs_model=False,
)
"""OpenAI itself speaks the beta no more, so there is no address to fall back on."""

AZURE_OPENAI = Service(
    dialect=AZURE,
    key_variable="AZURE_OPENAI_API_KEY",
    base_variable="AZURE_OPENAI_ENDPOINT",
    base_option="endpoint",
    prefix="/openai/v1",
    key_header="api-key",
    calls="secret",
    expires=False,
)

AZURE_VOICE_LIVE = Service(
    dialect=VOICE_LIVE,
    key_variable="AZURE_VOICELIVE_API_KEY",
    base_variable="AZURE_VOICELIVE_ENDPOINT",
    base_option="endpoint",
    prefix="/voice-live",
    query=(("api-version", "2025-10-01"),),
    key_header="api-key",
)

XAI_GROK = Service(
    dialect=XAI,
    key_variable="XAI_API_KEY",
    base_url="https://api.x.ai/v1",
    keyless=True,
    model="grok-voice-latest",
)
