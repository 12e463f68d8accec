"""One training run: where it stands, what to do with it, and why it failed."""

from __future__ import annotations

from dataclasses import fields as fields_of

from imgui_bundle import imgui

from splatviz_app.session import Session
from splatviz_app.training_draft import Draft
from splatviz_app.training_folder import Failure, Run, RunState
from splatviz_app.training_runs import TrainingRuns
from training.config import TrainingError, images_of
from widgets import fields
from widgets.jobs import duration
from widgets.training_curves import Curves, Samples, draw_events
from widgets.training_machine import draw_machine
from widgets.training_settings import SettingsEditor

_GREEN_ON_DARK, _GREEN_ON_LIGHT = (0.47, 0.80, 0.49, 1.0), (0.10, 0.45, 0.13, 1.0)
_WIDE = 46  # em, from where on there are two columns
_SHAPE_HELP = "The networks are built from it: begin a new run to change it."
_RUNNING_HELP = "It is training. Stop it to change its settings."
_HELP = {
    "Stop cleanly": "It ends its step, writes a checkpoint and leaves; Resume goes on exactly there.",
    "End now": "Do not wait for it: what it learned since its last checkpoint is lost.",
    "Resume": "Go on from its newest checkpoint, with the settings below.",
    "Open folder": "Show checkpoints, pictures and logs in the system's program for files.",
}


class RunView:
    """Draws a run, and does what is asked with it."""

    def __init__(self) -> None:
        """Begin with the settings as they are in the run."""
        self._curves, self._samples = Curves(), Samples()
        self._editor = SettingsEditor()
        self._of: tuple[object, ...] = ()  # the run and settings that the draft was made from
        self._draft = Draft()

    def draw(self, session: Session, runs: TrainingRuns, run: Run, is_live: bool) -> bool:
        """Draw a run; return whether its newest generator shall be shown in the viewport."""
        self._take_over(run)
        is_live = self._draw_head(session, runs, run, is_live)
        if run.failure is not None:
            _draw_failure(run.failure)
        fields.gap()
        is_wide = imgui.get_content_region_avail().x > fields.em(_WIDE)
        flags = imgui.TableFlags_.sizing_stretch_same
        if is_wide and imgui.begin_table("##Columns", 2, flags):
            imgui.table_next_column()
            self._curves.draw(run)
            draw_events(run, fields.em(10))
            imgui.table_next_column()
            self._samples.draw(session, runs, run)
            imgui.end_table()
        elif not is_wide:
            self._curves.draw(run)
            self._samples.draw(session, runs, run)
            fields.section("Log")
            draw_events(run, fields.em(9))
        self._draw_settings(runs, run)
        return is_live

    def _take_over(self, run: Run) -> None:
        key = (run.folder, run.config, run.machine)
        if key != self._of:
            self._of = key
            draft = Draft.of_config(run.config, run.preset)
            self._draft = Draft(preset=draft.preset, changed=draft.changed, machine=run.machine)

    def _draw_head(self, session: Session, runs: TrainingRuns, run: Run, is_live: bool) -> bool:
        imgui.align_text_to_frame_padding()
        wide = imgui.calc_text_size(f"{run.state.value} Show live").x
        space = imgui.get_content_region_avail().x - wide - fields.em(4)
        imgui.text_unformatted(fitted(run.name, max(space, fields.em(4))))
        fields.tooltip(run.name)
        imgui.same_line()
        imgui.text_colored(state_color(run.state), run.state.value)
        is_live = _draw_live(run, is_live)
        fraction = min(1.0, run.images / run.total)
        imgui.progress_bar(fraction, (fields.FILL, 0), f"{_kimg(run)} of {run.config.kimg:g} kimg")
        for line in _standing(run):
            fields.muted(line)
        self._draw_buttons(runs, run)
        return is_live

    def _draw_buttons(self, runs: TrainingRuns, run: Run) -> None:
        if run.state is RunState.STOPPING:
            first, why = "End now", ""
        elif run.state.is_alive:
            first, why = "Stop cleanly", ""
        else:
            first, why = "Resume", self._why_not_resume(run)
        why = why or ("It has been asked for." if runs.is_busy else "")
        pressed = fields.buttons((first, "Open folder"), _HELP, {first: why})
        if pressed == "Open folder":
            runs.show_folder(run.folder)
        elif pressed == "Stop cleanly":
            runs.stop(run.folder)
        elif pressed == "End now":
            runs.end_now(run.folder)
        elif pressed == "Resume":
            runs.resume(run.folder, self._draft.machine, self._draft.config())

    def _why_not_resume(self, run: Run) -> str:
        try:
            config = self._draft.config()
        except TrainingError as error:
            return str(error)
        if run.state is RunState.DONE and images_of(config.kimg) <= run.images:
            return "It is done. Give it a greater length in the settings below to go on."
        if not config.can_be_shared(self._draft.machine.processes):
            return "A batch cannot be shared evenly among so many processes."
        return ""

    def _draw_settings(self, runs: TrainingRuns, run: Run) -> None:
        if not imgui.collapsing_header("Settings##of the run"):
            return
        source = run.learns_from or "unknown"
        fields.fact("Learns from", source.rpartition("/")[2] or source, source)
        fields.fact("Preset", run.preset or "unknown")
        fields.fact("Folder", str(run.folder), "Right-click to copy.")
        if run.state.is_alive:
            names = [entry.name for entry in fields_of(run.config)]
            self._editor.draw(self._draft, names, _RUNNING_HELP)
            return
        machine = draw_machine(self._draft.machine, runs.gpus or ())
        changed = self._editor.draw(self._draft, tuple(run.config.shape), _SHAPE_HELP)
        self._draft = Draft(preset=changed.preset, changed=changed.changed, machine=machine)


