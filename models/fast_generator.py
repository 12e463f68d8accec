"""The fast twin of `CgsGenerator`, for inference: same heads, computed in another order.

What is only weights is worked out once: gains, the embedding of the empty camera label, residual
branch and heads as one matrix. What is only w is one batched product. What children share is
computed on their parents. Nothing here is differentiable.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from models.generator import CgsGenerator, PointGenerator, Precision, Synthesis, w_per_block
from models.layers import (
    GELU_GAIN,
    INSTANCE_EPS,
    LEAKY_GAIN,
    LEAKY_SLOPE,
    FullyConnected,
    TransformerBlock,
    normalize_second_moment,
)
from models.points import (
    ACCUMULATED,
    HALF_CUBE,
    QUAT_EPS,
    ROOT_REACH,
    SQUASH,
    STEPS,
    Placement,
    PointUpsampling,
    roots,
)
from renderer.camera import Camera
from renderer.gaussians import Gaussians

# Nodes are [ratio, 14, P] here: the children of a point apart, so that a parent and its children have
# the same stride along P, the innermost axis, and nothing is repeated. Where the attributes are:
XYZ, SCALE, ROTATION, COLOR, OPACITY = (
    slice(0, 3),
    slice(3, 6),
    slice(6, 10),
    slice(10, 13),
    13,
)
ATTRIBUTES = 14
CHUNK = 16384  # nodes placed at a time on a CPU


class FastGenerator:
    """A CGS generator for inference; a copy, made by `CgsGenerator.prepared`.

    In "float32" it agrees with the plain generator to 5e-5 for values as trained heads have them. In
    random networks, whose raw colours reach 13, both are some 5e-5 of the value from float64.

    In "fast" the products behind all levels but the first run in bfloat16 where the processor has it
    natively; root anchors, heads and placement stay in float32. Pictures of random networks are then
    45 dB from those in float32 (`benchmarks/generator.py`); with bfloat16 throughout, 17 dB.
    """

    num_ws = 1
    conditions_on_camera = False

    @torch.no_grad()
    def __init__(self, generator: CgsGenerator, precision: Precision = "float32") -> None:
        """Fold and pack the weights; they stay on the generator's device."""
        config = self.config = generator.config
        device = generator.w_avg.device
        self.precision: Precision = (
            "fast" if precision == "fast" and has_bfloat16(device) else "float32"
        )
        dtype = torch.bfloat16 if self.precision == "fast" else torch.float32
        self.z_dim, self.w_dim, self.blocks = config.z_dim, config.w_dim, config.blocks
        self.w_avg = generator.w_avg.detach().clone()

        self._mapping = _fold_mapping(generator)
        tree = generator.point_gen
        self._points = tree.conv_in(tree._xyz.tanh())[None]  # [1, P, C]
        self._roots = torch.cat(list(roots(config.points, self._points)), dim=-1).mT  # [1, 14, P]
        blocks = [*tree.transformer.first_layers, *tree.transformer.resblocks]
        self._styles = torch.stack([_fold_styles(block) for block in blocks])  # [blocks, W + 1, 6C]
        # Every splat hangs on a root anchor, so what places those stays in float32: a shift of a
        # pixel there would cost a picture 20 dB.
        exact = torch.float32
        first = config.first_blocks
        self._blocks = [
            _Block(block, exact if i < first else dtype) for i, block in enumerate(blocks)
        ]
        self._levels = [_Level(tree, i, dtype if i else exact) for i in range(config.levels)]

    @torch.no_grad()
    def map(self, z: Tensor, camera: Camera | None = None) -> Tensor:
        """Turn normal random vectors into w; the camera changes nothing. [B, Z] -> [B, 1, W]"""
        assert z.dim() == 2, z.shape
        assert z.shape[1] == self.z_dim, z.shape
        x = normalize_second_moment(z)
        for weight, bias in self._mapping:
            x = nn.functional.leaky_relu_(nn.functional.linear(x, weight, bias), LEAKY_SLOPE)
        return x[:, None]

    def synthesize(self, w: Tensor) -> Gaussians:
        """Turn w into heads. [B, 1 or blocks, W] -> [B, N, …]"""
        return self.synthesize_with_anchors(w).gaussians

    @torch.no_grad()
    def synthesize_with_anchors(self, w: Tensor) -> Synthesis:
        """Do what `synthesize` does, and also say where the root anchors are."""
        heads = len(w)
        # gamma, beta and layer scale of both halves of every block
        ws = w_per_block(w, self.config).transpose(0, 1).contiguous()  # [blocks, B, W]
        styles = torch.baddbmm(self._styles[:, -1:], ws, self._styles[:, :-1])  # [blocks, B, 6C]
        styles = styles.unflatten(-1, (6, 1, -1))  # [blocks, B, 6, 1, C]

        x = self._points.expand(heads, -1, -1)
        parents = self._roots.expand(heads, 1, -1, -1)
        gaussians = _blank(heads, self.config.splats, w.device)
        done = 0
        for number, (block, style) in enumerate(zip(self._blocks, styles, strict=True)):
            x = block(x, style)
            if number < self.config.first_blocks - 1:
                continue
            level = self._levels[number - self.config.first_blocks + 1]
            parents = level(x, parents, self.config.placement, gaussians, done)
            if level.first:
                root_anchors = parents[:, 0, XYZ].mT.contiguous()
            done += self.config.points * level.ratio
        return Synthesis(gaussians, root_anchors)


