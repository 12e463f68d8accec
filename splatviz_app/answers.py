"""A Python value to what a panel can show of it: text, facts, a picture, a histogram, a tree.

Nothing here runs a user's code but the properties that the user opened and `repr`.
"""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass, replace
from functools import partial
from itertools import islice
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

Path = tuple[str, ...]  # the labels from a value down to a part of it

_DEEPEST = 8  # levels of a tree
_MOST_CHILDREN = 200  # of one node
_LONGEST = 160  # letters of a value in one line
_SHOWN_NUMBERS = 8  # of a tensor's first
_FEWEST_TO_PLOT = 8  # numbers
_SMALLEST_PICTURE, _LARGEST_PICTURE = 8, 16384  # px on a side
_SHOWN_SIDE = 640  # px; larger pictures are averaged down
_OURS = ("splatviz_app.", "renderer.", "models.")  # their properties only compute
_SCALARS = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device)


@dataclass(frozen=True)
class Plot:
    """How numbers are counted into a histogram."""

    # Bars side by side.
    bins: int = 64
    # Equal bars are equal factors instead of equal steps; what is not above 0 is left out.
    log: bool = False
    # Which column of per-splat data [N, C]; -1 for all together.
    column: int = -1


@dataclass(frozen=True)
class Facts:
    """What is known of a tensor or array."""

    shape: tuple[int, ...]
    dtype: str
    device: str  # "numpy" for an array
    low: float | None  # of the finite numbers; None if there are none
    high: float | None
    mean: float | None
    deviation: float | None  # standard
    nans: int
    infinities: int
    head: str  # the first numbers


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


@dataclass(frozen=True)
class Node:
    """A part of a value in a tree."""

    label: str  # ".name", "[3]", "['key']"
    kind: str  # the name of its type
    text: str
    can_open: bool
    children: tuple[Node, ...] | None  # None while it is closed
    more: int = 0  # children that are not listed


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
    if isinstance(value, (np.generic, *_SCALARS)):
        return View(kind, one_line(value, longest=4000))
    numbers = _as_numbers(value)
    histogram = histogram_of(numbers, plot) if numbers is not None else None
    tree = node_of("", value, (), opened)
    return View(kind, one_line(value), histogram=histogram, tree=tree)


def type_name(value: object) -> str:
    """The name of a value's type, as people write it."""
    module = type(value).__module__.partition(".")[0]
    name = type(value).__qualname__
    return f"{module}.{name}" if module in ("torch", "numpy") else name


def as_array(value: Tensor | np.ndarray) -> np.ndarray | None:
    """The numbers of a dense tensor or array in main memory; None if it holds none."""
    if isinstance(value, Tensor):
        if value.layout is not torch.strided:
            return None
        value = value.detach()
        if value.dtype in (torch.bfloat16, torch.float16):
            value = value.float()
        value = value.cpu().resolve_conj().resolve_neg().numpy()
    return value if value.dtype.kind in "biufc" else None


def facts_of(value: Tensor | np.ndarray, array: np.ndarray) -> Facts:
    """Measure a tensor whose numbers are `array`."""
    real = np.abs(array) if array.dtype.kind == "c" else array
    finite = np.isfinite(real)
    whole = bool(finite.all())
    numbers = real if whole else real[finite]
    some = numbers.size > 0
    head = np.array2string(
        array.reshape(-1)[:_SHOWN_NUMBERS], precision=4, separator=", ", max_line_width=400
    )
    return Facts(
        shape=tuple(array.shape),
        dtype=str(value.dtype).removeprefix("torch."),
        device=str(value.device) if isinstance(value, Tensor) else "numpy",
        low=float(numbers.min()) if some else None,
        high=float(numbers.max()) if some else None,
        mean=float(numbers.mean(dtype=np.float64)) if some else None,
        deviation=float(numbers.std(dtype=np.float64)) if some else None,
        nans=0 if whole else int(np.isnan(real).sum()),
        infinities=0 if whole else int(np.isinf(real).sum()),
        head=head if array.size <= _SHOWN_NUMBERS else head.removesuffix("]") + ", …]",
    )


