"""Small pictures become textures once, and the oldest go when there are too many."""

import numpy as np
import pytest

from splatviz_app.textures import Textures


def picture(value=0):
    return np.full((2, 3, 4), value, np.uint8)


def upload(textures, first=1):
    """What the window does in a frame; names count up from `first`."""
    stale = textures.next_frame()
    for name, pixels in enumerate(textures.missing(), first):
        textures.bring(pixels, name)
    return stale


def test_a_picture_has_a_texture_from_the_next_frame_on():
    textures, one, same = Textures(), picture(), picture()
    assert textures.of(one) == 0
    assert textures.of(same) == 0
    assert [pixels is one for pixels in textures.missing()] == [True, False]
    upload(textures, first=7)
    assert (textures.of(one), textures.of(same)) == (7, 8)
    assert textures.missing() == []
    assert textures.clear() == [7, 8]
    assert textures.of(one) == 0


def test_those_not_asked_for_longest_go_first_and_those_that_are_shown_stay():
    textures = Textures(capacity=2)
    pictures = [picture(i) for i in range(4)]
    for i, pixels in enumerate(pictures[:2]):
        textures.of(pixels)
        assert upload(textures, first=i + 1) == []
    textures.of(pictures[0])
    textures.of(pictures[2])
    assert upload(textures, first=3) == [2]
    shown = pictures[:3]
    for pixels in shown:  # more than the capacity, but all in sight
        textures.of(pixels)
    assert upload(textures, first=4) == []
    for pixels in shown:
        assert textures.of(pixels) != 0
    textures.next_frame()
    textures.of(pictures[3])
    assert len(textures.next_frame()) == 2


def test_only_pictures_are_taken():
    with pytest.raises(AssertionError):
        Textures().of(np.zeros((2, 3, 3), np.uint8))
    with pytest.raises(AssertionError):
        Textures().of(np.zeros((2, 3, 4), np.float32))


def test_large_pictures_go_before_there_are_many():
    textures = Textures(budget=60)  # two of 24 bytes, not three
    gone = []
    for name in range(1, 6):  # as those of a picture that follows the hand
        textures.of(picture(name))
        gone += upload(textures, first=name)
    assert gone == [1, 2, 3]
