"""A walk without aim over the latent plane: smooth, never at an edge for long. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

SPEED = 0.12  # of the plane, which is 2 wide, per second
_TURNING = 1.2  # radians per square root of a second: how far the heading drifts
_EDGE = 0.8  # beyond this it turns back to the middle
_HOMING = 2.5  # radians per second towards the middle, there
_LONGEST = 0.1  # seconds of one step: after a stop of the window it does not jump


@dataclass(frozen=True)
class Walk:
    """A place and where it is heading."""

    # -1 to 1
    x: float
    y: float
    # Radians, 0 to the right, growing to the left.
    heading: float

    def after(self, seconds: float, drift: float) -> Walk:
        """Walk on.

        Args:
            seconds: Since the last step; more than 0.1 counts as 0.1.
            drift: A normal random number.
        """
        seconds = min(max(seconds, 0.0), _LONGEST)
        heading = self.heading + _TURNING * math.sqrt(seconds) * drift
        if max(abs(self.x), abs(self.y)) > _EDGE:
            homeward = math.atan2(-self.y, -self.x)
            off = math.remainder(homeward - heading, math.tau)
            heading += math.copysign(min(abs(off), _HOMING * seconds), off)
        x = self.x + SPEED * seconds * math.cos(heading)
        y = self.y + SPEED * seconds * math.sin(heading)
        return replace(self, x=_clamped(x), y=_clamped(y), heading=heading)


def _clamped(way: float) -> float:
    return min(max(way, -1.0), 1.0)
