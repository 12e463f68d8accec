"""Frozen dataclasses to JSON and back, by their annotations alone.

Only types that an annotation names are ever built, so a file cannot ask for others. What does not fit is
a `Misfit`, whose words continue a sentence: "view.mode is 'x-ray', which is none of …".
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import enum
import math
import types
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, Protocol, Union, cast, get_args, get_origin, get_type_hints

import numpy as np

from models.latents import Values

KIND = "$type"  # which of several dataclasses an object is

_LONGEST_TEXT = 2**22  # characters
_MOST_ITEMS = 100_000  # in a tuple
_LARGEST_INT = 2**63
_LARGEST_FLOAT = 1e37
_MOST_AXES = 8


class Misfit(ValueError):
    """JSON that is not of the type it should be."""


class Store(Protocol):
    """Where arrays and bytes go, which JSON cannot hold; JSON holds what `put` returned."""

    def put_array(self, values: Values) -> Any:
        """Keep an array."""

    def array(self, kept: Any) -> Values:
        """Find it again. Raises Misfit."""

    def put_bytes(self, content: bytes) -> Any:
        """Keep bytes."""

    def content(self, kept: Any) -> bytes:
        """Find them again. Raises Misfit."""


class InlineStore:
    """Arrays and bytes as base64 within the JSON itself: for short texts that travel alone."""

    def put_array(self, values: Values) -> Any:
        """Shape and float32, little endian."""
        return {"shape": list(values.shape), "float32": _to_base64(values.content)}

    def array(self, kept: Any) -> Values:
        """Read what `put_array` wrote."""
        if not isinstance(kept, dict) or set(kept) != {"shape", "float32"}:
            raise Misfit("is no array")
        shape = kept["shape"]
        if not isinstance(shape, list) or len(shape) > _MOST_AXES:
            raise Misfit("has no proper shape")
        if not all(type(side) is int and 0 <= side < _LARGEST_INT for side in shape):
            raise Misfit("has no proper shape")
        return checked_values(tuple(shape), _from_base64(kept["float32"]))

    def put_bytes(self, content: bytes) -> Any:
        """Base64."""
        return _to_base64(content)

    def content(self, kept: Any) -> bytes:
        """Read what `put_bytes` wrote."""
        return _from_base64(kept)


def checked_values(shape: tuple[int, ...], content: bytes) -> Values:
    """Make an array of a file's bytes: float32, little endian, row by row.

    Raises:
        Misfit: Shape and size differ, or it holds NaN or infinity.
    """
    try:
        values = Values(shape, content)
    except ValueError as error:
        raise Misfit(str(error)) from error
    if not np.isfinite(np.frombuffer(content, "<f4")).all():
        raise Misfit("holds numbers that are not finite")
    return values


def encode(value: Any, hint: Any, store: Store) -> Any:
    """Turn a value into what JSON can hold.

    Args:
        value: Of the type that `hint` says.
        hint: An annotation: a dataclass, or anything that fields of dataclasses here are annotated with.
        store: Takes arrays and bytes.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, Values):
        return store.put_array(value)
    if isinstance(value, bytes):
        return store.put_bytes(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float | np.floating):
        assert not math.isnan(value), hint
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, tuple):
        (member,) = [m for m in members(hint) if get_origin(m) is tuple]
        return [encode(v, h, store) for v, h in zip(value, _item_hints(member, value), strict=True)]
    assert dataclasses.is_dataclass(value), (type(value), hint)
    kinds = kinds_of(hint)
    assert type(value) in kinds.values(), (type(value), hint)
    entry = {
        name: encode(getattr(value, name), field_hint, store)
        for name, field_hint in saved_fields(cast(type, type(value))).items()
    }
    return entry if _only_kind(hint) else {KIND: type(value).__name__, **entry}


def decode(entry: Any, hint: Any, store: Store, where: str = "it") -> Any:
    """Turn JSON back into a value of the type that `hint` says.

    Args:
        entry: As `encode` made it; anything else a file may hold.
        hint: The annotation.
        store: Has the arrays and bytes.
        where: How the sentence names the place.

    Raises:
        Misfit: It is not of that type.
    """
    fitting = [member for member in members(hint) if _may_be(entry, member)]
    if not fitting:
        raise Misfit(f"{where} is {_shown(entry)}, which does not belong there")
    # 3 is a number of `float | int`, but it was written by an int.
    member = type(entry) if type(entry) in fitting else fitting[0]
    try:
        return _decode_as(entry, member, hint, store, where)
    except RecursionError as error:
        raise Misfit(f"{where} is nested too deep") from error


@cache
def saved_fields(kind: type) -> Mapping[str, Any]:
    """Names and annotations of the fields that are saved: those the constructor takes."""
    hints = get_type_hints(kind)
    return {f.name: hints[f.name] for f in dataclasses.fields(kind) if f.init}


@cache
def members(hint: Any) -> tuple[Any, ...]:
    """The alternatives of a union; of anything else itself."""
    if get_origin(hint) in (Union, types.UnionType):
        return tuple(m for arg in get_args(hint) for m in members(arg))
    return (hint,)


