"""What a run tells while it goes: JSON lines and TensorBoard always, Weights & Biases if asked.

Only the first process writes; the others hold a `Records` that does nothing.
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from renderer.files import atomic_write
from renderer.tonemap import to_bytes
from training.config import TrainingError

LOG = "log.jsonl"  # in the run's folder


class Records:
    """The logs of one run."""

    def __init__(
        self, folder: Path, images: int, *, is_writing: bool = True, wandb: bool = False
    ) -> None:
        """Go on where `images` pictures were seen: what was logged after is forgotten.

        Raises:
            TrainingError: `wandb` is wanted but not installed.
        """
        self.folder, self._is_writing = folder, is_writing
        self._board: Any = None
        self._wandb: Any = None
        if not is_writing:
            return
        from torch.utils.tensorboard import SummaryWriter  # here, because it takes a second

        rewind(folder / LOG, images)
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=images + 1)
        if wandb:
            try:
                import wandb as client
            except ImportError as error:
                raise TrainingError(
                    "wandb is not installed. Install it with pip, or leave out --wandb."
                ) from error
            self._wandb = client.init(
                project="splathead", name=folder.name, id=folder.name, resume="allow", dir=folder
            )

    def write(self, kind: str, images: int, **values: Any) -> None:
        """Log one thing: "begin", "status", "metric", "checkpoint", "grid", "warning" or "end".

        Numbers go to TensorBoard as well. Numbers that are none are written as null.
        """
        if not self._is_writing:
            return
        line = {"kind": kind, "images": images, "time": round(time.time(), 3)} | {
            name: _plain(value) for name, value in values.items()
        }
        with open(self.folder / LOG, "a", encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")
        numbers = {
            f"{kind}/{name}": value
            for name, value in values.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        for name, value in numbers.items():
            self._board.add_scalar(name, value, images)
        if self._wandb is not None and numbers:
            self._wandb.log({"images": images, **numbers})

    def picture(self, name: str, images: int, picture: Tensor) -> None:
        """Save a picture in `grids/`, and log it. [3, H, W] in [0, 1]"""
        if not self._is_writing:
            return
        pixels = to_bytes(picture)
        path = self.folder / "grids" / f"{name}-{images:09d}.png"
        path.parent.mkdir(exist_ok=True)
        with atomic_write(path) as file:
            Image.fromarray(pixels).save(file, "PNG")
        self._board.add_image(name, pixels, images, dataformats="HWC")
        self.write("grid", images, file=path.relative_to(self.folder).as_posix())

    def close(self) -> None:
        """Bring everything to the disk."""
        if self._board is not None:
            self._board.close()
        if self._wandb is not None:
            self._wandb.finish()


def read_log(path: Path) -> list[dict[str, Any]]:
    """Read a log; a line that a killed process left unfinished is passed over."""
    return parse_log(path.read_text(encoding="utf-8")) if path.exists() else []


def parse_log(text: str) -> list[dict[str, Any]]:
    """Understand the lines of a log, or of a part of one; those that are none are passed over."""
    lines = []
    for written in text.splitlines():
        try:
            line = json.loads(written)
        except ValueError:
            continue
        if isinstance(line, dict) and isinstance(line.get("images"), int):
            lines.append(line)
    return lines


def rewind(path: Path, images: int) -> None:
    """Drop what was logged after `images`: the run goes on from there and logs it again."""
    lines = read_log(path)
    kept = [line for line in lines if line["images"] <= images]
    if path.exists():
        with atomic_write(path) as file:
            file.write("".join(json.dumps(line) + "\n" for line in kept).encode())


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
