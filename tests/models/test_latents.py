"""The latent plane: same place, same head; smooth, and nowhere pulled to the mean."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.latents import (
    NODES,
    ForeignLatent,
    LatentPlane,
    LatentSettings,
    Mix,
    Push,
    Values,
    base_z,
    latent_to_w,
    node_place,
    random_z,
    truncate,
)
from models.points import ACCUMULATED
from tests.models.small import small_generator


@pytest.fixture(scope="module")
def generator():
    return small_generator().prepared()


@pytest.fixture(scope="module")
def plane(generator):
    return LatentPlane(generator, seed=5)


def test_psi_0_is_the_average_head_exactly(generator, plane):
    w = latent_to_w(plane, LatentSettings(seed=5, x=0.3, y=-0.7, psi=0))
    assert torch.equal(w, generator.w_avg.expand(1, 1, -1))


def test_psi_1_changes_nothing_and_minus_1_mirrors_about_the_average(generator):
    w = torch.randn(2, 1, 14, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(truncate(w, generator.w_avg, 1), w)
    torch.testing.assert_close(
        truncate(w, generator.w_avg, -1) + w, (2 * generator.w_avg).expand_as(w)
    )
    assert torch.equal(truncate(w, generator.w_avg, 7), truncate(w, generator.w_avg, 2))
    assert torch.equal(truncate(w, generator.w_avg, -7), truncate(w, generator.w_avg, -1))


def test_nodes_are_at_the_documented_places():
    assert [round(node_place(i), 9) for i in (0, 1, 9)] == [-0.9, -0.7, 0.9]


@pytest.mark.parametrize("space", ["Z", "W"])
@pytest.mark.parametrize(("row", "column"), [(0, 0), (3, 7), (9, 2), (9, 9)])
def test_at_a_node_is_the_nodes_own_head(generator, plane, space, row, column):
    found = plane.at(node_place(column), node_place(row), space)
    torch.testing.assert_close(found[0], plane.w[row, column], atol=2e-6, rtol=0)
    drawn = random_z(5, NODES * NODES, generator.z_dim)[row * NODES + column]
    torch.testing.assert_close(found, generator.map(drawn[None]), atol=2e-6, rtol=0)


@pytest.mark.parametrize("space", ["Z", "W"])
def test_the_surface_has_no_kink(generator, plane, space):
    step = 1e-3
    worst_slope = worst_kink = 0.0
    for y in (0.31, -0.9):
        # Across nodes, at cell borders and at the rim where the surface turns constant.
        for x in (-0.9, -0.7, -0.1, 0.5, 0.9):
            before, here, after = (plane.at(x + d, y, space).double() for d in (-step, 0.0, step))
            kink = ((after - here) - (here - before)).abs().max() / step
            worst_kink = max(worst_kink, float(kink))
        a, b = plane.at(0.0, y, space), plane.at(step, y, space)
        worst_slope = max(worst_slope, float((b - a).abs().max() / step))
    # A kink is a jump of the slope; a C1 surface only has curvature times the step.
    assert worst_slope > 1
    assert worst_kink < 0.15 * worst_slope


def test_between_nodes_heads_are_as_varied_as_at_nodes():
    class Identity:
        """Maps z to itself, in a width where lengths hardly vary."""

        z_dim = w_dim = 4096
        num_ws = 1
        conditions_on_camera = False
        w_avg = torch.full((4096,), 0.5)

        def map(self, z, camera=None):
            return (self.w_avg + z)[:, None]

    generator = Identity()
    plane = LatentPlane(generator, seed=1)
    places = [*np.random.RandomState(0).uniform(-1, 1, (40, 2)).tolist(), [0.0, 0.0], [0.0, 0.3]]
    for space in ("Z", "W"):
        for x, y in places:
            spread = (plane.at(x, y, space) - generator.w_avg).square().mean().sqrt()
            # Rows of 4096 normal numbers have an RMS of 1 ± 0.011; 5 sigma.
            assert float(spread) == pytest.approx(1, abs=0.055)


def test_places_outside_are_clamped_to_the_border(generator, plane):
    for space in ("Z", "W"):
        edge = plane.at(1.0, -1.0, space)
        assert torch.equal(plane.at(3.0, -math.inf, space), edge)
        assert torch.equal(plane.at(0.9, -0.9, space), edge)


def test_the_same_seed_and_place_are_the_same_w(generator):
    settings = LatentSettings(seed=9, x=0.2, y=0.13, psi=1.4, space="Z")
    first = latent_to_w(LatentPlane(generator, 9), settings)
    assert first.shape == (1, 1, 14)
    assert torch.equal(first, latent_to_w(LatentPlane(generator, 9), settings))
    other = replace(settings, seed=10)
    assert not torch.allclose(first, latent_to_w(LatentPlane(generator, 10), other))


def test_the_stream_of_random_numbers_is_the_frozen_one():
    # MT19937 with the polar method, as RandomState(0).randn has given since NumPy began.
    np.testing.assert_allclose(
        random_z(0, 1, 3)[0].numpy(), [1.76405235, 0.40015721, 0.97873798], rtol=1e-6
    )
    assert torch.equal(random_z(7, 3, 10), random_z(7, 5, 10)[:3])


def test_a_plane_of_another_seed_is_refused(plane):
    with pytest.raises(AssertionError):
        latent_to_w(plane, LatentSettings(seed=6))


# ---- kept heads, mixes and pushes


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_values_are_what_they_hold_and_not_where():
    numbers = drawn(2, 3)
    values = Values.of(numbers)
    assert values == Values.of(numbers.double().numpy())
    assert hash(values) == hash(Values.of(numbers.clone()))
    assert values != Values.of(numbers.reshape(3, 2))
    assert values != Values.of(numbers + 1e-3)
    assert torch.equal(values.tensor(), numbers)
    values.tensor().zero_()  # a copy
    assert torch.equal(values.tensor(), numbers)
    assert torch.equal(Values.of(numbers.T).tensor(), numbers.T)


def test_values_refuse_what_is_no_number_and_bytes_of_another_shape():
    with pytest.raises(ValueError, match="finite"):
        Values.of(torch.tensor([1.0, float("nan")]))
    with pytest.raises(ValueError, match="finite"):
        Values.of(torch.tensor([1e300], dtype=torch.float64))
    with pytest.raises(ValueError, match="bytes"):
        Values((3,), b"1234")


def test_a_kept_head_replaces_the_plane_and_is_truncated(generator, plane):
    kept = drawn(1, 14)
    place = LatentSettings(seed=5, x=0.3, psi=1, kept=Values.of(kept))
    torch.testing.assert_close(latent_to_w(plane, place)[0], kept)
    half = latent_to_w(plane, replace(place, psi=0.5))
    torch.testing.assert_close(half[0], (kept + generator.w_avg) / 2)
    of_blocks = drawn(generator.blocks, 14, seed=1)
    found = latent_to_w(plane, replace(place, kept=Values.of(of_blocks)))
    torch.testing.assert_close(found[0], of_blocks)


def test_pushes_add_up_in_w_and_do_not_depend_on_psi(generator, plane):
    a, b = drawn(14), drawn(14, seed=1)
    pushes = (Push("a", Values.of(a), 1.5), Push("b", Values.of(b), -0.25))
    for psi in (0, 0.7):
        place = LatentSettings(seed=5, x=0.1, psi=psi)
        moved = latent_to_w(plane, replace(place, pushes=pushes))
        expected = latent_to_w(plane, place) + 1.5 * a - 0.25 * b
        assert moved.shape == (1, 1, 14)
        torch.testing.assert_close(moved, expected)


def test_a_push_acts_on_its_blocks_only(generator, plane):
    vector = drawn(14)
    place = LatentSettings(seed=5)
    base = latent_to_w(plane, place)[0, 0]
    for first, last, blocks in ((1, 2, [1, 2]), (2, None, [2, 3]), (0, 0, [0]), (3, 9, [3])):
        push = Push("a", Values.of(vector), 2.0, first, last)
        w = latent_to_w(plane, replace(place, pushes=(push,)))
        assert w.shape == (1, generator.blocks, 14)
        expected = base.expand(4, -1).clone()
        expected[blocks] += 2 * vector
        torch.testing.assert_close(w[0], expected)
    empty = Push("a", Values.of(vector), 2.0, 3, 2)
    assert torch.equal(
        latent_to_w(plane, replace(place, pushes=(empty,))), latent_to_w(plane, place)
    )


def test_a_vector_may_differ_between_blocks(generator, plane):
    vectors = drawn(generator.blocks, 14)
    place = LatentSettings(seed=5)
    w = latent_to_w(plane, replace(place, pushes=(Push("a", Values.of(vectors), 0.5),)))
    torch.testing.assert_close(w[0], latent_to_w(plane, place)[0] + 0.5 * vectors)


def test_a_mix_takes_over_in_its_blocks_as_far_as_its_strength(generator, plane):
    other = drawn(1, 14)
    place = LatentSettings(seed=5)
    base = latent_to_w(plane, place)[0, 0]

    def mixed(**options):
        mix = Mix(Values.of(other), **options)
        return latent_to_w(plane, replace(place, mix=mix))[0]

    torch.testing.assert_close(mixed(), other)
    torch.testing.assert_close(mixed(strength=0.25), 0.75 * base[None] + 0.25 * other)
    fine = mixed(first=2)
    torch.testing.assert_close(fine, torch.stack([base, base, other[0], other[0]]))
    assert torch.equal(mixed(strength=0.0), base[None])


def test_a_head_of_several_w_is_made_like_one_when_they_are_equal(generator, plane):
    w = latent_to_w(plane, LatentSettings(seed=5))
    one = generator.synthesize(w)
    several = generator.synthesize(w.expand(-1, generator.blocks, -1))
    torch.testing.assert_close(one.means, several.means)
    pushed = Push("fine", Values.of(drawn(14)), 1.0, first=3)
    w = latent_to_w(plane, LatentSettings(seed=5, pushes=(pushed,)))
    other = generator.synthesize(w)
    # Splats before the last level know nothing of its block.
    same = torch.eq(one.means, other.means).all(dim=-1)[0]
    before = generator.config.points * sum(ACCUMULATED[:2])
    assert same[:before].all()
    assert same[before:].float().mean() < 0.1  # those held at the edge of the cube cannot move


def test_what_does_not_fit_the_generator_is_refused_with_a_sentence(plane):
    place = LatentSettings(seed=5)
    for settings in (
        replace(place, kept=Values.of(drawn(1, 15))),
        replace(place, kept=Values.of(drawn(3, 14))),
        replace(place, mix=Mix(Values.of(drawn(1, 1, 14)))),
        replace(place, pushes=(Push("smile", Values.of(drawn(512)), 1.0),)),
    ):
        with pytest.raises(ForeignLatent, match="another generator"):
            latent_to_w(plane, settings)


def test_settings_know_whom_they_belong_to():
    push = Push("a", Values.of(drawn(14)), 1.0)
    plain = LatentSettings(x=0.5)
    assert plain.bound_to("abc") == plain
    bound = replace(plain, pushes=(push,)).bound_to("abc")
    assert bound.weights == "abc"
    assert bound.bound_to("abc") == bound
    with pytest.raises(ForeignLatent):
        bound.bound_to("def")
    assert bound.unbound() == plain
    assert replace(bound, pushes=()).bound_to("def") == plain


# ---- a kept z


def test_a_kept_z_is_the_head_that_was_blended_there(plane):
    place = LatentSettings(seed=5, x=0.33, y=-0.71, space="Z", psi=0.6)
    kept = replace(place, x=0.0, y=0.0, z=Values.of(base_z(plane, place)[0]))
    assert kept.is_bound
    assert torch.equal(latent_to_w(plane, kept), latent_to_w(plane, place))
    assert kept.unbound() == replace(place, x=0.0, y=0.0)


def test_a_kept_w_goes_before_a_kept_z(generator, plane):
    w = Values.of(torch.full((1, generator.w_dim), 0.25))
    both = LatentSettings(seed=5, kept=w, z=Values.of(plane.z[0, 0]), psi=1.0)
    torch.testing.assert_close(latent_to_w(plane, both)[0], w.tensor())


def test_a_z_of_another_width_is_refused(plane):
    with pytest.raises(ForeignLatent, match="another generator"):
        latent_to_w(plane, LatentSettings(seed=5, z=Values.of(torch.zeros(plane.z.shape[-1] + 1))))
