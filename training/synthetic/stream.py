"""Heads and pictures made while training: fresh latents at every step, the same for the same seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from renderer.camera import Camera
from renderer.gaussians import Gaussians
from renderer.rasterize import BackendName, rasterize
from training.synthetic.cameras import CameraSettings, draw_cameras
from training.synthetic.parameters import Z_DIM


class HeadSource(Protocol):
    """What is learned: `training.synthetic.head.HeadModel`, or a toy in a test."""

    def heads(self, z: np.ndarray | Tensor) -> Gaussians:
        """[B, 512] -> [B, N, …]"""

    def part(self, name: str) -> slice:
        """The splats of a part."""


@dataclass(frozen=True)
class StreamSettings:
    """What each step sees."""

    # How many heads.
    heads: int = 4
    # How many cameras look at each head.
    views: int = 2
    # Width and height of the pictures in pixels.
    resolution: int = 128
    # Another seed, another stream.
    seed: int = 0
    # The rasterizer; the fastest one if None.
    backend: BackendName | None = None
    # From where heads are seen.
    cameras: CameraSettings = field(default_factory=CameraSettings)


@dataclass(frozen=True, eq=False)
class Batch:
    """What one step sees: B heads from V cameras each."""

    step: int
    z: Tensor  # [B, 512]
    gaussians: Gaussians  # [B, N, …]
    cameras: Camera  # [B, V]
    images: Tensor  # [B, V, 3, H, W]  in [0, 1], over black
    alphas: Tensor  # [B, V, H, W]

    def over(self, background: Tensor) -> Tensor:
        """Lay the pictures over a colour: [3], or [B, V, 3]. [B, V, 3, H, W]"""
        return self.images + (1 - self.alphas)[:, :, None] * background[..., None, None]


def draw_batch(
    model: HeadSource, settings: StreamSettings, step: int, device: torch.device | str = "cpu"
) -> Batch:
    """Make the batch of one step; any step can be asked for, in any order."""
    rng = np.random.RandomState([settings.seed, step])
    latents = rng.standard_normal((settings.heads, Z_DIM))
    drawn = draw_cameras(settings.cameras, settings.heads * settings.views, rng)
    shape = (settings.heads, settings.views)
    cameras = Camera(drawn.cam_to_world.unflatten(0, shape), drawn.focal.unflatten(0, shape))
    gaussians = model.heads(latents).to(device)
    cameras = cameras.to(device)
    size = (settings.resolution, settings.resolution)
    with torch.no_grad():
        seen = [
            rasterize(gaussians[b], cameras[b], size, backend=settings.backend)
            for b in range(settings.heads)
        ]
    return Batch(
        step=step,
        z=torch.from_numpy(latents).float().to(device),
        gaussians=gaussians,
        cameras=cameras,
        images=torch.stack([picture.color for picture in seen]),
        alphas=torch.stack([picture.alpha for picture in seen]),
    )


def stream(
    model: HeadSource,
    settings: StreamSettings,
    first: int = 0,
    device: torch.device | str = "cpu",
) -> Iterator[Batch]:
    """Go on for ever from step `first`, so that a stopped training goes on where it was."""
    step = first
    while True:
        yield draw_batch(model, settings, step, device)
        step += 1
