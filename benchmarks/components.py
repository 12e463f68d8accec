"""How fast the components of W are found: `python -m benchmarks.components`.

The generator is the one of 512 px with random weights; what its w are does not change the work. All
steps are run as the application runs them, from the first z to the sorted axes; the cache is not used.
The fastest of a few turns counts. What came out is compared with a plain PCA of fewer w.
"""

from __future__ import annotations

import argparse
import json
import time

import torch

from benchmarks.generator import random_generator
from models import pca
from models.generator import HeadGenerator
from models.pca import SAMPLES, Components, find_components


def main() -> None:
    """Print what was measured, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--samples", type=int, default=SAMPLES)
    options = parser.parse_args()
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    figures: dict[str, float] = {}
    for device in devices:
        figures |= measure(device, options.samples, options.turns)
    print(json.dumps({name: float(f"{value:.4g}") for name, value in figures.items()}))


def measure(device: str, samples: int = SAMPLES, turns: int = 3) -> dict[str, float]:
    """Time the search on a device.

    Returns:
        `pca_100k_s` (`pca_100k_gpu_s` on a GPU): seconds for 100,000 w, in proportion if `samples` are
        others. `pca_sigma_error`: how far the deviations of 20,000 w are from a plain PCA's, relative.
    """
    with torch.no_grad():
        generator = random_generator(512).to(device).prepared()
    _found(generator, 8192)  # warm
    seconds = []
    for _ in range(max(1, turns)):
        begin = time.perf_counter()
        _found(generator, samples)
        seconds.append(time.perf_counter() - begin)
    scaled = min(seconds) * SAMPLES / samples
    error = _sigma_error(generator)
    where = f"{torch.get_num_threads()} threads" if device == "cpu" else "the GPU"
    print(f"{samples:,} samples on {where}: {min(seconds):.2f} s; sigmas off by {error:.1e}")
    name = "pca_100k_s" if device == "cpu" else "pca_100k_gpu_s"
    return {name: scaled} | ({"pca_sigma_error": error} if device == "cpu" else {})


def _found(generator: HeadGenerator, samples: int) -> Components:
    steps = find_components(generator, samples)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def _sigma_error(generator: HeadGenerator, samples: int = 20_000) -> float:
    """Compare the deviations with the singular values of w itself, in float64."""
    found = _found(generator, samples)
    # The same z: the search draws them from a generator of its own, in the same batches.
    draw = torch.Generator(generator.w_avg.device).manual_seed(pca._SEED)
    counts = [min(pca._BATCH, samples - done) for done in range(0, samples, pca._BATCH)]
    rows = []
    for count in counts:
        z = torch.randn(count, generator.z_dim, generator=draw, device=generator.w_avg.device)
        rows.append(generator.map(z)[:, 0].double().cpu())
    w = torch.cat(rows)
    plain = torch.linalg.svdvals(w - w.mean(dim=0)) / (samples - 1) ** 0.5
    return float((found.sigmas / plain - 1).abs()[plain > 1e-3].max())


if __name__ == "__main__":
    main()
