"""Splats of one material, before light falls on them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from examples.parametric_head.geometry import Array, across, unit


@dataclass(frozen=True)
class Layer:
    """Unlit splats: where they lie, how they are turned, what they are made of."""

    points: Array  # [N, 3] cm
    normals: Array  # [N, 3] unit, outward
    tangents: Array  # [N, 3] unit, along the first size
    sizes: Array  # [N, 3] standard deviations along tangent, bitangent and normal, cm
    colors: Array  # [N, 3] linear albedo
    opacities: Array  # [N]
    gloss: Array  # [N] strength of the highlight
    is_thread: Array  # [N] bool, lit as hair
    glows: Array  # [N] bool, needs no lamp


class Shapes(NamedTuple):
    """Where splats lie and how they are turned: the first four of a `Layer`'s fields."""

    points: Array  # [N, 3]
    normals: Array  # [N, 3]
    tangents: Array  # [N, 3] any length
    sizes: Array | tuple[float, float, float]  # [N, 3], or one for all


def surface(
    shapes: Shapes,
    colors: Array,
    *,
    opacity: Array | float = 0.97,
    gloss: Array | float = 0.0,
    is_thread: bool = False,
    glows: bool = False,
) -> Layer:
    """Make a layer, with one value for all splats where that is enough."""
    count = len(shapes.points)

    def each(value: Array | float | bool) -> Array:
        return np.broadcast_to(np.asarray(value), count)

    return Layer(
        shapes.points,
        shapes.normals,
        unit(shapes.tangents),
        np.broadcast_to(np.asarray(shapes.sizes, float), (count, 3)),
        colors,
        each(opacity),
        each(gloss),
        each(is_thread),
        each(glows),
    )


def threads(
    paths: Array,
    normals: Array,
    widths: Array,
    colors: Array,
    opacity: Array | float,
    gloss: float = 0.0,
) -> Layer:
    """Make S hairs of K elongated splats each.

    Args:
        paths: [S, K + 1, 3] cm
        normals: Outward. [S, K, 3]
        widths: Standard deviations across. [S, K] cm
        colors: [S, K, 3]
        opacity: One for all, or [S, K].
        gloss: Strength of the highlight.
    """
    steps = np.diff(paths, axis=1).reshape(-1, 3)
    middles = ((paths[:, 1:] + paths[:, :-1]) / 2).reshape(-1, 3)
    tangents, width = unit(steps), widths.reshape(-1)
    length = 0.55 * np.linalg.norm(steps, axis=1) + 0.3 * width
    outward = across(normals.reshape(-1, 3), tangents)
    sizes = np.stack([length, width, 0.7 * width], axis=1)
    return surface(
        Shapes(middles, outward, tangents, sizes),
        colors.reshape(-1, 3),
        opacity=np.broadcast_to(opacity, widths.shape).reshape(-1),
        gloss=gloss,
        is_thread=True,
    )


def join(layers: list[Layer]) -> Layer:
    """Put one layer after the other."""
    names = [part.name for part in fields(Layer)]
    return Layer(*(np.concatenate([getattr(layer, name) for layer in layers]) for name in names))
