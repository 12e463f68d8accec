"""Eyeballs, and the fine hair around the eyes."""

from __future__ import annotations

import numpy as np

from examples.parametric_head.geometry import FRONT, UP, Array, Noise, bump, curve, mix, ramp, unit
from examples.parametric_head.layer import Layer, Shapes, join, surface, threads
from examples.parametric_head.mesh import SCLERAS, Mesh, brow_lines
from examples.parametric_head.skin import HAIR_TONE

IRIS_TONE = np.array([0.12, 0.17, 0.16])
IRIS_RING = np.array([0.23, 0.15, 0.06])
SCLERA_TONE = np.array([0.56, 0.52, 0.50])
LASH_TONE = np.array([0.012, 0.008, 0.006])
# The key lamp's reflection and a fainter one: right and up of the pupil, width, opacity. cm
CATCHLIGHTS = ((0.2, 0.22, 0.075, 0.9), (-0.2, -0.18, 0.05, 0.3))


def make_eyes(mesh: Mesh, count: int, noise: Noise) -> Layer:
    """Make the visible part of two balls, in rings around the pupil."""
    layers = []
    for first, last in SCLERAS:
        center, radius = _fit_ball(mesh.vertices[first : last + 1])
        reach = np.radians(62)
        step = np.sqrt(2 * np.pi * (1 - np.cos(reach)) / (count / 2))  # radians between splats
        rings = (np.arange(int(reach / step)) + 0.5) * step
        dots = np.maximum(3, np.round(2 * np.pi * np.sin(rings) / step)).astype(int)
        angle = np.repeat(rings, dots)
        place = np.arange(len(angle)) - np.repeat(np.cumsum(dots) - dots, dots)
        turn = 2 * np.pi * place / np.repeat(dots, dots) + np.repeat(
            0.5 * np.arange(len(dots)), dots
        )
        x, y = np.sin(angle) * np.cos(turn), np.sin(angle) * np.sin(turn)
        normals = np.stack([x, y, np.cos(angle)], axis=1)
        tangents = np.stack([-np.sin(turn), np.cos(turn), 0 * turn], axis=1)
        colors = paint_eye(angle * radius, turn, normals, noise)
        size = 0.65 * step * radius
        ball = center + radius * normals
        shapes = Shapes(ball, normals, tangents, (size, size, 0.01))
        layers.append(surface(shapes, colors, gloss=0.05))
        for x, y, width, opacity in CATCHLIGHTS:
            spot = np.array([[x, y, np.sqrt(radius**2 - x * x - y * y) + 0.06]])
            shapes = Shapes(center + spot, unit(spot), UP[None], (width, width, 0.01))
            layers.append(surface(shapes, np.ones((1, 3)), opacity=opacity, glows=True))
    return join(layers)


def _fit_ball(points: Array) -> tuple[Array, float]:
    """Fit a sphere, least squares of |p|² = 2 p·c + (r² - |c|²): its middle and radius."""
    system = np.concatenate([2 * points, np.ones((len(points), 1))], axis=1)
    solution = np.linalg.lstsq(system, (points**2).sum(1), rcond=None)[0]
    center = solution[:3]
    return center, float(np.sqrt(solution[3] + center @ center))


def paint_eye(out: Array, turn: Array, normals: Array, noise: Noise) -> Array:
    """Colour by the distance from the pupil's middle along the ball, in cm. [N, 3]"""
    fibres = np.stack([np.cos(turn) * 3, np.sin(turn) * 3, out], axis=1)
    iris = IRIS_TONE * (1 + 0.35 * noise(fibres, 0.35) + 0.5 * ramp(0.45, 0.25, out))[:, None]
    iris = mix(iris, IRIS_RING, 0.7 * bump(out - 0.26, 0.1))
    iris = iris * (1 - 0.75 * ramp(0.45, 0.57, out))[:, None]  # the dark ring around it
    veins = ramp(0.5, 1.0, np.abs(normals[:, 0]))
    white = SCLERA_TONE * (1 - veins[:, None] * [0.1, 0.3, 0.3])
    colors = mix(iris, white, ramp(0.55, 0.66, out))
    return mix(np.full((1, 3), 0.006), colors, ramp(0.19, 0.25, out))


def make_lashes(mesh: Mesh, count: int, rng: np.random.Generator) -> Layer:
    """Upper lashes: evenly set, longer outward, curled up."""
    marks, steps, layers = mesh.vertices[mesh.marks], 4, []
    hairs = count // steps // 2
    for corners in (marks[36:40], marks[[45, 44, 43, 42]]):  # outer corner first
        line = curve(corners, 400)
        at = np.linspace(16, 380, hairs).astype(int)
        root = line[at] + rng.normal(0, 0.012, (hairs, 3)) + np.array([0, 0.02, 0.06])
        outer = 1 - at / 400
        sideways = np.sign(root[:, 0]) * (outer - 0.35)
        heading = np.stack([0.9 * sideways, np.full(hairs, 0.05), np.ones(hairs)], axis=1)
        curl = np.stack([0.3 * sideways, np.full(hairs, 1.5), np.full(hairs, -0.5)], axis=1)
        length = 0.58 * (0.55 + 0.45 * outer + 0.1 * rng.standard_normal(hairs))
        t = np.linspace(0, 1, steps + 1)[None, :, None]
        way = unit(heading)[:, None] * t + 0.5 * curl[:, None] * t * t
        paths = root[:, None] + length[:, None, None] * way
        # Thinner than a pixel, each is drawn about a pixel wide: the more there are, the fainter.
        width = 0.011 * np.sqrt(70 / hairs) * np.linspace(1, 0.4, steps)
        opacity = min(0.32, 28 / hairs) * np.linspace(1, 0.5, steps)
        shape = (hairs, steps)
        normals, colors = np.tile(FRONT, (*shape, 1)), np.tile(LASH_TONE, (*shape, 1))
        layers.append(threads(paths, normals, np.tile(width, (hairs, 1)), colors, opacity))
    return join(layers)


def make_brows(mesh: Mesh, count: int, rng: np.random.Generator) -> Layer:
    """Short hairs along each brow: upright at the inner end, flat at the outer."""
    steps, layers = 3, []
    hairs = count // steps // 2
    for line in brow_lines(mesh.vertices[mesh.marks]):
        t = rng.beta(1.35, 1.1, hairs)  # few at the inner end
        i = (t * 38).astype(int)
        thickness = np.interp(t, [0, 0.2, 0.6, 1], [0.16, 0.34, 0.26, 0.06])
        above = rng.uniform(-1, 1, hairs) * thickness
        root = line[i] + above[:, None] * UP + 0.02 * FRONT
        rise = np.interp(t, [0, 0.25, 1], [1.1, 0.45, -0.15]) - above + rng.normal(0, 0.15, hairs)
        heading = unit(unit(line[i + 1] - line[i]) + rise[:, None] * UP + 0.25 * FRONT)
        length = 0.5 * rng.uniform(0.7, 1.2, hairs)[:, None, None]
        s = np.linspace(0, 1, steps + 1)[None, :, None]
        paths = root[:, None] + length * (heading[:, None] * s - 0.25 * FRONT * s * s)
        opacity = min(0.45, 160 / hairs)
        width = 0.024 * np.sqrt(390 / hairs) * np.linspace(1, 0.5, steps)
        colors = HAIR_TONE * rng.uniform(0.7, 1.4, (hairs, 1, 1)) * np.ones((hairs, steps, 1))
        normals = np.tile(FRONT, (hairs, steps, 1))
        layers.append(threads(paths, normals, np.tile(width, (hairs, 1)), colors, opacity))
    return join(layers)
