"""Photos from a camera, or from a video file in its place: a window that says what to do, and takes them."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from imgui_bundle import ImVec2, imgui

from inversion.alignment import Point
from inversion.guidance import FRONT_LEFT_RIGHT, Seen, ShotPlan, Watcher
from inversion.pictures import Picture
from inversion.webcam import Device, Source, Webcam, devices, probe
from splatviz_app.engine import Job, JobState
from splatviz_app.inversion.previews import as_rgba
from splatviz_app.session import Session
from widgets import fields
from widgets.fields import Number
from widgets.file_dialog import FileDialog
from widgets.jobs import draw_job
from widgets.photo_choice import LiveTexture
from widgets.photo_stage import (
    MARK,
    beside_panel,
    canvas_ground,
    has_focus,
    paint_note,
    wants_out,
)

TITLE = "Webcam"
VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg")

_COLUMN = 17.5  # em, the rows beside the picture
_GOOD = (0.36, 0.86, 0.46)
_NOT_YET = (1.0, 0.78, 0.30)
_STALE = 12.0  # frames after which landmarks are faint
_FLASH = 0.25  # seconds that the picture is bright after a shot
_SECONDS = Number(
    "Countdown", "How long it counts before a photo is taken, seconds.", 3.0, 0.0, 10.0, "%.0f s"
)
_VIEWS = {"front": "Front", "left": "Left side", "right": "Right side"}
_HELP = {
    "Take a photo": "Count down, then take what the camera sees.",
    "Front, left, right": "Take three photos, each as soon as the head is turned right and held still. "
    "With three views the head is right from the side as well.",
}

_SOURCE_HELP = {
    "Look again": "List the cameras anew. Where the system does not list them, each is opened for a moment.",
    "Video file…": "Play a film in place of a camera, and take photos out of it.",
}


class WebcamWindow:
    """Shows a camera's picture and takes photos of it. No camera is open but while this window says so."""

    def __init__(self) -> None:
        """Begin closed."""
        self._is_open, self._comes = False, False
        self.has_focus = False  # whether keys are meant for it
        self._devices: tuple[Device, ...] = ()
        self._index = 0  # of the chosen camera
        self._camera: Webcam | None = None
        self._watcher: Watcher | None = None
        self._plan: ShotPlan | None = None  # while shots are being taken
        self._shots = 0  # taken since the window was opened
        self._flashed = -math.inf  # time.monotonic() seconds of the last shot
        self._mirrors = True
        self._countdown = _SECONDS.default
        self._dialog = FileDialog("video")
        self._probing: Job | None = None
        self._shown: tuple[int, np.ndarray] | None = (
            None  # the frame that is painted, its count first
        )
        self._texture = LiveTexture()

    @property
    def is_open(self) -> bool:
        """Whether the window is shown."""
        return self._is_open

    @property
    def camera(self) -> Webcam | None:
        """The camera or video that is open."""
        return self._camera

    def open(self) -> None:
        """Show the window. No camera is opened yet: that is another click."""
        self._is_open, self._comes, self._shots = True, True, 0
        self._look_again()

    def close(self) -> None:
        """Give the camera back and hide the window."""
        self._stop()
        self._is_open = False

    def start(self, source: Source) -> None:
        """Open a camera, by its number, or a video file."""
        self._stop()
        self._camera = Webcam(source)
        self._watcher = Watcher(self._camera)

    def poll(self, session: Session) -> None:
        """Draw the window while it is open, and follow up on its dialogs; every frame."""
        chosen = self._dialog.poll()
        if chosen is not None and self._is_open:
            self.start(chosen)
        if self._probing is not None and self._probing.state.is_over:
            job, self._probing = self._probing, None
            if job.state is JobState.DONE:
                self._devices = job.result
        self.has_focus = False
        if not self._is_open:
            return
        if self._camera is not None and self._camera.is_running:
            session.engine.wake()  # the next frame comes without a hand
        self._draw_window(session)

    def draw(self, session: Session) -> None:
        """Draw what is in the window."""
        room = imgui.get_content_region_avail()
        between = imgui.get_style().item_spacing.x
        area = ImVec2(max(50.0, room.x - fields.em(_COLUMN) - between), max(50.0, room.y))
        self._advance(session)
        self._draw_picture(session, area)
        imgui.same_line()
        if imgui.begin_child("##Column", (0, area.y)):
            self._draw_source(session)
            self._draw_shots()
        imgui.end_child()

    # ---- the window

    def _draw_window(self, session: Session) -> None:
        place, size = beside_panel()
        imgui.set_next_window_pos(place, imgui.Cond_.appearing)
        imgui.set_next_window_size(size, imgui.Cond_.appearing)
        if self._comes:
            imgui.set_next_window_focus()
            self._comes = False
        flags = imgui.WindowFlags_.no_saved_settings | imgui.WindowFlags_.no_collapse
        flags |= imgui.WindowFlags_.no_scrollbar | imgui.WindowFlags_.no_scroll_with_mouse
        shown, stays = imgui.begin(TITLE, True, flags)
        if shown:
            self.has_focus = has_focus()
            self.draw(session)
        imgui.end()
        if not stays or (self.has_focus and wants_out()):
            self.close()

    # ---- the source

    def _draw_source(self, session: Session) -> None:
        fields.muted(
            "No picture is stored or sent: only photos you take are kept, on this computer."
        )
        fields.section("Camera")
        options = {device.index: device.name for device in self._devices}
        is_film = self._camera is not None and not isinstance(self._camera.source, int)
        if options:
            index = self._index if self._index in options else next(iter(options))
            self._index = fields.combo("Camera", "Those that this computer knows.", index, options)
        elif not is_film:
            fields.muted("No camera was found. Connect one and look again, or open a video file.")
        camera = self._camera
        if camera is not None:
            name = options.get(camera.source) if isinstance(camera.source, int) else None
            shown = name or Path(str(camera.source)).name
            fields.fact("Open", shown, "It stays open until you stop it or close this window.")
            if fields.button("Stop", "Give it back."):
                self._stop()
        else:
            why = "" if options else "No camera was found."
            with fields.unless(why):
                if fields.button("Start the camera", "Open it. Its light goes on, if it has one."):
                    self.start(self._index)
        pressed = fields.buttons(("Look again", "Video file…"), _SOURCE_HELP)
        if pressed == "Look again":
            self._probe(session)
        elif pressed == "Video file…":
            folder = session.preferences.folder
            self._dialog.open_file("Open a video", VIDEO_SUFFIXES, folder, "Videos")
        if self._probing is not None:
            draw_job(self._probing)
        self._mirrors = fields.check(
            "As in a mirror",
            "Only what is shown here: the photos that are taken are never mirrored.",
            self._mirrors,
            default=True,
        )
        if self._mirrors:
            fields.muted("The photos are not mirrored.")

    def _look_again(self) -> None:
        self._devices = devices()

    def _probe(self, session: Session) -> None:
        """List the cameras; where the system does not, try the first few."""
        self._look_again()
        is_listed = all(device.name != "First camera" for device in self._devices)
        if not is_listed and self._camera is None and self._probing is None:
            self._probing = session.start_job("Look for cameras", probe())

    def _stop(self) -> None:
        if self._watcher is not None:
            self._watcher.close()
        if self._camera is not None:
            self._camera.close()
        self._camera = self._watcher = self._plan = None
        self._shown = None

    # ---- the shots

    def _draw_shots(self) -> None:
        fields.section("Photos")
        self._countdown = round(fields.slider(_SECONDS, self._countdown))
        camera = self._camera
        why = ""
        if camera is None:
            why = "Start a camera or open a video first."
        elif camera.frame is None:
            why = camera.error or "It is being opened."
        if self._plan is not None:
            for i, view in enumerate(self._plan_views()):
                done = i < self._plan.taken
                text = f"{'✓' if done else '·'} {_VIEWS[view]}" if self._is_series() else ""
                if text:
                    color = imgui.ImVec4(*_GOOD, 1.0) if done else fields.quiet_color()
                    imgui.text_colored(color, text)
            if fields.button("Cancel the shot", "Take no photo."):
                self._plan = None
        else:
            with fields.unless(why):
                for name, help in _HELP.items():
                    if fields.button(name, help):
                        self._begin(name)
        if self._shots:
            count = "1 photo was added" if self._shots == 1 else f"{self._shots} photos were added"
            fields.muted(f"{count} to the panel.")

    def _begin(self, name: str) -> None:
        plan = ShotPlan(is_strict=False) if name == "Take a photo" else FRONT_LEFT_RIGHT
        self._plan = replace(plan, count_seconds=float(self._countdown))

    def _is_series(self) -> bool:
        return self._plan is not None and self._plan.is_strict

    def _plan_views(self) -> tuple[str, ...]:
        return FRONT_LEFT_RIGHT.views if self._is_series() else ("front",)

    def _advance(self, session: Session) -> None:
        """Go on with the plan, and take the photo that is due."""
        camera, seen = self._camera, self._seen
        if self._plan is None or camera is None:
            return
        if camera.error:
            self._plan = None
            return
        self._plan = self._plan.watched(seen.guidance if seen else None, time.monotonic())
        if not self._plan.is_due:
            return
        # What was judged, where it had to be right; else what the eye saw last.
        pixels = seen.pixels if seen is not None and self._plan.is_strict else camera.frame
        if pixels is None:
            return
        self._shots += 1
        view = f" {self._plan.view}" if self._plan.is_strict else ""
        session.inversion.add_picture(Picture(pixels, None, f"Webcam {self._shots}{view}"))
        self._flashed = time.monotonic()
        self._plan = self._plan.after_shot()
        if self._plan.is_done:
            self._plan = None

    # ---- the picture

    @property
    def _seen(self) -> Seen | None:
        return self._watcher.seen if self._watcher is not None else None

    def _draw_picture(self, session: Session, area: ImVec2) -> None:
        corner = imgui.get_cursor_screen_pos()
        far = ImVec2(corner.x + area.x, corner.y + area.y)
        paint = imgui.get_window_draw_list()
        paint.add_rect_filled(corner, far, canvas_ground(), imgui.get_style().frame_rounding)
        camera = self._camera
        frame = camera.newest if camera is not None else (0, None)
        if camera is None or frame[1] is None:
            words = "Start a camera, or open a video file."
            if camera is not None:
                words = camera.error or "It is being opened…"
            paint_note(corner, area, words)
            _take_room(corner, area)
            return
        if self._shown is None or self._shown[0] != frame[0]:
            self._shown = (frame[0], as_rgba(frame[1]))
        paint.push_clip_rect(corner, far, True)
        self._paint_frame(session, corner, area, frame[1].shape[1::-1])
        self._paint_guidance(corner, area)
        paint.pop_clip_rect()
        _take_room(corner, area)

    def _paint_frame(
        self, session: Session, corner: ImVec2, area: ImVec2, size: tuple[int, ...]
    ) -> None:
        assert self._shown is not None
        scale = min(area.x / size[0], area.y / size[1])
        width, height = size[0] * scale, size[1] * scale
        low = ImVec2(corner.x + (area.x - width) / 2, corner.y + (area.y - height) / 2)
        far = ImVec2(low.x + width, low.y + height)
        left, right = (1.0, 0.0) if self._mirrors else (0.0, 1.0)
        paint, texture = imgui.get_window_draw_list(), self._texture.of(session, self._shown[1])
        if texture:
            paint.add_image(imgui.ImTextureRef(texture), low, far, (left, 0), (right, 1))
        seen = self._seen
        if seen is not None:
            # They are of a frame of before: the longer ago, the fainter.
            alpha = min(1.0, max(0.2, 1.2 - (self._shown[0] - seen.count) / _STALE))
            for point in seen.guidance.points:
                _paint_point(low, scale, self._mirrored(point, size[0]), alpha)
        since = time.monotonic() - self._flashed
        if since < _FLASH:
            bright = imgui.get_color_u32((1.0, 1.0, 1.0, 0.8 * (1 - since / _FLASH)))
            paint.add_rect_filled(low, far, bright)

    def _mirrored(self, point: Point, width: int) -> Point:
        return (width - point[0], point[1]) if self._mirrors else point

    def _paint_guidance(self, corner: ImVec2, area: ImVec2) -> None:
        """What to do, on a strip at the top; the countdown, large; an error in place of both."""
        assert self._camera is not None
        seen, plan = self._seen, self._plan
        words, is_good = "Looking for a face…", False
        if self._camera.error:
            words = self._camera.error
        elif plan is not None and plan.is_strict:
            words, is_good = plan.sentence or words, plan.due is not None
        elif seen is not None:
            words, is_good = seen.guidance.sentence, seen.guidance.is_good
        _paint_strip(corner, area, words, _GOOD if is_good else _NOT_YET)
        left = plan.seconds_left if plan is not None else None
        if left is None:
            return
        count = str(math.ceil(left) or "")
        imgui.push_font(imgui.get_font(), fields.em(7))
        wide, paint = imgui.calc_text_size(count), imgui.get_window_draw_list()
        x, y = corner.x + (area.x - wide.x) / 2, corner.y + (area.y - wide.y) / 2
        paint.add_text((x + 3, y + 3), _shade(0.0, 0.6), count)
        paint.add_text((x, y), _shade(1.0, 0.95), count)
        imgui.pop_font()


