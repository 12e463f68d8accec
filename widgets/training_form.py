"""The form of a new run: what to learn from, what to begin with, on which machine, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from imgui_bundle import imgui

from splatviz_app.engine import Job, JobState, Work
from splatviz_app.scenes import GENERATOR_SUFFIXES, OpenedGenerator
from splatviz_app.session import Session
from splatviz_app.training_draft import (
    Draft,
    FoundData,
    Known,
    Problem,
    check_dataset,
    free_name,
    look_at_start,
    path_of,
    plan_of,
    problems,
)
from splatviz_app.training_folder import Machine
from splatviz_app.training_runs import TrainingRuns
from training.config import PRESETS, PresetName
from widgets import fields
from widgets.file_dialog import FileDialog
from widgets.jobs import draw_job
from widgets.training_machine import draw_machine
from widgets.training_settings import SettingsEditor

_SOURCES = {False: "Dataset", True: "Synthetic"}
_SOURCE_HELP = (
    "A dataset: a folder or zip of pictures of heads with their cameras. Synthetic heads: made on the "
    "way from a head model, never twice the same."
)
_STARTS = {"fresh": "Fresh networks", "open": "The open generator", "file": "A file"}
_START_HELP = (
    "What the run begins with. A published .pkl brings its discriminator and optimisers where it has "
    "them; a checkpoint of another run does too; a generator alone begins with a fresh discriminator."
)
_DATA_BUTTONS = {
    "Folder…": "Choose a folder with dataset.json, pictures, and masks beside them.",
    "Zip…": "Choose a zip of the same.",
    "Check again": "Read all pictures anew.",
}


class _Lookup:
    """Something looked up by a job whenever what it is looked up for has changed."""

    def __init__(self) -> None:
        self.job: Job | None = None
        self._key: object = None

    def forget(self) -> None:
        """Look it up anew the next time."""
        if self.job is not None and not self.job.state.is_over:
            self.job.cancel()
        self.job, self._key = None, None

    def ask(self, session: Session, key: object, title: str, work: Work) -> None:
        """Look up, unless it is known for this key."""
        if key == self._key:
            work.close()
            return
        self.forget()
        self._key, self.job = key, session.start_job(title, work)

    @property
    def result(self) -> object:
        """What was found; None if it is not known."""
        is_done = self.job is not None and self.job.state is JobState.DONE
        return self.job.result if is_done and self.job is not None else None


class RunForm:
    """Collects what a new run needs."""

    def __init__(self) -> None:
        """Begin with an empty draft."""
        self.draft = Draft()
        self._settings = SettingsEditor()
        self._data, self._start = _Lookup(), _Lookup()
        self._start_kind = "fresh"
        self._looked_for = 0  # px, the size of pictures that a dataset was last searched for
        self._has_proposed = False  # whether a machine was
        self._has_model = False  # whether the head model was there when it was last looked for
        self._looked_model, self._looked_when = "", 0.0  # imgui.get_time() seconds
        self._data_dialog = FileDialog("training data")
        self._model_dialog = FileDialog("head model")
        self._start_dialog = FileDialog("training start")

    def begin(self, session: Session, taken: frozenset[str]) -> None:
        """Think of a new run: keep what was chosen last, but for the name."""
        remembered = session.preferences.head_model
        model = self.draft.head_model or remembered
        self.draft = replace(self.draft, name=free_name(taken), head_model=model)
        if model and not self.draft.data:
            self.draft = replace(self.draft, is_synthetic=True)

    def draw(self, session: Session, runs: TrainingRuns) -> Path | None:
        """Draw the form.

        Returns:
            The folder of the run that was started just now.
        """
        draft = replace(
            self.draft,
            name=fields.text("Name", "Of the run and of its folder.", self.draft.name, "run-1"),
        )
        self.draft = self._draw_source(session, draft)
        self._draw_preset()
        self._draw_start(session)
        self.draft = replace(self.draft, machine=self._draw_machine(runs.gpus))
        known = self.known(runs)
        found = problems(self.draft, known)
        fields.gap()
        started = self._draw_begin(session, runs, known, found)
        fields.section("Settings")
        self.draft = self._settings.draw(self.draft)
        return started

    def known(self, runs: TrainingRuns) -> Known:
        """What the draft must fit into."""
        data, resolution = self._data.result, self._start.result
        return Known(
            folder=runs.folder,
            taken=frozenset(run.name for run in runs.runs or ()),
            data=data if isinstance(data, FoundData) else None,
            has_head_model=self._has_model,
            start_resolution=resolution if isinstance(resolution, int) else None,
            why_no_fid=runs.why_no_fid,
        )

    def poll_dialogs(self, session: Session) -> None:
        """Follow up on open dialogs; to be called every frame, also while the panel is hidden."""
        if (chosen := self._data_dialog.poll()) is not None:
            self.draft = replace(self.draft, data=str(chosen))
        if (chosen := self._model_dialog.poll()) is not None:
            self.draft = replace(self.draft, head_model=str(chosen))
        if (chosen := self._start_dialog.poll()) is not None:
            self.draft = replace(self.draft, start=str(chosen))

    # ---- what to learn from

    def _draw_source(self, session: Session, draft: Draft) -> Draft:
        is_synthetic = fields.segmented("Learn from", _SOURCE_HELP, draft.is_synthetic, _SOURCES)
        draft = replace(draft, is_synthetic=is_synthetic)
        if is_synthetic:
            return self._draw_head_model(session, draft)
        data = fields.text("Dataset", "A folder or a zip.", draft.data, "path of a folder or zip")
        is_typed = imgui.is_item_active()
        pressed = fields.buttons(tuple(_DATA_BUTTONS), _DATA_BUTTONS)
        if pressed == "Folder…":
            self._data_dialog.choose_folder("A dataset", _parent_of(draft.data))
        elif pressed == "Zip…":
            self._data_dialog.open_file("A dataset", (".zip",), _parent_of(draft.data), "Datasets")
        elif pressed == "Check again":
            self._data.forget()
        index = fields.text(
            "Index", "JSON list of picture numbers, with repeats.", draft.index, "all pictures once"
        )
        is_typed = is_typed or imgui.is_item_active()
        draft = replace(draft, data=data, index=index)
        if data.strip() and not is_typed:
            self._check(session, draft)
        _draw_findings(self._data.job)
        return draft

    def _check(self, session: Session, draft: Draft) -> None:
        data = path_of(draft.data)
        index = path_of(draft.index) if draft.index.strip() else None
        resolution = draft.value("resolution")
        # Where it is known, another size in the settings need not be looked for on the disk.
        size = None if isinstance(self._data.result, FoundData) else resolution
        key = (data, index, self._looked_for if size is None else size)
        self._looked_for = key[2]
        work = check_dataset(data, index, resolution)
        self._data.ask(session, key, f"Check {data.name}", work)

    def _draw_head_model(self, session: Session, draft: Draft) -> Draft:
        hint = "path of a .npz, or of a folder of .obj"
        model = fields.text("Head model", "What all heads are varied from.", draft.head_model, hint)
        is_typed = imgui.is_item_active()
        pressed = fields.buttons(("File…", "Folder…"))
        if pressed == "File…":
            self._model_dialog.open_file(
                "A head model", (".npz",), _parent_of(model), "Head models"
            )
        elif pressed == "Folder…":
            self._model_dialog.choose_folder("A head model", _parent_of(model))
        if not is_typed:
            self._look_for_model(model)
            if self._has_model and model != session.preferences.head_model:
                session.preferences = replace(session.preferences, head_model=model)
        return replace(draft, head_model=model)

    def _look_for_model(self, model: str) -> None:
        """Look whether it is there, once a second: it may lie on a slow disk."""
        now = imgui.get_time()
        if model != self._looked_model or now - self._looked_when > 1:
            self._looked_model, self._looked_when = model, now
            self._has_model = bool(model.strip()) and path_of(model).exists()

    # ---- what to begin with

    def _draw_preset(self) -> None:
        help = "Where the settings below begin; what you change there is kept apart from it."
        preset = fields.combo("Preset", help, self.draft.preset, _presets(), default="tiny")
        if preset != self.draft.preset:
            self.draft = self.draft.with_preset(preset)

    def _draw_start(self, session: Session) -> None:
        has_open = isinstance(session.opened, OpenedGenerator) and session.scene is not None
        whys = {} if has_open else {"open": "- No generator is open."}
        kind = fields.combo("Begin with", _START_HELP, self._start_kind, _STARTS, whys)
        draft = self.draft
        if kind == "open" and kind != self._start_kind:
            assert session.scene is not None
            draft = replace(draft, start=session.scene.path)
        elif kind == "fresh":
            draft = replace(draft, start="")
        self._start_kind = kind
        is_typed = False
        if kind == "open":
            fields.fact("", Path(draft.start).name, draft.start)
        elif kind == "file":
            hint = "path of a .pkl or .safetensors"
            draft = replace(draft, start=fields.text("File", _START_HELP, draft.start, hint))
            is_typed = imgui.is_item_active()
            if fields.button("Choose…##start"):
                suffixes = (*GENERATOR_SUFFIXES,)
                self._start_dialog.open_file(
                    "Begin with", suffixes, _parent_of(draft.start), "Generators"
                )
        self.draft = draft
        if not draft.start.strip():
            self._start.forget()
        elif not is_typed:
            path = path_of(draft.start)
            self._start.ask(session, path, f"Look into {path.name}", look_at_start(path))
        job = self._start.job
        if job is not None and job.state is JobState.FAILED:
            fields.wrapped(str(job.error), fields.level_color("error"))

    def _draw_machine(self, gpus: Sequence[str] | None) -> Machine:
        """Draw the choice; the first GPU is proposed once it is known that there is one."""
        machine = self.draft.machine
        if gpus is not None and not self._has_proposed:
            self._has_proposed = True
            machine = replace(machine, gpus=(0,) if gpus else ())
        return draw_machine(machine, gpus or ())

    # ---- beginning

    def _draw_begin(
        self, session: Session, runs: TrainingRuns, known: Known, found: list[Problem]
    ) -> Path | None:
        if not self.draft.is_synthetic and _is_going_on(self._data.job):
            found = []
            reason = "The dataset is being checked."
        elif self._start.job is not None and self._start.job.state is JobState.FAILED:
            reason = "One cannot begin with that file."
        else:
            reason = found[0].sentence if found else ""
        for problem in found:
            fields.muted(problem.sentence)
            if problem.mended is not None and fields.button(problem.remedy):
                self.draft = problem.mended
        help = "The run is a process of its own: it goes on when this window closes."
        with fields.unless(reason):
            pressed = fields.button("Start", help, height=fields.em(2.2))
        if not pressed or reason:
            return None
        plan = plan_of(self.draft, known)
        runs.begin(plan)
        session.say(f"Starting {plan.folder.name}")
        return plan.folder


@cache
def _presets() -> dict[PresetName, str]:
    """What each preset is, in a few words."""
    return {
        name: f"{name} · {config.resolution} px · {config.generator_config().splats:,} splats"
        for name, config in PRESETS.items()
    }


def _draw_findings(job: Job | None) -> None:
    """What the check of a dataset found, or how far it is."""
    if job is None:
        return
    if _is_going_on(job):
        draw_job(job)
    elif job.state is JobState.FAILED:
        fields.wrapped(str(job.error), fields.level_color("error"))
    elif isinstance(job.result, FoundData):
        there, *faults = job.result.sentences
        fields.muted(there)
        for fault in faults:
            fields.wrapped(fault, fields.level_color("error"))


def _is_going_on(job: Job | None) -> bool:
    return job is not None and not job.state.is_over


def _parent_of(text: str) -> Path | None:
    return path_of(text).parent if text.strip() else None
