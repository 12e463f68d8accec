"""Which cells of a grid a splat touches: exactly, not by its bounding box.

A splat is drawn where its alpha reaches 1/255: an ellipse around (u, v). On a given row y, the normal
distribution of x has mean u + (cov/var_y) y and variance det/var_y, so the ellipse reaches there from

    u + SLOPE y - CHORD sqrt(HALF_HEIGHT² - y²)   to   u + SLOPE y + CHORD sqrt(HALF_HEIGHT² - y²)

with SLOPE = cov/var_y and CHORD = sqrt(det)/var_y. It is rightmost at y = TIP and leftmost at y = -TIP.
Over a band of rows the extreme is taken at the row of the band nearest to that.
"""

# ruff: noqa: ANN201 - numba infers the types of kernels from their arguments
# mypy: ignore-errors

from __future__ import annotations

import math

from renderer.cpu_kernels.frame import (
    CHORD,
    HALF_HEIGHT,
    ROW,
    SLOPE,
    TILE,
    TIP,
    U,
    V,
    inlined,
    part,
)
from renderer.cpu_kernels.memory import get_float
from renderer.cpu_kernels.vec16 import lane_numbers, maximum, minimum, select, sqrt, to_int

MARGIN = 1e-3  # px, added for rounding


@inlined
def touched_cells(u, v, half_height, slope, chord, tip, cell):  # noqa: PLR0913
    """Say for sixteen splats which cells of a 4x4 grid at the origin they touch.

    Args:
        u, v: Centres relative to the grid's corner, px.
        half_height, slope, chord, tip: As in the records.
        cell: Side of a cell, px.

    Returns:
        Bit 4 * row + column for each touched cell.
    """
    bits = lane_numbers() & 0
    for row in range(4):
        top = maximum(cell * row + 0.5 - v, -half_height)
        bottom = minimum(cell * row + cell - 0.5 - v, half_height)
        y = minimum(maximum(tip, top), bottom)
        right = (
            u + MARGIN + slope * y + chord * sqrt(maximum(half_height * half_height - y * y, 0.0))
        )
        y = minimum(maximum(-tip, top), bottom)
        left = (
            u - MARGIN + slope * y - chord * sqrt(maximum(half_height * half_height - y * y, 0.0))
        )
        # Columns whose first pixel centre is left of `right`, without those whose last is left of `left`.
        # Should a splat be so large that either is NaN, it falls to the side that draws more.
        until = to_int(maximum(minimum((right - 0.5) * (1 / cell) + 1.0, 4.5), 0.0))
        before = to_int(minimum(maximum((left + 0.5) * (1 / cell) - 1e-5, 0.0), 4.0))
        columns = ((1 << until) - 1) & (-1 << before)
        bits = bits | (select(top <= bottom, columns, 0) << (4 * row))
    return bits


@part
def tile_span(low, high, tiles):
    """Return the first and last tile with a pixel centre in [low, high] px; last < first if none."""
    first = max((low + 0.5) / TILE - 1e-5, 0.0)
    last = min((high - 0.5) / TILE, tiles - 0.5)
    if not (first <= tiles and last >= 0.0):
        return 1, 0
    return int(first), int(last)


@part
def row_span(records, splat, row, columns):
    """Return the first and last tile of a row of tiles that a splat touches; last < first if none.

    In float64 and without contraction: everyone who asks gets the same answer.
    """
    at = splat * ROW
    u, v, half = (
        get_float(records, at + U),
        get_float(records, at + V),
        get_float(records, at + HALF_HEIGHT),
    )
    slope, chord = get_float(records, at + SLOPE), get_float(records, at + CHORD)
    tip = get_float(records, at + TIP)
    top = max(TILE * row + 0.5 - v, -1.0 * half)
    bottom = min(TILE * row + TILE - 0.5 - v, 1.0 * half)
    if top > bottom:
        return 1, 0
    y = min(max(1.0 * tip, top), bottom)
    right = u + MARGIN + slope * y + chord * math.sqrt(max(1.0 * half * half - y * y, 0.0))
    y = min(max(-1.0 * tip, top), bottom)
    left = u - MARGIN + slope * y - chord * math.sqrt(max(1.0 * half * half - y * y, 0.0))
    return tile_span(left, right, columns)


@part
def count_tiles(records, splat, columns, rows):
    """Count the tiles that a splat of any size touches."""
    total = 0
    v, half = get_float(records, splat * ROW + V), get_float(records, splat * ROW + HALF_HEIGHT)
    first_row, last_row = tile_span(v - 1.0 * half, v + 1.0 * half, rows)
    for row in range(first_row, last_row + 1):
        first, last = row_span(records, splat, row, columns)
        total += max(last - first + 1, 0)
    return total
