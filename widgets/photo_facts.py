"""What was found in a photo, as rows: the camera, the square, and what will make its head poor."""

from __future__ import annotations

import math

from inversion.alignment import CropRecipe
from inversion.photo import Photo
from splatviz_app.session import Session
from widgets import fields
from widgets.photo_choice import PhotoChoice

RECIPES: dict[CropRecipe, str] = {
    "ffhqc": "FFHQC, as released",
    "ffhqc-2025": "FFHQC, tool of 2025",
    "ffhq": "FFHQ (EG3D)",
}
_CAMERA_HELP = (
    "Yaw: positive shows the left cheek. Pitch: positive looks down on the head. "
    "Inversion corrects both a little."
)


def draw_facts(session: Session, choice: PhotoChoice, photo: Photo) -> None:
    """Rows and warnings of the chosen photo; nothing while nothing was found in it."""
    alignment = photo.alignment
    if alignment is None:
        return
    yaw, pitch = math.degrees(alignment.yaw), math.degrees(alignment.pitch)
    fields.fact("Camera", f"yaw {yaw:+.1f}°, pitch {pitch:+.1f}°", _CAMERA_HELP)
    fields.fact("Crop side", f"{alignment.side:.0f} px", "Of the photo as it is kept.")
    for sentence in _warnings(session, choice, photo):
        fields.wrapped(sentence, fields.level_color("warning"))


def _warnings(session: Session, choice: PhotoChoice, photo: Photo) -> tuple[str, ...]:
    found = choice.previews(session).warnings(photo)
    alignment, recipe = photo.alignment, session.inversion.prepare_settings.recipe
    if alignment is not None and alignment.recipe != recipe:
        found = (*found, f"It was cut for {RECIPES[alignment.recipe]}: prepare it again.")
    faces = session.inversion.candidates(choice.index(session))
    if len(faces) > 1:
        found = (
            *found,
            f"{len(faces)} faces were found: under Landmarks, click the box of another.",
        )
    return found
