"""How a picture differs from another, as a picture."""

from __future__ import annotations

import numpy as np

AMPLIFICATION = 4  # a quarter of the range is full brightness
_BRIGHTER = np.minimum(AMPLIFICATION * np.arange(256), 255).astype(np.uint8)


def difference(target: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """How far the colours lie apart, `AMPLIFICATION` times brighter than they do; opaque.

    Args:
        target: [H, W, 4] uint8
        picture: [H, W, 4] uint8

    Returns:
        [H, W, 4] uint8, black where they are the same.
    """
    assert target.shape == picture.shape, (target.shape, picture.shape)
    shown = _BRIGHTER[np.maximum(target, picture) - np.minimum(target, picture)]
    shown[..., 3] = 255
    return shown


def over_white(picture: np.ndarray) -> np.ndarray:
    """Lay a picture over white, as heads are compared. [H, W, 4] uint8 -> the same, opaque"""
    lost = (255 - picture).astype(np.uint16)  # of white, were it opaque
    lost *= picture[..., 3:]
    lost += 128
    lost += lost >> 8  # with the shift below a division by 255, rounded
    shown = 255 - (lost >> 8).astype(np.uint8)
    shown[..., 3] = 255
    return shown
