"""The photo editor's landmarks: five points to drag, or to set where no face was found."""

from __future__ import annotations

import math
from collections.abc import Sequence

from imgui_bundle import imgui

from inversion.alignment import Point
from inversion.faces import Face
from inversion.photo import Photo
from inversion.pose import guess_points
from splatviz_app.inversion import photo_edits
from splatviz_app.inversion.head_guide import head_lines
from widgets import fields
from widgets.photo_canvas import Grip, View, halo_text, nearest
from widgets.photo_stage import GUIDE, MARK, OTHER_FACE, Stage, paint_line

NAMES = ("Left eye", "Right eye", "Nose", "Mouth, left", "Mouth, right")
_PROMPTS = (
    "the eye on the left of the picture",
    "the eye on the right of the picture",
    "the tip of the nose",
    "the corner of the mouth on the left of the picture",
    "the corner of the mouth on the right of the picture",
)
_STILL = 1.0  # px of the screen that a hand trembles


class LandmarkTool:
    """Draws the landmarks over a photo and moves them with the hand."""

    def __init__(self) -> None:
        """Begin with no point held."""
        self._grip = Grip()
        self._placed: list[Point] = []  # while they are being set: those so far
        self._places = False  # whether they are being set anew
        self._content = b""  # of the photo for which they are
        self._shows_ghost = True

    def draw_canvas(self, stage: Stage, view: View) -> Photo:
        """Paint over the photo; returns it as the hand left it."""
        if stage.photo.content != self._content:
            self._content = stage.photo.content
            self._begin(False)
        if self._is_placing(stage.photo):
            return self._place(stage, view)
        photo = self._drag(stage, view)
        if self._shows_ghost and photo.alignment is not None:
            for line in head_lines(photo.alignment):
                paint_line(view, line, GUIDE)
            _paint_ghost(view, guess_points(photo.alignment))
        _paint_points(view, photo.points, self._grip.held)
        self._choose_face(stage, view)
        return photo

    def draw_column(self, stage: Stage) -> Photo:
        """The rows beside the photo."""
        photo = stage.photo
        if self._is_placing(photo):
            text = "There are no landmarks in this photo yet." if not photo.points else ""
            if text and stage.problem:
                text = stage.problem
            if text:
                fields.muted(text)
            fields.gap(0.2)
            imgui.text_wrapped(f"Click {_PROMPTS[min(len(self._placed), 4)]}.")
            fields.muted(f"{len(self._placed)} of 5 are set.")
            whys = {"Start again": "" if self._placed else "None is set yet."}
            names = ("Start again", "Keep the old ones") if photo.points else ("Start again",)
            pressed = fields.buttons(names, whys=whys)
            if pressed is not None:
                self._begin(pressed == "Start again")
            return photo
        fields.muted("Drag the points onto the eyes, the nose and the corners of the mouth.")
        self._shows_ghost = fields.check(
            "Generic head",
            "White: where a head in the pose that was found would have its landmarks.",
            self._shows_ghost,
            default=True,
        )
        help = "Click all five on the photo, one after the other."
        if fields.button("Set all five anew", help):
            self._begin(True)
        return photo

    # ---- setting them

    def _begin(self, places: bool) -> None:
        self._places, self._placed = places, []

    def _is_placing(self, photo: Photo) -> bool:
        return self._places or len(photo.points) != 5

    def _place(self, stage: Stage, view: View) -> Photo:
        if view.is_pressed:
            self._placed.append(view.mouse)
        _paint_points(view, self._placed, None)
        if len(self._placed) < 5:
            if view.is_hovered:
                at = imgui.get_io().mouse_pos
                beside = imgui.ImVec2(at.x + fields.em(1), at.y + fields.em(0.6))
                prompt = f"Click {_PROMPTS[len(self._placed)]}"
                halo_text(beside, prompt, imgui.get_color_u32((1, 1, 1, 1)))
            return stage.photo
        points = _in_order(self._placed)
        self._begin(False)
        return photo_edits.with_points(stage.base, points, stage.recipe)

    # ---- dragging them

    def _drag(self, stage: Stage, view: View) -> Photo:
        to = self._grip.follow(view, stage.photo.points)
        held = self._grip.held
        if to is None or held is None:
            return stage.photo
        # From where they were when the hand took hold.
        points = list(stage.base.points)
        if math.dist(points[held], to) * view.scale < _STILL:
            return stage.photo
        points[held] = to
        if tuple(points) == stage.photo.points:
            return stage.photo
        return photo_edits.with_points(stage.base, points, stage.recipe)

    def _choose_face(self, stage: Stage, view: View) -> None:
        """Show the boxes of other faces; a click takes one."""
        if len(stage.faces) < 2:
            return
        on_point = nearest(view, stage.photo.points) is not None
        paint = imgui.get_window_draw_list()
        for face in stage.faces:
            left, top, right, bottom = face.box
            under = view.is_hovered and not on_point
            under = under and left <= view.mouse[0] <= right and top <= view.mouse[1] <= bottom
            is_chosen = _holds(face, stage.photo)
            color = imgui.get_color_u32((*(MARK if is_chosen else OTHER_FACE), 0.9))
            low, high = view.on_screen((left, top)), view.on_screen((right, bottom))
            paint.add_rect(low, high, color, 0.0, 2.5 if under else 1.5)
            if under and not is_chosen:
                halo_text(imgui.ImVec2(low.x, high.y), "Click to take this face", color)
                if view.is_pressed:
                    stage.choose_face(face)


def _holds(face: Face, photo: Photo) -> bool:
    """Whether the photo's landmarks are that face's."""
    left, top, right, bottom = face.box
    if len(photo.points) != 5:
        return False
    x, y = photo.points[2]
    return left <= x <= right and top <= y <= bottom


def _in_order(points: Sequence[Point]) -> tuple[Point, ...]:
    """Exchange left and right where a hand took the person's for the picture's."""
    a, b, nose, c, d = points
    is_upright = a[1] + b[1] < c[1] + d[1]
    if is_upright and a[0] > b[0] and c[0] > d[0]:
        a, b, c, d = b, a, d, c
    return (a, b, nose, c, d)


def _paint_points(view: View, points: Sequence[Point], held: int | None) -> None:
    paint = imgui.get_window_draw_list()
    under = nearest(view, points) if held is None else held
    dark = imgui.get_color_u32((0.0, 0.0, 0.0, 0.8))
    color = imgui.get_color_u32((*MARK, 1.0))
    for i, point in enumerate(points):
        at, radius = view.on_screen(point), fields.em(0.42 if i == under else 0.34)
        paint.add_circle(at, radius, dark, 0, 3.5)
        paint.add_circle(at, radius, color, 0, 1.8)
        paint.add_circle_filled(at, 1.6, color)
        if i == under:
            halo_text(imgui.ImVec2(at.x + 1.5 * radius, at.y - 2.6 * radius), NAMES[i], color)


def _paint_ghost(view: View, points: Sequence[Point]) -> None:
    paint = imgui.get_window_draw_list()
    for point in points:
        at, arm = view.on_screen(point), fields.em(0.28)
        for shade, width in (((0.0, 0.0, 0.0, 0.6), 3.0), ((*GUIDE, 0.9), 1.2)):
            color = imgui.get_color_u32(shade)
            paint.add_line((at.x - arm, at.y - arm), (at.x + arm, at.y + arm), color, width)
            paint.add_line((at.x - arm, at.y + arm), (at.x + arm, at.y - arm), color, width)
