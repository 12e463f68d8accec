"""Mirrors: exact, their own inverse, and seen in a mirrored picture."""

from functools import partial

import pytest
import torch

from renderer.camera import OrbitRig
from renderer.formats.frames import mirrored, sh_signs
from renderer.gaussians import Gaussians
from renderer.rasterize import rasterize
from renderer.rotations import quat_to_matrix
from renderer.spherical_harmonics import sh_basis, sh_to_rgb
from tests.conftest import some_splats

FRAMES = ["", "x", "y", "z", "yz"]


some_head = partial(some_splats, bases=16)


def diagonal(axes):
    return torch.tensor([-1.0 if axis in axes else 1.0 for axis in "xyz"])


@pytest.mark.parametrize("axes", FRAMES)
def test_mirroring_twice_gives_back_the_very_bits(axes):
    head = some_head()

    twice = mirrored(mirrored(head, axes), axes)

    for name in ("means", "log_scales", "quats", "opacity_logits", "sh"):
        before, after = getattr(head, name), getattr(twice, name)
        assert torch.equal(before.view(torch.int32), after.view(torch.int32)), name


@pytest.mark.parametrize("axes", FRAMES)
def test_the_ellipsoid_is_the_mirrored_ellipsoid(axes):
    head = some_head()
    mirror = torch.diag(diagonal(axes))

    def covariances(splats):
        half = quat_to_matrix(splats.quats) * splats.scales[:, None, :]
        return half @ half.mT

    after = covariances(mirrored(head, axes))

    torch.testing.assert_close(after, mirror @ covariances(head) @ mirror)


@pytest.mark.parametrize("axes", FRAMES)
def test_the_colour_seen_along_the_mirrored_direction_is_the_same(axes):
    head = some_head()
    directions = torch.nn.functional.normalize(head.means, dim=-1)

    before = sh_to_rgb(head.sh, directions)
    after = sh_to_rgb(mirrored(head, axes).sh, directions * diagonal(axes))

    torch.testing.assert_close(after, before)


def test_the_signs_are_those_of_the_basis_functions():
    direction = torch.nn.functional.normalize(torch.tensor([0.3, -0.5, 0.7]), dim=-1)
    for axes in FRAMES:
        ratio = sh_basis(direction * diagonal(axes), 16) / sh_basis(direction, 16)
        torch.testing.assert_close(sh_signs(axes, 3), ratio)
    assert sh_signs("z", 1).tolist() == [1, 1, -1, 1]


def test_two_mirrors_are_the_half_turn():
    head = some_head(bases=1)
    half_turn = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))

    turned, twice_mirrored = head.transformed(half_turn), mirrored(head, "yz")

    torch.testing.assert_close(turned.means, twice_mirrored.means)
    for splats in (turned, twice_mirrored):
        half = quat_to_matrix(splats.quats) * splats.scales[:, None, :]
        splats.__dict__["covariances"] = half @ half.mT
    torch.testing.assert_close(turned.covariances, twice_mirrored.covariances)


def test_the_picture_of_the_x_mirrored_head_is_the_mirrored_picture():
    head = some_head(bases=9)
    left = OrbitRig(yaw=0.5, pitch=0.2).camera()
    right = OrbitRig(yaw=-0.5, pitch=0.2).camera()

    seen = rasterize(head, left, (40, 28), backend="torch").color
    mirror = rasterize(mirrored(head, "x"), right, (40, 28), backend="torch").color

    assert seen.std() > 0.01
    torch.testing.assert_close(mirror.flip(-1), seen, atol=1e-5, rtol=0)


def test_a_batch_is_mirrored_head_by_head():
    heads = [some_head(seed=1), some_head(seed=2)]
    batch = Gaussians(
        *(
            torch.stack([getattr(head, name) for head in heads])
            for name in ("means", "log_scales", "quats", "opacity_logits", "sh")
        )
    )

    second = mirrored(batch, "z")[1]

    assert torch.equal(second.quats, mirrored(heads[1], "z").quats)
    assert torch.equal(second.sh, mirrored(heads[1], "z").sh)
