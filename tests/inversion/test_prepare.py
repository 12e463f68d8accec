"""From a picture to a photo that can be inverted."""

import math
from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest
import torch
from skimage.data import astronaut

from inversion.alignment import Alignment
from inversion.crop import from_crop, to_crop
from inversion.errors import InversionError
from inversion.faces import find_faces
from inversion.photo import Stroke
from inversion.pictures import Picture, decode_picture
from inversion.pose import guess_points
from inversion.prepare import (
    MATTE_SIDE,
    PrepareSettings,
    crop_of,
    matte_of,
    photo_of,
    prepare,
    target_of,
    warnings_for,
    with_matte,
)
from tests.steps import result_of, steps_and_result


def named(pixels, alpha=None):
    return photo_of(Picture(np.ascontiguousarray(pixels), alpha, "portrait.png"))


@pytest.fixture(autouse=True)
def without_mediapipe(monkeypatch):
    """Whoever runs these tests may have it."""
    monkeypatch.setattr("inversion.faces.find_meshes", lambda pixels: [])


@cache
def prepared():
    return result_of(prepare(named(astronaut())))


def by_hand(pixels, alignment, alpha=None):
    """A photo whose square is known, with a matte that covers all of it."""
    photo = named(pixels, alpha)
    matte = cv2.imencode(".png", np.full((8, 8), 255, np.uint8))[1].tobytes()
    return replace(photo, alignment=alignment, points=guess_points(alignment), matte=matte)


def sentence(pixels):
    with pytest.raises(InversionError) as caught:
        result_of(prepare(named(pixels)))
    text = str(caught.value)
    assert "portrait.png" in text
    assert "\n" not in text
    assert text.endswith(".")
    return text


# ---- what is prepared


def test_a_portrait_becomes_ready_and_says_where_it_stands():
    steps, photo = steps_and_result(prepare(named(astronaut())))

    assert photo.is_ready
    assert len(photo.points) == 5
    assert [step.done for step in steps] == [0, 1, 2, 3]
    assert all("portrait.png" in step.message and step.done < step.total for step in steps)


def test_the_matte_covers_the_face_and_not_the_corner():
    matte = matte_of(prepared(), 100)

    assert matte.shape == (100, 100)
    for x, y in to_crop(prepared().alignment, prepared().points):
        assert matte[int(100 * y), int(100 * x)] > 0.9
    assert matte[:10, :10].max() < 0.1


def test_another_recipe_gives_another_square_of_the_same_landmarks():
    older = result_of(prepare(named(astronaut()), PrepareSettings(recipe="ffhq")))

    assert older.points == prepared().points
    assert older.alignment.recipe == "ffhq"
    assert older.alignment.side < 0.95 * prepared().alignment.side


