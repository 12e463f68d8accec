"""Quaternions, always wxyz, and rotation matrices."""

import torch
from torch import Tensor


def quat_to_matrix(quats: Tensor) -> Tensor:
    """Turn quaternions, which need not be normalised, into rotations.

    Args:
        quats: wxyz. [..., 4]

    Returns:
        Rotation matrices. [..., 3, 3]
    """
    w, x, y, z = torch.nn.functional.normalize(quats, dim=-1).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def matrix_to_quat(matrix: Tensor) -> Tensor:
    """Turn rotations into unit quaternions with w >= 0.

    Takes the largest of the four components first, so it is accurate for every angle
    (Shepperd, "Quaternion from rotation matrix", 1978).

    Args:
        matrix: Rotation matrices. [..., 3, 3]

    Returns:
        wxyz. [..., 4]
    """
    m = matrix
    d0, d1, d2 = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    a, b, c = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    p, q, r = m[..., 1, 0] + m[..., 0, 1], m[..., 0, 2] + m[..., 2, 0], m[..., 2, 1] + m[..., 1, 2]
    candidates = torch.stack(  # [..., 4, 4], row i = 4·q_i·q
        [
            torch.stack([1 + d0 + d1 + d2, a, b, c], dim=-1),
            torch.stack([a, 1 + d0 - d1 - d2, p, q], dim=-1),
            torch.stack([b, p, 1 - d0 + d1 - d2, r], dim=-1),
            torch.stack([c, q, r, 1 - d0 - d1 + d2], dim=-1),
        ],
        dim=-2,
    )
    largest = candidates.diagonal(dim1=-2, dim2=-1).argmax(-1)  # [...]
    index = largest[..., None, None].expand(*largest.shape, 1, 4)
    quats = torch.nn.functional.normalize(candidates.gather(-2, index).squeeze(-2), dim=-1)
    return torch.where(quats[..., :1] < 0, -quats, quats)


def multiply_quats(first: Tensor, second: Tensor) -> Tensor:
    """Multiply quaternions: the rotation `second`, then the rotation `first`. wxyz [..., 4]"""
    w1, x1, y1, z1 = first.unbind(-1)
    w2, x2, y2, z2 = second.unbind(-1)
    product = [
        w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2,
        w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2,
        w1 * y2 - x1 * z2 + y1 * w2 + z1 * x2,
        w1 * z2 + x1 * y2 - y1 * x2 + z1 * w2,
    ]
    return torch.stack(product, dim=-1)
