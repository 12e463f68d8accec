"""`InversionDesk`: what the inversion panel does and shows. Used by the window's thread."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from inversion.photo import Photo
from inversion.pivotal import memory_estimate
from inversion.settings import ProjectorSettings, TuningSettings
from inversion.steps import Inversion, InversionStep, LossValues, Tuned
from models.delta import ForeignDelta, Tuning
from models.generator import CgsGenerator
from renderer.camera import Camera
from renderer.errors import SplatheadError
from splatviz_app.document import Document
from splatviz_app.engine import Job, JobState, Work
from splatviz_app.history import History
from splatviz_app.inversion import jobs
from splatviz_app.inversion.cameras import camera_of, found_cameras
from splatviz_app.inversion.phases import (
    Phase,
    PhaseRun,
    Report,
    Start,
    kept_at,
)
from splatviz_app.inversion.photo_desk import PhotoDesk, Task
from splatviz_app.inversion.preview import Preview
from splatviz_app.preferences import PerceptionChoice
from splatviz_app.scenes import OpenedGenerator
from splatviz_app.tuned import LiveTuning

if TYPE_CHECKING:
    from splatviz_app.session import Session

PANEL = "Inversion"  # the title of the panel

_SHOW_EVERY = 0.1  # seconds between two pictures of a phase, at least
_MOST_UNDONE = 2**30  # bytes of tunings that undo may hold
_SHOW_SHARE = 0.25  # of the engine's time that these pictures may take


class InversionDesk(PhotoDesk):
    """Photos, the two phases and their settings. What is undoable of it is in the document."""

    def __init__(self, session: Session) -> None:
        """Begin with nothing going on."""
        super().__init__(session)
        self.rescued: Inversion | None = None  # the best step of a latent inversion that failed
        self.shows_preview = True  # whether the head a phase has arrived at is shown meanwhile
        self.report: Report | None = None  # of the last phase that came to its end
        self._run: PhaseRun | None = None  # the one that goes on, or the last
        self._job: Job | None = None  # of the phase that goes on
        self._history: History[Document] | None = None  # when it began
        self._rescued_from: Start | None = None
        self._wants_again: Phase | None = None  # once the phase at hand is cancelled
        self._curves: dict[Phase, list[LossValues]] = {}
        self._chosen: Preview | None = None  # the document's head, when it was looked at last
        self._shown_at = 0.0  # time.monotonic() seconds: of the newest preview

    # ---- settings, which preferences keep

    @property
    def projector(self) -> ProjectorSettings:
        """How latent inversion works."""
        return self._session.preferences.projector

    @projector.setter
    def projector(self, settings: ProjectorSettings) -> None:
        self._session.preferences = replace(self._session.preferences, projector=settings)

    @property
    def tuner(self) -> TuningSettings:
        """How tuning works."""
        return self._session.preferences.tuner

    @tuner.setter
    def tuner(self, settings: TuningSettings) -> None:
        self._session.preferences = replace(self._session.preferences, tuner=settings)

    @property
    def perception_choice(self) -> PerceptionChoice:
        """What differences are measured by."""
        return self._session.preferences.perception

    @perception_choice.setter
    def perception_choice(self, choice: PerceptionChoice) -> None:
        self._session.preferences = replace(self._session.preferences, perception=choice)

    @property
    def is_busy(self) -> bool:
        """Whether anything goes on that the document is going to hear of."""
        return bool(self._tasks) or self._job is not None

    # ---- both phases

    @property
    def why_not_invert(self) -> str:
        """Why latent inversion cannot start now, in a sentence; empty if it can."""
        if self.phase:
            return "A phase goes on: wait for its end, or stop it."
        if self._opened is None:
            return "Open a generator first: it is what makes the head."
        if not self.photos:
            return "Add a photo first."
        if not self.used_photos:
            return "Use one of the photos: all are left out."
        waiting = [photo.name for photo in self.used_photos if not photo.is_ready]
        if waiting and self.is_preparing:
            return "The photos are still being prepared."
        if waiting:
            return f"Prepare {waiting[0]} first, or leave it out."
        return ""

    @property
    def why_not_tune(self) -> str:
        """Why tuning cannot start now, in a sentence; empty if it can."""
        return self.why_not_invert

    def start_inversion(self) -> None:
        """Look for the head of the photos."""
        if not self.why_not_invert:
            self._begin("latent")

    def start_tuning(self) -> None:
        """Change a copy of the generator until the head that is shown looks like the photos."""
        if not self.why_not_tune:
            self._begin("tuning")

    def start_over(self) -> None:
        """Begin the phase at hand, or the last one, again."""
        if self._run is None:
            return
        if self._job is not None:
            self._wants_again = self._run.phase
            self.cancel()
        elif not self.why_not_invert:
            self._begin(self._run.phase)

    @property
    def phase(self) -> Phase | Literal[""]:
        """Which one goes on: "latent" or "tuning"; "" if none does."""
        return self._run.phase if self._run is not None and self._job is not None else ""

    @property
    def job(self) -> Job | None:
        """Of the phase that goes on."""
        return self._job

    @property
    def run(self) -> PhaseRun | None:
        """The phase that goes on, or the last one."""
        return self._run

    @property
    def newest(self) -> InversionStep | None:
        """Where the phase stands, or how it ended."""
        return self._run.newest if self._run is not None else None

    @property
    def curve(self) -> list[LossValues]:
        """Of each step of the phase at hand, or of the last one."""
        return self._run.curve if self._run is not None else []

    @property
    def curves(self) -> dict[Phase, list[LossValues]]:
        """Of the newest run of each phase."""
        return self._curves

    @property
    def targets(self) -> tuple[np.ndarray, ...]:
        """The photos as they are compared, empty before. [S, S, 4] uint8 each"""
        return self._run.targets if self._run is not None else ()

    @property
    def view_pictures(self) -> tuple[np.ndarray | None, ...]:
        """The head from each photo's camera: the newest, at the end the kept one. [S, S, 4] uint8 each"""
        if self._run is None:
            return ()
        kept = self._run.best_pictures if self.report is not None else ()
        return kept or self._run.pictures

    @property
    def view_cameras(self) -> tuple[Camera, ...]:
        """Those that `view_pictures` are seen by; empty before."""
        if self._run is None or self._run.newest is None:
            return ()
        kept = self._run.best_cameras if self.report is not None else ()
        return kept or self._run.newest.cameras

    @property
    def measured_by(self) -> str:
        """What the phase at hand, or the last one, measures by: a sentence; empty before."""
        return self._run.measured_by if self._run is not None else ""

    def camera_of(self, photo: Photo) -> Camera:
        """The camera of a photo that is prepared, as latent inversion corrected it if it did."""
        opened, document = self._opened, self._session.document
        weights = opened.fingerprint if opened is not None else ""
        camera = camera_of(photo, document.cameras, weights)
        assert camera is not None, photo.name
        return camera

    def pause(self) -> None:
        """Rest after the step at hand."""
        if self._job is not None:
            self._job.pause()

    def resume(self) -> None:
        """Go on."""
        if self._job is not None:
            self._job.resume()

    @property
    def is_paused(self) -> bool:
        """Whether the phase rests."""
        return self._job is not None and self._job.is_paused

    def finish(self) -> None:
        """Stop after the step at hand and take the best there was."""
        if self._run is not None and self._job is not None:
            self._run.reins.finish = True
            self._job.resume()

    def cancel(self) -> None:
        """Stop, and leave the session as it was."""
        if self._job is not None:
            self._job.cancel()
            self._session.preview = None

    def accept_rescued(self) -> None:
        """Show the best head of a latent inversion that failed later."""
        if self.rescued is not None and self._rescued_from is not None:
            rescued, self.rescued = self.rescued, None
            self._show_found(rescued, self._rescued_from)

    # ---- tunings

    @property
    def strength(self) -> float:
        """How much of the tuning is added, 0 to 1; 0 without one."""
        tuning = self._session.tuning
        return tuning.strength if tuning is not None else 0.0

    @strength.setter
    def strength(self, strength: float) -> None:
        tuning = self._session.tuning
        if tuning is not None:
            self._session.tuning = replace(tuning, strength=min(max(strength, 0.0), 1.0))

    @property
    def tuning_bytes(self) -> int:
        """About how much memory tuning takes with its settings; 0 without a generator."""
        opened = self._opened
        if opened is None or not isinstance(opened.loaded.generator, CgsGenerator):
            return 0
        return memory_estimate(opened.loaded.generator, self.tuner)

    def save_delta(self, path: str | Path) -> None:
        """Write the tuning to a file."""
        tuning = self._session.tuning
        if tuning is not None:
            self._session.start_job("Save the tuning", jobs.save_tuning(tuning, Path(path)))

    def open_delta(self, path: str | Path, strength: float = 1.0) -> None:
        """Read a tuning from a file and add it to the generator that is open by then."""
        path = Path(path).expanduser().absolute()

        def take(read: jobs.NewTuning) -> None:
            session, opened = self._session, self._opened
            if opened is None:
                session.report(SplatheadError(f"Open the generator that {path.name} tunes first."))
            elif opened.fingerprint != read.delta.weights:
                session.report(ForeignDelta(read.delta.name or path.name))
            else:
                session.tuning = Tuning(read.delta, strength)
                session.say(read.sentence)

        job = self._session.start_job(f"Open {path.name}", jobs.read_tuning(path))
        self._tasks.append(Task(job, take, is_for_photos=False))

    # ---- once per frame

    def poll(self) -> None:
        """Follow up on what the engine did."""
        self.poll_tasks()
        if self._job is not None:
            self._stop_if_lost()
            self._follow_preview()
            if self._job.state.is_over:
                self._conclude(self._job)
        self._let_go()

    # ---- inside

    @property
    def _opened(self) -> OpenedGenerator | None:
        opened = self._session.opened
        if isinstance(opened, OpenedGenerator) and isinstance(
            opened.loaded.generator, CgsGenerator
        ):
            return opened
        return None

    def _begin(self, phase: Phase) -> None:
        session, opened = self._session, self._opened
        assert opened is not None
        request = session.request()
        assert request is not None
        photos, choice = self.used_photos, self.perception_choice
        cameras = tuple(self.camera_of(photo) for photo in photos)
        start = Start(request, opened.fingerprint, session.latent, photos, cameras, choice)
        run = PhaseRun(phase, start)
        generator = opened.loaded.generator
        assert isinstance(generator, CgsGenerator)
        title = "Latent inversion" if phase == "latent" else "Tuning"
        work: Work
        if phase == "latent":
            work = jobs.invert(run, session.pipeline, generator, self.projector)
        else:
            work = jobs.tune_head(run, session.pipeline, generator, self.tuner)
        self._run, self.rescued, self.report, self.shows_preview = run, None, None, True
        self._chosen = Preview(session.latent, session.tuning)
        self._curves[phase] = run.curve
        self._history = session.history
        self._job = session.start_job(title, work, is_patient=True)

    def _stop_if_lost(self) -> None:
        """Cancel a phase whose generator or project is not open any more."""
        session, job = self._session, self._job
        assert self._run is not None
        assert job is not None
        if job.wants_cancel or job.state.is_over:
            return
        if session.scene != self._run.start.request.scene or session.history is not self._history:
            session.keep_quiet_about(job)
            self._wants_again = None
            self.cancel()
            session.say(f"{job.title} was stopped, for something else was opened.")

    def _follow_preview(self) -> None:
        """Show where the phase is, as often as drawing it leaves most of the time to the phase."""
        session, run, job = self._session, self._run, self._job
        assert run is not None
        assert job is not None
        chosen = Preview(session.latent, session.tuning)
        if chosen != self._chosen:
            # A hand chose another head: it is what is looked at now.
            self._chosen, self.shows_preview = chosen, False
        if job.wants_cancel or not self.shows_preview:
            session.preview = None
            return
        now, pause = time.monotonic(), session.engine.seconds_busy * (1 / _SHOW_SHARE - 1)
        is_due = now - self._shown_at >= max(_SHOW_EVERY, pause) or self.is_paused
        is_free = session.preview is None or (is_due and not session.engine.is_drawing)
        if is_free and session.preview is not run.preview:
            session.preview, self._shown_at = run.preview, now

    def _conclude(self, job: Job) -> None:
        session, run = self._session, self._run
        assert run is not None
        self._job, session.preview = None, None
        if job.state is JobState.DONE and session.scene == run.start.request.scene:
            if isinstance(job.result, Inversion):
                self._show_found(job.result, run.start)
            elif isinstance(job.result, Tuned):
                self._show_tuned(job.result, run.start)
        elif job.state is JobState.FAILED and run.phase == "latent":
            self.rescued, self._rescued_from = run.rescue, run.start
        again, self._wants_again = self._wants_again, None
        if again is not None and job.state is JobState.CANCELLED and not self.why_not_invert:
            self._begin(again)

    def _show_found(self, found: Inversion, start: Start) -> None:
        if found.quality:  # not of what was rescued: that was not compared once more
            self.report = Report("latent", (), found.quality, found.steps, found.best)
        document = self._session.document
        cameras = found_cameras(start.weights, start.photos, found.cameras)
        latent = kept_at(found.w, start)
        self._as_one_step(replace(document, latent=latent, tuning=None, cameras=cameras))
        self._session.say("The head of the photos is found; undo goes back.")

    def _show_tuned(self, tuned: Tuned, start: Start) -> None:
        self.report = Report("tuning", tuned.before, tuned.quality, tuned.steps, tuned.best)
        document, tuning = self._session.document, Tuning(tuned.delta)
        self._as_one_step(replace(document, latent=start.latent, tuning=tuning))
        self._session.say("The generator is tuned to the photos; undo goes back.")

    def _as_one_step(self, document: Document) -> None:
        """Replace the document as a step of undo of its own, even while a hand moves the camera."""
        session = self._session
        session.history.settle(session.document, hand_is_busy=False)
        session.document = document
        session.history.settle(document, hand_is_busy=False)
        # Each tuning takes up to 120 MB, and undo holds on to all.
        while _tuning_bytes(session.history.values) > _MOST_UNDONE and session.history.can_undo:
            session.history.forget_oldest()

    def _let_go(self) -> None:
        """Free the network in the making once no picture of it can be asked for any more."""
        session = self._session
        if self._job is not None or not len(session.pipeline.live):
            return
        frame = session.engine.frame
        shows = frame is not None and isinstance(frame.request.tuning, LiveTuning)
        if not shows and not session.engine.is_drawing:
            session.pipeline.live.clear()


def _tuning_bytes(documents: Sequence[Document]) -> int:
    """How many bytes the tunings of documents take, each counted once."""
    deltas = {id(d.tuning.delta): d.tuning.delta for d in documents if d.tuning is not None}
    return sum(len(delta.content) for delta in deltas.values())
