"""From the backbone's points to a tree of splats: encoding, upsampling, heads, placement.

Level i of the tree holds `ACCUMULATED[i]` nodes for each backbone point. Anchors are inner nodes,
on which the next level hangs; every level also carries the splats that are drawn.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.layers import FullyConnected, draw_normal

ACCUMULATED = (1, 4, 16, 64, 128, 256, 512, 1024)  # nodes of a level for each backbone point
STEPS = (1, 4, 4, 4, 2, 2, 2, 2)  # children of a node of the level before
SQUASH = 20.0  # raw attributes stay within ±20, which keeps quaternions from growing without end
HALF_CUBE = 0.5  # world units; no splat leaves the cube around the head
ROOT_REACH = 0.2  # world units that an output of 1 moves a root anchor
QUAT_EPS = 0.001  # added to a quaternion's length, so an anchor turns its children by slightly less
CHANNELS = {"xyz": 3, "scale": 3, "rotation": 4, "color": 3, "opacity": 1}


class Nodes(NamedTuple):
    """Nodes of one level of the tree before activation."""

    xyz: Tensor  # [B, N, 3]  world units
    scale: Tensor  # [B, N, 3]  natural log of world units
    rotation: Tensor  # [B, N, 4]  wxyz, not normalised
    color: Tensor  # [B, N, 3]  spherical harmonics DC
    opacity: Tensor  # [B, N, 1]  logit

    def repeated(self, times: int) -> Nodes:
        """Repeat each node `times` times, next to itself."""
        return Nodes(*(tensor.repeat_interleave(times, dim=1) for tensor in self))


class Placement(NamedTuple):
    """The three numbers by which children are scaled; they follow from the training resolution."""

    scale_threshold: float  # log scale that no root anchor exceeds
    percent_dense: float  # world units; parents larger than this are split, others cloned
    split_ratio: float  # how much smaller the children of a split parent are


def roots(points: int, like: Tensor) -> Nodes:
    """Return what the first anchors hang on: small, grey, faint, at the origin. [1, points, …]"""

    def everywhere(*values: float) -> Tensor:
        return torch.tensor(values, dtype=like.dtype, device=like.device).expand(1, points, -1)

    return Nodes(
        xyz=everywhere(0, 0, 0),
        scale=everywhere(-5, -5, -5),
        rotation=everywhere(1, 0, 0, 0),
        color=everywhere(0, 0, 0),
        opacity=everywhere(math.log(0.1 / 0.9)),
    )


def place(offsets: Nodes, parents: Nodes, placement: Placement, first: bool = False) -> Nodes:
    """Turn the heads' outputs into nodes that hang on `parents`.

    Args:
        offsets: What the heads say, relative to the parents. [B, N, …]
        parents: One for each node. [B or 1, N, …]
        placement: The constants of the model.
        first: Whether these are the root anchors, which move freely instead of within a parent.
    """
    if first:
        xyz = ROOT_REACH * offsets.xyz
        # Softly held below the threshold: thr - softplus(thr - s) is about min(s, thr).
        threshold = placement.scale_threshold
        scale = threshold - nn.functional.softplus(threshold - (parents.scale + offsets.scale))
    else:
        # A child stays within its parent's ellipsoid, and is at most as large as it.
        extent = parents.scale.exp()
        turn = parents.rotation / (parents.rotation.norm(dim=-1, keepdim=True) + QUAT_EPS)
        xyz = rotate(turn, extent * offsets.xyz.tanh()) + parents.xyz
        split = (parents.scale - math.log(placement.split_ratio)).clamp(-100, 0)
        is_split = extent.amax(dim=-1, keepdim=True) > placement.percent_dense
        scale = torch.where(is_split, split, parents.scale) - nn.functional.softplus(-offsets.scale)
    return Nodes(
        xyz,
        squash(scale),
        squash(offsets.rotation + parents.rotation),
        squash(offsets.color + parents.color),
        squash(offsets.opacity + parents.opacity),
    )


def squash(x: Tensor) -> Tensor:
    """Keep values within ±20, smoothly."""
    return SQUASH * torch.tanh(x / SQUASH)


def rotate(quats: Tensor, vectors: Tensor) -> Tensor:
    """Rotate vectors by quaternions without building matrices.

    Equal to R(q)·v with the usual matrix R(q), also where |q| is not 1 and R(q) no rotation.

    Args:
        quats: wxyz. [..., 4]
        vectors: [..., 3]
    """
    w, axis = quats[..., :1], quats[..., 1:]
    return vectors + 2 * torch.linalg.cross(axis, w * vectors + torch.linalg.cross(axis, vectors))


class PositionalEncoding(nn.Module):
    """Features of the backbone's points from where they are: learned waves, and a learned table."""

    def __init__(self, width: int, table: int) -> None:
        """Give half of `width` to the waves, half to a table of `table` columns."""
        super().__init__()
        assert width % 2 == 0, width
        assert table % 2 == 0, table
        self.learnable_pe = nn.ModuleDict(
            {"ffm": nn.ModuleDict({"linear": nn.Linear(3, width // 2)})}
        )
        bound = math.sqrt(9 / 3)
        nn.init.uniform_(self._waves.weight, -bound, bound)
        self.const_pe = nn.ParameterDict({"const_pe": draw_normal(3, width // 2, 1, table)})

    @property
    def _waves(self) -> nn.Linear:
        return self.get_submodule("learnable_pe.ffm.linear")  # type: ignore[return-value]

    def forward(self, xyz: Tensor) -> Tensor:
        """Points in (-1, 1) [P, 3] -> features [P, width]"""
        # The published networks look the coordinate up along the table's axis of height 1, and
        # stand still in the middle of the wide one: a slip that their weights have grown around.
        table = self.const_pe["const_pe"][:, :, 0]  # [3, C, table]
        middle = table.shape[-1] // 2
        column = 0.5 * (table[..., middle - 1] + table[..., middle])  # [3, C]
        fade = 1 - xyz.abs() / 2  # [P, 3]
        return torch.cat([self._waves(xyz).sin(), fade @ column / math.sqrt(3)], dim=-1)


class PointUpsampling(nn.Module):
    """One backbone point to `ratio` children: itself repeated, plus something learned for each."""

    def __init__(self, width: int, features: int, ratio: int) -> None:
        """Give each child `features` channels."""
        super().__init__()
        self.features, self.ratio = features, ratio
        self.subpixel = FullyConnected(width, features * ratio, "lrelu")
        self.res_fc = FullyConnected(width, features) if features != width else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[B, P, C] -> [B, P · ratio, features], the children of a point next to each other."""
        learned = self.subpixel(x).unflatten(-1, (self.ratio, self.features)).flatten(1, 2)
        return (self.res_fc(x).repeat_interleave(self.ratio, dim=1) + learned) / math.sqrt(2)


class NodeHeads(nn.ModuleDict):
    """What turns features into attributes: for each attribute one layer per level."""

    def __init__(self, features: tuple[int, ...]) -> None:
        """Build the heads of every level; `features` are their widths."""

        def head(name: str, width: int) -> FullyConnected:
            return FullyConnected(
                width,
                CHANNELS[name],
                weight_init=0.1 if name in ("scale", "rotation") else 1.0,
                bias_init=-1.0 if name == "scale" else 0.0,
            )

        super().__init__(
            {name: nn.ModuleList(head(name, width) for width in features) for name in CHANNELS}
        )

    def of_level(self, level: int) -> list[FullyConnected]:
        """Return the five layers of one level in the order of `Nodes`."""
        return [self[name][level] for name in Nodes._fields]  # type: ignore[index]

    def decode(self, features: Tensor, level: int) -> Nodes:
        """[B, N, features of the level] -> what to add to the parents."""
        return Nodes(*(layer(features) for layer in self.of_level(level)))
