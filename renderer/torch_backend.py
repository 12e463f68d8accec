"""The definition of rasterization: plain torch, any device, differentiable, slow.

The other backends must agree with this file. Readable first: it walks the tiles of the picture one by
one and composites each as a dense [splats, pixels] table.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from renderer.drawing import (
    FRUSTUM_MARGIN,
    LOW_PASS,
    MAX_ALPHA,
    MIN_ALPHA,
    MIN_TRANSMITTANCE,
    NEAR,
    Drawing,
    Layers,
)
from renderer.rotations import quat_to_matrix

_TILE = 16  # px


def draw(drawing: Drawing, order: Tensor | None = None) -> Layers:
    """Rasterize.

    Args:
        drawing: What to draw; any floating dtype.
        order: Splat indices from near to far, to impose another backend's order where depths tie.
            [N] int64; sorted by float32 depth if None.
    """
    with torch.no_grad():
        _, _, depths, extents = project(drawing)
        visible = (depths > NEAR) & (drawing.opacities >= MIN_ALPHA) & extents.isfinite().all(-1)
        if order is None:
            order = depths.float().argsort(stable=True)
        order = order[visible[order]]
    # Again, only what is visible: a splat beside the eye would turn its zero gradient into NaN.
    drawing = replace(
        drawing,
        means=drawing.means[order],
        quats=drawing.quats[order],
        scales=drawing.scales[order],
        opacities=drawing.opacities[order],
        colors=drawing.colors[order],
    )
    centers, conics, depths, extents = project(drawing)
    opacities, colors = drawing.opacities, drawing.colors

    width, height = drawing.size
    rows = []
    for top in range(0, height, _TILE):
        bottom = min(top + _TILE, height)
        in_row = _overlaps(centers[:, 1], extents[:, 1], top, bottom)
        tiles = []
        for left in range(0, width, _TILE):
            right = min(left + _TILE, width)
            here = in_row[_overlaps(centers[in_row, 0], extents[in_row, 0], left, right)]
            x = torch.arange(left, right, device=centers.device, dtype=centers.dtype) + 0.5
            y = torch.arange(top, bottom, device=centers.device, dtype=centers.dtype) + 0.5
            weights, clear = _weights(centers[here], conics[here], opacities[here], x, y)
            color = torch.einsum("nhw,nc->chw", weights, colors[here])
            color = color + clear * drawing.background[:, None, None]
            depth = torch.einsum("nhw,n->hw", weights, depths[here])
            tiles.append(torch.cat([color, depth[None], 1 - clear[None]]))  # [5, h, w]
        rows.append(torch.cat(tiles, dim=2))
    layers = torch.cat(rows, dim=1)  # [5, H, W]
    return Layers(layers[:3], layers[3], layers[4])


def project(drawing: Drawing) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Project each splat to the ellipse it covers (EWA splatting, Zwicker et al. 2001).

    Returns:
        Centres in px [N, 2]; conics (a, b, c) of the inverse covariance, per px² [N, 3]; distances
        along z in world units [N]; half the width and height of the box outside of which the splat
        is fainter than `MIN_ALPHA`, in px [N, 2].
    """
    width, height = drawing.size
    rotation, translation = drawing.world_to_cam[:3, :3], drawing.world_to_cam[:3, 3]
    x, y, z = (drawing.means @ rotation.T + translation).unbind(-1)

    # The slope of the projection, taken no farther than a margin outside of the picture.
    focal = drawing.focal
    limit_x, limit_y = (side * (0.5 + FRUSTUM_MARGIN) / focal for side in (width, height))
    slope_x, slope_y = (x / z).clamp(-limit_x, limit_x), (y / z).clamp(-limit_y, limit_y)
    zero = torch.zeros_like(z)
    jacobian = torch.stack(
        [focal / z, zero, -focal * slope_x / z, zero, focal / z, -focal * slope_y / z], dim=-1
    ).unflatten(-1, (2, 3))

    axes = quat_to_matrix(drawing.quats) * drawing.scales[:, None, :]  # [N, 3, 3]
    axes_on_screen = jacobian @ rotation @ axes  # [N, 2, 3]
    covariance = axes_on_screen @ axes_on_screen.mT  # [N, 2, 2]
    var_x, var_y = covariance[:, 0, 0] + LOW_PASS, covariance[:, 1, 1] + LOW_PASS
    cov_xy = covariance[:, 0, 1]
    # var_x · var_y - cov_xy², but large thin splats do not cancel (Cauchy and Binet).
    cross = torch.linalg.cross(axes_on_screen[:, 0], axes_on_screen[:, 1])
    det = cross.square().sum(-1) + LOW_PASS * (var_x + var_y) - LOW_PASS**2

    centers = torch.stack([focal * x / z + width / 2, focal * y / z + height / 2], dim=-1)
    conics = torch.stack([var_y, -cov_xy, var_x], dim=-1) / det[:, None]
    with torch.no_grad():
        reach = (
            2 * (drawing.opacities / MIN_ALPHA).clamp_min(1).log()
        )  # squared Mahalanobis distance
        extents = torch.stack([(reach * var_x).sqrt(), (reach * var_y).sqrt()], dim=-1)
    return centers, conics, z, extents


def _overlaps(centers: Tensor, extents: Tensor, start: int, stop: int) -> Tensor:
    """Indices of the intervals that reach between `start` and `stop`, with a little to spare."""
    near = (centers.detach() + extents >= start - 0.01) & (
        centers.detach() - extents <= stop + 0.01
    )
    return near.nonzero()[:, 0]


def _weights(
    centers: Tensor, conics: Tensor, opacities: Tensor, x: Tensor, y: Tensor
) -> tuple[Tensor, Tensor]:
    """Composite sorted splats over a tile: each one's weight [n, h, w], and what stays clear [h, w]."""
    dx = x[None, None, :] - centers[:, 0, None, None]
    dy = y[None, :, None] - centers[:, 1, None, None]
    a, b, c = (conics[:, i, None, None] for i in range(3))
    alpha = opacities[:, None, None] * torch.exp(-0.5 * (a * dx * dx + c * dy * dy) - b * dx * dy)
    alpha = alpha.clamp_max(MAX_ALPHA)
    alpha = torch.where(alpha >= MIN_ALPHA, alpha, 0)
    # A pixel is finished before the splat that would leave it darker than MIN_TRANSMITTANCE.
    alive = torch.cumprod(1 - alpha, dim=0) > MIN_TRANSMITTANCE
    alpha = torch.where(alive, alpha, 0)
    full = torch.ones(1, len(y), len(x), device=x.device, dtype=x.dtype)
    through = torch.cumprod(torch.cat([full, 1 - alpha]), dim=0)  # [n + 1, h, w]
    return alpha * through[:-1], through[-1]
