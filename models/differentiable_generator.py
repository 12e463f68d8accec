"""The fast differentiable twin of `CgsGenerator`: same heads, same gradients, in another order.

As in `fast_generator.py`, what children share is computed on their parents, residual branch and heads
are one matrix, and products go through oneDNN. It owns no weights: it computes with those of the plain
generator, which is the definition, and gradients arrive there.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from models.fast_generator import has_bfloat16
from models.generator import CgsGenerator, PointGenerator, Precision, w_per_block
from models.layers import (
    GELU_GAIN,
    INSTANCE_EPS,
    LEAKY_SLOPE,
    FullyConnected,
    SelfAttention,
    TransformerBlock,
)
from models.points import (
    HALF_CUBE,
    QUAT_EPS,
    ROOT_REACH,
    Placement,
    PointUpsampling,
    squash,
)
from renderer.gaussians import Gaussians

# Nodes are [14, ratio, P · B] here: attributes apart, the children of a point apart, heads innermost.
XYZ, SCALE, ROTATION, COLOR, OPACITY = (slice(0, 3), slice(3, 6), slice(6, 10), slice(10, 13), 13)
ATTRIBUTES = 14
_ROOT = (0, 0, 0, -5, -5, -5, 1, 0, 0, 0, 0, 0, 0, math.log(0.1 / 0.9))  # as `points.roots`


class DifferentiableGenerator:
    """Computes what a plain generator does, and its gradients, about twice as fast on a CPU.

    Values are float32 throughout. With "fast", the products that only carry gradients run in bfloat16
    where the processor has it natively: gradients are then a few thousandths of their length off,
    while heads remain exact. With "float32" both agree with the plain generator to rounding.
    """

    def __init__(self, generator: CgsGenerator, precision: Precision = "fast") -> None:
        """Compute with `generator`'s own parameters, whichever need gradients."""
        self.generator, self.config = generator, generator.config
        self.rounded = precision == "fast" and has_bfloat16(generator.w_avg.device)
        tree = generator.point_gen
        self._blocks: list[TransformerBlock] = [
            *tree.transformer.first_layers,
            *tree.transformer.resblocks,
        ]
        # What is only weights need not be worked out again while they stay.
        self._is_frozen = not any(p.requires_grad for p in tree.parameters())
        self._styles: list[tuple[Tensor, Tensor]] = []
        self._folded: list[_LevelWeights] = []
        if self._is_frozen:
            with torch.no_grad():
                self._styles = [_styles(block) for block in self._blocks]
                self._folded = [_LevelWeights(tree, level) for level in range(self.config.levels)]

    def synthesize(self, w: Tensor) -> Gaussians:
        """Turn w into heads. [B, 1 or blocks, W] -> [B, N, …]"""
        config, tree, heads = self.config, self.generator.point_gen, len(w)
        ws = w_per_block(w, config)
        points = tree.conv_in(tree._xyz.tanh())  # [P, C]
        x = points.repeat_interleave(heads, dim=0)  # [P · B, C], the heads of a point together
        parents = x.new_tensor(_ROOT)[:, None, None].expand(-1, 1, len(x))  # [14, 1, P · B]

        levels = []
        for number, block in enumerate(self._blocks):
            styles = self._styles[number] if self._is_frozen else _styles(block)
            x = self._block(block, x, nn.functional.linear(ws[:, number], *styles))
            level = number - config.first_blocks + 1
            if level >= 0:
                weights = self._folded[level] if self._is_frozen else _LevelWeights(tree, level)
                nodes, parents = self._level(weights, x, parents)
                # [B, P · ratio, 14], the children of a point next to each other
                nodes = nodes.unflatten(2, (config.points, heads)).permute(3, 2, 1, 0)
                levels.append(nodes.flatten(1, 2))
        splats = torch.cat(levels, dim=1)
        return Gaussians(
            means=splats[..., XYZ].clamp(-HALF_CUBE, HALF_CUBE),
            log_scales=splats[..., SCALE],
            quats=splats[..., ROTATION],
            opacity_logits=splats[..., OPACITY],
            sh=splats[..., None, COLOR],
        )

    # ── parts ───────────────────────────────────────────────────────────────────────────────────

    def _linear(self, layer: FullyConnected, x: Tensor, gain: float = 1.0) -> Tensor:
        """Apply a layer; its gain goes to x, which is smaller than its weights."""
        y = _Product.apply(x * (layer.weight_gain * gain), layer.weight, self.rounded)
        return y + layer.bias * layer.bias_gain

    def _block(self, block: TransformerBlock, x: Tensor, style: Tensor) -> Tensor:
        """[P · B, C], [B, 6C] -> [P · B, C]"""
        heads = len(style)
        gamma_1, beta_1, scale_1, gamma_2, beta_2, scale_2 = style.chunk(6, dim=1)  # each [B, C]
        mixed = self._attend(block.attn, _normalize(x, gamma_1, beta_1), heads)
        x = x + _times(mixed, scale_1)
        hidden = self._linear(block.mlp.c_fc, _normalize(x, gamma_2, beta_2))
        narrow = self._linear(block.mlp.c_proj, nn.functional.gelu(hidden), GELU_GAIN)
        return x + _times(narrow, scale_2)

    def _attend(self, attention: SelfAttention, x: Tensor, heads: int) -> Tensor:
        """[P · B, C] -> [P · B, C]"""
        qkv = self._linear(attention.c_qkv, x)  # [P · B, 3C]
        split = qkv.unflatten(1, (attention.heads, 3, -1)).unflatten(0, (-1, heads))
        split = split.permute(3, 1, 2, 0, 4).flatten(1, 2)  # [3, B · heads, P, D]
        if x.is_cuda:
            mixed = nn.functional.scaled_dot_product_attention(*split)
        else:
            mixed = _Attention.apply(*split.unbind(0), self.rounded)
        mixed = mixed.unflatten(0, (heads, -1)).permute(2, 0, 1, 3)  # [P, B, heads, D]
        return self._linear(attention.c_proj, mixed.flatten(0, 1).flatten(1))

    def _level(self, weights: _LevelWeights, x: Tensor, parents: Tensor) -> tuple[Tensor, Tensor]:
        """Make a level's splats and anchors.

        [P · B, C], parents [14, ratio / step, P · B] -> [14, ratio, P · B] twice, the second empty
        where no level follows.
        """
        upsample, placement = weights.upsample, self.config.placement
        subpixel = upsample.subpixel
        # Rows from [ratio, features] to [features, ratio]: then heads are one product for all children.
        rows = subpixel.weight.unflatten(0, (upsample.ratio, -1)).transpose(0, 1).flatten(0, 1)
        bias = subpixel.bias.unflatten(0, (upsample.ratio, -1)).mT.flatten() * subpixel.bias_gain
        children = _Product.apply(rows, x * subpixel.weight_gain, self.rounded)
        children = nn.functional.leaky_relu(children + bias[:, None], LEAKY_SLOPE)
        offsets = weights.heads @ children.unflatten(0, (upsample.features, -1)).flatten(1)
        shared = weights.residual @ x.mT + weights.bias[:, None]  # [K, P · B]
        offsets = offsets.unflatten(1, (upsample.ratio, -1)) + shared[:, None]
        if weights.is_first:
            parents = _place_roots(offsets[ATTRIBUTES:], parents, placement)
            return _place(offsets[:ATTRIBUTES], parents, placement)[0], parents
        placed = _place(offsets, parents, placement)
        return placed[0], placed[-1]


