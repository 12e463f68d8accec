"""Step 2 of the Inversion panel: how photos are prepared, and what was found in the chosen one."""

from __future__ import annotations

from dataclasses import replace

from inversion.alignment import CropRecipe
from inversion.crop import recipe_for
from inversion.photo import Photo
from splatviz_app.scenes import OpenedGenerator
from splatviz_app.session import Session
from widgets import fields
from widgets.inversion_photos import state_of
from widgets.matte_methods import MatteMethods
from widgets.photo_choice import PhotoChoice
from widgets.photo_editor import Mode, PhotoEditor
from widgets.photo_facts import RECIPES, draw_facts

_RECIPE_WHYS: dict[CropRecipe, str] = {
    "ffhqc": "The square that the released CGS-GAN networks were trained on.",
    "ffhqc-2025": "As the publishers' tool cuts since September 2025: its middle lies farther forward.",
    "ffhq": "The square of FFHQ, for generators that were trained on it.",
}
_RECIPE_HELP = (
    "Which square is cut out: that of the pictures the open generator was trained on. It is chosen "
    "anew for each generator that is opened."
)
_MODES: dict[str, Mode] = {"Landmarks…": "landmarks", "Crop…": "crop", "Matte…": "matte"}
_MODE_HELP = {
    "Landmarks…": "Correct where eyes, nose and mouth are.",
    "Crop…": "Correct the square and the camera.",
    "Matte…": "Correct what is head and what is background.",
}
_HELP = {
    "Prepare all": "Find the face, the square, the camera and the head in every photo, anew.",
    "Prepare this": "The same for the chosen photo. What was set by hand in it goes; undo brings it back.",
}
_NO_PHOTOS = "Add a photo first."


class PrepareSection:
    """Draws how photos are prepared, and the facts of the chosen one."""

    def __init__(self, choice: PhotoChoice, editor: PhotoEditor, methods: MatteMethods) -> None:
        """Take what is shared: the chosen photo, its editor, the methods of matting."""
        self._choice, self._editor, self._methods = choice, editor, methods
        self._weights = ""  # of the generator that the recipe was chosen for

    def poll(self, session: Session) -> None:
        """Choose the recipe of a generator that was opened; every frame."""
        opened = session.opened
        weights = opened.fingerprint if isinstance(opened, OpenedGenerator) else ""
        if not isinstance(opened, OpenedGenerator) or weights == self._weights:
            return
        self._weights = weights
        desk = session.inversion
        desk.prepare_settings = replace(desk.prepare_settings, recipe=recipe_for(opened.summary))

    def draw(self, session: Session) -> None:
        """Draw the settings, the buttons, the chosen photo."""
        desk = session.inversion
        settings = desk.prepare_settings
        recipe = fields.combo("Crop", _RECIPE_HELP, settings.recipe, RECIPES, _RECIPE_WHYS)
        if recipe != settings.recipe:
            desk.prepare_settings = replace(settings, recipe=recipe)
        self._methods.draw(session, "Matte", desk.prepare_settings, None)
        help = "Prepare photos as soon as they are added."
        at_once = fields.check("At once", help, settings.at_once, default=True)
        self._methods.draw_missing(beside=True)
        if at_once != settings.at_once:
            desk.prepare_settings = replace(desk.prepare_settings, at_once=at_once)
        photo = self._choice.photo(session)
        why = _NO_PHOTOS if photo is None else ""
        if not why and desk.is_preparing:
            why = "Photos are being read or prepared."
        pressed = fields.buttons(
            ("Prepare all", "Prepare this"), _HELP, {"Prepare all": why, "Prepare this": why}
        )
        if pressed == "Prepare all":
            desk.prepare()
        elif pressed == "Prepare this":
            desk.prepare((self._choice.index(session),))
        if photo is not None:
            self._draw_chosen(session, photo)

    def _draw_chosen(self, session: Session, photo: Photo) -> None:
        fields.section(photo.name)
        state, alignment = state_of(session, photo), photo.alignment
        if state == "preparing":
            fields.muted("It is being prepared…")
        elif state == "problem":
            fields.wrapped(session.inversion.problem(photo), fields.level_color("error"))
            fields.muted("Or set the landmarks by hand.")
        elif alignment is None:
            fields.muted("It is not prepared yet.")
        draw_facts(session, self._choice, photo)
        pressed = fields.buttons(tuple(_MODES), _MODE_HELP)
        if pressed is not None:
            self._editor.open(_MODES[pressed])
