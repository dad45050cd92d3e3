"""A trace: what happened to a session, as bytes from which every decision follows again.

A sequence of records, each behind its length (four bytes, big-endian): first what the machine began
with, then, for each transition, its input and a digest of what followed. No secret is in it, and
the same run gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from math import isfinite
from typing import Any, NamedTuple

import msgspec

from .config import Secret
from .errors import InvalidRequest, ProtocolViolation, RealtimeError, RealtimeException
from .marks import Marks, learn
from .packing import pack, unpack
from .state import Input, State, Transition

__all__ = ("LIMIT", "Entry", "Record", "Trace", "decode", "entry", "header")

LIMIT = 64 * 1024 * 1024
"""Bytes of the largest record."""

_FORMAT = 1
_LENGTH = 4
_DIGEST = 8
_ENCODER = msgspec.msgpack.Encoder()
_MALFORMED = (msgspec.MsgspecError, ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What reading a made-up record raises."""


class Entry(NamedTuple):
    """One transition: what happened, and the digest of what followed."""

    given: Input
    digest: bytes


class Trace(NamedTuple):
    """One recorded run."""

    provider: str
    """The name under which the provider can be found."""
    start: State
    """What the machine knew before the first transition."""
    entries: tuple[Entry, ...] = ()
    torn: int = 0
    """Bytes at the end that make no whole record: the recording was cut off there."""


class Record(NamedTuple):
    """The bytes of one record, its digest, and the secrets that are known after it."""

    data: bytes
    digest: bytes
    marks: Marks


# --- there ------------------------------------------------------------------------------------


def header(provider: str, start: State) -> Record:
    """Give the first record. Raises `ValueError` where it would be too large."""
    (name, began), marks = _packed(Marks(), (provider, start))
    return Record(_framed({"trace": _FORMAT, "provider": name, "start": began}), b"", marks)


def entry(marks: Marks, given: Input, transition: Transition) -> Record:
    """Give the record of a transition. Raises `ValueError` where it would be too large."""
    handle = transition.state.handle
    secrets = () if handle is None else (handle,)
    (told, followed), marks = _packed(marks, (given, transition[1:]), secrets)
    digest = blake2b(_ENCODER.encode(followed), digest_size=_DIGEST).digest()
    return Record(_framed([told, digest]), digest, marks)


def _packed(
    marks: Marks, values: tuple[object, ...], secrets: tuple[Secret, ...] = ()
) -> tuple[list[Any], Marks]:
    """Pack, again and again until all secrets that are met on the way were known before."""
    while True:
        met = list(secrets)
        plain = [pack(value, marks, met) for value in values]
        before, marks = marks, learn(marks, *met)
        if marks is before:
            return plain, marks


def _framed(content: object) -> bytes:
    data = _ENCODER.encode(content)
    if len(data) > LIMIT:
        raise ValueError(f"a record of {len(data)} bytes is larger than {LIMIT}")
    return len(data).to_bytes(_LENGTH, "big") + data


# --- and back ---------------------------------------------------------------------------------


def decode(read: Callable[[int], bytes], name: str) -> Trace:
    """Give the trace that is read from `read`, which gives up to so many bytes at a time.

    What is cut off at the end is left out and counted. Raises `RealtimeException` for all else that
    is no trace; `name` says what was read.
    """
    data, rest = _next(read, name, 0)
    if rest or not data:
        raise RealtimeException(_no_trace(name, "it ends before anything was recorded"))
    provider, start = _begun(data, name)
    entries = list[Entry]()
    while True:
        number = len(entries) + 1
        data, rest = _next(read, name, number)
        if not data:
            return Trace(provider, start, tuple(entries), rest)
        entries.append(_entry(data, name, number))


def _next(read: Callable[[int], bytes], name: str, number: int) -> tuple[bytes, int]:
    """Give the next record, or nothing and how many bytes are left over."""
    length = read(_LENGTH)
    if len(length) < _LENGTH:
        return b"", len(length)
    size = int.from_bytes(length, "big")
    if not 0 < size <= LIMIT:
        why = f"it claims to have {size} bytes"
        raise RealtimeException(_malformed(name, number, why) if number else _no_trace(name, why))
    data = read(size)
    return (data, 0) if len(data) == size else (b"", _LENGTH + len(data))


def _begun(data: bytes, name: str) -> tuple[str, State]:
    try:
        content = msgspec.msgpack.decode(data)
        format = content["trace"]
        if format != _FORMAT:
            raise RealtimeException(_other_format(name, format))
        provider, start = content["provider"], unpack(content["start"])
    except _MALFORMED as problem:
        raise RealtimeException(_no_trace(name, str(problem))) from problem
    if not isinstance(provider, str) or not isinstance(start, State):
        raise RealtimeException(_no_trace(name, "it does not begin as one"))
    return provider, start


def _entry(data: bytes, name: str, number: int) -> Entry:
    try:
        told, digest = msgspec.msgpack.decode(data)
        given = unpack(told)
    except _MALFORMED as problem:
        raise RealtimeException(_malformed(name, number, str(problem))) from problem
    if not (isinstance(given, Input) and isinstance(digest, bytes) and isfinite(given.at)):
        raise RealtimeException(_malformed(name, number, "it tells of nothing that can happen"))
    return Entry(given, digest)


def _no_trace(name: str, why: str) -> RealtimeError:
    return InvalidRequest(
        what=f"{name!r} is no trace: {why}.",
        cause="another kind of file, or a recording that was cut off at once",
        fix="Make one with `realtime talk --record FILE`, or `realtime_core.recording`.",
    )


def _other_format(name: str, format: object) -> RealtimeError:
    return InvalidRequest(
        what=f"{name!r} is a trace of format {format!r}; this version reads {_FORMAT}.",
        cause="it was recorded by another version of realtime-core",
        fix="Replay it with the version that recorded it, or record it again.",
    )


def _malformed(name: str, number: int, why: str) -> RealtimeError:
    return ProtocolViolation(
        what=f"{name!r}, record {number}: {why}.",
        cause="the file is no trace, is damaged there, or a newer version wrote it",
        fix="Record it again, or take the last copy that was whole.",
    )
