"""What the named directions of the bundled generator change, and what else changes with it.

    python -m benchmarks.demo_directions --data ict_facekit_light.npz

The synthetic heads say how a picture changes when one attribute goes from its start to its end, the others
held. What a direction does to the generator's head is written as a sum of those changes, by least
squares over the pixels of three views. "own" is how much there is of its own attribute's change, ideally
1; "z" how much when z is changed instead, the most one can expect where the generator is blurred;
"other" is the largest part that looks like another attribute, as large as it shows in the picture,
relative to the own attribute's true change. All are means over the heads. The last line is one JSON
object: for each direction [own, z, other].
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: idle threads do not spin

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.checkpoint import load_generator
from models.directions import Direction, read_directions, shipped_directions, weights_hash
from models.generator import HeadGenerator
from models.zoo import DEMO_GENERATOR
from renderer.camera import OrbitRig
from renderer.errors import SplatheadError
from renderer.gaussians import Gaussians
from renderer.rasterize import rasterize
from training.directions import ATTRIBUTES, Attribute, placed
from training.synthetic.geometry import Array
from training.synthetic.head import HeadModel
from training.synthetic.parameters import Z_DIM
from training.synthetic.stream import HeadSource

_SEED = 9_500_000  # of the heads, which no training sees
_YAWS = (0.0, 0.6, 1.57)  # radians
_SIZE = 96  # px
_RIDGE = 1e-3  # of a change's mean square: attributes that look alike share what they explain


@dataclass(frozen=True, eq=False)
class Shares:
    """How much of each attribute's change is in what directions, or z itself, do; means over heads."""

    directions: Array  # [D, A]  row: the direction, column: the attribute
    latents: Array  # [D, A]
    visible: Array  # [A]  how large an attribute's own change is, root mean square of the pictures


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table, then one line of JSON; 0 if that went well."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the head model")
    parser.add_argument("--generator", type=Path, default=DEMO_GENERATOR)
    parser.add_argument("--heads", type=int, default=16)
    options = parser.parse_args(arguments)
    try:
        plain = load_generator(options.generator).generator
        path = shipped_directions(options.generator)
        directions = read_directions(path, weights_hash(plain), plain.w_dim)
        model = HeadModel.load(options.data)
        shares = measure_shares(plain.prepared(), model, directions, options.heads)
    except SplatheadError as error:
        print(error, file=sys.stderr)
        return 2
    figures = {}
    print(f"{'direction':<22}{'own':>6}{'z':>7}{'other':>8}  the other")
    for i, attribute in enumerate(ATTRIBUTES):
        own, latent = shares.directions[i, i], shares.latents[i, i]
        others = shares.directions[i] * shares.visible / shares.visible[i]
        others[i] = 0
        worst = int(np.abs(others).argmax())
        name = ATTRIBUTES[worst].name
        print(f"{attribute.name:<22}{own:>6.2f}{latent:>7.2f}{others[worst]:>8.2f}  {name}")
        figures[attribute.name] = [round(float(x), 3) for x in (own, latent, others[worst])]
    print(json.dumps(figures))
    return 0


def measure_shares(
    generator: HeadGenerator, model: HeadSource, directions: Sequence[Direction], heads: int
) -> Shares:
    """Explain what directions do by what attributes do.

    Args:
        generator: The student.
        model: The teacher.
        directions: One of each of `ATTRIBUTES`, in their order.
        heads: Over how many heads to average.
    """
    assert [d.name for d in directions] == [a.name for a in ATTRIBUTES]
    moved, latent, visible = [], [], []
    for i in range(heads):
        z = np.random.RandomState(_SEED + i).standard_normal((1, Z_DIM))
        ends = [_ends(z, attribute) for attribute in ATTRIBUTES]
        basis = torch.stack(
            [_views(model.heads(end)) - _views(model.heads(start)) for start, end in ends]
        )
        visible.append(basis.square().mean(1).numpy())
        by_direction, by_latent = [], []
        for (start, end), direction in zip(ends, directions, strict=True):
            before, after = (generator.map(torch.from_numpy(each).float()) for each in (start, end))
            from_here = _views(generator.synthesize(before))
            by_direction.append(_views(generator.synthesize(before + direction.vector)) - from_here)
            by_latent.append(_views(generator.synthesize(after)) - from_here)
        moved.append(_explain(torch.stack(by_direction), basis))
        latent.append(_explain(torch.stack(by_latent), basis))
    shown = np.sqrt(np.mean(visible, axis=0))
    return Shares(np.mean(moved, axis=0), np.mean(latent, axis=0), shown)


def _ends(z: Array, attribute: Attribute) -> tuple[Array, Array]:
    """The latents of a head at the start and the end of an attribute. [1, 512] each"""
    start, end = (np.full(1, value) for value in (attribute.start, attribute.end))
    return placed(z, attribute.dimension, start), placed(z, attribute.dimension, end)


def _explain(changes: Tensor, basis: Tensor) -> Array:
    """Write each change as a sum of the basis, by least squares. [D, P], [A, P] -> [D, A]"""
    gram = basis @ basis.T
    # Relative to each, so that a change of few pixels counts like one of many.
    ridge = torch.diag(_RIDGE * gram.diagonal().clamp_min(1e-9))
    return torch.linalg.solve(gram + ridge, basis @ changes.T).T.numpy()


def _views(head: Gaussians) -> Tensor:
    """What is seen of a head [1] before grey. [P]"""
    grey = torch.full((3,), 0.5)
    size = (_SIZE, _SIZE)
    cameras = (OrbitRig(yaw=yaw, pitch=0.05).camera() for yaw in _YAWS)
    seen = [rasterize(head[0], camera, size, background=grey).color for camera in cameras]
    return torch.stack(seen).flatten().double()


if __name__ == "__main__":
    sys.exit(main())
