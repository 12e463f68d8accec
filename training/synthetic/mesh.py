"""The parametric head's mesh (ICT-FaceKit Light): loading it, and patches that tile it without gaps.

Lengths are centimetres, y up, the face looks to +z.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from renderer.errors import LoadError
from training.synthetic.geometry import Array, across, curve, unit

# Vertex ranges of the published mesh, first to last. A file may bring its own in `part_NAME`.
PARTS = {
    "narrow_face": (0, 6705),
    "skin": (0, 11247),
    "mouth": (11248, 13293),
    "eye_sockets": (13294, 14061),
    "gums": (14062, 17038),
    "teeth": (17039, 21450),
    "left_sclera": (21451, 22220),
    "right_sclera": (23021, 23790),
}


@dataclass(frozen=True)
class Mesh:
    """The neutral head, and how identity and expression move its vertices."""

    neutral: Array  # [V, 3] cm
    normals: Array  # [V, 3] unit
    quads: Array  # [F, 4]; a triangle repeats its last corner
    marks: Array  # [68] vertices of the Multi-PIE landmarks
    identity: Array  # [I, V, 3] cm per component
    expression: dict[str, Array]  # [V, 3] cm at full strength
    parts: dict[str, tuple[int, int]] = field(default_factory=lambda: dict(PARTS))

    def faces_of(self, part: str) -> Array:
        """Take the faces whose corners all lie in a part. [G, 4]"""
        first, last = self.parts[part]
        return self.quads[((self.quads >= first) & (self.quads <= last)).all(1)]

    def points_of(self, part: str) -> Array:
        """The vertices of a part. [K, 3] cm"""
        first, last = self.parts[part]
        return self.neutral[first : last + 1]


@dataclass(frozen=True)
class Cells:
    """Small patches of the mesh, each a part of one face."""

    corners: Array  # [N, 4] vertices
    place: Array  # [N, 2] in the face, 0 to 1 along its sides
    share: Array  # [N, 2] of the face's sides
    points: Array  # [N, 3] cm
    normals: Array  # [N, 3] unit
    tangents: Array  # [N, 3] unit
    sides: Array  # [N, 2] cm, along the tangent and across


def load_mesh(path: str | Path, components: int, expressions: tuple[str, ...]) -> Mesh:
    """Read the head model from one array file or from a folder of the published OBJ files.

    Args:
        path: An .npz, or the folder with generic_neutral_mesh.obj.
        components: How many identity components to read.
        expressions: Names of the expressions to read.

    Raises:
        LoadError: The file is missing, damaged or something else.
    """
    path = Path(path)
    try:
        mesh = (_read_folder if path.is_dir() else _read_arrays)(path, components, expressions)
    except FileNotFoundError as error:
        raise LoadError(
            path,
            f"has no {Path(error.filename).name}. Give ICT-FaceKit Light: one .npz file, or "
            "the folder of its .obj files.",
        ) from error
    except (OSError, KeyError, ValueError, EOFError, IndexError, zipfile.BadZipFile) as error:
        raise LoadError(
            path,
            f"cannot be read as a head model ({error}). Give ICT-FaceKit Light: one .npz "
            "file, or the folder of its .obj files.",
        ) from error
    return mesh


def _read_arrays(path: Path, components: int, expressions: tuple[str, ...]) -> Mesh:
    with np.load(path) as stored:
        names = [str(name) for name in stored["expression_names"]]
        moves = stored["expression"].astype(np.float32)
        parts = dict(PARTS)
        for name in PARTS:
            if f"part_{name}" in stored:
                first, last = (int(vertex) for vertex in stored[f"part_{name}"])
                parts[name] = (first, last)
        return _make(
            stored["neutral"].astype(float),
            stored["quads"].astype(int),
            stored["landmarks68"].astype(int),
            stored["identity"][:components].astype(np.float32),
            {name: moves[names.index(name)] for name in expressions},
            parts,
        )


def _read_folder(path: Path, components: int, expressions: tuple[str, ...]) -> Mesh:
    neutral, quads = _read_obj(path / "generic_neutral_mesh.obj")
    listed = json.loads((path / "vertex_indices.json").read_text(encoding="utf-8"))
    marks = [
        value for value in listed.values()
        if isinstance(value, list) and len(value) == 68 and isinstance(value[0], int)
    ]  # fmt: skip
    if not marks:
        raise ValueError("vertex_indices.json lists no 68 landmarks")

    def move(name: str) -> Array:
        return (_read_obj(path / f"{name}.obj")[0] - neutral).astype(np.float32)

    identity = np.stack([move(f"identity{i:03d}") for i in range(components)])
    return _make(
        neutral, quads, np.array(marks[0]), identity, {n: move(n) for n in expressions}, dict(PARTS)
    )


def _read_obj(path: Path) -> tuple[Array, Array]:
    """Read vertices and faces of three or four corners. [V, 3], [F, 4]"""
    vertices, faces = [], []
    with open(path, encoding="utf-8") as file:
        for line in file:
            kind, _, rest = line.partition(" ")
            if kind == "v":
                vertices.append([float(value) for value in rest.split()[:3]])
            elif kind == "f":
                corners = [int(corner.partition("/")[0]) - 1 for corner in rest.split()]
                faces.append(corners[:4] if len(corners) > 3 else [*corners, corners[2]])
    return np.array(vertices), np.array(faces, int)


def _make(
    neutral: Array,
    quads: Array,
    marks: Array,
    identity: Array,
    expression: dict[str, Array],
    parts: dict[str, tuple[int, int]],
) -> Mesh:
    """Check that all parts belong together."""
    count = len(neutral)
    if neutral.shape != (count, 3) or quads.ndim != 2 or quads.shape[1] != 4:
        raise ValueError("its vertices or faces have a wrong shape")
    if (
        marks.shape != (68,)
        or max(quads.max(), marks.max(), *(b for _, b in parts.values())) >= count
    ):
        raise ValueError(f"it has only {count} vertices")
    for move in (*identity, *expression.values()):
        if move.shape != neutral.shape:
            raise ValueError("a component has another number of vertices than the neutral head")
    a, b, c, d = (neutral[quads[:, i]] for i in range(4))
    normals = np.zeros_like(neutral)
    for i in range(4):
        np.add.at(normals, quads[:, i], np.cross(c - a, d - b))
    return Mesh(neutral, unit(normals), quads, marks, identity, expression, parts)


def brow_lines(marks: Array) -> list[Array]:
    """Follow the middle of each eyebrow, inner end first; `marks` are points. Two of [40, 3]"""
    lower = np.array([0, -0.12, 0])
    return [curve(marks[[21, 20, 19, 18, 17]] + lower, 40), curve(marks[22:27] + lower, 40)]


def tessellate(mesh: Mesh, quads: Array, size: Array) -> Cells:
    """Cut each face into a grid of cells of about `size` cm ([F])."""
    columns, rows = _count_cells(mesh, quads, size)
    number = columns * rows
    face = np.repeat(np.arange(len(quads)), number)
    within = np.arange(len(face)) - np.repeat(np.cumsum(number) - number, number)
    u = ((within % columns[face] + 0.5) / columns[face])[:, None]
    v = ((within // columns[face] + 0.5) / rows[face])[:, None]
    weights = np.stack([(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v])  # [4, N, 1]

    def blend(values: Array) -> Array:
        return (weights * values[quads[face].T]).sum(0)

    a, b, c, d = (mesh.neutral[quads[face, i]] for i in range(4))
    along = (b - a) * (1 - v) + (c - d) * v
    upward = (d - a) * (1 - u) + (c - b) * u
    normals = unit(blend(mesh.normals))
    width = np.linalg.norm(along, axis=1) / columns[face]
    area = np.linalg.norm(np.cross(along, upward), axis=1) / number[face]
    return Cells(
        corners=quads[face],
        place=np.concatenate([u, v], axis=1),
        share=np.stack([1 / columns[face], 1 / rows[face]], axis=1),
        points=blend(mesh.neutral),
        normals=normals,
        tangents=across(along, normals),
        sides=np.stack([width, area / (width + 1e-9)], axis=1),
    )


def every(cells: Cells, step: int) -> Cells:
    """Keep each `step`-th cell and enlarge it in place of its neighbours, where few will do."""
    kept = slice(step // 2, None, step)
    return Cells(
        cells.corners[kept],
        cells.place[kept],
        cells.share[kept] * np.sqrt(step),
        cells.points[kept],
        cells.normals[kept],
        cells.tangents[kept],
        cells.sides[kept] * np.sqrt(step),
    )


def cell_size_for(mesh: Mesh, quads: Array, relative: Array, count: int) -> float:
    """Find the size, times `relative` ([F]), at which the faces give about `count` cells. cm"""
    low, high = 0.01, 2.0
    for _ in range(30):
        size = float(np.sqrt(low * high))
        columns, rows = _count_cells(mesh, quads, relative * size)
        low, high = (size, high) if (columns * rows).sum() > count else (low, size)
    return high


def _count_cells(mesh: Mesh, quads: Array, size: Array) -> tuple[Array, Array]:
    """Count the cells of about `size` cm ([F]) along both sides of each face. [F], [F]"""
    a, b, c, d = (mesh.neutral[quads[:, i]] for i in range(4))
    columns = np.linalg.norm((b - a) + (c - d), axis=1) / 2
    rows = np.linalg.norm((d - a) + (c - b), axis=1) / 2
    return np.ceil(columns / size).astype(int).clip(1), np.ceil(rows / size).astype(int).clip(1)
