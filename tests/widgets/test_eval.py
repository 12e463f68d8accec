"""The Eval panel and the selection, used by a hand."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from imgui_bundle import imgui, implot

from renderer.formats.ply import write_ply
from splatviz_app.answers import Plot
from splatviz_app.edits.selected import DeleteSelected
from splatviz_app.preferences import Preferences
from splatviz_app.selection import Rectangle, Selection
from splatviz_app.session import Session, new_session
from tests.conftest import some_splats
from tests.widgets.hand import Hand, hold_key, opened
from widgets import eval_field, selection
from widgets.eval import EvalPanel
from widgets.eval_views import part_of

N = 40  # splats: enough to be plotted


@pytest.fixture
def session(tmp_path) -> Session:
    """A session that shows forty splats."""
    path = tmp_path / "forty.ply"
    write_ply(path, some_splats(N))
    session = new_session(Preferences(backend="torch", pinned=()))
    session.viewport = (40, 24)
    return opened(session, path)


class EvalHand(Hand):
    """A hand before an Eval panel, which also sees the nodes of trees and the plot."""

    def __init__(self, session: Session, height: float = 1000) -> None:
        super().__init__(EvalPanel(), session, (360, height))
        self.plots: list[tuple[float, float, float, float]] = []

    def __enter__(self) -> EvalHand:
        super().__enter__()
        self._watch("tree_node_ex", self._note_item)
        end_plot = implot.end_plot

        def watched() -> None:
            corner, size = implot.get_plot_pos(), implot.get_plot_size()
            self.plots.append((corner.x, corner.y, size.x, size.y))
            end_plot()

        implot.end_plot = watched
        self._end_plot = end_plot
        self.answered()
        return self

    def __exit__(self, *reason) -> None:
        implot.end_plot = self._end_plot
        super().__exit__(*reason)

    def answered(self) -> None:
        """Let the evaluator answer what was asked, and the panel show it."""
        for _ in range(3):
            self.session.engine.drain()
            self.frames(2)
            self.session.evaluator.drain()
            assert self.session.evaluator.failure is None, self.session.evaluator.failure.details
        self.plots.clear()
        self.frames(2)

    def ask(self, text: str) -> None:
        self.type("Expression", text)
        self.answered()

    def drag_range(self, start: float, end: float, modifier: imgui.Key | None = None) -> None:
        """Drag over the first plot, from one part of its width to another."""
        left, top, width, height = self.plots[0]
        y = top + height / 2
        if modifier is not None:
            hold_key(modifier, True)
        self.move((left + start * width, y))
        imgui.get_io().add_mouse_button_event(0, True)
        self.frames(2)
        self.move((left + end * width, y))
        self.frames()
        imgui.get_io().add_mouse_button_event(0, False)
        self.frames(2)
        if modifier is not None:
            hold_key(modifier, False)
        self.answered()


# ---- asking


def test_the_panel_begins_with_all_there_is(session):
    with EvalHand(session) as hand:
        assert hand.finds("_xyz")
        assert hand.sees(f"[{N} x 3] float32")


def test_what_is_typed_is_evaluated_on_enter_and_remembered(session):
    with EvalHand(session) as hand:
        hand.ask("gs.count * 2")
        assert str(2 * N) in hand.texts
        hand.ask("1 + 1")
    assert session.preferences.asked == ("1 + 1", "gs.count * 2")


def test_an_incomplete_text_is_never_evaluated_and_the_answer_before_stays(session, monkeypatch):
    with EvalHand(session) as hand:
        hand.ask("gs.count")
        asked = []
        monkeypatch.setattr(
            type(session.evaluator), "submit", lambda self, inquiry: asked.append(inquiry)
        )
        hand.type("Expression", "gs.opacities.mean(")
        hand.frames(3)
        assert hand.sees("Not finished yet.")
        assert str(N) in hand.texts
    assert not any("mean" in q.text for inquiry in asked for q in inquiry.questions)
    assert session.preferences.asked == ("gs.count",)


def test_a_hand_that_rests_need_not_press_enter(session, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(eval_field.time, "monotonic", lambda: now[0])
    with EvalHand(session) as hand:
        hand.click("Expression")
        hand.press(imgui.Key.a, imgui.Key.mod_ctrl)
        for letter in "gs.count + 1000":
            imgui.get_io().add_input_character(ord(letter))
        hand.answered()
        assert str(N + 1000) not in hand.texts, "not while letters come"
        now[0] += 1.0
        hand.answered()
        assert str(N + 1000) in hand.texts
    assert session.preferences.asked == (), "only what was entered is remembered"


def test_a_word_half_typed_keeps_the_answer_of_before_in_sight(session, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(eval_field.time, "monotonic", lambda: now[0])
    with EvalHand(session) as hand:
        hand.ask("gs.count + 1000")
        hand.click("Expression")
        hand.press(imgui.Key.end)
        for letter in " + gs.op":
            imgui.get_io().add_input_character(ord(letter))
        hand.frames(2)
        now[0] += 1.0
        hand.answered()
        assert hand.sees("gs has no 'op'")
        assert str(N + 1000) in hand.texts
        hand.press(imgui.Key.enter)
        hand.answered()
        assert hand.sees("gs has no 'op'")
        assert str(N + 1000) not in hand.texts, "now it was meant"


def test_an_error_stands_below_the_field_with_its_line(session):
    with EvalHand(session) as hand:
        hand.ask("1 / 0")
        assert hand.sees("line 1: division by zero")
    assert not session.banner


def test_up_and_down_walk_through_what_was_asked(session):
    with EvalHand(session) as hand:
        for text in ("1", "2", "3"):
            hand.ask(text)
        hand.click("Expression")
        hand.press(imgui.Key.up_arrow)
        hand.press(imgui.Key.up_arrow)
        assert hand.panel._field.text == "1"
        hand.press(imgui.Key.down_arrow)
        assert hand.panel._field.text == "2"
        hand.press(imgui.Key.enter)
        hand.answered()
        assert hand.panel._asked.text == "2"
    assert session.preferences.asked == ("2", "3", "1")


def test_tab_completes_a_word(session):
    with EvalHand(session) as hand:
        hand.click("Expression")
        hand.press(imgui.Key.a, imgui.Key.mod_ctrl)
        for letter in "2 * gs.opac":
            imgui.get_io().add_input_character(ord(letter))
        hand.frames(3)
        assert hand.sees("opacities")
        hand.press(imgui.Key.tab)
        assert hand.panel._field.text == "2 * gs.opacities"
        hand.press(imgui.Key.enter)
        hand.answered()
    assert session.preferences.asked == ("2 * gs.opacities",)


def test_an_example_is_chosen_from_the_list(session):
    with EvalHand(session) as hand:
        hand.click("Asked before") if hand.finds("Asked before") else _open_list(hand)
        hand.frames(2)
        hand.click("render.image")
        hand.answered()
        assert hand.sees("40 x 24 px")


def _open_list(hand: EvalHand) -> None:
    (_, top), (right, bottom) = hand._rects["Expression"]
    hand.move((right + 14, (top + bottom) / 2))
    for down in (True, False):
        imgui.get_io().add_mouse_button_event(0, down)
        hand.frames()


# ---- pinned


def test_a_pinned_expression_follows_the_head(session):
    with EvalHand(session) as hand:
        hand.ask("camera.eye[0].item()")
        hand.click("Pin")
        hand.answered()
        assert not hand.can_use("Pin")
        assert hand.sees("0.0")
        session.rig = replace(session.rig, yaw=np.pi / 2)
        hand.ask("gs.count")
        hand.settle()
        hand.answered()
        assert hand.sees("2.7")
    assert session.preferences.pinned == ("camera.eye[0].item()",)


def test_a_pinned_expression_opens_and_is_removed(session):
    session.preferences = replace(session.preferences, pinned=("gs.opacities", "1 / 0"))
    with EvalHand(session) as hand:
        assert hand.sees("division by zero")
        assert not hand.finds("Bins")
        hand.click("gs.opacities", at=(0.1, 0.5))
        hand.answered()
        assert hand.finds("Bins")
        hand.click("1 / 0", at=(0.1, 0.5), button=1)
        hand.frames(2)
        hand.click("Remove")
        assert session.preferences.pinned == ("gs.opacities",)
        hand.click("Remove gs.opacities")
    assert session.preferences.pinned == ()


def test_the_same_expression_in_the_field_and_pinned_is_looked_at_in_two_ways(session):
    session.preferences = replace(session.preferences, pinned=("gs.opacities",))
    with EvalHand(session) as hand:
        hand.ask("gs.opacities")
        hand.panel._asked = replace(hand.panel._asked, plot=Plot(bins=5))
        hand.answered()
        first, second = session.evaluator.frame.answers
        assert len(first.view.histogram.counts) == 5
        assert len(second.view.histogram.counts) == 64
        hand.click("gs.opacities", at=(0.1, 0.5))
        hand.answered()
        hand.drag_range(0.2, 0.8)
        assert len(hand.plots) % 2 == 0, "both are drawn"
        assert hand.panel._pinned["gs.opacities"].plot == Plot()


def test_a_part_of_a_pinned_value_becomes_the_question_and_the_pin_stays(session):
    session.preferences = replace(session.preferences, pinned=("gs",))
    with EvalHand(session) as hand:
        hand.ask("1")
        hand.click("gs", at=(0.02, 0.5))
        hand.answered()
        hand.click("rgb", at=(0.3, 0.5), button=1)
        hand.frames(2)
        hand.click("Look at this")
        hand.answered()
        assert hand.panel._asked.text == "gs.rgb"
    assert session.preferences.pinned == ("gs",)
    assert session.preferences.asked[0] == "gs.rgb"


# ---- results


def test_the_facts_of_a_tensor_are_rows(session):
    with EvalHand(session) as hand:
        hand.ask("gs._xyz")
        assert hand.sees(f"[{N} x 3] float32")
        low, high = float(some_splats(N).means.min()), float(some_splats(N).means.max())
        assert hand.sees(f"{low:.4g} … {high:.4g}")


def test_a_tree_opens_where_it_is_clicked_and_a_part_becomes_the_question(session):
    with EvalHand(session) as hand:
        hand.click("_xyz", at=(0.05, 0.5))
        hand.answered()
        assert hand.finds("low")
        hand.click("_xyz", at=(0.3, 0.5), button=1)
        hand.frames(2)
        hand.click("Look at this")
        hand.answered()
        assert hand.panel._asked.text == "gs._xyz"
        assert hand.finds("Bins")


@pytest.mark.parametrize(
    ("text", "path", "whole"),
    [
        ("gs", (".rgb",), "gs.rgb"),
        ("a + b", (".x", "['k']"), "(a + b).x['k']"),
        ("gs", (), "gs"),
        ("gs", ("._xyz", "low"), ""),
        ("d", ("['long…",), ""),
    ],
)
def test_a_part_of_a_value_has_an_expression(text, path, whole):
    assert part_of(text, path) == whole


def test_bins_and_logarithms_change_the_histogram(session):
    with EvalHand(session) as hand:
        hand.ask("gs.scales[:, 0]")
        hand.type("Bins", "10", at=(0.2, 0.5))
        hand.click("Log values", at=(0.1, 0.5))
        hand.answered()
        histogram = session.evaluator.frame.answers[0].view.histogram
        assert histogram.log
        assert len(histogram.counts) == 10
        hand.click("Log counts", at=(0.1, 0.5))
        hand.answered()
        assert hand.plots


# ---- selecting


def test_a_range_of_a_histogram_selects_its_splats(session):
    values = some_splats(N).opacities.numpy()
    low, high = values.min(), values.max()
    with EvalHand(session) as hand:
        hand.ask("gs.opacities")
        hand.drag_range(0.25, 0.75)
        wide = session.selection.mask()
        inside = (values > low + 0.3 * (high - low)) & (values < low + 0.7 * (high - low))
        outside = (values < low + 0.2 * (high - low)) | (values > low + 0.8 * (high - low))
        assert wide[inside].all()
        assert not wide[outside].any()
        assert hand.sees(f"{wide.sum()} of {N} splats")
        histogram = session.evaluator.frame.answers[0].view.histogram
        assert histogram.chosen.sum() == wide.sum()
        hand.drag_range(0.0, 0.2, imgui.Key.mod_ctrl)
        assert session.selection.size > wide.sum(), "Ctrl adds"
        assert session.selection.mask()[wide].all()
        hand.drag_range(0.0, 1.0, imgui.Key.mod_alt)
        assert session.selection is None, "Alt takes away"


def test_a_click_on_a_histogram_selects_nothing(session):
    with EvalHand(session) as hand:
        hand.ask("gs.opacities")
        hand.drag_range(0.5, 0.503)
    assert session.selection is None


def test_of_all_columns_together_no_range_can_be_selected(session):
    with EvalHand(session) as hand:
        hand.ask("gs._xyz")
        hand.drag_range(0.2, 0.8)
        assert session.selection is None
        hand.click("y")
        hand.answered()
        hand.drag_range(0.0, 0.5)
    y = some_splats(N).means[:, 1].numpy()
    chosen = session.selection.mask()
    assert y[chosen].max() < y[~chosen].min()


def test_a_mask_is_selected_with_a_button(session):
    opacities = some_splats(N).opacities.numpy()
    with EvalHand(session) as hand:
        hand.ask("gs.opacities < 0.7")
        hand.click("Select")
        hand.answered()
        np.testing.assert_array_equal(session.selection.mask(), opacities < 0.7)
        hand.ask("gs.opacities < 0.5")
        hand.click("Subtract")
    np.testing.assert_array_equal(session.selection.mask(), (opacities >= 0.5) & (opacities < 0.7))


def test_a_selection_is_inverted_deleted_and_all_of_it_undone(session):
    mask = np.arange(N) < 10
    session.selection = Selection.of(mask)
    with EvalHand(session) as hand:
        hand.settle()
        hand.click("Invert")
        hand.settle()
        assert session.selection.size == N - 10
        hand.click("Delete")
        hand.settle()
        assert session.selection is None
        assert session.result.splats.count == 10
        assert isinstance(session.document.edits.edits[-1], DeleteSelected)
        hand.answered()
        assert hand.sees("Nothing is selected")
        session.undo()
        hand.settle()
        assert session.result.splats.count == N
        assert session.selection.size == N - 10
        session.undo()
        np.testing.assert_array_equal(session.selection.mask(), mask)


def test_only_the_selected_splats_can_be_kept(session):
    session.selection = Selection.of(np.arange(N) % 4 == 0)
    with EvalHand(session) as hand:
        hand.click("Keep only")
        hand.settle()
    assert session.result.splats.origin.tolist() == list(range(0, N, 4))


def test_after_a_deletion_a_selection_still_means_the_splats_of_the_head(session):
    session.selection = Selection.of(np.arange(N) < 30)
    selection.delete(session)
    with EvalHand(session) as hand:
        hand.settle()
        hand.ask("gs.opacities > 0")
        hand.click("Select")
    assert session.selection.mask().nonzero()[0].tolist() == list(range(30, N))


def test_without_a_selection_the_buttons_say_how_to_get_one(session):
    with EvalHand(session) as hand:
        assert not hand.can_use("Delete")
        assert not hand.can_use("Clear")
        hand.click("Invert")
        hand.answered()
        assert session.selection.size == N
        hand.click("Clear")
    assert session.selection is None


def test_the_tint_can_be_switched_off(session):
    with EvalHand(session) as hand:
        hand.click("Tint", at=(0.05, 0.5))
    assert not session.view.highlight


def test_a_rectangle_over_the_picture_selects_what_is_seen_there(session):
    selection.select_rectangle(session, Rectangle((0, 0), (1, 1)), "replace")
    seen = session.selection.size
    session.select_through = True
    selection.select_rectangle(session, Rectangle((0, 0), (1, 1)), "replace")

    assert 0 < seen < session.selection.size == N
    selection.select_rectangle(session, Rectangle((0, 0), (0.5, 1)), "subtract")
    half = session.selection.size
    assert 0 < half < N


def test_without_a_head_the_panel_says_what_it_is_for():
    session = new_session(Preferences())
    with Hand(EvalPanel(), session) as hand:
        assert hand.sees("Nothing is shown yet.")
    assert not session.evaluator.is_drawing


def test_what_runs_too_long_can_be_stopped_by_a_button(session):
    session.evaluator.start()
    try:
        with Hand(EvalPanel(), session, (360, 1000)) as hand:
            hand.type("Expression", "while True: pass")
            begin = time.monotonic()
            while not hand.finds("Stop"):
                assert time.monotonic() - begin < 30
                hand.frames()
            hand.click("Stop")
            while session.evaluator.is_drawing:
                assert time.monotonic() - begin < 60
                hand.frames()
            hand.frames(2)
            assert hand.sees("the script was stopped")
    finally:
        session.evaluator.stop()
