"""The training loop. One count says how far it is: the images seen.

Everything that is random, and the place in the data, follows from that count, so a run that was
stopped goes on as if it never was.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import torch

from renderer.errors import LoadError, SaveError
from renderer.files import atomic_write
from training.config import TrainingConfig, TrainingError, images_of, read_json, write_json
from training.data import ImageSource, TrainingData
from training.ema import ema_decay, track_mean, update_ema
from training.launch import Processes, memory_in_use
from training.metrics import Evaluator
from training.records import Records
from training.samples import fixed_grid, real_grid, turning_grid
from training.state import Checkpoints, TrainingState, export, run_name
from training.steps import Means, Stepper, speed_up

SETTINGS = "settings.json"  # in the run's folder, as all below
PROCESS = "process.json"  # who trains
STOP = "stop"  # whoever makes this file asks the run to save and leave
NEWEST, BEST = "generator.safetensors", "best.safetensors"  # what the studio opens

_MOST_BROKEN = 100  # steps in a row whose gradients are no numbers, after which it has diverged


@dataclass(frozen=True)
class TrainingStep:
    """Where a training stands."""

    done: int  # images
    total: int
    message: str  # what happened last, worth a line
    is_stopped: bool = False  # asked to leave before the end


TrainingSteps = Generator[TrainingStep, None, TrainingStep]


@dataclass(frozen=True)
class Start:
    """What a new run begins with, instead of fresh networks."""

    # Builds it, and says what of it was taken.
    load: Callable[[TrainingConfig, torch.device], tuple[TrainingState, str]]
    source: str  # name of the file


@dataclass
class _Run:
    """A run's folder, and what is written to it."""

    folder: Path
    config: TrainingConfig
    processes: Processes
    state: TrainingState
    records: Records
    checkpoints: Checkpoints
    message: str = ""
    saved_images: int = -1
    _clock: float = field(default_factory=time.perf_counter)
    _clock_images: int = 0

    def status(self, means: Means) -> None:
        """Log where the run stands: progress, speed, memory, time left, and means since the last."""
        state, now = self.state, time.perf_counter()
        seconds = (now - self._clock) / max(state.images - self._clock_images, 1) * 1000
        self._clock, self._clock_images = now, state.images
        values = {name: float(value) for name, value in means.values().items()}
        memory = memory_in_use(self.processes.device) / 2**30
        eta = (images_of(self.config.kimg) - state.images) / 1000 * seconds
        self.records.write(
            "status", state.images, s_per_kimg=seconds, memory_gb=memory, eta_s=eta, **values
        )
        self.message = (
            f"{state.images / 1000:.1f} of {self.config.kimg:g} kimg, {seconds:.1f} s/kimg, "
            f"{memory:.1f} GB, {_duration(eta)} left, "
            f"G {values.get('generator_loss', 0):.3f}, D {values.get('discriminator_loss', 0):.3f}"
        )

    def draw_grids(self) -> None:
        """Draw sample grids of the average, and write it for the studio to open."""
        if self.processes.is_main:
            state, config = self.state, self.config
            try:
                self.records.picture("front", state.images, fixed_grid(state.average, config))
                self.records.picture("turning", state.images, turning_grid(state.average, config))
            except SaveError as error:
                self._warn(error)
            self._export(NEWEST)
        self.processes.wait()

    def evaluate(self, evaluator: Evaluator) -> None:
        """Measure the average, and keep it if it is the best so far."""
        state = self.state
        figures = evaluator.evaluate(state.average)
        self.records.write("metric", state.images, **figures)
        first = next(iter(figures.values()))
        self.message = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        if first < state.best:
            state.best, state.best_images = first, state.images
            if self.processes.is_main:
                self._export(BEST)

    def save(self, *, must: bool = False) -> None:
        """Write a checkpoint. A full disk is logged and tried again later, unless it must be now.

        Raises:
            SaveError: It cannot be written and `must` be.
            TrainingError: The weights are no numbers any more.
        """
        state = self.state
        if not state.is_finite():
            raise TrainingError(
                "The training has diverged: its weights are no numbers any more. Resume it from its "
                "last checkpoint with lower learning rates."
            )
        if self.processes.is_main and state.images != self.saved_images:
            try:
                path = self.checkpoints.save(state, self.config)
                self.checkpoints.prune(self.config.keep, state.best_images)
                self.records.write("checkpoint", state.images, file=path.name)
                self.saved_images = state.images
            except SaveError as error:
                if must:
                    raise
                self._warn(error)
            self._export(NEWEST)
        self.processes.wait()

    def _export(self, name: str) -> None:
        try:
            export(self.folder / name, self.state, run_name(self.folder), self.config)
        except SaveError as error:
            self._warn(error)

    def _warn(self, error: SaveError) -> None:
        self.message = str(error)
        # The log may be on the same full disk.
        with suppress(OSError):
            self.records.write("warning", self.state.images, message=str(error))


