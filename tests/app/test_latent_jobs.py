"""Jobs on the latent space: components, strips, learning, mixes and files, on a small generator."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.directions import weights_hash
from models.latents import LatentSettings, Mix, Values
from renderer.errors import LoadError, SplatheadError
from renderer.rasterize import rasterize
from splatviz_app.directions import Axis, Palette, moved, orthogonal_to
from splatviz_app.latent_jobs import (
    axis_between,
    draw_heads,
    find_axes,
    learn_axis,
    load_axes,
    save_axes,
    take_mix,
)
from splatviz_app.preferences import Preferences
from splatviz_app.session import new_session
from tests.models.small import small_generator
from tests.steps import steps_and_result


@pytest.fixture(scope="module")
def session(generator_file):
    """A session that shows a head of a small generator; read only."""
    session = new_session(Preferences(backend="torch"))
    session.viewport = (24, 16)
    session.open(generator_file)
    for _ in range(4):
        session.engine.drain()
        session.update(0.01)
    return session


@pytest.fixture(scope="module")
def request_(session):
    return session.request()


@pytest.fixture(scope="module")
def weights(session):
    return session.opened.fingerprint


def run(work):
    reports, result = steps_and_result(work)
    assert reports
    return result


def w_of(session, latent):
    return session.pipeline.beside().w(replace(session.request(), latent=latent))[0]


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_components_are_sliders_in_standard_deviations(session, request_, weights):
    assert weights == weights_hash(small_generator())
    found = run(find_axes(session.pipeline, request_.scene, weights, samples=4000))
    assert found.weights == weights
    assert [axis.source for axis in found.axes[:2]] == ["pca:0", "pca:1"]
    assert len(found.axes) == len(found.explained) == 14
    assert sum(found.explained) == pytest.approx(1, abs=1e-5)
    lengths = [float(np.linalg.norm(axis.vector.array())) for axis in found.axes]
    assert lengths == sorted(lengths, reverse=True)
    # Far along the first component, w lies as many deviations from the mean as the slider says.
    generator = session.opened.loaded.generator
    w = generator.map(drawn(4000, 10, seed=9))[:, 0]
    along = torch.from_numpy(found.axes[0].vector.array() / lengths[0])
    assert ((w - w.mean(0)) @ along).std().item() == pytest.approx(lengths[0], rel=0.05)


def test_components_are_kept_in_the_users_cache(session, request_, weights, strange_home):
    run(find_axes(session.pipeline, request_.scene, weights, samples=500))
    kept = strange_home / ".cache" / "splathead" / "components" / f"{weights}.safetensors"
    assert kept.is_file()
    kept.unlink()


def test_a_strip_shows_each_head_as_the_large_picture_would(session, request_):
    latents = [replace(request_.latent, x=x) for x in (-0.5, 0.0, 0.5)]
    work = draw_heads(session.pipeline, request_, latents, side=20)
    assert next(work).pictures == ()
    second = next(work)
    assert (second.done, second.total, len(second.pictures)) == (1, 3, 1)
    strip = run(work)
    assert [picture.shape for picture in strip.pictures] == [(20, 20, 4)] * 3
    w = w_of(session, latents[2])[None]
    gaussians = session.opened.loaded.generator.prepared().synthesize(w)[0]
    expected = rasterize(
        gaussians, request_.rig.camera(), (20, 20), background=torch.ones(3), backend="torch"
    )
    shown = strip.pictures[2][..., :3].astype(float) / 255
    np.testing.assert_allclose(shown, expected.color.permute(1, 2, 0).numpy(), atol=0.005)
    assert not np.array_equal(strip.pictures[0], strip.pictures[2])


def test_the_other_head_of_a_mix_is_the_one_that_was_shown(session, request_, weights):
    other = replace(request_.latent, seed=7, x=0.5, psi=0.4)
    like = Mix(Values.of(torch.zeros(1, 14)), first=2, strength=0.5, name="Other")
    found = run(take_mix(session.pipeline, replace(request_, latent=other), weights, like))
    assert found.weights == weights
    assert replace(found.mix, w=like.w) == like
    assert torch.equal(found.mix.w.tensor(), w_of(session, other))
    # Wholly taken over, the mix is that head.
    all_of_it = replace(found.mix, first=0, last=None, strength=1.0)
    mixed = replace(request_.latent, mix=all_of_it).bound_to(weights)
    assert torch.equal(w_of(session, mixed), w_of(session, other))


def test_a_direction_leads_from_the_first_head_to_the_second(session, request_, weights):
    start, end = LatentSettings(seed=1), LatentSettings(seed=2, x=0.3, psi=1.2)
    made = run(axis_between(session.pipeline, request_, weights, "To her", (start, end)))
    axis = replace(made.axis, source="own:0")
    assert axis.name == "To her"
    assert axis.vector.shape == (14,)
    reached = moved(start, Palette(weights), {"own:0": axis}, {"own:0": 1.0})
    torch.testing.assert_close(w_of(session, reached), w_of(session, end))
    with pytest.raises(SplatheadError, match="same head"):
        run(axis_between(session.pipeline, request_, weights, "Nowhere", (start, start)))


def test_between_heads_with_a_w_for_each_block_the_direction_has_one_too(
    session, request_, weights
):
    blocks = session.opened.loaded.generator.blocks
    end = LatentSettings(kept=Values.of(drawn(blocks, 14)), psi=1.0, weights=weights)
    made = run(axis_between(session.pipeline, request_, weights, "A", (LatentSettings(), end)))
    assert made.axis.vector.shape == (blocks, 14)


def examples(weights, count=6):
    """Heads with and without a step along the first axis of W."""
    shift = 4 * torch.eye(14)[0]
    kept = [drawn(1, 14, seed=i) for i in range(2 * count)]
    places = [Values.of(w + shift if i < count else w) for i, w in enumerate(kept)]
    latents = [LatentSettings(kept=place, psi=1.0, weights=weights) for place in places]
    return latents[:count], latents[count:]


def test_a_direction_is_learned_from_examples(session, request_, weights):
    made = run(learn_axis(session.pipeline, request_, weights, "Hat", examples(weights)))
    vector = torch.from_numpy(made.axis.vector.array())
    assert made.axis.name == "Hat"
    assert vector[0] / vector.norm() > 0.8
    with_it, without = examples(weights)
    scores = [
        [float(w_of(session, latent)[0] @ vector) for latent in side] for side in (with_it, without)
    ]
    assert min(scores[0]) > max(scores[1])


def test_what_is_learned_leaves_alone_what_other_sliders_do(session, request_, weights):
    other = Axis("shipped:Smile", "Smile", "Expression", Values.of(drawn(14, seed=77)))
    heads = examples(weights)
    plain = run(learn_axis(session.pipeline, request_, weights, "Hat", heads)).axis
    freed = run(learn_axis(session.pipeline, request_, weights, "Hat", heads, [other])).axis
    assert freed.vector == orthogonal_to(plain.vector, [other.vector])
    assert abs(float(freed.vector.array() @ other.vector.array())) < 1e-4
    with pytest.raises(SplatheadError, match="unlock some"):
        run(learn_axis(session.pipeline, request_, weights, "Hat", heads, [plain]))


@pytest.mark.parametrize("side", [0, 1])
def test_examples_of_one_kind_only_teach_nothing(session, request_, weights, side):
    heads = list(examples(weights))
    heads[side] = []
    with pytest.raises(SplatheadError, match="one of each"):
        run(learn_axis(session.pipeline, request_, weights, "Hat", tuple(heads)))
    same = [LatentSettings(seed=3)]
    with pytest.raises(SplatheadError, match="the same"):
        run(learn_axis(session.pipeline, request_, weights, "Hat", (same, same)))


@pytest.mark.parametrize("ending", ["json", "safetensors"])
def test_sliders_come_back_from_a_file_and_only_for_their_generator(tmp_path, weights, ending):
    axes = [
        Axis("own:0", "Hat", "Mine", Values.of(drawn(14)), "a hat", -1.0, 2.0),
        Axis("own:4", "Age", "Mine", Values.of(drawn(4, 14))),
    ]
    names = {"own:0": "Hat", "own:4": "Older"}
    path = tmp_path / f"mine.{ending}"
    saved = run(save_axes(path, axes, names, weights))
    assert (saved.path, saved.sentence[:28]) == (path, f"Saved 2 directions as mine.{ending}"[:28])
    loaded = run(load_axes(path, weights, 14))
    assert [axis.name for axis in loaded.axes] == ["Hat", "Older"]
    for before, after in zip(axes, loaded.axes, strict=True):
        assert replace(after, source=before.source, name=before.name) == before
    with pytest.raises(LoadError, match="another generator"):
        run(load_axes(path, "b" * 64, 14))
    again = run(save_axes(path, axes[:1], names, weights))
    assert again.path.name == f"mine-2.{ending}"
