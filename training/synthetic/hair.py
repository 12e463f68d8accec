"""Strands of hair on the neutral head: combed from a parting, gathered into locks, hanging when long.

Every style is a table of paths of the same strands; a head blends the tables and cuts them to length.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.synthetic.geometry import Array, Noise, across, ramp, unit
from training.synthetic.mesh import Cells, Mesh, tessellate
from training.synthetic.skin import hairline

STEPS = 9  # splats of a strand
NODES = 16  # points of a path in a table
REACH = 17.0  # cm, the length of a path in a table
# How each of `HAIR_STYLES` is combed: the parting (cm to the head's left), then how strongly
# sideways from it, backward, and outward from the crown.
COMBS = (
    (2.4, 1.25, 0.55, 0.0),
    (-2.4, 1.25, 0.55, 0.0),
    (0.0, 1.30, 0.30, 0.0),
    (0.0, 0.25, 1.60, 0.0),
    (0.0, 0.0, 0.0, 1.3),
)


class Skull:
    """The skin as a distance from the head's middle in every direction, for hair to lie on."""

    center = np.array([0.0, 4.2, -0.3])  # cm
    _rows, _columns = 90, 180

    def __init__(self, mesh: Mesh) -> None:
        quads = mesh.faces_of("skin")
        cells = tessellate(mesh, quads, np.full(len(quads), 0.25))
        ears = (np.abs(cells.points[:, 0]) > 7.7) & (cells.points[:, 1] < 7)
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


@dataclass(frozen=True)
class Hair:
    """S strands, each with a path in every style."""

    paths: Array  # [5, S, NODES, 3] cm, on the neutral head
    roots: Array  # [S, 3] cm, on the neutral skin
    short: Array  # [S] share of the length in a short cut
    long: Array  # [5, S] share of the length in a long one
    fade: Array  # [S] thinner and fainter at the hairline
    layer: Array  # [S] 0 on the scalp, 1 on top
    phase: Array  # [S] radians, shared by a lock
    tint: Array  # [S] relative brightness


def make_hair(mesh: Mesh, strands: int, noise: Noise, rng: np.random.RandomState) -> Hair:
    """Plant strands on the scalp and comb them in every style."""
    scalp, depth = _scalp(mesh, noise)
    ears = (np.abs(scalp.points[:, 0]) > 7.6) & (scalp.points[:, 1] < 6.6)
    weight = ramp(-0.2, 0.8, depth) * scalp.sides.prod(1) * ~(ears & (scalp.points[:, 2] > -3))
    total = np.cumsum(weight)
    # Evenly spread: one strand in each equal share of the area.
    at = (np.arange(strands) + rng.random_sample(strands)) / strands * total[-1]
    chosen = np.searchsorted(total, at).clip(0, len(total) - 1)
    roots, deep = scalp.points[chosen], depth[chosen].clip(0)
    y = roots[:, 1]
    high = ramp(4, 11, y)
    jitter = rng.uniform(0.78, 1.05, strands)
    layer = rng.random_sample(strands)
    skull = Skull(mesh)
    locks, paths, long = [], [], []
    for parting, sideways, backward, outward in COMBS:
        comb = Comb(parting, sideways, backward, outward)
        lift = (0.25 + layer) * (0.25 + high) * (0.35 + 0.65 * ramp(0, 2.5, deep))
        if sideways > 1:
            lift = lift * (0.45 + 0.55 * ramp(0.3, 2.5, np.abs(roots[:, 0] - parting)))
        way = _grow(skull, comb, roots - 0.05 * scalp.normals[chosen], lift)
        way, lock = _gather(way, roots, comb, rng)
        locks.append(lock)
        paths.append(_keep_out(skull, way))
        front = ramp(40, 20, np.degrees(np.abs(np.arctan2(roots[:, 0], roots[:, 2])))) * ramp(
            5, 8, y
        )
        # A fringe ends above the eyes.
        long.append(jitter * (1 - front * (0.68 if outward else 0.0)))
    return Hair(
        paths=np.stack(paths),
        roots=roots,
        short=jitter * (0.35 + 0.65 * high) * (0.5 + 0.5 * ramp(0, 2, deep)),
        long=np.stack(long),
        fade=np.where(y < 0, deep / 2.5, deep),  # the nape thins out slowly
        layer=layer,
        phase=rng.uniform(0, 2 * np.pi, strands)[locks[0]] + rng.normal(0, 0.3, strands),
        tint=rng.normal(0, 0.16, strands)[locks[0]] + rng.normal(0, 0.1, strands),
    )


