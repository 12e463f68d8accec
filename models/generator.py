"""The CGS-GAN generator (Barthel et al. 2025): from z to w, and from w to a tree of Gaussians.

`HeadGenerator` is what every family of generators looks like from outside. `CgsGenerator` is the
plain and trainable definition, `prepared()` its fast twin. Parameters have their published names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from models.layers import (
    FullyConnected,
    TransformerBlock,
    draw_normal,
    normalize_second_moment,
)
from models.points import (
    ACCUMULATED,
    HALF_CUBE,
    STEPS,
    NodeHeads,
    Nodes,
    Placement,
    PointUpsampling,
    PositionalEncoding,
    place,
    roots,
)
from renderer.camera import Camera
from renderer.gaussians import Gaussians

if TYPE_CHECKING:
    from models.fast_generator import FastGenerator

CAMERA_LABEL = 25  # numbers of a camera label
Precision = Literal["float32", "fast"]


@runtime_checkable
class HeadGenerator(Protocol):
    """A trained family of heads. Not `Generator`: in this code that word is Python's."""

    @property
    def z_dim(self) -> int:
        """Width of z."""
        ...

    @property
    def w_dim(self) -> int:
        """Width of w."""
        ...

    @property
    def num_ws(self) -> int:
        """How many w a head has."""
        ...

    @property
    def blocks(self) -> int:
        """How many w a head can have: one for each block, from coarse to fine."""
        ...

    @property
    def conditions_on_camera(self) -> bool:
        """Whether `map` looks at the camera; if not, a knob for it is dead."""
        ...

    @property
    def w_avg(self) -> Tensor:
        """The mean of w over z. [W]"""
        ...

    def map(self, z: Tensor, camera: Camera | None = None) -> Tensor:
        """Turn normal random vectors into w. [B, Z] -> [B, num_ws, W]"""
        ...

    def synthesize(self, w: Tensor) -> Gaussians:
        """Turn w into heads. [B, num_ws or blocks, W] -> [B, N, …]"""
        ...


