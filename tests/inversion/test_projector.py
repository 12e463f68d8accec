"""A head that a generator made is found again, and nothing else is touched."""

import collections
import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from inversion.errors import InversionError
from inversion.losses import Comparison, Perception
from inversion.projector import project
from inversion.settings import LossWeights, ProjectorSettings, learning_rate_at
from inversion.steps import Reins
from inversion.views import CameraCorrections, degrees_between, draw_views
from renderer.camera import Camera
from tests.inversion.targets import SIZE, generator_of_heads, seen_from, state_of, target_of, w_of
from tests.steps import result_of, steps_and_result

QUICK = ProjectorSettings(
    steps=25,
    learning_rate=0.2,
    last_learning_rate=0.02,
    resolution=SIZE,
    start="average",
    refine_cameras=False,
    noise=0.0,
    prior=0.0,
    patience=0,
)


@pytest.fixture(scope="module")
def generator():
    return generator_of_heads()


@pytest.fixture(scope="module")
def targets(generator):
    w = w_of(generator)
    return tuple(
        target_of(generator, w, seen_from(yaw), name=f"from {yaw}") for yaw in (10, -30, 40)
    )


def searched(generator, targets, settings=QUICK, **more):
    steps, found = steps_and_result(project(targets, generator, settings, Perception(), **more))
    return [step for step in steps if step.done], found


def test_a_head_made_by_the_generator_is_found_again(generator, targets):
    settings = replace(QUICK, steps=50, start="blend of random", candidates=60)

    steps, found = searched(generator, targets[:2], settings)

    losses = [step.losses.total for step in steps]
    assert losses[found.best] < 0.15 * losses[0]
    assert min(quality.psnr for quality in found.quality) > 40


def test_what_is_returned_is_the_best_step_and_not_the_last(generator, targets):
    # So large a rate at the end throws w about.
    wild = replace(QUICK, learning_rate=0.1, last_learning_rate=3.0)

    steps, found = searched(generator, targets[:1], wild)

    losses = [step.losses.total for step in steps]
    assert found.best == int(np.argmin(losses)) < len(losses) - 1
    assert torch.equal(found.w, steps[found.best].w)
    assert [step.best for step in steps] == list(np.maximum.accumulate([s.best for s in steps]))
    comparison = Comparison(targets[:1], Perception(), SIZE)
    cameras = CameraCorrections(found.cameras).cameras()
    head = generator.synthesize(found.w[None])[0]
    again = comparison(draw_views(head, cameras, SIZE, comparison.background))
    assert again.total(LossWeights()).item() == pytest.approx(min(losses), rel=1e-3)


def test_the_same_seed_finds_the_same_head(generator, targets):
    settings = replace(QUICK, steps=6, start="best of random", candidates=5, noise=0.2)

    first, again, other = (
        searched(generator, targets[:2], replace(settings, seed=seed))[1] for seed in (3, 3, 4)
    )

    assert torch.equal(first.w, again.w)
    assert not torch.allclose(first.w, other.w, atol=1e-3)


def test_the_best_of_random_heads_is_nearer_than_the_average(generator, targets):
    def first_loss(settings):
        return searched(generator, targets[:1], replace(settings, steps=1))[0][0].losses.total

    tried = replace(QUICK, start="best of random", candidates=30)

    assert first_loss(tried) < 0.9 * first_loss(QUICK)


def test_random_heads_tell_more_together_than_the_best_of_them(generator, targets):
    def first_loss(start):
        settings = replace(QUICK, steps=1, start=start, candidates=60)
        return searched(generator, targets[:2], settings)[0][0].losses.total

    assert first_loss("blend of random") < 0.9 * first_loss("best of random")


def test_it_begins_where_it_is_told_to(generator, targets):
    start = w_of(generator)

    steps, found = searched(generator, targets[:1], replace(QUICK, steps=1), start=start)

    torch.testing.assert_close(steps[0].w, start, atol=1e-5, rtol=1e-5)
    assert found.quality[0].psnr > 45


