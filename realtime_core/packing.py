"""Packing: the machine's values as plain ones, which MessagePack carries, and back.

What is packed and unpacked is the same value, down to the type of each number; a field that has its
default is left out. No secret is packed: a mark stands for it, wherever its text is found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from functools import cache
from types import UnionType
from typing import Any, Literal, NamedTuple, Union, cast, get_args, get_origin, get_type_hints

import msgspec

from .config import Secret
from .marks import Marks, hidden, hidden_bytes
from .state import Effect, Input, State

__all__ = ("Opaque", "pack", "unpack")

_WORD = 1 << 63


class Opaque(msgspec.Struct, frozen=True):
    """Stands for a value that cannot be packed: a callable, or an object of somebody's own."""

    kind: str


# --- the vocabulary ---------------------------------------------------------------------------

_Fits = Callable[[Any], bool]


class _Shape(NamedTuple):
    """A class by its name: each field with what is left out of it, and what may be in it."""

    name: str
    defaults: tuple[tuple[str, object], ...]
    fits: Mapping[str, _Fits]


_REQUIRED = object()


@cache
def _kinds() -> dict[str, type[Any]]:
    """Give every class of value the machine knows, by name."""
    found = dict[str, type[Any]]()
    todo: list[Any] = [State, Input, Effect]
    while todo:
        kind = todo.pop()
        todo.extend(get_args(kind))
        if isinstance(kind, type) and kind.__name__ not in found:
            known = cast("type[Any]", kind)
            if issubclass(known, Enum):
                found[known.__name__] = known
            elif issubclass(known, msgspec.Struct) or hasattr(known, "_fields"):
                found[known.__name__] = known
                todo.extend(get_type_hints(known).values())
    return found


@cache
def _shapes() -> dict[type[Any], _Shape]:
    """Give the shape of each class that has fields."""
    kinds = [kind for kind in _kinds().values() if not issubclass(kind, Enum)]
    return {kind: _Shape(kind.__name__, _defaults(kind), _hints(kind)) for kind in kinds}


def _defaults(kind: type[Any]) -> tuple[tuple[str, object], ...]:
    if issubclass(kind, msgspec.Struct):
        defaults = {
            field.name: field.default
            if field.default_factory is msgspec.NODEFAULT
            else field.default_factory()
            for field in msgspec.structs.fields(kind)
        }
    else:
        defaults = {name: kind._field_defaults.get(name, _REQUIRED) for name in kind._fields}
    return tuple((name, _plain(default)) for name, default in defaults.items())


def _plain(default: object) -> object:
    """Give a default that is left out where a field has it: a plain value, or nothing in it."""
    plain = default is None or isinstance(default, bool | int | float | str | bytes)
    return default if plain or (hasattr(default, "__len__") and not default) else _REQUIRED


def _hints(kind: type[Any]) -> dict[str, _Fits]:
    hints = get_type_hints(kind)
    return {name: _fits(hints[name]) for name, _ in _defaults(kind)}


def _fits(hint: Any) -> _Fits:  # noqa: ANN401 - any annotation
    """Give what tells whether a value fits an annotation; an int fits a float, a list a tuple."""
    origin, parts = get_origin(hint), get_args(hint)
    if hint is Any:
        return lambda _: True
    if origin is Literal:
        return lambda value: any(value == one and type(value) is type(one) for one in parts)
    if origin in {Union, UnionType}:
        some = tuple(map(_fits, parts))
        return lambda value: any(fits(value) for fits in some)
    if origin is tuple and parts[-1] is ...:
        each = _fits(parts[0])
        return lambda value: isinstance(value, tuple | list) and all(map(each, _parts(value)))
    if origin is tuple:
        whole = tuple(map(_fits, parts))
        return lambda value: (
            isinstance(value, tuple | list)
            and len(_parts(value)) == len(whole)
            and all(fits(one) for fits, one in zip(whole, _parts(value), strict=True))
        )
    if origin is Mapping:
        key, entry = map(_fits, parts)
        return lambda value: (
            isinstance(value, dict) and all(key(k) and entry(v) for k, v in _pairs(value))
        )
    hint = origin or getattr(hint, "__supertype__", hint)
    if hint in {int, float}:
        numbers = int if hint is int else int | float
        return lambda value: isinstance(value, numbers) and not isinstance(value, bool)
    return lambda value: isinstance(value, hint)


