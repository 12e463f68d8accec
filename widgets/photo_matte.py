"""The photo editor's matte: which pixels of the crop are the head, mended with a brush."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from imgui_bundle import imgui

from inversion.matting import MatteMethod
from inversion.photo import Photo
from splatviz_app.document import Document
from splatviz_app.engine import Job, JobState
from splatviz_app.inversion import photo_edits
from splatviz_app.inversion.photo_jobs import make_matte
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
        self._lacks_matte = b""  # the content of a photo whose crop was moved by hand
        self._job: Job | None = None  # makes a matte
        self._made_from: Photo | None = None  # for this photo
        self._is_quiet = False  # without a step of undo of its own
        self._crop, self._over = LiveTexture(), LiveTexture()

    def follow(self, before: Photo, after: Photo) -> None:
        """Note that a hand changed the photo: a crop that moved gets a matte of its own."""
        if not photo_edits.is_same_square(before.alignment, after.alignment):
            self._lacks_matte = after.content

    def poll(self, session: Session) -> None:
        """Take a matte that was made, and make one for a crop that was set or moved; every frame."""
        if self._job is not None:
            if self._job.state.is_over:
                self._conclude(session, self._job)
        elif self._lacks_matte and not session.hand_is_busy:
            photo = self._choice.photo(session)
            is_that = photo is not None and photo.content == self._lacks_matte
            self._lacks_matte = b""
            if photo is not None and is_that and photo.alignment is not None:
                self._make(session, photo, session.inversion.prepare_settings.matte, quietly=True)

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

    def _make(
        self, session: Session, photo: Photo, method: MatteMethod | None, quietly: bool = False
    ) -> None:
        """Make a matte; quietly: as part of the step of undo that moved the crop."""
        self._made_from, self._is_quiet = photo, quietly
        self._job = session.start_job(f"Matte of {photo.name}", make_matte(photo, method))

    def _conclude(self, session: Session, job: Job) -> None:
        self._job, made_from = None, self._made_from
        if job.state is not JobState.DONE or made_from is None:
            return
        made = job.result.photo

        def with_it(document: Document) -> Document:
            photos = tuple(
                photo_edits.with_matte_of(photo, made, made_from) for photo in document.photos
            )
            return document if photos == document.photos else replace(document, photos=photos)

        if self._is_quiet:
            session.history.rewrite(with_it)
        session.document = with_it(session.document)


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
