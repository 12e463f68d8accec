"""Backward, stage 1: from gradients of pixels to sums over pixels, tile by tile, near to far again.

Per pixel, with upstream gradients v of colour and depth, contribution u_i = v · (color_i, depth_i) and
weight w_i, what lies behind splat i is S_i = S_{i-1} - w_i u_i, beginning with S = v · (the pixel as it
was drawn, background and all) - v_alpha (1 - alpha). Then

    dL/dalpha_i = T_i u_i - S_i / (1 - alpha_i)        g_i = alpha_i dL/dalpha_i

and every gradient of the splat follows from ten sums over its pixels, which make up its line for this tile:
g, g x, g y, g x², g x y, g y² (x, y from the splat's centre), and w times each of the four v.
Nothing is kept from the forward pass but the picture and the lists.
"""

# ruff: noqa: ANN201 - numba infers the types of kernels from their arguments
# mypy: ignore-errors

from __future__ import annotations

from renderer.cpu_kernels.forward import fetch_batch, list_hits, power
from renderer.cpu_kernels.frame import (
    BATCH,
    BLUE,
    DEPTH,
    GREEN,
    RED,
    ROW,
    TILE,
    U,
    V,
    inlined,
    part,
)
from renderer.cpu_kernels.memory import get, get_float, put_float
from renderer.cpu_kernels.projection import LOG2_255
from renderer.cpu_kernels.vec16 import (
    any_lane,
    block_x,
    block_y,
    broadcast,
    dot_columns,
    exp2,
    load,
    load_block,
    load_columns,
    minimum,
    ones,
    select,
    store,
    store_columns,
    zeros,
)
from renderer.drawing import MAX_ALPHA, MIN_TRANSMITTANCE

STATE = 8 * 16  # float32 of state per block
_TRANSMITTANCE, _BEHIND, _V_RED, _V_GREEN, _V_BLUE, _V_DEPTH, _CENTER_U, _CENTER_V = range(
    0, STATE, 16
)


@inlined
def _pixel_gradients(block, begin, end, x, y, scratch):
    """Run up to sixteen splats over a block: leave g in `scratch.first` and w in `scratch.second`."""
    state, records, base = scratch.blocks, scratch.records, block * STATE
    transmittance, behind = load(state, base + _TRANSMITTANCE), load(state, base + _BEHIND)
    v_red, v_green = load(state, base + _V_RED), load(state, base + _V_GREEN)
    v_blue, v_depth = load(state, base + _V_BLUE), load(state, base + _V_DEPTH)
    for k in range(begin, end):
        at, row = get(scratch.hits, k), 16 * (k - begin)
        q = power(scratch, at, x, y)
        full = exp2(q)
        alpha = select(q >= -LOG2_255, minimum(full, MAX_ALPHA), 0.0)
        clear = 1.0 - alpha
        after = transmittance * clear
        drawn = after > MIN_TRANSMITTANCE
        weight = select(drawn, alpha * transmittance, 0.0)
        u = v_red * broadcast(records, at + RED) + v_green * broadcast(records, at + GREEN)
        u = u + v_blue * broadcast(records, at + BLUE) + v_depth * broadcast(records, at + DEPTH)
        behind = behind - weight * u
        g = alpha * (transmittance * u - behind / clear)
        store(scratch.first, row, select(drawn, select(full <= MAX_ALPHA, g, 0.0), 0.0))
        store(scratch.second, row, weight)
        put_float(state, base + _CENTER_U + k - begin, get_float(records, at + U))
        put_float(state, base + _CENTER_V + k - begin, get_float(records, at + V))
        transmittance = after
    for k in range(end - begin, 16):
        store(scratch.first, 16 * k, zeros())
        store(scratch.second, 16 * k, zeros())
    store(state, base + _TRANSMITTANCE, transmittance)
    store(state, base + _BEHIND, behind)
    return any_lane(transmittance > MIN_TRANSMITTANCE)


@inlined
def _sum_row(g0, g1, g2, g3):
    return g0 + g1 + g2 + g3, g1 + 2.0 * g2 + 3.0 * g3, g1 + 4.0 * g2 + 9.0 * g3


