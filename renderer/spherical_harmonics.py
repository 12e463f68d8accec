"""View-dependent colour: real spherical harmonics of degree 0 to 3 with the signs 3DGS files use."""

import torch
from torch import Tensor

C0 = 0.28209479177387814  # sqrt(1 / 4π)
_C1 = 0.4886025119029199  # sqrt(3 / 4π)
_C2 = (1.0925484305920792, 0.31539156525252005, 0.5462742152960396)
_C3 = (
    0.5900435899266435,
    2.890611442640554,
    0.4570457994644658,
    0.3731763325901154,
    1.445305721320277,
)


def dc_to_rgb(dc: Tensor) -> Tensor:
    """Turn the DC coefficient into the colour it has from everywhere. [..., 3]"""
    return 0.5 + C0 * dc


def rgb_to_dc(rgb: Tensor) -> Tensor:
    """Turn a colour into the DC coefficient that shows it. [..., 3]"""
    return (rgb - 0.5) / C0


def sh_to_rgb(sh: Tensor, directions: Tensor) -> Tensor:
    """Evaluate the colour seen along `directions`, clamped from below at 0 as 3DGS does.

    Args:
        sh: Coefficients, DC first. [..., N, K, 3]
        directions: From the eye to the splats, unit length; unused at degree 0. [..., N, 3]

    Returns:
        Colours, 0 and up. [..., N, 3]
    """
    bases = sh.shape[-2]
    color = dc_to_rgb(sh[..., 0, :])
    if bases > 1:
        basis = sh_basis(directions, bases)[..., 1:]
        color = color + (basis[..., None, :] @ sh[..., 1:, :]).squeeze(-2)
    return color.clamp_min(0)


def sh_basis(directions: Tensor, bases: int) -> Tensor:
    """Evaluate the first `bases` (1, 4, 9 or 16) basis functions.

    Args:
        directions: Unit length. [..., 3]
        bases: K.

    Returns:
        [..., K]
    """
    x, y, z = directions.unbind(-1)
    values = [torch.full_like(x, C0)]
    if bases >= 4:
        values += [-_C1 * y, _C1 * z, -_C1 * x]
    if bases >= 9:
        xx, yy, zz = x * x, y * y, z * z
        values += [
            _C2[0] * x * y,
            -_C2[0] * y * z,
            _C2[1] * (2 * zz - xx - yy),
            -_C2[0] * x * z,
            _C2[2] * (xx - yy),
        ]
    if bases >= 16:
        values += [
            -_C3[0] * y * (3 * xx - yy),
            _C3[1] * x * y * z,
            -_C3[2] * y * (4 * zz - xx - yy),
            _C3[3] * z * (2 * zz - 3 * xx - 3 * yy),
            -_C3[2] * x * (4 * zz - xx - yy),
            _C3[4] * z * (xx - yy),
            -_C3[0] * x * (xx - 3 * yy),
        ]
    return torch.stack(values, dim=-1)
