"""Finding faces and their landmarks in a picture, with MTCNN (its weights come with its library).

What it misses mediapipe may find, where that is installed.

Landmarks and boxes are px of the picture, pixel centres at half integers.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
import torch

from inversion.alignment import Alignment, Point
from inversion.crop import cut, from_crop
from inversion.face_mesh import find_meshes, landmarks_of
from inversion.pose import first_quad
from inversion.torchvision_ops import ensure_torchvision

# Least probability of a face.
LEAST_PROBABILITY = 0.9
# Least side of a face's box that a head can be made from, px.
LEAST_FACE = 40
# Faces are looked for on a canvas of one size: each new shape costs the CPU time once.
CANVAS = 1024
# The second look is taken at several sizes, mirrored as well; the median is steadier than any.
SECOND_LOOKS = (384, 512, 640)
# Side of the second look, in half sides of FFHQ's square.
LOOK_SIDE = 2.5
# Which landmark is which in a mirrored picture.
_MIRRORED = [1, 0, 2, 4, 3]

_lock = threading.Lock()


@dataclass(frozen=True)
class Face:
    """A face in a picture."""

    # Left, top, right, bottom; px.
    box: tuple[float, float, float, float]
    # Both eyes (the left one in the picture first), nose, both corners of the mouth; px.
    points: tuple[Point, ...]
    # How sure the detector is; 0 if it does not say.
    probability: float

    @property
    def side(self) -> float:
        """The larger side of its box, px."""
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1])


def find_faces(pixels: np.ndarray) -> tuple[Face, ...]:
    """Find all faces: the largest and most central first, none if there is none.

    Args:
        pixels: [H, W, 3] uint8
    """
    height, width = pixels.shape[:2]
    scale = min(1.0, CANVAS / max(height, width))
    small = pixels
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    canvas = np.zeros((CANVAS, CANVAS, 3), np.uint8)
    canvas[: small.shape[0], : small.shape[1]] = small
    back = np.array([width / small.shape[1], height / small.shape[0]])
    faces = []
    for face in _detect(canvas):
        box = np.reshape(face.box, (2, 2)) * back
        points = np.asarray(face.points) * back
        faces.append(_face(box, points, face.probability))
    if not faces:
        faces = [_face_of(mesh) for mesh in find_meshes(pixels)]
    return tuple(sorted(faces, key=lambda face: -_prominence(face, width, height)))


def refine_face(pixels: np.ndarray, face: Face) -> Face:
    """Look at one face again, closely and several times; its landmarks become steadier.

    Args:
        pixels: The picture. [H, W, 3] uint8
        face: One that was found in it.
    """
    middle, axis = first_quad(np.asarray(face.points))
    half = float(np.hypot(*axis))
    # Upright, so that every look sees the same but for its size.
    angle = float(np.arctan2(axis[1], axis[0]))
    square = Alignment((float(middle[0]), float(middle[1])), LOOK_SIDE * half, angle)
    found = []
    for size in SECOND_LOOKS:
        look = cut(pixels, square, size)
        for is_mirrored in (False, True):
            shown = np.ascontiguousarray(look[:, ::-1]) if is_mirrored else look
            seen = _most_central(_detect(shown), size)
            if seen is None:
                continue
            points = np.asarray(seen.points) / size
            if is_mirrored:
                points = ([1.0, 0.0] + points * [-1.0, 1.0])[_MIRRORED]
            found.append(from_crop(square, [(x, y) for x, y in points]))
    if not found:
        return face
    return _face(np.reshape(face.box, (2, 2)), np.median(found, axis=0), face.probability)


def how_it_lies(pixels: np.ndarray) -> str:
    """Say how a picture without an upright face lies, if that is why: "on its side", "upside down"."""
    for quarters, how in ((1, "on its side"), (3, "on its side"), (2, "upside down")):
        if find_faces(np.ascontiguousarray(np.rot90(pixels, quarters))):
            return how
    return ""


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch work on one thread: its small networks are many times slower on several."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@cache
def _detector() -> Any:
    ensure_torchvision()
    from facenet_pytorch import MTCNN

    return MTCNN(keep_all=True, min_face_size=24)


def _detect(pixels: np.ndarray) -> list[Face]:
    with _lock, one_thread():
        boxes, probabilities, points = _detector().detect(pixels, landmarks=True)
    if boxes is None:
        return []
    # The detector returns arrays of objects, and counts pixels from 1: a picture and its mirror image
    # agree only so.
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 2, 2) - 0.5
    points = np.asarray(points, dtype=np.float64).reshape(-1, 5, 2) - 0.5
    return [
        _face(box, marks, float(probability))
        for box, marks, probability in zip(boxes, points, probabilities, strict=True)
        if probability > LEAST_PROBABILITY
    ]


def _face(box: np.ndarray, points: np.ndarray, probability: float) -> Face:
    left, top, right, bottom = (float(v) for v in np.ravel(box))
    return Face(
        (left, top, right, bottom), tuple((float(x), float(y)) for x, y in points), probability
    )


def _face_of(mesh: np.ndarray) -> Face:
    """A face from its dense landmarks. [478, 2]"""
    return _face(np.stack([mesh.min(axis=0), mesh.max(axis=0)]), landmarks_of(mesh), 0.0)


def _prominence(face: Face, width: int, height: int) -> float:
    """Area of a face, less the farther it is from the middle."""
    left, top, right, bottom = face.box
    away = np.hypot((left + right - width) / width, (top + bottom - height) / height)
    return (right - left) * (bottom - top) / float(1 + away)


def _most_central(faces: list[Face], size: int) -> Face | None:
    """The large face in the middle of a square picture."""

    def likeness(face: Face) -> float:
        left, top, right, bottom = face.box
        away = np.hypot((left + right - size) / 2, (top + bottom - size) / 2)
        return (right - left) * (bottom - top) / float(1 + away / (0.1 * size)) ** 2

    return max(faces, key=likeness, default=None)
