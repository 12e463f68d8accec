"""`Document`, the undoable part of the session: what a project keeps and its history walks along."""

from __future__ import annotations

from dataclasses import dataclass, field

from inversion.photo import Photo
from models.delta import Tuning
from models.latents import LatentSettings
from renderer.camera import OrbitRig
from splatviz_app.bookmarks import Bookmark
from splatviz_app.directions import Palette
from splatviz_app.edits.stack import NO_EDITS, EditStack
from splatviz_app.pipeline import ViewSettings
from splatviz_app.scenes import Scene
from splatviz_app.selection import Selection


@dataclass(frozen=True)
class Document:
    """All that undo brings back. Frozen: it is replaced, never changed."""

    scene: Scene | None = None
    latent: LatentSettings = field(default_factory=LatentSettings)
    rig: OrbitRig = field(default_factory=OrbitRig)
    view: ViewSettings = field(default_factory=ViewSettings)
    # Splats of the head that is shown.
    selection: Selection | None = None
    # One for each generator that directions were laid out for.
    palettes: tuple[Palette, ...] = ()
    # Heads that are kept, of any generator.
    bookmarks: tuple[Bookmark, ...] = ()
    # The head that Reset goes back to.
    checkpoint: Bookmark | None = None
    # What is done to the head before it is drawn.
    edits: EditStack = NO_EDITS
    # A change of the open generator's weights, and how much of it.
    tuning: Tuning | None = None
    # Pictures of the person whose head is looked for.
    photos: tuple[Photo, ...] = ()
