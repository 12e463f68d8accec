"""Hair: strands combed over the skull from a parting, gathered into locks."""

from __future__ import annotations

import numpy as np

from examples.parametric_head.geometry import Array, Noise, across, ramp, unit
from examples.parametric_head.layer import Layer, threads
from examples.parametric_head.mesh import SKIN, Cells, Mesh, tessellate
from examples.parametric_head.skin import HAIR_TONE, hairline

STEPS = 9  # splats of a strand
PARTING = 2.4  # cm to the head's left


class Skull:
    """The skin as a distance from the head's middle in every direction, for hair to lie on."""

    center = np.array([0.0, 4.2, -0.3])  # cm
    _rows, _columns = 90, 180

    def __init__(self, mesh: Mesh) -> None:
        quads = mesh.faces_of(*SKIN)
        cells = tessellate(mesh, quads, np.full(len(quads), 0.25))
        ears = (np.abs(cells.neutral[:, 0]) > 7.7) & (cells.neutral[:, 1] < 7)
        points = cells.points[~ears]
        row, column = (np.floor(part).astype(int) for part in self._place(points))
        cell = row.clip(0, self._rows - 1) * self._columns + column % self._columns
        distance = np.linalg.norm(points - self.center, axis=1)
        shape = self._rows, self._columns
        hits = np.bincount(cell, minlength=self._rows * self._columns).reshape(shape)
        total = np.bincount(cell, distance, minlength=self._rows * self._columns).reshape(shape)
        self._radius = total / np.maximum(hits, 1)
        for _ in range(57):  # fill what the ears left open …
            self._radius = np.where(hits > 0, self._radius, self._averaged())
        for _ in range(3):  # … and smooth all of it
            self._radius = self._averaged()

    def radius(self, points: Array) -> Array:
        """Say how far the skin is from the middle in the direction of each point. [N] cm"""
        row, column = self._place(points)
        row, column = row - 0.5, column - 0.5
        r0, c0 = np.floor(row).astype(int), np.floor(column).astype(int)
        value = np.zeros(len(points))
        for dr, dc in ((0, 0), (0, 1), (1, 0), (1, 1)):
            weight = np.abs(1 - dr - (row - r0)) * np.abs(1 - dc - (column - c0))
            near = self._radius[(r0 + dr).clip(0, self._rows - 1), (c0 + dc) % self._columns]
            value += weight * near
        return value

    def lift_out(self, paths: Array) -> Array:
        """Move what has sunk into the head back onto the skin. [S, K, 3]"""
        points = paths.reshape(-1, 3)
        distance = np.linalg.norm(points - self.center, axis=1)
        outside = np.maximum(distance, self.radius(points) - 0.05)
        return (self.center + unit(points - self.center) * outside[:, None]).reshape(paths.shape)

    def _place(self, points: Array) -> tuple[Array, Array]:
        """Latitude from the top and longitude, in cells of the map. [N], [N]"""
        x, y, z = unit(points - self.center).T
        row = np.arccos(np.clip(y, -1, 1)) / np.pi * self._rows
        return row, (np.arctan2(x, z) / (2 * np.pi) + 0.5) * self._columns

    def _averaged(self) -> Array:
        """Average the known ones of each 3 x 3 cells; the map closes around the head."""
        known = np.pad(self._radius > 0, ((1, 1), (0, 0)), "edge").astype(float)
        value = np.pad(self._radius, ((1, 1), (0, 0)), "edge")
        wide = [np.roll(part, 1, 1) + part + np.roll(part, -1, 1) for part in (value, known)]
        total, number = (part[:-2] + part[1:-1] + part[2:] for part in wide)
        return total / np.maximum(number, 1)


