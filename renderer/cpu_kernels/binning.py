"""Stage 3: for each tile the splats that touch it, near to far.

Splats are walked in depth order, twice: once to count the entries of each tile, once to place them. Each
share of the splats has counts of its own, so that shares do not wait for each other.
"""

# ruff: noqa: ANN201 - numba infers the types of kernels from their arguments
# mypy: ignore-errors

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


_SQUARE = 0x33  # bits of the upper left 2 x 2 of a neighbourhood, where nearly all splats fit


@inlined
def _share(share, parts, frame, view):
    """Where a share of the sorted splats begins and ends, and where its counts begin."""
    total = get(frame.summary, TOTAL_VISIBLE)
    return total * share // parts, total * (share + 1) // parts, share * counts_row(view)


@inlined
def counts_row(view):
    """How far the counts of two shares are apart: a 2 x 2 square may reach past the last tile."""
    return view.columns * (view.rows + 1) + 1


@inlined
def _count(frame, at, yes):
    put(frame.counts, at, get(frame.counts, at) + yes)


@part
def _count_big(frame, view, splat, base):
    """Count a splat that touches more than 4 x 4 tiles."""
    v, half = (
        get_float(frame.records, splat * ROW + V),
        get_float(frame.records, splat * ROW + HALF_HEIGHT),
    )
    first_row, last_row = tile_span(v - 1.0 * half, v + 1.0 * half, view.rows)
    for row in range(first_row, last_row + 1):
        first, last = row_span(frame.records, splat, row, view.columns)
        for column in range(first, last + 1):
            _count(frame, base + row * view.columns + column, 1)


@part
def count_entries(share, parts, order, frame, view):
    """Count, for one share of the sorted splats, the entries of each tile."""
    begin, end, base = _share(share, parts, frame, view)
    for at in range(base, base + counts_row(view)):
        put(frame.counts, at, 0)
    for i in range(begin, end):
        prefetch(frame.tiles, 4 * (get(order, i + _AHEAD) & _NUMBER))
        splat = get(order, i) & _NUMBER
        touched = get(frame.tiles, 4 * splat + TOUCHED)
        first = base + get(frame.tiles, 4 * splat + FIRST_TILE)
        if touched & ~_SQUARE == 0:  # four steps without a branch
            _count(frame, first, touched & 1)
            _count(frame, first + 1, (touched >> 1) & 1)
            _count(frame, first + view.columns, (touched >> 4) & 1)
            _count(frame, first + view.columns + 1, touched >> 5)
        elif touched == BIG:
            _count_big(frame, view, splat, base)
        else:
            while touched:
                cell = lowest_bit(touched)
                touched &= touched - 1
                _count(frame, first + (cell >> 2) * view.columns + (cell & 3), 1)


@part
def add_up_entries(parts, frame, view):
    """Turn counts into where the first entry of each tile and share goes."""
    total, tiles = 0, view.columns * view.rows
    for tile in range(tiles):
        put(frame.starts, tile, total)
        for share in range(parts):
            at = share * counts_row(view) + tile
            here = get(frame.counts, at)
            put(frame.counts, at, total)
            total += here
    put(frame.starts, tiles, total)


@inlined
def _place(frame, at, splat, entry):
    place = get(frame.counts, at)
    put(frame.counts, at, place + 1)
    put(frame.lists, place, splat)
    put(frame.places, entry, place)


@part
def _place_big(frame, view, splat, base, entry):
    """Place a splat that touches more than 4 x 4 tiles."""
    v, half = (
        get_float(frame.records, splat * ROW + V),
        get_float(frame.records, splat * ROW + HALF_HEIGHT),
    )
    first_row, last_row = tile_span(v - 1.0 * half, v + 1.0 * half, view.rows)
    for row in range(first_row, last_row + 1):
        first, last = row_span(frame.records, splat, row, view.columns)
        for column in range(first, last + 1):
            _place(frame, base + row * view.columns + column, splat, entry)
            entry += 1


@part
def place_entries(share, parts, order, frame, view):
    """Write, for one share of the sorted splats, their numbers into the lists of their tiles."""
    begin, end, base = _share(share, parts, frame, view)
    for i in range(begin, end):
        prefetch(frame.tiles, 4 * (get(order, i + _AHEAD) & _NUMBER))
        splat = get(order, i) & _NUMBER
        touched = get(frame.tiles, 4 * splat + TOUCHED)
        entry = get(frame.tiles, 4 * splat + FIRST_ENTRY)
        entry += get(frame.chunks, splat // CHUNK * CHUNK_ROW + ENTRIES_BEFORE)
        if touched == BIG:
            _place_big(frame, view, splat, base, entry)
            continue
        first = base + get(frame.tiles, 4 * splat + FIRST_TILE)
        while touched:  # with branches: to store where nobody looks costs more
            cell = lowest_bit(touched)
            touched &= touched - 1
            _place(frame, first + (cell >> 2) * view.columns + (cell & 3), splat, entry)
            entry += 1
