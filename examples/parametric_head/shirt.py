"""A round-necked shirt over shoulders."""

from __future__ import annotations

import numpy as np

from examples.parametric_head.geometry import Array, Noise, bump, ramp, unit
from examples.parametric_head.layer import Layer, Shapes, surface

SHIRT_TONE = np.array([0.045, 0.105, 0.14])

# Cross-sections from the collar (0) to the hem (1): how far along, then half width, half depth,
# height and middle in z, all in cm.
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


def make_shirt(count: int, noise: Noise) -> Layer:
    """Loft a grid between the sections, finer towards the collar."""
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
    colors = SHIRT_TONE * (1 + 0.03 * noise(points, 1.5) + 0.05 * noise(points, 0.3))[:, None]
    collar, seam = ramp(0.075, 0.06, t), bump(t - 0.07, 0.008)
    colors = colors * (1 - 0.25 * collar - 0.3 * seam)[:, None]
    return surface(Shapes(points, normals, around, sizes), colors)


def _loft(t: Array, turn: Array) -> Array:
    """Find the point of section `t`, `turn` radians around from the front. [N, 3]"""
    a, b, y, z = (np.interp(t, SECTIONS[:, 0], values) for values in SECTIONS[:, 1:].T)
    sin, cos = np.sin(turn), np.cos(turn)
    power = 2 / 2.3  # a superellipse: between an ellipse and a box
    x = a * np.sign(sin) * np.abs(sin) ** power
    z = z + b * np.sign(cos) * np.abs(cos) ** power
    return np.stack([x, y - 2.4 * ramp(-0.4, 1, cos) * (1 - t) ** 2, z], axis=1)