def train(  # noqa: PLR0913 - a run is these
    folder: Path,
    config: TrainingConfig,
    source: ImageSource,
    processes: Processes,
    *,
    start: Start | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    wandb: bool = False,
    cache: Path | None = None,
) -> TrainingSteps:
    """Train a generator; yields after every step, and returns where it ended.

    Args:
        folder: Of the run; goes on from its newest intact checkpoint, if it has one.
        config: The settings; those of a run that goes on must be the same but for its length and
            how often it looks.
        source: The pictures.
        processes: Those that train together.
        start: What a new run begins with; fresh networks if None.
        should_stop: Asked after every step; then a checkpoint is written and the run ends.
        wandb: Whether to log to Weights & Biases too.
        cache: Where statistics of datasets are kept; the user's cache if None.

    Raises:
        TrainingError: The settings do not fit the data, a metric's weights are missing, or the
            training diverged.
        LoadError, SaveError: A picture cannot be read, or the last checkpoint not be written.
    """
    _require_fit(config, source, processes)
    data = TrainingData(source, mirror=config.mirror, seed=config.seed)
    evaluator = Evaluator(config, data, processes, cache)
    evaluator.check()
    run = _begin(folder, config, processes, start, wandb)
    state, total = run.state, images_of(config.kimg)
    stepper = Stepper(config, data, processes, state)
    loader = ThreadPoolExecutor(1, thread_name_prefix="data")
    means, broken, is_stopped = Means(), 0, False

    def load(images: int):
        return loader.submit(data.batch, images, config.batch)

    try:
        yield TrainingStep(state.images, total, run.message)
        if state.images == 0:  # what it looks like before anything is learned
            if processes.is_main:
                run.records.picture("real", 0, real_grid(data, config))
            run.draw_grids()
            run.evaluate(evaluator)
            yield TrainingStep(0, total, run.message)

        loading = load(state.images)
        while state.images < total and not is_stopped:
            # Load pictures, and the next ones while these are worked on.
            real = loading.result()
            loading = load(state.images + config.batch)

            # The discriminator learns to tell real from made, once in a while with less slope.
            logged = stepper.discriminator_step(real)
            if config.r1_gamma > 0 and state.images // config.batch % config.r1_interval == 0:
                logged |= stepper.r1_step(real)

            # The generator learns to pass for real from several sides.
            learned, w_mean = stepper.generator_step()
            track_mean(state.generator.w_avg, w_mean, config.w_avg_decay)

            # The average follows.
            decay = ema_decay(
                state.images, config.batch, config.ema_kimg * 1000, config.ema_ramp_up or None
            )
            update_ema(state.average, state.generator, decay)

            # Count, and look whether there is still anything to learn from.
            before, state.images = state.images, state.images + config.batch
            means.add(**logged, **learned)
            broken = broken + 1 if float(learned["generator_broken"]) else 0
            if broken >= _MOST_BROKEN:
                raise TrainingError(
                    "The training has diverged: its gradients are no numbers any more. Begin again "
                    "with lower learning rates or a larger r1_gamma."
                )

            def is_time(kimg: float, before: int = before) -> bool:
                return before // images_of(kimg) != state.images // images_of(kimg)

            # Once in a while: say where we are.
            is_last = state.images >= total
            if is_time(config.status_kimg) or is_last:
                run.status(means)
                means = Means()
                yield TrainingStep(state.images, total, run.message)

            # Once in a while: draw sample grids, and write the average.
            if is_time(config.grid_kimg) or is_last:
                run.draw_grids()

            # Once in a while: measure.
            is_best = False
            if is_time(config.metric_kimg) or is_last:
                run.evaluate(evaluator)
                is_best = state.best_images == state.images
                yield TrainingStep(state.images, total, run.message)

            # Once in a while: save. And when asked to leave.
            is_stopped = processes.any(should_stop() or (folder / STOP).exists())
            if is_time(config.checkpoint_kimg) or is_best or is_last or is_stopped:
                run.save(must=is_last or is_stopped)
            yield TrainingStep(state.images, total, run.message)
        run.records.write("end", state.images, is_stopped=is_stopped)
    except BaseException as error:
        # Whoever looks at the folder should see why it ended; but a full disk may forbid even that.
        with suppress(OSError):
            run.records.write("failure", state.images, message=str(error) or type(error).__name__)
        raise
    finally:
        loader.shutdown(cancel_futures=True)
        run.records.close()
        if processes.is_main:
            (folder / PROCESS).unlink(missing_ok=True)
            (folder / STOP).unlink(missing_ok=True)
    return TrainingStep(state.images, total, run.message, is_stopped)


