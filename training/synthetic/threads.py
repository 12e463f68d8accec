"""Short hairs that stand on the skin and follow it: lashes, brows and beard."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.synthetic.geometry import FRONT, UP, Array, Noise, curve, unit
from training.synthetic.mesh import Mesh, brow_lines, tessellate
from training.synthetic.skin import beard_area

LASH, BROW, BEARD = 0, 1, 2


@dataclass(frozen=True)
class Threads:
    """Splats of hairs of length 1, relative to a vertex that they follow. `cpu_kernels` reads them."""

    anchors: Array  # [N] vertices
    roots: Array  # [N, 3] cm
    ways: Array  # [N, 11] middle, axis, normal, half-width in cm, relative brightness
    kinds: Array  # [N]
    opacities: Array  # [N]


def make_threads(
    mesh: Mesh, lashes: int, brows: int, beard: int, noise: Noise, rng: np.random.RandomState
) -> Threads:
    """Set all of them; the counts are splats."""
    sets = [
        _lashes(mesh, lashes, rng),
        _brows(mesh, brows, rng),
        _beard(mesh, beard, noise, rng),
    ]
    roots, ways, kinds, opacities = (np.concatenate(part) for part in zip(*sets, strict=True))
    return Threads(nearest(mesh, roots), roots, ways, kinds, opacities)


def nearest(mesh: Mesh, points: Array) -> Array:
    """Find the skin's vertex nearest to each point. [N]"""
    skin = mesh.points_of("skin")
    square = (skin**2).sum(1)
    found = [
        (square - 2 * part @ skin.T).argmin(1)
        for part in np.array_split(points, max(1, len(points) // 500))
    ]
    return np.concatenate(found) + mesh.parts["skin"][0]


def _pack(
    paths: Array, normals: Array, widths: Array, shades: Array, kind: int, opacity: Array
) -> tuple[Array, Array, Array, Array]:
    """Turn S paths [S, K + 1, 3] of length 1 from the root into splats."""
    strands, steps = paths.shape[0], paths.shape[1] - 1
    root = np.repeat(paths[:, :1], steps, axis=1)
    middle = (paths[:, 1:] + paths[:, :-1]) / 2 - root
    ways = np.concatenate(
        [
            middle,
            np.diff(paths, axis=1),
            np.broadcast_to(normals[:, None], middle.shape),
            np.broadcast_to(widths, (strands, steps))[..., None],
            np.broadcast_to(shades[:, None], (strands, steps))[..., None],
        ],
        axis=2,
    )
    count = strands * steps
    return (
        root.reshape(-1, 3),
        ways.reshape(count, 11),
        np.full(count, kind),
        np.broadcast_to(opacity, (strands, steps)).reshape(-1),
    )


def _lashes(mesh: Mesh, count: int, rng: np.random.RandomState) -> tuple[Array, ...]:
    """Upper lashes: evenly set, longer outward, curled up."""
    marks, steps = mesh.neutral[mesh.marks], 4
    hairs = count // steps // 2
    roots, ways = [], []
    t = np.linspace(0, 1, steps + 1)[None, :, None]
    for corners in (marks[36:40], marks[[45, 44, 43, 42]]):  # outer corner first
        line = curve(corners, 400)
        at = np.linspace(16, 380, hairs).astype(int)
        roots.append(line[at] + rng.normal(0, 0.012, (hairs, 3)) + np.array([0, 0.02, 0.06]))
        outer = 1 - at / 400
        sideways = np.sign(line[at][:, 0]) * (outer - 0.35)
        heading = np.stack([0.9 * sideways, np.full(hairs, 0.05), np.ones(hairs)], axis=1)
        curl = np.stack([0.3 * sideways, np.full(hairs, 1.5), np.full(hairs, -0.5)], axis=1)
        length = 0.58 * (0.55 + 0.45 * outer + 0.1 * rng.standard_normal(hairs))
        way = unit(heading)[:, None] * t + 0.5 * curl[:, None] * t * t
        ways.append(length[:, None, None] * way)
    root, way = np.concatenate(roots), np.concatenate(ways)
    # Thinner than a pixel, each is drawn about a pixel wide: the more there are, the fainter.
    width = 0.011 * np.sqrt(70 / hairs) * np.linspace(1, 0.4, steps)
    opacity = min(0.26, 24 / hairs) * np.linspace(1, 0.5, steps)
    shades = np.ones(len(root))
    return _pack(root[:, None] + way, np.tile(FRONT, (len(root), 1)), width, shades, LASH, opacity)


def _brows(mesh: Mesh, count: int, rng: np.random.RandomState) -> tuple[Array, ...]:
    """Short hairs along each brow: upright at the inner end, flat at the outer."""
    steps = 3
    hairs = count // steps // 2
    paths = []
    for line in brow_lines(mesh.neutral[mesh.marks]):
        t = rng.beta(1.35, 1.1, hairs)  # few at the inner end
        i = (t * 38).astype(int)
        thickness = np.interp(t, [0, 0.2, 0.6, 1], [0.16, 0.34, 0.26, 0.06])
        above = rng.uniform(-1, 1, hairs) * thickness
        root = line[i] + above[:, None] * UP + 0.02 * FRONT
        rise = np.interp(t, [0, 0.25, 1], [1.1, 0.45, -0.15]) - above + rng.normal(0, 0.15, hairs)
        heading = unit(unit(line[i + 1] - line[i]) + rise[:, None] * UP + 0.25 * FRONT)
        length = 0.5 * rng.uniform(0.7, 1.2, hairs)[:, None, None]
        s = np.linspace(0, 1, steps + 1)[None, :, None]
        paths.append(root[:, None] + length * (heading[:, None] * s - 0.25 * FRONT * s * s))
    path = np.concatenate(paths)
    width = 0.024 * np.sqrt(390 / hairs) * np.linspace(1, 0.5, steps)
    shades = rng.uniform(0.7, 1.4, len(path))
    normals = np.tile(FRONT, (len(path), 1))
    return _pack(path, normals, width, shades, BROW, np.full(steps, min(0.6, 160 / hairs)))


def _beard(mesh: Mesh, count: int, noise: Noise, rng: np.random.RandomState) -> tuple[Array, ...]:
    """Hairs that hang a little from cheeks, chin and upper lip."""
    steps = 2
    hairs = count // steps
    quads = mesh.faces_of("skin")
    middle = mesh.neutral[quads].mean(1)
    quads = quads[(middle[:, 1] < 5) & (middle[:, 1] > -10.5) & (middle[:, 2] > -1)]
    cells = tessellate(mesh, quads, np.full(len(quads), 0.15))
    weight = beard_area(cells.points, mesh.neutral[mesh.marks], noise) * cells.sides.prod(1)
    total = np.cumsum(weight)
    at = (np.arange(hairs) + rng.random_sample(hairs)) / hairs * total[-1]
    chosen = np.searchsorted(total, at).clip(0, len(total) - 1)
    root, normal = cells.points[chosen], cells.normals[chosen]
    side = np.sign(root[:, :1]) * np.minimum(np.abs(root[:, :1]) / 3, 1)
    upper_lip = (root[:, 1:2] > -3.2) & (np.abs(root[:, :1]) < 3)
    down = np.concatenate([np.where(upper_lip, 0.7, 0.1) * side, -np.ones_like(side), 0 * side], 1)
    heading = unit(down + 0.45 * normal + 0.3 * rng.standard_normal((hairs, 3)))
    hang = unit(down) - 0.1 * normal
    s = np.linspace(0, 1, steps + 1)[None, :, None]
    # A moustache is trimmed at the lip.
    length = rng.uniform(0.6, 1.1, hairs) * np.where(upper_lip[:, 0], 0.55, 1)
    way = length[:, None, None] * (heading[:, None] * s * 0.7 + 0.4 * hang[:, None] * s * s)
    width = 0.060 * np.sqrt(2400 / hairs) * np.linspace(1, 0.7, steps)
    shades = rng.uniform(0.7, 1.35, hairs)
    fade = (weight / cells.sides.prod(1))[chosen]
    opacity = 0.75 * fade[:, None] * np.ones(steps)
    return _pack((root - 0.03 * normal)[:, None] + way, normal, width, shades, BEARD, opacity)
