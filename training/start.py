"""What a run begins with: a published `.pkl`, a generator of ours, or another run's checkpoint."""

from __future__ import annotations

from pathlib import Path

import safetensors
import torch

from models.checkpoint import load_generator
from models.discriminator import Discriminator
from renderer.errors import CheckpointError
from training.config import TrainingConfig
from training.loop import Start
from training.state import HEADER, TrainingState, read


def start_from(path: Path) -> Start:
    """Say how a run begins with a file; it is read when the run begins."""

    def load(config: TrainingConfig, device: torch.device) -> TrainingState:
        return (
            _of_run(path, config, device) if _is_of_run(path) else _of_model(path, config, device)
        )

    return Start(load, path.name)


def _is_of_run(path: Path) -> bool:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return HEADER in (file.metadata() or {})
    except (safetensors.SafetensorError, OSError):
        return False


def _of_run(path: Path, config: TrainingConfig, device: torch.device) -> TrainingState:
    """Take all weights and both optimisers of a run's checkpoint, and count from 0."""
    state = TrainingState.fresh(config, device)
    _, tensors = read(path)
    try:
        state.load(tensors)
    except ValueError as error:
        sentence = f"{error}. Start with the settings of the run that it is of."
        raise CheckpointError(path, sentence) from error
    return state


def _of_model(path: Path, config: TrainingConfig, device: torch.device) -> TrainingState:
    """Take the generator of a file, its average and all; the discriminator is fresh."""
    loaded = load_generator(path).generator
    if loaded.config.resolution != config.resolution:
        raise CheckpointError(
            path, f"is a generator of {loaded.config.resolution} px, and the settings say "
            f"{config.resolution}. Choose the preset of its size."
        )  # fmt: skip
    fresh = TrainingState.fresh(config, torch.device("cpu"))
    discriminator: Discriminator = fresh.discriminator
    return TrainingState.of(config, loaded.to(device), discriminator.to(device))
