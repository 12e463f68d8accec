"""Selecting splats in the real window: by a rectangle, by keys, by a histogram."""

from __future__ import annotations

import numpy as np
import pytest
from imgui_bundle import imgui

from tests.test_window import Hand, _key, in_window, red_ply

__all__ = ["in_window", "red_ply"]  # fixtures
pytestmark = pytest.mark.window


def draw_rectangle(hand: Hand, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag with Shift from one place of the picture to another, each 0 to 1."""
    hand.ctx.key_down(_key("mod_shift"))
    hand.over_picture(*start)
    hand.ctx.mouse_down(0)
    hand.over_picture(*end)
    hand.ctx.yield_(2)
    hand.ctx.mouse_up(0)
    hand.ctx.key_up(_key("mod_shift"))
    hand.settle()


def test_a_rectangle_selects_splats_keys_invert_clear_and_delete_them(in_window, red_ply) -> None:
    def act(hand: Hand) -> None:
        session = hand.session
        rig, before = session.rig, session.picture.result
        draw_rectangle(hand, (0.5, 0.2), (0.95, 0.8))
        assert session.rig == rig, "the head does not turn"
        selected = session.selection.mask()
        means = before.splats.gaussians.means.cpu().numpy()
        # The cursor stands on whole pixels, of 0.001 world units each.
        assert means[selected][:, 0].min() > -0.003, "the head's left is on the picture's right"
        assert (means[selected][:, 2] > -0.08).all(), "and only what is seen"
        after = session.picture.result.image.astype(int)
        green = after[..., 1] - before.image[..., 1]
        middle, spread = after.shape[1] // 2, 90  # px, over three deviations of a splat
        assert green[:, : middle - spread].max() < 10, "the tint is where the selection is"
        assert (green[:, middle:] > 40).sum() > 200
        hand.ctx.key_press(int(_key("mod_ctrl")) | int(_key("i")))
        hand.settle()
        np.testing.assert_array_equal(session.selection.mask(), ~selected)
        hand.ctx.key_press(_key("delete"))
        hand.settle()
        assert session.selection is None
        assert session.result.splats.count == selected.sum()
        hand.ctx.key_press(int(_key("mod_ctrl")) | int(_key("z")))
        hand.settle()
        np.testing.assert_array_equal(session.selection.mask(), ~selected)
        assert session.result.splats.count == len(selected)
        hand.ctx.key_press(_key("escape"))
        hand.settle()
        assert session.selection is None
        np.testing.assert_array_equal(session.picture.result.image, before.image)
        assert not session.wants_quit

    in_window(act, opened=red_ply)


def test_an_expression_is_typed_and_its_histogram_selects(in_window, red_ply) -> None:
    def act(hand: Hand) -> None:
        session, ctx = hand.session, hand.ctx

        def answered() -> None:
            hand.settle()
            hand.wait(lambda: not session.evaluator.is_drawing, "the answer")
            ctx.yield_(3)

        ctx.window_focus("//Eval")
        ctx.yield_(3)
        ctx.item_click("//Eval/##Expression")
        ctx.key_press(int(_key("mod_ctrl")) | int(_key("a")))
        ctx.key_chars("gs._xyz[:, 0]")
        ctx.key_press(_key("enter"))
        answered()
        (answer, *_) = session.evaluator.frame.answers
        assert answer.question.text == "gs._xyz[:, 0]"
        assert answer.view.facts.shape == (600,)
        plot = ctx.item_info("//Eval/asked/##Histogram").rect_full
        wide = plot.max.x - plot.min.x
        y = (plot.min.y + plot.max.y) / 2
        ctx.mouse_move_to_pos((plot.min.x + 0.25 * wide, y))
        ctx.mouse_down(0)
        ctx.mouse_move_to_pos((plot.min.x + 0.5 * wide, y))
        ctx.yield_(2)
        ctx.mouse_up(0)
        answered()
        x = session.result.splats.gaussians.means[:, 0].cpu().numpy()
        chosen = session.selection.mask()
        assert x[chosen].max() < 0.1, "the left part of the plot: small x"
        assert 30 < chosen.sum() < 500
        (answer, *_) = session.evaluator.frame.answers
        assert answer.view.histogram.chosen.sum() == chosen.sum()
        assert not imgui.is_any_mouse_down()

    in_window(act, opened=red_ply)
