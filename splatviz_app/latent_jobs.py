"""Long work on the latent space, as jobs: components, strips of small heads, learning, files.

Each is a generator for the engine, and gives back plain values for panels to put into the document.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import platformdirs
import torch

from models.directions import Direction, read_directions, write_directions
from models.latents import LatentSettings, Mix, Values
from models.learned import separating_direction
from models.pca import SAMPLES, known_components
from renderer.errors import SplatheadError
from renderer.files import unused_name
from splatviz_app.directions import OWN, PCA, Axis, axis_of, orthogonal_to
from splatviz_app.engine import Progress, Step
from splatviz_app.export import SavedFile
from splatviz_app.pipeline import Pipeline, RenderRequest
from splatviz_app.scenes import GanHead

LEARNED = "Mine"  # the heading of sliders learned here
STRIP_AMOUNTS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)  # standard deviations


@dataclass(frozen=True, eq=False)
class FoundComponents:
    """The principal components of a generator as sliders, the largest first."""

    # The hash of the generator's weights.
    weights: str
    axes: tuple[Axis, ...]
    # Each one's share of the variance of w; they sum to 1.
    explained: tuple[float, ...]
    # w they were found from.
    samples: int


@dataclass(frozen=True, eq=False)
class Pictures:
    """Small pictures, and how far their drawing is: what is yielded and what is returned."""

    done: int
    total: int
    message: str
    # Those that are drawn, in order. [H, W, 4] uint8 each
    pictures: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class NewAxis:
    """A slider that was made, for the palette of its generator."""

    weights: str
    axis: Axis


@dataclass(frozen=True)
class NewAxes:
    """Sliders from a file, for the palette of their generator."""

    weights: str
    axes: tuple[Axis, ...]
    sentence: str


@dataclass(frozen=True)
class NewMix:
    """Another head to mix with, for its generator."""

    weights: str
    mix: Mix


def find_axes(
    pipeline: Pipeline, scene: GanHead, weights: str, samples: int = SAMPLES
) -> Generator[Progress, None, FoundComponents]:
    """Read the components of a generator from the cache, or find them.

    Args:
        pipeline: Knows the generator.
        scene: The generator.
        weights: Its hash.
        samples: From how many w.
    """
    yield Step(0, samples, "Reading the components")
    found = yield from known_components(
        pipeline.network(scene), weights, components_folder(), samples
    )
    steps = (found.axes * found.sigmas[:, None]).numpy()
    axes = tuple(
        Axis(f"{PCA}:{i}", f"Component {i + 1}", "Components", Values.of(step))
        for i, step in enumerate(steps)
    )
    return FoundComponents(weights, axes, tuple(found.explained.tolist()), found.samples)


def components_folder() -> Path:
    """Where the components of generators are kept: the user's cache."""
    return Path(platformdirs.user_cache_dir("splathead", appauthor=False)) / "components"


def draw_heads(
    pipeline: Pipeline, request: RenderRequest, latents: Sequence[LatentSettings], side: int
) -> Generator[Pictures, None, Pictures]:
    """Draw heads of one generator as small square pictures, as the camera of `request` sees them.

    Args:
        pipeline: Beside which they are drawn: its own stages stay as they are.
        request: The generator, the camera and the view.
        latents: The heads.
        side: Of a picture in px.
    """
    beside = pipeline.beside()
    plain = replace(request, size=(side, side), precision="float32", selection=None)
    pictures: tuple[np.ndarray, ...] = ()
    for number, latent in enumerate(latents):
        message = f"Drawing head {number + 1} of {len(latents)}"
        yield Pictures(number, len(latents), message, pictures)
        pictures = (*pictures, beside(replace(plain, latent=latent)).image)
    return Pictures(len(latents), len(latents), "", pictures)


def take_mix(
    pipeline: Pipeline, request: RenderRequest, weights: str, like: Mix
) -> Generator[Progress, None, NewMix]:
    """Make the head of `request` the other head of a mix.

    Args:
        pipeline: Makes the head's w.
        request: The head.
        weights: The hash of its generator.
        like: Which blocks and how far.
    """
    yield Step(0, 1, "Taking the head")
    w = pipeline.beside().w(request)[0]
    return NewMix(weights, replace(like, w=Values.of(w)))


