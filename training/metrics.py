"""How far made pictures are from real ones, in the features of a network that looks at both.

The stand-in needs nothing but this file: a small convolutional network with fixed random weights. Its
numbers say whether one run improves, they compare with no other network's, and they are never FID.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import platformdirs
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, leaky_relu

from models.generator import HeadGenerator
from renderer.camera import Camera
from renderer.errors import SaveError
from renderer.files import atomic_write
from renderer.rasterize import rasterize
from training.config import TrainingConfig
from training.data import TrainingData
from training.launch import Processes

_BATCH = 16
_MOST_REAL = 50_000  # real pictures that are looked at
_STAND_IN_SIDE = 64  # px, to which pictures are brought
_STAND_IN_CHANNELS = (3, 16, 32, 48)
_SEED = 20_261_120  # of the stand-in's weights and of the latents of an evaluation


class Statistics(NamedTuple):
    """Mean and covariance of features."""

    mean: Tensor  # [F] float64
    covariance: Tensor  # [F, F] float64


Network = Callable[[Tensor], Tensor]  # [B, 3, H, W] in [0, 1] -> [B, F]


class StandIn(nn.Module):
    """Means and deviations of three layers of random filters: colours, edges, larger shapes."""

    def __init__(self) -> None:
        """Draw the filters, the same on every machine."""
        super().__init__()
        draw = torch.Generator().manual_seed(_SEED)
        for number, (n_in, n_out) in enumerate(pairwise(_STAND_IN_CHANNELS)):
            weight = torch.randn(n_out, n_in, 5, 5, generator=draw) / (25 * n_in) ** 0.5
            self.register_buffer(f"filters{number}", weight)

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] in [0, 1] -> [B, 192]"""
        side = (_STAND_IN_SIDE, _STAND_IN_SIDE)
        x = 2 * interpolate(images, side, mode="bilinear", antialias=True) - 1
        features = []
        for filters in self.buffers():
            x = leaky_relu(conv2d(x, filters, stride=2, padding=2), 0.2) * 1.4
            features += [x.mean(dim=(2, 3)), x.std(dim=(2, 3))]
        return torch.cat(features, dim=1)


@dataclass(frozen=True)
class Evaluator:
    """Compares a generator with a dataset; all processes share the work and get the same answer."""

    config: TrainingConfig
    data: TrainingData
    processes: Processes
    # Where statistics of datasets are kept; the user's cache if None.
    cache: Path | None = None

    def evaluate(self, generator: HeadGenerator) -> dict[str, float]:
        """Measure what the settings name, by name; lower is better."""
        return {name: self._stand_in(generator) for name in self.config.metrics}

    def _stand_in(self, generator: HeadGenerator) -> float:
        network = StandIn().to(self.processes.device)
        real = self._real_statistics("stand-in", network)
        made = statistics(torch.cat(list(self._made(generator, network))))
        return frechet_distance(real, made)

    @torch.no_grad()
    def _made(self, generator: HeadGenerator, network: Network) -> Iterator[Tensor]:
        """Yield features of made heads, seen by the dataset's cameras. Each [n, F]"""
        everyone = self.processes.count
        rounds = -(-self.config.metric_images // (_BATCH * everyone))
        side = self.config.resolution
        for number in range(rounds):
            draw = torch.Generator().manual_seed(
                _SEED + 1 + number * everyone + self.processes.rank
            )
            z = torch.randn(_BATCH, generator.z_dim, generator=draw)
            entries = torch.randint(self.data.count, (_BATCH,), generator=draw).tolist()
            camera = Camera.from_label(self.data.labels_at(entries))
            background = torch.tensor(self.config.background)
            heads = generator.synthesize(generator.map(z.to(self.processes.device), camera))
            pictures = rasterize(heads, camera, (side, side), background=background).color
            # Quantised, as the real ones are.
            pictures = (pictures.clamp(0, 1) * 255).round() / 255
            yield self.processes.gathered(network(pictures.to(self.processes.device)))

    @torch.no_grad()
    def _real_statistics(self, name: str, network: Network) -> Statistics:
        """Look the dataset's statistics up, or compute and keep them."""
        path = self._cache_path(name)
        # All processes must go the same way, also where each has a disk of its own.
        if not self.processes.any(not path.exists()):
            with safetensors.safe_open(path, framework="pt") as file:
                return Statistics(
                    file.get_tensor("mean").clone(), file.get_tensor("covariance").clone()
                )
        found = statistics(torch.cat(list(self._real(network))))
        if self.processes.is_main:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                with atomic_write(path) as file:
                    file.write(safetensors.torch.save(found._asdict()))
            except (OSError, SaveError):
                pass  # then they are computed again next time
        self.processes.wait()
        return found

    def _real(self, network: Network) -> Iterator[Tensor]:
        source, processes = self.data.source, self.processes
        total = min(source.count, _MOST_REAL)
        step = _BATCH * processes.count
        background = torch.tensor(self.config.background)
        for start in range(0, total, step):
            rows = range(start, min(start + step, total))
            # The last round is filled up by what comes first, and cut off after.
            own = [
                (start + processes.rank + k * processes.count) % total
                for k in range(-(-len(rows) // processes.count))
            ]
            pictures = source.read(own).over(background.expand(len(own), 3)).images
            features = processes.gathered(network(pictures.to(processes.device)))
            yield features[: len(rows)]

    def _cache_path(self, name: str) -> Path:
        key = repr(
            (name, _STAND_IN_CHANNELS, _SEED, self.data.source.digest, self.config.background)
        )
        folder = self.cache or Path(platformdirs.user_cache_dir("splathead", appauthor=False))
        digest = hashlib.sha256(key.encode()).hexdigest()[:24]
        return folder / "metrics" / f"{name}-{digest}.safetensors"


def statistics(features: Tensor) -> Statistics:
    """Compute mean and covariance. [N, F] -> [F], [F, F]"""
    rows = features.double().cpu()
    return Statistics(rows.mean(dim=0), rows.T.cov())


def frechet_distance(a: Statistics, b: Statistics) -> float:
    """|μ_a - μ_b|² + tr(Σ_a + Σ_b - 2 (Σ_a Σ_b)^½) (Heusel et al. 2017, eq. 6)."""
    # Σ_a^½ Σ_b Σ_a^½ is symmetric and has the eigenvalues of Σ_a Σ_b.
    values, vectors = torch.linalg.eigh(a.covariance)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    shared = torch.linalg.eigvalsh(root @ b.covariance @ root).clamp_min(0).sqrt().sum()
    apart = (a.mean - b.mean).square().sum()
    return float(apart + a.covariance.trace() + b.covariance.trace() - 2 * shared)
