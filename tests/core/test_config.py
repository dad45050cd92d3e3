"""Configuration: plain values that travel; and the one that never shows."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import pprint
import traceback
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.audio import PCM_16K
from realtime_core.codec import Resume
from realtime_core.config import (
    Lanes,
    Latest,
    Message,
    Outlet,
    Secret,
    SessionConfig,
    Slide,
    Suspend,
    ToolSpec,
    TurnDetection,
)
from realtime_core.errors import AuthFailed, RealtimeException
from realtime_core.events import ResumptionHandle
from realtime_core.schedule import Recurs
from tests.core.wishes import configs

# --- secrets ----------------------------------------------------------------------------------

keys = st.text("0123456789abcdefABCDEF-_äß東\n\"'\\{}%", min_size=8, max_size=40).map("sk~".__add__)
sources = st.sampled_from([lambda key: key, lambda key: lambda: key])

HOLDERS: dict[str, Callable[[Secret], object]] = {
    "alone": lambda secret: secret,
    "in a tuple": lambda secret: (1, (secret,)),
    "in a dict": lambda secret: {"key": secret},
    "in the options": lambda secret: SessionConfig(options={"api_key": secret}),
    "in an event": lambda secret: ResumptionHandle(handle=secret),
    "in an event's config": lambda secret: SessionConfig(
        options={"nested": {"list": [secret]}}, history=(Message("user", "hi"),)
    ),
    "in a codec's resume": lambda secret: Resume(conn=1, handle=secret),
    "in an error": lambda secret: AuthFailed(what=f"Refused: {secret}."),
    "in an exception": lambda secret: RealtimeException(AuthFailed(what=f"Refused: {secret!r}.")),
    "as an argument": lambda secret: ValueError("refused", secret),
    "as a key": lambda secret: {secret: 1},
}


class Formatted(logging.Handler):
    text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text += logging.Formatter("%(message)s %(args)s").format(record)


def logged(holder: object) -> str:
    handler = Formatted()
    logger = logging.getLogger(f"{__name__}.logged")
    logger.addHandler(handler)
    try:
        logger.warning("%s %r", holder, holder)
        refuse(holder)
    except AssertionError:
        logger.exception("failed with %s", holder)
    finally:
        logger.removeHandler(handler)
    return handler.text


def refuse(holder: object) -> None:
    raise AssertionError(holder)


WAYS_OUT: dict[str, Callable[[Any], object]] = {
    "str": str,
    "repr": repr,
    "ascii": ascii,
    "format": "{}".format,
    "format with a width": "{:>40}".format,
    "format of the repr": "{!r:>40}".format,
    "percent": lambda holder: "%s %r" % (holder, holder),  # noqa: UP031 - the point
    "pprint": pprint.pformat,
    "logging": logged,
    "json": json.dumps,
    "json of str": lambda holder: json.dumps(holder, default=str),
    "msgspec json": msgspec.json.encode,
    "msgspec json of repr": lambda holder: msgspec.json.encode(holder, enc_hook=repr),
    "msgspec msgpack": msgspec.msgpack.encode,
    "builtins": msgspec.to_builtins,
    "fields": msgspec.structs.asdict,
    "pickle": pickle.dumps,
    "old pickle": lambda holder: pickle.dumps(holder, 0),
    "copy": copy.copy,
    "deep copy": copy.deepcopy,
    "exception": refuse,
    "order": lambda holder: holder < 1,
    "length": len,
    "attributes": vars,
    "call": lambda holder: holder(),
}


def shown(way: Callable[[Any], object], holder: object) -> str:
    """Everything a reader could see: the result, or the whole exception with its locals."""
    try:
        result = way(holder)
    except Exception as error:
        told = traceback.TracebackException.from_exception(error, capture_locals=True)
        return "".join([*told.format(), repr(error.args), repr(error)])
    return result.decode(errors="replace") if isinstance(result, bytes) else f"{result} {result!r}"


@pytest.mark.parametrize("holding", HOLDERS.values(), ids=HOLDERS.keys())
@pytest.mark.parametrize("way", WAYS_OUT.values(), ids=WAYS_OUT.keys())
@given(key=keys, source=sources)
def test_a_secret_never_shows(
    way: Callable[[Any], object],
    holding: Callable[[Secret], object],
    key: str,
    source: Callable[[str], Any],
) -> None:
    seen = shown(way, holding(Secret(source(key))))
    for form in (key, repr(key)[1:-1], json.dumps(key)[1:-1], ascii(key)[1:-1]):
        assert form not in seen


@given(key=keys)
def test_the_secret_itself_is_given_to_who_asks_for_it(key: str) -> None:
    assert Secret(key).reveal() == key


def test_a_callable_is_asked_anew_each_time() -> None:
    fresh = iter(["first", "second"])
    secret = Secret(lambda: next(fresh))
    assert repr(secret) == str(secret) == f"{secret}" == "Secret(***)"  # asks nobody
    assert (secret.reveal(), secret.reveal()) == ("first", "second")


def test_a_secret_does_not_travel_to_another_process() -> None:
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(SessionConfig(options={"key": Secret("sk")}))


def test_a_secret_takes_no_attributes() -> None:
    with pytest.raises(AttributeError):
        Secret("sk").label = "shown"  # type: ignore[attr-defined] # the point of the test


# --- plain values -----------------------------------------------------------------------------


@given(config=configs)
def test_a_configuration_is_the_same_after_a_journey_as_json(config: SessionConfig) -> None:
    wire = msgspec.json.encode(config)
    assert msgspec.json.decode(wire, type=SessionConfig) == config


@given(config=configs)
def test_a_configuration_cannot_be_changed(config: SessionConfig) -> None:
    for field in msgspec.structs.fields(config):
        with pytest.raises(AttributeError):
            setattr(config, field.name, None)


def test_the_defaults_are_what_the_pages_say() -> None:
    plain = SessionConfig()
    assert plain.modalities == ("audio",)
    assert plain.fps == 1.0
    assert plain.outlet == Outlet(seconds=120.0, policy="pause")
    assert plain.lanes == Lanes(audio=Slide(), video=Latest(), control=Suspend(cap=1_024))
    assert plain.retry == Recurs(0)
    assert plain.turn_detection == TurnDetection(mode="server", authority="provider")
    assert SessionConfig(input_format=PCM_16K) != plain


def test_mutable_defaults_are_not_shared() -> None:
    assert SessionConfig().options is not SessionConfig().options
    assert ToolSpec("look").parameters is not ToolSpec("look").parameters
    assert ToolSpec("look").parameters == {"type": "object", "properties": {}}


def test_json_refuses_a_secret_rather_than_writing_it() -> None:
    config = SessionConfig(options={"key": Secret("sk-123")})
    with pytest.raises(TypeError, match="Secret"):
        msgspec.json.encode(config)
