"""Pictures to bytes: rounding, checker, straight alpha, colour maps, depth."""

import numpy as np
import pytest
import torch

from renderer.rasterize import Rendered
from renderer.tonemap import (
    COLORMAPS,
    checker,
    false_color,
    normalized_depth,
    over_checker,
    straight_rgba,
    to_bytes,
)

W, H = 7, 5


def rendered(alpha, depth=None, color=None):
    """A flat picture over black whose straight colour is (0.8, 0.4, 0.1)."""
    alpha = torch.as_tensor(alpha).expand(H, W)
    if color is None:
        color = torch.tensor([0.8, 0.4, 0.1])[:, None, None] * alpha
    if depth is None:
        depth = alpha * 2.7
    return Rendered(color=color, depth=depth, alpha=alpha)


def test_bytes_are_rounded_and_keep_the_places_of_the_pixels():
    image = torch.zeros(3, H, W)
    image[:, 1, 6] = torch.tensor([1.0, 0.5, 0.002])

    pixels = to_bytes(image)

    assert pixels.shape == (H, W, 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert pixels[1, 6].tolist() == [255, 128, 1]
    assert pixels.sum() == 255 + 128 + 1


def test_every_byte_survives_the_round_trip():
    levels = torch.arange(256).float().div(255).expand(3, 1, 256)

    assert to_bytes(levels)[0, :, 0].tolist() == list(range(256))


def test_colours_outside_of_the_range_are_cut_and_do_not_wrap_around():
    image = torch.tensor([-0.5, 3.0, 1.0001])[:, None, None].expand(3, H, W)

    assert to_bytes(image)[0, 0].tolist() == [0, 255, 255]


def test_quantising_leaves_the_picture_as_it_was():
    image = torch.full((3, H, W), 0.25)

    to_bytes(image)

    assert (image == 0.25).all()


def test_the_checker_alternates_between_two_greys():
    pattern = checker(40, 20)

    assert pattern.shape == (3, 20, 40)
    assert pattern.unique().numel() == 2
    assert pattern[0, 0, 0] == pattern[0, 15, 15] == pattern[0, 16, 16]
    assert pattern[0, 0, 0] != pattern[0, 0, 16]
    assert pattern[0, 0, 0] != pattern[0, 16, 0]


def test_the_checker_shows_where_nothing_is_and_only_there():
    assert torch.equal(over_checker(rendered(0.0)), checker(W, H))
    torch.testing.assert_close(over_checker(rendered(1.0)), rendered(1.0).color)


def test_half_covered_pixels_are_half_checker():
    shown = over_checker(rendered(0.5))

    straight = torch.tensor([0.8, 0.4, 0.1])[:, None, None]
    torch.testing.assert_close(shown, (straight + checker(W, H)) / 2)


@pytest.mark.parametrize("alpha", [0.01, 0.3, 1.0])
def test_straight_colour_does_not_depend_on_the_coverage(alpha):
    rgba = straight_rgba(rendered(alpha))

    assert rgba.shape == (4, H, W)
    torch.testing.assert_close(rgba[:, 2, 3], torch.tensor([0.8, 0.4, 0.1, alpha]))


def test_an_empty_pixel_is_transparent_black():
    assert (straight_rgba(rendered(0.0)) == 0).all()


@pytest.mark.parametrize("name", COLORMAPS)
def test_a_colour_map_has_two_ends_and_turns_around(name):
    values = torch.arange(6).mul(51).div(255).expand(H, 6)  # exact entries of the table

    forward, backward = false_color(values, name), false_color(values, name, invert=True)

    assert forward.shape == (3, H, 6)
    assert ((forward >= 0) & (forward <= 1)).all()
    assert not torch.equal(forward[:, 0, 0], forward[:, 0, -1])
    torch.testing.assert_close(forward.flip(-1), backward)


def test_grey_runs_from_black_to_white():
    ramp = false_color(torch.tensor([[-3.0, 0.0, 0.5, 1.0, 7.0]]), "gray")

    expected = torch.tensor([0.0, 0.0, 128 / 255, 1.0, 1.0])
    torch.testing.assert_close(ramp, expected.expand(3, 1, 5), atol=1e-4, rtol=0)


def test_depth_is_stretched_from_near_to_far_over_what_is_seen():
    depth = torch.linspace(2.0, 3.0, W).expand(H, W)
    picture = rendered(0.8, depth=depth * 0.8)

    stretched = normalized_depth(picture)

    torch.testing.assert_close(stretched, torch.linspace(0, 1, W).expand(H, W), atol=1e-5, rtol=0)


def test_faint_pixels_do_not_stretch_the_depth_and_empty_ones_are_far():
    alpha = torch.ones(H, W)
    alpha[0, 0], alpha[0, 1] = 0.3, 0.0
    depth = torch.linspace(2.0, 3.0, W).expand(H, W).clone()
    depth[0, 0], depth[0, 1] = 900.0 * 0.3, 0.0

    stretched = normalized_depth(rendered(alpha, depth=depth))

    assert stretched[1].tolist() == pytest.approx(torch.linspace(0, 1, W).tolist(), abs=1e-5)
    assert stretched[0, 0] == 1
    assert stretched[0, 1] == 1


def test_depth_of_nothing_and_of_a_flat_thing_is_defined():
    assert (normalized_depth(rendered(0.0)) == 1).all()
    assert normalized_depth(rendered(1.0)).isfinite().all()
