"""Geometry, paint and light of every splat of one head.

Everything is float32 and in centimetres until `light`, which writes world units before activation.
No kernel holds the interpreter's lock: several heads are made at once by as many threads.
"""

# ruff: noqa: PLR0913 - a kernel takes the arrays that it reads and writes

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

_FAST: Any = {"nogil": True, "fastmath": True, "cache": True, "error_model": "numpy"}
F = np.float32


@njit(**_FAST)
def move_vertices(neutral, basis, weights, moves, vertices) -> None:
    """Add up how far each component moves the vertices. neutral, moves, vertices [3 V], basis [C, 3 V]

    BLAS would do the same with threads of its own, which get in each other's way.
    """
    moves[:] = 0
    for component in range(len(basis)):
        weight = weights[component]
        if weight != 0:
            row = basis[component]
            for i in range(len(row)):
                moves[i] += weight * row[i]
    for i in range(len(moves)):
        vertices[i] = neutral[i] + moves[i]


@njit(**_FAST)
def see_lamps(sight, harmonics, reached) -> None:
    """Evaluate how much of each lamp is seen. sight [N, 9], harmonics [3, 9], reached [N, 3]"""
    for n in range(len(sight)):
        for k in range(3):
            seen = F(0)
            for j in range(9):
                seen += sight[n, j] * harmonics[k, j]
            reached[n, k] = min(max(seen, F(0)), F(1))


@njit(**_FAST)
def vertex_normals(vertices, quads, normals) -> None:
    """Average the faces around each vertex, by area. normals [V, 3] is overwritten, unit length."""
    normals[:] = 0
    for f in range(len(quads)):
        i, j, k, m = quads[f, 0], quads[f, 1], quads[f, 2], quads[f, 3]
        ax, ay, az = (
            vertices[k, 0] - vertices[i, 0],
            vertices[k, 1] - vertices[i, 1],
            vertices[k, 2] - vertices[i, 2],
        )
        bx, by, bz = (
            vertices[m, 0] - vertices[j, 0],
            vertices[m, 1] - vertices[j, 1],
            vertices[m, 2] - vertices[j, 2],
        )
        x, y, z = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        for c in range(4):
            v = quads[f, c]
            normals[v, 0] += x
            normals[v, 1] += y
            normals[v, 2] += z
    for v in range(len(normals)):
        x, y, z = normals[v, 0], normals[v, 1], normals[v, 2]
        s = F(1) / (math.sqrt(x * x + y * y + z * z) + F(1e-12))
        normals[v, 0], normals[v, 1], normals[v, 2] = x * s, y * s, z * s


