"""The photo editor's crop: the square with its handles, and the angles of its camera."""

from __future__ import annotations

import math
from dataclasses import replace

from imgui_bundle import imgui

from inversion.alignment import Alignment, Point
from inversion.crop import corners, from_crop, to_crop
from inversion.photo import Photo
from inversion.pose import align
from splatviz_app.inversion import photo_edits
from splatviz_app.inversion.head_guide import head_lines
from widgets import fields
from widgets.fields import Number
from widgets.photo_canvas import Grip, View, nearest
from widgets.photo_stage import GUIDE, MARK, Stage, paint_line

# In half sides of the square from its middle: corners first, then the middles of the edges.
_HANDLES: tuple[Point, ...] = (
    (-1, -1), (1, -1), (1, 1), (-1, 1), (0, -1), (1, 0), (0, 1), (-1, 0),
)  # fmt: skip
_TURN, _TURN_BELOW = len(_HANDLES), len(_HANDLES) + 1  # the indices of the handles that turn
_ARM = 1.6  # em from an edge to them
_STEP = math.radians(5)  # of turning with Shift

_YAW = Number(
    "Yaw", "How far the head looks to the side, degrees: positive shows its left cheek.",
    0.0, -75.0, 75.0, "%.1f°",
)  # fmt: skip
_PITCH = Number("Pitch", "From how far above the head is seen, degrees.", 0.0, -45.0, 45.0, "%.1f°")
_ROLL = Number(
    "Roll", "How far the head is tilted in the square, degrees clockwise.",
    0.0, -45.0, 45.0, "%.1f°",
)  # fmt: skip
_ANGLE = Number(
    "Turned", "How far the square is turned in the photo, degrees clockwise.",
    0.0, -180.0, 180.0, "%.1f°", 0.2, wraps=True,
)  # fmt: skip


class CropTool:
    """Draws the square over a photo and moves it with the hand."""

    def __init__(self) -> None:
        """Begin with nothing held."""
        self._grip = Grip()
        self._moved_from: Point | None = None  # where the hand took hold of the square itself
        self._shows_guide = True

    def draw_canvas(self, stage: Stage, view: View) -> Photo:
        """Paint over the photo; returns it as the hand left it."""
        before = stage.base.alignment
        if stage.photo.alignment is None or before is None:
            return stage.photo
        photo, moved = stage.photo, self._drag(stage, view, before)
        if moved is not None and moved != photo.alignment:
            photo = photo_edits.with_alignment(stage.base, moved)
        assert photo.alignment is not None
        self._paint(view, photo.alignment)
        return photo

    def draw_column(self, stage: Stage) -> Photo:
        """The rows beside the photo."""
        photo, now = stage.photo, stage.photo.alignment
        if now is None:
            fields.muted("There is no crop yet: prepare the photo, or set its landmarks.")
            return photo
        automatic = align(photo.points, stage.recipe) if len(photo.points) == 5 else None
        new = _draw_angles(now, automatic)
        low, high = photo_edits.side_limits(stage.size)
        size = Number(
            "Side", "Of the square, px of the photo.", now.side, low, high, "%.0f px", 1.0
        )
        side = fields.drag(size, now.side)
        if side != now.side:
            new = replace(new, side=side)
        turned = math.radians(fields.drag(_ANGLE, math.degrees(now.angle)))
        if abs(turned - now.angle) > 1e-4:
            new = new.turned_to(turned)
        self._shows_guide = fields.check(
            "Generic head", "The head as the camera of this crop sees it.", self._shows_guide, True
        )
        why = ""
        if automatic is None:
            why = "It follows from the landmarks: set them first."
        elif now == automatic:
            why = "It is as the landmarks say."
        with fields.unless(why):
            if fields.button("Back to automatic", "Square and camera as the landmarks say."):
                assert automatic is not None
                new = automatic
        if new == now:
            return photo
        return photo_edits.with_alignment(stage.base, new)

    # ---- the hand

    def _drag(self, stage: Stage, view: View, before: Alignment) -> Alignment | None:
        handles = _handles(stage.photo.alignment or before, view)
        to = self._grip.follow(view, handles)
        if view.is_pressed:
            takes = self._grip.held is None and _is_inside(before, view.mouse)
            self._moved_from = view.mouse if takes else None
        if not view.is_held:
            self._moved_from = None
        if self._moved_from is not None:
            x, y = self._moved_from
            return photo_edits.moved(before, view.mouse[0] - x, view.mouse[1] - y)
        held = self._grip.held
        if to is None or held is None:
            return None
        if held >= _TURN:
            sign = 1 if held == _TURN else -1
            right, up = to[0] - before.centre[0], before.centre[1] - to[1]
            angle = math.atan2(sign * right, sign * up)
            if imgui.get_io().key_shift:
                angle = round(angle / _STEP) * _STEP
            return before.turned_to(angle)
        if math.dist(to, _handles(before, view)[held]) * view.scale < 0.5:
            return None
        return photo_edits.pulled(before, _HANDLES[held], to, photo_edits.side_limits(stage.size))

    # ---- the paint

    def _paint(self, view: View, alignment: Alignment) -> None:
        places: list[imgui.ImVec2Like] = [view.on_screen(point) for point in corners(alignment)]
        _shade_outside(view, alignment)
        if self._shows_guide:
            for line in head_lines(alignment):
                paint_line(view, line, GUIDE, 0.7)
        paint = imgui.get_window_draw_list()
        dark, color = imgui.get_color_u32((0.0, 0.0, 0.0, 0.7)), imgui.get_color_u32((*MARK, 1.0))
        paint.add_polyline(places, dark, 3.5, imgui.ImDrawFlags_.closed)
        paint.add_polyline(places, color, 1.5, imgui.ImDrawFlags_.closed)
        handles = _handles(alignment, view)
        for edge, knob in ((4, _TURN), (6, _TURN_BELOW)):
            places = [view.on_screen(handles[edge]), view.on_screen(handles[knob])]
            paint.add_polyline(places, color, 1.5, 0)
        under = self._grip.held if self._grip.held is not None else nearest(view, handles)
        for i, handle in enumerate(handles):
            at, radius = view.on_screen(handle), fields.em(0.36 if i == under else 0.28)
            if i >= _TURN:
                paint.add_circle_filled(at, radius + 1.5, dark)
                paint.add_circle_filled(at, radius, color)
            else:
                radius *= 0.85
                low, high = (at.x - radius, at.y - radius), (at.x + radius, at.y + radius)
                paint.add_rect_filled(
                    (low[0] - 1.5, low[1] - 1.5), (high[0] + 1.5, high[1] + 1.5), dark
                )
                paint.add_rect_filled(low, high, color)
        if under is not None and under >= _TURN and self._grip.held is None:
            imgui.set_tooltip("Drag to turn; with Shift in steps of 5°")


