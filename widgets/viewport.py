"""The picture: orbit with the left button, pan with the right or middle one, zoom with the wheel.

With Shift the left button draws a rectangle that selects splats.
"""

from __future__ import annotations

import math
import time

from imgui_bundle import ImVec2, hello_imgui, imgui

from renderer.camera import Vector
from splatviz_app import controls
from splatviz_app.controls import Inertia
from splatviz_app.selection import TINT, Rectangle
from splatviz_app.session import Session
from splatviz_app.window import Dock
from widgets.edit_shapes import draw_shape
from widgets.selection import select_rectangle, wanted_combination

_BUTTONS = (
    imgui.ButtonFlags_.mouse_button_left
    | imgui.ButtonFlags_.mouse_button_right
    | imgui.ButtonFlags_.mouse_button_middle
)
# A hand that rested this long before it let go does not throw the head.
_THROW_PATIENCE = 0.08  # seconds
_LEAST_RECTANGLE = 3.0  # px on a side; a smaller one is a click


class ViewportPanel:
    """Shows the newest picture and turns the hand's motion into a new rig."""

    title = "Viewport"
    dock: Dock = "main"

    def __init__(self) -> None:
        self._last_motion = 0.0  # time.monotonic() seconds
        self._orbiting = False
        self._rectangle_from: ImVec2 | None = None  # the corner at which one that is drawn began

    def visible(self, session: Session) -> bool:
        """Always: it says what to do when there is nothing to see."""
        return True

    def draw(self, session: Session) -> None:
        """Draw the picture over the whole panel, then what lies on it."""
        area = imgui.get_content_region_avail()
        if area.x < 8 or area.y < 8:
            return
        scale = imgui.get_io().display_framebuffer_scale
        session.viewport = (round(area.x * scale.x), round(area.y * scale.y))
        corner = imgui.get_cursor_screen_pos()
        far = ImVec2(corner.x + area.x, corner.y + area.y)

        imgui.invisible_button("##picture", area, _BUTTONS)
        if session.picture is not None and session.scene is not None:
            texture = imgui.ImTextureRef(session.picture.texture)
            imgui.get_window_draw_list().add_image(texture, corner, far)
            self._steer(session, corner, area)
            draw_shape(session, corner, area)
            self._draw_rectangle(session, corner, area)
        else:
            _draw_welcome(session, corner, area)
        _draw_banner(session, corner, area)
        _draw_toast(session, corner, area)

    def _steer(self, session: Session, corner: ImVec2, area: ImVec2) -> None:
        io, now = imgui.get_io(), time.monotonic()
        if imgui.is_item_hovered():
            imgui.set_item_key_owner(imgui.Key.mouse_wheel_y)  # or the dock would scroll
            place = ((io.mouse_pos.x - corner.x) / area.x, (io.mouse_pos.y - corner.y) / area.y)
            if io.mouse_wheel:
                towards = _point_under(session, place, area, or_target_plane=True)
                session.rig = controls.zoom(session.rig, io.mouse_wheel, towards)
                session.inertia = Inertia()
                session.hold()
            if imgui.is_mouse_double_clicked(imgui.MouseButton_.left):
                point = _point_under(session, place, area)
                if point is not None:
                    session.rig = controls.focus(session.rig, point)
        if imgui.is_item_activated():
            session.inertia = Inertia()
            self._orbiting = imgui.is_mouse_down(imgui.MouseButton_.left)
            selects = self._orbiting and io.key_shift
            self._rectangle_from = ImVec2(io.mouse_pos.x, io.mouse_pos.y) if selects else None
        elif imgui.is_item_active() and self._rectangle_from is None:
            # What moved the cursor here before the press turns nothing.
            moved = io.mouse_delta
            if moved.x or moved.y:
                self._last_motion = now
                before = session.rig
                if self._orbiting:
                    session.rig = controls.orbit(before, moved.x, moved.y, area.y)
                    session.inertia = session.inertia.pushed(before, session.rig, io.delta_time)
                else:
                    session.rig = controls.pan(before, moved.x, moved.y, area.y)
        if imgui.is_item_deactivated() and now - self._last_motion > _THROW_PATIENCE:
            session.inertia = Inertia()

    def _draw_rectangle(self, session: Session, corner: ImVec2, area: ImVec2) -> None:
        """Show the rectangle that the hand draws; when it lets go, select what lies inside."""
        first, io = self._rectangle_from, imgui.get_io()
        if first is None:
            return
        second = ImVec2(io.mouse_pos.x, io.mouse_pos.y)
        shade, line = imgui.get_color_u32((*TINT, 0.15)), imgui.get_color_u32((*TINT, 0.9))
        paint = imgui.get_window_draw_list()
        paint.add_rect_filled(first, second, shade)
        paint.add_rect(first, second, line)
        if not imgui.is_item_deactivated():
            return
        self._rectangle_from = None
        if min(abs(second.x - first.x), abs(second.y - first.y)) < _LEAST_RECTANGLE:
            return
        ends = [
            ((end.x - corner.x) / area.x, (end.y - corner.y) / area.y) for end in (first, second)
        ]
        select_rectangle(session, Rectangle(*ends), wanted_combination())


