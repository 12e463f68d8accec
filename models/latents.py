"""Where in the latent space a head is: truncation, and the two-dimensional map an artist walks on.

All randomness is NumPy's `RandomState`, whose stream NumPy has frozen for good: the same seed, model
and place are the same head on any machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from models.generator import HeadGenerator

LatentSpace = Literal["Z", "W"]

NODES = 10  # of the plane along each axis
SPACING = 0.2  # between nodes; the first is at -0.9, the last at 0.9
MIN_PSI, MAX_PSI = -1.0, 2.0


@dataclass(frozen=True)
class LatentSettings:
    """A place in a generator's latent space. Plain values: compared, saved and undone as such."""

    # Which plane of random heads to walk on; any number from 0 to 2³² - 1.
    seed: int = 0
    # Place on the plane from left to right, -1 to 1.
    x: float = 0.0
    # Place on the plane from bottom to top, -1 to 1.
    y: float = 0.0
    # Truncation, -1 to 2: 0 is the average head, 1 the head as it was drawn, below 0 its opposite.
    psi: float = 0.7
    # Where to blend the heads of neighbouring nodes: before or after the mapping network.
    space: LatentSpace = "W"


class LatentPlane:
    """A grid of 10 x 10 random heads of a generator, and the smooth surface through them.

    Between nodes the four around a place are blended with weights a_i, the products of smoothstep
    weights along x and y. A plain average of independent random vectors is shorter than they are, so
    heads between nodes would all look like the mean head. So the blend is divided by sqrt(sum a_i²):
    for independent z_i with unit variance, sum a_i z_i has the variance sum a_i², and the quotient is
    again as varied as a single z. At a node one weight is 1, and the node's own vector results.
    In W the same is done to the differences from w_avg, since w varies about it.

    Smoothstep has slope 0 at the nodes, so the surface has no kink there (it is C1), nor where it
    turns constant: beyond the outermost nodes at ±0.9 it is what it is at them, up to ±1 and further.
    """

    @torch.no_grad()
    def __init__(self, generator: HeadGenerator, seed: int) -> None:
        """Draw and map the nodes. Worth keeping: they depend on generator and seed only."""
        self.generator, self.seed = generator, seed
        z = random_z(seed, NODES * NODES, generator.z_dim).to(generator.w_avg.device)
        self.z = z.unflatten(0, (NODES, NODES))  # [10, 10, Z]  rows along y, columns along x
        self.w = generator.map(z).unflatten(0, (NODES, NODES))  # [10, 10, num_ws, W]

    @torch.no_grad()
    def at(self, x: float, y: float, space: LatentSpace = "W") -> Tensor:
        """Return w before truncation at a place. [1, num_ws, W]

        Args:
            x, y: Place on the plane, clamped to [-1, 1].
            space: Where to blend.
        """
        corners, weights = _corners(x, y)
        norm = float(np.sqrt(np.square(weights).sum()))
        blend = torch.tensor(weights / norm, dtype=torch.float32, device=self.w.device)
        rows, columns = zip(*corners, strict=True)
        if space == "Z":
            z = torch.einsum("k,kz->z", blend, self.z[rows, columns])
            return self.generator.map(z[None])
        w_avg = self.generator.w_avg
        offsets = self.w[rows, columns] - w_avg  # [4, num_ws, W]
        return (w_avg + torch.einsum("k,klw->lw", blend, offsets))[None]


def random_z(seed: int, count: int, z_dim: int) -> Tensor:
    """Draw normal vectors that depend on `seed` only, not on the machine. [count, z_dim] float32

    Args:
        seed: 0 to 2³² - 1.
        count, z_dim: How many and how wide; vector i does not depend on `count`.
    """
    drawn = np.random.RandomState(seed).randn(count, z_dim)
    return torch.from_numpy(drawn.astype(np.float32))


def truncate(w: Tensor, w_avg: Tensor, psi: float) -> Tensor:
    """Move w towards the average head, or away from it: w_avg + psi (w - w_avg).

    Args:
        w: [..., W]
        w_avg: [W]
        psi: 0 is the average head, exactly; clamped to [-1, 2].
    """
    return w_avg + min(max(psi, MIN_PSI), MAX_PSI) * (w - w_avg)


def latent_to_w(plane: LatentPlane, settings: LatentSettings) -> Tensor:
    """Find the w of a place, truncated. [1, num_ws, W]

    Args:
        plane: Of the generator, and of the settings' seed.
        settings: The place.
    """
    assert plane.seed == settings.seed, (plane.seed, settings.seed)
    w = plane.at(settings.x, settings.y, settings.space)
    return truncate(w, plane.generator.w_avg.detach(), settings.psi)


def node_place(index: int) -> float:
    """Return the coordinate of a row or column of nodes."""
    return (index - (NODES - 1) / 2) * SPACING


def _corners(x: float, y: float) -> tuple[list[tuple[int, int]], np.ndarray]:
    """Find the (row, column) of the four nodes around a place, and their weights."""
    (left, u), (below, v) = _cell(x), _cell(y)
    corners = [(below, left), (below, left + 1), (below + 1, left), (below + 1, left + 1)]
    return corners, np.array([(1 - v) * (1 - u), (1 - v) * u, v * (1 - u), v * u])


def _cell(coordinate: float) -> tuple[int, float]:
    """Find the node before a coordinate and the smoothstep weight of the next."""
    place = (min(max(coordinate, -1.0), 1.0) - node_place(0)) / SPACING  # 0 to 9 between the nodes
    place = min(max(place, 0.0), NODES - 1.0)
    before = min(int(place), NODES - 2)
    t = place - before
    return before, t * t * (3 - 2 * t)
