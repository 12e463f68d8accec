"""Camera poses as text, for the clipboard: our JSON, the GAN's 25 numbers, or 16 of cam_to_world."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace

import torch

from renderer.camera import GAN_RADIUS, Camera, OrbitRig
from renderer.errors import SplatheadError
from splatviz_app.controls import limited

_ADVICE = (
    "Copy a pose with Copy pose, or the 25 numbers of a camera label, or the 16 of cam_to_world."
)
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


class PoseError(SplatheadError):
    """A text is not a camera pose."""


def pose_text(rig: OrbitRig) -> str:
    """Write a rig as JSON. Angles in radians, lengths in world units; with the GAN's 25 numbers."""
    label = [round(number, 7) for number in rig.camera().to_label().tolist()]
    return json.dumps({"splathead_pose": asdict(rig), "label": label}, indent=2)


def parse_pose(text: str, rig: OrbitRig) -> OrbitRig:
    """Read a pose.

    Args:
        text: What `pose_text` wrote, or 25 or 16 numbers with anything but digits between them.
        rig: The present one; what the text does not say is kept.

    Raises:
        PoseError: It is neither, or no camera has those numbers.
    """
    text = text.strip()
    if not text:
        raise PoseError(f"The clipboard holds no text. {_ADVICE}")
    try:
        stored = json.loads(text)
    except (ValueError, RecursionError):
        stored = None
    if isinstance(stored, dict) and isinstance(stored.get("splathead_pose"), dict):
        return limited(_from_fields(stored["splathead_pose"]))
    if isinstance(stored, dict) and isinstance(stored.get("label"), list):
        text = json.dumps(stored["label"])
    return limited(_from_numbers([float(number) for number in _NUMBER.findall(text)], rig))


def _from_fields(fields: dict[str, object]) -> OrbitRig:
    """Take the rig's own fields; each must be there and be a number, or three of them."""

    def number(value: object, name: str) -> float:
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not abs(value) < 1e30  # not: NaN is refused as well, and so are ints beyond floats
        ):
            raise PoseError(f"This pose has no proper {name!r}. {_ADVICE}")
        return float(value)

    target = fields.get("target")
    if not isinstance(target, list) or len(target) != 3:
        raise PoseError(f"This pose has no proper 'target'. {_ADVICE}")
    x, y, z = (number(value, "target") for value in target)
    yaw, pitch, radius, fov_y = (
        number(fields.get(name), name) for name in ("yaw", "pitch", "radius", "fov_y")
    )
    return OrbitRig(yaw, pitch, radius, (x, y, z), fov_y)


def _from_numbers(numbers: list[float], rig: OrbitRig) -> OrbitRig:
    if len(numbers) not in (16, 25):
        raise PoseError(f"The clipboard holds no camera pose: {len(numbers)} numbers. {_ADVICE}")
    pose = torch.tensor(numbers[:16], dtype=torch.float64).reshape(4, 4)
    rotation = pose[:3, :3]
    is_pose = (
        torch.allclose(rotation @ rotation.T, torch.eye(3).double(), atol=1e-2)
        and float(torch.linalg.det(rotation)) > 0
        and torch.allclose(pose[3], torch.tensor([0, 0, 0, 1.0]).double(), atol=1e-4)
    )
    if not is_pose:
        raise PoseError(f"These {len(numbers)} numbers are no camera pose: no rotation. {_ADVICE}")
    # A camera of the training set looks at the origin's neighbourhood: hold it by the nearest point.
    eye, forward = pose[:3, 3], pose[:3, 2]
    radius = float(-(eye @ forward))
    radius = radius if radius > 0 else GAN_RADIUS
    if len(numbers) == 16:
        held = OrbitRig.from_camera(Camera(pose, torch.tensor(1.0)), radius)
        return replace(held, fov_y=rig.fov_y)
    try:
        camera = Camera.from_label(torch.tensor(numbers, dtype=torch.float64))
    except ValueError as error:
        raise PoseError(f"These 25 numbers are no camera label: {error}.") from error
    if not float(camera.focal) > 0:
        raise PoseError(
            f"These 25 numbers are no camera label: the focal length is not positive. {_ADVICE}"
        )
    return OrbitRig.from_camera(camera, radius)
