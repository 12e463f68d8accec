"""Skin: face, ears, neck and scalp, painted by where a cell lies on the neutral head."""

from __future__ import annotations

import numpy as np

from examples.parametric_head.geometry import (
    Array,
    Noise,
    bump,
    curve,
    distance_to,
    is_inside,
    mix,
    ramp,
)
from examples.parametric_head.layer import Layer, Shapes, join, surface
from examples.parametric_head.mesh import (
    EYE_SOCKETS,
    NARROW_FACE,
    SKIN,
    Cells,
    Mesh,
    brow_lines,
    cell_size_for,
    tessellate,
)

SKIN_TONE = np.array([0.57, 0.33, 0.225])
LIP_TONE = np.array([0.44, 0.145, 0.125])
HAIR_TONE = np.array([0.075, 0.034, 0.016])
LASH_LINE = np.array([0.12, 0.06, 0.045])
WET_RIM = np.array([0.5, 0.2, 0.16])


def make_skin(mesh: Mesh, count: int, noise: Noise) -> Layer:
    """Tile the skin, with a coarse lining under it so that nothing shows through."""
    quads = mesh.faces_of(*SKIN)
    x, y, z = mesh.neutral[quads].mean(1).T
    covered = (y < -9.5) & (np.hypot(x / 7.0, (z + 1.0) / 6.4) > 1) | (y < -15)
    quads = quads[~covered]  # not what lies under the shirt

    # The lining stays away from thin parts, which it would pierce: eyelids, lips, nostrils, ears.
    x, y, z = np.abs(mesh.neutral[quads].mean(1)).T
    thin = (y < 5.5) & (z > 7) | (x > 7.2)
    lining = tessellate(mesh, quads[~thin], np.full((~thin).sum(), 0.9))
    sockets = tessellate(mesh, mesh.faces_of(*EYE_SOCKETS), np.full(1, 0.25))

    relative = relative_size(mesh, quads)
    left = count - len(lining.points) - len(sockets.points)
    cells = tessellate(mesh, quads, relative * cell_size_for(mesh, quads, relative, left))
    colors, gloss = paint_skin(mesh, cells, noise)
    pink = np.tile([0.42, 0.15, 0.12], (len(sockets.points), 1))
    return join(
        [
            _lay(cells, cells.points, 0.68, colors, gloss),
            _lay(
                lining,
                lining.points - 0.3 * lining.normals,
                0.7,
                paint_skin(mesh, lining, noise)[0],
            ),
            _lay(sockets, sockets.points, 0.6, pink, 0.1),
        ]
    )


def _lay(
    cells: Cells, points: Array, overlap: float, colors: Array, gloss: Array | float = 0
) -> Layer:
    sizes = np.concatenate([cells.sides * overlap, np.full((len(points), 1), 0.012)], axis=1)
    return surface(Shapes(points, cells.normals, cells.tangents, sizes), colors, gloss=gloss)


def hairline(neutral: Array) -> Array:
    """Measure upward from the hairline: positive where hair grows. [N] cm"""
    azimuth = np.degrees(np.arctan2(np.abs(neutral[:, 0]), neutral[:, 2] - 0.5))
    heights = {
        0: 9.9, 18: 10.1, 34: 10.0, 46: 8.3, 55: 6.0, 61: 3.6, 66: 2.2, 71: 2.6, 77: 5.4, 90: 6.5,
        104: 6.6, 114: 4.6, 128: 0.8, 150: -2.2, 180: -2.8,
    }  # fmt: skip
    return neutral[:, 1] - np.interp(azimuth, list(heights), list(heights.values()))


def relative_size(mesh: Mesh, quads: Array) -> Array:
    """Choose the cells' sizes: small where one looks first, large under the hair. [F]"""
    middle = mesh.neutral[quads].mean(1)
    x, y, front = np.abs(middle[:, 0]), middle[:, 1], middle[:, 2] > 6
    eyes = bump(np.hypot((x - 3.1) / 1.9, (y - 3.6) / 1.1)) * front
    lips = bump(np.hypot(x / 3.2, (y + 3.4) / 1.6)) * front
    nose = bump(np.hypot(x / 1.8, (y + 0.4) / 1.6)) * front
    size = 1 - 0.55 * np.clip(1.3 * eyes + 1.1 * lips + 0.7 * nose, 0, 1)
    ears = (x > 7.4) & (np.abs(y - 2.5) < 5)
    size = np.where((quads <= NARROW_FACE[1]).all(1), size, np.where(ears, 0.9, 1.5))
    height = hairline(middle)
    return np.where(height > 2.5, 2.6, np.where(height > -1, 0.9, size))


