"""From a picked colour to sliders: measure what each does to the colour of skin or hair, then solve.

Which pixels are skin is not told: they are those that the sliders change most.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.latents import LatentSettings
from renderer.camera import OrbitRig
from splatviz_app.directions import Axis, Color, ColorWish, Palette, amount_of, moved
from splatviz_app.edits.stack import NO_EDITS
from splatviz_app.engine import Progress, Step
from splatviz_app.pipeline import Pipeline, RenderRequest, ViewSettings

# The sliders that change a colour, by the heading they stand under and the name of that heading's colour.
COLORS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "Skin": ("Skin colour", ("Skin tone", "Warm skin")),
    "Hair": ("Hair colour", ("Hair colour", "Red hair", "Grey hair")),
}

_SIDE = 96  # px of the pictures that are measured
_PROBE = 0.5  # how far a slider is moved to see what it does
_ROUNDS = 3
_MEMBER = 0.5  # a pixel belongs to it that changes by this part of what the most change
_RIDGE = 1e-4  # of amounts: two sliders that do the same share it


@dataclass(frozen=True)
class MatchedColor:
    """The sliders that bring a picked colour about, as nearly as they can."""

    weights: str
    wish: ColorWish
    # The colour that skin or hair then has, RGB in [0, 1].
    reached: Color


def sliders_of(group: str, axes: Mapping[str, Axis]) -> tuple[Axis, ...]:
    """The sliders of a heading that change its colour; empty if the generator has none."""
    _, names = COLORS[group]
    return tuple(a for name in names for a in axes.values() if (a.group, a.name) == (group, name))


def match_color(
    pipeline: Pipeline,
    request: RenderRequest,
    palette: Palette,
    axes: Mapping[str, Axis],
    wish: ColorWish,
) -> Generator[Progress, None, MatchedColor]:
    """Find the amounts at which skin or hair has a colour.

    Damped Gauss-Newton on the median colour of the pixels that the sliders change, within the range of
    the sliders; what the slope says is measured again in each round.

    Args:
        pipeline: Beside which heads are drawn.
        request: The head; its camera and view are not used.
        palette: Of the generator.
        axes: The sliders there are, by their source.
        wish: Heading and colour.
    """
    assert request.latent is not None, request.scene
    latent, beside = request.latent, pipeline.beside()
    sliders = sliders_of(wish.group, axes)
    sources = tuple(axis.source for axis in sliders)
    before = np.array([amount_of(latent, source) for source in sources])
    plain = replace(
        request, size=(_SIDE, _SIDE), rig=OrbitRig(), view=ViewSettings(), edits=NO_EDITS,
        selection=None, precision="float32",
    )  # fmt: skip
    low, high = (np.array([getattr(a, end) for a in sliders]) for end in ("low", "high"))

    def drawn(amounts: np.ndarray) -> np.ndarray:
        place = _placed(latent, palette, axes, sources, amounts)
        image = beside(replace(plain, latent=place)).image
        return image[..., :3].astype(np.float64) / 255  # [H, W, 3]

    total, done = _ROUNDS * (len(sliders) + 1) + 1, 0
    amounts, mask = np.clip(before, low, high), None
    for _ in range(_ROUNDS):
        yield Step(done, total, "Looking at the colour")
        here = drawn(amounts)
        changes = []
        for column in range(len(sliders)):
            yield Step(done + column + 1, total, f"Looking at what {sliders[column].name} does")
            # Towards the middle of its range: beyond an end heads are not natural.
            to = -_PROBE if amounts[column] > (low[column] + high[column]) / 2 else _PROBE
            probe = amounts.copy()
            probe[column] += to
            changes.append((drawn(probe) - here) / to)  # [H, W, 3]
        done += len(sliders) + 1
        if mask is None:
            mask = _changed(changes)
        slopes = np.stack([change[mask].mean(axis=0) for change in changes], axis=1)  # [3, k]
        missing = np.array(wish.color) - _color_of(here, mask)
        amounts = _bounded(slopes, missing, amounts, low, high)
    yield Step(total - 1, total, "Looking at the colour")
    assert mask is not None
    reached = _color_of(drawn(amounts), mask)
    found = replace(
        wish,
        sources=sources,
        before=tuple(before.tolist()),
        amounts=tuple(round(float(amount), 3) for amount in amounts),
    )
    red, green, blue = reached.tolist()
    return MatchedColor(palette.weights, found, (red, green, blue))


def with_wish(
    latent: LatentSettings, palette: Palette, axes: Mapping[str, Axis], wish: ColorWish
) -> LatentSettings:
    """Set the sliders of a wish as far on their way as its weight says."""
    before, amounts = np.array(wish.before), np.array(wish.amounts)
    return _placed(latent, palette, axes, wish.sources, before + wish.weight * (amounts - before))


def holds(latent: LatentSettings, wish: ColorWish) -> bool:
    """Whether the sliders still stand where a wish has put them."""
    before, amounts = np.array(wish.before), np.array(wish.amounts)
    placed = before + wish.weight * (amounts - before)
    now = [amount_of(latent, source) for source in wish.sources]
    return bool(np.allclose(now, placed, atol=1e-3))


def _placed(
    latent: LatentSettings,
    palette: Palette,
    axes: Mapping[str, Axis],
    sources: Sequence[str],
    amounts: np.ndarray,
) -> LatentSettings:
    known = {s: float(a) for s, a in zip(sources, amounts, strict=True) if s in axes}
    return moved(latent, palette, axes, known)


def _changed(changes: Sequence[np.ndarray]) -> np.ndarray:
    """The pixels that change most when sliders move. [H, W, 3] each -> [H, W] bool"""
    strength = np.sqrt(sum(np.square(change).sum(axis=2) for change in changes))  # [H, W]
    # Not the largest of all: a few pixels on an edge change more than any skin.
    return strength >= _MEMBER * np.quantile(strength, 0.97)


def _color_of(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The median: lips, brows and shadows do not count. [H, W, 3], [H, W] -> [3]"""
    return np.median(image[mask], axis=0)


def _bounded(
    slopes: np.ndarray, missing: np.ndarray, amounts: np.ndarray, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """Move amounts so that slopes · move comes nearest to what is missing, within their ranges.

    Coordinate descent: each amount in turn to its best, given the others; convex, so it converges.
    """
    found = amounts.copy()
    left = missing.copy()  # of the colour, at `found`
    for _ in range(200):
        for column, slope in enumerate(slopes.T):
            pull = slope @ left - _RIDGE * (found[column] - amounts[column])
            step = pull / (slope @ slope + _RIDGE)
            new = min(max(found[column] + step, low[column]), high[column])
            left -= slope * (new - found[column])
            found[column] = new
    return found
