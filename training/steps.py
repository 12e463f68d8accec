"""The two halves of a training step, discriminator and generator, for one batch.

A batch is worked off in shards, every `shards`-th picture in one, shared among the processes. Random
numbers are drawn for the whole batch from the seed and the count of images, so that a run does not
depend on how many processes work on it, nor on where it was stopped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from models.generator import CgsGenerator
from renderer.camera import Camera
from renderer.gaussians import Gaussians
from renderer.rasterize import rasterize
from training.config import TrainingConfig
from training.data import Batch, TrainingData
from training.launch import Processes
from training.losses import (
    blur,
    blur_sigma,
    centre_loss,
    discriminator_loss,
    generator_loss,
    neighbour_loss,
    r1_penalty,
)
from training.state import TrainingState

# Streams of random numbers that must not repeat each other.
REAL, FAKE_FOR_DISCRIMINATOR, FAKE_FOR_GENERATOR = range(3)


class Fakes(NamedTuple):
    """What decides a batch of made pictures."""

    z: Tensor  # [B, Z]
    labels: Tensor  # [V, B, 25]
    backgrounds: Tensor  # [V, B, 3]

    def shard(self, index: int, count: int) -> Fakes:
        """Take every `count`-th head."""
        return Fakes(
            self.z[index::count], self.labels[:, index::count], self.backgrounds[:, index::count]
        )


@dataclass(frozen=True)
class Stepper:
    """One training step: settings, data and processes, and what changes in `state`."""

    config: TrainingConfig
    data: TrainingData
    processes: Processes
    state: TrainingState

    def discriminator_step(self, real: Batch) -> dict[str, Tensor]:
        """Make the discriminator tell this batch of real pictures from made ones."""
        config, state = self.config, self.state
        fakes = self._draw(FAKE_FOR_DISCRIMINATOR, views=1)
        sigma, means = self._sigma(), Means()
        state.discriminator.requires_grad_(True)
        for index in self._shards():
            shard = fakes.shard(index, self.shards)
            with torch.no_grad():
                pictures = self._pictures(shard)[0]  # [b, 3, H, W]
            images, labels = self._real_shard(real, index)
            real_logits = state.discriminator(blur(images, sigma), labels)
            fake_logits = state.discriminator(blur(pictures, sigma), self._here(shard.labels[0]))
            loss = discriminator_loss(real_logits, fake_logits)
            (loss / self.shards).backward()
            means.add(
                discriminator_loss=loss,
                real_logit=real_logits.mean(),
                fake_logit=fake_logits.mean(),
            )
        return means.values() | self._apply(
            "discriminator", state.discriminator, state.discriminator_optimizer,
            config.discriminator_clip,
        )  # fmt: skip

    def r1_step(self, real: Batch) -> dict[str, Tensor]:
        """Penalise the discriminator's slope at real pictures, for all steps since the last time."""
        config, state, sigma, means = self.config, self.state, self._sigma(), Means()
        state.discriminator.requires_grad_(True)
        for index in self._shards():
            images, labels = self._real_shard(real, index)
            images.requires_grad_(True)
            penalty = r1_penalty(state.discriminator(blur(images, sigma), labels), images)
            (penalty * (config.r1_gamma * config.r1_interval / self.shards)).backward()
            means.add(r1_penalty=penalty)
        return means.values() | self._apply(
            "r1", state.discriminator, state.discriminator_optimizer, config.discriminator_clip
        )

    def generator_step(self) -> tuple[dict[str, Tensor], Tensor]:
        """Make the generator's heads look real from several sides at once.

        Returns:
            What to log, and the mean w of the batch. [W]
        """
        config, state = self.config, self.state
        fakes = self._draw(FAKE_FOR_GENERATOR, views=config.views)
        sigma, means = self._sigma(), Means()
        w_mean = torch.zeros_like(state.generator.w_avg)
        state.discriminator.requires_grad_(False)
        for index in self._shards():
            shard = fakes.shard(index, self.shards)
            w = state.generator.map(self._here(shard.z))
            head = state.generator.synthesize_with_anchors(w)
            pictures = self._render(head.gaussians, shard)  # [V, b, 3, H, W]
            # Each view is a batch of its own in which each head is once, as in real batches.
            losses = [
                generator_loss(state.discriminator(blur(view, sigma), self._here(labels)))
                for view, labels in zip(pictures, shard.labels, strict=True)
            ]
            adversarial = torch.stack(losses).mean()
            neighbour = neighbour_loss(head.anchors, config.neighbours)
            centre = centre_loss(head.anchors)
            loss = adversarial + config.neighbour_weight * neighbour + config.centre_weight * centre
            (loss / self.shards).backward()
            means.add(generator_loss=adversarial, neighbour_loss=neighbour, centre_loss=centre)
            w_mean += w.detach().mean(dim=(0, 1)) / self.shards
        self.processes.sum_([w_mean])
        logged = means.values() | self._apply(
            "generator", state.generator, state.generator_optimizer, config.generator_clip
        )
        return logged, w_mean

    @property
    def shards(self) -> int:
        """Into how many parts a batch is divided: as the settings say, and one a process at least."""
        return max(self.config.shards, self.processes.count)

    # ── parts of a step ─────────────────────────────────────────────────────────────────────────

    def _shards(self) -> range:
        """Name the shards of this process."""
        return range(self.processes.rank, self.shards, self.processes.count)

    def _sigma(self) -> float:
        config = self.config
        return blur_sigma(self.state.images, config.blur_sigma, config.blur_kimg * 1000)

    def _here(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.processes.device)

    def _real_shard(self, real: Batch, index: int) -> tuple[Tensor, Tensor]:
        """Put real heads of one shard before their colours. [b, 3, H, W] in [-1, 1], [b, 25]"""
        shard = Batch(*(self._here(part[index :: self.shards]) for part in real))
        draw = random_generator(self.config.seed, self.state.images, REAL)
        colours = draw_backgrounds(self.config, len(real.images), draw)
        shard = shard.over(self._here(colours[index :: self.shards]))
        images_signed = 2 * shard.images - 1
        if self.config.channels_last:
            images_signed = images_signed.contiguous(memory_format=torch.channels_last)
        return images_signed, shard.labels

    def _draw(self, stream: int, views: int) -> Fakes:
        """Draw heads, the dataset's cameras, and colours, for the whole batch."""
        config = self.config
        draw = random_generator(config.seed, self.state.images, stream)
        z = torch.randn(config.batch, self.state.generator.z_dim, generator=draw)
        entries = torch.randint(self.data.count, (config.batch,), generator=draw).tolist()
        colours = draw_backgrounds(config, views * config.batch, draw)
        return Fakes(
            z=z,
            labels=rolled(self.data.labels_at(entries), views),
            backgrounds=colours.unflatten(0, (views, config.batch)),
        )

    def _pictures(self, shard: Fakes) -> Tensor:
        generator = self.state.generator
        return self._render(generator.synthesize(generator.map(self._here(shard.z))), shard)

    def _render(self, heads: Gaussians, shard: Fakes) -> Tensor:
        """Draw each head from each of its cameras. [V, b, 3, H, W] in [-1, 1] and above"""
        side = self.config.resolution
        camera = Camera.from_label(shard.labels)
        rendered = rasterize(heads, camera, (side, side), background=shard.backgrounds)
        return 2 * self._here(rendered.color) - 1

    def _apply(
        self, name: str, network: nn.Module, optimizer: torch.optim.Adam, clip: float
    ) -> dict[str, Tensor]:
        """Add up the gradients of all processes, mend and clip them, and take an optimiser step."""
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        self.processes.sum_(gradients)
        broken = torch.stack([(~g.isfinite()).sum() for g in gradients]).sum()
        for gradient in gradients:
            torch.nan_to_num(gradient, nan=0.0, posinf=1e5, neginf=-1e5, out=gradient)
        norm = torch.nn.utils.get_total_norm(gradients)
        if clip > 0:
            torch.nn.utils.clip_grads_with_norm_(network.parameters(), clip, norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return {f"{name}_gradient": norm, f"{name}_broken": broken.float()}


def random_generator(seed: int, images: int, stream: int) -> torch.Generator:
    """Make the random numbers of one batch: a function of the seed and the images seen."""
    (state,) = np.random.SeedSequence([seed, images, stream]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state) >> 1)


