"""Asks before weights of other networks are fetched: which, how large, from where; or takes a file."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping, Sequence

from imgui_bundle import ImVec2, imgui

from inversion import weights
from inversion.weights import WeightsFile
from splatviz_app.engine import Job, JobState, Work
from splatviz_app.session import Session
from widgets import fields
from widgets.file_dialog import FileDialog
from widgets.jobs import draw_job

TITLE = "Weights of other networks"
_WIDTH = 32.0  # em
_BUTTON = 8.0  # em
_HELP = {
    "Download": "Fetch it now. It is kept on this computer for all further heads.",
    "Use a file…": "Take a copy that you have already; its checksum is compared.",
}


class WeightsDialog:
    """One question for several files. A press on Download is the consent to that one."""

    def __init__(self, key: str) -> None:
        """Begin closed; `key` tells it from others of the window."""
        self._key = key
        self._asked: Sequence[WeightsFile] = ()  # none while it is closed
        self._jobs: dict[str, Job] = {}  # the newest of each file, by its name
        self._file = FileDialog(f"weights {key}")
        self._wanted: WeightsFile | None = None  # what the file that is being chosen is for

    def ask(self, files: Sequence[WeightsFile]) -> None:
        """Open the question for these files."""
        self._asked = tuple(files)

    @property
    def jobs(self) -> Mapping[str, Job]:
        """The newest transfer of each file, by the file's name."""
        return self._jobs

    def draw(self, session: Session) -> None:
        """Draw it while it is open; once per frame, over everything."""
        chosen = self._file.poll()
        if chosen is not None and self._wanted is not None:
            work = weights.take(self._wanted, chosen)
            self._start(session, self._wanted, f"Check {chosen.name}", work)
        if not self._file.is_open:
            self._wanted = None
        if not self._asked or self._file.is_open:
            return
        title = f"{TITLE}##{self._key}"
        if not imgui.is_popup_open(title):
            imgui.open_popup(title)
        middle = imgui.get_main_viewport().get_center()
        imgui.set_next_window_pos(middle, imgui.Cond_.always, ImVec2(0.5, 0.5))
        flags = imgui.WindowFlags_.always_auto_resize | imgui.WindowFlags_.no_saved_settings
        if not imgui.begin_popup_modal(title, None, flags)[0]:
            return
        self._draw_inside(session)
        imgui.end_popup()

    def _draw_inside(self, session: Session) -> None:
        imgui.dummy((fields.em(_WIDTH), 0))
        imgui.push_text_wrap_pos(fields.em(_WIDTH))
        choice = " One of those for LPIPS is enough." if len(self._asked) > 2 else ""
        imgui.text_unformatted(
            f"It works without these files too, only less exactly.{choice} They are published by "
            "others, under licences of their own. Nothing of yours is sent: photos stay on this "
            "computer."
        )
        imgui.pop_text_wrap_pos()
        for file in self._asked:
            fields.gap(0.2)
            imgui.separator()
            self._draw_file(session, file)
        fields.gap()
        imgui.separator()
        imgui.set_cursor_pos_x(imgui.get_cursor_pos_x() + fields.em(_WIDTH - _BUTTON))
        if fields.button(f"Close##{self._key}", "A transfer goes on.", fields.em(_BUTTON)) or (
            imgui.is_key_pressed(imgui.Key.escape, False)
        ):
            self._asked = ()
            imgui.close_current_popup()

    def _draw_file(self, session: Session, file: WeightsFile) -> None:
        imgui.push_id(file.name)
        job, place = self._jobs.get(file.name), weights.find(file)
        host = urllib.parse.urlsplit(file.url).hostname
        imgui.text_unformatted(file.what_for[:1].upper() + file.what_for[1:])
        fields.muted(f"{file.name}, {file.size_bytes / 1e6:.0f} MB from {host}")
        if job is not None and not job.state.is_over:
            draw_job(job)
        elif place is not None:
            imgui.text_colored(fields.quiet_color(), "It is on this computer.")
            fields.tooltip(str(place))
        else:
            if job is not None and job.state is JobState.FAILED:
                fields.wrapped(str(job.error), fields.level_color("error"))
            names = ("Download", "Use a file…")
            for i, name in enumerate(names):
                if i:
                    imgui.same_line()
                if fields.button(f"{name}##{file.name}", _HELP[name], fields.em(_BUTTON)):
                    self._get(session, file, name)
        imgui.pop_id()

    def _get(self, session: Session, file: WeightsFile, how: str) -> None:
        if how == "Download":
            self._start(session, file, f"Fetch {file.name}", weights.download(file))
            return
        self._wanted = file
        suffix = "." + file.name.rpartition(".")[2]
        self._file.open_file(f"Find {file.name}", (suffix,), None, "Weights")

    def _start(self, session: Session, file: WeightsFile, title: str, work: Work) -> None:
        self._jobs[file.name] = session.start_job(title, work)
