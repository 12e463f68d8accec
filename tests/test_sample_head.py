"""The bundled head opens, sits where heads sit, and reads as a head from every side."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from renderer.camera import OrbitRig
from renderer.formats import read_head
from renderer.formats.ply import inspect_ply
from renderer.rasterize import rasterize
from renderer.rotations import quat_to_matrix
from renderer.spherical_harmonics import dc_to_rgb

ROOT = Path(__file__).parents[1]
PATH = ROOT / "examples" / "sample_head.ply"
SIDE = 128  # px


@pytest.fixture(scope="module")
def head():
    return read_head(PATH)


def seen(head, yaw=0.0, pitch=0.0):
    rig = OrbitRig(yaw=yaw, pitch=pitch)
    return rasterize(head, rig.camera(), (SIDE, SIDE), background=torch.tensor([0.0, 1.0, 0.0]))


def patch(picture, x, y):
    """Mean colour of a small square in the middle of which `x`, `y` are shares of the picture."""
    column, row = int(x * SIDE), int(y * SIDE)
    return picture[:, row - 2 : row + 3, column - 2 : column + 3].mean((1, 2))


def test_it_opens_and_is_small_enough_to_bundle(head):
    assert PATH.stat().st_size <= 5_000_000
    assert 60_000 < head.count < 75_000
    assert head.sh_degree == 0
    assert bool(head.finite().all())


def test_it_sits_where_the_generators_heads_sit(head):
    low, high = head.means.min(0).values, head.means.max(0).values

    assert (low > -0.5).all()
    assert (high < 0.5).all()
    assert 0.22 < high[1] < 0.32  # the top of the hair
    assert low[1] < -0.32  # the shirt leaves the picture at the bottom
    face = head.means[(head.means[:, 0].abs() < 0.02) & (head.means[:, 1].abs() < 0.05)]
    assert 0.16 < face[:, 2].max() < 0.2  # the nose
    assert head.scales.max() < 0.05


def test_no_splat_floats_alone(head):
    cells = np.floor(head.means.numpy() / 0.02).astype(int) + 100  # 1 cm
    key = (cells[:, 0] * 200 + cells[:, 1]) * 200 + cells[:, 2]
    keys, counts = np.unique(key, return_counts=True)
    number = dict(zip(keys.tolist(), counts.tolist(), strict=True))
    steps = [(a * 200 + b) * 200 + c for a, b, c in itertools.product((-1, 0, 1), repeat=3)]

    around = [sum(number.get(k + step, 0) for step in steps) for k in keys.tolist()]

    assert min(around) >= 5


def test_splats_of_the_face_lie_flat_on_it(head):
    forehead = (head.means[:, 0].abs() < 0.05) & (head.means[:, 1] - 0.12).abs().lt(0.02)
    forehead &= head.means[:, 2] > 0.1
    splats = head.select(forehead)
    normals = quat_to_matrix(splats.quats)[:, :, 2]

    assert splats.count > 200
    assert (splats.scales[:, 2] <= splats.scales.min(-1).values).all()
    assert normals[:, 2].median() > 0.75


def test_from_the_front_a_face_fills_the_middle(head):
    front = seen(head)

    face = front.alpha[int(0.3 * SIDE) : int(0.7 * SIDE), int(0.38 * SIDE) : int(0.62 * SIDE)]
    assert face.min() > 0.95
    assert front.alpha[: SIDE // 3, : SIDE // 8].max() < 0.01
    assert front.alpha[: SIDE // 3, -SIDE // 8 :].max() < 0.01
    assert 0.35 < front.alpha.mean() < 0.65


def test_the_two_halves_have_about_the_same_outline(head):
    solid = seen(head).alpha > 0.5
    both, either = solid & solid.flip(-1), solid | solid.flip(-1)

    assert both.sum() / either.sum() > 0.93


def test_skin_hair_lips_eyes_and_shirt_have_their_own_colours(head):
    front = seen(head).color
    cheek, hair, shirt = patch(front, 0.4, 0.55), patch(front, 0.45, 0.13), patch(front, 0.5, 0.96)
    lips, chin = patch(front, 0.503, 0.62), patch(front, 0.5, 0.72)

    assert cheek[0] > cheek[1] > cheek[2]
    assert (cheek - hair).min() > 0.15  # hair is darker in every channel
    assert hair[0] > hair[2]
    assert shirt[2] > shirt[0] + 0.1  # the shirt is blue
    assert lips[0] - lips[1] > chin[0] - chin[1] + 0.03  # lips are redder than the chin
    eyes = front[:, int(0.39 * SIDE) : int(0.44 * SIDE), int(0.36 * SIDE) : int(0.45 * SIDE)].mean(
        0
    )
    assert eyes.min() < 0.35  # a pupil …
    assert eyes.max() - eyes.min() > 0.3  # … and something light beside it


def test_the_face_looks_to_plus_z_and_the_back_is_hair(head):
    back, top = seen(head, yaw=np.pi).color, seen(head, pitch=1.3).color
    hair = patch(seen(head).color, 0.45, 0.13)

    for picture, x, y in ((back, 0.5, 0.3), (back, 0.5, 0.5), (top, 0.5, 0.4)):
        assert (patch(picture, x, y) - hair).abs().max() < 0.2


@pytest.mark.parametrize(
    ("yaw", "pitch"),
    [(0, 0), (0.65, 0.1), (1.5, 0), (-1.5, 0.2), (2.4, 0.3), (np.pi, 0), (0.3, 1.4), (-0.4, 0.2)],
)
def test_nothing_shows_through(head, yaw, pitch):
    assert_no_holes(head, yaw, pitch)


def test_a_hole_would_be_found(head):
    for middle, radius, yaw, pitch in (
        ((0.09, 0.0, 0.105), 0.02, 0.65, 0.1),  # a cheek, above the inside of the mouth
        ((0, 0.25, -0.05), 0.06, 0.3, 1.4),  # the crown
        ((0, 0.05, -0.23), 0.05, np.pi, 0),  # the back
    ):
        far = (head.means - torch.tensor(middle)).norm(dim=1) > radius
        with pytest.raises(AssertionError):
            assert_no_holes(head.select(far), yaw, pitch)


def assert_no_holes(head, yaw, pitch):
    """The near half of the head alone, without the bust, hides all that is behind it."""
    head = head.select(head.means[:, 1] > -0.2)
    toward = torch.tensor(OrbitRig(yaw=yaw, pitch=pitch).offset)
    near = head.select((head.means - torch.tensor([0, 0, -0.06])) @ toward > -0.03)

    # Walk in from the picture's edges over what is empty; what cannot be reached is the head.
    empty = (seen(head, yaw, pitch).alpha < 0.5).float()[None, None]
    outside = torch.nn.functional.pad(torch.zeros_like(empty), (1,) * 4, value=1.0)
    for _ in range(SIDE):
        outside[..., 1:-1, 1:-1] = torch.nn.functional.max_pool2d(outside, 3, 1) * empty
    # Leave four pixels of soft edge.
    solid = torch.nn.functional.max_pool2d(outside[..., 1:-1, 1:-1], 9, 1)[0, 0] == 0

    assert solid.sum() > 0.15 * SIDE * SIDE
    alpha = seen(near, yaw, pitch).alpha[4:-4, 4:-4]
    assert alpha[solid].min() > 0.95, alpha[solid].min()


def test_colours_are_displayable(head):
    colors = dc_to_rgb(head.sh[:, 0])

    assert colors.min() > -1e-5
    assert colors.max() < 1 + 1e-5


def test_its_origin_is_credited_in_the_file_and_in_the_notice():
    assert "ICT-FaceKit" in str(inspect_ply(PATH).note["derived from"])
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    assert "Copyright (c) 2020 USC Institute for Creative Technologies" in notice
    assert "The above copyright notice and this permission notice shall be included" in notice