def draw_backgrounds(config: TrainingConfig, count: int, draw: torch.Generator) -> Tensor:
    """Draw a colour for each picture, or repeat the one of the settings. [count, 3]"""
    if config.random_background:
        return torch.rand(count, 3, generator=draw)
    return torch.tensor(config.background).expand(count, 3)


def rolled(labels: Tensor, views: int) -> Tensor:
    """Give head i the cameras i, i + 1, i + 2, …: so each view is a batch with each head once.

    Args:
        labels: A camera for each head. [B, 25]
        views: V, at most B, so that no head sees the same camera twice.

    Returns:
        [V, B, 25]
    """
    assert views <= len(labels), (views, labels.shape)
    return torch.stack([labels.roll(-view, dims=0) for view in range(views)])


class Means:
    """Means of what is logged, over the shards of a batch or the steps of an interval."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, **values: Tensor) -> None:
        """Add one value to each mean named."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0) + value.detach().double()
            self._counts[name] = self._counts.get(name, 0) + 1

    def values(self) -> dict[str, Tensor]:
        """Return the means."""
        return {name: total / self._counts[name] for name, total in self._sums.items()}


def speed_up(config: TrainingConfig, state: TrainingState) -> None:
    """Let the networks compute as the settings say; their weights stay in float32."""
    if config.bfloat16:
        run_transformer_in_bfloat16(state.generator)
    if config.channels_last:
        state.discriminator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if config.compile:
        # Not the discriminator: R1 needs the slope of a slope, which compiled networks lack.
        state.generator.point_gen.compile()


def run_transformer_in_bfloat16(generator: CgsGenerator) -> None:
    """Run the blocks, which are most of the work, in bfloat16; levels and heads in float32."""
    transformer = generator.point_gen.transformer
    exact = transformer.forward

    def in_bfloat16(x: Tensor, w: Tensor) -> list[Tensor]:
        with torch.autocast(x.device.type, torch.bfloat16):
            return [level.float() for level in exact(x, w)]

    transformer.forward = in_bfloat16  # type: ignore[method-assign]
