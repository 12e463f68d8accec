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
    elif job.is_paused:
        state = "Paused"
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
    left = job.seconds_left if not job.is_paused else None
    fields.muted(state if left is None else f"{state} · {duration(left)} left")


def draw_job_line(job: Job, waiting: int = 0) -> None:
    """The same in one line of text, for places that must not grow: bar, Cancel, what is being done."""
    width = min(fields.em(8), 0.25 * imgui.get_content_region_avail().x)
    side = imgui.ImVec2(width, imgui.get_text_line_height())
    corner = imgui.get_cursor_screen_pos()
    # Painted: ImGui's own bar is taller than a line and pushes the text beside it down.
    imgui.dummy(side)
    paint, rounding = imgui.get_window_draw_list(), imgui.get_style().frame_rounding
    low, high = corner.y + 0.2 * side.y, corner.y + 0.9 * side.y
    back, front = (imgui.get_color_u32(c) for c in (imgui.Col_.frame_bg, imgui.Col_.plot_histogram))
    paint.add_rect_filled((corner.x, low), (corner.x + side.x, high), back, rounding)
    done = corner.x + job.fraction * side.x
    paint.add_rect_filled((corner.x, low), (done, high), front, rounding)
    imgui.same_line()
    with fields.unless("It stops at its next step." if job.wants_cancel else ""):
        if imgui.small_button(f"Cancel##line {job.title}"):
            job.cancel()
        fields.tooltip("Stop it; what it began is cleaned up.")
    imgui.same_line()
    message = job.progress.message if job.progress is not None else job.title
    message = f"{job.title}: paused" if job.is_paused else message
    left = job.seconds_left if not job.is_paused else None
    estimate = f", {duration(left)} left" if left is not None and left >= 1 else ""
    more = f" ({waiting} more waiting)" if waiting else ""
    imgui.text_unformatted("Cancelling" if job.wants_cancel else f"{message}{estimate}{more}")
    fields.tooltip(f"{job.title}: {message}")


def duration(seconds: float) -> str:
    """A length of time in the coarsest words that serve."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
