"""The code that ran on this machine: to find again, and to know what the user has agreed to run.

One line of JSON for each version, appended; a damaged line is passed over.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from renderer.errors import SaveError
from renderer.files import atomic_write

_MOST = 4000  # versions; older ones are forgotten when the file is read
_LONGEST = 200_000  # characters of one


@dataclass(frozen=True)
class PastCode:
    """One version of a script."""

    when: float  # seconds since 1970
    name: str  # of its edit
    code: str


class CodeHistory:
    """What ran here, oldest first. Read when first asked for, written as it grows."""

    def __init__(self, folder: Path | None) -> None:
        """Keep it in a folder; only in memory if None."""
        self._path = folder / "scripts.jsonl" if folder is not None else None
        self._entries: list[PastCode] | None = None
        self._known: set[str] = set()

    @property
    def entries(self) -> tuple[PastCode, ...]:
        """Every version, oldest first."""
        return tuple(self._read())

    def knows(self, code: str) -> bool:
        """Whether the user typed this code here, or agreed that it runs."""
        self._read()
        return code in self._known or not code.strip()

    def agree(self, code: str) -> None:
        """Let code run from now on."""
        self._read()
        self._known.add(code)

    def find(self, words: str) -> tuple[PastCode, ...]:
        """The versions whose name or code holds all of some words, newest first."""
        wanted = words.lower().split()
        return tuple(
            entry
            for entry in reversed(self._read())
            if all(word in f"{entry.name}\n{entry.code}".lower() for word in wanted)
        )

    def add(self, name: str, code: str) -> None:
        """Remember a version that ran; the newest one again is no other version.

        Raises:
            SaveError: It cannot be written; it is remembered until the program ends.
        """
        entries = self._read()
        if not code.strip() or len(code) > _LONGEST or (entries and entries[-1].code == code):
            return
        entry = PastCode(time.time(), name, code)
        entries.append(entry)
        self._known.add(code)
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(_line(entry))
        except OSError as error:
            raise SaveError(
                self._path, f"cannot be written ({error.strerror}); this code is not remembered."
            ) from error

    def _read(self) -> list[PastCode]:
        if self._entries is None:
            self._entries = list(_entries_in(self._path)) if self._path is not None else []
            self._known |= {entry.code for entry in self._entries}
            self._shorten()
        return self._entries

    def _shorten(self) -> None:
        """Forget the oldest versions; that they were agreed to is known until the program ends."""
        assert self._entries is not None
        if len(self._entries) <= _MOST or self._path is None:
            return
        del self._entries[: -_MOST // 2]
        try:
            with atomic_write(self._path) as file:
                file.write("".join(map(_line, self._entries)).encode())
        except SaveError:
            return  # it is too long still, and will be shortened another day


def _line(entry: PastCode) -> str:
    return json.dumps(asdict(entry), ensure_ascii=False) + "\n"


def _entries_in(path: Path) -> Iterator[PastCode]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return
    for line in lines:
        try:
            found = json.loads(line)
            when, name, code = float(found["when"]), found["name"], found["code"]
        except (ValueError, TypeError, KeyError, RecursionError):
            continue
        if isinstance(name, str) and isinstance(code, str):
            yield PastCode(when, name, code)
