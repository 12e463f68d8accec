"""How a job of the engine looks in a panel: title, bar, time left, Cancel."""

from __future__ import annotations

from imgui_bundle import imgui

from splatviz_app.engine import Job, JobState
from widgets import fields


def draw_job(job: Job) -> None:
    """Show where a job stands, with a button to cancel it."""
    imgui.text_unformatted(job.title)
    state = "Waiting for the work before it"
    if job.wants_cancel:
        state = "Cancelling"
    elif job.state is JobState.RUNNING:
        state = job.progress.message if job.progress else "Starting"
    cancel = fields.em(5)
    between = imgui.get_style().item_spacing.x
    width = imgui.get_content_region_avail().x - cancel - between
    known = job.progress is not None and job.progress.total > 0
    # Without a known end the bar only shows that something goes on.
    fraction = job.fraction if known else -imgui.get_time()
    imgui.progress_bar(fraction, (width, 0), f"{100 * job.fraction:.0f} %" if known else "")
    imgui.same_line()
    with fields.unless("It stops at its next step." if job.wants_cancel else ""):
        if fields.button(f"Cancel##{job.title}", "Stop it; what it began is cleaned up.", cancel):
            job.cancel()
    left = job.seconds_left
    fields.muted(state if left is None else f"{state} · {duration(left)} left")


def duration(seconds: float) -> str:
    """A length of time in the coarsest words that serve."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
