"""Where skin, lips, lids, brows, beard and hair roots lie: painted once, on the neutral head."""

from __future__ import annotations

import numpy as np

from training.synthetic.geometry import Array, Noise, bump, curve, distance_to, is_inside, ramp
from training.synthetic.mesh import Cells, Mesh, brow_lines, cell_size_for, every, tessellate

# What is known of a place of the skin. `cpu_kernels` reads them in this order.
MAPS = (
    "blood",  # redder
    "dusk",  # darker
    "grain",  # relative brightness, around 0
    "lips",
    "folds",  # relative brightness of lips, around 0
    "between",  # the dark line between the lips
    "lash_line",
    "wet_rim",
    "crease",  # above the eye
    "brows",
    "scalp",  # under hair
    "beard",
    "gloss",
    "near_hair",  # shaded by hair
)


def tile_skin(mesh: Mesh, count: int) -> Cells:
    """Tile what of the skin is not under the shirt, finely where one looks first."""
    quads = mesh.faces_of("skin")
    x, y, z = mesh.neutral[quads].mean(1).T
    covered = (y < -9.5) & (np.hypot(x / 7.0, (z + 1.0) / 6.4) > 1) | (y < -15)
    quads = quads[~covered]
    relative = relative_size(mesh, quads)
    return tessellate(mesh, quads, relative * cell_size_for(mesh, quads, relative, count))


def tile_lining(mesh: Mesh) -> Cells:
    """Tile coarsely what is put under the skin, so that nothing shows through its seams.

    It stays away from thin parts, which it would pierce: eyelids, lips, nostrils, ears.
    """
    quads = mesh.faces_of("skin")
    x, y, z = mesh.neutral[quads].mean(1).T
    covered = (y < -9.5) & (np.hypot(x / 7.0, (z + 1.0) / 6.4) > 1) | (y < -15)
    thin = (np.abs(y) < 5.5) & (np.abs(z) > 7) | (np.abs(x) > 7.2)
    quads = quads[~covered & ~thin]
    return every(tessellate(mesh, quads, np.full(len(quads), 0.9)), 3)


def hairline(points: Array) -> Array:
    """Measure upward from the hairline of the neutral head: positive where hair grows. [N] cm"""
    azimuth = np.degrees(np.arctan2(np.abs(points[:, 0]), points[:, 2] - 0.5))
    heights = {
        0: 9.9, 18: 10.1, 34: 10.0, 46: 8.3, 55: 6.0, 61: 3.6, 66: 2.2, 71: 2.6, 77: 5.4, 90: 6.5,
        104: 6.6, 114: 4.6, 128: 0.8, 150: -2.2, 180: -2.8,
    }  # fmt: skip
    return points[:, 1] - np.interp(azimuth, list(heights), list(heights.values()))


def relative_size(mesh: Mesh, quads: Array) -> Array:
    """Choose the cells' sizes: small where one looks first, large under the hair. [F]"""
    middle = mesh.neutral[quads].mean(1)
    x, y, front = np.abs(middle[:, 0]), middle[:, 1], middle[:, 2] > 6
    eyes = bump(np.hypot((x - 3.1) / 1.9, (y - 3.6) / 1.1)) * front
    lips = bump(np.hypot(x / 3.2, (y + 3.4) / 1.6)) * front
    nose = bump(np.hypot(x / 1.8, (y + 0.4) / 1.6)) * front
    size = 1 - 0.55 * np.clip(1.3 * eyes + 1.1 * lips + 0.7 * nose, 0, 1)
    ears = (x > 7.4) & (np.abs(y - 2.5) < 5)
    narrow = (quads <= mesh.parts["narrow_face"][1]).all(1)
    size = np.where(narrow, size, np.where(ears, 0.9, 1.5))
    return np.where(hairline(middle) > 2.5, 1.8, np.where(hairline(middle) > -1, 0.9, size))


def paint(mesh: Mesh, p: Array, noise: Noise) -> Array:
    """Fill in `MAPS` at points of the neutral head. [N, 14]"""
    marks = mesh.neutral[mesh.marks]
    maps = {
        **_complexion(p, noise),
        **_lips(p, marks, noise),
        **_lids(p, marks),
        **_hairs(p, marks, noise),
    }
    bridge = bump(np.hypot(p[:, 0] / 1.2, (p[:, 1] - 1) / 2.5)) * ramp(2, 5, p[:, 2])
    maps["gloss"] = (0.10 + 0.10 * bridge + 0.22 * maps["lips"]) * (1 - maps["scalp"])
    return np.stack([maps[name] for name in MAPS], axis=1)


