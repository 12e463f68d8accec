"""Frozen dataclasses to JSON and back: exact, strict, and only what an annotation names."""

from __future__ import annotations

import enum
import json
import math
from dataclasses import dataclass
from typing import Literal, get_args, get_origin

import numpy as np
import pytest

from models.latents import Values
from splatviz_app.document import Document
from splatviz_app.projects.archive import ArchiveStore
from splatviz_app.projects.frozen_json import (
    InlineStore,
    Misfit,
    decode,
    encode,
    kinds_of,
    members,
    saved_fields,
)

PNG = b"\x89PNG\r\n\x1a\n and the rest"


class Shade(enum.Enum):
    DARK = 1
    LIGHT = 2


@dataclass(frozen=True)
class Circle:
    radius: float = 1.0
    # Goes on for ever by default.
    reach: float = math.inf


@dataclass(frozen=True)
class Square:
    side: int | float
    turned: bool = False


@dataclass(frozen=True)
class Animal:
    name: str = ""


@dataclass(frozen=True)
class Cat(Animal):
    lives: int = 9


@dataclass(frozen=True)
class Dog(Animal):
    tricks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Zoo:
    shape: Circle | Square | None = None
    animals: tuple[Animal, ...] = ()
    spot: tuple[float, float, float] = (0.0, 0.0, 0.0)
    mode: Literal["red", "blue"] | None = "red"
    shade: Shade = Shade.DARK
    picture: bytes = b""
    array: Values | None = None
    inner: Zoo | None = None


ZOO = Zoo(
    shape=Square(3, True),
    animals=(Cat("Tom", 7), Dog("Rex", ("sit", "«roll»")), Cat()),
    spot=(0.1, -1e-30, 1 / 3),
    mode=None,
    shade=Shade.LIGHT,
    picture=PNG,
    array=Values.of(np.arange(6, dtype=np.float32).reshape(2, 3) / 7),
    inner=Zoo(shape=Circle(2.5), picture=b"\x00\xff", inner=Zoo(shape=Square(0.5))),
)


@pytest.mark.parametrize("store_type", [InlineStore, ArchiveStore])
def test_what_is_written_is_read_back(store_type):
    store = store_type()
    text = json.dumps(encode(ZOO, Zoo, store), allow_nan=False)
    read = decode(json.loads(text), Zoo, store)
    assert read == ZOO
    assert type(read.shape.side) is int
    assert type(read.inner.inner.shape.side) is float


def test_equal_arrays_and_pictures_are_kept_once():
    store = ArchiveStore()
    twins = (Zoo(array=ZOO.array, picture=PNG), Zoo(array=ZOO.array, picture=PNG))
    encode(twins, tuple[Zoo, ...], store)
    assert len(store.arrays) == 1
    assert list(store.files.values()) == [PNG]


def changed(path, value):
    """The zoo's JSON with one thing in it changed; the path is keys and places."""
    entry = encode(ZOO, Zoo, InlineStore())
    part = entry
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return entry


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (["spot", 0], "0.1", r"it.spot\[0\] is '0.1'"),
        (["spot", 0], True, "True"),
        (["spot", 0], float("nan"), "no number"),
        (["spot", 0], 1e38, "too large"),
        (["spot"], [0.0, 0.0], "has 2 entries"),
        (["mode"], "green", "'green'"),
        (["shade"], "GREY", "'GREY'"),
        (["shape", "side"], 2**70, "too large"),
        (["shape", "side"], None, "None"),
        (["shape", "$type"], "Zoo", "'Zoo'"),
        (["shape", "$type"], ["Square"], "Square"),
        (["shape", "$type"], "Cat", "'Cat'"),
        (["animals", 1, "$type"], "Animal", "'Animal'"),
        (["animals", 1, "tricks"], "sit", "'sit'"),
        (["animals", 0, "lifes"], 3, "unknown field 'lifes'"),
        (["animals", 0], [], r"animals\[0\]"),
        (["animals"], None, "animals is None"),
        (["picture"], "no base64!", "no base64"),
        (["array", "shape"], [2, 4], "24 bytes"),
        (["array", "shape"], [-2, -3], "no proper shape"),
        (["array", "float32"], "AADAfwAAwH8AAMB/AADAfwAAwH8AAMB/", "not finite"),
        (["inner", "shape", "reach"], 1e300, "too large"),
        (["inner"], {"shape": {"$type": "Square"}}, "no proper Square"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(path, value, said):
    with pytest.raises(Misfit, match=said):
        decode(changed(path, value), Zoo, InlineStore())


def test_only_fields_that_are_endless_by_default_may_be_endless():
    assert decode(changed(["inner", "shape", "reach"], "-inf"), Zoo, InlineStore()).inner.shape == (
        Circle(2.5, -math.inf)
    )
    with pytest.raises(Misfit):
        decode(changed(["inner", "shape", "radius"], "inf"), Zoo, InlineStore())


def test_a_missing_field_has_its_default():
    entry = encode(ZOO, Zoo, InlineStore())
    del entry["mode"], entry["animals"][0]["lives"]
    read = decode(entry, Zoo, InlineStore())
    assert (read.mode, read.animals[0]) == ("red", Cat("Tom", 9))


def test_nesting_without_end_is_refused():
    entry: dict = {}
    for _ in range(5000):
        entry = {"inner": entry}
    with pytest.raises(Misfit, match="too deep"):
        decode(entry, Zoo, InlineStore())


def all_types(hint, found):
    """Every member of every annotation that is reached from one."""
    for member in members(hint):
        if member in found:
            continue
        found.add(member)
        if get_origin(member) is tuple:
            for arg in get_args(member):
                if arg is not Ellipsis:
                    all_types(arg, found)
        for kind in kinds_of(member).values():
            found.add(kind)
            for part in saved_fields(kind).values():
                all_types(part, found)
    return found


def test_everything_in_a_document_is_of_a_type_that_can_be_saved():
    plain = {type(None), bool, int, float, str, bytes, Values}
    strange = [
        kind
        for kind in all_types(Document, set())
        if kind not in plain
        and get_origin(kind) not in (tuple, Literal)
        and not kinds_of(kind)
        and not (isinstance(kind, type) and issubclass(kind, enum.Enum))
    ]
    assert strange == []
