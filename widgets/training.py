"""The Training panel: the runs of this computer, a form for a new one, and the one looked at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from imgui_bundle import imgui

from splatviz_app.session import Session
from splatviz_app.training_folder import Run, RunState
from splatviz_app.training_runs import TrainingRuns
from splatviz_app.window import Dock
from widgets import fields
from widgets.file_dialog import FileDialog
from widgets.training_form import RunForm
from widgets.training_view import RunView, fitted, state_color

_MOST_ROWS = 5  # of the list, without scrolling
_PATIENCE = 20.0  # seconds that a run that was begun may take to be found


class TrainingPanel:
    """Lists runs, starts and stops them, and shows how they fare."""

    title = "Training"
    dock: Dock = "left_low"

    def __init__(self) -> None:
        """Know no runs yet; they are looked for when the panel is first drawn."""
        self.form, self._view = RunForm(), RunView()
        self.runs: TrainingRuns | None = None
        self._named = ""  # the folder of the runs as the preferences name it
        self._is_new = False  # whether the form is shown
        self._chosen: Path | None = None  # the folder of the run that is shown
        self._awaited = 0.0  # imgui.get_time() until which the chosen one may be missing
        self._live: Path | None = None  # the folder of the run whose generator is shown
        self._shown = 0  # when that was written, ns since 1970
        self._dialog = FileDialog("runs folder")

    def visible(self, session: Session) -> bool:
        """Always: without runs it says how to begin one."""
        return True

    def draw(self, session: Session) -> None:
        """Draw the list, and below it the form or the chosen run."""
        runs = self._update(session)
        self._draw_bar(session, runs)
        self.poll_dialogs(session)
        self._draw_list(runs)
        if self._is_new:
            fields.section("New run")
            started = self.form.draw(session, runs)
            if started is not None:
                self._choose(started)
            return
        run = runs.find(self._chosen)
        if run is not None:
            imgui.separator()
            is_live = self._view.draw(session, runs, run, self._live == run.folder)
            self._set_live(run, is_live)
        elif self._chosen is not None and imgui.get_time() < self._awaited:
            fields.empty(
                f"Starting {self._chosen.name}…", "It appears as soon as its folder is there."
            )

    def poll_dialogs(self, session: Session) -> None:
        """Follow up on dialogs and on the run shown live; every frame, also while hidden."""
        self.form.poll_dialogs(session)
        chosen = self._dialog.poll()
        if chosen is not None:
            session.preferences = replace(session.preferences, runs_folder=str(chosen))
        if self._live is not None:
            self._follow(session, self._update(session))

    # ---- the runs

    def _update(self, session: Session) -> TrainingRuns:
        named = session.preferences.runs_folder
        if self.runs is None:
            self.runs, self._named = TrainingRuns(session.preferences.runs), named
        if named != self._named:  # where it is not named, looking for it reads files
            self._named = named
            self.runs.look_in(session.preferences.runs)
        for error in self.runs.update():
            session.report(error)
        return self.runs

    def _draw_bar(self, session: Session, runs: TrainingRuns) -> None:
        names = ("Back to the runs" if self._is_new else "New run…", "Runs folder…")
        help = {
            "New run…": "Train a generator of heads of your own.",
            "Runs folder…": f"{runs.folder}\nClick to keep runs in another folder.",
        }
        pressed = fields.buttons(names, help)
        if pressed == "Runs folder…":
            existing = runs.folder if runs.folder.is_dir() else None
            self._dialog.choose_folder("Keep training runs in", existing)
        elif pressed is not None:
            self._is_new = not self._is_new
            if self._is_new:
                taken = frozenset(run.name for run in runs.runs or ())
                self.form.begin(session, taken)

    def _draw_list(self, runs: TrainingRuns) -> None:
        known = runs.runs
        if known is None:
            fields.muted("Looking for runs…")
            return
        for sentence in runs.damaged:
            fields.wrapped(sentence, fields.level_color("error"))
        if not known:
            if not self._is_new and imgui.get_time() >= self._awaited:
                fields.empty(
                    "There are no training runs yet.",
                    "A run learns a generator of heads from pictures with known cameras, or from "
                    "synthetic heads. Press New run… to begin one; it goes on when the window closes.",
                )
            return
        if self._chosen is None:
            self._chosen = known[0].folder
        rows = min(len(known), _MOST_ROWS)
        height = rows * imgui.get_text_line_height_with_spacing() + fields.em(0.3)
        if imgui.begin_child("##Runs", (0, height)):
            for run in known:
                self._draw_row(run)
        imgui.end_child()

    def _draw_row(self, run: Run) -> None:
        corner, line = imgui.get_cursor_screen_pos(), imgui.get_text_line_height()
        space = imgui.get_content_region_avail().x
        is_chosen = run.folder == self._chosen and not self._is_new
        if imgui.selectable(f"##{run.name}", is_chosen)[0]:
            self._choose(run.folder)
        fields.tooltip(str(run.folder))
        paint = imgui.get_window_draw_list()
        dot = (corner.x + 0.6 * line, corner.y + 0.5 * line)
        paint.add_circle_filled(dot, 0.26 * line, imgui.get_color_u32(state_color(run.state)))
        said = f"{min(100.0, 100 * run.images / run.total):.0f} %"
        if run.state is not RunState.RUNNING:
            said = f"{run.state.value} · {said}"
        right = space - imgui.calc_text_size(said).x - fields.em(0.3)
        left = 1.4 * line
        name = fitted(run.name, right - left - fields.em(0.5))
        paint.add_text((corner.x + left, corner.y), imgui.get_color_u32(imgui.Col_.text), name)
        quiet = imgui.get_color_u32(fields.quiet_color())
        paint.add_text((corner.x + right, corner.y), quiet, said)

    def _choose(self, folder: Path) -> None:
        self._is_new, self._chosen = False, folder
        self._awaited = imgui.get_time() + _PATIENCE

    # ---- the one shown live

    def _set_live(self, run: Run, is_live: bool) -> None:
        if is_live and self._live != run.folder:
            self._live, self._shown = run.folder, 0
        elif not is_live and self._live == run.folder:
            self._live = None

    def _follow(self, session: Session, runs: TrainingRuns) -> None:
        """Open the newest generator of the live run, unless the user has turned to something else."""
        run = runs.find(self._live)
        if run is None or session.opening is not None:
            return
        path = str(run.generator.absolute())
        if self._shown and (session.scene is None or session.scene.path != path):
            self._live = None  # another was opened, or undo led away
        elif run.exported > self._shown:
            self._shown = run.exported
            session.open(path)
