"""Small scenes for the tests of the rasterizers."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from renderer.camera import OrbitRig
from renderer.drawing import Drawing, Layers

DIFFERENTIABLE = ("means", "quats", "scales", "opacities", "colors", "world_to_cam", "background")


def cloud(count: int, size: tuple[int, int], seed: int = 0, sigma: float = 0.05) -> Drawing:
    """Scatter splats of many shapes before a camera that stands off every axis."""
    random = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random)

    camera = OrbitRig(
        yaw=0.4, pitch=0.2, target=(0.03, -0.02, 0.01), fov_y=math.radians(20)
    ).camera()
    return Drawing(
        means=0.3 * normal(count, 3),
        quats=normal(count, 4),  # of any length
        scales=sigma * (0.7 * normal(count, 3)).exp(),
        opacities=torch.rand(count, generator=random),
        colors=torch.rand(count, 3, generator=random),
        world_to_cam=camera.world_to_cam,
        focal=float(camera.focal) * size[1],
        size=size,
        background=torch.tensor([0.2, 0.5, 0.9]),
    )


def to_double(drawing: Drawing) -> Drawing:
    """The same scene in float64."""
    return replace(drawing, **{name: getattr(drawing, name).double() for name in DIFFERENTIABLE})


def upstream_of(size: tuple[int, int], seed: int = 1) -> Layers:
    """Random gradients of a picture."""
    random = torch.Generator().manual_seed(seed)
    width, height = size
    return Layers(
        torch.randn(3, height, width, generator=random),
        torch.randn(height, width, generator=random),
        torch.randn(height, width, generator=random),
    )


def gradients_of(draw, drawing: Drawing, upstream: Layers) -> dict[str, Tensor]:
    """Gradients of the sum of a picture's layers times `upstream`, for all that is differentiable."""
    leaves = {name: getattr(drawing, name).clone().requires_grad_() for name in DIFFERENTIABLE}
    layers = draw(replace(drawing, **leaves))
    torch.autograd.backward(list(layers), [gradient.to(layers.color) for gradient in upstream])
    return {name: leaf.grad for name, leaf in leaves.items()}
