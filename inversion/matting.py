"""Which pixels of a crop show the head: a matte, found by one of several methods, mended by strokes.

GrabCut, seeded by landmarks, is always there; the others need a file or a library that a user may have.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

import cv2
import numpy as np

from inversion import modnet, weights
from inversion.alignment import Point
from inversion.errors import InversionError
from inversion.guided_filter import guided
from inversion.photo import Stroke
from inversion.selfie import has_selfie_model, selfie_mask

# The best first: the file's own alpha, MODNet, mediapipe's selfie model, GrabCut.
MatteMethod = Literal["file", "modnet", "selfie", "grabcut"]

_SIDE = 256  # px at which GrabCut looks for the head
_FINE_SIDE = 512  # px at which it only looks for the border
_WINDOW = 8  # px at that side: radius in which the border follows the picture
_TOLERANCE = 1e-4  # variance of colours there that is no edge

_NOT_THE_HEAD = (
    "No head was found around the landmarks. Move the eyes and the mouth onto the face, or choose "
    "another way to cut the head out."
)


def available_methods(has_alpha: bool = False) -> tuple[MatteMethod, ...]:
    """List what can be used here and now, the best first; cheap enough for every frame.

    Args:
        has_alpha: Whether the picture brings an alpha of its own.
    """
    here: dict[MatteMethod, bool] = {
        "file": has_alpha,
        "modnet": modnet.find_weights() is not None,
        "selfie": has_selfie_model(),
        "grabcut": True,
    }
    return tuple(method for method, is_here in here.items() if is_here)


def matte(
    crop: np.ndarray, points: np.ndarray | Sequence[Point], method: MatteMethod | None = None
) -> np.ndarray:
    """Find the head in a crop.

    Args:
        crop: Colours, and the picture's own alpha if it has one. [S, S, 3 or 4] uint8
        points: Eyes, nose, corners of the mouth, in sides of the crop. [5, 2]
        method: None takes the best that works.

    Returns:
        1 where the head is, 0 elsewhere, between at its edge. [S, S] float32

    Raises:
        InversionError: The method cannot be used here, or no head was found.
        CheckpointError: The weights' file is damaged.
    """
    side = crop.shape[0]
    assert crop.shape in ((side, side, 3), (side, side, 4)), crop.shape
    points = np.asarray(points, dtype=np.float64)
    assert points.shape == (5, 2), points.shape
    methods = available_methods(crop.shape[2] == 4)
    if method is not None and method not in methods:
        raise InversionError(f"{_needed(method)} Or choose another way to cut the head out.")
    if method is not None:
        return _by(method, crop, points)
    for best in methods[:-1]:
        # A library may be broken, a network see nobody: the next one may do.
        with suppress(InversionError):
            return _by(best, crop, points)
    return _by("grabcut", crop, points)


def _needed(method: MatteMethod) -> str:
    """Say what a method needs that is not here."""
    if method == "file":
        return "The picture has no transparency of its own. Load one that has."
    if method == "modnet":
        return f"MODNet's weights are not here. {weights.by_hand(weights.MODNET)}"
    return "The selfie model is not here: it comes with mediapipe up to 0.10.21. Install that one."


def _by(method: MatteMethod, crop: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Find the head by one method that is here."""
    colors = np.ascontiguousarray(crop[..., :3])
    if method == "grabcut":
        return _from_landmarks(colors, points)
    if method == "selfie":
        return _from_trimap(colors, selfie_mask(colors), points, rounds=4)
    if method == "modnet":
        return _with_the_face(modnet.matte_by_network(colors), points)
    return _with_the_face(crop[..., 3].astype(np.float32) / 255, points)


def with_strokes(matte: np.ndarray, strokes: Sequence[Stroke]) -> np.ndarray:
    """Paint strokes over a matte, one after the other: where they cross, the last one counts.

    Args:
        matte: In [0, 1]; it is not changed. [S, S] float32
        strokes: Their edges are smooth over one pixel.

    Returns:
        [S, S] float32
    """
    side = matte.shape[0]
    assert matte.shape == (side, side), matte.shape
    result = matte.astype(np.float32)  # a copy
    for stroke in strokes:
        # Shapes, not coats of paint: the same stroke twice is the same as once, at its edge too.
        box, cover = _cover(stroke, side)
        here = result[box]
        result[box] = np.maximum(here, cover) if stroke.adds else np.minimum(here, 1 - cover)
    return result


