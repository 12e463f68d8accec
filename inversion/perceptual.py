"""How different two pictures look: by a measure that needs no weights, or by LPIPS.

Both compare what `features` makes of a picture, so that a target's are computed once.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from inversion.torchvision_ops import ensure_torchvision
from inversion.weights import ALEXNET, SQUEEZENET, VGG16, WeightsFile, find, load

SCALES = 4  # of the weight-free measure: full size, a half, a quarter, an eighth
_LEAST_SIDE = 16  # px; smaller pictures are not compared
_WINDOW, _STRIDE = 8, 4  # px of the squares whose structure is compared, and from one to the next
_C1, _C2 = 0.01**2, 0.03**2  # of SSIM (Wang et al. 2004), for a range of 1
_RED, _GREEN, _BLUE = 0.299, 0.587, 0.114


class Perceptual(Protocol):
    """A measure of how different pictures look."""

    @property
    def describe(self) -> str:
        """What it is, as a part of a sentence."""
        ...

    @property
    def is_lpips(self) -> bool:
        """Whether its numbers are LPIPS, to be compared with those of papers."""
        ...

    def features(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """What is compared of pictures in [0, 1]. [V, 3, S, S] -> tensors [V, …]"""
        ...

    def distance(self, features: tuple[Tensor, ...], target: tuple[Tensor, ...]) -> Tensor:
        """0 for the same. Both as `features` makes them. [V]"""
        ...


class StructuralDistance:
    """Without weights: colours, slopes and structure at several sizes.

    Of pictures x and y at the sizes s = 1, 1/2, 1/4, 1/8 (shrunk by averaging) it is the mean over s of

        mean |x - y|  +  mean |dx - dy|  +  (1 - mean SSIM(x, y)) / 4

    where dx are the differences of neighbouring pixels to the right and down, and SSIM (Wang et al.
    2004) compares means, variances and covariance of luminance in squares of 8 px, one every 4 px.

    Its limits: it knows nothing of faces. It asks that structures lie in the same place, so a photo
    that the generator cannot show in place (stray hair, a collar) keeps pulling at the head, which
    LPIPS would pass over. Its numbers are no LPIPS.
    """

    is_lpips = False
    describe = "a structural distance without weights (colours, slopes and SSIM at four sizes)"

    def features(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """For each size: the picture [V, 3, s, s], its luminance, and mean and variance of that."""
        found: list[Tensor] = []
        for level in range(SCALES):
            if level and pictures.shape[-1] < 2 * _LEAST_SIDE:
                break
            if level:
                pictures = F.avg_pool2d(pictures, 2)
            grey = _luminance(pictures)
            mean = _averaged(grey)
            found += [pictures, grey, mean, _averaged(grey * grey) - mean * mean]
        return tuple(found)

    def distance(self, features: tuple[Tensor, ...], target: tuple[Tensor, ...]) -> Tensor:
        """[V]"""
        total = features[0].new_zeros(len(features[0]))
        for at in range(0, len(features), 4):
            x, grey_x, mean_x, variance_x = features[at : at + 4]
            y, grey_y, mean_y, variance_y = target[at : at + 4]
            error = x - y  # [V, 3, s, s]
            total = total + _mean(error.abs())
            total = total + 0.5 * _mean((error[..., 1:] - error[..., :-1]).abs())
            total = total + 0.5 * _mean((error[..., 1:, :] - error[..., :-1, :]).abs())
            both = mean_x * mean_y
            covariance = _averaged(grey_x * grey_y) - both
            alike = (2 * both + _C1) * (2 * covariance + _C2)
            alike = alike / (mean_x.square() + mean_y.square() + _C1)
            alike = alike / (variance_x + variance_y + _C2)
            total = total + 0.25 * (1 - _mean(alike))
        return total / (len(features) // 4)


Trunk = Literal["alex", "squeeze", "vgg"]
TRUNKS: dict[Trunk, tuple[WeightsFile, str]] = {
    # From the quickest: 15, 27 and 280 ms for a picture of 256 px on one core.
    "alex": (ALEXNET, "AlexNet"),
    "squeeze": (SQUEEZENET, "SqueezeNet"),
    "vgg": (VGG16, "VGG-16"),
}


class Lpips:
    """LPIPS 0.1 (Zhang et al. 2018): distances between features of a network for recognising things."""

    is_lpips = True

    def __init__(self, trunk: Trunk, weights: Mapping[str, Tensor]) -> None:
        """Put the weights of torchvision's classifier into the package's network; nothing is fetched.

        Raises:
            RuntimeError: They are another network's.
        """
        ensure_torchvision()
        import lpips

        self.describe = f"LPIPS on {TRUNKS[trunk][1]}"
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torchvision's, about how lpips calls it
            self._network = lpips.LPIPS(net=trunk, pnet_rand=True, verbose=False)
        own = self._network.net.state_dict()
        # The package has cut the classifier into slices: "slice2.3.weight" is its "features.3.weight".
        names = {name: "features." + name.partition(".")[2] for name in own}
        self._network.net.load_state_dict({name: weights[names[name]] for name in own})
        self._network.eval().requires_grad_(False)

    def to(self, device: torch.device | str) -> Lpips:
        """Move it to a device."""
        self._network.to(device)
        return self

    def features(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Features of each layer, of length 1 at each place. [V, channels, h, w] each"""
        layers = self._network.net(self._network.scaling_layer(2 * pictures - 1))
        return tuple(
            layer / (layer.square().sum(1, keepdim=True).sqrt() + 1e-10) for layer in layers
        )

    def distance(self, features: tuple[Tensor, ...], target: tuple[Tensor, ...]) -> Tensor:
        """[V]"""
        layers = zip(self._network.lins, features, target, strict=True)
        return sum(
            (_mean(lin((x - y).square())) for lin, x, y in layers), features[0].new_zeros(())
        )


def load_lpips(device: torch.device | str = "cpu") -> Lpips | None:
    """Make LPIPS of the first trunk whose weights are here; None if none are.

    Raises:
        CheckpointError: The file is damaged.
    """
    for trunk, (file, _) in TRUNKS.items():
        path = find(file)
        if path is not None:
            return Lpips(trunk, load(file, path)).to(device)
    return None


def _mean(values: Tensor) -> Tensor:
    """[V, …] -> [V]"""
    return values.flatten(1).mean(1)


def _luminance(pictures: Tensor) -> Tensor:
    """[V, 3, s, s] -> [V, 1, s, s]"""
    red, green, blue = pictures.unbind(1)
    return (_RED * red + _GREEN * green + _BLUE * blue)[:, None]


def _averaged(pictures: Tensor) -> Tensor:
    """Average over squares that overlap. [V, 1, s, s] -> [V, 1, s / 4 - 1, s / 4 - 1]"""
    return F.avg_pool2d(pictures, _WINDOW, _STRIDE)