@njit(**_FAST)
def place_surface(vertices, normals, corners, place, extent, points, frames, sizes) -> None:
    """Lay patches on the deformed mesh.

    Args:
        vertices, normals: [V, 3]
        corners, place: The face of each patch and where in it. [N, 4], [N, 2]
        extent: Standard deviations as shares of the face's sides, thickness in cm, and how far to
            lift it off the surface in cm. [N, 4]
        points, frames, sizes: Written. [N, 3], [N, 6] normal and tangent, [N, 3]
    """
    for n in range(len(corners)):
        i, j, k, m = corners[n, 0], corners[n, 1], corners[n, 2], corners[n, 3]
        u, v = place[n, 0], place[n, 1]
        p, q = F(1) - u, F(1) - v
        a, b, c, d = p * q, u * q, u * v, p * v
        nx = a * normals[i, 0] + b * normals[j, 0] + c * normals[k, 0] + d * normals[m, 0]
        ny = a * normals[i, 1] + b * normals[j, 1] + c * normals[k, 1] + d * normals[m, 1]
        nz = a * normals[i, 2] + b * normals[j, 2] + c * normals[k, 2] + d * normals[m, 2]
        s = F(1) / (math.sqrt(nx * nx + ny * ny + nz * nz) + F(1e-12))
        nx, ny, nz = nx * s, ny * s, nz * s
        lift = extent[n, 3]
        points[n, 0] = (
            a * vertices[i, 0] + b * vertices[j, 0] + c * vertices[k, 0] + d * vertices[m, 0]
        ) + lift * nx
        points[n, 1] = (
            a * vertices[i, 1] + b * vertices[j, 1] + c * vertices[k, 1] + d * vertices[m, 1]
        ) + lift * ny
        points[n, 2] = (
            a * vertices[i, 2] + b * vertices[j, 2] + c * vertices[k, 2] + d * vertices[m, 2]
        ) + lift * nz
        tx = (vertices[j, 0] - vertices[i, 0]) * q + (vertices[k, 0] - vertices[m, 0]) * v
        ty = (vertices[j, 1] - vertices[i, 1]) * q + (vertices[k, 1] - vertices[m, 1]) * v
        tz = (vertices[j, 2] - vertices[i, 2]) * q + (vertices[k, 2] - vertices[m, 2]) * v
        ux = (vertices[m, 0] - vertices[i, 0]) * p + (vertices[k, 0] - vertices[j, 0]) * u
        uy = (vertices[m, 1] - vertices[i, 1]) * p + (vertices[k, 1] - vertices[j, 1]) * u
        uz = (vertices[m, 2] - vertices[i, 2]) * p + (vertices[k, 2] - vertices[j, 2]) * u
        width = math.sqrt(tx * tx + ty * ty + tz * tz) + F(1e-6)
        x, y, z = ty * uz - tz * uy, tz * ux - tx * uz, tx * uy - ty * ux
        area = math.sqrt(x * x + y * y + z * z)
        sizes[n, 0] = extent[n, 0] * width
        sizes[n, 1] = extent[n, 1] * area / width + F(1e-4)
        sizes[n, 2] = extent[n, 2]
        _set_frame(frames, n, nx, ny, nz, tx, ty, tz)


@njit(inline="always", fastmath=True, error_model="numpy")
def _set_frame(frames, n, nx, ny, nz, tx, ty, tz):
    """Store a unit normal, and the tangent made perpendicular to it."""
    along = tx * nx + ty * ny + tz * nz
    tx, ty, tz = tx - along * nx, ty - along * ny, tz - along * nz
    s = F(1) / (math.sqrt(tx * tx + ty * ty + tz * tz) + F(1e-9))
    frames[n, 0], frames[n, 1], frames[n, 2] = nx, ny, nz
    frames[n, 3], frames[n, 4], frames[n, 5] = tx * s, ty * s, tz * s


@njit(inline="always", fastmath=True, error_model="numpy")
def _mix(a, b, w):
    return a + (b - a) * w


@njit(**_FAST)
def color_skin(maps, tones, look, albedo, gloss) -> None:
    """Mix each patch's colour from what is known of its place.

    Args:
        maps: `skin.MAPS`. [N, 14]
        tones: Skin, lips and hair, linear. [3, 3]
        look: Blush, brow weight, stubble, beard, baldness, how much hair shades the skin. [6]
        albedo, gloss: Written. [N, 3], [N]
    """
    blush, brows, stubble, beard, bald, shade = look[0], look[1], look[2], look[3], look[4], look[5]
    for n in range(len(maps)):
        red = maps[n, 0] * blush
        grain = F(1) + maps[n, 2]
        lips, fold = F(0.9) * maps[n, 3], F(1) + maps[n, 4]
        dark = F(1) - F(0.8) * maps[n, 5]
        lash, rim = F(0.85) * maps[n, 6], F(0.6) * maps[n, 7]
        dark2 = F(1) - F(0.28) * maps[n, 8]
        brow = F(0.75) * brows * maps[n, 9]
        roots = F(0.92) * maps[n, 10] * (F(1) - bald)
        chin = maps[n, 11] * (stubble + (F(0.85) - stubble) * beard)
        whiskers = F(0.45) + F(0.5) * beard
        veil = F(1) - shade * F(0.35) * maps[n, 13]
        gloss[n] = maps[n, 12] * (F(1) - F(0.7) * chin)
        for c in range(3):
            skin = tones[0, c]
            blood = F(0.02) if c == 0 else (F(0.24) if c == 1 else F(0.22))
            dusk = F(0.7) if c == 0 else (F(1.0) if c == 1 else F(0.8))
            hair = tones[2, c]
            value = skin * (F(1) - red * blood) * grain * (F(1) - maps[n, 1] * dusk)
            value = _mix(value, tones[1, c] * fold, lips) * dark
            value = _mix(value, whiskers * hair + (F(0.97) - whiskers) * skin * F(0.73), chin)
            value = _mix(value, F(0.2) * skin, lash)
            value = _mix(value, skin * (F(0.9) if c == 0 else F(0.6)), rim) * dark2
            value = _mix(value, F(1.4) * hair + F(0.08) * skin, brow)
            albedo[n, c] = _mix(value, hair, roots) * veil


