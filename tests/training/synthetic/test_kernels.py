"""The compiled shortcuts agree with the plain formulas."""

import numpy as np
import pytest
import torch

from renderer.rotations import quat_to_matrix
from renderer.spherical_harmonics import dc_to_rgb
from training.synthetic import cpu_kernels as kernels


def light(normals, tangents, albedo, gloss=0.0, lamp=0.0, sky=1.0):
    """Light a few splats of skin; returns quaternions and displayed colours."""
    count = len(normals)
    frames = np.concatenate([normals, tangents], 1).astype(np.float32)
    means, quats, sh = (np.zeros((count, width), np.float32) for width in (3, 4, 3))
    lamps = np.zeros((3, 6), np.float32)
    lamps[:, 2], lamps[0, 3:] = 1, lamp
    kernels.light_surface(
        np.arange(3 * count, dtype=np.float32).reshape(count, 3),
        frames,
        np.full((count, 3), albedo, np.float32),
        np.full(count, gloss, np.float32),
        np.ones(count, np.float32),
        np.ones((count, 3), np.float32),
        lamps,
        np.full((2, 3), sky, np.float32),
        np.zeros(3, np.float32),
        np.array([0.5, 1, 2, 3], np.float32),
        means,
        quats,
        sh,
    )
    return means, torch.from_numpy(quats), dc_to_rgb(torch.from_numpy(sh))


def some_frames(count=500):
    rng = np.random.RandomState(2)
    normals = rng.standard_normal((count, 3))
    normals[:6] = np.concatenate([np.eye(3), [[-1, 0, 0], [0, -1, 0], [0.02, 0, -1]]])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    tangents = np.cross(normals, rng.standard_normal((count, 3)))
    return normals, tangents / np.linalg.norm(tangents, axis=1, keepdims=True)


def test_quaternions_turn_the_axes_to_tangent_and_normal():
    normals, tangents = some_frames()

    axes = quat_to_matrix(light(normals, tangents, 0.5)[1]).numpy()

    assert np.abs(axes[:, :, 0] - tangents).max() < 2e-3
    assert np.abs(axes[:, :, 2] - normals).max() < 2e-3
    assert np.abs(axes[:, :, 1] - np.cross(normals, tangents)).max() < 2e-3


@pytest.mark.parametrize("linear", [0.0, 0.001, 0.004, 0.02, 0.2, 0.5, 0.9, 1.0])
def test_colours_are_encoded_as_srgb(linear):
    normals, tangents = some_frames(7)

    shown = light(normals, tangents, linear)[2]

    exact = 12.92 * linear if linear < 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055
    assert (shown - exact).abs().max() < 0.006  # a step and a half of 8 bits


def test_points_are_put_into_the_world():
    means = light(*some_frames(7), 0.5)[0]

    points = np.arange(21).reshape(7, 3)
    assert np.allclose(means, points * 0.5 + [1, 2, 3])


def test_a_lamp_lights_what_faces_it():
    normals = np.array([[0, 0, 1], [0, 0.6, 0.8], [0, 1, 0], [0, 0, -1]])
    tangents = np.tile([1.0, 0, 0], (4, 1))

    shown = light(normals, tangents, 0.5, lamp=1.0, sky=0.0)[2].numpy()

    linear = ((shown + 0.055) / 1.055) ** 2.4
    assert np.allclose(linear[:2, 0], [0.5, 0.4], atol=0.01)
    assert shown[2:].max() < 0.01


def test_vertices_move_by_the_sum_of_their_components():
    rng = np.random.RandomState(0)
    neutral, basis = rng.standard_normal(21), rng.standard_normal((4, 21))
    weights = np.array([0.5, 0, -2, 1])
    arrays = [part.astype(np.float32) for part in (neutral, basis, weights)]
    moves, vertices = np.zeros((2, 21), np.float32)

    kernels.move_vertices(*arrays, moves, vertices)

    assert np.allclose(moves, weights @ basis, atol=1e-5)
    assert np.allclose(vertices, neutral + weights @ basis, atol=1e-5)
