"""A second, plain transcription of the CGS generator: what `models/` is measured against.

Written straight from the network's description: functions over a state dict, in any dtype, sharing
no code with `models/`: softmax attention spelled out, rotation matrices for every splat, parents
repeated, the positional table sampled with `grid_sample` as the published networks sample it. Slow
where the description is slow, but nowhere on purpose.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import gelu, grid_sample, leaky_relu, softplus

Nodes = dict[str, Tensor]
ATTRIBUTES = ("xyz", "scale", "rotation", "color", "opacity")


@dataclass(frozen=True)
class PlainGenerator:
    """The networks of a state dict with published names, and the numbers its shapes do not tell."""

    state: Mapping[str, Tensor]
    levels: int
    first_blocks: int = 6
    heads: int = 8
    scale_threshold: float = math.log(0.5 / math.sqrt(512))
    percent_dense: float = 0.5 / 512
    split_ratio: float = 2.0

    def fc(self, name: str, x: Tensor, lr_mult: float = 1.0, lrelu: bool = False) -> Tensor:
        """[..., in] -> [..., out]"""
        weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        y = x @ (weight * (lr_mult / math.sqrt(weight.shape[1]))).T + bias * lr_mult
        return leaky_relu(y, 0.2) * math.sqrt(2) if lrelu else y

    def map(self, z: Tensor) -> Tensor:
        """[B, Z] -> [B, 1, W]"""
        label = self.fc("mapping_network.embed", z.new_zeros(len(z), 25))
        x = torch.cat([_norm2(z), _norm2(label)], dim=1)
        x = self.fc("mapping_network.fc0", x, lr_mult=0.01, lrelu=True)
        return self.fc("mapping_network.fc1", x, lr_mult=0.01, lrelu=True)[:, None]

    def synthesize(self, w: Tensor) -> Nodes:
        """[B, W] -> xyz, scale, rotation, color and opacity before activation, each [B, N, …]"""
        x = self.positional_encoding().expand(len(w), -1, -1)
        features = []
        for i in range(self.first_blocks):
            x = self.block(f"point_gen.transformer.first_layers.{i}", x, w)
        features.append(x)
        for i in range(self.levels - 1):
            x = self.block(f"point_gen.transformer.resblocks.{i}", x, w)
            features.append(x)

        output: list[Nodes] = []
        previous = {
            "xyz": x.new_zeros(len(w), x.shape[1], 3),
            "scale": x.new_full((len(w), x.shape[1], 3), -5.0),
            "rotation": x.new_tensor([1.0, 0, 0, 0]).expand(len(w), x.shape[1], 4),
            "color": x.new_zeros(len(w), x.shape[1], 3),
            "opacity": x.new_full((len(w), x.shape[1], 1), math.log(0.1 / 0.9)),
        }
        for level in range(self.levels):
            children = self.upsample(level, features[level])
            step = (1, 4, 4, 4, 2, 2, 2, 2)[level]
            previous = {
                name: value.repeat_interleave(step, dim=1) for name, value in previous.items()
            }
            current = previous
            if level < self.levels - 1 or level == 0:
                current = self.place(self.decode("anchors", level, children), previous, level == 0)
            if level == 0:
                previous = current
            output.append(self.place(self.decode("gaussians", level, children), previous, False))
            previous = current
        joined = {name: torch.cat([nodes[name] for nodes in output], dim=1) for name in ATTRIBUTES}
        joined["xyz"] = joined["xyz"].clamp(-0.5, 0.5)
        return joined

    def positional_encoding(self) -> Tensor:
        """[1, P, C]"""
        points = self.state["point_gen._xyz"].tanh()[None]  # [1, P, 3]
        linear = "point_gen.conv_in.learnable_pe.ffm.linear"
        waves = (points @ self.state[f"{linear}.weight"].T + self.state[f"{linear}.bias"]).sin()
        constant = torch.zeros_like(waves)
        for axis, table in enumerate(
            self.state["point_gen.conv_in.const_pe.const_pe"]
        ):  # [C, 1, T]
            coordinate = points[..., axis]
            grid = torch.stack([torch.zeros_like(coordinate), coordinate], dim=-1)[:, None]
            sampled = grid_sample(table[None], grid, padding_mode="zeros", align_corners=False)
            constant = constant + sampled[:, :, 0].transpose(1, 2)
        return torch.cat([waves, constant / math.sqrt(3)], dim=-1)

    def block(self, name: str, x: Tensor, w: Tensor) -> Tensor:
        """[B, P, C], [B, W] -> [B, P, C]"""
        y = self.adain(f"{name}.ln_1", x, w)
        x = x + self.attention(f"{name}.attn", y) * self.fc(f"{name}.ls_1", w)[:, None]
        y = self.fc(f"{name}.mlp.c_fc", self.adain(f"{name}.ln_2", x, w))
        y = self.fc(f"{name}.mlp.c_proj", gelu(y) * math.sqrt(2))
        return x + y * self.fc(f"{name}.ls_2", w)[:, None]

    def adain(self, name: str, x: Tensor, w: Tensor) -> Tensor:
        """[B, P, C], [B, W] -> [B, P, C]"""
        normal = (x - x.mean(1, keepdim=True)) / (x.std(1, keepdim=True, correction=0) + 1e-8)
        return normal * self.fc(f"{name}.gamma", w)[:, None] + self.fc(f"{name}.beta", w)[:, None]

    def attention(self, name: str, x: Tensor) -> Tensor:
        """[B, P, C] -> [B, P, C]"""
        batch, points, width = x.shape
        size = width // self.heads
        qkv = self.fc(f"{name}.c_qkv", x).view(batch, points, self.heads, 3 * size).transpose(1, 2)
        query, key, value = qkv.split(size, dim=-1)  # each [B, heads, P, size]
        weights = (query @ key.transpose(2, 3) / math.sqrt(size)).softmax(dim=-1)
        mixed = (weights @ value).transpose(1, 2).reshape(batch, points, width)
        return self.fc(f"{name}.c_proj", mixed)

    def upsample(self, level: int, x: Tensor) -> Tensor:
        """[B, P, C] -> [B, P · ratio, F]"""
        ratio = (1, 4, 16, 64, 128, 256, 512, 1024)[level]
        name = f"point_gen.upsample_layers.{level}"
        learned = self.fc(f"{name}.subpixel", x, lrelu=True)
        learned = learned.reshape(len(x), x.shape[1] * ratio, -1)
        kept = self.fc(f"{name}.res_fc", x) if f"{name}.res_fc.weight" in self.state else x
        return (kept.repeat_interleave(ratio, dim=1) + learned) / math.sqrt(2)

    def decode(self, kind: str, level: int, x: Tensor) -> Nodes:
        """[B, N, F] -> what the heads of a level say."""
        return {name: self.fc(f"point_gen.{kind}.{name}.{level}", x) for name in ATTRIBUTES}

    def place(self, head: Nodes, parent: Nodes, first: bool) -> Nodes:
        """Hang nodes on their parents."""
        if first:
            xyz = 0.2 * head["xyz"]
            scale = parent["scale"] + head["scale"]
            scale = self.scale_threshold - softplus(-(scale - self.scale_threshold))
        else:
            extent = parent["scale"].exp()
            unit = parent["rotation"] / (parent["rotation"].norm(dim=-1, keepdim=True) + 0.001)
            reach = torch.diag_embed(extent) @ head["xyz"].tanh()[..., None]
            xyz = (_matrix(unit) @ reach)[..., 0] + parent["xyz"]
            split = (parent["scale"] - math.log(self.split_ratio)).clamp(-100, 0)
            is_split = extent.max(dim=-1, keepdim=True).values > self.percent_dense
            scale = torch.where(is_split, split, parent["scale"]) - softplus(-head["scale"])
        nodes = {name: head[name] + parent[name] for name in ("rotation", "color", "opacity")}
        nodes["scale"] = scale
        return {"xyz": xyz} | {name: 20 * torch.tanh(value / 20) for name, value in nodes.items()}


def _norm2(x: Tensor) -> Tensor:
    return x * torch.rsqrt((x**2).mean(dim=-1, keepdim=True) + 1e-8)


def _matrix(quats: Tensor) -> Tensor:
    """wxyz [..., 4] -> [..., 3, 3]"""
    w, x, y, z = quats.unbind(-1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], dim=-1),
        torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], dim=-1),
        torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], dim=-1),
    ]
    return torch.stack(rows, dim=-2)