class _LevelWeights:
    """What one level makes of the backbone's points, folded as far as weights alone allow."""

    def __init__(self, tree: PointGenerator, level: int) -> None:
        """Fold; differentiable in the weights."""
        upsample = tree.upsample_layers[level]
        assert isinstance(upsample, PointUpsampling)
        self.upsample, self.is_first = upsample, level == 0
        layers = tree.gaussians.of_level(level)
        if self.is_first or level < len(tree.upsample_layers) - 1:
            layers = layers + tree.anchors.of_level(level)
        folded = [layer.folded() for layer in layers]
        weight = torch.cat([w for w, _ in folded])  # [14 or 28, F]
        self.bias = torch.cat([b for _, b in folded])
        # Heads see (residual + √2 · leaky) / √2; the residual part is the same for all children.
        self.heads, self.residual = weight, weight / math.sqrt(2)
        if isinstance(upsample.res_fc, FullyConnected):
            residual, shift = upsample.res_fc.folded()
            self.bias = self.bias + weight @ shift / math.sqrt(2)
            self.residual = weight @ residual / math.sqrt(2)  # [K, C]


def _styles(block: TransformerBlock) -> tuple[Tensor, Tensor]:
    """Stack what a block makes of w. [6C, W], [6C]"""
    layers = [
        block.ln_1.gamma,
        block.ln_1.beta,
        block.ls_1,
        block.ln_2.gamma,
        block.ln_2.beta,
        block.ls_2,
    ]
    folded = [layer.folded() for layer in layers]
    return torch.cat([w for w, _ in folded]), torch.cat([b for _, b in folded])


