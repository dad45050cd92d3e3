"""The codec: that of the OpenAI family, in the dialect of the session's model."""

from __future__ import annotations

from msgspec.structs import replace
from returns.result import Result

from realtime_core.capability import Capabilities
from realtime_core.codec import Coded, Outgoing, Resume, Wire
from realtime_core.config import SessionConfig
from realtime_core.errors import RealtimeError, Unsupported
from realtime_core.events import ResponseDone
from realtime_core.plan import Plan
from realtime_openai.codec import OpenAICodec, agreed
from realtime_openai.memory import Memory

from .dialect import DIALECTS, dialect_of
from .models import capabilities, model_of

__all__ = ("QwenCodec", "agree")

_CODECS = {form: OpenAICodec(dialect) for form, dialect in DIALECTS.items()}


def _speaking(plan: Plan) -> OpenAICodec:
    return _CODECS[model_of(plan.config.model).form]


def agree(able: Capabilities, wish: SessionConfig) -> Result[Plan, Unsupported]:
    """Agree on what the model of the session can do; one that is not named is the provider's."""
    name = able.models[0].name
    model = wish.model or name
    able = able if model == name else capabilities(model)
    return agreed(dialect_of(model), able, replace(wish, model=model))


def _told_who_cut(coded: Coded[Memory]) -> Coded[Memory]:
    """Tell an answer that the server cut from one that was cancelled: its end may say neither."""
    last = coded.events[-1] if coded.events else None
    if not isinstance(last, ResponseDone) or last.status != "cancelled":
        return coded
    if last.response == coded.state.stopped:
        return coded
    return coded._replace(events=(*coded.events[:-1], replace(last, status="interrupted")))


class QwenCodec:
    """Speaks to each model in its own dialect; the model stays for as long as a session lasts."""

    def greet(self, plan: Plan, resume: Resume | None) -> Coded[Memory]:
        """Send the settings, and the conversation so far; the server acknowledges the settings."""
        return _speaking(plan).greet(plan, resume)

    def encode(self, state: Memory, frame: Outgoing) -> Result[Coded[Memory], RealtimeError]:
        """Give the messages for a frame or command."""
        return _speaking(state.plan).encode(state, frame)

    def decode(self, state: Memory, wire: Wire) -> Result[Coded[Memory], RealtimeError]:
        """Give what a message of the server means; in this all dialects are one."""
        return _CODECS["flat"].decode(state, wire).map(_told_who_cut)
