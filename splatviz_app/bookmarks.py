"""Heads an artist keeps: frozen values, the way from one to another, and their files.

A bookmark belongs to one generator; with another it is refused, since its numbers mean something else there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from models.delta import Tuning
from models.latents import LatentSettings, Values
from renderer.errors import SplatheadError

LONGEST_NAME = 60  # letters

_NEARLY_PARALLEL = 1e-4  # radians; on so short an arc the chord is the arc
_NEAR_STOP = 1e-6  # of the way between two stops


class ForeignBookmark(SplatheadError):
    """A bookmark of one generator was to be used with another."""


@dataclass(frozen=True)
class Bookmark:
    """A head that is kept."""

    # What the user calls it.
    name: str
    # Where it is.
    latent: LatentSettings
    # The hash of its generator's weights.
    weights: str
    # A PNG of it, square; empty if there is none.
    thumbnail: bytes = field(default=b"", repr=False)
    # What its generator was tuned by.
    tuning: Tuning | None = None

    def latent_for(self, weights: str) -> LatentSettings:
        """Where it is, for the open generator.

        Raises:
            ForeignBookmark: It belongs to another generator, or none is open.
        """
        if weights == self.weights:
            return self.latent
        if not weights:
            raise ForeignBookmark(f"Open the generator of “{self.name}” first to show it.")
        raise ForeignBookmark(
            f"“{self.name}” belongs to another generator, and would be another head in this one. "
            "Open the generator it was saved with."
        )


def unused_bookmark_name(bookmarks: Iterable[Bookmark], wanted: str = "Head 1") -> str:
    """The wanted name, or the same with the next number that is free."""
    taken = {bookmark.name for bookmark in bookmarks}
    stem, _, number = wanted.rpartition(" ")
    stem, count = (stem, int(number)) if stem and number.isdecimal() else (wanted, 1)
    name = wanted
    while name in taken:
        count += 1
        name = f"{stem} {count}"
    return name


def renamed(bookmark: Bookmark, name: str) -> Bookmark:
    """Give it another name, unless that is empty."""
    name = " ".join(name.split())[:LONGEST_NAME]
    return replace(bookmark, name=name) if name else bookmark


# ---- the way between heads


@dataclass(frozen=True)
class Stop:
    """A bookmark on a way, with the numbers that are blended."""

    # Exactly where it is.
    latent: LatentSettings
    # Its w after truncation, mix and pushes. [1 or blocks, W]
    w: Values
    # The z it comes from; None if it was not blended or kept in Z, or was changed in W since. [Z]
    z: Values | None = None


@dataclass(frozen=True)
class Route:
    """A way through several heads of one generator: 0 is the first, 1 the second, and so on."""

    stops: tuple[Stop, ...]
    # The hash of the generator's weights.
    weights: str

    @property
    def length(self) -> float:
        """The place of the last stop."""
        return float(len(self.stops) - 1)

    def at(self, place: float) -> LatentSettings:
        """The head at a place: straight in W, on a great circle in Z where both neighbours come from Z.

        A stop itself is what was saved, with its sliders. Between two in Z ψ goes evenly; a head
        between two in W has all that its neighbours were in its w, so its ψ is 1.
        """
        place = min(max(place, 0.0), self.length)
        nearest = round(place)
        if abs(place - nearest) < _NEAR_STOP:
            return self.stops[nearest].latent
        before = min(int(place), len(self.stops) - 2)
        first, second, part = self.stops[before], self.stops[before + 1], place - before
        plain = LatentSettings(first.latent.seed, first.latent.x, first.latent.y)
        if first.z is not None and second.z is not None:
            z = slerp(first.z.array(), second.z.array(), part)
            psi = (1 - part) * first.latent.psi + part * second.latent.psi
            return replace(plain, z=Values.of(z), psi=psi, space="Z", weights=self.weights)
        w = (1 - part) * first.w.array() + part * second.w.array()  # [1 or blocks, W]
        return replace(plain, kept=Values.of(w), psi=1.0, weights=self.weights)


def slerp(first: np.ndarray, second: np.ndarray, part: float) -> np.ndarray:
    """Go along the great circle from one direction to another; lengths go evenly. [Z]

    Args:
        first, second: [Z]; neither is 0.
        part: 0 to 1.
    """
    a, b = first.astype(np.float64), second.astype(np.float64)
    lengths = np.linalg.norm(a), np.linalg.norm(b)
    a, b = a / lengths[0], b / lengths[1]
    length = (1 - part) * lengths[0] + part * lengths[1]
    # atan2 of the chords is exact for small angles as well, where arccos has lost its digits.
    angle = 2 * math.atan2(float(np.linalg.norm(a - b)), float(np.linalg.norm(a + b)))
    if angle < _NEARLY_PARALLEL:
        way = (1 - part) * a + part * b
    elif math.pi - angle < _NEARLY_PARALLEL:  # every great circle leads there: take one
        turn = _perpendicular(a)
        way = math.cos(part * math.pi) * a + math.sin(part * math.pi) * turn
    else:
        way = (math.sin((1 - part) * angle) * a + math.sin(part * angle) * b) / math.sin(angle)
    return (length * way / np.linalg.norm(way)).astype(np.float32)


def travelled(seconds: float, length: float, per_stop: float, back: bool) -> float:
    """Where an animation is on a route of this length.

    Args:
        seconds: Since it began at the first stop.
        length: Of the route, in stops.
        per_stop: Seconds from one stop to the next.
        back: Whether it goes back the way it came, instead of beginning anew.
    """
    if length <= 0:
        return 0.0
    place = max(0.0, seconds) / per_stop
    if not back:
        return place % length
    place %= 2 * length
    return place if place <= length else 2 * length - place


def _perpendicular(unit: np.ndarray) -> np.ndarray:
    """A unit vector at right angles to another, always the same. [Z]"""
    axis = np.zeros_like(unit)
    axis[np.argmin(np.abs(unit))] = 1.0
    left = axis - (axis @ unit) * unit
    return left / np.linalg.norm(left)


def of_generator(bookmarks: Sequence[Bookmark], weights: str) -> list[int]:
    """The places of the bookmarks that belong to a generator."""
    return [i for i, bookmark in enumerate(bookmarks) if bookmark.weights == weights]
