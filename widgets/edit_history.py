"""The history of the Edit panel: every version of the code that ran on this machine, to find and to use."""

from __future__ import annotations

import time
from dataclasses import replace

from imgui_bundle import imgui

from splatviz_app.edits.code_history import PastCode
from splatviz_app.edits.values import CodeEdit
from splatviz_app.session import Session
from widgets import fields

_SHOWN = 300  # versions; who looks for older ones types a word of them
_LIST = 8.5  # em, height of the list
_LINES = 16  # of code that are shown


class HistoryPage:
    """Finds versions and puts them into the stack."""

    def __init__(self) -> None:
        """Begin with all, and none selected."""
        self._words = ""
        self._found: tuple[PastCode, ...] = ()
        self._found_for: tuple[str, int] | None = None
        self._selected: PastCode | None = None

    def draw(self, session: Session, key: int) -> int | None:
        """Draw the page.

        Args:
            session: Whose history it is.
            key: Of the edit that is selected in the stack.

        Returns:
            The key of the edit that a version was put into, if one was.
        """
        self._words = fields.text("Search", "Words of the code or its name.", self._words, "gs.rgb")
        history = session.editing.history
        state = (self._words, len(history.entries))
        if state != self._found_for:
            self._found, self._found_for = history.find(self._words), state
        if not self._found:
            fields.empty(
                "Nothing has run yet."
                if not self._words.strip()
                else "No version holds these words.",
                "Every version of a script that ran is kept here, also when the window is closed.",
            )
            return None
        if imgui.begin_child("##Versions", (0, fields.em(_LIST)), imgui.ChildFlags_.borders):
            for place, entry in enumerate(self._found[:_SHOWN]):
                imgui.push_id(place)
                self._draw_entry(entry)
                imgui.pop_id()
        imgui.end_child()
        more = len(self._found) - _SHOWN
        if more > 0:
            fields.muted(f"{more:,} older ones: search for their words.")
        if self._selected not in self._found:
            self._selected = self._found[0]
        return self._draw_selected(session, self._selected, key) if self._selected else None

    def _draw_entry(self, entry: PastCode) -> None:
        clicked, _ = imgui.selectable(
            f"{_when(entry.when)}  {entry.name}##version", entry is self._selected
        )
        fields.tooltip(entry.code[:600])
        imgui.same_line()
        imgui.text_colored(fields.quiet_color(), _first_line(entry.code))
        if clicked:
            self._selected = entry

    def _draw_selected(self, session: Session, entry: PastCode, key: int) -> int | None:
        edit = session.edits.find(key)
        lines = entry.code.rstrip().splitlines()
        shown = "\n".join(lines[:_LINES]) + ("\n…" if len(lines) > _LINES else "")
        height = imgui.calc_text_size(shown).y + fields.em(0.7)
        flags = imgui.InputTextFlags_.read_only
        imgui.input_text_multiline("##Version", shown, (fields.FILL, height), flags)
        whys = {
            "Into the script": ""
            if isinstance(edit, CodeEdit)
            else "No script is selected in the stack."
        }
        pressed = fields.buttons(
            ("Into the script", "As a new edit"),
            {
                "Into the script": "Replace the code of the script that is selected; undo brings it back.",
                "As a new edit": "Add it to the stack as the last edit.",
            },
            whys,
        )
        if pressed == "Into the script" and isinstance(edit, CodeEdit):
            session.edits = session.edits.changed(replace(edit, code=entry.code))
            return edit.key
        if pressed == "As a new edit":
            name = "" if entry.name == CodeEdit.title else entry.name
            session.edits = session.edits.added(CodeEdit(code=entry.code, name=name))
            return session.edits.edits[-1].key
        return None


def _when(seconds: float) -> str:
    """A time of today as a clock shows it, any other with its day."""
    then, now = time.localtime(seconds), time.localtime()
    today = (then.tm_year, then.tm_yday) == (now.tm_year, now.tm_yday)
    return time.strftime("%H:%M" if today else "%Y-%m-%d %H:%M", then)


def _first_line(code: str) -> str:
    """The first line that says something, else the first comment."""
    lines = [line.strip() for line in code.splitlines() if line.strip()]
    spoken = [line for line in lines if not line.startswith("#")]
    return (spoken or lines or [""])[0][:80]
