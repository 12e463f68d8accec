"""What exploring and editing promise: `python -m benchmarks.editing`.

The window is the real one, in memory (EGL). The last line is one JSON object:

    pca_100k_s             seconds for the components of 100,000 w (python -m benchmarks.components)
    day_reopens_identical  whether a day of thirty steps, saved and opened again, shows the same picture,
                           bit for bit; and undoing twenty steps and redoing them as well
    monkey_actions         random actions through the panels
    monkey_errors          those after which the log held a bug, or undo did not lead back to the start
    edit_over_raster       from a changed line of code to the picture of 240k splats, relative to what
                           rasterizing that picture takes alone; in turns, the fastest of each

What the directions that come with the bundled generator change is measured by
`python -m benchmarks.demo_directions`, which needs the head model.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: idle threads do not spin

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks import components
from benchmarks.generator import random_generator
from benchmarks.monkey import Outcome, run_monkey
from benchmarks.scenes import head_scene
from benchmarks.window_hand import WindowHand, in_window
from benchmarks.working_day import Day, live_through
from models.checkpoint import save_generator
from models.directions import (
    Direction,
    read_directions,
    shipped_directions,
    weights_hash,
    write_directions,
)
from models.generator import CgsGenerator
from models.zoo import DEMO_GENERATOR
from renderer.formats.ply import write_ply
from renderer.gaussians import Gaussians
from renderer.spherical_harmonics import rgb_to_dc
from splatviz_app.edits.values import CodeEdit
from splatviz_app.preferences import Preferences
from splatviz_app.session import Session, new_session

_SPLATS, _SIDE = 240_000, 512  # of the head whose colour is edited; px
_TURNS = 32  # of them the first two are not counted
_FOLDERS = ("SPLATHEAD_CONFIG", "SPLATHEAD_STATE", "XDG_CACHE_HOME")


def main() -> None:
    """Print what was measured, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--actions", type=int, default=1000, help="of the monkey")
    parser.add_argument("--seed", type=int, default=0, help="of the monkey")
    parser.add_argument(
        "--samples", type=int, default=components.SAMPLES, help="w for the components"
    )
    parser.add_argument("--generator", type=Path, default=DEMO_GENERATOR)
    options = parser.parse_args()
    figures: dict[str, Any] = {}
    figures["edit_over_raster"] = round(measure_edit(), 3)
    figures["pca_100k_s"] = round(components.measure("cpu", options.samples)["pca_100k_s"], 3)
    if torch.cuda.is_available():
        figures |= components.measure("cuda", options.samples)
    with tempfile.TemporaryDirectory() as name, home_in(Path(name)):
        folder = Path(name)
        generator, direction = find_generator(options.generator, folder)
        day = live_through(generator, folder, direction)
        _tell_day(day)
        figures["day_reopens_identical"] = day.identical_after_reopening and (
            day.identical_after_redo and not day.errors
        )
        outcome = let_monkey(generator, folder, options.actions, options.seed)
    print(f"{outcome.actions} random actions: {dict(outcome.kinds)}")
    print(f"{outcome.undone} steps back; at the start again: {outcome.back_at_start}")
    figures["monkey_actions"] = outcome.actions
    figures["monkey_errors"] = len(outcome.errors) + (not outcome.back_at_start)
    print(json.dumps(figures))


# ---- the window


def let_monkey(generator: Path, folder: Path, actions: int, seed: int) -> Outcome:
    """Let a hand at random into a new window in which a generator is open."""
    session = new_session(Preferences(save_folder=str(folder), runs_folder=str(folder / "runs")))
    session.open(generator)
    outcomes: list[Outcome] = []

    def act(hand: WindowHand) -> None:
        hand.wait(lambda: session.picture is not None, "the first head")
        outcomes.append(run_monkey(hand, actions, seed, lambda said: print(said, flush=True)))

    in_window(session, act)
    return outcomes[0]


