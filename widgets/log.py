"""The Log panel: what happened, to read and to copy."""

from __future__ import annotations

import time

from imgui_bundle import imgui

from splatviz_app.log import Level, LogEntry
from splatviz_app.session import Session
from splatviz_app.window import Dock
from widgets import fields

_SHOWN: dict[str, tuple[Level, ...]] = {
    "All": ("info", "warning", "error"),
    "Warnings": ("warning", "error"),
    "Errors": ("error",),
}


class LogPanel:
    """Entries, newest at the bottom; a click opens one."""

    title = "Log"
    dock: Dock = "bottom"

    def __init__(self) -> None:
        """Show all, with nothing opened."""
        self._filter = "All"
        self._opened: LogEntry | None = None
        self._last: LogEntry | None = None

    def visible(self, session: Session) -> bool:
        """Always."""
        return True

    def draw(self, session: Session) -> None:
        """Draw the filter and the entries."""
        entries = [e for e in session.log.entries if e.level in _SHOWN[self._filter]]
        self._draw_bar(session, entries)
        if imgui.begin_child("##Entries"):
            if not entries:
                none = (
                    "Nothing has happened yet."
                    if self._filter == "All"
                    else "Nothing of that kind."
                )
                fields.muted(none)
            for number, entry in enumerate(entries):
                imgui.push_id(number)
                self._draw_entry(session, entry)
                imgui.pop_id()
            newest = session.log.last
            if newest is not self._last:
                self._last = newest
                imgui.set_scroll_here_y(1.0)
        imgui.end_child()

    def _draw_bar(self, session: Session, entries: list[LogEntry]) -> None:
        for name in _SHOWN:
            if imgui.radio_button(name, self._filter == name):
                self._filter = name
            imgui.same_line()
        width, between = fields.em(5), imgui.get_style().item_spacing.x
        spare = imgui.get_content_region_avail().x - 2 * width - between
        if spare >= 0:
            imgui.set_cursor_pos_x(imgui.get_cursor_pos_x() + spare)
        else:
            imgui.new_line()
        with fields.unless("" if entries else "There is nothing here."):
            if fields.button("Copy all", "Put all shown entries on the clipboard.", width):
                imgui.set_clipboard_text("\n".join(entry.text for entry in entries))
            imgui.same_line()
            if fields.button("Clear", "Forget all entries.", width):
                session.log.entries.clear()
                self._opened = None

    def _draw_entry(self, session: Session, entry: LogEntry) -> None:
        clock = time.strftime("%H:%M:%S", time.localtime(entry.when))
        imgui.text_colored(fields.quiet_color(), clock)
        imgui.same_line()
        imgui.push_style_color(imgui.Col_.text, fields.level_color(entry.level))
        more = " …" if entry.details and entry is not self._opened else ""
        shown = entry.message.replace("\n", " ") + more
        clicked, _ = imgui.selectable(f"{shown}##entry", entry is self._opened)
        imgui.pop_style_color()
        fields.tooltip(entry.message)
        if imgui.begin_popup_context_item("entry menu"):
            if imgui.menu_item("Copy", "", False)[0]:
                imgui.set_clipboard_text(entry.text)
            imgui.end_popup()
        if clicked:
            self._opened = None if entry is self._opened else entry
            imgui.set_scroll_here_y(0.0)  # what opens below is to be seen
        if entry is self._opened:
            _draw_details(entry)


def _draw_details(entry: LogEntry) -> None:
    """The whole entry as text to select from."""
    copy = fields.em(5)
    width = imgui.get_content_region_avail().x - copy - imgui.get_style().item_spacing.x
    needed = imgui.calc_text_size(entry.text, wrap_width=width).y + fields.em(1)
    flags = imgui.InputTextFlags_.read_only | imgui.InputTextFlags_.word_wrap
    imgui.input_text_multiline("##Details", entry.text, (width, min(needed, fields.em(18))), flags)
    imgui.same_line()
    if fields.button("Copy", "Put this entry on the clipboard.", copy):
        imgui.set_clipboard_text(entry.text)
