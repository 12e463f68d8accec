"""Cutting squares out of photos."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest

from inversion.alignment import Alignment
from inversion.crop import corners, cut, from_crop, inside, recipe_for
from models.checkpoint import inspect
from models.zoo import DEMO_GENERATOR


def noise(height=40, width=60):
    return np.random.RandomState(1).randint(0, 256, (height, width, 3)).astype(np.uint8)


def blob(at, height=300, width=400, sigma=6.0):
    """A soft spot around a point, pixel centres at half integers. [H, W, 3]"""
    y, x = np.mgrid[:height, :width] + 0.5
    spot = np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * sigma**2))
    return np.repeat(np.rint(255 * spot).astype(np.uint8)[..., None], 3, axis=2)


def middle_of(spot):
    """The centre of mass, pixel centres at half integers. (x, y)"""
    mass = spot[..., 0].astype(float)
    y, x = np.mgrid[: mass.shape[0], : mass.shape[1]] + 0.5
    return (x * mass).sum() / mass.sum(), (y * mass).sum() / mass.sum()


def test_a_square_of_whole_pixels_is_copied():
    pixels = noise()

    # From column 10 and row 5, 24 wide: its middle lies on the edge of two pixels.
    crop = cut(pixels, Alignment((22.0, 17.0), 24.0), 24)

    np.testing.assert_array_equal(crop, pixels[5:29, 10:34])


def test_a_quarter_turn_turns_the_pixels():
    pixels = noise()

    # Clockwise in the photo: so the crop shows the photo turned the other way.
    crop = cut(pixels, Alignment((22.0, 17.0), 24.0, math.pi / 2), 24)

    np.testing.assert_array_equal(crop, np.rot90(pixels[5:29, 10:34], 1))


@pytest.mark.parametrize(("side", "size"), [(150.0, 150), (100.0, 256), (290.0, 64)])
@pytest.mark.parametrize("angle", [0.0, 0.35, -2.0])
def test_what_lies_at_a_point_of_the_photo_lies_there_in_the_crop(side, size, angle):
    alignment = Alignment((190.0, 160.0), side, angle)
    where = (0.42, 0.61)

    crop = cut(blob(from_crop(alignment, [where])[0]), alignment, size)

    # A tenth of a pixel of the photo; half a pixel of convention would show.
    assert middle_of(crop) == pytest.approx(
        (where[0] * size, where[1] * size), abs=0.1 * size / side
    )


def test_shrinking_keeps_the_mean_and_shows_no_pattern():
    checks = np.tile(np.array([[0, 255], [255, 0]], np.uint8), (200, 200))
    checks = np.repeat(checks[..., None], 3, axis=2)

    crop = cut(checks, Alignment((200.3, 199.1), 390.0, 0.1), 61)

    assert crop.mean() == pytest.approx(127.5, abs=1)
    assert crop.std() < 8


def test_outside_of_the_photo_nothing_counts():
    # The right half of the square lies outside.
    alignment = Alignment((60.0, 20.0), 20.0)

    weight = inside((40, 60), alignment, 10)

    np.testing.assert_array_equal(weight[:, :5], 1)
    np.testing.assert_array_equal(weight[:, 5:], 0)


def test_the_share_that_counts_is_the_share_within():
    alignment = Alignment((50.0, 10.0), 30.0, 0.3)

    weight = inside((40, 60), alignment, 64)

    random = np.random.RandomState(0).rand(40_000, 2)
    x, y = np.array(from_crop(alignment, random)).T
    share = np.mean((x > 0) & (x < 60) & (y > 0) & (y < 40))
    assert weight.mean() == pytest.approx(share, abs=0.01)


def test_a_crop_far_outside_is_filled_but_does_not_count():
    crop = cut(noise(), Alignment((500.0, 20.0), 20.0), 16)

    assert crop.shape == (16, 16, 3)
    assert inside((40, 60), Alignment((500.0, 20.0), 20.0), 16).max() == 0


def test_beyond_the_edge_stands_the_mirror_image_or_nothing():
    pixels = np.full((40, 60, 3), 90, np.uint8)
    pixels[:, 50:] = 200
    over = Alignment((60.0, 20.0), 20.0)

    assert cut(pixels, over, 20).min() >= 190
    blank = cut(pixels, over, 20, border="blank")
    np.testing.assert_array_equal(blank[:, :9], 200)
    np.testing.assert_array_equal(blank[:, 11:], 0)


@pytest.mark.parametrize("border", ["reflect", "blank"])
@pytest.mark.parametrize(
    "alignment",
    [
        Alignment((300.0, 200.0), 150.0, 0.4),  # within
        Alignment((20.0, 380.0), 170.0, -0.3),  # over a corner
        Alignment((480.0, 30.0), 300.0, 1.0),  # over another
        Alignment((-100.0, 200.0), 260.0),  # most of it outside
        Alignment((250.0, 200.0), 900.0),  # all around
    ],
)
def test_what_is_far_from_the_square_does_not_matter(alignment, border):
    small = np.random.RandomState(4).randint(0, 256, (20, 25, 3)).astype(np.uint8)
    pixels = cv2.resize(small, (500, 400), interpolation=cv2.INTER_CUBIC)
    # The plain way: blur all of the photo, then warp it, in OpenCV's own terms.
    k, size = alignment.side / 60, 60
    blurred = cv2.GaussianBlur(pixels, (0, 0), 0.4 * k) if k > 1.3 else pixels
    ends = np.float32(from_crop(alignment, [(0, 0), (1, 0), (0, 1)])) - 0.5
    begins = np.float32([(0, 0), (size, 0), (0, size)]) - 0.5
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    kind = cv2.BORDER_REFLECT if border == "reflect" else cv2.BORDER_CONSTANT
    matrix = cv2.getAffineTransform(begins, ends)
    plain = cv2.warpAffine(blurred, matrix, (size, size), flags=flags, borderMode=kind).astype(int)

    crop = cut(pixels, alignment, size, border)

    # Beyond the edge it fades into a blur.
    compared = inside(pixels.shape, alignment, size) == 1 if border == "reflect" else np.s_[:]
    assert np.abs(crop - plain)[compared].max(initial=0) <= 3
    assert np.abs(crop.mean() - plain.mean()) < 3


def test_alpha_is_cut_as_the_colours_are_and_stays_in_its_range():
    alpha = (noise()[..., 0] > 127).astype(np.float32)

    crop = cut(alpha, Alignment((30.0, 20.0), 17.0, 0.2), 40, border="blank")

    assert crop.shape == (40, 40)
    assert crop.dtype == np.float32
    assert 0 <= crop.min() <= crop.max() <= 1


def test_the_corners_go_clockwise_from_the_upper_left():
    upper_left, upper_right, lower_right, lower_left = corners(Alignment((50.0, 40.0), 20.0))

    assert upper_left == pytest.approx((40, 30))
    assert upper_right == pytest.approx((60, 30))
    assert lower_right == pytest.approx((60, 50))
    assert lower_left == pytest.approx((40, 50))


@pytest.mark.parametrize(
    ("path", "recipe"),
    [
        ("/models/ffhqc_512.pkl", "ffhqc"),
        ("/models/ffhq_512.safetensors", "ffhq"),
        ("/models/ffhq/demo.safetensors", "ffhqc"),
    ],
)
def test_the_crop_follows_from_the_name_of_the_network(path, recipe):
    summary = replace(inspect(DEMO_GENERATOR), path=path)

    assert recipe_for(summary) == recipe


def test_no_network_means_the_crop_of_the_released_ones():
    assert recipe_for(None) == "ffhqc"
