"""Eyeballs: the visible part of two balls that turn with the gaze."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.synthetic.geometry import Array, Noise, bump, mix, ramp
from training.synthetic.mesh import Mesh

IRIS_RING = np.array([0.23, 0.15, 0.06])
SCLERA_TONE = np.array([0.50, 0.455, 0.43])
# The key lamp's reflection and a fainter one: right and up of the pupil, width, opacity. cm
CATCHLIGHTS = ((0.2, 0.22, 0.075, 0.9), (-0.2, -0.18, 0.05, 0.3))


@dataclass(frozen=True)
class Eyes:
    """Splats of both eyes while they look ahead; the catchlights, which do not turn, come last."""

    side: Array  # [E] 0 for the head's left eye, 1 for its right
    normals: Array  # [E, 3] from the ball's middle
    tangents: Array  # [E, 3]
    lift: Array  # [E] cm off the ball
    widths: Array  # [E] cm
    iris: Array  # [E] how much of the iris' colour
    base: Array  # [E, 3] colour besides the iris' own, linear
    opacities: Array  # [E]
    centers: Array  # [2, 3] cm on the neutral head
    radii: Array  # [2] cm
    moves: Array  # [I, 2, 3] cm of the centre per identity component
    catchlights: int

    def turned(self, gaze: tuple[float, float], identity: Array) -> tuple[Array, Array, Array]:
        """Look `gaze` radians to the head's left and up: points, normals, tangents. [E, 3] each"""
        sin, cos = np.sin(gaze), np.cos(gaze)
        yaw = np.array([[cos[0], 0, sin[0]], [0, 1, 0], [-sin[0], 0, cos[0]]])
        pitch = np.array([[1, 0, 0], [0, cos[1], sin[1]], [0, -sin[1], cos[1]]])
        turn = (yaw @ pitch).T.astype(np.float32)
        balls = len(self.side) - self.catchlights
        normals = np.concatenate([self.normals[:balls] @ turn, self.normals[balls:]])
        tangents = np.concatenate([self.tangents[:balls] @ turn, self.tangents[balls:]])
        centers = self.centers + np.tensordot(identity, self.moves, 1)
        points = centers[self.side] + normals * (self.radii[self.side] + self.lift)[:, None]
        return points, normals, tangents


def make_eyes(mesh: Mesh, count: int, noise: Noise) -> Eyes:
    """Set splats in rings around the pupils, about `count` in all."""
    reach = np.radians(62)
    step = np.sqrt(2 * np.pi * (1 - np.cos(reach)) / (count / 2))  # radians between splats
    rings = (np.arange(int(reach / step)) + 0.5) * step
    dots = np.maximum(3, np.round(2 * np.pi * np.sin(rings) / step)).astype(int)
    angle = np.repeat(rings, dots)
    place = np.arange(len(angle)) - np.repeat(np.cumsum(dots) - dots, dots)
    turn = 2 * np.pi * place / np.repeat(dots, dots) + np.repeat(0.5 * np.arange(len(dots)), dots)
    x, y = np.sin(angle) * np.cos(turn), np.sin(angle) * np.sin(turn)
    normals = np.stack([x, y, np.cos(angle)], axis=1)
    tangents = np.stack([-np.sin(turn), np.cos(turn), 0 * turn], axis=1)
    balls = [_fit_ball(mesh.points_of(part)) for part in ("left_sclera", "right_sclera")]
    centers, radii = np.stack([ball[0] for ball in balls]), np.array([ball[1] for ball in balls])
    iris, base = _paint(angle * radii[0], turn, normals, noise)
    spots = np.array(CATCHLIGHTS)
    depth = np.sqrt(np.maximum(radii[0] ** 2 - spots[:, 0] ** 2 - spots[:, 1] ** 2, 0.1))
    spot = np.stack([spots[:, 0], spots[:, 1], depth], axis=1)
    spot = spot / np.linalg.norm(spot, axis=1, keepdims=True)
    upward = np.tile([0.0, 1, 0], (len(spots), 1))
    n, k = len(angle), len(spots)

    def both(ball: Array, light: Array) -> Array:
        parts = [ball, ball, light, light]
        return np.concatenate(parts).astype(np.float32)

    return Eyes(
        side=both(np.zeros(n), np.zeros(k)).astype(int) + np.repeat([0, 1, 0, 1], [n, n, k, k]),
        normals=both(normals, spot),
        tangents=both(tangents, upward),
        lift=both(np.zeros(n), np.full(k, 0.06)),
        widths=both(np.full(n, 0.65 * step * radii[0]), spots[:, 2]),
        iris=both(iris, np.zeros(k)),
        base=both(base, np.full((k, 3), 0.9)),
        opacities=both(np.full(n, 0.97), spots[:, 3]),
        centers=centers,
        radii=radii,
        moves=np.stack(
            [
                mesh.identity[:, slice(a, b + 1)].mean(1)
                for a, b in (mesh.parts["left_sclera"], mesh.parts["right_sclera"])
            ],
            axis=1,
        ).astype(float),
        catchlights=2 * k,
    )


def _fit_ball(points: Array) -> tuple[Array, float]:
    """Fit a sphere, least squares of |p|² = 2 p·c + (r² - |c|²): its middle and radius."""
    system = np.concatenate([2 * points, np.ones((len(points), 1))], axis=1)
    solution = np.linalg.lstsq(system, (points**2).sum(1), rcond=None)[0]
    center = solution[:3]
    return center, float(np.sqrt(solution[3] + center @ center))


def _paint(out: Array, turn: Array, normals: Array, noise: Noise) -> tuple[Array, Array]:
    """Colour by the distance from the pupil's middle along the ball, in cm.

    Returns:
        The share of the iris' colour and what is added to it. [N], [N, 3]
    """
    fibres = np.stack([np.cos(turn) * 3, np.sin(turn) * 3, out], axis=1)
    bright = 1 + 0.35 * noise(fibres, 0.35) + 0.5 * ramp(0.45, 0.25, out)
    ring = 0.35 * bump(out - 0.26, 0.1)
    dark = 1 - 0.75 * ramp(0.45, 0.57, out)  # the dark ring around it
    white = ramp(0.55, 0.66, out)
    pupil = 1 - ramp(0.19, 0.25, out)
    iris = bright * (1 - ring) * dark * (1 - white) * (1 - pupil)
    veins = ramp(0.5, 1.0, np.abs(normals[:, 0]))
    lid = 1 - 0.35 * ramp(0.05, 0.4, normals[:, 1])  # its shadow
    sclera = SCLERA_TONE * (1 - veins[:, None] * [0.1, 0.3, 0.3]) * lid[:, None]
    base = mix(IRIS_RING * (0.5 * ring * dark)[:, None], sclera, white)
    return iris, mix(base, np.full((1, 3), 0.006), pupil)
