"""Which of the session's photos the panels speak of, and its pictures."""

from __future__ import annotations

import numpy as np

from inversion.photo import Photo
from splatviz_app.inversion import photo_edits
from splatviz_app.inversion.previews import Previews
from splatviz_app.session import Session


class PhotoChoice:
    """The chosen photo. It is followed through every change, undo and redo."""

    def __init__(self) -> None:
        """Begin with none."""
        self._photo: Photo | None = None
        self._index = 0  # where it was last
        self._previews: Previews | None = None

    def choose(self, photo: Photo | None) -> None:
        """Speak of another."""
        self._photo = photo

    def index(self, session: Session) -> int:
        """Where the chosen photo is; the first if it is gone, -1 if there are none."""
        photos = session.inversion.photos
        if not photos:
            return -1
        chosen = self._photo
        found = next((i for i, photo in enumerate(photos) if photo is chosen), -1)
        if found < 0 and chosen is not None:  # a job, undo or redo put another in its place
            alike = [i for i, photo in enumerate(photos) if photo.content == chosen.content]
            near = sorted(alike, key=lambda i: abs(i - self._index))
            found = near[0] if near else -1
        self._index = max(0, found)
        self._photo = photos[self._index]
        return self._index

    def photo(self, session: Session) -> Photo | None:
        """The chosen photo; None if there are none."""
        index = self.index(session)
        return session.inversion.photos[index] if index >= 0 else None

    def replace(self, session: Session, photo: Photo) -> None:
        """Put a changed photo in the place of the chosen one."""
        index = self.index(session)
        if index < 0 or photo is self._photo:
            return
        self._photo = photo
        session.inversion.photos = photo_edits.replaced(session.inversion.photos, index, photo)

    def step(self, session: Session, by: int) -> None:
        """Go on to the next photo, or back; after the last comes the first."""
        photos = session.inversion.photos
        if photos:
            self._photo = photos[(self.index(session) + by) % len(photos)]

    def previews(self, session: Session) -> Previews:
        """The pictures of photos."""
        if self._previews is None:
            self._previews = Previews(lambda: session.engine.wake())
        return self._previews


class LiveTexture:
    """The texture of a picture that is another in every frame: the one before, until the newest is there."""

    def __init__(self) -> None:
        """Begin with none."""
        self._asked: np.ndarray | None = None
        self._shown: np.ndarray | None = None

    def of(self, session: Session, pixels: np.ndarray) -> int:
        """OpenGL's name of the picture, or of the newest before it; 0 before the first.

        Args:
            session: Its textures are asked.
            pixels: [H, W, 4] uint8, contiguous.
        """
        if self._asked is not None and session.textures.of(self._asked):
            self._shown = self._asked
        self._asked = pixels
        texture = session.textures.of(pixels)
        if texture:
            self._shown = pixels
            return texture
        return session.textures.of(self._shown) if self._shown is not None else 0
