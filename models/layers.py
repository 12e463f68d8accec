"""What the generator is built from: equalised fully connected layers, AdaIN, transformer blocks.

Plain and trainable; attribute names are those of the published checkpoints.
`fast_generator.py` computes the same for inference.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

LEAKY_SLOPE = 0.2
LEAKY_GAIN = math.sqrt(2)  # keeps the variance through a leaky ReLU
GELU_GAIN = math.sqrt(2)
INSTANCE_EPS = 1e-8  # added to a standard deviation, not to a variance


def normalize_second_moment(x: Tensor) -> Tensor:
    """Scale each vector to a mean square of 1 (Karras et al. 2018, pixel norm). [..., C]"""
    return x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + 1e-8)


def leaky_relu(x: Tensor) -> Tensor:
    """Apply the leaky ReLU with slope 0.2 and gain √2 of StyleGAN2."""
    return nn.functional.leaky_relu(x, LEAKY_SLOPE) * LEAKY_GAIN


def draw_normal(*shape: int, std: float = 1.0) -> Tensor:
    """Draw normal numbers; on the meta device only make room.

    Arithmetic there, and drawing normal numbers is some, imports torch's compiler, which takes 2 s.
    """
    room = torch.empty(shape)
    return room if room.is_meta else room.normal_(std=std)


class FullyConnected(nn.Module):
    """A linear layer with an equalised learning rate (Karras et al. 2018), and its activation.

    The stored weights have unit variance whatever the width; a gain applied on every call brings
    them to size. So one learning rate suits all layers, and `lr_mult` slows a layer down.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        activation: Literal["linear", "lrelu"] = "linear",
        *,
        lr_mult: float = 1.0,
        weight_init: float = 1.0,
        bias_init: float = 0.0,
    ) -> None:
        """Draw the weights from a normal distribution of width `weight_init / lr_mult`."""
        super().__init__()
        self.weight = nn.Parameter(
            draw_normal(out_features, in_features, std=weight_init / lr_mult)
        )
        self.bias = nn.Parameter(torch.full((out_features,), bias_init))
        self.activation = activation
        self.weight_gain = lr_mult / math.sqrt(in_features)
        self.bias_gain = lr_mult

    def folded(self) -> tuple[Tensor, Tensor]:
        """Return weight and bias with their gains applied. [out, in], [out]"""
        return self.weight * self.weight_gain, self.bias * self.bias_gain

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out]"""
        y = nn.functional.linear(x, *self.folded())
        return leaky_relu(y) if self.activation == "lrelu" else y


class AdaptiveInstanceNorm(nn.Module):
    """Normalise each channel over the points, then scale and shift it as w says (AdaIN)."""

    def __init__(self, width: int, w_dim: int) -> None:
        """Start near gamma 1 and beta 0."""
        super().__init__()
        self.gamma = FullyConnected(w_dim, width, bias_init=1.0)
        self.beta = FullyConnected(w_dim, width)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """[B, P, C], [B, W] -> [B, P, C]"""
        centred = x - x.mean(dim=1, keepdim=True)
        deviation = centred.square().mean(dim=1, keepdim=True).sqrt()
        return centred / (deviation + INSTANCE_EPS) * self.gamma(w)[:, None] + self.beta(w)[:, None]


class SelfAttention(nn.Module):
    """Multi-head attention among the points of one head."""

    def __init__(self, width: int, heads: int) -> None:
        """Share `width` channels among `heads`."""
        super().__init__()
        assert width % heads == 0, (width, heads)
        self.heads = heads
        self.c_qkv = FullyConnected(width, 3 * width)
        self.c_proj = FullyConnected(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, P, C] -> [B, P, C]"""
        # The rows of c_qkv are head-major: q, k and v of head 0, then of head 1, …
        qkv = self.c_qkv(x).unflatten(-1, (self.heads, 3, -1))  # [B, P, heads, 3, C / heads]
        query, key, value = qkv.permute(3, 0, 2, 1, 4)  # each [B, heads, P, C / heads]
        mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        return self.c_proj(mixed.transpose(1, 2).flatten(-2))


class PointMlp(nn.Module):
    """Two layers with a GELU between them, the same for every point."""

    def __init__(self, width: int, hidden: int) -> None:
        """Widen from `width` to `hidden` and back."""
        super().__init__()
        self.c_fc = FullyConnected(width, hidden)
        self.c_proj = FullyConnected(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, P, C] -> [B, P, C]"""
        return self.c_proj(nn.functional.gelu(self.c_fc(x)) * GELU_GAIN)


class TransformerBlock(nn.Module):
    """Attention and MLP, each behind an AdaIN and scaled per channel by w before it is added.

    The layer scales start at 0, so a new block passes its input on unchanged.
    """

    def __init__(self, width: int, hidden: int, heads: int, w_dim: int) -> None:
        """Build one block of `width` channels."""
        super().__init__()
        self.ln_1 = AdaptiveInstanceNorm(width, w_dim)
        self.attn = SelfAttention(width, heads)
        self.ls_1 = FullyConnected(w_dim, width, weight_init=0.0)
        self.ln_2 = AdaptiveInstanceNorm(width, w_dim)
        self.mlp = PointMlp(width, hidden)
        self.ls_2 = FullyConnected(w_dim, width, weight_init=0.0)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """[B, P, C], [B, W] -> [B, P, C]"""
        x = x + self.attn(self.ln_1(x, w)) * self.ls_1(w)[:, None]
        return x + self.mlp(self.ln_2(x, w)) * self.ls_2(w)[:, None]
