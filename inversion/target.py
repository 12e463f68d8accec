"""What a head should look like from one camera: what inversion and tuning compare with."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from renderer.camera import Camera


@dataclass(frozen=True, eq=False)
class Target:
    """One view of a person, as square pictures."""

    name: str
    # The crop, not composited over anything, in [0, 1]. [3, S, S]
    color: Tensor
    # Which pixels show the head, in [0, 1]. [S, S]
    alpha: Tensor
    # How much a pixel counts: 0 where the crop leaves the photo, 1 elsewhere. [S, S]
    weight: Tensor
    # The camera that sees it so: one, no batch.
    camera: Camera
    # The landmarks in sides of the crop, (0, 0) the upper left corner. [5, 2]
    points: Tensor