def has_bfloat16(device: torch.device) -> bool:
    """Say whether bfloat16 products are native there; elsewhere they are slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


class _Linear:
    """A fixed linear layer and its activation, packed for oneDNN on the CPU.

    torch multiplies float32 with MKL, which uses half of an AMD processor's vector width; oneDNN
    does not, and it applies the activation while the result is still in the cache.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        dtype: torch.dtype,
        activation: Literal["none", "gelu", "leaky_relu"],
    ) -> None:
        self.activation = activation
        self.weight, self.bias = weight.to(dtype).contiguous(), bias.to(dtype)
        self.packed = weight.device.type == "cpu" and torch.backends.mkldnn.is_available()
        if self.packed:
            self.weight = torch.ops.mkldnn._reorder_linear_weight(self.weight, None)

    def __call__(self, x: Tensor) -> Tensor:
        """[..., in] of the layer's dtype -> [..., out]"""
        if self.packed:
            scalars = [LEAKY_SLOPE] if self.activation == "leaky_relu" else []
            return torch.ops.mkldnn._linear_pointwise(
                x, self.weight, self.bias, self.activation, scalars, "none"
            )
        y = nn.functional.linear(x, self.weight, self.bias)
        if self.activation == "gelu":
            return nn.functional.gelu(y)
        return nn.functional.leaky_relu_(y, LEAKY_SLOPE) if self.activation == "leaky_relu" else y


def _multiply(x: Tensor, weight: Tensor) -> Tensor:
    """Multiply dense matrices with oneDNN. [N, in], [out, in] -> [N, out]"""
    return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")


