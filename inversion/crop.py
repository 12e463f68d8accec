"""Cutting the square of an alignment out of a photo, and points between the two.

Points of a photo are px, points of a crop are sides of it: (0, 0) is its upper left corner. Pixel centres
lie at half integers here; OpenCV has them at integers, which only `_for_opencv` knows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from inversion.alignment import Alignment, CropRecipe, Point
from models.checkpoint import CheckpointSummary

# What stands where a crop leaves its photo: the photo's mirror image, fading into a blur; or nothing.
Border = Literal["reflect", "blank"]


def recipe_for(summary: CheckpointSummary | None) -> CropRecipe:
    """Choose the square that the training pictures of a network were cut by.

    Only the files' names say it: the released networks are called after their pictures.
    """
    if summary is None:
        return "ffhqc"
    files = (Path(file).name.lower() for file in (summary.path, summary.provenance.source or ""))
    said = next((name for name in files if "ffhq" in name), "ffhqc")
    return "ffhqc" if "ffhqc" in said else "ffhq"


def from_crop(alignment: Alignment, points: Sequence[Point]) -> tuple[Point, ...]:
    """Turn points in sides of the crop into px of the photo."""
    matrix, corner = _crop_to_photo(alignment)
    return _as_points(_as_array(points) @ matrix.T + corner)


def to_crop(alignment: Alignment, points: Sequence[Point]) -> tuple[Point, ...]:
    """Turn points in px of the photo into sides of the crop."""
    matrix, corner = _crop_to_photo(alignment)
    return _as_points((_as_array(points) - corner) @ np.linalg.inv(matrix).T)


def corners(alignment: Alignment) -> tuple[Point, ...]:
    """The corners of the square in px of the photo, clockwise from its upper left."""
    return from_crop(alignment, ((0, 0), (1, 0), (1, 1), (0, 1)))


def cut(
    pixels: np.ndarray, alignment: Alignment, size: int, border: Border = "reflect"
) -> np.ndarray:
    """Cut the square out of a photo.

    Args:
        pixels: The photo, or its alpha. [H, W, C] or [H, W], uint8 or float32
        alignment: Which square.
        size: The side of the result, px.
        border: What stands where the square leaves the photo.

    Returns:
        The crop, like `pixels`. [size, size, C] or [size, size]
    """
    pixels, alignment = _around(pixels, alignment, size)
    shrinks = alignment.side / size
    if shrinks > 1.3:  # warping looks at 4×4 pixels only: what is finer would alias
        pixels = cv2.GaussianBlur(pixels, (0, 0), 0.4 * shrinks)
    if border == "blank":
        return _warp(pixels, alignment, size, cv2.BORDER_CONSTANT)
    crop = _warp(pixels, alignment, size, cv2.BORDER_REFLECT)
    covered = inside(pixels.shape, alignment, size)
    return crop if covered.min() >= 1 else _faded(crop, covered)


def inside(shape: Sequence[int], alignment: Alignment, size: int) -> np.ndarray:
    """Say which pixels of a crop lie within the photo.

    Args:
        shape: Of the photo's pixels: height, width, …
        alignment: Which square.
        size: The side of the result, px.

    Returns:
        1 within, 0 outside, between at the photo's edge. [size, size] float32
    """
    height, width = shape[:2]
    middles = (np.arange(size) + 0.5) / size
    grid = np.stack(np.meshgrid(middles, middles), axis=-1).reshape(-1, 2)
    matrix, corner = _crop_to_photo(alignment)
    at = grid @ matrix.T + corner
    depth = np.minimum(
        np.minimum(at[:, 0], width - at[:, 0]), np.minimum(at[:, 1], height - at[:, 1])
    )
    step = alignment.side / size
    return np.clip(depth / step + 0.5, 0, 1).astype(np.float32).reshape(size, size)


def _crop_to_photo(alignment: Alignment) -> tuple[np.ndarray, np.ndarray]:
    """Matrix [2, 2] and offset [2] that take sides of the crop to px of the photo."""
    cos, sin = math.cos(alignment.angle), math.sin(alignment.angle)
    matrix = alignment.side * np.array([[cos, -sin], [sin, cos]])
    return matrix, np.asarray(alignment.centre) - matrix @ [0.5, 0.5]


def _around(pixels: np.ndarray, alignment: Alignment, size: int) -> tuple[np.ndarray, Alignment]:
    """Leave away what a crop of this size cannot show: blurring a large photo takes long."""
    margin = 4 + 2 * alignment.side / size  # px that filters look at
    low, high = np.sort(np.array(corners(alignment)), axis=0)[[0, -1]]
    shape = np.array([pixels.shape[1], pixels.shape[0]])
    # Where the square leaves the photo, its mirror image is needed as far.
    first = np.clip(np.floor(np.minimum(low, 2 * shape - high) - margin), 0, shape - 1).astype(int)
    last = np.clip(np.ceil(np.maximum(high, -low) + margin), first + 1, shape).astype(int)
    x, y = alignment.centre
    centre = (x - float(first[0]), y - float(first[1]))
    return pixels[first[1] : last[1], first[0] : last[0]], replace(alignment, centre=centre)


def _faded(crop: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """Let what lies outside of the photo fade into a blur, so that nobody takes it for a picture.

    Args:
        crop: With the mirror image outside. [S, S] or [S, S, C]
        covered: Which pixels lie within. [S, S]
    """
    size, side = crop.shape[0], min(crop.shape[0], 64)  # a blur needs few pixels

    def soft(picture: np.ndarray, sigma: float) -> np.ndarray:
        small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
        return cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma), (size, size))

    blurred = soft(crop.astype(np.float32), side / 40)
    # It begins a little outside.
    share = soft(cv2.erode(1 - covered, np.ones((3, 3))), side / 80) * (covered < 1)
    mixed = crop + share.reshape(size, size, *[1] * (crop.ndim - 2)) * (blurred - crop)
    return np.rint(mixed).astype(np.uint8) if crop.dtype == np.uint8 else mixed.astype(crop.dtype)


def _for_opencv(alignment: Alignment, size: int) -> np.ndarray:
    """Matrix [2, 3] from pixel indices of the crop to pixel indices of the photo."""
    matrix, corner = _crop_to_photo(alignment)
    matrix = matrix / size
    return np.c_[matrix, corner + matrix @ [0.5, 0.5] - 0.5]


def _warp(pixels: np.ndarray, alignment: Alignment, size: int, border: int) -> np.ndarray:
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    matrix = _for_opencv(alignment, size)
    crop = cv2.warpAffine(pixels, matrix, (size, size), flags=flags, borderMode=border)
    # Cubic interpolation overshoots at edges; uint8 is clipped by OpenCV.
    return np.clip(crop, 0, 1) if pixels.dtype == np.float32 else crop


def _as_array(points: Sequence[Point]) -> np.ndarray:
    return np.asarray(points, dtype=np.float64).reshape(-1, 2)


def _as_points(array: np.ndarray) -> tuple[Point, ...]:
    return tuple((float(x), float(y)) for x, y in array)
