"""A hand in the real window, for what takes many steps: it moves the mouse and presses keys of ImGui's
test engine, and nothing else. Files are never asked for, and no training is started.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from splatviz_app.engine import Progress, Step
from splatviz_app.log import LogEntry
from splatviz_app.session import Session

_PATIENCE = 240.0  # seconds for what the engine has to do
_WATCHDOG = 1e6  # seconds that the test engine gives a whole day


@dataclass
class WindowHand:
    """Acts on what a window shows. All places are in px."""

    ctx: Any  # TestContext: its methods block until their frames have gone by
    session: Session

    # ---- time

    def frames(self, count: int = 2) -> None:
        """Let frames go by."""
        self.ctx.yield_(count)

    def wait(self, done: Callable[[], bool], what: str, seconds: float = _PATIENCE) -> None:
        """Let frames go by until something has happened."""
        begin = time.monotonic()
        while not done():
            if time.monotonic() - begin > seconds:
                said = "\n".join(entry.text for entry in list(self.session.log.entries)[-20:])
                raise AssertionError(f"{what} did not happen in {seconds:.0f} s:\n{said}")
            self.ctx.yield_()

    def settle(self) -> None:
        """Rest until the picture is final; what was done before is a step of undo of its own."""
        self.session.busy_until = 0.0
        self.frames(3)
        self.wait(
            lambda: self.session.is_settled and not self.session.inertia.moves, "the final picture"
        )

    # ---- items that are known by their path in the test engine

    def show(self, panel: str) -> None:
        """Bring a panel's tab to the front."""
        self.ctx.window_focus(f"//{panel}")
        self.frames(3)

    def click(self, path: str) -> None:
        """Click an item."""
        assert self.ctx.item_exists(path), path
        self.ctx.item_click(path)
        self.frames(3)

    def enter(self, path: str, value: float) -> None:
        """Type a number into a slider or a field."""
        assert self.ctx.item_exists(path), path
        self.ctx.item_input_value(path, value)
        self.frames(3)

    # ---- the mouse and the keys alone

    def move(self, x: float, y: float) -> None:
        """Point at a place."""
        self.ctx.mouse_teleport_to_pos((x, y))
        self.frames(1)

    def drag(self, x: float, y: float, right: float, down: float, button: int = 0) -> None:
        """Press, move in three frames, let go."""
        self.move(x, y)
        self.ctx.mouse_down(button)
        self.frames(1)
        for part in (0.3, 0.7, 1.0):
            self.move(x + part * right, y + part * down)
        self.ctx.mouse_up(button)
        self.frames(1)

    def press(self, *keys: int) -> None:
        """Press and release keys held together."""
        self.ctx.key_press(sum(int(key) for key in keys))
        self.frames(1)

    def type(self, text: str) -> None:
        """Type where the keyboard is."""
        self.ctx.key_chars(text)
        self.frames(3)

    def center(self, path: str) -> tuple[float, float]:
        """The middle of an item."""
        rect = self.ctx.item_info(path).rect_full
        return (rect.min.x + rect.max.x) / 2, (rect.min.y + rect.max.y) / 2


def drive_window(
    session: Session,
    act: Callable[[Any], None],
    *,
    raise_crashes: bool = False,
    fps_limit: float = 0,
    after_frame: Callable[[], None] | None = None,
) -> None:
    """Show a window in memory and let a hand act in it; it closes when that is done.

    Args:
        session: What the window shows.
        act: Given ImGui's TestContext, on a second thread in lock-step with the frames.
        raise_crashes: Whether a panel's mistake ends the window instead of being logged.
        fps_limit: Frames a second at most; 0 for as many as the machine makes.
        after_frame: Called after each frame, on the window's thread.

    Raises:
        Exception: What `act` raised, or a panel with `raise_crashes`.
    """
    from imgui_bundle import immapp
    from imgui_bundle.immapp import testing

    from splatviz_app.window import WindowOptions, run_window
    from widgets import window_parts

    def test(ctx: Any) -> None:
        # A busy machine is no hanging hand, which the engine would end after a minute.
        ctx.engine_io.config_watchdog_kill_test = _WATCHDOG
        ctx.engine_io.config_watchdog_warning = _WATCHDOG
        ctx.yield_(4)
        act(ctx)

    def loop(parameters: object) -> None:
        testing.run(
            test_function=test,
            runner_params=parameters,  # type: ignore[arg-type]
            add_ons_params=immapp.AddOnsParams(with_implot=True),
        )

    options = WindowOptions(
        remember=False, raise_crashes=raise_crashes, fps_limit=fps_limit, after_frame=after_frame
    )
    run_window(session, window_parts(), options, loop)


def in_window(session: Session, act: Callable[[WindowHand], None]) -> None:
    """Drive a window that asks for no files and starts no training.

    Raises:
        Exception: What `act` raised.
    """
    with _without_dialogs():
        drive_window(session, lambda ctx: act(WindowHand(ctx, session)))


def unexpected(entries: list[LogEntry]) -> list[LogEntry]:
    """The entries of a log that are bugs: those with a traceback, which no sentence for users has."""
    return [entry for entry in entries if entry.details]


def picture_at(session: Session, hand: WindowHand, size: tuple[int, int]) -> np.ndarray:
    """The session's picture at a size in px, exact and final, whatever the window is like. [H, W, 4]"""
    hand.settle()
    request = session.request()
    assert request is not None
    exact = replace(request, size=size, backend=None, precision="float32", time=0.0)

    def work() -> Generator[Progress, None, np.ndarray]:
        yield Step(0, 1, "Drawing")
        return session.pipeline.beside()(exact).image

    job = session.start_job("Draw for comparison", work())
    hand.wait(lambda: job.state.is_over, "the picture to compare")
    assert isinstance(job.result, np.ndarray), job.error
    return job.result


@contextmanager
def _without_dialogs() -> Iterator[None]:
    """Let no dialog for files open, nor a training start: a hand at random would choose anything."""
    from splatviz_app.projects.current import CurrentProject
    from splatviz_app.training_runs import TrainingRuns
    from widgets.file_dialog import FileDialog

    silenced = (
        (FileDialog, ("open_file", "save_file", "choose_folder")),
        (TrainingRuns, ("begin", "resume", "stop", "end_now", "show_folder")),
        (CurrentProject, ("quit", "new")),  # they end what undo could bring back
    )
    before = [(kind, name, getattr(kind, name)) for kind, names in silenced for name in names]
    for kind, name, _ in before:
        setattr(kind, name, lambda *_, **__: None)
    try:
        yield
    finally:
        for kind, name, method in before:
            setattr(kind, name, method)
