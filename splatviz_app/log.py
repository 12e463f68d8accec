"""What happened, for the Log panel: sentences, with the traceback behind those that are bugs."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

Level = Literal["info", "warning", "error"]


@dataclass(frozen=True)
class LogEntry:
    """One thing that happened."""

    level: Level
    message: str
    details: str = ""  # a traceback, or nothing
    when: float = field(default_factory=time.time)  # seconds since 1970

    @property
    def text(self) -> str:
        """All of it, for the clipboard."""
        clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.when))
        lines = [f"{clock} {self.level}: {self.message}"]
        return "\n".join(lines + ([self.details.rstrip()] if self.details else []))


class Log:
    """The newest entries, oldest first."""

    def __init__(self, limit: int = 1000) -> None:
        """Keep up to `limit` entries."""
        self.entries: deque[LogEntry] = deque(maxlen=limit)

    def add(self, level: Level, message: str, details: str = "") -> None:
        """Append an entry, unless it only repeats the last one."""
        last = self.entries[-1] if self.entries else None
        if last is None or (last.level, last.message, last.details) != (level, message, details):
            self.entries.append(LogEntry(level, message, details))

    @property
    def last(self) -> LogEntry | None:
        """The newest entry."""
        return self.entries[-1] if self.entries else None
