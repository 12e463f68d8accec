"""What a hand does to a photo: each function takes the photo as it is and returns the changed one. Pure.

A matte and its strokes lie in the crop. When the crop moves they are moved against it, so that they stay
on the head; a drag therefore begins at the photo of its start each time, or it would blur the matte.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from inversion.alignment import Alignment, CropRecipe, Point
from inversion.crop import corners, from_crop, to_crop
from inversion.errors import InversionError
from inversion.photo import Photo, Stroke
from inversion.pose import align

# Sides of the crop, in shares of the photo's longer one.
SMALLEST, LARGEST = 0.01, 8.0
_PNG = b"\x89PNG"
_APART = 0.15  # of the brush's radius, between points of a stroke


def with_points(photo: Photo, points: Sequence[Point], recipe: CropRecipe) -> Photo:
    """Put the landmarks elsewhere: square and camera follow.

    Args:
        photo: As it was before the hand took hold.
        points: Five, px of the photo.
        recipe: Which square.
    """
    marks = tuple(points)
    return replace(with_alignment(photo, align(marks, recipe)), points=marks)


def with_alignment(photo: Photo, alignment: Alignment) -> Photo:
    """Put the square elsewhere; matte and strokes stay where they are in the photo."""
    before = photo.alignment
    if before is None or before == alignment:
        return replace(photo, alignment=alignment)
    if is_same_square(before, alignment):
        return replace(photo, alignment=alignment)
    strokes = tuple(
        replace(
            stroke,
            path=to_crop(alignment, from_crop(before, stroke.path)),
            radius=stroke.radius * before.side / alignment.side,
        )
        for stroke in photo.strokes
    )
    matte = _moved_matte(photo.matte, before, alignment) if photo.matte else b""
    return replace(photo, alignment=alignment, matte=matte, strokes=strokes)


def is_same_square(one: Alignment | None, other: Alignment | None) -> bool:
    """Whether two alignments cut the same out of a photo."""
    if one is None or other is None:
        return one is other
    return _square(one) == _square(other)


def with_matte_of(photo: Photo, made: Photo, made_from: Photo) -> Photo:
    """Take the matte that was made from a photo, if this is still that one; strokes stay.

    Args:
        photo: As it is now.
        made: With its new matte.
        made_from: The photo before.
    """
    is_that = photo.content == made_from.content and photo.matte == made_from.matte
    if is_that and is_same_square(photo.alignment, made_from.alignment):
        return replace(photo, matte=made.matte)
    return photo


def moved(alignment: Alignment, right: float, down: float) -> Alignment:
    """Shift the square by px of the photo."""
    x, y = alignment.centre
    return replace(alignment, centre=(x + right, y + down))


def pulled(
    alignment: Alignment, handle: Point, to: Point, limits: tuple[float, float]
) -> Alignment:
    """Pull a corner or the middle of an edge; what is opposite stays, and the square stays one.

    Args:
        alignment: Before the pull.
        handle: Which one, in half sides from the middle: (1, 1) is the lower right corner.
        to: Where it shall lie, px of the photo.
        limits: The shortest and the longest side, px.
    """
    ((anchor_x, anchor_y),) = from_crop(alignment, ((0.5 - handle[0] / 2, 0.5 - handle[1] / 2),))
    cos, sin = math.cos(alignment.angle), math.sin(alignment.angle)
    # Of the diagonal or edge that the hand pulls along, px per px of the side.
    way = (handle[0] * cos - handle[1] * sin, handle[0] * sin + handle[1] * cos)
    along = (to[0] - anchor_x) * way[0] + (to[1] - anchor_y) * way[1]
    side = min(max(along / (way[0] ** 2 + way[1] ** 2), limits[0]), limits[1])
    centre = (anchor_x + way[0] * side / 2, anchor_y + way[1] * side / 2)
    return replace(alignment, centre=centre, side=side)


def scaled(alignment: Alignment, factor: float, limits: tuple[float, float]) -> Alignment:
    """Grow the square about its middle."""
    return replace(alignment, side=min(max(alignment.side * factor, limits[0]), limits[1]))


def side_limits(size: tuple[int, int]) -> tuple[float, float]:
    """The shortest and the longest side that a square may have in a photo of this size, px."""
    return (max(8.0, SMALLEST * max(size)), LARGEST * max(size))


def began_stroke(photo: Photo, at: Point, radius: float, adds: bool) -> Photo:
    """Put the brush down.

    Args:
        photo: Before.
        at: In sides of the crop; so is the radius.
        radius: Of the brush.
        adds: Whether it adds to the head.
    """
    return replace(photo, strokes=(*photo.strokes, Stroke((at,), radius, adds)))


def went_on(photo: Photo, at: Point) -> Photo:
    """Move the brush that is down; steps too small to be seen are left out."""
    *others, stroke = photo.strokes
    if math.dist(stroke.path[-1], at) < _APART * stroke.radius:
        return photo
    return replace(photo, strokes=(*others, replace(stroke, path=(*stroke.path, at))))


def without_strokes(photo: Photo) -> Photo:
    """Leave the matte as its method made it."""
    return replace(photo, strokes=())


def has_alpha(photo: Photo) -> bool:
    """Whether the picture says itself what it shows: only then it is kept as a PNG."""
    return photo.content.startswith(_PNG)


def moved_to(photos: tuple[Photo, ...], index: int, to: int) -> tuple[Photo, ...]:
    """Put a photo at another place in the row."""
    rest = [*photos[:index], *photos[index + 1 :]]
    rest.insert(to, photos[index])
    return tuple(rest)


def replaced(photos: tuple[Photo, ...], index: int, photo: Photo) -> tuple[Photo, ...]:
    """Put another photo in the place of one."""
    return (*photos[:index], photo, *photos[index + 1 :])


def removed(photos: tuple[Photo, ...], index: int) -> tuple[Photo, ...]:
    """Leave a photo out."""
    return (*photos[:index], *photos[index + 1 :])


def stored_matte(png: bytes) -> np.ndarray:
    """A matte as a photo keeps it. [S, S] uint8

    Raises:
        InversionError: It is damaged.
    """
    matte = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
    if matte is None:
        raise InversionError("The matte of a photo is damaged; prepare the photo again.")
    return np.asarray(matte)


def _moved_matte(png: bytes, before: Alignment, after: Alignment) -> bytes:
    """A matte as it lies in another crop. Below its edge goes on what is there, as shoulders do."""
    matte = stored_matte(png)
    side = matte.shape[0]
    matte = cv2.copyMakeBorder(matte, 0, 2 * side, 0, 0, cv2.BORDER_REPLICATE)
    old = np.asarray(to_crop(before, corners(after)[:3]), np.float32) * side
    new = np.asarray(((0, 0), (1, 0), (1, 1)), np.float32) * side
    # OpenCV's pixels have their middles at whole numbers.
    matrix = cv2.getAffineTransform(new - 0.5, old - 0.5)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(matte, matrix, (side, side), flags=flags)
    # Little is written to disk, all of it in every frame of a drag: quick before small.
    _, encoded = cv2.imencode(".png", warped, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return encoded.tobytes()


def _square(alignment: Alignment) -> tuple[Point, float, float]:
    return alignment.centre, alignment.side, alignment.angle
