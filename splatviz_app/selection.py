"""Which splats are selected: an immutable value that undo brings back, and its tint in the picture.

A selection speaks of the splats of the head as it was made, before any edit: splat i is the same node of
every head of a model, so a selection outlives a new latent, and edits that delete other splats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from renderer.camera import OrbitRig
from renderer.rasterize import ActiveSplats
from renderer.spherical_harmonics import rgb_to_dc
from splatviz_app.edits.splats import EditedSplats

Combine = Literal["replace", "add", "subtract", "intersect"]

TINT = (1.0, 0.42, 0.0)  # RGB; no skin and no hair has it
_STRENGTH = 0.65  # of the tint; the rest is the splat's own colour
_SKIN = 0.01  # world units behind the surface that is seen, which still belong to it
_FAINT = 0.02  # opacity below which nobody sees a splat


@dataclass(frozen=True)
class Selection:
    """Some of the splats of a head. Plain bytes, so it is compared, hashed and saved by value."""

    count: int  # N, splats of the head before edits
    bits: bytes  # splat i is bit 7 - i % 8 of byte i // 8; those beyond N are 0

    def __post_init__(self) -> None:
        # Not asserts: a project from elsewhere may say so.
        if self.count < 0 or len(self.bits) != (self.count + 7) // 8:
            raise ValueError(f"{len(self.bits)} bytes cannot select of {self.count} splats")
        spare = -self.count % 8
        if spare and self.bits[-1] & (1 << spare) - 1:
            raise ValueError("a selection goes beyond the last splat")

    @staticmethod
    def of(mask: np.ndarray | Tensor) -> Selection:
        """Select the splats where `mask` is true. [N] bool"""
        array = mask.cpu().numpy() if isinstance(mask, Tensor) else mask
        assert array.ndim == 1, array.shape
        assert array.dtype == np.bool_, array.dtype
        return Selection(len(array), np.packbits(array).tobytes())

    @cached_property
    def size(self) -> int:
        """How many splats are selected."""
        return int.from_bytes(self.bits, "big").bit_count()

    def mask(self) -> np.ndarray:
        """Say which splats are selected. [N] bool"""
        packed = np.frombuffer(self.bits, np.uint8)
        return np.unpackbits(packed, count=self.count).view(np.bool_)

    def inverted(self) -> Selection:
        """Select all others instead."""
        return Selection.of(~self.mask())

    def combined(self, other: Selection, how: Combine) -> Selection:
        """Bring together with a newer selection of the same head."""
        assert other.count == self.count, (self.count, other.count)
        change: dict[Combine, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
            "replace": lambda _, new: new,
            "add": lambda old, new: old | new,
            "subtract": lambda old, new: old & ~new,
            "intersect": lambda old, new: old & new,
        }
        return Selection.of(change[how](self.mask(), other.mask()))


def combine(old: Selection | None, new: Selection, how: Combine = "replace") -> Selection | None:
    """Bring a new selection together with what was selected before; nothing selected is None.

    What belonged to a head of another number of splats is forgotten.
    """
    if old is None or old.count != new.count:
        old = Selection(new.count, bytes(len(new.bits)))
    joined = old.combined(new, how)
    return joined if joined.size else None


def selected_rows(selection: Selection | None, splats: EditedSplats) -> Tensor:
    """Say which splats of an edited head are selected; none if the selection is of another head. [M] bool"""
    device = splats.gaussians.means.device
    whole = sum(splats.level_sizes)  # before edits
    if selection is None or selection.count != whole or splats.is_foreign:
        return torch.zeros(splats.count, dtype=torch.bool, device=device)
    mask = torch.from_numpy(selection.mask()).to(device)
    return mask if splats.origin is None else mask[splats.origin]


def selection_of(rows: np.ndarray | Tensor, splats: EditedSplats) -> Selection | None:
    """Select splats of an edited head; None if a script made it anew, so that nothing says which they were.

    Args:
        rows: [M] bool
        splats: The edited head of M splats.
    """
    if splats.is_foreign:
        return None
    mask = torch.from_numpy(np.array(rows)) if isinstance(rows, np.ndarray) else rows
    if splats.origin is None:
        return Selection.of(mask)
    whole = torch.zeros(sum(splats.level_sizes), dtype=torch.bool)
    whole[splats.origin.cpu()[mask.cpu()]] = True
    return Selection.of(whole)


def tinted(splats: ActiveSplats, rows: Tensor) -> ActiveSplats:
    """Show the splats of `rows` [N] bool in the selection's colour; from all sides alike."""
    keep = torch.where(rows, 1 - _STRENGTH, 1.0).to(splats.sh)[:, None, None]  # [N, 1, 1]
    dc = rgb_to_dc(torch.tensor(TINT)).to(splats.sh)
    sh = splats.sh * keep
    sh[:, 0] += (1 - keep[:, 0]) * dc
    return replace(splats, sh=sh)


@dataclass(frozen=True)
class Rectangle:
    """A part of a picture: two corners in any order, each from the top left one, 0 to 1."""

    first: tuple[float, float]
    second: tuple[float, float]


@torch.no_grad()
def inside(
    rectangle: Rectangle,
    splats: EditedSplats,
    rig: OrbitRig,
    depth: np.ndarray,
    through: bool = False,
) -> Tensor:
    """Say which splats have their middle in a rectangle of a picture. [M] bool

    Args:
        rectangle: Where.
        splats: The head as it was drawn.
        rig: The picture's camera.
        depth: Its distances, world units along z, NaN where there is no head. [H, W]
        through: Take those that are hidden behind others, or cannot be seen at all, as well.
    """
    height, width = depth.shape
    head = splats.gaussians
    camera = rig.camera().to(head.means.device, head.means.dtype)
    pose = camera.world_to_cam
    x, y, z = (head.means @ pose[:3, :3].T + pose[:3, 3]).unbind(-1)
    # In the picture's height about its middle, then from the corner, 0 to 1.
    across = 0.5 + camera.focal * x / z * (height / width)
    down = 0.5 + camera.focal * y / z
    low, high = (
        tuple(pick(pair) for pair in zip(rectangle.first, rectangle.second, strict=True))
        for pick in (min, max)
    )
    found = (
        (z > 0) & (across >= low[0]) & (across <= high[0]) & (down >= low[1]) & (down <= high[1])
    )
    if through or not bool(found.any()):
        return found
    rows = (down[found] * height).long().clamp(0, height - 1)
    columns = (across[found] * width).long().clamp(0, width - 1)
    surface = torch.from_numpy(depth).to(z)[rows, columns]
    # The surface is a mean over splats: each may lie behind it by about its own size.
    behind = z[found] - surface - head.scales[found].amax(-1) - _SKIN
    found[found.clone()] = ~(behind > 0) & (head.opacities[found] >= _FAINT)
    return found
