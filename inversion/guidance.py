"""What a person before a camera should do: frames judged one by one, and shots taken when they are right.

`assess` and `ShotPlan` are pure; `Watcher` lets the slow part, finding faces, run beside the window.
"""

from __future__ import annotations

import atexit
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from inversion.alignment import Alignment, Point
from inversion.crop import inside
from inversion.faces import Face, find_faces
from inversion.light_and_focus import (
    LEAST_LIGHT,
    LEAST_SHARPNESS,
    face_within,
    light_of,
    sharpness_of,
)
from inversion.pose import align
from inversion.webcam import LAST_PATIENCE, Webcam

State = Literal[
    "no face", "two faces", "too small", "cut off", "too dark", "turned too far", "blurred", "good"
]
SENTENCES: dict[State, str] = {
    "no face": "No face is seen. Look into the camera.",
    "two faces": "Two faces are seen. Only one person should be in the picture.",
    "too small": "Come closer to the camera.",
    "cut off": "Move to the middle: a part of the head is outside of the picture.",
    "too dark": "It is too dark. Turn on a light, or turn towards the window.",
    "turned too far": "Turn your face back towards the camera.",
    "blurred": "The picture is blurred. Hold still, or clean the lens.",
    "good": "Good. Hold still.",
}
# Which side of the head a shot shows.
View = Literal["front", "left", "right"]

LEAST_SIDE = 256.0  # px of the square around a head; below, it shows less than a generator can
LARGEST_YAW, LARGEST_PITCH = math.radians(55), math.radians(35)  # beyond, the pose is a guess
LARGEST_OUTSIDE = 0.25  # share of the square that may lie outside of the frame
SECOND_FACE = 0.25  # area of another face that disturbs, in areas of the main one
# What was good may become worse by this share before it is not, so that guidance does not flicker.
_EASE = 0.1

# Yaw of each view: least and largest.
_YAWS: dict[View, tuple[float, float]] = {
    "front": (math.radians(-12), math.radians(12)),
    "left": (math.radians(20), math.radians(45)),
    "right": (math.radians(-45), math.radians(-20)),
}
_YAW_EASE = math.radians(4)  # by which the range is wider once it was reached


@dataclass(frozen=True)
class Guidance:
    """What is seen in a frame, and what to do."""

    state: State
    # For the person before the camera.
    sentence: str
    # Landmarks of the main face, px of the frame; empty without a face.
    points: tuple[Point, ...] = ()
    # The square around the head and its pose; None without a face.
    alignment: Alignment | None = None

    @property
    def is_good(self) -> bool:
        """Whether a head can be made of the frame."""
        return self.state == "good"


def assess(pixels: np.ndarray, faces: Sequence[Face], previous: Guidance | None = None) -> Guidance:
    """Judge a frame.

    Args:
        pixels: As the camera saw it, not mirrored. [H, W, 3] uint8
        faces: Found in it, the main one first.
        previous: What was said of the frame before; what was good stays so a little longer.
    """
    if not faces:
        return Guidance("no face", SENTENCES["no face"])
    main = faces[0]
    ease = 1 - _EASE if previous is not None and previous.is_good else 1.0
    alignment = align(main.points)
    state = _state(pixels, faces, alignment, ease)
    return Guidance(state, SENTENCES[state], main.points, alignment)


def _state(pixels: np.ndarray, faces: Sequence[Face], alignment: Alignment, ease: float) -> State:
    """What is wrong with a frame first of all; `ease` below 1 makes every bound wider."""
    if any(_area(face) > SECOND_FACE / ease * _area(faces[0]) for face in faces[1:]):
        return "two faces"
    if alignment.side < LEAST_SIDE * ease:
        return "too small"
    outside = 1 - float(inside(pixels.shape, alignment, 64).mean())
    if outside > LARGEST_OUTSIDE / ease:
        return "cut off"
    face = face_within(pixels, alignment)
    if light_of(face) < LEAST_LIGHT * ease:
        return "too dark"
    yaw, pitch = abs(alignment.yaw) * ease, abs(alignment.pitch) * ease
    if yaw > LARGEST_YAW or pitch > LARGEST_PITCH:
        return "turned too far"
    if sharpness_of(face) < LEAST_SHARPNESS * ease:
        return "blurred"
    return "good"


def _area(face: Face) -> float:
    left, top, right, bottom = face.box
    return (right - left) * (bottom - top)


# ---- shots