def histogram_of(numbers: np.ndarray, plot: Plot) -> Histogram | None:
    """Count numbers into bars; None if none can be counted."""
    numbers = numbers.reshape(-1)
    usable = np.isfinite(numbers) & (numbers > 0) if plot.log else np.isfinite(numbers)
    used = numbers[usable].astype(np.float64)
    if not used.size:
        return None
    low, high = float(used.min()), float(used.max())
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


def node_of(label: str, value: object, path: Path, opened: frozenset[Path]) -> Node:
    """Look at one part of a value, and below it as far as it is open."""
    can_open = len(path) < _DEEPEST and _has_children(value)
    if not can_open or path not in opened:
        return Node(label, type_name(value), one_line(value), can_open, None)
    parts = list(islice(_parts(value), _MOST_CHILDREN + 1))
    total = _count(value, len(parts))
    children = tuple(_child(part, path, opened) for part in parts[:_MOST_CHILDREN])
    more = max(0, total - len(children))
    return Node(label, type_name(value), one_line(value), True, children, more)


def shape_text(shape: tuple[int, ...]) -> str:
    """A shape as people read it: [68,993 x 3]."""
    return f"[{' x '.join(f'{side:,}' for side in shape)}]"


def one_line(value: object, longest: int = _LONGEST) -> str:
    """A value in at most `longest` letters, whatever its own `repr` does."""
    if isinstance(value, Tensor | np.ndarray):
        if value.ndim == 0:
            return str(value.item())
        kind = str(value.dtype).removeprefix("torch.")
        away = isinstance(value, Tensor) and value.device.type != "cpu"
        where = f" on {value.device}" if away else ""
        return f"{shape_text(tuple(value.shape))} {kind}{where}"
    if isinstance(value, str):
        text = repr(value[: longest + 1])
    elif isinstance(value, ModuleType):
        text = f"module {value.__name__}"
    elif callable(value) and hasattr(value, "__name__"):
        text = f"{value.__name__}{_signature(value)}"
    else:
        text = _short.repr(value)
    text = text.replace("\n", " ")
    return text if len(text) <= longest else text[: longest - 1] + "…"


# ---- inside


class _ShortRepr(reprlib.Repr):
    """`repr` that stays short, and calls no `repr` of large things."""

    def __init__(self) -> None:
        super().__init__()
        self.maxother = self.maxstring = _LONGEST
        self.maxlist = self.maxtuple = self.maxset = self.maxdict = 24
        self.maxlevel = 3

    def repr1(self, x: Any, level: int) -> str:
        if isinstance(x, Tensor | np.ndarray):
            return one_line(x)
        return super().repr1(x, level)

    def repr_instance(self, x: Any, level: int) -> str:
        # What a dataclass writes of itself is long: its tree says it.
        if type(x).__repr__ is object.__repr__ or is_dataclass(x):
            return type_name(x)
        return super().repr_instance(x, level)


_short = _ShortRepr()


def _array_view(
    value: Tensor | np.ndarray, array: np.ndarray, plot: Plot, selected: np.ndarray
) -> View:
    facts, splats = facts_of(value, array), len(selected)
    per_splat, columns = None, 0
    of_splats = splats > 0 and array.shape[0] == splats
    image = None if of_splats and array.size // splats <= 64 else image_of(array)
    plotted = array
    if of_splats and array.dtype.kind != "c":
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


@dataclass(frozen=True)
class _Part:
    """A part of a value, and the way to read it."""

    label: str
    read: Callable[[], object]
    runs_code: bool = False  # of the user's, when it is read


@dataclass(frozen=True)
class _Fact:
    """A fact of a tensor: shown, not looked into."""

    value: object


