"""From landmarks to the square and the camera of a head, and back."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from inversion.alignment import Alignment
from inversion.crop import from_crop, to_crop
from inversion.pose import (
    GENERIC_HEAD,
    PosePrior,
    align,
    angles_of,
    guess_points,
    project,
    rotation,
)
from renderer.camera import GAN_FOCAL

RECIPES = ["ffhqc", "ffhqc-2025", "ffhq"]
POSES = [(0, 0), (25, 0), (-25, 12), (10, -15), (-45, 5)]  # degrees


def photographed(yaw=0.0, pitch=0.0, recipe="ffhqc", angle=0.0):
    """A head in a photo, somewhere; degrees."""
    yaw, pitch, angle = math.radians(yaw), math.radians(pitch), math.radians(angle)
    return Alignment((410.0, 333.0), 520.0, angle, yaw, pitch, recipe=recipe)


def mirrored(points, width):
    flipped = [(width - x, y) for x, y in points]
    return [flipped[i] for i in (1, 0, 2, 4, 3)]


@pytest.mark.parametrize("angles", [(0, 0, 0), (0.7, -0.3, 0.2), (-1.2, 0.9, -2.5), (3.0, 0.1, 0)])
def test_the_rotation_is_that_of_the_camera_and_its_angles_come_back(angles):
    camera = Alignment((0.0, 0.0), 1.0, 0.0, *angles).camera()

    np.testing.assert_allclose(rotation(*angles), camera.world_to_cam[:3, :3].numpy(), atol=1e-6)
    np.testing.assert_allclose(angles_of(rotation(*angles)), angles, atol=1e-9)


def test_a_projected_point_lies_where_the_camera_sees_it():
    alignment = replace(photographed(30, -10), roll=0.3)
    camera = alignment.camera()
    pose = camera.world_to_cam.double()
    world = torch.from_numpy(GENERIC_HEAD)

    seen = world @ pose[:3, :3].T + pose[:3, 3]
    expected = GAN_FOCAL * seen[:, :2] / seen[:, 2:]

    turn = rotation(alignment.yaw, alignment.pitch, alignment.roll)
    np.testing.assert_allclose(project(GENERIC_HEAD, turn), expected.numpy(), atol=1e-6)


@pytest.mark.parametrize("pose", POSES)
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_head_is_found_where_its_landmarks_were_projected_from(pose, recipe):
    truth = photographed(*pose, recipe=recipe, angle=-14)

    found = align(guess_points(truth), recipe, prior=None)

    # The rest is the middle of the mouth, whose corners are projected in perspective.
    assert found.centre == pytest.approx(truth.centre, abs=0.004 * truth.side)
    assert found.side == pytest.approx(truth.side, rel=0.005)
    assert found.yaw == pytest.approx(truth.yaw, abs=math.radians(0.7))
    assert found.pitch == pytest.approx(truth.pitch, abs=math.radians(0.7))
    # The square may be turned otherwise, but square and roll together are the head in the photo.
    assert found.roll + found.angle == pytest.approx(truth.roll + truth.angle, abs=0.01)
    assert found.cost < 0.1


def test_the_recipe_of_the_released_networks_equals_the_one_of_2025_for_a_frontal_head():
    points = guess_points(photographed())

    old, new = (align(points, recipe, prior=None) for recipe in ("ffhqc", "ffhqc-2025"))

    assert new.centre == pytest.approx(old.centre, abs=0.05)


def test_the_recipe_of_2025_has_its_origin_farther_back_in_the_head():
    # From the head's left its back lies to the right.
    points = guess_points(photographed(yaw=45))

    old, new = (align(points, recipe, prior=None) for recipe in ("ffhqc", "ffhqc-2025"))

    moved = (new.centre[0] - old.centre[0]) / old.side
    assert moved == pytest.approx(0.124 * math.sin(math.radians(45)), abs=0.002)


def test_a_camera_on_the_heads_left_sees_its_nose_point_to_the_left():
    points = guess_points(photographed(yaw=30))

    eyes = (points[0][0] + points[1][0]) / 2
    assert points[2][0] < eyes - 10


def test_a_camera_above_sees_the_nose_nearer_to_the_mouth():
    def share(pitch):
        eyes, _, nose, mouth, _ = (y for _, y in guess_points(photographed(pitch=pitch)))
        return (nose - eyes) / (mouth - eyes)

    assert share(15) > share(0) > share(-15)


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_mirror_image_of_a_face_has_the_mirrored_pose(recipe):
    width, noise = 900, np.random.RandomState(3).normal(0, 3, (5, 2))
    points = [(x + dx, y + dy) for (x, y), (dx, dy) in zip(
        guess_points(photographed(20, 7, angle=6)), noise, strict=True
    )]  # fmt: skip

    one, other = align(points, recipe), align(mirrored(points, width), recipe)

    assert other.yaw == pytest.approx(-one.yaw, abs=1e-4)
    assert other.pitch == pytest.approx(one.pitch, abs=1e-4)
    assert other.roll == pytest.approx(-one.roll, abs=1e-4)
    assert other.angle == pytest.approx(-one.angle, abs=1e-9)
    assert other.centre == pytest.approx((width - one.centre[0], one.centre[1]), abs=0.02)
    assert other.side == pytest.approx(one.side, rel=1e-4)


@pytest.mark.parametrize("recipe", RECIPES)
def test_moving_turning_and_growing_the_photo_moves_the_square_with_it(recipe):
    points = np.array(guess_points(photographed(15, 3)))
    cos, sin = math.cos(0.4), math.sin(0.4)
    moved = 2.5 * points @ np.array([[cos, sin], [-sin, cos]]) + [70, -20]

    one, other = align(points, recipe), align(moved, recipe)

    where = 2.5 * np.array([[cos, -sin], [sin, cos]]) @ one.centre + [70, -20]
    assert other.centre == pytest.approx(where, abs=0.1)
    assert other.side == pytest.approx(2.5 * one.side, rel=1e-4)
    assert other.angle == pytest.approx(one.angle + 0.4)
    assert (other.yaw, other.pitch, other.roll) == pytest.approx(
        (one.yaw, one.pitch, one.roll), abs=1e-3
    )


def test_the_prior_draws_an_unlikely_pitch_nearer_and_leaves_a_likely_pose():
    steep, likely = guess_points(photographed(pitch=-35)), guess_points(photographed(pitch=5))

    assert align(steep).pitch > align(steep, prior=None).pitch + math.radians(1)
    assert align(likely).pitch == pytest.approx(math.radians(5), abs=math.radians(0.3))
    strict = PosePrior(pitch_sigma=math.radians(0.01))
    assert align(steep, prior=strict).pitch == pytest.approx(math.radians(5), abs=0.01)


def test_landmarks_that_are_no_face_fit_badly():
    points = guess_points(photographed())
    scrambled = [points[i] for i in (3, 1, 0, 2, 4)]

    assert align(points).cost < 1
    assert align(scrambled).cost > 15


def test_points_in_one_place_give_a_square_all_the_same():
    found = align([(5.0, 5.0)] * 5)

    assert all(math.isfinite(v) for v in (*found.centre, found.side, found.yaw, found.pitch))


def test_turning_the_square_by_hand_leaves_the_head_where_it_is():
    alignment = replace(photographed(10, 5, angle=8), roll=0.1)

    turned = alignment.turned_to(0.5)

    np.testing.assert_allclose(guess_points(turned), guess_points(alignment), atol=1e-6)
    assert turned.angle == 0.5


def test_a_crop_and_its_photo_exchange_points():
    alignment = photographed(angle=33)
    points = [(0.1, 0.2), (0.5, 0.5), (1.4, -0.3)]

    there = from_crop(alignment, points)

    np.testing.assert_allclose(to_crop(alignment, there), points, atol=1e-12)
    assert there[1] == pytest.approx(alignment.centre)
