"""Writing files so that nothing is ever lost: a failed save leaves what was there.

Everything that saves goes through `atomic_write`; what must not overwrite asks `unused_name` first.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import BinaryIO

from renderer.errors import SaveError

# Empty files that `unused_name` made and nobody has written yet: a failed save may remove these.
_reserved: set[Path] = set()


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file that appears under `path` only when the block has ended well.

    It is written beside `path`, brought to the disk, then renamed over it in one step, so that a
    reader sees the old file or the new one. Links are followed; the old file's mode is kept.

    Raises:
        SaveError: The disk is full, the folder is missing or may not be written. What was under
            `path` is untouched and nothing else is left behind, as after any other exception.
    """
    target = Path(os.path.realpath(path))
    part = target.with_name(f".{secrets.token_hex(6)}.part")
    try:
        # A rename would replace a write-protected file without asking.
        if target.exists() and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, "write-protected")
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a folder")
        with open(part, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if target.exists() and target not in _reserved:
            shutil.copymode(target, part)
        os.replace(part, target)
    except OSError as error:
        raise SaveError(path, _why_not(error)) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        _release(target)


def unused_name(path: str | os.PathLike[str]) -> Path:
    """Reserve the first free name of head.png, head-2.png, head-3.png, …

    The name is taken at once by an empty file, so that two programs (or threads) that ask together
    get two names. `atomic_write` fills it, or removes it when saving fails.

    Raises:
        SaveError: The folder is missing or may not be written.
    """
    wanted = Path(path)
    for number in count(1):
        name = wanted if number == 1 else wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
        try:
            open(name, "xb").close()
        except FileExistsError:
            continue
        except OSError as error:
            raise SaveError(path, _why_not(error)) from error
        _reserved.add(Path(os.path.realpath(name)))
        return name
    raise AssertionError("unreachable: there is always a next number")


def _release(target: Path) -> None:
    """End a reservation; an empty file that was only a reservation goes away with it."""
    if target in _reserved:
        _reserved.discard(target)
        with suppress(OSError):
            if target.stat().st_size == 0:
                target.unlink()


def _why_not(error: OSError) -> str:
    """Continue the sentence "head.ply …" for the user."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return "could not be saved: the disk is full. Free some space or choose another disk."
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return "could not be saved: writing here is not permitted. Choose another folder."
        case errno.ENOENT | errno.ENOTDIR:
            return "could not be saved: its folder does not exist. Create it or choose another."
        case errno.EISDIR:
            return "could not be saved: it is a folder. Choose another name."
        case errno.ENAMETOOLONG:
            return "could not be saved: the name is too long. Choose a shorter one."
    return f"could not be saved ({error.strerror or error}). Choose another place."
