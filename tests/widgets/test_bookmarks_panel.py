"""The Bookmarks panel, used by a hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from imgui_bundle import imgui

from models.delta import Tuning, delta_between
from models.latents import LatentSettings
from splatviz_app.bookmarks import Bookmark
from splatviz_app.preferences import Preferences
from splatviz_app.projects.files import pixels_of
from splatviz_app.session import new_session
from tests.models.small import small_generator
from tests.widgets.hand import Hand, opened
from widgets.bookmarks import BookmarksPanel

A, B = LatentSettings(seed=1, x=0.1), LatentSettings(seed=2, psi=1.0)


class Polled(BookmarksPanel):
    """The panel as the window uses it: polled in every frame."""

    def draw(self, session):
        super().draw(session)
        self.poll(session)


@pytest.fixture
def session(tmp_path, generator_file):
    """A session with a small generator that saves into the test's folder."""
    session = new_session(Preferences(backend="torch", save_folder=str(tmp_path)))
    session.viewport = (40, 24)
    return opened(session, generator_file)


@pytest.fixture
def hand(session):
    with Hand(Polled(), session, size=(300, 900)) as hand:
        yield hand


def kept(session):
    return session.document.bookmarks


def with_two(session, hand):
    """Keep two heads, A and B; B is shown."""
    for latent in (A, B):
        session.latent = latent
        hand.settle()
        hand.click("Keep this head")
        hand.settle()
    assert [bookmark.latent for bookmark in kept(session)] == [A, B]


def test_a_head_is_kept_with_its_picture_and_a_click_brings_it_back(session, hand):
    with_two(session, hand)
    first, second = (pixels_of(bookmark.thumbnail) for bookmark in kept(session))
    assert [bookmark.name for bookmark in kept(session)] == ["Head 1", "Head 2"]
    assert first.shape == (192, 192, 4)
    assert np.abs(first.astype(int) - second).max() > 10, "each has its own picture"

    hand.click("Bookmark 0")

    assert session.latent == A
    session.undo()
    assert session.latent == B


def test_keeping_is_one_step_of_undo(session, hand):
    session.latent = A
    hand.settle()
    hand.click("Keep this head")
    hand.settle()
    session.undo()
    assert (kept(session), session.latent) == ((), A)
    session.redo()
    assert [bookmark.latent for bookmark in kept(session)] == [A]


def test_a_bookmark_is_renamed_updated_and_deleted(session, hand):
    with_two(session, hand)
    hand.click("Bookmark 0")
    hand.type("Name", "Ada")
    hand.settle()
    assert [bookmark.name for bookmark in kept(session)] == ["Ada", "Head 2"]

    session.latent = replace(A, psi=0.2)
    hand.settle()
    hand.click("Update")
    hand.settle()
    assert [(b.name, b.latent.psi) for b in kept(session)] == [("Ada", 0.2), ("Head 2", 1.0)]

    hand.click("Delete")
    hand.settle()
    assert [bookmark.name for bookmark in kept(session)] == ["Head 2"]
    session.undo()
    assert len(kept(session)) == 2


def test_holding_compare_shows_the_bookmark_and_leaves_no_step_of_undo(session, hand):
    with_two(session, hand)
    hand.click("Bookmark 0")
    session.latent = replace(A, seed=9)
    hand.settle()
    here = session.document
    hand.move(hand.place("Hold to compare"))
    imgui.get_io().add_mouse_button_event(0, True)
    hand.frames(3)
    assert session.latent == A
    imgui.get_io().add_mouse_button_event(0, False)
    hand.frames(3)
    assert session.document == here
    session.undo()
    assert session.latent == A, "the step before, not the comparison"


def test_a_tuned_head_is_kept_compared_and_brought_back_tuned(session, hand):
    base, tuned = small_generator(), small_generator()
    with torch.no_grad():
        tuned.point_gen._xyz += 0.5
    tuning = Tuning(delta_between(base, tuned, name="Ada"), 0.5)
    session.latent = A
    session.tuning = tuning
    hand.settle()
    hand.click("Keep this head")
    hand.settle()
    session.latent, session.tuning = B, None
    hand.settle()
    hand.click("Keep this head")
    hand.settle()
    assert [bookmark.tuning for bookmark in kept(session)] == [tuning, None]

    hand.click("Bookmark 0")
    assert (session.latent, session.tuning) == (A, tuning)
    hand.click("Bookmark 1")
    assert (session.latent, session.tuning) == (B, None)
    hand.click("Bookmark 0")
    session.latent, session.tuning = B, None
    hand.settle()
    here = session.document
    hand.move(hand.place("Hold to compare"))
    imgui.get_io().add_mouse_button_event(0, True)
    hand.frames(3)
    assert (session.latent, session.tuning) == (A, tuning)
    imgui.get_io().add_mouse_button_event(0, False)
    hand.frames(3)
    assert session.document == here


