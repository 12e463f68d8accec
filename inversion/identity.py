"""Whether two pictures show the same person, as a network that recognises people sees it.

The face is cut out by its landmarks, which the target's picture and the render of the same camera share.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from inversion.torchvision_ops import ensure_torchvision
from inversion.weights import VGGFACE2, find, load

SIDE = 160  # px of the network's pictures

# Where the detector that the network was trained behind puts both eyes, the nose and the corners of
# the mouth, in its box: from 0 at the upper left to 1. The box is less wide than high.
_PLACES = ((0.29, 0.37), (0.71, 0.37), (0.50, 0.58), (0.32, 0.76), (0.68, 0.76))
_ASPECT = 0.8  # of that box: width over height


class Identity(Protocol):
    """A network that recognises people."""

    @property
    def describe(self) -> str:
        """What it is, as a part of a sentence."""
        ...

    def placing(self, points: Tensor) -> Tensor:
        """Say which part of a picture the face is. [V, 5, 2] in sides of the crop -> [V, 2, 3]"""
        ...

    def embed(self, pictures: Tensor, placing: Tensor) -> Tensor:
        """Describe the faces. [V, 3, S, S] in [0, 1], [V, 2, 3] -> [V, D], each of length 1"""
        ...


class FaceNetwork:
    """An InceptionResnetV1 (facenet), whose cosine between two pictures of a person is near 1."""

    describe = "a face recognition network (InceptionResnetV1, VGGFace2)"

    def __init__(self, network: torch.nn.Module) -> None:
        """`network` turns pictures [V, 3, 160, 160], (p - 127.5) / 128 of bytes p, into vectors."""
        self._network = network.eval().requires_grad_(False)

    def placing(self, points: Tensor) -> Tensor:
        """[V, 5, 2] -> the affine map from the network's square to the picture, both from -1 to 1."""
        return torch.stack([_placing(each) for each in points.double().cpu()]).to(points)

    def embed(self, pictures: Tensor, placing: Tensor) -> Tensor:
        """[V, 3, S, S], [V, 2, 3] -> [V, 512]"""
        # A picture much larger than the square would be sampled with holes.
        factor = int(pictures.shape[-1] * float(_extent(placing).max()) // SIDE)
        if factor > 1 and pictures.shape[-1] % factor == 0:
            pictures = F.avg_pool2d(pictures, factor)
        grid = F.affine_grid(placing, [len(pictures), 3, SIDE, SIDE], align_corners=False)
        faces = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
        return F.normalize(self._network((255 * faces - 127.5) / 128), dim=-1)


def load_identity(device: torch.device | str = "cpu") -> FaceNetwork | None:
    """Make the network if its weights are here; nothing is fetched.

    Raises:
        CheckpointError: The file is damaged.
    """
    path = find(VGGFACE2)
    if path is None:
        return None
    weights = load(VGGFACE2, path)
    ensure_torchvision()
    from facenet_pytorch import InceptionResnetV1

    with torch.random.fork_rng():  # the network draws weights before it takes these
        network = InceptionResnetV1(pretrained=None, classify=False)
    # The file also has the layer that names the 8,631 people it was trained on.
    network.load_state_dict({name: weights[name] for name in network.state_dict()})
    return FaceNetwork(network.to(device))


def _extent(placing: Tensor) -> Tensor:
    """The height of the square in sides of the picture. [V]"""
    return placing[:, :, 1].norm(dim=-1)


def _placing(points: Tensor) -> Tensor:
    """Fit the box's places to landmarks by turning, moving and scaling evenly. [5, 2] -> [2, 3]

    Least squares in closed form (complex numbers: target = scale · places + shift).
    """
    places = torch.tensor(_PLACES, dtype=torch.float64)
    flat = torch.complex((places[:, 0] - 0.5) * _ASPECT, places[:, 1] - 0.5)
    seen = torch.complex(points[:, 0].contiguous(), points[:, 1].contiguous())
    middle = flat.mean()
    scale = ((flat - middle).conj() * (seen - seen.mean())).sum()
    scale = scale / (flat - middle).abs().square().sum()
    shift = seen.mean() - scale * middle
    # The square's axes: x runs over the box's width, y over its height; grids run from -1 to 1.
    right, down = scale * _ASPECT, scale * 1j
    rows = [[float(part(a)) for a in (right, down, 2 * shift - 1 - 1j)] for part in (_real, _imag)]
    return torch.tensor(rows, dtype=torch.float64)


def _real(number: Tensor) -> Tensor:
    return number.real


def _imag(number: Tensor) -> Tensor:
    return number.imag
