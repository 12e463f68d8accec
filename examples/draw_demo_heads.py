"""Draw the sheets of the bundled generator that docs/ shows, of the first heads that it was not trained on.

python -m examples.draw_demo_heads --data ict_facekit_light.npz
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: idle threads do not spin

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from models.checkpoint import load_generator
from models.directions import Direction, read_directions, shipped_directions, weights_hash
from models.generator import HeadGenerator
from models.latents import random_z, truncate
from models.zoo import DEMO_GENERATOR
from renderer.camera import OrbitRig
from renderer.errors import SplatheadError
from renderer.files import atomic_write
from renderer.gaussians import Gaussians
from renderer.rasterize import rasterize
from training.synthetic.head import HeadModel
from training.synthetic.parameters import Z_DIM

_SEED = 9_000_000  # of the heads shown, none of which was picked
_AROUND = (0, 40, 90, 180)  # degrees of yaw
_AMOUNTS = (-2, -1, 0, 1, 2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and write the sheets; 0 if that went well."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generator", type=Path, default=DEMO_GENERATOR)
    parser.add_argument("--data", type=Path, help="the head model; without it none is drawn beside")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="a folder")
    parser.add_argument("--side", type=int, default=160, help="of one picture, px")
    options = parser.parse_args(arguments)
    try:
        plain = load_generator(options.generator).generator
        generator = plain.prepared()
        _write(options.out / "demo_heads.png", sheet_of_heads(generator, options.side))
        path = shipped_directions(options.generator)
        if path.exists():
            directions = read_directions(path, weights_hash(plain))
            sheet = sheet_of_directions(generator, directions, options.side * 3 // 5)
            _write(options.out / "demo_directions.png", sheet)
        if options.data is not None:
            sheet = sheet_beside(generator, HeadModel.load(options.data), options.side)
            _write(options.out / "demo_beside.png", sheet)
    except SplatheadError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def sheet_of_heads(
    generator: HeadGenerator, side: int, rows: int = 5, columns: int = 2
) -> Image.Image:
    """Draw heads from the front, the side and behind, four pictures each."""
    z = random_z(_SEED, rows * columns, generator.z_dim)
    heads = [generator.synthesize(generator.map(one[None])) for one in z]
    pictures = [picture(head, yaw, side) for head in heads for yaw in _AROUND]
    return _grid(pictures, len(_AROUND) * columns)


def sheet_beside(
    generator: HeadGenerator, model: HeadModel, side: int, heads: int = 8
) -> Image.Image:
    """Draw synthetic heads, and what the generator makes of their latents below each."""
    z = random_z(_SEED, heads, Z_DIM)
    teacher = [model.heads(one[None]) for one in z]
    student = [generator.synthesize(generator.map(one[None])) for one in z]
    rows = [(made, yaw) for yaw in (20, 180) for made in (teacher, student)]
    return _grid([picture(head, yaw, side) for made, yaw in rows for head in made], heads)


def sheet_of_directions(
    generator: HeadGenerator, directions: Sequence[Direction], side: int, columns: int = 2
) -> Image.Image:
    """Draw one head moved along each direction, by -2 to 2."""
    z = random_z(_SEED, 1, generator.z_dim)
    w = truncate(generator.map(z), generator.w_avg, 0.6)
    rows = [
        [
            picture(generator.synthesize(w + amount * direction.vector), 15, side)
            for amount in _AMOUNTS
        ]
        for direction in directions
    ]
    pictures = [one for row in rows for one in row]
    while len(pictures) % (columns * len(_AMOUNTS)):
        pictures.append(np.full_like(pictures[0], 255))
    sheet = _grid(pictures, columns * len(_AMOUNTS))
    pen = ImageDraw.Draw(sheet)
    for i, direction in enumerate(directions):
        place = (i % columns * len(_AMOUNTS) * side + 3, i // columns * side + 1)
        pen.text(place, direction.name, fill=(170, 40, 30))
    return sheet


def picture(head: Gaussians, yaw_deg: float, side: int) -> np.ndarray:
    """Draw a head [1] before white. [side, side, 3] uint8"""
    camera = OrbitRig(yaw=math.radians(yaw_deg), pitch=0.05).camera()
    drawn = rasterize(head[0], camera, (side, side), background=torch.ones(3)).color
    return (drawn.clamp(0, 1).movedim(0, -1) * 255).round().byte().numpy()


def _grid(pictures: Sequence[np.ndarray], columns: int) -> Image.Image:
    rows = [np.concatenate(pictures[i : i + columns], 1) for i in range(0, len(pictures), columns)]
    return Image.fromarray(np.concatenate(rows))


def _write(path: Path, image: Image.Image) -> None:
    with atomic_write(path) as file:
        image.save(file, "PNG", optimize=True)
    print(path)


if __name__ == "__main__":
    sys.exit(main())
