"""What is known of any value without looking into it: its type, one line, and the facts of its numbers."""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

LONGEST = 160  # letters of a value in one line
_SHOWN_NUMBERS = 6  # of a tensor's first


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
        array.reshape(-1)[:_SHOWN_NUMBERS], precision=3, separator=", ", max_line_width=400
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


def shape_text(shape: tuple[int, ...]) -> str:
    """A shape as people read it: [68,993 x 3]."""
    return f"[{' x '.join(f'{side:,}' for side in shape)}]"


def one_line(value: object, longest: int = LONGEST) -> str:
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
        self.maxother = self.maxstring = LONGEST
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


def _signature(value: Callable[..., object]) -> str:
    """The parameters' names and defaults; annotations take more room than they tell."""
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return "()"
    none = inspect.Parameter.empty
    bare = [parameter.replace(annotation=none) for parameter in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=none))
