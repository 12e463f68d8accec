"""Photos for tests: heads of a small generator from known cameras, prepared without looking for a face."""

from __future__ import annotations

import io
import math

import numpy as np
import torch
from PIL import Image

from inversion.alignment import Alignment
from inversion.photo import Photo
from inversion.pose import guess_points
from models.generator import CgsGenerator
from renderer.rasterize import activate, rasterize
from tests.models.small import small_generator

SIDE = 96  # px of a photo; its crop is the whole of it


def visible_generator(seed: int = 0) -> CgsGenerator:
    """A small generator whose few splats are large and dense enough to be seen."""
    generator = small_generator(seed)
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith("bias") and (".scale." in name or ".opacity." in name):
                parameter += 4
    return generator


def photo_of_head(yaw: float = 0.0, seed: int = 0, name: str = "ada.jpg") -> Photo:
    """A photo of a random head, with its true alignment and matte."""
    generator = visible_generator()
    alignment = Alignment((SIDE / 2, SIDE / 2), SIDE, yaw=yaw)
    with torch.no_grad():
        z = torch.randn(1, generator.z_dim, generator=torch.Generator().manual_seed(seed))
        head = generator.synthesize(generator.map(z))[0]
        drawn = rasterize(
            activate(head),
            alignment.camera(),
            (SIDE, SIDE),
            background=torch.ones(3),
            backend="torch",
        )
    color = (255 * drawn.color.clamp(0, 1)).round().byte().permute(1, 2, 0).numpy()
    matte = (255 * drawn.alpha.clamp(0, 1)).round().byte().numpy()
    assert 0.05 < matte.mean() / 255 < 0.95, "a head that hides nothing, or all, tests nothing"
    return Photo(
        name,
        _encoded(color, "JPEG", quality=95),
        points=tuple(guess_points(alignment)),
        alignment=alignment,
        matte=_encoded(matte, "PNG"),
    )


def plain_picture(seed: int = 0, side: int = 64) -> bytes:
    """A JPEG without any face."""
    ramp = np.linspace(0, 255, side)
    shade = 0.5 * (ramp[:, None] + ramp[None]) * (0.5 + 0.5 * math.cos(seed))
    return _encoded(np.repeat(shade[..., None], 3, axis=2).astype(np.uint8), "JPEG")


def _encoded(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()
