"""Cameras that are corrected on the way, and heads drawn from all of them at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from renderer.camera import Camera
from renderer.gaussians import Gaussians
from renderer.rasterize import rasterize

# How far cameras found from landmarks are usually off: what a correction of 1 means.
TURN_DEVIATION = math.radians(4.0)
SHIFT_DEVIATION = 0.01  # world units, to the side and up: 1.6 % of the crop
DEPTH_DEVIATION = 0.08  # world units: 3 % of the head's size in the picture


class CameraCorrections:
    """Small corrections of the cameras of some views, in units of their usual errors.

    A camera turns about the head by a rotation vector in its own axes (x: pitch, y: yaw, z: roll),
    then moves along them: to the side and up, which is a shift of the crop, and to or from the head,
    which is its scale. So the result is a camera like any other.
    """

    def __init__(self, cameras: Sequence[Camera], device: torch.device | str = "cpu") -> None:
        """Begin with the cameras as they are."""
        self._poses = torch.stack([camera.cam_to_world for camera in cameras]).to(
            device, torch.float32
        )  # [V, 4, 4]
        self._focals = torch.stack([camera.focal for camera in cameras]).to(device, torch.float32)
        self.values = torch.zeros(len(cameras), 6, device=device, requires_grad=True)
        self._units = torch.tensor(
            [TURN_DEVIATION] * 3 + [SHIFT_DEVIATION] * 2 + [DEPTH_DEVIATION], device=device
        )

    def cameras(self, values: Tensor | None = None, views: Sequence[int] | None = None) -> Camera:
        """Correct the cameras of some views, or all; differentiable in `values`. [V]

        Args:
            values: The corrections of all views, its own if None. [V, 6]
            views: Which cameras.
        """
        chosen = slice(None) if views is None else list(views)
        poses = self._poses[chosen]
        scaled = self._units * (self.values if values is None else values)[chosen]
        axes = poses[:, :3, :3]
        turn = axes @ _rotation(scaled[:, :3]) @ axes.mT  # in the world, about the origin
        linear = turn @ axes
        eye = turn @ poses[:, :3, 3:] + linear @ scaled[:, 3:, None]
        top = torch.cat([linear, eye], dim=-1)
        return Camera(torch.cat([top, poses[:, 3:]], dim=-2), self._focals[chosen])

    def detached(self, values: Tensor | None = None) -> tuple[Camera, ...]:
        """The cameras one by one, without gradients; the given ones bit for bit where nothing changed."""
        values = (self.values if values is None else values).detach()
        corrected = self.cameras(values)
        same = (values == 0).all(dim=1)
        poses = torch.where(same[:, None, None], self._poses, corrected.cam_to_world)
        return tuple(
            Camera(pose.clone(), focal.clone())
            for pose, focal in zip(poses, self._focals, strict=True)
        )


def draw_views(head: Gaussians, cameras: Camera, size: int, background: Tensor) -> Tensor:
    """Draw one head from several cameras; differentiable in both. [N, …], [V] -> [V, 3, S, S]"""
    rendered = rasterize(head, cameras, (size, size), background=background)
    return rendered.color.to(background.device)


def as_shown(picture: Tensor) -> np.ndarray:
    """What a screen shows of a picture. [3, S, S] in [0, 1] -> [S, S, 3] uint8"""
    shown = (255 * picture.detach().clamp(0, 1) + 0.5).to(torch.uint8)
    return shown.permute(1, 2, 0).contiguous().cpu().numpy()


def degrees_between(first: Camera, second: Camera) -> float:
    """How far one camera would have to turn to look as the other does, in degrees."""
    turn = first.cam_to_world[:3, :3].double().mT @ second.cam_to_world[:3, :3].double()
    # From the chord, since the arc cosine knows nothing of angles below a hundredth of a degree.
    chord = (turn - torch.eye(3, dtype=turn.dtype, device=turn.device)).norm()
    return math.degrees(2 * math.asin(min(1.0, float(chord) / math.sqrt(8))))


def _rotation(vectors: Tensor) -> Tensor:
    """Rotation matrices of rotation vectors; differentiable at 0 as well. [V, 3] -> [V, 3, 3]"""
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    return torch.linalg.matrix_exp(cross)
