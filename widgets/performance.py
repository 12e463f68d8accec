"""The Performance panel: where the milliseconds of a picture go."""

from __future__ import annotations

import os
import time
from collections import deque

import numpy as np
import psutil
from imgui_bundle import imgui, implot

from splatviz_app.pipeline import RenderResult
from splatviz_app.session import Session
from splatviz_app.window import Dock
from widgets import fields

_STAGES = ("synthesize", "activate", "rasterize", "compose")
_STAGE_HELP = {
    "synthesize": "The network makes the splats; only when the latent changes, else they are kept.",
    "activate": "Splats become ready to draw; only when the head or the splat scale changes.",
    "rasterize": "Splats become pixels; whenever anything changes.",
    "compose": "Background, colour map, bytes.",
}
_KEPT = 120  # pictures in the plot
_RECENT = 2.0  # seconds over which pictures are counted


class PerformancePanel:
    """Times of the newest pictures, and memory."""

    title = "Performance"
    dock: Dock = "right_low"

    def __init__(self) -> None:
        """Begin with an empty plot."""
        self._seen: RenderResult | None = None
        self._times: deque[list[float]] = deque(maxlen=_KEPT)  # ms per stage, in order of _STAGES
        self._arrivals: deque[float] = deque(maxlen=_KEPT)  # time.monotonic() seconds
        self._process = psutil.Process(os.getpid())
        self._memory, self._sampled = 0, -np.inf

    def visible(self, session: Session) -> bool:
        """Always."""
        return True

    def draw(self, session: Session) -> None:
        """Draw the table, the plot and the memory."""
        result = session.result
        if result is None:
            fields.empty("Nothing has been drawn yet.", "Open a head to see where its time goes.")
            return
        if result is not self._seen:
            self._seen = result
            self._arrivals.append(time.monotonic())
            self._times.append([1000 * result.seconds.get(stage, 0.0) for stage in _STAGES])
        self._draw_stages(result)
        self._draw_plot()
        self._draw_facts(result)

    def _draw_stages(self, result: RenderResult) -> None:
        flags = imgui.TableFlags_.row_bg | imgui.TableFlags_.sizing_stretch_prop
        if not imgui.begin_table("##Stages", 2, flags):
            return
        for i, stage in enumerate(_STAGES):
            seconds = result.seconds.get(stage)
            color = implot.get_colormap_color(i)  # as ImPlot takes them for the bars
            _stage_row(stage.capitalize(), _ms(seconds) if seconds else "kept", color)
            fields.tooltip(_STAGE_HELP[stage])
        _stage_row("Picture", _ms(sum(result.seconds.values())))
        imgui.end_table()

    def _draw_plot(self) -> None:
        flags = (
            implot.Flags_.no_menus
            | implot.Flags_.no_mouse_text
            | implot.Flags_.no_box_select
            | implot.Flags_.no_legend
        )
        if not implot.begin_plot("##Milliseconds per picture", (-1, fields.em(9)), flags):
            return
        times = np.zeros((len(_STAGES), _KEPT))  # ms, newest at the right
        times[:, _KEPT - len(self._times) :] = np.array(self._times).T
        locked = implot.AxisFlags_.lock
        implot.setup_axes("", "ms", implot.AxisFlags_.no_decorations | locked, locked)
        # A first picture takes seconds, while kernels compile; it must not flatten all others.
        usual = float(np.percentile(np.array(self._times).sum(axis=1), 95))
        limits = (0, _KEPT, 0, max(1.0, 1.2 * usual))
        implot.setup_axes_limits(*limits, implot.Cond_.always)
        stacked = implot.Spec(flags=implot.BarGroupsFlags_.stacked)
        # ImPlot finds the rows of the flat array by their names.
        implot.plot_bar_groups(list(_STAGES), times.ravel(), 0.9, 0.5, stacked)
        implot.end_plot()

    def _draw_facts(self, result: RenderResult) -> None:
        now = time.monotonic()
        if now - self._sampled > 1:
            self._sampled, self._memory = now, self._process.memory_info().rss
        recent = sum(now - arrival < _RECENT for arrival in self._arrivals)
        fields.fact(
            "Pictures",
            f"{recent / _RECENT:.0f} per second" if recent else "none: nothing changes",
            "Drawn in the last two seconds; only what changes is drawn.",
        )
        width, height = result.request.size
        fields.fact("Size", f"{width} x {height} px", "Of the newest picture; smaller in a drag.")
        fields.fact("Splats", f"{result.summary.splats:,}", "That the head is made of.")
        fields.fact("Rasterizer", result.backend, "What drew it; to be chosen in the Render panel.")
        fields.fact(
            "Memory",
            f"{self._memory / 2**20:,.0f} MB",
            "Of this program, the graphics card's not counted.",
        )


def _stage_row(name: str, value: str, color: imgui.ImVec4 | None = None) -> None:
    imgui.table_next_row()
    imgui.table_next_column()
    corner, side = imgui.get_cursor_screen_pos(), fields.em(0.7)
    imgui.dummy((side, side))
    imgui.same_line()
    if color is not None:
        low = (corner.x, corner.y + fields.em(0.15))
        high = (corner.x + side, low[1] + side)
        shade = imgui.get_color_u32(color)
        imgui.get_window_draw_list().add_rect_filled(low, high, shade, fields.em(0.12))
    imgui.text_colored(fields.quiet_color(), name)
    imgui.table_next_column()
    space = imgui.get_content_region_avail().x - imgui.calc_text_size(value).x
    imgui.set_cursor_pos_x(imgui.get_cursor_pos_x() + max(0.0, space))
    imgui.text_unformatted(value)


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms"
