"""Light, baked once for all views: a sky and soft lamps, each a set of far lights with shadows."""

from __future__ import annotations

import numpy as np

from examples.parametric_head.geometry import FRONT, Array, mix, ramp, unit
from examples.parametric_head.layer import Layer

SKY_LIGHTS = 72
GROUND, SKY = np.array([0.25, 0.21, 0.19]), np.array([0.50, 0.53, 0.60])  # radiance
# Each lamp's direction, spread, irradiance and how many lights it is made of.
LAMPS = (
    ((0.50, 0.55, 0.80), 0.22, (1.25, 1.16, 1.04), 30),  # key, from the head's upper left
    ((-0.85, 0.10, 0.60), 0.30, (0.20, 0.23, 0.29), 12),  # fill
    ((-0.55, 0.55, -0.75), 0.25, (0.50, 0.50, 0.52), 12),  # rims
    ((0.65, 0.35, -0.80), 0.25, (0.28, 0.27, 0.27), 12),
)
EXPOSURE = 1.06
CELL = 0.4  # cm, of a shadow map
MAP = 400  # cells along a side
BIAS = 0.35  # cm that a caster must be in front


def light(layer: Layer, seed: int) -> Array:
    """Light every splat. Display colours in [0, 1]. [N, 3]"""
    rng = np.random.default_rng(seed)
    hair = layer.is_thread[:, None]
    softness = np.where(layer.is_thread, 0.9, 0.25)  # cm of hair that let light through
    raised = layer.points + 0.25 * layer.normals
    # Light wanders in skin, red the farthest, and all through hair.
    wrap = np.where(hair, 0.6, np.array([0.28, 0.12, 0.08]))
    # The viewer, for highlights: before the face, but beside the hair wherever it is.
    viewer = np.where(hair, layer.normals, unit(layer.normals + 0.9 * FRONT))
    diffuse, shine = np.zeros((2, len(layer.points), 3))
    for direction, irradiance in zip(*_lights(rng), strict=True):
        reached = _reached(raised, layer.points, direction, softness, rng)[:, None]
        facing = (layer.normals @ direction)[:, None]
        diffuse += irradiance * reached * np.clip((facing + wrap) / (1 + wrap), 0, None)
        halfway = unit(direction + viewer)
        mirror = np.clip((layer.normals * halfway).sum(1, keepdims=True), 0, 1) ** 40
        # Kajiya and Kay 1989: a thread shines where it runs across the halfway vector.
        thread = np.clip(1 - (layer.tangents * halfway).sum(1, keepdims=True) ** 2, 0, 1) ** 24
        thread = 0.16 * thread * np.clip(facing + 0.3, 0, 1)
        shine += irradiance * reached * np.where(hair, thread, mirror)
    tint = np.where(hair, 0.04 + 6 * layer.colors, 1.0)  # hair's highlights have its colour
    linear = EXPOSURE * (layer.colors * diffuse + layer.gloss[:, None] * shine * tint)
    linear = np.where(layer.glows[:, None], layer.colors, linear).clip(0, 1)
    return np.where(linear < 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)  # sRGB


def _lights(rng: np.random.Generator) -> tuple[Array, Array]:
    """Break sky and lamps into far lights: directions [M, 3] and irradiance [M, 3]."""
    y = 1 - 2 * (np.arange(SKY_LIGHTS) + 0.5) / SKY_LIGHTS
    turn = np.pi * (1 + 5**0.5) * np.arange(SKY_LIGHTS)  # a Fibonacci sphere
    flat = np.sqrt(1 - y * y)
    directions = [np.stack([flat * np.cos(turn), y, flat * np.sin(turn)], axis=1)]
    # A surface sees half of the lights at a mean cosine of one half: 4 makes it whole.
    irradiance = [mix(GROUND[None], SKY[None], ramp(-0.8, 0.8, y)) * 4 / SKY_LIGHTS]
    for aim, spread, color, number in LAMPS:
        jitter = spread * rng.standard_normal((number, 3))
        directions.append(unit(unit(np.array(aim)) + jitter))
        irradiance.append(np.tile(color, (number, 1)) / number)
    return np.concatenate(directions), np.concatenate(irradiance)


def _reached(
    points: Array, casters: Array, direction: Array, softness: Array, rng: np.random.Generator
) -> Array:
    """Say how much of a far light reaches each point, by a depth map of the casters. [N]"""
    right = unit(np.cross(direction, [0.3, 0.9, 0.2]))
    axes = np.stack([right, np.cross(direction, right)])
    shift = MAP / 2 * CELL + CELL * rng.random(2)  # another grid for each light hides the cells

    def cells(p: Array) -> Array:
        column, row = ((p @ axes.T + shift) / CELL).astype(int).T
        return column * MAP + row

    nearest = np.full(MAP * MAP, -np.inf)
    np.maximum.at(nearest, cells(casters), casters @ direction)
    in_front = nearest[cells(points)] - points @ direction - BIAS
    return np.exp(-np.clip(in_front, 0, None) / softness)
