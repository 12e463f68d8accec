"""What the command line leaves behind: pictures of what was found, the head, and a report of the run.

Nothing is overwritten: what has its name taken gets the next free one, as everywhere.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from inversion.alignment import Point
from inversion.crop import corners, from_crop
from inversion.photo import Photo
from inversion.pose import guess_points
from inversion.steps import Quality
from models.delta import WeightDelta, write_delta
from renderer.camera import Camera, OrbitRig
from renderer.errors import SaveError
from renderer.files import atomic_write, unused_name
from renderer.formats.ply import PROFILES, write_ply
from renderer.gaussians import Gaussians
from renderer.rasterize import rasterize

AROUND = (-90, -60, -30, 0, 30, 60, 90, 180)  # degrees of yaw of the strip of novel views
_QUAD, _FOUND, _GUESSED = (60, 200, 90), (255, 215, 0), (255, 60, 150)
_LONGEST = 1600  # px of an overlay


@dataclass
class Folder:
    """Where a run writes, and what it wrote."""

    path: Path
    names: list[str] = field(default_factory=list)

    def make(self) -> None:
        """Make the folder if there is none, and see whether it may be written.

        Raises:
            SaveError: It may not.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            why = error.strerror or error
            raise SaveError(self.path, f"cannot be made ({why}). Choose another --out.") from error
        probe = unused_name(self.path / ".splathead")  # now, not after minutes of work
        probe.unlink()

    def new(self, name: str) -> Path:
        """Reserve a free name."""
        path = unused_name(self.path / name)
        self.names.append(path.name)
        return path

    def picture(self, name: str, pixels: np.ndarray) -> Path:
        """Write a PNG. [H, W], [H, W, 3] or [H, W, 4] uint8"""
        path = self.new(name)
        with atomic_write(path) as file:
            Image.fromarray(pixels).save(file, "PNG", optimize=True)
        return path

    def head(self, name: str, head: Gaussians, profile: str) -> Path:
        """Write the splats of a head [1]."""
        path = self.new(name)
        write_ply(path, head[0], PROFILES[profile])
        return path

    def w(self, name: str, w: Tensor, weights: str, title: str) -> Path:
        """Write a w [1 or blocks, W] so that it can be imported as a bookmark.

        Args:
            name: Of the file, ending in .npz.
            w: Before truncation, mix and pushes.
            weights: The hash of its generator.
            title: What the bookmark is called.
        """
        content = io.BytesIO()
        numbers = w.detach().cpu().numpy()[None]  # [1, 1 or blocks, W]
        np.savez(content, w=numbers, names=np.array([title]), weights=np.array(weights))
        path = self.new(name)
        with atomic_write(path) as file:
            file.write(content.getvalue())
        return path

    def delta(self, name: str, delta: WeightDelta) -> Path:
        """Write what tuning changed."""
        path = self.new(name)
        write_delta(path, delta)
        return path

    def report(self, name: str, content: Mapping[str, Any]) -> Path:
        """Write a report as JSON, with the names of all files of the run."""
        path = self.new(name)
        text = json.dumps({**content, "files": self.names}, indent=2, allow_nan=False)
        with atomic_write(path) as file:
            file.write((text + "\n").encode())
        return path


# ---- pictures


def overlay(pixels: np.ndarray, photo: Photo) -> np.ndarray:
    """Draw what was found into a photo: the crop (green), landmarks (yellow) and where a generic head
    in the same pose would have them (pink rings).

    Args:
        pixels: Of the photo. [H, W, 3] uint8
        photo: Its landmarks and alignment, as far as there are any.
    """
    height, width = pixels.shape[:2]
    scale = min(1.0, _LONGEST / max(height, width))
    image = Image.fromarray(pixels).resize(
        (max(1, round(width * scale)), max(1, round(height * scale)))
    )
    pen = ImageDraw.Draw(image)
    thick = max(2, round(max(image.size) / 400))

    def scaled(points: Sequence[Point]) -> list[Point]:
        return [(x * scale, y * scale) for x, y in points]

    if photo.alignment is not None:
        quad = scaled(corners(photo.alignment))
        pen.line([*quad, quad[0]], fill=_QUAD, width=thick, joint="curve")
        up = scaled(from_crop(photo.alignment, ((0.5, 0.0), (0.5, 0.06))))
        pen.line(up, fill=_QUAD, width=thick)
        side = photo.alignment.side * scale
        radius = max(thick + 1, side * 0.016)
        for x, y in scaled(guess_points(photo.alignment)):
            box = (x - radius, y - radius, x + radius, y + radius)
            pen.ellipse(box, outline=_GUESSED, width=max(1, thick // 2 + 1))
    radius = max(2.0, thick * 0.9)
    for x, y in scaled(photo.points):
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_FOUND)
    return np.asarray(image)


@torch.no_grad()
def drawn(head: Gaussians, camera: Camera, size: int) -> np.ndarray:
    """Draw a head [1] before white. [size, size, 3] uint8"""
    device = head.means.device
    white = torch.ones(3, device=device)
    color = rasterize(head[0], camera.to(device), (size, size), background=white).color
    return (color.clamp(0, 1).movedim(0, -1) * 255).round().byte().cpu().numpy()


def turntable(head: Gaussians, size: int, around: Sequence[float] = AROUND) -> np.ndarray:
    """Draw a head [1] from all sides, given in degrees of yaw. [size, len(around) · size, 3] uint8"""
    cameras = (OrbitRig(yaw=math.radians(yaw)).camera() for yaw in around)
    return np.concatenate([drawn(head, camera, size) for camera in cameras], axis=1)


# ---- the report


def photo_entry(photo: Photo, size: tuple[int, int], warnings: Sequence[str]) -> dict[str, Any]:
    """Say what was found in a photo of some width and height. Angles in radians."""
    found = photo.alignment
    return {
        "name": photo.name,
        "size": list(size),
        "points": [list(point) for point in photo.points],
        "alignment": None if found is None else asdict(found),
        "camera": None if found is None else found.camera().to_label().tolist(),
        "warnings": list(warnings),
    }


def camera_entry(camera: Camera) -> dict[str, Any]:
    """Say where a camera stands: angles in radians, and the GAN's 25 numbers."""
    rig = OrbitRig.from_camera(camera.to("cpu"))
    return {"yaw": rig.yaw, "pitch": rig.pitch, "label": camera.to("cpu").to_label().tolist()}


def quality_entries(qualities: Sequence[Quality]) -> list[dict[str, Any]]:
    """Say how near each view is: dB, LPIPS, cosine; null for what was not measured."""
    return [asdict(quality) for quality in qualities]
