"""What the tools of the photo editor work on, and the colours and lines they share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from imgui_bundle import ImVec2, imgui

from inversion.alignment import CropRecipe, Point
from inversion.faces import Face
from inversion.photo import Photo
from splatviz_app.inversion.desk import PANEL
from splatviz_app.inversion.previews import Previews
from splatviz_app.session import Session
from widgets import fields
from widgets.photo_canvas import View

MARK = (0.20, 0.86, 1.0)  # what the hand sets: told from skin, hair and most walls
GUIDE = (1.0, 1.0, 1.0)  # what follows from it
OTHER_FACE = (1.0, 0.72, 0.25)


@dataclass(frozen=True, eq=False)
class Stage:
    """A photo on the table."""

    session: Session
    # As it is now.
    photo: Photo
    # As it was when the hand took hold; the same photo while none does. A drag starts from it in every
    # frame, so that nothing adds up.
    base: Photo
    # Width and height of the photo, px.
    size: tuple[int, int]
    previews: Previews
    # The square that is cut for the open generator.
    recipe: CropRecipe
    # Found in the photo; the main one first.
    faces: Sequence[Face]
    choose_face: Callable[[Face], None]
    # Why it could not be prepared; empty if it could.
    problem: str


def paint_line(
    view: View, points: Sequence[Point], color: tuple[float, float, float], alpha: float = 0.55
) -> None:
    """A thin line over a photo, px of the picture, readable on light and dark."""
    places: list[imgui.ImVec2Like] = [view.on_screen(point) for point in points]
    paint = imgui.get_window_draw_list()
    paint.add_polyline(places, imgui.get_color_u32((0.0, 0.0, 0.0, 0.45 * alpha)), 3.0, 0)
    paint.add_polyline(places, imgui.get_color_u32((*color, alpha)), 1.3, 0)


def paint_note(corner: ImVec2, area: ImVec2, words: str) -> None:
    """A quiet sentence in the middle of an empty canvas."""
    imgui.set_cursor_screen_pos(corner)
    width = min(area.x - fields.em(2), fields.em(26))
    size = imgui.calc_text_size(words, False, width)
    imgui.set_cursor_screen_pos(
        ImVec2(corner.x + (area.x - size.x) / 2, corner.y + (area.y - size.y) / 2)
    )
    imgui.push_text_wrap_pos(imgui.get_cursor_pos_x() + width)
    imgui.text_colored(fields.quiet_color(), words)
    imgui.pop_text_wrap_pos()


def canvas_ground() -> int:
    """Behind a photo: darker than panels, whatever the theme."""
    return imgui.get_color_u32((0.07, 0.07, 0.08, 1.0))


def beside_panel() -> tuple[ImVec2, ImVec2]:
    """Where the window opens: over all but the column of the Inversion panel, which stays in reach."""
    view = imgui.get_main_viewport()
    low, size = view.work_pos, view.work_size
    panel = imgui.internal.find_window_by_name(PANEL)
    left, right = low.x, low.x + size.x
    if panel is not None and panel.size.x < 0.5 * size.x:
        if panel.pos.x + panel.size.x / 2 < low.x + size.x / 2:
            left = panel.pos.x + panel.size.x
        else:
            right = panel.pos.x
    bar = fields.em(2)  # of the status at the lower edge
    return ImVec2(left, low.y), ImVec2(right - left, size.y - bar)


def has_focus() -> bool:
    """Whether keys are meant for the window that is being drawn."""
    return imgui.is_window_focused(imgui.FocusedFlags_.root_and_child_windows)


def wants_out() -> bool:
    """Whether Escape was pressed, and is meant for no field or list."""
    is_busy = imgui.is_any_item_active() or imgui.is_popup_open("", imgui.PopupFlags_.any_popup)
    return imgui.is_key_pressed(imgui.Key.escape, False) and not is_busy
