"""The one container of splats: values as the network and the `.ply` store them, before activation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from renderer.rotations import matrix_to_quat, multiply_quats


@dataclass(frozen=True, eq=False)
class Gaussians:
    """Splats before activation, as the network and the `.ply` store them.

    Leading dimensions `...` are a batch, usually absent. N splats, K = (degree + 1)² SH bases.
    Holds tensors, so it is compared by identity; all share one device and one floating dtype.
    """

    means: Tensor  # [..., N, 3]  world units, y up, head at the origin, facing +z
    log_scales: Tensor  # [..., N, 3]  natural log of the standard deviation in world units
    quats: Tensor  # [..., N, 4]  wxyz, need not be normalised
    opacity_logits: Tensor  # [..., N]
    sh: Tensor  # [..., N, K, 3]  DC first; colour = 0.5 + C0·DC + …

    def __post_init__(self) -> None:
        lead = self.means.shape[:-1]
        assert self.means.shape == (*lead, 3), self.means.shape
        assert self.log_scales.shape == (*lead, 3), self.log_scales.shape
        assert self.quats.shape == (*lead, 4), self.quats.shape
        assert self.opacity_logits.shape == lead, self.opacity_logits.shape
        assert self.sh.dim() == len(lead) + 2, self.sh.shape
        assert self.sh.shape[:-2] == lead, self.sh.shape
        assert self.sh.shape[-2] in (1, 4, 9, 16), self.sh.shape
        assert self.sh.shape[-1] == 3, self.sh.shape

    @property
    def count(self) -> int:
        """N, the number of splats of one head."""
        return self.means.shape[-2]

    @property
    def batch_shape(self) -> torch.Size:
        """The leading dimensions: () for one head."""
        return self.means.shape[:-2]

    @property
    def sh_degree(self) -> int:
        """0 to 3."""
        return {1: 0, 4: 1, 9: 2, 16: 3}[self.sh.shape[-2]]

    @property
    def scales(self) -> Tensor:
        """Standard deviations in world units. [..., N, 3]"""
        return self.log_scales.exp()

    @property
    def opacities(self) -> Tensor:
        """In (0, 1). [..., N]"""
        return self.opacity_logits.sigmoid()

    def map(self, change: Callable[[Tensor], Tensor]) -> Gaussians:
        """Apply `change` to each of the five tensors."""
        return Gaussians(
            change(self.means),
            change(self.log_scales),
            change(self.quats),
            change(self.opacity_logits),
            change(self.sh),
        )

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Gaussians:
        """Move to a device, convert to a dtype, or both."""
        return self.map(lambda tensor: tensor.to(device=device, dtype=dtype))

    def detach(self) -> Gaussians:
        """Cut off from autograd."""
        return self.map(torch.Tensor.detach)

    def __getitem__(self, index: int) -> Gaussians:
        """Head `index` of a batch."""
        assert self.batch_shape, "there is no batch to take a head from"
        return self.map(lambda tensor: tensor[index])

    def select(self, mask: Tensor) -> Gaussians:
        """Keep the splats where `mask` is true, in their order.

        Args:
            mask: The same splats of every head of a batch. [N] bool
        """
        assert mask.shape == (self.count,), mask.shape
        return Gaussians(
            self.means[..., mask, :],
            self.log_scales[..., mask, :],
            self.quats[..., mask, :],
            self.opacity_logits[..., mask],
            self.sh[..., mask, :, :],
        )

    def finite(self) -> Tensor:
        """Say which splats have only finite values and a rotation. [..., N] bool"""
        rows = torch.cat(
            [
                self.means,
                self.log_scales,
                self.quats,
                self.opacity_logits[..., None],
                self.sh.flatten(-2),
            ],
            dim=-1,
        )
        # 0·x is 0 for every finite x and NaN for NaN and ±Inf: one pass instead of fourteen.
        return ((rows * 0).sum(-1) == 0) & self.quats.ne(0).any(-1)

    def is_finite(self) -> bool:
        """Whether all splats are `finite`; twenty times as fast to know as which."""
        with torch.no_grad():
            parts = (self.means, self.log_scales, self.quats, self.opacity_logits, self.sh)
            # A sum is finite only if all of it is, and a w that is never 0 is a rotation.
            total = torch.stack([part.sum() for part in parts]).sum()
            quick = bool(total.isfinite()) and bool(self.quats[..., 0].all())
            return quick or bool(self.finite().all())

    def transformed(self, matrix: Tensor) -> Gaussians:
        """Rotate, move and scale uniformly.

        Args:
            matrix: Rotation, one positive scale for all axes, and translation. [4, 4]

        Raises:
            ValueError: `matrix` mirrors or scales unevenly, which would turn spherical harmonics
                and ellipsoids into something splats cannot be, or the SH degree is above 0 and
                it rotates.
        """
        assert matrix.shape == (4, 4), matrix.shape
        linear = matrix[:3, :3].to(self.means)
        scale = linear.det().clamp_min(0) ** (1 / 3)
        if not scale > 0 or not torch.allclose(  # not: NaN is refused as well
            linear @ linear.T, scale**2 * torch.eye(3).to(linear), atol=1e-4 * float(scale**2)
        ):
            raise ValueError(
                "a transform of splats may rotate, move and scale evenly, nothing else"
            )
        rotation = linear / scale
        turned = not torch.allclose(rotation, torch.eye(3).to(linear), atol=1e-6)
        if turned and self.sh_degree > 0:
            raise ValueError(
                "splats with view-dependent colour can be moved and scaled but not rotated yet"
            )
        return Gaussians(
            self.means @ linear.T + matrix[:3, 3].to(self.means),
            self.log_scales + scale.log(),
            multiply_quats(matrix_to_quat(rotation).expand_as(self.quats), self.quats),
            self.opacity_logits,
            self.sh,
        )


def join(parts: Sequence[Gaussians]) -> Gaussians:
    """Put splats of equal batch shape and SH degree one after the other."""
    assert parts, "nothing to join"
    return Gaussians(
        torch.cat([part.means for part in parts], dim=-2),
        torch.cat([part.log_scales for part in parts], dim=-2),
        torch.cat([part.quats for part in parts], dim=-2),
        torch.cat([part.opacity_logits for part in parts], dim=-1),
        torch.cat([part.sh for part in parts], dim=-3),
    )
