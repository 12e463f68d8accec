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

# Where an attribute's channels are in the [B, 14, N] tensors of this file.
XYZ, SCALE, ROTATION, COLOR, OPACITY = (
    slice(0, 3),
    slice(3, 6),
    slice(6, 10),
    slice(10, 13),
    slice(13, 14),
)
ATTRIBUTES = 14
CHUNK = 16384  # nodes placed at a time on a CPU


class FastGenerator:
    """A CGS generator for inference; a copy, made by `CgsGenerator.prepared`.

    In "float32" it agrees with the plain generator to 5e-5, of the value where that is above 1. In
    "fast" the products behind all levels but the first run in bfloat16 where the processor has it
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
        self.z_dim, self.w_dim = config.z_dim, config.w_dim
        self.w_avg = generator.w_avg.detach().clone()

        self._mapping = _fold_mapping(generator)
        tree = generator.point_gen
        self._points = tree.conv_in(tree._xyz.tanh())[None]  # [1, P, C]
        self._roots = torch.cat(
            list(roots(config.points, like=self._points)), dim=-1
        ).mT  # [1, 14, P]
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
        parents = self._roots.expand(heads, -1, -1)
        gaussians = _blank(heads, self.config.splats, w.device)
        done = 0
        for number, (block, style) in enumerate(zip(self._blocks, styles, strict=True)):
            x = block(x, style)
            if number < self.config.first_blocks - 1:
                continue
            level = self._levels[number - self.config.first_blocks + 1]
            parents = level(x, parents, self.config.placement, gaussians, done)
            if level.first:
                root_anchors = parents[:, XYZ].mT.contiguous()
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
        if self.qkv.packed:
            # scaled_dot_product_attention multiplies with MKL too. oneDNN wants dense factors.
            query, key, turned = query.contiguous(), key.contiguous(), value.mT.contiguous()
            mixed = torch.empty_like(query)
            for head, k, v, out in zip(
                *(t.flatten(0, 1) for t in (query, key, turned, mixed)), strict=True
            ):
                weights = _multiply(head * head.shape[-1] ** -0.5, k).softmax(-1)  # [P, P]
                out.copy_(_multiply(weights, v))
        else:
            mixed = nn.functional.scaled_dot_product_attention(query, key, value)
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
        self.features, self.dtype = upsample.features, dtype
        self.subpixel = _Linear(*upsample.subpixel.folded(), dtype, "leaky_relu")
        # The heads are linear in (residual + √2·leaky)/√2, so each part goes through its own
        # matrix: the leaky part as it is, the residual on the backbone's points instead of on
        # their children.
        self.has_anchors = self.first or level < len(tree.upsample_layers) - 1
        heads = tree.gaussians.of_level(level)
        if self.has_anchors:
            heads += tree.anchors.of_level(level)
        weight, bias = _stack(heads)  # [K, F], [K], K = 28, or 14 where no anchors are needed
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

        [B, P, C], parents [B, 14, P · ratio / step] -> [B, 14, P · ratio], empty for the last level
        """
        heads, points, _ = x.shape
        anchors = x.new_zeros(heads, ATTRIBUTES, points * self.ratio if self.has_anchors else 0)
        # So many points at a time that what is made of them stays in the processor's cache.
        some = points if x.is_cuda else max(1, CHUNK // self.ratio)
        for head in range(heads):
            children = self.subpixel(x[head].to(self.dtype))  # [P, ratio · F]
            shared = self.residual @ x[head].mT + self.bias[:, None]  # [K, P]
            for first in range(0, points, some):
                chunk = slice(first, min(first + some, points))
                features = children[chunk].reshape(-1, self.features).float()
                offsets = (self.heads @ features.mT).unflatten(-1, (-1, self.ratio))
                offsets += shared[:, chunk, None]
                nodes = offsets.flatten(1)  # [K, chunk · ratio]
                above = parents[head][
                    :, first * self.ratio // self.step : chunk.stop * self.ratio // self.step
                ]
                own, rest = nodes[:ATTRIBUTES], nodes[ATTRIBUTES:]
                if self.first:
                    above = _place_roots(rest, above, placement)
                    anchors[head][:, chunk] = above
                elif self.has_anchors:
                    below = slice(first * self.ratio, chunk.stop * self.ratio)
                    anchors[head][:, below] = _place(rest, above, self.step, placement)
                _write(
                    _place(own, above, self.step, placement), out, head, start + first * self.ratio
                )
        return anchors


def _place_roots(offsets: Tensor, parents: Tensor, placement: Placement) -> Tensor:
    """Do `points.place(first=True)` within `offsets`. [14, P]"""
    threshold = placement.scale_threshold
    offsets[XYZ] *= ROOT_REACH
    rest = offsets[3:].add_(parents[3:])
    rest[:3] = threshold - nn.functional.softplus(threshold - rest[:3])
    _squash_(rest)
    return offsets


def _place(offsets: Tensor, parents: Tensor, step: int, placement: Placement) -> Tensor:
    """Do `points.place` within `offsets`. [14, M · step], parents [14, M]"""
    extent = parents[SCALE].exp()
    axes = _axes(parents[ROTATION], extent)  # [3, 3, M]  column j: how axis j moves a child
    split = (parents[SCALE] - math.log(placement.split_ratio)).clamp_(-100, 0)
    is_split = extent.amax(dim=0) > placement.percent_dense
    largest = torch.where(is_split, split, parents[SCALE])

    family = offsets.unflatten(-1, (-1, step))  # [14, M, step]
    within = family[XYZ].tanh()
    xyz = torch.addcmul(parents[XYZ, :, None], axes[:, 0, :, None], within[:1])
    xyz.addcmul_(axes[:, 1, :, None], within[1:2])
    torch.addcmul(xyz, axes[:, 2, :, None], within[2:3], out=family[XYZ])
    shrink = nn.functional.softplus(family[SCALE].neg_())
    torch.sub(largest[..., None], shrink, out=family[SCALE])
    family[6:].add_(parents[6:, :, None])
    _squash_(offsets[3:])
    return offsets


def _axes(quats: Tensor, extent: Tensor) -> Tensor:
    """Return R(q / (|q| + eps)) · diag(extent), R as in `points.rotate`. -> [3, 3, M]"""
    length = quats.square().sum(dim=0).sqrt_()
    w, x, y, z = quats / (length + QUAT_EPS)  # each [M]
    a, b, c = (2 * x, 2 * y, 2 * z)
    rows = [
        1 - b * y - c * z, a * y - c * w, a * z + b * w,
        a * y + c * w, 1 - a * x - c * z, b * z - a * w,
        a * z - b * w, b * z + a * w, 1 - a * x - b * y,
    ]  # fmt: skip
    return torch.stack(rows).unflatten(0, (3, 3)).mul_(extent)


def _squash_(x: Tensor) -> None:
    """Do `points.squash` in place."""
    x.mul_(1 / SQUASH).tanh_().mul_(SQUASH)


def _blank(heads: int, splats: int, device: torch.device) -> Gaussians:
    """Make room for what the levels write."""
    return Gaussians(
        *(
            torch.zeros(heads, splats, *rest, device=device)
            for rest in ((3,), (3,), (4,), (), (1, 3))
        )
    )


def _write(nodes: Tensor, out: Gaussians, head: int, start: int) -> None:
    """Put nodes [14, n] into `out` from `start` on, and no splat outside the cube."""
    where = head, slice(start, start + nodes.shape[1])
    out.means[where] = nodes[XYZ].clamp_(-HALF_CUBE, HALF_CUBE).mT
    out.log_scales[where] = nodes[SCALE].mT
    out.quats[where] = nodes[ROTATION].mT
    out.sh[where] = nodes[COLOR].mT[:, None]
    out.opacity_logits[where] = nodes[OPACITY][0]


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
