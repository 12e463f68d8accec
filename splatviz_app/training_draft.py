"""A run that is being thought of: what was chosen, and what still keeps it from beginning."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from splatviz_app.engine import Progress, Step
from splatviz_app.setting_help import comments_of
from splatviz_app.training_folder import Machine
from splatviz_app.training_runs import Plan
from training.config import PRESETS, PresetName, TrainingConfig, TrainingError

_FORBIDDEN = set('/\\:*?"<>|')  # in names of folders, on one system or another


@dataclass(frozen=True)
class Draft:
    """What was chosen for a new run; paths as they were typed."""

    name: str = "run-1"
    # Learn from heads that are made on the way, instead of a dataset.
    is_synthetic: bool = False
    data: str = ""
    index: str = ""
    head_model: str = ""
    # A file to begin with; empty for fresh networks.
    start: str = ""
    preset: PresetName = "tiny"
    # The settings that differ from the preset's.
    changed: tuple[tuple[str, Any], ...] = ()
    machine: Machine = field(default_factory=Machine)

    def value(self, name: str) -> Any:
        """A setting."""
        return dict(self.changed).get(name, getattr(PRESETS[self.preset], name))

    def with_setting(self, name: str, value: Any) -> Draft:
        """Change a setting; one that is as in the preset is none that was changed."""
        others = {key: known for key, known in self.changed if key != name}
        if value != getattr(PRESETS[self.preset], name):
            others[name] = value
        return replace(self, changed=tuple(others.items()))

    def with_preset(self, preset: PresetName) -> Draft:
        """Take all settings from a preset; only the size that the data needs is chosen anew."""
        return replace(self, preset=preset, changed=())

    def for_resolution(self, resolution: int) -> Draft:
        """Take the preset of that size of pictures, else the size alone."""
        sized: dict[int, PresetName] = {
            PRESETS[name].resolution: name for name in reversed(PRESETS)
        }
        if PRESETS[self.preset].resolution == resolution:
            return self.with_setting("resolution", resolution)
        if resolution in sized and not self.changed:
            return self.with_preset(sized[resolution])
        return self.with_setting("resolution", resolution)

    def config(self) -> TrainingConfig:
        """All settings.

        Raises:
            TrainingError: They do not fit together.
        """
        return replace(PRESETS[self.preset], **dict(self.changed))

    @staticmethod
    def of_config(config: TrainingConfig, preset: str) -> Draft:
        """The settings of a run that has begun."""
        name: PresetName = preset if preset in PRESETS else "512"
        draft = Draft(preset=name)
        for entry in dataclasses.fields(config):
            draft = draft.with_setting(entry.name, getattr(config, entry.name))
        return draft


@dataclass(frozen=True)
class FoundData:
    """What a check of a dataset found."""

    sentences: tuple[str, ...]  # first what is there, then each kind of fault
    is_sound: bool
    resolution: int  # px
    has_masks: bool
    digest: str


@dataclass(frozen=True)
class Known:
    """What is known of the world that a draft must fit into."""

    folder: Path  # of all runs
    taken: frozenset[str] = frozenset()  # names of runs
    data: FoundData | None = None  # of the dataset chosen; None while it is not known
    has_head_model: bool = False  # whether there is a file or folder as the draft names it
    start_resolution: int | None = None  # px; None while it is not known
    why_no_fid: str = ""


@dataclass(frozen=True)
class Problem:
    """What keeps a draft from beginning."""

    sentence: str
    # What would mend it, and in how few words; None if only the user can.
    mended: Draft | None = None
    remedy: str = ""


def problems(draft: Draft, known: Known) -> list[Problem]:
    """Find what keeps a draft from beginning, the first to be mended first."""
    found = _problems_of_name(draft, known) + _problems_of_source(draft, known)
    try:
        config = draft.config()
    except TrainingError as error:
        return [*found, Problem(str(error))]
    if not config.can_be_shared(draft.machine.processes):
        found.append(
            Problem(
                f"A batch of {config.batch} in parts of {config.microbatch} cannot be shared evenly "
                f"among {draft.machine.processes} processes. Change their number, or the batch."
            )
        )
    if known.why_no_fid and set(config.metrics) - {"stand-in"}:
        mended = draft.with_setting("metrics", ("stand-in",))
        found.append(Problem(known.why_no_fid, mended, "Measure with the stand-in"))
    if draft.start and known.start_resolution not in (None, config.resolution):
        assert known.start_resolution is not None
        whose = "The start is a generator of"
        found.append(_resolution_problem(draft, whose, known.start_resolution))
    return found


def plan_of(draft: Draft, known: Known) -> Plan:
    """Make a draft without problems a plan."""
    is_disk = not draft.is_synthetic
    return Plan(
        folder=known.folder / draft.name.strip(),
        preset=draft.preset,
        config=draft.config(),
        data=path_of(draft.data) if is_disk else None,
        index=path_of(draft.index) if is_disk and draft.index.strip() else None,
        head_model=None if is_disk else path_of(draft.head_model),
        start=path_of(draft.start) if draft.start.strip() else None,
        machine=draft.machine,
        checked=known.data.digest if is_disk and known.data is not None else "",
    )


def free_name(taken: frozenset[str]) -> str:
    """The first of run-1, run-2, … that is not taken."""
    number = 1
    while f"run-{number}" in taken:
        number += 1
    return f"run-{number}"


def path_of(text: str) -> Path:
    """The path that a user typed or pasted."""
    return Path(text.strip().strip("\"'")).expanduser()


# ---- what is looked up beside the window


def check_dataset(
    data: Path, index: Path | None, resolution: int
) -> Generator[Progress, None, FoundData]:
    """Read every picture of a dataset, and find what one cannot train on.

    Args:
        data: Folder or zip.
        index: JSON list of picture numbers, with repeats.
        resolution: Which pictures, where there are several sizes.

    Raises:
        LoadError: There is no dataset.
    """
    from training.data import DiskImages, check

    yield Step(0, 0, f"Looking into {data.name}")
    images = DiskImages(data, index, resolution)
    report = yield from check(images)
    return FoundData(
        sentences=tuple(report.sentences()),
        is_sound=report.is_sound,
        resolution=report.resolution,
        has_masks=report.has_masks,
        digest=images.digest,
    )


def look_at_start(path: Path) -> Generator[Progress, None, int]:
    """Find for which size of pictures a start is, in px.

    Raises:
        CheckpointError: One cannot begin with it.
    """
    from training.start import resolution_of

    yield Step(0, 1, f"Looking into {path.name}")
    return resolution_of(path)


def setting_help() -> Mapping[str, str]:
    """What each setting means."""
    return comments_of(TrainingConfig)


# ---- inside


def _problems_of_name(draft: Draft, known: Known) -> list[Problem]:
    name = draft.name.strip()
    if not name or name in (".", ".."):
        return [Problem("Give the run a name.")]
    if forbidden := sorted(_FORBIDDEN & set(name)):
        return [Problem(f"A name cannot hold {forbidden[0]}")]
    if name in known.taken:
        free = free_name(known.taken)
        mended = replace(draft, name=free)
        return [Problem(f"There is a run {name} already.", mended, f"Call it {free}")]
    return []


def _problems_of_source(draft: Draft, known: Known) -> list[Problem]:
    if draft.is_synthetic:
        if not draft.head_model.strip():
            return [Problem("Name the head model (.npz) that synthetic heads are made from.")]
        if not known.has_head_model:
            return [Problem(f"There is no head model {draft.head_model.strip()}.")]
        return []
    if not draft.data.strip():
        return [Problem("Choose a dataset, or synthetic heads.")]
    data = known.data
    if data is None:
        return [Problem("The dataset has not been checked.")]
    if not data.is_sound:
        return [Problem("The dataset has faults. Repair or remove the pictures named.")]
    found = []
    if draft.value("resolution") != data.resolution:
        found.append(_resolution_problem(draft, "The pictures are", data.resolution))
    if draft.value("random_background") and not data.has_masks:
        mended = draft.with_setting("random_background", False)
        sentence = "Random backgrounds need masks, and this dataset has none."
        found.append(Problem(sentence, mended, "Use a plain background"))
    return found


def _resolution_problem(draft: Draft, whose: str, resolution: int) -> Problem:
    mended = draft.for_resolution(resolution)
    remedy = (
        f"Take the preset {mended.preset}"
        if mended.preset != draft.preset
        else f"Train at {resolution} px"
    )
    chosen = draft.value("resolution")
    return Problem(f"{whose} {resolution} px, and the settings say {chosen} px.", mended, remedy)
