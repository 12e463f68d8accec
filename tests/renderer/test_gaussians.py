"""The container of splats: order, batches, rigid motion, rows that are not numbers."""

import math

import pytest
import torch

from renderer.gaussians import Gaussians, join
from renderer.rotations import quat_to_matrix
from tests.conftest import some_splats

FIELDS = ("means", "log_scales", "quats", "opacity_logits", "sh")


def stacked(*heads):
    return Gaussians(*(torch.stack([getattr(h, name) for h in heads]) for name in FIELDS))


def assert_same(first, second):
    for name in FIELDS:
        assert torch.equal(getattr(first, name), getattr(second, name)), name


def covariances(splats):
    half = quat_to_matrix(splats.quats) * splats.scales[..., None, :]
    return half @ half.mT


def motion(seed=0, scale=1.0):
    """Build a rotation, an even scale and a translation. [4, 4]"""
    draw = torch.Generator().manual_seed(seed)
    matrix = torch.eye(4)
    matrix[:3, :3] = scale * quat_to_matrix(torch.randn(4, generator=draw))
    matrix[:3, 3] = torch.randn(3, generator=draw)
    return matrix


def test_selecting_keeps_the_order():
    head = some_splats(bases=4)
    mask = torch.tensor([True, False, True, True, False, False, True])

    kept = head.select(mask)

    assert kept.count == 4
    for row, splat in enumerate([0, 2, 3, 6]):
        for name in FIELDS:
            assert torch.equal(getattr(kept, name)[row], getattr(head, name)[splat]), name


def test_selecting_in_a_batch_takes_the_same_splats_of_every_head():
    heads = [some_splats(seed=1), some_splats(seed=2)]
    mask = torch.tensor([False, True, True, False, True, False, False])

    kept = stacked(*heads).select(mask)

    assert kept.batch_shape == (2,)
    for index, head in enumerate(heads):
        assert_same(kept[index], head.select(mask))


def test_a_mask_of_another_length_is_refused():
    with pytest.raises(AssertionError):
        some_splats().select(torch.ones(6, dtype=torch.bool))


def test_a_head_of_a_batch_is_the_one_that_was_put_in():
    heads = [some_splats(bases=4, seed=1), some_splats(bases=4, seed=2)]
    batch = stacked(*heads)

    assert batch.count == 7
    assert_same(batch[0], heads[0])
    assert_same(batch[1], heads[1])
    with pytest.raises(AssertionError):
        batch[0][0]


def test_the_pieces_of_a_head_joined_are_the_head():
    head = some_splats(bases=9)
    first = torch.arange(7) < 3

    assert_same(join([head.select(first), head.select(~first)]), head)


def test_batches_are_joined_head_by_head():
    left = stacked(some_splats(3, seed=1), some_splats(3, seed=2))
    right = stacked(some_splats(4, seed=3), some_splats(4, seed=4))

    both = join([left, right])

    assert both.means.shape == (2, 7, 3)
    assert_same(both[1], join([left[1], right[1]]))


def test_transforming_twice_is_transforming_by_the_product():
    head = some_splats().to(dtype=torch.float64)
    first, second = motion(1, 0.5).double(), motion(2, 3.0).double()

    twice = head.transformed(first).transformed(second)
    once = head.transformed(second @ first)

    torch.testing.assert_close(twice.means, once.means)
    torch.testing.assert_close(twice.log_scales, once.log_scales)
    torch.testing.assert_close(covariances(twice), covariances(once))


def test_a_transform_moves_each_splat_and_turns_its_ellipsoid():
    head, matrix = some_splats(), motion(3, 1.7)
    linear, shift = matrix[:3, :3], matrix[:3, 3]

    moved = head.transformed(matrix)

    torch.testing.assert_close(moved.means[2], linear @ head.means[2] + shift)
    torch.testing.assert_close(covariances(moved), linear @ covariances(head) @ linear.T)
    assert torch.equal(moved.sh, head.sh)
    assert torch.equal(moved.opacity_logits, head.opacity_logits)


def test_a_transform_and_its_inverse_give_back_the_head():
    head, matrix = some_splats(), motion(4, 0.3)

    back = head.transformed(matrix).transformed(matrix.inverse())

    torch.testing.assert_close(back.means, head.means, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(covariances(back), covariances(head))


@pytest.mark.parametrize(
    "diagonal",
    [(-1.0, 1.0, 1.0), (1.0, 1.0, -2.0), (-1.0, -1.0, -1.0), (1.0, 2.0, 1.0), (0.0, 0.0, 0.0)],
)
def test_mirrors_and_uneven_scales_are_refused(diagonal):
    matrix = torch.diag(torch.tensor([*diagonal, 1.0]))

    with pytest.raises(ValueError, match="rotate, move and scale evenly"):
        some_splats().transformed(matrix)


def test_a_transform_that_is_not_a_number_is_refused():
    with pytest.raises(ValueError, match="rotate, move and scale evenly"):
        some_splats().transformed(torch.full((4, 4), math.nan))


def test_view_dependent_colour_may_move_and_grow_but_not_turn():
    head = some_splats(bases=4)
    grown = torch.diag(torch.tensor([2.0, 2.0, 2.0, 1.0]))

    torch.testing.assert_close(head.transformed(grown).scales, head.scales * 2)
    with pytest.raises(ValueError, match="not rotated"):
        head.transformed(motion())


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", FIELDS)
def test_a_row_with_anything_that_is_not_a_number_is_found(name, bad):
    head = some_splats(bases=4)
    values = getattr(head, name)
    values.view(7, -1)[5, -1] = bad

    assert head.finite().tolist() == [True] * 5 + [False, True]


def test_opposite_infinities_do_not_cancel():
    head = some_splats()
    head.means[3, 0], head.means[3, 1] = math.inf, -math.inf

    assert not head.finite()[3]


def test_a_splat_without_a_rotation_is_found():
    head = some_splats()
    head.quats[2] = 0

    assert head.finite().tolist() == [True, True, False, True, True, True, True]


def test_huge_but_finite_values_are_kept():
    head = some_splats()
    head.means[1] = 3e38

    assert head.finite().all()


def test_no_splats_at_all_are_a_head_too():
    none = some_splats().select(torch.zeros(7, dtype=torch.bool))

    assert none.count == 0
    assert none.finite().shape == (0,)
    assert join([none, some_splats()]).count == 7


def test_activation_is_exp_and_sigmoid():
    head = some_splats()

    torch.testing.assert_close(head.scales.log(), head.log_scales)
    torch.testing.assert_close(head.opacities.logit(), head.opacity_logits)


@pytest.mark.parametrize(("bases", "degree"), [(1, 0), (4, 1), (9, 2), (16, 3)])
def test_the_degree_follows_from_the_number_of_bases(bases, degree):
    assert some_splats(bases=bases).sh_degree == degree


def test_parts_that_do_not_fit_together_are_refused():
    head = some_splats()
    with pytest.raises(AssertionError):
        Gaussians(head.means, head.log_scales, head.quats[:6], head.opacity_logits, head.sh)
    with pytest.raises(AssertionError):
        Gaussians(
            head.means, head.log_scales, head.quats, head.opacity_logits, head.sh.expand(7, 5, 3)
        )
