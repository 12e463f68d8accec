"""Backward, stage 2: from sums over pixels to gradients of splats and of the camera's pose.

Names as in `projection.py`; v_x is the gradient of the loss with respect to x.
"""

# ruff: noqa: ANN201 - numba infers the types of kernels from their arguments
# mypy: ignore-errors

from __future__ import annotations

from renderer.cpu_kernels.frame import (
    CHUNK,
    CHUNK_ROW,
    ENTRIES,
    ENTRIES_BEFORE,
    FIRST_ENTRY,
    FOCAL,
    LIMIT_X,
    LIMIT_Y,
    POSE_ROW,
    ROW,
    inlined,
    part,
)
from renderer.cpu_kernels.memory import get, prefetch, put_float
from renderer.cpu_kernels.projection import project
from renderer.cpu_kernels.vec16 import (
    broadcast,
    lane_numbers,
    load,
    load_columns,
    load_rows3,
    maximum,
    select,
    store,
    store_rows3,
    store_rows4,
    zeros,
)

MEANS, QUATS, SCALES, OPACITIES, COLORS, POSE = range(6)  # in `Gradients.wanted`
_AHEAD = 32  # lines fetched before they are needed


@inlined
def _gather_lines(i, frame, gradients, scratch):
    """Add up the lines of splats i to i + 15; return sixteen sums and which splats were drawn."""
    for lane in range(16):
        row = 4 * (i + lane)
        entries = get(frame.tiles, row + ENTRIES)
        first = get(frame.tiles, row + FIRST_ENTRY)
        first += get(frame.chunks, (i + lane) // CHUNK * CHUNK_ROW + ENTRIES_BEFORE)
        total = zeros()
        for entry in range(first, first + entries):
            prefetch(gradients.lines, get(frame.places, entry + _AHEAD) * ROW)
            total = total + load(gradients.lines, get(frame.places, entry) * ROW)
        store(scratch.first, 16 * lane, total)
        put_float(scratch.second, lane, 1.0 if entries > 0 else 0.0)
    return load_columns(scratch.first, 0), load(scratch.second, 0) > 0.5


@inlined
def _masked3(drawn, a, b, c):
    return select(drawn, a, 0.0), select(drawn, b, 0.0), select(drawn, c, 0.0)


@inlined
def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@inlined
def _axes_gradients(p, sums):
    """Return the gradients of `axes_x` and `axes_y`, through the conic (a, b; b, c) = covariance⁻¹."""
    inverse_det = 1.0 / p.det
    a, b, c = p.var_y * inverse_det, -(p.cov * inverse_det), p.var_x * inverse_det
    # V is the conic's gradient; the covariance's is G = -K V K.
    v_a, v_b, v_c = sums[3] * -0.5, sums[4] * -0.5, sums[5] * -0.5
    k00, k01, k10, k11 = a * v_a + b * v_b, a * v_b + b * v_c, b * v_a + c * v_b, b * v_b + c * v_c
    g00, g01, g11 = (
        (k00 * a + k01 * b) * -2.0,
        (k00 * b + k01 * c) * -2.0,
        (k10 * b + k11 * c) * -2.0,
    )
    x, y = p.axes_x, p.axes_y
    v_x = (g00 * x[0] + g01 * y[0], g00 * x[1] + g01 * y[1], g00 * x[2] + g01 * y[2])
    v_y = (g01 * x[0] + g11 * y[0], g01 * x[1] + g11 * y[1], g01 * x[2] + g11 * y[2])
    return v_x, v_y


@inlined
def _quat_gradient(p, m):
    """From the gradient m of the rotation matrix to that of the quaternion as given."""
    w, x, y, z = p.quat[0], p.quat[1], p.quat[2], p.quat[3]
    n0 = 2.0 * (x * (m[7] - m[5]) + y * (m[2] - m[6]) + z * (m[3] - m[1]))
    n1 = 2.0 * (y * (m[1] + m[3]) - 2.0 * x * (m[4] + m[8]) + z * (m[2] + m[6]) + w * (m[7] - m[5]))
    n2 = 2.0 * (x * (m[1] + m[3]) - 2.0 * y * (m[0] + m[8]) + z * (m[5] + m[7]) + w * (m[2] - m[6]))
    n3 = 2.0 * (x * (m[2] + m[6]) + y * (m[5] + m[7]) - 2.0 * z * (m[0] + m[4]) + w * (m[3] - m[1]))
    along = n0 * w + n1 * x + n2 * y + n3 * z  # the length does not matter
    s = p.inverse_norm
    return (n0 - w * along) * s, (n1 - x * along) * s, (n2 - y * along) * s, (n3 - z * along) * s


@inlined
def _point_gradient(p, sums, v_across, v_down, camera):
    """Return the gradient of the splat's centre in camera space."""
    inverse_det = 1.0 / p.det
    a, b, c = p.var_y * inverse_det, -(p.cov * inverse_det), p.var_x * inverse_det
    v_u, v_v = a * sums[1] + b * sums[2], b * sums[1] + c * sums[2]
    row0, row1 = (camera[0], camera[1], camera[2]), (camera[3], camera[4], camera[5])
    row2 = (camera[6], camera[7], camera[8])
    # across = g (row0 - slope_x row2) and down = g (row1 - slope_y row2), with g = focal / z.
    g = p.inverse_z * camera[FOCAL]
    v_slope_x, v_slope_y = -(g * _dot(v_across, row2)), -(g * _dot(v_down, row2))
    v_g = (
        _dot(v_across, row0)
        + _dot(v_down, row1)
        - (p.slope_x * _dot(v_across, row2) + p.slope_y * _dot(v_down, row2))
    )
    # The slopes are x/z and y/z unless clamped; u and v are focal times those.
    x, y = p.x * p.inverse_z, p.y * p.inverse_z
    limit_x, limit_y = broadcast(camera, LIMIT_X), broadcast(camera, LIMIT_Y)
    v_x = v_u * camera[FOCAL] + select((x >= -limit_x) & (x <= limit_x), v_slope_x, 0.0)
    v_y = v_v * camera[FOCAL] + select((y >= -limit_y) & (y <= limit_y), v_slope_y, 0.0)
    v_z = sums[9] - p.inverse_z * (x * v_x + y * v_y + g * v_g)
    return p.inverse_z * v_x, p.inverse_z * v_y, v_z


@inlined
def _add_pose(row, fresh, splats, i, p, v_point, v_across, v_down, camera, pose):  # noqa: PLR0913
    """Add to the sums for the camera: v_t = v_point, v_R = v_point meanᵀ + Jacobianᵀ (v_across; v_down)."""
    mean = load_rows3(splats.means, 3 * i)
    g = p.inverse_z * camera[FOCAL]
    gx, gy = g * p.slope_x, g * p.slope_y
    for k in range(3):
        third = gx * v_across[k] + gy * v_down[k]
        _add(pose, row + 16 * k, fresh, v_point[0] * mean[k] + g * v_across[k])
        _add(pose, row + 16 * (3 + k), fresh, v_point[1] * mean[k] + g * v_down[k])
        _add(pose, row + 16 * (6 + k), fresh, v_point[2] * mean[k] - third)
        _add(pose, row + 16 * (9 + k), fresh, v_point[k])


@inlined
def _add(pose, at, fresh, value):
    store(pose, at, load(pose, at) + select(fresh, value, 0.0))


@inlined
def _differentiate_shape(chunk, i, fresh, sums, drawn, splats, view, gradients):  # noqa: PLR0913
    """Write the gradients of means, quaternions and scales of sixteen splats, and add to the pose's."""
    camera, wanted, into = view.camera, gradients.wanted, gradients.splats
    p = project(splats, camera, i)
    r, s = p.rotation, p.scales
    v_x, v_y = _axes_gradients(p, sums)
    # axes = (across; down) @ M with M = rotation @ diag(scales).
    x = (v_x[0] * s[0], v_x[1] * s[1], v_x[2] * s[2])
    y = (v_y[0] * s[0], v_y[1] * s[1], v_y[2] * s[2])
    r0, r1, r2 = (r[0], r[1], r[2]), (r[3], r[4], r[5]), (r[6], r[7], r[8])
    v_across, v_down = (
        (_dot(x, r0), _dot(x, r1), _dot(x, r2)),
        (_dot(y, r0), _dot(y, r1), _dot(y, r2)),
    )
    a, d = p.across, p.down
    m0 = (
        a[0] * v_x[0] + d[0] * v_y[0],
        a[0] * v_x[1] + d[0] * v_y[1],
        a[0] * v_x[2] + d[0] * v_y[2],
    )
    m1 = (
        a[1] * v_x[0] + d[1] * v_y[0],
        a[1] * v_x[1] + d[1] * v_y[1],
        a[1] * v_x[2] + d[1] * v_y[2],
    )
    m2 = (
        a[2] * v_x[0] + d[2] * v_y[0],
        a[2] * v_x[1] + d[2] * v_y[1],
        a[2] * v_x[2] + d[2] * v_y[2],
    )
    if get(wanted, SCALES):
        v0 = m0[0] * r[0] + m1[0] * r[3] + m2[0] * r[6]
        v1 = m0[1] * r[1] + m1[1] * r[4] + m2[1] * r[7]
        v2 = m0[2] * r[2] + m1[2] * r[5] + m2[2] * r[8]
        store_rows3(into.scales, 3 * i, _masked3(drawn, v0, v1, v2))
    if get(wanted, QUATS):
        v_rotation = (
            m0[0] * s[0], m0[1] * s[1], m0[2] * s[2],
            m1[0] * s[0], m1[1] * s[1], m1[2] * s[2],
            m2[0] * s[0], m2[1] * s[1], m2[2] * s[2],
        )  # fmt: skip
        q = _quat_gradient(p, v_rotation)
        q0, q1, q2 = _masked3(drawn, q[0], q[1], q[2])
        store_rows4(into.quats, 4 * i, (q0, q1, q2, select(drawn, q[3], 0.0)))
    if get(wanted, MEANS) or get(wanted, POSE):
        v = _point_gradient(p, sums, v_across, v_down, camera)
        if get(wanted, MEANS):
            v0 = v[0] * camera[0] + v[1] * camera[3] + v[2] * camera[6]
            v1 = v[0] * camera[1] + v[1] * camera[4] + v[2] * camera[7]
            v2 = v[0] * camera[2] + v[1] * camera[5] + v[2] * camera[8]
            store_rows3(into.means, 3 * i, _masked3(drawn, v0, v1, v2))
        if get(wanted, POSE):
            row = chunk * POSE_ROW
            _add_pose(row, fresh & drawn, splats, i, p, v, v_across, v_down, camera, gradients.pose)


@part
def differentiate_chunk(chunk, splats, view, frame, gradients, scratch):
    """Write the wanted gradients of one chunk of splats; zero for those that were not drawn."""
    count, wanted = splats.opacities.size, gradients.wanted
    shape = get(wanted, MEANS) | get(wanted, QUATS) | get(wanted, SCALES) | get(wanted, POSE)
    if get(wanted, POSE):
        for at in range(chunk * POSE_ROW, (chunk + 1) * POSE_ROW, 16):
            store(gradients.pose, at, zeros())
    for start in range(chunk * CHUNK, min(chunk * CHUNK + CHUNK, count), 16):
        i = min(
            start, count - 16
        )  # the last sixteen may overlap those before: written twice, equally
        sums, drawn = _gather_lines(i, frame, gradients, scratch)
        if get(wanted, OPACITIES):
            v_opacity = sums[0] / maximum(load(splats.opacities, i), 1e-8)
            store(gradients.splats.opacities, i, select(drawn, v_opacity, 0.0))
        if get(wanted, COLORS):
            store_rows3(gradients.splats.colors, 3 * i, (sums[6], sums[7], sums[8]))
        if shape:
            fresh = lane_numbers() >= start - i
            _differentiate_shape(chunk, i, fresh, sums, drawn, splats, view, gradients)
