"""What editing needs besides the document: the clock of what moves, and which scripts may run here."""

from __future__ import annotations

from dataclasses import replace

from splatviz_app.edits.code_history import CodeHistory
from splatviz_app.edits.stack import NO_EDITS, EditStack
from splatviz_app.edits.values import CodeEdit


class EditDesk:
    """Turns the document's edits into what is drawn now. Belongs to the window's thread."""

    def __init__(self, history: CodeHistory) -> None:
        """Begin at time 0, playing."""
        self.history = history
        self.playing = True
        self.time = 0.0  # seconds

    def shown(self, stack: EditStack) -> EditStack:
        """The edits that are applied: on, and no script from elsewhere that nobody has agreed to yet."""
        if not stack.edits:
            return NO_EDITS
        agreed = tuple(edit for edit in stack.edits if not self._waits(edit))
        return replace(stack, edits=agreed).effective()

    def waiting(self, stack: EditStack) -> tuple[CodeEdit, ...]:
        """The scripts that would run if the user agreed."""
        return tuple(
            edit for edit in stack.edits if isinstance(edit, CodeEdit) and self._waits(edit)
        )

    def moves(self, stack: EditStack) -> bool:
        """Whether the head changes by itself now."""
        return self.playing and self.shown(stack).uses_time

    def advance(self, stack: EditStack, seconds: float) -> None:
        """Let time go by."""
        if self.moves(stack):
            # A window that slept does not jump.
            self.time += min(seconds, 0.1)

    def time_of(self, shown: EditStack) -> float:
        """`t` for edits that are shown; 0 if they do not look at it, so that nothing is drawn for it."""
        return self.time if shown.uses_time else 0.0

    def _waits(self, edit: object) -> bool:
        return isinstance(edit, CodeEdit) and edit.enabled and not self.history.knows(edit.code)
