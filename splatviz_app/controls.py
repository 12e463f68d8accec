"""Drags, wheel and keys to a new `OrbitRig`. Pure functions: distances in px come in, a rig goes out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from renderer.camera import OrbitRig, Vector

PITCH_LIMIT = math.pi / 2
RADIUS_LIMITS = (0.2, 20.0)  # world units; nearer, the eye would be inside the head
FOV_LIMITS = (math.radians(1.0), math.radians(120.0))
TARGET_LIMIT = 2.0  # world units from the origin on each axis; the head's cube ends at 0.5

# Views by name: yaw and pitch in radians. The rest of the rig is kept.
VIEWS: dict[str, tuple[float, float]] = {
    "Front": (0.0, 0.0),
    "Three-quarter": (math.radians(40), math.radians(5)),
    "Profile": (math.radians(90), 0.0),
    "Back": (math.radians(180), 0.0),
    "Top": (0.0, math.radians(89)),
}

_RADIANS_PER_HEIGHT = math.pi  # a drag over the height of the picture is half a turn
_ZOOM_PER_TICK = 0.88
_MOST_TICKS = 100.0  # at once; from limit to limit it takes 36
_FRAME_MARGIN = 1.1  # the picture's height over that of the box
_INERTIA_HALF_LIFE = 0.12  # seconds
_STILL = 0.02  # rad/s; slower, the head stands


def limited(rig: OrbitRig) -> OrbitRig:
    """Bring every number of a rig into its range; what is not a number becomes the default."""

    def within(value: float, low: float, high: float, fallback: float) -> float:
        return min(max(value, low), high) if math.isfinite(value) else fallback

    plain = OrbitRig()
    yaw = rig.yaw if math.isfinite(rig.yaw) else plain.yaw
    x, y, z = (within(t, -TARGET_LIMIT, TARGET_LIMIT, 0.0) for t in rig.target)
    return OrbitRig(
        yaw=math.remainder(yaw, math.tau),
        pitch=within(rig.pitch, -PITCH_LIMIT, PITCH_LIMIT, plain.pitch),
        radius=within(rig.radius, *RADIUS_LIMITS, plain.radius),
        target=(x, y, z),
        fov_y=within(rig.fov_y, *FOV_LIMITS, plain.fov_y),
    )


def orbit(rig: OrbitRig, right: float, down: float, height: float) -> OrbitRig:
    """Turn the head as if a finger held its front.

    Args:
        rig: Before.
        right, down: The drag in px.
        height: Of the picture in px.
    """
    per_pixel = _RADIANS_PER_HEIGHT / max(height, 1.0)
    return limited(
        replace(rig, yaw=rig.yaw - right * per_pixel, pitch=rig.pitch + down * per_pixel)
    )


def pan(rig: OrbitRig, right: float, down: float, height: float) -> OrbitRig:
    """Move the head with the hand: what lies at the target's distance stays under the cursor."""
    per_pixel = _world_per_pixel(rig, height)
    ways, ups = rig.axes
    x, y, z = (
        t - right * per_pixel * way + down * per_pixel * up
        for t, way, up in zip(rig.target, ways, ups, strict=True)
    )
    return limited(replace(rig, target=(x, y, z)))


def zoom(rig: OrbitRig, ticks: float, towards: Vector | None = None) -> OrbitRig:
    """Come nearer, or go away with negative ticks.

    Args:
        rig: Before.
        ticks: Of the wheel; upward is positive.
        towards: The point in the world that stays where it is in the picture; the target if None.
    """
    ticks = min(max(ticks, -_MOST_TICKS), _MOST_TICKS)
    radius = min(max(rig.radius * _ZOOM_PER_TICK**ticks, RADIUS_LIMITS[0]), RADIUS_LIMITS[1])
    factor = radius / rig.radius
    fixed = towards or rig.target
    # Scaling eye and target about one point keeps that point's place in the picture.
    x, y, z = (p + (t - p) * factor for t, p in zip(rig.target, fixed, strict=True))
    return limited(replace(rig, radius=radius, target=(x, y, z)))


def focus(rig: OrbitRig, point: Vector) -> OrbitRig:
    """Orbit about `point` from now on; it moves to the middle of the picture."""
    return limited(replace(rig, target=point))


def view(rig: OrbitRig, name: str) -> OrbitRig:
    """Look from a named side, at the target and from the distance of before."""
    yaw, pitch = VIEWS[name]
    return replace(rig, yaw=yaw, pitch=pitch)


