"""How long a head takes to the disk and back: `python -m benchmarks.formats`.

Ours against plyfile as someone who knows it would use it: one structured array, no Python rows,
and written as safely as ours (a file beside it, on the disk before it is renamed). "Unsafely" is
plyfile straight into the file, which a crash or a full disk leaves half written. All take turns
in one run, and the fastest of several counts, so that what else the machine does falls on each.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from plyfile import PlyData, PlyElement

from renderer.files import atomic_write
from renderer.formats.ply import read_ply, write_ply
from renderer.gaussians import Gaussians

_NAMES = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity"]
_NAMES += ["scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]


def main() -> None:
    """Print a table, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--splats", type=int, default=240_128)
    parser.add_argument("--turns", type=int, default=9)
    options = parser.parse_args()
    head = _random_head(options.splats)
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder, "ours.ply"), Path(folder, "plyfile.ply")
        works: dict[str, Callable[[], object]] = {
            "write, ours": lambda: write_ply(ours, head),
            "write, plyfile": lambda: _write_safely_with_plyfile(theirs, head),
            "  the same, unsafely": lambda: _write_with_plyfile(str(theirs), head),
            "read, ours": lambda: read_ply(ours),
            "read, plyfile": lambda: _read_with_plyfile(theirs),
        }
        best = _fastest(works, options.turns)
        assert torch.equal(read_ply(theirs).means, head.means)
        assert torch.equal(_read_with_plyfile(ours).quats, head.quats)
    print(f"{options.splats} splats of degree 0, the fastest of {options.turns} turns")
    for name, seconds in best.items():
        print(f"{name:20} {seconds * 1e3:8.1f} ms")
    figures = {
        "write_ms_240k": best["write, ours"] * 1e3,
        "read_ms_240k": best["read, ours"] * 1e3,
        "plyfile_over_ours_write": best["write, plyfile"] / best["write, ours"],
        "plyfile_over_ours_read": best["read, plyfile"] / best["read, ours"],
    }
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


def _fastest(works: dict[str, Callable[[], object]], turns: int) -> dict[str, float]:
    """Time each work in turn. Seconds of the fastest turn."""
    best = dict.fromkeys(works, float("inf"))
    for _ in range(turns):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def _random_head(count: int) -> Gaussians:
    draw = torch.Generator().manual_seed(0)
    shapes = [(count, 3), (count, 3), (count, 4), (count,), (count, 1, 3)]
    return Gaussians(*(torch.randn(*shape, generator=draw) for shape in shapes))


def _write_safely_with_plyfile(path: Path, head: Gaussians) -> None:
    with atomic_write(path) as file:
        _write_with_plyfile(file, head)


def _write_with_plyfile(target: str | BinaryIO, head: Gaussians) -> None:
    rows = np.zeros(head.count, [(name, "f4") for name in _NAMES])
    table = rows.view(np.float32).reshape(head.count, len(_NAMES))
    table[:, 0:3] = head.means.numpy()
    table[:, 6:9] = head.sh[:, 0].numpy()
    table[:, 9] = head.opacity_logits.numpy()
    table[:, 10:13] = head.log_scales.numpy()
    table[:, 13:17] = head.quats.numpy()
    PlyData([PlyElement.describe(rows, "vertex")], byte_order="<").write(target)


def _read_with_plyfile(path: Path) -> Gaussians:
    vertex = PlyData.read(str(path))["vertex"]

    def stacked(*names: str) -> torch.Tensor:
        return torch.from_numpy(np.stack([vertex[name] for name in names], axis=-1))

    return Gaussians(
        means=stacked("x", "y", "z"),
        log_scales=stacked("scale_0", "scale_1", "scale_2"),
        quats=stacked("rot_0", "rot_1", "rot_2", "rot_3"),
        opacity_logits=stacked("opacity")[:, 0],
        sh=stacked("f_dc_0", "f_dc_1", "f_dc_2")[:, None],
    )


if __name__ == "__main__":
    main()
