"""From five landmarks to the square and the camera of a head, and back.

A generic head's eyes, nose and middle of the mouth are fitted to the landmarks (Levenberg-Marquardt over
rotation, middle and side). Corners of a mouth are not used: they widen in a smile.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from inversion.alignment import Alignment, CropRecipe, Point
from renderer.camera import GAN_FOCAL, GAN_RADIUS

# Where the face detector sees eyes, nose and the middle of the mouth on generated heads: triangulated
# from pictures of them, so that its habits cancel. World units. [4, 3]
GENERIC_HEAD = np.array(
    [
        [-0.0630, 0.0520, 0.1090],
        [0.0630, 0.0520, 0.1090],
        [0.0, -0.0158, 0.1657],
        [0.0, -0.0764, 0.1144],
    ]
)
# From the middle of a mouth to its corners, world units.
HALF_MOUTH = 0.052
# The training pictures are cut this much closer than the fit says (measured on two photos).
SIDE_CORRECTION = 0.985
# Since 2025 the publishers' tool has its origin farther back in the head by this, in sides of the crop.
BACK_2025 = 0.124
# Noise of the landmarks and how much faces differ, in sides of the crop.
LANDMARK_SIGMA = 0.012


@dataclass(frozen=True)
class PosePrior:
    """What is likely before anything is seen: four points alone leave the pitch uncertain. Radians."""

    yaw_sigma: float = math.radians(40)
    # Photos are taken from slightly above; so the training pictures say.
    pitch: float = math.radians(5)
    pitch_sigma: float = math.radians(8)


@dataclass(frozen=True)
class _Fit:
    """A head in a photo: landmark = centre + side * projection."""

    rotation: np.ndarray  # world to camera, camera axes as in the photo [3, 3]
    centre: np.ndarray  # px [2]
    side: float  # px

    def moved(self, change: np.ndarray) -> _Fit:
        """Turn by change[:3] (a rotation vector), shift by [3:5] sides, grow by exp([5])."""
        turn = cv2.Rodrigues(change[:3])[0]
        return _Fit(
            turn @ self.rotation,
            self.centre + change[3:5] * self.side,
            self.side * math.exp(min(change[5], 3.0)),
        )

    def residuals(self, points: np.ndarray, prior: PosePrior | None) -> np.ndarray:
        """How far it is from points [4, 2] and from what is likely, in standard deviations. [8 or 10]"""
        misses = (points - self.centre) / self.side - project(GENERIC_HEAD, self.rotation)
        residuals = misses.ravel() / LANDMARK_SIGMA
        if prior is None:
            return residuals
        yaw, pitch, _ = angles_of(self.rotation)
        unlikely = [yaw / prior.yaw_sigma, (pitch - prior.pitch) / prior.pitch_sigma]
        return np.concatenate([residuals, unlikely])


def align(
    points: Sequence[Point],
    recipe: CropRecipe = "ffhqc",
    prior: PosePrior | None = PosePrior(),
) -> Alignment:
    """Find the square and the camera of a head from its landmarks.

    Args:
        points: Left and right eye (as in the picture), nose, left and right corner of the mouth; px.
        recipe: Which square a generator was trained on.
        prior: What poses are likely; None to trust the landmarks alone.
    """
    marks = np.asarray(points, dtype=np.float64)
    fit, cost = _fit(_four(marks), prior)
    quad_centre, quad_axis = first_quad(marks)
    angle = math.atan2(quad_axis[1], quad_axis[0])
    centre, side = fit.centre, SIDE_CORRECTION * fit.side
    if recipe == "ffhqc-2025":
        centre = centre - _shift_2025(fit.rotation, side)
    elif recipe == "ffhq":
        centre, side = quad_centre, 2 * float(np.hypot(*quad_axis))
    yaw, pitch, roll = angles_of(_turn(-angle) @ fit.rotation)
    return Alignment(
        (float(centre[0]), float(centre[1])), float(side), angle, yaw, pitch, roll, cost, recipe
    )


def guess_points(alignment: Alignment) -> tuple[Point, ...]:
    """Say where the landmarks of a generic head would lie in the photo: the way back of `align`, px."""
    turned = _turn(alignment.angle) @ rotation(alignment.yaw, alignment.pitch, alignment.roll)
    mouth = GENERIC_HEAD[3] + [[-HALF_MOUTH, 0, 0], [HALF_MOUTH, 0, 0]]
    marks = project(np.concatenate([GENERIC_HEAD[:3], mouth]), turned)
    centre, side = np.asarray(alignment.centre), alignment.side
    if alignment.recipe == "ffhq":
        quad_centre, quad_axis = first_quad(marks)
        found = centre + (marks - quad_centre) * side / (2 * np.hypot(*quad_axis))
    else:
        if alignment.recipe == "ffhqc-2025":
            centre = centre + _shift_2025(turned, side)
        found = centre + marks * side / SIDE_CORRECTION
    return tuple((float(x), float(y)) for x, y in found)


def first_quad(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The square of FFHQ around five landmarks [5, 2]: its middle, and from there to its right edge. [2]"""
    eye_to_eye, eyes = points[1] - points[0], (points[0] + points[1]) / 2
    eye_to_mouth = (points[3] + points[4]) / 2 - eyes
    axis = eye_to_eye + np.array([eye_to_mouth[1], -eye_to_mouth[0]])
    half = max(2 * np.hypot(*eye_to_eye), 1.8 * np.hypot(*eye_to_mouth))
    return eyes + 0.1 * eye_to_mouth, axis * half / max(1e-9, np.hypot(*axis))


