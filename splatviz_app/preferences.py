"""What is remembered between sessions, as JSON in the user's configuration folder."""

from __future__ import annotations

import dataclasses
import json
import os
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeVar, cast, get_args

import platformdirs

from inversion.prepare import PrepareSettings
from inversion.settings import ProjectorSettings, TuningSettings
from renderer.errors import SaveError
from renderer.files import atomic_write
from renderer.rasterize import BACKENDS, BackendName
from splatviz_app.projects.frozen_json import InlineStore, Misfit, decode, saved_fields

Settings = TypeVar("Settings")
PrecisionChoice = Literal["auto", "float32", "fast"]
PRECISIONS: tuple[PrecisionChoice, ...] = get_args(PrecisionChoice)
# What measures how pictures differ: the best that is here, one of LPIPS' networks, or what needs no weights.
PerceptionChoice = Literal["best", "alexnet", "vgg16", "squeezenet", "stand-in"]
PERCEPTIONS: tuple[PerceptionChoice, ...] = get_args(PerceptionChoice)

_RECENT_LIMIT = 12
_ASKED_LIMIT = 60
# What numbers of settings may be, by their name; all others from 0 to 1000.
_RANGES: dict[str, tuple[float, float]] = {
    "steps": (1, 100_000),
    "candidates": (1, 10_000),
    "patience": (0, 100_000),
    "resolution": (16, 2048),
    "learning_rate": (1e-7, 1.0),
    "last_learning_rate": (1e-7, 1.0),
    "seed": (0, 2**32 - 1),
}
SHORTEST_SCRIPT, LONGEST_SCRIPT = 0.1, 600.0  # seconds that a script may be given


@dataclass(frozen=True)
class Preferences:
    """The user's choices that belong to the machine, not to a head."""

    # Files opened lately, newest first.
    recent: tuple[str, ...] = ()
    # The rasterizer; None for the fastest of this machine.
    backend: BackendName | None = None
    # float32: exact. fast: bfloat16 where the processor has it. auto: fast while the hand moves.
    precision: PrecisionChoice = "auto"
    # The folder pictures and heads were last saved to; empty for the user's pictures.
    save_folder: str = ""
    # The folder of the training runs; empty for one among the user's documents.
    runs_folder: str = ""
    # The head model that synthetic heads are made from; empty while there is none.
    head_model: str = ""

    # How long a script may run, seconds; then it is stopped.
    script_seconds: float = 2.0
    # How photos are prepared, inverted and tuned to, and what measures differences then.
    prepare: PrepareSettings = field(default_factory=PrepareSettings)
    projector: ProjectorSettings = field(default_factory=ProjectorSettings)
    tuner: TuningSettings = field(default_factory=TuningSettings)
    perception: PerceptionChoice = "best"
    # Expressions that were evaluated, newest first.
    asked: tuple[str, ...] = ()
    # Expressions that stay in sight, from top to bottom.
    pinned: tuple[str, ...] = ("gs.opacities",)

    def with_recent(self, path: str) -> Preferences:
        """Put a file at the top of the recent ones."""
        others = tuple(known for known in self.recent if known != path)
        return replace(self, recent=(path, *others)[:_RECENT_LIMIT])

    def with_asked(self, text: str) -> Preferences:
        """Put an expression at the top of those that were evaluated."""
        others = tuple(known for known in self.asked if known != text)
        return replace(self, asked=(text, *others)[:_ASKED_LIMIT])

    def with_pinned(self, text: str) -> Preferences:
        """Keep an expression in sight, below the others."""
        return self if text in self.pinned else replace(self, pinned=(*self.pinned, text))

    def without_pinned(self, text: str) -> Preferences:
        """Let an expression go."""
        return replace(self, pinned=tuple(known for known in self.pinned if known != text))

    @property
    def folder(self) -> Path:
        """Where files are saved unless the user says otherwise."""
        if self.save_folder:
            return Path(self.save_folder).expanduser()
        pictures = Path(platformdirs.user_pictures_dir())
        return pictures if pictures.is_dir() else Path.home()

    @property
    def runs(self) -> Path:
        """Where training runs are kept unless the user says otherwise."""
        if self.runs_folder:
            return Path(self.runs_folder).expanduser()
        documents = Path(platformdirs.user_documents_dir())
        return (documents if documents.is_dir() else Path.home()) / "Splathead runs"


def config_folder() -> Path:
    """The folder of preferences and window layout; `SPLATHEAD_CONFIG` overrides the system's."""
    return Path(
        os.environ.get("SPLATHEAD_CONFIG") or platformdirs.user_config_dir("splathead", False)
    )


def load_preferences(folder: Path | None = None) -> Preferences:
    """Read the preferences; what is missing, damaged or unknown gets its default."""
    path = (folder or config_folder()) / "preferences.json"
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return Preferences()
    return _from_json(stored) if isinstance(stored, dict) else Preferences()


def save_preferences(preferences: Preferences, folder: Path | None = None) -> None:
    """Write the preferences atomically.

    Raises:
        SaveError: The folder cannot be written.
    """
    folder = folder or config_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SaveError(
            folder, f"cannot be created ({error.strerror}); preferences are not kept."
        ) from error
    with atomic_write(folder / "preferences.json") as file:
        file.write(json.dumps(dataclasses.asdict(preferences), indent=2).encode())


def _from_json(stored: dict[str, object]) -> Preferences:
    """Take each field only if it is of its kind."""
    plain = Preferences()
    backend, precision = stored.get("backend"), stored.get("precision")
    perception = stored.get("perception")
    return Preferences(
        recent=_texts(stored.get("recent"), plain.recent),
        backend=backend if backend in BACKENDS else None,
        precision=precision if precision in PRECISIONS else plain.precision,
        script_seconds=_seconds(stored.get("script_seconds")),
        save_folder=_text(stored.get("save_folder")),
        runs_folder=_text(stored.get("runs_folder")),
        head_model=_text(stored.get("head_model")),
        prepare=_settings(stored.get("prepare"), PrepareSettings()),
        projector=_settings(stored.get("projector"), ProjectorSettings()),
        tuner=_settings(stored.get("tuner"), TuningSettings()),
        perception=perception if perception in PERCEPTIONS else plain.perception,
        asked=_texts(stored.get("asked"), plain.asked),
        pinned=_texts(stored.get("pinned"), plain.pinned),
    )


def _settings(stored: object, plain: Settings) -> Settings:
    """Take of some settings each field that is of its kind and within its range."""
    if not isinstance(stored, dict):
        return plain
    taken: dict[str, object] = {}
    for name, hint in saved_fields(cast(type, type(plain))).items():
        default = getattr(plain, name)
        if dataclasses.is_dataclass(default):
            taken[name] = _settings(stored.get(name), default)
            continue
        with suppress(Misfit):
            value = decode(stored.get(name, default), hint, InlineStore(), name)
            low, high = _RANGES.get(name, (0, 1000))
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or low <= value <= high:
                taken[name] = value
    return replace(plain, **taken)  # type: ignore[type-var]


def _texts(value: object, default: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(t for t in value if isinstance(t, str)) if isinstance(value, list) else default


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _seconds(value: object) -> float:
    plain = Preferences().script_seconds
    if not isinstance(value, int | float) or isinstance(value, bool):
        return plain
    return float(value) if SHORTEST_SCRIPT <= value <= LONGEST_SCRIPT else plain
