"""Stage 3: for each tile the splats that touch it, near to far.

Splats are walked in depth order, twice: once to count the entries of each tile, once to place them. Each
share of the splats has counts of its own, so that shares do not wait for each other.
"""

from __future__ import annotations

from renderer.cpu_kernels.coverage import row_span, tile_span
from renderer.cpu_kernels.frame import (
    BIG,
    CHUNK,
    CHUNK_ROW,
    ENTRIES_BEFORE,
    FIRST_ENTRY,
    FIRST_TILE,
    HALF_HEIGHT,
    ROW,
    TOTAL_VISIBLE,
    TOUCHED,
    V,
    inlined,
    part,
)
from renderer.cpu_kernels.memory import get, get_float, lowest_bit, prefetch, put

_AHEAD = 24  # splats fetched before they are needed
_NUMBER = 0xFFFFFFFF  # of a pair: the splat's


@inlined
def _count(frame, at):
    put(frame.counts, at, get(frame.counts, at) + 1)


@inlined
def _place(frame, at, splat, entry):
    place = get(frame.counts, at)
    put(frame.counts, at, place + 1)
    put(frame.lists, place, splat)
    put(frame.places, entry, place)


@part
def _visit_big(frame, view, splat, base, entry):
    """Count (entry < 0) or place a splat that touches more than 4 x 4 tiles."""
    v, half = (
        get_float(frame.records, splat * ROW + V),
        get_float(frame.records, splat * ROW + HALF_HEIGHT),
    )
    first_row, last_row = tile_span(v - 1.0 * half, v + 1.0 * half, view.rows)
    for row in range(first_row, last_row + 1):
        first, last = row_span(frame.records, splat, row, view.columns)
        for column in range(first, last + 1):
            at = base + row * view.columns + column
            if entry < 0:
                _count(frame, at)
            else:
                _place(frame, at, splat, entry)
                entry += 1


@inlined
def _share(share, parts, frame):
    total = get(frame.summary, TOTAL_VISIBLE)
    return total * share // parts, total * (share + 1) // parts, total


@part
def count_entries(share, parts, order, frame, view):  # noqa: ANN201
    """Count, for one share of the sorted splats, the entries of each tile."""
    tiles = view.columns * view.rows
    base = share * tiles
    for tile in range(tiles):
        put(frame.counts, base + tile, 0)
    begin, end, total = _share(share, parts, frame)
    for i in range(begin, end):
        prefetch(frame.tiles, 4 * (get(order, min(i + _AHEAD, total - 1)) & _NUMBER))
        splat = get(order, i) & _NUMBER
        touched = get(frame.tiles, 4 * splat + TOUCHED)
        if touched == BIG:
            _visit_big(frame, view, splat, base, -1)
            continue
        first = base + get(frame.tiles, 4 * splat + FIRST_TILE)
        while touched:
            cell = lowest_bit(touched)
            touched &= touched - 1
            _count(frame, first + (cell >> 2) * view.columns + (cell & 3))


@part
def add_up_entries(parts, frame, tiles):  # noqa: ANN201
    """Turn counts into where the first entry of each tile and share goes."""
    total = 0
    for tile in range(tiles):
        put(frame.starts, tile, total)
        for share in range(parts):
            here = get(frame.counts, share * tiles + tile)
            put(frame.counts, share * tiles + tile, total)
            total += here
    put(frame.starts, tiles, total)


@part
def place_entries(share, parts, order, frame, view):  # noqa: ANN201
    """Write, for one share of the sorted splats, their numbers into the lists of their tiles."""
    base = share * view.columns * view.rows
    begin, end, total = _share(share, parts, frame)
    for i in range(begin, end):
        prefetch(frame.tiles, 4 * (get(order, min(i + _AHEAD, total - 1)) & _NUMBER))
        splat = get(order, i) & _NUMBER
        touched = get(frame.tiles, 4 * splat + TOUCHED)
        entry = get(frame.tiles, 4 * splat + FIRST_ENTRY)
        entry += get(frame.chunks, splat // CHUNK * CHUNK_ROW + ENTRIES_BEFORE)
        if touched == BIG:
            _visit_big(frame, view, splat, base, entry)
            continue
        first = base + get(frame.tiles, 4 * splat + FIRST_TILE)
        while touched:
            cell = lowest_bit(touched)
            touched &= touched - 1
            _place(frame, first + (cell >> 2) * view.columns + (cell & 3), splat, entry)
            entry += 1
