"""The Save panel: pictures at any size, and heads for other programs."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from imgui_bundle import imgui

from renderer.formats.ply import PROFILES
from renderer.rasterize import MAX_SIDE
from splatviz_app.engine import Job
from splatviz_app.export import PictureOptions, save_head, save_picture
from splatviz_app.session import Session
from splatviz_app.window import Dock
from widgets import fields
from widgets.fields import Number
from widgets.file_dialog import FileDialog
from widgets.jobs import draw_job_line

_VIEWPORT, _CUSTOM = "viewport", "custom"
_SIZES = {
    "512": "512 x 512",
    "1024": "1024 x 1024",
    "2048": "2048 x 2048",
    _VIEWPORT: "As the viewport",
    _CUSTOM: "Custom",
}
_SUPERSAMPLING = {1: "1x", 2: "2x", 4: "4x"}
_FORBIDDEN = set('/\\:*?"<>|')  # in names of files, on one system or another

WIDTH = Number("Width", "Of the picture in px.", 1024, 1, MAX_SIDE)
HEIGHT = Number("Height", "Of the picture in px.", 1024, 1, MAX_SIDE)


class FreeName:
    """The name a file will get, looked up once a second: a folder may be on a slow disk."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._wanted = Path()
        self._free = Path()
        self._checked = 0.0

    def of(self, wanted: Path) -> Path:
        """The first of head.png, head-2.png, … that is not taken."""
        now = time.monotonic()
        if wanted != self._wanted or now - self._checked > 1:
            self._wanted, self._checked = wanted, now
            self._free, number = wanted, 1
            while self._free.exists():
                number += 1
                self._free = wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
        return self._free


