"""The Mix tab of the Latent panel: another head takes over in some of the blocks."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
from imgui_bundle import imgui

from models.latents import LatentSettings, Mix, Values
from splatviz_app.latent_jobs import NewMix, take_mix
from splatviz_app.scenes import OpenedGenerator
from splatviz_app.session import Session
from widgets import fields
from widgets.axis_rows import block_range
from widgets.fields import Number
from widgets.sliders import Sliders

STRENGTH = Number(
    "Strength",
    "How far the other head takes over in its blocks: 0 not at all, 1 entirely.",
    default=1.0,
    low=0.0,
    high=1.0,
)
_HELP = {
    "Take this head": "Keep the head that is shown now as the other one; then walk on to mix with it.",
    "Random head": "Mix with a head drawn at random.",
}


class MixTab:
    """Chooses the other head, its blocks and its strength."""

    title = "Mix"

    def __init__(self, sliders: Sliders) -> None:
        """Begin without another head."""
        self._sliders = sliders

    def draw(self, session: Session) -> None:
        """Draw the buttons, and the blocks of the mix there is."""
        opened = session.opened
        assert isinstance(opened, OpenedGenerator)
        mix = session.latent.mix
        pressed = fields.buttons(("Take this head", "Random head"), _HELP)
        if pressed == "Take this head":
            self._take(session, replace(session.latent, mix=None), "A head taken before")
        elif pressed == "Random head":
            seed = random.randrange(100_000)
            other = LatentSettings(seed=seed, x=0.1, y=0.1, psi=session.latent.psi)
            self._take(session, other, f"Seed {seed}")
        if mix is None:
            fields.gap()
            fields.muted(
                "Another head can take over in some blocks of the generator: early ones for its "
                "shape, late ones for its details and colours."
            )
            return
        fields.gap()
        fields.fact("Other head", mix.name or "Unnamed")
        blocks = opened.loaded.generator.blocks
        fields.muted("It takes over in blocks, from coarse to fine:")
        width = imgui.get_content_region_avail().x
        first, last = block_range("Blocks of the mix", mix.first, mix.last, blocks, width)
        strength = fields.slider(STRENGTH, mix.strength)
        fields.gap(0.2)
        if fields.button("Remove the other head", "Show the first head alone."):
            session.latent = replace(session.latent, mix=None).bound_to(session.palette.weights)
        else:
            changed = replace(mix, first=first, last=last, strength=strength)
            if changed != mix:
                session.latent = replace(session.latent, mix=changed)

    def _take(self, session: Session, other: LatentSettings, name: str) -> None:
        request = session.request()
        if request is None:
            return
        # What it takes over is kept when the other head is exchanged.
        like = session.latent.mix or Mix(Values.of(np.zeros(1)))
        like = replace(like, name=name)

        def take(found: NewMix) -> None:
            if found.weights == session.palette.weights:
                session.latent = replace(session.latent, mix=found.mix).bound_to(found.weights)

        weights = session.palette.weights
        work = take_mix(session.pipeline, replace(request, latent=other), weights, like)
        self._sliders.start(session, "Take the other head", work, take)
