"""The axes other programs expect. Every change of axes needed here is a set of mirrors.

Mirrors only flip signs, so a conversion is exact to the bit and its own inverse.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from renderer.gaussians import Gaussians

# The axes along which a frame is mirrored against ours (right-handed, y up, the face looks to +z).
#   ""   ours: glTF, three.js
#   "z"  Unity: left-handed, y up
#   "yz" SuperSplat, COLMAP: y down; two mirrors are a half turn, here about x
Frame = Literal["", "x", "y", "z", "yz"]


def mirrored(gaussians: Gaussians, axes: Frame) -> Gaussians:
    """Mirror splats along each of `axes`; doing it twice gives back the same bits.

    A reflection M takes the covariance R S² Rᵀ to (M R M) S² (M R M)ᵀ, since S² is diagonal and
    M S² M = S². M R M is a rotation about the mirrored axis by the negative angle: the two
    quaternion components across the mirrored axis change sign. Scales and opacities stay.
    """
    if not axes:
        return gaussians
    position, rotation = torch.ones(3), torch.ones(4)
    for axis in axes:
        flipped = "xyz".index(axis)
        position[flipped] *= -1
        for other in {0, 1, 2} - {flipped}:
            rotation[1 + other] *= -1
    return Gaussians(
        gaussians.means * position.to(gaussians.means),
        gaussians.log_scales,
        gaussians.quats * rotation.to(gaussians.quats),
        gaussians.opacity_logits,
        gaussians.sh * sh_signs(axes, gaussians.sh_degree)[:, None].to(gaussians.sh),
    )


def sh_signs(axes: Frame, degree: int) -> Tensor:
    """Say how each spherical harmonic changes under mirrors along `axes`.

    Basis function (l, m) is even or odd in each coordinate: odd in y for m < 0, in z for odd l + m,
    and in x for odd m when m >= 0 or even m when m < 0.

    Args:
        axes: The mirrors.
        degree: 0 to 3.

    Returns:
        1 or -1 for each of the K bases. [K]
    """
    signs = []
    for l in range(degree + 1):
        for m in range(-l, l + 1):
            odd = {"x": (m + (m < 0)) % 2, "y": int(m < 0), "z": (l + m) % 2}
            signs.append((-1.0) ** sum(odd[axis] for axis in axes))
    return torch.tensor(signs)
