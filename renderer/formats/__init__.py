"""Files of heads: one module per format, one dict keyed by extension each way."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from renderer.errors import LoadError
from renderer.formats.ply import read_ply, write_ply
from renderer.gaussians import Gaussians

READERS: dict[str, Callable[[str | os.PathLike[str]], Gaussians]] = {".ply": read_ply}
# Each takes the path, the head and the format's own options, and returns how many rows it dropped.
WRITERS: dict[str, Callable[..., int]] = {".ply": write_ply}


def read_head(path: str | os.PathLike[str]) -> Gaussians:
    """Read one head from any file this program knows, by its extension.

    Raises:
        LoadError: The extension is unknown, or the file is not what it should be.
    """
    extension = Path(path).suffix.lower()
    if extension not in READERS:
        known = ", ".join(READERS)
        raise LoadError(path, f"is not a kind of head file known here. Open one of: {known}.")
    return READERS[extension](path)
