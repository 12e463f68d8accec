"""The field of the Eval panel: Python in one line or a few, with what was asked before, and completion."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from imgui_bundle import imgui

from splatviz_app.edits.completion import Completion
from widgets import fields

_REST = 0.4  # seconds without a letter after which a text counts as typed
_TALLEST = 8  # lines
_HELP = (
    "Python over what is shown: gs (the splats after all edits), render (image, alpha, depth), camera, "
    "slider, sel (the selected splats), torch, np.\n"
    "Enter evaluates, Ctrl+Enter begins a new line, Tab completes a word, Up and Down walk through what "
    "was asked before."
)
Complete = Callable[[str, str], Completion]  # from the line up to the cursor, and the whole text


class ExpressionField:
    """A text, and where the hand stands in it and in its history."""

    def __init__(self, text: str) -> None:
        """Begin with a text that nobody typed."""
        self.text = text
        self.words = Completion("")  # what may come next, while it has the keyboard
        self._typed: float | None = None  # time.monotonic() seconds of a letter not told of yet
        self._back = 0  # how far in the history it stands; 0 is the newest

    @property
    def is_being_typed(self) -> bool:
        """Whether a letter came that was not told of yet."""
        return self._typed is not None

    def put(self, text: str) -> None:
        """Take another text."""
        self.text, self._typed, self._back = text, None, 0

    def draw(
        self, width: float, asked: tuple[str, ...], complete: Complete
    ) -> Literal["", "entered", "rested"]:
        """Draw it.

        Args:
            width: In px.
            asked: What was asked before, newest first.
            complete: Finds the words that may come next.

        Returns:
            Whether the hand has just pressed Enter, or has rested for a moment after typing.
        """
        lines = min(_TALLEST, 1 + self.text.count("\n"))
        height = lines * imgui.get_text_line_height() + 2 * imgui.get_style().frame_padding.y
        flags = (
            imgui.InputTextFlags_.enter_returns_true
            | imgui.InputTextFlags_.ctrl_enter_for_new_line
            | imgui.InputTextFlags_.callback_always
            | imgui.InputTextFlags_.callback_completion
        )
        before, self.words = self.text, Completion("")

        def follow(typed: imgui.InputTextCallbackData) -> int:
            cursor = self.text.encode()[: typed.cursor_pos].decode(errors="ignore")
            self.words = complete(cursor.rpartition("\n")[2], self.text)
            if typed.event_flag == imgui.InputTextFlags_.callback_completion:
                self._complete(typed)
            else:
                self._walk(asked, typed)
            return 0

        entered, self.text = imgui.input_text_multiline(
            "##Expression", before, (width, height), flags, follow
        )
        fields.tooltip(_HELP)
        if self.text != before:
            self._typed = time.monotonic()
        if entered:
            self._typed, self._back = None, 0
            return "entered"
        if self._typed is not None and time.monotonic() - self._typed > _REST:
            self._typed = None
            return "rested"
        return ""

    def _complete(self, typed: imgui.InputTextCallbackData) -> None:
        """Replace the word before the cursor by the best that fits."""
        if self.words.is_done:
            return
        word, _ = self.words.words[0]
        begin = typed.cursor_pos - len(self.words.typed.encode())
        typed.delete_chars(begin, typed.cursor_pos - begin)
        typed.insert_chars(begin, word)

    def _walk(self, asked: tuple[str, ...], typed: imgui.InputTextCallbackData) -> None:
        """Put an older or newer text into the field."""
        up, down = imgui.Key.up_arrow, imgui.Key.down_arrow
        step = int(imgui.is_key_pressed(up)) - int(imgui.is_key_pressed(down))
        if not step or not asked or "\n" in self.text:
            return  # in several lines the arrows move the cursor
        if self._back == 0 and self.text.strip() == asked[0]:
            self._back = 1  # it is there already
        self._back = min(max(self._back + step, 0), len(asked))
        text = asked[self._back - 1] if self._back else ""
        typed.delete_chars(0, typed.buf_text_len)
        typed.insert_chars(0, text)