def test_three_views_are_compared_at_once(generator, targets):
    steps, found = searched(generator, targets, replace(QUICK, steps=3))

    assert [quality.name for quality in found.quality] == ["from 10", "from -30", "from 40"]
    for step in steps:
        assert [picture.shape for picture in step.pictures] == [(SIZE, SIZE, 3)] * 3
        assert all(picture.dtype == np.uint8 for picture in step.pictures)
    assert not np.array_equal(steps[0].pictures[0], steps[0].pictures[1])


def test_some_of_the_views_are_compared_at_each_step(generator, targets):
    steps, found = searched(generator, targets, replace(QUICK, steps=12, batch_size=2))

    drawn = [tuple(picture is not None for picture in step.pictures) for step in steps]
    assert {sum(each) for each in drawn} == {2}
    assert len(set(drawn)) > 1
    assert len(found.quality) == 3


def test_each_block_has_a_w_of_its_own_if_asked(generator, targets):
    one_for_all = searched(generator, targets[:1], replace(QUICK, steps=2))[1]
    steps, found = searched(generator, targets[:1], replace(QUICK, per_block=True))

    assert one_for_all.w.shape == (1, generator.w_dim)
    assert found.w.shape == (generator.blocks, generator.w_dim)
    assert not torch.allclose(found.w[0], found.w[-1], atol=1e-2)
    assert steps[found.best].losses.total < 0.8 * steps[0].losses.total


def test_a_prior_draws_w_to_where_most_heads_are(generator, targets):
    z = torch.randn(2000, generator.z_dim, generator=torch.Generator().manual_seed(1))
    mean, start = generator.map(z).mean(dim=0), w_of(generator)

    def how_far(prior):
        settings = replace(QUICK, steps=15, learning_rate=0.1, prior=prior)
        return float(
            (searched(generator, targets[:1], settings, start=start)[0][-1].w - mean).norm()
        )

    begun = float((start - mean).norm())
    assert how_far(0.0) > 0.9 * begun
    assert how_far(100.0) < 0.5 * begun


def turned(camera: Camera, pitch_deg: float, yaw_deg: float) -> Camera:
    """A camera that goes around the head, in its own axes."""
    corrections = CameraCorrections([camera])
    values = torch.zeros(1, 6)
    values[0, :2] = torch.tensor([pitch_deg, yaw_deg]).deg2rad() / math.radians(4.0)
    return corrections.detached(values)[0]


def test_a_turned_camera_is_found_again(generator, targets):
    views = [replace(target, camera=turned(target.camera, 2.5, -3.5)) for target in targets[:2]]
    start = w_of(generator)
    # w is as it was: only the camera is wrong.
    settings = replace(QUICK, steps=80, learning_rate=0.1, refine_cameras=True, prior=1e-4)
    wrong = degrees_between(views[0].camera, targets[0].camera)

    steps, found = searched(generator, views, settings, start=start)

    assert wrong == pytest.approx(math.hypot(2.5, 3.5), abs=0.05)
    for camera, target in zip(found.cameras, targets, strict=False):
        assert degrees_between(camera, target.camera) < 0.25 * wrong
    assert steps[-1].losses.total < 0.3 * steps[0].losses.total


def test_cameras_stay_bit_for_bit_unless_they_are_corrected(generator, targets):
    _, found = searched(generator, targets[:2], replace(QUICK, steps=2))

    for camera, target in zip(found.cameras, targets, strict=False):
        assert torch.equal(camera.cam_to_world, target.camera.cam_to_world)
        assert torch.equal(camera.focal, target.camera.focal)


