"""What `rasterize` asks of a backend: activated splats, one camera, one picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from torch import Tensor

# Semantics all backends share (3DGS, Kerbl et al. 2023, as in gsplat's "classic" mode).
LOW_PASS = 0.3  # px², added to both variances of the projected splat
MAX_ALPHA = 0.99
MIN_ALPHA = 1 / 255  # fainter contributions are skipped
MIN_TRANSMITTANCE = 1e-4  # a pixel is finished before the splat that would bring it here
NEAR = 0.01  # world units; nearer splats are not drawn
# Of the picture's size: where a splat's local slope is clamped, beyond its edges.
FRUSTUM_MARGIN = 0.15


@dataclass(frozen=True, eq=False)
class Drawing:
    """Splats after activation, seen by one camera. All tensors float32 on one device, no batch."""

    means: Tensor  # [N, 3]  world units
    quats: Tensor  # [N, 4]  wxyz, not all zero, need not be normalised
    scales: Tensor  # [N, 3]  standard deviations, world units
    opacities: Tensor  # [N]     in [0, 1]
    colors: Tensor  # [N, 3]  as seen from this camera
    world_to_cam: Tensor  # [4, 4]  OpenCV axes
    focal: float  # px
    size: tuple[int, int]  # width, height in px; the optical axis meets the middle
    background: Tensor  # [3]

    @property
    def count(self) -> int:
        """N."""
        return self.means.shape[0]


class Layers(NamedTuple):
    """What a backend draws, row 0 at the top."""

    color: Tensor  # [3, H, W]  composited over the background
    depth: Tensor  # [H, W]     sum of weight times distance along z, world units
    alpha: Tensor  # [H, W]     in [0, 1]


class Backend(Protocol):
    """A rasterizer: differentiable in every tensor of the drawing."""

    def __call__(self, drawing: Drawing) -> Layers:
        """Draw; raise `BackendError` where that cannot be done on this machine."""
        ...
