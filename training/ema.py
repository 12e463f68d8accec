"""The average of the generator's weights over training, which makes better heads than the last."""

from __future__ import annotations

import torch
from torch import nn


def ema_decay(images_seen: int, batch: int, half_life: float, ramp_up: float | None) -> float:
    """β = ½^(B / h), h = min(half-life, ramp-up · images seen) (Karras et al. 2021).

    Args:
        images_seen: Before this step.
        batch: Images of this step.
        half_life: After how many images a weight counts half.
        ramp_up: How the half-life grows from the start, relative to the images seen; None if not.
    """
    if ramp_up is not None:
        half_life = min(half_life, ramp_up * images_seen)
    return 0.5 ** (batch / max(half_life, 1e-8))


@torch.no_grad()
def update_ema(average: nn.Module, current: nn.Module, decay: float) -> None:
    """ema ← β·ema + (1 - β)·weights; buffers, such as w_avg, are averages already and are copied."""
    for mean, parameter in zip(average.parameters(), current.parameters(), strict=True):
        mean.lerp_(parameter, 1 - decay)
    for kept, buffer in zip(average.buffers(), current.buffers(), strict=True):
        kept.copy_(buffer)


@torch.no_grad()
def track_mean(mean: torch.Tensor, batch_mean: torch.Tensor, decay: float) -> None:
    """w̄ ← β·w̄ + (1 - β)·mean(w), the centre towards which truncation goes. [W], [W]"""
    mean.lerp_(batch_mean.to(mean), 1 - decay)
