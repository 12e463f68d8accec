"""The controls of edits without code: from an edit to the edit after this frame."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from imgui_bundle import imgui

from splatviz_app.edits.selected import DeleteSelected
from splatviz_app.edits.stack import AnyEdit
from splatviz_app.edits.tools import (
    CropBox,
    CropSphere,
    DeleteByOpacity,
    DeleteBySize,
    DeleteLevels,
    Exposure,
    Hue,
    Opacity,
    Saturation,
    Scale,
    Tint,
)
from splatviz_app.session import Session
from widgets import fields
from widgets.fields import Number

_FACTOR = Number("Factor", "1 leaves it as it is.", 1.0, 0.0, 4.0)
_SIZE = replace(_FACTOR, low=0.1, high=10.0, log=True)
_STOPS = Number("Exposure", "In stops: +1 is twice as bright.", 0.0, -5.0, 5.0, "%+.2f")
_ANGLE = Number("Angle", "How far round the colour circle, degrees.", 0.0, -180.0, 180.0, "%.0f°")
_STRENGTH = Number(
    "Strength", "0 leaves colours as they are, 1 leaves only the tint.", 0.5, 0.0, 1.0
)
_CENTER = Number("Centre", "x, y, z in world units.", 0.0, -2.0, 2.0, "%.3f", 0.002)
_SIDES = Number("Size", "Of its sides along x, y, z in world units.", 0.8, 0.0, 4.0, "%.3f", 0.002)
_RADIUS = Number("Radius", "In world units.", 0.4, 0.0, 2.0, "%.3f", 0.002)
_LONGEST = Number(
    "Largest", "Splats larger than this go; world units.", 0.05, 0.0, 0.5, "%.4f", log=True
)
_SHORTEST = replace(
    _LONGEST, label="Smallest", help="Splats smaller than this go; world units.", default=0.0
)
_LEAST = Number("Least", "Splats less opaque than this go.", 0.05, 0.0, 1.0)
_MOST = Number("Most", "Splats more opaque than this go.", 1.0, 0.0, 1.0)
_PARTS = {False: "Inside", True: "Outside"}
_PARTS_HELP = "Which splats are kept."


def draw_tool(session: Session, edit: AnyEdit) -> AnyEdit:
    """Draw the controls of an edit and return it as they say."""
    draw = _CONTROLS.get(type(edit))
    return draw(session, edit) if draw is not None else edit


def _opacity(_: Session, edit: Opacity) -> Opacity:
    return replace(edit, factor=fields.slider(_FACTOR, edit.factor))


def _scale(_: Session, edit: Scale) -> Scale:
    return replace(edit, factor=fields.slider(_SIZE, edit.factor))


def _saturation(_: Session, edit: Saturation) -> Saturation:
    return replace(edit, factor=fields.slider(_FACTOR, edit.factor))


def _exposure(_: Session, edit: Exposure) -> Exposure:
    return replace(edit, stops=fields.slider(_STOPS, edit.stops))


def _hue(_: Session, edit: Hue) -> Hue:
    before = math.degrees(edit.angle)
    after = fields.slider(_ANGLE, before)
    return edit if after == before else replace(edit, angle=math.radians(after))


def _tint(_: Session, edit: Tint) -> Tint:
    color = fields.color("Colour", "That of the lights.", edit.color, Tint().color)
    return replace(edit, color=color, strength=fields.slider(_STRENGTH, edit.strength))


def _box(_: Session, edit: CropBox) -> CropBox:
    center = fields.vector(_CENTER, edit.center)
    size = fields.vector(_SIDES, edit.size)
    outside = fields.segmented("Keep", _PARTS_HELP, edit.outside, _PARTS)
    return replace(edit, center=center, size=size, outside=outside)


def _sphere(_: Session, edit: CropSphere) -> CropSphere:
    center = fields.vector(_CENTER, edit.center)
    radius = fields.slider(_RADIUS, edit.radius)
    outside = fields.segmented("Keep", _PARTS_HELP, edit.outside, _PARTS)
    return replace(edit, center=center, radius=radius, outside=outside)


def _levels(session: Session, edit: DeleteLevels) -> DeleteLevels:
    sizes = session.result.splats.level_sizes if session.result is not None else ()
    if len(sizes) < 2:
        fields.muted("This head is not from a generator: it has only one level.")
        return edit
    deleted = set(edit.levels)
    for level, size in enumerate(sizes):
        keep = fields.check(
            f"Level {level + 1}",
            f"{size:,} splats; level 1 is the coarsest.",
            level not in deleted,
            default=True,
        )
        deleted = deleted - {level} if keep else deleted | {level}
    return replace(edit, levels=tuple(sorted(deleted)))


def _by_size(_: Session, edit: DeleteBySize) -> DeleteBySize:
    low = fields.slider(_SHORTEST, edit.low)
    high = fields.slider(_LONGEST, edit.high)
    return replace(edit, low=low, high=high)


def _by_opacity(_: Session, edit: DeleteByOpacity) -> DeleteByOpacity:
    low = fields.slider(_LEAST, edit.low)
    high = fields.slider(_MOST, edit.high)
    return replace(edit, low=low, high=high)


def _selected(session: Session, edit: DeleteSelected) -> DeleteSelected:
    count = edit.selection.size if edit.selection is not None else 0
    fields.fact("Deleted", f"{count:,} splats")
    with fields.unless("" if session.selection is not None else "No splats are selected."):
        if fields.button("Delete what is selected now", "Instead of what was selected before."):
            edit = replace(edit, selection=session.selection)
    imgui.spacing()
    return edit


_CONTROLS: dict[type[AnyEdit], Callable[[Session, Any], AnyEdit]] = {
    Opacity: _opacity,
    Scale: _scale,
    Saturation: _saturation,
    Exposure: _exposure,
    Hue: _hue,
    Tint: _tint,
    CropBox: _box,
    CropSphere: _sphere,
    DeleteLevels: _levels,
    DeleteBySize: _by_size,
    DeleteByOpacity: _by_opacity,
    DeleteSelected: _selected,
}
