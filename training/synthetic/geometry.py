"""The small mathematics that painting by rules is made of."""

from __future__ import annotations

import numpy as np

Array = np.ndarray

UP, FRONT = np.array([0.0, 1, 0]), np.array([0.0, 0, 1])


def unit(vectors: Array) -> Array:
    """Scale to length 1. [..., 3]"""
    return vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + 1e-12)


def across(vectors: Array, axes: Array) -> Array:
    """Take away what lies along the unit vectors `axes`, and scale to length 1. [..., 3]"""
    return unit(vectors - (vectors * axes).sum(-1, keepdims=True) * axes)


def ramp(low: float, high: float, value: Array) -> Array:
    """Rise smoothly from 0 at `low` to 1 at `high`, which may be the smaller."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def bump(distance: Array, width: float = 1) -> Array:
    """Fall from 1 as a bell."""
    return np.exp(-((distance / width) ** 2))


def mix(first: Array, second: Array, weight: Array) -> Array:
    """Go from `first` at weight 0 to `second` at 1. [N, 3]"""
    return first + (second - first) * weight[:, None]


def curve(corners: Array, count: int) -> Array:
    """Lay points on the Catmull-Rom curve through `corners`. [count, D]"""
    ends = 2 * corners[[0, -1]] - corners[[1, -2]]
    padded = np.concatenate([ends[:1], corners, ends[1:]])
    at = np.linspace(0, len(corners) - 1 - 1e-9, count)
    i, t = at.astype(int), (at % 1)[:, None]
    a, b, c, d = (padded[i + k] for k in range(4))
    square, cube = 2 * a - 5 * b + 4 * c - d, 3 * b - 3 * c + d - a
    return 0.5 * (2 * b + (c - a) * t + square * t**2 + cube * t**3)


def distance_to(points: Array, line: Array) -> Array:
    """Measure to a densely sampled line, in as many dimensions as it has. [N]"""
    best = np.zeros(len(points))
    for start in range(0, len(points), 20_000):  # so that the table of pairs stays small
        part = slice(start, start + 20_000)
        pairs = points[part, None, : line.shape[1]] - line
        best[part] = np.sqrt((pairs**2).sum(-1).min(1))
    return best


def is_inside(points: Array, polygon: Array) -> Array:
    """Say which points lie in a polygon seen from the front, by the even-odd rule. [N] bool"""
    x, y = points[:, 0], points[:, 1]
    inside = np.zeros(len(points), bool)
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, 1, axis=0), strict=True):
        spans = (y0 > y) != (y1 > y)
        inside ^= spans & (x < (x1 - x0) * (y - y0) / (y1 - y0 + 1e-12) + x0)
    return inside


class Noise:
    """Smooth random values in space, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._table = np.random.default_rng(seed).standard_normal((32, 32, 32))

    def __call__(self, points: Array, size: float) -> Array:
        """Give values of about unit variance in spots `size` cm wide. [N]"""
        at = points / size + 100
        cell = np.floor(at).astype(int)
        t = at - cell
        t = t * t * (3 - 2 * t)
        value = np.zeros(len(points))
        for corner in np.ndindex(2, 2, 2):
            weight = np.prod(np.where(corner, t, 1 - t), axis=1)
            value += weight * self._table[tuple(((cell + corner) % 32).T)]
        return value * 1.6