@njit(**_FAST)
def place_threads(moves, anchors, roots, ways, kinds, looks, points, frames, sizes, albedo) -> None:
    """Set lashes, brows and beard on the deformed skin.

    Args:
        moves: How far identity and expression move the vertices. [V, 3] cm
        anchors: The vertex that each follows. [N]
        roots: Where its hair stands on the neutral head. [N, 3]
        ways: From the root to the splat's middle, then its axis, both at length 1; the normal;
            half-width in cm and relative brightness. [N, 11]
        kinds: Rows of `looks`. [N]
        looks: Length, width as a factor, colour. [3, 5]
        points, frames, sizes, albedo: Written. [N, 3], [N, 6], [N, 3], [N, 3]
    """
    for n in range(len(anchors)):
        v, kind = anchors[n], kinds[n]
        length, width = looks[kind, 0], looks[kind, 1] * ways[n, 9]
        for c in range(3):
            points[n, c] = roots[n, c] + moves[v, c] + length * ways[n, c]
            albedo[n, c] = looks[kind, 2 + c] * ways[n, 10]
        tx, ty, tz = ways[n, 3], ways[n, 4], ways[n, 5]
        long = math.sqrt(tx * tx + ty * ty + tz * tz)
        s = F(1) / (long + F(1e-9))
        tx, ty, tz = tx * s, ty * s, tz * s
        nx, ny, nz = ways[n, 6], ways[n, 7], ways[n, 8]
        along = nx * tx + ny * ty + nz * tz
        nx, ny, nz = nx - along * tx, ny - along * ty, nz - along * tz
        s = F(1) / (math.sqrt(nx * nx + ny * ny + nz * nz) + F(1e-9))
        _set_frame(frames, n, nx * s, ny * s, nz * s, tx, ty, tz)
        sizes[n, 0] = F(0.55) * length * long + F(0.3) * width
        sizes[n, 1] = width
        sizes[n, 2] = F(0.7) * width