def _point_under(
    session: Session, place: tuple[float, float], area: ImVec2, or_target_plane: bool = False
) -> Vector | None:
    """The point of the head under the cursor; beside it None, or the point at the target's depth."""
    assert session.picture is not None
    result = session.picture.result
    height, width = result.depth.shape
    column, row = int(place[0] * width), int(place[1] * height)
    if 0 <= row < height and 0 <= column < width:
        depth = float(result.depth[row, column])
        if math.isfinite(depth):
            # With the rig of the picture, which may be a frame behind the hand.
            return controls.point_at(result.request.rig, *place, area.x / area.y, depth)
    if or_target_plane:
        return controls.point_at(session.rig, *place, area.x / area.y, None)
    return None


def _draw_welcome(session: Session, corner: ImVec2, area: ImVec2) -> None:
    if session.engine.failure is not None:
        return  # the banner says it
    if session.opening is not None or session.opened is not None:
        progress = session.opening.progress if session.opening is not None else None
        lines = [progress.message if progress is not None else "Opening the head"]
    else:
        lines = [
            "Nothing is open.",
            "",
            "Drop a generator (.pkl, .safetensors) or a head (.ply) here,",
            "or press Ctrl+O to choose one.",
        ]
    line_height = imgui.get_text_line_height_with_spacing()
    top = corner.y + (area.y - len(lines) * line_height) / 2
    for i, line in enumerate(lines):
        size = imgui.calc_text_size(line)
        at = ImVec2(corner.x + (area.x - size.x) / 2, top + i * line_height)
        muted = imgui.get_color_u32(imgui.Col_.text_disabled)
        imgui.get_window_draw_list().add_text(at, muted, line)


def _draw_banner(session: Session, corner: ImVec2, area: ImVec2) -> None:
    """One line, or a few, over the last good picture: what is wrong."""
    if not session.banner:
        return
    em = hello_imgui.em_size()
    imgui.set_cursor_screen_pos(ImVec2(corner.x + em, corner.y + em))
    imgui.push_style_color(imgui.Col_.child_bg, (0.36, 0.10, 0.10, 0.94))
    imgui.push_style_color(imgui.Col_.text, (1.0, 0.94, 0.92, 1.0))
    flags = imgui.ChildFlags_.auto_resize_y | imgui.ChildFlags_.always_use_window_padding
    if imgui.begin_child("banner", ImVec2(area.x - 2 * em, 0), flags):
        imgui.text_wrapped(session.banner)
        if imgui.small_button("Copy"):
            imgui.set_clipboard_text(session.banner)
        imgui.same_line()
        if imgui.small_button("Dismiss"):
            session.banner = ""
    imgui.end_child()
    imgui.pop_style_color(2)


def _draw_toast(session: Session, corner: ImVec2, area: ImVec2) -> None:
    """A confirmation at the lower edge that goes by itself."""
    left = session.toast_until - time.monotonic()
    if not session.toast or left <= 0:
        return
    em = hello_imgui.em_size()
    text = (
        session.toast if len(session.toast) < 110 else f"{session.toast[:60]}…{session.toast[-46:]}"
    )
    size, canvas = imgui.calc_text_size(text), imgui.get_window_draw_list()
    x = corner.x + (area.x - size.x) / 2
    y = corner.y + area.y - size.y - 1.5 * em
    alpha = min(1.0, left / 0.4)
    pad = 0.6 * em
    back = imgui.get_color_u32((0.08, 0.09, 0.10, 0.86 * alpha))
    canvas.add_rect_filled(
        ImVec2(x - pad, y - pad / 2), ImVec2(x + size.x + pad, y + size.y + pad / 2), back, 4
    )
    canvas.add_text(ImVec2(x, y), imgui.get_color_u32((0.92, 0.94, 0.92, alpha)), text)
