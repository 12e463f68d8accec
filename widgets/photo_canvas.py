"""A picture to work on: zoomed with the wheel, moved with the right button, with handles to drag."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from imgui_bundle import ImVec2, imgui

from inversion.alignment import Point
from widgets import fields

_BUTTONS = (
    imgui.ButtonFlags_.mouse_button_left
    | imgui.ButtonFlags_.mouse_button_right
    | imgui.ButtonFlags_.mouse_button_middle
)
_WHEEL = 1.2  # per tick
_MOST_ZOOM = 40.0
_MARGIN = 0.6  # em around a picture that fits
_REACH = 0.9  # em around a handle within which the hand takes it


@dataclass(frozen=True)
class View:
    """Where a picture lies on the screen in this frame, and what the hand does there."""

    corner: Point  # of the canvas, px of the screen
    area: Point  # of the canvas, px of the screen
    origin: Point  # where the picture's upper left corner lies, px of the screen
    scale: float  # px of the screen per px of the picture
    mouse: Point  # px of the picture
    is_hovered: bool
    is_pressed: bool  # the left button went down on it in this frame
    is_held: bool  # the left button is down since

    def on_screen(self, point: Point) -> ImVec2:
        """Px of the screen for px of the picture."""
        return ImVec2(
            self.origin[0] + point[0] * self.scale, self.origin[1] + point[1] * self.scale
        )

    def reaches(self, point: Point, reach: float = _REACH) -> bool:
        """Whether the mouse is as near to a point (px of the picture) as `reach` em."""
        return math.dist(self.mouse, point) * self.scale <= fields.em(reach)


class Canvas:
    """Keeps zoom and place of one picture."""

    def __init__(self) -> None:
        """Fit whatever is shown first."""
        self.view: View | None = None  # as it was drawn last
        self._size: tuple[float, float] = (0, 0)
        self._zoom = 1.0  # times what fits
        self._middle: Point = (0.5, 0.5)  # of the canvas, in the picture's width and height
        self._wanted: tuple[Point, float] | None = None  # what is to be looked at: middle, side
        self._is_left = False  # whether the left button took hold

    @property
    def is_zoomed(self) -> bool:
        """Whether it shows anything but the whole picture."""
        return self._zoom != 1.0 or self._middle != (0.5, 0.5)

    def fit(self) -> None:
        """Show the whole picture."""
        self._zoom, self._middle, self._wanted = 1.0, (0.5, 0.5), None

    def look_at(self, middle: Point, side: float) -> None:
        """Show a square, px of the picture, as large as it fits; from the next frame on."""
        self._wanted = (middle, side)

    def draw(self, name: str, size: tuple[float, float], area: ImVec2) -> View:
        """Take the room and follow the hand; the caller paints.

        Args:
            name: Of the item.
            size: Width and height of the picture in its px.
            area: The room, px of the screen.
        """
        if size != self._size:
            self._size, self._zoom, self._middle = size, 1.0, (0.5, 0.5)
        self._follow_wish(area)
        corner = imgui.get_cursor_screen_pos()
        imgui.invisible_button(name, area, _BUTTONS)
        io, hovered = imgui.get_io(), imgui.is_item_hovered()
        pressed = imgui.is_item_activated() and imgui.is_mouse_down(0)
        if imgui.is_item_activated():
            self._is_left = pressed
        held = imgui.is_item_active() and self._is_left and imgui.is_mouse_down(0)
        if hovered:
            imgui.set_item_key_owner(imgui.Key.mouse_wheel_y)  # or the window would scroll
            if io.mouse_wheel:
                self._zoom_by(_WHEEL**io.mouse_wheel, corner, area)
        if imgui.is_item_active() and not self._is_left:
            scale = self._scale(area)
            self._middle = (
                self._middle[0] - io.mouse_delta.x / (scale * size[0]),
                self._middle[1] - io.mouse_delta.y / (scale * size[1]),
            )
            self._stay_near()
        scale, origin = self._scale(area), self._origin(corner, area)
        mouse = ((io.mouse_pos.x - origin[0]) / scale, (io.mouse_pos.y - origin[1]) / scale)
        place = ((corner.x, corner.y), (area.x, area.y))
        self.view = View(*place, origin, scale, mouse, hovered, pressed, held)
        return self.view

    def _follow_wish(self, area: ImVec2) -> None:
        if self._wanted is None:
            return
        (x, y), side = self._wanted
        self._zoom, self._wanted = 1.0, None
        zoom = min(area.x, area.y) / (self._scale(area) * side)
        if zoom <= 1.0:
            self.fit()
            return
        self._zoom = min(zoom, _MOST_ZOOM)
        self._middle = (x / self._size[0], y / self._size[1])
        self._stay_near()

    def _scale(self, area: ImVec2) -> float:
        margin = 2 * fields.em(_MARGIN)
        fits = min((area.x - margin) / self._size[0], (area.y - margin) / self._size[1])
        return max(1e-3, fits) * self._zoom

    def _origin(self, corner: ImVec2, area: ImVec2) -> Point:
        scale = self._scale(area)
        return (
            corner.x + area.x / 2 - self._middle[0] * self._size[0] * scale,
            corner.y + area.y / 2 - self._middle[1] * self._size[1] * scale,
        )

    def _zoom_by(self, factor: float, corner: ImVec2, area: ImVec2) -> None:
        """Zoom so that what lies under the mouse stays there."""
        mouse = imgui.get_io().mouse_pos
        scale, origin = self._scale(area), self._origin(corner, area)
        under = ((mouse.x - origin[0]) / scale, (mouse.y - origin[1]) / scale)
        self._zoom = min(max(self._zoom * factor, 1.0), _MOST_ZOOM)
        if self._zoom == 1.0:
            self.fit()
            return
        scale = self._scale(area)
        self._middle = (
            (under[0] + (corner.x + area.x / 2 - mouse.x) / scale) / self._size[0],
            (under[1] + (corner.y + area.y / 2 - mouse.y) / scale) / self._size[1],
        )
        self._stay_near()

    def _stay_near(self) -> None:
        x, y = (min(max(way, 0.0), 1.0) for way in self._middle)
        self._middle = (x, y)


class Grip:
    """Which of several handles the hand holds."""

    def __init__(self) -> None:
        """Hold none."""
        self.held: int | None = None
        self._offset: Point = (0.0, 0.0)  # from the mouse to the handle, px of the picture

    def follow(self, view: View, handles: Sequence[Point]) -> Point | None:
        """Where the handle that is held (`held`) shall lie now, px of the picture; None if none is."""
        if view.is_pressed:
            self.held = nearest(view, handles)
            if self.held is not None:
                x, y = handles[self.held]
                self._offset = (x - view.mouse[0], y - view.mouse[1])
        elif not view.is_held:
            self.held = None
        if self.held is None:
            return None
        return (view.mouse[0] + self._offset[0], view.mouse[1] + self._offset[1])


def nearest(view: View, handles: Sequence[Point]) -> int | None:
    """The handle under the mouse; None if there is none."""
    order = sorted(range(len(handles)), key=lambda i: math.dist(view.mouse, handles[i]))
    return order[0] if view.is_hovered and order and view.reaches(handles[order[0]]) else None


def paint_picture(view: View, texture: int, size: tuple[float, float]) -> None:
    """Paint a texture over the whole picture of a view."""
    if texture:
        low, high = view.on_screen((0.0, 0.0)), view.on_screen(size)
        imgui.get_window_draw_list().add_image(imgui.ImTextureRef(texture), low, high)


def halo_text(at: ImVec2, words: str, color: int) -> None:
    """Write over a photo so that it can be read on any ground."""
    paint, dark = imgui.get_window_draw_list(), imgui.get_color_u32((0.0, 0.0, 0.0, 0.75))
    for right, down in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        paint.add_text((at.x + right, at.y + down), dark, words)
    paint.add_text(at, color, words)