def _is_ours(value: object) -> bool:
    return f"{type(value).__module__}.".startswith(_OURS)


def _has_children(value: object) -> bool:
    if isinstance(value, (*_SCALARS, np.generic)) or _is_function(value):
        return False
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return len(value) > 0
    if isinstance(value, Tensor | np.ndarray):
        return value.ndim > 0
    return next(_parts(value), None) is not None


def _count(value: object, listed: int) -> int:
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return len(value)
    return sum(1 for _ in _parts(value)) if listed > _MOST_CHILDREN else listed


def _parts(value: object) -> Iterator[_Part]:
    if isinstance(value, Tensor | np.ndarray):
        yield from _array_parts(value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield _kept(f"[{one_line(key, 60)}]", item)
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        for name, item in zip(value._fields, value, strict=False):
            yield _kept(f".{name}", item)
    elif isinstance(value, list | tuple | set | frozenset):
        for index, item in enumerate(value):
            yield _kept(f"[{index}]", item)
    else:
        yield from _attributes(value)


def _kept(label: str, item: object) -> _Part:
    return _Part(label, lambda: item)


def _array_parts(value: Tensor | np.ndarray) -> Iterator[_Part]:
    array = as_array(value)
    if array is None:
        return
    facts = facts_of(value, array)
    for name in ("low", "high", "mean", "deviation", "nans", "infinities", "head"):
        found = getattr(facts, name)
        if found is not None:
            yield _kept(name, _Fact(found))


def _attributes(value: object) -> Iterator[_Part]:
    """Attributes, found without running any code: first data, then properties, then methods."""
    if _is_ours(value) and "__dir__" in vars(type(value)):
        for name in type(value).__dir__(value):  # in its own order
            yield _Part(f".{name}", partial(getattr, value, name))
        return
    names = [name for name in _static_names(value) if not name.startswith("__")]
    if isinstance(value, ModuleType):
        names = [name for name in names if not name.startswith("_")]
    found = {name: inspect.getattr_static(value, name, None) for name in names}
    for name in sorted(names, key=lambda name: (_rank(found[name]), name.lstrip("_"))):
        runs_code = _is_computed(found[name]) and not _is_ours(value)
        yield _Part(f".{name}", partial(getattr, value, name), runs_code)


def _static_names(value: object) -> list[str]:
    own = list(getattr(value, "__dict__", {}))
    if isinstance(value, type | ModuleType):
        return own
    shared = [name for kind in type(value).__mro__ if kind is not object for name in vars(kind)]
    return list(dict.fromkeys(own + shared))


def _rank(attribute: object) -> int:
    if _is_computed(attribute):
        return 1
    return 2 if _is_function(attribute) else 0


def _is_computed(attribute: object) -> bool:
    """Whether reading it runs code: a property or another descriptor, but not a method or a slot."""
    if _is_function(attribute) or inspect.ismemberdescriptor(attribute):
        return False
    return hasattr(type(attribute), "__get__")


def _is_function(attribute: object) -> bool:
    return inspect.isroutine(attribute) or isinstance(attribute, classmethod | staticmethod)


def _child(part: _Part, path: Path, opened: frozenset[Path]) -> Node:
    here = (*path, part.label)
    if part.runs_code and here not in opened:
        return Node(part.label, "property", "open it to compute it", True, None)
    try:
        value = part.read()
    except Exception as error:  # noqa: BLE001 - a property of the user's may raise anything
        return Node(part.label, type(error).__name__, str(error)[:_LONGEST], False, None)
    if isinstance(value, _Fact):
        shown = value.value if isinstance(value.value, str) else one_line(value.value)
        return Node(part.label, "", shown, False, None)
    return node_of(part.label, value, here, opened)


def _signature(value: Callable[..., object]) -> str:
    """The parameters' names and defaults; annotations take more room than they tell."""
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return "()"
    none = inspect.Parameter.empty
    bare = [parameter.replace(annotation=none) for parameter in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=none))
