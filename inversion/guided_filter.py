"""The guided filter (He, Sun and Tang 2013): an image that follows the edges of another one.

Within every small window the result is a linear function of the guide's colours, so that the border of a
mask comes to lie, and to be as soft, as that of the picture it is a mask of.
"""

from __future__ import annotations

import cv2
import numpy as np


def guided(picture: np.ndarray, mask: np.ndarray, radius: int, tolerance: float) -> np.ndarray:
    """Let a mask follow the edges of its picture.

    Args:
        picture: The guide. [S, S, 3] uint8
        mask: In [0, 1]. [S, S] float32
        radius: Of the windows, px.
        tolerance: Variance of colours in [0, 1] below which a window has no edge.

    Returns:
        In [0, 1]. [S, S] float32
    """
    guide = picture.astype(np.float32) / 255

    def mean(image: np.ndarray) -> np.ndarray:
        width = 2 * radius + 1
        return cv2.blur(image, (width, width), borderType=cv2.BORDER_REFLECT)

    colors, level = mean(guide), mean(mask)  # [S, S, 3], [S, S]
    products = np.stack([mean(guide * guide[..., c : c + 1]) for c in range(3)], axis=-1)
    spread = products - colors[..., :, None] * colors[..., None, :]  # [S, S, 3, 3]
    spread += tolerance * np.eye(3, dtype=np.float32)
    shared = mean(guide * mask[..., None]) - colors * level[..., None]  # [S, S, 3]
    # mask ≈ slope · colour + offset in each window (equations 19 and 20), averaged over windows.
    slope = np.linalg.solve(spread, shared[..., None])[..., 0]  # [S, S, 3]
    offset = level - (slope * colors).sum(axis=-1)
    return np.clip((mean(slope) * guide).sum(axis=-1) + mean(offset), 0, 1).astype(np.float32)
