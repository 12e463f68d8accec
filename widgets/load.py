"""The Head panel: opening a file, and what is known of the open one."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from imgui_bundle import imgui

from renderer.formats.frames import Frame
from splatviz_app.engine import Job, JobState
from splatviz_app.inspection import Facts, Inspection, checkpoint_facts, inspect_file
from splatviz_app.projects.files import PICTURE_SUFFIX, PROJECT_SUFFIX
from splatviz_app.scenes import BUILT_IN, SUFFIXES, OpenedGenerator, PlyHead, title_of
from splatviz_app.session import Session
from splatviz_app.window import Dock
from widgets import fields
from widgets.file_dialog import FileDialog
from widgets.jobs import draw_job

_AXES: dict[Frame | None, str] = {
    None: "From the file",
    "": "Splathead / glTF (y up)",
    "yz": "SuperSplat / COLMAP (y down)",
    "z": "Unity (mirrored z)",
}
_AXES_HELP = (
    "The axes the file was written in. Change them if the head stands on its head, looks away, or "
    "has its left and right exchanged."
)
_BUTTON_HELP = {
    "Demo generator": "Open the generator of heads that comes with the program.",
    "Sample head": "Open the single head that comes with the program.",
    "Inspect…": "Read what a file holds before opening it.",
}
_SHOWN_RECENT = 8
OPENED = (*SUFFIXES, PROJECT_SUFFIX, PICTURE_SUFFIX)
_PATIENCE = 0.3  # seconds


class LoadPanel:
    """Open, recent files, what is open."""

    title = "Head"
    dock: Dock = "left"

    def __init__(self) -> None:
        """Begin with no dialog and nothing inspected."""
        self._open_dialog = FileDialog("open head")
        self._inspect_dialog = FileDialog("inspect head")
        self._inspecting: Job | None = None
        self._opening: Job | None = None
        self._opening_since = 0.0  # imgui.get_time() seconds
        self._missing: set[str] = set()  # of the recent files
        self._checked: tuple[float, tuple[str, ...]] = (0.0, ())  # when, and which recent files

    def visible(self, session: Session) -> bool:
        """Always."""
        return True

    def draw(self, session: Session) -> None:
        """Draw the buttons, the progress, and what is open or was lately."""
        self._draw_buttons(session)
        self.poll_dialogs(session)
        self._draw_inspection(session)
        self._draw_opening(session.opening)
        if session.scene is not None:
            self._draw_open(session)
        elif session.opening is None:
            fields.empty(
                "Nothing is open.",
                "Open a generator (.pkl, .safetensors) to make heads, or a .ply file that holds one. "
                "You can also drop a file on the window.",
            )
        self._draw_recent(session)

    def ask_for_file(self, session: Session) -> None:
        """Let the user choose what to open. `poll_dialogs` then opens it."""
        title = "Open a head, a generator or a project"
        self._open_dialog.open_file(title, OPENED, _folder_of(session), "All that can be opened")

    def poll_dialogs(self, session: Session) -> None:
        """Follow up on open dialogs; to be called every frame, also while the panel is hidden."""
        chosen = self._open_dialog.poll()
        if chosen is not None:
            session.open(chosen)
        chosen = self._inspect_dialog.poll()
        if chosen is not None:
            self.inspect(session, chosen)

    def inspect(self, session: Session, path: Path) -> None:
        """Read what a file holds, to show it before it is opened."""
        self._inspecting = session.start_job(f"Inspect {path.name}", inspect_file(path))

    def _draw_buttons(self, session: Session) -> None:
        if fields.button(
            "Open…",
            f"A generator, a head, a project, or a picture saved here: {', '.join(OPENED)}. "
            "Or drop the file on the window. (Ctrl+O)",
            height=fields.em(2.4),
        ):
            self.ask_for_file(session)
        there = {name: path for name, path in BUILT_IN.items() if path.exists()}
        pressed = fields.buttons((*there, "Inspect…"), _BUTTON_HELP)
        if pressed in there:
            session.open(there[pressed])
        elif pressed == "Inspect…":
            self._inspect_dialog.open_file("Look into a file", SUFFIXES, _folder_of(session))

    def _draw_opening(self, job: Job | None) -> None:
        """The progress of an opening that takes long; what lies below would only jump for a short one."""
        if job is not self._opening:
            self._opening, self._opening_since = job, imgui.get_time()
        if job is not None and imgui.get_time() - self._opening_since > _PATIENCE:
            fields.gap()
            draw_job(job)

    def _draw_inspection(self, session: Session) -> None:
        """What a chosen file holds, and whether to open it."""
        job = self._inspecting
        if job is None:
            return
        if job.state is not JobState.DONE:
            if job.state.is_over:
                self._inspecting = None
            return
        assert isinstance(job.result, Inspection)
        fields.section("Inspected")
        fields.fact("File", job.result.path.name, str(job.result.path))
        pressed = fields.buttons(("Open this", "Close##inspection"))
        if pressed is not None:
            self._inspecting = None
        if pressed == "Open this":
            session.open(job.result.path)
        _draw_facts(job.result.facts)

    def _draw_open(self, session: Session) -> None:
        scene, opened = session.scene, session.opened
        assert scene is not None
        fields.section("Open")
        path = Path(scene.path)
        fields.fact("File", title_of(path), str(path))
        if isinstance(opened, OpenedGenerator):
            _draw_facts(checkpoint_facts(opened.summary))
        if isinstance(scene, PlyHead):
            if opened is not None:
                self._draw_summary(session)
            frame = fields.combo("Axes", _AXES_HELP, scene.frame, _AXES)
            if frame != scene.frame:
                session.document = replace(session.document, scene=replace(scene, frame=frame))

    def _draw_summary(self, session: Session) -> None:
        result = session.result
        if result is None or result.request.scene != session.scene:
            return
        summary = result.summary
        fields.fact("Splats", f"{summary.splats:,}")
        degree = summary.sh_degree
        fields.fact(
            "Colour",
            f"Spherical harmonics, degree {degree}" if degree else "The same from all sides",
        )
        width, height, depth = (b - a for a, b in zip(summary.low, summary.high, strict=True))
        fields.fact(
            "Size",
            f"{width:.2f} x {height:.2f} x {depth:.2f}",
            "Width, height and depth of 99 % of the splats in world units.",
        )
        if summary.dropped:
            fields.fact(
                "Left out",
                f"{summary.dropped:,} broken splats",
                "Rows of the file that hold no proper numbers cannot be drawn.",
            )

    def _draw_recent(self, session: Session) -> None:
        recent = session.preferences.recent[:_SHOWN_RECENT]
        if not recent:
            return
        self._check_recent(recent)
        fields.section("Recent")
        for path in recent:
            imgui.push_id(path)
            self._draw_recent_file(session, Path(path), path in self._missing)
            imgui.pop_id()

    def _draw_recent_file(self, session: Session, path: Path, missing: bool) -> None:
        is_open = path == session.project.path
        is_open |= session.scene is not None and session.scene.path == str(path)
        text = imgui.Col_.text_disabled if missing else imgui.Col_.text
        remove = fields.em(1.6)
        width = imgui.get_content_region_avail().x - remove - imgui.get_style().item_spacing.x
        corner = imgui.get_cursor_screen_pos()
        imgui.push_style_color(imgui.Col_.text, imgui.get_style_color_vec4(text))
        clicked, _ = imgui.selectable(path.name, is_open, 0, (width, 0))
        imgui.pop_style_color()
        fields.tooltip(f"{path}\nIt is not there any more." if missing else str(path))
        beside = corner.x + imgui.calc_text_size(path.name).x + fields.em(0.7)
        paint = imgui.get_window_draw_list()
        paint.push_clip_rect(corner, (corner.x + width, corner.y + fields.em(2)), True)
        folder = path.parent.name or str(path.parent)
        paint.add_text((beside, corner.y), imgui.get_color_u32(imgui.Col_.text_disabled), folder)
        paint.pop_clip_rect()
        imgui.same_line()
        if imgui.small_button(f"×##Remove {path.name}"):
            kept = tuple(known for known in session.preferences.recent if known != str(path))
            session.preferences = replace(session.preferences, recent=kept)
        fields.tooltip("Remove from this list; the file stays.")
        if clicked and not missing:
            session.open(path)

    def _check_recent(self, recent: tuple[str, ...]) -> None:
        """Look which files are gone, every two seconds: a disk may be slow."""
        now = time.monotonic()
        checked, files = self._checked
        if files != recent or now - checked > 2:
            self._checked = (now, recent)
            self._missing = {path for path in recent if not Path(path).exists()}


def _draw_facts(facts: Facts) -> None:
    for name, value in facts:
        fields.fact(name, value)


def _folder_of(session: Session) -> Path | None:
    """Where the dialog begins: beside the newest file."""
    return Path(session.preferences.recent[0]).parent if session.preferences.recent else None