def kinds_of(hint: Any) -> dict[str, type]:
    """The dataclasses that an annotation stands for, by name; for a class with children, those."""
    found = [m for m in members(hint) if dataclasses.is_dataclass(m) and m is not Values]
    leaves = [leaf for kind in found for leaf in _leaves(cast(type, kind))]
    return {leaf.__name__: leaf for leaf in leaves}


def _only_kind(hint: Any) -> str | None:
    """The name of the one dataclass that an annotation allows, None if there is a choice."""
    declared = [m for m in members(hint) if dataclasses.is_dataclass(m) and m is not Values]
    if len(declared) != 1 or cast(type, declared[0]).__subclasses__():
        return None
    return cast(type, declared[0]).__name__


def _leaves(kind: type) -> list[type]:
    children: list[type] = kind.__subclasses__()
    return [leaf for child in children for leaf in _leaves(child)] if children else [kind]


def _item_hints(hint: Any, items: tuple[Any, ...] | list[Any]) -> tuple[Any, ...]:
    """The annotation of each item of a tuple."""
    args = get_args(hint)
    return args[:1] * len(items) if args[-1:] == (Ellipsis,) else args


def _may_be(entry: Any, member: Any) -> bool:
    """Whether JSON is of the sort that a member of a union is written as."""
    if member is type(None):
        return entry is None
    if get_origin(member) is Literal:
        return any(entry == option and type(entry) is type(option) for option in get_args(member))
    if member is float:
        return isinstance(entry, int | float) and not isinstance(entry, bool)
    if member in (bool, int, str):
        return type(entry) is member
    if get_origin(member) is tuple:
        return isinstance(entry, list)
    if member in (bytes, Values):
        return entry is not None  # the store knows
    if isinstance(member, type) and issubclass(member, enum.Enum):
        return isinstance(entry, str)
    assert dataclasses.is_dataclass(member), member
    return isinstance(entry, dict)


def _decode_as(entry: Any, member: Any, hint: Any, store: Store, where: str) -> Any:
    if member in (bytes, Values):
        try:
            return store.content(entry) if member is bytes else store.array(entry)
        except Misfit as error:
            raise Misfit(f"{where} {error}") from error
    if get_origin(member) is tuple:
        hints = _item_hints(member, entry)
        if len(hints) != len(entry) or len(entry) > _MOST_ITEMS:
            raise Misfit(f"{where} has {len(entry)} entries")
        return tuple(
            decode(item, item_hint, store, f"{where}[{i}]")
            for i, (item, item_hint) in enumerate(zip(entry, hints, strict=True))
        )
    if dataclasses.is_dataclass(member):
        return _decode_dataclass(entry, hint, store, where)
    if isinstance(member, type) and issubclass(member, enum.Enum):
        if entry not in member.__members__:
            raise Misfit(f"{where} is {_shown(entry)}, which this version does not know")
        return member[entry]
    return _checked_plain(entry, member, where)


def _decode_dataclass(entry: dict[str, Any], hint: Any, store: Store, where: str) -> Any:
    kinds = kinds_of(hint)
    given = dict(entry)
    name = given.pop(KIND, _only_kind(hint))
    if not isinstance(name, str) or name not in kinds:
        raise Misfit(f"{where} is of the kind {_shown(name)}, which this version does not know")
    kind = kinds[name]
    hints = saved_fields(kind)
    if unknown := sorted(set(given) - set(hints)):
        raise Misfit(f"{where} has an unknown field {_shown(unknown[0])}")
    endless = _endless_fields(kind)
    values = {
        field: float(part)
        if field in endless and part in ("inf", "-inf")
        else decode(part, hints[field], store, f"{where}.{field}")
        for field, part in given.items()
    }
    try:
        return kind(**values)
    except (TypeError, ValueError, AssertionError) as error:  # a field is missing, or refused
        raise Misfit(f"{where} is no proper {name} ({_shown(str(error))})") from error


@cache
def _endless_fields(kind: type) -> frozenset[str]:
    """The fields that may be infinite: those which are so by default."""
    fields = dataclasses.fields(kind)
    return frozenset(f.name for f in fields if f.default in (math.inf, -math.inf))


def _checked_plain(entry: Any, member: Any, where: str) -> Any:
    if member is float:
        # Not >: NaN is refused as well. ImGui holds half of the digits and goes not much further.
        if not abs(entry) <= _LARGEST_FLOAT:
            raise Misfit(f"{where} is too large, or no number")
        return float(entry)
    if member is int and not -_LARGEST_INT <= entry < _LARGEST_INT:
        raise Misfit(f"{where} is too large a number")
    if member is str and len(entry) > _LONGEST_TEXT:
        raise Misfit(f"{where} is too long a text")
    return entry


def _shown(entry: Any) -> str:
    """A few letters of what stands in a file."""
    text = ascii(entry)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _to_base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _from_base64(text: Any) -> bytes:
    if not isinstance(text, str):
        raise Misfit("is no base64")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Misfit("is no base64") from error
