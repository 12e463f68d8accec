"""How inversion and tuning work: what a panel shows and a command line takes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class LossWeights:
    """How much each part of the loss counts."""

    # How alike the faces are to a network that recognises people; needs its weights.
    identity: float = 0.1
    # The mean squared difference of colours.
    mse: float = 0.01
    # How different the pictures look (LPIPS, or the stand-in that needs no weights).
    perceptual: float = 1.0

    def towards(self, last: LossWeights, progress: float) -> LossWeights:
        """Go from these (0) to the last ones (1)."""

        def between(first: float, then: float) -> float:
            return (1 - progress) * first + progress * then

        return LossWeights(
            between(self.identity, last.identity),
            between(self.mse, last.mse),
            between(self.perceptual, last.perceptual),
        )


WARM_UP = 0.1  # of the steps, in which the learning rate rises from 0
NOISY = 0.4  # of the steps, in which w is disturbed, less and less


def learning_rate_at(progress: float, first: float, last: float) -> float:
    """Rise in a line while warming up, then go from the first to the last by equal ratios."""
    warm = min(1.0, (progress + 0.5 * WARM_UP) / WARM_UP)
    first, last = math.log(max(first, 1e-12)), math.log(max(last, 1e-12))  # 0 stands still
    return warm * math.exp((1 - progress) * first + progress * last)


@dataclass(frozen=True)
class ProjectorSettings:
    """Latent inversion: the generator stays, its w is looked for."""

    # Steps at most.
    steps: int = 120
    # Learning rate after the warm-up, and at the end: standard deviations of W that a step goes.
    learning_rate: float = 0.2
    last_learning_rate: float = 0.02
    # What each part of the loss counts at the start, and at the end.
    weights: LossWeights = LossWeights()
    last_weights: LossWeights = LossWeights()
    # Views compared at each step; 0 for all.
    batch_size: int = 0
    # Side in px at which pictures are compared.
    resolution: int = 256
    # Where to begin: the average head, the best of some random ones, or what these tell together.
    start: Literal["average", "best of random", "blend of random"] = "blend of random"
    # How many random heads are tried.
    candidates: int = 96
    # A w for each block of the generator (W+), instead of one for all.
    per_block: bool = False
    # Whether the cameras of the photos are corrected on the way.
    refine_cameras: bool = True
    # How strongly w is disturbed in the first part of the steps, in standard deviations of W.
    noise: float = 0.0
    # How strongly w is drawn to where most heads are; what no photo shows depends on it.
    prior: float = 0.03
    # Stop after so many steps without a better picture; 0 never.
    patience: int = 40
    # Decides all random numbers.
    seed: int = 0


@dataclass(frozen=True)
class TuningSettings:
    """Pivotal tuning: the w stays, a copy of the generator is changed."""

    # Steps at most.
    steps: int = 200
    # Learning rate after the warm-up, and at the end.
    learning_rate: float = 0.003
    last_learning_rate: float = 0.0008
    # What each part of the loss counts at the start, and at the end.
    weights: LossWeights = LossWeights(mse=5.0)
    last_weights: LossWeights = LossWeights(mse=5.0)
    # Views compared at each step; 0 for all.
    batch_size: int = 0
    # Side in px at which pictures are compared.
    resolution: int = 256
    # Levels of the generator that may change, counted from the finest; 0 for all parameters.
    last_levels: int = 0
    # How strongly other heads, and other views of this one, are held where they were.
    locality: float = 0.1
    # Stop when the perceptual distance is below this; 0 never.
    stop_below: float = 0.0
    # Decides all random numbers.
    seed: int = 0
