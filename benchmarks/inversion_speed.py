"""How long steps of inversion and tuning take, beside a straightforward loop of the same losses."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.plain_inversion import PlainInversion, PlainTuning, copy_of
from inversion.losses import Comparison, Perception
from inversion.pivotal import tune
from inversion.projector import project
from inversion.settings import ProjectorSettings, TuningSettings
from inversion.steps import InversionStep
from inversion.target import Target
from inversion.views import CameraCorrections, draw_views
from models.checkpoint import load_generator
from models.generator import CgsGenerator
from models.latents import random_z
from renderer import cpu_backend
from renderer.camera import OrbitRig
from renderer.rasterize import rasterize

_THREADS = 2
_BLOCK = 4  # steps of a turn: so often tuning looks at another head
_WARM = 1  # turns that are not counted
_YAWS = (12, 38, -33)  # degrees: the first alone, or all three
_SEED = 8_600_000  # of the head that is looked for


def measure(path: Path, turns: int) -> dict[str, Any]:
    """Time steps, ours and plain ones by turns.

    Args:
        path: A generator.
        turns: Turns of four steps that count, of each.

    Returns:
        The figures of `benchmarks.inversion`; those of a GPU only where there is one.
    """
    threads, painters = torch.get_num_threads(), cpu_backend.get_threads()
    torch.set_num_threads(_THREADS)
    cpu_backend.set_threads(_THREADS)
    try:
        figures = _on_cpu(path, turns)
    finally:
        torch.set_num_threads(threads)
        cpu_backend.set_threads(painters)
    if torch.cuda.is_available():
        figures |= _on_gpu(path, turns)
    return figures


def _on_cpu(path: Path, turns: int) -> dict[str, Any]:
    generator = load_generator(path).generator
    figures: dict[str, Any] = {}
    print(f"a step in ms, {_THREADS} threads, the median of {turns} turns of {_BLOCK} steps")
    for views in (1, len(_YAWS)):
        targets = _targets(generator, views)
        latent, tuning = _latent(path, generator, targets, turns), _tuning(path, targets, turns)
        for phase, (ours, plain) in (("latent", latent), ("tuning", tuning)):
            print(
                f"{phase:<8}{views} {'view ' if views == 1 else 'views'}{ours:>9.1f} ours"
                f"{plain:>9.1f} plain{plain / ours:>7.2f}"
            )
            if views == 1:
                figures[f"step_ms_{phase}"] = round(ours, 1)
        if views == 1:
            figures["plain_over_ours"] = round(latent[1] / latent[0], 3)
    return figures


def _latent(
    path: Path, generator: CgsGenerator, targets: list[Target], turns: int
) -> tuple[float, float]:
    """Milliseconds of a step of latent inversion, ours and plain."""
    settings = replace(
        ProjectorSettings(), steps=_steps(turns), candidates=1, patience=0, refine_cameras=False
    )
    w = generator.w_avg[None]
    plain = PlainInversion(copy_of(str(path)), targets, settings, w)
    _require_same_losses(plain, generator, targets, settings)
    work = project(targets, generator, settings, Perception(), start=w)
    return _by_turns(_skip_start(work), plain.step, turns)


def _tuning(path: Path, targets: list[Target], turns: int) -> tuple[float, float]:
    """Milliseconds of a step of tuning, ours and plain."""
    settings = replace(TuningSettings(), steps=_steps(turns))
    generator = copy_of(str(path))
    w = generator.w_avg[None]
    plain = PlainTuning(generator, copy_of(str(path)), targets, settings, w)
    cameras = [target.camera for target in targets]
    work = tune(targets, generator, w, cameras, settings, Perception())
    return _by_turns(_skip_start(work), plain.step, turns)


def _skip_start(work: Generator[InversionStep, None, Any]) -> Generator[InversionStep, None, Any]:
    """Go to the first real step: what comes before happens once."""
    while next(work).done < 1:
        pass
    return work


def _by_turns(
    work: Generator[InversionStep, None, Any], plain: Callable[[], None], turns: int
) -> tuple[float, float]:
    """Median milliseconds of both."""
    ours, others = [], []
    for turn in range(turns + _WARM):
        begin = time.perf_counter()
        for _ in range(_BLOCK):
            next(work)
        middle = time.perf_counter()
        for _ in range(_BLOCK):
            plain()
        if turn >= _WARM:
            ours.append(1e3 * (middle - begin) / _BLOCK)
            others.append(1e3 * (time.perf_counter() - middle) / _BLOCK)
    work.close()
    return statistics.median(ours), statistics.median(others)


def _steps(turns: int) -> int:
    """How many steps so many turns need, with the first one."""
    return _BLOCK * (turns + _WARM) + 1


def _require_same_losses(
    plain: PlainInversion,
    generator: CgsGenerator,
    targets: list[Target],
    settings: ProjectorSettings,
) -> None:
    """Make sure that both loops make the same number smaller."""
    comparison = Comparison(targets, Perception(), settings.resolution)
    cameras = CameraCorrections([target.camera for target in targets]).cameras()
    with torch.no_grad():
        head = generator.synthesize(plain.w[None])[0]
        pictures = draw_views(head, cameras, settings.resolution, comparison.background)
        ours = float(comparison(pictures).total(settings.weights))
        other = float(plain.loss())
    # Sums in another order, of numbers near 0.1 in float32.
    assert math.isclose(ours, other, rel_tol=1e-4), (ours, other)


def _targets(generator: CgsGenerator, views: int) -> list[Target]:
    """Draw a random head of the generator itself: what is timed does not depend on what it shows."""
    size = ProjectorSettings().resolution
    with torch.no_grad():
        head = generator.synthesize(generator.map(random_z(_SEED, 1, generator.z_dim)))[0]
        targets = []
        for yaw in _YAWS[:views]:
            camera = OrbitRig(yaw=math.radians(yaw)).camera()
            drawn = rasterize(head, camera, (size, size))
            color = (drawn.color / drawn.alpha.clamp_min(1e-3)).clamp(0, 1)
            one = torch.ones(size, size)
            points = torch.full((5, 2), 0.5)
            targets.append(Target(f"{yaw}°", color, drawn.alpha, one, camera, points))
    return targets


def _on_gpu(path: Path, turns: int) -> dict[str, Any]:
    """Time our steps on a GPU, one view; each ends with its picture on the CPU, so all work is done."""
    targets = _targets(load_generator(path).generator, 1)
    generator = load_generator(path, "cuda").generator
    w = generator.w_avg[None]
    latent = replace(ProjectorSettings(), steps=_steps(turns), candidates=1, patience=0)
    tuning = replace(TuningSettings(), steps=_steps(turns))
    cameras = [target.camera for target in targets]
    figures = {}
    for name, work in (
        ("latent", project(targets, generator, latent, Perception(), start=w)),
        ("tuning", tune(targets, generator, w, cameras, tuning, Perception())),
    ):
        figures[f"step_ms_{name}_gpu"] = round(_by_turns(_skip_start(work), _wait, turns)[0], 2)
    print(f"on {torch.cuda.get_device_name()}: {figures}")
    return figures


def _wait() -> None:
    torch.cuda.synchronize()
