"""The Inversion panel: from photos to a head in four steps, each usable alone."""

from __future__ import annotations

from imgui_bundle import imgui

from splatviz_app.inversion.desk import PANEL
from splatviz_app.session import Session
from splatviz_app.window import Dock
from widgets import fields
from widgets.inversion_photos import PhotoWells
from widgets.inversion_prepare import PrepareSection
from widgets.inversion_run import RunSections
from widgets.keys import chord
from widgets.matte_methods import MatteMethods
from widgets.photo_choice import PhotoChoice
from widgets.photo_editor import PhotoEditor
from widgets.webcam import WebcamWindow

_PASTE = chord("v", ctrl=True)


class InversionPanel:
    """Photos, how they are prepared, latent inversion, tuning."""

    title = PANEL
    dock: Dock = "left_low"

    def __init__(self) -> None:
        """Begin with nothing chosen and no other window open."""
        choice, methods = PhotoChoice(), MatteMethods()
        self.editor = PhotoEditor(choice, methods)
        self.webcam = WebcamWindow()
        self._methods = methods
        self._wells = PhotoWells(choice, self.editor, self.webcam.open)
        self._prepare = PrepareSection(choice, self.editor, methods)
        self._run = RunSections()

    def visible(self, session: Session) -> bool:
        """Always: without photos it says how to begin."""
        return True

    def draw(self, session: Session) -> None:
        """Draw the four steps, one below the other."""
        if _has_keyboard() and imgui.is_key_chord_pressed(_PASTE):
            self._wells.paste(session)
        if _step("1  Load images"):
            self._wells.draw(session)
        if _step("2  Preprocess"):
            self._prepare.draw(session)
        if _step("3  Latent inversion"):
            self._run.draw_inversion(session)
        if _step("4  Generator tuning", is_open=False):
            self._run.draw_tuning(session)

    @property
    def covers_head(self) -> bool:
        """Whether the hand works in one of its large windows, which lie over the head."""
        return self.editor.has_focus or self.webcam.has_focus

    def poll(self, session: Session) -> None:
        """Follow up on dialogs and jobs, draw the other windows; every frame, also while hidden."""
        self._prepare.poll(session)
        self._wells.poll(session)
        self._methods.poll(session)
        self.editor.poll(session)
        self.webcam.poll(session)
        self._run.poll(session)


def _step(title: str, is_open: bool = True) -> bool:
    """The heading of a step; whether it is unfolded."""
    fields.gap(0.15)
    flags = imgui.TreeNodeFlags_.default_open if is_open else imgui.TreeNodeFlags_.none
    return imgui.collapsing_header(title, flags)


def _has_keyboard() -> bool:
    """Whether keys are meant for this panel: the mouse is over it, and nobody types."""
    hovered = imgui.is_window_hovered(imgui.HoveredFlags_.root_and_child_windows)
    return hovered and not imgui.get_io().want_text_input and not imgui.is_any_item_active()
