"""Everything that decides how a training goes: one frozen value, and a table of presets.

The same settings, data and start give the same run; what only says where and how often to look is
here too, so that one file in the run's folder tells all.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from models.discriminator import DiscriminatorConfig
from models.generator import CgsConfig
from renderer.errors import LoadError, SplatheadError

PresetName = Literal["256", "512", "1024", "2048", "demo", "tiny"]
MetricName = Literal["fid", "fid3d", "kid", "stand-in"]


class TrainingError(SplatheadError):
    """Training cannot begin or go on; the sentence says why and what to do."""


@dataclass(frozen=True)
class TrainingConfig:
    """The settings of a training; defaults are the paper's (Barthel et al. 2025) at 512 px."""

    # Side of the training pictures in px: a power of two from 16 to 2048.
    resolution: int = 512
    # Points of the generator's backbone.
    points: int = 512
    # Channels of the generator's backbone, a multiple of 64 or below 64.
    width: int = 512
    # Transformer blocks of the generator before the first level.
    first_blocks: int = 6
    # Channels of a discriminator block times its resolution.
    discriminator_base: int = 32768
    # Most channels of a discriminator block.
    discriminator_max: int = 512

    # When training is done, in thousands of images shown to the discriminator.
    kimg: float = 15_000.0
    # Images of a step, over all processes.
    batch: int = 32
    # Images that a device takes at once; a batch is worked off in parts of this size.
    microbatch: int = 8
    # Cameras that see each made head in a generator step; each head is once in a batch.
    views: int = 4
    # Decides all random numbers of the run.
    seed: int = 0

    # Learning rate of the generator (Adam, eps 1e-8).
    generator_lr: float = 0.0025
    # Learning rate of the discriminator.
    discriminator_lr: float = 0.002
    # Adam's decay of the first and second moments.
    betas: tuple[float, float] = (0.0, 0.99)
    # Gradients of the generator longer than this are shortened to it.
    generator_clip: float = 20.0
    # The same for gradients of the discriminator.
    discriminator_clip: float = 5.0

    # Weight of the R1 penalty; 0 leaves it out.
    r1_gamma: float = 1.0
    # Steps between two R1 penalties.
    r1_interval: int = 16
    # Weight of the mean squared distance of root anchors to their neighbours.
    neighbour_weight: float = 20.0
    # How many neighbours each root anchor is held to.
    neighbours: int = 64
    # Weight of the mean square of the root anchors' centroid.
    centre_weight: float = 1.0
    # Blur of real and made pictures at the start, in px.
    blur_sigma: float = 10.0
    # When the blur has faded, in thousands of images.
    blur_kimg: float = 200.0

    # After how many thousand images a weight counts half in the average.
    ema_kimg: float = 10.0
    # How the average's half-life grows at the start, relative to the images seen; 0 if not.
    ema_ramp_up: float = 0.05
    # Decay of the average of w.
    w_avg_decay: float = 0.998

    # Show every picture mirrored as well, its camera with it.
    mirror: bool = True
    # Put real and made heads before a random colour each; needs masks.
    random_background: bool = True
    # The colour behind heads without random backgrounds, RGB in [0, 1].
    background: tuple[float, float, float] = (1.0, 1.0, 1.0)

    # Compute transformer blocks and the discriminator's top in bfloat16.
    bfloat16: bool = False
    # Keep the discriminator's features with channels last.
    channels_last: bool = False
    # Compile the generator with torch.compile.
    compile: bool = False

    # Thousands of images between status lines.
    status_kimg: float = 4.0
    # Thousands of images between sample grids and exports of the averaged generator.
    grid_kimg: float = 200.0
    # Thousands of images between checkpoints.
    checkpoint_kimg: float = 200.0
    # Thousands of images between evaluations.
    metric_kimg: float = 200.0
    # What to measure; the first decides which checkpoint is the best. All but the stand-in need
    # Inception's weights.
    metrics: tuple[MetricName, ...] = ("fid",)
    # Made pictures of an evaluation.
    metric_images: int = 20_000
    # Real pictures of an evaluation, at most.
    metric_real: int = 50_000
    # Checkpoints to keep besides the best.
    keep: int = 2

    def __post_init__(self) -> None:
        problem = self._problem()
        if problem:
            raise TrainingError(f"These settings do not fit together: {problem}.")

    def _problem(self) -> str | None:
        """Find what cannot be trained, as the end of a sentence."""
        numbers = [getattr(self, entry.name) for entry in dataclasses.fields(self)]
        flat = [x for value in numbers for x in (value if isinstance(value, tuple) else (value,))]
        if any(isinstance(x, float) and not (math.isfinite(x) and x >= 0) for x in flat):
            return "a number is negative or not finite"
        for name in (
            "batch",
            "microbatch",
            "views",
            "r1_interval",
            "keep",
            "metric_images",
            "metric_real",
        ):
            if getattr(self, name) < 1:
                return f"{name} is {getattr(self, name)}, but at least 1 is needed"
        if not self.metrics:
            return "no metric is named, so that no checkpoint could be the best"
        for name in ("kimg", "status_kimg", "grid_kimg", "checkpoint_kimg", "metric_kimg"):
            if getattr(self, name) <= 0:
                return f"{name} is 0, but it must be above"
        if self.batch % min(self.microbatch, self.batch):
            return f"a batch of {self.batch} is not worked off in parts of {self.microbatch}"
        if self.views > self.batch:
            return f"{self.views} views need a batch of as many heads, not of {self.batch}"
        try:
            self.generator_config()
            self.discriminator_config()
        except ValueError as error:
            return str(error)
        return None

    @property
    def shape(self) -> dict[str, int]:
        """The settings that the networks of a run are built from; a run that goes on keeps them."""
        names = (
            "resolution", "points", "width", "first_blocks",
            "discriminator_base", "discriminator_max",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}

    @property
    def shards(self) -> int:
        """Into how many parts a batch is divided."""
        return self.batch // min(self.microbatch, self.batch)

    def can_be_shared(self, processes: int) -> bool:
        """Whether so many processes can share each batch evenly."""
        parts = max(self.shards, processes)
        return self.batch % parts == 0 and parts % processes == 0

    def generator_config(self) -> CgsConfig:
        """Return the shape of a new generator."""
        made = CgsConfig.for_resolution(self.resolution, points=self.points, width=self.width)
        return dataclasses.replace(made, first_blocks=self.first_blocks)

    def discriminator_config(self) -> DiscriminatorConfig:
        """Return the shape of a new discriminator."""
        return DiscriminatorConfig(self.resolution, self.discriminator_base, self.discriminator_max)


