"""What inversion promises: `python -m benchmarks.inversion --data ict_facekit_light.npz`.

Synthetic heads that the bundled generator never learned from are drawn at known cameras, 256 x 256, and
looked for with the settings a user gets, from one view (within 30 degrees of the front) and from
three (front, 35 degrees left and right). Pictures are compared by the stand-in, which needs no weights,
also where there are others. PSNR is that of `benchmarks.demo`: over the pixels that
the synthetic head covers, before white. The last line is one JSON object; what was not measured is null:

    given_psnr_inverted     one view, its camera known: that view after latent inversion, dB
    given_psnr_tuned        the same after tuning
    novel_psnr_inverted     six other views, within 45 degrees of the front, after latent inversion
    novel_psnr_tuned        the same after tuning
    novel_psnr_three_views  the same after inversion and tuning with three views
    camera_deg_landmarks    how far the camera is turned that landmarks give, mean over heads
    camera_deg_refined      the same after latent inversion has refined it
    step_ms_latent          of latent inversion, one view, 2 threads, median
    step_ms_tuning          of tuning, the same
    plain_over_ours         steps a second of latent inversion, relative to a straightforward loop
                            of the same losses (`plain_inversion.py`); in turns, medians
    worst_gui_frame_ms      the longest frame of the window during both phases

The table also says what the mean head and the generator's head of the true latent reach, and what one
view gives whose camera is found from landmarks, without and with refinement. There the head is
judged twice: at the known cameras as it is, and "in place", turned and moved as the found camera
is: both make the same photo, and of a real one nobody knows another camera.

Heads are shared out to processes of one thread each. With --resume FILE what was found of each head is
kept in FILE, and the same command goes on after a stop.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: idle threads do not spin

import argparse
import json
import multiprocessing
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.inversion_heads import Method, Outcome, measure, subject
from inversion.losses import Perception
from models.checkpoint import load_generator
from models.generator import CgsGenerator
from models.zoo import DEMO_GENERATOR
from renderer import cpu_backend
from renderer.errors import LoadError, SplatheadError
from training.synthetic.head import HeadModel

_DATA = Path("ict_facekit_light.npz")
_PARTS = ("quality", "speed", "window")
_KEYS = (
    "given_psnr_inverted", "given_psnr_tuned", "novel_psnr_inverted", "novel_psnr_tuned",
    "novel_psnr_three_views", "camera_deg_landmarks", "camera_deg_refined",
    "step_ms_latent", "step_ms_tuning", "plain_over_ours", "worst_gui_frame_ms",
)  # fmt: skip
_COLUMNS = (
    "given_inverted", "given_tuned", "novel_inverted", "novel_tuned", "wide_inverted", "wide_tuned",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Print tables, then one line of JSON; 0 if that went well."""
    options = _parser().parse_args(arguments)
    parts = _PARTS if options.only is None else (options.only,)
    data = options.data or (_DATA if _DATA.exists() else None)
    figures: dict[str, Any] = dict.fromkeys(_KEYS)
    try:
        if "quality" in parts and data is not None:
            figures |= tell(list(outcomes(data, options)))
        elif "quality" in parts:
            print(f"Quality needs the head model that the generator learned from: --data {_DATA}")
        if "speed" in parts:
            from benchmarks import inversion_speed

            figures |= inversion_speed.measure(options.generator, options.turns)
        if "window" in parts:
            from benchmarks import inversion_window

            figures |= inversion_window.measure(options.generator)
    except SplatheadError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped; with --resume FILE the same command goes on.", file=sys.stderr)
        return 130
    print(json.dumps(figures))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help=f"the head model; {_DATA} here if not given")
    parser.add_argument("--generator", type=Path, default=DEMO_GENERATOR)
    parser.add_argument("--heads", type=int, default=50)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--resume", type=Path, help="a file that keeps what was found")
    parser.add_argument("--only", choices=_PARTS)
    parser.add_argument("--turns", type=int, default=10, help="of four steps that are timed")
    parser.add_argument("--steps", type=int, nargs=2, metavar=("LATENT", "TUNING"))
    return parser


# ---- heads, shared out to processes


def outcomes(data: Path, options: argparse.Namespace) -> Iterator[Outcome]:
    """Measure heads, or take them from the file of a run that was stopped.

    Args:
        data: The head model.
        options: The command line's.

    Raises:
        LoadError: The file is of another run.
    """
    method = Method()
    if options.steps is not None:
        latent, tuning = options.steps
        projector = replace(method.projector, steps=latent)
        method = replace(method, projector=projector, tuning=replace(method.tuning, steps=tuning))
    known = _read(options.resume, method)
    wanted = [index for index in range(options.heads) if index not in known]
    yield from (known[index] for index in range(options.heads) if index in known)
    begin, done = time.monotonic(), 0
    arguments = (data, options.generator, method)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.processes, context, _begin_worker, arguments) as pool:
        try:
            work = [pool.submit(_measure, index) for index in wanted]
            for future in as_completed(work):
                outcome, done = future.result(), done + 1
                _append(options.resume, outcome)
                left = (time.monotonic() - begin) / done * (len(wanted) - done)
                row = outcome.psnr["one view"]
                print(
                    f"head {outcome.index}: {outcome.seconds:.0f} s, novel views "
                    f"{row['novel_inverted']:.2f} dB, tuned {row['novel_tuned']:.2f} dB; "
                    f"{done} of {len(wanted)}, {left / 60:.0f} min left",
                    flush=True,
                )
                yield outcome
        except BaseException:
            for process in multiprocessing.active_children():  # or a head would be waited for
                process.terminate()
            raise


