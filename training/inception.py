"""The Inception network of FID, for the weights file of torch-fidelity; nothing here trains.

The file is opened only if its digest is the published one. The one place that uses `torch.load`,
restricted to weights.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d

from renderer.errors import CheckpointError
from training.config import TrainingError

NAME = "weights-inception-2015-12-05-6726825d.pth"
PUBLISHED_AT = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/" + NAME
VARIABLE = "SPLATHEAD_INCEPTION"  # may hold the path of the file
FEATURES = 2048
_DIGEST_BEGINS = "6726825d"
_SIDE = 299  # px

Size = int | tuple[int, int]


def find_weights() -> Path:
    """Find the file: where `SPLATHEAD_INCEPTION` says, or in torch's cache.

    Raises:
        TrainingError: It is not there.
    """
    named = os.environ.get(VARIABLE)
    path = Path(named) if named else Path(torch.hub.get_dir()) / "checkpoints" / NAME
    if not path.exists():
        raise TrainingError(
            f"FID and KID need Inception's weights, and {path} does not exist. Download "
            f"{PUBLISHED_AT} to there, or measure with --metrics stand-in."
        )
    return path


def load_inception(path: Path, device: torch.device) -> Inception:
    """Build the network from torch-fidelity's file.

    Raises:
        CheckpointError: It is another file, or damaged.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(path, f"cannot be read ({error.strerror}).") from error
    if not hashlib.sha256(content).hexdigest().startswith(_DIGEST_BEGINS):
        raise CheckpointError(path, f"is not {NAME}, or is damaged. Download it again.")
    state = torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251 - see above
    network = Inception()
    network.load_state_dict(state, strict=False)  # it also holds a classifier, unused here
    return network.to(device)