def state_color(state: RunState) -> imgui.ImVec4:
    """The colour of a state, readable on a dark theme as on a light one."""
    if state is RunState.CRASHED:
        return fields.level_color("error")
    if state in (RunState.STARTING, RunState.STOPPING):
        return fields.level_color("warning")
    if state is RunState.RUNNING:
        back = imgui.get_style_color_vec4(imgui.Col_.window_bg)
        is_dark = back.x + back.y + back.z < 1.5
        return imgui.ImVec4(*(_GREEN_ON_DARK if is_dark else _GREEN_ON_LIGHT))
    return fields.quiet_color()


def fitted(text: str, width: float) -> str:
    """As much of a text as fits into `width` px, with an ellipsis where something was cut off."""
    if imgui.calc_text_size(text).x <= width:
        return text
    while text and imgui.calc_text_size(f"{text}…").x > width:
        text = text[:-1]
    return f"{text}…"


def _draw_live(run: Run, is_live: bool) -> bool:
    """A tick at the right end of the line."""
    width = imgui.calc_text_size("Show live").x + imgui.get_frame_height() + fields.em(0.6)
    imgui.same_line()
    spare = imgui.get_content_region_avail().x - width
    if spare < 0:
        imgui.new_line()
    else:
        imgui.set_cursor_pos_x(imgui.get_cursor_pos_x() + spare)
    with fields.unless("" if run.exported else "It has not written a generator yet."):
        _, is_live = imgui.checkbox("Show live", is_live)
        fields.tooltip(
            "Open its averaged generator in the viewport, and each newer one as it comes."
        )
    return is_live


def _draw_failure(failure: Failure) -> None:
    """Why it ended, what to do, and its last words, to read and to copy."""
    fields.gap()
    fields.wrapped(failure.sentence, fields.level_color("error"))
    fields.muted(failure.advice)
    if not failure.lines:
        return
    text = "\n".join(failure.lines)
    flags = imgui.InputTextFlags_.read_only | imgui.InputTextFlags_.word_wrap
    imgui.input_text_multiline("##Last lines", text, (fields.FILL, fields.em(8)), flags)
    if fields.button("Copy these lines", "Put them on the clipboard."):
        imgui.set_clipboard_text(f"{failure.sentence}\n{text}")


def _kimg(run: Run) -> str:
    return f"{run.images / 1000:.4g}"


def _standing(run: Run) -> list[str]:
    """Lines of speed and time left, of memory and disk, as far as they are known."""
    pace = []
    if run.state is RunState.STARTING:
        pace.append("Loading what it learns from")
    elif run.state is RunState.STOPPING:
        pace.append("Ending its step and writing a checkpoint")
    elif run.seconds_per_kimg is not None:
        pace.append(f"{run.seconds_per_kimg:.3g} s/kimg")
    if run.seconds_left is not None:
        pace.append(f"{duration(run.seconds_left)} left")
    room = [f"{_size(run.disk_bytes)} on disk"]
    if run.memory_gb is not None:
        room.insert(0, f"{run.memory_gb:.1f} GB of memory")
    return [" · ".join(said) for said in (pace, room) if said]


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
