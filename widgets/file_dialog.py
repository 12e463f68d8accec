"""Choosing a file or folder without ever stopping the window: the system's dialog, else one of ImGui."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from imgui_bundle import im_file_dialog, imgui, portable_file_dialogs

_ONE = portable_file_dialogs.opt.none
_HELPERS = ("zenity", "kdialog", "matedialog", "qarma")  # the programs that show it on Linux


def has_native_dialog() -> bool:
    """Whether the system can show a dialog of its own; without one it would look like Cancel."""
    if sys.platform in ("win32", "darwin"):
        return True
    has_display = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return has_display and any(shutil.which(program) for program in _HELPERS)


class FileDialog:
    """At most one dialog at a time: `open_file`, `save_file` or `choose_folder`, then `poll` every frame."""

    def __init__(self, key: str) -> None:
        """Prepare a dialog; `key` tells it from others of the window."""
        self._key = key
        self._native: (
            portable_file_dialogs.open_file
            | portable_file_dialogs.save_file
            | portable_file_dialogs.select_folder
            | None
        ) = None
        self._in_window = False
        self._polled = -1  # the frame of the window in which `poll` was last asked

    @property
    def is_open(self) -> bool:
        """Whether the user is choosing."""
        return self._native is not None or self._in_window

    def open_file(
        self,
        title: str,
        suffixes: Sequence[str],
        folder: Path | None = None,
        kind: str = "Heads",
        several: bool = False,
    ) -> None:
        """Ask for one existing file, or for several.

        Args:
            title: Of the dialog.
            suffixes: The endings that are offered, with their dot.
            folder: Where to begin; the last folder if None.
            kind: What files of those endings are called.
            several: Whether more than one may be chosen: `poll_several` then hands them over.
        """
        if self.is_open:
            return
        start = str(folder) if folder else ""
        if has_native_dialog():
            patterns = " ".join(f"*{suffix}" for suffix in suffixes)
            filters = [f"{kind} ({patterns})", patterns, "All files", "*"]
            options = portable_file_dialogs.opt.multiselect if several else _ONE
            self._native = portable_file_dialogs.open_file(title, start, filters, options)
        else:
            # The dialog takes a comma outside of braces for the next filter.
            kinds = f"{kind} ({' '.join(suffixes)}){{{','.join(suffixes)}}},.*"
            self._show(title, kinds, start, several)

    def save_file(self, title: str, kind: str, path: Path) -> None:
        """Ask for a file to write, which may exist: the user knows, having been asked.

        Args:
            title: Of the dialog.
            kind: What such files are called.
            path: Where to begin and what to propose; its ending is that of the kind.
        """
        if self.is_open:
            return
        if has_native_dialog():
            filters = [f"{kind} (*{path.suffix})", f"*{path.suffix}"]
            self._native = portable_file_dialogs.save_file(title, str(path), filters)
        else:
            dialog, only = im_file_dialog.FileDialog.instance(), f"{{{path.suffix}}}"
            kinds = f"{kind} ({path.suffix}){only}"
            self._in_window = dialog.save(self._key, title, kinds, str(path.parent))

    def choose_folder(self, title: str = "Choose a folder", folder: Path | None = None) -> None:
        """Ask for one existing folder."""
        if self.is_open:
            return
        start = str(folder) if folder else ""
        if has_native_dialog():
            self._native = portable_file_dialogs.select_folder(title, start)
        else:
            self._show(title, "", start)

    def poll(self) -> Path | None:
        """Draw the dialog if it is one of ours; what was chosen, once, when the user has chosen.

        Of several calls in one frame only the first counts.
        """
        chosen = self.poll_several()
        return chosen[0] if chosen else None

    def poll_several(self) -> tuple[Path, ...]:
        """The same for all that was chosen; nothing on Cancel."""
        if self._polled == imgui.get_frame_count():
            return ()
        self._polled = imgui.get_frame_count()
        if self._native is not None:
            return self._poll_native()
        if self._in_window:
            return self._poll_in_window()
        return ()

    def _show(self, title: str, filters: str, start: str, several: bool = False) -> None:
        self._in_window = im_file_dialog.FileDialog.instance().open(
            self._key, title, filters, several, start
        )

    def _poll_native(self) -> tuple[Path, ...]:
        assert self._native is not None
        if not self._native.ready(0):
            return ()
        chosen = self._native.result()
        self._native = None
        paths = chosen if isinstance(chosen, list) else [chosen]
        return tuple(Path(path) for path in paths if path)

    def _poll_in_window(self) -> tuple[Path, ...]:
        dialog = im_file_dialog.FileDialog.instance()
        if not dialog.is_done(self._key):
            if imgui.is_key_pressed(imgui.Key.escape, False):
                dialog.close()
                self._in_window = False
            return ()
        paths = [result.path() for result in dialog.get_results()] if dialog.has_result() else []
        dialog.close()
        self._in_window = False
        return tuple(Path(path) for path in paths if path)
