"""The tabs of the Latent panel, used by a hand: sliders, locks, strips, colours, mixes, learning."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.checkpoint import save_generator
from models.directions import Direction, shipped_directions, weights_hash, write_directions
from models.latents import LatentSettings, Mix, Values
from splatviz_app import latent_jobs
from splatviz_app.directions import Axis, ColorWish, amount_of
from splatviz_app.engine import JobState
from splatviz_app.preferences import Preferences
from splatviz_app.session import new_session
from tests.models.small import small_generator
from tests.widgets.hand import Hand, opened
from widgets.latent import LatentPanel

SIZE = (320, 1400)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(autouse=True)
def few_samples(monkeypatch):
    """Components of a small generator need no hundred thousand heads."""
    original = latent_jobs.known_components
    monkeypatch.setattr(
        latent_jobs,
        "known_components",
        lambda g, weights, folder, _: original(g, weights, folder, 500),
    )


@pytest.fixture
def session(tmp_path):
    """A session that shows a small generator with three directions."""
    session = new_session(Preferences(backend="torch", save_folder=str(tmp_path)))
    session.viewport = (20, 16)
    generator, path = small_generator(), tmp_path / "small.safetensors"
    save_generator(path, generator)
    directions = [
        Direction("Smile", "Expression", drawn(14), "from calm to smiling", -1.0, 2.0),
        Direction("Skin tone", "Skin", drawn(14, seed=1)),
        Direction("Warm skin", "Skin", drawn(14, seed=2)),
    ]
    write_directions(shipped_directions(path), directions, weights_hash(generator))
    return opened(session, path)


def tab(session, name, size=SIZE):
    """A hand before one tab of the panel. A context manager."""
    hand = Hand(LatentPanel(), session, size=size)

    class AtTab:
        def __enter__(self):
            hand.__enter__()
            hand.click(name)
            hand.settle()
            return hand

        def __exit__(self, *error):
            hand.__exit__(*error)

    return AtTab()


def amount(session, source):
    return amount_of(session.latent, source)


TABS = ("Place", "Directions", "PCA", "Mix", "Learn")


@pytest.mark.parametrize("name", TABS)
def test_every_tab_draws_and_changes_nothing_by_itself(session, name):
    document = session.document
    with tab(session, name) as hand:
        hand.frames(4)
        assert hand.texts
    assert session.document == document
    assert not session.banner


@pytest.mark.parametrize("name", TABS)
def test_every_tab_fits_a_narrow_column(session, name):
    with tab(session, name, size=(180, 300)) as hand:
        hand.frames(3)


def test_what_belongs_to_another_generator_can_be_left_out(session):
    foreign = LatentSettings(x=0.25, kept=Values.of(drawn(1, 14)), weights="b" * 64)
    session.latent = foreign
    with Hand(LatentPanel(), session) as hand:
        assert hand.sees("belongs to another generator")
        hand.click("Leave them out")
        assert session.latent == LatentSettings(x=0.25)
        assert hand.finds("Pad")


# ---- components


def test_components_are_found_when_their_tab_is_first_shown_and_kept_after_that(session):
    with tab(session, "PCA") as hand:
        assert hand.finds("Component 1")
        assert hand.sees("10 of 14 components")
    jobs = []
    session.start_job = lambda *args: jobs.append(args)
    with Hand(LatentPanel(), session):
        pass
    assert jobs == []


def test_a_search_that_was_cancelled_can_be_begun_again(session):
    with Hand(LatentPanel(), session) as hand:
        hand.click("PCA")
        (job,) = session.engine.jobs
        job.cancel()
        hand.settle()
        assert job.state is JobState.CANCELLED
        assert not hand.finds("Component 1")
        hand.click("Find components")
        hand.settle()
        assert hand.finds("Component 1")


def test_a_slider_pushes_the_head_and_a_drag_is_one_step_of_undo(session):
    before, picture = session.document, session.result.image
    with tab(session, "PCA") as hand:
        hand.drag("Component 2", 60, steps=9)
        hand.settle()
        assert amount(session, "pca:1") > 0.5
        assert [push.source for push in session.latent.pushes] == ["pca:1"]
        assert not np.array_equal(session.result.image, picture)
        session.undo()
        assert session.document == before
        session.redo()
        assert amount(session, "pca:1") > 0.5


def test_what_is_typed_may_go_further_than_the_bar_but_not_without_end(session):
    with tab(session, "PCA") as hand:
        hand.type("Component 1", "5.5")
        assert amount(session, "pca:0") == pytest.approx(5.5)
        hand.type("Component 1", "-4000")
        assert amount(session, "pca:0") == -12
        hand.type("Component 1", "0")
    assert session.latent == LatentSettings()


def test_all_components_can_be_reached(session):
    with tab(session, "PCA") as hand:
        assert not hand.finds("Component 14")
        hand.click("More")
        assert hand.finds("Component 14")
        assert hand.sees("14 of 14 components: 100%")
        hand.click("Fewer")
        hand.type("Find", "13")
        assert hand.finds("Component 13")
        assert not hand.finds("Component 3")
        hand.type("Find", "nothing")
        assert hand.sees("No component has that name")


def test_zero_and_randomise_spare_the_locked(session):
    with tab(session, "PCA") as hand:
        hand.type("Component 1", "1.5")
        hand.click("Lock Component 1")
        assert session.palette.locked == {"pca:0"}
        assert not hand.can_use("Component 1")
        hand.click("Randomise")
        assert amount(session, "pca:0") == 1.5
        drawn_now = [amount(session, f"pca:{i}") for i in range(1, 10)]
        assert len(set(drawn_now)) > 5
        assert max(map(abs, drawn_now)) <= 2.5
        assert amount(session, "pca:10") == 0
        hand.click("Zero")
        assert [push.source for push in session.latent.pushes] == ["pca:0"]
        hand.click("Lock Component 1")
        hand.click("Zero")
    assert session.latent == LatentSettings()
    assert session.document.palettes == ()


def test_orthogonal_to_locked_takes_out_what_a_locked_direction_does(session):
    with tab(session, "Directions") as hand:
        assert not hand.can_use("Orthogonal to locked")
        hand.click("Lock Smile")
        hand.click("Orthogonal to locked")
        hand.type("Skin tone", "1")
    (push,) = session.latent.pushes
    assert abs(float(push.vector.array() @ drawn(14).numpy())) < 1e-5
    assert push.vector != Values.of(drawn(14, seed=1))


def menu_of(hand, name):
    hand.click(name, button=1)
    hand.frames(2)


def close_menu(hand):
    hand.click("Orthogonal to locked", at=(1.2, 0.5))  # beside it, where nothing is
    hand.frames(2)


def test_a_slider_is_renamed_and_found_by_its_new_name(session):
    with tab(session, "PCA") as hand:
        hand.type("Component 3", "1")
        menu_of(hand, "Component 3")
        hand.type("Name", "Big jaw", at=(0.2, 0.5))
        close_menu(hand)
        assert hand.finds("Big jaw")
        assert not hand.finds("Component 3")
        assert session.latent.pushes[0].name == "Big jaw"
        hand.type("Find", "jaw")
        assert hand.finds("Big jaw")
        assert not hand.finds("Component 1")


def test_a_slider_acts_on_the_blocks_of_its_menu(session):
    with tab(session, "PCA") as hand:
        hand.type("Component 1", "2")
        menu_of(hand, "Component 1")
        hand.click("Fine")
        close_menu(hand)
        (push,) = session.latent.pushes
        assert (push.first, push.last) == (3, None)
        assert hand.sees("[4-] Component 1")
        hand.settle()
        menu_of(hand, "Component 1")
        hand.click("Reset to 0")
    assert session.latent == LatentSettings()
    assert session.palette.mark("pca:0").first == 3


def test_a_strip_shows_the_heads_along_a_slider_and_a_click_goes_there(session):
    with tab(session, "PCA") as hand:
        assert not hand.finds("Component 1 at +2.0")
        hand.click("Strip of Component 1")
        hand.settle()
        assert hand.finds("Component 1 at -3.0")
        assert len(session.textures.missing()) == 7
        hand.click("Component 1 at +2.0")
        assert amount(session, "pca:0") == 2.0
        hand.settle()
        assert not hand.sees("These are of another head")
        # Its own slider moves along the strip; another makes it one of another head.
        hand.type("Component 2", "1")
        assert hand.sees("These are of another head")
        hand.click("Draw again")
        hand.settle()
        assert not hand.sees("These are of another head")
        hand.click("Strip of Component 1")
        assert not hand.finds("Component 1 at +2.0")


def test_the_strip_leaves_the_large_picture_alone(session):
    with tab(session, "PCA") as hand:
        request, result = session.request(), session.result
        hand.click("Strip of Component 1")
        hand.settle()
        assert session.result is result
        assert "synthesize" not in session.pipeline(request).seconds


# ---- named directions


def test_directions_stand_under_their_headings(session):
    with tab(session, "Directions") as hand:
        assert hand.texts.index("Expression") < hand.texts.index("Skin")
        hand.type("Smile", "0.5")
        assert amount(session, "shipped:Smile") == 0.5
        hand.hover("Smile")
        assert hand.sees("from calm to smiling")
        hand.type("Find", "skin")
        assert not hand.finds("Smile")
        assert hand.finds("Warm skin")
        hand.type("Find", "skin col")
        assert hand.finds("Pick skin colour")
        assert not hand.finds("Warm skin")
        hand.type("Find", "nothing")
        assert hand.sees("No direction has that name")


def test_random_directions_stay_within_their_ranges(session):
    with tab(session, "Directions") as hand:
        for _ in range(10):
            hand.click("Randomise")
            assert all(-2 <= push.amount <= 2 for push in session.latent.pushes)
            assert -1 <= amount(session, "shipped:Smile") <= 2


def test_a_picked_colour_moves_the_sliders_of_skin_in_one_step_of_undo(session):
    before = session.document
    with tab(session, "Directions") as hand:
        hand.type("Pick skin colour", "40", at=(0.1, 0.5))
        assert session.document == before
        deadline = time.monotonic() + 20
        while session.palette.wish("Skin") is None:
            assert time.monotonic() < deadline
            hand.settle()
        wish = session.palette.wish("Skin")
        assert wish.color[0] == pytest.approx(40 / 255, abs=0.003)
        assert wish.sources == ("shipped:Skin tone", "shipped:Warm skin")
        for source, wanted in zip(wish.sources, wish.amounts, strict=True):
            assert amount(session, source) == pytest.approx(wanted)
        hand.type("Skin weight", "0.5")
        for source, wanted in zip(wish.sources, wish.amounts, strict=True):
            assert amount(session, source) == pytest.approx(wanted / 2)
        hand.settle()
        session.undo()
        session.undo()
        assert session.document == before


def test_own_directions_are_saved_and_loaded_by_the_same_generator_only(session, tmp_path):
    axis = Axis("own:", "Hat", "Mine", Values.of(drawn(14, seed=8)), "a hat")
    session.palette = session.palette.with_own(axis)
    with tab(session, "Directions") as hand:
        assert hand.finds("Hat")
        hand.click("Save mine…")
        hand.frames(2)
        hand.type("Name of the file", "hats")
        hand.click("Save directions")
        hand.settle()
        assert session.toast.startswith("Saved 1 direction as hats.json")
        panel_tab = hand.panel._tabs[1]
        panel_tab.load(session, tmp_path / "hats.json")
        hand.settle()
        assert [own.name for own in session.palette.own] == ["Hat", "Hat 2"]
        assert session.palette.own[1].vector == axis.vector
        hand.frames(2)
        menu_of(hand, "Hat 2")
        hand.click("Remove “Hat 2”")
        assert [own.name for own in session.palette.own] == ["Hat"]
        write_directions(tmp_path / "foreign.json", [Direction("Hat", "Mine", drawn(14))], "b" * 64)
        panel_tab.load(session, tmp_path / "foreign.json")
        hand.settle()
    assert "another generator" in session.banner
    assert [own.name for own in session.palette.own] == ["Hat"]


def test_without_own_directions_there_is_nothing_to_save(session):
    with tab(session, "Directions") as hand:
        assert not hand.can_use("Save mine…")
        assert hand.can_use("Load…")


def test_what_is_learned_arrives_while_the_panel_is_hidden(session):
    panel = LatentPanel()
    with Hand(panel, session) as hand:
        hand.click("Learn")
        hand.type("Name", "Hat")
        hand.click("Begin at this head")
        session.latent = replace(session.latent, seed=5)
        hand.frames(2)
        hand.click("Make direction to this head")
        session.engine.drain()
        session.update(0.01)
        panel.poll(session)  # and no frame that draws it
        assert [own.name for own in session.palette.own] == ["Hat"]


# ---- mixing


def test_a_taken_head_takes_over_in_its_blocks(session):
    first = session.result.image
    with tab(session, "Mix") as hand:
        hand.click("Take this head")
        hand.settle()
        assert session.latent.mix is not None
        session.latent = replace(session.latent, x=0.8, y=-0.6)
        hand.settle()
        assert np.array_equal(session.result.image, first)  # it takes over everywhere
        hand.click("Fine")
        assert (session.latent.mix.first, session.latent.mix.last) == (3, None)
        hand.settle()
        assert not np.array_equal(session.result.image, first)
        hand.type("Strength", "0.25")
        assert session.latent.mix.strength == 0.25
        hand.click("Remove the other head")
    assert session.latent == LatentSettings(x=0.8, y=-0.6)


def test_another_random_head_keeps_what_it_takes_over(session):
    mix = Mix(Values.of(drawn(1, 14)), 1, 2, 0.5, "Old")
    session.latent = replace(session.latent, mix=mix).bound_to(session.palette.weights)
    with tab(session, "Mix") as hand:
        hand.click("Random head")
        hand.settle()
    found = session.latent.mix
    assert found.name.startswith("Seed ")
    assert found == replace(mix, w=found.w, name=found.name)
    assert found.w != mix.w


# ---- learning


def test_a_direction_is_learned_from_marked_heads(session):
    with tab(session, "Learn") as hand:
        for number in range(4):
            session.latent = LatentSettings(seed=number, x=0.1)
            hand.frames(2)
            hand.click("Has it" if number % 2 else "Has it not")
            assert not hand.can_use("Has it")
        hand.settle()
        assert (len(session.palette.having), len(session.palette.lacking)) == (2, 2)
        assert len(session.textures.missing()) == 4
        assert not hand.can_use("Learn direction")
        hand.type("Name", "Hat")
        hand.click("Learn direction")
        hand.settle()
        (own,) = session.palette.own
        assert (own.name, own.group) == ("Hat", "Mine")
        hand.click("Directions")
        hand.frames(2)
        hand.type("Hat", "1")
    assert session.latent.pushes[0].vector == own.vector


def test_a_marked_head_is_gone_to_and_removed(session):
    first = replace(session.latent, x=0.5)
    session.palette = replace(session.palette, having=(first, LatentSettings(seed=4)))
    with tab(session, "Learn") as hand:
        hand.click("With it 1")
        assert session.latent == first
        hand.click("With it 2", button=1)
        hand.frames(2)
        hand.click("With it 2")
        hand.frames(2)
        assert session.palette.having in ((first,), (first, LatentSettings(seed=4)))
        hand.click("Forget the examples")
    assert session.palette.having == ()


def test_a_direction_leads_from_one_head_to_another(session):
    with tab(session, "Learn") as hand:
        hand.type("Name", "To her")
        hand.click("Begin at this head")
        assert not hand.can_use("Make direction to this head")
        session.latent = replace(session.latent, seed=5, x=0.4)
        hand.frames(2)
        there = session.latent
        hand.settle()
        picture = session.result.image
        hand.click("Make direction to this head")
        hand.settle()
        (own,) = session.palette.own
        # From the first head, one whole step of it is the second.
        session.latent = session.palette.start
        hand.click("Directions")
        hand.frames(2)
        hand.type("To her", "1")
        hand.settle()
        assert session.latent.seed != there.seed
        assert np.abs(session.result.image.astype(int) - picture).max() <= 2
    assert own.high == 2.0


# ---- a kept head


def test_the_pad_leads_back_from_a_kept_head(session):
    kept = replace(session.latent, kept=Values.of(drawn(1, 14)), psi=1.0)
    session.latent = kept.bound_to(session.palette.weights)
    with Hand(LatentPanel(), session) as hand:
        assert hand.sees("A kept head is shown")
        hand.type("Truncation ψ", "0.5")
        assert session.latent.kept is not None
        hand.click("Pad", at=(0.9, 0.1))
        assert session.latent.kept is None
        assert session.latent.weights == ""
        assert not hand.sees("A kept head is shown")
        session.latent = kept.bound_to(session.palette.weights)
        hand.frames(2)
        hand.click("Back to the pad")
    assert session.latent == replace(LatentSettings(), psi=1.0)


# ---- a walk without aim


def test_a_walk_goes_on_until_it_is_stopped_and_is_one_step_of_undo(session):
    before = session.document
    with Hand(LatentPanel(), session) as hand:
        hand.click("Walk")
        hand.frames(30)
        first = (session.latent.x, session.latent.y)
        assert first != (0, 0)
        hand.frames(10)
        assert (session.latent.x, session.latent.y) != first
        hand.click("Stop")
        there = session.latent
        hand.settle()
        assert session.latent == there
        session.undo()
        assert session.document == before


def test_a_walk_ends_where_another_place_is_chosen(session):
    with Hand(LatentPanel(), session) as hand:
        hand.click("Walk")
        hand.frames(5)
        hand.click("Pad", at=(0.9, 0.5))
        place = session.latent
        hand.frames(5)
        assert session.latent == place
        assert hand.finds("Walk")


def test_a_colour_whose_sliders_were_moved_since_is_forgotten(session):
    wish = ColorWish("Skin", (0.2, 0.3, 0.4), 1.0, ("shipped:Skin tone",), (0.0,), (1.5,))
    session.palette = session.palette.wishing(wish)
    with tab(session, "Directions") as hand:
        assert not hand.finds("Skin weight")
        hand.type("Skin tone", "1.5")
        assert hand.finds("Skin weight")
        hand.click("Zero")
        assert not hand.finds("Skin weight")
