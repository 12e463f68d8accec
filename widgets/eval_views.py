"""What a value looks like in the Eval panel: facts, a picture, a histogram to select from, a tree."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from imgui_bundle import imgui, implot

from splatviz_app.answers import Histogram, Image, Plot, View
from splatviz_app.evaluation import Question
from splatviz_app.selection import TINT, Combine
from splatviz_app.textures import Textures
from splatviz_app.value_facts import Facts, shape_text
from splatviz_app.value_tree import Node, Path
from widgets import fields
from widgets.fields import Number
from widgets.selection import wanted_combination

BINS = Number(
    "Bins",
    "How many bars the numbers are counted into.",
    default=Plot().bins,
    low=2,
    high=512,
)
_PLOT_HEIGHT = 10.0  # em
_LEAST_DRAG = 3.0  # px; a shorter one is a click
_AXES = "xyz"
_PLOT_HELP = (
    "Drag over a range to select the splats in it; with Ctrl they are added, with Alt taken away. "
    "Orange: the selected ones."
)


@dataclass
class Look:
    """How a question's answer is shown, besides what the question says."""

    log_counts: bool = False  # the axis of counts is logarithmic
    drag: float | None = None  # where a range that is being dragged began, in the plot's unit


@dataclass(frozen=True)
class Wishes:
    """What the hand asked for."""

    question: Question  # as it is looked at from now on
    look_at: str = ""  # an expression to look at instead
    pin: str = ""  # an expression to keep in sight
    rows: np.ndarray | None = None  # splats to select. [N] bool
    how: Combine = "replace"


def draw_view(textures: Textures, question: Question, view: View, look: Look) -> Wishes:
    """Draw all there is of a value, and return what the hand asked for meanwhile."""
    wishes = Wishes(question)
    if view.facts is not None:
        _draw_facts(view.facts)
        if view.image is None and view.facts.dtype != "bool":
            fields.fact("First", view.facts.head, "The first numbers, in order.")
    elif view.tree is None:
        _draw_text(view)
    if view.image is not None:
        _draw_image(textures, view.image)
    if view.per_splat is not None and view.per_splat.dtype == np.bool_:
        wishes = _draw_mask(view.per_splat, wishes)
    if view.histogram is not None:
        wishes = _draw_histogram(view, look, wishes)
    elif question.plot.log and view.facts is not None and view.image is None:
        plot = replace(question.plot, log=_check("Log values", question.plot.log))
        wishes = replace(wishes, question=replace(question, plot=plot))
        fields.muted("No number is above 0: there is nothing to plot in equal factors.")
    if view.tree is not None:
        wishes = _draw_tree(view.tree, wishes)
    return wishes


def summary(view: View) -> str:
    """A value in one short line."""
    if view.facts is None:
        return view.text
    facts = view.facts
    if facts.low is None or facts.high is None:
        return view.text
    if facts.dtype == "bool":
        return f"{round((facts.mean or 0.0) * math.prod(facts.shape)):,} true"
    return f"{_number(facts.low)} … {_number(facts.high)}"


# ---- inside


def _draw_text(view: View) -> None:
    imgui.push_text_wrap_pos(0.0)
    imgui.text_unformatted(view.text)
    imgui.pop_text_wrap_pos()
    if view.kind:
        fields.tooltip(view.kind)


def _draw_facts(facts: Facts) -> None:
    where = "" if facts.device in ("numpy", "cpu") else f" on {facts.device}"
    shape = f"{shape_text(facts.shape)} {facts.dtype}{where}"
    fields.fact("Shape", shape, "Length of each axis, kind of number, and device.")
    if facts.dtype == "bool" and facts.mean is not None:
        fields.fact("True for", _share(facts), "How many are true.")
        return
    if facts.low is not None:
        fields.fact("Range", f"{_number(facts.low)} … {_number(facts.high)}", "Of finite numbers.")
        mean = f"{_number(facts.mean)} ± {_number(facts.deviation)}"
        fields.fact("Mean", mean, "And standard deviation, of finite numbers.")
    if facts.nans or facts.infinities:
        odd = [(facts.nans, "NaN"), (facts.infinities, "infinite")]
        fields.fact("Not finite", ", ".join(f"{count:,} {name}" for count, name in odd if count))


def _draw_image(textures: Textures, image: Image) -> None:
    fields.gap(0.2)
    space = imgui.get_content_region_avail().x
    high, wide = image.pixels.shape[:2]
    factor = min(space / wide, fields.em(22) / high)
    left = imgui.get_cursor_pos_x()
    imgui.set_cursor_pos_x(left + max(0.0, (space - wide * factor) / 2))
    fields.picture(textures.of(image.pixels), wide * factor, high * factor)
    note = f", {image.note}" if image.note else ""
    fields.muted(f"{image.size[0]} x {image.size[1]} px{note}")


