"""The status bar: model, splats, rasterizer, milliseconds, memory, selection, and the job at hand."""

from __future__ import annotations

import time

import psutil
from imgui_bundle import imgui

from splatviz_app.scenes import title_of
from splatviz_app.session import Session
from widgets import fields
from widgets.jobs import draw_job_line

_process = psutil.Process()


class StatusBar:
    """Draws the bar; asks the system for the memory twice a second."""

    def __init__(self) -> None:
        self._memory = 0.0  # GB
        self._asked = 0.0  # time.monotonic() seconds

    def __call__(self, session: Session) -> None:
        """Draw it in one line: what is shown at the left, what is being done at the right."""
        between = fields.em(1.6)
        x = imgui.get_cursor_pos_x()
        for fact, room in self._facts(session):
            imgui.set_cursor_pos_x(x)
            imgui.text_unformatted(fact)
            imgui.same_line()
            x += max(imgui.calc_text_size(fact).x, imgui.calc_text_size(room).x) + between
        imgui.set_cursor_pos_x(x)
        jobs = session.engine.jobs
        if jobs:
            # The one at work: patient ones rest while there are others.
            shown = min(jobs, key=lambda job: (not job.can_advance, job.is_patient))
            draw_job_line(shown, waiting=len(jobs) - 1)
        elif session.engine.is_drawing:
            imgui.text_colored(fields.quiet_color(), "Drawing")
        else:
            imgui.new_line()

    def _facts(self, session: Session) -> list[tuple[str, str]]:
        """Each with the widest that it usually is."""
        name = title_of(session.scene.path) if session.scene is not None else "Nothing is open"
        facts = [(name, "Demo generator")]
        result = session.result
        if result is not None and result.request.scene == session.scene:
            facts.append((f"{result.summary.splats:,} splats", "000,000 splats"))
            if result.summary.dropped:
                facts.append((f"{result.summary.dropped:,} broken", ""))
            width, height = result.request.size
            facts.append((f"{width} x {height} px", "0000 x 0000 px"))
            facts.append((f"{result.backend} rasterizer", ""))
            facts.append((f"{1000 * sum(result.seconds.values()):.0f} ms", "0000 ms"))
        now = time.monotonic()
        if now - self._asked > 0.5:
            self._memory, self._asked = _process.memory_info().rss / 2**30, now
        facts.append((f"{self._memory:.1f} GB", "00.0 GB"))
        if session.selection is not None:
            facts.append((f"{session.selection.size:,} selected", ""))
        return facts
