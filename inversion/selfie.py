"""mediapipe's selfie model: a coarse mask of people, for users who have that library.

Only old wheels (0.10.x up to 0.10.21) carry the model; nothing is downloaded.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import numpy as np

from inversion.errors import InversionError

_MODEL = Path("mediapipe") / "modules" / "selfie_segmentation" / "selfie_segmentation.tflite"


@cache
def has_selfie_model() -> bool:
    """Whether a mediapipe with the model is installed; importing it would take a second or two."""
    return any((Path(folder) / _MODEL).is_file() for folder in sys.path)


def selfie_mask(crop: np.ndarray) -> np.ndarray:
    """Say how likely each pixel is a person's.

    Args:
        crop: Colours. [S, S, 3] uint8

    Returns:
        In [0, 1]. [S, S] float32

    Raises:
        InversionError: mediapipe is missing or does not work with the other libraries here.
    """
    try:
        from mediapipe.python.solutions.selfie_segmentation import SelfieSegmentation

        with SelfieSegmentation(model_selection=0) as model:  # 0: of square pictures
            straight = model.process(np.ascontiguousarray(crop)).segmentation_mask
            mirrored = model.process(np.ascontiguousarray(crop[:, ::-1])).segmentation_mask
    # protobuf of another version raises TypeError, other libraries AttributeError.
    except (ImportError, AttributeError, TypeError, RuntimeError) as error:
        raise InversionError(
            f"mediapipe does not work here ({error}). Choose another way to cut the head out."
        ) from error
    # The mean of both is nearer to the truth than either.
    return (straight + mirrored[:, ::-1]).astype(np.float32) / 2
