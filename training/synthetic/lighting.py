"""The light on a head: a key lamp that moves, a fill, a rim, and a sky; and what each splat sees of them."""

from __future__ import annotations

import numpy as np

from training.synthetic.geometry import Array, ramp, unit

DIRECTIONS = 64  # in which shadows are looked for
CELL = 0.4  # cm, of a shadow map
MAP = 400  # cells along a side
BIAS = 0.35  # cm that a caster must be in front


def lamps_of(key: tuple[float, float], warmth: float) -> tuple[Array, Array, Array]:
    """Set up the lamps.

    Args:
        key: Where the key lamp stands, radians towards the head's left, and up.
        warmth: -1 is bluish, 1 is yellowish.

    Returns:
        Direction and irradiance of each lamp, harmonics of the directions, and the radiance of
        ground and sky. [3, 6], [3, 9], [2, 3]
    """
    left, up = key
    tint = 1 + 0.10 * warmth * np.array([1.0, 0.1, -1.2])
    toward = np.array(
        [
            [np.cos(up) * np.sin(left), np.sin(up), np.cos(up) * np.cos(left)],
            [-0.8 * np.tanh(3 * left), 0.15, 0.65],
            [-0.55 * np.tanh(3 * left), 0.55, -0.75],
        ]
    )
    irradiance = np.array([[1.22, 1.15, 1.06], [0.26, 0.29, 0.34], [0.62, 0.62, 0.64]])
    irradiance[0] *= tint
    irradiance[1] *= 2 - tint
    toward = unit(toward)
    lamps = np.concatenate([toward, irradiance], axis=1)
    sky = np.array([[0.27, 0.24, 0.22], [0.55, 0.575, 0.62]])
    return lamps.astype(np.float32), harmonics(toward).astype(np.float32), sky.astype(np.float32)


def harmonics(directions: Array) -> Array:
    """Evaluate the real spherical harmonics up to degree 2. [N, 9]"""
    x, y, z = directions.T
    return np.stack(
        [
            np.full_like(x, 0.28209479), 0.48860251 * y, 0.48860251 * z, 0.48860251 * x,
            1.09254843 * x * y, 1.09254843 * y * z, 0.31539157 * (3 * z * z - 1),
            1.09254843 * x * z, 0.54627422 * (x * x - y * y),
        ],
        axis=1,
    )  # fmt: skip


def sight_of(points: Array, normals: Array, casters: Array) -> Array:
    """Find out how much of a far light in each direction reaches each point.

    Returns:
        Nine harmonics of the visibility, then the share of the sky. [N, 10]
    """
    y = 1 - 2 * (np.arange(DIRECTIONS) + 0.5) / DIRECTIONS
    turn = np.pi * (1 + 5**0.5) * np.arange(DIRECTIONS)  # a Fibonacci sphere
    flat = np.sqrt(1 - y * y)
    directions = np.stack([flat * np.cos(turn), y, flat * np.sin(turn)], axis=1)
    raised = points + 0.25 * normals
    seen = np.stack([_reached(raised, casters, direction) for direction in directions], axis=1)
    facing = normals @ directions.T  # [N, D]
    # Behind the horizon the cosine is zero anyway: fit only what counts, and carry it on.
    seen = np.where(facing > -0.1, seen, np.nan)
    mean = np.nanmean(seen, axis=1, keepdims=True)
    filled = np.where(np.isnan(seen), mean, seen)
    fit = np.linalg.pinv(harmonics(directions))  # [9, D]
    weight = np.clip(facing, 0, None) * ramp(-1.0, 0.6, directions[:, 1])
    sky = (weight * filled).sum(1) / (weight.sum(1) + 1e-9)
    return np.concatenate([filled @ fit.T, sky[:, None]], axis=1).astype(np.float32)


def _reached(points: Array, casters: Array, direction: Array) -> Array:
    """Say how much of a far light reaches each point, by a depth map of the casters. [N]"""
    right = unit(np.cross(direction, [0.3, 0.9, 0.2]))
    axes = np.stack([right, np.cross(direction, right)])

    def cells(p: Array) -> Array:
        column, row = ((p @ axes.T + MAP / 2 * CELL) / CELL).astype(int).T
        return column * MAP + row

    nearest = np.full(MAP * MAP, -np.inf)
    np.maximum.at(nearest, cells(casters), casters @ direction)
    in_front = nearest[cells(points)] - points @ direction - BIAS
    return np.exp(-np.clip(in_front, 0, None) / 0.25)
