"""Edits without code, one frozen record each. What they delete is only left out of the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from renderer.camera import Vector
from splatviz_app.edits.splats import EditedSplats
from splatviz_app.edits.values import Edit, EditContext

Color = tuple[float, float, float]

_LUMA = (0.2126, 0.7152, 0.0722)  # Rec. 709: how bright red, green and blue appear
_MAX_LOGIT = 13.8  # an opacity of 1 - 1e-6


@dataclass(frozen=True, kw_only=True)
class Opacity(Edit):
    """Makes all splats more or less opaque."""

    title: ClassVar[str] = "Opacity"
    help: ClassVar[str] = "Multiplies the opacity of every splat."

    factor: float = 1.0

    def apply(self, splats: EditedSplats, context: EditContext) -> EditedSplats:
        """Multiply."""
        if self.factor == 1:
            return splats
        opacities = (splats.gaussians.opacities * self.factor).clamp(0, 1)
        return splats.with_(opacity_logits=opacities.logit().clamp(-_MAX_LOGIT, _MAX_LOGIT))


@dataclass(frozen=True, kw_only=True)
class Scale(Edit):
    """Makes all splats larger or smaller, in their places."""

    title: ClassVar[str] = "Splat size"
    help: ClassVar[str] = "Makes every splat larger or smaller, in its place."

    factor: float = 1.0

    def apply(self, splats: EditedSplats, context: EditContext) -> EditedSplats:
        """Add the factor's logarithm."""
        if self.factor == 1:
            return splats
        return splats.with_(
            log_scales=splats.gaussians.log_scales + math.log(max(self.factor, 1e-6))
        )


@dataclass(frozen=True, kw_only=True)
class Saturation(Edit):
    """Makes colours stronger or greyer at the same brightness."""

    title: ClassVar[str] = "Saturation"
    help: ClassVar[str] = "0 is grey, 1 leaves colours as they are, above 1 makes them stronger."

    factor: float = 1.0

    def apply(self, splats: EditedSplats, context: EditContext) -> EditedSplats:
        """Go from grey through the colour."""
        grey = torch.tensor(_LUMA).expand(3, 3)
        return _recolored(splats, grey + self.factor * (torch.eye(3) - grey))


@dataclass(frozen=True, kw_only=True)
class Exposure(Edit):
    """Makes colours brighter or darker."""

    title: ClassVar[str] = "Exposure"
    help: ClassVar[str] = "In stops: +1 is twice as bright, -1 half as bright."

    stops: float = 0.0

    def apply(self, splats: EditedSplats, context: EditContext) -> EditedSplats:
        """Multiply by 2^stops."""
        return _recolored(splats, 2 ** min(max(self.stops, -30), 30) * torch.eye(3))


@dataclass(frozen=True, kw_only=True)
class Hue(Edit):
    """Turns colours around the colour circle."""

    title: ClassVar[str] = "Hue"
    help: ClassVar[str] = "Turns all colours around the colour circle; grey stays grey."

    angle: float = 0.0  # radians

    def apply(self, splats: EditedSplats, context: EditContext) -> EditedSplats:
        """Rotate RGB about the grey axis (Rodrigues' formula)."""
        third, cross = 1 / 3, 1 / math.sqrt(3)
        axis = torch.full((3, 3), third)
        around = torch.tensor([[0, -cross, cross], [cross, 0, -cross], [-cross, cross, 0]])
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        return _recolored(splats, axis + cos * (torch.eye(3) - axis) + sin * around)


@dataclass(frozen=True, kw_only=True)
class Tint(Edit):
    """Mixes colours with shades of one colour."""

    title: ClassVar[str] = "Tint"
    help: ClassVar[str] = "Mixes every colour with a shade of one, as a coloured print would."

    color: Color = (1.0, 0.72, 0.45)
    strength: float = 0.5  # 0 to 1

    def apply(self, splats: EditedSplats, context: EditContext) -> EditedSplats:
        """Mix c with brightness(c) · colour."""
        shade = torch.tensor(self.color)[:, None] * torch.tensor(_LUMA)
        return _recolored(splats, (1 - self.strength) * torch.eye(3) + self.strength * shade)


