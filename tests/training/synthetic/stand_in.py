"""A small mesh with the keys and parts of the parametric head: an egg on a neck, with eyes and a mouth."""

from __future__ import annotations

import json

import numpy as np

from training.synthetic.anatomy import EXPRESSION_NAMES

ROWS, COLUMNS = 44, 48
BALL = ((3.1, 3.5, 8.9), (-3.1, 3.5, 8.9))  # cm, the eyes


def stand_in(components=18, seed=5):
    """The arrays of an .npz as the published model has them, with its own `part_…` ranges."""
    skin, faces, narrow = _skin()
    pieces = {
        "mouth": _grid((0, -3.4, 8.0), (2.2, 1.6), 4),
        "eye_sockets": _grid((3.1, 3.5, 7.0), (1.5, 1.5), 4),
        "gums": _grid((0, -3.4, 9.0), (1.8, 1.2), 4),
        "teeth": _grid((0, -3.2, 10.0), (1.6, 0.6), 4),
        "left_sclera": _ball(BALL[0]),
        "right_sclera": _ball(BALL[1]),
    }
    points, quads = [skin], [faces]
    parts = {"narrow_face": (0, narrow - 1), "skin": (0, len(skin) - 1)}
    for name, (vertices, cells) in pieces.items():
        first = sum(map(len, points))
        points.append(vertices)
        quads.append(cells + first)
        parts[name] = (first, first + len(vertices) - 1)
    neutral = np.concatenate(points)
    rng = np.random.RandomState(seed)
    x, y, z = (neutral / 10).T
    waves = [np.stack([x * a, y * b, z * c], 1) for a, b, c in rng.normal(0, 0.35, (components, 3))]
    return {
        "neutral": neutral.astype(np.float32),
        "quads": np.concatenate(quads).astype(np.int32),
        "landmarks68": _nearest(skin[:narrow], _marks()).astype(np.int32),
        "identity": np.stack(waves).astype(np.float16),
        "expression": np.stack([_move(n, neutral) for n in EXPRESSION_NAMES]).astype(np.float16),
        "expression_names": np.array(EXPRESSION_NAMES),
        **{f"part_{name}": np.array(ends) for name, ends in parts.items()},
    }


def write_folder(folder, arrays):
    """Write the OBJ files of the original layout."""
    neutral = arrays["neutral"].astype(float)

    def write(name, vertices):
        lines = [f"v {a!r} {b!r} {c!r}" for a, b, c in vertices.tolist()]
        for a, b, c, d in (arrays["quads"] + 1).tolist():
            lines.append(f"f {a}/1 {b}/1 {c}/1" + ("" if c == d else f" {d}/1"))
        (folder / f"{name}.obj").write_text("\n".join(lines))

    write("generic_neutral_mesh", neutral)
    for i, move in enumerate(arrays["identity"]):
        write(f"identity{i:03d}", neutral + move)
    for name, move in zip(arrays["expression_names"], arrays["expression"], strict=True):
        write(str(name), neutral + move)
    listed = {"expressions": [], "landmarks": arrays["landmarks68"].tolist()}
    (folder / "vertex_indices.json").write_text(json.dumps(listed))


def _skin():
    """An egg that goes over into a neck and shoulders; the vertices of the front come first."""
    t = np.linspace(0, 1, ROWS)[:, None]
    turn = np.arange(COLUMNS)[None] * 2 * np.pi / COLUMNS
    y = 14.5 - 33.5 * t + 0 * turn
    egg = np.sqrt(np.clip(1 - ((y - 4) / 10.8) ** 2, 0.01, 1))
    neck = np.interp(y, [-19, -12, -9, -5], [1.6, 1.0, 0.75, 0.0])
    wide = np.maximum(egg * (y > -6), neck)
    points = np.stack([7.6 * wide * np.sin(turn), y, 10.3 * wide * np.cos(turn) + 0.8], -1)
    points = points.reshape(-1, 3)
    front = (points[:, 2] > 3) & (points[:, 1] > -8) & (points[:, 1] < 11)
    order = np.argsort(~front, kind="stable")
    number = np.zeros(len(points), int)
    number[order] = np.arange(len(points))
    row, column = np.mgrid[: ROWS - 1, :COLUMNS].reshape(2, -1)
    after = (column + 1) % COLUMNS
    corners = [
        row * COLUMNS + column,
        (row + 1) * COLUMNS + column,
        (row + 1) * COLUMNS + after,
        row * COLUMNS + after,
    ]
    return points[order], number[np.stack(corners, 1)], int(front.sum())


