"""How a picture differs from another, as a picture."""

from __future__ import annotations

import numpy as np

AMPLIFICATION = 4  # a quarter of the range is full brightness


def difference(target: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """How far the colours lie apart, `AMPLIFICATION` times brighter than they do; opaque.

    Args:
        target: [H, W, 4] uint8
        picture: [H, W, 4] uint8

    Returns:
        [H, W, 4] uint8, black where they are the same.
    """
    assert target.shape == picture.shape, (target.shape, picture.shape)
    apart = np.abs(target[..., :3].astype(np.int16) - picture[..., :3])  # [H, W, 3]
    shown = np.full(target.shape, 255, np.uint8)
    shown[..., :3] = np.minimum(AMPLIFICATION * apart, 255)
    return shown


def over_white(picture: np.ndarray) -> np.ndarray:
    """Lay a picture over white, as heads are compared. [H, W, 4] uint8 -> the same, opaque"""
    alpha = picture[..., 3:].astype(np.uint16)  # [H, W, 1]
    shown = np.full(picture.shape, 255, np.uint8)
    shown[..., :3] = (alpha * picture[..., :3] + (255 - alpha) * 255 + 127) // 255
    return shown
