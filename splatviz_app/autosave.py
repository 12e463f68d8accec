"""What is not saved is written aside now and then, so that nothing is lost when the program is killed.

Each running program has a file of its own and holds a lock beside it, which the system releases with the
process, however it ends. A file whose lock is free is what a program left behind.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import platformdirs

from renderer.errors import SaveError, SplatheadError
from splatviz_app.document import Document
from splatviz_app.projects.archive import read_thumbnail
from splatviz_app.projects.content import Content
from splatviz_app.projects.files import PROJECT_SUFFIX, read_project, write_project

if TYPE_CHECKING:
    from splatviz_app.session import Session

EVERY = 20.0  # seconds between two files, at least
# Photos and tunings can be hundreds of megabytes: what takes longer than this is written less often.
_LONG = 1.0  # seconds
_SHARE = 0.05  # of the time that long writing may take

_LOCK = ".lock"


@dataclass(frozen=True, eq=False)
class Lost:
    """Work that a program left behind. Whoever found it holds its lock."""

    path: Path
    # What its project was called.
    name: str
    when: float  # seconds since 1970
    thumbnail: bytes  # PNG; empty if there is none
    lock: _Lock = field(repr=False)


class Autosave:
    """Follows a session. Used by the thread of the window; the files are written by another."""

    def __init__(self, folder: Path | None = None, every: float = EVERY) -> None:
        """Write to a folder of the user's, or another.

        Args:
            folder: Where the files go.
            every: Seconds between two files.
        """
        self._folder = folder if folder is not None else state_folder() / "autosave"
        self._every = every
        self._path: Path | None = None
        self._lock: _Lock | None = None
        self._written: Document | None = None  # what is in the file, or will be
        self._last = time.monotonic()  # seconds
        self._took = 0.0  # seconds: of the newest writing
        self._writing: Future[None] | None = None
        self._has_warned = False

    def follow(self, session: Session) -> None:
        """Write if there is something new to write; once per frame."""
        if self._writing is not None:
            if not self._writing.done():
                return
            self._conclude(session)
        project, document = session.project, session.document
        if not project.is_changed:
            self._forget()
        elif time.monotonic() - self._last >= self._pause and document != self._written:
            self._last, self._written = time.monotonic(), document
            result = session.result
            picture = result.image if result is not None else None
            path = self._own_path()
            content = project.content(path)
            self._writing = project.writer.submit(self._write, path, content, picture)

    def lost(self) -> list[Lost]:
        """Find and lock what other programs left behind, newest first."""
        found = []
        for path in sorted(self._folder.glob(f"*{PROJECT_SUFFIX}")):
            lock = _Lock(path.with_suffix(_LOCK))
            if path == self._path or not lock.take():
                continue
            try:
                origin = read_project(path).origin
                name = Path(origin).stem if origin else "Untitled"
                found.append(Lost(path, name, path.stat().st_mtime, read_thumbnail(path), lock))
            except (SplatheadError, OSError):
                # Of a later version, or damaged: whoever can read it may still want it.
                lock.release()
        return sorted(found, key=lambda lost: -lost.when)

    def adopt(self, lost: Lost) -> None:
        """Go on with what was left behind: its file is ours until its work is saved."""
        self._forget()
        self._path, self._lock = lost.path, lost.lock

    def discard(self, lost: Lost) -> None:
        """Delete what was left behind."""
        lost.path.unlink(missing_ok=True)
        lost.lock.remove()

    def leave(self, lost: Lost) -> None:
        """Leave it for another day."""
        lost.lock.release()

    def close(self) -> None:
        """End in order: all was saved, or is not wanted."""
        if self._writing is not None:
            with suppress(Exception):  # it goes away in any case
                self._writing.result()
        self._forget()

    @property
    def _pause(self) -> float:
        """Seconds from one writing to the next."""
        return max(self._every, self._took / _SHARE if self._took > _LONG else 0.0)

    def _own_path(self) -> Path:
        if self._path is None:
            name = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"
            self._path = self._folder / f"{name}{PROJECT_SUFFIX}"
        return self._path

    def _write(self, path: Path, content: Content, picture: np.ndarray | None) -> None:
        """On the writing thread; the lock comes first, so that no other program takes the file for lost."""
        begin = time.monotonic()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SaveError(self._folder, f"cannot be created ({error.strerror}).") from error
        if self._lock is None:
            lock = _Lock(path.with_suffix(_LOCK))
            if not lock.take():
                raise SaveError(path, "could not be locked.")
            self._lock = lock
        write_project(path, content, picture)
        self._took = time.monotonic() - begin

    def _conclude(self, session: Session) -> None:
        assert self._writing is not None
        error, self._writing = self._writing.exception(), None
        if error is not None and not self._has_warned:
            self._has_warned = True
            session.log.add("warning", f"Nothing is saved automatically: {error}")
        elif error is None:
            self._has_warned = False

    def _forget(self) -> None:
        """Remove our file, if there is one."""
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.remove()
        self._path = self._lock = self._written = None


def state_folder() -> Path:
    """The folder of what is to outlive the program; `SPLATHEAD_STATE` overrides the system's."""
    return Path(
        os.environ.get("SPLATHEAD_STATE") or platformdirs.user_state_dir("splathead", False)
    )


class _Lock:
    """A file that one process holds."""

    def __init__(self, path: Path) -> None:
        """Name it; `take` takes it."""
        self._path = path
        self._file: BinaryIO | None = None

    def take(self) -> bool:
        """Hold it until `release` or the end of the process; False if another does."""
        try:
            file = open(self._path, "ab")  # noqa: SIM115 - held open: that is the lock
        except OSError:
            return False
        try:
            if sys.platform == "win32":
                import msvcrt

                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Let others take it."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def remove(self) -> None:
        """Release and delete it."""
        if sys.platform == "win32":  # an open file cannot be deleted there
            self.release()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
        self.release()
