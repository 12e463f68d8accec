"""What is compared, and what is not."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from inversion.identity import FaceNetwork
from inversion.losses import BACKGROUND, Comparison, Perception
from inversion.perceptual import Lpips, StructuralDistance
from inversion.settings import LossWeights
from inversion.target import Target
from inversion.torchvision_ops import ensure_torchvision
from tests.inversion.targets import POINTS, seen_from

SIDE = 40


def drawn(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def target(seed=0, side=SIDE, **changes):
    whole = Target(
        name=f"view {seed}",
        color=drawn(3, side, side, seed=seed),
        alpha=torch.ones(side, side),
        weight=torch.ones(side, side),
        camera=seen_from(0),
        points=POINTS,
    )
    return replace(whole, **changes)


def smooth(count=1, side=SIDE, seed=0):
    """Pictures with structure rather than noise."""
    coarse = drawn(count, 3, 6, 6, seed=seed)
    return torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic").clamp(0, 1)


def distance(x, y):
    measure = StructuralDistance()
    return measure.distance(measure.features(x), measure.features(y))


def test_a_picture_is_no_distance_from_itself():
    x = smooth(2)

    assert distance(x, x).abs().max() < 1e-6


def test_the_distance_is_the_same_both_ways():
    x, y = smooth(2), smooth(2, seed=1)

    torch.testing.assert_close(distance(x, y), distance(y, x))


def test_each_picture_of_a_batch_counts_for_itself():
    x, y = smooth(3), smooth(3, seed=1)

    one_by_one = torch.cat([distance(x[i : i + 1], y[i : i + 1]) for i in range(3)])

    torch.testing.assert_close(distance(x, y), one_by_one)


def test_a_larger_shift_is_a_larger_distance():
    x = smooth()

    apart = [float(distance(x, x.roll(shift, dims=-1))) for shift in (1, 2, 4)]

    assert 0 < apart[0] < apart[1] < apart[2]


def test_lost_structure_costs_even_where_the_mean_colour_is_right():
    x = smooth()
    flat = x.mean(dim=(2, 3), keepdim=True).expand_as(x)
    darker = x - 0.02

    assert distance(x, flat) > 3 * distance(x, darker)


def test_the_distance_has_the_gradient_of_its_differences():
    x, y = smooth(side=16).double().requires_grad_(True), smooth(side=16, seed=1).double()
    direction = drawn(*x.shape, seed=3).double() - 0.5
    step = 1e-6

    (slope,) = torch.autograd.grad(distance(x, y).sum(), x)

    with torch.no_grad():
        ahead, behind = distance(x + step * direction, y), distance(x - step * direction, y)
    wanted = (ahead - behind).sum() / (2 * step)
    torch.testing.assert_close((slope * direction).sum(), wanted, rtol=1e-4, atol=1e-8)


def test_pixels_of_weight_0_do_not_count():
    weight = torch.ones(SIDE, SIDE)
    weight[:, 25:] = 0
    clean = target(weight=weight)
    scribbled = clean.color.clone()
    scribbled[:, :, 25:] = drawn(3, SIDE, 15, seed=9)
    picture = drawn(1, 3, SIDE, SIDE, seed=4)
    elsewhere = picture.clone()
    elsewhere[..., 25:] = drawn(SIDE, 15, seed=8)

    found = Comparison([clean], Perception(), SIDE)(picture)
    same = Comparison([clean], Perception(), SIDE)(elsewhere)
    mse = (picture - clean.color)[..., :25].square().mean()

    torch.testing.assert_close(found.mse[0], mse)
    torch.testing.assert_close(same.mse, found.mse)
    torch.testing.assert_close(same.perceptual, found.perceptual)
    other = Comparison([replace(clean, color=scribbled)], Perception(), SIDE)(picture)
    torch.testing.assert_close(other.mse, found.mse)


def test_a_target_lies_over_the_colour_behind_the_render():
    alpha = torch.zeros(SIDE, SIDE)
    alpha[10:30, 12:20] = 1
    shown = target(alpha=alpha)
    empty = torch.tensor(BACKGROUND)[:, None, None].expand(3, SIDE, SIDE)
    picture = torch.where(alpha.bool(), shown.color, empty)[None]

    comparison = Comparison([shown], Perception(), SIDE)

    assert comparison(picture).mse.max() < 1e-12
    assert comparison(picture).perceptual.max() < 1e-6


@pytest.mark.parametrize("offset", [0.1, 0.01])
def test_psnr_is_that_of_the_mean_squared_difference(offset):
    flat = target(color=torch.full((3, SIDE, SIDE), 0.5))
    picture = torch.full((1, 3, SIDE, SIDE), 0.5 + offset)

    (quality,) = Comparison([flat], Perception(), SIDE).quality(picture)

    assert quality.psnr == pytest.approx(-20 * np.log10(offset), abs=1e-3)
    assert quality.name == "view 0"
    assert quality.lpips is None
    assert quality.identity is None


def test_some_views_are_compared_with_their_own_targets():
    comparison = Comparison([target(0), target(1), target(2)], Perception(), SIDE)
    pictures = drawn(3, 3, SIDE, SIDE, seed=7)

    every, some = comparison(pictures), comparison(pictures[[2, 0]], [2, 0])

    torch.testing.assert_close(some.mse, every.mse[[2, 0]])
    torch.testing.assert_close(some.perceptual, every.perceptual[[2, 0]])


def test_targets_are_brought_to_the_size_that_is_compared():
    fine = target(color=smooth(side=SIDE)[0])

    comparison = Comparison([fine], Perception(), SIDE // 2)

    halves = torch.nn.functional.avg_pool2d(fine.color[None], 2)
    assert comparison.pictures.shape == (1, 3, SIDE // 2, SIDE // 2)
    # The filter for shrinking is a triangle, not a box.
    assert (comparison.pictures - halves).abs().mean() < 0.01


def test_the_loss_is_the_weighted_sum_of_its_parts():
    weights = LossWeights(identity=5, mse=2, perceptual=0.5)
    found = Comparison([target(0), target(1)], Perception(), SIDE)(drawn(2, 3, SIDE, SIDE, seed=7))

    values = found.values(weights)

    assert values.identity is None
    assert values.total == pytest.approx(2 * values.mse + 0.5 * values.perceptual)
    assert values.mse == pytest.approx(float(found.mse.mean()))


def test_perception_says_what_is_measured_and_by_what():
    bare = Perception().describe
    assert "without weights" in bare
    assert "is not measured" in bare

    both = Perception(identity=FaceNetwork(torch.nn.Flatten())).describe
    assert "face recognition network" in both


# ---- the identity network's square


def faces_of(pictures, points):
    """What the network sees, since this one only looks."""
    network = FaceNetwork(torch.nn.Flatten())
    return network.embed(pictures, network.placing(points))


def test_the_face_is_found_wherever_its_landmarks_are():
    side, shift = 64, (6, -4)  # px to the right and down
    picture = smooth(side=side)
    points = POINTS[None] * 0.5 + 0.25
    moved = picture.roll(shift[::-1], dims=(2, 3))

    face = faces_of(picture, points)
    found = faces_of(moved, points + torch.tensor(shift) / side)

    assert (face * found).sum() > 0.9999


def test_a_turned_face_is_turned_back():
    picture = smooth(side=64)
    points = POINTS[None] * 0.5 + 0.25
    turned = picture.rot90(1, dims=(2, 3))  # anticlockwise: x' = y, y' = 1 - x
    around = torch.stack([points[..., 1], 1 - points[..., 0]], dim=-1)

    assert (faces_of(picture, points) * faces_of(turned, around)).sum() > 0.9999


def test_a_larger_picture_of_a_face_is_the_same_face():
    coarse = smooth(side=80)
    fine = torch.nn.functional.interpolate(coarse, (640, 640), mode="bilinear")

    assert (faces_of(coarse, POINTS[None]) * faces_of(fine, POINTS[None])).sum() > 0.999


def test_identity_is_1_for_the_same_face():
    perception = Perception(identity=FaceNetwork(torch.nn.Flatten()))
    comparison = Comparison([target(0), target(1)], perception, SIDE)

    same = comparison(comparison.pictures)
    qualities = comparison.quality(comparison.pictures.flip(0))

    assert same.identity.abs().max() < 1e-5
    assert all(quality.identity < 0.99 for quality in qualities)


# ---- LPIPS, with a trunk of random weights: its heads come with the package


@pytest.fixture(scope="module")
def lpips_of():
    ensure_torchvision()
    import torchvision

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = torchvision.models.squeezenet1_1(weights=None)
    return Lpips("squeeze", network.state_dict())


def test_lpips_is_what_its_package_computes(lpips_of):
    x, y = smooth(2, side=64), smooth(2, side=64, seed=1)

    found = lpips_of.distance(lpips_of.features(x), lpips_of.features(y))

    with torch.no_grad():
        wanted = lpips_of._network(x, y, normalize=True).flatten()
    assert wanted.min() > 0
    torch.testing.assert_close(found, wanted)
    assert lpips_of.distance(lpips_of.features(x), lpips_of.features(x)).abs().max() == 0


def test_lpips_leads_a_picture_to_its_target(lpips_of):
    perception = Perception(lpips_of)
    comparison = Comparison([target(0, side=64, color=smooth(side=64)[0])], perception, 64)
    picture = smooth(side=64, seed=1).requires_grad_(True)

    before = comparison(picture).perceptual.sum()
    (slope,) = torch.autograd.grad(before, picture)
    after = comparison(picture - 0.5 * slope / slope.abs().max()).perceptual.sum()

    assert after < before
    assert "LPIPS on SqueezeNet" in perception.describe
    assert comparison.quality(picture.detach())[0].lpips == pytest.approx(before.item(), rel=1e-3)


def test_weights_of_another_network_are_refused():
    with pytest.raises(KeyError):
        Lpips("squeeze", {"features.0.weight": torch.zeros(3)})
