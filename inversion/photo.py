"""A photo on its way to a head, as a frozen value: the session's document and its undo hold these."""

from __future__ import annotations

from dataclasses import dataclass, field

from inversion.alignment import Alignment, Point


@dataclass(frozen=True)
class Stroke:
    """One stroke of the brush over a matte."""

    # Where it went, in sides of the crop: (0, 0) is its upper left corner, (1, 1) its lower right.
    path: tuple[Point, ...]
    # Of the brush, in sides of the crop.
    radius: float
    # Whether it adds to the head, or takes away.
    adds: bool = True


@dataclass(frozen=True)
class Photo:
    """A picture of a face, and all that was found in it or set by hand."""

    # What the user calls it: the file's name.
    name: str
    # The picture, upright, as JPEG or PNG; its alpha, if it has one, is the matte.
    content: bytes = field(repr=False)
    # The landmarks, px of the picture: both eyes (the left one in the picture first), nose, both corners
    # of the mouth; empty while no face was looked for.
    points: tuple[Point, ...] = ()
    # Where the head is; None while no face was looked for.
    alignment: Alignment | None = None
    # Which pixels of the crop show the head: a PNG in grey, square; empty while there is none.
    matte: bytes = field(default=b"", repr=False)
    # What was painted over the matte.
    strokes: tuple[Stroke, ...] = ()
    # Whether inversion looks at it.
    used: bool = True

    @property
    def is_ready(self) -> bool:
        """Whether it can be inverted."""
        return self.alignment is not None and bool(self.matte)
