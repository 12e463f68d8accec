"""Latent inversion: which w of a generator makes a head that looks like the targets.

The generator stays as it is; w, and if asked the cameras, are found by gradient descent. w moves in
coordinates in which random heads are standard normal, so one learning rate suits all its directions.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence

import numpy as np
import torch
from torch import Tensor

from inversion.errors import InversionError
from inversion.latent import WhitenedSpace
from inversion.losses import Comparison, Differences, Perception
from inversion.settings import NOISY, ProjectorSettings, learning_rate_at
from inversion.start import SMALL, best_of_random
from inversion.steps import Inversion, InversionStep, LossValues, Reins
from inversion.target import Target
from inversion.views import CameraCorrections, as_shown, draw_views
from models.delta import sharing_twin
from models.differentiable_generator import DifferentiableGenerator
from models.generator import CgsGenerator
from renderer.camera import Camera

InversionSteps = Generator[InversionStep, None, Inversion]

_BETAS = (0.9, 0.99)
_NO_LOSSES = LossValues(math.nan, math.nan, math.nan)


def project(
    targets: Sequence[Target],
    generator: CgsGenerator,
    settings: ProjectorSettings,
    perception: Perception,
    reins: Reins | None = None,
    start: Tensor | None = None,
) -> InversionSteps:
    """Look for the w of the person that all targets show, yielding where it stands; close it to cancel.

    Args:
        targets: Views of one person.
        generator: As loaded; it is not changed.
        settings: How.
        perception: What differences are measured by.
        reins: To stop at the best so far, from outside.
        start: Where to begin instead of what the settings say. [1 or blocks, W]

    Raises:
        InversionError: There is nothing to look for, or the search ran away.
    """
    require(targets, settings.resolution, settings.steps)
    search = yield from _prepared(targets, generator, settings, perception, start)
    reins = reins or Reins()
    for number in range(settings.steps):
        progress = number / max(1, settings.steps - 1)
        report = search.step(number, progress)
        yield report
        if reins.finish or 0 < settings.patience <= search.waited(number):
            break
    return search.result(number + 1)


def require(targets: Sequence[Target], resolution: int, steps: int) -> None:
    """Raise InversionError, a sentence, if there is nothing to do."""
    if not targets:
        raise InversionError("There is no photo to work on; add one, prepare it, and try again.")
    if steps < 1:
        raise InversionError("Set at least one step.")
    if not 16 <= resolution <= 2048:
        raise InversionError(f"Pictures of {resolution} px cannot be compared; use 16 to 2048.")


def ran_away(rate: float) -> InversionError:
    """The error when a loss is no number any more."""
    return InversionError(
        f"The search ran away: the loss is no number any more. Set a learning rate below {rate:g}."
    )


def refuse_broken(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Raise InversionError if a gradient is no number: the next step would spoil all that there is."""
    slopes = [p.grad for group in optimizer.param_groups for p in group["params"]]
    norm = torch.nn.utils.get_total_norm([slope for slope in slopes if slope is not None])
    if not math.isfinite(float(norm)):
        raise ran_away(rate)