@inlined
def _sum_pixels(block, left, top, scratch):
    """Sum what `_pixel_gradients` left; write sixteen lines, one per splat, to `scratch.first`.

    The 16x16 matrices are turned, so that a lane is a splat and a sum over pixels needs no reduction.
    """
    state, base = scratch.blocks, block * STATE
    g = load_columns(scratch.first, 0)
    # Sums of g, g x and g x² along the four rows; x and y are 0 to 3, from the block's first pixel.
    row0, row0_x, row0_xx = _sum_row(g[0], g[1], g[2], g[3])
    row1, row1_x, row1_xx = _sum_row(g[4], g[5], g[6], g[7])
    row2, row2_x, row2_xx = _sum_row(g[8], g[9], g[10], g[11])
    row3, row3_x, row3_xx = _sum_row(g[12], g[13], g[14], g[15])
    total, sum_x = row0 + row1 + row2 + row3, row0_x + row1_x + row2_x + row3_x
    sum_y, sum_xx = row1 + 2.0 * row2 + 3.0 * row3, row0_xx + row1_xx + row2_xx + row3_xx
    sum_xy, sum_yy = row1_x + 2.0 * row2_x + 3.0 * row3_x, row1 + 4.0 * row2 + 9.0 * row3
    w = load_columns(scratch.second, 0)
    red, green = dot_columns(w, state, base + _V_RED), dot_columns(w, state, base + _V_GREEN)
    blue, depth = dot_columns(w, state, base + _V_BLUE), dot_columns(w, state, base + _V_DEPTH)
    # From the block's first pixel to the splat's centre.
    dx, dy = (
        (left + 0.5) - load(state, base + _CENTER_U),
        (top + 0.5) - load(state, base + _CENTER_V),
    )
    moved_x, moved_y = sum_x + dx * total, sum_y + dy * total
    moved_xx = sum_xx + dx * (sum_x + moved_x)
    moved_xy = sum_xy + dx * sum_y + dy * moved_x
    moved_yy = sum_yy + dy * (sum_y + moved_y)
    line = (total, moved_x, moved_y, moved_xx, moved_xy, moved_yy, red, green, blue, depth)
    store_columns(scratch.first, 0, line)


@inlined
def _differentiate_block(block, hits, left, top, first_line, scratch, lines):  # noqa: PLR0913
    """Add one block's sums to the lines of a batch; return whether any of its pixels is unfinished."""
    x, y = block_x() + left, block_y() + top
    for begin in range(0, hits, 16):
        end = min(begin + 16, hits)
        alive = _pixel_gradients(block, begin, end, x, y, scratch)
        _sum_pixels(block, left, top, scratch)
        for k in range(begin, end):
            line = first_line + get(scratch.hits, k)
            store(lines, line, load(lines, line) + load(scratch.first, 16 * (k - begin)))
        if not alive:
            return False
    return True


@part
def differentiate_tile(tile, frame, view, layers, upstream, lines, scratch):  # noqa: PLR0913
    """Write the lines of all entries of one tile."""
    begin, end = get(frame.starts, tile), get(frame.starts, tile + 1)
    if begin == end:
        return
    left, top = tile % view.columns * TILE, tile // view.columns * TILE
    for block in range(16):
        _load_pixels(
            block, left + 4 * (block & 3), top + 4 * (block >> 2), view, layers, upstream, scratch
        )
    alive = 0xFFFF  # one bit per block
    while begin < end and alive:
        count = min(BATCH, end - begin)
        fetch_batch(frame, begin, count, 1.0 * left, 1.0 * top, scratch)
        for k in range(begin, begin + count):
            store(lines, k * ROW, zeros())
        for block in range(16):
            if (alive >> block) & 1:
                hits = list_hits(block, count, scratch)
                x, y = 1.0 * left + 4.0 * (block & 3), 1.0 * top + 4.0 * (block >> 2)
                if not _differentiate_block(block, hits, x, y, begin * ROW, scratch, lines):
                    alive &= ~(1 << block)
        begin += count
    for k in range(begin, end):
        store(lines, k * ROW, zeros())


@part
def _load_pixels(block, x, y, view, layers, upstream, scratch):  # noqa: PLR0913
    """Begin a block: upstream gradients, and all that lies behind its nearest splat."""
    state, base = scratch.blocks, block * STATE
    width, height, plane = view.width, view.height, view.width * view.height
    if x + 4 <= width and y + 4 <= height:
        at = y * width + x
        v_red, v_green = (
            load_block(upstream.color, at, width),
            load_block(upstream.color, plane + at, width),
        )
        v_blue, v_depth = (
            load_block(upstream.color, 2 * plane + at, width),
            load_block(upstream.depth, at, width),
        )
        behind = v_red * load_block(layers.color, at, width)
        behind = behind + v_green * load_block(layers.color, plane + at, width)
        behind = behind + v_blue * load_block(layers.color, 2 * plane + at, width)
        behind = behind + v_depth * load_block(layers.depth, at, width)
        clear = 1.0 - load_block(layers.alpha, at, width)
        store(state, base + _TRANSMITTANCE, ones())
        store(state, base + _BEHIND, behind - clear * load_block(upstream.alpha, at, width))
        store(state, base + _V_RED, v_red)
        store(state, base + _V_GREEN, v_green)
        store(state, base + _V_BLUE, v_blue)
        store(state, base + _V_DEPTH, v_depth)
        return
    for vector in range(6):  # pixels outside of the picture have no transmittance and want nothing
        store(state, base + 16 * vector, zeros())
    for row in range(min(4, height - y)):
        for column in range(min(4, width - x)):
            pixel, at = base + 4 * row + column, (y + row) * width + x + column
            v_depth = get_float(upstream.depth, at)
            behind = v_depth * get_float(layers.depth, at)
            for channel in range(3):
                v_color = get_float(upstream.color, channel * plane + at)
                behind += v_color * get_float(layers.color, channel * plane + at)
                put_float(state, pixel + _V_RED + 16 * channel, v_color)
            behind += (get_float(layers.alpha, at) - 1.0) * get_float(upstream.alpha, at)
            put_float(state, pixel + _TRANSMITTANCE, 1.0)
            put_float(state, pixel + _BEHIND, behind)
            put_float(state, pixel + _V_DEPTH, v_depth)
