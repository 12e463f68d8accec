"""How fast the CPU rasterizer is, against the torch definition in the same run.

    python -m benchmarks.rasterizer

Inputs are post-activation (`Drawing`). "both" is forward and backward to means, quaternions, scales,
opacities and colours, through autograd. Runs of different kinds take turns; the fastest of each counts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from benchmarks.scenes import SIZES, head_scene
from renderer import cpu_backend, torch_backend
from renderer.drawing import Backend, Drawing, Layers

_TRAINED = ("means", "quats", "scales", "opacities", "colors")
_TORCH_THREADS = 2
_RUNS = {128: 150, 512: 50, 1024: 15}  # of ours, per kind
_TORCH_RUNS = {128: 3, 512: 2, 1024: 0}  # the definition would take minutes at 1024


@dataclass(frozen=True)
class Kind:
    """One row of the table, for one size."""

    backend: str
    threads: int
    backward: bool


KINDS = [Kind("cpu", threads, backward) for threads in (1, 2) for backward in (False, True)]
TORCH_KINDS = [Kind("torch", _TORCH_THREADS, backward) for backward in (False, True)]


def forward(draw: Backend, drawing: Drawing) -> None:
    """Draw without gradients, as for the screen."""
    with torch.no_grad():
        draw(drawing)


def both(draw: Backend, drawing: Drawing, upstream: Layers) -> None:
    """Draw and differentiate, as in training."""
    leaves = {name: getattr(drawing, name).detach().requires_grad_() for name in _TRAINED}
    layers = draw(replace(drawing, **leaves))
    torch.autograd.grad(
        [layers.color, layers.alpha], list(leaves.values()), [upstream.color, upstream.alpha]
    )


def measure(kinds: list[Kind], runs: int, drawing: Drawing) -> dict[Kind, float]:
    """Seconds of the fastest run of each kind; of several, the first is not counted."""
    random = torch.Generator().manual_seed(1)
    upstream = Layers(
        *(torch.randn(layer.shape, generator=random) for layer in cpu_backend.draw(drawing))
    )
    fastest = dict.fromkeys(kinds, float("inf"))
    for turn in range(runs + (runs > 3)):
        for kind in kinds:
            cpu_backend.set_threads(kind.threads)
            draw: Callable = cpu_backend.draw if kind.backend == "cpu" else torch_backend.draw
            start = time.perf_counter()
            if kind.backward:
                both(draw, drawing, upstream)
            else:
                forward(draw, drawing)
            seconds = time.perf_counter() - start
            if turn > 0 or runs <= 3:
                fastest[kind] = min(fastest[kind], seconds)
    return fastest


def main() -> None:
    """Measure, print a table, and last a JSON object."""
    torch.set_num_threads(_TORCH_THREADS)
    cpu_backend.warm_up(print)
    seconds: dict[tuple[int, Kind], float] = {}
    print(
        f"\n{'size':>5} {'splats':>7} {'rasterizer':>10} {'threads':>7} {'forward':>10} {'both':>10}"
    )
    for size, count in SIZES.items():
        drawing = head_scene(count, size)
        fastest = measure(KINDS, _RUNS[size], drawing)
        if _TORCH_RUNS[size]:
            # Ours before and after the definition: the machine should be the same machine.
            fastest |= measure(TORCH_KINDS, _TORCH_RUNS[size], drawing)
            again = measure(KINDS, _RUNS[size], drawing)
            fastest |= {kind: min(fastest[kind], again[kind]) for kind in KINDS}
        seconds |= {(size, kind): best for kind, best in fastest.items()}
        for kind in fastest:
            if not kind.backward:
                ms = (1e3 * fastest[replace(kind, backward=backward)] for backward in (False, True))
                cells = " ".join(f"{value:7.1f} ms" for value in ms)
                print(f"{size:>5} {count:>7} {kind.backend:>10} {kind.threads:>7} {cells}")
    print(json.dumps(summary(seconds)))


def summary(seconds: dict[tuple[int, Kind], float]) -> dict[str, float]:
    """The figures that are checked, from seconds by size and kind."""

    def best(size: int, backend: str, threads: int, backward: bool) -> float:
        return seconds[size, Kind(backend, threads, backward)]

    def over_torch(size: int, backward: bool) -> float:
        return best(size, "torch", _TORCH_THREADS, backward) / best(size, "cpu", 2, backward)

    figures = {
        "cpu_over_torch_forward_512": over_torch(512, False),
        "cpu_over_torch_both_512": over_torch(512, True),
        "cpu_over_torch_both_128": over_torch(128, True),
        "threads_speedup_512": best(512, "cpu", 1, False) / best(512, "cpu", 2, False),
        "ms_forward_512": 1e3 * best(512, "cpu", 2, False),
        "ms_both_512": 1e3 * best(512, "cpu", 2, True),
        "ms_forward_1024": 1e3 * best(1024, "cpu", 2, False),
    }
    return {name: round(value, 2) for name, value in figures.items()}


if __name__ == "__main__":
    main()
