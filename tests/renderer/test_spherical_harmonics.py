"""The SH basis is orthonormal on the sphere, and has the signs that files and mirrors rely on."""

import math

import numpy as np
import pytest
import torch

from renderer.formats.frames import sh_signs
from renderer.spherical_harmonics import C0, dc_to_rgb, rgb_to_dc, sh_basis, sh_to_rgb


def quadrature():
    """Directions [M, 3] and weights [M] that integrate polynomials up to degree 11 exactly."""
    heights, height_weights = np.polynomial.legendre.leggauss(6)
    angles = np.arange(12) * 2 * math.pi / 12
    z, angle = np.meshgrid(heights, angles, indexing="ij")
    across = np.sqrt(1 - z**2)
    directions = np.stack([across * np.cos(angle), across * np.sin(angle), z], axis=-1)
    weights = np.repeat(height_weights[:, None], 12, axis=1) * 2 * math.pi / 12
    return torch.from_numpy(directions.reshape(-1, 3)), torch.from_numpy(weights.reshape(-1))


def random_directions(count=7, seed=0):
    draw = torch.Generator().manual_seed(seed)
    points = torch.randn(count, 3, generator=draw, dtype=torch.float64)
    return torch.nn.functional.normalize(points, dim=-1)


def test_the_basis_is_orthonormal_on_the_sphere():
    directions, weights = quadrature()
    basis = sh_basis(directions, 16)  # [M, 16]

    products = torch.einsum("mi,mj,m->ij", basis, basis, weights)

    torch.testing.assert_close(products, torch.eye(16, dtype=torch.float64), atol=1e-12, rtol=0)


@pytest.mark.parametrize("bases", [1, 4, 9])
def test_a_lower_degree_is_the_beginning_of_a_higher(bases):
    directions = random_directions()

    assert torch.equal(sh_basis(directions, bases), sh_basis(directions, 16)[:, :bases])


@pytest.mark.parametrize(
    ("direction", "expected"),
    [
        # Degree 1 of a 3DGS file, in its order: -y, z, -x.
        ((0.0, 1.0, 0.0), (-1.0, 0.0, 0.0)),
        ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0)),
        ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0)),
    ],
)
def test_degree_one_has_the_signs_of_the_files(direction, expected):
    basis = sh_basis(torch.tensor(direction), 4)

    first = math.sqrt(3 / (4 * math.pi))
    torch.testing.assert_close(basis[1:] / first, torch.tensor(expected))


def legendre(l, m, x):
    """Associated Legendre polynomial by its recurrence, with the Condon-Shortley phase (-1)^m."""
    diagonal = (-1) ** m * math.prod(range(1, 2 * m, 2)) * (1 - x * x) ** (m / 2)
    if l == m:
        return diagonal
    below, here = diagonal, x * (2 * m + 1) * diagonal
    for degree in range(m + 2, l + 1):
        below, here = here, ((2 * degree - 1) * x * here - (degree + m - 1) * below) / (degree - m)
    return here


def test_the_basis_is_the_real_harmonics_with_the_condon_shortley_phase():
    directions = random_directions()
    x, y, z = directions.unbind(-1)
    angle = torch.atan2(y, x)
    expected = []
    for l in range(4):
        for m in range(-l, l + 1):
            order = abs(m)
            norm = (2 * l + 1) / (4 * math.pi) * math.factorial(l - order)
            norm = math.sqrt((2 if m else 1) * norm / math.factorial(l + order))
            wave = torch.sin(order * angle) if m < 0 else torch.cos(order * angle)
            expected.append(norm * wave * legendre(l, order, z))

    torch.testing.assert_close(sh_basis(directions, 16), torch.stack(expected, dim=-1))


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_a_mirrored_direction_changes_the_signs_that_frames_says(axis):
    directions = random_directions()
    mirror = torch.ones(3, dtype=torch.float64)
    mirror["xyz".index(axis)] = -1

    mirrored = sh_basis(directions * mirror, 16)

    torch.testing.assert_close(mirrored, sh_basis(directions, 16) * sh_signs(axis, 3))


def test_degree_zero_is_the_same_from_everywhere():
    sh = torch.tensor([[[0.3, -0.2, 0.9]]]).expand(7, 1, 3)

    colors = sh_to_rgb(sh, random_directions().float())

    torch.testing.assert_close(colors, (0.5 + C0 * sh[:, 0]).expand(7, 3))


def test_the_mean_colour_over_all_directions_is_that_of_the_dc():
    directions, weights = quadrature()
    sh = torch.randn(1, 16, 3, generator=torch.Generator().manual_seed(3)).double() * 0.05
    sh = sh.expand(len(directions), 16, 3)

    colors = sh_to_rgb(sh, directions)
    mean = (colors * weights[:, None]).sum(0) / (4 * math.pi)

    assert (colors > 0).all(), "clamped colours would not average to the DC"
    torch.testing.assert_close(mean, dc_to_rgb(sh[0, 0]))


def test_colours_are_cut_at_black_but_not_at_white():
    sh = torch.tensor([[[-9.0, 0.0, 9.0]]])

    color = sh_to_rgb(sh, torch.zeros(1, 3))

    torch.testing.assert_close(color, torch.tensor([[0.0, 0.5, 0.5 + 9 * C0]]))


def test_a_batch_is_each_head_by_itself():
    draw = torch.Generator().manual_seed(1)
    sh = torch.randn(2, 7, 9, 3, generator=draw)
    directions = torch.nn.functional.normalize(torch.randn(2, 7, 3, generator=draw), dim=-1)

    together = sh_to_rgb(sh, directions)

    for head in range(2):
        torch.testing.assert_close(together[head], sh_to_rgb(sh[head], directions[head]))


def test_a_colour_survives_the_dc_coefficient():
    color = torch.tensor([0.1, 0.5, 0.97])

    torch.testing.assert_close(dc_to_rgb(rgb_to_dc(color)), color)