def test_the_face_that_was_chosen_is_prepared():
    head = astronaut()[:260, 90:350]
    small = cv2.resize(head, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
    pixels = np.zeros((260, 260 + small.shape[1], 3), np.uint8)
    pixels[:, :260] = head
    pixels[: len(small), 260:] = small
    faces = find_faces(pixels)

    main, other = (result_of(prepare(named(pixels), face=face)) for face in (None, faces[1]))

    assert main.alignment.centre[0] < 260 < other.alignment.centre[0]
    assert other.alignment.side == pytest.approx(0.7 * main.alignment.side, rel=0.05)


def test_landmarks_set_by_hand_are_kept():
    points = guess_points(Alignment((300.0, 300.0), 250.0, 0.1, 0.3, 0.1))

    photo = result_of(prepare(named(np.full((600, 600, 3), 128, np.uint8)), points=points))

    assert photo.points == points
    assert photo.alignment.yaw == pytest.approx(0.3, abs=0.03)


def test_the_alpha_of_the_file_is_the_matte():
    alpha = np.zeros((512, 512), np.float32)
    alpha[:, :225] = 1

    photo = result_of(prepare(named(astronaut(), alpha)))

    matte = matte_of(photo, 64)
    middle = 64 * to_crop(photo.alignment, [(225.0, photo.alignment.centre[1])])[0][0]
    assert matte[32, : int(middle) - 2].min() > 0.99
    assert matte[32, int(middle) + 2 :].max() < 0.01


def test_outside_of_the_photo_the_alpha_is_nothing():
    picture = decode_picture(named(astronaut(), np.float32(astronaut()[..., 0] > 0)).content, "a")

    crop = crop_of(picture, Alignment((0.0, 256.0), 100.0), 50)

    assert crop.shape == (50, 50, 4)
    assert crop[:, :24, 3].max() == 0
    assert crop[:, 27:, 3].mean() > 200


def test_a_matte_follows_a_square_that_was_moved():
    moved = replace(prepared().alignment, centre=(210.0, 120.0), side=230.0)

    photo = with_matte(replace(prepared(), alignment=moved))

    here = matte_of(photo, MATTE_SIDE)
    before = matte_of(prepared(), MATTE_SIDE)
    # The same pixels of the photo are the head's, but for the edge and the collar below.
    grid = [(x, y) for x in np.linspace(0.1, 0.9, 30) for y in np.linspace(0.05, 0.6, 25)]
    there = to_crop(moved, from_crop(prepared().alignment, grid))
    old = [before[int(MATTE_SIDE * y), int(MATTE_SIDE * x)] > 0.5 for x, y in grid]
    new = [here[int(MATTE_SIDE * y), int(MATTE_SIDE * x)] > 0.5 for x, y in there]
    assert np.mean(np.array(old) == np.array(new)) > 0.95


# ---- targets


def test_a_target_shows_the_crop_its_camera_and_its_landmarks():
    target = target_of(prepared(), 96)

    assert target.color.shape == (3, 96, 96)
    assert target.color.is_contiguous()
    assert 0 <= target.color.min() < target.color.max() <= 1
    assert target.alpha.shape == target.weight.shape == (96, 96)
    torch.testing.assert_close(
        target.camera.cam_to_world, prepared().alignment.camera().cam_to_world
    )
    expected = torch.tensor(to_crop(prepared().alignment, prepared().points)).float()
    torch.testing.assert_close(target.points, expected)
    # Eyes of a frontal head lie above the middle, its mouth below; the left one in the picture first.
    assert target.points[0, 0] < 0.5 < target.points[1, 0]
    assert target.points[0, 1] < 0.5 < target.points[3, 1]


def test_what_lies_outside_of_the_photo_does_not_count_in_a_target():
    photo = by_hand(np.full((200, 300, 3), 90, np.uint8), Alignment((300.0, 100.0), 100.0))

    target = target_of(photo, 20)

    assert target.weight[:, :10].min() == 1
    assert target.weight[:, 10:].max() == 0


def test_strokes_are_part_of_a_target():
    erased = replace(prepared(), strokes=(Stroke(((0.5, 0.5),), 0.1, adds=False),))

    before, after = target_of(prepared(), 64).alpha, target_of(erased, 64).alpha

    assert before[32, 32] > 0.9
    assert after[32, 32] == 0
    assert torch.equal(before[:20], after[:20])


def test_a_photo_without_alignment_is_no_target():
    with pytest.raises(InversionError, match="not prepared"):
        target_of(named(astronaut()), 32)


# ---- what goes wrong


def test_without_a_face_one_sentence_says_so():
    assert "No face was found" in sentence(np.full((300, 400, 3), 200, np.uint8))


def test_a_picture_that_lies_is_to_be_turned():
    assert "upside down" in sentence(np.rot90(astronaut(), 2))


def test_a_face_of_few_pixels_is_too_small():
    tiny = cv2.resize(astronaut(), None, fx=0.3, fy=0.3, interpolation=cv2.INTER_AREA)

    assert "px large" in sentence(tiny)


def test_a_face_of_few_pixels_is_too_small_for_whoever_chose_it_as_well():
    tiny = cv2.resize(astronaut(), None, fx=0.3, fy=0.3, interpolation=cv2.INTER_AREA)

    with pytest.raises(InversionError, match="px large"):
        result_of(prepare(named(tiny), face=find_faces(tiny)[0]))


def test_a_damaged_matte_is_told():
    with pytest.raises(InversionError, match=r"The matte of .* is damaged"):
        target_of(replace(prepared(), matte=prepared().matte[:200]), 32)


# ---- warnings


def textured(value=255):
    """As a face: large soft shapes and fine ones over them. [600, 600, 3] uint8"""
    random = np.random.RandomState(0)
    cells = [np.round(random.rand(n, n)) for n in (12, 150)]
    shapes = [cv2.resize(c, (600, 600))[..., None].repeat(3, axis=2) for c in cells]
    return np.rint(value * (0.7 * shapes[0] + 0.3 * shapes[1])).astype(np.uint8)


GOOD = Alignment((300.0, 300.0), 400.0)


def test_a_good_photo_has_no_warnings():
    assert warnings_for(by_hand(textured(), GOOD)) == ()


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (replace(GOOD, side=150.0), "only 150 px"),
        (replace(GOOD, yaw=math.radians(-55)), "turned very far"),
        (replace(GOOD, pitch=math.radians(40)), "turned very far"),
        (replace(GOOD, centre=(600.0, 300.0)), "outside"),
        (replace(GOOD, cost=20.0), "fit a head badly"),
    ],
)
def test_what_makes_a_poor_head_is_said(changed, says):
    (warning,) = warnings_for(by_hand(textured(), changed))

    assert says in warning


def test_a_blurred_and_a_dark_photo_are_told():
    (blurred,) = warnings_for(by_hand(cv2.GaussianBlur(textured(), (0, 0), 9), GOOD))
    (dark,) = warnings_for(by_hand(textured(30), GOOD))

    assert "blurred" in blurred
    assert "dark" in dark


def test_the_astronaut_is_only_small():
    (warning,) = warnings_for(prepared())

    assert "px wide" in warning


def test_of_a_photo_without_a_face_nothing_is_said():
    assert warnings_for(named(astronaut())) == ()