# ---- strokes


Box = tuple[slice, slice]  # rows and columns


def _cover(stroke: Stroke, side: int) -> tuple[Box, np.ndarray]:
    """Find the part of the matte that a stroke reaches, and how much of its pixels lies under the brush.

    Returns:
        The part, and [h, w] float32 of it.
    """
    path = np.asarray(stroke.path, dtype=np.float64).reshape(-1, 2) * side  # px
    radius = stroke.radius * side
    if not len(path) or radius <= 0:
        return (slice(0, 0), slice(0, 0)), np.zeros((0, 0), np.float32)
    rows, columns = _reached(path, radius, (side, side))
    corner = np.array([columns.start, rows.start])
    cover = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.float32)
    path = path - corner
    for start, end in zip(path, path[1:] if len(path) > 1 else path, strict=False):
        _cover_segment(cover, start, end, radius)
    return (rows, columns), cover


def _cover_segment(cover: np.ndarray, start: np.ndarray, end: np.ndarray, radius: float) -> None:
    """Draw a line with round ends into `cover`, looking only at the pixels that it may reach."""
    box = rows, columns = _reached(np.stack([start, end]), radius, cover.shape)
    # Pixel centres lie at half integers.
    x = np.arange(columns.start, columns.stop) + 0.5 - start[0]
    y = np.arange(rows.start, rows.stop)[:, None] + 0.5 - start[1]
    along = end - start
    length = float(along @ along)
    share = np.clip((x * along[0] + y * along[1]) / length, 0, 1) if length > 0 else 0.0
    distance = np.hypot(x - share * along[0], y - share * along[1])
    cover[box] = np.maximum(cover[box], np.clip(radius + 0.5 - distance, 0, 1))


def _reached(path: np.ndarray, radius: float, shape: tuple[int, ...]) -> Box:
    """The rows and columns, of a picture of this shape, that a brush along a path [N, 2] may reach."""
    low = np.floor(path.min(axis=0) - radius - 1)
    high = np.ceil(path.max(axis=0) + radius + 1)
    rows, columns = (
        slice(*(int(v) for v in np.clip((low[axis], high[axis]), 0, size)))
        for axis, size in ((1, shape[0]), (0, shape[1]))
    )
    return rows, columns


# ---- whether it is the head


