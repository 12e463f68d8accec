"""A phase, latent inversion or tuning, while it goes on: what it began from, and where it stands.

The engine's thread writes, the window's reads: values are replaced whole, and lists only grow.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from torch import Tensor

from inversion.photo import Photo
from inversion.steps import Inversion, InversionStep, LossValues, Quality, Reins
from models.latents import LatentSettings, Values
from renderer.camera import Camera
from splatviz_app.inversion.preview import Preview
from splatviz_app.pipeline import RenderRequest
from splatviz_app.preferences import PerceptionChoice
from splatviz_app.tuned import LiveNetworks, LiveTuning

Phase = Literal["latent", "tuning"]

_tokens = itertools.count(1)


@dataclass(frozen=True, eq=False)
class Start:
    """What a phase began from."""

    # The head that was shown.
    request: RenderRequest
    # The hash of its generator's weights.
    weights: str
    # Of the document.
    latent: LatentSettings
    # Those that it looks at.
    photos: tuple[Photo, ...]
    # The cameras of the photos, as far as they are known.
    cameras: tuple[Camera, ...]
    # What measures differences.
    perception: PerceptionChoice = "best"


@dataclass(frozen=True, eq=False)
class Report:
    """How near a phase came, view by view."""

    phase: Phase
    # Of the head it began with; empty for latent inversion, which begins with nobody's head.
    before: tuple[Quality, ...]
    after: tuple[Quality, ...]
    # Steps it took, and the one that was kept.
    steps: int
    best: int


@dataclass(eq=False)
class PhaseRun:
    """A phase that goes on, or the last of its kind."""

    phase: Phase
    start: Start
    reins: Reins = field(default_factory=Reins)
    token: int = field(default_factory=lambda: next(_tokens))
    # What measures differences, as a sentence; empty until it is loaded.
    measured_by: str = ""
    newest: InversionStep | None = None
    # Of each step.
    curve: list[LossValues] = field(default_factory=list)
    # What it compares with, and the newest picture of each view. [S, S, 4] uint8 each
    targets: tuple[np.ndarray, ...] = ()
    pictures: tuple[np.ndarray | None, ...] = ()
    # The pictures of the best step so far, and the cameras that they are seen by.
    best_pictures: tuple[np.ndarray | None, ...] = ()
    best_cameras: tuple[Camera, ...] = ()
    # The head as it is now.
    preview: Preview | None = None
    # The best step so far of latent inversion, should it fail later.
    rescue: Inversion | None = None
    _best: int = -1

    def follow(
        self, work: Generator[InversionStep, None, object], live: LiveNetworks
    ) -> Generator[InversionStep, None, object]:
        """Hand a phase's steps through, and write down where each stands; returns what it returns.

        Args:
            work: `project` or `tune`.
            live: Where the network in the making is shown.
        """
        while True:
            try:
                step = next(work)
            except StopIteration as end:
                return end.value
            self._take(step, live)
            yield step

    def _take(self, step: InversionStep, live: LiveNetworks) -> None:
        if math.isfinite(step.losses.total):  # it is not while the phase prepares itself
            self.curve.append(step.losses)
            if step.best != self._best:
                self._best = step.best
                self.rescue = Inversion(step.w.clone(), step.cameras, (), step.done, step.best)
        before = self.pictures or (None,) * len(step.pictures)
        self.pictures = tuple(
            with_alpha(new) if new is not None else old
            for new, old in zip(step.pictures, before, strict=True)
        )
        if step.best == step.done - 1:
            self.best_pictures, self.best_cameras = self.pictures, step.cameras
        if self.phase == "latent":
            if bool(step.w.isfinite().all()):
                self.preview = Preview(kept_at(step.w, self.start))
        elif step.network is not None:
            live.put(self.token, step.network)
            self.preview = Preview(self.start.latent, LiveTuning(self.token, step.done))
        # Without its network, which would be held after the phase has ended.
        self.newest = replace(step, network=None)


def kept_at(w: Tensor, start: Start) -> LatentSettings:
    """A w as a place in the latent space, with ψ 1; the place on the map stays. [1 or blocks, W]"""
    here = start.latent
    return LatentSettings(
        here.seed, here.x, here.y, psi=1.0, kept=Values.of(w), weights=start.weights
    )


def with_alpha(picture: np.ndarray) -> np.ndarray:
    """Make a picture opaque, as textures are. [H, W, 3] uint8 -> [H, W, 4], contiguous"""
    opaque = np.full((*picture.shape[:2], 1), 255, np.uint8)
    return np.ascontiguousarray(np.concatenate([picture, opaque], axis=2))