def frame(rig: OrbitRig, low: Vector, high: Vector) -> OrbitRig:
    """Keep the direction, and fit a box into the largest square in the middle of a wide picture.

    Args:
        rig: Before.
        low, high: Corners of the box in world units.
    """
    x, y, z = ((a + b) / 2 for a, b in zip(low, high, strict=True))
    half = [(b - a) / 2 for a, b in zip(low, high, strict=True)]
    slope = math.tan(rig.fov_y / 2) / _FRAME_MARGIN
    right, up = rig.axes
    # Each corner must lie nearer to the middle than the edge is at its distance.
    radius = 0.0
    for signs in itertools.product((-1, 1), repeat=3):
        corner = [sign * h for sign, h in zip(signs, half, strict=True)]
        towards_eye = _dot(corner, rig.offset)
        from_middle = max(abs(_dot(corner, right)), abs(_dot(corner, up)))
        radius = max(radius, from_middle / slope + towards_eye)
    return limited(replace(rig, target=(x, y, z), radius=radius))


def ray(rig: OrbitRig, x: float, y: float, aspect: float) -> Vector:
    """Direction from the eye through a place in the picture, so long that it gains 1 along z.

    Args:
        rig: The camera.
        x, y: Place from the top left corner, 0 to 1.
        aspect: Width over height.
    """
    slope = 2 * math.tan(rig.fov_y / 2)
    across, upward = (x - 0.5) * slope * aspect, (0.5 - y) * slope
    ways, ups = rig.axes
    dx, dy, dz = (
        across * way + upward * up - back
        for way, up, back in zip(ways, ups, rig.offset, strict=True)
    )
    return (dx, dy, dz)


def point_at(rig: OrbitRig, x: float, y: float, aspect: float, depth: float | None) -> Vector:
    """The point in the world at a place in the picture.

    Args:
        rig: The camera.
        x, y: Place from the top left corner, 0 to 1.
        aspect: Width over height.
        depth: Distance along z in world units; the target's if None.
    """
    distance = rig.radius if depth is None else depth
    px, py, pz = (e + distance * d for e, d in zip(rig.eye, ray(rig, x, y, aspect), strict=True))
    return (px, py, pz)


@dataclass(frozen=True)
class Inertia:
    """What a thrown head keeps of its motion: angular speeds that fade."""

    yaw_speed: float = 0.0  # rad/s
    pitch_speed: float = 0.0  # rad/s

    @property
    def moves(self) -> bool:
        """Whether there is motion left to see."""
        return math.hypot(self.yaw_speed, self.pitch_speed) > _STILL

    def pushed(self, before: OrbitRig, after: OrbitRig, seconds: float) -> Inertia:
        """Follow a dragging hand: a mean over the last moments, whatever the frame rate."""
        if seconds <= 0:
            return self
        keep = 0.5 ** (seconds / 0.04)
        yaw = math.remainder(after.yaw - before.yaw, math.tau) / seconds
        pitch = (after.pitch - before.pitch) / seconds
        return Inertia(
            keep * self.yaw_speed + (1 - keep) * yaw, keep * self.pitch_speed + (1 - keep) * pitch
        )

    def advance(self, rig: OrbitRig, seconds: float) -> tuple[OrbitRig, Inertia]:
        """Let the head glide on for `seconds`; the same path at any frame rate."""
        keep = 0.5 ** (seconds / _INERTIA_HALF_LIFE)
        # The integral of a speed that halves every half-life.
        lasting = _INERTIA_HALF_LIFE / math.log(2) * (1 - keep)
        moved = replace(
            rig,
            yaw=rig.yaw + self.yaw_speed * lasting,
            pitch=rig.pitch + self.pitch_speed * lasting,
        )
        return limited(moved), Inertia(self.yaw_speed * keep, self.pitch_speed * keep)


def choose_size(
    viewport: tuple[int, int], seconds: float, dragging: bool, budget: float = 0.05
) -> tuple[int, int]:
    """Choose the size of the next picture: smaller while the hand moves and pictures are slow.

    Args:
        viewport: Full width and height in px.
        seconds: What a picture of the full size takes.
        dragging: Whether the hand is moving something.
        budget: Seconds a picture may take before the hand feels it.
    """
    if not dragging or seconds <= budget:
        return viewport
    shrink = max(0.25, math.sqrt(budget / seconds))
    # In steps of an eighth, so that a slow drag does not ask for a new size with every picture.
    shrink = max(0.25, math.floor(shrink * 8) / 8)
    return (max(16, round(viewport[0] * shrink)), max(16, round(viewport[1] * shrink)))


def _world_per_pixel(rig: OrbitRig, height: float) -> float:
    """Size of a pixel at the target's distance, in world units."""
    return 2 * rig.radius * math.tan(rig.fov_y / 2) / max(height, 1.0)


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))
