"""The one worker thread, which owns torch: the newest request first, then one step of the current job.

The GUI thread hands in frozen values and polls for results; it never waits. The only place where any
exception is caught, so that one bad file or script does not end the session.
"""

from __future__ import annotations

import enum
import itertools
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from splatviz_app import garbage

Request = TypeVar("Request")
Result = TypeVar("Result")


class Progress(Protocol):
    """What a piece of long work yields: where it stands."""

    @property
    def done(self) -> int:
        """Units finished."""

    @property
    def total(self) -> int:
        """Units in all; 0 if unknown."""

    @property
    def message(self) -> str:
        """What is being done now, for the user."""


@dataclass(frozen=True)
class Step:
    """The plainest progress."""

    done: int
    total: int
    message: str


Work = Generator[Progress, None, Any]


class JobState(enum.Enum):
    """The life of a job."""

    # It waits for the jobs before it.
    PENDING = "waiting"
    # The engine takes steps of it between frames.
    RUNNING = "running"
    # Its result is in `result`.
    DONE = "done"
    # The user cancelled it; what it had begun has been cleaned up.
    CANCELLED = "cancelled"
    # Its exception is in `error`.
    FAILED = "failed"

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self in (JobState.DONE, JobState.CANCELLED, JobState.FAILED)


@dataclass(eq=False)
class Job:
    """Long work. Written by the engine thread only, but for wishes to cancel or pause; read by anyone."""

    title: str
    work: Work
    state: JobState = JobState.PENDING
    progress: Progress | None = None
    result: Any = None
    error: BaseException | None = None
    details: str = ""  # the traceback of `error`, for the log
    started: float = 0.0  # time.monotonic() seconds
    seconds: float = 0.0  # spent so far, from its start, without its pauses
    wants_cancel: bool = field(default=False, repr=False)
    is_paused: bool = field(default=False, repr=False)  # the engine takes no step of it
    is_patient: bool = field(default=False, repr=False)  # it gives way to jobs that are not
    # Lets a sleeping engine look again.
    nudge: Callable[[], None] = field(default=lambda: None, repr=False)
    _rested: float = field(default=0.0, repr=False)  # seconds of its pauses that are over
    _paused_at: float = field(default=0.0, repr=False)  # time.monotonic() seconds

    @property
    def fraction(self) -> float:
        """How much is done, 0 to 1."""
        if self.progress is None or self.progress.total <= 0:
            return 0.0
        return min(1.0, self.progress.done / self.progress.total)

    @property
    def seconds_left(self) -> float | None:
        """An estimate from the pace so far; None while there is none to tell from."""
        if self.state is not JobState.RUNNING or self.fraction < 0.02 or self.seconds < 0.2:
            return None
        return self.seconds * (1 / self.fraction - 1)

    def cancel(self) -> None:
        """Ask the engine to close the work at its next step. May be called from any thread."""
        self.wants_cancel = True
        self.nudge()

    def pause(self) -> None:
        """Let the engine rest after the step at hand; frames and other jobs go on. For one thread."""
        if not self.is_paused and not self.state.is_over:
            self.is_paused, self._paused_at = True, time.monotonic()

    def resume(self) -> None:
        """Go on where it was paused; for the thread that paused it."""
        if self.is_paused:
            if self.started:  # else it waited all along, which counts for nothing either way
                self._rested += time.monotonic() - max(self._paused_at, self.started)
            self.is_paused = False
            self.nudge()

    @property
    def can_advance(self) -> bool:
        """Whether the engine has anything to do for it now."""
        return self.wants_cancel or not self.is_paused


@dataclass(frozen=True, eq=False)
class Failure:
    """An exception the engine caught while drawing, with its traceback for the log."""

    error: Exception
    details: str