class _Worker:
    """What a process keeps between heads."""

    model: HeadModel
    generator: CgsGenerator
    method: Method
    perception: Perception


def _begin_worker(data: Path, generator: Path, method: Method) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the process that waits
    torch.set_num_threads(1)
    cpu_backend.set_threads(1)
    _Worker.model = HeadModel.load(data)
    _Worker.generator = load_generator(generator).generator
    _Worker.method = method
    _Worker.perception = Perception()


def _measure(index: int) -> Outcome:
    one = subject(_Worker.model, index, _Worker.method.size)
    return measure(one, _Worker.generator, _Worker.method, _Worker.perception)


def _read(path: Path | None, method: Method) -> dict[int, Outcome]:
    """Read what a run that was stopped has found; begin the file if there is none."""
    if path is None:
        return {}
    if not path.exists():
        path.write_text(json.dumps(asdict(method)) + "\n", encoding="utf-8")
        return {}
    try:
        first, *lines = path.read_text(encoding="utf-8").splitlines()
        if json.loads(first) != asdict(method):
            raise LoadError(path, "is of a run with other settings. Name another file.")
        found = [Outcome(**json.loads(line)) for line in lines if line.endswith("}")]
    except (ValueError, TypeError) as error:
        raise LoadError(path, f"holds no outcomes ({error}). Name another file.") from error
    return {outcome.index: outcome for outcome in found}


def _append(path: Path | None, outcome: Outcome) -> None:
    if path is not None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(outcome.entry()) + "\n")


# ---- the table


def tell(found: Sequence[Outcome]) -> dict[str, Any]:
    """Print means over heads, and return those that have a name."""
    print(f"{len(found)} heads; PSNR in dB, means")
    print(f"{'':<30}{'given view':^18}{'within 45 degrees':^18}{'45 to 90 degrees':^18}")
    print(f"{'':<30}" + 3 * f"{'inverted':>9}{'tuned':>9}")
    means: dict[str, dict[str, float]] = {}
    rows = dict.fromkeys(row for outcome in found for row in outcome.psnr)
    for row in rows:
        heads = [outcome.psnr[row] for outcome in found if row in outcome.psnr]
        columns = [c for c in _COLUMNS if c in heads[0]]
        means[row] = {c: float(np.mean([head[c] for head in heads])) for c in columns}
        cells = (f"{means[row][c]:>9.2f}" if c in means[row] else f"{'':>9}" for c in _COLUMNS)
        print(
            f"{row:<30}" + "".join(cells) + ("" if len(heads) == len(found) else f"  {len(heads)}")
        )
    one, several = means["one view"], means["three views"]
    for kind in ("given", "novel"):
        gains = [o.psnr["one view"] for o in found]
        gain = [g[f"{kind}_tuned"] - g[f"{kind}_inverted"] for g in gains]
        print(
            f"tuning changes the {kind} views by {np.mean(gain):+.2f} dB, from {min(gain):+.2f} "
            f"to {max(gain):+.2f}"
        )
    figures: dict[str, Any] = {
        "given_psnr_inverted": one["given_inverted"],
        "given_psnr_tuned": one["given_tuned"],
        "novel_psnr_inverted": one["novel_inverted"],
        "novel_psnr_tuned": one["novel_tuned"],
        "novel_psnr_three_views": several["novel_tuned"],
    }
    for way in ("landmarks", "refined"):
        degrees = [o.camera_deg[way] for o in found if way in o.camera_deg]
        if degrees:
            figures[f"camera_deg_{way}"] = float(np.mean(degrees))
            print(
                f"camera by {way}: {np.mean(degrees):.2f} degrees off, median "
                f"{np.median(degrees):.2f}, at most {max(degrees):.2f}"
            )
    missed = sum(not outcome.camera_deg for outcome in found)
    if missed:
        print(f"no face was found in {missed} of the pictures")
    seconds = np.mean([(outcome.seconds, outcome.cpu_seconds) for outcome in found], axis=0)
    print(f"{seconds[0]:.0f} s a head on one thread, {seconds[1]:.0f} s of them at work")
    return {name: round(value, 3) for name, value in figures.items()}


if __name__ == "__main__":
    sys.exit(main())
