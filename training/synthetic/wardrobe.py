"""What a head wears: a round-necked shirt over shoulders, and glasses."""

from __future__ import annotations

import numpy as np

from training.synthetic.geometry import Array, Noise, bump, ramp, unit

# Cross-sections of the shirt from the collar (0) to the hem (1): how far along, then half width,
# half depth, height and middle in z, all in cm.
SECTIONS = np.array(
    [
        (0.00, 7.0, 6.5, -10.0, -1.0),
        (0.06, 7.7, 6.9, -10.7, -1.1),
        (0.14, 9.4, 7.6, -11.6, -1.3),
        (0.30, 14.0, 8.7, -13.2, -1.5),
        (0.50, 18.5, 9.4, -15.6, -1.5),
        (0.72, 20.6, 9.8, -18.8, -1.4),
        (1.00, 20.8, 10.0, -24.0, -1.2),
    ]
)
FRAME_WIDTH = 0.15  # cm, the standard deviation across: about two pixels of 128 wide


def make_shirt(count: int, noise: Noise) -> tuple[Array, Array, Array, Array]:
    """Loft a grid between the sections, finer towards the collar.

    Returns:
        Points, normal and tangent, sizes in cm, and relative brightness.
        [N, 3], [N, 6], [N, 3], [N]
    """
    columns = int(np.sqrt(count * 3.4))
    rows = count // columns
    edges = (np.arange(rows + 1) / rows) ** 1.7
    low, high = (np.repeat(part, columns) for part in (edges[:-1], edges[1:]))
    step = 2 * np.pi / columns
    turn = np.tile((np.arange(columns) + 0.5) * step, rows)
    t = (low + high) / 2
    points = _loft(t, turn)
    around = _loft(t, turn + step / 2) - _loft(t, turn - step / 2)
    down = _loft(high, turn) - _loft(low, turn)
    normals = unit(np.cross(down, around))
    points = points + normals * (0.12 * noise(points * [1, 0.5, 1], 3.0))[:, None]
    lengths = [np.linalg.norm(side, axis=1) for side in (around, down)]
    sizes = np.stack([0.7 * lengths[0], 0.7 * lengths[1], np.full(len(t), 0.03)], axis=1)
    shade = 1 + 0.03 * noise(points, 1.5) + 0.05 * noise(points, 0.3)
    collar, seam = ramp(0.075, 0.06, t), bump(t - 0.07, 0.008)
    shade = shade * (1 - 0.25 * collar - 0.3 * seam)
    return points, np.concatenate([normals, unit(around)], axis=1), sizes, shade


def _loft(t: Array, turn: Array) -> Array:
    """Find the point of section `t`, `turn` radians around from the front. [N, 3]"""
    a, b, y, z = (np.interp(t, SECTIONS[:, 0], values) for values in SECTIONS[:, 1:].T)
    sin, cos = np.sin(turn), np.cos(turn)
    power = 2 / 2.3  # a superellipse: between an ellipse and a box
    x = a * np.sign(sin) * np.abs(sin) ** power
    z = z + b * np.sign(cos) * np.abs(cos) ** power
    return np.stack([x, y - 2.4 * ramp(-0.4, 1, cos) * (1 - t) ** 2, z], axis=1)


class Glasses:
    """Two rims, a bridge and two temples, each a row of splats along a wire."""

    def __init__(self, count: int) -> None:
        rim, bridge = int(0.31 * count), max(4, int(0.05 * count))
        temple = (count - 2 * rim - bridge) // 2
        self.count = 2 * rim + bridge + 2 * temple
        # Each wire's length is cut evenly: ends of the splats, [n + 1].
        self._turn = np.linspace(0, 2 * np.pi, rim + 1)
        self._across = np.linspace(-1, 1, bridge + 1)
        self._back = np.linspace(0, 1, temple + 1)

    def worn(self, marks: Array, ears: Array, roundness: float) -> tuple[Array, Array, Array]:
        """Put them on.

        Args:
            marks: Landmarks of the head without expression. [68, 3] cm
            ears: Where the temples rest, right and left of the head. [2, 3] cm
            roundness: 0 is wide and angular, 1 round.

        Returns:
            Points, normal and tangent, sizes. [N, 3], [N, 6], [N, 3]
        """
        right, left = marks[36:42].mean(0), marks[42:48].mean(0)
        front = max(marks[27, 2], right[2] + 1.25) + 0.35
        half = np.array([2.55 - 0.3 * roundness, 1.55 + 0.45 * roundness])
        power = 2 / (2.0 + 1.6 * (1 - roundness))
        cos, sin = np.cos(self._turn), np.sin(self._turn)
        x = half[0] * np.sign(cos) * np.abs(cos) ** power
        y = half[1] * np.sign(sin) * np.abs(sin) ** power - 0.35

        def bend(x: Array) -> Array:
            return front - 0.03 * np.abs(x) - 0.028 * x * x

        paths = []
        middle = max(0.5 * (left[0] - right[0]) * 1.03, half[0] + 0.55)
        for sign, eye in ((-1, right), (1, left)):
            at = sign * middle + x
            paths.append(np.stack([at, eye[1] + y, bend(at)], axis=1))
        inner, outer = middle - half[0], middle + half[0]
        across = self._across * inner
        height = 0.5 * (left[1] + right[1]) + 0.25
        paths.append(
            np.stack([across, height + 0.35 * (1 - self._across**2), bend(across) + 0.12], axis=1)
        )
        for sign, eye, ear in ((-1, right, ears[0]), (1, left, ears[1])):
            start = np.array([sign * outer, eye[1] + 0.15, bend(np.array(outer))])
            t = self._back[:, None]
            way = start + (ear - start) * t
            way[:, 0] += sign * 0.5 * np.sin(np.pi * self._back**0.7)
            paths.append(way)
        ends = [(path[:-1], path[1:]) for path in paths]
        points = np.concatenate([(a + b) / 2 for a, b in ends])
        steps = np.concatenate([b - a for a, b in ends])
        length = np.linalg.norm(steps, axis=1)
        tangents = steps / (length[:, None] + 1e-9)
        outward = np.tile([0.0, 0, 1], (len(points), 1))
        outward[-2 * (len(self._back) - 1) :] = np.array([1.0, 0, 0]) * np.sign(
            points[-2 * (len(self._back) - 1) :, :1]
        )
        normals = unit(outward - (outward * tangents).sum(1, keepdims=True) * tangents)
        wide = np.full(len(points), FRAME_WIDTH)
        sizes = np.stack([0.6 * length + 0.02, wide, 0.6 * wide], axis=1)
        return points, np.concatenate([normals, tangents], axis=1), sizes