def _grid(center, half, steps):
    u, v = np.meshgrid(np.linspace(-1, 1, steps), np.linspace(-1, 1, steps), indexing="ij")
    points = np.stack([half[0] * u, half[1] * v, 0 * u], -1).reshape(-1, 3) + center
    i, j = np.mgrid[: steps - 1, : steps - 1].reshape(2, -1)
    a = i * steps + j
    return points, np.stack([a, a + steps, a + steps + 1, a + 1], 1)


def _ball(center):
    points, faces = _grid((0, 0, 0), (1.0, 1.0), 6)
    angle, turn = 1.4 * np.hypot(*points[:, :2].T) / 2**0.5, np.arctan2(points[:, 1], points[:, 0])
    around = np.sin(angle)[:, None] * np.stack([np.cos(turn), np.sin(turn), 0 * turn], 1)
    return 1.5 * (around + np.cos(angle)[:, None] * [0, 0, 1]) + center, faces


def _marks():
    """Where the 68 landmarks lie, seen from the front. [68, 2]"""
    around = np.linspace(-1, 1, 17) * np.pi / 2
    jaw = np.stack([7 * np.sin(around), 3.6 - 11 * np.cos(around)], 1)
    brow = np.stack([np.linspace(-5.6, -1.2, 5), [5.2, 6.0, 6.3, 6.2, 5.9]], 1)
    nose = np.array([(0, 3.7), (0, 2.6), (0, 1.6), (0, 0.4)])
    nostrils = np.stack([np.linspace(-1.2, 1.2, 5), np.full(5, -1.15)], 1)
    eye = np.array([(-4.5, 3.4), (-3.9, 3.9), (-2.8, 3.9), (-1.8, 3.3), (-2.7, 3.1), (-3.9, 3.1)])
    mirror = np.array([-1, 1])
    other_eye = eye[[3, 2, 1, 0, 5, 4]] * mirror
    turn = np.pi - np.arange(12) * np.pi / 6
    lips = np.stack([2.5 * np.cos(turn), -3.45 + 0.95 * np.sin(turn)], 1)
    turn = np.pi - np.arange(8) * np.pi / 4
    inner = np.stack([2.1 * np.cos(turn), -3.45 + 0.1 * np.sin(turn)], 1)
    parts = [jaw, brow, brow[::-1] * mirror, nose, nostrils, eye, other_eye, lips, inner]
    return np.concatenate(parts)


def _nearest(front, marks):
    return np.array([((front[:, :2] - mark) ** 2).sum(1).argmin() for mark in marks])


def _move(name, neutral):
    """A bump somewhere on the face for each expression; the jaw goes down."""
    move = np.zeros_like(neutral)
    x, y, z = neutral.T
    if name == "jawOpen":
        move[:, 1] = -2.5 * (z > 4) / (1 + np.exp(np.clip(4 * (y + 3.5), -30, 30)))
        return move
    place = np.random.RandomState([sum(map(ord, name)), len(name)])
    middle = place.uniform((-4, -4), (4, 6))
    near = np.exp(-((x - middle[0]) ** 2 + (y - middle[1]) ** 2) / 4) * (z > 4)
    return near[:, None] * place.normal(0, 0.3, 3)