@dataclass(frozen=True)
class CgsConfig:
    """The shape of a CGS generator and its three constants; default widths are the published."""

    # Side of the training pictures in pixels; sets the size of the smallest splats.
    resolution: int
    # Channels of each level's nodes; as many as there are levels.
    features: tuple[int, ...]
    # Log scale that no root anchor exceeds, world units.
    scale_threshold: float
    # Parents larger than this are split, others cloned, world units.
    percent_dense: float
    # How much smaller the children of a split parent are.
    split_ratio: float
    # Points of the backbone.
    points: int = 512
    # Channels of the backbone.
    width: int = 512
    # Channels within a block's MLP.
    hidden: int = 2048
    # Attention heads of a block.
    heads: int = 8
    # Blocks before the first level; each further level adds one.
    first_blocks: int = 6
    # Width of z.
    z_dim: int = 512
    # Width of w.
    w_dim: int = 512
    # Layers of the mapping network.
    mapping_depth: int = 2
    # Learning rate of the mapping network, relative to the rest.
    mapping_lr: float = 0.01
    # Columns of the constant positional table; only the middle two are used.
    table: int = 512

    def __post_init__(self) -> None:
        if not 1 <= self.levels <= len(ACCUMULATED):
            raise ValueError(f"has {self.levels} levels; a generator has 1 to {len(ACCUMULATED)}")
        sizes = (*self.features, self.points, self.width, self.hidden, self.z_dim, self.w_dim)
        if not all(1 <= size <= 2**16 for size in (*sizes, self.table, self.resolution)):
            raise ValueError("has a width that is not between 1 and 65536")
        if not all(1 <= depth <= 64 for depth in (self.first_blocks, self.mapping_depth)):
            raise ValueError("has a depth that is not between 1 and 64")
        if self.heads < 1 or self.width % self.heads or self.width % 2 or self.table % 2:
            raise ValueError("has a width that is odd or no multiple of its heads, or an odd table")
        if not (
            all(map(math.isfinite, (*self.placement, self.mapping_lr))) and self.split_ratio > 0
        ):
            raise ValueError("has constants that are not numbers, or a ratio of 0")

    @staticmethod
    def for_resolution(resolution: int, *, points: int = 512, width: int = 512) -> CgsConfig:
        """Return the published configuration for pictures of 256, 512, 1024 or 2048 px.

        Args:
            resolution: A power of two, 16 to 2048; below 256 it makes generators of fewer levels.
            points, width: Of the backbone; smaller than 512 for small generators.
        """
        levels = round(math.log2(resolution)) - 3
        if 2 ** (levels + 3) != resolution or not 1 <= levels <= len(ACCUMULATED):
            raise ValueError(f"the resolution is a power of two from 16 to 2048, not {resolution}")
        features = [max(16, width >> level) for level in range(levels)]
        if levels == len(ACCUMULATED):
            features[-1] = 8  # as the current release of the 2048 model has it; its first had 16
        placement = placement_of(resolution, points)
        return CgsConfig(
            resolution=resolution,
            features=tuple(features),
            points=points,
            width=width,
            hidden=4 * width,
            heads=max(1, width // 64),
            w_dim=width,
            table=512 if width == 512 else 2,
            **placement._asdict(),
        )

    @property
    def levels(self) -> int:
        """How many levels the tree has."""
        return len(self.features)

    @property
    def blocks(self) -> int:
        """How many transformer blocks there are."""
        return self.first_blocks + self.levels - 1

    @property
    def splats(self) -> int:
        """How many splats a head has."""
        return sum(self.level_sizes)

    @property
    def level_sizes(self) -> tuple[int, ...]:
        """How many splats each level of the tree has, coarse to fine: a head is made in that order."""
        return tuple(self.points * nodes for nodes in ACCUMULATED[: self.levels])

    @property
    def placement(self) -> Placement:
        """The constants by which children are placed."""
        return Placement(self.scale_threshold, self.percent_dense, self.split_ratio)


def placement_of(resolution: int, points: int = 512) -> Placement:
    """Compute the placement constants from the resolution in px, as the published models have them.

    Root splats are as large as `points` of them need to fill the head, the last level's as a pixel;
    the ratio between spreads evenly over the levels.

    Raises:
        ValueError: No generator has such pictures or points. The message continues a file's name.
    """
    if resolution < 16 or points < 1:
        raise ValueError(
            f"has pictures of {resolution} px and {points} points; "
            "a CGS generator has pictures of 16 px or more and a point or more"
        )
    scale_init = math.log(0.5 / math.sqrt(points))
    scale_end = math.log(0.5 / resolution)
    steps = math.log2(2 * (resolution // 4)) - 3
    # One level has no steps between, and nothing is split there.
    ratio = math.exp((scale_init - scale_end) / steps) if steps else 1.0
    return Placement(scale_init, math.exp(scale_end), ratio)


class Synthesis(NamedTuple):
    """A batch of heads, and what training looks at besides."""

    gaussians: Gaussians  # [B, N, …]
    anchors: Tensor  # [B, points, 3]  where the root anchors are, world units


class MappingNetwork(nn.Module):
    """From z and a camera label to w."""

    w_avg: Tensor  # [W]  running mean of w, kept by training

    def __init__(self, config: CgsConfig) -> None:
        """Build `fc0`, `fc1`, … after the embedding of the camera label."""
        super().__init__()
        self.embed = FullyConnected(CAMERA_LABEL, config.w_dim)
        widths = [config.z_dim + config.w_dim] + [config.w_dim] * config.mapping_depth
        self.depth = config.mapping_depth
        for layer, (n_in, n_out) in enumerate(pairwise(widths)):
            self.add_module(
                f"fc{layer}", FullyConnected(n_in, n_out, "lrelu", lr_mult=config.mapping_lr)
            )
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    def layers(self) -> list[FullyConnected]:
        """Return the layers after the embedding, in order."""
        return [self.get_submodule(f"fc{layer}") for layer in range(self.depth)]  # type: ignore[misc]

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        """[B, Z], [B, 25] -> [B, W]"""
        x = torch.cat(
            [normalize_second_moment(z), normalize_second_moment(self.embed(label))], dim=-1
        )
        for layer in self.layers():
            x = layer(x)
        return x


class Transformer(nn.Module):
    """The backbone: features of each point after the first blocks, and after each further one."""

    def __init__(self, config: CgsConfig) -> None:
        """Build `first_blocks` blocks, then one for each level after the first."""
        super().__init__()

        def block() -> TransformerBlock:
            return TransformerBlock(config.width, config.hidden, config.heads, config.w_dim)

        self.first_layers = nn.ModuleList(block() for _ in range(config.first_blocks))
        self.resblocks = nn.ModuleList(block() for _ in range(config.levels - 1))

    def forward(self, x: Tensor, w: Tensor) -> list[Tensor]:
        """[B, P, C], [B, blocks, W] -> the features of each level, each [B, P, C]"""
        ws = iter(w.unbind(dim=1))
        for block in self.first_layers:
            x = block(x, next(ws))
        levels = [x]
        for block in self.resblocks:
            x = block(x, next(ws))
            levels.append(x)
        return levels


class PointGenerator(nn.Module):
    """From w to a tree of splats."""

    def __init__(self, config: CgsConfig) -> None:
        """Build the backbone, the upsampling and the heads."""
        super().__init__()
        self.placement = config.placement
        self._xyz = nn.Parameter(_strew(config.points))
        self.conv_in = PositionalEncoding(config.width, config.table)
        self.transformer = Transformer(config)
        self.upsample_layers = nn.ModuleList(
            PointUpsampling(config.width, features, ratio)
            for features, ratio in zip(config.features, ACCUMULATED, strict=False)
        )
        self.anchors = NodeHeads(config.features)  # the last level's are in the files but unused
        self.gaussians = NodeHeads(config.features)

    def forward(self, w: Tensor) -> tuple[list[Nodes], Nodes]:
        """[B, blocks, W] -> the splats of each level, and the root anchors."""
        points = self.conv_in(self._xyz.tanh())  # [P, C]
        levels = self.transformer(points.expand(len(w), -1, -1), w)

        splats: list[Nodes] = []
        parents = roots(len(self._xyz), like=points)
        for level, features in enumerate(levels):
            children = self.upsample_layers[level](features)  # [B, P · ACCUMULATED, F]
            parents = parents.repeated(STEPS[level])
            if level == 0:
                offsets = self.anchors.decode(children, 0)
                parents = root_anchors = place(offsets, parents, self.placement, first=True)
            splats.append(place(self.gaussians.decode(children, level), parents, self.placement))
            if 0 < level < len(levels) - 1:
                parents = place(self.anchors.decode(children, level), parents, self.placement)
        return splats, root_anchors


class CgsGenerator(nn.Module):
    """The generator as published: plain, differentiable, trainable."""

    num_ws = 1
    conditions_on_camera = False  # the networks have the input, but were always fed zeros

    def __init__(self, config: CgsConfig) -> None:
        """Build it with fresh weights; on the meta device with none, to be loaded."""
        super().__init__()
        self.config = config
        self.mapping_network = MappingNetwork(config)
        self.point_gen = PointGenerator(config)

    @property
    def z_dim(self) -> int:
        """Width of z."""
        return self.config.z_dim

    @property
    def w_dim(self) -> int:
        """Width of w."""
        return self.config.w_dim

    @property
    def blocks(self) -> int:
        """How many blocks can have a w of their own."""
        return self.config.blocks

    @property
    def w_avg(self) -> Tensor:
        """The mean of w over z. [W]"""
        return self.mapping_network.w_avg

    def map(self, z: Tensor, camera: Camera | None = None) -> Tensor:
        """Turn normal random vectors into w; the camera changes nothing. [B, Z] -> [B, 1, W]"""
        assert z.dim() == 2, z.shape
        assert z.shape[1] == self.z_dim, z.shape
        return self.mapping_network(z, z.new_zeros(len(z), CAMERA_LABEL))[:, None]

    def synthesize(self, w: Tensor) -> Gaussians:
        """Turn w into heads.

        Args:
            w: One for all blocks [B, 1, W], or one for each [B, blocks, W].

        Returns:
            Splat i is the same node of the same tree in every head of a model. [B, N, …]
        """
        return self.synthesize_with_anchors(w).gaussians

    def synthesize_with_anchors(self, w: Tensor) -> Synthesis:
        """Do what `synthesize` does, and also say where the root anchors are."""
        splats, anchors = self.point_gen(w_per_block(w, self.config))
        xyz, scale, rotation, color, opacity = (
            torch.cat(attribute, dim=1) for attribute in zip(*splats, strict=True)
        )
        gaussians = Gaussians(
            means=xyz.clamp(-HALF_CUBE, HALF_CUBE),
            log_scales=scale,
            quats=rotation,
            opacity_logits=opacity[..., 0],
            sh=color[..., None, :],
        )
        return Synthesis(gaussians, anchors.xyz)

    forward = synthesize

    def prepared(self, precision: Precision = "float32") -> FastGenerator:
        """Return a copy for inference; later training of this one does not change it."""
        from models.fast_generator import (
            FastGenerator,
        )  # here, because it is built from this module

        return FastGenerator(self, precision)


def w_per_block(w: Tensor, config: CgsConfig) -> Tensor:
    """Give each block its w. [B, 1 or blocks, W] -> [B, blocks, W]"""
    assert w.dim() == 3, w.shape
    assert w.shape[1] in (1, config.blocks), w.shape
    assert w.shape[2] == config.w_dim, w.shape
    return w.expand(-1, config.blocks, -1)


def config_from_state(
    shapes: Mapping[str, torch.Size], constants: Mapping[str, float | int] | None = None
) -> CgsConfig:
    """Read a generator's configuration from the names and shapes of its tensors.

    Args:
        shapes: Of all parameters and buffers, by their published names.
        constants: What shapes cannot say, where the file says it: `resolution`, `heads`,
            `mapping_lr`, `scale_threshold`, `percent_dense`, `split_ratio`. The rest follows the
            published models.

    Raises:
        ValueError: This is no CGS generator. The message continues the file's name.
    """
    constants = constants or {}

    def shape(name: str, rank: int) -> torch.Size:
        found = shapes.get(name)
        if found is None:
            raise ValueError(f"holds no CGS generator: the tensor {name} is missing")
        if len(found) != rank:
            raise ValueError(f"holds no CGS generator: {name} has the shape {tuple(found)}")
        return found

    points = shape("point_gen._xyz", 2)[0]
    blocks = "point_gen.transformer.first_layers"
    hidden, width = shape(f"{blocks}.0.mlp.c_fc.weight", 2)
    levels = _count(shapes, r"point_gen\.upsample_layers\.(\d+)\.")
    if not 1 <= levels <= len(ACCUMULATED):
        raise ValueError(
            f"has {levels} levels of splats; a CGS generator has 1 to {len(ACCUMULATED)}"
        )
    features = tuple(
        shape(f"point_gen.gaussians.xyz.{level}.weight", 2)[1] for level in range(levels)
    )
    depth = _count(shapes, r"mapping_network\.fc(\d+)\.")
    w_dim, embedding = (
        shape("mapping_network.w_avg", 1)[0],
        shape("mapping_network.embed.bias", 1)[0],
    )
    resolution = int(constants.get("resolution", 2 ** (levels + 3)))
    placement = placement_of(resolution, points)._asdict()
    return CgsConfig(
        resolution=resolution,
        features=features,
        points=points,
        width=width,
        hidden=hidden,
        heads=int(constants.get("heads", max(1, width // 64))),
        first_blocks=_count(shapes, blocks.replace(".", r"\.") + r"\.(\d+)\."),
        z_dim=shape("mapping_network.fc0.weight", 2)[1] - embedding,
        w_dim=w_dim,
        mapping_depth=depth,
        mapping_lr=float(constants.get("mapping_lr", 0.01)),
        table=shape("point_gen.conv_in.const_pe.const_pe", 4)[3],
        **{name: float(constants.get(name, value)) for name, value in placement.items()},
    )


def expected_shapes(config: CgsConfig) -> dict[str, torch.Size]:
    """Return the names and shapes of the tensors of such a generator, without making any."""
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in CgsGenerator(config).state_dict().items()}


def _strew(points: int) -> Tensor:
    """Draw random directions, their mean square 0.3². [points, 3]"""
    drawn = draw_normal(points, 3)
    return drawn if drawn.is_meta else 0.3 * normalize_second_moment(drawn)


def _count(names: Mapping[str, torch.Size], pattern: str) -> int:
    """Count modules numbered from 0: one more than the largest number found."""
    count = 1 + max(
        (int(match[1]) for match in (re.match(pattern, name) for name in names) if match),
        default=-1,
    )
    if count > len(names):
        raise ValueError(f"numbers a module {count - 1} but has only {len(names)} tensors")
    return count
