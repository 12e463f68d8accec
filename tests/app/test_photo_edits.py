"""What a hand does to a photo, by its laws: what is moved stays where it belongs."""

from __future__ import annotations

import math
import threading
from dataclasses import replace

import cv2
import numpy as np
import pytest

from inversion.alignment import Alignment
from inversion.crop import cut, from_crop, to_crop
from inversion.photo import Photo, Stroke
from inversion.pictures import Picture, encode_picture
from inversion.pose import guess_points
from splatviz_app.inversion import photo_edits
from splatviz_app.inversion.head_guide import head_lines
from splatviz_app.inversion.previews import Previews, as_rgba, decode, over_checker, tinted

BEFORE = Alignment((210.0, 140.0), 180.0, 0.2, 0.15, 0.1)
AFTER = Alignment((200.0, 150.0), 220.0, -0.1, 0.15, 0.1)


def photo(matte=None, strokes=(), alignment=BEFORE):
    down, right = np.mgrid[:300, :400]
    pixels = np.stack([right * 255 // 400, down * 255 // 300, 128 + 0 * right], axis=-1)
    content = encode_picture(Picture(pixels.astype(np.uint8), None, "a.jpg"))
    png = b"" if matte is None else cv2.imencode(".png", matte)[1].tobytes()
    return Photo("a.jpg", content, guess_points(BEFORE), alignment, png, strokes)


def disc(middle=(256, 256), radius=60):
    return cv2.circle(np.zeros((512, 512), np.uint8), middle, radius, 255, -1)


def middle_of(matte):
    """Of what a matte keeps, in sides of the crop."""
    down, right = np.nonzero(matte > 127)
    return (right.mean() + 0.5) / 512, (down.mean() + 0.5) / 512


def test_a_matte_stays_where_it_is_in_the_photo_when_the_square_moves():
    there = photo_edits.with_alignment(photo(disc((200, 300))), AFTER)
    moved = photo_edits.stored_matte(there.matte)
    (expected,) = to_crop(AFTER, from_crop(BEFORE, [(200.5 / 512, 300.5 / 512)]))
    assert middle_of(moved) == pytest.approx(expected, abs=0.002)
    area = (moved > 127).sum() / (disc() > 127).sum()
    assert area == pytest.approx((BEFORE.side / AFTER.side) ** 2, rel=0.03)


def test_strokes_stay_where_they_are_in_the_photo_when_the_square_moves():
    stroke = Stroke(((0.3, 0.4), (0.5, 0.45)), 0.05)
    moved = photo_edits.with_alignment(photo(disc(), (stroke,)), AFTER).strokes[0]
    places = from_crop(BEFORE, stroke.path), from_crop(AFTER, moved.path)
    assert np.allclose(*places)
    assert moved.radius * AFTER.side == pytest.approx(stroke.radius * BEFORE.side)


def test_shoulders_go_on_below_a_crop_that_grows():
    body = np.zeros((512, 512), np.uint8)
    body[300:, 100:400] = 255
    larger = replace(BEFORE, side=1.5 * BEFORE.side)
    grown = photo_edits.stored_matte(photo_edits.with_alignment(photo(body), larger).matte)
    assert grown[511, 256] == 255
    assert grown[0].max() == 0


def test_hair_does_not_go_on_above_a_crop_that_grows():
    hair = np.zeros((512, 512), np.uint8)
    hair[:300, 100:400] = 255
    larger = replace(BEFORE, side=1.5 * BEFORE.side)
    grown = photo_edits.stored_matte(photo_edits.with_alignment(photo(hair), larger).matte)
    assert grown[256, 256] == 255
    assert grown[:80].max() == 0


def test_another_camera_of_the_same_square_leaves_the_matte_as_it_is():
    before = photo(disc())
    after = photo_edits.with_alignment(before, replace(BEFORE, yaw=0.5))
    assert after.matte is before.matte


@pytest.mark.parametrize("handle", [(-1, -1), (1, 1), (1, -1), (0, 1), (-1, 0)])
def test_pulling_a_handle_leaves_what_is_opposite(handle):
    (opposite,) = from_crop(BEFORE, [(0.5 - handle[0] / 2, 0.5 - handle[1] / 2)])
    (here,) = from_crop(BEFORE, [(0.5 + handle[0] / 2, 0.5 + handle[1] / 2)])
    to = tuple(o + 1.3 * (h - o) for o, h in zip(opposite, here, strict=True))
    pulled = photo_edits.pulled(BEFORE, handle, to, (10.0, 1000.0))
    assert pulled.side == pytest.approx(1.3 * BEFORE.side)
    (stays,) = from_crop(pulled, [(0.5 - handle[0] / 2, 0.5 - handle[1] / 2)])
    assert stays == pytest.approx(opposite)
    assert photo_edits.pulled(BEFORE, handle, opposite, (10.0, 1000.0)).side == 10.0


def test_steps_of_the_brush_that_nobody_sees_are_left_out():
    begun = photo_edits.began_stroke(photo(disc()), (0.5, 0.5), 0.1, adds=False)
    assert photo_edits.went_on(begun, (0.505, 0.5)) is begun
    further = photo_edits.went_on(begun, (0.55, 0.5)).strokes[-1]
    assert (further.path, further.adds) == (((0.5, 0.5), (0.55, 0.5)), False)


def test_photos_change_places():
    assert photo_edits.moved_to("abcd", 0, 2) == ("b", "c", "a", "d")
    assert photo_edits.moved_to("abcd", 3, 0) == ("d", "a", "b", "c")


# ---- pictures of photos


def test_a_crop_for_the_eye_is_the_crop_that_is_prepared():
    decoded = decode(photo())
    pixels = decoded.pixels[..., :3]
    for alignment, size in ((BEFORE, 256), (BEFORE, 64), (AFTER, 100)):
        shown = decoded.crop(alignment, size)
        assert np.array_equal(shown[..., 3], np.full((size, size), 255))
        exact = cut(pixels, alignment, size).astype(int)
        assert np.abs(shown[..., :3] - exact).max() <= 4, (alignment, size)


def test_a_large_photo_is_shrunk_step_by_step_and_still_lies_where_it_did():
    down, right = np.mgrid[:1500, :2000]
    pixels = np.stack([right * 255 // 2000, down * 255 // 1500, 0 * right], axis=-1)
    content = encode_picture(Picture(pixels.astype(np.uint8), None, "b.jpg"))
    decoded = decode(Photo("b.jpg", content))
    assert len(decoded.levels) > 2
    square = Alignment((900.0, 700.0), 1200.0, 0.3)
    exact = cut(decoded.pixels[..., :3].copy(), square, 96).astype(int)
    assert np.abs(decoded.crop(square, 96)[..., :3] - exact).max() <= 4


def test_pictures_are_the_same_array_while_nothing_changes():
    woken = threading.Event()
    previews, one = Previews(woken.set), photo(disc())
    assert previews.picture(one) is None
    assert woken.wait(10)
    assert previews.picture(one) is previews.picture(one)
    crop = previews.crop(one, 64)
    assert crop is previews.crop(replace(one, name="other"), 64)
    assert crop is not previews.crop(replace(one, alignment=AFTER), 64)
    for look in ("tint", "cut out", "matte"):
        assert previews.look(one, look) is previews.look(one, look)


def test_the_same_picture_twice_has_a_small_one_for_each_way_it_is_set_up():
    ways = (photo(disc()), photo(disc(), alignment=AFTER))
    woken = threading.Event()
    previews = Previews(woken.set)
    for twin, way in enumerate(ways):
        woken.clear()
        previews.thumbnail(way, 32, twin)
        assert woken.wait(10)
    small = [previews.thumbnail(way, 32, twin) for twin, way in enumerate(ways)]
    assert not np.array_equal(*small)
    for _ in range(3):
        again = [previews.thumbnail(way, 32, twin) for twin, way in enumerate(ways)]
        assert all(now is before for now, before in zip(again, small, strict=True))


def test_a_painted_matte_is_the_same_stroke_by_stroke_as_at_once():
    strokes = tuple(
        Stroke(((0.2, 0.1 * i), (0.8, 0.1 * i)), 0.04, adds=i % 2 == 0) for i in range(1, 6)
    )
    at_once, whole = Previews(), photo(disc(), strokes)
    by_and_by, growing = Previews(), photo(disc())
    for stroke in strokes:
        for end in (1, 2):  # the hand goes on
            begun = replace(stroke, path=stroke.path[:end])
            growing = replace(growing, strokes=(*growing.strokes[: strokes.index(stroke)], begun))
            painted = by_and_by.matte(growing)
    assert growing.strokes == strokes
    assert np.allclose(painted, at_once.matte(whole), atol=1e-6)
    undone = replace(growing, strokes=strokes[:2])
    assert np.allclose(by_and_by.matte(undone), at_once.matte(undone), atol=1e-6)


def test_a_damaged_photo_is_a_sentence():
    woken = threading.Event()
    previews, broken = Previews(woken.set), Photo("a.jpg", b"no picture")
    previews.picture(broken)
    assert woken.wait(10)
    assert previews.picture(broken) is None
    assert "a.jpg" in previews.problem(broken)
    woken.clear()
    previews.thumbnail(broken, 32)
    assert woken.wait(10)
    assert previews.thumbnail(broken, 32).shape == (32, 32, 4)


def test_a_matte_is_laid_over_red_and_over_a_checker():
    crop = np.full((48, 48, 4), 200, np.uint8)
    matte = np.zeros((48, 48), np.uint8)
    matte[:, :24] = 255
    tint = tinted(matte)
    assert tint[0, 0, 3] == 0
    assert tint[0, 40, 3] > 100
    mixed = over_checker(crop, matte)
    assert (mixed[:, :24, :3] == 200).all()
    assert len(np.unique(mixed[:, 24:, 0])) == 2
    assert (mixed[..., 3] == 255).all()


def test_a_frame_is_shown_opaque_and_no_larger_than_asked():
    frame = np.zeros((30, 80, 3), np.uint8)
    frame[..., 2] = 9
    shown = as_rgba(frame, 40)
    assert shown.shape == (15, 40, 4)
    assert (shown[..., 2] == 9).all()
    assert (shown[..., 3] == 255).all()


def test_the_generic_head_is_even_from_the_front_and_turns_with_the_camera():
    front = Alignment((0.0, 0.0), 1.0)
    outline, midline, *_ = (np.array(line) for line in head_lines(front))
    assert outline[:, 0].min() == pytest.approx(-outline[:, 0].max(), abs=1e-3)
    assert np.abs(midline[:, 0]).max() < 1e-6
    nose = np.array(guess_points(replace(front, yaw=0.4)))[2]
    turned = np.array(head_lines(replace(front, yaw=0.4))[1])
    assert nose[0] < -0.05, "seen from its left, a face looks to the left of the picture"
    assert turned[len(turned) // 2, 0] < -0.05


def test_the_far_side_of_the_generic_head_is_not_drawn():
    lines = head_lines(Alignment((0.0, 0.0), 1.0, yaw=math.radians(60)))
    outline = np.array(lines[0])
    for line in lines[1:]:
        inside = np.array(line)
        assert inside[:, 0].min() >= outline[:, 0].min() - 1e-3
        assert inside[:, 0].max() <= outline[:, 0].max() + 1e-3
