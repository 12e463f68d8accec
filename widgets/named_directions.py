"""The Directions tab of the Latent panel: named sliders, colours of skin and hair, own ones and files."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from imgui_bundle import imgui

from renderer.errors import SplatheadError
from splatviz_app.color_match import (
    COLORS,
    MatchedColor,
    holds,
    match_color,
    sliders_of,
    with_wish,
)
from splatviz_app.directions import PCA, Axis, Color, ColorWish
from splatviz_app.engine import Job
from splatviz_app.latent_jobs import NewAxes, load_axes, save_axes
from splatviz_app.scenes import OpenedGenerator
from splatviz_app.session import Session
from widgets import fields
from widgets.axis_rows import AxisRows
from widgets.fields import Number
from widgets.file_dialog import FileDialog
from widgets.sliders import Sliders, draw_tools

_SUFFIXES = (".json", ".safetensors")
_RANDOM = 0.4  # standard deviation of the amounts drawn at random, in half ranges of the slider
_REST = 0.25  # seconds a picked colour rests before it is looked for
_PLAIN: Mapping[str, Color] = {"Skin": (0.80, 0.62, 0.52), "Hair": (0.35, 0.24, 0.16)}
WEIGHT = Number(
    "Colour weight",
    "How far the sliders go towards the picked colour.",
    default=1.0,
    low=0.0,
    high=1.0,
)


@dataclass
class _Picking:
    """A colour that is being picked or looked for."""

    color: Color
    changed: float  # time.monotonic() seconds
    job: Job | None = None


class DirectionsTab:
    """Draws the named sliders under their headings."""

    title = "Directions"

    def __init__(self, sliders: Sliders) -> None:
        """Begin with all of them."""
        self._sliders = sliders
        self._rows = AxisRows(sliders)
        self._filter = ""
        self._picking: dict[str, _Picking] = {}  # by heading
        self._dialog = FileDialog("load directions")
        self._name = "directions"
        self._suffix = _SUFFIXES[0]

    def draw(self, session: Session) -> None:
        """Draw the sliders, and the buttons for files."""
        named = [a for a in self._sliders.axes.values() if not a.source.startswith(PCA)]
        if not named:
            fields.empty(
                "This generator came without directions.",
                "Learn some from heads in the Learn tab, or load a file of its directions.",
            )
            self._draw_files(session)
            return
        imgui.set_next_item_width(fields.FILL)
        _, self._filter = imgui.input_text_with_hint("##Find", "Find by name", self._filter)
        word = self._filter.strip().casefold()
        listed = [axis for axis in named if word in session.palette.name_of(axis).casefold()]
        draw_tools(self._sliders, session, listed, _at_random)
        imgui.begin_child("##directions", (0, 0))
        colors = {group for group, (label, _) in COLORS.items() if word in label.casefold()}
        groups = dict.fromkeys(axis.group for axis in named)
        shown = [g for g in groups if g in colors or any(axis.group == g for axis in listed)]
        for group in shown:
            fields.section(group)
            if group in colors:
                self._draw_color(session, group)
            for axis in listed:
                if axis.group == group:
                    self._rows.draw(session, axis)
        if not shown:
            fields.muted("No direction has that name.")
        fields.section("Files")
        self._draw_files(session)
        imgui.end_child()

    # ---- colours

    def _draw_color(self, session: Session, group: str) -> None:
        """A colour to pick, and how far to go towards it."""
        if not sliders_of(group, self._sliders.axes):
            return
        label, names = COLORS[group]
        wish, picking = _wish_of(session, group), self._picking.get(group)
        plain = _PLAIN[group]
        shown = picking.color if picking else wish.color if wish else plain
        color = fields.color(
            f"Pick {label.casefold()}",
            f"Moves {_listed_in_words(names)} so that the head gets this colour, as nearly as they can.",
            shown,
            plain,
        )
        if color != shown:
            if picking and picking.job:
                picking.job.cancel()
            picking = self._picking[group] = _Picking(color, time.monotonic())
        if picking and picking.job is None:
            self._look_for(session, group, picking)
        if wish is not None:
            weight = fields.slider(replace(WEIGHT, label=f"{group} weight"), wish.weight)
            if weight != wish.weight:
                self._go(session, replace(wish, weight=weight))

    def _look_for(self, session: Session, group: str, picking: _Picking) -> None:
        """Begin to look for a colour once the hand has let go of it."""
        rested = time.monotonic() - picking.changed > _REST and not imgui.is_any_mouse_down()
        request = session.request()
        if not rested or request is None or request.latent is None:
            session.engine.wake()  # a sleeping window would look too late
            return
        palette, axes = session.palette, self._sliders.axes
        before = _wish_of(session, group)
        wish = replace(before, color=picking.color) if before else ColorWish(group, picking.color)
        if before:  # from where the sliders stood before any colour was picked
            undone = with_wish(request.latent, palette, axes, replace(before, weight=0.0))
            request = replace(request, latent=undone)

        def take(found: MatchedColor) -> None:
            if self._picking.get(group) is picking:
                del self._picking[group]
                if found.weights == session.palette.weights:
                    self._go(session, found.wish)

        work = match_color(session.pipeline, request, palette, axes, wish)
        label = COLORS[group][0].casefold()
        picking.job = self._sliders.start(session, f"Find the {label}", work, take)

    def _go(self, session: Session, wish: ColorWish) -> None:
        session.latent = with_wish(session.latent, session.palette, self._sliders.axes, wish)
        session.palette = session.palette.wishing(wish)

    # ---- files

    def _draw_files(self, session: Session) -> None:
        own = session.palette.own
        none = "" if own else "There are none of your own yet: learn some, or load a file."
        pressed = fields.buttons(
            ("Load…", "Save mine…"),
            {
                "Load…": "Add the directions in a file that was made with this generator.",
                "Save mine…": "Write your own directions to a file, for others with this generator.",
            },
            {"Save mine…": none},
        )
        if pressed == "Load…":
            folder = session.preferences.folder
            self._dialog.open_file("Load directions", _SUFFIXES, folder, "Directions")
        elif pressed == "Save mine…":
            imgui.open_popup("save directions")
        self._draw_saving(session)

    def _draw_saving(self, session: Session) -> None:
        if not imgui.begin_popup("save directions"):
            return
        imgui.set_next_item_width(fields.em(12))
        _, self._name = imgui.input_text("Name of the file", self._name)
        for suffix in _SUFFIXES:
            if imgui.radio_button(suffix, self._suffix == suffix):
                self._suffix = suffix
            imgui.same_line()
        imgui.new_line()
        name = self._name.strip()
        usable = bool(name) and not set(name) & set('/\\:*?"<>|')
        folder = session.preferences.folder
        with fields.unless("" if usable else 'A name cannot hold / \\ : * ? " < > |'):
            if fields.button("Save directions", f"In {folder}. Nothing is ever overwritten."):
                palette = session.palette
                names = {axis.source: palette.name_of(axis) for axis in palette.own}
                work = save_axes(
                    folder / f"{name}{self._suffix}", palette.own, names, palette.weights
                )
                session.start_job(f"Save {name}{self._suffix}", work)
                imgui.close_current_popup()
        imgui.end_popup()

    def poll_dialog(self, session: Session) -> None:
        """Follow up on the open dialog; to be called every frame, also while the tab is hidden."""
        chosen = self._dialog.poll()
        if chosen is not None:
            self.load(session, chosen)

    def load(self, session: Session, path: Path) -> None:
        """Add the directions in a file to one's own."""
        opened = session.opened
        if not isinstance(opened, OpenedGenerator):
            session.report(SplatheadError("Open the generator of these directions first."))
            return

        def take(found: NewAxes) -> None:
            palette = session.palette
            if found.weights != palette.weights:
                return
            for axis in found.axes:
                palette = palette.with_own(axis)
            session.palette = palette
            session.say(found.sentence)

        width = opened.loaded.generator.w_dim
        work = load_axes(path, session.palette.weights, width)
        self._sliders.start(session, f"Load {path.name}", work, take)


def _wish_of(session: Session, group: str) -> ColorWish | None:
    """The colour that was picked, unless its sliders have been moved since."""
    wish = session.palette.wish(group)
    return wish if wish is not None and holds(session.latent, wish) else None


def _at_random(axes: Sequence[Axis]) -> Mapping[str, float]:
    """Amounts around the middle of each slider's range, within it."""
    drawn = {}
    for axis in axes:
        half = (axis.high - axis.low) / 2
        amount = random.gauss(0, _RANDOM) * half
        drawn[axis.source] = round(min(max(amount, axis.low), axis.high), 2)
    return drawn


def _listed_in_words(names: Sequence[str]) -> str:
    quoted = [f"“{name}”" for name in names]
    return " and ".join((", ".join(quoted[:-1]), quoted[-1])) if len(quoted) > 1 else quoted[0]
