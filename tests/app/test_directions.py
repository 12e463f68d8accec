"""Sliders as values: what a moved one makes of the latent settings, and whom all of it belongs to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.checkpoint import save_generator
from models.directions import Direction, shipped_directions, weights_hash, write_directions
from models.latents import ForeignLatent, LatentSettings, Push, Values
from splatviz_app.directions import (
    Axis,
    ColorWish,
    Mark,
    Palette,
    amount_of,
    axis_of,
    moved,
    orthogonal_to,
    palette_for,
    realigned,
    with_palette,
    zeroed,
)
from splatviz_app.preferences import Preferences
from splatviz_app.session import new_session
from tests.models.small import small_generator

WEIGHTS = "a" * 64


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def axes_of(count=3, width=14):
    axes = [
        Axis(f"pca:{i}", f"Component {i + 1}", "PCA", Values.of(drawn(width, seed=i)))
        for i in range(count)
    ]
    return {axis.source: axis for axis in axes}


# ---- moving sliders


def test_a_moved_slider_is_a_push_and_at_0_there_is_none():
    axes, palette = axes_of(), Palette(WEIGHTS)
    latent = moved(LatentSettings(seed=3), palette, axes, {"pca:1": 0.5, "pca:2": -1.0})
    assert [(p.source, p.amount, p.name) for p in latent.pushes] == [
        ("pca:1", 0.5, "Component 2"),
        ("pca:2", -1.0, "Component 3"),
    ]
    assert latent.pushes[0].vector == axes["pca:1"].vector
    assert latent.weights == WEIGHTS
    assert (amount_of(latent, "pca:2"), amount_of(latent, "pca:0")) == (-1.0, 0.0)
    back = moved(latent, palette, axes, {"pca:1": 0.0, "pca:2": 0.0})
    assert back == LatentSettings(seed=3)


def test_a_slider_keeps_its_place_among_the_pushes():
    axes, palette = axes_of(), Palette(WEIGHTS)
    latent = moved(LatentSettings(), palette, axes, {"pca:1": 0.5, "pca:2": -1.0})
    latent = moved(latent, palette, axes, {"pca:1": 2.0})
    assert [p.source for p in latent.pushes] == ["pca:1", "pca:2"]


def test_what_belongs_to_another_generator_is_not_added_to():
    axes = axes_of()
    latent = moved(LatentSettings(), Palette(WEIGHTS), axes, {"pca:0": 1.0})
    with pytest.raises(ForeignLatent):
        moved(latent, Palette("b" * 64), axes, {"pca:1": 1.0})


def test_marks_give_a_push_its_name_and_blocks():
    axes = axes_of()
    palette = Palette(WEIGHTS).marked(Mark("pca:0", name="Jaw", first=2, last=3))
    (push,) = moved(LatentSettings(), palette, axes, {"pca:0": 1.0}).pushes
    assert (push.name, push.first, push.last) == ("Jaw", 2, 3)


def test_zeroing_spares_the_locked_and_the_others():
    axes = axes_of()
    palette = Palette(WEIGHTS).marked(Mark("pca:1", locked=True))
    latent = moved(LatentSettings(), palette, axes, {s: 1.0 for s in axes})
    assert [p.source for p in zeroed(latent, palette, ["pca:0", "pca:1"]).pushes] == [
        "pca:1",
        "pca:2",
    ]


def test_orthogonal_sliders_leave_alone_what_the_locked_ones_do():
    axes = axes_of()
    palette = replace(Palette(WEIGHTS).marked(Mark("pca:1", locked=True)), orthogonal=True)
    latent = moved(LatentSettings(), palette, axes, {"pca:0": 2.0, "pca:1": 1.0})
    free, locked = (push.vector.array().astype(float) for push in latent.pushes)
    assert locked.tolist() == axes["pca:1"].vector.array().tolist()
    assert abs(free @ locked) < 1e-5
    whole = axes["pca:0"].vector.array()
    expected = whole - locked * (whole @ locked) / (locked @ locked)
    np.testing.assert_allclose(free, expected, atol=1e-5)
    # Without the wish it is the slider's own vector again.
    plain = realigned(latent, replace(palette, orthogonal=False), axes)
    assert plain.pushes[0].vector == axes["pca:0"].vector
    assert realigned(plain, palette, axes) == latent


def test_orthogonal_to_several_is_orthogonal_to_each_in_every_block():
    vector, others = drawn(4, 14), [drawn(14, seed=1), drawn(4, 14, seed=2)]
    left = orthogonal_to(Values.of(vector), [Values.of(o) for o in others]).tensor()
    assert left.shape == (4, 14)
    for other in others:
        assert (left * other).sum(dim=-1).abs().max() < 1e-5
    inside = Values.of(2 * others[0])
    assert orthogonal_to(inside, [Values.of(others[0])]) == Values.of(torch.zeros(14))
    # Parallel ones count once, and those of length 0 not at all.
    twice = [Values.of(others[0]), Values.of(-3 * others[0]), Values.of(torch.zeros(14))]
    flat = Values.of(drawn(14, seed=5))
    np.testing.assert_allclose(
        orthogonal_to(flat, twice).array(), orthogonal_to(flat, twice[:1]).array(), atol=1e-5
    )


# ---- palettes


def test_a_mark_that_says_nothing_is_not_kept():
    palette = Palette(WEIGHTS).marked(Mark("pca:0", locked=True))
    assert palette.locked == {"pca:0"}
    assert palette.marked(Mark("pca:0")) == Palette(WEIGHTS)
    assert palette.mark("pca:5") == Mark("pca:5")


def test_own_sliders_have_names_and_sources_of_their_own():
    axis = axes_of()["pca:0"]
    palette = Palette(WEIGHTS)
    for _ in range(3):
        palette = palette.with_own(axis)
    assert [own.name for own in palette.own] == ["Component 1", "Component 1 2", "Component 1 3"]
    assert [own.source for own in palette.own] == ["own:0", "own:1", "own:2"]
    fewer = palette.marked(Mark("own:1", locked=True)).without_own("own:1")
    assert [own.source for own in fewer.own] == ["own:0", "own:2"]
    assert not fewer.locked
    assert fewer.with_own(axis).own[-1].source == "own:3"


def test_each_generator_has_one_palette():
    one, two = Palette("a", orthogonal=True), Palette("b", orthogonal=True)
    palettes = with_palette(with_palette((), one), two)
    assert palette_for(palettes, "a") == one
    assert palette_for(palettes, "c") == Palette("c")
    assert with_palette(palettes, Palette("a")) == (two,)
    changed = one.wishing(ColorWish("Skin", (1.0, 0.5, 0.2)))
    assert palette_for(with_palette(palettes, changed), "a").wish("Skin").color == (1.0, 0.5, 0.2)


def test_a_named_direction_is_a_slider():
    axis = axis_of(Direction("Smile", "Expression", drawn(14), "from calm", -1.0, 2.0), "shipped")
    assert (axis.source, axis.low, axis.high) == ("shipped:Smile", -1.0, 2.0)
    assert torch.equal(axis.vector.tensor(), drawn(14))


# ---- in a session


@pytest.fixture
def session():
    session = new_session(Preferences(backend="torch"))
    session.viewport = (40, 24)
    return session


def show(session, path):
    session.open(path)
    for _ in range(4):
        session.engine.drain()
        session.update(0.01)


def messages(session):
    return [(entry.level, entry.message) for entry in session.log.entries]


def generator_beside(folder: Path, name: str, directions=(), seed=0) -> Path:
    generator = small_generator(seed=seed)
    path = folder / f"{name}.safetensors"
    save_generator(path, generator)
    if directions:
        write_directions(shipped_directions(path), directions, weights_hash(generator))
    return path


def test_a_generator_is_opened_with_the_directions_beside_it(session, tmp_path):
    smile = Direction("Smile", "Expression", drawn(14))
    show(session, generator_beside(tmp_path, "one", [smile]))
    assert session.opened.directions == (smile,)
    assert session.opened.remark == ""


def test_directions_of_other_weights_are_refused_with_a_sentence_and_the_head_opens(
    session, tmp_path
):
    one = generator_beside(tmp_path, "one", [Direction("Smile", "Expression", drawn(14))])
    two = generator_beside(tmp_path, "two", seed=1)
    shipped_directions(one).rename(shipped_directions(two))
    show(session, two)
    assert session.opened.directions == ()
    assert session.result is not None
    (warning,) = [text for level, text in messages(session) if level == "warning"]
    assert "another generator" in warning


def pushed(session):
    push = Push("a", Values.of(drawn(14)), 3.0)
    return replace(session.latent, pushes=(push,)).bound_to(session.opened.fingerprint)


def test_a_push_changes_the_picture_and_undo_takes_it_back(session, tmp_path):
    show(session, generator_beside(tmp_path, "one"))
    before = session.result.image
    session.latent = pushed(session)
    session.update(0.01)
    session.engine.drain()
    assert not np.array_equal(session.result.image, before)
    session.undo()
    session.update(0.01)
    session.engine.drain()
    assert np.array_equal(session.result.image, before)


def test_another_generator_leaves_out_what_is_not_its_own_and_undo_brings_it_back(
    session, tmp_path
):
    show(session, generator_beside(tmp_path, "one"))
    session.latent = replace(pushed(session), x=0.3)
    session.update(0.01)
    bound = session.latent
    show(session, generator_beside(tmp_path, "two", seed=1))
    assert session.latent == replace(LatentSettings(), x=0.3)
    assert session.toast.startswith("Left out what belongs to the other generator")
    session.undo()
    assert session.latent == bound
    session.redo()
    assert not session.latent.is_bound


def test_a_foreign_place_is_a_sentence_over_the_last_good_picture(session, tmp_path):
    show(session, generator_beside(tmp_path, "one"))
    before = session.result
    session.latent = replace(pushed(session), weights="b" * 64)
    session.update(0.01)
    session.engine.drain()
    session.update(0.01)
    assert "another generator" in session.banner
    assert session.result is before


def test_a_palette_belongs_to_the_generator_that_is_open(session, tmp_path):
    one, two = (generator_beside(tmp_path, name, seed=i) for i, name in enumerate(("one", "two")))
    show(session, one)
    session.palette = replace(session.palette, orthogonal=True)
    show(session, two)
    assert not session.palette.orthogonal
    show(session, one)
    assert session.palette.orthogonal
    assert session.palette.weights == session.opened.fingerprint


def test_small_pictures_beside_the_large_one_leave_its_stages_alone(session, tmp_path):
    show(session, generator_beside(tmp_path, "one"))
    request = session.request()
    beside = session.pipeline.beside()
    other = replace(request, latent=replace(pushed(session), seed=8))
    assert not np.array_equal(beside(other).image, session.result.image)
    again = session.pipeline(request)
    assert "synthesize" not in again.seconds
    assert np.array_equal(again.image, session.result.image)