def test_a_corrected_camera_is_a_camera():
    camera = seen_from(20)
    values = torch.tensor([[1.0, -2.0, 0.5, 3.0, -1.0, 2.0]])

    (corrected,) = CameraCorrections([camera]).detached(values)

    axes = corrected.cam_to_world[:3, :3]
    torch.testing.assert_close(axes @ axes.mT, torch.eye(3), atol=1e-6, rtol=0)
    assert axes.det() > 0
    assert torch.equal(corrected.focal, camera.focal)
    assert torch.equal(corrected.cam_to_world[3], camera.cam_to_world[3])


def test_stopped_by_hand_it_returns_the_best_so_far(generator, targets):
    reins = Reins()
    work = project(targets[:1], generator, QUICK, Perception(), reins)
    step = next(work)
    while step.done < 4:
        step = next(work)
    reins.finish = True

    found = result_of(work)

    assert found.steps <= 5
    assert found.best < 5


def test_it_stops_when_nothing_improves(generator, targets):
    # From the head itself nothing can: steps only lead away.
    settings = replace(QUICK, steps=40, patience=4)

    steps, found = searched(generator, targets[:1], settings, start=w_of(generator))

    assert found.best == 0
    assert len(steps) == found.steps == 5


def test_it_does_not_lose_patience_while_w_is_disturbed(generator, targets):
    settings = replace(QUICK, steps=20, noise=0.5, patience=3)

    steps, found = searched(generator, targets[:1], settings)

    assert len(steps) > 8  # the first 8 are disturbed and tell nothing
    assert found.best >= 8


@pytest.mark.parametrize("after", [0, 1, 8])
def test_cancelling_leaves_the_generator_as_it_was(targets, after):
    generator = generator_of_heads()
    generator.point_gen.requires_grad_(True)  # as during training
    before, random = state_of(generator), torch.get_rng_state()
    work = project(targets[:1], generator, QUICK, Perception())
    for _ in range(after):
        next(work)

    work.close()

    assert state_of(generator) == before
    assert torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), random)


def test_it_works_where_gradients_are_off(generator, targets):
    with torch.no_grad():
        steps, _ = searched(generator, targets[:1], replace(QUICK, steps=5))

    assert steps[-1].losses.total < steps[0].losses.total


class BrokenAtLast:
    """A measure whose third answer is no number."""

    describe, is_lpips = "a broken measure", False

    def __init__(self):
        self.answers = iter([1.0, 1.0, math.nan])

    def features(self, pictures):
        return (pictures,)

    def distance(self, features, target):
        return next(self.answers) * (features[0] - target[0]).abs().flatten(1).mean(1)


def test_a_search_that_runs_away_says_so(generator, targets):
    reported = []
    work = project(targets[:1], generator, QUICK, Perception(BrokenAtLast()))

    with pytest.raises(InversionError, match=r"ran away: .*Set a learning rate below 0\.2"):
        collections.deque((reported.append(step) for step in work), maxlen=0)

    # What was found before was reported, so nothing is lost.
    assert [step.done for step in reported][-2:] == [1, 2]
    assert reported[-1].w.isfinite().all()


def test_without_a_photo_it_says_what_to_do(generator):
    with pytest.raises(InversionError, match="add one, prepare it"):
        searched(generator, ())


def test_weights_go_from_the_first_to_the_last():
    first, last = LossWeights(1, 2, 3), LossWeights(0, 4, 3)

    assert first.towards(last, 0) == first
    assert first.towards(last, 1) == last
    assert first.towards(last, 0.25) == LossWeights(0.75, 2.5, 3)


def test_the_learning_rate_warms_up_then_goes_from_first_to_last():
    rates = [learning_rate_at(step / 100, 0.5, 0.05) for step in range(101)]

    assert rates[0] < 0.3
    assert max(rates) > 0.4
    assert rates[-1] == pytest.approx(0.05)
    ratios = [after / before for before, after in pairwise(rates[10:])]
    assert max(ratios) == pytest.approx(min(ratios))


def test_a_learning_rate_of_0_stands_still():
    assert learning_rate_at(0.5, 0.0, 0.0) == pytest.approx(0, abs=1e-9)
