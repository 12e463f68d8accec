"""`PhotoDesk`: the photos of a session: reading and preparing them. Used by the window's thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inversion.errors import InversionError
from inversion.faces import Face
from inversion.photo import Photo
from inversion.pictures import Picture
from inversion.prepare import PrepareSettings
from splatviz_app.document import Document
from splatviz_app.engine import Job, JobState, Work
from splatviz_app.inversion import jobs

if TYPE_CHECKING:
    from splatviz_app.session import Session


@dataclass(frozen=True, eq=False)
class Task:
    """Work on photos or files, and what is done with its result."""

    job: Job
    take: Callable[[Any], None]
    # Those that it prepares.
    photos: tuple[Photo, ...] = ()
    is_for_photos: bool = True


class PhotoDesk:
    """Photos and how they are prepared. What is undoable of it is in the document."""

    def __init__(self, session: Session) -> None:
        """Begin with nothing going on."""
        self._session = session
        self._tasks: list[Task] = []  # on photos and files
        self._faces: dict[bytes, tuple[Face, ...]] = {}  # by a photo's content
        self._problems: dict[bytes, str] = {}  # why it could not be prepared, by a photo's content

    @property
    def photos(self) -> tuple[Photo, ...]:
        """Of the document, in order."""
        return self._session.document.photos

    @photos.setter
    def photos(self, photos: tuple[Photo, ...]) -> None:
        if photos != self.photos:
            self._session.document = replace(self._session.document, photos=photos)

    @property
    def used_photos(self) -> tuple[Photo, ...]:
        """Those that inversion looks at."""
        return tuple(photo for photo in self.photos if photo.used)

    def add_files(self, paths: Sequence[str | Path]) -> None:
        """Read pictures in the background and append them to the photos."""
        self._read([Path(path).expanduser().absolute() for path in paths])

    def add_picture(self, picture: Picture) -> None:
        """Append a picture that is here already: of the webcam, or from the clipboard."""
        self._read([picture])

    def prepare(self, indices: Sequence[int] | None = None) -> None:
        """Find faces, squares and mattes in the background; of all photos if None."""
        chosen = range(len(self.photos)) if indices is None else indices
        self._prepare([(self.photos[index], None) for index in chosen])

    @property
    def is_preparing(self) -> bool:
        """Whether photos are being read or prepared."""
        return any(task.is_for_photos for task in self._tasks)

    def is_preparing_photo(self, photo: Photo) -> bool:
        """Whether a photo is being prepared."""
        return any(photo is other for task in self._tasks for other in task.photos)

    def candidates(self, index: int) -> tuple[Face, ...]:
        """The faces found in a photo, the main one first; empty until it was looked at."""
        return self._faces.get(self.photos[index].content, ())

    def problem(self, photo: Photo) -> str:
        """Why a photo could not be prepared, in a sentence; empty if it could, or nobody tried."""
        return "" if photo.alignment is not None else self._problems.get(photo.content, "")

    def choose_face(self, index: int, face: Face) -> None:
        """Prepare a photo anew, for another of its faces."""
        self._prepare([(self.photos[index], face)])

    @property
    def prepare_settings(self) -> PrepareSettings:
        """How photos are prepared."""
        return self._session.preferences.prepare

    @prepare_settings.setter
    def prepare_settings(self, settings: PrepareSettings) -> None:
        self._session.preferences = replace(self._session.preferences, prepare=settings)

    def poll_tasks(self) -> None:
        """Follow up on work on photos and files."""
        for task in list(self._tasks):
            if task.job.state.is_over:
                self._tasks.remove(task)
                if task.job.state is JobState.DONE:
                    task.take(task.job.result)

    # ---- inside

    def _start(
        self,
        title: str,
        work: Work,
        take: Callable[[Any], None],
        photos: Sequence[Photo] = (),
    ) -> None:
        self._tasks.append(Task(self._session.start_job(title, work), take, tuple(photos)))

    def _read(self, sources: Sequence[Path | Picture]) -> None:
        count = "a photo" if len(sources) == 1 else f"{len(sources)} photos"
        self._start(f"Read {count}", jobs.read_photos(sources), self._take_photos)

    def _take_photos(self, read: jobs.NewPhotos) -> None:
        self.photos = (*self.photos, *read.photos)
        for sentence in read.sentences:
            self._session.report(InversionError(sentence))
        if read.photos and self.prepare_settings.at_once:
            self._prepare([(photo, None) for photo in read.photos], quietly=True)

    def _prepare(self, chosen: Sequence[tuple[Photo, Face | None]], quietly: bool = False) -> None:
        """Prepare photos; quietly: as part of the step of undo that added them."""
        if not chosen:
            return

        def take(prepared: jobs.PreparedPhotos) -> None:
            self._take_prepared(prepared, quietly)

        name = chosen[0][0].name if len(chosen) == 1 else f"{len(chosen)} photos"
        work = jobs.prepare_photos(chosen, self.prepare_settings, dict(self._faces))
        self._start(f"Prepare {name}", work, take, [photo for photo, _ in chosen])

    def _take_prepared(self, prepared: jobs.PreparedPhotos, quietly: bool) -> None:
        session = self._session

        def with_them(document: Document) -> Document:
            photos = tuple(prepared.news(photo) for photo in document.photos)
            return document if photos == document.photos else replace(document, photos=photos)

        if quietly:
            session.history.rewrite(with_them)
        session.document = with_them(session.document)
        self._faces |= prepared.faces
        for photo, _ in prepared.pairs:
            self._problems.pop(photo.content, None)
        self._problems |= prepared.problems
        for sentence in prepared.problems.values():
            session.report(InversionError(sentence))