def _with_the_face(found: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return a matte that holds the face; raise if it does not: it is of something else."""
    side = found.shape[0]
    inside = np.clip(points * side, 0, side - 1).astype(int)
    if np.mean(found[inside[:, 1], inside[:, 0]] > 0.5) < 0.5:
        raise InversionError(_NOT_THE_HEAD)
    return found


# ---- GrabCut seeded by landmarks


def _from_landmarks(crop: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Cut the head out, told by the landmarks where a head and its background surely are."""
    cut = _grabcut(modnet.resized(crop, _SIDE), _seeds(points * _SIDE), rounds=5)
    coarse = _piece_with(points[:2].mean(0), cut)
    return _from_trimap(crop, cv2.GaussianBlur(coarse, (0, 0), 1), points, rounds=2)


def _from_trimap(
    crop: np.ndarray, likely: np.ndarray, points: np.ndarray, rounds: int
) -> np.ndarray:
    """Cut the head out, told by a coarse mask where the border runs, and let it follow the hair.

    Args:
        crop: [S, S, 3] uint8
        likely: How likely a pixel is a person's. [s, s] float32
        points: In sides of the crop. [5, 2]
        rounds: Of GrabCut.
    """
    fine, likely = modnet.resized(crop, _FINE_SIDE), modnet.resized(likely, _FINE_SIDE)
    surely = cv2.erode((likely > 0.9).astype(np.uint8), _disc(15))
    perhaps = cv2.dilate((likely > 0.1).astype(np.uint8), _disc(25))
    labels = np.where(likely > 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[surely > 0] = cv2.GC_FGD
    labels[perhaps == 0] = cv2.GC_BGD
    mask = _piece_with(points[:2].mean(0), _grabcut(fine, labels, rounds))
    followed = guided(fine, cv2.GaussianBlur(mask, (0, 0), 1), _WINDOW, _TOLERANCE)
    # Only at the border: elsewhere, colours that head and wall share would make it thin.
    reach = _disc(3 * _WINDOW + 1)
    border = cv2.blur(cv2.dilate(mask, reach) - cv2.erode(mask, reach), (5, 5))
    return np.clip(modnet.resized(mask + (followed - mask) * border, crop.shape[0]), 0, 1)


def _disc(width: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))


def _seeds(points: np.ndarray) -> np.ndarray:
    """Say of each pixel what it surely or probably is, as GrabCut's labels.

    A head hangs on its eyes: places are measured from the middle between them, `u` down the face
    and `v` across, in units of the larger of the eyes' distance and of the eyes' to the mouth.

    Args:
        points: In px of a picture of side `_SIDE`. [5, 2]

    Returns:
        [_SIDE, _SIDE] uint8
    """
    eyes, mouth = points[:2].mean(0), points[3:].mean(0)
    down = mouth - eyes
    unit = max(float(np.hypot(*down)), 0.9 * float(np.hypot(*(points[1] - points[0]))))
    if unit < 1:
        raise InversionError(
            "The landmarks of the face lie on one another. Set the eyes and the mouth by hand."
        )
    down = down / max(float(np.hypot(*down)), 1e-6)
    place = np.stack(np.meshgrid(*[np.arange(_SIDE) + 0.5] * 2), axis=-1) - eyes
    u = place @ down / unit
    v = np.abs(place @ np.array([-down[1], down[0]])) / unit

    def oval(across: float, along: float) -> np.ndarray:
        return (v / across) ** 2 + ((u - 0.1) / along) ** 2 < 1

    labels = np.full(u.shape, cv2.GC_PR_BGD, np.uint8)
    labels[(u < 0.9) & ~oval(2.5, 2.6)] = cv2.GC_BGD
    shoulders = (u > 1.3) & (v < 1.3 + 1.35 * np.maximum(u - 1.5, 0))
    labels[oval(1.75, 2.1) | shoulders] = cv2.GC_PR_FGD
    neck = (u > 1) & (v < 0.55 + 0.8 * np.maximum(u - 2.1, 0))
    labels[oval(0.92, 1.42) | neck] = cv2.GC_FGD
    return labels


def _grabcut(picture: np.ndarray, labels: np.ndarray, rounds: int) -> np.ndarray:
    """Let GrabCut move the border between the seeds; the same each time. [S, S] bool"""
    labels = labels.copy()
    sure = {int(label) for label in np.unique(labels)}
    if not ({cv2.GC_FGD, cv2.GC_PR_FGD} & sure and {cv2.GC_BGD, cv2.GC_PR_BGD} & sure):
        return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)  # nothing to divide
    cv2.setRNGSeed(0)  # its mixtures of Gaussians begin at random
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(picture, labels, (0, 0, 1, 1), *models, rounds, cv2.GC_INIT_WITH_MASK)
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)


def _piece_with(eyes: np.ndarray, cut: np.ndarray) -> np.ndarray:
    """Keep the piece with the eyes, without specks and small holes.

    Args:
        eyes: The middle between them, in sides of the crop. [2]
        cut: [s, s] bool

    Returns:
        0 or 1. [s, s] float32
    """
    side = cut.shape[0]
    mask = cv2.morphologyEx(cut.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, pieces = cv2.connectedComponents(mask)
    column, row = np.clip(eyes * side, 0, side - 1).astype(int)
    if not pieces[row, column]:
        raise InversionError(_NOT_THE_HEAD)
    mask = (pieces == pieces[row, column]).astype(np.uint8)
    _, holes, facts, _ = cv2.connectedComponentsWithStats(1 - mask, connectivity=4)
    inside = facts[:, cv2.CC_STAT_AREA] < 0.02 * side**2
    inside[0] = False  # label 0 is the mask itself
    mask[inside[holes]] = 1
    return mask.astype(np.float32)
