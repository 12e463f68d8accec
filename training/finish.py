"""What turns a finished distillation into a checkpoint to be shipped, in some seconds.

A training's running mean of w lags behind its mapping network, so it is taken anew; licence and origin
are written down; the named directions are found and laid beside.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import safetensors
import torch
import tyro
from torch import Tensor

from models.checkpoint import Provenance, load_generator, save_generator
from models.directions import shipped_directions, weights_hash, write_directions
from models.generator import CgsGenerator
from models.latents import random_z
from renderer.errors import LoadError, SplatheadError
from training.directions import find_directions

LICENCE = "Apache-2.0"
_SEED = 6_000_000  # of the first latents that w is averaged over
_AT_ONCE = 5000  # latents


def mean_w(generator: CgsGenerator, count: int = 100_000) -> Tensor:
    """Average w over random latents. [W] float32

    Args:
        generator: Its mapping network is asked.
        count: How many latents; rounded up to a multiple of 5000.
    """
    batches = -(-count // _AT_ONCE)
    with torch.no_grad():
        means = [
            generator.map(random_z(_SEED + i, _AT_ONCE, generator.z_dim)).double().mean((0, 1))
            for i in range(batches)
        ]
    return torch.stack(means).mean(0).float()


def finish(run: Path, out: Path) -> Iterator[str]:
    """Make a checkpoint and its directions from the folder of a distillation; say what was done.

    Args:
        run: Where `training.distill` wrote.
        out: The checkpoint; its directions come to lie beside it.

    Raises:
        LoadError: There is no run, or a damaged one.
        SaveError: The files cannot be written.
    """
    generator = load_generator(run / "generator.safetensors").generator
    step, settings = _progress(run / "state.safetensors")
    lag = generator.w_avg.clone()
    generator.w_avg.copy_(mean_w(generator))
    yield f"The mean of w was off by {float((lag - generator.w_avg).norm()):.3f}."
    source = f"distilled from parametric heads, {step} steps (python -m training.distill)"
    seen = step * settings["heads"] * settings["views"]
    provenance = Provenance(seen, LICENCE, source, {"settings": settings})
    save_generator(out, generator, provenance)
    yield f"{out}: {generator.config.splats:,} splats, {out.stat().st_size / 1e6:.1f} MB"
    directions = find_directions(generator)
    beside = shipped_directions(out)
    write_directions(beside, directions, weights_hash(generator))
    yield f"{beside}: {len(directions)} directions"


def _progress(path: Path) -> tuple[int, dict[str, int]]:
    """How many steps a run took, and its settings."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            header = file.metadata() or {}
            return int(header["step"]), json.loads(header["settings"])
    except (OSError, ValueError, KeyError, safetensors.SafetensorError) as error:
        raise LoadError(
            path, f"is no run of training.distill ({error}). Choose its folder."
        ) from error


@dataclass(frozen=True)
class Options:
    """Make a checkpoint to be shipped, and its directions, from a finished distillation."""

    # The folder of the run.
    run: Path
    # The checkpoint to write.
    out: Path = Path("models/demo/generator.safetensors")


def main(arguments: list[str] | None = None) -> int:
    """Finish from the command line; 0 if that went well."""
    options = tyro.cli(Options, prog="python -m training.finish", args=arguments)
    try:
        for sentence in finish(options.run, options.out):
            sys.stdout.write(f"{sentence}\n")
    except SplatheadError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
