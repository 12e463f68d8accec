"""Cameras, and video files in their place: a thread reads, and only the newest frame is kept.

Nothing is opened before it is asked for, and pictures stay in memory. Frames are as the camera sees
them; who wants a mirror draws one.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from inversion.errors import InversionError
from inversion.steps import Step

PROBED = 5  # how many indices are tried where the system does not list cameras
WIDTH, HEIGHT = 1280, 720  # px asked for; a camera gives what it can
LARGEST = 2048  # px wide or high that a frame is shrunk to; photos are kept no larger
LAST_PATIENCE = 5.0  # seconds that the program's end waits for a camera to be given back
_USUAL_RATE = 30.0  # frames per second, where a file does not tell
_PATIENCE = 1.0  # seconds in which a camera that another window just closed becomes free
_MISSES = 10  # frames in a row that a camera may fail to give

Source = int | str | os.PathLike[str]  # a camera's index, or a video file


@dataclass(frozen=True)
class Device:
    """A camera that the system knows."""

    index: int
    name: str


class Capture(Protocol):
    """What a source is read through: the part of `cv2.VideoCapture` that is used."""

    def isOpened(self) -> bool:
        """Whether it can be read."""

    def read(self) -> tuple[bool, Any]:
        """Whether there is a frame, and the frame: [H, W, 3] uint8, blue first."""

    def get(self, propId: int) -> float:
        """A property; 0 where there is none."""

    def set(self, propId: int, value: float) -> bool:
        """Change a property, if it can be."""

    def release(self) -> None:
        """Give the source back."""


def devices(
    nodes: Path = Path("/dev"), names: Path = Path("/sys/class/video4linux")
) -> tuple[Device, ...]:
    """List the cameras without opening any.

    Where the system does not list them (not Linux), there is one entry for its first camera; `probe`
    finds out more.

    Args:
        nodes: The folder of Linux's device files.
        names: The folder where Linux describes them.
    """
    if not sys.platform.startswith("linux"):
        return (Device(0, "First camera"),)
    found = []
    for node in nodes.glob("video*"):
        number = node.name.removeprefix("video")
        # A camera has further nodes for what goes along with its pictures.
        if number.isdecimal() and _line(names / node.name / "index") in ("0", ""):
            name = _line(names / node.name / "name") or f"Camera {number}"
            found.append(Device(int(number), name))
    return tuple(sorted(found, key=lambda device: device.index))


def probe() -> Generator[Step, None, tuple[Device, ...]]:
    """Find cameras by opening the first few indices for a moment: only when the user asks."""
    found = []
    for index in range(PROBED):
        yield Step(index, PROBED, f"Looking for camera {index}")
        with suppress(InversionError):
            capture = open_capture(index)
            if capture.isOpened():
                found.append(Device(index, f"Camera {index}"))
            capture.release()
    return tuple(found)


def open_capture(source: Source) -> Capture:
    """Open a camera or a file by OpenCV; what turns out not to open says so in `isOpened`.

    Raises:
        InversionError: It is not there, or may not be used.
    """
    why_not = _why_not(source)
    if why_not:
        raise InversionError(why_not)
    if isinstance(source, int):
        # OpenCV asks for permission only on macOS's main thread; without it, the system asks by itself.
        os.environ.setdefault("OPENCV_AVFOUNDATION_SKIP_AUTH", "1")
        return cv2.VideoCapture(source)
    # A path, never an address of the network or a pattern of file names.
    return cv2.VideoCapture(os.path.abspath(source), cv2.CAP_ANY)


class Webcam:
    """A camera that is open until `close`; a file plays at its own speed.

    All its properties may be read at any time from any thread.
    """

    def __init__(
        self,
        source: Source,
        loops: bool = True,
        opener: Callable[[Source], Capture] = open_capture,
    ) -> None:
        """Open it, beside the caller: until the first frame or an error it `is_opening`.

        Args:
            source: A camera's index, or the path of a video file.
            loops: Whether a file begins again at its end.
            opener: Opens the source, or raises InversionError; another one can stand for a camera
                that is not there.
        """
        self.source, self.loops = source, loops
        self._opener = opener
        self._closing = threading.Event()
        self._newest: tuple[int, np.ndarray | None] = (0, None)
        self._error = ""
        self._thread = threading.Thread(target=self._run, name="webcam", daemon=True)
        # Who ends the program with a camera open still gives it back.
        atexit.register(self._end)
        self._thread.start()

    @property
    def frame(self) -> np.ndarray | None:
        """The newest picture, not mirrored; None before the first. Not to be written to.

        [H, W, 3] uint8
        """
        return self._newest[1]

    @property
    def count(self) -> int:
        """How many frames have come: it changes when `frame` does."""
        return self._newest[0]

    @property
    def newest(self) -> tuple[int, np.ndarray | None]:
        """`count` and `frame`, which belong together."""
        return self._newest

    @property
    def error(self) -> str:
        """What went wrong, as a sentence for the user; empty if nothing did. The last frame stays."""
        return self._error

    @property
    def is_opening(self) -> bool:
        """Whether neither a frame nor an error has come yet."""
        return self._newest[1] is None and not self._error and self._thread.is_alive()

    @property
    def is_running(self) -> bool:
        """Whether more frames will come: not after an error, the end of a file, or `close`."""
        return self._thread.is_alive() and not self._closing.is_set()

    def close(self, wait: bool = False) -> None:
        """Give the camera back. The last frame stays.

        Args:
            wait: Until it is given back, which may take some seconds; else it happens beside the caller.
        """
        self._closing.set()
        if wait:
            self._thread.join()

    # ---- on the reader's thread

    def _run(self) -> None:
        capture = None
        try:
            capture = self._opened()
            if capture is not None:
                self._read(capture)
        except InversionError as error:
            self._error = str(error)
        except cv2.error as error:
            self._error = (
                f"{self._name} cannot be read ({error.err or error}). Choose another camera."
            )
        finally:
            if capture is not None:
                capture.release()
            atexit.unregister(self._end)

    def _end(self) -> None:
        self._closing.set()
        self._thread.join(LAST_PATIENCE)

    @property
    def _name(self) -> str:
        return f"Camera {self.source}" if isinstance(self.source, int) else Path(self.source).name

    def _opened(self) -> Capture | None:
        """Open the source; None after `close`."""
        is_camera = isinstance(self.source, int)
        until = time.monotonic() + (_PATIENCE if is_camera else 0)
        capture = self._opener(self.source)
        while not capture.isOpened():
            capture.release()
            if self._closing.is_set():
                return None
            if time.monotonic() >= until:
                raise InversionError(self._why_closed())
            self._closing.wait(0.2)
            capture = self._opener(self.source)
        if is_camera:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, WIDTH)
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, HEIGHT)
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # old frames are of no use
        return capture

    def _why_closed(self) -> str:
        if not isinstance(self.source, int):
            return f"{self._name} cannot be read as a video. Choose another file."
        if sys.platform == "darwin":
            return (
                f"{self._name} cannot be opened. Allow this program the camera in System Settings, "
                "Privacy & Security, and close other programs that use it."
            )
        return (
            f"{self._name} cannot be opened; another program may be using it. Close that program, or "
            "choose another camera."
        )

    def _read(self, capture: Capture) -> None:
        """Read until the end, an error, or `close`."""
        if isinstance(self.source, int):
            self._read_camera(capture)
        else:
            self._read_file(capture)

    def _read_camera(self, capture: Capture) -> None:
        misses = 0
        while not self._closing.is_set():
            has_frame, picture = capture.read()
            if has_frame and picture is not None:
                misses = 0
                self._show(picture)
                continue
            misses += 1
            if misses > _MISSES or self._closing.wait(0.02):
                break
        if self._closing.is_set():
            return
        self._error = (
            f"{self._name} sends no more pictures: it was unplugged, or another program took it. "
            "Connect it and open it again."
            if self.count
            else f"{self._name} sends no pictures. Choose another camera, or connect it again."
        )

    def _read_file(self, capture: Capture) -> None:
        rate = capture.get(cv2.CAP_PROP_FPS)
        seconds = 1 / (rate if 1 <= rate <= 240 else _USUAL_RATE)
        due, of_this_round = time.monotonic(), 0
        while not self._closing.is_set():
            has_frame, picture = capture.read()
            if has_frame and picture is not None:
                of_this_round += 1
                self._show(picture)
                # A computer that was too slow does not run after the time it lost.
                due = max(due + seconds, time.monotonic())
                self._closing.wait(due - time.monotonic())
            elif of_this_round and self.loops:
                of_this_round = 0
                if not capture.set(cv2.CAP_PROP_POS_FRAMES, 0):
                    return
            else:
                break
        if not self.count:
            self._error = f"{self._name} holds no pictures that can be read. Choose another file."

    def _show(self, picture: np.ndarray) -> None:
        kinds = {2: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB}
        pixels = cv2.cvtColor(picture, kinds[picture.ndim])
        height, width = pixels.shape[:2]
        scale = LARGEST / max(height, width)
        if scale < 1:
            size = (round(width * scale), round(height * scale))
            pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        pixels.setflags(write=False)
        self._newest = (self._newest[0] + 1, pixels)


def _line(path: Path) -> str:
    """The first line of a small file; empty if it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _why_not(source: Source) -> str:
    """Say what can be known without opening a source; empty if nothing speaks against it."""
    if not isinstance(source, int):
        if not Path(source).is_file():
            return f"{source} is not there. Choose another file."
        if not os.access(source, os.R_OK):
            return f"{source} may not be read. Change its permissions, or choose another file."
        return ""
    node = Path(f"/dev/video{source}")
    if not sys.platform.startswith("linux"):
        return ""
    if not node.exists():
        return "No camera was found. Connect one and look again, or choose a video file."
    if not os.access(node, os.R_OK | os.W_OK):
        return f"You may not use {node}. Ask for the group “video” on this computer, then log in again."
    return ""
