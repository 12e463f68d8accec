"""The log of a training run, read while it is being written: curves, events, the newest pictures."""

from __future__ import annotations

import math
import os
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_KEPT_EVENTS = 300
_MOST_POINTS = 2000  # of a curve; more do not fit into a plot


@dataclass(frozen=True, eq=False)
class Curve:
    """A figure over the course of a run; arrays are not written to."""

    kimg: np.ndarray  # [n] float64, rising
    values: np.ndarray  # [n] float64


class RunLog:
    """The lines of a run's log, as far as it has been read."""

    def __init__(self, folder: Path) -> None:
        from training.records import LOG

        self._path = folder / LOG
        self._forget()

    def _forget(self) -> None:
        self._file, self._offset = 0, 0
        self._series: dict[str, list[tuple[float, float]]] = {}
        self._curves: dict[str, tuple[int, Curve]] = {}  # with how many points it has been told
        self.events: deque[str] = deque(maxlen=_KEPT_EVENTS)
        self.grids: dict[str, Path] = {}
        self.status: dict[str, Any] = {}  # the newest line of that kind
        self.last: dict[str, Any] = {}  # the newest line
        self.images = 0
        self.began = -1.0  # seconds since 1970, of the newest beginning
        self.changed = 0.0

    def read(self) -> None:
        """Read what has been written since the last time; all of it, if the log was rewritten."""
        from training.records import parse_log

        try:
            with open(self._path, "rb") as file:
                found = os.fstat(file.fileno())
                if found.st_ino != self._file or found.st_size < self._offset:
                    self._forget()
                self._file, self.changed = found.st_ino, found.st_mtime
                file.seek(self._offset)
                written = file.read()
        except OSError:
            self._forget()
            return
        whole = written[: written.rfind(b"\n") + 1]  # the last line may still be being written
        self._offset += len(whole)
        for line in parse_log(whole.decode("utf-8", "replace")):
            self._take(line)

    def curves(self) -> dict[str, Curve]:
        """The figures so far; arrays are made anew only for those that have grown."""
        for name, points in self._series.items():
            known = self._curves.get(name)
            if known is None or known[0] != len(points):
                every = -(-len(points) // _MOST_POINTS)
                newest_last = points[::-1][::every][::-1]
                columns = np.array(newest_last, dtype=np.float64).T  # [2, n]
                curve = Curve(*map(np.ascontiguousarray, columns))
                self._curves[name] = (len(points), curve)
        return {name: curve for name, (_, curve) in self._curves.items()}

    def _take(self, line: dict[str, Any]) -> None:
        kind, images = str(line.get("kind")), line["images"]
        self.last, self.images = line, images
        if kind == "begin":
            self.began = number_of(line.get("time")) or 0.0
        elif kind == "grid":
            name = Path(str(line.get("file", "")))
            if name.suffix == ".png" and not name.is_absolute() and ".." not in name.parts:
                self.grids[name.stem.rpartition("-")[0]] = self._path.parent / name
            return
        elif kind in ("status", "metric"):
            self._measure(kind, images, line)
        self.events.append(_event(kind, images, line))

    def _measure(self, kind: str, images: int, line: dict[str, Any]) -> None:
        if kind == "status":
            self.status = line
        for name, value in line.items():
            number = number_of(value)
            if number is not None and name not in ("images", "time"):
                self._series.setdefault(f"{kind}/{name}", []).append((images / 1000, number))


def number_of(value: object) -> float | None:
    """The number that a line has there; None if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _event(kind: str, images: int, line: dict[str, Any]) -> str:
    """Say one line of the log in words."""
    clock = time.strftime("%H:%M", time.localtime(number_of(line.get("time")) or 0.0))
    figures = {name: number for name in line if (number := number_of(line[name])) is not None}
    if kind == "status":
        losses = ", ".join(
            f"{letter} {figures[name]:.2f}"
            for letter, name in (("G", "generator_loss"), ("D", "discriminator_loss"))
            if name in figures
        )
        said = losses
    elif kind == "metric":
        names = [name for name in figures if name not in ("images", "time")]
        said = ", ".join(f"{name} {figures[name]:.4g}" for name in names)
    elif kind == "checkpoint":
        said = "Checkpoint written."
    elif kind == "end":
        said = "Stopped." if line.get("is_stopped") else "Done."
    else:
        said = str(line.get("message", kind))
    return f"{clock}  {images / 1000:g}k  {said}"
