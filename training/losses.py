"""What training minimises: each a few lines headed by its equation. Any floating dtype."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv2d, softplus


def generator_loss(fake_logits: Tensor) -> Tensor:
    """L_G = mean softplus(-D(fake)), non-saturating (Goodfellow et al. 2014). [B] -> []"""
    return softplus(-fake_logits).mean()


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """L_D = mean softplus(D(fake)) + mean softplus(-D(real)). [B], [B] -> []"""
    return softplus(fake_logits).mean() + softplus(-real_logits).mean()


def r1_penalty(real_logits: Tensor, real_images: Tensor) -> Tensor:
    """R1 = mean ½ |∂D(real)/∂real|² (Mescheder et al. 2018, eq. 9), to be multiplied by γ.

    Args:
        real_logits: What the discriminator says of `real_images`, with its graph. [B]
        real_images: Leaves that require gradients. [B, 3, H, W]
    """
    (slope,) = torch.autograd.grad(real_logits.sum(), real_images, create_graph=True)
    return 0.5 * slope.square().sum(dim=(1, 2, 3)).mean()


def lazy_ratio(interval: int) -> float:
    """c = k / (k + 1): with a penalty step every k steps, lr is c·lr and β is βᶜ.

    So that over k + 1 updates the optimiser moves and forgets as over k (Karras et al. 2020, app. B).
    """
    return interval / (interval + 1)


def neighbour_loss(anchors: Tensor, neighbours: int) -> Tensor:
    """L_knn = mean over points of the mean |p - q|² to the k nearest others q: anchors cluster.

    Args:
        anchors: Root anchors, world units. [B, P, 3]
        neighbours: k; all others if there are fewer.
    """
    count = min(neighbours, anchors.shape[1] - 1)
    if count < 1:
        return anchors.sum() * 0
    with torch.no_grad():
        distances = torch.cdist(anchors, anchors, compute_mode="donot_use_mm_for_euclid_dist")
        distances.diagonal(dim1=1, dim2=2).fill_(torch.inf)  # a point is no neighbour of itself
        nearest = distances.topk(count, dim=2, largest=False).indices  # [B, P, k]
    batch = torch.arange(len(anchors), device=anchors.device)[:, None, None]
    return (anchors[:, :, None] - anchors[batch, nearest]).square().sum(dim=-1).mean()


def centre_loss(anchors: Tensor) -> Tensor:
    """L_centre = mean of the squared coordinates of the anchors' centroid. [B, P, 3] -> []"""
    return anchors.mean(dim=1).square().mean()


def blur(images: Tensor, sigma: float) -> Tensor:
    """Blur with weights 2^-((t/σ)²), t in px up to ⌊3σ⌋, normalised; colours beyond the edge are 0.

    Args:
        images: Any colours. [B, C, H, W]
        sigma: In px; below 1/3 nothing changes.
    """
    radius = int(3 * sigma)
    if radius < 1:
        return images
    t = torch.arange(-radius, radius + 1).to(images)
    weights = torch.exp2(-((t / sigma) ** 2))
    weights = (weights / weights.sum()).expand(images.shape[1], 1, 1, -1)  # [C, 1, 1, taps]
    rows = conv2d(images, weights, padding=(0, radius), groups=images.shape[1])
    return conv2d(rows, weights.mT, padding=(radius, 0), groups=images.shape[1])


def blur_sigma(images_seen: int, start: float, fade_images: float) -> float:
    """σ = σ₀ · max(0, 1 - n / n_fade), in px."""
    return start * max(0.0, 1 - images_seen / fade_images) if fade_images > 0 else 0.0
