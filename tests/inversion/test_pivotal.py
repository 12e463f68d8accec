"""Tuning makes the given views better, in a copy, and says what its delta says."""

from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import torch

from inversion.errors import InversionError
from inversion.losses import Comparison, Perception
from inversion.pivotal import memory_estimate, tunable, tune
from inversion.settings import TuningSettings
from inversion.steps import Reins
from inversion.views import CameraCorrections, draw_views
from models.delta import decode_delta, with_delta
from models.directions import weights_hash
from tests.inversion.targets import SIZE, generator_of_heads, seen_from, state_of, target_of, w_of
from tests.steps import result_of, steps_and_result

QUICK = TuningSettings(steps=12, resolution=SIZE, learning_rate=0.003, last_learning_rate=0.0005)


@pytest.fixture(scope="module")
def generator():
    return generator_of_heads()


@pytest.fixture(scope="module")
def pivot(generator):
    """Near the head of the targets, but not it."""
    return w_of(generator) + 0.1 * torch.randn(
        1, generator.w_dim, generator=torch.Generator().manual_seed(2)
    )


@pytest.fixture(scope="module")
def targets(generator):
    w = w_of(generator)
    return tuple(target_of(generator, w, seen_from(yaw), name=f"from {yaw}") for yaw in (10, -30))


def tuned(generator, targets, pivot, settings=QUICK, **more):
    cameras = [target.camera for target in targets]
    steps, found = steps_and_result(
        tune(targets, generator, pivot, cameras, settings, Perception(), **more)
    )
    return [step for step in steps if step.done], found


def quality_of(generator, targets, w):
    comparison = Comparison(targets, Perception(), SIZE)
    cameras = CameraCorrections([target.camera for target in targets]).cameras()
    with torch.no_grad():
        head = generator.synthesize(w[None])[0]
        return comparison.quality(draw_views(head, cameras, SIZE, comparison.background))


def test_tuning_improves_all_given_views(generator, targets, pivot):
    steps, found = tuned(generator, targets, pivot)

    assert len(steps) == found.steps == 12
    for before, after in zip(found.before, found.quality, strict=True):
        assert after.psnr > before.psnr + 2
    assert [quality.name for quality in found.quality] == ["from 10", "from -30"]


def test_what_is_reported_is_what_the_stored_delta_does(generator, targets, pivot):
    _, found = tuned(generator, targets, pivot, name="Ada")

    opened = decode_delta(found.delta.content)

    assert opened == found.delta
    assert (opened.name, opened.weights) == ("Ada", weights_hash(generator))
    again = quality_of(with_delta(generator, opened), targets, pivot)
    # Only the two ways of computing a head differ.
    assert [q.psnr for q in again] == pytest.approx([q.psnr for q in found.quality], abs=1e-3)
    before = quality_of(generator, targets, pivot)
    assert [q.psnr for q in before] == pytest.approx([q.psnr for q in found.before], abs=1e-3)


def test_what_is_returned_is_the_best_step_and_not_the_last(generator, targets, pivot):
    wild = replace(QUICK, learning_rate=0.003, last_learning_rate=0.3, locality=0.0)

    steps, found = tuned(generator, targets[:1], pivot, wild)

    mse = [step.losses.mse for step in steps]
    losses = [step.losses.total for step in steps]
    assert found.best == int(np.argmin(losses)) < len(losses) - 1
    best_psnr = -10 * np.log10(mse[found.best])
    # float16 and the clamping of colours change it a little.
    assert found.quality[0].psnr == pytest.approx(best_psnr, abs=0.3)


@pytest.mark.parametrize("after", [0, 1, 4])
def test_cancelling_leaves_the_generator_as_it_was(targets, pivot, after):
    generator = generator_of_heads()
    before, random = state_of(generator), torch.get_rng_state()
    cameras = [target.camera for target in targets]
    work = tune(targets, generator, pivot, cameras, QUICK, Perception())
    for _ in range(after):
        next(work)

    work.close()

    assert state_of(generator) == before
    assert torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), random)


def test_a_whole_run_leaves_the_generator_as_it_was(targets, pivot):
    generator = generator_of_heads()
    generator.point_gen.requires_grad_(True)  # as during training
    before = state_of(generator)

    tuned(generator, targets, pivot, replace(QUICK, steps=3))

    assert state_of(generator) == before


