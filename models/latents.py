"""Where in the latent space a head is: a map to walk on, truncation, mixing, and pushes along vectors.

All randomness is NumPy's `RandomState`, whose stream NumPy has frozen for good: the same seed, model
and place are the same head on any machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from models.generator import HeadGenerator
from renderer.errors import SplatheadError

LatentSpace = Literal["Z", "W"]

NODES = 10  # of the plane along each axis
SPACING = 0.2  # between nodes; the first is at -0.9, the last at 0.9
MIN_PSI, MAX_PSI = -1.0, 2.0


@dataclass(frozen=True)
class Values:
    """A small array as a value: it compares, hashes and is saved by what it holds."""

    shape: tuple[int, ...]
    # float32, little endian, row by row.
    content: bytes = field(repr=False)

    @staticmethod
    def of(array: Tensor | np.ndarray) -> Values:
        """Copy an array of any device.

        Raises:
            ValueError: It holds what is no number, or too large for float32.
        """
        if isinstance(array, Tensor):
            array = array.detach().cpu().numpy()
        with np.errstate(over="ignore"):  # what becomes infinite is refused below
            single = np.ascontiguousarray(array, dtype="<f4") + np.float32(0)  # -0 is 0
        if not np.isfinite(single).all():
            raise ValueError("holds numbers that are not finite")
        return Values(tuple(int(side) for side in np.shape(array)), single.tobytes())

    def __post_init__(self) -> None:
        if 4 * math.prod(self.shape) != len(self.content):
            raise ValueError(f"has {len(self.content)} bytes for the shape {self.shape}")

    def array(self) -> np.ndarray:
        """The numbers, in memory of their own. float32"""
        return np.frombuffer(self.content, "<f4").reshape(self.shape).astype(np.float32)

    def tensor(self, device: torch.device | None = None) -> Tensor:
        """The numbers on a device. float32"""
        return torch.from_numpy(self.array()).to(device)


@dataclass(frozen=True)
class Mix:
    """Another head that takes over in some of the blocks."""

    # Its w, truncated as it is to be. [1 or blocks, W]
    w: Values
    # The first and the last block it takes over, from 0; None for the last there is.
    first: int = 0
    last: int | None = None
    # How far it takes over there: 0 not at all, 1 entirely.
    strength: float = 1.0
    # For the eye.
    name: str = ""


@dataclass(frozen=True)
class Push:
    """A step along a vector of W: `amount` times the vector is added to w in some of the blocks."""

    # For the eye.
    name: str
    # What an amount of 1 adds, in units of w. [W], or one for each block [blocks, W]
    vector: Values
    # How many of it.
    amount: float
    # The first and the last block it acts on, from 0; None for the last there is.
    first: int = 0
    last: int | None = None
    # Where the vector comes from, so that its slider is found again: "pca:3", "direction:smile".
    source: str = ""


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
    # A w that replaces the plane's: a bookmark, an inverted photo. ψ still applies. [1 or blocks, W]
    kept: Values | None = None
    # A z that replaces the plane's, where no w is kept; ψ still applies. [Z]
    z: Values | None = None
    # Another head that takes over in some of the blocks.
    mix: Mix | None = None
    # Steps along directions, added up.
    pushes: tuple[Push, ...] = ()
    # The weights (models.directions.weights_hash) in whose spaces `kept`, `z`, `mix` and `pushes`
    # lie; empty while there are none.
    weights: str = ""

    @property
    def is_bound(self) -> bool:
        """Whether it holds something that only means anything to the generator it comes from."""
        arrays = (self.kept, self.z, self.mix)
        return any(part is not None for part in arrays) or bool(self.pushes)

    def bound_to(self, weights: str) -> LatentSettings:
        """Say which generator the rest belongs to, or none if nothing does.

        Raises:
            ForeignLatent: It belongs to another one.
        """
        refuse_foreign(self, weights)
        return replace(self, weights=weights if self.is_bound else "")

    def unbound(self) -> LatentSettings:
        """Leave out all that belongs to one generator: what is left is a place on any one's plane."""
        return replace(self, kept=None, z=None, mix=None, pushes=(), weights="")


