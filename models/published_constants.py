"""The numbers of a published generator that the shapes of its tensors do not tell.

Releases keep them in different places: as constructor arguments, attributes or buffers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from models.legacy_pickle import PublishedNetwork
from models.points import Placement


def constants_of(network: PublishedNetwork) -> dict[str, float | int]:
    """Find the constants that `generator.config_from_state` asks for, wherever the network has them.

    Buffers come first, then plain attributes, then constructor arguments; what is nowhere follows
    from the resolution.
    """
    arguments = list(_numbers("", network.init_kwargs))
    attributes = [(path, value) for path, value in network.attributes.items() if _is_number(value)]
    buffers = [
        (path, tensor.item())
        for path, tensor in network.state.items()
        if tensor.numel() == 1 and not tensor.is_complex()
    ]
    found: dict[str, float] = {}  # later places win
    for path, value in [*arguments, *attributes, *buffers]:
        found[path.rpartition(".")[2]] = float(value)  # type: ignore[arg-type]

    constants: dict[str, float | int] = {}
    resolution = _resolution(dict(arguments))
    if resolution is not None:
        constants["resolution"] = resolution
    if "scale_end" in found:
        constants["percent_dense"] = math.exp(min(found["scale_end"], 0.0))
    if "scale_init" in found:
        constants["scale_threshold"] = found["scale_init"]
    return constants | {name: found[name] for name in Placement._fields if name in found}


def _resolution(arguments: dict[str, float]) -> int | None:
    """Read the side of the pictures in px, if the outermost arguments have a power of two for it."""
    for name in ("img_resolution", "resolution"):
        side = arguments.get(name)
        if side is not None and side.is_integer() and math.frexp(side)[0] == 0.5:
            return int(side)
    return None


def _numbers(path: str, value: object) -> Iterator[tuple[str, float]]:
    """Walk nested arguments and yield the numbers by their dotted names."""
    if _is_number(value):
        yield path, float(value)  # type: ignore[arg-type]
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _numbers(f"{path}.{name}" if path else str(name), item)


def _is_number(value: object) -> bool:
    """Whether a value is a number of everyday size; NaN is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e30
