"""Named directions of a generator that was distilled from the parametric heads.

z decides those heads and each of its dimensions is known, so a direction is the average effect on w of
moving one of them, all else equal: E[map(z | end)] - E[map(z | start)] over random z. The network and
what its z means suffice; neither heads nor pictures are needed.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
import tyro

from models.checkpoint import load_generator
from models.directions import Direction, shipped_directions, weights_hash, write_directions
from models.generator import CgsGenerator
from renderer.errors import SplatheadError
from training.synthetic.geometry import Array
from training.synthetic.parameters import ACTIVE, DIMENSIONS, Z_DIM

_SEED = 5_000_000  # of the latents that effects are averaged over
_SIGMA = "one standard deviation"


@dataclass(frozen=True)
class Attribute:
    """Something that a dimension of z decides, and how far it goes for an amount of 1."""

    name: str
    group: str
    dimension: str  # key of `DIMENSIONS`
    # Values of that dimension before and after. Those of a switch are the means of the heads without
    # and with it; the others are a standard deviation apart.
    start: float = -0.5
    end: float = 0.5
    unit: str = _SIGMA
    low: float = -2.0
    high: float = 2.0
    # Over how many amounts its effect is averaged: most effects level off towards their ends.
    span: float = 3.0


def _switch(name: str, group: str, dimension: str, threshold: float, unit: str) -> Attribute:
    """What is there above a threshold of its dimension only: from the mean without to the mean with it."""
    density = math.exp(-(threshold**2) / 2) / math.sqrt(2 * math.pi)
    above = 0.5 * math.erfc(threshold / math.sqrt(2))
    start, end = -density / (1 - above), density / above
    return Attribute(name, group, dimension, start, end, unit, -1.5, 1.5, span=1.0)


# Those that a small generator learns: of blinking, squinting, looking up, puckering and the colour of
# lips it draws less than a seventh of what the synthetic heads show.
ATTRIBUTES = (
    _switch("Smile", "Expression", "smile", 0.3, "from a calm mouth to a smile"),
    _switch("Open mouth", "Expression", "mouth_open", 0.8, "from a closed mouth to an open one"),
    Attribute("Raised brows", "Expression", "brow_height"),
    Attribute(
        "Look to the side", "Expression", "gaze_x", unit=f"{_SIGMA}, towards the head's left"
    ),
    Attribute("Skin tone", "Skin", "skin_tone", unit=f"{_SIGMA}, from dark to light"),
    Attribute("Warm skin", "Skin", "skin_warmth"),
    Attribute("Blush", "Skin", "blush"),
    Attribute("Eye colour", "Eyes and brows", "eye_colour", unit=f"{_SIGMA}, from brown to blue"),
    Attribute("Thick brows", "Eyes and brows", "brow_weight"),
    Attribute("Hair colour", "Hair", "hair_colour", unit=f"{_SIGMA}, from dark to light"),
    _switch("Red hair", "Hair", "hair_red", 1.6, "from the own colour to red"),
    _switch("Grey hair", "Hair", "hair_grey", 1.45, "from the own colour to grey"),
    Attribute("Hair length", "Hair", "hair_length", unit=f"{_SIGMA}, from short to long"),
    Attribute("Hair volume", "Hair", "hair_volume"),
    Attribute("Curls", "Hair", "hair_curl", unit=f"{_SIGMA}, from straight to curly"),
    _switch("Bald", "Hair", "bald", 1.3, "from hair to none"),
    _switch("Beard", "Beard", "beard", 0.75, "from no beard to a beard"),
    Attribute("Beard length", "Beard", "beard_length"),
    _switch("Stubble", "Beard", "stubble", 0.6, "from clean skin to stubble"),
    _switch("Glasses", "Glasses", "glasses", 0.58, "from no glasses to glasses"),
    Attribute("Round glasses", "Glasses", "glasses_shape"),
    Attribute("Head size", "Identity", "identity_0", 0.5, -0.5),  # it grows against the component
    *(Attribute(f"Identity {i + 1}", "Identity", f"identity_{i}") for i in range(1, 10)),
    Attribute("Light from the side", "Light", "light_side", unit=f"{_SIGMA}, to the head's left"),
    Attribute("Warm light", "Light", "light_warmth"),
)

# What a head's look takes from another dimension: to keep it, this one moves by so much, per unit of
# the other: of the lightness of the skin (0 to 1) or of the length of the hair (standard deviations).
_LIGHTNESS = MappingProxyType(
    {"hair_colour": -3.4 / 1.5, "hair_red": -1.0, "eye_colour": -1.4, "hair_curl": 0.5}
)
_LENGTH = MappingProxyType({"beard": 0.25, "stubble": 0.25})


def moved(z: Array, attribute: Attribute, amount: float) -> Array:
    """Change one attribute of synthetic heads, all else equal.

    Args:
        z: [B, 512]
        attribute: What to change.
        amount: As of its direction: 1 goes from its start to its end.

    Returns:
        The same latents with one attribute changed. [B, 512]
    """
    now = _values(z)[:, DIMENSIONS[attribute.dimension]]
    return placed(z, attribute.dimension, now + amount * (attribute.end - attribute.start))


def placed(z: Array, dimension: str, value: Array) -> Array:
    """Give one dimension of synthetic heads a value, and keep every attribute that others decide.

    Args:
        z: [B, 512]
        dimension: Key of `DIMENSIONS`.
        value: [B]

    Returns:
        The latents of those heads, of mean square 1. [B, 512]
    """
    made = _values(z)
    before = made[:, DIMENSIONS[dimension]].copy()
    made[:, DIMENSIONS[dimension]] = value
    if dimension == "skin_tone":
        _follow(made, _LIGHTNESS, _normal_cdf(value) - _normal_cdf(before))
    elif dimension == "hair_length":
        _follow(made, _LENGTH, value - before)
    # The mean square stays 1, or every other attribute would change a little: idle dimensions yield.
    active, idle = np.square(made[:, :ACTIVE]).sum(1), np.square(made[:, ACTIVE:]).sum(1)
    made[:, ACTIVE:] *= np.sqrt((Z_DIM - active) / idle)[:, None]
    return made


def find_directions(
    generator: CgsGenerator, count: int = 1024, seed: int = _SEED
) -> tuple[Direction, ...]:
    """Find the direction of each of `ATTRIBUTES`.

    Args:
        generator: Distilled from the parametric heads.
        count: How many latents to average over.
        seed: Of the latents.

    Raises:
        SplatheadError: Its z does not mean such heads.
    """
    _require_distilled(generator)
    z = np.random.RandomState(seed).standard_normal((count, Z_DIM))

    def mean_w(latents: Array) -> torch.Tensor:
        with torch.no_grad():
            return generator.map(torch.from_numpy(latents).float()).double().mean((0, 1))

    found = []
    for a in ATTRIBUTES:
        middle, half = (a.start + a.end) / 2, a.span * (a.end - a.start) / 2
        ends = (np.full(count, value) for value in (middle - half, middle + half))
        low, high = (mean_w(placed(z, a.dimension, value)) for value in ends)
        vector = ((high - low) / a.span).float()
        found.append(Direction(a.name, a.group, vector, a.unit, a.low, a.high))
    return tuple(found)


def _require_distilled(generator: CgsGenerator) -> None:
    """Dimensions that decide nothing of a parametric head have no weight in its student."""
    weight = generator.mapping_network.layers()[0].weight
    if generator.z_dim != Z_DIM or weight[:, ACTIVE:Z_DIM].any():
        raise SplatheadError(
            "This generator was not distilled from parametric heads, so what its z means is not "
            "known. Use one that `python -m training.distill` made."
        )


def _values(z: Array) -> Array:
    """What a head is drawn from: z at the length at which its mean square is 1. [B, 512]"""
    return z / np.sqrt((z**2).mean(-1, keepdims=True))


def _follow(z: Array, rates: Mapping[str, float], change: Array) -> None:
    for name, rate in rates.items():
        z[:, DIMENSIONS[name]] += rate * change


def _normal_cdf(value: Array) -> Array:
    return 0.5 * (1 + np.vectorize(math.erf, otypes=[float])(value / math.sqrt(2)))


@dataclass(frozen=True)
class Options:
    """Find the named directions of a generator distilled from parametric heads."""

    # The generator.
    generator: Path
    # Where to write them: .safetensors, or .json to read; beside the generator if not given.
    out: Path | None = None
    # Over how many latents each is averaged.
    count: int = 1024


def main(arguments: list[str] | None = None) -> int:
    """Find directions from the command line; 0 if that went well."""
    options = tyro.cli(Options, prog="python -m training.directions", args=arguments)
    out = options.out or shipped_directions(options.generator)
    try:
        generator = load_generator(options.generator).generator
        directions = find_directions(generator, options.count)
        write_directions(out, directions, weights_hash(generator))
    except SplatheadError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{len(directions)} directions in {out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
