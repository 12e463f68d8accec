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
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from anywhere

from examples.parametric_head.eyes import make_brows, make_eyes, make_lashes
from examples.parametric_head.geometry import Noise
from examples.parametric_head.hair import make_hair
from examples.parametric_head.layer import Layer, join
from examples.parametric_head.light import light
from examples.parametric_head.mesh import load_mesh
from examples.parametric_head.shirt import make_shirt
from examples.parametric_head.skin import make_skin
from renderer.formats.ply import write_ply
from renderer.gaussians import Gaussians
from renderer.rotations import matrix_to_quat
from renderer.spherical_harmonics import rgb_to_dc

# Where the mesh, in centimetres, sits in the world: as the GAN's own heads do.
CM = 0.0192
ORIGIN = np.array([0, -0.0166, -0.0738])


def make_head(data: str, splats: int, seed: int) -> Gaussians:
    """Build, paint and light a head of about `splats` splats; the same seed is the same head."""
    rng, noise = np.random.default_rng(seed), Noise(seed)
    mesh = load_mesh(data, seed)
    layer = join(
        [
            make_skin(mesh, int(0.475 * splats), noise),
            make_eyes(mesh, int(0.035 * splats), noise),
            make_lashes(mesh, int(0.01 * splats), rng),
            make_brows(mesh, int(0.03 * splats), rng),
            make_hair(mesh, int(0.36 * splats), noise, rng),
            make_shirt(int(0.09 * splats), noise),
        ]
    )
    return to_gaussians(layer, light(layer, seed))


def to_gaussians(layer: Layer, colors: np.ndarray) -> Gaussians:
    """Put lit splats into the world; `colors` as displayed, in [0, 1]. [N, 3]"""
    bitangents = np.cross(layer.normals, layer.tangents)
    axes = np.stack([layer.tangents, bitangents, layer.normals], axis=-1)  # [N, 3, 3]
    logits = np.log(layer.opacities / (1 - layer.opacities))

    def tensor(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).float()

    return Gaussians(
        means=tensor(layer.points * CM + ORIGIN),
        log_scales=tensor(np.log(layer.sizes * CM)),
        quats=matrix_to_quat(torch.from_numpy(axes)).float(),
        opacity_logits=tensor(logits),
        sh=rgb_to_dc(tensor(colors))[:, None],
    )


def main() -> None:
    """Parse the command line and write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="the parametric head, an .npz file")
    parser.add_argument("--out", required=True, help="the .ply to write")
    parser.add_argument("--splats", type=int, default=70_000, help="about how many, 30000 or more")
    parser.add_argument("--seed", type=int, default=3, help="another number, another head")
    options = parser.parse_args()
    head = make_head(options.data, options.splats, options.seed)
    note = {"made by": "examples/make_sample_head.py", "derived from": "ICT-FaceKit, see NOTICE"}
    write_ply(options.out, head, note={**note, "seed": options.seed})
    print(f"{head.count} splats written to {options.out}")


if __name__ == "__main__":
    main()
