"""The latent pad: a square to walk in with the hand. Knows places in [-1, 1]², nothing of models."""

from __future__ import annotations

import math
from collections import deque
from itertools import pairwise

from imgui_bundle import imgui

from widgets import fields

Place = tuple[float, float]  # x to the right, y upward, each -1 to 1

_FINE = 0.1  # a dragged px counts this much while Shift is held
_NUDGE = 0.01  # an arrow key; times ten with Ctrl
_TRAIL = 24  # places
_APART = 0.04  # places of the trail are at least this far apart


class Pad:
    """Draws nodes, trail and crosshair, and gives back where the hand went."""

    def __init__(self, nodes_per_side: int) -> None:
        """Show nodes_per_side² nodes, at the middles of equal cells."""
        self._nodes = nodes_per_side
        self._trail: deque[Place] = deque(maxlen=_TRAIL)
        self.has_keyboard = False  # whether the arrow keys belong to it
        self._grip: Place = (0.0, 0.0)  # where an exact mouse would be, before clamping

    def draw(self, name: str, place: Place, side: float) -> Place:
        """Draw a square of `side` px and return the place after this frame."""
        corner = imgui.get_cursor_screen_pos()
        imgui.invisible_button(name, (side, side), imgui.ButtonFlags_.enable_nav)
        place = self._follow_mouse(place, corner, side)
        # ImGui gives the focus to a window's first item unasked; the arrows only go to a clicked pad.
        self.has_keyboard = imgui.is_item_focused() and (
            self.has_keyboard or imgui.is_item_active()
        )
        if self.has_keyboard:
            place = _follow_keys(place)
        self._remember(place)
        self._paint(place, corner, side)
        return place

    def forget(self) -> None:
        """Begin a new trail: another seed is another plane."""
        self._trail.clear()

    def _follow_mouse(self, place: Place, corner: imgui.ImVec2, side: float) -> Place:
        io = imgui.get_io()
        if imgui.is_item_activated() and imgui.is_mouse_down(0):
            # Shift takes hold of the crosshair where it is; without it the crosshair jumps to the hand.
            self._grip = place if io.key_shift else _place_at(io.mouse_pos, corner, side)
        elif imgui.is_item_active() and imgui.is_mouse_down(0):
            speed = 2 / side * (_FINE if io.key_shift else 1)
            x, y = self._grip
            self._grip = (x + io.mouse_delta.x * speed, y - io.mouse_delta.y * speed)
        else:
            return place
        return _clamped(self._grip)

    def _remember(self, place: Place) -> None:
        if not self._trail or math.dist(self._trail[-1], place) > _APART:
            self._trail.append(place)

    def _paint(self, place: Place, corner: imgui.ImVec2, side: float) -> None:
        far = imgui.ImVec2(corner.x + side, corner.y + side)
        active = imgui.is_item_active() or imgui.is_item_hovered()
        paint = imgui.get_window_draw_list()
        rounding = imgui.get_style().frame_rounding
        paint.add_rect_filled(corner, far, _shade(imgui.Col_.frame_bg), rounding)
        paint.push_clip_rect(corner, far, True)
        self._paint_nodes(paint, corner, side)
        self._paint_trail(paint, corner, side)
        x, y = _pixel(place, corner, side)
        line = _shade(imgui.Col_.text, 0.22)
        paint.add_line((corner.x, y), (far.x, y), line)
        paint.add_line((x, corner.y), (x, far.y), line)
        paint.add_circle_filled((x, y), fields.em(0.42), _shade(imgui.Col_.window_bg))
        paint.add_circle_filled((x, y), fields.em(0.30), _shade(imgui.Col_.text))
        paint.add_circle((x, y), fields.em(0.42), _shade(imgui.Col_.text, 0.9), 0, 1.5)
        paint.pop_clip_rect()
        border = _shade(imgui.Col_.border, 1.0 if active else 0.6)
        paint.add_rect(corner, far, _accent(1.0) if self.has_keyboard else border, rounding)

    def _paint_nodes(self, paint: imgui.ImDrawList, corner: imgui.ImVec2, side: float) -> None:
        dot, radius = _shade(imgui.Col_.text, 0.35), fields.em(0.10)
        middles = [-1 + (2 * i + 1) / self._nodes for i in range(self._nodes)]
        for y in middles:
            for x in middles:
                paint.add_circle_filled(_pixel((x, y), corner, side), radius, dot)

    def _paint_trail(self, paint: imgui.ImDrawList, corner: imgui.ImVec2, side: float) -> None:
        places = [_pixel(place, corner, side) for place in self._trail]
        for i, (a, b) in enumerate(pairwise(places), start=1):
            fade = 0.9 * i / len(places)
            paint.add_line(a, b, _accent(fade), 2.0)
            paint.add_circle_filled(a, fields.em(0.12), _accent(fade))


def _follow_keys(place: Place) -> Place:
    """Arrows walk while the pad has the keyboard."""
    step = _NUDGE * (10 if imgui.get_io().key_ctrl else 1)
    x, y = place
    for key, right, up in (
        (imgui.Key.left_arrow, -1, 0),
        (imgui.Key.right_arrow, 1, 0),
        (imgui.Key.down_arrow, 0, -1),
        (imgui.Key.up_arrow, 0, 1),
    ):
        imgui.set_item_key_owner(key)  # or they would move the keyboard to another control
        if imgui.is_key_pressed(key):
            x, y = x + right * step, y + up * step
    return _clamped((x, y)) if (x, y) != place else place


def _place_at(mouse: imgui.ImVec2, corner: imgui.ImVec2, side: float) -> Place:
    return (2 * (mouse.x - corner.x) / side - 1, 1 - 2 * (mouse.y - corner.y) / side)


def _pixel(place: Place, corner: imgui.ImVec2, side: float) -> tuple[float, float]:
    return (corner.x + (place[0] + 1) / 2 * side, corner.y + (1 - place[1]) / 2 * side)


def _clamped(place: Place) -> Place:
    x, y = (round(min(max(way, -1.0), 1.0), 4) for way in place)
    return (x, y)


def _accent(alpha: float) -> int:
    """The theme's colour of what is chosen, nearer to its text so that it stands out."""
    chosen = imgui.get_style_color_vec4(imgui.Col_.tab_selected)
    text = imgui.get_style_color_vec4(imgui.Col_.text)
    red, green, blue = (
        0.6 * a + 0.4 * b
        for a, b in zip((chosen.x, chosen.y, chosen.z), (text.x, text.y, text.z), strict=True)
    )
    return imgui.get_color_u32((red, green, blue, alpha))


def _shade(color: int, alpha: float = 1.0) -> int:
    return imgui.get_color_u32(color, alpha)