class ForeignLatent(SplatheadError):
    """Something made with one generator was to be used with another."""

    def __init__(self, what: str) -> None:
        """`what` begins the sentence: "These directions"."""
        super().__init__(
            f"{what} belong to another generator, in which they mean something else. "
            "Open the generator they were made with, or leave them out."
        )


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
        if space == "Z":
            return self.generator.map(self.z_at(x, y))
        rows, columns, blend = self._blend(x, y)
        w_avg = self.generator.w_avg
        offsets = self.w[rows, columns] - w_avg  # [4, num_ws, W]
        return (w_avg + torch.einsum("k,klw->lw", blend, offsets))[None]

    @torch.no_grad()
    def z_at(self, x: float, y: float) -> Tensor:
        """Return the z blended at a place, clamped to [-1, 1]. [1, Z]"""
        rows, columns, blend = self._blend(x, y)
        return torch.einsum("k,kz->z", blend, self.z[rows, columns])[None]

    def _blend(self, x: float, y: float) -> tuple[tuple[int, ...], tuple[int, ...], Tensor]:
        """Rows and columns of the four nodes around a place, and what each counts. [4] each"""
        corners, weights = _corners(x, y)
        norm = float(np.sqrt(np.square(weights).sum()))
        blend = torch.tensor(weights / norm, dtype=torch.float32, device=self.w.device)
        rows, columns = zip(*corners, strict=True)
        return rows, columns, blend


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


def refuse_foreign(settings: LatentSettings, weights: str) -> None:
    """Stop before a w or a vector of one generator is used with another.

    Args:
        settings: A place.
        weights: The hash of the generator's weights.

    Raises:
        ForeignLatent: The settings hold something of another generator.
    """
    if settings.is_bound and settings.weights not in ("", weights):
        raise ForeignLatent("The kept head, the mix and the directions of this place")


def latent_to_w(plane: LatentPlane, settings: LatentSettings) -> Tensor:
    """Find the w of a place: the plane's or the kept one, truncated, mixed, then pushed.

    Args:
        plane: Of the generator, and of the settings' seed.
        settings: The place.

    Returns:
        One w for all blocks if none differs, else one for each. [1, num_ws or blocks, W]

    Raises:
        ForeignLatent: A w or a vector does not fit the generator.
    """
    w = base_w(plane, settings)
    w = truncate(w, plane.generator.w_avg.detach(), settings.psi)
    if settings.mix is not None:
        w = _mixed(w, settings.mix, plane.generator)
    for push in settings.pushes:
        w = _pushed(w, push, plane.generator)
    return w


def base_w(plane: LatentPlane, settings: LatentSettings) -> Tensor:
    """Find the w of a place before truncation, mix and pushes. [1, num_ws or blocks, W]"""
    assert plane.seed == settings.seed, (plane.seed, settings.seed)
    if settings.kept is not None:
        return _fitting(settings.kept, plane.generator, "The numbers of the kept head")[None]
    if settings.z is not None:
        return plane.generator.map(base_z(plane, settings))
    return plane.at(settings.x, settings.y, settings.space)


def base_z(plane: LatentPlane, settings: LatentSettings) -> Tensor:
    """Find the z of a place that is kept, or blended, in Z. [1, Z]

    Raises:
        ForeignLatent: The kept z does not fit the generator.
    """
    if settings.z is None:
        return plane.z_at(settings.x, settings.y)
    if settings.z.shape != (plane.generator.z_dim,):
        raise ForeignLatent("The random numbers of the kept head")
    return settings.z.tensor(plane.z.device)[None]


def node_place(index: int) -> float:
    """Return the coordinate of a row or column of nodes."""
    return (index - (NODES - 1) / 2) * SPACING


def _mixed(w: Tensor, mix: Mix, generator: HeadGenerator) -> Tensor:
    """[1, L, W] -> [1, L or blocks, W]"""
    other = _fitting(mix.w, generator, "The numbers of the other head of the mix")[None]
    return _in_blocks(w, other, mix.strength, mix.first, mix.last, generator.blocks)


def _pushed(w: Tensor, push: Push, generator: HeadGenerator) -> Tensor:
    """[1, L, W] -> [1, L or blocks, W]"""
    vector = _fitting(push.vector, generator, f"The numbers of the direction “{push.name}”")
    moved = w + push.amount * vector
    return _in_blocks(w, moved, 1.0, push.first, push.last, generator.blocks)


def _in_blocks(
    w: Tensor, other: Tensor, strength: float, first: int, last: int | None, blocks: int
) -> Tensor:
    """Go from w to another in blocks `first` to `last`: [1, L, W], [1, M, W] -> [1, L or blocks, W]"""
    last = blocks - 1 if last is None else min(last, blocks - 1)
    first = max(0, first)
    if first > last or strength == 0:
        return w
    reached = other if strength == 1 else w + strength * (other - w)
    if first == 0 and last == blocks - 1:
        return reached
    w = w.expand(-1, blocks, -1).clone()
    w[:, first : last + 1] = reached.expand(-1, blocks, -1)[:, first : last + 1]
    return w


def _fitting(values: Values, generator: HeadGenerator, what: str) -> Tensor:
    """Bring values to the generator's device. [1 or blocks, W]"""
    found = values.tensor(generator.w_avg.device)
    found = found[None] if found.dim() == 1 else found
    rows = (1, generator.num_ws, generator.blocks)
    if found.dim() != 2 or len(found) not in rows or found.shape[1] != generator.w_dim:
        raise ForeignLatent(what)
    return found


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