# ── beginning ──────────────────────────────────────────────────────────────────────────────────


def saved_settings(folder: Path) -> dict[str, Any] | None:
    """Read the settings of a run; None if the folder has none.

    Returns:
        `config`, a TrainingConfig, and whatever else was saved beside it.

    Raises:
        LoadError: They cannot be understood.
    """
    path = folder / SETTINGS
    if not path.exists():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return {**values, "config": read_json(path, values["config"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LoadError(path, f"cannot be understood ({error}). Begin a new run.") from error


def save_settings(folder: Path, config: TrainingConfig, **beside: Any) -> None:
    """Write the settings of a run, with what else is needed to go on.

    Raises:
        SaveError: They cannot be written.
    """
    try:
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SaveError(folder, f"cannot be made ({error.strerror}). Choose another.") from error
    text = json.dumps({**beside, "config": write_json(config)}, indent=1)
    with atomic_write(folder / SETTINGS) as file:
        file.write(text.encode())


def running_process(folder: Path) -> int | None:
    """Return the id of the process that trains in this folder on this machine, None if none does."""
    try:
        values = json.loads((folder / PROCESS).read_text(encoding="utf-8"))
        pid, born = int(values["pid"]), float(values["born"])
        if values["host"] != socket.gethostname():
            return None
        alive = psutil.Process(pid)
        is_same = abs(alive.create_time() - born) < 2  # ids are used again
        return pid if is_same and alive.status() != psutil.STATUS_ZOMBIE else None
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return None


def require_free(folder: Path) -> None:
    """Make sure that no other process of this machine trains in this folder.

    Raises:
        TrainingError: One does.
    """
    pid = running_process(folder)
    if pid is not None and pid != os.getpid():
        raise TrainingError(
            f"Process {pid} trains in {folder} already. Stop it first, or choose another folder."
        )


def _require_fit(config: TrainingConfig, source: ImageSource, processes: Processes) -> None:
    if source.resolution != config.resolution:
        raise TrainingError(
            f"The pictures are {source.resolution} px but the settings say {config.resolution}. "
            "Choose the preset or the --resolution of the pictures."
        )
    if config.random_background and not source.has_alphas:
        raise TrainingError(
            "Random backgrounds need masks, and this dataset has none. Add a folder mask/, or use "
            "--no-random-background."
        )
    if not config.can_be_shared(processes.count):
        raise TrainingError(
            f"A batch of {config.batch} in parts of {config.microbatch} cannot be shared evenly among "
            f"{processes.count} processes. Change --batch or --microbatch."
        )


def _begin(
    folder: Path,
    config: TrainingConfig,
    processes: Processes,
    start: Start | None,
    wandb: bool,
) -> _Run:
    """Take the folder, and make or find the state of its run."""
    checkpoints = Checkpoints(folder / "checkpoints")
    if processes.is_main:
        _take(folder, checkpoints)
    processes.wait()
    found, damaged = checkpoints.load_newest(config, processes.device)
    if damaged and found is None:
        raise damaged[0]
    if found is not None:
        state, message = found, f"Going on from {found.images / 1000:.1f} kimg."
    elif start is not None:
        state, taken = start.load(config, processes.device)
        message = f"Beginning with {start.source}: {taken}."
    else:
        state, message = TrainingState.fresh(config, processes.device), "Beginning."
    speed_up(config, state)
    records = Records(folder, state.images, is_writing=processes.is_main, wandb=wandb)
    run = _Run(folder, config, processes, state, records, checkpoints, message)
    run.saved_images = -1 if found is None else state.images
    run._clock_images = state.images
    for error in damaged:
        records.write("warning", state.images, message=str(error))
    records.write(
        "begin", state.images, processes=processes.count, device=str(processes.device),
        message=message,
    )  # fmt: skip
    return run


def _take(folder: Path, checkpoints: Checkpoints) -> None:
    """Make the folder ours: one run at a time."""
    require_free(folder)
    try:
        checkpoints.folder.mkdir(parents=True, exist_ok=True)
        (folder / STOP).unlink(missing_ok=True)
        checkpoints.remove_unfinished()
    except OSError as error:
        raise SaveError(folder, f"cannot be used ({error.strerror}). Choose another.") from error
    me = psutil.Process()
    values = {"pid": me.pid, "host": socket.gethostname(), "born": me.create_time()}
    with atomic_write(folder / PROCESS) as file:
        file.write(json.dumps(values).encode())


def _duration(seconds: float) -> str:
    """Write a time as 2 d 3 h, 4 h 5 min, 6 min or 7 s."""
    minutes = int(seconds // 60)
    if minutes >= 24 * 60:
        return f"{minutes // 1440} d {minutes % 1440 // 60} h"
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{seconds:.0f} s"