def _normalize(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """Do what `AdaptiveInstanceNorm` does. [P · B, C], [B, C]

    It is a batch norm whose batch are the points. The plain one adds epsilon to the deviation, this one
    its square to the variance, which is the same where a channel varies and where it does not.
    """
    heads, width = gamma.shape
    flat = x.view(-1, heads * width)
    normal = nn.functional.batch_norm(
        flat, None, None, gamma.flatten(), beta.flatten(), training=True, eps=INSTANCE_EPS**2
    )
    return normal.view(-1, width)


def _times(x: Tensor, scale: Tensor) -> Tensor:
    """[P · B, C], [B, C]"""
    if len(scale) == 1:
        return x * scale
    return (x.unflatten(0, (-1, len(scale))) * scale).flatten(0, 1)


def _place_roots(offsets: Tensor, parents: Tensor, placement: Placement) -> Tensor:
    """Do `points.place(first=True)`. [14, 1, P · B] each"""
    threshold = placement.scale_threshold
    scale = threshold - offsets[SCALE] - parents[SCALE]
    scale = threshold - nn.functional.softplus(scale)
    rest = torch.cat([scale, offsets[6:] + parents[6:]])
    return torch.cat([ROOT_REACH * offsets[XYZ], squash(rest)])


def _place(offsets: Tensor, parents: Tensor, placement: Placement) -> Tensor:
    """Do `points.place`, for splats alone or for splats and anchors.

    [14 or 28, ratio, P · B], parents [14, ratio / step, P · B] -> [1 or 2, 14, ratio, P · B]
    """
    count = parents.shape[1]
    extent = parents[SCALE].exp()
    axes = _axes(parents[ROTATION], extent)[..., None, :]  # [3, 3, M, 1, P · B]
    split = (parents[SCALE] - math.log(placement.split_ratio)).clamp(-100, 0)
    is_split = extent.amax(dim=0) > placement.percent_dense
    largest = torch.where(is_split, split, parents[SCALE])[:, :, None]  # [3, M, 1, P · B]
    above = parents[:, :, None]

    # Siblings, and a splat and an anchor of each, see the same parent. [1 or 2, 14, M, step, P · B]
    family = offsets.unflatten(1, (count, -1)).unflatten(0, (-1, ATTRIBUTES))
    within = family[:, XYZ].tanh()
    xyz = above[XYZ] + axes[:, 0] * within[:, :1]
    xyz = xyz + axes[:, 1] * within[:, 1:2] + axes[:, 2] * within[:, 2:]
    scale = largest - nn.functional.softplus(-family[:, SCALE])
    rest = squash(torch.cat([scale, family[:, 6:] + above[6:]], dim=1))
    return torch.cat([xyz, rest], dim=1).flatten(2, 3)


def _axes(quats: Tensor, extent: Tensor) -> Tensor:
    """Say how each axis of a parent moves a child: R(q / (|q| + eps)) · diag(extent).

    R as in `points.rotate`. [4, M, P], [3, M, P] -> [3, 3, M, P], axis j in column j
    """
    length = quats.square().sum(dim=0, keepdim=True).sqrt()
    w, x, y, z = (quats / (length + QUAT_EPS)).unbind(0)  # each [M, P]
    a, b, c = (2 * x, 2 * y, 2 * z)
    rows = [
        1 - b * y - c * z, a * y - c * w, a * z + b * w,
        a * y + c * w, 1 - a * x - c * z, b * z - a * w,
        a * z - b * w, b * z + a * w, 1 - a * x - b * y,
    ]  # fmt: skip
    return torch.stack(rows).unflatten(0, (3, 3)) * extent


# ── products ────────────────────────────────────────────────────────────────────────────────────────


def _multiply(x: Tensor, y: Tensor) -> Tensor:
    """[N, K] · [M, K]ᵀ; on a CPU with oneDNN, since torch takes MKL for float32: see `fast_generator`."""
    if x.device.type == "cpu" and torch.backends.mkldnn.is_available():
        return torch.ops.mkldnn._linear_pointwise(x, y, None, "none", [], "")
    return x @ y.mT


def _multiply_back(slope: Tensor, other: Tensor, rounded: bool) -> Tensor:
    """[N, M] · [M, K] in float32, or rounded to bfloat16 before."""
    if rounded:
        return (slope.bfloat16() @ other.bfloat16()).float()
    return _multiply(slope.contiguous(), other.mT.contiguous())


class _Product(torch.autograd.Function):
    """x · yᵀ in float32; what goes back is multiplied in bfloat16 if `rounded`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, rounded: bool) -> Tensor:
        """[N, K], [M, K] -> [N, M]"""
        x_needs, y_needs, _ = ctx.needs_input_grad
        ctx.save_for_backward(x if y_needs else None, y if x_needs else None)
        ctx.rounded = rounded
        return _multiply(x.contiguous(), y.contiguous())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """[N, M] -> [N, K], [M, K]"""
        x, y = ctx.saved_tensors
        to_x = to_y = None
        if ctx.needs_input_grad[0]:
            to_x = _multiply_back(slope, y, ctx.rounded)
        if ctx.needs_input_grad[1]:
            to_y = _multiply_back(slope.mT, x, ctx.rounded)
        return to_x, to_y, None


class _Attention(torch.autograd.Function):
    """Softmax(q · kᵀ / √D) · v on a CPU; what goes back is multiplied in bfloat16 if `rounded`."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, rounded: bool) -> Tensor:
        """[B · heads, P, D] each"""
        scale = query.shape[-1] ** -0.5
        query, key = (scale * query).contiguous(), key.contiguous()
        turned = value.mT.contiguous()
        weights, mixed = [], []
        for q, k, v in zip(query, key, turned, strict=True):
            weights.append(_multiply(q, k).softmax(-1))  # [P, P]
            mixed.append(_multiply(weights[-1], v))
        ctx.rounded, ctx.scale = rounded, scale
        ctx.save_for_backward(query, key, value, torch.stack(weights))
        return torch.stack(mixed)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """[B · heads, P, D]"""
        query, key, value, weights = ctx.saved_tensors
        kind = torch.bfloat16 if ctx.rounded else torch.float32
        slope = slope.to(kind)
        to_value = weights.to(kind).mT @ slope
        to_weights = (slope @ value.to(kind).mT).float()
        # The slope of a softmax: s · (g - Σ s · g).
        to_logits = torch._softmax_backward_data(to_weights, weights, -1, torch.float32).to(kind)
        to_query = ctx.scale * (to_logits @ key.to(kind)).float()
        to_key = (to_logits.mT @ query.to(kind)).float()
        return to_query, to_key, to_value.float(), None
