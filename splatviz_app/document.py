"""`Document`, the undoable part of the session: what a project keeps and its history walks along."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from inversion.photo import Photo
from models.delta import Tuning
from models.latents import LatentSettings
from renderer.camera import OrbitRig
from splatviz_app.bookmarks import Bookmark
from splatviz_app.directions import Palette
from splatviz_app.edits.stack import NO_EDITS, EditStack
from splatviz_app.inversion.cameras import FoundCamera
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
    # Their cameras, as the newest latent inversion corrected them.
    cameras: tuple[FoundCamera, ...] = ()


class DocumentParts:
    """The parts of a document that is held, for panels to read and replace."""

    document: Document

    @property
    def rig(self) -> OrbitRig:
        """The camera."""
        return self.document.rig

    @rig.setter
    def rig(self, rig: OrbitRig) -> None:
        self.document = replace(self.document, rig=rig)

    @property
    def view(self) -> ViewSettings:
        """How the head is shown."""
        return self.document.view

    @view.setter
    def view(self, view: ViewSettings) -> None:
        self.document = replace(self.document, view=view)

    @property
    def latent(self) -> LatentSettings:
        """Which head of the generator."""
        return self.document.latent

    @latent.setter
    def latent(self, latent: LatentSettings) -> None:
        self.document = replace(self.document, latent=latent)

    @property
    def selection(self) -> Selection | None:
        """Which splats are selected; None if none are."""
        return self.document.selection

    @selection.setter
    def selection(self, selection: Selection | None) -> None:
        self.document = replace(self.document, selection=selection)

    @property
    def edits(self) -> EditStack:
        """What is done to the head before it is drawn."""
        return self.document.edits

    @edits.setter
    def edits(self, edits: EditStack) -> None:
        self.document = replace(self.document, edits=edits)

    @property
    def tuning(self) -> Tuning | None:
        """The change of the generator's weights, and how much of it; None for the generator as it is."""
        return self.document.tuning

    @tuning.setter
    def tuning(self, tuning: Tuning | None) -> None:
        self.document = replace(self.document, tuning=tuning)

    @property
    def scene(self) -> Scene | None:
        """What is shown."""
        return self.document.scene
