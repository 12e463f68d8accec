"""Pictures of synthetic heads as a source to learn from, made when they are asked for."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from training.data import Batch

if TYPE_CHECKING:
    from training.synthetic.head import HeadModel
    from training.synthetic.stream import StreamSettings

COUNT = 1_000_000  # different heads, each seen by one camera


class MadeHeads:
    """Heads of a parametric model; number i is the same head from the same camera every time."""

    has_alphas = True

    def __init__(self, model: HeadModel, settings: StreamSettings, digest: str) -> None:
        """Make pictures as `settings` say, one head and one camera each."""
        self._model, self._settings = model, replace(settings, heads=1, views=1)
        self._one_at_a_time = threading.Lock()
        self.count, self.resolution, self.digest = COUNT, settings.resolution, digest

    @staticmethod
    def load(path: Path, resolution: int, seed: int) -> MadeHeads:
        """Open a head model, a `.npz` or the folder of its `.obj` files.

        Raises:
            LoadError: It is no head model.
        """
        from training.synthetic.head import HeadModel
        from training.synthetic.stream import StreamSettings

        model = HeadModel.load(path)
        settings = StreamSettings(resolution=resolution, seed=seed)
        return MadeHeads(model, settings, digest_of(path, settings))

    def read(self, numbers: Sequence[int]) -> Batch:
        """Make pictures by number."""
        from training.synthetic.stream import draw_batch

        with self._one_at_a_time:
            drawn = [draw_batch(self._model, self._settings, number) for number in numbers]
        over_black = torch.cat([batch.images[:, 0] for batch in drawn]).cpu()
        alphas = torch.cat([batch.alphas for batch in drawn]).cpu()
        # What a photo shows: colours that are not darkened where the head is see-through.
        images = (over_black / alphas.clamp_min(1e-3)).clamp(0, 1)
        labels = torch.cat([batch.cameras.to_label()[:, 0] for batch in drawn]).cpu()
        return Batch(images, alphas.clamp(0, 1), labels)

    def labels(self, numbers: Sequence[int]) -> Tensor:
        """Return only the cameras, without making the heads. [B, 25]"""
        from training.synthetic.cameras import draw_cameras
        from training.synthetic.parameters import Z_DIM

        found = []
        for number in numbers:
            draw = np.random.RandomState([self._settings.seed, number])
            draw.standard_normal((1, Z_DIM))  # the head comes first
            found.append(draw_cameras(self._settings.cameras, 1, draw).to_label())
        return torch.cat(found)


def digest_of(path: Path, settings: StreamSettings) -> str:
    """Name the pictures of a head model, of one file or of a folder, as `settings` make them."""
    files = sorted(path.glob("*.obj")) if path.is_dir() else [path]
    digest = hashlib.sha256(repr(settings).encode())
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return f"synthetic {digest.hexdigest()}"
