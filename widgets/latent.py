"""The Latent panel: which head of a generator is shown. A tab for the pad, seed and ψ, others for sliders."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Protocol

from imgui_bundle import imgui

from models.latents import MAX_PSI, MIN_PSI, NODES, LatentSettings, LatentSpace
from splatviz_app.scenes import GanHead, OpenedGenerator
from splatviz_app.session import Session
from splatviz_app.walk import Walk
from splatviz_app.window import Dock
from widgets import fields
from widgets.components import ComponentsTab
from widgets.fields import Number
from widgets.learning import LearnTab
from widgets.mixing import MixTab
from widgets.named_directions import DirectionsTab
from widgets.pad import Pad
from widgets.sliders import Sliders

_PLAIN = LatentSettings()
_LAST_SEED = 2**31 - 1
_SMALLEST_PAD, _LARGEST_PAD = 11.0, 24.0  # em
_ROWS_BELOW = 6  # below the pad
_ROWS_OF_KEPT = 2  # more, while a head is kept

PSI = Number(
    "Truncation ψ",
    "How far a head may be from the average: 0 is the average head, 1 the model as trained, "
    "above 1 exaggerates, below 0 is the opposite.",
    default=_PLAIN.psi,
    low=MIN_PSI,
    high=MAX_PSI,
)
SEED = Number(
    "Seed",
    "Which heads lie on the pad: every seed is another plane of 10 x 10 heads.",
    default=_PLAIN.seed,
    low=0,
    high=_LAST_SEED,
)
_SPACES: dict[LatentSpace, str] = {"W": "W", "Z": "Z"}
_SPACE_HELP = (
    "What is blended between the dots of the pad. W: the heads as the network knows them, in even "
    "steps. Z: the random numbers behind them, which change a head faster. On the dots both are equal."
)
_RANDOM_HELP = {
    "Random seed": "Another plane of heads; the place on the pad is kept.",
    "Random place": "Another place on the pad; the seed is kept.",
    "Walk": "Walk over the pad without aim.",
    "Stop": "Stay here. Undo goes back to where the walk began.",
}
_IGNORES_CAMERA = "This model ignores the camera: CGS-GAN was trained without it."


PLACE = Number(
    "Place",
    "Where on the pad: x from -1 at its left to 1, y from -1 at its bottom to 1.",
    default=0.0,
    low=-1.0,
    high=1.0,
    format="%.3f",
    speed=0.0005,
)


class Tab(Protocol):
    """A part of the panel."""

    title: str

    def draw(self, session: Session) -> None:
        """Draw it; a generator is open."""


class LatentPanel:
    """Which head of a generator is shown, in tabs."""

    title = "Latent"
    dock: Dock = "left_low"

    def __init__(self) -> None:
        """Begin with the pad."""
        self._sliders = Sliders()
        self._directions = DirectionsTab(self._sliders)
        self._tabs: tuple[Tab, ...] = (
            PlaceTab(),
            self._directions,
            ComponentsTab(self._sliders),
            MixTab(self._sliders),
            LearnTab(self._sliders),
        )

    def visible(self, session: Session) -> bool:
        """Always: without a generator it says how to get one."""
        return True

    def poll(self, session: Session) -> None:
        """Follow up on dialogs and jobs; to be called every frame, also while the panel is hidden."""
        self._sliders.follow(session)
        self._directions.poll_dialog(session)

    def draw(self, session: Session) -> None:
        """Draw the tab that was chosen."""
        self.poll(session)
        opened = session.opened
        if not isinstance(opened, OpenedGenerator):
            self._draw_empty(session)
            return
        if session.latent.is_bound and session.latent.weights != opened.fingerprint:
            _draw_foreign(session)
            return
        # Quieter than the tabs of the panels themselves, whose colour they would have.
        imgui.push_style_color(imgui.Col_.tab, imgui.get_style_color_vec4(imgui.Col_.frame_bg))
        if imgui.begin_tab_bar("##tabs", imgui.TabBarFlags_.fitting_policy_shrink):
            for tab in self._tabs:
                if imgui.begin_tab_item(tab.title)[0]:
                    fields.gap(0.1)
                    tab.draw(session)
                    imgui.end_tab_item()
            imgui.end_tab_bar()
        imgui.pop_style_color()

    def _draw_empty(self, session: Session) -> None:
        if session.opening is not None:
            fields.empty("Opening…", "The latent space appears when the head is there.")
        elif session.scene is None:
            fields.empty(
                "No generator is open.",
                "Open one in the Head panel to walk its latent space.",
            )
        elif isinstance(session.scene, GanHead):
            fields.empty(
                "This generator could not be opened.",
                "The log says why. Open another, or redo what you have undone.",
            )
        else:
            fields.empty(
                "A .ply file holds one head.",
                "Open a generator to walk its latent space.",
            )


class PlaceTab:
    """Walks the latent plane of a generator."""

    title = "Place"

    def __init__(self) -> None:
        """Begin with an empty trail."""
        self._pad = Pad(NODES)
        self._plane: tuple[object, int] | None = None  # scene and seed the trail belongs to
        self._walk: Walk | None = None

    def draw(self, session: Session) -> None:
        """Draw the pad and the numbers behind it."""
        opened = session.opened
        assert isinstance(opened, OpenedGenerator)
        if self._plane != (session.scene, session.latent.seed):
            self._plane = (session.scene, session.latent.seed)
            self._pad.forget()
        before = session.latent
        latent = self._draw_pad(before)
        walked = self._pad.has_keyboard and not imgui.is_any_item_active()
        if walked and latent != before:
            session.hold()  # a walk with the arrows is one step of undo
        latent = self._draw_seed(latent)
        latent = self._walk_on(session, latent)
        if (latent.seed, latent.x, latent.y) != (before.seed, before.x, before.y):
            latent = _on_the_plane(latent)
        latent = _draw_kept(latent)
        fields.gap()
        latent = _draw_psi(latent)
        space = fields.segmented("Space", _SPACE_HELP, latent.space, _SPACES, _PLAIN.space)
        latent = replace(latent, space=space)
        if latent != before:
            session.latent = latent
        _draw_conditioning(opened.loaded.generator.conditions_on_camera)

    def _draw_pad(self, latent: LatentSettings) -> LatentSettings:
        space = imgui.get_content_region_avail()
        # As large as it can be while what lies below stays in sight.
        rows = _ROWS_BELOW + (0 if latent.kept is None and latent.z is None else _ROWS_OF_KEPT)
        below = rows * imgui.get_frame_height_with_spacing() + fields.em(1)
        side = max(fields.em(_SMALLEST_PAD), min(space.y - below, fields.em(_LARGEST_PAD)))
        side = min(side, space.x)
        imgui.set_cursor_pos_x(imgui.get_cursor_pos_x() + (space.x - side) / 2)
        place = self._pad.draw("##Pad", (latent.x, latent.y), side)
        fields.tooltip(
            "Click or drag to walk between the heads of this seed. Each dot is one head. "
            "Shift: ten times finer. Arrows nudge, with Ctrl further."
        )
        x, y = fields.pair(PLACE, place)
        return replace(latent, x=x, y=y)

    def _draw_seed(self, latent: LatentSettings) -> LatentSettings:
        latent = replace(latent, seed=fields.whole(SEED, latent.seed))
        walk = "Stop" if self._walk else "Walk"
        pressed = fields.buttons(("Random seed", "Random place", walk), _RANDOM_HELP)
        if pressed == "Random seed":
            return replace(latent, seed=random.randrange(100_000))
        if pressed == "Random place":
            x, y = (round(random.uniform(-1, 1), 4) for _ in range(2))
            return replace(latent, x=x, y=y)
        if pressed == walk:
            heading = random.uniform(-math.pi, math.pi)
            self._walk = None if self._walk else Walk(latent.x, latent.y, heading)
        return latent

    def _walk_on(self, session: Session, latent: LatentSettings) -> LatentSettings:
        """Walk without aim, until it is stopped or the place is changed by something else."""
        if self._walk is None:
            return latent
        if (latent.x, latent.y) != (self._walk.x, self._walk.y):
            self._walk = None
            return latent
        self._walk = self._walk.after(imgui.get_io().delta_time, random.gauss(0, 1))
        session.hold()  # all of it is one step of undo
        session.engine.wake()  # nobody moves the mouse, and the window would go to sleep
        return replace(latent, x=self._walk.x, y=self._walk.y)


def _on_the_plane(latent: LatentSettings) -> LatentSettings:
    """Leave a kept head for the place on the pad."""
    if latent.kept is None and latent.z is None:
        return latent
    return replace(latent, kept=None, z=None).bound_to(latent.weights)


def _draw_kept(latent: LatentSettings) -> LatentSettings:
    """Say that the pad is not what is shown, while a head is kept."""
    if latent.kept is None and latent.z is None:
        return latent
    if fields.button("Back to the pad", "Show the head of the pad instead of the kept one."):
        return _on_the_plane(latent)
    fields.muted("A kept head is shown, not the pad's.")
    return latent


def _draw_foreign(session: Session) -> None:
    """Offer to leave out what belongs to another generator."""
    fields.empty(
        "This place belongs to another generator.",
        "Its kept head, mix or directions mean something else in the one that is open. "
        "Open the other again, or leave them out.",
    )
    if fields.button("Leave them out", "Keep only the place on the pad, ψ and the space."):
        session.latent = session.latent.unbound()


def _draw_psi(latent: LatentSettings) -> LatentSettings:
    psi = fields.slider(PSI, latent.psi)
    _mark(PSI, (0.0, 1.0))
    # A hand rarely stops at 0 or 1 exactly, and those two mean something.
    if imgui.is_item_active() and imgui.is_mouse_down(0):
        psi = next((stop for stop in (0.0, 1.0) if abs(psi - stop) < 0.02), psi)
    return replace(latent, psi=psi)


def _mark(number: Number, values: tuple[float, ...]) -> None:
    """Scratch marks under the slider that was drawn last."""
    low, high = imgui.get_item_rect_min(), imgui.get_item_rect_max()
    style = imgui.get_style()
    # A slider's grab keeps a padding of 2 px and half its own width from the ends.
    margin = 2 + style.grab_min_size / 2
    for value in values:
        part = (value - number.low) / (number.high - number.low)
        x = low.x + margin + part * (high.x - low.x - 2 * margin)
        shade = imgui.get_color_u32(imgui.Col_.text, 0.55)
        paint = imgui.get_window_draw_list()
        paint.add_line((x, high.y - fields.em(0.28)), (x, high.y), shade, 1.5)


def _draw_conditioning(conditions: bool) -> None:
    """Say what the model makes of the camera; there is nothing to choose where it makes nothing."""
    shown = {"frontal": "Frontal camera"} if conditions else {"frontal": "None"}
    with fields.unless("" if conditions else _IGNORES_CAMERA):
        fields.combo(
            "Conditioning", "Which camera the model is told while it maps.", "frontal", shown
        )
