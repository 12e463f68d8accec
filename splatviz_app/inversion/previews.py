"""Photos as pictures for the window: decoded on a thread of their own, cut and painted in milliseconds.

Every picture is [H, W, 4] uint8, never written to again, and the same array while nothing changed:
so the window brings it to OpenGL once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Generic, Literal, TypeVar

import cv2
import numpy as np

from inversion.alignment import Alignment
from inversion.crop import corners, cut
from inversion.matting import with_strokes
from inversion.photo import Photo, Stroke
from inversion.pictures import decode_picture
from inversion.prepare import warnings_for
from renderer.errors import SplatheadError
from splatviz_app.inversion.photo_edits import stored_matte

# How a matte is laid over its crop.
MatteLook = Literal["tint", "cut out", "matte"]

_KEPT_PICTURES = 6  # decoded ones: of 16 MB each at most
_KEPT_SMALL = 64
_TINT = (214, 64, 64)  # what is taken away
_TINT_ALPHA = 0.62
_CHECKER = (92, 124)  # the two greys under what is cut out
_CHECKER_CELLS = 24  # on a side

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(frozen=True, eq=False)
class Decoded:
    """A photo's pixels, and the same at half the size again and again: what shrinks them is quick then."""

    levels: tuple[np.ndarray, ...]  # [H, W, 4] uint8, opaque, each half of the one before

    @property
    def pixels(self) -> np.ndarray:
        """At full size. [H, W, 4] uint8"""
        return self.levels[0]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, px."""
        height, width = self.pixels.shape[:2]
        return (width, height)

    def crop(self, alignment: Alignment, size: int) -> np.ndarray:
        """Cut a square out, as preparing does up to what shrinking loses. [size, size, 4] uint8"""
        level, shrink = 0, alignment.side / size
        while shrink > 1.3 and level + 1 < len(self.levels):
            level, shrink = level + 1, shrink / 2
        pixels = self.levels[level]
        scale = pixels.shape[1] / self.pixels.shape[1], pixels.shape[0] / self.pixels.shape[0]
        centre = (alignment.centre[0] * scale[0], alignment.centre[1] * scale[1])
        smaller = replace(alignment, centre=centre, side=alignment.side * scale[0])
        height, width = pixels.shape[:2]
        is_inside = all(0 <= x <= width and 0 <= y <= height for x, y in corners(smaller))
        # To know where the photo ends takes longer than the cut itself.
        return np.ascontiguousarray(cut(pixels, smaller, size, "blank" if is_inside else "reflect"))


class Previews:
    """The pictures of photos that panels show. Used by the thread of the window only."""

    def __init__(self, wake: Callable[[], None] = lambda: None) -> None:
        """Begin with none; `wake` is called, from another thread, when one that was asked for is there."""
        self._wake = wake
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="previews")
        self._decoding: dict[bytes, Future[Decoded]] = {}
        self._decoded: OrderedDict[bytes, Decoded] = OrderedDict()
        self._problems: dict[bytes, str] = {}
        self._small: _Following[np.ndarray] = _Following(self._worker)
        self._warnings: _Following[tuple[str, ...]] = _Following(self._worker)
        self._crops: OrderedDict[Hashable, np.ndarray] = OrderedDict()
        self._mattes: OrderedDict[Hashable, np.ndarray] = OrderedDict()
        self._painted: tuple[Photo, np.ndarray] | None = None  # the newest matte, and whose it is
        self._looks: OrderedDict[Hashable, np.ndarray] = OrderedDict()

    def picture(self, photo: Photo) -> Decoded | None:
        """The photo itself; None while it is being decoded, or if it cannot be."""
        content = photo.content
        known = _recent(self._decoded, content)
        if known is not None or content in self._problems:
            return known
        future = self._decoding.get(content)
        if future is None:
            self._decoding[content] = self._worker.submit(self._woken(lambda: decode(photo)))
        elif future.done():
            del self._decoding[content]
            try:
                return _keep(self._decoded, content, future.result(), _KEPT_PICTURES)
            except SplatheadError as error:
                self._problems[content] = str(error)
        return None

    def problem(self, photo: Photo) -> str:
        """Why the photo cannot be shown; empty if it can."""
        return self._problems.get(photo.content, "")

    def thumbnail(self, photo: Photo, size: int, twin: int = 0) -> np.ndarray | None:
        """A small square: the head cut out once it is prepared, else the photo's middle. [S, S, 4] uint8

        While a newer one is being made, that is the one before.

        Args:
            photo: As it is now.
            size: S, px.
            twin: How many photos of the same content come before it: each may be set up in its own way.
        """
        decoded = self._decoded.get(photo.content)
        key = (photo.alignment, photo.matte, photo.strokes, size)
        work = self._woken(lambda: _thumbnail(photo, decoded, size))
        return self._small.of((photo.content, twin), key, work, np.zeros((size, size, 4), np.uint8))

    def warnings(self, photo: Photo) -> tuple[str, ...]:
        """What will make a head of this photo poor; those of before while they are being found."""
        work = self._woken(lambda: warnings_for(photo))
        return self._warnings.of(photo.content, photo.alignment, work, ()) or ()

    def crop(self, photo: Photo, size: int) -> np.ndarray | None:
        """The square that is cut out; None while there is none. [size, size, 4] uint8, opaque"""
        decoded = self.picture(photo)
        if decoded is None or photo.alignment is None:
            return None
        key = (photo.content, photo.alignment, size)
        found = _recent(self._crops, key)
        if found is None:
            found = _keep(self._crops, key, decoded.crop(photo.alignment, size), 6)
        return found

    def matte(self, photo: Photo) -> np.ndarray | None:
        """Which pixels of the crop show the head, strokes and all; None without. [S, S] float32"""
        if not photo.matte:
            return None
        key = (photo.matte, photo.strokes)
        found = _recent(self._mattes, key)
        if found is not None:
            self._painted = (photo, found)
            return found
        before = self._painted
        rest = _rest_of(photo, before[0]) if before is not None else None
        if before is not None and rest is not None:  # the hand is painting
            painted = with_strokes(before[1], rest)
        else:
            painted = with_strokes(_grey(photo.matte), photo.strokes)
        self._painted = (photo, painted)
        return _keep(self._mattes, key, painted, 4)

    def look(self, photo: Photo, look: MatteLook) -> np.ndarray | None:
        """What to lay over the crop, or in its place, to show its matte. [S, S, 4] uint8

        "tint": red where the photo is taken away, to lie over the crop. "cut out": the head over a checker.
        "matte": the matte in grey.
        """
        matte = self.matte(photo)
        if matte is None:
            return None
        key = (photo.content, photo.alignment, photo.matte, photo.strokes, look)
        found = _recent(self._looks, key)
        if found is not None:
            return found
        share = np.rint(matte * 255).astype(np.uint8)
        if look == "tint":
            made = tinted(share)
        elif look == "matte":
            made = cv2.cvtColor(share, cv2.COLOR_GRAY2RGBA)
        else:
            crop = self.crop(photo, share.shape[0])
            if crop is None:
                return None
            made = over_checker(crop, share)
        return _keep(self._looks, key, made, 4)

    def _woken(self, work: Callable[[], Value]) -> Callable[[], Value]:
        def worked() -> Value:
            try:
                return work()
            finally:
                self._wake()

        return worked


class _Following(Generic[Value]):
    """Values that the worker makes, one for each photo: the newest there is, if not yet the right one."""

    def __init__(self, worker: ThreadPoolExecutor) -> None:
        self._worker = worker
        self._known: OrderedDict[Hashable, tuple[Hashable, Value]] = OrderedDict()
        self._pending: dict[Hashable, tuple[Hashable, Future[Value]]] = {}

    def of(
        self, whose: Hashable, key: Hashable, work: Callable[[], Value], failed: Value
    ) -> Value | None:
        """The value of a photo (`whose`) for a key; only one is in the making, however fast keys change."""
        known = _recent(self._known, whose)
        if known is not None and known[0] == key:
            return known[1]
        pending = self._pending.get(whose)
        if pending is None:
            self._pending[whose] = (key, self._worker.submit(work))
        elif pending[1].done():
            del self._pending[whose]
            # A photo that cannot be decoded says so elsewhere.
            value = failed if pending[1].exception() is not None else pending[1].result()
            known = _keep(self._known, whose, (pending[0], value), _KEPT_SMALL)
        return known[1] if known is not None else None


def decode(photo: Photo) -> Decoded:
    """Decode a photo.

    Raises:
        LoadError: It is damaged.
    """
    pixels = decode_picture(photo.content, photo.name).pixels
    levels = [np.ascontiguousarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA))]
    while min(levels[-1].shape[:2]) > 256:
        height, width = levels[-1].shape[:2]
        half = ((width + 1) // 2, (height + 1) // 2)
        levels.append(cv2.resize(levels[-1], half, interpolation=cv2.INTER_AREA))
    return Decoded(tuple(levels))


def as_rgba(pixels: np.ndarray, longest: int = 1280) -> np.ndarray:
    """A camera's frame for the window: no side longer than `longest` px.

    Args:
        pixels: [H, W, 3] uint8

    Returns:
        [H, W, 4] uint8, opaque
    """
    scale = longest / max(pixels.shape[:2])
    if scale < 1:
        size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA))


def tinted(matte: np.ndarray) -> np.ndarray:
    """Red where a matte [S, S] uint8 takes away, clear where it keeps. [S, S, 4] uint8"""
    red, green, blue = (np.full_like(matte, value) for value in _TINT)
    return cv2.merge([red, green, blue, cv2.convertScaleAbs(255 - matte, alpha=_TINT_ALPHA)])


def over_checker(crop: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """Lay what a matte keeps of a crop over a checker.

    Args:
        crop: [S, S, 4] uint8
        matte: [S, S] uint8

    Returns:
        [S, S, 4] uint8, opaque
    """
    checker = _checker(crop.shape[0])
    share = cv2.cvtColor(matte, cv2.COLOR_GRAY2RGBA).astype(np.float32) / 255
    mixed = cv2.convertScaleAbs(checker + share * (crop - checker))
    mixed[..., 3] = 255
    return mixed


def _thumbnail(photo: Photo, decoded: Decoded | None, size: int) -> np.ndarray:
    decoded = decoded or decode(photo)
    if photo.alignment is None:
        return _middle(decoded, size)
    crop = decoded.crop(photo.alignment, size)
    if not photo.matte:
        return crop
    # Strokes are in sides of the crop, but thin ones would be lost at this size.
    matte = with_strokes(_grey(photo.matte), photo.strokes)
    small = cv2.resize(matte, (size, size), interpolation=cv2.INTER_AREA)
    return over_checker(crop, np.rint(small * 255).astype(np.uint8))


def _middle(decoded: Decoded, size: int) -> np.ndarray:
    """The largest square about a photo's middle, a little above where it stands on end: faces are."""
    width, height = decoded.size
    side = min(width, height)
    top = side / 2 + 0.25 * (height - side)
    return decoded.crop(Alignment((width / 2, top), side), size)


