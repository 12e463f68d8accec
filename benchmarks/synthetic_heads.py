"""How long a synthetic head takes: `python -m benchmarks.synthetic_heads --data HEADMODEL`.

Against drawing that head once at 256 px with the CPU rasterizer, since training makes a head in order
to look at it: where the ratio is small, making heads does not hold training up. All take turns in one
run, and the fastest turn counts.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: its threads must not spin

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from renderer.camera import OrbitRig
from renderer.rasterize import activate, rasterize
from training.synthetic.head import HeadModel
from training.synthetic.parameters import Z_DIM


def main() -> None:
    """Print a table, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, required=True, help="ICT-FaceKit Light: .npz or folder"
    )
    parser.add_argument("--heads", type=int, default=8, help="of a turn")
    parser.add_argument("--turns", type=int, default=15)
    options = parser.parse_args()
    model = HeadModel.load(options.data)
    z = np.random.RandomState(0).randn(options.heads, Z_DIM).astype(np.float32)
    active = [activate(model.head(one)) for one in z]
    camera = OrbitRig().camera()

    def draw() -> None:
        for head in active:
            rasterize(head, camera, (256, 256), backend="cpu")

    works: dict[str, Callable[[], object]] = {
        "make": lambda: model.heads(z),
        "make, one thread": lambda: model.heads(z, threads=1),
        "draw at 256 px": draw,
    }
    best = dict.fromkeys(works, math.inf)
    for _ in range(options.turns):
        for name, work in works.items():
            begin = time.perf_counter()
            work()
            milliseconds = 1e3 * (time.perf_counter() - begin) / options.heads
            best[name] = min(best[name], milliseconds)
    print(f"{model.count} splats a head, the fastest of {options.turns} turns")
    for name, milliseconds in best.items():
        print(f"{name:18} {milliseconds:6.2f} ms a head")
    figures = {
        "make_ms": best["make"],
        "make_ms_one_thread": best["make, one thread"],
        "make_over_draw": best["make"] / best["draw at 256 px"],
    }
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
