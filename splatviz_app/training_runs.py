"""Training runs as processes of their own: start, stop, go on, and see what each is doing.

A run outlives the window. All that is known of it lies in its folder; files are read and processes
started on one thread beside the window's, which only asks and looks at what came back.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil

from renderer.errors import LoadError, SaveError, SplatheadError
from renderer.files import atomic_write
from splatviz_app.training_folder import (
    LAUNCH,
    OUTPUT,
    Launch,
    Machine,
    Run,
    RunReader,
    find_process,
    read_launch,
)
from training.config import TrainingConfig, TrainingError

_ROOT = Path(__file__).resolve().parent.parent  # from where `-m training` is found
_NICENESS = 5  # of a run: the window and the heads in it go first
_KEPT_PICTURES = 4
_WIDEST = 1280  # px of a sample grid in the window


@dataclass(frozen=True)
class Plan:
    """A run that has not begun."""

    folder: Path
    preset: str
    config: TrainingConfig
    data: Path | None  # folder or zip; None for synthetic heads
    index: Path | None  # JSON list of picture numbers
    head_model: Path | None  # of synthetic heads
    start: Path | None  # None for fresh networks
    machine: Machine
    checked: str = ""  # the digest of the data as it was found sound


class TrainingRuns:
    """The runs in one folder. Panels call `update` every frame, and read what it found."""

    def __init__(self, folder: Path, pace: float = 1.0) -> None:
        """Look into `folder` every `pace` seconds, as long as `update` is called."""
        self.folder = folder
        # Alive first, then newest first; None: not known yet.
        self.runs: tuple[Run, ...] | None = None
        self.damaged: tuple[str, ...] = ()  # sentences about folders that are no intact runs
        # Names in the order of their numbers; None: not known.
        self.gpus: tuple[str, ...] | None = None
        self.why_no_fid = ""  # why FID and KID cannot be measured here
        self._pace, self._looked = pace, -np.inf
        self._readers: dict[Path, RunReader] = {}
        self._children: list[subprocess.Popen] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="runs")
        self._asked: list[Future[None]] = []
        self._looking: Future[tuple[Path, list[Run], list[str]]] | None = None
        self._machine = self._thread.submit(_look_at_machine)
        self._pictures: dict[Path, Future[np.ndarray | None]] = {}

    def update(self) -> list[BaseException]:
        """Take in what the thread found, and ask it to look again; what went wrong, each once."""
        over = [future for future in self._asked if future.done()]
        self._asked = [future for future in self._asked if not future.done()]
        errors = [error for future in over if (error := future.exception()) is not None]
        if self.gpus is None and self._machine.done():
            self.gpus, self.why_no_fid = self._machine.result()
        if self._looking is not None and self._looking.done():
            folder, runs, damaged = self._looking.result()
            self._looking = None
            if folder == self.folder:
                self.runs, self.damaged = tuple(runs), tuple(damaged)
        now = time.monotonic()
        if self._looking is None and (now - self._looked >= self._pace or over):
            self._looked = now
            self._looking = self._thread.submit(self._look, self.folder)
        return errors

    def look_in(self, folder: Path) -> None:
        """Show the runs of another folder."""
        if folder != self.folder:
            self.folder, self.runs, self.damaged, self._looked = folder, None, (), -np.inf

    def find(self, folder: Path | None) -> Run | None:
        """The run in a folder, if it is one of those known."""
        return next((run for run in self.runs or () if run.folder == folder), None)

    @property
    def is_busy(self) -> bool:
        """Whether something that was asked for is not done yet."""
        return bool(self._asked)

    # ---- what can be asked for; done soon, on the thread

    def begin(self, plan: Plan) -> None:
        """Write the settings of a new run, and start it."""
        self._ask(lambda: self._children.append(begin(plan)))

    def resume(self, folder: Path, machine: Machine, config: TrainingConfig | None = None) -> None:
        """Go on with a run that stands still, perhaps with other settings."""
        self._ask(lambda: self._children.append(resume(folder, machine, config)))

    def stop(self, folder: Path) -> None:
        """Ask a run to write a checkpoint and leave."""
        self._ask(lambda: stop(folder))

    def end_now(self, folder: Path) -> None:
        """End a run at once; what it learned since its last checkpoint is lost."""
        self._ask(lambda: end_now(folder))

    def show_folder(self, folder: Path) -> None:
        """Open a folder in the system's own program for files."""
        self._ask(lambda: show_folder(folder))

    def picture(self, path: Path) -> np.ndarray | None:
        """The picture in a file, None until it is there or if it cannot be read. [H, W, 4] uint8"""
        if path not in self._pictures:
            for old in list(self._pictures)[: 1 - _KEPT_PICTURES]:
                del self._pictures[old]
            self._pictures[path] = self._thread.submit(read_picture, path)
        found = self._pictures[path]
        return found.result() if found.done() else None

    def close(self) -> None:
        """Let the thread end; the runs go on."""
        self._thread.shutdown(cancel_futures=True)

    def _ask(self, action: Callable[[], None]) -> None:
        self._asked.append(self._thread.submit(action))

    def _look(self, folder: Path) -> tuple[Path, list[Run], list[str]]:
        """Read all runs of a folder, on the thread."""
        from training.loop import SETTINGS

        self._children = [child for child in self._children if child.poll() is None]
        runs, damaged = [], []
        try:
            places = sorted(place for place in folder.iterdir() if (place / SETTINGS).exists())
        except OSError:
            places = []
        self._readers = {place: self._readers.get(place) or RunReader(place) for place in places}
        for reader in self._readers.values():
            try:
                runs.append(reader.read())
            except LoadError as error:
                damaged.append(str(error))
            except OSError:
                continue  # it was removed just now
        runs.sort(key=lambda run: (not run.state.is_alive, -run.changed, run.name))
        return folder, runs, damaged


