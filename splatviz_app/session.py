"""The state of a running application: `Session`, the only mutable one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from renderer.errors import SplatheadError
from splatviz_app.bookmarks import Bookmark
from splatviz_app.controls import Inertia, choose_size
from splatviz_app.directions import Palette, palette_for, with_palette
from splatviz_app.document import Document, DocumentParts
from splatviz_app.edits.desk import EditDesk
from splatviz_app.edits.errors import EditError
from splatviz_app.engine import Engine, Job, JobState, Work
from splatviz_app.evaluation import Evaluator
from splatviz_app.export import SavedFile
from splatviz_app.history import History
from splatviz_app.inversion.desk import PANEL, InversionDesk
from splatviz_app.inversion.preview import Preview
from splatviz_app.log import Log
from splatviz_app.pipeline import (
    Pipeline,
    Precision,
    RenderRequest,
    RenderResult,
)
from splatviz_app.preferences import Preferences, config_folder
from splatviz_app.projects.current import CurrentProject, is_photo, is_project
from splatviz_app.projects.loading import MissingModel, OpenedProject
from splatviz_app.scenes import (
    SUFFIXES,
    GanHead,
    Library,
    Opened,
    OpenedGenerator,
    OpenedScene,
    Scene,
    is_built_in,
    open_scene,
    scene_for,
    title_of,
)
from splatviz_app.textures import Textures
from splatviz_app.tuned import LiveTuning, is_tuning_file


@dataclass(frozen=True)
class Picture:
    """The newest frame as the window holds it."""

    texture: int  # OpenGL's name of it
    result: RenderResult


class Session(DocumentParts):
    """Everything the user can change. Panels replace its parts; `update` makes the rest follow."""

    def __init__(
        self,
        engine: Engine[RenderRequest, RenderResult],
        library: Library,
        pipeline: Pipeline,
        preferences: Preferences | None = None,
    ) -> None:
        """Begin with nothing open."""
        self.engine = engine
        self.library = library
        self.pipeline = pipeline
        self.preferences = preferences or Preferences()
        self.document = Document()
        self.history = History(self.document)
        self.project = CurrentProject(self)
        self.editing = EditDesk(config_folder())
        self.inversion = InversionDesk(self)
        self.preview: Preview | None = None  # shown instead of the document's head; never saved
        self.log = Log()
        self.picture: Picture | None = None
        self.textures = Textures()
        self.evaluator = Evaluator()
        self.select_through = False  # whether a rectangle selects hidden splats as well
        self.viewport = (512, 512)  # px, set by the viewport panel
        self.hand_is_busy = False  # whether a mouse button or a widget is held, set by the window
        self.busy_until = 0.0  # time.monotonic() seconds: a turning wheel counts as a hand
        self.inertia = Inertia()
        self.banner = ""  # one line over the picture: the newest request's error
        self.toast = ""  # a short confirmation
        self.toast_until = 0.0  # time.monotonic() seconds
        self.show_shortcuts = False
        self.wants_panel = ""  # the title of a panel to be brought to the front, once
        self.wants_quit = False
        self.opening: Job | None = None
        self._opening_scene: Scene | None = None  # what `opening` opens
        # Undo went back to it in vain; its picture is not awaited.
        self._unopenable: Scene | None = None
        self._quiet: set[Job] = set()  # cancelled, such as openings that gave way to newer ones
        self._sent: RenderRequest | None = None
        self._full_seconds = 0.0  # what the newest picture of full size took to rasterize
        self._failure: object = None

    # ---- what else panels read

    @property
    def palette(self) -> Palette:
        """The directions laid out for the open generator."""
        return palette_for(self.document.palettes, self._weights)

    @palette.setter
    def palette(self, palette: Palette) -> None:
        palettes = self.document.palettes
        if palette != palette_for(palettes, palette.weights):
            self.document = replace(self.document, palettes=with_palette(palettes, palette))

    @property
    def opened(self) -> Opened | None:
        """The opened head behind the scene, or None while there is none."""
        return self.library.find(self.scene) if self.scene is not None else None

    @property
    def head(self) -> Preview:
        """Which head of the generator is shown, as far as it can be kept: not one in the making."""
        preview = self.preview
        if preview is not None and not isinstance(preview.tuning, LiveTuning):
            return preview
        return Preview(self.latent, self.tuning)

    @property
    def result(self) -> RenderResult | None:
        """The newest picture that succeeded."""
        return self.engine.frame

    # ---- commands

    def open(self, path: str | Path) -> None:
        """Open a head, a generator or a project in the background, or what a picture was made from.

        An opening still going on is cancelled. A picture that says nothing is a photo of somebody, and
        a tuning is added to the open generator.
        """
        path = Path(path).expanduser()
        if is_tuning_file(path):
            self.inversion.open_delta(path)
            return
        if is_photo(path):
            self._add_photos([path])
            return
        if is_project(path):
            self.project.open(path)
            return
        try:
            scene = scene_for(path)
        except SplatheadError as error:
            self.report(error)
            return
        self._open(scene, show=True)

    def open_dropped(self, paths: Sequence[str | Path]) -> None:
        """Open the first known of the files dropped on the window, and add all photos among them."""
        photos = [path for path in paths if is_photo(path)]
        if photos:
            self._add_photos(photos)
        others = [path for path in paths if path not in photos]
        known = [p for p in others if Path(p).suffix.lower() in SUFFIXES or is_project(p)]
        for path in (known or ([] if photos else others))[:1]:
            self.open(path)
        if len(others) > 1 and known:
            self.say(f"Opening {Path(known[0]).name}, the first of {len(others)} files")

    def start_job(self, title: str, work: Work, is_patient: bool = False) -> Job:
        """Queue long work; its result is announced when it is done."""
        return self.engine.start_job(title, work, is_patient)

    def keep_quiet_about(self, job: Job) -> None:
        """Do not announce that a job was cancelled: the user knows, or is told in other words."""
        self._quiet.add(job)

    def begin_opening(self, title: str, work: Work) -> None:
        """Queue an opening; one still going on is cancelled."""
        if self.opening is not None:
            self.opening.cancel()
            self.keep_quiet_about(self.opening)
        self._opening_scene = None
        self.opening = self.start_job(title, work)

    def bring_back(self, bookmark: Bookmark) -> None:
        """Show a head that was kept, tuned as it was.

        Raises:
            ForeignBookmark: It belongs to another generator, or none is open.
        """
        latent = bookmark.latent_for(self._weights)
        self.document = replace(self.document, latent=latent, tuning=bookmark.tuning)

    def run_edits_again(self) -> None:
        """Try an edit that failed once more."""
        self.pipeline.try_again()
        self._sent = None

    def hold(self, seconds: float = 0.35) -> None:
        """Treat the hand as busy a little longer, so that ticks of a wheel become one step of undo."""
        self.busy_until = time.monotonic() + seconds

    def undo(self) -> None:
        """Go back one step."""
        self.inertia = Inertia()
        self.document = self.history.undo(self.document)

    def redo(self) -> None:
        """Go forward one step."""
        self.inertia = Inertia()
        self.document = self.history.redo(self.document)

    def report(self, error: BaseException, details: str = "") -> None:
        """Show an error: a sentence over the picture, and all of it in the log."""
        if isinstance(error, SplatheadError):
            self.banner = str(error)
            self.log.add("error", self.banner)
        else:
            self.banner = f"Something went wrong that should not: {type(error).__name__}: {error}"
            self.log.add("error", self.banner, details)

    def say(self, message: str, seconds: float = 4.0) -> None:
        """Confirm something for a few seconds, and in the log."""
        self.toast, self.toast_until = message, time.monotonic() + seconds
        self.log.add("info", message)

    # ---- once per frame of the window

    def update(self, seconds: float) -> None:
        """Follow up on what panels changed and the engine finished.

        Args:
            seconds: Since the last call.
        """
        if self.inertia.moves and not self.hand_is_busy:
            self.rig, self.inertia = self.inertia.advance(self.rig, seconds)
        for job in self.engine.take_finished():
            self._conclude(job)
        self.inversion.poll()
        self.project.poll()
        self._notice_failure()
        self.editing.advance(self.edits, seconds)
        self._remember_scripts()
        news = self.editing.take_news(self.edits)
        if news:
            self.say(news, 8.0)
        self.pipeline.scripts.seconds = self.preferences.script_seconds
        self.history.settle(self.document, self.hand_is_busy or self.inertia.moves)
        # Once settled nothing differs: a click or a word that is typed is no reason for a coarse picture.
        present = self.history.present
        shown = replace(self.document, photos=present.photos)  # they are not in the picture
        self._refresh(moving=shown != present or self.moves_by_itself)

    @property
    def is_settled(self) -> bool:
        """Whether what is shown, a picture or its failure, is final for the present document."""
        if self.opening is not None or self.engine.jobs or self.inversion.is_busy:
            return False
        request, frame = self.request(), self.engine.frame
        if request is None:
            return self.scene is None or self.scene == self._unopenable
        failed = self.engine.failure is not None
        # Of what moves by itself no picture is the last: any of its moments will do.
        if self.moves_by_itself and frame is not None:
            return failed or frame.request == replace(
                request, time=frame.request.time, size=frame.request.size
            )
        if self.engine.is_drawing:
            return False
        return request == self._sent and (
            failed or (frame is not None and frame.request == request)
        )

    @property
    def moves_by_itself(self) -> bool:
        """Whether the head changes as time goes by."""
        return self.editing.moves(self.edits)

    def request(self, moving: bool = False) -> RenderRequest | None:
        """What to draw now; None if nothing is open."""
        if self.scene is None or self.opened is None:
            return None
        edits = self.editing.shown(self.edits)
        shown = self.preview or self.head
        is_gan = isinstance(self.scene, GanHead)
        return RenderRequest(
            scene=self.scene,
            latent=shown.latent if is_gan else None,
            tuning=shown.tuning if is_gan else None,
            rig=self.rig,
            view=self.view,
            size=choose_size(self.full_size, self._full_seconds, moving),
            precision=self._precision(moving),
            backend=self.preferences.backend,
            edits=edits,
            time=self.editing.time_of(edits),
            selection=self.selection,
        )

    def own_request(self) -> RenderRequest | None:
        """What to draw of the document's own head, whatever a phase of inversion shows meanwhile."""
        request = self.request()
        if request is None or request.latent is None:
            return request
        return replace(request, latent=self.latent, tuning=self.tuning)

    @property
    def full_size(self) -> tuple[int, int]:
        """Width and height in px of a picture in full sharpness."""
        width, height = (max(16, side) for side in self.viewport)
        chosen = self.view.resolution
        if chosen <= 0:
            return (width, height)
        return (max(16, round(chosen * width / height)), chosen)

    # ---- inside

    def _add_photos(self, paths: Sequence[str | Path]) -> None:
        self.inversion.add_files(paths)
        self.wants_panel = PANEL

    def _open(self, scene: Scene, show: bool) -> None:
        name = title_of(scene.path)
        self.begin_opening(f"Open {name}", open_scene(scene, self.library, show))
        self._opening_scene = scene

    def _refresh(self, moving: bool) -> None:
        if self.scene is not None and self.opened is None:
            if self.opening is None and self.scene != self._unopenable:
                # Undo went back to a head that had been put away.
                self._open(self.scene, show=False)
            return
        if self._unopenable is not None:
            self._unopenable, self.banner = None, ""  # its sentence goes with it
        frame = self.engine.frame
        if frame is not None and frame.request.size == self.full_size:
            spent = frame.seconds
            self._full_seconds = spent.get("rasterize", 0.0) + spent.get("compose", 0.0)
        request = self.request(moving)
        if request is not None and request != self._sent:
            self.engine.submit(request)
            self._sent = request

    def _precision(self, moving: bool) -> Precision:
        choice = self.preferences.precision
        if choice != "auto":
            return choice
        # Turning the head makes no new one: only a hand on the latent asks for haste.
        return "fast" if moving and self.latent != self.history.present.latent else "float32"

    def _conclude(self, job: Job) -> None:
        was_opening = job is self.opening
        if was_opening:
            self.opening = None
        is_quiet = job in self._quiet
        self._quiet.discard(job)
        if job.state is JobState.FAILED:
            assert job.error is not None
            self.report(job.error, job.details)
        elif is_quiet:
            pass  # the newest opening wins, without a word about the others
        elif job.state is JobState.CANCELLED:
            self.say(f"{job.title}: cancelled")
        elif isinstance(job.result, OpenedScene):
            self._show(job.result)
        elif isinstance(job.result, OpenedProject):
            self.project.show(job.result)
        elif isinstance(job.result, MissingModel):
            self.project.missing = job.result
        elif isinstance(job.result, SavedFile):
            self.say(job.result.sentence)
        unopened = was_opening and job.state is not JobState.DONE and self.opened is None
        if unopened and self.scene == self._opening_scene:
            # It stays in the document: redo leads out of it, and the picture of before is kept.
            self._unopenable = self.scene

    def _show(self, opened: OpenedScene) -> None:
        if not opened.show:
            return
        self._follow_change(opened.scene)
        if opened.scene != self.scene:  # its splats are others
            self.selection = None
        self.document = replace(self.document, scene=opened.scene)
        self._leave_out_foreign()
        if self.engine.frame is None:  # an empty window is nothing to go back to
            self.history = History(self.document)
        if not is_built_in(opened.scene.path):  # those are always at hand
            self.preferences = self.preferences.with_recent(opened.scene.path)
        self.banner = ""
        self.log.add("info", f"Opened {title_of(opened.scene.path)}")

    def _follow_change(self, scene: Scene) -> None:
        """Let all that named an older state of the open file name this one: that one is gone.

        So a generator that a training writes again and again is no step of undo each time.
        """
        old = self.scene
        if old is None or old == scene or replace(old, changed=scene.changed) != scene:
            return

        def renamed(document: Document) -> Document:
            there = document.scene
            if there is None or replace(there, changed=scene.changed) != scene:
                return document
            return replace(document, scene=scene)

        self.document = renamed(self.document)
        self.history.rewrite(renamed)

    @property
    def _weights(self) -> str:
        """The hash of the open generator; empty without one."""
        opened = self.opened
        return opened.fingerprint if isinstance(opened, OpenedGenerator) else ""

    def _leave_out_foreign(self) -> None:
        """Keep of the latent place what means something to the generator that was just opened."""
        opened = self.opened
        if not isinstance(opened, OpenedGenerator):
            return
        if opened.remark:
            self.log.add("warning", opened.remark)
        is_foreign = self.latent.is_bound and self.latent.weights != opened.fingerprint
        tuning = self.tuning
        if tuning is not None and tuning.delta.weights != opened.fingerprint:
            self.tuning, is_foreign = None, True
        if is_foreign:
            self.latent = self.latent.unbound()
            self.say("Left out what belongs to the other generator; undo goes back to both.")

    def _remember_scripts(self) -> None:
        if self.engine.frame is None or self.hand_is_busy or self.engine.failure is not None:
            return
        try:
            self.editing.remember(self.engine.frame.request.edits)
        except SplatheadError as error:
            self.log.add("warning", str(error))

    def _notice_failure(self) -> None:
        failure = self.engine.failure
        if failure is self._failure:
            return
        typing = time.monotonic() < self.busy_until
        if failure is not None and isinstance(failure.error, EditError) and typing:
            return  # the panel marks it; the banner waits until the hand rests
        self._failure = failure
        if failure is None:
            self.banner = ""
        else:
            self.report(failure.error, failure.details)


def new_session(preferences: Preferences | None = None) -> Session:
    """Put a session together; its engine is not started yet."""
    library = Library()
    pipeline = Pipeline(library)
    return Session(Engine(pipeline), library, pipeline, preferences)
