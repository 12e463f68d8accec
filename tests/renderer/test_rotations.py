"""Quaternions and rotation matrices: both ways, every angle, the order of a product."""

import math

import pytest
import torch

from renderer.rotations import matrix_to_quat, multiply_quats, quat_to_matrix


def random_quats(count=7, seed=0):
    return torch.randn(
        2, count, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def test_a_matrix_from_a_quaternion_is_a_rotation():
    rotations = quat_to_matrix(random_quats())

    identity = torch.eye(3, dtype=torch.float64).expand(2, 7, 3, 3)
    torch.testing.assert_close(rotations @ rotations.mT, identity)
    torch.testing.assert_close(rotations.det(), torch.ones(2, 7, dtype=torch.float64))


def test_a_quarter_turn_about_z_takes_x_to_y():
    half = math.pi / 4
    quarter = torch.tensor([math.cos(half), 0.0, 0.0, math.sin(half)])

    turned = quat_to_matrix(quarter) @ torch.tensor([1.0, 0.0, 0.0])

    torch.testing.assert_close(turned, torch.tensor([0.0, 1.0, 0.0]), atol=1e-6, rtol=0)


def test_the_length_of_a_quaternion_does_not_matter():
    quats = random_quats()

    torch.testing.assert_close(quat_to_matrix(quats * 37.5), quat_to_matrix(quats))


def test_a_quaternion_survives_the_matrix_up_to_its_sign():
    quats = torch.nn.functional.normalize(random_quats(), dim=-1)

    back = matrix_to_quat(quat_to_matrix(quats))

    assert (back[..., 0] >= 0).all()
    torch.testing.assert_close(back, torch.where(quats[..., :1] < 0, -quats, quats))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("angle", [0.0, 1e-3, math.pi / 2, math.pi - 1e-3, math.pi])
def test_half_turns_and_tiny_ones_are_as_accurate_as_others(axis, angle):
    quat = torch.zeros(4)
    quat[0], quat[1 + axis] = math.cos(angle / 2), math.sin(angle / 2)

    back = matrix_to_quat(quat_to_matrix(quat))

    # A few float32 roundings; a formula that divides by a small w is off by 1e-3 here.
    torch.testing.assert_close((back @ quat).abs(), torch.tensor(1.0), atol=5e-7, rtol=0)
    torch.testing.assert_close(back.abs(), quat.abs(), atol=1e-6, rtol=0)


def test_multiplying_quaternions_is_multiplying_matrices_in_that_order():
    first, second = random_quats(seed=1), random_quats(seed=2)

    product = quat_to_matrix(multiply_quats(first, second))

    torch.testing.assert_close(product, quat_to_matrix(first) @ quat_to_matrix(second))