def _grey(png: bytes) -> np.ndarray:
    """A matte as it is stored. [S, S] float32"""
    return stored_matte(png).astype(np.float32) / 255


def _rest_of(photo: Photo, before: Photo) -> tuple[Stroke, ...] | None:
    """What was painted since `before`; None if that is not all that changed.

    A stroke covers what its pieces cover: of one that went on, only the new piece counts.
    """
    new, old = photo.strokes, before.strokes
    if photo.matte is not before.matte or not new or len(new) - len(old) not in (0, 1):
        return None
    if new[: len(old)] == old:
        return new[len(old) :]
    if len(new) > len(old) or new[:-1] != old[:-1]:
        return None
    last, done = new[-1], old[-1]
    if (last.radius, last.adds) != (done.radius, done.adds):
        return None
    count = len(done.path)
    if last.path[:count] != done.path:
        return None
    return (replace(last, path=last.path[count - 1 :]),)


@lru_cache(maxsize=4)
def _checker(size: int) -> np.ndarray:
    """[size, size, 4] float32 in [0, 255]"""
    cell = np.arange(size) * _CHECKER_CELLS // size
    light = (cell[:, None] + cell[None]) % 2
    grey = np.where(light, *_CHECKER).astype(np.float32)
    return np.repeat(grey[..., None], 4, axis=2)


def _recent(kept: OrderedDict[Key, Value], key: Key) -> Value | None:
    found = kept.get(key)
    if found is not None:
        kept.move_to_end(key)
    return found


def _keep(kept: OrderedDict[Key, Value], key: Key, value: Value, count: int) -> Value:
    """Remember a value, and forget the oldest beyond `count`."""
    kept[key] = value
    while len(kept) > count:
        kept.popitem(last=False)
    return value
