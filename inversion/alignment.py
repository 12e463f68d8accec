"""Where the head is in a photo: the square that is cut out, and the camera that sees the head so."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch

from renderer.camera import GAN_FOCAL, GAN_RADIUS, Camera

Point = tuple[float, float]  # px to the right and down; pixel centres lie at half integers
# Which square a generator's training pictures were cut by.
CropRecipe = Literal["ffhqc", "ffhqc-2025", "ffhq"]


@dataclass(frozen=True)
class Alignment:
    """A square of a photo, and the camera of the head in it."""

    # The middle of the square, px of the photo.
    centre: Point
    # The square's side, px of the photo.
    side: float
    # How far the square is turned in the photo: radians, clockwise as one looks at it.
    angle: float = 0.0
    # The camera of the square: radians; positive yaw shows the head's left side, positive pitch looks down.
    yaw: float = 0.0
    pitch: float = 0.0
    # How far the head's up is turned clockwise in the square, radians.
    roll: float = 0.0
    # How badly the landmarks fit a head in this pose: squared, in units of their usual noise.
    cost: float = 0.0
    # Which square it is.
    recipe: CropRecipe = "ffhqc"

    def turned_to(self, angle: float) -> Alignment:
        """Turn the square in the photo by hand: the head stays, so its roll in the square makes up."""
        return replace(self, angle=angle, roll=self.roll + self.angle - angle)

    def camera(self) -> Camera:
        """The camera, at the GAN's radius and focal length, looking at the origin. float32"""
        sin_y, cos_y = math.sin(self.yaw), math.cos(self.yaw)
        sin_p, cos_p = math.sin(self.pitch), math.cos(self.pitch)
        backward = torch.tensor([cos_p * sin_y, sin_p, cos_p * cos_y])
        right = torch.tensor([cos_y, 0.0, -sin_y])
        down = torch.linalg.cross(-backward, right)
        sin_r, cos_r = math.sin(self.roll), math.cos(self.roll)
        matrix = torch.eye(4)
        matrix[:3, 0] = cos_r * right - sin_r * down
        matrix[:3, 1] = sin_r * right + cos_r * down
        matrix[:3, 2] = -backward
        matrix[:3, 3] = GAN_RADIUS * backward
        return Camera(matrix, torch.tensor(GAN_FOCAL))