class SavePanel:
    """What to save, how, and where to."""

    title = "Save"
    dock: Dock = "right_low"

    def __init__(self) -> None:
        """Propose a square picture and a head for Unity."""
        self._supersampling, self._transparent = 1, False
        self._size = "1024"  # a key of _SIZES
        self._custom = (1024, 1024)  # px
        self._picture_name, self._head_name = "head", "head"
        self._profile = next(iter(PROFILES))
        self._keeps_settings = True
        self._dialog = FileDialog("save folder")
        self._free_picture, self._free_head = FreeName(), FreeName()
        self._picture_jobs: list[Job] = []
        self._head_jobs: list[Job] = []

    def visible(self, session: Session) -> bool:
        """Always: with nothing open it says why it cannot save."""
        return True

    def draw(self, session: Session) -> None:
        """Draw both halves and what is being saved."""
        self._draw_folder(session)
        reason = "" if session.request() else "There is nothing to save yet: open a head first."
        fields.section("Picture")
        self._draw_picture(session, reason)
        fields.section("Head")
        self._draw_head(session, reason)

    def save_picture(self, session: Session) -> None:
        """Begin to save the picture as the panel says; nothing while nothing is open."""
        request, path = session.request(), self._picture_path(session)
        if request is not None and not _why_not(self._picture_name):
            options = PictureOptions(
                self._picture_size(session), self._transparent, self._supersampling
            )
            note = self._note(session)
            work = save_picture(session.pipeline, request, path, options, note)
            self._picture_jobs.append(session.start_job(f"Save {path.name}", work))

    def save_head(self, session: Session) -> None:
        """Begin to save the head as the panel says; nothing while nothing is open."""
        request, path = session.request(), self._head_path(session)
        if request is not None and not _why_not(self._head_name):
            note = self._note(session)
            work = save_head(session.pipeline, request, path, self._profile, note)
            self._head_jobs.append(session.start_job(f"Save {path.name}", work))

    def poll_dialogs(self, session: Session) -> None:
        """Follow up on the open dialog; to be called every frame, also while the panel is hidden."""
        chosen = self._dialog.poll()
        if chosen is not None:
            session.preferences = replace(session.preferences, save_folder=str(chosen))

    def _picture_path(self, session: Session) -> Path:
        return session.preferences.folder / f"{self._picture_name.strip() or 'head'}.png"

    def _head_path(self, session: Session) -> Path:
        return session.preferences.folder / f"{self._head_name.strip() or 'head'}.ply"

    def _draw_folder(self, session: Session) -> None:
        folder = session.preferences.folder
        fields.label("Folder")
        room = imgui.get_content_region_avail().x - 2 * imgui.get_style().frame_padding.x
        if imgui.button(f"{_shortened(folder, room)}##Folder", (fields.FILL, 0)):
            self._dialog.choose_folder("Save in", folder)
        fields.tooltip(f"{folder}\nClick to choose another.")
        self.poll_dialogs(session)
        self._keeps_settings = fields.check(
            "Settings inside",
            "Write into pictures and heads how they were made: the model's name, the place in its "
            "latent space, edits with their code, camera. Opening such a picture brings all of it "
            "back. No folder is named.",
            self._keeps_settings,
            default=True,
        )

    def _note(self, session: Session) -> str:
        return session.project.note() if self._keeps_settings else ""

    def _draw_picture(self, session: Session, reason: str) -> None:
        self._draw_size(session)
        self._supersampling = fields.segmented(
            "Smoothing",
            "Draw larger on each side by this factor and average: smoother edges, more time.",
            self._supersampling,
            _SUPERSAMPLING,
        )
        in_color = session.view.mode == "color"
        with fields.unless("" if in_color else "Only colour pictures can be transparent."):
            self._transparent = fields.check(
                "Transparent",
                "Leave the background out: the PNG gets an alpha channel, straight, not premultiplied.",
                self._transparent,
            )
        self._picture_name = fields.text(
            "Picture name", "Of the file, without its ending.", self._picture_name, "head"
        )
        path = self._picture_path(session)
        reason = reason or _why_not(self._picture_name)
        if _draw_button("Save picture", reason):
            self.save_picture(session)
        _draw_outcome(self._picture_jobs, self._free_picture, path, reason)

    def _draw_size(self, session: Session) -> None:
        self._size = fields.combo(
            "Size", "Width x height in px.", self._size, _SIZES, default="1024"
        )
        if self._size == _CUSTOM:
            width, height = self._custom
            self._custom = (fields.whole(WIDTH, width, 64), fields.whole(HEIGHT, height, 64))
        elif self._size == _VIEWPORT:
            width, height = self._picture_size(session)
            fields.fact("", f"{width} x {height} px")

    def _picture_size(self, session: Session) -> tuple[int, int]:
        """Width and height in px, as chosen."""
        if self._size == _VIEWPORT:
            return session.full_size
        return self._custom if self._size == _CUSTOM else (int(self._size), int(self._size))

    def _draw_head(self, session: Session, reason: str) -> None:
        self._profile = fields.combo(
            "For",
            PROFILES[self._profile].help,
            self._profile,
            {key: profile.label for key, profile in PROFILES.items()},
            {key: profile.help for key, profile in PROFILES.items()},
        )
        self._head_name = fields.text(
            "Head name", "Of the file, without its ending.", self._head_name, "head"
        )
        path = self._head_path(session)
        reason = reason or _why_not(self._head_name)
        if _draw_button("Save .ply", reason):
            self.save_head(session)
        _draw_outcome(self._head_jobs, self._free_head, path, reason)


def _draw_button(name: str, reason: str) -> bool:
    with fields.unless(reason):
        return fields.button(name, "Nothing is ever overwritten.", height=fields.em(1.9))


def _draw_outcome(jobs: list[Job], free: FreeName, path: Path, reason: str) -> None:
    """One line under a button: what is being written, or what would be."""
    jobs[:] = [job for job in jobs if not job.state.is_over]
    if jobs:
        draw_job_line(jobs[0], waiting=len(jobs) - 1)
    else:
        fields.muted(reason if reason else f"Writes {free.of(path).name}")


def _why_not(name: str) -> str:
    """Why a file cannot have that name, or nothing."""
    wrong = sorted(set(name) & _FORBIDDEN)
    return f"A name cannot hold {' '.join(wrong)}" if wrong else ""


def _shortened(folder: Path, room: float) -> str:
    """As much of a path's end, which tells more than its beginning, as fits into `room` px."""
    home = Path.home()
    shown = f"~/{folder.relative_to(home)}" if folder.is_relative_to(home) else str(folder)
    if folder == home:
        shown = "Home"
    kept = shown
    while len(kept) > 1 and imgui.calc_text_size(kept).x > room:
        kept = f"…{kept[2:]}"
    return kept