def learn_axis(
    pipeline: Pipeline,
    request: RenderRequest,
    weights: str,
    name: str,
    examples: tuple[Sequence[LatentSettings], Sequence[LatentSettings]],
    apart_from: Sequence[Axis] = (),
) -> Generator[Progress, None, NewAxis]:
    """Learn a direction from heads with something and heads without it.

    Args:
        pipeline: Makes the heads' w.
        request: The generator; its latent is not used.
        weights: The generator's hash.
        name: Of the new slider.
        examples: Heads with it and heads without it.
        apart_from: Sliders whose effects the new one leaves alone.

    Raises:
        SplatheadError: Nothing can be learned from these heads.
    """
    having, lacking = examples
    if not having or not lacking:
        raise SplatheadError(
            "A direction is learned from heads with it and heads without it: mark one of each at least."
        )
    beside = pipeline.beside()
    rows: list[torch.Tensor] = []
    total = len(having) + len(lacking)
    for number, latent in enumerate((*having, *lacking)):
        yield Step(number, total, f"Making head {number + 1} of {total}")
        w = beside.w(replace(request, latent=latent))  # [1, num_ws or blocks, W]
        rows.append(w.mean(dim=1)[0])
    w = torch.stack(rows)
    try:
        direction = separating_direction(w[: len(having)], w[len(having) :])
    except ValueError as error:
        raise SplatheadError(
            "Nothing can be learned from these heads: those with it and those without it are the same."
        ) from error
    axis = Axis(
        f"{OWN}:", name, LEARNED, Values.of(direction), "from heads without it to heads with it",
        low=-2.0, high=2.0,
    )  # fmt: skip
    return NewAxis(weights, _freed(axis, apart_from))


def axis_between(
    pipeline: Pipeline,
    request: RenderRequest,
    weights: str,
    name: str,
    ends: tuple[LatentSettings, LatentSettings],
    apart_from: Sequence[Axis] = (),
) -> Generator[Progress, None, NewAxis]:
    """Make a slider that leads from one head to another.

    Args:
        pipeline: Makes the heads' w.
        request: The generator; its latent is not used.
        weights: The generator's hash.
        name: Of the new slider.
        ends: From which head to which.
        apart_from: Sliders whose effects the new one leaves alone.

    Raises:
        SplatheadError: Both are the same head.
    """
    yield Step(0, 1, "Making both heads")
    beside = pipeline.beside()
    start, end = (beside.w(replace(request, latent=latent))[0] for latent in ends)
    step = end - start  # [1 or blocks, W]
    if step.abs().max() == 0:
        raise SplatheadError("Both are the same head: choose another before making a direction.")
    vector = Values.of(step[0] if len(step) == 1 else step)
    axis = Axis(f"{OWN}:", name, LEARNED, vector, "from the first head to the second", -1.0, 2.0)
    return NewAxis(weights, _freed(axis, apart_from))


def save_axes(
    path: Path, axes: Sequence[Axis], names: Mapping[str, str], weights: str
) -> Generator[Progress, None, SavedFile]:
    """Write sliders to a file that names their generator.

    Args:
        path: Ends in .json or .safetensors; a number is added if it is taken.
        axes: What to write.
        names: What each is called, by its source.
        weights: The hash of their generator.

    Raises:
        SaveError: It cannot be written.
    """
    yield Step(0, 1, f"Writing {path.name}")
    directions = [
        Direction(names[a.source], a.group, a.vector.tensor(), a.unit, a.low, a.high) for a in axes
    ]
    path = unused_name(path)
    write_directions(path, directions, weights)
    count = "1 direction" if len(axes) == 1 else f"{len(axes)} directions"
    return SavedFile(path, f"Saved {count} as {path.name} in {path.parent.resolve()}")


def load_axes(path: Path, weights: str, width: int) -> Generator[Progress, None, NewAxes]:
    """Read sliders that `save_axes` wrote, or those that came with a checkpoint.

    Args:
        path: The file.
        weights: The hash of the open generator.
        width: W

    Raises:
        LoadError: It is damaged, or of another generator.
    """
    yield Step(0, 1, f"Reading {path.name}")
    axes = tuple(axis_of(direction, OWN) for direction in read_directions(path, weights, width))
    count = "1 direction" if len(axes) == 1 else f"{len(axes)} directions"
    return NewAxes(weights, axes, f"Loaded {count} from {path.name}")


def _freed(axis: Axis, others: Sequence[Axis]) -> Axis:
    """The same slider, but for what others do."""
    vector = orthogonal_to(axis.vector, [other.vector for other in others])
    if not vector.array().any():
        raise SplatheadError(
            f"Nothing is left of “{axis.name}” without what the locked sliders do: unlock some."
        )
    return replace(axis, vector=vector)
