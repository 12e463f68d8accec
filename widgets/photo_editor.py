"""A large window to look at one photo closely and to correct what was found in it."""

from __future__ import annotations

import math
from typing import Literal

from imgui_bundle import ImVec2, imgui

from inversion.photo import Photo
from splatviz_app.inversion.previews import Decoded
from splatviz_app.session import Session
from widgets import fields
from widgets.matte_methods import MatteMethods
from widgets.photo_canvas import Canvas, View, halo_text, paint_picture
from widgets.photo_choice import LiveTexture, PhotoChoice
from widgets.photo_crop import CropTool
from widgets.photo_facts import draw_facts
from widgets.photo_landmarks import LandmarkTool
from widgets.photo_matte import SIDE, MatteTool
from widgets.photo_stage import Stage, beside_panel, canvas_ground, has_focus, paint_note, wants_out

TITLE = "Photo"
Mode = Literal["landmarks", "crop", "matte"]

_MODES: dict[Mode, str] = {"landmarks": "Landmarks", "crop": "Crop", "matte": "Matte"}
_COLUMN = 17.5  # em, the rows beside the photo
_PREVIEW = 384  # px of the crop that is shown there
_LEAST = (40.0, 26.0)  # em of the window
_AROUND = {"landmarks": 1.1, "crop": 1.6}  # sides of the crop that are in sight at first
_KEYS = "Wheel: zoom. Right drag: move. Ctrl+Z: undo."


