"""What is asked around projects: names of files, whether to save before, where a model is, what was lost."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from imgui_bundle import ImVec2, imgui

from splatviz_app.autosave import Lost
from splatviz_app.projects.current import Answer, Wish
from splatviz_app.projects.files import NOTE_SUFFIXES, PROJECT_SUFFIX, pixels_of
from splatviz_app.projects.loading import MissingModel
from splatviz_app.scenes import SUFFIXES
from splatviz_app.session import Session
from widgets import fields
from widgets.file_dialog import FileDialog, has_native_dialog

_QUESTIONS = {
    "quit": "Save the changes to “{}” before closing?",
    "open": "Save the changes to “{}” before opening another project?",
    "new": "Save the changes to “{}” before beginning a new project?",
}
_ANSWERS: Mapping[str, Answer] = {"Save": "save", "Don't save": "discard", "Cancel": "cancel"}
_WIDTH = 30.0  # em
_MOST_LOST = 5  # shown at once


class ProjectDialogs:
    """Asks what `session.project` wants to know, and brings it the answers."""

    def __init__(self) -> None:
        """Begin with nothing to ask."""
        self._name = FileDialog("save project")
        self._note = FileDialog("restore")
        self._model = FileDialog("find model")
        self._replacing: Path | None = None  # a file that would be written over

    # ---- commands of the menu

    def save(self, session: Session) -> None:
        """Save the project; asks for a name if it has none."""
        session.project.save()

    def save_as(self, session: Session) -> None:
        """Save the project under another name."""
        session.project.asks_for_name = True

    def restore(self, session: Session) -> None:
        """Let the user choose a picture or a head that says how it was made."""
        title = "Restore what a picture or a head was made from"
        self._note.open_file(
            title, NOTE_SUFFIXES, session.preferences.folder, "Saved pictures, heads"
        )

    def draw(self, session: Session) -> None:
        """Draw what is to be asked now; once per frame, over everything."""
        self._poll_files(session)
        project = session.project
        if project.question is not None:
            _ask_to_save(session, project.question)
        elif self._replacing is not None:
            self._ask_to_replace(session, self._replacing)
        elif project.missing is not None and not self._model.is_open:
            self._ask_for_model(session, project.missing)
        elif project.lost and session.opening is None:
            self._offer_lost(session)

    # ---- files

    def _poll_files(self, session: Session) -> None:
        project = session.project
        chosen = self._note.poll()
        if chosen is not None:
            project.open(chosen)
        chosen = self._model.poll()
        if chosen is not None:
            project.locate(chosen)
        was_open = self._name.is_open
        chosen = self._name.poll()
        if chosen is not None:
            self._take_name(session, chosen)
        elif was_open and not self._name.is_open:
            project.cancel_saving()
        elif project.asks_for_name and not self._name.is_open and self._replacing is None:
            proposed = (
                project.path or session.preferences.folder / f"{project.name}{PROJECT_SUFFIX}"
            )
            self._name.save_file("Save the project", "Projects", proposed)

    def _take_name(self, session: Session, path: Path) -> None:
        if path.suffix.lower() != PROJECT_SUFFIX:
            path = path.with_name(path.name + PROJECT_SUFFIX)
        # The system's dialog has asked already, but for the name that was typed without its ending.
        if path.exists() and path != session.project.path and not has_native_dialog():
            self._replacing = path
        else:
            session.project.save(path)

    # ---- questions

    def _ask_to_replace(self, session: Session, path: Path) -> None:
        with _asking("Replace the file?") as shown:
            if not shown:
                return
            _say(f"{path.name} exists already.", f"In {path.parent}. What it holds would be lost.")
            pressed = _buttons(("Replace", "Cancel"), focus="Cancel")
            if pressed is None:
                return
            self._replacing = None
            imgui.close_current_popup()
            if pressed == "Replace":
                session.project.save(path)
            # Else the dialog for the name comes again.

    def _ask_for_model(self, session: Session, missing: MissingModel) -> None:
        with _asking("Where is the model?") as shown:
            if not shown:
                return
            _say(f"{missing.source.path.name} needs {missing.reference.name}.", missing.why)
            pressed = _buttons(("Choose…", "Cancel"), focus="Choose…")
            if pressed is None:
                return
            imgui.close_current_popup()
            if pressed == "Cancel":
                session.project.missing = None
            else:
                folder = missing.source.path.parent
                self._model.open_file(f"Find {missing.reference.name}", SUFFIXES, folder)

    def _offer_lost(self, session: Session) -> None:
        with _asking("Recover your work?") as shown:
            if not shown:
                return
            _say(
                "Splathead ended before this was saved.",
                "Recovered work is opened as it was, and kept until you save it.",
            )
            for lost in session.project.lost[:_MOST_LOST]:
                _draw_lost(session, lost)
            fields.gap()
            if _buttons(("Decide later",), focus="") is not None:
                session.project.leave_lost()
            if not session.project.lost or session.project.question is not None:
                imgui.close_current_popup()


def _draw_lost(session: Session, lost: Lost) -> None:
    imgui.push_id(str(lost.path))
    side = fields.em(4.5)
    pixels = pixels_of(lost.thumbnail)
    fields.picture(session.textures.of(pixels) if pixels is not None else 0, side, side)
    imgui.same_line()
    imgui.begin_group()
    imgui.text_unformatted(lost.name)
    fields.muted(_when(lost.when))
    size = (fields.em(7), 0.0)
    if imgui.button("Recover", size):
        session.project.recover(lost)
        session.project.leave_lost()
    imgui.same_line()
    if imgui.button("Discard", size):
        session.project.discard_lost(lost)
    fields.tooltip("Delete it: it cannot be brought back.")
    imgui.end_group()
    imgui.pop_id()


def _ask_to_save(session: Session, wish: Wish) -> None:
    with _asking("Unsaved changes") as shown:
        if not shown:
            return
        _say(
            _QUESTIONS[wish.what].format(session.project.name),
            "What you did since it was last saved would be lost.",
        )
        pressed = _buttons(tuple(_ANSWERS), focus="Save")
        if pressed is not None:
            imgui.close_current_popup()
            session.project.answer(_ANSWERS[pressed])


@contextmanager
def _asking(title: str) -> Iterator[bool]:
    """A question in the middle of the window; nothing else can be used meanwhile."""
    if not imgui.is_popup_open(title):
        imgui.open_popup(title)
    middle = imgui.get_main_viewport().get_center()
    imgui.set_next_window_pos(middle, imgui.Cond_.always, ImVec2(0.5, 0.5))
    flags = imgui.WindowFlags_.always_auto_resize | imgui.WindowFlags_.no_saved_settings
    shown, _ = imgui.begin_popup_modal(title, None, flags)
    try:
        yield shown
    finally:
        if shown:
            imgui.end_popup()


def _say(headline: str, details: str) -> None:
    imgui.dummy((fields.em(_WIDTH), 0))
    imgui.push_text_wrap_pos(fields.em(_WIDTH))
    imgui.text_unformatted(headline)
    imgui.push_style_color(imgui.Col_.text, fields.quiet_color())
    imgui.text_unformatted(details)
    imgui.pop_style_color()
    imgui.pop_text_wrap_pos()
    fields.gap()


def _buttons(names: tuple[str, ...], focus: str) -> str | None:
    """Buttons at the right; Enter presses the one in focus, Escape the last."""
    pressed, width = None, fields.em(7)
    between = imgui.get_style().item_spacing.x
    room = imgui.get_content_region_avail().x
    imgui.set_cursor_pos_x(
        imgui.get_cursor_pos_x() + max(0.0, room - len(names) * width - (len(names) - 1) * between)
    )
    for i, name in enumerate(names):
        if i:
            imgui.same_line()
        if imgui.button(name, (width, 0)):
            pressed = name
        if name == focus:
            imgui.set_item_default_focus()
    if imgui.is_key_pressed(imgui.Key.escape, False):
        pressed = names[-1]
    return pressed


def _when(seconds: float) -> str:
    """A time as people say it."""
    then, now = time.localtime(seconds), time.localtime()
    clock = time.strftime("%H:%M", then)
    return f"today at {clock}" if then[:3] == now[:3] else time.strftime("%d %B at %H:%M", then)
