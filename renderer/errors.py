"""Every error a user may see is one of these: a sentence that says what went wrong and what to do.

Raised where the cause is known; caught in the engine and in `main()`; never shown as a traceback.
"""

from os import PathLike, fspath


class SplatheadError(Exception):
    """A sentence for the user: what went wrong, and what to do about it."""


class _FileError(SplatheadError):
    def __init__(self, path: str | PathLike[str], sentence: str) -> None:
        """Join `path` and `sentence`, which continues it: "head.ply" + "is empty. …"."""
        super().__init__(f"{fspath(path)} {sentence}")
        self.path = fspath(path)


class LoadError(_FileError):
    """A file is not what it should be."""


class SaveError(_FileError):
    """A file could not be written; what was there before is untouched."""


class CheckpointError(LoadError):
    """No network can be built from this file."""


class BackendError(SplatheadError):
    """This rasterizer cannot run here. The sentence names one that can."""