class PhotoEditor:
    """The chosen photo with three tools: landmarks, crop, matte."""

    def __init__(self, choice: PhotoChoice, methods: MatteMethods) -> None:
        """Take what is shared with the panel: the chosen photo, and the methods there are."""
        self._choice = choice
        self._landmarks, self._crop = LandmarkTool(), CropTool()
        self._matte = MatteTool(choice, methods)
        self._canvases: dict[Mode, Canvas] = {mode: Canvas() for mode in _MODES}
        self._mode: Mode = "landmarks"
        self._is_open = False
        self._comes = False  # to the front, in the next frame
        self.has_focus = False  # whether keys are meant for it
        self._content = b""  # of the photo shown last
        self._base: Photo | None = None  # the photo when the hand took hold
        self._preview, self._outside = LiveTexture(), LiveTexture()

    @property
    def view(self) -> View | None:
        """Where the picture lay on the screen when it was drawn last."""
        return self._canvases[self._mode].view

    @property
    def is_open(self) -> bool:
        """Whether it is shown."""
        return self._is_open

    def open(self, mode: Mode | None = None) -> None:
        """Show the chosen photo, in front."""
        self._is_open, self._comes = True, True
        self._mode = mode or self._mode

    def poll(self, session: Session) -> None:
        """Draw the window while it is open, and follow up on its jobs; every frame."""
        self._matte.poll(session)
        self.has_focus = False
        if self._is_open:
            self._draw_window(session)

    def draw(self, session: Session) -> None:
        """Draw what is in the window."""
        photo = self._choice.photo(session)
        if photo is None:
            fields.empty("There are no photos yet.", "Add one in the Inversion panel.")
            return
        self._draw_bar(session, photo)
        if photo.content != self._content:  # another photo
            self._content = photo.content
            for mode in _MODES:
                self._look_at_face(mode, photo)
        previews = self._choice.previews(session)
        decoded = previews.picture(photo)
        corner, room = imgui.get_cursor_screen_pos(), imgui.get_content_region_avail()
        between = imgui.get_style().item_spacing.x
        area = ImVec2(max(50.0, room.x - fields.em(_COLUMN) - between), max(50.0, room.y))
        if decoded is None:
            imgui.get_window_draw_list().add_rect_filled(
                corner, (corner.x + area.x, corner.y + area.y), canvas_ground()
            )
            paint_note(corner, area, previews.problem(photo) or "Reading the photo…")
            return
        stage = self._stage(session, photo, decoded)
        changed = self._draw_canvas(stage, decoded, area)
        imgui.same_line()
        if imgui.begin_child("##Column", (0, area.y)):
            changed = self._draw_column(stage, changed)
        imgui.end_child()
        self._matte.follow(photo, changed)
        self._choice.replace(session, changed)

    # ---- the window

    def _draw_window(self, session: Session) -> None:
        place, size = beside_panel()
        imgui.set_next_window_pos(place, imgui.Cond_.appearing)
        imgui.set_next_window_size(size, imgui.Cond_.appearing)
        least = ImVec2(fields.em(_LEAST[0]), fields.em(_LEAST[1]))
        imgui.set_next_window_size_constraints(least, ImVec2(math.inf, math.inf))
        if self._comes:
            imgui.set_next_window_focus()
            self._comes = False
        flags = imgui.WindowFlags_.no_saved_settings | imgui.WindowFlags_.no_collapse
        flags |= imgui.WindowFlags_.no_scrollbar | imgui.WindowFlags_.no_scroll_with_mouse
        photo = self._choice.photo(session)
        title = f"{TITLE}: {photo.name}###{TITLE}" if photo is not None else f"{TITLE}###{TITLE}"
        shown, stays = imgui.begin(title, True, flags)
        if shown:
            self.has_focus = has_focus()
            self.draw(session)
        imgui.end()
        self._is_open = bool(stays) and not (self.has_focus and wants_out())

    def _draw_bar(self, session: Session, photo: Photo) -> None:
        """Which tool, which photo, and the way back to the whole picture."""
        imgui.push_style_var(imgui.StyleVar_.frame_padding, (fields.em(0.7), fields.em(0.3)))
        for mode, name in _MODES.items():
            kind = imgui.Col_.tab_selected if mode == self._mode else imgui.Col_.frame_bg
            imgui.push_style_color(imgui.Col_.button, imgui.get_style_color_vec4(kind))
            if imgui.button(name, (fields.em(6.5), 0)):
                self._mode = mode
            imgui.pop_style_color()
            imgui.same_line(0, fields.em(0.15))
        count = len(session.inversion.photos)
        if count > 1:
            imgui.same_line(0, fields.em(1.5))
            if imgui.button("<##Previous"):
                self._choice.step(session, -1)
            fields.tooltip("The photo before.")
            imgui.same_line(0, fields.em(0.4))
            imgui.align_text_to_frame_padding()
            imgui.text_unformatted(f"{self._choice.index(session) + 1} of {count}")
            imgui.same_line(0, fields.em(0.4))
            if imgui.button(">##Next"):
                self._choice.step(session, 1)
            fields.tooltip("The next photo.")
        imgui.same_line(0, fields.em(1.5))
        canvas = self._canvases[self._mode]
        with fields.unless("" if canvas.is_zoomed else "The whole picture is in sight."):
            if imgui.button("Fit"):
                canvas.fit()
            fields.tooltip("Show the whole picture.")
        if self._mode != "matte":
            imgui.same_line(0, fields.em(0.3))
            with fields.unless("" if photo.points else "No face was found yet."):
                if imgui.button("Face"):
                    self._look_at_face(self._mode, photo)
                fields.tooltip("Show the face as large as it fits.")
        imgui.same_line(0, fields.em(1.0))
        imgui.text_colored(fields.quiet_color(), _KEYS)
        imgui.pop_style_var()

    def _look_at_face(self, mode: Mode, photo: Photo) -> None:
        canvas, alignment = self._canvases[mode], photo.alignment
        if mode == "matte" or alignment is None:
            canvas.fit()
        else:
            canvas.look_at(alignment.centre, _AROUND[mode] * alignment.side)

    def _stage(self, session: Session, photo: Photo, decoded: Decoded) -> Stage:
        if (
            self._base is None
            or not imgui.is_any_item_active()
            or (self._base.content != photo.content)
        ):
            self._base = photo
        desk, index = session.inversion, self._choice.index(session)
        return Stage(
            session=session,
            photo=photo,
            base=self._base,
            size=decoded.size,
            previews=self._choice.previews(session),
            recipe=desk.prepare_settings.recipe,
            faces=desk.candidates(index),
            choose_face=lambda face: desk.choose_face(index, face),
            problem=desk.problem(photo),
        )

    def _draw_canvas(self, stage: Stage, decoded: Decoded, area: ImVec2) -> Photo:
        corner = imgui.get_cursor_screen_pos()
        paint = imgui.get_window_draw_list()
        far = ImVec2(corner.x + area.x, corner.y + area.y)
        paint.add_rect_filled(corner, far, canvas_ground(), imgui.get_style().frame_rounding)
        width, height = decoded.size
        size = (SIDE, SIDE) if self._mode == "matte" else (width, height)
        shown = (float(size[0]), float(size[1]))
        view = self._canvases[self._mode].draw("##Canvas", shown, area)
        paint.push_clip_rect(corner, far, True)
        if self._mode == "matte":
            photo = self._matte.draw_canvas(stage, view)
        else:
            paint_picture(view, self._outside.of(stage.session, decoded.pixels), shown)
            tool = self._landmarks if self._mode == "landmarks" else self._crop
            photo = tool.draw_canvas(stage, view)
        self._paint_hint(stage, view)
        paint.pop_clip_rect()
        return photo

    def _paint_hint(self, stage: Stage, view: View) -> None:
        """Say over an empty canvas what it waits for."""
        if self._mode == "landmarks" or stage.photo.alignment is not None:
            return
        words = "Prepare the photo first, or set its landmarks."
        at = ImVec2(view.corner[0] + fields.em(1), view.corner[1] + fields.em(1))
        halo_text(at, words, imgui.get_color_u32((1.0, 1.0, 1.0, 1.0)))

    def _draw_column(self, stage: Stage, photo: Photo) -> Photo:
        self._draw_preview(stage, photo)
        tools: dict[Mode, LandmarkTool | CropTool | MatteTool] = {
            "landmarks": self._landmarks,
            "crop": self._crop,
            "matte": self._matte,
        }
        after = tools[self._mode].draw_column(stage)
        if self._mode == "landmarks" and photo.alignment is not None:
            fields.section("Found")
            draw_facts(stage.session, self._choice, photo)
        if after is not stage.photo:  # only one of the two has the hand
            photo = after
        return photo

    def _draw_preview(self, stage: Stage, photo: Photo) -> None:
        """The crop as inversion will see it, while the hand moves it."""
        side = min(imgui.get_content_region_avail().x, fields.em(_COLUMN))
        # Beside the matte it is that which the matte leaves.
        cut_out = stage.previews.look(photo, "cut out") if self._mode == "matte" else None
        pixels = cut_out if cut_out is not None else stage.previews.crop(photo, _PREVIEW)
        texture = self._preview.of(stage.session, pixels) if pixels is not None else 0
        fields.picture(texture, side, side)
        fields.gap(0.2)