class _Search:
    """What a step changes: coordinates of w, cameras, the optimiser, and the best so far."""

    def __init__(
        self,
        generator: CgsGenerator,
        space: WhitenedSpace,
        comparison: Comparison,
        settings: ProjectorSettings,
        start: Tensor,
    ) -> None:
        """Begin at a w. [1 or blocks, W]"""
        self.settings, self.comparison, self.space = settings, comparison, space
        self.generator = DifferentiableGenerator(sharing_twin(generator))
        if settings.per_block:
            start = start.expand(generator.blocks, -1)
        self.coordinates = space.coordinates(start).requires_grad_(True)  # [1 or blocks, K]
        self._beside = start - space.w(self.coordinates.detach())  # what no axis reaches
        cameras = [target.camera for target in comparison.targets]
        self.corrections = CameraCorrections(cameras, start.device)
        groups = [{"params": [self.coordinates]}]
        if settings.refine_cameras:
            groups.append({"params": [self.corrections.values]})
        else:
            self.corrections.values.requires_grad_(False)
        self.adam = torch.optim.Adam(groups, settings.learning_rate, _BETAS)
        self.random = np.random.RandomState([settings.seed, 1])
        # The newest loss of each view, by the last weights, which alone can be compared.
        self.newest = torch.full((len(cameras),), math.inf)
        self.best, self._least = 0, math.inf
        self._kept = self._state()

    def step(self, number: int, progress: float) -> InversionStep:
        """Compare, report what was compared, and improve it."""
        settings = self.settings
        noise = settings.noise * max(0.0, 1 - progress / NOISY)
        views = choose_views(len(self.newest), settings.batch_size, self.random)
        with torch.enable_grad():
            coordinates = self.coordinates
            if noise:
                drawn = torch.from_numpy(self.random.standard_normal(coordinates.shape))
                coordinates = coordinates + noise * drawn.to(coordinates)
            w = self._w(coordinates)
            pictures = self._draw(w, self.corrections.cameras(views=views))
            found = self.comparison(pictures, views)
            weights = settings.weights.towards(settings.last_weights, progress)
            values = found.values(weights)
            if not math.isfinite(values.total):
                raise ran_away(settings.learning_rate)
            loss = found.total(weights) + settings.prior * coordinates.square().mean()
            if settings.refine_cameras:
                usual = self.corrections.values.square().mean()
                loss = loss + settings.prior * usual
            self.adam.zero_grad(set_to_none=True)
            loss.backward()
        refuse_broken(self.adam, settings.learning_rate)
        if not noise:
            self._remember(number, found, views)
        report = self._report(number, values, w, pictures, views)
        for group in self.adam.param_groups:
            group["lr"] = learning_rate_at(
                progress, settings.learning_rate, settings.last_learning_rate
            )
        self.adam.step()
        return report

    @torch.no_grad()
    def result(self, steps: int) -> Inversion:
        """The best step's head, compared once more from all sides."""
        if math.isinf(self._least):  # all steps were disturbed, or some view was never compared
            self._kept, self.best = self._state(), steps - 1
        coordinates, values = self._kept
        w = self._w(coordinates)
        cameras = self.corrections.cameras(values)
        pictures = self._draw(w, cameras)
        return Inversion(
            w=w.clone(),
            cameras=self.corrections.detached(values),
            quality=self.comparison.quality(pictures),
            steps=steps,
            best=self.best,
        )

    def waited(self, number: int) -> int:
        """How many steps ago the best one was; 0 while none can be told from another."""
        return 0 if math.isinf(self._least) else number - self.best

    def _state(self) -> tuple[Tensor, Tensor]:
        return self.coordinates.detach().clone(), self.corrections.values.detach().clone()

    def _w(self, coordinates: Tensor) -> Tensor:
        return self.space.w(coordinates) + self._beside

    def _draw(self, w: Tensor, cameras: Camera) -> Tensor:
        head = self.generator.synthesize(w[None])[0]
        return draw_views(head, cameras, self.comparison.size, self.comparison.background)

    def _remember(self, number: int, found: Differences, views: list[int]) -> None:
        """Keep what was compared if it is the best so far."""
        each = found.each(self.settings.last_weights).detach().cpu()
        self.newest[views] = each
        mean = float(self.newest.mean())
        if mean < self._least:
            self._least, self.best, self._kept = mean, number, self._state()

    def _report(
        self, number: int, values: LossValues, w: Tensor, pictures: Tensor, views: list[int]
    ) -> InversionStep:
        shown: list[np.ndarray | None] = [None] * len(self.newest)
        for view, picture in zip(views, pictures, strict=True):
            shown[view] = as_shown(picture)
        return InversionStep(
            done=number + 1,
            total=self.settings.steps,
            message="Looking for the head",
            losses=values,
            w=w.detach(),
            cameras=self.corrections.detached(),
            pictures=tuple(shown),
            best=self.best,
        )


def choose_views(count: int, batch: int, random: np.random.RandomState) -> list[int]:
    """Which views a step compares: all, or so many by chance."""
    if not 0 < batch < count:
        return list(range(count))
    return sorted(random.permutation(count)[:batch].tolist())


def _prepared(
    targets: Sequence[Target],
    generator: CgsGenerator,
    settings: ProjectorSettings,
    perception: Perception,
    start: Tensor | None,
) -> Generator[InversionStep, None, _Search]:
    """Find the coordinates of W and where to begin."""
    device = generator.w_avg.device
    cameras = tuple(target.camera for target in targets)

    def report(message: str, w: Tensor) -> InversionStep:
        pictures: tuple[None, ...] = (None,) * len(cameras)
        return InversionStep(
            0, settings.steps, message, _NO_LOSSES, w.detach(), cameras, pictures, 0
        )

    average = generator.w_avg[None]
    yield report("Looking at the targets", average)
    comparison = Comparison(targets, perception, settings.resolution, device)
    fast = generator.prepared()
    finding = WhitenedSpace.of(fast)
    while True:
        try:
            next(finding)
        except StopIteration as end:
            space: WhitenedSpace = end.value
            break
        yield report("Measuring the space of heads", average)
    if start is None:
        start = average
        if settings.start != "average":
            small = Comparison(targets, perception, SMALL, device)
            for start in best_of_random(fast, space, small, settings):
                yield report("Trying random heads", start)
    assert start.shape[-1] == generator.w_dim, start.shape
    return _Search(generator, space, comparison, settings, start.detach().to(device).float())
