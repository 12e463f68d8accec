"""Targets made by small generators, and what a search must leave alone."""

from __future__ import annotations

import math

import torch

from inversion.target import Target
from models.delta import sharing_twin
from models.generator import CgsGenerator
from renderer.camera import Camera, OrbitRig
from renderer.rasterize import rasterize
from tests.models.small import small_generator

SIZE = 48
POINTS = torch.tensor([[0.39, 0.42], [0.61, 0.43], [0.5, 0.55], [0.42, 0.65], [0.58, 0.66]])


def generator_of_heads() -> CgsGenerator:
    """A small generator without gradients, as they are loaded, whose splats fill a good part of a picture."""
    generator = small_generator()
    with torch.no_grad():
        # Random networks are wild; w that vary little keep to where one gradient leads to the next.
        generator.mapping_network.layers()[-1].weight *= 0.3
        generator.point_gen.anchors.scale[0].bias += 5.0
        generator.point_gen.anchors.opacity[0].bias += 4.0
        for level in range(generator.config.levels):
            generator.point_gen.gaussians.scale[level].bias += 3.0
    return sharing_twin(generator)


def w_of(generator: CgsGenerator, seed: int = 6) -> torch.Tensor:
    """[1, W]"""
    z = torch.randn(1, generator.z_dim, generator=torch.Generator().manual_seed(seed))
    return generator.map(z)[0].detach()


def seen_from(yaw_deg: float, pitch_deg: float = 4.0) -> Camera:
    """The training camera at some angles."""
    return OrbitRig(yaw=math.radians(yaw_deg), pitch=math.radians(pitch_deg)).camera()


@torch.no_grad()
def target_of(
    generator: CgsGenerator, w: torch.Tensor, camera: Camera, size: int = SIZE, name: str = "view"
) -> Target:
    """What a head looks like from a camera, cut out perfectly."""
    seen = rasterize(generator.synthesize(w[None])[0], camera, (size, size))
    alpha = seen.alpha.clamp(0, 1)
    color = (seen.color / alpha.clamp_min(1e-4)).clamp(0, 1)
    return Target(name, color, alpha, torch.ones(size, size), camera, POINTS)


def state_of(generator: CgsGenerator) -> dict[str, tuple[bytes, bool, bool]]:
    """Bits, flag and whether there is a gradient, of each parameter; bits of each buffer."""
    parameters = {
        name: (p.detach().numpy().tobytes(), p.requires_grad, p.grad is None)
        for name, p in generator.named_parameters()
    }
    buffers = {name: (b.numpy().tobytes(), False, True) for name, b in generator.named_buffers()}
    return parameters | buffers
