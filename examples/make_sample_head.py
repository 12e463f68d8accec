"""Make the bundled head, and the same head at other sizes for benchmarks.

    python examples/make_sample_head.py --data ict_facekit_light.npz --out examples/sample_head.ply
    python examples/make_sample_head.py --data ict_facekit_light.npz --out out.ply --splats 240000

The data is ICT-FaceKit Light (see NOTICE) as one array file; it is not part of this project.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from anywhere

from renderer.formats.ply import write_ply
from training.synthetic.head import HeadModel
from training.synthetic.parameters import DIMENSIONS, Z_DIM

# What this head looks like; what is not named here is drawn by the seed, or as on most heads.
LOOKS = {
    "mouth_open": -1.0, "smile": 0.75, "blink": -1.0, "brow_height": 0.3, "gaze_x": 0.0,
    "gaze_y": 0.0, "pucker": -1.0, "squint": 0.1, "mouth_side": 0.0, "upper_lip": -1.0,
    "skin_tone": 0.85, "skin_warmth": 0.4, "blush": 0.5, "lip_colour": 0.2, "eye_colour": 1.2,
    "eye_green": 0.4, "brow_weight": 0.8, "hair_colour": -0.5, "hair_red": -1.0, "hair_grey": -1.0,
    "hair_length": -0.2, "hair_style_x": 1.6, "hair_style_y": 0.0, "hair_curl": -1.5,
    "hair_volume": 0.3, "bald": -1.0, "beard": -1.0, "beard_length": 0.0, "stubble": -1.0,
    "glasses": -1.0, "glasses_shape": 0.0, "glasses_colour": 0.0, "shirt_red": -1.0,
    "shirt_green": 0.2, "shirt_blue": 0.8, "light_side": 0.4, "light_height": 0.2,
    "light_warmth": 0.2,
}  # fmt: skip


def make_latent(seed: int) -> np.ndarray:
    """A latent of the usual length: this look, and an identity by the seed. [512]"""
    z = np.random.RandomState(seed).standard_normal(Z_DIM)
    z[: len(DIMENSIONS)] *= 0.7  # not too far from everybody
    for name, value in LOOKS.items():
        z[DIMENSIONS[name]] = value
    rest = slice(len(DIMENSIONS), None)  # dimensions that nothing reads
    room = Z_DIM - (z[: len(DIMENSIONS)] ** 2).sum()
    z[rest] *= np.sqrt(room / (z[rest] ** 2).sum())
    return z


def main() -> None:
    """Parse the command line and write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="the parametric head, an .npz file")
    parser.add_argument("--out", required=True, help="the .ply to write")
    parser.add_argument("--splats", type=int, default=69_000, help="about how many, 30000 or more")
    parser.add_argument("--seed", type=int, default=7, help="another number, another head")
    options = parser.parse_args()
    head = HeadModel.load(options.data, options.splats).head(make_latent(options.seed))
    note = {"made by": "examples/make_sample_head.py", "derived from": "ICT-FaceKit, see NOTICE"}
    write_ply(options.out, head, note={**note, "seed": options.seed})
    print(f"{head.count} splats written to {options.out}")


if __name__ == "__main__":
    main()
