"""A Python value to what a panel can show of it: text, facts, a picture, a histogram, a tree."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from splatviz_app.value_facts import Facts, as_array, facts_of, one_line, type_name
from splatviz_app.value_tree import SCALARS, Node, Path, node_of

_FEWEST_TO_PLOT = 8  # numbers
_SMALLEST_PICTURE, _LARGEST_PICTURE = 8, 16384  # px on a side
_SHOWN_SIDE = 640  # px; larger pictures are averaged down
_LONGEST_TEXT = 4000  # letters of a text that is the whole answer


@dataclass(frozen=True)
class Plot:
    """How numbers are counted into a histogram."""

    # Bars side by side.
    bins: int = 64
    # Equal bars are equal factors instead of equal steps; what is not above 0 is left out.
    log: bool = False
    # Which column of per-splat data [N, C]; -1 for all together.
    column: int = -1


@dataclass(frozen=True, eq=False)
class Histogram:
    """How many numbers lie where."""

    edges: np.ndarray  # [bins + 1] float64, rising
    counts: np.ndarray  # [bins] float64
    log: bool
    left_out: int  # numbers that are not finite, or not above 0 where `log`
    chosen: np.ndarray | None = None  # how many of each bar belong to selected splats. [bins]


@dataclass(frozen=True, eq=False)
class Image:
    """A picture that a tensor is."""

    pixels: np.ndarray  # [H, W, 4] uint8, contiguous; transparent where a number is none
    size: tuple[int, int]  # width and height of the tensor itself in px
    note: str  # how numbers became greys; empty for plain colours


@dataclass(frozen=True, eq=False)
class View:
    """All that can be shown of a value."""

    kind: str
    text: str
    facts: Facts | None = None
    image: Image | None = None
    histogram: Histogram | None = None
    columns: int = 0  # C of per-splat data [N, C]
    # One number or truth value per splat, as plotted: what a range selects from. [N]
    per_splat: np.ndarray | None = None
    tree: Node | None = None


@np.errstate(all="ignore")  # what overflows is shown as infinite, not told on the terminal
def view_of(value: object, plot: Plot, opened: frozenset[Path], selected: np.ndarray) -> View:
    """Look at a value.

    Args:
        value: Anything.
        plot: How its numbers are plotted.
        opened: The nodes of its tree that are open; () is the root.
        selected: Which splats are selected; data of its length is per splat. [N] bool
    """
    kind = type_name(value)
    if isinstance(value, Tensor | np.ndarray):
        array = as_array(value)
        if array is None or array.ndim == 0:
            return View(kind, one_line(value))
        return _array_view(value, array, plot, selected)
    if isinstance(value, SCALARS):
        return View(kind, one_line(value, longest=_LONGEST_TEXT))
    numbers = _as_numbers(value)
    histogram = histogram_of(numbers, plot) if numbers is not None else None
    tree = node_of("", value, (), opened)
    return View(kind, one_line(value), histogram=histogram, tree=tree)


def histogram_of(numbers: np.ndarray, plot: Plot) -> Histogram | None:
    """Count numbers into bars; None if none can be counted."""
    numbers = numbers.reshape(-1)
    usable = np.isfinite(numbers) & (numbers > 0) if plot.log else np.isfinite(numbers)
    used = numbers[usable].astype(np.float64)
    if not used.size:
        return None
    low, high = float(used.min()), float(used.max())
    if not np.isfinite(high - low):
        return None  # no bar is that wide
    if plot.log:
        if high <= low:
            low, high = low / 2, high * 2
        edges = np.geomspace(low, high, plot.bins + 1)
        edges[0], edges[-1] = low, high  # not a rounding off
        counts = _counted(used, edges, log=True)
    else:
        if high <= low:
            margin = max(abs(low), 1.0) / 2
            low, high = low - margin, high + margin
        edges = np.linspace(low, high, plot.bins + 1)
        counts = _counted(used, edges, log=False)
    return Histogram(edges, counts, plot.log, numbers.size - used.size)


def image_of(array: np.ndarray) -> Image | None:
    """See a picture in [3 or 4, H, W], [H, W, 3 or 4], [1, H, W], [H, W, 1] or [H, W]; None in others."""
    planes = _planes(array)
    if planes is None:
        return None
    height, width, channels = planes.shape
    numbers: np.ndarray = planes.astype(np.float32)
    known: np.ndarray = np.isfinite(numbers).all(axis=-1)  # [H, W]
    note = ""
    if array.dtype == np.uint8:
        numbers = numbers / 255
    elif channels == 1 and array.dtype != np.bool_ and known.any():
        low, high = float(numbers[known].min()), float(numbers[known].max())
        numbers = (numbers - low) / (high - low if high > low else 1.0)
        note = f"black {low:.4g}, white {high:.4g}"
    elif known.any() and (numbers[known].min() < -1e-3 or numbers[known].max() > 1 + 1e-3):
        note = "numbers outside 0 to 1 are cut off"
    shown = np.where(known[..., None], numbers, 0.0).clip(0, 1)
    color = shown[..., :3] if channels >= 3 else np.repeat(shown, 3, axis=-1)
    alpha = shown[..., 3:] if channels == 4 else np.ones_like(shown[..., :1])
    rgba = np.concatenate([color, alpha * known[..., None]], axis=-1)
    factor = max(1, -(-max(height, width) // _SHOWN_SIDE))
    pixels = (_shrunk(rgba, factor) * 255 + 0.5).astype(np.uint8)
    return Image(np.ascontiguousarray(pixels), (width, height), note)


def _array_view(
    value: Tensor | np.ndarray, array: np.ndarray, plot: Plot, selected: np.ndarray
) -> View:
    facts, splats = facts_of(value, array), len(selected)
    per_splat, columns = None, 0
    of_splats = splats > 0 and array.shape[0] == splats
    image = None if of_splats and array.size // splats <= 64 else image_of(array)
    plotted = array
    if of_splats and array.size and array.dtype.kind != "c":
        rows = array.reshape(splats, -1)  # [N, C]
        columns = rows.shape[1]
        if columns == 1 or 0 <= plot.column < columns:
            per_splat = plotted = rows[:, max(0, plot.column) if columns > 1 else 0]
    countable = array.dtype.kind in "iuf" and plotted.size >= _FEWEST_TO_PLOT and image is None
    histogram = histogram_of(plotted, plot) if countable else None
    if histogram is not None and per_splat is not None and selected.any():
        chosen = _counted(per_splat[selected], histogram.edges, plot.log)
        histogram = replace(histogram, chosen=chosen)
    if per_splat is not None:
        per_splat = np.array(per_splat)  # it outlives the scene
        per_splat.setflags(write=False)
    return View(type_name(value), one_line(value), facts, image, histogram, columns, per_splat)


def _counted(numbers: np.ndarray, edges: np.ndarray, log: bool) -> np.ndarray:
    """How many numbers lie between each two edges, which are even in steps or in factors. [bins] float64"""
    numbers = numbers.astype(np.float64)
    numbers = numbers[np.isfinite(numbers) & (numbers >= edges[0]) & (numbers <= edges[-1])]
    low, high = edges[0], edges[-1]
    if log:
        low, high, numbers = np.log(low), np.log(high), np.log(numbers)
    bins = len(edges) - 1
    # Even bars need no search: a million numbers in a few milliseconds.
    places = ((numbers - low) * (bins / (high - low))).astype(np.int64).clip(0, bins - 1)
    return np.bincount(places, minlength=bins).astype(np.float64)


def _as_numbers(value: object) -> np.ndarray | None:
    """The numbers of a plain list of numbers that is long enough to plot."""
    if not isinstance(value, list | tuple) or len(value) < _FEWEST_TO_PLOT:
        return None
    if not all(isinstance(item, int | float) and not isinstance(item, bool) for item in value):
        return None
    return np.array(value, dtype=np.float64)


def _planes(array: np.ndarray) -> np.ndarray | None:
    """A picture as [H, W, C]; None if it has not the shape of one."""
    if array.dtype.kind == "c":
        return None
    shape = array.shape
    if array.ndim == 2:
        planes = array[..., None]
    elif array.ndim == 3 and shape[0] in (1, 3, 4):
        planes = array.transpose(1, 2, 0)
    elif array.ndim == 3 and shape[2] in (1, 3, 4):
        planes = array
    else:
        return None
    sides = planes.shape[:2]
    fits = all(_SMALLEST_PICTURE <= side <= _LARGEST_PICTURE for side in sides)
    return planes if fits and max(sides) <= 64 * min(sides) else None


def _shrunk(rgba: np.ndarray, factor: int) -> np.ndarray:
    """Average blocks of factor × factor px; what is left over at two edges is cut off. [H, W, 4]"""
    if factor == 1:
        return rgba
    height, width = (side // factor for side in rgba.shape[:2])
    blocks = rgba[: height * factor, : width * factor]
    return blocks.reshape(height, factor, width, factor, 4).mean(axis=(1, 3))
