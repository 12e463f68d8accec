"""What a run begins with: a published `.pkl`, a generator of ours, or another run's checkpoint."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import nn

from models.checkpoint import PUBLISHED, inspect, load_generator
from models.discriminator import Discriminator, DiscriminatorConfig, load_published_state
from models.generator import CgsGenerator
from models.legacy_pickle import PublishedFile, PublishedNetwork, read_published
from renderer.errors import CheckpointError
from training.config import TrainingConfig
from training.loop import Start
from training.state import HEADER, TrainingState, draw_networks, load_state


def start_from(path: Path) -> Start:
    """Say how a run begins with a file; it is read when the run begins."""

    def load(config: TrainingConfig, device: torch.device) -> tuple[TrainingState, str]:
        if _is_of_run(path):
            return _of_run(path, config, device)
        if inspect(path).kind == PUBLISHED:
            return _of_published(path, config, device)
        generator = _generator_of(path, config)
        state = _state_of(config, generator, None, device)
        return state, "its generator; the discriminator is fresh"

    return Start(load, path.name)


def resolution_of(path: Path) -> int:
    """Read for which size of pictures a start is, in px, without building it.

    Raises:
        CheckpointError: One cannot begin with it.
    """
    if not _is_of_run(path):
        return inspect(path).resolution
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return int(json.loads(file.metadata()[HEADER])["shape"]["resolution"])
    except (safetensors.SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(path, f"is no intact checkpoint of a training ({error}).") from error


def _is_of_run(path: Path) -> bool:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return HEADER in (file.metadata() or {})
    except (safetensors.SafetensorError, OSError):
        return False


def _of_run(path: Path, config: TrainingConfig, device: torch.device) -> tuple[TrainingState, str]:
    """Take all weights and both optimisers of a run's checkpoint, and count from 0."""
    state = load_state(path, config, device)
    state.images, state.best, state.best_images = 0, math.inf, -1
    return state, "both networks, the average and both optimisers"


def _of_published(
    path: Path, config: TrainingConfig, device: torch.device
) -> tuple[TrainingState, str]:
    """Take what a published file has: G_ema always; G, D and optimiser states where present."""
    average = _generator_of(path, config)
    file = read_published(path)
    player, judge = file.networks.get("G"), file.networks.get("D")
    taken = ["the average G_ema"]
    generator = average
    if player is not None:
        generator = CgsGenerator(average.config)
        try:
            generator.load_state_dict({name: player.state[name] for name in average.state_dict()})
        except (KeyError, RuntimeError) as error:
            sentence = "has a G that is not the same network as its G_ema. Download it again."
            raise CheckpointError(path, sentence) from error
        taken.append("the generator G")
    discriminator = None
    if judge is not None:
        discriminator = _discriminator_of(path, judge, config)
        taken.append("the discriminator D")
    state = _state_of(config, generator, discriminator, device)
    state.average.load_state_dict(average.state_dict())
    for letter, published, network, optimizer in (
        ("G", player, state.generator, state.generator_optimizer),
        ("D", judge, state.discriminator, state.discriminator_optimizer),
    ):
        name, moments = _moments(file, letter)
        if published is not None and moments is not None:
            _take_moments(path, name, moments, published, network, optimizer)
            taken.append(f"the optimiser {name}")
    return state, ", ".join(taken)


def _generator_of(path: Path, config: TrainingConfig) -> CgsGenerator:
    generator = load_generator(path).generator
    if generator.config.resolution != config.resolution:
        raise CheckpointError(
            path, f"is a generator of {generator.config.resolution} px, and the settings say "
            f"{config.resolution}. Choose the preset of its size."
        )  # fmt: skip
    return generator


def _discriminator_of(path: Path, judge: PublishedNetwork, config: TrainingConfig) -> Discriminator:
    try:
        shape = DiscriminatorConfig.from_state({n: t.shape for n, t in judge.state.items()})
        if shape.resolution != config.resolution:
            raise ValueError(f"has a discriminator of {shape.resolution} px")
        discriminator = Discriminator(shape, bfloat16=config.bfloat16)
        load_published_state(discriminator, judge.state)
    except ValueError as error:
        raise CheckpointError(path, f"{error}. Choose another file.") from error
    return discriminator


def _state_of(
    config: TrainingConfig,
    generator: CgsGenerator,
    discriminator: Discriminator | None,
    device: torch.device,
) -> TrainingState:
    if discriminator is None:
        _, discriminator = draw_networks(config, generator.config, config.discriminator_config())
    return TrainingState.of(config, generator.to(device), discriminator.to(device))


def _moments(file: PublishedFile, letter: str) -> tuple[str, dict[Any, Any] | None]:
    """Find the optimiser state of G or D; Adam's of the main phase where there are several."""
    names = sorted(
        (name for name in file.values if name.startswith(letter) and name.endswith("_opt")),
        key=lambda name: ("main" not in name and "both" not in name, name),
    )
    for name in names:
        value = file.values[name]
        if isinstance(value, dict) and isinstance(value.get("state"), dict) and value["state"]:
            return name, value["state"]
    return "", None


def _take_moments(
    path: Path,
    name: str,
    moments: dict[Any, Any],
    published: PublishedNetwork,
    network: nn.Module,
    optimizer: torch.optim.Adam,
) -> None:
    """Copy Adam's moments, which are numbered as the published network's parameters are.

    Raises:
        CheckpointError: They are not those of this network.
    """
    own = dict(network.named_parameters())
    for number, moment in moments.items():
        is_numbered = isinstance(number, int) and 0 <= number < len(published.parameters)
        parameter = own.get(published.parameters[number]) if is_numbered else None
        if is_numbered and parameter is None:
            continue  # of a block that was never used
        try:
            average, square = moment["exp_avg"], moment["exp_avg_sq"]
            step = torch.as_tensor(moment["step"], dtype=torch.float32).reshape(())
            if parameter is None or not average.shape == square.shape == parameter.shape:
                raise ValueError(f"its entry {number} is of another shape")
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            sentence = f"has an optimiser state {name} that is not its network's ({error})."
            raise CheckpointError(path, f"{sentence} Choose another file.") from error
        optimizer.state[parameter] = {
            "step": step.clone(),
            "exp_avg": average.to(parameter).clone(),
            "exp_avg_sq": square.to(parameter).clone(),
        }
