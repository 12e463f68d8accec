"""Editing in the real window: typed code changes the picture, a bad line keeps it, undo brings it back."""

from __future__ import annotations

import numpy as np
import pytest
from imgui_bundle import imgui

from tests.test_window import Hand, in_window, red_ply  # noqa: F401 - fixtures

pytestmark = pytest.mark.window


def type_text(hand: Hand, text: str) -> None:
    hand.ctx.key_chars(text)
    hand.ctx.yield_(3)


def rest(hand: Hand) -> None:
    """Let the hand rest until what it did is a step of undo, whatever the machine's pace."""
    session = hand.session
    session.busy_until = 0.0
    hand.wait(lambda: session.document == session.history.present, "the step of undo")
    hand.settle()


def test_code_that_is_typed_changes_the_picture(in_window, red_ply, monkeypatch, tmp_path) -> None:  # noqa: F811
    monkeypatch.setenv("SPLATHEAD_CONFIG", str(tmp_path / "config"))

    def act(hand: Hand) -> None:
        session = hand.session
        hand.ctx.window_focus("//Edit")
        hand.ctx.yield_(3)
        before = session.result.image
        seed = session.latent.seed
        hand.click("//Edit/Add edit")
        hand.ctx.yield_(2)
        hand.click("//$FOCUSED/Script##add")
        rest(hand)
        # A click into the text gives it the keyboard.
        editor = hand.ctx.window_info("//Edit/##Code 1").window
        hand.ctx.mouse_move_to_pos((editor.pos.x + 120, editor.pos.y + 20))
        hand.ctx.mouse_click(0)
        hand.ctx.yield_(3)

        type_text(hand, "gs.rgb *= 0 ")
        rest(hand)
        assert session.edits.edits[0].code == "gs.rgb *= 0 "
        black = session.result.image
        assert not np.array_equal(black, before)
        assert session.latent.seed == seed  # Space was text, not the next seed

        type_text(hand, "+ nothing")
        rest(hand)
        assert "nothing" in session.banner
        assert session.result.image is black

        session.undo()
        session.undo()
        hand.settle()
        assert [edit.code for edit in session.edits.edits] == [""]
        assert np.array_equal(session.result.image, before)
        assert session.banner == ""
        hand.ctx.key_press(imgui.Key.escape)

    in_window(act, opened=red_ply)
