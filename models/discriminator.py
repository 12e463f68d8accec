"""The StyleGAN2 discriminator (Karras et al. 2020), conditioned on the camera of the picture.

Plain and trainable; parameters have the names of the published checkpoints. The blur that fades out
at the beginning of training is not in here: see `training/losses.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.generator import CAMERA_LABEL
from models.layers import FullyConnected, draw_normal, leaky_relu, normalize_second_moment

HALF_GAIN = math.sqrt(0.5)  # of each of two branches, so that their sum keeps its variance
CLAMP = 256.0  # what the blocks in low precision may reach
LOW_PASS = (1.0, 3.0, 3.0, 1.0)  # taps of the filter before every second pixel is dropped
MAPPING_LR = 0.01  # learning rate of the mapping network, relative to the rest


@dataclass(frozen=True)
class DiscriminatorConfig:
    """The shape of a discriminator; default widths are the published."""

    # Side of the pictures in pixels, a power of two, 16 or more.
    resolution: int
    # Channels of a block times its resolution.
    channel_base: int = 32768
    # Most channels of a block, and the width of the camera's embedding.
    channel_max: int = 512
    # Layers of the mapping network.
    mapping_depth: int = 2
    # Pictures that are compared with each other in the last block.
    group: int = 4
    # Blocks, from the top, that are clamped, and that may run in bfloat16.
    low_precision_blocks: int = 4

    def __post_init__(self) -> None:
        if self.resolution < 16 or self.resolution & (self.resolution - 1):
            raise ValueError(f"the resolution is a power of two from 16, not {self.resolution}")
        if min(self.channel_base, self.channel_max, self.mapping_depth, self.group) < 1:
            raise ValueError("a discriminator's widths, depth and group are at least 1")

    @property
    def resolutions(self) -> list[int]:
        """The resolutions of the blocks that halve the picture, from the top down to 8."""
        return [2**power for power in range(self.resolution.bit_length() - 1, 2, -1)]

    def channels(self, resolution: int) -> int:
        """How many channels there are at a resolution."""
        return max(1, min(self.channel_base // resolution, self.channel_max))

    @staticmethod
    def from_state(shapes: Mapping[str, torch.Size]) -> DiscriminatorConfig:
        """Read a configuration from the names and shapes of a discriminator's tensors.

        Raises:
            ValueError: They are not a discriminator's. The message continues the file's name.
        """
        blocks = [re.fullmatch(r"b(\d+)\.conv0\.weight", name) for name in shapes]
        resolutions = {int(match[1]): shapes[match[0]] for match in blocks if match}
        if not resolutions or "b4.fc.weight" not in shapes:
            raise ValueError("holds no discriminator: it has no block b4")
        resolution = max(resolutions)
        depths = [re.fullmatch(r"mapping\.fc(\d+)\.weight", name) for name in shapes]
        return DiscriminatorConfig(
            resolution=resolution,
            channel_base=max(shape[0] * side for side, shape in resolutions.items()),
            channel_max=shapes["b4.fc.weight"][0],
            mapping_depth=sum(match is not None for match in depths),
        )


class Convolution(nn.Module):
    """A convolution with an equalised learning rate, behind a low-pass filter where it halves."""

    low_pass: Tensor  # [4, 4]

    def __init__(self, n_in: int, n_out: int, kernel: int, *, is_halving: bool = False) -> None:
        """Draw unit-variance weights; a gain brings them to size on every call."""
        super().__init__()
        self.weight = nn.Parameter(draw_normal(n_out, n_in, kernel, kernel))
        self.weight_gain = 1 / math.sqrt(n_in * kernel**2)
        self.padding, self.is_halving = kernel // 2, is_halving
        if is_halving:
            taps = torch.tensor(LOW_PASS)
            filter_ = taps.outer(taps) / taps.sum() ** 2
            self.register_buffer("low_pass", filter_, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, in, H, W] -> [B, out, H, W], or half as high and wide"""
        weight = (self.weight * self.weight_gain).to(x.dtype)
        if not self.is_halving:
            return nn.functional.conv2d(x, weight, padding=self.padding)
        # Four taps and then every second pixel: a margin of 1 on both sides keeps the middle.
        channels = x.shape[1]
        taps = self.low_pass.to(x.dtype).expand(channels, 1, -1, -1)
        margin = self.padding + 1
        if self.padding == 0:  # a 1×1 kernel looks at the kept pixels only, so filter only those
            halved = nn.functional.conv2d(x, taps, padding=margin, stride=2, groups=channels)
            return nn.functional.conv2d(halved, weight)
        smooth = nn.functional.conv2d(x, taps, padding=margin, groups=channels)
        return nn.functional.conv2d(smooth, weight, stride=2)


class ActivatedConvolution(Convolution):
    """A convolution with a bias and a leaky ReLU."""

    def __init__(
        self, n_in: int, n_out: int, kernel: int, *, is_halving: bool = False, gain: float = 1.0
    ) -> None:
        """Multiply the result by `gain`, beyond what keeps its variance."""
        super().__init__(n_in, n_out, kernel, is_halving=is_halving)
        self.bias = nn.Parameter(torch.zeros(n_out))
        self.gain = gain

    def forward(self, x: Tensor) -> Tensor:
        """[B, in, H, W] -> [B, out, H, W], or half as high and wide"""
        y = super().forward(x)
        return leaky_relu(y + self.bias.to(y.dtype)[:, None, None]) * self.gain


