"""The tuning of the open generator: how much of it, its name, its file, and the way back."""

from __future__ import annotations

from dataclasses import replace

from imgui_bundle import imgui

from models.delta import SUFFIX, Tuning
from splatviz_app.scenes import OpenedGenerator, title_of
from splatviz_app.session import Session
from widgets import fields
from widgets.fields import Number
from widgets.file_dialog import FileDialog

_STRENGTH = Number(
    "Strength",
    "How much of the tuning: 0 is the generator as it was, 1 the tuned one.",
    1.0,
    0.0,
    1.0,
    "%.2f",
)
_REMOVE, _SAVE, _OPEN = "Remove tuning", "Save tuning…", "Open tuning…"
_HELP = {
    _REMOVE: "Use the generator's own weights again. Undo brings the tuning back.",
    _SAVE: "Write the tuning to a file of its own. A project holds it as well.",
    _OPEN: f"Use a tuning from a file (*{SUFFIX}).",
}
_FOREIGN = "It belongs to another generator: it waits until that one is open."


class TuningBlend:
    """Draws the tuning of the document, and replaces it."""

    def __init__(self) -> None:
        """Begin without dialogs."""
        self._opening, self._saving = FileDialog("open tuning"), FileDialog("save tuning")

    def draw(self, session: Session, why_fixed: str = "") -> None:
        """Draw the rows; `why_fixed` says why nothing can be changed now."""
        tuning, weights = session.tuning, weights_of(session)
        with fields.unless(why_fixed):
            if tuning is not None:
                self._draw_tuning(session, tuning, weights)
            without = "" if weights else "Open the generator that it was made for first."
            names = (_OPEN,) if tuning is None else (_SAVE, _OPEN)
            pressed = fields.buttons(names, _HELP, {_OPEN: without})
        if pressed == _OPEN:
            self._opening.open_file("Open a tuning", (SUFFIX,), None, "Tunings")
        elif pressed == _SAVE and tuning is not None:
            name = _file_name(tuning.delta.name)
            self._saving.save_file("Save the tuning", "Tunings", session.preferences.folder / name)

    def poll(self, session: Session) -> None:
        """Follow up on dialogs; every frame, also while the panel is hidden."""
        chosen = self._opening.poll()
        if chosen is not None:
            session.inversion.open_delta(chosen)
        chosen = self._saving.poll()
        if chosen is not None:
            session.inversion.save_delta(chosen)

    def _draw_tuning(self, session: Session, tuning: Tuning, weights: str) -> None:
        name = fields.text("Tuning", "The name of this tuning.", tuning.delta.name, "no name")
        if imgui.is_item_active():
            session.hold()  # what is typed in one go is one step of undo
        if name != tuning.delta.name:
            tuning = replace(tuning, delta=replace(tuning.delta, name=name))
        strength = fields.slider(_STRENGTH, tuning.strength)
        if strength != tuning.strength:
            tuning = replace(tuning, strength=strength)
        if tuning != session.tuning:
            session.tuning = tuning
        is_ours = tuning.delta.weights == weights
        belongs = f"Made for {_name_of_generator(session)}." if is_ours else _FOREIGN
        fields.muted(f"{belongs} {len(tuning.delta.content) / 1e6:.1f} MB.")
        if fields.button(_REMOVE, _HELP[_REMOVE]):
            session.tuning = None


def weights_of(session: Session) -> str:
    """The hash of the open generator's weights; empty without one."""
    opened = session.opened
    return opened.fingerprint if isinstance(opened, OpenedGenerator) else ""


def _name_of_generator(session: Session) -> str:
    return title_of(session.scene.path) if session.scene is not None else "no generator"


def _file_name(name: str) -> str:
    """A name for its file, of letters that every system takes."""
    kept = "".join(c if c.isalnum() or c in " -_" else "-" for c in name).strip(" -")
    return f"{kept or 'head'}{SUFFIX}"
