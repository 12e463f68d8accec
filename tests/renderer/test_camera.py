"""Cameras: the GAN's label, the rig, and that they all see the same."""

import math
from dataclasses import replace

import pytest
import torch

from renderer.camera import (
    GAN_FOCAL,
    GAN_RADIUS,
    Camera,
    OrbitRig,
    focal_to_fov,
    fov_to_focal,
    look_at,
)

RIGS = [
    OrbitRig(),
    OrbitRig(yaw=0.7, pitch=-0.4, radius=1.9, target=(0.1, -0.2, 0.3), fov_y=0.6),
    OrbitRig(yaw=-2.9, pitch=1.2, radius=0.8, target=(-0.4, 0.0, 0.1), fov_y=1.1),
]


def on_picture(camera, point):
    """Where a point is seen: image heights right of and below the middle; and its depth."""
    x, y, z, _ = camera.world_to_cam @ torch.tensor([*point, 1.0])
    return float(camera.focal * x / z), float(camera.focal * y / z), float(z)


def assert_same_rig(first, second, tolerance=1e-5):
    assert math.remainder(first.yaw - second.yaw, math.tau) == pytest.approx(0, abs=tolerance)
    assert first.pitch == pytest.approx(second.pitch, abs=tolerance)
    assert first.radius == pytest.approx(second.radius, abs=tolerance)
    assert first.target == pytest.approx(second.target, abs=tolerance)
    assert first.fov_y == pytest.approx(second.fov_y, abs=tolerance)


def test_the_default_rig_is_the_frontal_camera_of_the_gan():
    camera = OrbitRig().camera()

    expected = torch.tensor(
        [[1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, -1.0, 2.7], [0.0, 0.0, 0.0, 1.0]]
    )
    assert torch.equal(camera.cam_to_world, expected)
    assert float(camera.focal) == pytest.approx(4.2647, abs=1e-6)


def test_the_label_of_the_frontal_camera_is_the_published_one():
    label = OrbitRig().camera().to_label()

    expected = [1, 0, 0, 0, 0, -1, 0, 0, 0, 0, -1, 2.7, 0, 0, 0, 1]
    expected += [4.2647, 0, 0.5, 0, 4.2647, 0.5, 0, 0, 1]
    torch.testing.assert_close(label, torch.tensor(expected))


@pytest.mark.parametrize("rig", RIGS)
def test_a_label_survives_the_round_trip(rig):
    label = rig.camera().to_label()

    assert torch.equal(Camera.from_label(label).to_label(), label)


def test_a_batch_of_labels_survives_the_round_trip():
    labels = torch.stack([rig.camera().to_label() for rig in RIGS[:2]])

    cameras = Camera.from_label(labels)

    assert cameras.focal.shape == (2,)
    assert torch.equal(cameras.to_label(), labels)
    assert torch.equal(cameras[1].cam_to_world, RIGS[1].camera().cam_to_world)


@pytest.mark.parametrize(
    ("place", "value"),
    [(17, 0.1), (16, 4.0), (18, 0.6), (21, 0.4), (19, 0.2), (24, 2.0), (20, -4.2647)],
)
def test_a_skewed_stretched_or_off_centre_label_is_refused(place, value):
    label = OrbitRig().camera().to_label()
    label[place] = value

    with pytest.raises(ValueError, match="skewed, stretched or off-centre"):
        Camera.from_label(label)


def test_focal_length_and_field_of_view_are_inverse():
    for focal in (0.3, 1.0, GAN_FOCAL, 20.0):
        assert fov_to_focal(focal_to_fov(focal)) == pytest.approx(focal)
    assert math.degrees(focal_to_fov(GAN_FOCAL)) == pytest.approx(13.373, abs=1e-3)
    assert fov_to_focal(math.pi / 2) == pytest.approx(0.5)


@pytest.mark.parametrize("rig", RIGS)
def test_world_to_cam_is_the_inverse(rig):
    camera = rig.camera().to(dtype=torch.float64)

    # The pose itself is float32, so its rotation is orthogonal to about 1e-7.
    product = camera.world_to_cam @ camera.cam_to_world
    torch.testing.assert_close(product, torch.eye(4).double(), atol=1e-6, rtol=0)


def test_world_to_cam_of_a_batch_is_each_by_itself():
    batch = Camera(
        torch.stack([rig.camera().cam_to_world for rig in RIGS[:2]]), torch.tensor([1.0, 2.0])
    )

    for index in range(2):
        torch.testing.assert_close(batch.world_to_cam[index], batch[index].world_to_cam)


