"""The photo editor's matte: which pixels of the crop are the head, mended with a brush."""

from __future__ import annotations

from typing import Literal

from imgui_bundle import imgui

from inversion.matting import MatteMethod
from inversion.photo import Photo
from splatviz_app.engine import Job, JobState
from splatviz_app.inversion import photo_edits
from splatviz_app.inversion.photo_jobs import NewMatte, make_matte
from splatviz_app.inversion.previews import MatteLook
from splatviz_app.session import Session
from widgets import fields
from widgets.fields import Number
from widgets.jobs import draw_job
from widgets.matte_methods import MatteMethods
from widgets.photo_canvas import View, paint_picture
from widgets.photo_choice import LiveTexture, PhotoChoice
from widgets.photo_stage import Stage

SIDE = 512  # px of the crop that is painted over: as large as a stored matte
_SIZE = Number(
    "Brush", "Its radius in hundredths of the crop's side. Keys: [ and ].",
    3.0, 0.3, 20.0, "%.1f %%", log=True,
)  # fmt: skip
_FINER = 1.25  # a press of a key
_LOOKS: dict[MatteLook, str] = {"tint": "Tint", "cut out": "Cut out", "matte": "Matte"}
_LOOK_HELP = "Tint: red is taken away. Cut out: the head over a checker. Matte: white is the head."
_ADDS = (0.35, 0.95, 0.50)
_TAKES = (1.0, 0.42, 0.38)


class MatteTool:
    """Shows the matte over the crop and paints on it."""

    def __init__(self, choice: PhotoChoice, methods: MatteMethods) -> None:
        """Take what is shared with the panel: the chosen photo, and the methods there are."""
        self._choice, self._methods = choice, methods
        self._look: MatteLook = "tint"
        self._brush: Literal["add", "take"] = "add"
        self._radius = _SIZE.default  # hundredths of the crop's side
        self._shows_photo = False  # while a button is held
        self._paints = False  # whether the brush is down
        self._job: Job | None = None
        self._tried: Photo | None = None  # one that a matte was made for without being asked
        self._crop, self._over = LiveTexture(), LiveTexture()

    @property
    def is_busy(self) -> bool:
        """Whether a matte is being made."""
        return self._job is not None

    def poll(self, session: Session) -> None:
        """Take a matte that was made; every frame. A photo that has a crop gets one unasked."""
        if self._job is None:
            photo = self._choice.photo(session)
            lacks = photo is not None and photo.alignment is not None and not photo.matte
            if photo is None or not lacks or photo is self._tried or session.hand_is_busy:
                return
            if not session.inversion.is_preparing:
                self._tried = photo
                self._make(session, photo, session.inversion.prepare_settings.matte)
        elif self._job.state.is_over:
            job, self._job = self._job, None
            if job.state is JobState.DONE and isinstance(job.result, NewMatte):
                self._take(session, job.result.photo)

    def draw_canvas(self, stage: Stage, view: View) -> Photo:
        """Paint crop and matte; returns the photo as the hand left it."""
        crop = stage.previews.crop(stage.photo, SIDE)
        if crop is None:
            return stage.photo
        size = (float(SIDE), float(SIDE))
        over = None if self._shows_photo else stage.previews.look(stage.photo, self._look)
        if over is None or self._look == "tint":
            paint_picture(view, self._crop.of(stage.session, crop), size)
        if over is not None:
            paint_picture(view, self._over.of(stage.session, over), size)
        return self._paint(stage, view)

    def draw_column(self, stage: Stage) -> Photo:
        """The rows beside the crop."""
        photo = stage.photo
        if photo.alignment is None:
            fields.muted("There is no crop yet: prepare the photo, or set its landmarks.")
            return photo
        self._look = fields.segmented("Show", _LOOK_HELP, self._look, _LOOKS)
        fields.button("Hold to see the photo", "While it is held, nothing lies over the photo.")
        self._shows_photo = imgui.is_item_active()
        fields.section("Brush")
        names: dict[Literal["add", "take"], str] = {"add": "Add", "take": "Take away"}
        help = "What the brush does to the head; Alt does the other while it is held."
        self._brush = fields.segmented("It paints", help, self._brush, names)
        self._radius = fields.slider(_SIZE, self._radius)
        count = len(photo.strokes)
        with fields.unless("" if count else "Nothing was painted."):
            if fields.button("Clear strokes", "Leave the matte as the method made it."):
                photo = photo_edits.without_strokes(photo)
        fields.section("Method")
        settings = stage.session.inversion.prepare_settings
        method = self._methods.draw(stage.session, "Made by", settings, photo)
        self._methods.draw_missing()
        if self._job is not None:
            draw_job(self._job)
        elif fields.button(
            "Make again", "Make the matte anew for the crop as it is; strokes stay."
        ):
            self._make(stage.session, stage.photo, method)
        return photo

    # ---- the brush

    def _paint(self, stage: Stage, view: View) -> Photo:
        photo, io = stage.photo, imgui.get_io()
        self._follow_keys(view)
        adds = (self._brush == "add") != io.key_alt
        radius = self._radius / 100
        at = (view.mouse[0] / SIDE, view.mouse[1] / SIDE)
        if not photo.matte:
            return photo
        if view.is_pressed:
            self._paints = True
            photo = photo_edits.began_stroke(photo, at, radius, adds)
        elif view.is_held and self._paints and photo.strokes:
            photo = photo_edits.went_on(photo, at)
        if not view.is_held:
            self._paints = False
        if view.is_hovered:
            # What is down goes on as it began, whatever the keys say now.
            if self._paints and photo.strokes:
                adds = photo.strokes[-1].adds
            _paint_brush(radius * SIDE * view.scale, adds)
        return photo

    def _follow_keys(self, view: View) -> None:
        if not view.is_hovered or imgui.get_io().want_text_input:
            return
        for key, factor in (
            (imgui.Key.left_bracket, 1 / _FINER),
            (imgui.Key.right_bracket, _FINER),
        ):
            if imgui.is_key_pressed(key):
                self._radius = _SIZE.limited(self._radius * factor)

    # ---- the method

    def _make(self, session: Session, photo: Photo, method: MatteMethod | None) -> None:
        self._job = session.start_job(f"Matte of {photo.name}", make_matte(photo, method))

    def _take(self, session: Session, made: Photo) -> None:
        """Put the new matte into the photo it was made for, if its crop is still the same."""
        for index, photo in enumerate(session.inversion.photos):
            if photo.content == made.content and photo.alignment == made.alignment:
                new = photo_edits.with_matte(photo, made.matte)
                photos = photo_edits.replaced(session.inversion.photos, index, new)
                session.inversion.photos = photos
                return
        session.say("The crop was moved meanwhile: make the matte again.")


def _paint_brush(radius: float, adds: bool) -> None:
    """The brush under the mouse: its size, and a sign of what it does."""
    paint, mouse = imgui.get_window_draw_list(), imgui.get_io().mouse_pos
    color = imgui.get_color_u32((*(_ADDS if adds else _TAKES), 1.0))
    dark = imgui.get_color_u32((0.0, 0.0, 0.0, 0.7))
    paint.add_circle(mouse, radius, dark, 0, 3.0)
    paint.add_circle(mouse, radius, color, 0, 1.5)
    arm = fields.em(0.22)
    paint.add_line((mouse.x - arm, mouse.y), (mouse.x + arm, mouse.y), color, 1.5)
    if adds:
        paint.add_line((mouse.x, mouse.y - arm), (mouse.x, mouse.y + arm), color, 1.5)