def _draw_mask(mask: np.ndarray, wishes: Wishes) -> Wishes:
    names: tuple[tuple[str, Combine, str], ...] = (
        ("Select", "replace", "Select these splats, and no others."),
        ("Add", "add", "Select these splats as well."),
        ("Subtract", "subtract", "Take these splats out of the selection."),
    )
    pressed = fields.buttons(
        tuple(name for name, _, _ in names), {name: help for name, _, help in names}
    )
    how = next((how for name, how, _ in names if name == pressed), None)
    return wishes if how is None else replace(wishes, rows=mask, how=how)


def _draw_histogram(view: View, look: Look, wishes: Wishes) -> Wishes:
    assert view.histogram is not None
    plot, histogram = wishes.question.plot, view.histogram
    fields.gap(0.2)
    wishes = _plot_bars(view, histogram, look, wishes)
    if histogram.left_out:
        why = "finite and above 0" if histogram.log else "finite"
        fields.muted(f"{histogram.left_out:,} not shown: not {why}")
    log = _check("Log values", plot.log, "Bars of equal factors instead of equal steps.")
    imgui.same_line(0, fields.em(1.2))
    look.log_counts = _check("Log counts", look.log_counts, "So that the small bars show as well.")
    plot = replace(plot, log=log, bins=fields.whole(BINS, plot.bins, 8))
    if view.columns > 1:
        plot = replace(plot, column=_draw_columns(view.columns, plot.column))
    return replace(wishes, question=replace(wishes.question, plot=plot))


def _draw_columns(columns: int, chosen: int) -> int:
    names = {-1: "All"} | {i: _AXES[i] if columns == 3 else str(i) for i in range(min(columns, 64))}
    help = "Which column of each splat; a range of one can be selected."
    if columns <= 4:
        return fields.segmented("Column", help, chosen if chosen in names else -1, names)
    return fields.combo("Column", help, chosen if chosen in names else -1, names)


def _plot_bars(view: View, histogram: Histogram, look: Look, wishes: Wishes) -> Wishes:
    flags = (
        implot.Flags_.no_menus
        | implot.Flags_.no_box_select
        | implot.Flags_.no_legend
        | implot.Flags_.no_title
    )
    if not implot.begin_plot("##Histogram", (-1, fields.em(_PLOT_HEIGHT)), flags):
        return wishes
    locked = implot.AxisFlags_.lock
    implot.setup_axes("", "", locked, locked)
    if histogram.log:
        implot.setup_axis_scale(implot.ImAxis_.x1, implot.Scale_.log10)
    floor, top = 0.0, 1.08 * max(1.0, float(histogram.counts.max()))
    if look.log_counts:
        implot.setup_axis_scale(implot.ImAxis_.y1, implot.Scale_.log10)
        floor, top = 0.5, 2 * top  # a bar of one splat is to be seen
    edges = histogram.edges
    implot.setup_axes_limits(edges[0], edges[-1], floor, top, implot.Cond_.always)
    _plot_counts("all", histogram.edges, histogram.counts, floor, None)
    if histogram.chosen is not None:
        _plot_counts("selected", histogram.edges, histogram.chosen, floor, TINT)
    if view.per_splat is not None:
        wishes = _drag_range(view.per_splat, look, wishes)
    elif implot.is_plot_hovered():
        imgui.set_tooltip(_why_no_range(view))
    implot.end_plot()
    return wishes


def _plot_counts(
    name: str,
    edges: np.ndarray,
    counts: np.ndarray,
    floor: float,
    color: tuple[float, float, float] | None,
) -> None:
    spec = implot.Spec(flags=implot.StairsFlags_.shaded, fill_alpha=0.6)
    if color is not None:
        shade = imgui.ImVec4(*color, 1.0)
        spec.line_color = spec.fill_color = shade
    # A stair goes on to its next edge; a logarithm has no 0.
    heights = np.append(counts, counts[-1]).clip(min=floor)
    implot.plot_stairs(f"##{name}", np.ascontiguousarray(edges), heights, spec)