def images_of(kimg: float) -> int:
    """Turn thousands of images into images, at least one."""
    return max(1, round(kimg * 1000))


# Each row is what differs from the paper's settings at 512 px.
PRESETS: dict[PresetName, TrainingConfig] = {
    "256": TrainingConfig(resolution=256),
    "512": TrainingConfig(),  # the paper's; FID 4.53 on FFHQC
    "1024": TrainingConfig(resolution=1024),  # 5.25
    "2048": TrainingConfig(resolution=2048, microbatch=4),  # 7.8
    # 54,528 splats and 8.9 M weights: small enough to travel with the program.
    "demo": TrainingConfig(
        resolution=256, points=256, width=256, first_blocks=3,
        discriminator_base=16384, discriminator_max=256,
        kimg=5000, batch=16, neighbours=32, metrics=("stand-in",), metric_images=2000, metric_real=2000,
        status_kimg=1, grid_kimg=25, checkpoint_kimg=50, metric_kimg=50,
    ),
    # 1,344 splats: learns something within minutes on two CPU cores.
    "tiny": TrainingConfig(
        resolution=64, points=64, width=64, first_blocks=2,
        discriminator_base=2048, discriminator_max=64,
        kimg=100, batch=8, neighbours=8, channels_last=True, ema_kimg=2, blur_sigma=3, blur_kimg=10,
        metrics=("stand-in",), metric_images=512, metric_real=512,
        status_kimg=0.2, grid_kimg=5, checkpoint_kimg=5, metric_kimg=5,
    ),
}  # fmt: skip


def write_json(config: TrainingConfig) -> dict[str, Any]:
    """Make an object of JSON."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def read_json(path: Path, values: object) -> TrainingConfig:
    """Rebuild settings from an object of JSON; what it does not name has its default.

    Raises:
        LoadError: A setting is unknown or of the wrong type.
    """
    if not isinstance(values, dict):
        raise LoadError(path, "holds no settings. Begin a new run.")
    fields = {entry.name: entry for entry in dataclasses.fields(TrainingConfig)}
    if unknown := sorted(set(values) - set(fields)):
        raise LoadError(path, f"has the unknown setting {unknown[0]}. Update Splathead.")
    known: dict[str, Any] = {}
    for name, value in values.items():
        default = fields[name].default
        if isinstance(default, tuple) and isinstance(value, list):
            value = tuple(value)
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if type(value) is not type(default) and not (isinstance(default, float) and is_number):
            raise LoadError(path, f"has {value!r} as the setting {name}. Begin a new run.")
        known[name] = value
    return TrainingConfig(**known)
