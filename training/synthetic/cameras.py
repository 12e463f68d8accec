"""From where heads are looked at: mostly from the front, sometimes from anywhere around."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from renderer.camera import GAN_FOCAL, GAN_RADIUS, Camera, look_at


@dataclass(frozen=True)
class CameraSettings:
    """The distribution of cameras; all look at the same point."""

    # Share of the cameras that are near the front; the others stand anywhere around.
    front_share: float = 0.6
    # Standard deviation of the yaw of those near the front, in radians.
    yaw_spread: float = 0.6
    # Standard deviation of the pitch in radians.
    pitch_spread: float = 0.2
    # The steepest pitch in degrees.
    pitch_limit_deg: float = 30.0
    # Distance to that point in world units.
    radius: float = GAN_RADIUS
    # Focal length in image heights.
    focal: float = GAN_FOCAL
    # The point, in world units.
    target: tuple[float, float, float] = (0.0, 0.0, 0.0)


# From brows to chin, from the front: for what is small in a whole head.
CLOSE_UPS = CameraSettings(
    front_share=1.0, yaw_spread=0.5, focal=2.5 * GAN_FOCAL, target=(0.0, 0.0, 0.2)
)


def draw_cameras(settings: CameraSettings, count: int, rng: np.random.RandomState) -> Camera:
    """Draw `count` cameras. Camera [count]"""
    near = rng.random_sample(count) < settings.front_share
    normal, anywhere = rng.standard_normal(count), rng.uniform(-math.pi, math.pi, count)
    yaw = np.where(near, settings.yaw_spread * normal, anywhere)
    limit = math.radians(settings.pitch_limit_deg)
    pitch = np.clip(settings.pitch_spread * rng.standard_normal(count), -limit, limit)
    eye = settings.radius * np.stack(
        [np.cos(pitch) * np.sin(yaw), np.sin(pitch), np.cos(pitch) * np.cos(yaw)], axis=1
    )
    target = torch.tensor(settings.target)
    eyes = target + torch.from_numpy(eye).float()
    pose = look_at(eyes, target, torch.tensor([0.0, 1.0, 0.0]))
    return Camera(pose, torch.full((count,), settings.focal))
