"""Each loss against its formula in float64, written with loops."""

import math

import pytest
import torch

from training.ema import ema_decay, track_mean, update_ema
from training.losses import (
    blur,
    blur_sigma,
    centre_loss,
    discriminator_loss,
    generator_loss,
    lazy_ratio,
    neighbour_loss,
    r1_penalty,
)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def softplus(x):
    return math.log1p(math.exp(-abs(x))) + max(x, 0)


def test_the_generator_wants_its_pictures_called_real():
    logits = draw(7) * 3

    expected = sum(softplus(-x) for x in logits.tolist()) / 7

    assert generator_loss(logits).item() == pytest.approx(expected, rel=1e-12)
    assert generator_loss(logits + 1) < generator_loss(logits)


def test_the_discriminator_wants_real_above_and_fake_below_zero():
    real, fake = draw(7), draw(5, seed=1)

    expected = sum(softplus(-x) for x in real.tolist()) / 7
    expected += sum(softplus(x) for x in fake.tolist()) / 5

    assert discriminator_loss(real, fake).item() == pytest.approx(expected, rel=1e-12)


def test_r1_is_half_the_squared_slope_averaged_over_pictures():
    images = draw(2, 3, 5, 4).requires_grad_()
    curve = draw(3, 5, 4, seed=1)

    penalty = r1_penalty((images.square() * curve).sum(dim=(1, 2, 3)), images)

    slopes = [2 * image * curve for image in images.detach()]
    expected = sum(0.5 * slope.flatten().dot(slope.flatten()) for slope in slopes) / 2
    torch.testing.assert_close(penalty.detach(), expected)


def test_r1_has_a_gradient_of_its_own():
    weight = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    images = draw(2, 3, 5, 4).requires_grad_()

    r1_penalty((weight * images).sum(dim=(1, 2, 3)), images).backward()

    # ½·|∂D/∂x|² = ½·60·w², whose slope is 60·w.
    assert weight.grad.item() == pytest.approx(60 * 0.7)


def test_sixteen_lazy_steps_and_one_penalty_count_as_sixteen():
    assert lazy_ratio(16) == pytest.approx(16 / 17)
    assert 0.99 ** (lazy_ratio(16) * 17) == pytest.approx(0.99**16)


@pytest.mark.parametrize("neighbours", [1, 4, 6, 50])
def test_neighbour_loss_is_the_mean_squared_distance_to_the_nearest_others(neighbours):
    anchors = draw(2, 7, 3)

    total = 0.0
    for head in anchors.tolist():
        for i, p in enumerate(head):
            others = sorted(math.dist(p, q) ** 2 for j, q in enumerate(head) if j != i)
            nearest = others[:neighbours]
            total += sum(nearest) / len(nearest)

    assert neighbour_loss(anchors, neighbours).item() == pytest.approx(total / 14, rel=1e-12)


def test_neighbour_loss_pulls_points_together_even_from_one_place():
    anchors = draw(2, 7, 3).requires_grad_()
    same = torch.zeros(1, 7, 3, dtype=torch.float64, requires_grad=True)

    neighbour_loss(anchors, 3).backward()
    neighbour_loss(same, 3).backward()

    moved = anchors.detach() - 0.05 * anchors.grad
    assert neighbour_loss(moved, 3) < neighbour_loss(anchors, 3)
    assert same.grad.isfinite().all()
    assert neighbour_loss(torch.zeros(2, 1, 3), 3) == 0  # a point alone has no neighbours


def test_centre_loss_is_the_mean_square_of_each_heads_centroid():
    anchors = draw(2, 7, 3)

    expected = 0.0
    for head in anchors.tolist():
        expected += sum((sum(p[axis] for p in head) / 7) ** 2 for axis in range(3)) / 3 / 2

    assert centre_loss(anchors).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 1.4])
def test_blur_weighs_pixels_by_their_distance(sigma):
    images = draw(2, 3, 6, 9)
    radius = math.floor(3 * sigma)
    weights = {t: 2 ** -((t / sigma) ** 2) for t in range(-radius, radius + 1)}
    total = sum(weights.values())
    expected = torch.zeros_like(images)
    for y in range(6):
        for x in range(9):
            for dy, a in weights.items():
                for dx, b in weights.items():
                    if 0 <= y + dy < 6 and 0 <= x + dx < 9:
                        expected[..., y, x] += a * b / total**2 * images[..., y + dy, x + dx]

    torch.testing.assert_close(blur(images, sigma), expected)


def test_blur_fades_and_then_leaves_pictures_alone():
    images = draw(1, 3, 6, 9)

    assert blur_sigma(0, 10, 200_000) == 10
    assert blur_sigma(50_000, 10, 200_000) == pytest.approx(7.5)
    assert blur_sigma(300_000, 10, 200_000) == 0
    assert blur_sigma(0, 10, 0) == 0  # no fade at all is no blur
    assert blur(images, 0.3) is images


def test_ema_halves_over_its_half_life_and_is_quicker_at_the_start():
    steps = 10_000 // 32
    assert ema_decay(10**7, 32, 10_000, 0.05) ** (10_000 / 32) == pytest.approx(0.5)
    assert ema_decay(0, 32, 10_000, 0.05) == 0  # the first step copies
    assert ema_decay(1000, 32, 10_000, 0.05) == pytest.approx(0.5 ** (32 / 50))
    assert ema_decay(0, 32, 10_000, None) ** steps == pytest.approx(0.5, rel=0.01)


def test_ema_averages_parameters_and_copies_buffers():
    average, current = torch.nn.BatchNorm1d(3), torch.nn.BatchNorm1d(3)
    with torch.no_grad():
        average.weight.fill_(2.0)
        current.weight.fill_(4.0)
        current.running_mean.fill_(5.0)

    update_ema(average, current, 0.75)

    assert average.weight.tolist() == [2.5, 2.5, 2.5]
    assert average.running_mean.tolist() == [5.0, 5.0, 5.0]


def test_the_mean_of_w_follows_the_batches():
    mean = torch.tensor([1.0, 0.0])

    track_mean(mean, torch.tensor([0.0, 10.0]), 0.9)

    torch.testing.assert_close(mean, torch.tensor([0.9, 1.0]))
