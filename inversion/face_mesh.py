"""mediapipe's face mesh: finds faces that the detector misses, for users who have that library. Its one door.

Only old wheels (0.10.x up to 0.10.21) carry the model; nothing is downloaded.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import numpy as np

_MODEL = Path("mediapipe") / "modules" / "face_landmark" / "face_landmark_with_attention.tflite"
# Vertices of the mesh nearest to what the detector calls both eyes, the nose and both mouth corners.
_FIVE = (468, 473, 1, 61, 291)
_MOST_FACES = 10


@cache
def has_face_mesh() -> bool:
    """Whether a mediapipe with the model is installed; importing it would take a second or two."""
    return any((Path(folder) / _MODEL).is_file() for folder in sys.path)


def find_meshes(pixels: np.ndarray) -> list[np.ndarray]:
    """Find faces as dense landmarks; none if mediapipe is missing or does not work here.

    Args:
        pixels: [H, W, 3] uint8

    Returns:
        The vertices of each face, px of the picture. [478, 2]
    """
    if not has_face_mesh():
        return []
    try:
        from mediapipe.python.solutions.face_mesh import FaceMesh

        with FaceMesh(
            static_image_mode=True, max_num_faces=_MOST_FACES, refine_landmarks=True
        ) as model:
            found = model.process(np.ascontiguousarray(pixels)).multi_face_landmarks
    # protobuf of another version raises TypeError, other libraries AttributeError.
    except (ImportError, AttributeError, TypeError, RuntimeError, ValueError):
        return []  # only a second opinion: the user is told that there is no face
    height, width = pixels.shape[:2]
    return [
        np.array([(mark.x * width, mark.y * height) for mark in mesh.landmark])
        for mesh in found or ()
    ]


def landmarks_of(mesh: np.ndarray) -> np.ndarray:
    """Pick eyes, nose and mouth corners, as the detector orders them. [478, 2] to [5, 2]"""
    return mesh[list(_FIVE)]