def _drag_range(values: np.ndarray, look: Look, wishes: Wishes) -> Wishes:
    """Follow a drag over the plot; when it ends, ask for the splats in its range."""
    mouse = implot.get_plot_mouse_pos()
    if implot.is_plot_hovered() and imgui.is_mouse_clicked(imgui.MouseButton_.left):
        look.drag = mouse.x
    if look.drag is None:
        if implot.is_plot_hovered():
            _explain(f"{_number(mouse.x)}\n{_PLOT_HELP}")
        return wishes
    low, high = sorted((look.drag, mouse.x))
    rows = (values >= low) & (values <= high)
    limits = implot.get_plot_limits()
    near = implot.plot_to_pixels(low, limits.y.max)
    far = implot.plot_to_pixels(high, limits.y.min)
    implot.push_plot_clip_rect()
    shade = imgui.get_color_u32((*TINT, 0.25))
    implot.get_plot_draw_list().add_rect_filled(near, far, shade)
    implot.pop_plot_clip_rect()
    imgui.set_tooltip(f"{_number(low)} … {_number(high)}\n{int(rows.sum()):,} splats")
    if imgui.is_mouse_down(imgui.MouseButton_.left):
        return wishes
    look.drag = None
    if far.x - near.x < _LEAST_DRAG:
        return wishes
    return replace(wishes, rows=rows, how=wanted_combination())


def _why_no_range(view: View) -> str:
    if view.columns > 1:
        return "Choose a column below to select splats by a range of it."
    return "Splats can be selected from one number per splat."


def _explain(text: str) -> None:
    imgui.begin_tooltip()
    imgui.push_text_wrap_pos(fields.em(22))
    imgui.text_unformatted(text)
    imgui.pop_text_wrap_pos()
    imgui.end_tooltip()


def _draw_tree(tree: Node, wishes: Wishes) -> Wishes:
    flags = imgui.TableFlags_.row_bg | imgui.TableFlags_.resizable
    if not imgui.begin_table("##Tree", 2, flags):
        return wishes
    imgui.table_setup_column("name", imgui.TableColumnFlags_.width_stretch, 0.46)
    imgui.table_setup_column("value", imgui.TableColumnFlags_.width_stretch, 0.54)
    imgui.push_style_var(imgui.StyleVar_.indent_spacing, fields.em(0.8))
    wishes = _draw_node(replace(tree, label=wishes.question.text), (), wishes)
    imgui.pop_style_var()
    imgui.end_table()
    return wishes


def _draw_node(node: Node, path: Path, wishes: Wishes) -> Wishes:
    imgui.table_next_row()
    imgui.table_next_column()
    opened = wishes.question.opened
    imgui.set_next_item_open(path in opened)
    imgui.push_id("".join(path))
    shape = 0 if node.can_open else imgui.TreeNodeFlags_.leaf | imgui.TreeNodeFlags_.bullet
    shown = node.label.removeprefix(".") or "value"
    is_open = imgui.tree_node_ex(shown, shape | imgui.TreeNodeFlags_.span_all_columns)
    if node.can_open and imgui.is_item_toggled_open():
        opened = opened | {path} if path not in opened else opened - {path}
        wishes = replace(wishes, question=replace(wishes.question, opened=opened))
    fields.tooltip(node.kind)
    wishes = _node_menu(node, path, wishes)
    imgui.table_next_column()
    imgui.text_colored(fields.quiet_color(), node.text)
    if imgui.calc_text_size(node.text).x > imgui.get_content_region_avail().x:
        fields.tooltip(node.text)
    if is_open:
        for child in node.children or ():
            wishes = _draw_node(child, (*path, child.label), wishes)
        if node.more:
            imgui.table_next_row()
            imgui.table_next_column()
            fields.muted(f"and {node.more:,} more")
        imgui.tree_pop()
    imgui.pop_id()
    return wishes


def _node_menu(node: Node, path: Path, wishes: Wishes) -> Wishes:
    """Offer what can be done with a part of a value."""
    if not imgui.begin_popup_context_item("part"):
        return wishes
    whole = part_of(wishes.question.text, path)
    if whole and imgui.menu_item("Look at this", "", False)[0]:
        wishes = replace(wishes, look_at=whole)
    if whole and imgui.menu_item("Pin", "", False)[0]:
        wishes = replace(wishes, pin=whole)
    if imgui.menu_item("Copy", "", False)[0]:
        imgui.set_clipboard_text(node.text)
    imgui.end_popup()
    return wishes


def part_of(text: str, path: Path) -> str:
    """The expression of a part of a value; empty if there is none."""
    if any(not label.startswith((".", "[")) or "…" in label for label in path):
        return ""  # a fact of a tensor, or a key too long to be shown
    plain = text.replace(".", "").replace("_", "").isalnum()
    return (text if plain or not path else f"({text})") + "".join(path)


def _check(name: str, value: bool, help: str = "") -> bool:
    _, value = imgui.checkbox(name, value)
    fields.tooltip(help)
    return value


def _share(facts: Facts) -> str:
    """How many truth values are true."""
    size = math.prod(facts.shape)
    return f"{round((facts.mean or 0.0) * size):,} of {size:,}"


def _number(value: float | None) -> str:
    """A number in four digits."""
    return "none" if value is None else f"{value:.4g}"