def _parts(value: Any) -> Sequence[Any]:  # noqa: ANN401 - a tuple or a list
    return cast("Sequence[Any]", value)


def _pairs(value: Any) -> Iterable[tuple[Any, Any]]:  # noqa: ANN401 - a dict
    return cast("dict[Any, Any]", value).items()


# --- there ------------------------------------------------------------------------------------


def pack(value: object, marks: Marks, met: list[Secret]) -> Any:  # noqa: ANN401 - any value
    """Give a value as what MessagePack knows; adds the secrets it meets on the way to `met`."""
    kind: type[Any] = type(value)
    if value is None or kind is float or kind is bool:
        return value
    if kind is str:
        return _text(cast("str", value), marks)
    if kind is bytes:
        return hidden_bytes(cast("bytes", value), marks) if marks.data else value
    if kind is tuple:
        return [pack(one, marks, met) for one in cast("tuple[object, ...]", value)]
    shape = _shapes().get(kind)
    if shape is not None:
        content = dict[str, Any]()
        for name, default in shape.defaults:
            field = getattr(value, name)
            if type(field) is not type(default) or field != default:
                content[name] = pack(field, marks, met)
        return {shape.name: content}
    return _other(value, marks, met)


def _other(value: object, marks: Marks, met: list[Secret]) -> Any:  # noqa: ANN401 - any value
    """Pack what is rarer; a kin of a known type becomes that type."""
    match value:
        case Secret():
            met.append(value)
            return {"secret": marks.of(value)}
        case Opaque():
            return {"opaque": value.kind}
        case Enum() if _kinds().get(type(value).__name__) is type(value):
            return {type(value).__name__: value.value}
        case int():
            return int(value) if -_WORD <= value < _WORD else {"int": hex(value)}
        case float():
            return float(value)
        case str():
            return _text(str.__str__(value), marks)
        case bytes() | bytearray() | memoryview():
            return pack(bytes(cast("bytes", value)), marks, met)
        case tuple():
            return pack(tuple(cast("tuple[object, ...]", value)), marks, met)
        case list():
            return {"list": pack(tuple(cast("list[object]", value)), marks, met)}
        case frozenset():
            parts = pack(tuple(cast("frozenset[object]", value)), marks, met)
            return {"set": sorted(parts, key=repr)}
        case Mapping():
            return {"dict": pack(tuple(cast("Mapping[object, object]", value).items()), marks, met)}
        case _:
            return {"opaque": type(value).__name__}


def _text(text: str, marks: Marks) -> Any:  # noqa: ANN401 - any value
    if marks.texts:
        text = hidden(text, marks)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # half a pair of surrogates
            return {"text": text.encode(errors="surrogatepass")}
    return text


# --- and back ---------------------------------------------------------------------------------


def unpack(plain: Any) -> Any:  # noqa: ANN401 - any value
    """Give the value that was packed, each field of it of its declared type.

    Raises `ValueError`, `KeyError`, `TypeError` or `RecursionError` for what `pack` did not make.
    """
    if isinstance(plain, list):
        return tuple(map(unpack, _parts(plain)))
    if not isinstance(plain, dict):
        return plain
    ((name, content),) = _pairs(plain)
    special = _SPECIAL.get(name)
    if special is not None:
        return special(content)
    kind = _kinds()[name]
    if issubclass(kind, Enum):
        return kind(content)
    fits = _shapes()[kind].fits
    fields = {field: unpack(value) for field, value in content.items()}
    for field, value in fields.items():
        if not fits[field](value):
            raise TypeError(f"{name}.{field} is of another type: {type(value).__name__}")
    return kind(**fields)


_SPECIAL: dict[str, Callable[[Any], object]] = {
    "secret": lambda mark: Secret(str(mark)),
    "opaque": lambda kind: Opaque(str(kind)),
    "int": lambda digits: int(digits, 16),
    "text": lambda data: data.decode(errors="surrogatepass"),
    "list": lambda content: list(unpack(content)),
    "set": lambda content: frozenset(unpack(content)),
    "dict": lambda content: dict(unpack(content)),
}