def test_the_head_can_be_watched_while_it_is_tuned(generator, targets, pivot):
    steps, _ = tuned(generator, targets[:1], pivot, replace(QUICK, steps=3))

    network = steps[-1].network
    now, once = (each.synthesize(pivot[None]).means for each in (network, generator))
    assert not torch.allclose(now, once, atol=1e-4)
    assert steps[-1].pictures[0].shape == (SIZE, SIZE, 3)
    assert torch.equal(steps[-1].w, pivot)


def test_the_same_seed_is_the_same_delta(generator, targets, pivot):
    settings = replace(QUICK, steps=4)

    first, again, other = (
        tuned(generator, targets[:1], pivot, replace(settings, seed=seed))[1] for seed in (3, 3, 4)
    )

    assert first.delta == again.delta
    assert first.delta != other.delta


def test_only_the_last_levels_change_if_asked(generator, targets, pivot):
    settings = replace(QUICK, steps=3, last_levels=1)

    _, found = tuned(generator, targets, pivot, settings)

    changed = set(safetensors.torch.load(found.delta.content))
    allowed = tunable(generator, 1)
    assert changed <= allowed
    assert "point_gen.gaussians.color.2.weight" in changed
    assert "point_gen.gaussians.color.1.weight" not in allowed
    assert "point_gen.transformer.resblocks.1.mlp.c_fc.weight" in changed
    assert not any(name.startswith("mapping_network") for name in tunable(generator))
    assert tunable(generator, 3) == tunable(generator, 0) > tunable(generator, 2) > allowed


def test_each_blocks_own_w_can_be_the_pivot(generator, targets, pivot):
    each = pivot.repeat(generator.blocks, 1)
    each[-1] += 0.1

    steps, found = tuned(generator, targets, each, replace(QUICK, steps=4))

    assert found.quality[0].psnr > found.before[0].psnr
    assert steps[-1].w.shape == (generator.blocks, generator.w_dim)


def test_locality_holds_other_heads_and_other_sides_where_they_were(generator, targets, pivot):
    free, held = (
        tuned(generator, targets[:1], pivot, replace(QUICK, locality=locality))[1].delta
        for locality in (0.0, 40.0)
    )
    other, aside = w_of(generator, seed=11), seen_from(-70)

    def moved(delta, w):
        before = target_of(generator, w, aside)
        after = target_of(with_delta(generator, delta), w, aside)
        return float((before.alpha * before.color - after.alpha * after.color).abs().mean())

    assert moved(held, other) < 0.6 * moved(free, other)
    assert moved(held, pivot) < 0.6 * moved(free, pivot)


def test_it_stops_when_the_pictures_are_near_enough(generator, targets, pivot):
    first = tuned(generator, targets[:1], pivot, replace(QUICK, steps=1))[0][0]
    threshold = 0.8 * first.losses.perceptual

    steps, found = tuned(generator, targets[:1], pivot, replace(QUICK, stop_below=threshold))

    perceptual = [step.losses.perceptual for step in steps]
    assert perceptual[-1] < threshold <= min(perceptual[:-1])
    assert found.steps == len(steps) < QUICK.steps


def test_stopped_by_hand_it_returns_the_best_so_far(generator, targets, pivot):
    reins = Reins()
    cameras = [target.camera for target in targets]
    work = tune(targets, generator, pivot, cameras, QUICK, Perception(), reins)
    while next(work).done < 3:
        pass
    reins.finish = True

    found = result_of(work)

    assert found.steps <= 4
    assert found.quality[0].psnr > found.before[0].psnr


def test_stopped_before_every_view_was_compared_it_returns_what_it_has(generator, targets, pivot):
    settings = replace(QUICK, steps=1, batch_size=1)

    _, found = tuned(generator, targets, pivot, settings)

    assert safetensors.torch.load(found.delta.content)
    assert len(found.quality) == 2


def test_it_works_where_gradients_are_off(generator, targets, pivot):
    with torch.no_grad():
        _, found = tuned(generator, targets[:1], pivot, replace(QUICK, steps=3))

    assert found.quality[0].psnr > found.before[0].psnr


def test_without_a_photo_it_says_what_to_do(generator, pivot):
    with pytest.raises(InversionError, match="add one, prepare it"):
        tuned(generator, (), pivot)


def test_more_to_change_needs_more_memory(generator):
    every, last = (
        memory_estimate(generator, TuningSettings(last_levels=levels)) for levels in (0, 1)
    )
    large = memory_estimate(generator, TuningSettings(resolution=512))

    parameters = sum(p.numel() for p in generator.point_gen.parameters())
    assert every - last > 4 * parameters  # bytes: many times what does not change
    assert every > 16 * parameters
    assert large > every