@pytest.mark.parametrize("rig", RIGS)
def test_the_rig_sees_what_look_at_sees(rig):
    seen = look_at(torch.tensor(rig.eye), torch.tensor(rig.target), torch.tensor([0.0, 1.0, 0.0]))

    torch.testing.assert_close(rig.camera().cam_to_world, seen, atol=1e-6, rtol=1e-5)


def test_look_at_takes_a_batch_and_any_length_of_up():
    eyes = torch.tensor([[0.0, 0.0, 2.7], [1.0, 2.0, -0.5]])
    targets = torch.tensor([[0.1, 0.0, 0.0], [0.0, 0.2, 0.0]])

    poses = look_at(eyes, targets, torch.tensor([0.0, 5.0, 0.0]))

    assert poses.shape == (2, 4, 4)
    for index in range(2):
        alone = look_at(eyes[index], targets[index], torch.tensor([0.0, 1.0, 0.0]))
        torch.testing.assert_close(poses[index], alone)
    rotation = poses[:, :3, :3]
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).expand(2, 3, 3))
    torch.testing.assert_close(rotation.det(), torch.ones(2))


def test_the_gans_frontal_camera_sees_the_head_upright():
    camera = OrbitRig().camera()

    left_ear, crown = on_picture(camera, (0.1, 0.0, 0.0)), on_picture(camera, (0.0, 0.1, 0.0))

    # OpenCV axes: +x of the head is to the right, and up is a negative y.
    assert left_ear[0] > 0
    assert left_ear[1] == pytest.approx(0)
    assert crown[1] < 0
    assert crown[0] == pytest.approx(0)
    assert left_ear[2] == pytest.approx(GAN_RADIUS)


@pytest.mark.parametrize("rig", RIGS)
def test_the_target_lies_in_the_middle_at_the_radius(rig):
    x, y, z = on_picture(rig.camera(), rig.target)

    assert (x, y) == pytest.approx((0, 0), abs=1e-6)
    assert z == pytest.approx(rig.radius, rel=1e-6)


def test_positive_yaw_shows_the_left_side_and_positive_pitch_looks_down():
    assert OrbitRig(yaw=0.5).eye[0] > 0
    assert OrbitRig(pitch=0.5).eye[1] > 0


@pytest.mark.parametrize("rig", RIGS)
def test_a_rig_survives_its_camera(rig):
    assert_same_rig(OrbitRig.from_camera(rig.camera(), rig.radius), rig)


@pytest.mark.parametrize("pitch", [math.pi / 2, -math.pi / 2])
@pytest.mark.parametrize("yaw", [0.0, 0.8, -2.5])
def test_a_rig_straight_above_or_below_survives_its_camera(pitch, yaw):
    rig = OrbitRig(yaw=yaw, pitch=pitch, radius=1.5, target=(0.1, 0.2, -0.1))

    assert_same_rig(OrbitRig.from_camera(rig.camera(), 1.5), rig)


@pytest.mark.parametrize("away", [1e-2, 1e-3, 1e-4])
def test_a_rig_nearly_above_survives_its_camera(away):
    rig = OrbitRig(yaw=0.8, pitch=math.pi / 2 - away)

    assert_same_rig(OrbitRig.from_camera(rig.camera()), rig)


def test_a_roll_about_the_view_is_lost_but_the_view_is_kept():
    rig = RIGS[1]
    camera = rig.camera()
    roll = torch.eye(4)
    roll[:2, :2] = torch.tensor([[0.8, -0.6], [0.6, 0.8]])

    held = OrbitRig.from_camera(Camera(camera.cam_to_world @ roll, camera.focal), radius=rig.radius)

    assert_same_rig(held, rig)


@pytest.mark.parametrize("rig", RIGS)
def test_a_mirrored_pose_is_the_rig_with_the_opposite_yaw_and_the_mirrored_target(rig):
    x, y, z = rig.target
    pose = rig.camera().cam_to_world.clone()
    for row, column in ((0, 1), (0, 2), (1, 0), (2, 0), (0, 3)):  # how flipped photos are labelled
        pose[row, column] *= -1

    mirrored = replace(rig, yaw=-rig.yaw, target=(-x, y, z))

    torch.testing.assert_close(mirrored.camera().cam_to_world, pose, atol=1e-6, rtol=0)


def test_wrong_shapes_are_refused():
    with pytest.raises(AssertionError):
        Camera(torch.eye(3), torch.tensor(1.0))
    with pytest.raises(AssertionError):
        Camera(torch.eye(4).expand(2, 4, 4), torch.tensor(1.0))
    with pytest.raises(AssertionError):
        Camera.from_label(torch.zeros(24))
