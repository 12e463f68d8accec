"""Pivotal tuning (Roich et al. 2021): w stays, and a copy of the generator learns to make the targets of it.

What it learns is returned as a delta. Locality holds other heads, and other views of this one, where
they were, so that the copy remains a generator of heads and not of one picture.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from inversion.losses import Comparison, Differences, Perception
from inversion.projector import choose_views, ran_away, refuse_broken, require
from inversion.settings import TuningSettings, learning_rate_at
from inversion.steps import InversionStep, LossValues, Reins, Tuned
from inversion.target import Target
from inversion.views import as_shown, draw_views
from models.delta import delta_between, sharing_twin, with_delta
from models.differentiable_generator import DifferentiableGenerator
from models.generator import CgsGenerator, w_per_block
from models.latents import random_z
from models.points import CHANNELS
from renderer.camera import Camera, OrbitRig
from renderer.gaussians import Gaussians

TuningSteps = Generator[InversionStep, None, Tuned]

_NO_LOSSES = LossValues(math.nan, math.nan, math.nan)
_BETAS = (0.9, 0.99)
_OTHERS = 8  # heads that are held where they were
_EVERY = 4  # steps between two looks at one of them
_YAW, _PITCH = math.radians(90), math.radians(25)  # of the cameras from which is looked


def tune(  # noqa: PLR0913 - the last three are only names and reins
    targets: Sequence[Target],
    generator: CgsGenerator,
    inversion_w: Tensor,
    cameras: Sequence[Camera],
    settings: TuningSettings,
    perception: Perception,
    reins: Reins | None = None,
    weights: str = "",
    name: str = "",
) -> TuningSteps:
    """Change a copy of a generator until it makes the targets, yielding where it stands.

    Args:
        targets: Views of one person.
        generator: As loaded; it is not changed.
        inversion_w: Of the head, before truncation (ψ = 1). [1 or blocks, W]
        cameras: Of the targets, as latent inversion corrected them.
        settings: How.
        perception: What differences are measured by.
        reins: To stop at the best so far, from outside.
        weights: The hash of the generator's weights; computed if empty.
        name: Of the delta, for the eye.

    Raises:
        InversionError: There is nothing to do, or the tuning ran away.
    """
    require(targets, settings.resolution, settings.steps)
    assert len(cameras) == len(targets), (len(cameras), len(targets))
    device = generator.w_avg.device
    comparison = Comparison(targets, perception, settings.resolution, device)
    pivot = inversion_w.detach().to(device).float()
    work = _Tuning(generator, pivot, cameras, comparison, settings)
    yield work.report(0, _NO_LOSSES, [], None)
    reins = reins or Reins()
    for number in range(settings.steps):
        report = work.step(number, number / max(1, settings.steps - 1))
        yield report
        if reins.finish or report.losses.perceptual < settings.stop_below:
            break
    return work.result(number + 1, weights, name)


class _Tuning:
    """What a step changes: the copy's parameters, the optimiser, and the best so far."""

    def __init__(
        self,
        generator: CgsGenerator,
        pivot: Tensor,
        cameras: Sequence[Camera],
        comparison: Comparison,
        settings: TuningSettings,
    ) -> None:
        """Copy what may change, and share the rest."""
        self.base, self.pivot = sharing_twin(generator), pivot
        self.comparison, self.settings = comparison, settings
        chosen = tunable(generator, settings.last_levels)
        copies = {name: value for name, value in generator.state_dict().items() if name in chosen}
        copies = {name: value.clone() for name, value in copies.items()}
        self.copy = sharing_twin(generator, copies)
        self.parameters = {n: p for n, p in self.copy.named_parameters() if n in chosen}
        for parameter in self.parameters.values():
            parameter.requires_grad_(True)
        self.fast = DifferentiableGenerator(self.copy)
        groups: dict[float, list[Tensor]] = {}
        for name, parameter in self.parameters.items():
            groups.setdefault(_haste(name), []).append(parameter)
        self.adam = torch.optim.Adam(
            [{"params": some, "haste": haste} for haste, some in groups.items()],
            settings.learning_rate,
            _BETAS,
            fused=True,
        )
        poses = torch.stack([camera.cam_to_world for camera in cameras])
        focals = torch.stack([camera.focal for camera in cameras])
        self.cameras = Camera(poses, focals).to(pivot.device, torch.float32)  # [V]
        self.random = np.random.RandomState([settings.seed, 2])
        with torch.no_grad():
            self.before = self.base.synthesize(pivot[None])[0]
        self.others = self._other_ws()
        self._others_before: dict[int, Gaussians] = {}
        # The newest loss of each view, by the last weights, which alone can be compared.
        self.newest = torch.full((len(cameras),), math.inf)
        self.best, self._least = 0, math.inf
        self._kept = {name: value.detach().clone() for name, value in self.parameters.items()}

    def step(self, number: int, progress: float) -> InversionStep:
        """Compare, report what was compared, and improve it."""
        settings = self.settings
        views = choose_views(len(self.newest), settings.batch_size, self.random)
        with torch.enable_grad():
            holds = settings.locality > 0
            other = number // _EVERY % _OTHERS if holds and number % _EVERY == 0 else None
            heads = self._synthesize(other)
            pictures = self._draw(heads[0], Camera(*self._chosen(views)))
            found = self.comparison(pictures, views)
            weights = settings.weights.towards(settings.last_weights, progress)
            values = found.values(weights)
            if not math.isfinite(values.total):
                raise ran_away(settings.learning_rate)
            loss = found.total(weights)
            if holds:
                moved = self._apart(heads[0], self.before)
                if other is not None:
                    moved = moved + self._apart(heads[1], self._other_before(other))
                loss = loss + settings.locality * moved
            self.adam.zero_grad(set_to_none=True)
            loss.backward()
        refuse_broken(self.adam, settings.learning_rate)
        self._remember(number, found, views)
        report = self.report(number + 1, values, views, pictures)
        rate = learning_rate_at(progress, settings.learning_rate, settings.last_learning_rate)
        for group in self.adam.param_groups:
            group["lr"] = rate * group["haste"]
        self.adam.step()
        return report

    def report(
        self, done: int, values: LossValues, views: list[int], pictures: Tensor | None
    ) -> InversionStep:
        """Say where it stands."""
        shown: list[np.ndarray | None] = [None] * len(self.newest)
        if pictures is not None:
            for view, picture in zip(views, pictures, strict=True):
                shown[view] = as_shown(picture)
        return InversionStep(
            done=done,
            total=self.settings.steps,
            message="Tuning the generator",
            losses=values,
            w=self.pivot,
            cameras=tuple(self.cameras[view] for view in range(len(self.newest))),
            pictures=tuple(shown),
            best=self.best,
            network=self.copy,
        )

    @torch.no_grad()
    def result(self, steps: int, weights: str, name: str) -> Tuned:
        """The best step's delta, and what it does to the targets once it was stored."""
        if math.isfinite(
            self._least
        ):  # else some view was never compared: none is known to be better
            for key, value in self._kept.items():
                self.parameters[key].copy_(value)
        try:
            delta = delta_between(self.base, self.copy, weights, name)
        except ValueError as error:
            raise ran_away(self.settings.learning_rate) from error
        stored = with_delta(self.base, delta, weights=delta.weights)
        pictures = [
            self._draw(head, self.cameras)
            for head in (self.before, stored.synthesize(self.pivot[None])[0])
        ]
        before, after = (self.comparison.quality(each) for each in pictures)
        return Tuned(delta, before, after, steps, self.best)

    def _draw(self, head: Gaussians, cameras: Camera) -> Tensor:
        return draw_views(head, cameras, self.comparison.size, self.comparison.background)

    def _chosen(self, views: list[int]) -> tuple[Tensor, Tensor]:
        return self.cameras.cam_to_world[views], self.cameras.focal[views]

    def _other_ws(self) -> Tensor:
        """Random heads of the generator. [_OTHERS, 1, W]"""
        z = random_z(self.settings.seed, _OTHERS, self.base.z_dim).to(self.pivot.device)
        with torch.no_grad():
            return self.base.map(z)

    def _synthesize(self, other: int | None) -> Gaussians:
        """The head as it is now, and one of the others. [1 or 2, N, …]"""
        w = self.pivot[None]
        if other is not None:
            both = (w, self.others[other][None])
            w = torch.cat([w_per_block(each, self.base.config) for each in both])
        return self.fast.synthesize(w)

    def _other_before(self, other: int) -> Gaussians:
        """One of the others as the generator made it at first; each is made once."""
        if other not in self._others_before:
            with torch.no_grad():
                self._others_before[other] = self.base.synthesize(self.others[other][None])[0]
        return self._others_before[other]

    def _apart(self, head: Gaussians, before: Gaussians) -> Tensor:
        """How two heads differ from a random side: colours at two sizes. []"""
        yaw, pitch = (self.random.random_sample(2) * 2 - 1) * (_YAW, _PITCH)
        camera = OrbitRig(yaw=float(yaw), pitch=float(pitch)).camera().to(self.pivot.device)
        one = Camera(camera.cam_to_world[None], camera.focal[None])
        size, background = self.comparison.size // 2, self.comparison.background
        with torch.no_grad():
            wanted = draw_views(before, one, size, background)
        error = draw_views(head, one, size, background) - wanted
        return error.abs().mean() + F.avg_pool2d(error, 4).abs().mean()

    def _remember(self, number: int, found: Differences, views: list[int]) -> None:
        """Keep the parameters that were compared if they are the best so far."""
        each = found.each(self.settings.last_weights).detach().cpu()
        self.newest[views] = each
        mean = float(self.newest.mean())
        if mean < self._least:
            self._least, self.best = mean, number
            for key, value in self.parameters.items():
                self._kept[key].copy_(value.detach())


