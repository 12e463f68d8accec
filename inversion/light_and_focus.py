"""Whether a face is lit and in focus: measured alike in a photo and before a camera."""

from __future__ import annotations

import cv2
import numpy as np

from inversion.alignment import Alignment
from inversion.crop import cut

LEAST_LIGHT = 0.2  # of the face's brighter tenth, in [0, 1]
LEAST_SHARPNESS = 0.05  # a photo in focus has 0.13, one blurred by 2 px of the 256 less than 0.05

_SIDE = 256  # px of the crop in which both are measured


def face_within(pixels: np.ndarray, alignment: Alignment) -> np.ndarray:
    """Cut out the face without hair and background. [H, W, 3] uint8 -> [128, 128, 3] uint8"""
    middle = slice(_SIDE // 4, 3 * _SIDE // 4)
    return cut(pixels, alignment, _SIDE)[middle, middle]


def light_of(face: np.ndarray) -> float:
    """Measure how bright the brighter tenth of a face is, in [0, 1]. [S, S, 3] uint8"""
    return float(np.percentile(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), 90)) / 255


def sharpness_of(face: np.ndarray) -> float:
    """Measure fine detail of a face: the Laplacian's deviation over the brightness's. [S, S, 3] uint8

    The scale of the picture counts: compare faces cut out of crops of one size. Light does not, and noise
    hardly.
    """
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    # A camera's noise is finer than any detail: without this, a dim picture never counts as blurred.
    smooth = cv2.GaussianBlur(grey, (0, 0), 1)
    return float(cv2.Laplacian(smooth, cv2.CV_32F).std()) / max(0.02, float(grey.std()))
