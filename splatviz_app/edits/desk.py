"""What editing needs besides the document: a clock, presets, and which scripts may run here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from splatviz_app.edits.code_history import CodeHistory
from splatviz_app.edits.presets import PresetFolder
from splatviz_app.edits.stack import NO_EDITS, EditStack
from splatviz_app.edits.values import CodeEdit


class EditDesk:
    """Turns the document's edits into what is drawn now. Belongs to the window's thread."""

    def __init__(self, folder: Path | None) -> None:
        """Begin at time 0, playing; keep what is kept in a folder, or only in memory if None."""
        self.history = CodeHistory(folder)
        self.presets = PresetFolder(folder / "presets" if folder is not None else None)
        self.playing = True
        self.time = 0.0  # seconds
        self.pointed = 0  # key of the edit whose place is to be shown over the picture; 0 for none
        self._announced: tuple[CodeEdit, ...] = ()
        self._remembered: EditStack = NO_EDITS

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

    def take_news(self, stack: EditStack) -> str:
        """A sentence when scripts begin to wait, once."""
        before, self._announced = self._announced, self.waiting(stack)
        new = [edit for edit in self._announced if edit not in before]
        if not new:
            return ""
        scripts = "A script" if len(new) == 1 else f"{len(new)} scripts"
        return f"{scripts} from elsewhere: nothing of it runs before you agree in the Edit panel."

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

    def remember(self, drawn: EditStack) -> None:
        """Put the scripts of a picture that succeeded into the history, each version once.

        Raises:
            SaveError: The history cannot be written.
        """
        if drawn is self._remembered:
            return
        known = {edit.code for edit in self._remembered.edits if isinstance(edit, CodeEdit)}
        self._remembered = drawn
        for edit in drawn.edits:
            if isinstance(edit, CodeEdit) and edit.code not in known:
                self.history.add(edit.shown_name, edit.code)

    def _waits(self, edit: object) -> bool:
        return isinstance(edit, CodeEdit) and edit.enabled and not self.history.knows(edit.code)
