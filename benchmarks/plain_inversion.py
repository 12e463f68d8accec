"""Inversion and tuning as their description reads, the baseline of `benchmarks.inversion`.

The same losses as `inversion.losses` without weights of other networks, the same rasterizer and optimiser.
Every view is synthesised for itself, all parameters have gradients, and what is known of a target
is computed at each step, as it stands in the formula. What draws w to the middle of W is left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from inversion.settings import ProjectorSettings, TuningSettings
from inversion.target import Target
from models.checkpoint import load_generator
from models.generator import CgsGenerator
from models.latents import random_z
from renderer.camera import Camera, OrbitRig
from renderer.gaussians import Gaussians
from renderer.rasterize import rasterize

_WINDOW, _STRIDE, _SCALES = 8, 4, 4
_OTHERS, _EVERY = 8, 4  # heads held where they were, and steps between two looks at one


@dataclass
class PlainInversion:
    """Looks for w."""

    generator: CgsGenerator
    targets: Sequence[Target]
    settings: ProjectorSettings
    w: Tensor  # [1, W]
    adam: torch.optim.Adam = field(init=False)

    def __post_init__(self) -> None:
        self.generator.requires_grad_(True)
        self.w = self.w.detach().clone().requires_grad_(True)
        self.adam = torch.optim.Adam([self.w], self.settings.learning_rate, (0.9, 0.99))

    def loss(self) -> Tensor:
        """The mean over the views."""
        losses = []
        for target in self.targets:
            head = self.generator.synthesize(self.w[None])[0]
            picture = draw(head, target.camera, self.settings.resolution)
            losses.append(difference(picture, target, self.settings.weights))
        return torch.stack(losses).mean()

    def step(self) -> None:
        """Compare and improve."""
        self.adam.zero_grad()
        self.generator.zero_grad()
        self.loss().backward()
        self.adam.step()


@dataclass
class PlainTuning:
    """Changes a generator."""

    original: CgsGenerator
    generator: CgsGenerator  # a copy of it
    targets: Sequence[Target]
    settings: TuningSettings
    w: Tensor  # [1, W]
    steps: int = 0
    adam: torch.optim.Adam = field(init=False)

    def __post_init__(self) -> None:
        self.generator.requires_grad_(True)
        parameters = self.generator.parameters()
        self.adam = torch.optim.Adam(parameters, self.settings.learning_rate, (0.9, 0.99))
        self.random = np.random.RandomState(0)
        self.others = self.original.map(random_z(0, _OTHERS, self.original.z_dim))

    def step(self) -> None:
        """Compare, hold other views and now and then another head where they were, and improve."""
        losses = []
        for target in self.targets:
            head = self.generator.synthesize(self.w[None])[0]
            picture = draw(head, target.camera, self.settings.resolution)
            losses.append(difference(picture, target, self.settings.weights))
        moved = self._moved(self.w)
        if self.steps % _EVERY == 0:
            moved = moved + self._moved(self.others[self.steps // _EVERY % _OTHERS])
        self.adam.zero_grad()
        (torch.stack(losses).mean() + self.settings.locality * moved).backward()
        self.adam.step()
        self.steps += 1

    def _moved(self, w: Tensor) -> Tensor:
        yaw, pitch = self.random.uniform(-1, 1, 2) * (math.radians(90), math.radians(25))
        camera = OrbitRig(yaw=yaw, pitch=pitch).camera()
        size = self.settings.resolution // 2
        now, before = (
            draw(network.synthesize(w[None])[0], camera, size)
            for network in (self.generator, self.original)
        )
        error = now - before.detach()
        return error.abs().mean() + F.avg_pool2d(error, 4).abs().mean()


def copy_of(path: str) -> CgsGenerator:
    """Read a generator that nobody else has."""
    return load_generator(path).generator


def draw(head: Gaussians, camera: Camera, size: int) -> Tensor:
    """Draw a head over white. [3, S, S]"""
    return rasterize(head, camera, (size, size), background=torch.ones(3)).color


def difference(picture: Tensor, target: Target, weights: object) -> Tensor:
    """The loss of one view."""
    wanted = target.alpha * target.color + (1 - target.alpha)
    seen = torch.where(target.weight > 0.999, picture, wanted)
    mse = (seen - wanted).square().mean()
    return weights.mse * mse + weights.perceptual * structural(seen[None], wanted[None])


def structural(x: Tensor, y: Tensor) -> Tensor:
    """Colours, slopes and SSIM at four sizes. [1, 3, S, S] twice"""
    total = torch.zeros(())
    for scale in range(_SCALES):
        if scale:
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        total = total + (x - y).abs().mean()
        for axis in (-1, -2):
            total = total + 0.5 * (x.diff(dim=axis) - y.diff(dim=axis)).abs().mean()
        total = total + 0.25 * (1 - ssim(x, y))
    return total / _SCALES


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Structural similarity of luminance in squares (Wang et al. 2004). [1, 3, S, S] twice"""
    shares = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    x, y = (x * shares).sum(1, keepdim=True), (y * shares).sum(1, keepdim=True)

    def mean(values: Tensor) -> Tensor:
        return F.avg_pool2d(values, _WINDOW, _STRIDE)

    mean_x, mean_y = mean(x), mean(y)
    variance_x, variance_y = mean(x * x) - mean_x**2, mean(y * y) - mean_y**2
    covariance = mean(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    alike = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return (alike / ((mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2))).mean()