def paint_skin(mesh: Mesh, cells: Cells, noise: Noise) -> tuple[Array, Array]:
    """Choose each cell's colour and gloss. [N, 3], [N]"""
    p = cells.neutral
    marks = mesh.neutral[mesh.marks]
    colors = _complexion(p, noise)
    colors, lips = _paint_lips(colors, p, marks, noise)
    colors = _paint_lids(colors, p, marks)
    for line in brow_lines(marks):
        under = 0.5 * bump(distance_to(p, line[4:, :2]), 0.28) * (p[:, 2] > 5)
        colors = mix(colors, HAIR_TONE * 1.6, under)
    roots = ramp(-0.2, 1.6, hairline(p) + 0.12 * noise(p, 0.4))
    colors = mix(colors, HAIR_TONE, roots * 0.92)
    bridge = bump(np.hypot(p[:, 0] / 1.2, (p[:, 1] - 1) / 2.5)) * ramp(2, 5, p[:, 2])
    return colors, (0.10 + 0.10 * bridge + 0.22 * lips) * (1 - roots)


def _complexion(p: Array, noise: Noise) -> Array:
    """Blood under the skin, blotches and pores, shadows under the eyes. [N, 3]"""
    x, y, front = np.abs(p[:, 0]), p[:, 1], ramp(2, 5, p[:, 2])
    cheeks = bump(np.hypot((x - 4.6) / 2.0, (y - 0.4) / 1.7)) * front
    nose = bump(np.hypot(x / 1.5, (y + 0.1) / 1.3)) * front
    chin = bump(np.hypot(x / 2.0, (y + 6.6) / 1.2)) * front
    ears = ramp(7.6, 8.6, x) * (y > -3)
    red = 0.8 * cheeks + 0.7 * nose + 0.35 * chin + 0.8 * ears + 0.12 * noise(p, 1.6)
    colors = SKIN_TONE * (1 - red.clip(0, 1.2)[:, None] * [0.02, 0.24, 0.22])
    grain = 1 + 0.025 * noise(p, 2.5) + 0.02 * noise(p, 0.5) + 0.015 * noise(p, 0.17)
    below_eyes = bump(np.hypot((x - 3.1) / 1.5, (y - 2.2) / 0.5)) * front
    dusk = 0.06 * ramp(-3, -6, y) + 0.14 * below_eyes
    return colors * grain[:, None] * (1 - dusk[:, None] * [0.7, 1.0, 0.8])


def _paint_lips(colors: Array, p: Array, marks: Array, noise: Noise) -> tuple[Array, Array]:
    """Fill the lips' outline and darken the line between them; also say how much is lip. [N]"""
    in_front = p[:, 2] > 8
    outline = curve(np.concatenate([marks[48:60], marks[48:49]])[:, :2], 160)
    inward = distance_to(p, outline) * np.where(is_inside(p, outline), 1, -1)
    lips = ramp(-0.10, 0.10, inward) * in_front
    folds = 0.16 * noise(p * [3, 0.6, 1], 0.25) - 0.12 * (p[:, 1] > -3.4)
    colors = mix(colors, LIP_TONE * (1 + folds)[:, None], 0.9 * lips)
    between = curve((marks[60:65] + marks[[60, 67, 66, 65, 64]])[:, :2] / 2, 80)
    line = bump(distance_to(p, between), 0.09) * in_front * (np.abs(p[:, 0]) < 2.3)
    return colors * (1 - 0.8 * line)[:, None], lips


def _paint_lids(colors: Array, p: Array, marks: Array) -> Array:
    """Draw the dark line of the upper lashes, the wet lower rim and the crease. [N, 3]"""
    in_front = p[:, 2] > 7
    for corners in (marks[36:42], marks[[45, 44, 43, 42, 47, 46]]):  # outer corner first
        upper, lower = curve(corners[:4, :2], 60), curve(corners[[3, 4, 5, 0], :2], 60)
        crease = upper + np.array([0, 0.42])
        colors = mix(colors, LASH_LINE, 0.85 * bump(distance_to(p, upper), 0.13) * in_front)
        colors = mix(colors, WET_RIM, 0.6 * bump(distance_to(p, lower), 0.13) * in_front)
        colors = colors * (1 - 0.28 * bump(distance_to(p, crease), 0.16) * in_front)[:, None]
    return colors
