"""The stage: a conversation played with a provider, on virtual time or over real sockets."""

from __future__ import annotations

from msgspec.structs import asdict, replace

from realtime_core import SessionConfig, open_session
from realtime_core.capability import Capabilities
from realtime_core.events import Event
from realtime_core.testing import run
from tests.parity.conversations import Conversation
from tests.parity.far import Side
from tests.parity.steps import Refused
from tests.parity.talk import talking

__all__ = ("Played", "play", "played")

Played = tuple[list[Event | Refused], Capabilities]
"""A trace, and what its provider can do."""


async def play(side: Side, conversation: Conversation) -> Played:
    """Play a conversation to its end."""
    async with side() as (provider, far):
        config = settled(provider.defaults, conversation.config)
        async with open_session(provider, config) as session, talking(session) as talk:
            await conversation.play(talk, far)
            await talk.leave()
        return talk.trace, session.capabilities


def settled(defaults: SessionConfig, wish: SessionConfig) -> SessionConfig:
    """Give a provider's own settings, with those that a conversation insists on."""
    plain = asdict(SessionConfig())
    wished = {name: value for name, value in asdict(wish).items() if value != plain[name]}
    return replace(defaults, **wished)


def played(side: Side, conversation: Conversation, backend: str = "asyncio") -> Played:
    """Play a conversation on virtual time."""
    return run(play, side, conversation, backend=backend)
