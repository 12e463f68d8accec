"""Finding faces in a photo: the astronaut of scikit-image, and pictures made of her."""

import math
from functools import cache

import cv2
import numpy as np
import pytest
import torch
from skimage.data import astronaut

from inversion.alignment import Alignment
from inversion.crop import cut
from inversion.faces import find_faces, how_it_lies, one_thread, refine_face
from inversion.pose import align

# Where her eyes, nose and mouth are, read off the picture; px.
MARKS = [(205, 101.5), (247, 104), (224.5, 129.5), (202.5, 139.5), (245.5, 142)]


@pytest.fixture(autouse=True)
def without_mediapipe(monkeypatch):
    """Whoever runs these tests may have it."""
    monkeypatch.setattr("inversion.faces.find_meshes", lambda pixels: [])


@cache
def portrait():
    return astronaut()


@cache
def found():
    faces = find_faces(portrait())
    return faces, refine_face(portrait(), faces[0])


def beside(*pictures):
    """Put pictures into one row. [H, W, 3]"""
    height = max(len(picture) for picture in pictures)
    padded = [
        cv2.copyMakeBorder(p, 0, height - len(p), 0, 0, cv2.BORDER_CONSTANT) for p in pictures
    ]
    return np.hstack(padded)


def shrunk(pixels, scale):
    return cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def test_the_face_of_the_astronaut_is_found_with_its_landmarks():
    faces, refined = found()

    assert len(faces) == 1
    assert faces[0].probability > 0.99
    np.testing.assert_allclose(refined.points, MARKS, atol=3)
    left, top, right, bottom = faces[0].box
    assert left < 202 < 247 < right
    assert top < 101 < 142 < bottom


def test_her_square_and_camera_are_those_that_were_measured():
    alignment = align(found()[1].points)

    assert alignment.centre == pytest.approx((224.8, 111.9), abs=0.02 * 191)
    assert alignment.side == pytest.approx(191, rel=0.02)
    assert math.degrees(alignment.yaw) == pytest.approx(-0.3, abs=2)
    assert math.degrees(alignment.pitch) == pytest.approx(11.3, abs=2)
    assert math.degrees(alignment.angle) == pytest.approx(3.2, abs=2)
    assert math.degrees(alignment.roll) == pytest.approx(0, abs=2)


def test_her_mirror_image_is_aligned_as_the_mirror_image():
    one = align(found()[1].points)
    pixels = np.ascontiguousarray(portrait()[:, ::-1])

    other = align(refine_face(pixels, find_faces(pixels)[0]).points)

    assert other.centre[0] == pytest.approx(512 - one.centre[0], abs=2)
    assert other.centre[1] == pytest.approx(one.centre[1], abs=2)
    assert other.yaw == pytest.approx(-one.yaw, abs=math.radians(2))
    assert other.angle == pytest.approx(-one.angle, abs=math.radians(1.5))


def test_her_own_crop_is_aligned_to_itself():
    alignment = align(found()[1].points)
    crop = cut(portrait(), alignment, 512)

    again = align(refine_face(crop, find_faces(crop)[0]).points)

    assert again.centre == pytest.approx((256, 256), abs=0.02 * 512)
    assert again.side == pytest.approx(512, rel=0.03)
    assert again.yaw == pytest.approx(alignment.yaw, abs=math.radians(2))
    assert again.pitch == pytest.approx(alignment.pitch, abs=math.radians(2))


def test_a_large_photo_gives_landmarks_in_its_own_pixels():
    large = cv2.resize(portrait(), None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)

    face = find_faces(large)[0]

    np.testing.assert_allclose(face.points, 4 * np.array(MARKS), atol=4 * 5)


def test_of_several_faces_all_are_found_and_the_largest_comes_first():
    head = portrait()[:260, 90:350]
    picture = beside(shrunk(head, 0.5), head, shrunk(head, 0.6))

    faces = find_faces(picture)

    assert len(faces) == 3
    assert faces[0].side == max(face.side for face in faces)
    assert 130 < faces[0].points[2][0] < 390


def test_ten_faces_are_all_found():
    head = shrunk(portrait()[:260, 90:350], 0.6)

    row = beside(*[head] * 5)

    assert len(find_faces(np.vstack([row, row]))) == 10


def test_of_faces_of_one_size_the_central_one_comes_first():
    head = shrunk(portrait()[:260, 90:350], 0.7)

    faces = find_faces(beside(head, head, head))

    assert len(faces) == 3
    assert len(head[0]) < faces[0].points[2][0] < 2 * len(head[0])


def test_a_blank_picture_and_noise_have_no_face():
    random = np.random.RandomState(0)

    assert find_faces(np.zeros((64, 900, 3), np.uint8)) == ()
    assert find_faces(random.randint(0, 256, (300, 300, 3)).astype(np.uint8)) == ()
    assert find_faces(np.full((1, 1, 3), 200, np.uint8)) == ()


@pytest.mark.parametrize(("quarters", "how"), [(1, "on its side"), (2, "upside down")])
def test_a_picture_that_lies_is_told(quarters, how):
    lying = np.ascontiguousarray(np.rot90(portrait(), quarters))

    assert find_faces(lying) == ()
    assert how_it_lies(lying) == how


def test_a_face_that_only_the_mesh_sees_is_found(monkeypatch):
    mesh = np.random.RandomState(2).rand(478, 2) * [80, 100] + [30, 40]
    for vertex, mark in zip((468, 473, 1, 61, 291), MARKS, strict=True):
        mesh[vertex] = mark
    monkeypatch.setattr("inversion.faces.find_meshes", lambda pixels: [mesh])

    (face,) = find_faces(np.zeros((300, 300, 3), np.uint8))

    assert face.points == tuple((float(x), float(y)) for x, y in MARKS)
    assert face.box == (*mesh.min(axis=0), *mesh.max(axis=0))


def test_the_mesh_is_asked_only_for_faces_that_were_missed(monkeypatch):
    def must_not(pixels):
        raise AssertionError

    monkeypatch.setattr("inversion.faces.find_meshes", must_not)

    assert len(find_faces(portrait())) == 1


def test_a_face_that_the_second_look_misses_stays_as_it_was():
    face = found()[0][0]

    assert refine_face(np.zeros((512, 512, 3), np.uint8), face) == face


def test_the_detector_gives_torch_its_threads_back():
    before = torch.get_num_threads()

    def fail():
        with one_thread():
            during.append(torch.get_num_threads())
            raise ZeroDivisionError

    during = []
    with pytest.raises(ZeroDivisionError):
        fail()

    assert during == [1]
    assert torch.get_num_threads() == before


def test_a_square_beyond_the_photo_still_shows_its_face():
    # A portrait cut off at the forehead.
    close = np.ascontiguousarray(portrait()[85:, 90:350])
    face = find_faces(close)[0]

    alignment = align(refine_face(close, face).points)

    assert isinstance(alignment, Alignment)
    assert alignment.centre == pytest.approx((134.8, 26.9), abs=0.04 * 191)
