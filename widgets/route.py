"""The way through several bookmarks: which, in which order, where on it, and as an animation."""

from __future__ import annotations

import time
from dataclasses import replace

from imgui_bundle import imgui

from models.latents import LatentSettings
from splatviz_app.bookmark_jobs import find_route
from splatviz_app.bookmarks import Bookmark, Route, travelled
from splatviz_app.engine import Job, JobState
from splatviz_app.session import Session
from widgets import fields
from widgets.fields import Number

SECONDS = Number(
    "Seconds",
    "From one head to the next, when played.",
    default=2.0,
    low=0.1,
    high=60.0,
    format="%.1f s",
)
_PLACE_HELP = (
    "Where on the way: each whole number is one of the heads, in the order they were ticked. Between two "
    "heads that both come from Z the blend goes over Z, else it is straight in W."
)


class RouteRows:
    """Blends the bookmarks that are ticked."""

    def __init__(self) -> None:
        """Begin with none ticked."""
        self._picked: tuple[Bookmark, ...] = ()  # in the order of their ticks
        self._route: Route | None = None
        self._finding: Job | None = None
        self._found: tuple[tuple[object, ...], str] = ((), "")  # what `_route` is of
        self._place = 0.0
        self._seconds, self._back = SECONDS.default, True
        self._playing = False
        self._played = 0.0  # seconds since the first stop
        self._last = 0.0  # time.monotonic() seconds of the last frame
        self._shown: LatentSettings | None = None  # what was last put there by playing

    def draw_pick(self, index: int, bookmark: Bookmark) -> None:
        """The box that takes a bookmark into the blend."""
        is_picked = any(picked is bookmark for picked in self._picked)
        _, ticked = imgui.checkbox(f"##Blend {index}", is_picked)
        fields.tooltip("Tick two or more heads to blend them.")
        if ticked and not is_picked:
            self._picked = (*self._picked, bookmark)
        elif is_picked and not ticked:
            self._picked = tuple(picked for picked in self._picked if picked is not bookmark)

    def exchange(self, old: Bookmark, new: Bookmark) -> None:
        """Let a bookmark that was renamed or updated keep its tick."""
        self._picked = tuple(new if picked is old else picked for picked in self._picked)

    def draw(self, session: Session, weights: str) -> None:
        """Draw the slider along the way, once two bookmarks are ticked."""
        fields.section("Blend")
        if len(self._picked) < 2:
            self._playing = False
            fields.muted("Tick two or more heads to blend them, and to play the way between them.")
            return
        fields.muted(" > ".join(bookmark.name for bookmark in self._picked))
        why = "" if self._route is not None else "The heads are being read."
        with fields.unless(why):
            last = float(len(self._picked) - 1)
            number = Number("Place", _PLACE_HELP, default=0.0, low=0.0, high=last)
            place = fields.slider(number, min(self._place, last))
            if place != self._place and self._route is not None:
                self._place, self._playing = place, False
                session.latent = self._route.at(place)
            if fields.button(
                "Stop" if self._playing else "Play", "Walk the way, from where it is."
            ):
                self._play(not self._playing)
        self._seconds = fields.slider(SECONDS, self._seconds)
        self._back = fields.check(
            "There and back", "At the end go back the way it came, instead of beginning anew.",
            self._back, default=True,
        )  # fmt: skip

    def poll(self, session: Session, weights: str) -> None:
        """Keep the way up to date and walk it; every frame."""
        self._follow(session, weights)
        job = self._finding
        if job is not None and job.state.is_over:
            self._finding = None
            if job.state is JobState.DONE and isinstance(job.result, Route):
                self._route = job.result
            else:  # the log says why; to tick them again tries again
                self._picked = ()
        if self._playing and self._shown not in (None, session.latent):
            self._playing = False  # undo, or a hand on another slider
        if not self._playing or self._route is None:
            self._playing = False
            return
        now = time.monotonic()
        self._played += min(now - self._last, 0.1)  # a window that slept does not jump
        self._last = now
        self._place = travelled(self._played, self._route.length, self._seconds, self._back)
        session.latent = self._shown = self._route.at(self._place)
        session.hold()  # all of it is one step of undo
        session.engine.wake()

    def _play(self, plays: bool) -> None:
        self._playing, self._shown = plays, None
        self._played = self._place * self._seconds
        self._last = time.monotonic()

    def _follow(self, session: Session, weights: str) -> None:
        """Forget bookmarks that are gone, and find the way through the others."""
        there = session.document.bookmarks
        picked = tuple(p for p in self._picked if p.weights == weights)
        self._picked = tuple(p for p in picked if any(p is b for b in there))
        sought = (tuple(bookmark.latent for bookmark in self._picked), weights)
        if sought == self._found:
            return
        request = session.request()
        if request is None:
            return  # the head is being opened
        self._found, self._route, self._playing = sought, None, False
        if self._finding is not None:
            self._finding.cancel()
            self._finding = None
        if len(self._picked) >= 2:
            request = replace(request, precision="float32")
            work = find_route(session.pipeline, request, self._picked, weights)
            self._finding = session.start_job("Find the way", work)
