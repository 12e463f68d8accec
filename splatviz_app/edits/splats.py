"""A head on its way through the edits: its splats, and which of the head's first ones they are."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from renderer.gaussians import Gaussians
from renderer.spherical_harmonics import rgb_to_dc

UNKNOWN_LEVEL = -1  # of splats that a script made


@dataclass(frozen=True, eq=False)
class EditedSplats:
    """One head between two edits. Its tensors may belong to the stage before: nobody writes to them."""

    gaussians: Gaussians  # N splats, no batch
    # Splats of each of the generator's levels as the head came; one entry for a head from a file.
    level_sizes: tuple[int, ...]
    # Where each splat stood in the head as it came; None while all stand where they stood. [N] int64
    origin: Tensor | None = None
    # Whether a script made splats of its own, so that origins and levels are not known any more.
    is_foreign: bool = False
    # What its scripts printed.
    printed: str = ""

    @property
    def count(self) -> int:
        """N."""
        return self.gaussians.count

    def levels(self) -> Tensor:
        """The generator's level of each splat, 0 for the coarsest; -1 where it is not known. [N] int64"""
        device = self.gaussians.means.device
        if self.is_foreign:
            return torch.full((self.count,), UNKNOWN_LEVEL, device=device)
        sizes = torch.tensor(self.level_sizes, device=device)
        if self.origin is None:
            return torch.arange(len(sizes), device=device).repeat_interleave(sizes)
        return torch.bucketize(self.origin, sizes.cumsum(0), right=True)

    def keep(self, mask: Tensor) -> EditedSplats:
        """Only the splats where `mask` is true, in their order. mask [N] bool"""
        kept = mask.nonzero().squeeze(1)
        return self if len(kept) == self.count else self.take(kept)

    def take(self, index: Tensor) -> EditedSplats:
        """The splats at these places. index [M] int64"""
        origin = index if self.origin is None else self.origin[index]
        gaussians = self.gaussians.map(lambda tensor: tensor.index_select(0, index))
        return replace(self, gaussians=gaussians, origin=None if self.is_foreign else origin)

    def recolored(self, matrix: Tensor) -> EditedSplats:
        """Change every colour c into matrix · c, from wherever it is seen. matrix [3, 3]"""
        return self.with_(sh=recolor(self.gaussians.sh, matrix.to(self.gaussians.sh)))

    def with_(self, **tensors: Tensor) -> EditedSplats:
        """Other tensors of the same splats."""
        return replace(self, gaussians=replace(self.gaussians, **tensors))


def recolor(sh: Tensor, matrix: Tensor) -> Tensor:
    """Apply a matrix to the colours that SH coefficients show. [N, K, 3], [3, 3] -> [N, K, 3]

    Colour is 0.5 + Σ basis·coefficient: the matrix goes to each coefficient, and what it does to the
    0.5 goes to the first.
    """
    changed = sh @ matrix.mT
    # rgb_to_dc(c) = (c - 0.5) / C0: what M makes of grey 0.5, as an offset of the DC coefficient.
    changed[..., 0, :] += rgb_to_dc(matrix.sum(-1) * 0.5)
    return changed