# ---- what is done to one run


def begin(plan: Plan) -> subprocess.Popen:
    """Write the settings of a new run, and start it.

    Raises:
        TrainingError: The folder is in use.
        SaveError: It cannot be written.
    """
    from training.loop import save_settings

    if plan.folder.exists() and (not plan.folder.is_dir() or any(plan.folder.iterdir())):
        raise TrainingError(f"{plan.folder} is there already. Choose another name for the run.")
    save_settings(
        plan.folder,
        plan.config,
        preset=plan.preset,
        data=_text(plan.data),
        index=_text(plan.index),
        synthetic=_text(plan.head_model),
        start=_text(plan.start),
        checked=plan.checked,
    )
    return _launch(plan.folder, plan.machine)


def resume(folder: Path, machine: Machine, config: TrainingConfig | None) -> subprocess.Popen:
    """Go on with a run that stands still, with its own settings if none are given.

    Raises:
        TrainingError: It does not stand still.
        LoadError, SaveError: Its settings cannot be read, or not be written.
    """
    from training.loop import save_settings, saved_settings

    _require_still(folder)
    saved = saved_settings(folder)
    if saved is None:
        raise TrainingError(f"{folder} has no settings any more. Begin a new run.")
    if config is not None and config != saved.pop("config"):
        save_settings(folder, config, **saved)
    return _launch(folder, machine)


def stop(folder: Path) -> None:
    """Ask a run to write a checkpoint and leave. One that has not begun to train is ended.

    Raises:
        SaveError: The folder cannot be written.
    """
    from training.loop import STOP, running_process

    launch = read_launch(folder)
    process = find_process(folder, launch)
    if process is None:
        return
    if running_process(folder) is not None:
        with atomic_write(folder / STOP):
            return
    # Before it trains it has nothing to save, and would forget that it was asked.
    if launch is not None:
        _write_launch(folder, replace(launch, was_ended=True))
    with suppress(psutil.Error):
        process.terminate()


def end_now(folder: Path) -> None:
    """End a run and the processes it started, at once."""
    launch = read_launch(folder)
    process = find_process(folder, launch)
    if process is None:
        return
    if launch is not None:
        _write_launch(folder, replace(launch, was_ended=True))
    with suppress(psutil.Error):
        for one in [process, *process.children(recursive=True)]:
            with suppress(psutil.Error):
                one.kill()


