"""What the folder of a training run tells: where it stands, its curves, and why it ended.

Everything is read from the folder, so that a run is found again whoever started it. Nothing here
writes; see `training_runs.py` for that.
"""

from __future__ import annotations

import enum
import json
import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from splatviz_app.training_log import Curve, RunLog, number_of
from training.config import TrainingConfig, images_of

LAUNCH = "launch.json"  # in the run's folder: how it was started here
OUTPUT = "output.txt"  # all that it prints

_TAIL_BYTES, _TAIL_LINES = 16_384, 14
_DISK_EVERY = 10.0  # seconds between two looks at all files of a run


class RunState(enum.Enum):
    """What a run is doing."""

    # The process is there but has not begun to train.
    STARTING = "starting"
    RUNNING = "training"
    # It saves and leaves.
    STOPPING = "stopping"
    STOPPED = "stopped"
    DONE = "done"
    # It ended, and nobody asked it to.
    CRASHED = "crashed"

    @property
    def is_alive(self) -> bool:
        """Whether there is a process."""
        return self in (RunState.STARTING, RunState.RUNNING, RunState.STOPPING)


@dataclass(frozen=True)
class Machine:
    """What of this computer a run takes."""

    # Numbers of the GPUs, one process each; none for the CPU.
    gpus: tuple[int, ...] = ()
    # Processes on the CPU that share each batch.
    cpu_processes: int = 1

    @property
    def processes(self) -> int:
        """How many processes train together."""
        return len(self.gpus) or self.cpu_processes


@dataclass(frozen=True)
class Launch:
    """How a run was started on this computer."""

    machine: Machine
    pid: int
    born: float  # seconds since 1970, as the system says of the process
    when: float  # seconds since 1970, before the process was there
    printed: int  # bytes that earlier starts had printed
    was_ended: bool = False  # we ended the process, cleanly or not, before it could say so


@dataclass(frozen=True)
class Failure:
    """Why a run ended that nobody had stopped."""

    sentence: str
    advice: str
    lines: tuple[str, ...]  # the last that it printed


@dataclass(frozen=True, eq=False)
class Run:
    """A training run as its folder tells of it."""

    folder: Path
    state: RunState
    config: TrainingConfig
    preset: str
    learns_from: str  # path of the dataset or of the head model
    is_synthetic: bool
    machine: Machine
    changed: float  # seconds since 1970
    images: int = 0
    seconds_per_kimg: float | None = None
    seconds_left: float | None = None
    memory_gb: float | None = None
    disk_bytes: int = 0
    saved_images: int | None = None  # of the newest checkpoint
    curves: Mapping[str, Curve] = field(
        default_factory=dict
    )  # "status/generator_loss", "metric/fid"
    events: tuple[str, ...] = ()  # oldest first
    grids: Mapping[str, Path] = field(default_factory=dict)  # the newest picture of each kind
    exported: int = 0  # when the averaged generator was last written, ns since 1970; 0 if never
    failure: Failure | None = None

    @property
    def name(self) -> str:
        """The folder's name, by which users know it."""
        return self.folder.name

    @property
    def total(self) -> int:
        """Images that it shall see."""
        return images_of(self.config.kimg)

    @property
    def generator(self) -> Path:
        """The averaged generator, which the studio opens."""
        return self.folder / "generator.safetensors"


class RunReader:
    """Reads the folder of one run again and again, each line of its log once."""

    def __init__(self, folder: Path) -> None:
        """Know nothing of it yet."""
        self.folder = folder
        self._log = RunLog(folder)
        self._disk, self._disk_looked = 0, -math.inf
        self._settings: tuple[object, dict[str, Any]] = (None, {})

    def read(self) -> Run:
        """Look at the folder.

        Raises:
            LoadError: Its settings cannot be understood.
            OSError: It is not there any more.
        """
        from training.loop import STOP

        settings, launch = self._read_settings(), read_launch(self.folder)
        # Alive is asked first: what ends while we read must not look as if it had ended unsaid.
        is_alive = find_process(self.folder, launch) is not None
        log = self._log
        log.read()
        config: TrainingConfig = settings["config"]
        has_begun = log.began > (launch.when if launch else 0)
        asked = (self.folder / STOP).exists() or (launch is not None and launch.was_ended)
        state = _state(log, config, is_alive, has_begun, asked)
        status = log.status
        return Run(
            folder=self.folder,
            state=state,
            config=config,
            preset=str(settings.get("preset", "")),
            learns_from=str(settings.get("data") or settings.get("synthetic") or ""),
            is_synthetic=not settings.get("data"),
            machine=launch.machine if launch else Machine(),
            changed=max(log.changed, launch.when if launch else 0, self._settings_time()),
            images=log.images,
            seconds_per_kimg=number_of(status.get("s_per_kimg")),
            seconds_left=_seconds_left(log, config) if state is RunState.RUNNING else None,
            memory_gb=number_of(status.get("memory_gb")) if is_alive else None,
            disk_bytes=self._disk_use(is_alive),
            saved_images=_newest_checkpoint(self.folder),
            curves=log.curves(),
            events=tuple(log.events),
            grids=dict(log.grids),
            exported=_changed_ns(self.folder / "generator.safetensors"),
            failure=_failure(self.folder, launch, log, has_begun)
            if state is RunState.CRASHED
            else None,
        )

    def _read_settings(self) -> dict[str, Any]:
        from training.loop import SETTINGS, saved_settings

        found = os.stat(self.folder / SETTINGS)
        key = (found.st_ino, found.st_size, found.st_mtime_ns)
        if key != self._settings[0]:
            self._settings = (key, saved_settings(self.folder) or {})
        return self._settings[1]

    def _settings_time(self) -> float:
        key = self._settings[0]
        return key[2] / 1e9 if isinstance(key, tuple) else 0.0

    def _disk_use(self, is_alive: bool) -> int:
        """Bytes of all its files; looked up rarely, because there are many."""
        now = time.monotonic()
        if now - self._disk_looked > (_DISK_EVERY if is_alive else 6 * _DISK_EVERY):
            self._disk, self._disk_looked = disk_use(self.folder), now
        return self._disk


