"""What a run is made of: the two players, the average, their optimisers; saved and found again.

A checkpoint is one safetensors file with a JSON header and a digest of its tensors, written beside
and renamed, so that the last good one is never touched. Random numbers and the place in the data
are functions of the count of images, so that the count is all that is saved of them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from models.checkpoint import Provenance, save_generator
from models.discriminator import Discriminator, DiscriminatorConfig
from models.generator import CgsConfig, CgsGenerator
from renderer.errors import CheckpointError
from renderer.files import atomic_write
from training.config import TrainingConfig
from training.losses import lazy_ratio

FORMAT = 1  # of a run's checkpoints
HEADER = "splathead-training"  # the header's name among the file's metadata
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")  # what Adam remembers of a parameter


@dataclass
class TrainingState:
    """Everything that a step changes."""

    generator: CgsGenerator
    discriminator: Discriminator
    average: CgsGenerator  # of the generator's weights; this is what is used later
    generator_optimizer: torch.optim.Adam
    discriminator_optimizer: torch.optim.Adam
    images: int = 0  # real pictures shown to the discriminator so far
    best: float = math.inf  # of the first metric
    best_images: int = -1  # when that was

    @staticmethod
    def fresh(config: TrainingConfig, device: torch.device) -> TrainingState:
        """Draw new networks as the seed says; the random numbers of others are not touched."""
        generator, discriminator = draw_networks(
            config, config.generator_config(), config.discriminator_config()
        )
        return TrainingState.of(config, generator.to(device), discriminator.to(device))

    @staticmethod
    def of(
        config: TrainingConfig, generator: CgsGenerator, discriminator: Discriminator
    ) -> TrainingState:
        """Begin with these networks, and the average at the generator."""
        with torch.device("meta"):
            average = CgsGenerator(generator.config)
        average.load_state_dict(
            {name: tensor.clone() for name, tensor in generator.state_dict().items()}, assign=True
        )
        average.eval().requires_grad_(False)
        ratio = lazy_ratio(config.r1_interval) if config.r1_gamma > 0 else 1.0
        return TrainingState(
            generator=generator.requires_grad_(True),
            discriminator=discriminator.requires_grad_(True),
            average=average,
            generator_optimizer=torch.optim.Adam(
                generator.parameters(), config.generator_lr, config.betas, eps=1e-8
            ),
            discriminator_optimizer=torch.optim.Adam(
                discriminator.parameters(),
                config.discriminator_lr * ratio,
                (config.betas[0] ** ratio, config.betas[1] ** ratio),
                eps=1e-8,
            ),
        )

    def tensors(self) -> dict[str, Tensor]:
        """Name every tensor that must be saved."""
        named: dict[str, Tensor] = {}
        for part, network in self._networks().items():
            named |= {f"{part}.{name}": tensor for name, tensor in network.state_dict().items()}
        for part, (network, optimizer) in self._optimizers().items():
            for name, parameter in network.named_parameters():
                for moment, value in optimizer.state.get(parameter, {}).items():
                    named[f"{part}.{moment}.{name}"] = torch.as_tensor(value)
        return {name: tensor.detach().cpu().contiguous() for name, tensor in named.items()}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take over what `tensors` named. Raises ValueError where they do not fit."""
        rest = dict(tensors)
        for part, network in self._networks().items():
            own = network.state_dict()
            for name, tensor in own.items():
                found = rest.pop(f"{part}.{name}", None)
                if found is None or found.shape != tensor.shape:
                    raise ValueError(f"lacks {part}.{name} as these settings need it")
                tensor.copy_(found)
        for part, (network, optimizer) in self._optimizers().items():
            optimizer.state.clear()
            for name, parameter in network.named_parameters():
                moments = {moment: rest.pop(f"{part}.{moment}.{name}", None) for moment in _MOMENTS}
                if moments["step"] is None:
                    continue  # it has had no gradient yet
                average, square = moments["exp_avg"], moments["exp_avg_sq"]
                if average is None or square is None or not (
                    average.shape == square.shape == parameter.shape
                ):  # fmt: skip
                    raise ValueError(f"lacks the moments of {part}.{name}")
                optimizer.state[parameter] = {
                    "step": moments["step"].clone(),
                    "exp_avg": average.to(parameter),
                    "exp_avg_sq": square.to(parameter),
                }
        if rest:
            raise ValueError(f"has {len(rest)} tensors too many, the first {min(rest)}")

    def is_finite(self) -> bool:
        """Whether all weights are numbers."""
        return all(
            bool(tensor.isfinite().all())
            for network in self._networks().values()
            for tensor in network.state_dict().values()
        )

    def _networks(self) -> dict[str, nn.Module]:
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "average": self.average,
        }

    def _optimizers(self) -> dict[str, tuple[nn.Module, torch.optim.Adam]]:
        return {
            "generator_optimizer": (self.generator, self.generator_optimizer),
            "discriminator_optimizer": (self.discriminator, self.discriminator_optimizer),
        }


