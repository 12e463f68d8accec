"""W in coordinates in which its heads are spread evenly, in which a search for one is well conditioned."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from torch import Tensor

from models.generator import HeadGenerator
from models.pca import ComponentStep, find_components

SAMPLES = 10_000  # w whose mean and covariance are taken
_LEAST = 1e-3  # of the largest deviation: W hardly varies along axes below it


@dataclass(frozen=True, eq=False)
class WhitenedSpace:
    """Coordinates c of w = mean + Σ c_k · deviation_k · axis_k: standard normal over random heads."""

    mean: Tensor  # [W]
    basis: Tensor  # [K, W]  axes times deviations

    @staticmethod
    def of(generator: HeadGenerator) -> Generator[ComponentStep, None, WhitenedSpace]:
        """Find them from random heads; the same for the same generator."""
        found = yield from find_components(generator, SAMPLES)
        kept = found.sigmas > _LEAST * found.sigmas[0]
        device = generator.w_avg.device
        basis = found.sigmas[kept, None] * found.axes[kept]
        return WhitenedSpace(found.mean.to(device), basis.to(device))

    def w(self, coordinates: Tensor) -> Tensor:
        """[..., K] -> [..., W]"""
        return self.mean + coordinates @ self.basis

    def coordinates(self, w: Tensor) -> Tensor:
        """Where w is; what lies along axes that are left out is lost. [..., W] -> [..., K]"""
        lengths = self.basis.square().sum(dim=1)
        return (w - self.mean) @ self.basis.mT / lengths
