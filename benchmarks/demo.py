"""How good the bundled generator is: `python -m benchmarks.demo --data ict_facekit_light.npz`.

Its heads are compared with the synthetic ones of 200 latents that no training saw, from 3 random cameras
each, at 256 x 256: PSNR over the pixels that the synthetic head covers. For scale, two guesses that
know nothing of the head are compared as well: the mean head, and another random synthetic head. The
last line is one JSON object; without the head model the PSNR is null:

    psnr_db         mean over all views
    psnr_db_back    mean over the views from behind
    size_mb         the generator's file and its directions', millions of bytes
    splats          of one head
    synthesis_ms    from w to splats in float32, the fastest turn
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: idle threads do not spin

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from models.checkpoint import load_generator
from models.directions import shipped_directions
from models.generator import HeadGenerator
from models.latents import random_z
from models.zoo import DEMO_GENERATOR
from renderer.errors import SplatheadError
from training.distill import held_out, psnr_over_head
from training.synthetic.head import HeadModel
from training.synthetic.parameters import Z_DIM
from training.synthetic.stream import HeadSource

_VIEWS, _SIZE = 3, 256
_DATA = Path("ict_facekit_light.npz")
_OTHERS = 8_000_000  # seed of the heads that are no better than any
# Where a camera stands, degrees off the front to either side.
_SECTORS = {
    "0 to 30": (0, 30), "30 to 60": (30, 60), "60 to 90": (60, 90), "90 to 120": (90, 120),
    "120 to 150": (120, 150), "150 to 180": (150, 181), "behind": (90, 181), "all": (0, 181),
}  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """One view of a held-out head, and how near each guess comes to it. PSNR in dB"""

    yaw: float  # radians from the front to either side, 0 to pi
    generator: float
    mean_head: float  # of the generator's w_avg
    other_head: float  # of a synthetic head of other latents


def main(arguments: Sequence[str] | None = None) -> int:
    """Print tables, then one line of JSON; 0 if that went well."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help=f"the head model; {_DATA} here if not given")
    parser.add_argument("--generator", type=Path, default=DEMO_GENERATOR)
    parser.add_argument("--heads", type=int, default=200)
    parser.add_argument("--turns", type=int, default=30)
    options = parser.parse_args(arguments)
    data = options.data or (_DATA if _DATA.exists() else None)
    try:
        figures, generator = _cost(options.generator, options.turns)
        if data is not None:
            figures |= _tell(compare(generator, HeadModel.load(data), options.heads))
    except SplatheadError as error:
        print(error, file=sys.stderr)
        return 2
    if data is None:
        print(
            f"The PSNR needs the head model it learned from: --data {_DATA}, which is "
            "ICT-FaceKit Light as one .npz, or the folder of its OBJ files."
        )
    print(json.dumps({"psnr_db": None, "psnr_db_back": None} | figures))
    return 0


def compare(
    generator: HeadGenerator, model: HeadSource, heads: int, size: int = _SIZE
) -> list[Seen]:
    """Look at held-out heads from the cameras that `training.distill.measure` takes.

    Args:
        generator: The student.
        model: The teacher.
        heads, size: How many; px.
    """
    mean = generator.synthesize(generator.w_avg[None, None])
    others = random_z(_OTHERS, heads, Z_DIM)
    found: list[Seen] = []
    for i, batch in enumerate(held_out(model, heads, _VIEWS, size)):
        guesses = (
            generator.synthesize(generator.map(batch.z)),
            mean,
            model.heads(others[i : i + 1]),
        )
        each = zip(*(psnr_over_head(guess, batch) for guess in guesses), strict=True)
        for eye, psnrs in zip(batch.cameras.eye[0].tolist(), each, strict=True):
            found.append(Seen(abs(math.atan2(eye[0], eye[2])), *psnrs))
    return found


def _cost(path: Path, turns: int) -> tuple[dict[str, object], HeadGenerator]:
    """Open a generator and say what it takes."""
    loaded = load_generator(path)
    exact, fast = loaded.generator.prepared(), loaded.generator.prepared("fast")
    w = exact.map(random_z(0, 1, exact.z_dim))
    best = [math.inf, math.inf]
    for _ in range(turns):
        for i, generator in enumerate((exact, fast)):
            begin = time.perf_counter()
            generator.synthesize(w)
            best[i] = min(best[i], 1e3 * (time.perf_counter() - begin))
    threads = torch.get_num_threads()
    print(f"synthesis, {threads} threads: {best[0]:.1f} ms in float32, {best[1]:.1f} ms fast")
    files = [file for file in (path, shipped_directions(path)) if file.exists()]
    return {
        "size_mb": round(sum(file.stat().st_size for file in files) / 1e6, 2),
        "splats": loaded.summary.splats,
        "synthesis_ms": round(best[0], 2),
    }, exact


def _tell(seen: Sequence[Seen]) -> dict[str, object]:
    """Print the PSNR by where the camera stands, and return the two means."""
    print(f"{'degrees off':<16}{'views':>6}{'PSNR, dB':>11}{'mean head':>11}{'other head':>12}")
    for name, (low, high) in _SECTORS.items():
        views = [view for view in seen if low <= math.degrees(view.yaw) < high]
        if views:
            means = np.mean([(v.generator, v.mean_head, v.other_head) for v in views], axis=0)
            print(f"{name:<16}{len(views):>6}{means[0]:>11.2f}{means[1]:>11.2f}{means[2]:>12.2f}")
    spread = np.std([view.generator for view in seen])
    print(f"the PSNR of single views is spread by {spread:.2f} dB")
    behind = [view.generator for view in seen if view.yaw > math.pi / 2]
    return {
        "psnr_db": round(float(np.mean([view.generator for view in seen])), 2),
        "psnr_db_back": round(float(np.mean(behind)), 2) if behind else None,
    }


if __name__ == "__main__":
    sys.exit(main())