@dataclass(frozen=True)
class Comb:
    """Which way hair is combed."""

    parting: float
    sideways: float
    backward: float
    outward: float

    def __call__(self, points: Array) -> Array:
        """Off the parting over the top, back at the temples, away from the face. [N, 3]"""
        x, y, z = points.T
        top, behind, forehead = ramp(6.5, 11.5, y), ramp(-2, -6.5, z), ramp(4.5, 8.5, z)
        side = self.sideways * np.tanh((x - self.parting) / 0.8) * (top + 0.5 * forehead)
        side = side * (1 - 0.75 * behind)
        back = -(self.backward + 0.75 * forehead * min(1, 2 * self.backward)) * (1 - behind)
        down = -0.75 - 0.5 * behind + 0.7 * forehead * min(1, 2 * self.backward)
        crown = np.stack([x, 0 * x - 1.5, z + 2.5], axis=1)
        # Below the hairline it goes around the face.
        face = ramp(7.5, 5.0, y) * ramp(3.0, 6.0, z) * (1 - min(1, self.outward))
        around = np.stack([2.5 * np.sign(x) * face, -0.6 * face, -2.0 * face], axis=1)
        return np.stack([side, down, back], axis=1) + self.outward * unit(crown) * 1.5 + around


def _scalp(mesh: Mesh, noise: Noise) -> tuple[Cells, Array]:
    """Places where a hair may grow, and how far behind an uneven hairline they lie. [N] cm"""
    quads = mesh.faces_of("skin")
    middle = mesh.neutral[quads].mean(1)
    quads = quads[(hairline(middle) > -2) & (middle[:, 1] > -8)]
    cells = tessellate(mesh, quads, np.full(len(quads), 0.12))
    return cells, hairline(cells.points) + 0.3 * noise(cells.points, 0.5)


def _grow(skull: Skull, comb: Comb, roots: Array, lift: Array) -> Array:
    """Let strands rise to their layer ([S] cm), follow the comb, and hang. [S, NODES, 3]"""
    step, paths = REACH / (NODES - 1), [roots]
    base = np.linalg.norm(roots - skull.center, axis=1) - skull.radius(roots)
    for k in range(1, NODES):
        here = paths[-1]
        free = ramp(5.0, 1.5, here[:, 1])[:, None]  # below the widest part it hangs
        way = across(comb(here), unit(here - skull.center))
        down = unit(np.array([0.0, -1, 0]) + 0.25 * comb(here) * [1, 0, 1])
        way = unit(way * (1 - free) + down * free)
        if k > 1:  # hair is stiff
            way = unit(way + unit(here - paths[-2]))
        ahead = here + way * step
        outward = unit(ahead - skull.center)
        lying = skull.radius(ahead) + base + lift * (1 - np.exp(-step * k / 1.8))
        hanging = np.maximum(lying, np.linalg.norm(ahead - skull.center, axis=1))
        distance = lying + (hanging - lying) * ramp(5.0, 1.5, ahead[:, 1])
        paths.append(skull.center + outward * distance[:, None])
    return np.stack(paths, axis=1)


def _gather(
    paths: Array, roots: Array, comb: Comb, rng: np.random.RandomState
) -> tuple[Array, Array]:
    """Lean strands towards the nearest of a few leaders: the new paths, and each strand's lock."""
    strands = len(roots)
    leaders = np.linspace(0, strands - 1, int(np.clip(strands // 8, 12, 420))).astype(int)
    # A strand follows a leader that is combed the same way, or their mean would cut the head.
    kind = np.concatenate([roots, 6 * unit(comb(roots))], axis=1)
    parts = np.array_split(kind, max(1, strands // 2000))
    nearest = [((part[:, None] - kind[leaders]) ** 2).sum(-1).argmin(1) for part in parts]
    lock = np.concatenate(nearest)
    t = np.linspace(0, 1, NODES)[None, :, None]
    beside = (roots - roots[leaders][lock])[:, None] * (1 - 0.5 * t)
    paths = paths + 0.55 * t * (paths[leaders][lock] + beside - paths)
    return paths + 0.12 * t * rng.standard_normal((strands, 1, 3)), lock


def _keep_out(skull: Skull, paths: Array) -> Array:
    """Move what has sunk into the head, ears, neck or shoulders back onto them. [S, NODES, 3]"""
    points = paths.reshape(-1, 3)
    distance = np.linalg.norm(points - skull.center, axis=1)
    outside = np.maximum(distance, skull.radius(points) + 0.02)
    return (skull.center + unit(points - skull.center) * outside[:, None]).reshape(paths.shape)
