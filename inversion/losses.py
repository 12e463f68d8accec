"""What inversion and tuning make smaller: how a rendered head differs from the targets.

Targets lie over the colour that heads are rendered over, and pixels of weight 0 do not count: there
the target's are put in the render's place before anything is compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from inversion.identity import Identity, load_identity
from inversion.perceptual import Perceptual, StructuralDistance, load_lpips
from inversion.settings import LossWeights
from inversion.steps import LossValues, Quality
from inversion.target import Target

BACKGROUND = (1.0, 1.0, 1.0)  # behind heads and targets while they are compared


@dataclass(frozen=True, eq=False)
class Perception:
    """What differences are measured by, besides those of pixels."""

    perceptual: Perceptual = field(default_factory=StructuralDistance)
    # None without the weights of the network that recognises people.
    identity: Identity | None = None

    @staticmethod
    def load(device: torch.device | str = "cpu") -> Perception:
        """Measure by the best that this computer has the weights for; nothing is fetched.

        Raises:
            CheckpointError: A file of weights is damaged.
        """
        return Perception(load_lpips(device) or StructuralDistance(), load_identity(device))

    @property
    def describe(self) -> str:
        """Say in a sentence what is measured and by what."""
        likeness = (
            f"the likeness of faces by {self.identity.describe}"
            if self.identity
            else "the likeness of faces is not measured, since its network's weights are missing"
        )
        return (
            f"Pictures are compared pixel by pixel and by {self.perceptual.describe}; {likeness}."
        )


class Differences(NamedTuple):
    """How views differ from their targets, before weighting."""

    mse: Tensor  # [V]
    perceptual: Tensor  # [V]
    identity: Tensor | None  # [V]  1 - cosine

    def each(self, weights: LossWeights) -> Tensor:
        """The weighted sum for each view. [V]"""
        total = weights.mse * self.mse + weights.perceptual * self.perceptual
        if self.identity is not None:
            total = total + weights.identity * self.identity
        return total

    def total(self, weights: LossWeights) -> Tensor:
        """The loss: the mean over the views."""
        return self.each(weights).mean()

    def values(self, weights: LossWeights) -> LossValues:
        """As plain numbers."""
        return LossValues(
            total=float(self.total(weights).detach()),
            mse=float(self.mse.detach().mean()),
            perceptual=float(self.perceptual.detach().mean()),
            identity=None if self.identity is None else float(self.identity.detach().mean()),
        )


class Comparison:
    """Targets at one resolution, with all that can be computed of them beforehand."""

    @torch.no_grad()
    def __init__(
        self,
        targets: Sequence[Target],
        perception: Perception,
        size: int,
        device: torch.device | str = "cpu",
    ) -> None:
        """Shrink the targets to `size` px, lay them over `BACKGROUND`, and look at them once."""
        self.targets, self.perception, self.size = tuple(targets), perception, size
        self.background = torch.tensor(BACKGROUND, device=device)
        made = [_composited(target, size, self.background) for target in targets]
        self.pictures = torch.stack([picture for picture, _ in made])  # [V, 3, S, S]
        self.weights = torch.stack([weight for _, weight in made])[:, None]  # [V, 1, S, S]
        self._features = perception.perceptual.features(self.pictures)
        self._faces = None
        if perception.identity is not None:
            points = torch.stack([target.points for target in targets]).to(device)
            self._placing = perception.identity.placing(points)
            self._faces = perception.identity.embed(self.pictures, self._placing)

    def __call__(self, pictures: Tensor, views: Sequence[int] | None = None) -> Differences:
        """Compare renders over `BACKGROUND` with the targets of some views; all if None.

        Args:
            pictures: Not clamped. [V, 3, S, S]
            views: Which target each shows.
        """
        chosen = slice(None) if views is None else list(views)
        target, weight = self.pictures[chosen], self.weights[chosen]
        error = weight * (pictures - target)  # [V, 3, S, S]
        counted = 3 * weight.flatten(1).sum(1).clamp_min(1)
        mse = (error * (pictures - target)).flatten(1).sum(1) / counted
        seen = target + error
        features = tuple(feature[chosen] for feature in self._features)
        measure = self.perception.perceptual
        perceptual = measure.distance(measure.features(seen), features)
        identity = None
        if self.perception.identity is not None and self._faces is not None:
            faces = self.perception.identity.embed(seen, self._placing[chosen])
            identity = 1 - F.cosine_similarity(faces, self._faces[chosen], dim=-1)
        return Differences(mse, perceptual, identity)

    @torch.no_grad()
    def quality(self, pictures: Tensor) -> tuple[Quality, ...]:
        """Say how near renders of all views come, as a screen would show them. [V, 3, S, S]"""
        found = self(pictures.clamp(0, 1))
        psnr = -10 * torch.log10(found.mse.clamp_min(1e-10))
        is_lpips = self.perception.perceptual.is_lpips
        return tuple(
            Quality(
                name=target.name,
                psnr=float(psnr[view]),
                lpips=float(found.perceptual[view]) if is_lpips else None,
                identity=None if found.identity is None else 1 - float(found.identity[view]),
            )
            for view, target in enumerate(self.targets)
        )


def shrunk(pictures: Tensor, size: int) -> Tensor:
    """Bring square pictures to another side, averaging where they shrink. [V, C, S, S]"""
    if pictures.shape[-1] == size:
        return pictures
    return F.interpolate(
        pictures, (size, size), mode="bilinear", antialias=True, align_corners=False
    )


def _composited(target: Target, size: int, background: Tensor) -> tuple[Tensor, Tensor]:
    """A target over a colour, and what its pixels count. [3, size, size], [size, size]"""
    alpha = target.alpha.to(background)
    picture = alpha * target.color.to(background) + (1 - alpha) * background[:, None, None]
    stacked = torch.cat([picture, target.weight.to(background)[None]])
    small = shrunk(stacked[None], size)[0].clamp(0, 1)
    # A pixel that was mixed with what does not count does not count either.
    return small[:3], (small[3] > 1 - 1e-3).to(small)