def _take_room(corner: ImVec2, area: ImVec2) -> None:
    """Let the next item lie beside the picture, whatever was written on it."""
    imgui.set_cursor_screen_pos(corner)
    imgui.dummy(area)


def _paint_point(low: ImVec2, scale: float, point: Point, alpha: float) -> None:
    paint = imgui.get_window_draw_list()
    at = ImVec2(low.x + point[0] * scale, low.y + point[1] * scale)
    paint.add_circle_filled(at, fields.em(0.24), _shade(0.0, 0.6 * alpha))
    paint.add_circle_filled(at, fields.em(0.17), imgui.get_color_u32((*MARK, alpha)))


def _paint_strip(
    corner: ImVec2, area: ImVec2, words: str, color: tuple[float, float, float]
) -> None:
    paint, pad, size = imgui.get_window_draw_list(), fields.em(0.6), fields.em(1.25)
    room = area.x - 4 * pad
    imgui.push_font(imgui.get_font(), size)
    tall = imgui.calc_text_size(words, False, room).y
    far = (corner.x + area.x, corner.y + tall + 2 * pad)
    paint.add_rect_filled(corner, far, _shade(0.05, 0.82))
    ink = imgui.get_color_u32((*color, 1.0))
    paint.add_circle_filled((corner.x + 1.6 * pad, corner.y + pad + tall / 2), 0.3 * size, ink)
    imgui.set_cursor_screen_pos((corner.x + 3 * pad, corner.y + pad))
    imgui.push_text_wrap_pos(imgui.get_cursor_pos_x() + room)
    imgui.text_colored((*color, 1.0), words)
    imgui.pop_text_wrap_pos()
    imgui.pop_font()


def _shade(grey: float, alpha: float) -> int:
    return imgui.get_color_u32((grey, grey, grey, alpha))