def make_hair(mesh: Mesh, count: int, noise: Noise, rng: np.random.Generator) -> Layer:
    """Grow short hair, thinner and shorter towards the hairline."""
    strands = count // STEPS
    scalp, depth = _scalp(mesh, noise)
    ears = (np.abs(scalp.neutral[:, 0]) > 7.6) & (scalp.neutral[:, 1] < 6.6)
    weight = ramp(-0.2, 0.8, depth) * scalp.sides.prod(1) * ~(ears & (scalp.neutral[:, 2] > -3))
    chosen = np.searchsorted(np.cumsum(weight), rng.random(strands) * weight.sum())
    roots, deep = scalp.points[chosen], depth[chosen].clip(0)
    side, y = roots[:, 0] - PARTING, roots[:, 1]

    high = ramp(4, 11, y)
    length = (1.6 + 9.0 * high + 3 * ramp(1, 5, y)) * (0.45 + 0.55 * ramp(0, 2, deep))
    length *= rng.uniform(0.75, 1.05, strands)
    layer = rng.random(strands)  # 0 on the scalp, 1 on top
    lift = (0.25 + layer) * (0.25 + high) * (0.35 + 0.65 * ramp(0, 2.5, deep))
    lift *= 0.45 + 0.55 * ramp(0.3, 2.5, np.abs(side))  # flat at the parting
    skull = Skull(mesh)
    paths = grow(skull, roots - 0.05 * scalp.normals[chosen], length, lift)
    paths, lock = _gather(paths, roots, length, scalp.normals[chosen], rng)
    paths = skull.lift_out(paths)

    normals = unit((paths[:, 1:] + paths[:, :-1]) / 2 - skull.center)
    fade = np.where(y < 0, deep / 2.5, deep)  # the nape thins out slowly
    thin = 0.5 + 0.5 * ramp(0, 1.5, fade)
    width = 0.075 * np.sqrt(2900 / strands) * thin[:, None] * np.linspace(1, 0.5, STEPS)
    tint = rng.normal(0, 0.2, lock.max() + 1)[lock] + rng.normal(0, 0.15, strands)
    shade = (1 + tint).clip(0.5, 1.6) * (0.7 + 0.4 * layer)
    colors = HAIR_TONE * (shade[:, None] * np.linspace(0.72, 1.25, STEPS))[..., None]
    opacity = 0.9 * (0.3 + 0.7 * ramp(0, 1.2, fade))
    opacity = np.repeat(opacity[:, None], STEPS, axis=1)
    return threads(paths, normals, width, colors, opacity, gloss=1.0)


def _scalp(mesh: Mesh, noise: Noise) -> tuple[Cells, Array]:
    """Places where a hair may grow, and how far behind an uneven hairline they lie. [N] cm"""
    quads = mesh.faces_of(*SKIN)
    quads = quads[hairline(mesh.neutral[quads].mean(1)) > -2]
    cells = tessellate(mesh, quads, np.full(len(quads), 0.12))
    return cells, hairline(cells.neutral) + 0.3 * noise(cells.neutral, 0.5)


def comb(points: Array) -> Array:
    """Say which way hair is combed: off the parting over the top, back at the temples. [N, 3]"""
    x, y, z = points.T
    top, behind, forehead = ramp(6.5, 11.5, y), ramp(-2, -6.5, z), ramp(4.5, 8.5, z)
    sideways = 1.25 * np.tanh((x - PARTING) / 0.8) * (top + 0.5 * forehead) * (1 - 0.75 * behind)
    backward = -(0.55 + 0.75 * forehead) * (1 - behind)
    return np.stack([sideways, -0.75 - 0.5 * behind + 0.7 * forehead, backward], axis=1)


def grow(skull: Skull, roots: Array, length: Array, lift: Array) -> Array:
    """Let strands rise to their layer ([S] cm) and follow the comb. [S, STEPS + 1, 3]"""
    paths = [roots]
    base = np.linalg.norm(roots - skull.center, axis=1) - skull.radius(roots)
    for k in range(1, STEPS + 1):
        here = paths[-1]
        way = across(comb(here), unit(here - skull.center))
        if k > 1:  # hair is stiff
            way = unit(way + unit(here - paths[-2]))
        ahead = here + way * (length / STEPS)[:, None]
        height = base + lift * (1 - np.exp(-length * k / STEPS / 1.8))
        outward = unit(ahead - skull.center)
        paths.append(skull.center + outward * (skull.radius(ahead) + height)[:, None])
    return np.stack(paths, axis=1)


def _gather(
    paths: Array, roots: Array, length: Array, normals: Array, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Lean strands towards the nearest of a few leaders, and wave each lock together.

    Returns:
        The new paths, and the lock of each strand. [S, STEPS + 1, 3], [S]
    """
    strands = len(roots)
    leaders = rng.permutation(strands)[: np.clip(strands // 8, 60, 420)]
    # A strand follows a leader that is combed the same way, or their mean would cut the head.
    kind = np.concatenate([roots, 6 * unit(comb(roots))], axis=1)
    parts = np.array_split(kind, max(1, strands // 2000))
    nearest = [((part[:, None] - kind[leaders]) ** 2).sum(-1).argmin(1) for part in parts]
    lock = np.concatenate(nearest)
    t = np.linspace(0, 1, STEPS + 1)[None, :, None]
    beside = (roots - roots[leaders][lock])[:, None] * (1 - 0.5 * t)
    paths = paths + 0.55 * t * (paths[leaders][lock] + beside - paths)
    paths = paths + 0.05 * t * rng.standard_normal((strands, 1, 3))
    phase = rng.random(len(leaders))[lock][:, None, None]
    wave = np.sin(2 * np.pi * (t * length[:, None, None] / 5.5 + phase))
    return paths + 0.16 * t * wave * unit(np.cross(comb(roots), normals))[:, None], lock
