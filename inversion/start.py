"""Where latent inversion begins: at the best of some random heads, or at what they tell together."""

from __future__ import annotations

import math
from collections.abc import Generator

import torch
from torch import Tensor
from torch.nn import functional as F

from inversion.latent import WhitenedSpace
from inversion.losses import Comparison
from inversion.settings import ProjectorSettings
from inversion.views import CameraCorrections, draw_views
from models.generator import HeadGenerator
from models.latents import random_z
from renderer.camera import Camera

SMALL = 64  # px at which heads are compared
_COARSE = 16  # px of the pictures from which w is guessed
_AT_ONCE = 2  # heads between two reports: some 30 ms
# How much of the pictures' variance is taken for noise; which is right is found by trying.
_RIDGES = (0.003, 0.01, 0.03, 0.1, 0.3)


@torch.no_grad()
def best_of_random(
    generator: HeadGenerator, space: WhitenedSpace, small: Comparison, settings: ProjectorSettings
) -> Generator[Tensor, None, None]:
    """Compare the average head with random ones, and if asked with what they tell together.

    Args:
        generator: The prepared one is faster.
        space: Coordinates of its W.
        small: The targets at `SMALL` px.
        settings: `start`, `candidates`, `seed` and the first loss weights count.

    Yields:
        The best w so far. [1, W]
    """
    average = generator.w_avg[None, None]
    z = random_z(settings.seed, settings.candidates, generator.z_dim).to(average.device)
    w = torch.cat([average, generator.map(z).mean(dim=1, keepdim=True)])  # [K, 1, W]
    cameras = CameraCorrections([t.camera for t in small.targets], average.device).cameras()
    search = _Trials(generator, small, cameras, settings, w[0])
    for first in range(0, len(w), _AT_ONCE):
        search.try_heads(w[first : first + _AT_ONCE])
        yield search.best
    if settings.start == "blend of random" and settings.candidates > 1:
        guesses = _guesses(space.coordinates(w[:, 0]), search.seen(), search.wanted())
        for guess in guesses:
            search.try_heads(space.w(guess)[None, None])
            yield search.best


class _Trials:
    """Heads that were tried, and the best of them."""

    def __init__(
        self,
        generator: HeadGenerator,
        small: Comparison,
        cameras: Camera,
        settings: ProjectorSettings,
        best: Tensor,
    ) -> None:
        self._generator, self._small, self._cameras = generator, small, cameras
        self._weights, self._least, self.best = settings.weights, math.inf, best
        self._seen: list[Tensor] = []

    def try_heads(self, w: Tensor) -> None:
        """Draw heads and compare each. [B, 1, W]"""
        heads = self._generator.synthesize(w)
        for number in range(len(w)):
            small = self._small
            pictures = draw_views(heads[number], self._cameras, small.size, small.background)
            self._seen.append(self._coarse(pictures))
            loss = float(small(pictures).total(self._weights))
            if loss < self._least:
                self._least, self.best = loss, w[number]

    def seen(self) -> Tensor:
        """What each head looks like, coarsely. [K, D]"""
        return torch.stack(self._seen)

    def wanted(self) -> Tensor:
        """What the targets look like, coarsely. [D]"""
        return self._coarse(self._small.pictures)

    def _coarse(self, pictures: Tensor) -> Tensor:
        """Pixels of all views that count. [V, 3, S, S] -> [D]"""
        counted = self._small.weights * pictures
        return F.avg_pool2d(counted, SMALL // _COARSE).flatten()


def _guesses(coordinates: Tensor, seen: Tensor, wanted: Tensor) -> Tensor:
    """Guess coordinates from a coarse picture, by ridge regression over heads that are known.

    With few heads and many pixels the dual form is the small one: with centred pictures X and
    coordinates C of the known heads, a picture y is guessed to be at y Xᵀ (X Xᵀ + λ)⁻¹ C.

    Args:
        coordinates: Of the known heads. [K, W']
        seen: Their pictures. [K, D]
        wanted: The picture whose head is looked for. [D]

    Returns:
        A guess for each of `_RIDGES`. [R, W']
    """
    middle, centre = seen.mean(dim=0), coordinates.mean(dim=0)
    pictures, known = (seen - middle).double(), (coordinates - centre).double()
    products = pictures @ pictures.mT  # [K, K]
    alike = pictures @ (wanted - middle).double()  # [K]
    unit = products.diagonal().mean().clamp_min(1e-9) * torch.eye(len(known)).to(products)
    found = [alike @ torch.linalg.solve(products + ridge * unit, known) for ridge in _RIDGES]
    return torch.stack(found).to(coordinates) + centre
