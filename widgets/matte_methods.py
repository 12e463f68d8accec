"""The ways to tell a head from what is behind it, as a row of a panel: those that are here can be chosen."""

from __future__ import annotations

from dataclasses import replace

from imgui_bundle import imgui

from inversion import weights
from inversion.matting import MatteMethod, available_methods
from inversion.photo import Photo
from inversion.prepare import PrepareSettings
from splatviz_app.inversion.photo_edits import has_alpha
from splatviz_app.session import Session
from widgets import fields
from widgets.weights_dialog import WeightsDialog

_NAMES: dict[MatteMethod | None, str] = {
    None: "The best there is",
    "file": "The picture's own alpha",
    "modnet": "MODNet",
    "selfie": "Selfie model and GrabCut",
    "grabcut": "GrabCut from landmarks",
}
_WHYS: dict[MatteMethod | None, str] = {
    None: "From top to bottom, the first that can be used for the picture.",
    "file": "The picture's transparency says what is head: a PNG cut out elsewhere.",
    "modnet": "A network that cuts people out; finds hair best.",
    "selfie": "mediapipe's model finds the person, GrabCut the edge.",
    "grabcut": "Colours inside and outside of the face; needs nothing else.",
}
_WHY_NOT: dict[MatteMethod | None, str] = {
    "file": "- None of the pictures brings an alpha of its own.",
    "modnet": "- Its weights are not on this computer: press Get weights…",
    "selfie": "- It comes with mediapipe up to 0.10.21: install that one, then start again.",
}
_LOOK_EVERY = 1.0  # seconds between two looks at the disk


class MatteMethods:
    """Knows which methods there are, and gets what one lacks if the user agrees."""

    def __init__(self) -> None:
        """Ask nothing yet."""
        self._dialog = WeightsDialog("matting")
        self._looked = -_LOOK_EVERY  # imgui.get_time() seconds
        self._available: tuple[MatteMethod, ...] = ()

    def poll(self, session: Session) -> None:
        """Draw the question for weights while it is open; every frame."""
        self._dialog.draw(session)

    def draw(
        self, session: Session, name: str, settings: PrepareSettings, photo: Photo | None
    ) -> MatteMethod | None:
        """Draw the choice; returns what is chosen.

        Args:
            session: Its prepare settings are replaced.
            name: The label of the row.
            settings: As they are.
            photo: Whose matte is spoken of; None for all of them.
        """
        if imgui.get_time() - self._looked > _LOOK_EVERY:
            self._looked, self._available = imgui.get_time(), available_methods(True)
        photos = session.inversion.photos if photo is None else (photo,)
        can_use = set(self._available)
        if not any(has_alpha(photo) for photo in photos):
            can_use.discard("file")
        whys = {
            method: why if method is None or method in can_use else _WHY_NOT.get(method, why)
            for method, why in _WHYS.items()
        }
        help = "How the head is told from what is behind it. The brush mends what it gets wrong."
        method = fields.combo(name, help, settings.matte, _NAMES, whys)
        if method != settings.matte:
            session.inversion.prepare_settings = replace(settings, matte=method)
        return method

    def draw_missing(self, beside: bool = False) -> None:
        """Draw the button that gets weights, where some can be got.

        Args:
            beside: Draw it to the right of the last item instead of below.
        """
        if "modnet" in self._available:
            return
        if beside:
            imgui.same_line()
        size = weights.MODNET.size_bytes / 1e6
        about = f"Those of MODNet, {size:.0f} MB. It asks first, and says where they come from."
        if fields.button("Get weights…", about):
            self._dialog.ask((weights.MODNET,))
