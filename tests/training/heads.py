"""Datasets of painted heads for tests: small, and different in every picture."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from renderer.camera import OrbitRig
from training.config import TrainingConfig
from training.data import Batch

SIDE = 16

# Every part of a training at sizes at which a step takes some 30 ms.
SMALL = TrainingConfig(
    resolution=SIDE, points=24, width=16, first_blocks=1,
    discriminator_base=256, discriminator_max=16,
    kimg=0.08, batch=8, microbatch=8, views=2, neighbours=3, r1_interval=3,
    blur_sigma=1, blur_kimg=0.05, ema_kimg=0.02,
    status_kimg=0.016, grid_kimg=1, checkpoint_kimg=0.032, metric_kimg=1,
    metrics=("stand-in",), metric_images=16, metric_real=40,
)  # fmt: skip


def camera_label(number: int) -> torch.Tensor:
    """[25]"""
    return (
        OrbitRig(yaw=0.9 * math.sin(number), pitch=0.3 * math.cos(2 * number)).camera().to_label()
    )


def painted(number: int, side: int = SIDE) -> tuple[torch.Tensor, torch.Tensor]:
    """Paint an ellipse of the picture's own colour. [3, side, side], [1, side, side]"""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    centre = side * (0.5 + 0.1 * math.sin(3 * number))
    inside = ((x - centre) / 0.3) ** 2 + ((y - side / 2) / 0.4) ** 2 < side**2
    colour = torch.tensor([0.9, 0.6 + 0.2 * math.sin(number), 0.5 + 0.2 * math.cos(5 * number)])
    image = torch.where(inside, colour[:, None, None] * (1 - 0.4 * x / side), 0.1)
    return image.float(), inside[None].float()


@dataclass(frozen=True)
class PaintedHeads:
    """A source in memory."""

    count: int = 20
    resolution: int = SIDE
    has_alphas: bool = True
    digest: str = "painted"

    def read(self, numbers):
        pictures = [painted(number, self.resolution) for number in numbers]
        return Batch(
            torch.stack([image for image, _ in pictures]),
            torch.stack([alpha for _, alpha in pictures]),
            self.labels(numbers),
        )

    def labels(self, numbers):
        return torch.stack([camera_label(number) for number in numbers])


def write_dataset(
    folder: Path, count: int = 12, side: int = SIDE, pictures: str | None = None
) -> Path:
    """Write a dataset with masks in the published layout."""
    pictures = pictures or str(side)
    (folder / pictures).mkdir(parents=True)
    (folder / "mask").mkdir()
    labels = []
    for number in range(count):
        image, alpha = painted(number, side)
        rgb = (image.permute(1, 2, 0) * 255).round().numpy().astype(np.uint8)
        name = f"{number:05d}.png"
        Image.fromarray(rgb).save(folder / pictures / name)
        Image.fromarray((alpha[0] * 255).numpy().astype(np.uint8)).save(folder / "mask" / name)
        labels.append([name, camera_label(number).tolist()])
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))
    return folder