def rotation(yaw: float, pitch: float, roll: float = 0.0) -> np.ndarray:
    """The rotation from the world to the camera of these angles: that of `Alignment.camera`. [3, 3]"""
    sin_y, cos_y, sin_p, cos_p = math.sin(yaw), math.cos(yaw), math.sin(pitch), math.cos(pitch)
    forward = -np.array([cos_p * sin_y, sin_p, cos_p * cos_y])
    right = np.array([cos_y, 0.0, -sin_y])
    return _turn(roll) @ np.stack([right, np.cross(forward, right), forward])


def angles_of(rotation_matrix: np.ndarray) -> tuple[float, float, float]:
    """Yaw, pitch and roll of a rotation from the world to the camera: the way back of `rotation`."""
    forward = rotation_matrix[2]
    yaw = math.atan2(-forward[0], -forward[2])
    pitch = math.asin(min(1.0, max(-1.0, -forward[1])))
    rest = rotation_matrix @ rotation(yaw, pitch).T
    return yaw, pitch, math.atan2(rest[1, 0], rest[0, 0])


def project(points: np.ndarray, rotation_matrix: np.ndarray) -> np.ndarray:
    """Project points of the world onto the crop: its middle is 0, its side 1. [N, 3] to [N, 2]"""
    seen = points @ rotation_matrix.T
    return GAN_FOCAL * seen[:, :2] / (seen[:, 2:] + GAN_RADIUS)


def _fit(points: np.ndarray, prior: PosePrior | None) -> tuple[_Fit, float]:
    """Levenberg-Marquardt from a weak-perspective start; the fit and its squared residuals."""
    fit = _start(points)
    residuals, damping, nudge = fit.residuals(points, prior), 1e-3, 1e-5
    for _ in range(40):
        slopes = [
            (fit.moved(d).residuals(points, prior) - residuals) / nudge for d in np.eye(6) * nudge
        ]
        jacobian = np.stack(slopes, axis=1)
        hessian, gradient = jacobian.T @ jacobian, jacobian.T @ residuals
        cost = residuals @ residuals
        for _ in range(8):
            damped = hessian + damping * np.diag(np.diag(hessian) + 1e-9)
            better = fit.moved(-np.linalg.solve(damped, gradient))
            found = better.residuals(points, prior)
            if found @ found < cost:
                break
            damping *= 5
        else:
            break  # no step helps: this is the bottom
        fit, residuals, damping = better, found, max(damping / 5, 1e-9)
        if cost - found @ found < 1e-9 * cost + 1e-12:
            break
    return fit, float(residuals @ residuals)


def _start(points: np.ndarray) -> _Fit:
    """The best scaled orthographic view, found without iterating."""
    model = GENERIC_HEAD - GENERIC_HEAD.mean(axis=0)
    affine = np.linalg.lstsq(model, points - points.mean(axis=0), rcond=None)[0].T  # [2, 3]
    u, scales, vt = np.linalg.svd(affine, full_matrices=False)
    rows = u @ vt
    turn = np.stack([rows[0], rows[1], np.cross(rows[0], rows[1])])
    side = max(1e-6, float(scales.mean())) * GAN_RADIUS / GAN_FOCAL
    centre = points.mean(axis=0) - side * project(GENERIC_HEAD, turn).mean(axis=0)
    return _Fit(turn, centre, side)


def _shift_2025(rotation_matrix: np.ndarray, side: float) -> np.ndarray:
    """How far the crop of 2025's tool lies from that of the released networks, px."""
    return BACK_2025 * side * rotation_matrix[:2, 2]


def _four(points: np.ndarray) -> np.ndarray:
    return np.stack([points[0], points[1], points[2], (points[3] + points[4]) / 2])


def _turn(angle: float) -> np.ndarray:
    """A turn about the view, clockwise in the picture. [3, 3]"""
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
