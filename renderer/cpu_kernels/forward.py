"""Stage 4: composite the splats of a tile, near to far.

A tile's splats are fetched in batches. For each batch one pass finds out which of the tile's sixteen
blocks each splat touches; then each block, whose sixteen pixels are the lanes of one vector, runs through
its own splats only. A block leaves when all its pixels are finished.
"""

# ruff: noqa: ANN201 - numba infers the types of kernels from their arguments
# mypy: ignore-errors

from __future__ import annotations

from renderer.cpu_kernels.coverage import touched_cells
from renderer.cpu_kernels.frame import (
    BATCH,
    BLUE,
    CHORD,
    DEPTH,
    GREEN,
    HALF_HEIGHT,
    LOG_OPACITY,
    RED,
    ROW,
    SLOPE,
    TILE,
    TIP,
    XX,
    XY,
    YY,
    U,
    V,
    inlined,
    part,
)
from renderer.cpu_kernels.memory import (
    count_bits,
    get,
    get_float,
    prefetch,
    put_float,
)
from renderer.cpu_kernels.projection import LOG2_255
from renderer.cpu_kernels.vec16 import (
    any_lane,
    block_x,
    block_y,
    broadcast,
    exp2,
    lane_numbers,
    load,
    load_columns,
    minimum,
    ones,
    select,
    store,
    store_bit_planes,
    store_block,
    store_numbers,
    zeros,
)
from renderer.drawing import MAX_ALPHA, MIN_TRANSMITTANCE

STATE = 8 * 16  # float32 of state per block
_TRANSMITTANCE, _CLEAR, _RED, _GREEN, _BLUE, _DEPTH = range(0, 6 * 16, 16)
_GROUP = 8  # splats between two looks whether a block is finished
_AHEAD = 24  # splats fetched before they are needed