def _draw_angles(now: Alignment, automatic: Alignment | None) -> Alignment:
    """The camera's angles as rows."""
    usual = automatic or Alignment(now.centre, now.side)
    return replace(
        now,
        yaw=_draw_angle(_YAW, now.yaw, usual.yaw),
        pitch=_draw_angle(_PITCH, now.pitch, usual.pitch),
        roll=_draw_angle(_ROLL, now.roll, usual.roll),
    )


def _draw_angle(number: Number, angle: float, default: float) -> float:
    """A row in degrees for an angle in radians; the very same one if it was not touched."""
    shown = math.degrees(angle)
    turned = fields.slider(replace(number, default=math.degrees(default)), shown)
    return angle if turned == shown else math.radians(turned)


def _handles(alignment: Alignment, view: View) -> list[Point]:
    """Corners, middles of edges, and the knob above the upper edge; px of the photo."""
    arm = fields.em(_ARM) / view.scale / alignment.side
    places = [(0.5 + x / 2, 0.5 + y / 2) for x, y in _HANDLES]
    return list(from_crop(alignment, [*places, (0.5, -arm), (0.5, 1 + arm)]))


def _is_inside(alignment: Alignment, point: Point) -> bool:
    ((x, y),) = to_crop(alignment, (point,))
    return 0 <= x <= 1 and 0 <= y <= 1


def _shade_outside(view: View, alignment: Alignment) -> None:
    """Darken what is not cut out: one long quad beyond each edge."""
    shade = imgui.get_color_u32((0.0, 0.0, 0.0, 0.5))
    near: tuple[Point, ...] = ((0, 0), (1, 0), (1, 1), (0, 1))
    middle, corner = view.on_screen(alignment.centre), view.corner
    away = math.dist((middle.x, middle.y), corner) + math.hypot(*view.area)
    reach = 2 * away / view.scale / alignment.side  # beyond the canvas, and not much farther
    low, high = 0.5 - reach, 0.5 + reach
    far: tuple[Point, ...] = ((low, low), (high, low), (high, high), (low, high))
    inner = [view.on_screen(point) for point in from_crop(alignment, near)]
    outer = [view.on_screen(point) for point in from_crop(alignment, far)]
    paint = imgui.get_window_draw_list()
    paint.push_draw_flag(imgui.ImDrawFlags_.aa_fill, False)  # or seams would show
    for i in range(4):
        j = (i + 1) % 4
        paint.add_quad_filled(inner[i], outer[i], outer[j], inner[j], shade)
    paint.pop_draw_flag()
