"""The loss of a phase and its parts over the steps, on a logarithmic axis; the best step is marked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from imgui_bundle import imgui, implot

from inversion.steps import LossValues
from widgets import fields

_HEIGHT = 10.0  # em
# The part, its colour; those over the steps of one phase.
_COLORS = {
    "total": (0.95, 0.95, 0.95, 1.0),
    "perceptual": (0.98, 0.68, 0.30, 1.0),
    "mse": (0.40, 0.72, 1.0, 1.0),
    "identity": (0.60, 0.85, 0.42, 1.0),
}
_TOTAL_ON_LIGHT = (0.12, 0.12, 0.12, 1.0)
_NAMES = {"total": "Total", "mse": "MSE", "identity": "ID"}
_MOST_TICKS = 6  # of the losses' axis
# Numbers between two powers of ten, from the finest to none; then only some powers.
_BETWEEN: tuple[Sequence[float], ...] = (
    [m / 2 for m in range(2, 20)],
    (1, 1.5, 2, 3, 5, 7),
    (1, 2, 5),
    (1,),
)
_LEAST = 1e-9  # what is shown of a loss that is 0: a logarithm has no place for it


class LossCurves:
    """Plots the losses of one phase."""

    def __init__(self) -> None:
        """Begin with none."""
        self._of: tuple[LossValues | None, int] = (None, 0)  # the first step and how many there are
        self._lines: Mapping[str, np.ndarray] = {}

    def draw(
        self, key: str, curve: Sequence[LossValues], best: int | None, perceptual: str
    ) -> None:
        """Draw the plot over the full width.

        Args:
            key: Tells the phases apart.
            curve: One for each step, from the first.
            best: The step that is kept, from 0; None if there is none yet.
            perceptual: What the perceptual part is called.
        """
        if not curve:
            fields.muted("No step is done yet.")
            return
        self._follow(curve)
        flags = implot.Flags_.no_menus | implot.Flags_.no_box_select | implot.Flags_.no_mouse_text
        if not implot.begin_plot(f"##Loss {key}", (-1, fields.em(_HEIGHT)), flags):
            return
        fit = implot.AxisFlags_.auto_fit
        implot.setup_axes("", "", fit, fit)
        implot.setup_axis_scale(implot.ImAxis_.y1, implot.Scale_.log10)
        ticks = _ticks(list(self._lines.values()))
        implot.setup_axis_ticks(implot.ImAxis_.y1, ticks, [f"{tick:.3g}" for tick in ticks])
        places = implot.LegendFlags_.horizontal | implot.LegendFlags_.outside
        implot.setup_legend(implot.Location_.north, places)
        names = _NAMES | {"perceptual": perceptual}
        steps = np.arange(1, len(curve) + 1, dtype=np.float64)
        for part, values in self._lines.items():
            weight = 2.0 if part == "total" else 1.2
            spec = implot.Spec(line_color=_color(part), line_weight=weight)
            if len(steps) == 1:  # a line of one point shows nothing
                spec.marker = implot.Marker_.circle
            implot.plot_line(names[part], steps, values, spec)
        if best is not None:
            _mark_best(best + 1, self._lines["total"][best])
        hovered = None
        if implot.is_plot_hovered():
            hovered = min(max(round(implot.get_plot_mouse_pos().x), 1), len(curve))
            spec = implot.Spec(line_color=imgui.ImVec4(0.6, 0.6, 0.6, 0.6))
            spec.flags = implot.ItemFlags_.no_legend
            implot.plot_inf_lines("##hovered", np.array([float(hovered)]), spec)
        implot.end_plot()
        if hovered is not None:
            _say(hovered, curve[hovered - 1], names, best is not None and hovered == best + 1)

    def _follow(self, curve: Sequence[LossValues]) -> None:
        """Keep the lines of the curve as arrays. float64"""
        if self._of[0] is curve[0] and self._of[1] == len(curve):
            return
        self._of = (curve[0], len(curve))
        lines = {}
        for part in _COLORS:
            values = [getattr(losses, part) for losses in curve]
            if any(value is not None for value in values):
                raw = np.array([np.nan if v is None else v for v in values], np.float64)
                lines[part] = np.maximum(raw, _LEAST)
        self._lines = lines


def _color(part: str) -> imgui.ImVec4:
    back = imgui.get_style_color_vec4(imgui.Col_.window_bg)
    is_light = back.x + back.y + back.z > 1.5
    return imgui.ImVec4(*(_TOTAL_ON_LIGHT if is_light and part == "total" else _COLORS[part]))


def _mark_best(step: int, total: float) -> None:
    """A dot on the best step, counted from 1."""
    spec = implot.Spec(marker=implot.Marker_.circle, marker_size=4.0)
    spec.flags = implot.ItemFlags_.no_legend
    spec.marker_line_color = _color("total")
    spec.marker_fill_color = imgui.ImVec4(0.90, 0.25, 0.25, 1.0)
    implot.plot_scatter("##best", np.array([float(step)]), np.array([total]), spec)


def _ticks(lines: Sequence[np.ndarray]) -> list[float]:
    """Round numbers across the range of the lines, few enough to be read; else its ends."""
    known = np.concatenate(lines)
    low, high = float(np.nanmin(known)), float(np.nanmax(known))
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for between in _BETWEEN:
        every = [m * 10.0**power for power in powers for m in between]
        ticks = [tick for tick in every if low <= tick <= high]
        if 2 <= len(ticks) <= _MOST_TICKS:
            return ticks
    return [low, high]


def _say(step: int, losses: LossValues, names: Mapping[str, str], is_best: bool) -> None:
    """The values of one step in a tooltip."""
    if not imgui.begin_tooltip():
        return
    imgui.text_unformatted(f"Step {step}{', the best' if is_best else ''}")
    for part in _COLORS:
        value = getattr(losses, part)
        if value is not None:
            imgui.text_unformatted(f"{names[part]}  {value:.4g}")
    imgui.end_tooltip()
