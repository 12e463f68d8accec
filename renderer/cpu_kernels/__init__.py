"""The rasterizer of `cpu_backend.py`, compiled by numba for the processor it runs on.

Forward, by `prepare` and then `paint`:

1. projection.py   splats, sixteen at a time, to the ellipses they cover; which tiles those touch
2. sorting.py      by depth
3. binning.py      into the lists of the tiles
4. forward.py      each tile composites its list, each 4x4 block of it only what touches it

Backward, by `differentiate`:

1. backward.py              the tiles again: sums over pixels for each splat in each tile
2. projection_backward.py   those sums to gradients of splats and camera

The rest: stages.py (the order of the above), team.py (several threads), frame.py (the arrays), coverage.py
(which cells an ellipse touches), vec16.py (vectors), memory.py (raw loads and stores).

The algorithm is that of "3D Gaussian Splatting" (Kerbl et al. 2023), with ellipses instead of boxes for
culling, and a backward pass that walks near to far.
"""

from __future__ import annotations

import hashlib
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

import llvmlite.binding
import numba
import numba.core.config
import platformdirs

config: Any = numba.core.config  # it fills itself from the environment, unseen by type checkers

__all__ = ["differentiate", "is_cached", "paint", "prepare"]


def _version() -> str:
    """Name everything the machine code depends on.

    numba itself looks only at the file of the entry point: a change in any other would go unseen.
    """
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    digest.update((Path(__file__).parents[1] / "drawing.py").read_bytes())
    for part in (
        numba.__version__,
        llvmlite.__version__,
        platform.python_version(),
        config.CPU_NAME or llvmlite.binding.get_host_cpu_name(),
        config.CPU_FEATURES or "",
    ):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:16]


def _cache_folder() -> Path:
    """Where the machine code is kept; for this run only if the user's cache cannot be written."""
    folder = (
        Path(platformdirs.user_cache_dir("splathead", appauthor=False)) / "kernels" / _version()
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        writable = False
    else:
        writable = os.access(folder, os.W_OK)
    # A fresh folder: others could lay machine code of theirs into one whose name they can tell.
    return folder if writable else Path(tempfile.mkdtemp(prefix="splathead-kernels-"))


def is_cached(*kernels: str) -> bool:
    """Whether the machine code of all these entry points is in the cache."""
    return all(any(_folder.glob(f"*/stages.{kernel}-*.nbi")) for kernel in kernels)


_folder = _cache_folder()

# numba reads this setting when a function is decorated; other users of numba keep theirs.
_others = config.CACHE_DIR
config.CACHE_DIR = str(_folder)
try:
    from renderer.cpu_kernels.stages import differentiate, paint, prepare
finally:
    config.CACHE_DIR = _others