@dataclass(frozen=True)
class ShotPlan:
    """Which shots are to be taken, and how far the next one is: replaced as time goes on.

    Let `plan = plan.watched(guidance, now)` follow each look at the newest guidance; when it `is_due`,
    take the frame and go on with `plan.after_shot()`, until it `is_done`.
    """

    # What remains to be taken, in this order.
    views: tuple[View, ...] = ("front",)
    # How many have been taken.
    taken: int = 0
    # How long the head must be right before the countdown begins, seconds.
    hold_seconds: float = 0.7
    # How long the countdown is, seconds.
    count_seconds: float = 3.0
    # How long the head may be wrong on the way without beginning again, seconds: detectors blink.
    grace_seconds: float = 0.5
    # Whether the head must be right at all; else the countdown begins at once.
    is_strict: bool = True
    # What to do now, for the person before the camera.
    sentence: str = ""
    # When the countdown will end, on the clock of `now`; None while the head is not right.
    due: float | None = None
    # When the head was last right.
    last_right: float = -math.inf
    # The time of the last look.
    now: float = -math.inf

    @property
    def view(self) -> View | None:
        """What is to be taken next; None when all is."""
        return self.views[0] if self.views else None

    @property
    def is_done(self) -> bool:
        """Whether all shots have been taken."""
        return not self.views

    @property
    def is_due(self) -> bool:
        """Whether to take the frame of the last look now."""
        return self.due is not None and self.now >= self.due and self.last_right == self.now

    @property
    def seconds_left(self) -> float | None:
        """What the countdown shows; None while it has not begun."""
        if self.due is None or self.due - self.now > self.count_seconds:
            return None
        return max(0.0, self.due - self.now)

    def watched(self, guidance: Guidance | None, now: float) -> ShotPlan:
        """Go on after a look.

        Args:
            guidance: Of the newest frame; None if none has come.
            now: Seconds, on any clock that only goes forward.
        """
        if self.is_done:
            return replace(self, sentence="All pictures are taken.", due=None, now=now)
        problem = self._problem(guidance)
        is_lost = self.due is None or now - self.last_right > self.grace_seconds
        if problem and is_lost:
            return replace(self, sentence=problem, due=None, now=now)
        if problem:
            return replace(self, sentence=problem, now=now)
        hold = self.hold_seconds if self.is_strict else 0.0
        due = now + hold + self.count_seconds if is_lost else self.due
        return replace(self, sentence=SENTENCES["good"], due=due, last_right=now, now=now)

    def after_shot(self) -> ShotPlan:
        """Go on to the next view."""
        return replace(self, views=self.views[1:], taken=self.taken + 1, due=None, sentence="")

    def _problem(self, guidance: Guidance | None) -> str:
        """Why the next shot cannot be taken of what is seen, as a sentence; empty if it can."""
        if not self.is_strict:
            return ""
        if guidance is None:
            return "Waiting for the camera."
        if not guidance.is_good or guidance.alignment is None:
            return guidance.sentence
        least, largest = _YAWS[self.views[0]]
        ease = _YAW_EASE if self.due is not None else 0.0
        yaw = guidance.alignment.yaw
        # A camera on the head's left sees a positive yaw: the person has turned to the right.
        if yaw < least - ease:
            return _turn("right", self.views[0])
        if yaw > largest + ease:
            return _turn("left", self.views[0])
        return ""


FRONT_LEFT_RIGHT = ShotPlan(("front", "left", "right"))


def _turn(direction: str, view: View) -> str:
    """Tell which way the head is to go; directions are the person's own."""
    if view == "front":
        return f"Look straight into the camera: turn your head a little to your {direction}."
    return f"For a picture from the {view}, turn your head a little to your {direction}."


# ---- beside the window


@dataclass(frozen=True, eq=False)
class Seen:
    """A frame that was looked at, and what was said of it."""

    count: int  # the camera's
    pixels: np.ndarray  # [H, W, 3] uint8
    guidance: Guidance


class Watcher:
    """Judges a camera's newest frame again and again on a thread of its own, until `close`.

    Frames that come while it looks are passed over, so that what it says is never old.
    """

    def __init__(
        self, camera: Webcam, find: Callable[[np.ndarray], Sequence[Face]] = find_faces
    ) -> None:
        """Begin.

        Args:
            camera: Who closes it need not close the watcher first.
            find: Finds faces in a picture [H, W, 3] uint8, the main one first.
        """
        self._camera, self._find = camera, find
        self._closing = threading.Event()
        self._seen: Seen | None = None
        self._thread = threading.Thread(target=self._run, name="guidance", daemon=True)
        # A thread that Python's end finds amid a network's layers takes the program down with it.
        atexit.register(self._end)
        self._thread.start()

    @property
    def seen(self) -> Seen | None:
        """The newest frame that was judged; None before the first."""
        return self._seen

    def close(self, wait: bool = False) -> None:
        """Look no more.

        Args:
            wait: Until the look that is under way has ended.
        """
        self._closing.set()
        if wait:
            self._thread.join()

    def _end(self) -> None:
        self._closing.set()
        self._thread.join(LAST_PATIENCE)

    def _run(self) -> None:
        try:
            self._watch()
        finally:
            atexit.unregister(self._end)

    def _watch(self) -> None:
        while not self._closing.is_set():
            # Asked before the frame: the last one of a file that ends is still looked at.
            will_come = self._camera.is_running
            count, pixels = self._camera.newest
            before = self._seen
            if pixels is not None and (before is None or count != before.count):
                faces = self._find(pixels)
                guidance = assess(pixels, faces, before.guidance if before else None)
                self._seen = Seen(count, pixels, guidance)
            elif not will_come or self._closing.wait(0.01):
                return
