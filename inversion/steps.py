"""What inversion and tuning report on the way, and what they return."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from models.delta import WeightDelta
from models.generator import HeadGenerator
from renderer.camera import Camera


@dataclass(frozen=True)
class Step:
    """Where long work stands: reading and preparing photos, fetching weights."""

    done: int
    # 0 if it is not known.
    total: int
    message: str


@dataclass(frozen=True)
class LossValues:
    """The loss of a step and its parts before weighting; None for a part that is not measured."""

    total: float
    mse: float
    perceptual: float
    identity: float | None = None


@dataclass(frozen=True)
class Quality:
    """How near a head comes to one view."""

    # Of the view.
    name: str
    # Over the pixels that count, composited as the loss sees them, dB.
    psnr: float
    # LPIPS; None without its weights.
    lpips: float | None = None
    # Cosine of the faces' embeddings, 1 for the same; None without the network's weights.
    identity: float | None = None


@dataclass(frozen=True, eq=False)
class InversionStep:
    """Where either phase stands."""

    # Steps taken; 0 while it prepares, when nothing is compared yet and losses are no numbers.
    done: int
    total: int
    message: str
    losses: LossValues
    # The w of the head as it is now, before truncation (ψ = 1). [1 or blocks, W]
    w: Tensor
    # Of the views, as they are now.
    cameras: tuple[Camera, ...]
    # The head from each camera, as it was compared; None where it was not drawn. [S, S, 3] uint8
    pictures: tuple[np.ndarray | None, ...]
    # The step with the least loss so far.
    best: int
    # The generator as it is now: the copy that is being tuned; None during latent inversion.
    network: HeadGenerator | None = None


@dataclass(frozen=True, eq=False)
class Inversion:
    """The head that latent inversion found: the best step's."""

    w: Tensor  # [1 or blocks, W]
    cameras: tuple[Camera, ...]
    quality: tuple[Quality, ...]  # of each view
    steps: int  # taken
    best: int


@dataclass(frozen=True, eq=False)
class Tuned:
    """What tuning found: the best step's change of weights."""

    delta: WeightDelta
    before: tuple[Quality, ...]  # of each view
    quality: tuple[Quality, ...]
    steps: int
    best: int


@dataclass(eq=False)
class Reins:
    """How a hand outside steers a phase: read between steps. The only mutable value here."""

    # Stop now and return the best step.
    finish: bool = False