class Convolution(nn.Module):
    """A convolution without bias, batch normalisation and a ReLU."""

    def __init__(self, n_in: int, n_out: int, kernel: Size, stride: int = 1, pad: Size = 0) -> None:
        """Build one layer."""
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out, kernel, stride, pad, bias=False)
        self.bn = nn.BatchNorm2d(n_out, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """[B, in, H, W] -> [B, out, H, W]"""
        return self.bn(self.conv(x)).relu()


# A layer of a branch: its name, channels, kernel, stride and padding.
Layer = tuple[str, int, Size, int, Size]
_WIDE, _HIGH = ((1, 7), 1, (0, 3)), ((7, 1), 1, (3, 0))


class Mixed(nn.Module):
    """Branches side by side, and a pooled one; their channels one after the other."""

    def __init__(
        self, n_in: int, branches: list[list[Layer]], pool: str, n_pool: int | None
    ) -> None:
        """Build it.

        Args:
            n_in: Channels that come in.
            branches: Layers of each; two last layers with names in "a" and "b" both follow the one
                before.
            pool: "average", "largest" or "halved", the largest of every second.
            n_pool: Channels of the pooled branch; None leaves it as it is.
        """
        super().__init__()
        self.branches, self.pool = [[layer[0] for layer in branch] for branch in branches], pool
        for branch in branches:
            width = n_in
            for name, n_out, kernel, stride, pad in branch:
                self.add_module(name, Convolution(width, n_out, kernel, stride, pad))
                if not name.endswith("a"):
                    width = n_out
        self.branch_pool = Convolution(n_in, n_pool, 1) if n_pool else None

    def forward(self, x: Tensor) -> Tensor:
        """[B, in, H, W] -> [B, out, H, W]"""
        found = []
        for branch in self.branches:
            y = x
            for name in branch:
                z = self.get_submodule(name)(y)
                if name.endswith(("a", "b")):
                    found.append(z)
                else:
                    y = z
            if not branch[-1].endswith("b"):
                found.append(y)
        pooled = {
            "average": lambda: avg_pool2d(x, 3, 1, 1, count_include_pad=False),
            "largest": lambda: max_pool2d(x, 3, 1, 1),
            "halved": lambda: max_pool2d(x, 3, 2),
        }[self.pool]()
        found.append(self.branch_pool(pooled) if self.branch_pool is not None else pooled)
        return torch.cat(found, dim=1)


class Inception(nn.Module):
    """Inception v3 as Google published it in 2015 (Szegedy et al.), up to its last pooling."""

    def __init__(self) -> None:
        """Build it, its parameters named as in the file."""
        super().__init__()
        self.Conv2d_1a_3x3 = Convolution(3, 32, 3, 2)
        self.Conv2d_2a_3x3 = Convolution(32, 32, 3)
        self.Conv2d_2b_3x3 = Convolution(32, 64, 3, 1, 1)
        self.Conv2d_3b_1x1 = Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = Convolution(80, 192, 3)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = (
            _small(192, 32), _small(256, 64), _small(288, 64),
        )  # fmt: skip
        self.Mixed_6a = Mixed(
            288,
            [
                [("branch3x3", 384, 3, 2, 0)],
                [("branch3x3dbl_1", 64, 1, 1, 0), ("branch3x3dbl_2", 96, 3, 1, 1),
                 ("branch3x3dbl_3", 96, 3, 2, 0)],
            ],
            "halved", None,
        )  # fmt: skip
        self.Mixed_6b, self.Mixed_6c = _long(128), _long(160)
        self.Mixed_6d, self.Mixed_6e = _long(160), _long(192)
        self.Mixed_7a = Mixed(
            768,
            [
                [("branch3x3_1", 192, 1, 1, 0), ("branch3x3_2", 320, 3, 2, 0)],
                [("branch7x7x3_1", 192, 1, 1, 0), ("branch7x7x3_2", 192, *_WIDE),
                 ("branch7x7x3_3", 192, *_HIGH), ("branch7x7x3_4", 192, 3, 2, 0)],
            ],
            "halved", None,
        )  # fmt: skip
        self.Mixed_7b, self.Mixed_7c = _split(1280, "average"), _split(2048, "largest")
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Colours in [0, 1] [B, 3, H, W] -> [B, 2048]"""
        x = resized((images.clamp(0, 1) * 255).round(), _SIDE)
        x = (x - 128) / 128
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(max_pool2d(x, 3, 2)))
        x = max_pool2d(x, 3, 2)
        for name, module in self.named_children():
            if name.startswith("Mixed"):
                x = module(x)
        return x.mean(dim=(2, 3))


def resized(images: Tensor, side: int) -> Tensor:
    """Resize as TensorFlow 1 did: pixel i lies at i · in / out, not centred. [B, C, H, W]"""
    for dim in (2, 3):
        size = images.shape[dim]
        place = torch.arange(side, device=images.device) * (size / side)
        low = place.floor().long()
        share = (place - low).view(-1, *[1] * (3 - dim))
        near = images.index_select(dim, low)
        far = images.index_select(dim, (low + 1).clamp_max(size - 1))
        images = near + (far - near) * share
    return images


def _small(n_in: int, n_pool: int) -> Mixed:
    return Mixed(
        n_in,
        [
            [("branch1x1", 64, 1, 1, 0)],
            [("branch5x5_1", 48, 1, 1, 0), ("branch5x5_2", 64, 5, 1, 2)],
            [("branch3x3dbl_1", 64, 1, 1, 0), ("branch3x3dbl_2", 96, 3, 1, 1),
             ("branch3x3dbl_3", 96, 3, 1, 1)],
        ],
        "average", n_pool,
    )  # fmt: skip


def _long(width: int) -> Mixed:
    return Mixed(
        768,
        [
            [("branch1x1", 192, 1, 1, 0)],
            [("branch7x7_1", width, 1, 1, 0), ("branch7x7_2", width, *_WIDE),
             ("branch7x7_3", 192, *_HIGH)],
            [("branch7x7dbl_1", width, 1, 1, 0), ("branch7x7dbl_2", width, *_HIGH),
             ("branch7x7dbl_3", width, *_WIDE), ("branch7x7dbl_4", width, *_HIGH),
             ("branch7x7dbl_5", 192, *_WIDE)],
        ],
        "average", 192,
    )  # fmt: skip


def _split(n_in: int, pool: str) -> Mixed:
    return Mixed(
        n_in,
        [
            [("branch1x1", 320, 1, 1, 0)],
            [("branch3x3_1", 384, 1, 1, 0), ("branch3x3_2a", 384, (1, 3), 1, (0, 1)),
             ("branch3x3_2b", 384, (3, 1), 1, (1, 0))],
            [("branch3x3dbl_1", 448, 1, 1, 0), ("branch3x3dbl_2", 384, 3, 1, 1),
             ("branch3x3dbl_3a", 384, (1, 3), 1, (0, 1)),
             ("branch3x3dbl_3b", 384, (3, 1), 1, (1, 0))],
        ],
        pool, 192,
    )  # fmt: skip
