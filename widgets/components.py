"""The PCA tab of the Latent panel: the axes along which the heads of a generator differ most."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from imgui_bundle import imgui

from splatviz_app.directions import Axis
from splatviz_app.latent_jobs import FoundComponents
from splatviz_app.session import Session
from widgets import fields
from widgets.axis_rows import AxisRows
from widgets.jobs import draw_job
from widgets.sliders import Sliders, draw_tools

_FEW, _MORE = 10, 40  # rows shown at first, and more at a time
_RANDOM = 1.0  # standard deviation of the amounts drawn at random, in those of w
_RANDOM_LIMIT = 2.5


class ComponentsTab:
    """Finds the components when it is first shown, then draws their sliders."""

    title = "PCA"

    def __init__(self, sliders: Sliders) -> None:
        """Begin with the first ten."""
        self._sliders = sliders
        self._rows = AxisRows(sliders)
        self._filter = ""
        self._shown = _FEW

    def draw(self, session: Session) -> None:
        """Draw the sliders, or what is being done to find them."""
        found = self._sliders.components(session)
        if found is None:
            self._draw_search(session)
            return
        imgui.set_next_item_width(fields.FILL)
        _, self._filter = imgui.input_text_with_hint(
            "##Find", "Find by name or number", self._filter
        )
        listed = self._listed(session, found)
        draw_tools(self._sliders, session, listed, _at_random)
        fields.gap(0.2)
        imgui.begin_child("##components", (0, 0))
        for axis in listed:
            self._rows.draw(session, axis, self._note(found, axis))
        self._draw_end(found, listed)
        imgui.end_child()

    def _draw_search(self, session: Session) -> None:
        job = self._sliders.search(session)
        if job is None:
            self._sliders.find_components(session)
        elif not job.state.is_over:
            fields.gap(0.5)
            draw_job(job)
        elif not self._sliders.awaits(job):
            fields.empty(
                "The components were not found.",
                "They are the axes along which the heads of this generator differ most.",
            )
            if fields.button("Find components"):
                self._sliders.find_components(session)

    def _listed(self, session: Session, found: FoundComponents) -> Sequence[Axis]:
        """Those that match what is typed, else the first."""
        words = self._filter.casefold().split()
        if not words:
            return found.axes[: self._shown]
        palette = session.palette

        def matches(axis: Axis) -> bool:
            name = palette.name_of(axis).casefold()
            return all(
                word in name.split() or (not word.isdigit() and word in name) for word in words
            )

        return [axis for axis in found.axes if matches(axis)]

    def _note(self, found: FoundComponents, axis: Axis) -> str:
        share = found.explained[int(axis.source.partition(":")[2])]
        return f"One standard deviation. It explains {share:.1%} of how heads differ."

    def _draw_end(self, found: FoundComponents, listed: Sequence[Axis]) -> None:
        fields.gap(0.2)
        if self._filter:
            if not listed:
                fields.muted("No component has that name or number.")
            return
        count, total = len(listed), len(found.axes)
        share = sum(found.explained[:count])
        fields.muted(f"{count} of {total} components: {share:.0%} of how heads differ.")
        names = [name for name, fits in (("Fewer", count > _FEW), ("More", count < total)) if fits]
        pressed = fields.buttons(names) if names else None
        if pressed == "More":
            self._shown += _MORE
        elif pressed == "Fewer":
            self._shown = _FEW


def _at_random(axes: Sequence[Axis]) -> Mapping[str, float]:
    """Amounts as heads have them, but for the rare ones."""
    drawn = (random.gauss(0, _RANDOM) for _ in axes)
    limited = (min(max(amount, -_RANDOM_LIMIT), _RANDOM_LIMIT) for amount in drawn)
    return {axis.source: round(amount, 2) for axis, amount in zip(axes, limited, strict=True)}