@njit(**_FAST)
def place_hair(
    tables, strands, lengths, shares, warp, moves, style, tone, points, frames, sizes, albedo, fades
) -> None:
    """Blend the styles' paths, cut them to length, curl them and lay them on the deformed head.

    Args:
        tables: Paths of every style. [5, S, M, 3]
        strands: Layer, phase, tint, fade, and the vertex of the root. [S, 5]
        lengths: Share of the table's reach that the strand is long in each style. [5, S]
        shares: Of the styles. [5]
        warp: Polynomial that moves space as identity moves the skull. [10, 3]
        moves: How far identity and expression move the vertices. [V, 3]
        style: Curl, volume, length in cm, width in cm. [4]
        tone: Colour. [3]
        points, frames, sizes, albedo: Written. [9 S, 3], [9 S, 6], [9 S, 3], [9 S, 3]
        fades: How much is there, at the hairline less. Written. [9 S]
    """
    count, nodes = tables.shape[1], tables.shape[2]
    steps = len(points) // count
    curl, volume, long, thick = style[0], style[1], style[2], style[3]
    here, last, root = np.zeros(3, F), np.zeros(3, F), np.zeros(3, F)
    residue, warped = np.zeros(3, F), np.zeros(3, F)
    for s in range(count):
        layer, phase, fade = strands[s, 0], strands[s, 1], strands[s, 3]
        anchor = int(strands[s, 4])
        edge = min(max(fade / F(1.2), F(0)), F(1))
        edge = edge * edge * (F(3) - F(2) * edge)
        reach = F(0)
        for k in range(5):
            reach += shares[k] * lengths[k, s]
        whole = reach * F(nodes - 1)
        for step in range(steps + 1):
            t = F(step) / F(steps)
            here[:] = 0
            for k in range(5):
                if shares[k] > F(1e-3):
                    at = min(t * whole, F(nodes) - F(1.001))
                    node = int(at)
                    w = at - F(node)
                    for c in range(3):
                        here[c] += shares[k] * (
                            tables[k, s, node, c] * (F(1) - w) + tables[k, s, node + 1, c] * w
                        )
            if step == 0:
                root[:] = here
            # Outward from the head's middle, sideways around its axis.
            ox, oy, oz = here[0], max(here[1] - F(4.2), F(0)), here[2] + F(0.3)
            r = F(1) / (math.sqrt(ox * ox + oy * oy + oz * oz) + F(1e-6))
            ox, oy, oz = ox * r, oy * r, oz * r
            # Nine splats cannot draw more than about two turns.
            angle = phase + t * min(long * (F(0.6) + F(1.8) * curl), F(12))
            swing = t * (F(0.14) + curl * (F(0.25) + F(0.05) * min(long, F(9))))
            lift = (
                swing * math.cos(angle)
                + curl * t * min(long, F(5)) * F(0.22) * (F(0.3) + layer)
                + (volume - F(0.4))
                * F(0.9)
                * min(t * long / F(3), F(1))
                * (F(0.4) + F(0.6) * layer)
            )
            lift = max(lift, F(-0.15)) if oy > F(0.1) else lift
            side = swing * math.sin(angle)
            h = F(1) / (math.sqrt(ox * ox + oz * oz) + F(1e-6))
            here[0] += lift * ox + side * oz * h
            here[1] += lift * oy + curl * side * F(0.7)
            here[2] += lift * oz - side * ox * h
            _warp(here, warp, warped)
            if step == 0:
                for c in range(3):
                    residue[c] = moves[anchor, c] - warped[c]
            keep = F(1) - F(0.6) * t
            for c in range(3):
                here[c] += warped[c] + residue[c] * keep
            if step > 0:
                n = s * steps + step - 1
                tx, ty, tz = here[0] - last[0], here[1] - last[1], here[2] - last[2]
                far = math.sqrt(tx * tx + ty * ty + tz * tz)
                q = F(1) / (far + F(1e-6))
                tx, ty, tz = tx * q, ty * q, tz * q
                along = ox * tx + oy * ty + oz * tz
                nx, ny, nz = ox - along * tx, oy - along * ty, oz - along * tz
                # Shorter than 1 where a hair stands up straight: there it has no outer side.
                q = F(1) / math.sqrt(nx * nx + ny * ny + nz * nz + F(0.04))
                _set_frame(frames, n, nx * q, ny * q, nz * q, tx, ty, tz)
                u = (F(step) - F(0.5)) / F(steps)
                thin = thick * (F(0.5) + F(0.5) * edge) * (F(1) - F(0.45) * u)
                sizes[n, 0] = F(0.55) * far + F(0.3) * thin
                sizes[n, 1] = thin
                sizes[n, 2] = F(0.7) * thin
                shade = min(max(F(1) + strands[s, 2], F(0.5)), F(1.6))
                shade *= (F(0.66) + F(0.42) * layer) * (F(0.74) + F(0.5) * u)
                for c in range(3):
                    points[n, c] = F(0.5) * (here[c] + last[c])
                    albedo[n, c] = tone[c] * shade
                fades[n] = F(0.3) + F(0.7) * edge
            last[:] = here


@njit(inline="always", fastmath=True, error_model="numpy")
def _warp(p, warp, moved):
    """Evaluate the quadratic polynomial that `anatomy.fit_warps` fitted."""
    x = min(max(p[0] * F(0.1), F(-1.25)), F(1.25))
    y = min(max((p[1] - F(3)) * F(0.1), F(-2)), F(1.25))
    z = min(max(p[2] * F(0.1), F(-1.2)), F(1.2))
    for c in range(3):
        moved[c] = (
            warp[0, c]
            + warp[1, c] * x
            + warp[2, c] * y
            + warp[3, c] * z
            + warp[4, c] * x * x
            + warp[5, c] * y * y
            + warp[6, c] * z * z
            + warp[7, c] * x * y
            + warp[8, c] * x * z
            + warp[9, c] * y * z
        )


