"""Photo and head side by side, with a divider to drag over them, or their difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from imgui_bundle import ImVec2, imgui

from renderer.camera import Camera, OrbitRig
from splatviz_app.inversion.comparison import AMPLIFICATION, difference, over_white
from splatviz_app.session import Session
from widgets import fields
from widgets.strip import draw_strip

TITLE = "Compare photo and head"
_WIPE, _TARGET, _RESULT, _DIFFERENCE, _ALL = "Wipe", "Target", "Result", "Difference", "All"
_HELP = {
    _WIPE: "Drag over the picture: the photo lies left of the line, the head right of it.",
    _TARGET: "The photo as it is compared: cut out, over the background of the head.",
    _RESULT: "The head from the photo's camera.",
    _DIFFERENCE: f"How far the colours lie apart, {AMPLIFICATION} times brighter. Black is the same.",
    _ALL: "Target, result and difference side by side.",
}
_LABELS = {_DIFFERENCE: f"Difference ×{AMPLIFICATION}"}
_MOST = 18.0  # em, the side of the picture in the panel
_TILE = 2.8  # em, the side of a view in small
_LARGE = (56.0, 22.8)  # em, the window at first
_RIGHT = 0.6  # of the main window's width, where it appears: beside the panel
_WAITING = "The head is not drawn yet."


@dataclass(frozen=True, eq=False)
class View:
    """What is compared: one photo with the head from its camera."""

    name: str
    # As it is compared: what counts of it is opaque and lies over white. [S, S, 4] uint8
    target: np.ndarray
    # The head; None while it was not drawn. [S, S, 4] uint8
    result: np.ndarray | None
    # That the head is seen by.
    camera: Camera | None


class Comparison:
    """Draws one view at a time, in the panel and larger in a window of its own."""

    def __init__(self) -> None:
        """Begin with the first view, the line in the middle."""
        self.is_large = False  # whether the window is open
        self._index = 0
        self._mode, self._large_mode = _WIPE, _ALL
        self._wipe = 0.5  # where the line is, 0 at the left edge
        self._shown: dict[
            str, np.ndarray
        ] = {}  # by place: what is painted until a newer one is there
        self._apart: tuple[object, object, np.ndarray] | None = None  # target, result, difference
        self._white: tuple[object, np.ndarray] | None = None  # target, the same over white

    def draw(self, session: Session, views: Sequence[View]) -> None:
        """Draw into the panel."""
        view = self._choose(session, views)
        modes = (_WIPE, _TARGET, _RESULT, _DIFFERENCE)
        self._mode = draw_strip("compare", modes, self._mode, _HELP) or self._mode
        space = imgui.get_content_region_avail().x
        side = min(space, fields.em(_MOST))
        imgui.set_cursor_pos_x(imgui.get_cursor_pos_x() + (space - side) / 2)
        self._draw_mode(session, view, self._mode, side, "panel")
        names = ("Look from its camera", "Larger")
        help = {
            names[0]: "Turn the viewport to where the photo was taken from (but for its tilt).",
            names[1]: "Compare in a window of its own.",
        }
        why = "" if view.camera is not None else "Its camera is not known."
        pressed = fields.buttons(names, help, {names[0]: why})
        if pressed == names[0] and view.camera is not None:
            session.rig = OrbitRig.from_camera(view.camera)
        elif pressed == names[1]:
            self.is_large = True

    def draw_window(self, session: Session, views: Sequence[View]) -> None:
        """Draw the window of its own, if it is open; once per frame, over everything."""
        if not self.is_large:
            return
        main = imgui.get_main_viewport()
        size = ImVec2(
            min(fields.em(_LARGE[0]), main.size.x), min(fields.em(_LARGE[1]), main.size.y)
        )
        imgui.set_next_window_size(size, imgui.Cond_.appearing)
        middle = ImVec2(main.pos.x + _RIGHT * main.size.x, main.get_center().y)
        imgui.set_next_window_pos(middle, imgui.Cond_.appearing, ImVec2(0.5, 0.5))
        flags = imgui.WindowFlags_.no_saved_settings | imgui.WindowFlags_.no_collapse
        shown, stays = imgui.begin(TITLE, True, flags)
        if shown:
            self._draw_large(session, views)
            if imgui.is_window_focused() and imgui.is_key_pressed(imgui.Key.escape, False):
                stays = False
        imgui.end()
        self.is_large = bool(stays)

    # ---- inside

    def _choose(self, session: Session, views: Sequence[View]) -> View:
        """Let the user choose among several views."""
        self._index = min(self._index, len(views) - 1)
        if len(views) > 1:
            side, between = fields.em(_TILE), fields.em(0.3)
            columns = max(1, int((imgui.get_content_region_avail().x + between) / (side + between)))
            for i, view in enumerate(views):
                if i % columns:
                    imgui.same_line(0, between)
                if self._draw_tile(session, view, i, side):
                    self._index = i
        return views[self._index]

    def _draw_tile(self, session: Session, view: View, index: int, side: float) -> bool:
        """One view in small; whether it was clicked."""
        corner = imgui.get_cursor_screen_pos()
        pressed = imgui.invisible_button(f"##View {index + 1}", (side, side))
        fields.tooltip(view.name)
        far, paint = ImVec2(corner.x + side, corner.y + side), imgui.get_window_draw_list()
        texture = session.textures.of(view.target)
        if texture:
            paint.add_rect_filled(corner, far, imgui.get_color_u32((1, 1, 1, 1)))
            paint.add_image(imgui.ImTextureRef(texture), corner, far)
        is_chosen = index == self._index
        if is_chosen or imgui.is_item_hovered():
            kind = imgui.Col_.tab_selected if is_chosen else imgui.Col_.border
            paint.add_rect(corner, far, imgui.get_color_u32(kind), 0.0, 3.0 if is_chosen else 2.0)
        return pressed

    def _draw_large(self, session: Session, views: Sequence[View]) -> None:
        if not views:
            fields.empty("There is nothing to compare.", "It is filled by an inversion.")
            return
        view = self._choose(session, views)
        modes = (_ALL, _WIPE, _TARGET, _RESULT, _DIFFERENCE)
        self._large_mode = draw_strip("large", modes, self._large_mode, _HELP) or self._large_mode
        parts = (_TARGET, _RESULT, _DIFFERENCE) if self._large_mode == _ALL else (self._large_mode,)
        space, between = imgui.get_content_region_avail(), imgui.get_style().item_spacing.x
        room = space.x - between * (len(parts) - 1)
        side = max(1.0, min(room / len(parts), space.y))
        left = (room - side * len(parts)) / 2
        imgui.set_cursor_pos_x(imgui.get_cursor_pos_x() + left)
        for i, part in enumerate(parts):
            if i:
                imgui.same_line()
            self._draw_mode(session, view, part, side, f"large {part}")

    def _draw_mode(self, session: Session, view: View, mode: str, side: float, key: str) -> None:
        """Paint a view in a square of `side` px."""
        corner = imgui.get_cursor_screen_pos()
        imgui.invisible_button(f"##Picture {key}", (side, side))
        target = self._texture(session, f"{key} target {view.name}", view.target)
        if mode == _TARGET:
            _paint(corner, side, target, mode)
            return
        if view.result is None:
            _paint(corner, side, target if mode == _WIPE else 0, "")
            _write(corner, side, _WAITING, (0.5, 0.5))
            return
        if mode == _DIFFERENCE:
            apart = self._difference(view.target, view.result)
            _paint(corner, side, self._texture(session, f"{key} apart {view.name}", apart), mode)
            return
        result = self._texture(session, f"{key} result {view.name}", view.result)
        if mode == _RESULT:
            _paint(corner, side, result, mode)
            return
        if imgui.is_item_active():
            at = (imgui.get_io().mouse_pos.x - corner.x) / side
            self._wipe = min(max(at, 0.0), 1.0)
        if imgui.is_item_hovered():
            imgui.set_mouse_cursor(imgui.MouseCursor_.resize_ew)
        _paint_wipe(corner, side, (target, result), self._wipe)

    def _texture(self, session: Session, place: str, pixels: np.ndarray) -> int:
        """The texture of a picture; until it is there, that of the one before it in this place."""
        texture = session.textures.of(pixels)
        before = self._shown.get(place)
        if texture or before is None:
            self._shown[place] = pixels
            return texture
        return session.textures.of(before)

    def _difference(self, target: np.ndarray, result: np.ndarray) -> np.ndarray:
        known, white = self._apart, self._white
        if white is None or white[0] is not target:
            white = self._white = (target, over_white(target))
        if known is None or known[0] is not target or known[1] is not result:
            known = self._apart = (target, result, difference(white[1], result))
        return known[2]


def _paint(corner: ImVec2, side: float, texture: int, label: str) -> None:
    far, paint = ImVec2(corner.x + side, corner.y + side), imgui.get_window_draw_list()
    back = imgui.get_color_u32((1, 1, 1, 1) if texture else imgui.Col_.frame_bg)
    paint.add_rect_filled(corner, far, back)
    if texture:
        paint.add_image(imgui.ImTextureRef(texture), corner, far)
    if label:
        _write(corner, side, _LABELS.get(label, label), (0.0, 1.0))


def _paint_wipe(corner: ImVec2, side: float, textures: tuple[int, int], at: float) -> None:
    """The first picture left of the line, the second right of it."""
    paint, line = imgui.get_window_draw_list(), corner.x + at * side
    low, high = corner.y, corner.y + side
    white = imgui.get_color_u32((1, 1, 1, 1))
    paint.add_rect_filled(corner, (corner.x + side, high), white)
    for texture, begin, end in ((textures[0], 0.0, at), (textures[1], at, 1.0)):
        if texture and end > begin:
            first, last = (corner.x + begin * side, low), (corner.x + end * side, high)
            paint.add_image(imgui.ImTextureRef(texture), first, last, (begin, 0), (end, 1))
    dark, bright = imgui.get_color_u32((0, 0, 0, 0.5)), imgui.get_color_u32((1, 1, 1, 0.9))
    paint.add_line((line, low), (line, high), dark, fields.em(0.25))
    paint.add_line((line, low), (line, high), bright, fields.em(0.1))
    middle = (line, (low + high) / 2)
    paint.add_circle_filled(middle, fields.em(0.5), bright)
    paint.add_circle(middle, fields.em(0.5), dark)
    _write(corner, side, _TARGET, (0.0, 1.0))
    _write(corner, side, _RESULT, (1.0, 1.0))


def _write(corner: ImVec2, side: float, text: str, at: tuple[float, float]) -> None:
    """A label on a picture; `at` is its place there, (0, 0) the upper left corner."""
    size, pad = imgui.calc_text_size(text), fields.em(0.3)
    x = corner.x + pad + at[0] * (side - size.x - 4 * pad)
    y = corner.y + pad + at[1] * (side - size.y - 3 * pad)
    paint = imgui.get_window_draw_list()
    back, front = imgui.get_color_u32((0, 0, 0, 0.6)), imgui.get_color_u32((1, 1, 1, 1))
    paint.add_rect_filled((x, y), (x + size.x + 2 * pad, y + size.y + pad), back, pad)
    paint.add_text((x + pad, y + 0.5 * pad), front, text)
