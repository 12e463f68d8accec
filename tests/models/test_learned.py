"""A direction learned from examples is the one they were made with."""

import pytest
import torch

from models.learned import separating_direction


def examples(count, width, shift, seed=0):
    """Heads that differ at random, and the same number more that have `shift` as well."""
    draw = torch.Generator().manual_seed(seed)
    lacking = torch.randn(count, width, generator=draw) + 3
    having = torch.randn(count, width, generator=draw) + 3 + shift
    return having, lacking


def cosine(a, b):
    return torch.nn.functional.cosine_similarity(a, b, dim=0).item()


def test_many_examples_give_the_direction_they_differ_in():
    shift = torch.zeros(12)
    shift[3], shift[7] = 3.0, -2.0
    found = separating_direction(*examples(300, 12, shift))
    assert cosine(found, shift) > 0.98
    assert found.norm().item() == pytest.approx(shift.norm().item(), rel=0.1)


def test_it_is_the_minimum_of_the_regularised_loss():
    shift = 0.7 * torch.ones(5)
    having, lacking = examples(9, 5, shift, seed=1)
    lacking = lacking[:6]
    found = separating_direction(having, lacking).double()

    # The same by Newton's method written out in W, where the ridge is on v itself.
    w = torch.cat([having, lacking]).double()
    x = w - (having.double().mean(0) + lacking.double().mean(0)) / 2
    x = torch.cat([x / x.square().sum(1).mean().sqrt(), torch.ones(15, 1)], dim=1)
    y = torch.tensor([1.0] * 9 + [-1.0] * 6, dtype=torch.float64)
    counts = torch.tensor([0.5 / 9] * 9 + [0.5 / 6] * 6, dtype=torch.float64)
    ridge = torch.diag(torch.tensor([0.05 / 15] * 5 + [0.0], dtype=torch.float64))
    v = torch.zeros(6, dtype=torch.float64)
    for _ in range(30):
        wrong = torch.sigmoid(-y * (x @ v))
        gradient = ridge @ v - x.mT @ (counts * y * wrong)
        hessian = ridge + x.mT @ ((counts * wrong * (1 - wrong))[:, None] * x)
        v = v - torch.linalg.solve(hessian, gradient)
    assert gradient.norm() < 1e-12
    assert cosine(found, v[:5]) > 1 - 1e-6


def test_few_examples_in_many_dimensions_are_told_apart_within_their_span():
    having, lacking = examples(4, 512, torch.zeros(512).index_fill(0, torch.tensor([5]), 20.0))
    found = separating_direction(having, lacking)
    assert found.isfinite().all()
    assert (having @ found).min() > (lacking @ found).max()
    assert cosine(found, torch.zeros(512).index_fill(0, torch.tensor([5]), 1.0)) > 0.5
    span = torch.linalg.qr(torch.cat([having, lacking]).mT)[0]
    assert cosine(found, span @ (span.mT @ found)) == pytest.approx(1, abs=1e-5)


def test_one_example_of_each_gives_the_step_between_them():
    having, lacking = examples(1, 8, torch.ones(8))
    found = separating_direction(having, lacking)
    torch.testing.assert_close(found, having[0] - lacking[0])


def test_added_to_the_middle_of_those_without_it_is_level_with_those_with_it():
    having, lacking = examples(20, 6, torch.tensor([2.0, 0, 0, 0, 0, 0]), seed=3)
    found = separating_direction(having, lacking)
    moved = lacking.mean(0) + found
    assert (moved @ found).item() == pytest.approx((having.mean(0) @ found).item(), rel=1e-4)


def test_both_kinds_count_the_same_however_many_there_are():
    shift = torch.tensor([3.0, 0, 0, 0])
    having, lacking = examples(50, 4, shift, seed=2)
    once = separating_direction(having, lacking)
    twice = separating_direction(having, torch.cat([lacking, lacking, lacking]))
    assert cosine(once, twice) > 0.999


def test_the_same_heads_on_both_sides_are_refused():
    heads = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="same heads"):
        separating_direction(heads, heads.flip(0))