class DiscriminatorBlock(nn.Module):
    """Two convolutions beside a short cut; the result is half as high and wide."""

    def __init__(self, n_in: int, n_out: int, *, is_first: bool, is_clamped: bool) -> None:
        """Build one block; the first turns colours into features before."""
        super().__init__()
        self.is_clamped = is_clamped
        self.fromrgb = ActivatedConvolution(3, n_in, 1) if is_first else None
        self.conv0 = ActivatedConvolution(n_in, n_in, 3)
        self.conv1 = ActivatedConvolution(n_in, n_out, 3, is_halving=True, gain=HALF_GAIN)
        self.skip = Convolution(n_in, n_out, 1, is_halving=True)

    def forward(self, x: Tensor) -> Tensor:
        """[B, in or 3, H, W] -> [B, out, H / 2, W / 2]"""
        if self.fromrgb is not None:
            x = self._clamped(self.fromrgb(x), 1.0)
        short = self._clamped(self.skip(x) * HALF_GAIN, HALF_GAIN)
        x = self._clamped(self.conv0(x), 1.0)
        return short + self._clamped(self.conv1(x), HALF_GAIN)

    def _clamped(self, x: Tensor, gain: float) -> Tensor:
        return x.clamp(-CLAMP * gain, CLAMP * gain) if self.is_clamped else x


class DiscriminatorEpilogue(nn.Module):
    """The last block: compares the pictures of a group, then looks at each as a whole."""

    def __init__(self, channels: int, group: int) -> None:
        """Build the block that takes 4 × 4 features."""
        super().__init__()
        self.group = group
        self.conv = ActivatedConvolution(channels + 1, channels, 3)
        self.fc = FullyConnected(channels * 16, channels, "lrelu")
        self.out = FullyConnected(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, 4, 4] -> [B, C]"""
        x = self.conv(append_group_deviation(x, self.group))
        return self.out(self.fc(x.flatten(1)))


class CameraMapping(nn.Module):
    """From a camera label to the direction on which a picture's features are projected."""

    def __init__(self, width: int, depth: int) -> None:
        """Build `fc0`, `fc1`, … after the embedding."""
        super().__init__()
        self.depth = depth
        self.embed = FullyConnected(CAMERA_LABEL, width)
        for layer in range(depth):
            self.add_module(f"fc{layer}", FullyConnected(width, width, "lrelu", lr_mult=MAPPING_LR))

    def forward(self, label: Tensor) -> Tensor:
        """[B, 25] -> [B, C]"""
        x = normalize_second_moment(self.embed(label))
        for layer in range(self.depth):
            x = self.get_submodule(f"fc{layer}")(x)
        return x


class Discriminator(nn.Module):
    """Tells real pictures from made ones, knowing the camera."""

    def __init__(self, config: DiscriminatorConfig, *, bfloat16: bool = False) -> None:
        """Build it with fresh weights; with `bfloat16` the clamped blocks compute in that."""
        super().__init__()
        self.config, self.uses_bfloat16 = config, bfloat16
        for number, resolution in enumerate(config.resolutions):
            block = DiscriminatorBlock(
                config.channels(resolution),
                config.channels(resolution // 2),
                is_first=number == 0,
                is_clamped=number < config.low_precision_blocks,
            )
            self.add_module(f"b{resolution}", block)
        self.b4 = DiscriminatorEpilogue(config.channels(4), config.group)
        self.mapping = CameraMapping(config.channels(4), config.mapping_depth)

    def forward(self, images_signed: Tensor, label: Tensor) -> Tensor:
        """Say how real pictures look: above 0 for real.

        Args:
            images_signed: Colours in [-1, 1]. [B, 3, H, W]
            label: The camera of each. [B, 25]

        Returns:
            Logits. [B]
        """
        side = self.config.resolution
        assert images_signed.shape[1:] == (3, side, side), images_signed.shape
        assert label.shape == (len(images_signed), CAMERA_LABEL), label.shape
        x = images_signed
        for number, resolution in enumerate(self.config.resolutions):
            is_low = self.uses_bfloat16 and number < self.config.low_precision_blocks
            x = self.get_submodule(f"b{resolution}")(x.bfloat16() if is_low else x.to(label.dtype))
        features, direction = self.b4(x.to(label.dtype)), self.mapping(label)
        return (features * direction).sum(dim=1) / math.sqrt(features.shape[1])


def append_group_deviation(x: Tensor, group: int) -> Tensor:
    """Append how much the pictures of a group differ, as one channel (Karras et al. 2018).

    Picture i shares its group with those at i + B / group, i + 2 B / group, … [B, C, H, W]
    """
    size = math.gcd(group, len(x))
    grouped = x.unflatten(0, (size, -1))  # [group, groups, C, H, W]
    deviation = (grouped.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))  # [groups]
    channel = deviation.repeat(size)[:, None, None, None].expand(-1, 1, *x.shape[2:])
    return torch.cat([x, channel], dim=1)


def load_published_state(discriminator: Discriminator, state: Mapping[str, Tensor]) -> None:
    """Fill a discriminator with the tensors of a published one, which holds some more.

    Those are the filters' taps, constants here, and a block `b8_pose` that was never used.

    Raises:
        ValueError: A tensor is missing or misshapen. The message continues the file's name.
    """
    own = discriminator.state_dict()
    for name, tensor in own.items():
        if name not in state:
            raise ValueError(f"lacks {name} of its discriminator")
        if state[name].shape != tensor.shape:
            raise ValueError(
                f"has {name} of the shape {tuple(state[name].shape)} in its discriminator instead "
                f"of {tuple(tensor.shape)}"
            )
    discriminator.load_state_dict({name: state[name].to(tensor) for name, tensor in own.items()})
