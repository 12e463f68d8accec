"""Compose the picture in docs/ of a photo that becomes a head, from what the command line leaves.

python -m examples.inversion_pictures

The photo is the one that scikit-image ships: the astronaut Eileen Collins, by NASA, in the public domain.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: idle threads do not spin

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from inversion.__main__ import main as invert
from inversion.alignment import Alignment
from inversion.photo import Photo
from inversion.results import drawn, overlay
from renderer.camera import OrbitRig
from renderer.files import atomic_write
from renderer.formats import read_head

_NAME = "astronaut"
_OUT = Path("docs/inversion_astronaut.png")
_SIDES = {"its right side": -40, "its left side": 40}  # degrees of yaw of the novel views
_MARGIN = 1.35  # sides of the crop that the first picture shows
_CAPTION = 16  # px


def main(arguments: Sequence[str] | None = None) -> int:
    """Invert the photo unless that was done, and write the picture; 0 if that went well."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="a folder that python -m inversion has written")
    parser.add_argument("--out", type=Path, default=_OUT)
    parser.add_argument("--side", type=int, default=200, help="of one picture, px")
    options = parser.parse_args(arguments)
    from skimage.data import astronaut  # of requirements-dev.txt

    pixels = astronaut()
    with tempfile.TemporaryDirectory() as name:
        run = options.run
        if run is None:
            run, photo = Path(name, "run"), Path(name, f"{_NAME}.png")
            Image.fromarray(pixels).save(photo)
            if status := invert([str(photo), "--out", str(run)]):
                return status
        sheet = sheet_of(run, pixels, options.side)
    with atomic_write(options.out) as file:
        sheet.save(file, "PNG", optimize=True)
    print(f"{options.out}, {options.out.stat().st_size / 1000:.0f} kB")
    return 0


def sheet_of(run: Path, pixels: np.ndarray, side: int) -> Image.Image:
    """Lay beside each other what was found, and what was made of it.

    Args:
        run: The folder of the command line's files.
        pixels: Of the photo. [H, W, 3] uint8
        side: Of one picture, px.
    """
    found = json.loads((run / "report.json").read_text())["photos"][0]
    head = read_head(run / "head.ply").map(lambda tensor: tensor[None])
    pictures = {
        "found": _surroundings(pixels, found, side),
        "crop": _read(run / f"{_NAME}.crop.png"),
        "matte": _read(run / f"{_NAME}.matte.png"),
        "latent inversion": _read(run / f"{_NAME}.inverted.png"),
        "tuned": _read(run / f"{_NAME}.result.png"),
    }
    for caption, yaw in _SIDES.items():
        camera = OrbitRig(yaw=math.radians(yaw), pitch=0.05).camera()
        pictures[caption] = drawn(head, camera, 2 * side)
    sheet = Image.new("RGB", (len(pictures) * side, side + _CAPTION), "white")
    pen = ImageDraw.Draw(sheet)
    for column, (caption, picture) in enumerate(pictures.items()):
        small = Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS)
        sheet.paste(small, (column * side, 0))
        middle = (column + 0.5) * side
        pen.text((middle, side + _CAPTION / 2), caption, fill=(60, 60, 60), anchor="mm")
    return sheet


def _surroundings(pixels: np.ndarray, found: dict[str, object], side: int) -> np.ndarray:
    """Enlarge the part of the photo around the crop, and draw into it what was found."""
    alignment = Alignment(**found["alignment"])  # type: ignore[arg-type]
    width = _MARGIN * alignment.side
    left, top = (max(0.0, middle - width / 2) for middle in alignment.centre)
    image = Image.fromarray(pixels)
    box = (left, top, left + width, top + width)
    near = image.resize((side, side), Image.Resampling.BICUBIC, box=box)
    scale = side / width

    def moved(point: Sequence[float]) -> tuple[float, float]:
        return (point[0] - left) * scale, (point[1] - top) * scale

    nearby = replace(alignment, centre=moved(alignment.centre), side=alignment.side * scale)
    points = tuple(moved(point) for point in found["points"])  # type: ignore[attr-defined]
    return overlay(np.asarray(near), Photo(_NAME, b"", points, nearby))


def _read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


if __name__ == "__main__":
    sys.exit(main())
