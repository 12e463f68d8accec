"""`Preview`: the head that a phase has arrived at, shown instead of the document's."""

from __future__ import annotations

from dataclasses import dataclass

from models.latents import LatentSettings
from splatviz_app.tuned import AnyTuning


@dataclass(frozen=True)
class Preview:
    """Which head is shown for a while; camera, view and edits stay the user's."""

    # Where it is.
    latent: LatentSettings
    # What its generator is tuned by.
    tuning: AnyTuning | None = None
