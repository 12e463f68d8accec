"""The header of a `.ply`: which elements, columns and number types follow.

It is untrusted: its size is bounded, and its counts are only numbers until they are held against
the file's size.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np

from renderer.errors import LoadError

TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4",
    "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4",
    "float": "f4", "double": "f8", "float32": "f4", "float64": "f8",
}  # fmt: skip
ORDERS = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}
MAX_HEADER = 1 << 20  # bytes; ours have under 2 kB
NOTE = "splathead "  # opens a comment that holds one JSON object of ours


@dataclass(frozen=True)
class Property:
    """A column."""

    name: str
    dtype: str  # numpy's, without byte order
    length_dtype: str | None = None  # of a list: the type of the length before each


@dataclass(frozen=True)
class Element:
    """A table: its rows follow those of the elements before it."""

    name: str
    count: int
    properties: list[Property] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Of the columns, in the file's order."""
        return [prop.name for prop in self.properties]

    @property
    def has_lists(self) -> bool:
        """Whether rows differ in size."""
        return any(prop.length_dtype for prop in self.properties)

    @property
    def least_bytes(self) -> int:
        """Size of a row in a binary file, its lists empty."""
        return sum(np.dtype(prop.length_dtype or prop.dtype).itemsize for prop in self.properties)


@dataclass(frozen=True)
class Header:
    """All that stands before the rows."""

    order: str  # numpy's byte order; "=" for text
    elements: list[Element]
    comments: list[str]

    def element(self, name: str) -> Element | None:
        """The first element of that name."""
        return next((element for element in self.elements if element.name == name), None)

    @property
    def note(self) -> dict[str, object]:
        """Our own comments, merged; what is not JSON is not ours."""
        merged: dict[str, object] = {}
        for comment in self.comments:
            if comment.startswith(NOTE):
                try:
                    entry = json.loads(comment[len(NOTE) :])
                except (ValueError, RecursionError):
                    continue
                merged.update(entry if isinstance(entry, dict) else {})
        return merged


def read_header(file: BinaryIO, path: str | os.PathLike[str]) -> Header:
    """Parse the header and leave `file` at the first byte of its rows.

    Raises:
        LoadError: It is no `.ply`, or its header is damaged. Names `path`.
    """
    start = file.read(MAX_HEADER)
    if not start:
        raise LoadError(path, "is empty. Export or copy it again.")
    if start[:4] not in (b"ply\n", b"ply\r"):
        raise LoadError(path, "is not a .ply file. Check that it was not merely renamed.")
    end = start.find(b"\nend_header")
    newline = start.find(b"\n", end + 1)
    if end < 0 or newline < 0:
        raise LoadError(path, "has a header without an end. Export or copy it again.")
    header = Header("", [], [])
    for line in start[:end].decode("latin-1").split("\n")[1:]:
        try:
            header = _parse_line(line.strip(), header)
        except (KeyError, IndexError, ValueError) as error:
            shown = ascii(line.strip()[:60])
            sentence = f"has a header line that means nothing: {shown}. Export it again."
            raise LoadError(path, sentence) from error
    if not header.order:
        raise LoadError(path, "does not say its format. Export or copy it again.")
    file.seek(newline + 1)
    return header


def _parse_line(line: str, header: Header) -> Header:
    """Take in one line; KeyError, IndexError and ValueError mean that it is not one of a header."""
    match line.split():
        case ["format", kind, "1.0"]:
            return Header(ORDERS[kind], header.elements, header.comments)
        case ["comment" | "obj_info", *_]:
            header.comments.append(line.partition(" ")[2])
        case ["element", name, count]:
            header.elements.append(Element(name, _natural(count)))
        case ["property", "list", length, kind, name]:
            if TYPES[length].startswith("f"):
                raise ValueError("the length of a list is a whole number")
            header.elements[-1].properties.append(Property(name, TYPES[kind], TYPES[length]))
        case ["property", kind, name]:
            header.elements[-1].properties.append(Property(name, TYPES[kind]))
        case [_, *_]:
            raise ValueError(line)
    return header


def _natural(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    return int(text)
