"""The status bar: model, splats, rasterizer, milliseconds, memory, and the job at hand."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
from imgui_bundle import hello_imgui, imgui

from splatviz_app.engine import Job
from splatviz_app.session import Session

_process = psutil.Process()


class StatusBar:
    """Draws the bar; asks the system for the memory twice a second."""

    def __init__(self) -> None:
        self._memory = 0.0  # GB
        self._asked = 0.0  # time.monotonic() seconds

    def __call__(self, session: Session) -> None:
        """Draw it in one line."""
        em = hello_imgui.em_size()
        facts = self._facts(session)
        for i, fact in enumerate(facts):
            if i:
                imgui.same_line(0, 1.6 * em)
            imgui.text_unformatted(fact)
        jobs = session.engine.jobs
        if jobs:
            imgui.same_line(0, 1.6 * em)
            draw_job(jobs[0], waiting=len(jobs) - 1)
        elif session.engine.is_drawing:
            imgui.same_line(0, 1.6 * em)
            imgui.text_disabled("drawing")

    def _facts(self, session: Session) -> list[str]:
        facts = [Path(session.scene.path).name if session.scene is not None else "nothing open"]
        result = session.result
        if result is not None and session.scene is not None:
            facts.append(f"{result.summary.splats:,} splats")
            if result.summary.dropped:
                facts.append(f"{result.summary.dropped:,} broken")
            width, height = result.request.size
            facts.append(f"{width} x {height}")
            facts.append(f"{result.backend} rasterizer")
            facts.append(f"{1000 * sum(result.seconds.values()):.0f} ms")
        now = time.monotonic()
        if now - self._asked > 0.5:
            self._memory, self._asked = _process.memory_info().rss / 2**30, now
        facts.append(f"{self._memory:.1f} GB")
        return facts


def draw_job(job: Job, waiting: int = 0) -> None:
    """A job's title, progress, estimate and a button that cancels it, in one line."""
    em = hello_imgui.em_size()
    message = job.progress.message if job.progress is not None else job.title
    imgui.progress_bar(job.fraction, (8 * em, imgui.get_text_line_height()), "")
    imgui.same_line()
    left = job.seconds_left
    estimate = f", {left:.0f} s left" if left is not None and left >= 1 else ""
    more = f" (+{waiting} waiting)" if waiting else ""
    imgui.text_unformatted(f"{message}{estimate}{more}")
    imgui.same_line()
    if job.wants_cancel:
        imgui.text_disabled("cancelling")
    elif imgui.small_button("Cancel##job"):
        job.cancel()
