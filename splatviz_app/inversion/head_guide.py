"""Lines of a generic head as a camera sees it, to judge a pose by: outline, midline, eyes, mouth.

The head is an ellipsoid that was fitted by eye to heads of the released generators; lines that lie on its
far side are left out.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from inversion.alignment import Alignment, Point
from inversion.crop import from_crop
from inversion.pose import project, rotation
from renderer.camera import GAN_RADIUS

# Middle and half axes of the head, world units.
_MIDDLE = np.array([0.0, 0.045, -0.06])
_RADII = np.array([0.15, 0.215, 0.19])
_EYES, _MOUTH = 0.052, -0.078  # heights of the lines across the face
_SAMPLES = 48


@lru_cache(maxsize=64)
def head_lines(alignment: Alignment) -> tuple[tuple[Point, ...], ...]:
    """Lines of the head in the photo, px: the outline first, then those on the face."""
    turn = rotation(alignment.yaw, alignment.pitch, alignment.roll)
    eye = -GAN_RADIUS * turn[2]  # where the camera stands
    lines = [_outline(eye)]
    for line in (_midline(), _across(_EYES), _across(_MOUTH, 0.36)):
        lines.extend(_facing(line, eye))
    return tuple(_in_photo(line, turn, alignment) for line in lines if len(line) > 1)


def _outline(eye: np.ndarray) -> np.ndarray:
    """Where the view touches the ellipsoid: a circle on the unit sphere. [N, 3]"""
    seen_from = (eye - _MIDDLE) / _RADII
    distance = float(np.linalg.norm(seen_from))
    axis = seen_from / distance
    side = np.cross([0.0, 1.0, 0.0], axis)
    side /= np.linalg.norm(side)
    up = np.cross(axis, side)
    angle = np.linspace(0, 2 * math.pi, 2 * _SAMPLES + 1)[:, None]
    circle = np.cos(angle) * side + np.sin(angle) * up
    unit = axis / distance + math.sqrt(1 - 1 / distance**2) * circle
    return _MIDDLE + _RADII * unit


def _midline() -> np.ndarray:
    """From the crown over the face to the chin. [N, 3]"""
    angle = np.linspace(0.5 * math.pi, -0.5 * math.pi, _SAMPLES)
    unit = np.stack([np.zeros_like(angle), np.sin(angle), np.cos(angle)], axis=1)
    return _MIDDLE + _RADII * unit


def _across(height: float, half: float = 0.5) -> np.ndarray:
    """Around the front of the head at a height; `half` times π to each side. [N, 3]"""
    y = (height - _MIDDLE[1]) / _RADII[1]
    angle = np.linspace(-half * math.pi, half * math.pi, _SAMPLES)
    ring = math.sqrt(max(0.0, 1 - y * y))
    unit = np.stack([ring * np.sin(angle), np.full_like(angle, y), ring * np.cos(angle)], axis=1)
    return _MIDDLE + _RADII * unit


def _facing(line: np.ndarray, eye: np.ndarray) -> list[np.ndarray]:
    """The parts of a line on the near side. [N, 3] each"""
    unit = (line - _MIDDLE) / _RADII
    near = unit @ ((eye - _MIDDLE) / _RADII) > 1
    breaks = np.flatnonzero(np.diff(near)) + 1
    parts, kept = np.split(line, breaks), np.split(near, breaks)
    return [part for part, is_near in zip(parts, kept, strict=True) if is_near.all()]


def _in_photo(line: np.ndarray, turn: np.ndarray, alignment: Alignment) -> tuple[Point, ...]:
    places = project(line, turn) + 0.5
    return from_crop(alignment, [(float(x), float(y)) for x, y in places])