@part
def fetch_batch(frame, begin, count, left, top, scratch):
    """Copy a batch of a tile's records together and find the blocks each one touches."""
    for k in range(0, count, 16):
        for lane in range(16):
            at = begin + min(k + lane, count - 1)
            prefetch(frame.records, get(frame.lists, at + _AHEAD) * ROW)
            store(
                scratch.records, (k + lane) * ROW, load(frame.records, get(frame.lists, at) * ROW)
            )
        r = load_columns(scratch.records, k * ROW)
        touched = touched_cells(
            r[U] - left, r[V] - top, r[HALF_HEIGHT], r[SLOPE], r[CHORD], r[TIP], 0.25 * TILE
        )
        touched = select(lane_numbers() < count - k, touched, 0)
        store_bit_planes(scratch.bits, k // 16, BATCH // 16, touched)


@inlined
def list_hits(block, count, scratch):
    """List the records of a batch that touch a block; return how many."""
    hits = 0
    for group in range((count + 15) // 16):
        bits = get(scratch.bits, BATCH // 16 * block + group) & 0xFFFF
        store_numbers(scratch.hits, hits, bits, 16 * ROW * group, ROW)
        hits += count_bits(bits)
    return hits


@inlined
def power(scratch, at, x, y):
    """log2 of the alpha that a record has at pixels (x, y)."""
    records = scratch.records
    dx, dy = x - broadcast(records, at + U), y - broadcast(records, at + V)
    linear = dx * broadcast(records, at + XX) + dy * broadcast(records, at + XY)
    return dy * (dy * broadcast(records, at + YY)) + (
        dx * linear + broadcast(records, at + LOG_OPACITY)
    )


@inlined
def _composite_block(block, hits, x, y, scratch):
    """Lay one block's splats over what it has; return whether any of its pixels is unfinished.

    The transmittance goes on falling after a pixel is finished, which keeps it finished.
    """
    state, records, base = scratch.blocks, scratch.records, block * STATE
    transmittance, clear = load(state, base + _TRANSMITTANCE), load(state, base + _CLEAR)
    red, green, blue = (
        load(state, base + _RED),
        load(state, base + _GREEN),
        load(state, base + _BLUE),
    )
    depth = load(state, base + _DEPTH)
    k, alive = 0, True
    while alive and k < hits:
        until = min(k + _GROUP, hits)
        while k < until:
            at = get(scratch.hits, k)
            k += 1
            q = power(scratch, at, x, y)
            alpha = select(q >= -LOG2_255, minimum(exp2(q), MAX_ALPHA), 0.0)
            after = transmittance * (1.0 - alpha)
            weight = select(after > MIN_TRANSMITTANCE, alpha * transmittance, 0.0)
            clear = select(after > MIN_TRANSMITTANCE, after, clear)
            transmittance = after
            red = red + weight * broadcast(records, at + RED)
            green = green + weight * broadcast(records, at + GREEN)
            blue = blue + weight * broadcast(records, at + BLUE)
            depth = depth + weight * broadcast(records, at + DEPTH)
        alive = any_lane(transmittance > MIN_TRANSMITTANCE)
    store(state, base + _TRANSMITTANCE, transmittance)
    store(state, base + _CLEAR, clear)
    store(state, base + _RED, red)
    store(state, base + _GREEN, green)
    store(state, base + _BLUE, blue)
    store(state, base + _DEPTH, depth)
    return alive


@part
def paint_tile(tile, frame, view, layers, scratch):
    """Composite one tile and write its pixels."""
    left, top = tile % view.columns * TILE, tile // view.columns * TILE
    for block in range(16):
        base = block * STATE
        store(scratch.blocks, base + _TRANSMITTANCE, ones())
        store(scratch.blocks, base + _CLEAR, ones())
        for plane in (_RED, _GREEN, _BLUE, _DEPTH):
            store(scratch.blocks, base + plane, zeros())
    begin, end = get(frame.starts, tile), get(frame.starts, tile + 1)
    alive = 0xFFFF  # one bit per block
    while begin < end and alive:
        count = min(BATCH, end - begin)
        fetch_batch(frame, begin, count, 1.0 * left, 1.0 * top, scratch)
        for block in range(16):
            if (alive >> block) & 1:
                hits = list_hits(block, count, scratch)
                x = block_x() + (1.0 * left + 4.0 * (block & 3))
                y = block_y() + (1.0 * top + 4.0 * (block >> 2))
                if not _composite_block(block, hits, x, y, scratch):
                    alive &= ~(1 << block)
        begin += count
    _write_tile(left, top, view, layers, scratch)


@part
def _write_tile(left, top, view, layers, scratch):
    """Add the background and write the pixels of a tile that are in the picture."""
    width, height, plane = view.width, view.height, view.width * view.height
    for block in range(16):
        x, y, base = left + 4 * (block & 3), top + 4 * (block >> 2), block * STATE
        if x >= width or y >= height:
            continue
        clear = load(scratch.blocks, base + _CLEAR)
        red = load(scratch.blocks, base + _RED) + clear * broadcast(view.background, 0)
        green = load(scratch.blocks, base + _GREEN) + clear * broadcast(view.background, 1)
        blue = load(scratch.blocks, base + _BLUE) + clear * broadcast(view.background, 2)
        depth, alpha = load(scratch.blocks, base + _DEPTH), 1.0 - clear
        at = y * width + x
        if x + 4 <= width and y + 4 <= height:
            store_block(layers.color, at, width, red)
            store_block(layers.color, plane + at, width, green)
            store_block(layers.color, 2 * plane + at, width, blue)
            store_block(layers.depth, at, width, depth)
            store_block(layers.alpha, at, width, alpha)
        else:
            _write_part(x, y, view, layers.color, 0, red, scratch.first)
            _write_part(x, y, view, layers.color, plane, green, scratch.first)
            _write_part(x, y, view, layers.color, 2 * plane, blue, scratch.first)
            _write_part(x, y, view, layers.depth, 0, depth, scratch.first)
            _write_part(x, y, view, layers.alpha, 0, alpha, scratch.first)


@part
def _write_part(x, y, view, plane, offset, value, lanes):  # noqa: PLR0913
    """Write those pixels of a block that are in the picture."""
    store(lanes, 0, value)
    for row in range(min(4, view.height - y)):
        for column in range(min(4, view.width - x)):
            put_float(
                plane,
                offset + (y + row) * view.width + x + column,
                get_float(lanes, 4 * row + column),
            )