class Engine(Generic[Request, Result]):
    """Draws the newest request and advances jobs, on its own thread or step by step in a test."""

    def __init__(
        self, render: Callable[[Request], Result], wake: Callable[[], None] = lambda: None
    ) -> None:
        """Take the function that draws.

        Args:
            render: Turns a request into a result; runs on the engine's thread.
            wake: Called after each result and each change of a job, from the engine's thread, so
                that a sleeping window looks.
        """
        self.frame: Result | None = None  # the newest picture that succeeded
        self.failure: Failure | None = None  # of the newest request, None if it succeeded
        self.frames_drawn = 0
        self.seconds_busy = 0.0  # spent in the newest `render`
        self._render = render
        self.wake = wake
        self._pending: Request | None = None
        self._jobs: deque[Job] = deque()
        self._over: deque[Job] = deque()
        self._signal = threading.Condition()
        self._stopping = False
        self._drawing = False
        self._thread: threading.Thread | None = None

    # ---- from any thread

    def submit(self, request: Request) -> None:
        """Ask for a picture; a request still waiting is replaced."""
        with self._signal:
            self._pending = request
            self._signal.notify()

    def start_job(self, title: str, work: Work, is_patient: bool = False) -> Job:
        """Queue long work; the engine steps it whenever no picture is asked for.

        Args:
            title: For the user.
            work: Yields where it stands.
            is_patient: It may take minutes: it waits while there are jobs that are not so.
        """
        job = Job(title, work, is_patient=is_patient, nudge=self._nudge)
        with self._signal:
            self._jobs.append(job)
            self._signal.notify()
        return job

    @property
    def jobs(self) -> tuple[Job, ...]:
        """The running job and those waiting behind it."""
        with self._signal:
            return tuple(self._jobs)

    @property
    def is_drawing(self) -> bool:
        """Whether a picture is being drawn or waits to be."""
        with self._signal:  # else a request could be on its way from one to the other
            return self._drawing or self._pending is not None

    def take_finished(self) -> list[Job]:
        """Hand over the jobs that ended since the last call, each once."""
        with self._signal:
            finished = list(self._over)
            self._over.clear()
        return finished

    # ---- the engine's thread

    def step(self) -> bool:
        """Do one unit of work: the newest request, else one step of a job. False if there is none."""
        with self._signal:
            request, self._pending = self._pending, None
            self._drawing = request is not None
            # The oldest that is not paused; but one that is not wanted any more need not wait for it.
            able = sorted(
                (job for job in self._jobs if job.can_advance), key=lambda job: job.is_patient
            )
            unwanted = (job for job in able if job.wants_cancel)
            job = next(unwanted, able[0] if able else None)
        if request is not None:
            self._draw(request)
        elif job is not None:
            self._advance(job)
        else:
            return False
        self.wake()
        return True

    def _draw(self, request: Request) -> None:
        begin = time.perf_counter()
        try:
            self.frame = self._render(request)
            self.failure = None
            self.frames_drawn += 1
        except Exception as error:
            self.failure = Failure(error, traceback.format_exc())
        finally:
            self.seconds_busy = time.perf_counter() - begin
            self._drawing = False

    def _advance(self, job: Job) -> None:
        if job.state is JobState.PENDING:
            job.state, job.started = JobState.RUNNING, time.monotonic()
        try:
            if job.wants_cancel:
                job.work.close()
                job.state = JobState.CANCELLED
            else:
                with garbage.in_peace():  # its first step may load libraries
                    job.progress = next(job.work)
        except StopIteration as stop:
            job.result, job.state = stop.value, JobState.DONE
        except Exception as error:
            job.error, job.details, job.state = error, traceback.format_exc(), JobState.FAILED
        job.seconds = time.monotonic() - job.started - job._rested
        if job.state.is_over:
            with self._signal:
                self._jobs.remove(job)
                self._over.append(job)

    # ---- its life

    def start(self) -> None:
        """Begin working on a thread of its own."""
        assert self._thread is None, "the engine runs already"
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def stop(self, patience: float = 10.0) -> None:
        """Finish the step at hand, close all jobs and end the thread.

        Args:
            patience: Seconds to wait for the step at hand.
        """
        with self._signal:
            self._stopping = True
            self._signal.notify()
        if self._thread is None:
            self._close_jobs()
            return
        self._thread.join(patience)
        if not self._thread.is_alive():
            self._thread = None

    def drain(self, limit: int = 100_000) -> None:
        """Work on the caller's thread until nothing is left: for tests and the command line."""
        for _ in itertools.takewhile(lambda _: self.step(), range(limit)):
            pass

    def _run(self) -> None:
        while not self._stopping:
            if self.step():
                continue
            with self._signal:
                self._signal.wait_for(self._has_work)
        self._close_jobs()

    def _has_work(self) -> bool:
        able = any(job.can_advance for job in self._jobs)
        return self._stopping or self._pending is not None or able

    def _nudge(self) -> None:
        with self._signal:
            self._signal.notify()

    def _close_jobs(self) -> None:
        # On the thread that stepped them: a generator cannot be closed while another runs it.
        for job in self.jobs:
            job.cancel()
            self._advance(job)
