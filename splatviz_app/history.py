"""Undo and redo: a walk along a list of frozen documents. Nothing else implements undo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class History(Generic[Value]):
    """The values a document has had, and where we stand among them.

    It is told the current value every frame and remembers it when the hand lets go, so that a
    drag, however long, is one step.
    """

    def __init__(self, first: Value, limit: int = 500) -> None:
        """Begin with one value; beyond `limit` the oldest are forgotten."""
        self._values = [first]
        self._now = 0
        self._limit = limit

    def settle(self, value: Value, hand_is_busy: bool) -> None:
        """Remember `value` as a new step, unless it is the present one or the hand still moves it."""
        if hand_is_busy or value == self.present:
            return
        del self._values[self._now + 1 :]
        self._values.append(value)
        del self._values[: -self._limit]
        self._now = len(self._values) - 1

    def rewrite(self, change: Callable[[Value], Value]) -> None:
        """Change all values alike, because what they name has changed outside: no step of its own."""
        self._values = [change(value) for value in self._values]

    def forget_oldest(self) -> None:
        """Give up the first step back, unless we stand there."""
        if self._now > 0:
            del self._values[0]
            self._now -= 1

    @property
    def values(self) -> tuple[Value, ...]:
        """All that are remembered, the oldest first."""
        return tuple(self._values)

    @property
    def present(self) -> Value:
        """The value at which we stand: the newest the hand let go of."""
        return self._values[self._now]

    @property
    def can_undo(self) -> bool:
        """Whether there is an older value."""
        return self._now > 0

    @property
    def can_redo(self) -> bool:
        """Whether there is a newer value."""
        return self._now + 1 < len(self._values)

    def undo(self, current: Value) -> Value:
        """Step back and return the value there.

        Args:
            current: What the user sees now; if it was not remembered yet it can be redone.
        """
        self.settle(current, hand_is_busy=False)
        self._now = max(0, self._now - 1)
        return self._values[self._now]

    def redo(self, current: Value) -> Value:
        """Step forward and return the value there; a change made since the undo wins instead."""
        self.settle(current, hand_is_busy=False)
        self._now = min(len(self._values) - 1, self._now + 1)
        return self._values[self._now]