# ── checkpoints of a run ───────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints in a run's folder, named by the images seen."""

    folder: Path

    def save(self, state: TrainingState, config: TrainingConfig) -> Path:
        """Write a checkpoint; whatever happens, the ones before stay.

        Raises:
            SaveError: It cannot be written; the disk may be full.
        """
        tensors = state.tensors()
        header = {
            "format": FORMAT,
            "images": state.images,
            "best": state.best if math.isfinite(state.best) else None,
            "best_images": state.best_images,
            "shape": config.shape,
            "generator": dataclasses.asdict(state.generator.config),
            "discriminator": dataclasses.asdict(state.discriminator.config),
            "digest": _digest(tensors),
        }
        path = self.path_at(state.images)
        with atomic_write(path) as file:
            file.write(safetensors.torch.save(tensors, {HEADER: json.dumps(header)}))
        return path

    def prune(self, keep: int, best_images: int) -> None:
        """Remove all but the newest and the best."""
        for path in self.paths()[keep:]:
            if path != self.path_at(best_images):
                path.unlink(missing_ok=True)

    def load_newest(
        self, config: TrainingConfig, device: torch.device
    ) -> tuple[TrainingState | None, list[CheckpointError]]:
        """Load the newest intact checkpoint.

        Returns:
            What it holds, None if there is none; and why newer ones were passed over.
        """
        damaged: list[CheckpointError] = []
        for path in self.paths():
            try:
                return load_state(path, config, device), damaged
            except CheckpointError as error:
                damaged.append(error)
        return None, damaged

    def paths(self) -> list[Path]:
        """Return all checkpoints, the newest first."""
        return sorted(self.folder.glob("[0-9]*.safetensors"), reverse=True)

    def path_at(self, images: int) -> Path:
        """Return where the checkpoint at a count of images is, if it is."""
        return self.folder / f"{max(images, 0):09d}.safetensors"

    def remove_unfinished(self) -> None:
        """Remove what a killed process left half written."""
        for path in self.folder.glob(".*.part"):
            path.unlink(missing_ok=True)


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read a run's checkpoint, and make sure that it is intact.

    Raises:
        CheckpointError: It is damaged, or none of a run.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[HEADER])
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, KeyError, ValueError) as error:
        raise CheckpointError(path, f"is no intact checkpoint of a training ({error}).") from error
    if header.get("format") != FORMAT:
        raise CheckpointError(path, "was written by another version of Splathead. Use that one.")
    if header.get("digest") != _digest(tensors):
        raise CheckpointError(path, "is damaged: its contents have changed. Use an earlier one.")
    return header, tensors


def load_state(path: Path, config: TrainingConfig, device: torch.device) -> TrainingState:
    """Build what a run's checkpoint holds.

    Raises:
        CheckpointError: It is damaged, or of a run whose networks had other settings.
    """
    header, tensors = read(path)
    try:
        if header["shape"] != config.shape:
            raise ValueError("was written with other settings of the networks")
        shape = header["generator"]
        generator, discriminator = draw_networks(
            config,
            CgsConfig(**{**shape, "features": tuple(shape["features"])}),
            DiscriminatorConfig(**header["discriminator"]),
        )
        state = TrainingState.of(config, generator.to(device), discriminator.to(device))
        state.load(tensors)
        state.images = int(header["images"])
        state.best = math.inf if header["best"] is None else float(header["best"])
        state.best_images = int(header["best_images"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(path, f"{error}. Go on with the run's own settings.") from error
    return state


def draw_networks(
    config: TrainingConfig, generator: CgsConfig, discriminator: DiscriminatorConfig
) -> tuple[CgsGenerator, Discriminator]:
    """Build networks, their weights drawn as the seed says, on the CPU."""
    before = torch.get_rng_state()
    torch.set_rng_state(torch.Generator().manual_seed(config.seed).get_state())
    try:
        return CgsGenerator(generator), Discriminator(discriminator, bfloat16=config.bfloat16)
    finally:  # others draw from the shared generator too
        torch.set_rng_state(before)


def export(path: Path, state: TrainingState, source: str, config: TrainingConfig) -> None:
    """Write the average as a checkpoint that the studio opens.

    Raises:
        SaveError: It cannot be written.
    """
    settings = dataclasses.asdict(config)
    provenance = Provenance(images_seen=state.images, source=source, extra={"training": settings})
    save_generator(path, state.average, provenance)


def _digest(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tuple(tensors[name].shape)}\n".encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def run_name(folder: Path) -> str:
    """Name a run for the provenance of what it exports."""
    return f"the training run {os.path.basename(os.path.abspath(folder))}"