@njit(**_FAST)
def bend(points, warp, moved) -> None:
    """Move points as identity moves the skull, neck and shoulders. [N, 3], [10, 3], [N, 3]"""
    by = np.zeros(3, F)
    for n in range(len(points)):
        _warp(points[n], warp, by)
        for c in range(3):
            moved[n, c] = points[n, c] + by[c]


@njit(**_FAST)
def light_surface(
    points,
    frames,
    albedo,
    gloss,
    sky_seen,
    reached,
    lamps,
    sky,
    wander,
    placement,
    means,
    quats,
    sh,
) -> None:
    """Light splats of skin or cloth and put them into the world.

    Args:
        points, frames, albedo: [N, 3], [N, 6], [N, 3]
        gloss: Strength of the highlight. [N]
        sky_seen, reached: How much each sees of the sky, and of each lamp. [N], [N, 3]
        lamps: Direction and irradiance of each. [3, 6]
        sky: Radiance from below and from above. [2, 3]
        wander: How far light wanders under the surface, red to blue. [3]
        placement: World units per cm, and where the mesh's origin goes. [4]
        means, quats, sh: Written. [N, 3], [N, 4], [N, 3]
    """
    wr, wg, wb = wander[0], wander[1], wander[2]
    fr, fg, fb = F(1) / (F(1) + wr), F(1) / (F(1) + wg), F(1) / (F(1) + wb)
    for n in range(len(points)):
        nx, ny, nz = frames[n, 0], frames[n, 1], frames[n, 2]
        up = F(0.5) + F(0.5) * ny
        up = up * up * (F(3) - F(2) * up)
        seen = sky_seen[n]
        r = seen * (sky[0, 0] + (sky[1, 0] - sky[0, 0]) * up)
        g = seen * (sky[0, 1] + (sky[1, 1] - sky[0, 1]) * up)
        b = seen * (sky[0, 2] + (sky[1, 2] - sky[0, 2]) * up)
        sr, sg, sb = F(0), F(0), F(0)
        vx, vy, vz = nx, ny, nz + F(0.9) * max(nz, F(0))  # someone before the face
        q = F(1) / math.sqrt(vx * vx + vy * vy + vz * vz + F(1e-12))
        vx, vy, vz = vx * q, vy * q, vz * q
        for k in range(3):
            dx, dy, dz = lamps[k, 0], lamps[k, 1], lamps[k, 2]
            seen = reached[n, k]
            facing = nx * dx + ny * dy + nz * dz
            r += lamps[k, 3] * seen * max((facing + wr) * fr, F(0))
            g += lamps[k, 4] * seen * max((facing + wg) * fg, F(0))
            b += lamps[k, 5] * seen * max((facing + wb) * fb, F(0))
            hx, hy, hz = dx + vx, dy + vy, dz + vz
            a = max(nx * hx + ny * hy + nz * hz, F(0))
            a = a * a / (hx * hx + hy * hy + hz * hz + F(1e-12))  # Blinn 1977, squared
            a = a * a
            a = a * a
            shine = a * a * a * a * a * seen * gloss[n]  # to the power of 40
            sr += shine * lamps[k, 3]
            sg += shine * lamps[k, 4]
            sb += shine * lamps[k, 5]
        sh[n, 0] = _to_dc(albedo[n, 0] * r + sr)
        sh[n, 1] = _to_dc(albedo[n, 1] * g + sg)
        sh[n, 2] = _to_dc(albedo[n, 2] * b + sb)
        for c in range(3):
            means[n, c] = points[n, c] * placement[0] + placement[1 + c]
        _write_quat(quats, n, frames[n, 3], frames[n, 4], frames[n, 5], nx, ny, nz)


