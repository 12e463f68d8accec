"""Stage 1: sixteen splats at a time, from the world to the ellipses they cover (EWA splatting)."""

# ruff: noqa: ANN201 - numba infers the types of kernels from their arguments
# mypy: ignore-errors

from __future__ import annotations

from typing import NamedTuple

from renderer.cpu_kernels.coverage import MARGIN, count_tiles, touched_cells
from renderer.cpu_kernels.frame import (
    BIG,
    CENTER_X,
    CENTER_Y,
    CHUNK,
    CHUNK_ENTRIES,
    CHUNK_ROW,
    ENTRIES,
    FARTHEST,
    FIRST_ENTRY,
    FIRST_TILE,
    FOCAL,
    LIMIT_X,
    LIMIT_Y,
    NEAREST,
    ROW,
    TILE,
    TOUCHED,
    TRANSLATION,
    VISIBLE,
    inlined,
)
from renderer.cpu_kernels.memory import count_bits, get, put
from renderer.cpu_kernels.vec16 import (
    bits_of,
    broadcast,
    floor,
    load,
    load_rows3,
    load_rows4,
    log2,
    maximum,
    minimum,
    select,
    sqrt,
    store,
    store_columns,
    to_float,
    to_int,
)
from renderer.drawing import LOW_PASS, MIN_ALPHA, NEAR

LOG2_E = 1.4426950408889634
LOG2_255 = 7.994353436858858
_HUGE = 1e36  # a determinant beyond this, px⁴, is not drawn; nor is NaN


class Projected(NamedTuple):
    """Sixteen splats on their way; one vector each."""

    x: object  # camera space, world units
    y: object
    z: object
    inverse_z: object
    slope_x: object  # x/z and y/z, clamped near the picture
    slope_y: object
    quat: object  # normalised: w, x, y, z
    inverse_norm: object  # of the quaternion as given
    rotation: object  # of the splat, 9, row by row
    scales: object  # 3
    across: object  # 3: first row of Jacobian @ camera rotation, px per world unit
    down: object  # 3: second row
    axes_x: object  # 3: x on screen of the splat's scaled axes, px
    axes_y: object  # 3
    var_x: object  # px²
    cov: object
    var_y: object
    det: object  # px⁴


@inlined
def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@inlined
def _rotation(w, x, y, z):
    return (
        1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y),
        2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x),
        2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y),
    )  # fmt: skip


