"""Mattes: heads whose outline is known are cut out, strokes obey their laws, each method has its sentence."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest
import skimage.data

from inversion import matting, modnet, weights
from inversion.crop import cut, to_crop
from inversion.errors import InversionError
from inversion.guided_filter import guided
from inversion.matting import available_methods, matte, with_strokes
from inversion.photo import Stroke
from inversion.pose import align
from renderer.errors import CheckpointError

# What MTCNN finds in scikit-image's astronaut, px.
ASTRONAUT = ((205.0, 102.0), (247.0, 104.0), (225.0, 129.0), (202.0, 139.0), (245.0, 142.0))
# Where a head that looks ahead has them, in sides of the crop.
POINTS = np.array([(0.40, 0.42), (0.60, 0.42), (0.50, 0.53), (0.42, 0.62), (0.58, 0.62)])


@pytest.fixture(autouse=True)
def nothing_but_grabcut(tmp_path, monkeypatch):
    """Weights and libraries of the computer that the tests run on must not decide."""
    monkeypatch.setenv(weights.VARIABLE, str(tmp_path))
    monkeypatch.setattr(matting, "has_selfie_model", lambda: False)


def drawn_head(side, seed=0, hair=(70, 45, 30), back=(90, 140, 170)):
    """A head with hair, neck and shoulders before a mottled wall, and the mask of it."""
    rng = np.random.RandomState(seed)

    def mottled(color):
        coarse = rng.normal(0, 12, (side // 8, side // 8, 3)).astype(np.float32)
        return (
            np.asarray(color) + cv2.resize(coarse, (side, side)) + rng.normal(0, 4, (side, side, 3))
        )

    def shape(draw):
        canvas = np.zeros((side, side), np.uint8)
        draw(canvas)
        return canvas > 0

    def px(x, y):
        return round(x * side), round(y * side)

    head = shape(lambda c: cv2.ellipse(c, px(0.5, 0.43), px(0.22, 0.30), 0, 0, 360, 255, -1))
    face = shape(lambda c: cv2.ellipse(c, px(0.5, 0.50), px(0.17, 0.23), 0, 0, 360, 255, -1))
    neck = shape(lambda c: cv2.rectangle(c, px(0.41, 0.65), px(0.59, 0.90), 255, -1))
    body = shape(lambda c: cv2.ellipse(c, px(0.5, 1.05), px(0.42, 0.22), 0, 0, 360, 255, -1))
    picture = mottled(back)
    for mask, color in (
        (neck, (200, 150, 130)), (body, (40, 60, 40)), (head, hair), (face, (210, 165, 140)),
    ):  # fmt: skip
        picture = np.where(mask[..., None], mottled(color), picture)
    for x, y in POINTS[:2]:
        cv2.circle(picture, px(x, y), side // 50, (30, 30, 40), -1)
    return np.clip(picture, 0, 255).astype(np.uint8), head | face | neck | body


@cache
def found_in_the_drawn_head():
    """The matte of the drawn head at 256 px, and the truth."""
    picture, truth = drawn_head(256)
    return matte(picture, POINTS), truth


def with_strands(picture, truth):
    """Let strands of hair of 1 to 3 px stand out from a drawn head of 512 px: soft-edged truth."""
    rng = np.random.RandomState(1)
    strands = np.zeros((2048, 2048), np.uint8)  # at four times the size, for soft edges
    for angle in rng.uniform(-np.pi, 0, 400):
        root = np.array([0.5 + 0.21 * np.cos(angle), 0.43 + 0.29 * np.sin(angle)])
        tip = root + rng.uniform(0.02, 0.06) * np.array([np.cos(angle), np.sin(angle)])
        ends = np.array([root, tip + rng.normal(0, 0.015, 2)]) * 2048
        cv2.polylines(strands, [ends.astype(np.int32)], False, 255, int(rng.randint(4, 12)))
    cover = cv2.resize(strands, (512, 512), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    cover = np.where(truth, 0, cover)
    hair = np.array([70, 45, 30])
    mixed = picture + cover[..., None] * (hair - picture.astype(np.float32))
    return np.rint(mixed).astype(np.uint8), np.maximum(truth, cover)


def overlap(found, truth):
    """Intersection over union."""
    found, truth = found > 0.5, truth > 0.5
    return (found & truth).sum() / (found | truth).sum()


# ---- GrabCut


@pytest.mark.parametrize("side", [160, 256, 517])
def test_a_drawn_head_is_cut_out_at_any_size(side):
    picture, truth = drawn_head(side)

    found = matte(picture, POINTS)

    assert found.shape == (side, side)
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() == 1
    # Seeds alone reach 0.73; at 160 px a border that is half a pixel off costs 0.015.
    assert overlap(found, truth) > 0.99


def test_strands_of_hair_are_followed():
    picture, truth = with_strands(*drawn_head(512))

    found = matte(picture, POINTS)

    strands = (truth > 0.5) & ~drawn_head(512)[1]
    wall = np.zeros_like(strands)
    wall[:60] = truth[:60] == 0  # above them all
    assert found[strands].mean() > 0.75
    assert found[wall].mean() < 0.01
    # A mask found at 256 px and enlarged is wrong by 0.022: half of that lies between the strands.
    assert np.abs(found - truth).mean() < 0.013


def test_a_head_with_hair_in_the_walls_color_keeps_its_face():
    picture, truth = drawn_head(256, hair=(95, 135, 160))  # nearly the wall's

    found = matte(picture, POINTS)

    face = np.zeros((256, 256), np.uint8)
    cv2.ellipse(face, (128, 128), (43, 58), 0, 0, 360, 255, -1)
    assert (found[face > 0] > 0.5).mean() > 0.99
    assert overlap(found, truth) > 0.9


def test_the_same_crop_gives_the_same_matte():
    first, _ = found_in_the_drawn_head()
    cv2.setRNGSeed(7)

    assert np.array_equal(matte(drawn_head(256)[0], POINTS), first)


def test_a_mirrored_crop_gives_the_mirrored_matte():
    picture, _ = drawn_head(256)
    mirrored = POINTS[[1, 0, 2, 4, 3]] * [-1, 1] + [1, 0]

    found = matte(picture[:, ::-1], mirrored)

    # GrabCut's mixtures are found by sampling: not bit for bit.
    assert overlap(found, found_in_the_drawn_head()[0][:, ::-1]) > 0.99


def test_small_holes_are_filled_and_specks_removed():
    picture, _ = drawn_head(256)
    picture[100:112, 120:132] = (90, 140, 170)  # a patch of wall on the forehead
    picture[20:30, 20:30] = (70, 45, 30)  # a speck of hair on the wall

    found = matte(picture, POINTS)

    assert found[100:112, 120:132].min() > 0.5
    assert found[20:30, 20:30].max() < 0.5


def test_the_astronaut_is_cut_out():
    alignment = align(ASTRONAUT, "ffhqc")
    crop = cut(skimage.data.astronaut(), alignment, 512)

    found = matte(crop, to_crop(alignment, ASTRONAUT))

    def at(x, y):
        return found[round(y * 512), round(x * 512)]

    assert min(at(0.5, 0.3), at(0.5, 0.5), at(0.5, 0.7), at(0.5, 0.85)) == 1  # hair to neck
    assert max(at(0.02, 0.02), at(0.98, 0.02), at(0.02, 0.5), at(0.98, 0.5)) == 0  # the wall
    # Hair and ear against the wall; the matte of mediapipe's selfie model agrees by 0.98.
    assert 0.55 < found.mean() < 0.68


def test_landmarks_without_extent_are_refused():
    picture, _ = drawn_head(128)

    with pytest.raises(InversionError, match="lie on one another"):
        matte(picture, np.full((5, 2), 0.5))


def test_landmarks_beside_the_crop_are_refused_not_a_crash():
    picture, _ = drawn_head(128)

    with pytest.raises(InversionError, match="No head was found"):
        matte(picture, POINTS + np.array([3, 0]))


# ---- the other methods


def test_the_pictures_own_alpha_comes_first():
    picture, truth = drawn_head(128)
    alpha = np.where(truth, 200, 0).astype(np.uint8)

    found = matte(np.dstack([picture, alpha]), POINTS)

    assert available_methods(has_alpha=True) == ("file", "grabcut")
    assert np.array_equal(found, alpha.astype(np.float32) / 255)


def test_an_alpha_of_something_else_is_not_taken_unasked():
    picture, truth = drawn_head(128)
    crop = np.dstack([picture, np.where(truth, 0, 255).astype(np.uint8)])  # inside out

    assert overlap(matte(crop, POINTS), truth) > 0.9
    with pytest.raises(InversionError, match="No head was found"):
        matte(crop, POINTS, "file")


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ("file", "no transparency of its own"),
        ("modnet", "put it into"),
        ("selfie", "comes with mediapipe"),
    ],
)
def test_a_method_that_is_not_here_says_what_it_needs(method, says):
    picture, _ = drawn_head(128)

    assert method not in available_methods()
    with pytest.raises(InversionError, match=says):
        matte(picture, POINTS, method)


def test_a_coarse_mask_is_drawn_to_the_outline(monkeypatch):
    picture, truth = drawn_head(256)
    coarse = cv2.GaussianBlur(np.roll(truth, 5, axis=1).astype(np.float32), (0, 0), 6)
    monkeypatch.setattr(matting, "has_selfie_model", lambda: True)
    monkeypatch.setattr(matting, "selfie_mask", lambda crop: coarse)

    found = matte(picture, POINTS, "selfie")

    assert available_methods() == ("selfie", "grabcut")
    assert overlap(found, truth) > 0.99 > 0.92 > overlap(coarse, truth)


def test_a_selfie_model_that_sees_nobody_is_passed_over_unless_it_was_chosen(monkeypatch):
    picture, _ = drawn_head(256)
    monkeypatch.setattr(matting, "has_selfie_model", lambda: True)
    monkeypatch.setattr(matting, "selfie_mask", lambda crop: np.zeros((256, 256), np.float32))

    assert np.array_equal(matte(picture, POINTS), found_in_the_drawn_head()[0])  # GrabCut's
    with pytest.raises(InversionError, match="No head was found"):
        matte(picture, POINTS, "selfie")


# ---- MODNet: the tiny graphs below are of its interface, not of its layers


def field(number, content):
    """A protobuf field: text and bytes with their length, whole numbers as they are."""
    if isinstance(content, int):
        return bytes([number << 3]) + varint(content)
    content = content.encode() if isinstance(content, str) else content
    return bytes([number << 3 | 2]) + varint(len(content)) + content


def varint(number):
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + varint(number >> 7)


def value(name, shape):
    """A ValueInfoProto of floats; a size that is text is open."""
    dims = b"".join(field(1, field(2 if isinstance(n, str) else 1, n)) for n in shape)
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, dims)))


def tiny_graph(red, shape=("batch", 3, "height", "width"), kind="Sigmoid"):
    """An ONNX model: a 1x1 convolution that only sees `red` of red, then a sigmoid."""
    kernel = np.array([red, 0, 0], "<f4").tobytes()
    sizes = b"".join(field(1, n) for n in (1, 3, 1, 1))
    tensor = sizes + field(2, 1) + field(8, "kernel") + field(9, kernel)
    convolve = field(1, "input") + field(1, "kernel") + field(2, "sum") + field(4, "Conv")
    squash = field(1, "sum") + field(2, "output") + field(4, kind)
    graph = field(1, convolve) + field(1, squash) + field(2, "tiny") + field(5, tensor)
    graph += field(11, value("input", shape)) + field(
        12, value("output", (shape[0], 1, *shape[2:]))
    )
    return field(1, 6) + field(7, graph) + field(8, field(2, 11))


def put(monkeypatch, folder, content):
    """Let `content` be the published file, and put it where it is looked for."""
    digest = hashlib.sha256(content).hexdigest()
    file = replace(weights.MODNET, sha256=digest, size_bytes=len(content))
    monkeypatch.setattr(modnet, "_FILES", (file, weights.MODNET_EXPORT))
    (folder / file.name).write_bytes(content)
    return folder / file.name


def test_a_network_of_modnets_interface_is_run(tmp_path, monkeypatch):
    put(monkeypatch, tmp_path, tiny_graph(red=3.0))
    picture = np.full((96, 96, 3), (0, 255, 255), np.uint8)
    picture[24:80, 24:72] = (255, 0, 0)

    found = matte(picture, POINTS)

    assert available_methods() == ("modnet", "grabcut")
    assert found.shape == (96, 96)
    inside, outside = 1 / (1 + np.exp(-3)), 1 / (1 + np.exp(3))  # of red 1 and -1
    assert found[30:70, 30:66] == pytest.approx(inside, abs=1e-5)
    assert found[:20] == pytest.approx(outside, abs=1e-5)


def test_an_open_shape_of_the_input_is_fixed_and_nothing_else_changes():
    model = modnet.with_input_shape(tiny_graph(red=2.0), (1, 3, 512, 512))

    shape = value("input", (1, 3, 512, 512))
    assert field(11, shape) in model
    again = modnet.with_input_shape(model, (1, 3, 512, 512))
    assert again == model
    # The output stays as it was: compare with a graph whose input alone is fixed.
    network = cv2.dnn.readNetFromONNX(np.frombuffer(model, np.uint8))
    network.setInput(np.ones((1, 3, 512, 512), np.float32))
    assert network.forward() == pytest.approx(1 / (1 + np.exp(-2)), abs=1e-5)


def test_a_graph_that_opencv_cannot_run_says_so(tmp_path, monkeypatch):
    put(monkeypatch, tmp_path, tiny_graph(red=2.0, kind="NoSuchLayer"))
    picture, truth = drawn_head(128)

    assert overlap(matte(picture, POINTS), truth) > 0.9  # GrabCut's
    with pytest.raises(InversionError, match=r"cannot run modnet_photographic\.onnx"):
        matte(picture, POINTS, "modnet")


def test_another_file_under_modnets_name_is_not_run(tmp_path, monkeypatch):
    path = put(monkeypatch, tmp_path, tiny_graph(red=2.0))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    picture, _ = drawn_head(128)

    with pytest.raises(CheckpointError, match="is not the published"):
        matte(picture, POINTS)


# ---- the guided filter


def test_a_blurred_mask_takes_the_edge_of_its_picture():
    truth = np.zeros((64, 64), np.float32)
    truth[:, 30:] = 1
    picture = np.where(truth[..., None] > 0, (180, 120, 90), (60, 80, 140)).astype(np.uint8)
    mask = cv2.GaussianBlur(truth, (0, 0), 3)

    found = guided(picture, mask, radius=8, tolerance=1e-4)

    # The ends of the blur reach beyond the window and stay.
    assert np.abs(found - truth).max() < 0.2 < 0.4 < np.abs(mask - truth).max()
    assert (found[:, 30] - found[:, 29]).min() > 0.6 > 0.2 > (mask[:, 30] - mask[:, 29]).max()


def test_a_mask_without_edges_and_a_picture_without_edges_change_nothing():
    picture, truth = drawn_head(64)
    flat = np.full((64, 64, 3), 90, np.uint8)

    even = guided(picture, np.full((64, 64), 0.25, np.float32), radius=4, tolerance=1e-4)
    blurred = guided(flat, truth.astype(np.float32), radius=4, tolerance=1e-4)

    assert even == pytest.approx(0.25, abs=1e-3)
    twice = cv2.blur(cv2.blur(truth.astype(np.float32), (9, 9)), (9, 9))
    assert blurred[8:-8, 8:-8] == pytest.approx(twice[8:-8, 8:-8], abs=1e-3)


# ---- strokes


def line(*path, radius=0.1, adds=True):
    return Stroke(tuple(path), radius, adds)


EMPTY, FULL = np.zeros((50, 50), np.float32), np.ones((50, 50), np.float32)


def test_no_strokes_leave_a_matte_as_it_is():
    before = np.random.RandomState(0).rand(50, 50).astype(np.float32)

    after = with_strokes(before, ())

    assert np.array_equal(after, before)
    assert after is not before


def test_strokes_do_not_change_the_matte_that_they_are_given():
    before = EMPTY.copy()

    with_strokes(before, [line((0.5, 0.5))])

    assert before.max() == 0


def test_a_dot_covers_the_area_of_its_disc():
    found = with_strokes(EMPTY, [line((0.5, 0.5), radius=0.2)])

    assert found[25, 25] == 1
    assert found.sum() == pytest.approx(np.pi * 10**2, rel=0.01)  # px; edges are antialiased


def test_a_line_covers_a_bar_with_round_ends():
    found = with_strokes(EMPTY, [line((0.3, 0.5), (0.7, 0.5), radius=0.1)])

    assert found.sum() == pytest.approx(20 * 10 + np.pi * 5**2, rel=0.01)
    assert np.array_equal(found, found[::-1])
    assert np.array_equal(found, found[:, ::-1])


def test_a_stroke_out_of_two_is_the_union_of_both():
    path = (0.2, 0.3), (0.6, 0.7), (0.9, 0.2)

    whole = with_strokes(EMPTY, [line(*path)])
    parts = with_strokes(EMPTY, [line(*path[:2]), line(*path[1:])])

    assert np.array_equal(whole, parts)


def test_the_same_stroke_twice_is_the_same_as_once():
    stroke = line((0.2, 0.3), (0.6, 0.7))

    assert np.array_equal(with_strokes(EMPTY, [stroke] * 2), with_strokes(EMPTY, [stroke]))


def test_the_last_stroke_wins_where_two_cross():
    adding, removing = line((0.1, 0.5), (0.9, 0.5)), line((0.5, 0.1), (0.5, 0.9), adds=False)

    assert with_strokes(EMPTY, [adding, removing])[25, 25] == 0
    assert with_strokes(EMPTY, [removing, adding])[25, 25] == 1


def test_what_is_added_and_removed_again_is_gone():
    adding, removing = line((0.3, 0.4), (0.6, 0.7)), line((0.3, 0.4), (0.6, 0.7), adds=False)
    cover = with_strokes(EMPTY, [adding])

    found = with_strokes(EMPTY, [adding, removing])

    assert found[cover == 1].max() == 0
    assert found.max() <= 0.5  # of the antialiased edge


def test_removing_is_adding_to_the_negative():
    before = np.random.RandomState(0).rand(50, 50).astype(np.float32)
    path = (0.2, 0.3), (0.6, 0.7)

    removed = with_strokes(before, [line(*path, adds=False)])

    assert removed == pytest.approx(1 - with_strokes(1 - before, [line(*path)]), abs=1e-6)


def test_a_mirrored_stroke_paints_the_mirror_image():
    path = (0.2, 0.3), (0.6, 0.7), (0.65, 0.1)
    mirrored = tuple((1 - x, y) for x, y in path)

    found = with_strokes(FULL, [line(*mirrored, adds=False)])

    assert found == pytest.approx(with_strokes(FULL, [line(*path, adds=False)])[:, ::-1], abs=1e-6)


def test_strokes_mean_the_same_at_every_size():
    stroke = line((0.2, 0.3), (0.6, 0.7))

    small = with_strokes(np.zeros((64, 64), np.float32), [stroke])
    large = with_strokes(np.zeros((256, 256), np.float32), [stroke])

    assert modnet.resized(large, 64) == pytest.approx(small, abs=0.3)  # within an edge pixel
    assert large.mean() == pytest.approx(small.mean(), rel=0.005)


@pytest.mark.parametrize(
    "stroke",
    [line(), line((0.5, 0.5), radius=0.0), line((5.0, 5.0)), line((-3.0, 0.5), (-2.0, 0.5))],
)
def test_strokes_of_nothing_and_beside_the_crop_paint_nothing(stroke):
    assert with_strokes(EMPTY, [stroke]).max() == 0


def test_a_stroke_over_the_border_paints_the_part_within():
    found = with_strokes(EMPTY, [line((-0.5, 0.5), (0.2, 0.5))])

    assert found[25, 0] == found[25, 10] == 1
    assert found[25, 20] == 0