def show_folder(folder: Path) -> None:
    """Open a folder in the system's own program for files.

    Raises:
        SplatheadError: There is none.
    """
    program = {"win32": "explorer", "darwin": "open"}.get(sys.platform, "xdg-open")
    quiet = subprocess.DEVNULL
    try:
        subprocess.Popen([program, str(folder)], stdin=quiet, stdout=quiet, stderr=quiet)
    except OSError as error:
        raise SplatheadError(
            f"No program to show folders was found here. The run lies in {folder}."
        ) from error


def command(folder: Path, machine: Machine) -> list[str]:
    """The command line of a run whose settings are in its folder."""
    program = [sys.executable, "-m"]
    if machine.processes > 1:
        program += ["torch.distributed.run", "--standalone"]
        program += ["--nproc-per-node", str(machine.processes), "-m"]
    device = "cuda" if machine.gpus else "cpu"
    return [*program, "training", "train", "--out", str(folder.absolute()), "--device", device]


def environment(machine: Machine) -> dict[str, str]:
    """The environment of a run: which GPUs it sees, and how many threads each process has."""
    values = dict(os.environ, OMP_WAIT_POLICY="PASSIVE", PYTHONUNBUFFERED="1")
    if machine.gpus:
        seen = [name for name in values.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        chosen = [seen[number] if seen else str(number) for number in machine.gpus]
        values["CUDA_VISIBLE_DEVICES"] = ",".join(chosen)
    if machine.processes > 1:
        values["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // machine.processes))
    return values


def read_picture(path: Path) -> np.ndarray | None:
    """Read a picture, shrunk to what a window needs; None if it cannot be. [H, W, 4] uint8"""
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.thumbnail((_WIDEST, _WIDEST))
            return np.array(image.convert("RGBA"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _launch(folder: Path, machine: Machine) -> subprocess.Popen:
    """Start the process of a run, apart from this one, and write down which it is."""
    from training.loop import STOP

    _require_still(folder)
    is_windows = sys.platform == "win32"
    apart = (
        0x00000008 | 0x00000200 if is_windows else 0
    )  # DETACHED_PROCESS, CREATE_NEW_PROCESS_GROUP
    when = time.time()
    try:
        (folder / STOP).unlink(missing_ok=True)
        with open(folder / OUTPUT, "ab") as output:
            printed = output.tell()
            child = subprocess.Popen(
                command(folder, machine),
                cwd=_ROOT,
                env=environment(machine),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=not is_windows,  # closing the terminal does not end it
                creationflags=apart,
            )
    except OSError as error:
        sentence = f"cannot be used ({error.strerror}). Choose another folder for the runs."
        raise SaveError(folder, sentence) from error
    process = psutil.Process(child.pid)
    with suppress(psutil.Error):
        # At once, before it has threads: on Linux each would keep a niceness of its own.
        process.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS if is_windows else _NICENESS)  # type: ignore[attr-defined,unused-ignore]
    _write_launch(folder, Launch(machine, child.pid, process.create_time(), when, printed))
    return child


def _write_launch(folder: Path, launch: Launch) -> None:
    values = dataclasses.asdict(launch)
    values |= values.pop("machine")
    with atomic_write(folder / LAUNCH) as file:
        file.write(json.dumps(values).encode())


def _require_still(folder: Path) -> None:
    process = find_process(folder, read_launch(folder))
    if process is not None:
        raise TrainingError(f"{folder.name} is running already, as process {process.pid}.")


def _look_at_machine() -> tuple[tuple[str, ...], str]:
    """What the GPUs are called, and why FID cannot be measured, if so."""
    from training.inception import find_weights
    from training.launch import gpu_names

    try:
        find_weights()
    except SplatheadError as error:
        return gpu_names(), str(error)
    return gpu_names(), ""


def _text(path: Path | None) -> str | None:
    return str(path.absolute()) if path is not None else None
