"""Synthetic heads of the size and overlap of real ones, for measurements: skin, hair and features."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from renderer.camera import OrbitRig
from renderer.drawing import Drawing
from renderer.rotations import matrix_to_quat

SIZES = {128: 20_000, 512: 240_000, 1024: 500_000}  # picture side in px: splats

_HEAD = np.array([0.205, 0.272, 0.225])  # half axes of the head in world units
_RIG = OrbitRig(yaw=0.3, pitch=0.1, fov_y=math.radians(12))
# Size of a splat in px; smaller pictures come from heads with relatively smaller splats.
_SPLAT = {128: 0.70, 512: 1.0, 1024: 1.45}


def head_scene(count: int, size: int, seed: int = 0) -> Drawing:
    """Make a head of `count` splats that fills a square picture.

    Skin splats are flat on an ellipsoid, hair is long and thin in a shell around it, features are small
    and dense around eyes, nose and mouth. About 50 splats lie over each covered pixel of a 512 px picture.

    Args:
        count: Splats.
        size: Side of the picture in px.
        seed: The same seed is the same head.
    """
    random = np.random.default_rng(seed)
    pixel = _RIG.radius * math.tan(_RIG.fov_y / 2) * 2 / size  # world units
    sigma = pixel * _SPLAT.get(size, 1.0)
    skin, hair = int(count * 0.55), int(count * 0.35)
    parts = [
        _skin(random, skin, sigma),
        _hair(random, hair, sigma),
        _features(random, count - skin - hair, sigma),
    ]
    mixed = random.permutation(count)
    means, scales, frames, colors, opacities = (
        torch.from_numpy(np.concatenate(columns)[mixed]) for columns in zip(*parts, strict=True)
    )
    lengths = torch.from_numpy(
        random.uniform(0.5, 2, (count, 1))
    )  # quaternions need not be normalised
    camera = _RIG.camera()
    return Drawing(
        means=means.float(),
        quats=(matrix_to_quat(frames) * lengths).float(),
        scales=scales.float(),
        opacities=opacities.clamp(0.004, 0.9999).float(),
        colors=colors.clamp(0, 1).float(),
        world_to_cam=camera.world_to_cam,
        focal=float(camera.focal) * size,
        size=(size, size),
        background=torch.ones(3),
    )


Part = tuple[
    NDArray, NDArray, NDArray, NDArray, NDArray
]  # means, scales, frames, colours, opacities


def _skin(random: Generator, count: int, sigma: float) -> Part:
    on_sphere = _directions(random, count)
    frames = _frames(random, on_sphere, None)
    bumps = 1 + 0.03 * np.sin(9 * on_sphere[:, :1]) * np.sin(7 * on_sphere[:, 1:2])
    means = on_sphere * _HEAD * bumps + frames[:, :, 2] * random.normal(0, 0.002, (count, 1))
    scales = sigma * np.exp(random.normal(0, 0.45, (count, 3))) * (1.25, 0.75, 0.15)
    colors = (0.78, 0.58, 0.48) + 0.08 * np.sin(20 * means) + random.normal(0, 0.03, (count, 3))
    return means, scales, frames, colors, random.beta(2.0, 0.8, count)


def _hair(random: Generator, count: int, sigma: float) -> Part:
    many = _directions(random, 4 * count)
    on_sphere = many[(many[:, 1] > 0.1) | (many[:, 2] < -0.2)][:count]
    strands = np.array([0.2, 1.0, 0.1]) + random.normal(0, 0.25, (count, 3))
    frames = _frames(random, on_sphere, strands)
    means = on_sphere * _HEAD * (1 + random.uniform(0, 0.09, (count, 1)))
    scales = sigma * np.exp(random.normal(0, 0.4, (count, 3))) * (2.8, 0.40, 0.30)
    colors = np.array([0.22, 0.15, 0.10]) + random.normal(0, 0.05, (count, 3))
    return means, scales, frames, colors, random.beta(1.2, 1.2, count)


def _features(random: Generator, count: int, sigma: float) -> Part:
    centers = np.array([[-0.35, 0.15, 0.92], [0.35, 0.15, 0.92], [0, -0.1, 1.0], [0, -0.45, 0.88]])
    on_sphere = _unit(
        _unit(centers)[random.integers(0, 4, count)] + random.normal(0, 0.10, (count, 3))
    )
    frames = _frames(random, on_sphere, None)
    means = on_sphere * _HEAD * 1.01 + frames[:, :, 2] * random.normal(0, 0.003, (count, 1))
    scales = 0.45 * sigma * np.exp(random.normal(0, 0.4, (count, 3))) * (1.2, 0.8, 0.2)
    return means, scales, frames, random.uniform(0, 1, (count, 3)), random.beta(2, 0.8, count)


def _unit(vectors: NDArray) -> NDArray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _directions(random: Generator, count: int) -> NDArray:
    return _unit(random.normal(size=(count, 3)))


def _frames(random: Generator, on_sphere: NDArray, along: NDArray | None) -> NDArray:
    """Tangent, bitangent and normal of the head as columns; the tangent along `along`, else at random."""
    normals = _unit(on_sphere / _HEAD)
    first = np.tile([0.0, 1.0, 0.0], (len(normals), 1)) if along is None else along
    tangents = _unit(first - normals * (first * normals).sum(1, keepdims=True))
    if along is None:
        angles = random.uniform(0, np.pi, (len(normals), 1))
        tangents = np.cos(angles) * tangents + np.sin(angles) * np.cross(normals, tangents)
    return np.stack([tangents, np.cross(normals, tangents), normals], axis=-1)