def read_launch(folder: Path) -> Launch | None:
    """Read how a run was last started on this computer; None if it never was, or is unreadable."""
    try:
        values = json.loads((folder / LAUNCH).read_text(encoding="utf-8"))
        machine = Machine(tuple(map(int, values["gpus"])), int(values["cpu_processes"]))
        return Launch(
            machine,
            pid=int(values["pid"]),
            born=float(values["born"]),
            when=float(values["when"]),
            printed=int(values["printed"]),
            was_ended=bool(values.get("was_ended")),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def find_process(folder: Path, launch: Launch | None) -> psutil.Process | None:
    """Find the process of a run on this computer: the one that we started, else any that trains there.

    Of several that train together it is the one that started them.
    """
    from training.loop import running_process

    try:
        if launch is not None:
            process = psutil.Process(launch.pid)
            is_same = abs(process.create_time() - launch.born) < 2  # ids are used again
            if is_same and process.status() != psutil.STATUS_ZOMBIE:
                return process
        pid = running_process(folder)
        return psutil.Process(pid) if pid is not None else None
    except psutil.Error:
        return None


def disk_use(folder: Path) -> int:
    """Count the bytes of all files under a folder; those that vanish meanwhile count nothing."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except OSError:
                continue
    return total


def last_lines(path: Path, begin: int = 0) -> tuple[str, ...]:
    """Read the last lines of a text, of what stands behind `begin` bytes; none if it is not there."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(begin, size - _TAIL_BYTES))
            text = file.read(_TAIL_BYTES).decode("utf-8", "replace")
    except OSError:
        return ()
    lines = [line.rstrip() for line in text.replace("\r", "\n").splitlines()]
    return tuple(line for line in lines if line)[-_TAIL_LINES:]


# ---- where it stands


def _state(
    log: RunLog, config: TrainingConfig, is_alive: bool, has_begun: bool, asked: bool
) -> RunState:
    has_ended = log.last.get("kind") == "end"
    if is_alive:
        if asked or (has_begun and has_ended):
            return RunState.STOPPING
        return RunState.RUNNING if has_begun else RunState.STARTING
    if not has_begun and not log.last:
        return RunState.STOPPED if asked else RunState.CRASHED
    if has_begun and has_ended:
        is_done = log.images >= images_of(config.kimg)
        return RunState.DONE if is_done else RunState.STOPPED
    return RunState.STOPPED if asked else RunState.CRASHED


def _seconds_left(log: RunLog, config: TrainingConfig) -> float | None:
    """What the log said was left, less the time since."""
    left, when = number_of(log.status.get("eta_s")), number_of(log.status.get("time"))
    if left is None or when is None or when < log.began:
        return None
    return max(0.0, left - (time.time() - when))


def _failure(folder: Path, launch: Launch | None, log: RunLog, has_begun: bool) -> Failure:
    """Tell from what a run left behind why it ended, and what to do about it."""
    lines = last_lines(folder / OUTPUT, launch.printed) if launch else ()
    logged = log.last.get("message") if has_begun and log.last.get("kind") == "failure" else None
    printed, is_bug = "\n".join(lines), any(line.startswith("Traceback") for line in lines)
    saved = _newest_checkpoint(folder)
    resumes = (
        f"Resume goes on from {saved / 1000:g} kimg."
        if saved is not None
        else "It had no checkpoint yet; Resume begins again."
    )
    if logged:
        sentence = str(logged)
    elif lines and not is_bug and not has_begun:
        sentence = lines[-1]  # a command line that cannot begin says why, last
    elif is_bug:
        sentence = lines[-1]
    else:
        sentence = "The process ended without a word."
    everything = f"{printed}\n{logged or ''}".lower()
    if "out of memory" in everything or "outofmemory" in everything:
        advice = f"Lower the images at once (microbatch) in the settings. {resumes}"
    elif "no space left" in everything or "disk is full" in everything:
        advice = f"Free some space. {resumes}"
    elif is_bug:
        advice = f"That should not happen. {resumes} If it fails again, report these lines."
    elif logged or (not has_begun and lines):
        advice = resumes
    else:
        advice = (
            f"It was killed, memory ran out, or the computer was switched off. {resumes} "
            "If memory ran out, lower the images at once (microbatch) first."
        )
    return Failure(sentence, advice, lines)


def _newest_checkpoint(folder: Path) -> int | None:
    try:
        names = [name for name in os.listdir(folder / "checkpoints") if name[0].isdigit()]
    except OSError:
        return None
    counts = [int(name.partition(".")[0]) for name in names if name.endswith(".safetensors")]
    return max(counts, default=None)


def _changed_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