@dataclass(frozen=True, kw_only=True)
class CropBox(Edit):
    """Keeps what is inside an upright box, or outside of it."""

    title: ClassVar[str] = "Crop box"
    help: ClassVar[str] = "Keeps the splats inside a box, or those outside."

    center: Vector = (0.0, 0.0, 0.0)  # world units
    size: Vector = (0.8, 0.8, 0.8)  # world units, of its sides
    outside: bool = False

    def apply(self, splats: EditedSplats, context: EditContext) -> EditedSplats:
        """Compare each coordinate."""
        means = splats.gaussians.means
        away = (means - torch.tensor(self.center).to(means)).abs()
        inside = (away <= torch.tensor(self.size).to(means) / 2).all(dim=1)
        return splats.keep(inside != self.outside)


@dataclass(frozen=True, kw_only=True)
class CropSphere(Edit):
    """Keeps what is inside a sphere, or outside of it."""

    title: ClassVar[str] = "Crop sphere"
    help: ClassVar[str] = "Keeps the splats inside a sphere, or those outside."

    center: Vector = (0.0, 0.0, 0.0)  # world units
    radius: float = 0.4  # world units
    outside: bool = False

    def apply(self, splats: EditedSplats, context: EditContext) -> EditedSplats:
        """Compare the distance."""
        means = splats.gaussians.means
        away = (means - torch.tensor(self.center).to(means)).square().sum(dim=1)
        return splats.keep((away <= self.radius * self.radius) != self.outside)


@dataclass(frozen=True, kw_only=True)
class DeleteLevels(Edit):
    """Deletes splats of some levels of the generator."""

    title: ClassVar[str] = "Delete levels"
    help: ClassVar[str] = "Deletes the splats of some of the generator's levels, coarse to fine."

    levels: tuple[int, ...] = ()

    def apply(self, splats: EditedSplats, context: EditContext) -> EditedSplats:
        """Look each splat's level up."""
        if not self.levels:
            return splats
        levels = splats.levels()
        unwanted = torch.tensor(self.levels, device=levels.device)
        return splats.keep(~torch.isin(levels, unwanted))


@dataclass(frozen=True, kw_only=True)
class DeleteBySize(Edit):
    """Deletes splats that are smaller or larger than wanted."""

    title: ClassVar[str] = "Delete by size"
    help: ClassVar[str] = (
        "Keeps splats whose largest standard deviation lies in a range, world units."
    )

    low: float = 0.0  # world units
    high: float = 0.05

    def apply(self, splats: EditedSplats, context: EditContext) -> EditedSplats:
        """Compare the longest axis, in logarithms."""
        longest = splats.gaussians.log_scales.amax(dim=1)
        return splats.keep((longest >= _log(self.low)) & (longest <= _log(self.high)))


@dataclass(frozen=True, kw_only=True)
class DeleteByOpacity(Edit):
    """Deletes splats that are less or more opaque than wanted."""

    title: ClassVar[str] = "Delete by opacity"
    help: ClassVar[str] = "Keeps splats whose opacity lies in a range, 0 to 1."

    low: float = 0.05
    high: float = 1.0

    def apply(self, splats: EditedSplats, context: EditContext) -> EditedSplats:
        """Compare."""
        opacities = splats.gaussians.opacities
        return splats.keep((opacities >= self.low) & (opacities <= self.high))


def _recolored(splats: EditedSplats, matrix: Tensor) -> EditedSplats:
    return splats if torch.equal(matrix, torch.eye(3)) else splats.recolored(matrix)


def _log(length: float) -> float:
    return math.log(length) if length > 0 else -math.inf