def test_reset_goes_back_to_the_checkpoint(session, hand):
    assert not hand.can_use("Reset")
    session.latent = A
    hand.settle()
    hand.click("Save checkpoint")
    hand.settle()
    session.latent = B
    hand.settle()
    hand.click("Reset")
    assert session.latent == A
    session.undo()
    assert session.latent == B


def test_a_bookmark_of_another_generator_is_refused_with_a_sentence(session, hand):
    foreign = Bookmark("Theirs", A, "cd" * 32)
    session.document = replace(session.document, bookmarks=(foreign,))
    hand.settle()
    before = session.latent
    hand.click("Bookmark 0")
    assert "“Theirs” belongs to another generator" in session.banner
    assert session.latent == before
    assert not hand.can_use("Blend 0")
    assert not hand.can_use("Hold to compare")


def test_two_ticked_heads_are_blended_by_a_slider(session, hand):
    with_two(session, hand)
    assert not hand.finds("Place")
    hand.click("Blend 1")
    hand.click("Blend 0")
    hand.settle()
    assert hand.sees("Head 2 > Head 1"), "in the order of the ticks"
    hand.type("Place", "1")
    assert session.latent == A
    hand.type("Place", "0.5")
    assert session.latent.kept is not None
    hand.settle()
    assert session.result.request.latent == session.latent
    hand.type("Place", "0")
    assert session.latent == B


def test_playing_walks_the_way_and_is_one_step_of_undo(session, hand):
    with_two(session, hand)
    hand.click("Blend 0")
    hand.click("Blend 1")
    hand.settle()
    before = session.document
    hand.click("Play")
    seen = set()
    for _ in range(12):
        hand.frames(2)
        seen.add(session.latent)
    assert len(seen) > 5
    hand.click("Stop")
    stopped = session.latent
    hand.frames(4)
    assert session.latent == stopped
    session.hand_is_busy, session.busy_until = False, 0.0
    session.update(0.01)
    session.undo()
    assert session.document == before


def test_undo_stops_what_plays(session, hand):
    with_two(session, hand)
    hand.click("Blend 0")
    hand.click("Blend 1")
    hand.settle()
    hand.click("Play")
    hand.frames(4)
    session.undo()
    there = session.latent
    hand.frames(4)
    assert session.latent == there
    assert hand.finds("Play")


def test_a_deleted_head_leaves_the_blend(session, hand):
    with_two(session, hand)
    hand.click("Blend 0")
    hand.click("Blend 1")
    hand.settle()
    hand.click("Bookmark 0")
    hand.click("Delete")
    hand.settle()
    assert not hand.finds("Place")


@pytest.mark.parametrize("ending", [".json", ".npz"])
def test_bookmarks_are_exported_and_imported(ending, session, hand, tmp_path):
    with_two(session, hand)
    hand.click(f"Export {ending}")
    hand.settle()
    path = tmp_path / f"bookmarks{ending}"
    assert path.exists(), session.toast
    hand.panel.read(session, path)
    hand.settle()
    assert [b.name for b in kept(session)] == ["Head 1", "Head 2", "Head 3", "Head 4"]
    assert [b.latent for b in kept(session)] == [A, B, A, B]
    assert session.toast == f"Read 2 heads from bookmarks{ending}"


def test_without_a_generator_the_panel_says_what_to_do(tmp_path, head_ply):
    session = new_session(Preferences(backend="torch"))
    session.viewport = (40, 24)
    session.open(head_ply)
    with Hand(Polled(), session) as hand:
        hand.settle()
        assert not hand.can_use("Keep this head")
        assert hand.sees("No heads are kept yet")
        hand.panel.keep(session)
        hand.settle()
        assert kept(session) == ()
        assert "Open a generator first" in session.toast
