"""Files of heads: one module per format, one dict of readers keyed by extension."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from renderer.errors import LoadError
from renderer.formats.frames import Frame
from renderer.formats.ply import read_ply
from renderer.gaussians import Gaussians

Reader = Callable[[str | os.PathLike[str], Frame | None], Gaussians]
READERS: dict[str, Reader] = {".ply": read_ply}


def read_head(path: str | os.PathLike[str], frame: Frame | None = None) -> Gaussians:
    """Read one head from any file this program knows, by its extension; float32 on the CPU.

    Args:
        path: The file.
        frame: The file's axes. If None, those which the file says it has, else ours.

    Raises:
        LoadError: The extension is unknown, or the file is not what it should be.
    """
    extension = Path(path).suffix.lower()
    if extension not in READERS:
        known = ", ".join(READERS)
        raise LoadError(path, f"is not a kind of head file known here. Open one of: {known}.")
    return READERS[extension](path, frame)
