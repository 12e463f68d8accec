"""Small generators for tests: every part of the real ones, at sizes that cannot be confused."""

import torch

from models.generator import CgsConfig, CgsGenerator, placement_of


def small_config(levels: int = 3) -> CgsConfig:
    """33 points, width 24 in 3 heads, another width for z than for w, level widths that differ."""
    placement = placement_of(resolution=2 ** (levels + 3), points=33)
    return CgsConfig(
        resolution=2 ** (levels + 3),
        features=(24, 12, 10, 9, 8, 7, 6, 5)[:levels],
        points=33,
        width=24,
        hidden=40,
        heads=3,
        first_blocks=2,
        z_dim=10,
        w_dim=14,
        table=6,
        **placement._asdict(),
    )


def small_generator(
    seed: int = 0, levels: int = 3, config: CgsConfig | None = None
) -> CgsGenerator:
    """Return a generator in which every path counts: no layer scale is zero, nor is w_avg."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        generator = CgsGenerator(config or small_config(levels))
        with torch.no_grad():
            for name, parameter in generator.named_parameters():
                if name.endswith("bias"):
                    parameter += 0.2 * torch.randn_like(parameter)
                elif ".ls_" in name:
                    parameter += 0.5 * torch.randn_like(parameter)
                elif "color" in name or "opacity" in name:
                    parameter *= 0.25  # values of the size that trained heads have, not ±20
            generator.w_avg.normal_(std=0.3)
    return generator


def random_z(generator: CgsGenerator, batch: int = 2, seed: int = 0) -> torch.Tensor:
    """[batch, Z]"""
    return torch.randn(batch, generator.z_dim, generator=torch.Generator().manual_seed(seed))
