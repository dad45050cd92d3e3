"""Failover: several providers as one, of which the next takes over when one is lost for good.

A session stays with a provider for as long as its retries last. When that is over the next one goes
on with the conversation as it was said and heard; where an end is told ahead, its connection is
made before the other is left. There is no way back to one that was left.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, NamedTuple

from msgspec.structs import replace
from returns.result import Failure, Result, Success

from .capability import Capabilities
from .codec import Coded, Outgoing, Resume, Wire
from .config import SessionConfig
from .errors import InvalidRequest, RealtimeError, RealtimeException, Unsupported
from .frames import Frame
from .link import Link
from .plan import OWN, Plan
from .provider import INCOMPLETE, Provider, provided

__all__ = ("failover", "failover_named")

_Providers = tuple[Provider[Any], ...]


def failover(
    primary: str | Provider[Any], secondary: str | Provider[Any], *others: str | Provider[Any]
) -> Provider[Frame]:
    """Make one provider of several, the preferred one first; a name is looked up.

    `SessionConfig.retry` says for how long a provider is tried before it is given up. A first
    connection that cannot be made goes to the next one, too. `Reconnected.provider` names who has
    taken over, `Reconnected.lost` what it does not know, and a `Warning` about `provider` why.

    Every provider is asked for the same session, so each has to offer what it needs, or it is
    refused as `Unsupported` before anything is dialled. Model, voice and options are those of the
    primary; every other provider has those of its own `defaults`, and all else that the
    configuration leaves as the primary's defaults have it. Answers come in the format of who
    speaks, as each `AudioOutput` tells: `resampled(session, format)` makes it one.
    """
    given = (provided(one, {}) for one in (primary, secondary, *others))
    providers = tuple(member for one in given for member in _members(one))
    first = providers[0]
    return Provider(
        f"failover:{','.join(one.name for one in providers)}",
        first.capabilities,
        _Codec(providers),
        partial(_dial, providers),
        first.defaults,
        partial(_agree, providers),
        variables=tuple(dict.fromkeys(name for one in providers for name in one.variables)),
    )


def failover_named(model: str = "") -> Provider[Frame]:
    """Make one provider of those that are named with commas between: `openai,gemini,local`."""
    names = [name.strip() for name in model.split(",")]
    if len(names) < 2 or not all(names):
        raise RealtimeException(
            InvalidRequest(
                what="Failover needs the names of two providers or more.",
                cause=f"only {model!r} was given" if model else "none was given",
                fix="Name them with commas between: failover:openai,local.",
                code=INCOMPLETE,
            )
        )
    return failover(*names)


def _members(provider: Provider[Any]) -> _Providers:
    return provider.codec.providers if isinstance(provider.codec, _Codec) else (provider,)


def _dial(providers: _Providers, plan: Plan) -> AbstractAsyncContextManager[Link]:
    return providers[plan.place].dial(plan)


def _agree(
    providers: _Providers, able: Capabilities, wish: SessionConfig
) -> Result[Plan, Unsupported]:
    """Agree with all of them; the last one has no successor."""
    first, successor = providers[0], None
    for place in reversed(range(len(providers))):
        one = providers[place]
        own = one.capabilities if place else able
        agreed = one.agree(own, _fitting(one, first, wish) if place else wish)
        if isinstance(agreed, Failure):
            return agreed
        successor = replace(agreed.unwrap(), place=place, successor=successor)
    assert successor is not None  # noqa: S101 - there are two providers or more
    return Success(successor)


def _fitting(one: Provider[Any], first: Provider[Any], wish: SessionConfig) -> SessionConfig:
    """Put a provider's own defaults where the wish is the primary's, or for the primary only."""
    changes = {
        name: getattr(one.defaults, name)
        for name in SessionConfig.__struct_fields__
        if name in OWN or getattr(wish, name) == getattr(first.defaults, name)
    }
    return replace(wish, **changes)


class _Said(NamedTuple):
    """What a codec remembers, and whose it is."""

    place: int
    memory: Any


class _Codec:
    """Speaks as the provider does that the plan was agreed with."""

    def __init__(self, providers: _Providers) -> None:
        self.providers = providers
        self._codecs = tuple(one.codec for one in providers)

    def greet(self, plan: Plan, resume: Resume | None) -> Coded[_Said]:
        """Begin a connection; what another codec left behind is nothing to this one."""
        if resume is not None:
            left: object = resume.left
            mine = left.memory if isinstance(left, _Said) and left.place == plan.place else None
            resume = resume._replace(left=mine)
        coded = self._codecs[plan.place].greet(plan, resume)
        return coded._replace(state=_Said(plan.place, coded.state))

    def encode(self, state: _Said, frame: Outgoing) -> Result[Coded[_Said], RealtimeError]:
        """Turn a frame or command into messages."""
        return self._codecs[state.place].encode(state.memory, frame).map(partial(_keep, state))

    def decode(self, state: _Said, wire: Wire) -> Result[Coded[_Said], RealtimeError]:
        """Turn one message into events."""
        return self._codecs[state.place].decode(state.memory, wire).map(partial(_keep, state))


def _keep(state: _Said, coded: Coded[Any]) -> Coded[_Said]:
    """Keep what a codec remembers now; what has not changed stays the same value."""
    same = coded.state is state.memory
    return coded._replace(state=state if same else state._replace(memory=coded.state))
