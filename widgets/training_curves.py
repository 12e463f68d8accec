"""What a run has come to: its curves, its newest pictures, its log."""

from __future__ import annotations

from collections.abc import Mapping

from imgui_bundle import imgui, implot

from splatviz_app.session import Session
from splatviz_app.training_folder import Run
from splatviz_app.training_log import Curve
from splatviz_app.training_runs import TrainingRuns
from widgets import fields

_LOSSES, _METRIC, _SPEED, _MORE = "Losses", "Metric", "Speed", "More"
_GROUPS = {  # the tab: its tooltip
    _LOSSES: "Of the generator (G) and the discriminator (D): in balance while neither runs away.",
    _METRIC: "How far made heads are from real ones; lower is better.",
    _SPEED: "Seconds for 1000 images.",
    _MORE: "Any figure that the run logs.",
}
_NAMED = {
    "status/generator_loss": "G",
    "status/discriminator_loss": "D",
    "status/s_per_kimg": "s/kimg",
}
_UNPLOTTED = ("status/eta_s",)
_FEW = 40  # points that are marked each
_SAMPLES = {  # the tab: the pictures of that name, its tooltip
    "Front": ("front", "The newest heads from the front; always the same latents."),
    "Around": ("turning", "The newest heads, each from all sides; always the same latents."),
    "Real": ("real", "What it learns from, as training sees it."),
}
_SHOWN_EVENTS = 80
_LARGE = 0.7  # of the window's smaller side


class Curves:
    """Plots the figures of a run over the images seen."""

    def __init__(self) -> None:
        """Show losses first."""
        self._group = _LOSSES
        self._other = ""  # the figure that is shown under More

    def draw(self, run: Run) -> None:
        """Draw the choice and the plot."""
        self._group = _tabs("Curves", self._group, _GROUPS)
        if self._group == _MORE:
            names = [name for name in run.curves if name not in _UNPLOTTED]
            self._other = self._other if self._other in names else next(iter(names), "")
            options = {name: _title(name) for name in names}
            help = "One of all figures that the run logs."
            self._other = fields.combo("Figure", help, self._other, options)
        shown = {name: run.curves[name] for name in self._names(run) if name in run.curves}
        if not shown:
            fields.muted("Nothing has been measured yet.")
            return
        # Another key for each group: ImPlot remembers colours and ranges by it.
        _plot(f"##Curves {self._group} {self._other}", shown)

    def _names(self, run: Run) -> list[str]:
        if self._group == _LOSSES:
            return ["status/generator_loss", "status/discriminator_loss"]
        if self._group == _METRIC:
            return [name for name in run.curves if name.startswith("metric/")]
        return ["status/s_per_kimg"] if self._group == _SPEED else [self._other]


class Samples:
    """Shows the newest sample grid."""

    def __init__(self) -> None:
        """Show heads from the front first."""
        self._tab = "Front"

    def draw(self, session: Session, runs: TrainingRuns, run: Run) -> None:
        """Draw the choice and the picture."""
        self._tab = _tabs("Samples", self._tab, {tab: says for tab, (_, says) in _SAMPLES.items()})
        path = run.grids.get(_SAMPLES[self._tab][0])
        if path is None:
            fields.muted("No picture has been drawn yet.")
            return
        pixels = runs.picture(path)
        width = imgui.get_content_region_avail().x
        if pixels is None:
            fields.picture(0, width, width / 2)
            return
        texture = session.textures.of(pixels)
        ratio = pixels.shape[0] / pixels.shape[1]
        fields.picture(texture, width, width * ratio)
        if imgui.is_item_hovered(imgui.HoveredFlags_.for_tooltip) and imgui.begin_tooltip():
            space = imgui.get_main_viewport().size
            wide = min(_LARGE * space.x, _LARGE * space.y / ratio)
            fields.picture(texture, wide, wide * ratio)
            imgui.text_unformatted(f"{path.stem.rpartition('-')[0]} at {_kimg_of(path.stem)}")
            imgui.end_tooltip()


def draw_events(run: Run, height: float) -> None:
    """The last lines of the log, the newest in sight; height in px."""
    flags = imgui.ChildFlags_.borders
    if imgui.begin_child("##Events", (0, height), flags):
        imgui.push_text_wrap_pos(0.0)
        for line in run.events[-_SHOWN_EVENTS:]:
            imgui.text_unformatted(line)
        imgui.pop_text_wrap_pos()
        if not run.events:
            fields.muted("Nothing has been logged yet.")
        # Whoever scrolled up to read is left there.
        if imgui.get_scroll_y() >= imgui.get_scroll_max_y() - 1:
            imgui.set_scroll_here_y(1.0)
    imgui.end_child()


def _tabs(name: str, chosen: str, tabs: Mapping[str, str]) -> str:
    """Draw tabs over the full width, with their tooltips; return the one that is open."""
    if imgui.begin_tab_bar(f"##{name}"):
        for tab, help in tabs.items():
            if imgui.begin_tab_item(f"{tab}##tab")[0]:
                chosen = tab
                imgui.end_tab_item()
            fields.tooltip(help)
        imgui.end_tab_bar()
    return chosen


def _plot(key: str, curves: Mapping[str, Curve]) -> None:
    flags = implot.Flags_.no_menus | implot.Flags_.no_box_select
    if len(curves) == 1:
        flags |= implot.Flags_.no_legend
    if not implot.begin_plot(key, (-1, fields.em(11)), flags):
        return
    fit = implot.AxisFlags_.auto_fit
    title = _title(next(iter(curves))) if len(curves) == 1 else ""
    implot.setup_axes("", title, fit, fit)
    implot.setup_axis_format(implot.ImAxis_.x1, "%gk")  # thousands of images
    places = implot.LegendFlags_.horizontal | implot.LegendFlags_.outside
    implot.setup_legend(implot.Location_.north, places)
    for name, curve in curves.items():
        is_few = len(curve.kimg) <= _FEW
        marker = implot.Marker_.circle if is_few else implot.Marker_.none
        spec = implot.Spec(marker=marker, marker_size=2.0, line_weight=1.5)
        implot.plot_line(_title(name), curve.kimg, curve.values, spec)
    implot.end_plot()


def _title(name: str) -> str:
    return _NAMED.get(name) or name.partition("/")[2].replace("_", " ")


def _kimg_of(stem: str) -> str:
    digits = stem.rpartition("-")[2]
    return f"{int(digits) / 1000:g} kimg" if digits.isdecimal() else ""
