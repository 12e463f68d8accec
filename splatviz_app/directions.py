"""The sliders of the latent space as plain values: what each adds to w, and what the artist decided.

`Axis` is a slider, `Palette` all that an artist has laid out for one generator. The functions turn a
moved slider into a new `LatentSettings`, and know nothing of torch or of panels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.directions import Direction
from models.latents import LatentSettings, Push, Values

Color = tuple[float, float, float]

PCA, SHIPPED, OWN = "pca", "shipped", "own"  # what a source begins with
_PARALLEL = 1e-3  # what is left of a vector, relative to it, when nothing of it is free


@dataclass(frozen=True)
class Axis:
    """A slider: a vector of W, and how far one goes along it."""

    # Which one it is, for as long as the generator is the same: "pca:0", "shipped:Smile", "own:2".
    source: str
    name: str
    # The heading it stands under.
    group: str
    # What an amount of 1 adds to w. [W], or one for each block [blocks, W]
    vector: Values
    # What an amount of 1 does, as a tooltip says it.
    unit: str = "one standard deviation"
    # Amounts between which heads stay natural.
    low: float = -3.0
    high: float = 3.0


@dataclass(frozen=True)
class Mark:
    """What the artist decided about a slider, apart from where it stands."""

    # Of the axis.
    source: str
    # Another name; empty for the axis's own.
    name: str = ""
    # Whether it stays where it is when others are zeroed and drawn at random.
    locked: bool = False
    # The blocks it acts on, from 0; None for the last there is.
    first: int = 0
    last: int | None = None


@dataclass(frozen=True)
class ColorWish:
    """A colour that some sliders together were to bring about."""

    # The heading under which they stand.
    group: str
    # What was picked, RGB in [0, 1].
    color: Color
    # How much of the way was gone, 0 to 1.
    weight: float = 1.0
    # Where each slider stood before, and what it takes to go all the way.
    sources: tuple[str, ...] = ()
    before: tuple[float, ...] = ()
    amounts: tuple[float, ...] = ()


@dataclass(frozen=True)
class Palette:
    """All that an artist has laid out for one generator: own sliders, names, locks, examples."""

    # The hash of the generator's weights.
    weights: str = ""
    # Sliders learned here or loaded from files.
    own: tuple[Axis, ...] = ()
    # At most one for each slider; none for those left as they are.
    marks: tuple[Mark, ...] = ()
    # Whether sliders leave alone what the locked ones do.
    orthogonal: bool = False
    # Heads to learn a direction from: those that have it and those that do not.
    having: tuple[LatentSettings, ...] = ()
    lacking: tuple[LatentSettings, ...] = ()
    # Where a direction from one head to another begins.
    start: LatentSettings | None = None
    # Colours that were picked.
    wishes: tuple[ColorWish, ...] = ()

    def mark(self, source: str) -> Mark:
        """What was decided about a slider."""
        return next((mark for mark in self.marks if mark.source == source), Mark(source))

    def marked(self, mark: Mark) -> Palette:
        """Decide something about a slider."""
        others = tuple(other for other in self.marks if other.source != mark.source)
        return replace(self, marks=others if mark == Mark(mark.source) else (*others, mark))

    def name_of(self, axis: Axis) -> str:
        """What a slider is called."""
        return self.mark(axis.source).name or axis.name

    @property
    def locked(self) -> frozenset[str]:
        """The sources of the locked sliders."""
        return frozenset(mark.source for mark in self.marks if mark.locked)

    def with_own(self, axis: Axis) -> Palette:
        """Add a slider of one's own, under a source and a name that no other has."""
        numbers = [int(own.source.partition(":")[2]) for own in self.own]
        taken = {self.name_of(own) for own in self.own}
        name, count = axis.name, 1
        while name in taken:
            count += 1
            name = f"{axis.name} {count}"
        source = f"{OWN}:{max(numbers, default=-1) + 1}"
        return replace(self, own=(*self.own, replace(axis, source=source, name=name)))

    def without_own(self, source: str) -> Palette:
        """Remove a slider of one's own and what was decided about it."""
        own = tuple(axis for axis in self.own if axis.source != source)
        return replace(self.marked(Mark(source)), own=own)

    def wish(self, group: str) -> ColorWish | None:
        """The colour that was last picked for the sliders of a heading."""
        return next((wish for wish in self.wishes if wish.group == group), None)

    def wishing(self, wish: ColorWish) -> Palette:
        """Remember a colour that was picked."""
        others = tuple(other for other in self.wishes if other.group != wish.group)
        return replace(self, wishes=(*others, wish))


