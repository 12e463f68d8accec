"""Sample grids: always the same latents, from the front and turning, so that one sees them change."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from models.generator import HeadGenerator
from models.latents import random_z
from renderer.camera import Camera, OrbitRig
from renderer.rasterize import rasterize
from training.config import TrainingConfig
from training.data import TrainingData

_FIXED = (3, 6)  # rows and columns of heads seen from the front
_TURNING = (4, 7)  # heads, and places from which each is seen
_SIDE = 256  # px of one picture, at most


@torch.no_grad()
def fixed_grid(generator: HeadGenerator, config: TrainingConfig) -> Tensor:
    """Draw 18 heads from the front. [3, H, W]"""
    rows, columns = _FIXED
    w = _latents(generator, rows * columns)
    camera = OrbitRig().camera()
    return grid([_picture(generator, one, camera, config) for one in w], columns)


@torch.no_grad()
def turning_grid(generator: HeadGenerator, config: TrainingConfig) -> Tensor:
    """Draw 4 heads once around, the middle column from the front. [3, H, W]"""
    heads, places = _TURNING
    yaws = [2 * math.pi * (k - places // 2) / places for k in range(places)]
    cameras = [OrbitRig(yaw=yaw, pitch=0.1).camera() for yaw in yaws]
    w = _latents(generator, heads)
    return grid(
        [_picture(generator, one, camera, config) for one in w for camera in cameras], places
    )


def real_grid(data: TrainingData, config: TrainingConfig) -> Tensor:
    """Show the first real pictures as training sees them, mirrored ones among them. [3, H, W]"""
    rows, columns = _FIXED
    batch = data.batch(0, rows * columns)
    background = torch.tensor(config.background).expand(rows * columns, 3)
    images = batch.over(background).images
    return grid([_shrunk(image) for image in images], columns)


def grid(pictures: list[Tensor], columns: int) -> Tensor:
    """Put pictures of one size side by side. Each [3, h, w] -> [3, H, W]"""
    rows = [torch.cat(pictures[i : i + columns], 2) for i in range(0, len(pictures), columns)]
    return torch.cat(rows, dim=1)


def _latents(generator: HeadGenerator, count: int) -> Tensor:
    """Return the w of fixed seeds. [count, 1, num_ws, W]"""
    z = torch.cat([random_z(seed, 1, generator.z_dim) for seed in range(count)])
    return generator.map(z.to(generator.w_avg))[:, None]


def _picture(generator: HeadGenerator, w: Tensor, camera: Camera, config: TrainingConfig) -> Tensor:
    side = (min(config.resolution, _SIDE),) * 2
    background = torch.tensor(config.background)
    drawn = rasterize(generator.synthesize(w)[0], camera, side, background=background)
    return drawn.color.clamp(0, 1).cpu()


def _shrunk(image: Tensor) -> Tensor:
    side = (min(image.shape[1], _SIDE),) * 2
    return torch.nn.functional.interpolate(image[None], side, mode="area")[0]