class _Block:
    """One transformer block, its styles already computed."""

    def __init__(self, block: TransformerBlock, dtype: torch.dtype) -> None:
        self.dtype, self.heads = dtype, block.attn.heads
        self.qkv = _Linear(*block.attn.c_qkv.folded(), dtype, "none")
        self.mix = _Linear(*block.attn.c_proj.folded(), dtype, "none")
        self.widen = _Linear(*block.mlp.c_fc.folded(), dtype, "gelu")
        weight, bias = block.mlp.c_proj.folded()
        self.narrow = _Linear(weight * GELU_GAIN, bias, dtype, "none")

    def __call__(self, x: Tensor, style: Tensor) -> Tensor:
        """[B, P, C], [B, 6, 1, C] -> [B, P, C]; the sum stays in float32."""
        gamma_1, beta_1, scale_1, gamma_2, beta_2, scale_2 = style.unbind(1)  # each [B, 1, C]
        mixed = self._attend(self.qkv(self._normalize(x, gamma_1, beta_1)))
        x = torch.addcmul(x, self.mix(mixed).float(), scale_1)
        hidden = self.widen(self._normalize(x, gamma_2, beta_2))
        return x.addcmul_(self.narrow(hidden).float(), scale_2)

    def _attend(self, qkv: Tensor) -> Tensor:
        """[B, P, 3C] -> [B, P, C]"""
        split = qkv.unflatten(-1, (self.heads, 3, -1)).permute(3, 0, 2, 1, 4)  # [3, B, heads, P, D]
        query, key, value = split
        if not self.qkv.packed:
            mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        elif self.dtype == torch.bfloat16:
            weights = (query * query.shape[-1] ** -0.5 @ key.mT).softmax(-1)  # [B, heads, P, P]
            mixed = weights @ value
        else:
            # scaled_dot_product_attention and @ multiply float32 with MKL. oneDNN wants them dense.
            query, key, turned = query.contiguous(), key.contiguous(), value.mT.contiguous()
            mixed = torch.zeros_like(query)
            each = zip(*(t.flatten(0, 1) for t in (query, key, turned, mixed)), strict=True)
            for q, k, v, out in each:
                weights = _multiply(q * q.shape[-1] ** -0.5, k).softmax(-1)  # [P, P]
                out.copy_(_multiply(weights, v))
        return mixed.transpose(1, 2).flatten(-2)

    def _normalize(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        centred = x - x.mean(dim=1, keepdim=True)
        deviation = centred.square().mean(dim=1, keepdim=True).sqrt_()
        return torch.addcmul(beta, centred, gamma / (deviation + INSTANCE_EPS)).to(self.dtype)


class _Level:
    """Upsampling, heads and placement of one level."""

    def __init__(self, tree: PointGenerator, level: int, dtype: torch.dtype) -> None:
        self.first, self.step, self.ratio = level == 0, STEPS[level], ACCUMULATED[level]
        upsample = tree.upsample_layers[level]
        assert isinstance(upsample, PointUpsampling)
        self.dtype = dtype
        self.subpixel = _Linear(*upsample.subpixel.folded(), dtype, "leaky_relu")
        # The heads are linear in (residual + √2·leaky)/√2, so each part goes through its own
        # matrix: the leaky part as it is, the residual on the backbone's points instead of on
        # their children.
        self.has_anchors = self.first or level < len(tree.upsample_layers) - 1
        heads = tree.gaussians.of_level(level)
        if self.has_anchors:
            heads += tree.anchors.of_level(level)
        weight, bias = _stack(heads)  # [K, F], [K], K = 28, or 14 where no anchors are needed
        self.placed = ATTRIBUTES if self.first else len(weight)  # channels that hang on parents
        self.heads = weight * (LEAKY_GAIN / math.sqrt(2))
        if isinstance(upsample.res_fc, FullyConnected):
            residual, shift = upsample.res_fc.folded()
            self.residual = weight @ residual / math.sqrt(2)  # [28, C]
            self.bias = bias + weight @ shift / math.sqrt(2)
        else:
            self.residual, self.bias = weight / math.sqrt(2), bias

    def __call__(
        self, x: Tensor, parents: Tensor, placement: Placement, out: Gaussians, start: int
    ) -> Tensor:
        """Write the level's splats into `out` from `start` on and return its anchors.

        [B, P, C], parents [B, ratio / step, 14, P] -> [B, ratio, 14, P], empty for the last level
        """
        heads, points, _ = x.shape
        anchors = x.new_zeros(heads, self.ratio if self.has_anchors else 0, ATTRIBUTES, points)
        # So many children at a time that what is made of them stays in the processor's cache.
        some = self.ratio if x.is_cuda else self.step
        while some < self.ratio and some * points < CHUNK:  # always a divisor of the ratio
            some *= 2
        # Memory for them is taken once: fresh pages from the system cost more than the arithmetic.
        features = x.new_zeros(points, some, self.heads.shape[1])
        offsets = x.new_zeros(some, len(self.heads), points)
        weight = self.heads.expand(some, -1, -1)
        place = slice(start, start + points * self.ratio)
        for head in range(heads):
            children = self.subpixel(x[head].to(self.dtype)).unflatten(-1, (self.ratio, -1))
            shared = self.residual @ x[head].mT + self.bias[:, None]  # [K, P]
            room = out[head].map(lambda tensor: tensor[place].unflatten(0, (points, self.ratio)))
            for first in range(0, self.ratio, some):
                chunk = slice(first, first + some)
                features.copy_(children[:, chunk])
                torch.bmm(weight, features.permute(1, 2, 0), out=offsets)  # [chunk, K, P]
                offsets += shared
                above = parents[head, first // self.step : chunk.stop // self.step]
                if self.first:
                    roots = _place_roots(offsets[:, ATTRIBUTES:], above, placement)
                    anchors[head] = above = roots
                nodes = _place(offsets[:, : self.placed], above, placement)
                if self.placed > ATTRIBUTES:
                    anchors[head, chunk] = nodes[:, ATTRIBUTES:]
                _write(nodes[:, :ATTRIBUTES], room, chunk)
        return anchors


def _place_roots(offsets: Tensor, parents: Tensor, placement: Placement) -> Tensor:
    """Do `points.place(first=True)` within `offsets`. [1, 14, P]"""
    threshold = placement.scale_threshold
    offsets[:, XYZ] *= ROOT_REACH
    rest = offsets[:, 3:].add_(parents[:, 3:])
    rest[:, :3] = threshold - nn.functional.softplus(threshold - rest[:, :3])
    _squash_(rest)
    return offsets


def _place(offsets: Tensor, parents: Tensor, placement: Placement) -> Tensor:
    """Do `points.place` within `offsets`, for splats alone or for splats and anchors.

    [M · step, 14 or 28, P], parents [M, 14, P]
    """
    extent = parents[:, SCALE].exp()
    axes = _axes(parents[:, ROTATION], extent)[:, None, None]  # [M, 1, 1, 3, 3, P]
    split = (parents[:, SCALE] - math.log(placement.split_ratio)).clamp_(-100, 0)
    is_split = extent.amax(dim=1, keepdim=True) > placement.percent_dense
    largest = torch.where(is_split, split, parents[:, SCALE])[:, None, None]
    parents = parents[:, None, None]  # [M, 1, 1, 14, P]

    # Siblings, and a splat and an anchor of each, see the same parent. [M, step, 1 or 2, 14, P]
    family = offsets.unflatten(0, (len(extent), -1)).unflatten(2, (-1, ATTRIBUTES))
    xyz, scale, rest = family[..., XYZ, :], family[..., SCALE, :], family[..., 6:, :]
    within = (2 * xyz).sigmoid_().mul_(2).sub_(1)  # tanh
    moved = torch.addcmul(parents[..., XYZ, :], axes[..., 0, :], within[..., :1, :])
    moved.addcmul_(axes[..., 1, :], within[..., 1:2, :])
    torch.addcmul(moved, axes[..., 2, :], within[..., 2:, :], out=xyz)
    torch.sub(largest, nn.functional.softplus(scale.neg_()), out=scale)
    rest += parents[..., 6:, :]
    _squash_(family[..., 3:, :])
    return offsets


def _axes(quats: Tensor, extent: Tensor) -> Tensor:
    """Say how each axis of a parent moves a child: R(q / (|q| + eps)) · diag(extent).

    R as in `points.rotate`. [M, 4, P], [M, 3, P] -> [M, 3, 3, P], axis j in column j
    """
    length = quats.square().sum(dim=1, keepdim=True).sqrt_()
    w, x, y, z = (quats / (length + QUAT_EPS)).unbind(1)  # each [M, P]
    a, b, c = (2 * x, 2 * y, 2 * z)
    rows = [
        1 - b * y - c * z, a * y - c * w, a * z + b * w,
        a * y + c * w, 1 - a * x - c * z, b * z - a * w,
        a * z - b * w, b * z + a * w, 1 - a * x - b * y,
    ]  # fmt: skip
    return torch.stack(rows, dim=1).unflatten(1, (3, 3)).mul_(extent[:, None])


def _squash_(x: Tensor) -> None:
    """Do `points.squash` in place.

    tanh(v) is 2·sigmoid(2v) - 1, and torch's sigmoid is ten times as fast as its tanh. It is 2e-6 off
    where x is near 0.
    """
    x.mul_(2 / SQUASH).sigmoid_().mul_(2 * SQUASH).sub_(SQUASH)


def _blank(heads: int, splats: int, device: torch.device) -> Gaussians:
    """Make room for what the levels write."""
    return Gaussians(
        *(
            torch.zeros(heads, splats, *rest, device=device)
            for rest in ((3,), (3,), (4,), (), (1, 3))
        )
    )


def _write(nodes: Tensor, out: Gaussians, chunk: slice) -> None:
    """Put nodes [chunk, 14, P] into a level [P, ratio, …], and no splat outside the cube."""
    nodes = nodes.permute(2, 0, 1)  # [P, chunk, 14]
    out.means[:, chunk] = nodes[..., XYZ].clamp(-HALF_CUBE, HALF_CUBE)
    out.log_scales[:, chunk] = nodes[..., SCALE]
    out.quats[:, chunk] = nodes[..., ROTATION]
    out.sh[:, chunk, 0] = nodes[..., COLOR]
    out.opacity_logits[:, chunk] = nodes[..., OPACITY]


def _fold_mapping(generator: CgsGenerator) -> list[tuple[Tensor, Tensor]]:
    """Fold gains, and the label that is always zero, into the mapping network's layers."""
    network = generator.mapping_network
    folded = [layer.folded() for layer in network.layers()]
    weight, bias = folded[0]
    empty = normalize_second_moment(
        network.embed(weight.new_zeros(1, network.embed.weight.shape[1]))
    )
    folded[0] = (
        weight[:, : -empty.shape[1]],
        bias + (weight[:, -empty.shape[1] :] @ empty.mT)[:, 0],
    )
    return [((LEAKY_GAIN * weight).contiguous(), LEAKY_GAIN * bias) for weight, bias in folded]


def _fold_styles(block: TransformerBlock) -> Tensor:
    """Stack what a block makes of w, transposed, the biases as the last row. [W + 1, 6C]"""
    layers = [
        block.ln_1.gamma,
        block.ln_1.beta,
        block.ls_1,
        block.ln_2.gamma,
        block.ln_2.beta,
        block.ls_2,
    ]
    weight, bias = _stack(layers)
    return torch.cat([weight, bias[:, None]], dim=1).mT


def _stack(layers: list[FullyConnected]) -> tuple[Tensor, Tensor]:
    """Stack layers that see the same input. [out, in], [out]"""
    weights, biases = zip(*(layer.folded() for layer in layers), strict=True)
    return torch.cat(weights), torch.cat(biases)