def palette_for(palettes: Sequence[Palette], weights: str) -> Palette:
    """Find the palette of a generator, an empty one if it has none yet."""
    return next((p for p in palettes if p.weights == weights), Palette(weights))


def with_palette(palettes: Sequence[Palette], palette: Palette) -> tuple[Palette, ...]:
    """Put a palette in the place of the one its generator had; an empty one takes no place."""
    others = tuple(other for other in palettes if other.weights != palette.weights)
    return others if palette == Palette(palette.weights) else (*others, palette)


def axis_of(direction: Direction, kind: str) -> Axis:
    """Make a slider of a named direction; `kind` is what its source begins with."""
    return Axis(
        source=f"{kind}:{direction.name}",
        name=direction.name,
        group=direction.group,
        vector=Values.of(direction.vector),
        unit=direction.unit,
        low=direction.low,
        high=direction.high,
    )


# ---- moving sliders


def amount_of(latent: LatentSettings, source: str) -> float:
    """Where a slider stands."""
    return next((push.amount for push in latent.pushes if push.source == source), 0.0)


def moved(
    latent: LatentSettings, palette: Palette, axes: Mapping[str, Axis], amounts: Mapping[str, float]
) -> LatentSettings:
    """Set some sliders.

    Args:
        latent: Where all stand.
        palette: What was decided about them; of the same generator.
        axes: The sliders there are, by their source.
        amounts: Where some shall stand, by their source; 0 takes a push away.

    Raises:
        ForeignLatent: `latent` belongs to another generator.
    """
    pushes = {push.source: push for push in latent.pushes}
    for source, amount in amounts.items():
        if amount == 0:
            pushes.pop(source, None)
        else:
            pushes[source] = _push(axes[source], amount, palette, axes)
    return replace(latent, pushes=tuple(pushes.values())).bound_to(palette.weights)


def realigned(latent: LatentSettings, palette: Palette, axes: Mapping[str, Axis]) -> LatentSettings:
    """Let all sliders follow what was newly decided about them: names, blocks, locks."""
    amounts = {p.source: p.amount for p in latent.pushes if p.source in axes}
    return moved(latent, palette, axes, amounts) if amounts else latent


def zeroed(latent: LatentSettings, palette: Palette, sources: Iterable[str]) -> LatentSettings:
    """Set sliders to 0, but for the locked ones."""
    freed = set(sources) - palette.locked
    pushes = tuple(push for push in latent.pushes if push.source not in freed)
    return replace(latent, pushes=pushes).bound_to(latent.weights)


def orthogonal_to(vector: Values, others: Sequence[Values]) -> Values:
    """Take out of a vector what lies along others, block by block.

    Args:
        vector: [W] or [blocks, W]
        others: [W] or [blocks, W] each

    Returns:
        What is left; all 0 where nothing but a rounding error is.
    """
    if not others:
        return vector
    arrays = [np.atleast_2d(values.array().astype(np.float64)) for values in (vector, *others)]
    rows = max(len(array) for array in arrays)
    arrays = [np.broadcast_to(array, (rows, array.shape[1])) for array in arrays]
    left = np.stack([_left_of(row, arrays[1:], i) for i, row in enumerate(arrays[0])])
    one_for_all = all(len(values.shape) == 1 for values in (vector, *others))
    return Values.of(left[0] if one_for_all else left)


# ---- inside


def _push(axis: Axis, amount: float, palette: Palette, axes: Mapping[str, Axis]) -> Push:
    mark = palette.mark(axis.source)
    vector = axis.vector
    if palette.orthogonal and not mark.locked:
        vector = orthogonal_to(vector, [axes[s].vector for s in sorted(palette.locked & set(axes))])
    name = palette.name_of(axis)
    return Push(name, vector, amount, mark.first, mark.last, axis.source)


def _left_of(vector: np.ndarray, others: Sequence[np.ndarray], row: int) -> np.ndarray:
    """What is left of a vector [W] beside row `row` of others [blocks, W]."""
    basis, sizes, _ = np.linalg.svd(np.stack([other[row] for other in others], axis=1), False)
    basis = basis[:, sizes > 1e-6 * max(sizes[0], 1e-30)]  # others may be parallel to each other
    left = vector - basis @ (basis.T @ vector)
    return (
        left if np.linalg.norm(left) > _PARALLEL * np.linalg.norm(vector) else np.zeros_like(left)
    )
