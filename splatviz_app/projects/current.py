"""`CurrentProject`: which file the document is kept in, and the commands around it.

What must be asked first is put down here as a question; the dialogs show it and bring the answer.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from inversion.pictures import PICTURE_SUFFIXES
from models.delta import Tuning
from renderer.camera import OrbitRig
from renderer.errors import LoadError
from splatviz_app.controls import Inertia
from splatviz_app.document import Document
from splatviz_app.history import History
from splatviz_app.pipeline import ViewSettings
from splatviz_app.projects.content import Content, content_of, tunings_of
from splatviz_app.projects.files import (
    NOTE_SUFFIXES,
    PROJECT_SUFFIX,
    has_note,
    note_of,
    with_surroundings,
    write_project,
)
from splatviz_app.projects.loading import MissingModel, OpenedProject, Source, load_project
from splatviz_app.tuned import digest_of

if TYPE_CHECKING:
    from splatviz_app.autosave import Autosave, Lost
    from splatviz_app.scenes import Scene
    from splatviz_app.session import Session

Answer = Literal["save", "discard", "cancel"]


@dataclass(frozen=True)
class Wish:
    """What the user wants to do that would lose what is not saved."""

    what: Literal["open", "new", "quit"]
    source: Source | None = None  # what to open


@dataclass(frozen=True, eq=False)
class _Saving:
    path: Path
    document: Document
    done: Future[None]


class CurrentProject:
    """Where the document is kept. Used by the thread of the window; files are written by another."""

    def __init__(self, session: Session) -> None:
        """Begin with a project that has no name."""
        self.path: Path | None = None
        self.question: Wish | None = None  # to be asked: whether to save before
        self.asks_for_name = False  # to be asked: under which name to save
        self.missing: MissingModel | None = None  # to be asked: where the model is
        self._session = session
        self._saved: Document | None = None  # as it is in the file; None: nowhere
        self._baseline: Document | None = None  # of a project without a name: what it began as
        self._wish: Wish | None = None  # to be fulfilled once everything is saved
        self._savings: list[_Saving] = []
        self._known: tuple[Scene | None, str] = (None, "")  # a scene and its fingerprint
        # One thread: a second saving waits for the first, and the program waits for both to end.
        self.writer = ThreadPoolExecutor(1, "save")
        self.autosave: Autosave | None = None  # where work goes that is not saved yet
        self._recovering: Lost | None = None
        self.lost: list[Lost] = []  # to be asked: what to do with work of programs that were killed

    # ---- what is shown of it

    @property
    def name(self) -> str:
        """What the project is called."""
        return self.path.stem if self.path is not None else "Untitled"

    @property
    def title(self) -> str:
        """The window's title: an asterisk says that something is not saved."""
        return f"{self.name}{'*' if self.is_changed else ''} - Splathead"

    @property
    def is_changed(self) -> bool:
        """Whether there is something to save. To have only looked at a head is nothing, without a name."""
        now = self._session.document
        if self.path is not None:
            return self._saved is None or not _same(now, self._saved)
        if self._baseline is None:
            return False
        return _work(now) != _work(self._baseline)

    @property
    def is_saving(self) -> bool:
        """Whether a file is being written."""
        return bool(self._savings)

    # ---- commands

    def save(self, path: Path | None = None) -> None:
        """Save in the background: under another name, or under its own, for which it may ask."""
        path = path or self.path
        if path is None:
            self.asks_for_name = True
            return
        self.asks_for_name = False
        if path.suffix.lower() != PROJECT_SUFFIX:
            path = path.with_name(path.name + PROJECT_SUFFIX)
        path = path.absolute()
        document = self._session.document
        content = self._content(path)
        result = self._session.result
        picture = result.image if result is not None else None
        done = self.writer.submit(write_project, path, content, picture)
        self._savings.append(_Saving(path, document, done))

    def cancel_saving(self) -> None:
        """Give up asking for a name, and what was to come after."""
        self.asks_for_name, self._wish = False, None

    def open(self, path: str | Path) -> None:
        """Open a project, after asking if something would be lost; or restore what a picture shows.

        A picture, or a `.ply`, that says how it was made is a step of undo, not another project.
        """
        source = Source(Path(path).expanduser().absolute())
        if source.is_note:
            self._load(source)
        else:
            self._unless_unsaved(Wish("open", source))

    def begin_autosave(self, autosave: Autosave) -> None:
        """Write aside from now on what is not saved, and ask what to do with what others left."""
        self.autosave = autosave
        self.lost = autosave.lost()

    def end_autosave(self) -> None:
        """End in order: what was not saved is not wanted."""
        if self.autosave is not None:
            self.autosave.close()

    def recover(self, lost: Lost) -> None:
        """Open what another program left behind; it is kept until it is saved."""
        assert self.autosave is not None
        self.lost = [other for other in self.lost if other is not lost]
        self._recovering = lost
        self._unless_unsaved(Wish("open", Source(lost.path, is_recovery=True)))

    def discard_lost(self, lost: Lost) -> None:
        """Delete what another program left behind."""
        assert self.autosave is not None
        self.autosave.discard(lost)
        self.lost = [other for other in self.lost if other is not lost]

    def leave_lost(self) -> None:
        """Ask again another day."""
        assert self.autosave is not None
        for lost in self.lost:
            self.autosave.leave(lost)
        self.lost = []

    def new(self) -> None:
        """Begin anew with the open head, after asking if something would be lost."""
        self._unless_unsaved(Wish("new"))

    def quit(self) -> None:
        """Close the window, after asking if something would be lost."""
        self._unless_unsaved(Wish("quit"))

    def answer(self, answer: Answer) -> None:
        """Answer whether to save before."""
        wish, self.question = self.question, None
        if wish is None or answer == "cancel":
            return
        if answer == "discard":
            self._fulfil(wish)
        else:
            self._wish = wish
            self.save()

    def locate(self, model: Path) -> None:
        """Say where the missing model is."""
        missing, self.missing = self.missing, None
        if missing is not None:
            self._load(replace(missing.source, model=model))

    def content(self, path: Path) -> Content:
        """The document as it is now, for an autosave at `path`."""
        origin = str(self.path) if self.path is not None else ""
        return replace(self._content(self.path or path), origin=origin)

    def note(self) -> str:
        """All that a picture needs to be made again, as text for its metadata."""
        session = self._session
        head = session.preview or session.head
        tuning = (
            head.tuning if isinstance(head.tuning, Tuning) else None
        )  # one in the making is lost
        document = replace(session.document, latent=head.latent, tuning=tuning)
        return note_of(document, self._fingerprint, session.editing.time)

    # ---- once per frame

    def poll(self) -> None:
        """Follow up on what was written."""
        if self._baseline is None:
            self._baseline = self._session.document
        _ = self._fingerprint  # known from now on, whatever becomes of the file
        while self._savings and self._savings[0].done.done():
            self._conclude(self._savings.pop(0))
        if self._wish is not None and not (self._savings or self.asks_for_name):
            wish, self._wish = self._wish, None
            if self.is_changed:  # changed again meanwhile
                self._unless_unsaved(wish)
            else:
                self._fulfil(wish)
        if self.autosave is not None:
            self.autosave.follow(self._session)

    def show(self, opened: OpenedProject) -> None:
        """Take over what was opened."""
        session, source, content = self._session, opened.source, opened.content
        session.inertia = Inertia()
        session.banner = ""
        session.editing.time = content.time
        if source.is_note:
            tuning, remark = self._tuning_of(opened)
            document = replace(content.document, tuning=tuning)
            session.document = with_surroundings(document, session.document)
            session.editing.playing = False  # it is the picture of a moment
            session.say(f"Restored what {source.path.name} shows; undo goes back")
            if remark:
                session.report(LoadError(source.path, remark))
        else:
            session.document = content.document
            session.history = History(session.document)
            self._begin(source, content)
        if opened.remark:
            session.say(opened.remark, seconds=8)

    # ---- inside

    @property
    def _fingerprint(self) -> str:
        """Of the scene; also while it is put away and cannot be opened again."""
        scene, opened = self._session.scene, self._session.opened
        if opened is not None:
            self._known = (scene, opened.fingerprint)
        return self._known[1] if self._known[0] == scene else ""

    def _tuning_of(self, opened: OpenedProject) -> tuple[Tuning | None, str]:
        """The tuning a picture was made with, if it is at hand; else a sentence about that."""
        wanted = opened.content.tuning
        if wanted is None:
            return None, ""
        documents = (self._session.document, *self._session.history.values)
        known = [opened.delta] if opened.delta is not None else []
        known += [t.delta for t in dict.fromkeys(t for d in documents for t in tunings_of(d))]
        for delta in known:
            if digest_of(delta.content) == wanted.digest:
                return Tuning(delta, wanted.strength), ""
        name = f"“{wanted.name}”" if wanted.name else "it was made with"
        return None, (
            f"does not hold the tuning {name}, so the head is shown without it. Put the tuning's file "
            "beside the picture and open it again."
        )

    def _content(self, path: Path) -> Content:
        content = content_of(self._session.document, self._fingerprint, path)
        return replace(content, time=self._session.editing.time)

    def _begin(self, source: Source, content: Content) -> None:
        """Let the document belong to the project that it was just read from."""
        session = self._session
        if not source.is_recovery:
            self.path, self._saved, self._baseline = source.path, content.document, content.document
            session.log.add("info", f"Opened {source.path.name}")
        else:
            self.path = Path(content.origin) if content.origin else None
            self._saved, self._baseline = None, Document()
            if self.autosave is not None and self._recovering is not None:
                self.autosave.adopt(self._recovering)
            session.say(f"Recovered {self.name}; save it to keep it")
        if self.path is not None:
            session.preferences = session.preferences.with_recent(str(self.path))

    def _unless_unsaved(self, wish: Wish) -> None:
        if self._savings and self._savings[-1].document == self._session.document:
            self._wish = wish
        elif self.is_changed:
            self.question = wish
        else:
            self._fulfil(wish)

    def _fulfil(self, wish: Wish) -> None:
        session = self._session
        if wish.what == "quit":
            session.wants_quit = True
        elif wish.what == "new":
            session.document = Document(scene=session.scene)
            session.history = History(session.document)
            self.path, self._saved, self._baseline = None, None, session.document
        else:
            assert wish.source is not None
            self._load(wish.source)

    def _load(self, source: Source) -> None:
        session = self._session
        work = load_project(source, session.library, session.preferences.recent)
        session.begin_opening(f"Open {source.path.name}", work)

    def _conclude(self, saving: _Saving) -> None:
        session = self._session
        error = saving.done.exception()
        if error is not None:
            self._wish = None  # what was to come after would lose it
            session.report(error)
            return
        self.path, self._saved = saving.path, saving.document
        session.preferences = session.preferences.with_recent(str(saving.path))
        photos = len(saving.document.photos)  # whoever passes the file on should know
        inside = f", with {photos} photo{'s' if photos > 1 else ''} in it," if photos else ""
        session.say(f"Saved {saving.path.name}{inside} in {saving.path.parent}")


def _same(document: Document, saved: Document) -> bool:
    """Whether two documents are the same; when a file was last changed is no matter."""
    return document == saved or _timeless(document) == _timeless(saved)


def _timeless(document: Document) -> Document:
    scene = document.scene
    return replace(document, scene=replace(scene, changed=0)) if scene is not None else document


def _work(document: Document) -> Document:
    """What of a document took work: not which file was opened, and from where it was looked at."""
    return replace(document, scene=None, rig=OrbitRig(), view=ViewSettings())


def is_photo(path: str | Path) -> bool:
    """Whether a file is a picture of something, and not one that says how it was made."""
    return Path(path).suffix.lower() in PICTURE_SUFFIXES and not has_note(path)


def is_project(path: str | Path) -> bool:
    """Whether a file is to be opened as a project or for its note, by its ending; a `.ply` is a head."""
    ending = Path(path).suffix.lower()
    return ending == PROJECT_SUFFIX or (ending in NOTE_SUFFIXES and ending != ".ply")
