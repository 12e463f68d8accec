"""Undo and redo: a drag is one step, and what comes back is the very value."""

from __future__ import annotations

from dataclasses import dataclass

from splatviz_app.history import History


@dataclass(frozen=True)
class Value:
    """Something a document could be."""

    number: float


def settled(history, *numbers):
    for number in numbers:
        history.settle(Value(number), hand_is_busy=False)


def test_a_drag_is_one_step():
    history = History(Value(0))

    for number in range(1, 60):
        history.settle(Value(number), hand_is_busy=True)
    history.settle(Value(59), hand_is_busy=False)

    assert history.undo(Value(59)) == Value(0)
    assert not history.can_undo


def test_undo_and_redo_give_back_the_very_values():
    first, second = Value(1), Value(2)
    history = History(first)
    history.settle(second, hand_is_busy=False)

    assert history.undo(second) is first
    assert history.redo(first) is second


def test_undo_walks_all_the_way_back_and_redo_all_the_way_forward():
    history = History(Value(0))
    settled(history, 1, 2, 3)
    value = Value(3)
    seen = []

    while history.can_undo:
        value = history.undo(value)
        seen.append(value.number)
    while history.can_redo:
        value = history.redo(value)
        seen.append(value.number)

    assert seen == [2, 1, 0, 1, 2, 3]


def test_nothing_to_undo_or_redo_changes_nothing():
    history = History(Value(0))

    assert history.undo(Value(0)) == Value(0)
    assert history.redo(Value(0)) == Value(0)
    assert not history.can_undo
    assert not history.can_redo


def test_the_same_value_again_is_no_step():
    history = History(Value(0))

    settled(history, 0, 0, 1, 1, 1)

    assert history.undo(Value(1)) == Value(0)
    assert not history.can_undo


def test_settling_on_what_undo_gave_keeps_what_can_be_redone():
    history = History(Value(0))
    settled(history, 1, 2)

    value = history.undo(Value(2))
    history.settle(value, hand_is_busy=False)  # the next frame of the window

    assert history.can_redo
    assert history.redo(value) == Value(2)


def test_a_change_after_undo_drops_what_could_be_redone():
    history = History(Value(0))
    settled(history, 1, 2)
    history.undo(Value(2))

    settled(history, 7)

    assert not history.can_redo
    assert history.redo(Value(7)) == Value(7)
    assert history.undo(Value(7)) == Value(1)


def test_redo_after_a_change_that_was_not_remembered_yet_keeps_the_change():
    history = History(Value(0))
    settled(history, 1, 2)
    history.undo(Value(2))

    assert history.redo(Value(7)) == Value(7)
    assert history.undo(Value(7)) == Value(1)


def test_undo_in_the_middle_of_a_drag_takes_the_drag_back_and_can_redo_it():
    history = History(Value(0))
    settled(history, 1)
    history.settle(Value(1.5), hand_is_busy=True)

    assert history.undo(Value(1.7)) == Value(1)
    assert history.redo(Value(1)) == Value(1.7)


def test_beyond_the_limit_the_oldest_are_forgotten():
    history = History(Value(0), limit=3)
    settled(history, 1, 2, 3, 4)

    value, seen = Value(4), []
    while history.can_undo:
        value = history.undo(value)
        seen.append(value.number)

    assert seen == [3, 2]


def test_the_limit_holds_after_an_undo_too():
    history = History(Value(0), limit=3)
    settled(history, 1, 2)
    history.undo(Value(2))

    settled(history, 5, 6)

    assert history.undo(Value(6)) == Value(5)
    assert history.undo(Value(5)) == Value(1)
    assert not history.can_undo


def test_the_present_is_the_value_the_hand_last_let_go_of():
    history = History(Value(0))
    settled(history, 1)

    history.settle(Value(2), hand_is_busy=True)

    assert history.present == Value(1)


def test_a_rewrite_changes_all_values_and_is_no_step():
    history = History(Value(0))
    settled(history, 1, 2)
    history.undo(Value(2))

    history.rewrite(lambda value: Value(value.number + 10))

    assert history.present == Value(11)
    assert history.redo(Value(11)) == Value(12)
    assert history.undo(Value(12)) == Value(11)
    assert history.undo(Value(11)) == Value(10)
    assert not history.can_undo
