"""The box or sphere of the edit that is selected in the Edit panel, drawn over the picture."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise, product

from imgui_bundle import ImVec2, imgui

from renderer.camera import OrbitRig, Vector, fov_to_focal
from splatviz_app.edits.tools import CropBox, CropSphere
from splatviz_app.session import Session

_COLOR, _SHADOW = (0.25, 0.80, 1.0, 0.95), (0.0, 0.0, 0.0, 0.35)  # RGBA
_STEPS = 64  # straight parts of a circle
_NEAR = 0.05  # world units: what is nearer to the eye is not drawn

Line = tuple[Vector, Vector]


def draw_shape(session: Session, corner: ImVec2, area: ImVec2) -> None:
    """Draw where the selected edit cuts; nothing for edits without a place, or while they are hidden.

    Args:
        session: Whose edit it is.
        corner: Top left of the picture in px.
        area: Its width and height in px.
    """
    edit = session.edits.find(session.editing.pointed)
    session.editing.pointed = 0  # the panel says so again in each frame in which it is seen
    if not isinstance(edit, CropBox | CropSphere) or not edit.enabled:
        return
    lines = _box(edit) if isinstance(edit, CropBox) else _sphere(edit)
    paint = imgui.get_window_draw_list()
    paint.push_clip_rect(corner, (corner.x + area.x, corner.y + area.y), True)
    shadow, color = imgui.get_color_u32(_SHADOW), imgui.get_color_u32(_COLOR)
    rig = session.rig
    seen = [
        (first, second)
        for first, second in (
            (_project(rig, a, corner, area), _project(rig, b, corner, area)) for a, b in lines
        )
        if first is not None and second is not None
    ]
    for first, second in seen:
        paint.add_line(first, second, shadow, 3.5)
    for first, second in seen:
        paint.add_line(first, second, color, 1.5)
    paint.pop_clip_rect()


def _project(rig: OrbitRig, point: Vector, corner: ImVec2, area: ImVec2) -> ImVec2 | None:
    """Where a point of the world is in the picture, in px; None behind the eye."""
    right, up = rig.axes
    away = [p - e for p, e in zip(point, rig.eye, strict=True)]
    x, y = _dot(away, right), _dot(away, up)
    depth = -_dot(away, rig.offset)
    if depth < _NEAR:
        return None
    scale = fov_to_focal(rig.fov_y) * area.y / depth
    return ImVec2(corner.x + area.x / 2 + x * scale, corner.y + area.y / 2 - y * scale)


def _dot(a: list[float], b: Vector) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def _box(edit: CropBox) -> Iterator[Line]:
    """The twelve edges."""
    corners = list(product((-0.5, 0.5), repeat=3))
    for first, second in product(corners, corners):
        if first < second and sum(a != b for a, b in zip(first, second, strict=True)) == 1:
            yield _placed(edit, first), _placed(edit, second)


def _placed(edit: CropBox, part: tuple[float, ...]) -> Vector:
    x, y, z = (c + s * p for c, s, p in zip(edit.center, edit.size, part, strict=True))
    return (x, y, z)


def _sphere(edit: CropSphere) -> Iterator[Line]:
    """Its circles around each of the axes."""
    x, y, z = edit.center
    turns = [2 * math.pi * step / _STEPS for step in range(_STEPS + 1)]
    places = [(edit.radius * math.cos(turn), edit.radius * math.sin(turn)) for turn in turns]
    for (a, b), (c, d) in pairwise(places):
        yield (x + a, y + b, z), (x + c, y + d, z)
        yield (x + a, y, z + b), (x + c, y, z + d)
        yield (x, y + a, z + b), (x, y + c, z + d)
