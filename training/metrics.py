"""How far made pictures are from real ones, in the features of a network that looks at both.

FID and KID need Inception's weights (`inception.py`). The stand-in needs nothing but this file: a small
convolutional network with fixed random weights. Its numbers say whether one run improves; they compare
with no other network's, and they are never FID.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
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
from renderer.camera import Camera, OrbitRig
from renderer.errors import SaveError
from renderer.files import atomic_write
from renderer.rasterize import rasterize
from training.config import TrainingConfig
from training.data import TrainingData
from training.inception import find_weights, load_inception
from training.launch import Processes

_BATCH = 16
_MOST_ROWS = 10_000  # of which features are kept, for KID
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

    def check(self) -> None:
        """Make sure that what the settings name can be measured.

        Raises:
            TrainingError: Inception's weights are missing.
        """
        if set(self.config.metrics) - {"stand-in"}:
            find_weights()

    def evaluate(self, generator: HeadGenerator) -> dict[str, float]:
        """Measure what the settings name, by name; lower is better.

        Heads are before the settings' plain background. `fid3d` conditions on the frontal camera
        but looks from the dataset's; for a generator without condition it is `fid`.
        """
        figures: dict[str, float] = {}
        made: dict[tuple[str, bool], Tensor] = {}
        networks: dict[str, Network] = {}
        for metric in self.config.metrics:
            name = "stand-in" if metric == "stand-in" else "inception"
            if name not in networks:
                networks[name] = self._network(name)
            is_frontal = metric == "fid3d" and generator.conditions_on_camera
            if (name, is_frontal) not in made:
                made[name, is_frontal] = torch.cat(
                    list(self._made(generator, networks[name], is_frontal))
                )
            real, features = self._real(name, networks[name]), made[name, is_frontal]
            figures[metric] = (
                kernel_distance(real.rows, features)
                if metric == "kid"
                else frechet_distance(real.statistics, statistics(features))
            )
        return figures

    def _network(self, name: str) -> Network:
        device = self.processes.device
        return (
            StandIn().to(device) if name == "stand-in" else load_inception(find_weights(), device)
        )

    @torch.no_grad()
    def _made(
        self, generator: HeadGenerator, network: Network, is_frontal: bool
    ) -> Iterator[Tensor]:
        """Yield features of made heads, seen by the dataset's cameras. Each [n, F]"""
        everyone = self.processes.count
        rounds = -(-self.config.metric_images // (_BATCH * everyone))
        side = self.config.resolution
        background = torch.tensor(self.config.background)
        front = OrbitRig().camera().to_label().expand(_BATCH, -1)
        for number in range(rounds):
            seed = _SEED + 1 + number * everyone + self.processes.rank
            draw = torch.Generator().manual_seed(seed)
            z = torch.randn(_BATCH, generator.z_dim, generator=draw).to(self.processes.device)
            entries = torch.randint(self.data.count, (_BATCH,), generator=draw).tolist()
            camera = Camera.from_label(self.data.labels_at(entries))
            condition = Camera.from_label(front) if is_frontal else camera
            heads = generator.synthesize(generator.map(z, condition.to(self.processes.device)))
            pictures = rasterize(heads, camera, (side, side), background=background).color
            # Quantised, as the real ones are.
            pictures = (pictures.clamp(0, 1) * 255).round() / 255
            yield self.processes.gathered(network(pictures.to(self.processes.device)))

    @torch.no_grad()
    def _real(self, name: str, network: Network) -> RealFeatures:
        """Look the dataset's features up, or compute and keep them."""
        path = self._cache_path(name)
        found = None if self.processes.any(not path.exists()) else _read_real(path)
        # All processes must go the same way, also where each has a disk of its own.
        if self.processes.any(found is None) or found is None:
            rows = torch.cat(list(self._look_at_real(network)))
            found = RealFeatures(statistics(rows), rows[:_MOST_ROWS].float().cpu().clone())
            if self.processes.is_main:
                _write_real(path, found)
            self.processes.wait()
        return found

    def _look_at_real(self, network: Network) -> Iterator[Tensor]:
        source, processes = self.data.source, self.processes
        total = min(source.count, self.config.metric_real)
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
            (
                name,
                _STAND_IN_CHANNELS,
                _SEED,
                self.data.source.digest,
                self.config.background,
                self.config.metric_real,
            )
        )
        folder = self.cache or Path(platformdirs.user_cache_dir("splathead", appauthor=False))
        digest = hashlib.sha256(key.encode()).hexdigest()[:24]
        return folder / "metrics" / f"{name}-{digest}.safetensors"


class RealFeatures(NamedTuple):
    """What is kept of a dataset."""

    statistics: Statistics
    rows: Tensor  # [n, F] float32, features of the first pictures


def _read_real(path: Path) -> RealFeatures | None:
    """Read features that were kept; None if they are damaged."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            mean, covariance, rows = (
                file.get_tensor(name).clone() for name in ("mean", "covariance", "rows")
            )
    except (safetensors.SafetensorError, OSError):
        return None
    return RealFeatures(Statistics(mean, covariance), rows)


def _write_real(path: Path, real: RealFeatures) -> None:
    """Keep features; where that is not possible they are computed again next time."""
    with suppress(OSError, SaveError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write(safetensors.torch.save({**real.statistics._asdict(), "rows": real.rows}))


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


def kernel_distance(real: Tensor, made: Tensor, subsets: int = 100, size: int = 1000) -> float:
    """KID: the unbiased squared MMD with the kernel (x·y / F + 1)³, averaged over random subsets.

    As Bińkowski et al. 2018 define it; subsets are as large as both sides allow.
    """
    a, b = real.double().cpu(), made.double().cpu()
    size = min(size, len(a), len(b))
    draw = torch.Generator().manual_seed(_SEED)
    total = 0.0
    for _ in range(subsets):
        x, y = (rows[torch.randperm(len(rows), generator=draw)[:size]] for rows in (a, b))
        same = sum(
            (kernel.sum() - kernel.trace()) / (size * (size - 1))
            for kernel in (_cubic(x, x), _cubic(y, y))
        )
        total += float(same - 2 * _cubic(x, y).mean())
    return total / subsets


def _cubic(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3
