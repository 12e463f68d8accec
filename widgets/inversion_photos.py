"""Step 1 of the Inversion panel: the photos, as tiles to choose, to leave out, to order and to remove."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from imgui_bundle import imgui

from inversion.photo import Photo
from inversion.pictures import PICTURE_SUFFIXES
from splatviz_app.engine import Job, JobState
from splatviz_app.inversion import photo_edits
from splatviz_app.inversion.photo_jobs import Pasted, paste
from splatviz_app.session import Session
from widgets import fields
from widgets.file_dialog import FileDialog
from widgets.photo_choice import LiveTexture, PhotoChoice
from widgets.photo_editor import PhotoEditor
from widgets.training_view import fitted

PRIVATE = "Pictures never leave this computer."
State = Literal["new", "preparing", "prepared", "problem"]

_TILE = 6.2  # em, the least width of one
_SHARP = 192  # px of a tile's picture
_PAYLOAD = "photo"  # of drag and drop
_HELP = {
    "Open…": f"Photos of one person, several at once: {', '.join(PICTURE_SUFFIXES)}. "
    "Or drop the files on the window.",
    "Paste": "Take the picture in the clipboard. (Ctrl+V over this panel)",
    "Webcam…": "Take photos with a camera, or out of a video file. It is opened only then.",
}
_SAYS: dict[State, str] = {
    "new": "Not prepared yet: press Prepare.",
    "preparing": "It is being prepared.",
    "prepared": "Ready.",
    "problem": "",
}


class PhotoWells:
    """Draws the photos of the session and what adds to them."""

    def __init__(
        self, choice: PhotoChoice, editor: PhotoEditor, open_webcam: Callable[[], None]
    ) -> None:
        """Take what is shared: the chosen photo, its editor, and the way to the camera."""
        self._choice, self._editor, self._open_webcam = choice, editor, open_webcam
        self._dialog = FileDialog("photos")
        self._pasting: Job | None = None
        # By the content of their photo, and how many of the same come before.
        self._tiles: dict[tuple[bytes, int], LiveTexture] = {}

    def draw(self, session: Session) -> None:
        """Draw buttons and tiles."""
        whys = {"Paste": "The clipboard is being read." if self._pasting is not None else ""}
        pressed = fields.buttons(("Open…", "Paste", "Webcam…"), _HELP, whys)
        if pressed == "Open…":
            self.ask_for_files(session)
        elif pressed == "Paste":
            self.paste(session)
        elif pressed == "Webcam…":
            self._open_webcam()
        if not session.inversion.photos:
            fields.empty(
                "A photo becomes a head.",
                "Open one or more photos of a person, drop them on the window, paste one, or take some "
                f"with a camera. From the front and evenly lit is best. {PRIVATE}",
            )
            return
        fields.gap(0.2)
        self._draw_tiles(session)
        fields.muted(f"{PRIVATE} Drag a tile to move it; right-click for more.")

    def ask_for_files(self, session: Session) -> None:
        """Let the user choose pictures; `poll` adds them."""
        folder = session.preferences.folder
        self._dialog.open_file("Open photos", PICTURE_SUFFIXES, folder, "Pictures", several=True)

    def paste(self, session: Session) -> None:
        """Add the picture in the clipboard; `poll` follows up."""
        if self._pasting is None:
            self._pasting = session.start_job("Paste", paste())

    def poll(self, session: Session) -> None:
        """Follow up on the dialog and the clipboard; every frame, also while the panel is hidden."""
        chosen = self._dialog.poll_several()
        if chosen:
            session.inversion.add_files(chosen)
        if self._pasting is not None and self._pasting.state.is_over:
            job, self._pasting = self._pasting, None
            if job.state is JobState.DONE and isinstance(job.result, Pasted):
                if job.result.picture is not None:
                    session.inversion.add_picture(job.result.picture)
                elif job.result.files:
                    session.inversion.add_files(job.result.files)

    # ---- the tiles

    def _draw_tiles(self, session: Session) -> None:
        between = imgui.get_style().item_spacing.x
        room = imgui.get_content_region_avail().x
        columns = max(1, int((room + between) / (fields.em(_TILE) + between)))
        side = (room - (columns - 1) * between) / columns
        photos = session.inversion.photos
        keys = [(p.content, twin_number(photos, i)) for i, p in enumerate(photos)]
        self._tiles = {key: self._tiles.get(key) or LiveTexture() for key in keys}
        for index, photo in enumerate(photos):
            if index % columns:
                imgui.same_line()
            imgui.begin_group()
            self._draw_tile(session, index, photo, side)
            imgui.end_group()
            if session.inversion.photos is not photos:
                return  # moved or removed: the next frame draws them as they are now

    def _draw_tile(self, session: Session, index: int, photo: Photo, side: float) -> None:
        """A picture to click, and below it its name with a box that leaves it out."""
        corner = imgui.get_cursor_screen_pos()
        desk = session.inversion
        state = state_of(session, photo)
        imgui.set_next_item_allow_overlap()  # the cross lies on it
        if imgui.invisible_button(f"##Photo {index}", (side, side)):
            self._choice.choose(photo)
        is_twice = imgui.is_item_hovered() and imgui.is_mouse_double_clicked(0)
        says = _SAYS[state] or desk.problem(photo)
        fields.tooltip(f"{photo.name}\n{says}\nDouble-click to look closely and to correct it.")
        is_chosen = self._choice.index(session) == index
        self._paint(session, index, corner, (side, is_chosen, state))
        self._draw_menu(session, index, photo)
        self._drag_and_drop(session, index, photo)
        if is_twice:
            self._choice.choose(photo)
            self._editor.open()
        if _draw_cross(index, corner, side):
            desk.photos = photo_edits.removed(desk.photos, index)
        _, used = imgui.checkbox(f"##Use {index}", photo.used)
        fields.tooltip("Whether inversion looks at this photo.")
        if used != photo.used:
            changed = replace(photo, used=used)
            desk.photos = photo_edits.replaced(desk.photos, index, changed)
        imgui.same_line(0, fields.em(0.3))
        width = side - (imgui.get_cursor_screen_pos().x - corner.x)
        imgui.align_text_to_frame_padding()
        imgui.text_unformatted(fitted(photo.name, width))

    def _paint(
        self,
        session: Session,
        index: int,
        corner: imgui.ImVec2,
        how: tuple[float, bool, State],
    ) -> None:
        side, is_chosen, state = how
        photo = session.inversion.photos[index]
        twin = twin_number(session.inversion.photos, index)
        pixels = self._choice.previews(session).thumbnail(photo, _SHARP, twin)
        tile = self._tiles[photo.content, twin]
        texture = tile.of(session, pixels) if pixels is not None else 0
        fields.tile(texture, corner, side, not photo.used, is_chosen)
        _paint_state(corner, side, state)

    def _draw_menu(self, session: Session, index: int, photo: Photo) -> None:
        if not imgui.begin_popup_context_item(f"photo {index}"):
            return
        desk, last = session.inversion, len(session.inversion.photos) - 1
        if imgui.menu_item(f"Look closely…##{index}", "", False)[0]:
            self._choice.choose(photo)
            self._editor.open()
        if imgui.menu_item(f"Prepare again##{index}", "", False)[0]:
            desk.prepare((index,))
        imgui.separator()
        if imgui.menu_item(f"Move left##{index}", "", False, index > 0)[0]:
            desk.photos = photo_edits.moved_to(desk.photos, index, index - 1)
        if imgui.menu_item(f"Move right##{index}", "", False, index < last)[0]:
            desk.photos = photo_edits.moved_to(desk.photos, index, index + 1)
        imgui.separator()
        if imgui.menu_item(f"Remove##{index}", "", False)[0]:
            desk.photos = photo_edits.removed(desk.photos, index)
        if last and imgui.menu_item(f"Remove all##{index}", "", False)[0]:
            desk.photos = ()
        imgui.end_popup()

    def _drag_and_drop(self, session: Session, index: int, photo: Photo) -> None:
        """Let a tile be dragged onto another: it takes that place."""
        desk = session.inversion
        if imgui.begin_drag_drop_source(imgui.DragDropFlags_.source_no_hold_to_open_others):
            imgui.set_drag_drop_payload_py_id(_PAYLOAD, index)
            imgui.text_unformatted(photo.name)
            imgui.end_drag_drop_source()
        if imgui.begin_drag_drop_target():
            dropped = imgui.accept_drag_drop_payload_py_id(_PAYLOAD)
            if dropped is not None and dropped.data_id < len(desk.photos):
                desk.photos = photo_edits.moved_to(desk.photos, dropped.data_id, index)
            imgui.end_drag_drop_target()


def _draw_cross(index: int, corner: imgui.ImVec2, side: float) -> bool:
    """A cross on a tile under the mouse that removes it; whether it was pressed."""
    far = imgui.ImVec2(corner.x + side, corner.y + side)
    # Also while it is held down itself.
    flags = imgui.HoveredFlags_.allow_when_blocked_by_active_item
    is_near = imgui.is_window_hovered(flags) and imgui.is_mouse_hovering_rect(corner, far)
    if not is_near or imgui.get_drag_drop_payload_py_id() is not None:
        return False
    below, size = imgui.get_cursor_screen_pos(), fields.em(1.3)
    imgui.set_cursor_screen_pos(imgui.ImVec2(corner.x + 0.15 * size, corner.y + 0.15 * size))
    pressed = imgui.invisible_button(f"##Remove {index}", (size, size))
    fields.tooltip("Remove this photo. Undo brings it back.")
    low, paint = imgui.get_item_rect_min(), imgui.get_window_draw_list()
    x, y, arm = low.x + size / 2, low.y + size / 2, 0.2 * size
    shade = 0.95 if imgui.is_item_hovered() else 0.7
    paint.add_circle_filled((x, y), size / 2, imgui.get_color_u32((0.1, 0.1, 0.11, shade)))
    color = imgui.get_color_u32((1.0, 1.0, 1.0, shade))
    paint.add_line((x - arm, y - arm), (x + arm, y + arm), color, 1.6)
    paint.add_line((x - arm, y + arm), (x + arm, y - arm), color, 1.6)
    imgui.set_cursor_screen_pos(below)
    return pressed


def twin_number(photos: Sequence[Photo], index: int) -> int:
    """How many photos of the same content come before one: a file may be opened twice."""
    content = photos[index].content
    return sum(photo.content == content for photo in photos[:index])


def state_of(session: Session, photo: Photo) -> State:
    """How far a photo is."""
    if session.inversion.is_preparing_photo(photo):
        return "preparing"
    if photo.is_ready:
        return "prepared"
    return "problem" if session.inversion.problem(photo) else "new"


def _paint_state(corner: imgui.ImVec2, side: float, state: State) -> None:
    """A mark in the corner of a tile: a tick, an exclamation mark, or dots."""
    paint, radius = imgui.get_window_draw_list(), fields.em(0.55)
    x, y = corner.x + side - 1.45 * radius, corner.y + 1.45 * radius
    if state == "prepared":
        ground, ink = (0.16, 0.48, 0.26, 0.95), (1.0, 1.0, 1.0, 1.0)
    elif state == "problem":
        ground, ink = (0.74, 0.20, 0.16, 0.95), (1.0, 1.0, 1.0, 1.0)
    else:
        ground, ink = (0.10, 0.10, 0.11, 0.85), (0.85, 0.85, 0.85, 1.0)
    color, r = imgui.get_color_u32(ink), radius
    paint.add_circle_filled((x, y), r, imgui.get_color_u32(ground))
    if state == "prepared":
        tick = (
            (x - 0.45 * r, y + 0.02 * r),
            (x - 0.12 * r, y + 0.38 * r),
            (x + 0.48 * r, y - 0.36 * r),
        )
        paint.add_polyline([imgui.ImVec2(*p) for p in tick], color, 1.8, 0)
    elif state == "problem":
        paint.add_line((x, y - 0.5 * r), (x, y + 0.12 * r), color, 2.0)
        paint.add_circle_filled((x, y + 0.46 * r), 1.4, color)
    else:
        step = int(3 * imgui.get_time()) % 3 if state == "preparing" else -1
        for i in range(3):
            size = 2.0 if i == step else 1.3
            paint.add_circle_filled((x + (i - 1) * 0.42 * r, y), size, color)