@inlined
def project(splats, camera, i):
    """Project splats i to i + 15. The names are those of `torch_backend.project`."""
    mean = load_rows3(splats.means, 3 * i)
    x = mean[0] * camera[0] + mean[1] * camera[1] + mean[2] * camera[2] + camera[TRANSLATION]
    y = mean[0] * camera[3] + mean[1] * camera[4] + mean[2] * camera[5] + camera[TRANSLATION + 1]
    z = mean[0] * camera[6] + mean[1] * camera[7] + mean[2] * camera[8] + camera[TRANSLATION + 2]
    inverse_z = 1.0 / z
    limit_x, limit_y = broadcast(camera, LIMIT_X), broadcast(camera, LIMIT_Y)
    slope_x = minimum(maximum(x * inverse_z, -limit_x), limit_x)
    slope_y = minimum(maximum(y * inverse_z, -limit_y), limit_y)

    q = load_rows4(splats.quats, 4 * i)
    inverse_norm = 1.0 / sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3])
    quat = (q[0] * inverse_norm, q[1] * inverse_norm, q[2] * inverse_norm, q[3] * inverse_norm)
    r = _rotation(quat[0], quat[1], quat[2], quat[3])
    s = load_rows3(splats.scales, 3 * i)

    # Jacobian @ camera rotation; the Jacobian's rows are g (1, 0, -slope_x) and g (0, 1, -slope_y).
    g = inverse_z * camera[FOCAL]
    gx, gy = g * slope_x, g * slope_y
    across = (
        g * camera[0] - gx * camera[6],
        g * camera[1] - gx * camera[7],
        g * camera[2] - gx * camera[8],
    )
    down = (
        g * camera[3] - gy * camera[6],
        g * camera[4] - gy * camera[7],
        g * camera[5] - gy * camera[8],
    )
    c0, c1, c2 = (r[0], r[3], r[6]), (r[1], r[4], r[7]), (r[2], r[5], r[8])
    a = (_dot(across, c0) * s[0], _dot(across, c1) * s[1], _dot(across, c2) * s[2])
    b = (_dot(down, c0) * s[0], _dot(down, c1) * s[1], _dot(down, c2) * s[2])

    xx, yy = _dot(a, a), _dot(b, b)
    # det(A Aᵀ) = |a x b|² (Cauchy and Binet): thin splats do not cancel.
    cross = (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
    det = _dot(cross, cross) + LOW_PASS * (xx + yy) + LOW_PASS * LOW_PASS
    return Projected(
        x, y, z, inverse_z, slope_x, slope_y, quat, inverse_norm, r, s, across, down, a, b,
        xx + LOW_PASS, _dot(a, b), yy + LOW_PASS, det,
    )  # fmt: skip


@inlined
def _first_and_last(center, half, side):
    """Tiles of the first and last pixel centre in center ± half; last < first if outside."""
    first = floor(maximum(minimum(center - half + 0.5, side), 0.0))
    last = floor(maximum(minimum(center + half - 0.5, side - 1.0), -1.0))
    empty = first > last
    return to_int(first) >> 4, select(empty, -1, to_int(last) >> 4), empty


@inlined
def _project_sixteen(i, splats, view, frame, lanes):
    """Write records i to i + 15; leave depth bits, first tiles and touched tiles in `lanes`."""
    p = project(splats, view.camera, i)
    opacity = load(splats.opacities, i)
    log_opacity = log2(maximum(opacity, 1e-8))
    # Squared Mahalanobis distance at which alpha is 1/255, with a little to spare.
    reach = maximum((log_opacity + LOG2_255) * (2.00004 / LOG2_E) + 1e-5, 0.0)
    half_width, half_height = sqrt(reach * p.var_x) + MARGIN, sqrt(reach * p.var_y) + MARGIN
    focal = view.camera[FOCAL]
    u = p.x * p.inverse_z * focal + view.camera[CENTER_X]
    v = p.y * p.inverse_z * focal + view.camera[CENTER_Y]
    inverse_det, inverse_var_y = 1.0 / p.det, 1.0 / p.var_y
    slope, chord = p.cov * inverse_var_y, sqrt(p.det) * inverse_var_y
    tip = p.cov / p.var_x * half_width
    color = load_rows3(splats.colors, 3 * i)
    conic_xx = p.var_y * inverse_det * (-0.5 * LOG2_E)
    conic_xy = p.cov * inverse_det * LOG2_E
    conic_yy = p.var_x * inverse_det * (-0.5 * LOG2_E)
    shape = (u, v, conic_xx, conic_xy, conic_yy, log_opacity)
    outline = (half_height, slope, chord, tip)
    record = (*shape, color[0], color[1], color[2], p.z, *outline)
    store_columns(frame.records, ROW * i, record)

    left, right, beside = _first_and_last(u, half_width, view.width * 1.0)
    top, bottom, above = _first_and_last(v, half_height, view.height * 1.0)
    corner_x, corner_y = to_float(left) * (1.0 * TILE), to_float(top) * (1.0 * TILE)
    touched = touched_cells(u - corner_x, v - corner_y, half_height, slope, chord, tip, 1.0 * TILE)
    # Only tiles of the picture: `right - left + 1` columns and `bottom - top + 1` rows.
    columns, rows = right - left + 1, bottom - top + 1
    touched = (
        touched
        & (((1 << minimum_int(columns, 4)) - 1) * 0x1111)
        & ((1 << minimum_int(4 * rows, 16)) - 1)
    )
    touched = select((columns > 4) | (rows > 4), BIG, touched)
    drawn = (p.z > NEAR) & (opacity >= MIN_ALPHA) & (p.det <= _HUGE)
    touched = select(drawn, select(beside | above, 0, touched), 0)
    store(lanes, 0, bits_of(p.z))
    store(lanes, 16, top * view.columns + left)
    store(lanes, 32, touched)


@inlined
def minimum_int(a, b):
    """The smaller of two integers, lane by lane."""
    return select(a < b, a, b)


@inlined
def project_chunk(chunk, splats, view, frame, lanes):
    """Project one chunk; list its visible splats with their depths, and count their tiles."""
    count = splats.opacities.size
    begin, end = chunk * CHUNK, min(chunk * CHUNK + CHUNK, count)
    visible, entries, nearest, farthest = begin, 0, 0x7FFFFFFF, 0
    for start in range(begin, end, 16):
        i = min(
            start, count - 16
        )  # the last sixteen may overlap those before: written twice, equally
        _project_sixteen(i, splats, view, frame, lanes)
        for lane in range(start - i, 16):
            key, touched = get(lanes, lane), get(lanes, 32 + lane)
            tiles = count_bits(touched & 0xFFFF)
            if touched == BIG:
                tiles = count_tiles(frame.records, i + lane, view.columns, view.rows)
            row = 4 * (i + lane)
            put(frame.tiles, row + FIRST_TILE, get(lanes, 16 + lane))
            put(frame.tiles, row + TOUCHED, touched)
            put(frame.tiles, row + FIRST_ENTRY, entries)
            put(frame.tiles, row + ENTRIES, tiles)
            entries += tiles
            put(frame.pairs, visible, (key << 32) | (i + lane))
            if tiles > 0:
                visible += 1
                nearest, farthest = min(nearest, key), max(farthest, key)
    row = chunk * CHUNK_ROW
    put(frame.chunks, row + VISIBLE, visible - begin)
    put(frame.chunks, row + CHUNK_ENTRIES, entries)
    put(frame.chunks, row + NEAREST, nearest)
    put(frame.chunks, row + FARTHEST, farthest)
