"""A script of the stack: its editor, how its last run went, and the question before foreign code runs."""

from __future__ import annotations

import time
from dataclasses import replace

from imgui_bundle import imgui

from splatviz_app.edits.completion import Completion, complete
from splatviz_app.edits.errors import EditError
from splatviz_app.edits.script import is_unfinished, read_script
from splatviz_app.edits.values import CodeEdit
from splatviz_app.preferences import LONGEST_SCRIPT, SHORTEST_SCRIPT
from splatviz_app.session import Session
from widgets import fields
from widgets.code_editor import CodeEditor, Mark
from widgets.fields import Number

_LEAST_LINES, _MOST_LINES = 7, 26  # of the editor
_TYPING = 0.9  # seconds without a key that make a step of undo
_SLOW = 0.3  # seconds; a script that runs longer is shown to be running
LIMIT = Number(
    "Time limit",
    "A script that runs longer is stopped, seconds.",
    2.0,
    SHORTEST_SCRIPT,
    LONGEST_SCRIPT,
    "%.1f s",
    0.05,
)


class ScriptView:
    """The editors of scripts, each with its text as it is typed and its own undo."""

    def __init__(self) -> None:
        """Begin without any."""
        self._editors: dict[int, _Draft] = {}
        self._ran = 0.0  # seconds that the newest run took
        self._times: object = None  # where they were read

    def draw(self, session: Session, edit: CodeEdit) -> None:
        """Draw a script of the stack; what is typed goes there as soon as it is Python."""
        draft = self._editors.get(edit.key)
        if draft is None:
            draft = self._editors[edit.key] = _Draft(edit.code)
        draft.follow(edit.code)
        waits = any(waiting.key == edit.key for waiting in session.editing.waiting(session.edits))
        if waits:
            self._draw_question(session, edit)
        error = _error_of(session, edit, draft)
        marks: tuple[Mark, ...] = ((error.line, error.message),) if error and error.line else ()
        names = tuple(slider.name for slider in session.edits.sliders)

        def words(before: str, text: str) -> Completion:
            return complete(before, text, names)

        size = (fields.FILL, _height(draft.editor.text))
        if draft.editor.draw(f"##Code {edit.key}", size, words, marks, read_only=waits):
            self._take(session, edit, draft)
        if not waits:
            self._draw_state(session, edit, draft, error)

    def forget(self, keys: set[int]) -> None:
        """Put away the editors of scripts that are not in the stack any more, nor come back by undo."""
        for key in set(self._editors) - keys:
            del self._editors[key]

    def focus(self, key: int) -> None:
        """Give an editor the keyboard."""
        if key in self._editors:
            self._editors[key].editor.focus()

    # ---- typing

    def _take(self, session: Session, edit: CodeEdit, draft: _Draft) -> None:
        """Bring what was typed to the document, if it is Python; typing goes on being one step of undo."""
        session.hold(_TYPING)
        code = draft.editor.text
        if not draft.reads():
            return
        session.editing.history.agree(code)
        session.edits = session.edits.changed(replace(edit, code=code))
        draft.synced = code

    # ---- how it went

    def _draw_state(
        self, session: Session, edit: CodeEdit, draft: _Draft, error: EditError | None
    ) -> None:
        running = session.pipeline.scripts.running_seconds
        if running > _SLOW:
            fields.muted(f"Running for {running:.1f} s")
            if fields.button("Stop", "End the script that runs; the last picture stays."):
                session.pipeline.scripts.stop()
        elif error is not None:
            where = f"Line {error.line}: " if error.line else ""
            fields.wrapped(f"{where}{error.message}", fields.level_color("error"))
            ran = draft.editor.text == edit.code
            if ran and fields.button("Run again", "Try it once more, as it is."):
                session.run_edits_again()
        elif draft.editor.text != edit.code:
            fields.muted("Not finished yet: the picture shows the code before.")
        else:
            fields.muted(self._how_it_ran(session, edit))
            _draw_printed(session, edit)

    def _how_it_ran(self, session: Session, edit: CodeEdit) -> str:
        if not edit.enabled:
            return "Off: it does not run."
        if not edit.code.strip():
            return "Type Python: gs is the head. Ctrl+Space lists what there is."
        result = session.result
        if result is not None and result is not self._times and "edit" in result.seconds:
            self._times, self._ran = result, result.seconds["edit"]
        shown = result is not None and edit in result.request.edits.edits
        return f"All edits took {1000 * self._ran:.1f} ms." if shown and self._ran else ""

    # ---- code from elsewhere

    def _draw_question(self, session: Session, edit: CodeEdit) -> None:
        fields.wrapped(
            "This code came from elsewhere and has not run. Code can do anything that you can do on "
            "this computer: read it, and run it only if you trust it.",
            fields.level_color("warning"),
        )
        pressed = fields.buttons(
            ("Run it", "Remove it"),
            {
                "Run it": "Agree to this code, now and later.",
                "Remove it": "Take it out of the stack.",
            },
        )
        if pressed == "Run it":
            session.editing.history.agree(edit.code)
        elif pressed == "Remove it":
            session.edits = session.edits.removed(edit.key)
        fields.gap(0.2)


def draw_limit(session: Session) -> None:
    """How long a script may run."""
    seconds = fields.drag(LIMIT, session.preferences.script_seconds)
    if seconds != session.preferences.script_seconds:
        session.preferences = replace(session.preferences, script_seconds=seconds)


class _Draft:
    """A text as it is typed: what the document has of it, and whether it is Python."""

    def __init__(self, code: str) -> None:
        self.editor = CodeEditor(code)
        self.synced = code  # the last code that both had
        self._read = ("", True)

    def follow(self, code: str) -> None:
        """Show the document's code if something else changed it: undo, a renamed slider."""
        if code != self.synced:
            self.editor.set_text(code)
            self.synced = code

    def reads(self) -> bool:
        """Whether the text is Python."""
        return self.error() is None

    def error(self) -> EditError | None:
        """Why the text is not Python."""
        try:
            read_script(self.editor.text)
        except EditError as error:
            return error
        return None


def _draw_printed(session: Session, edit: CodeEdit) -> None:
    """What the scripts of the picture printed."""
    result = session.result
    if result is None or not result.splats.printed or edit not in result.request.edits.edits:
        return
    text = result.splats.printed.rstrip()
    height = min(imgui.calc_text_size(text).y, fields.em(8)) + fields.em(0.7)
    flags = imgui.InputTextFlags_.read_only
    imgui.input_text_multiline("##Printed", text, (fields.FILL, height), flags)


def _error_of(session: Session, edit: CodeEdit, draft: _Draft) -> EditError | None:
    """What is wrong with a script once the hand rests: with its text, else with its last run."""
    if time.monotonic() < session.busy_until:
        return None  # half a word is no mistake
    if draft.editor.text != edit.code:
        return None if is_unfinished(draft.editor.text) else draft.error()
    failure = session.engine.failure
    error = failure.error if failure is not None else None
    if not isinstance(error, EditError) or error.key != edit.key or not edit.enabled:
        return None
    return error


def _height(text: str) -> float:
    """Of the editor in px: as many lines as the text has and one more, within bounds."""
    lines = min(max(text.count("\n") + 2, _LEAST_LINES), _MOST_LINES)
    return lines * imgui.get_text_line_height() * 1.08 + fields.em(0.9)
