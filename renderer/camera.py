"""Cameras: what is seen (`Camera`), how a hand holds it (`OrbitRig`), and the GAN's 25 numbers.

The only file that knows the layout of the 25-number label.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

Vector = tuple[float, float, float]

GAN_FOCAL = 4.2647  # image heights; the training camera of EG3D, GGHead and CGS-GAN
GAN_RADIUS = 2.7  # world units


def focal_to_fov(focal: float) -> float:
    """Turn a focal length in image heights into a vertical field of view in radians."""
    return 2 * math.atan(0.5 / focal)


def fov_to_focal(fov_y: float) -> float:
    """Turn a vertical field of view in radians into a focal length in image heights."""
    return 0.5 / math.tan(fov_y / 2)


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera. OpenCV axes: x right, y down, z forward. No image size: that is the request's.

    The optical axis meets the middle of the picture.
    """

    cam_to_world: Tensor  # [..., 4, 4]
    focal: Tensor  # [...]  in image heights; 4.2647 is the GAN's, a field of view of 13.4°

    def __post_init__(self) -> None:
        assert self.cam_to_world.shape[-2:] == (4, 4), self.cam_to_world.shape
        assert self.focal.shape == self.cam_to_world.shape[:-2], self.focal.shape

    @property
    def world_to_cam(self) -> Tensor:
        """The inverse of `cam_to_world`, a rotation and a translation. [..., 4, 4]"""
        rotation = self.cam_to_world[..., :3, :3].mT
        translation = -(rotation @ self.cam_to_world[..., :3, 3:])
        bottom = self.cam_to_world[..., 3:, :]
        return torch.cat([torch.cat([rotation, translation], dim=-1), bottom], dim=-2)

    @property
    def eye(self) -> Tensor:
        """Where the camera stands. [..., 3]"""
        return self.cam_to_world[..., :3, 3]

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Camera:
        """Move to a device, convert to a dtype, or both."""
        return Camera(
            self.cam_to_world.to(device=device, dtype=dtype),
            self.focal.to(device=device, dtype=dtype),
        )

    def __getitem__(self, index: int) -> Camera:
        """Camera `index` of a batch."""
        return Camera(self.cam_to_world[index], self.focal[index])

    def to_label(self) -> Tensor:
        """Write the GAN's label: cam_to_world row by row, then the 3×3 intrinsics. [..., 25]"""
        intrinsics = torch.zeros(*self.focal.shape, 3, 3).to(self.cam_to_world)
        intrinsics[..., 0, 0] = intrinsics[..., 1, 1] = self.focal
        intrinsics[..., 0, 2] = intrinsics[..., 1, 2] = 0.5
        intrinsics[..., 2, 2] = 1
        return torch.cat([self.cam_to_world.flatten(-2), intrinsics.flatten(-2)], dim=-1)

    @staticmethod
    def from_label(label: Tensor) -> Camera:
        """Read the GAN's label.

        Args:
            label: cam_to_world row by row, then normalised intrinsics row by row. [..., 25]

        Raises:
            ValueError: The label is skewed, stretched or off-centre; `Camera` cannot be that.
        """
        assert label.shape[-1] == 25, label.shape
        pose, intrinsics = (
            label[..., :16].unflatten(-1, (4, 4)),
            label[..., 16:].unflatten(-1, (3, 3)),
        )
        focal = intrinsics[..., 1, 1]
        expected = Camera(pose, focal).to_label()[..., 16:].unflatten(-1, (3, 3))
        if not torch.allclose(intrinsics, expected, atol=1e-3):
            raise ValueError(
                "this camera label is skewed, stretched or off-centre; "
                "only centred pinhole cameras are known here"
            )
        return Camera(pose, focal)


def look_at(eye: Tensor, target: Tensor, up: Tensor) -> Tensor:
    """Point a camera from `eye` to `target`.

    Args:
        eye, target: Points in the world. [..., 3]
        up: The direction that should appear upward, any length, not parallel to the view. [..., 3]

    Returns:
        cam_to_world, OpenCV axes. [..., 4, 4]
    """
    forward = torch.nn.functional.normalize(target - eye, dim=-1)
    right = torch.nn.functional.normalize(
        torch.linalg.cross(forward, up.expand_as(forward)), dim=-1
    )
    down = torch.linalg.cross(forward, right)
    top = torch.stack([right, down, forward, eye], dim=-1)  # [..., 3, 4]
    bottom = torch.tensor([0.0, 0.0, 0.0, 1.0]).to(top).expand(*top.shape[:-2], 1, 4)
    return torch.cat([top, bottom], dim=-2)


@dataclass(frozen=True)
class OrbitRig:
    """A camera held by a hand: it circles a target. Plain floats, so it is compared and saved by value."""

    # Angle to the side in radians; 0 is frontal, positive shows the head's left side (+x).
    yaw: float = 0.0
    # Angle upward in radians, -pi/2 to pi/2; positive looks down on the head.
    pitch: float = 0.0
    # Distance to the target in world units.
    radius: float = GAN_RADIUS
    # The point in the middle of the picture, in world units.
    target: Vector = (0.0, 0.0, 0.0)
    # Vertical field of view in radians.
    fov_y: float = focal_to_fov(GAN_FOCAL)

    @property
    def offset(self) -> Vector:
        """From the target to the eye, unit length."""
        across = math.cos(self.pitch)
        return (across * math.sin(self.yaw), math.sin(self.pitch), across * math.cos(self.yaw))

    @property
    def axes(self) -> tuple[Vector, Vector]:
        """The picture's right and up in the world, unit length; defined at the poles as well."""
        right = (math.cos(self.yaw), 0.0, -math.sin(self.yaw))
        sin, cos = math.sin(self.pitch), math.cos(self.pitch)
        up = (-sin * math.sin(self.yaw), cos, -sin * math.cos(self.yaw))
        return right, up

    @property
    def eye(self) -> Vector:
        """Where the camera stands, in world units."""
        x, y, z = (
            center + self.radius * way for center, way in zip(self.target, self.offset, strict=True)
        )
        return (x, y, z)

    def camera(self) -> Camera:
        """The pinhole camera of this rig, float32 on the CPU."""
        right, up = self.axes
        columns = [right, tuple(-u for u in up), tuple(-o for o in self.offset), self.eye]
        matrix = torch.eye(4)
        matrix[:3] = torch.tensor(columns).T
        return Camera(matrix, torch.tensor(fov_to_focal(self.fov_y)))

    @staticmethod
    def from_camera(camera: Camera, radius: float = GAN_RADIUS) -> OrbitRig:
        """Hold a camera by the point `radius` in front of it; a roll about the view is lost.

        Args:
            camera: One camera, no batch.
            radius: Distance from the eye to the rig's target in world units.
        """
        pose = camera.cam_to_world.double()
        forward = pose[:3, 2] / pose[:3, 2].norm()
        target = pose[:3, 3] + radius * forward
        x, y, z = (-forward).tolist()
        # Straight above or below, the view says nothing of the yaw: the picture's right does.
        yaw = (
            math.atan2(x, z)
            if math.hypot(x, z) > 1e-6
            else math.atan2(-float(pose[2, 0]), float(pose[0, 0]))
        )
        return OrbitRig(
            yaw=yaw,
            pitch=math.asin(max(-1.0, min(1.0, y))),
            radius=radius,
            target=(float(target[0]), float(target[1]), float(target[2])),
            fov_y=focal_to_fov(float(camera.focal)),
        )