def _complexion(p: Array, noise: Noise) -> dict[str, Array]:
    """Blood under the skin, blotches and pores, shadows under the eyes."""
    x, y, front = np.abs(p[:, 0]), p[:, 1], ramp(2, 5, p[:, 2])
    cheeks = bump(np.hypot((x - 4.6) / 2.0, (y - 0.4) / 1.7)) * front
    nose = bump(np.hypot(x / 1.5, (y + 0.1) / 1.3)) * front
    chin = bump(np.hypot(x / 2.0, (y + 6.6) / 1.2)) * front
    ears = ramp(7.6, 8.6, x) * (y > -3)
    blood = 0.8 * cheeks + 0.7 * nose + 0.35 * chin + 0.8 * ears + 0.12 * noise(p, 1.6)
    below_eyes = bump(np.hypot((x - 3.1) / 1.5, (y - 2.2) / 0.5)) * front
    return {
        "blood": blood.clip(0, 1.2),
        "dusk": 0.06 * ramp(-3, -6, y) + 0.14 * below_eyes,
        "grain": 0.025 * noise(p, 2.5) + 0.02 * noise(p, 0.5) + 0.015 * noise(p, 0.17),
    }


def _lips(p: Array, marks: Array, noise: Noise) -> dict[str, Array]:
    """The lips' outline, their folds and the line between them."""
    in_front = p[:, 2] > 8
    outline = curve(np.concatenate([marks[48:60], marks[48:49]])[:, :2], 160)
    inward = distance_to(p, outline) * np.where(is_inside(p, outline), 1, -1)
    between = curve((marks[60:65] + marks[[60, 67, 66, 65, 64]])[:, :2] / 2, 80)
    line = bump(distance_to(p, between), 0.09) * in_front * (np.abs(p[:, 0]) < 2.3)
    return {
        "lips": ramp(-0.10, 0.10, inward) * in_front,
        "folds": 0.16 * noise(p * [3, 0.6, 1], 0.25) - 0.12 * (p[:, 1] > -3.4),
        "between": line,
    }


def _lids(p: Array, marks: Array) -> dict[str, Array]:
    """The dark line of the upper lashes, the wet lower rim and the crease."""
    in_front = p[:, 2] > 7
    lash, rim, crease = np.zeros((3, len(p)))
    for corners in (marks[36:42], marks[[45, 44, 43, 42, 47, 46]]):  # outer corner first
        upper, lower = curve(corners[:4, :2], 60), curve(corners[[3, 4, 5, 0], :2], 60)
        lash = np.maximum(lash, bump(distance_to(p, upper), 0.13) * in_front)
        rim = np.maximum(rim, bump(distance_to(p, lower), 0.13) * in_front)
        fold = upper + np.array([0, 0.42])
        crease = np.maximum(crease, bump(distance_to(p, fold), 0.16) * in_front)
    return {"lash_line": lash, "wet_rim": rim, "crease": crease}


def _hairs(p: Array, marks: Array, noise: Noise) -> dict[str, Array]:
    """Where brows, beard and hair stand."""
    brows = np.zeros(len(p))
    for line in brow_lines(marks):
        brows = np.maximum(brows, bump(distance_to(p, line[4:, :2]), 0.28) * (p[:, 2] > 5))
    height = hairline(p)
    front = ramp(-2.5, -0.2, height) * ramp(0, 4, p[:, 2]) * ramp(4, 7, p[:, 1])
    return {
        "brows": brows,
        "scalp": ramp(-0.2, 1.6, height + 0.12 * noise(p, 0.4)) * (p[:, 1] > -9),
        "beard": beard_area(p, marks, noise),
        "near_hair": np.maximum(front, ramp(-1.5, 0.5, height) * (p[:, 1] > -9)),
    }


def beard_area(p: Array, marks: Array, noise: Noise) -> Array:
    """Say how densely a beard grows: cheeks below a slanted line, chin, upper lip, throat. [N]"""
    x, y, z = np.abs(p[:, 0]), p[:, 1], p[:, 2]
    uneven = 0.12 * noise(p, 0.6) + 0.15 * noise(p, 1.7)
    outline = curve(np.concatenate([marks[48:60], marks[48:49]])[:, :2], 160)
    away = distance_to(p, outline) * np.where(is_inside(p, outline), 0, 1) + 9 * (z < 6)
    cheek = ramp(0.9, -1.3, y + 3.3 - 0.055 * x**2 + uneven)  # rises towards the ear
    chin = ramp(-0.6, -2.6, y + 2.2 + uneven) * ramp(3.6, 2.6, x)
    moustache = ramp(-1.15, -1.5, y + uneven * 0.3) * ramp(3.1, 2.3, x) * ramp(-5.2, -4.6, y)
    sides = ramp(4.6, 3.0, y) * ramp(5.6, 6.4, x) * ramp(-0.5, 1.0, z) * ramp(4.5, 3.5, z)
    throat = ramp(-10.0, -8.4, y + 0.5 * uneven) * ramp(0.5, 2.5, z)
    ears = ramp(7.5, 7.1, x)
    area = np.maximum.reduce([cheek, chin, moustache, sides])
    return area * throat * ears * ramp(0.02, 0.22, away)