def tunable(generator: CgsGenerator, last_levels: int = 0) -> set[str]:
    """Name the parameters that tuning may change.

    Args:
        generator: Any.
        last_levels: So many levels, counted from the finest: their blocks, upsampling and heads.
            0, or as many as there are, for everything that turns w into splats.
    """
    names = {name for name, _ in generator.point_gen.named_parameters(prefix="point_gen")}
    levels = generator.config.levels
    if not 0 < last_levels < levels:
        return names
    kept = set()
    for level in range(levels - last_levels, levels):
        starts = [
            f"point_gen.transformer.resblocks.{level - 1}.",
            f"point_gen.upsample_layers.{level}.",
            *(
                f"point_gen.{heads}.{attribute}.{level}."
                for heads in ("gaussians", "anchors")
                for attribute in CHANNELS
            ),
        ]
        kept |= {name for name in names if name.startswith(tuple(starts))}
    return kept


def _haste(name: str) -> float:
    """How much faster than the settings say a parameter learns.

    The blocks bear a high rate; what comes after them, at the same rate, at first spoils the head more
    than it mends. Measured after 60 steps: 29.8 dB so, 29.4 to 29.6 with one rate for all, at its best.
    """
    return 1.0 if ".transformer." in name else 0.3


def memory_estimate(generator: CgsGenerator, settings: TuningSettings) -> int:
    """Estimate what tuning adds to the memory in use, in bytes.

    The parameters that change count six times (copy, best, gradient, two averages of Adam, delta); a
    backward pass through the generator keeps some floats for each splat, point and channel. Measured on
    a CPU: 333 MB for the demo generator, estimated 259; 2317 for a published one of 256 px, 2414.
    Networks for LPIPS and identity are not counted.
    """
    chosen = tunable(generator, settings.last_levels)
    parameters = sum(p.numel() for n, p in generator.named_parameters() if n in chosen)
    config = generator.config
    attention = config.heads * config.points**2
    block = config.points * (14 * config.width + 3 * config.hidden) + 2 * attention
    splats = config.splats * 150 + sum(
        4 * size * features
        for size, features in zip(config.level_sizes, config.features, strict=True)
    )
    pictures = 40 * 3 * settings.resolution**2
    return 4 * (6 * parameters + 2 * (config.blocks * block + splats) + pictures)
