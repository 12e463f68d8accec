"""A value as a tree whose parts are read only where it is open.

Nothing here runs a user's code but the properties that the user opened, and `repr`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from splatviz_app.value_facts import LONGEST, as_array, facts_of, one_line, type_name

Path = tuple[str, ...]  # the labels from a value down to a part of it

SCALARS = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, np.generic)
_DEEPEST = 8  # levels of a tree
_MOST_CHILDREN = 200  # of one node
_OURS = ("splatviz_app.", "renderer.", "models.")  # their properties only compute


@dataclass(frozen=True)
class Node:
    """A part of a value in a tree."""

    label: str  # ".name", "[3]", "['key']"
    kind: str  # the name of its type
    text: str
    can_open: bool
    children: tuple[Node, ...] | None  # None while it is closed
    more: int = 0  # children that are not listed


def node_of(label: str, value: object, path: Path, opened: frozenset[Path]) -> Node:
    """Look at one part of a value, and below it as far as it is open."""
    can_open = len(path) < _DEEPEST and _has_children(value)
    if not can_open or path not in opened:
        return Node(label, type_name(value), one_line(value), can_open, None)
    parts = list(islice(_parts(value), _MOST_CHILDREN + 1))
    total = _count(value, len(parts))
    children = tuple(_child(part, path, opened) for part in parts[:_MOST_CHILDREN])
    more = max(0, total - len(children))
    return Node(label, type_name(value), one_line(value), True, children, more)


# ---- inside


@dataclass(frozen=True)
class _Part:
    """A part of a value, and the way to read it."""

    label: str
    read: Callable[[], object]
    runs_code: bool = False  # of the user's, when it is read


@dataclass(frozen=True)
class _Fact:
    """A fact of a tensor: shown, not looked into."""

    value: object


def _is_ours(value: object) -> bool:
    return f"{type(value).__module__}.".startswith(_OURS)


def _has_children(value: object) -> bool:
    if isinstance(value, SCALARS) or _is_function(value):
        return False
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return len(value) > 0
    if isinstance(value, Tensor | np.ndarray):
        return value.ndim > 0
    return next(_parts(value), None) is not None


def _count(value: object, listed: int) -> int:
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return len(value)
    return sum(1 for _ in _parts(value)) if listed > _MOST_CHILDREN else listed


def _parts(value: object) -> Iterator[_Part]:
    if isinstance(value, Tensor | np.ndarray):
        yield from _array_parts(value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield _kept(f"[{one_line(key, 60)}]", item)
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        for name, item in zip(value._fields, value, strict=False):
            yield _kept(f".{name}", item)
    elif isinstance(value, list | tuple | set | frozenset):
        for index, item in enumerate(value):
            yield _kept(f"[{index}]", item)
    else:
        yield from _attributes(value)


def _kept(label: str, item: object) -> _Part:
    return _Part(label, lambda: item)


def _array_parts(value: Tensor | np.ndarray) -> Iterator[_Part]:
    array = as_array(value)
    if array is None:
        return
    facts = facts_of(value, array)
    for name in ("low", "high", "mean", "deviation", "nans", "infinities", "head"):
        found = getattr(facts, name)
        if found is not None:
            yield _kept(name, _Fact(found))


def _attributes(value: object) -> Iterator[_Part]:
    """Attributes, found without running any code: first data, then properties, then methods."""
    if _is_ours(value) and "__dir__" in vars(type(value)):
        for name in type(value).__dir__(value):  # in its own order
            yield _Part(f".{name}", partial(getattr, value, name))
        return
    names = [name for name in _static_names(value) if not name.startswith("__")]
    if isinstance(value, ModuleType):
        names = [name for name in names if not name.startswith("_")]
    found = {name: inspect.getattr_static(value, name, None) for name in names}
    for name in sorted(names, key=lambda name: (_rank(found[name]), name.lstrip("_"))):
        runs_code = _is_computed(found[name]) and not _is_ours(value)
        yield _Part(f".{name}", partial(getattr, value, name), runs_code)


def _static_names(value: object) -> list[str]:
    own = list(getattr(value, "__dict__", {}))
    if isinstance(value, type | ModuleType):
        return own
    shared = [name for kind in type(value).__mro__ if kind is not object for name in vars(kind)]
    return list(dict.fromkeys(own + shared))


def _rank(attribute: object) -> int:
    if _is_computed(attribute):
        return 1
    return 2 if _is_function(attribute) else 0


def _is_computed(attribute: object) -> bool:
    """Whether reading it runs code: a property or another descriptor, but not a method or a slot."""
    if _is_function(attribute) or inspect.ismemberdescriptor(attribute):
        return False
    return hasattr(type(attribute), "__get__")


def _is_function(attribute: object) -> bool:
    return inspect.isroutine(attribute) or isinstance(attribute, classmethod | staticmethod)


def _child(part: _Part, path: Path, opened: frozenset[Path]) -> Node:
    here = (*path, part.label)
    if part.runs_code and here not in opened:
        return Node(part.label, "property", "open it to compute it", True, None)
    try:
        value = part.read()
    except Exception as error:  # noqa: BLE001 - a property of the user's may raise anything
        return Node(part.label, type(error).__name__, str(error)[:LONGEST], False, None)
    if isinstance(value, _Fact):
        shown = value.value if isinstance(value.value, str) else one_line(value.value)
        return Node(part.label, "", shown, False, None)
    return node_of(part.label, value, here, opened)
