"""The latent plane: same place, same head; smooth, and nowhere pulled to the mean."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.latents import (
    NODES,
    LatentPlane,
    LatentSettings,
    latent_to_w,
    node_place,
    random_z,
    truncate,
)
from tests.models.small import small_generator


@pytest.fixture(scope="module")
def generator():
    return small_generator().prepared()


@pytest.fixture(scope="module")
def plane(generator):
    return LatentPlane(generator, seed=5)


def test_psi_0_is_the_average_head_exactly(generator, plane):
    w = latent_to_w(plane, LatentSettings(seed=5, x=0.3, y=-0.7, psi=0))
    assert torch.equal(w, generator.w_avg.expand(1, 1, -1))


def test_psi_1_changes_nothing_and_minus_1_mirrors_about_the_average(generator):
    w = torch.randn(2, 1, 14, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(truncate(w, generator.w_avg, 1), w)
    torch.testing.assert_close(
        truncate(w, generator.w_avg, -1) + w, (2 * generator.w_avg).expand_as(w)
    )
    assert torch.equal(truncate(w, generator.w_avg, 7), truncate(w, generator.w_avg, 2))
    assert torch.equal(truncate(w, generator.w_avg, -7), truncate(w, generator.w_avg, -1))


def test_nodes_are_at_the_documented_places():
    assert [round(node_place(i), 9) for i in (0, 1, 9)] == [-0.9, -0.7, 0.9]


@pytest.mark.parametrize("space", ["Z", "W"])
@pytest.mark.parametrize(("row", "column"), [(0, 0), (3, 7), (9, 2), (9, 9)])
def test_at_a_node_is_the_nodes_own_head(generator, plane, space, row, column):
    found = plane.at(node_place(column), node_place(row), space)
    torch.testing.assert_close(found[0], plane.w[row, column], atol=2e-6, rtol=0)
    drawn = random_z(5, NODES * NODES, generator.z_dim)[row * NODES + column]
    torch.testing.assert_close(found, generator.map(drawn[None]), atol=2e-6, rtol=0)


@pytest.mark.parametrize("space", ["Z", "W"])
def test_the_surface_has_no_kink(generator, plane, space):
    step = 1e-3
    worst_slope = worst_kink = 0.0
    for y in (0.31, -0.9):
        # Across nodes, at cell borders and at the rim where the surface turns constant.
        for x in (-0.9, -0.7, -0.1, 0.5, 0.9):
            before, here, after = (plane.at(x + d, y, space).double() for d in (-step, 0.0, step))
            kink = ((after - here) - (here - before)).abs().max() / step
            worst_kink = max(worst_kink, float(kink))
        a, b = plane.at(0.0, y, space), plane.at(step, y, space)
        worst_slope = max(worst_slope, float((b - a).abs().max() / step))
    # A kink is a jump of the slope; a C1 surface only has curvature times the step.
    assert worst_slope > 1
    assert worst_kink < 0.15 * worst_slope


def test_between_nodes_heads_are_as_varied_as_at_nodes():
    class Identity:
        """Maps z to itself, in a width where lengths hardly vary."""

        z_dim = w_dim = 4096
        num_ws = 1
        conditions_on_camera = False
        w_avg = torch.full((4096,), 0.5)

        def map(self, z, camera=None):
            return (self.w_avg + z)[:, None]

    generator = Identity()
    plane = LatentPlane(generator, seed=1)
    places = [*np.random.RandomState(0).uniform(-1, 1, (40, 2)).tolist(), [0.0, 0.0], [0.0, 0.3]]
    for space in ("Z", "W"):
        for x, y in places:
            spread = (plane.at(x, y, space) - generator.w_avg).square().mean().sqrt()
            # Rows of 4096 normal numbers have an RMS of 1 ± 0.011; 5 sigma.
            assert float(spread) == pytest.approx(1, abs=0.055)


def test_places_outside_are_clamped_to_the_border(generator, plane):
    for space in ("Z", "W"):
        edge = plane.at(1.0, -1.0, space)
        assert torch.equal(plane.at(3.0, -math.inf, space), edge)
        assert torch.equal(plane.at(0.9, -0.9, space), edge)


def test_the_same_seed_and_place_are_the_same_w(generator):
    settings = LatentSettings(seed=9, x=0.2, y=0.13, psi=1.4, space="Z")
    first = latent_to_w(LatentPlane(generator, 9), settings)
    assert first.shape == (1, 1, 14)
    assert torch.equal(first, latent_to_w(LatentPlane(generator, 9), settings))
    other = replace(settings, seed=10)
    assert not torch.allclose(first, latent_to_w(LatentPlane(generator, 10), other))


def test_the_stream_of_random_numbers_is_the_frozen_one():
    # MT19937 with the polar method, as RandomState(0).randn has given since NumPy began.
    np.testing.assert_allclose(
        random_z(0, 1, 3)[0].numpy(), [1.76405235, 0.40015721, 0.97873798], rtol=1e-6
    )
    assert torch.equal(random_z(7, 3, 10), random_z(7, 5, 10)[:3])


def test_a_plane_of_another_seed_is_refused(plane):
    with pytest.raises(AssertionError):
        latent_to_w(plane, LatentSettings(seed=6))
