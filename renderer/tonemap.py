"""A rendered picture to the bytes on screen or in a file: background, mode, colour map."""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from renderer.rasterize import Rendered

Mode = Literal["color", "alpha", "depth"]
COLORMAPS = ("turbo", "viridis", "magma", "inferno", "plasma", "cividis", "gray")

_CHECKER = (0.62, 0.78)  # the greys of the checker
_CHECKER_SIDE = 16  # px


def to_bytes(image: Tensor) -> np.ndarray:
    """Quantise a picture in [0, 1] to 8 bits, rounding.

    Args:
        image: [C, H, W]

    Returns:
        [H, W, C] uint8, contiguous.
    """
    scaled = image.permute(1, 2, 0).mul(255).add_(0.5).clamp_(0, 255.5)
    return np.ascontiguousarray(scaled.to(torch.uint8).cpu().numpy())


def checker(width: int, height: int) -> Tensor:
    """The pattern that stands for "nothing there". [3, H, W]"""
    x = torch.arange(width) // _CHECKER_SIDE
    y = torch.arange(height) // _CHECKER_SIDE
    dark, light = _CHECKER
    return torch.where((x[None, :] + y[:, None]) % 2 == 0, light, dark).expand(3, height, width)


def over_checker(rendered: Rendered) -> Tensor:
    """Lay a picture that was drawn over black on the checker. [3, H, W]"""
    height, width = rendered.alpha.shape
    pattern = checker(width, height).to(rendered.color)
    return rendered.color + (1 - rendered.alpha) * pattern


def straight_rgba(rendered: Rendered) -> Tensor:
    """Turn a picture that was drawn over black into straight (not premultiplied) RGBA. [4, H, W]"""
    color = rendered.color / rendered.alpha.clamp_min(1e-6)
    return torch.cat([color.clamp(0, 1), rendered.alpha[None]])


def false_color(values: Tensor, colormap: str, invert: bool = False) -> Tensor:
    """Show values in [0, 1] through a colour map.

    Args:
        values: [H, W]
        colormap: One of `COLORMAPS`.
        invert: Run the map from its other end.

    Returns:
        [3, H, W]
    """
    table = _colormap_table(colormap).to(values.device)
    index = (values.clamp(0, 1) * 255 + 0.5).long()
    return table[255 - index if invert else index].permute(2, 0, 1)


def normalized_depth(rendered: Rendered) -> Tensor:
    """Stretch the distances of what is seen over [0, 1], near is 0; nothing is 1. [H, W]"""
    seen = rendered.alpha > 0.5
    if not bool(seen.any()):
        return torch.ones_like(rendered.depth)
    depth = rendered.expected_depth
    near, far = depth[seen].min(), depth[seen].max()
    stretched = (depth - near) / (far - near).clamp_min(1e-6)
    return torch.where(rendered.alpha > 0.02, stretched.clamp(0, 1), 1.0)


@cache
def _colormap_table(name: str) -> Tensor:
    """[256, 3]"""
    import cmap  # takes 0.1 s: only when a colour map is shown

    assert name in COLORMAPS, name
    return torch.tensor(cmap.Colormap(name).lut(256)[:, :3], dtype=torch.float32)
