"""The parametric head (ICT-FaceKit Light): its mesh, and patches that tile it without gaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from examples.parametric_head.geometry import Array, across, curve, unit

# Vertex ranges of the mesh, first to last.
NARROW_FACE, SKIN, EYE_SOCKETS = (0, 6705), (0, 11247), (13294, 14061)
SCLERAS = ((21451, 22220), (23021, 23790))

EXPRESSION = {
    "mouthSmile_L": 0.55, "mouthSmile_R": 0.5, "mouthDimple_L": 0.2, "mouthDimple_R": 0.15,
    "cheekRaiser_L": 0.15, "cheekRaiser_R": 0.15, "browOuterUp_L": 0.1, "browOuterUp_R": 0.1,
}  # fmt: skip


@dataclass(frozen=True)
class Mesh:
    """The head with one identity and expression."""

    vertices: Array  # [V, 3] cm
    neutral: Array  # [V, 3] cm, the same for every identity and expression: where to paint
    normals: Array  # [V, 3] unit
    quads: Array  # [F, 4]; a triangle repeats its last corner
    marks: Array  # [68] vertices of the Multi-PIE landmarks

    def faces_of(self, first: int, last: int) -> Array:
        """Take the faces whose corners all lie in a range of vertices. [G, 4]"""
        return self.quads[((self.quads >= first) & (self.quads <= last)).all(1)]


@dataclass(frozen=True)
class Cells:
    """Small patches of the mesh."""

    points: Array  # [N, 3] cm
    neutral: Array  # [N, 3] cm
    normals: Array  # [N, 3] unit
    tangents: Array  # [N, 3] unit
    sides: Array  # [N, 2] cm, along the tangent and across


def load_mesh(path: str, seed: int) -> Mesh:
    """Shape a head: a few identity components at random, and a slight smile."""
    with np.load(path) as stored:
        neutral, quads = stored["neutral"].astype(float), stored["quads"]
        marks, names = stored["landmarks68"], [str(name) for name in stored["expression_names"]]
        weights = np.random.default_rng(seed).normal(0, 0.45, 24)
        vertices = neutral + np.tensordot(weights, stored["identity"][:24].astype(float), 1)
        offsets = stored["expression"]
        for name, weight in EXPRESSION.items():
            vertices += weight * offsets[names.index(name)]
    a, b, c, d = (vertices[quads[:, i]] for i in range(4))
    normals = np.zeros_like(vertices)
    for i in range(4):
        np.add.at(normals, quads[:, i], np.cross(c - a, d - b))
    return Mesh(vertices, neutral, unit(normals), quads, marks)


def brow_lines(marks: Array) -> list[Array]:
    """Follow the middle of each eyebrow, inner end first; `marks` are points. Two of [40, 3]"""
    lower = np.array([0, -0.12, 0])
    return [curve(marks[[21, 20, 19, 18, 17]] + lower, 40), curve(marks[22:27] + lower, 40)]


def count_cells(mesh: Mesh, quads: Array, size: Array) -> tuple[Array, Array]:
    """Count the cells of about `size` cm ([F]) along both sides of each face. [F], [F]"""
    a, b, c, d = (mesh.vertices[quads[:, i]] for i in range(4))
    columns = np.linalg.norm((b - a) + (c - d), axis=1) / 2
    rows = np.linalg.norm((d - a) + (c - b), axis=1) / 2
    return np.ceil(columns / size).astype(int).clip(1), np.ceil(rows / size).astype(int).clip(1)


def tessellate(mesh: Mesh, quads: Array, size: Array) -> Cells:
    """Cut each face into a grid of cells of about `size` cm ([F])."""
    columns, rows = count_cells(mesh, quads, size)
    number = columns * rows
    face = np.repeat(np.arange(len(quads)), number)
    within = np.arange(len(face)) - np.repeat(np.cumsum(number) - number, number)
    u = ((within % columns[face] + 0.5) / columns[face])[:, None]
    v = ((within // columns[face] + 0.5) / rows[face])[:, None]
    weights = np.stack([(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v])  # [4, N, 1]

    def blend(values: Array) -> Array:
        return (weights * values[quads[face].T]).sum(0)

    a, b, c, d = (mesh.vertices[quads[face, i]] for i in range(4))
    along = (b - a) * (1 - v) + (c - d) * v
    upward = (d - a) * (1 - u) + (c - b) * u
    normals = unit(blend(mesh.normals))
    width = np.linalg.norm(along, axis=1) / columns[face]
    area = np.linalg.norm(np.cross(along, upward), axis=1) / number[face]
    sides = np.stack([width, area / (width + 1e-9)], axis=1)
    return Cells(blend(mesh.vertices), blend(mesh.neutral), normals, across(along, normals), sides)


def cell_size_for(mesh: Mesh, quads: Array, relative: Array, count: int) -> float:
    """Find the size, times `relative` ([F]), at which the faces give about `count` cells. cm"""
    low, high = 0.01, 2.0
    for _ in range(30):
        size = float(np.sqrt(low * high))
        columns, rows = count_cells(mesh, quads, relative * size)
        low, high = (size, high) if (columns * rows).sum() > count else (low, size)
    return high