def find_generator(wanted: Path, folder: Path) -> tuple[Path, str]:
    """Return a generator with directions and the name of one; a small random one if `wanted` is not there."""
    there = shipped_directions(wanted)
    if wanted.exists() and there.exists():
        from models.checkpoint import load_generator

        generator = load_generator(wanted).generator
        return wanted, read_directions(there, weights_hash(generator), generator.w_dim)[0].name
    path = folder / "small.safetensors"
    small = small_generator()
    save_generator(path, small)
    vector = torch.randn(small.w_dim, generator=torch.Generator().manual_seed(4))
    direction = Direction("Smile", "Expression", 0.3 * vector)
    write_directions(shipped_directions(path), [direction], weights_hash(small))
    return path, direction.name


def small_generator() -> CgsGenerator:
    """A generator with random weights whose heads of some thousand splats are made at once."""
    return random_generator(32, points=64, width=64)


@contextmanager
def home_in(folder: Path) -> Iterator[None]:
    """Let preferences, presets and caches be kept in a folder of their own, and in no user's."""
    before = {name: os.environ.get(name) for name in _FOLDERS}
    os.environ.update({name: str(folder / name.lower()) for name in _FOLDERS})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _tell_day(day: Day) -> None:
    for number, step in enumerate(day.steps, 1):
        print(f"{number:>4}  {step}")
    print(
        f"undo went through {day.undone} documents; after redo as before: {day.identical_after_redo}"
    )
    print(f"identical after reopening: {day.identical_after_reopening}")
    for error in day.errors:
        print(error)


# ---- from a key to the picture


def measure_edit() -> float:
    """Time both from the moment a line of code is another, and the rasterization of the very picture."""
    with tempfile.TemporaryDirectory() as name, home_in(Path(name)):
        path = Path(name) / "head.ply"
        write_ply(path, _head())
        session = new_session(Preferences())
        session.viewport = (_SIDE, _SIDE)
        session.pipeline.warm_up()
        try:
            _open(session, path)
            edited, raster = _take_turns(session)
        finally:
            session.pipeline.scripts.stop()
    for name, of in (("fastest", min), ("medians", statistics.median)):
        spent = " and ".join(f"{1000 * of(seconds):.1f} ms" for seconds in (edited, raster))
        print(f"edit to picture, and rasterization alone: {spent}, {name}")
    return min(edited) / min(raster)


def _take_turns(session: Session) -> tuple[list[float], list[float]]:
    """Seconds of each kind."""
    edited, raster = [], []
    session.edits = session.edits.added(CodeEdit())
    for turn in range(_TURNS):
        code = f"gs.rgb *= {0.95 - 0.02 * turn:.2f}"
        session.editing.history.agree(code)
        begin = time.perf_counter()
        session.edits = session.edits.changed(replace(session.edits.edits[0], code=code))  # type: ignore[arg-type]
        session.update(0.0)
        while session.engine.step():
            pass
        edited.append(time.perf_counter() - begin)
        result = session.result
        assert result is not None, session.banner
        assert result.request.edits.edits[0].code == code, session.banner  # type: ignore[union-attr]
        assert result.request.size == (_SIDE, _SIDE), result.request.size
        active, _ = session.pipeline.active(result.request)
        begin = time.perf_counter()
        session.pipeline.draw(result.request, active)
        raster.append(time.perf_counter() - begin)
    return edited[2:], raster[2:]


def _open(session: Session, path: Path) -> None:
    session.open(path)
    while session.result is None or session.opening is not None:
        session.engine.drain()
        session.update(0.0)
        assert not session.banner, session.banner


def _head() -> Gaussians:
    scene = head_scene(_SPLATS, _SIDE)
    return Gaussians(
        means=scene.means,
        log_scales=scene.scales.log(),
        quats=scene.quats,
        opacity_logits=scene.opacities.logit(),
        sh=rgb_to_dc(scene.colors)[:, None],
    )


if __name__ == "__main__":
    main()