@njit(**_FAST)
def light_threads(
    points,
    frames,
    albedo,
    gloss,
    sky_seen,
    reached,
    lamps,
    sky,
    wander,
    placement,
    means,
    quats,
    sh,
) -> None:
    """Light splats of hair and put them into the world; the arguments of `light_surface`."""
    wander = wander[0]
    fraction = F(1) / (F(1) + wander)
    for n in range(len(points)):
        nx, ny, nz = frames[n, 0], frames[n, 1], frames[n, 2]
        tx, ty, tz = frames[n, 3], frames[n, 4], frames[n, 5]
        up = F(0.5) + F(0.5) * ny
        up = up * up * (F(3) - F(2) * up)
        seen = sky_seen[n]
        r = seen * (sky[0, 0] + (sky[1, 0] - sky[0, 0]) * up)
        g = seen * (sky[0, 1] + (sky[1, 1] - sky[0, 1]) * up)
        b = seen * (sky[0, 2] + (sky[1, 2] - sky[0, 2]) * up)
        sr, sg, sb = F(0), F(0), F(0)
        for k in range(3):
            dx, dy, dz = lamps[k, 0], lamps[k, 1], lamps[k, 2]
            seen = reached[n, k]
            facing = nx * dx + ny * dy + nz * dz
            diffuse = seen * max((facing + wander) * fraction, F(0))
            r += lamps[k, 3] * diffuse
            g += lamps[k, 4] * diffuse
            b += lamps[k, 5] * diffuse
            # Kajiya and Kay 1989: a thread shines where it runs across the halfway vector.
            hx, hy, hz = dx + nx, dy + ny, dz + nz
            a = tx * hx + ty * hy + tz * hz
            a = F(1) - a * a / (hx * hx + hy * hy + hz * hz + F(1e-12))
            a = a * a
            a = a * a
            a = a * a
            shine = F(0.16) * a * a * a * min(max(facing + F(0.3), F(0)), F(1)) * seen * gloss[n]
            sr += shine * lamps[k, 3]
            sg += shine * lamps[k, 4]
            sb += shine * lamps[k, 5]
        # A hair's highlight has its colour.
        sh[n, 0] = _to_dc(albedo[n, 0] * (r + F(6) * sr) + F(0.04) * sr)
        sh[n, 1] = _to_dc(albedo[n, 1] * (g + F(6) * sg) + F(0.04) * sg)
        sh[n, 2] = _to_dc(albedo[n, 2] * (b + F(6) * sb) + F(0.04) * sb)
        for c in range(3):
            means[n, c] = points[n, c] * placement[0] + placement[1 + c]
        q = F(1) / (math.sqrt(nx * nx + ny * ny + nz * nz) + F(1e-9))
        _write_quat(quats, n, tx, ty, tz, nx * q, ny * q, nz * q)


@njit(inline="always", fastmath=True, error_model="numpy")
def _to_dc(value):
    """Encode linear light as sRGB and that as a DC coefficient.

    Within 0.004 of the exact power function, and without computing one.
    """
    value = min(max(value, F(0)), F(1))
    a = math.sqrt(value)
    b = math.sqrt(a)
    c = math.sqrt(b)
    shown = max(F(0.5851) * a + F(0.7831) * b - F(0.3682) * c, F(12.92) * min(value, F(0.003)))
    return (shown - F(0.5)) * F(3.5449077)  # 1 / C0


@njit(inline="always", fastmath=True, error_model="numpy")
def _write_quat(quats, n, tx, ty, tz, nx, ny, nz):
    """Turn the axes tangent, normal x tangent, normal into wxyz (Shepperd 1978)."""
    bx, by, bz = ny * tz - nz * ty, nz * tx - nx * tz, nx * ty - ny * tx
    trace = tx + by + nz
    if trace > F(0):
        w, x, y, z = F(1) + trace, bz - ny, nx - tz, ty - bx
    elif tx > by and tx > nz:
        w, x, y, z = bz - ny, F(1) + tx - by - nz, bx + ty, nx + tz
    elif by > nz:
        w, x, y, z = nx - tz, bx + ty, F(1) - tx + by - nz, ny + bz
    else:
        w, x, y, z = ty - bx, nx + tz, ny + bz, F(1) - tx - by + nz
    s = F(1) / (math.sqrt(w * w + x * x + y * y + z * z) + F(1e-12))
    quats[n, 0], quats[n, 1], quats[n, 2], quats[n, 3] = w * s, x * s, y * s, z * s
