"""Whether the window stays fluent while it inverts a photo and tunes its generator.

The window is the real one, in memory (EGL). The photo is a head of the generator itself, so that nothing
has to be downloaded; a hand orbits now and then, as people do while they wait.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.window_hand import WindowHand, drive_window, unexpected
from models.checkpoint import load_generator
from models.latents import random_z
from renderer.camera import OrbitRig
from renderer.rasterize import rasterize

_SEED = 8_700_000  # of the head in the photo
_STEPS = 60, 40  # of latent inversion and of tuning
_FPS = 60.0  # as for people
_REST, _ORBIT = 1.0, 1.5  # seconds without the mouse, and with it


@dataclass
class _Clock:
    """Times the frames of each phase."""

    frames: dict[str, list[float]] = field(default_factory=dict)  # seconds
    phase: str = ""
    last: float = 0.0

    def begin(self, phase: str) -> None:
        """Let the frames from here on belong to a phase; to none if it is empty."""
        self.phase, self.last = phase, 0.0
        if phase:
            self.frames[phase] = []

    def tick(self) -> None:
        """Count a frame."""
        now = time.perf_counter()
        if self.phase and self.last:
            self.frames[self.phase].append(now - self.last)
        self.last = now


def measure(generator: Path) -> dict[str, Any]:
    """Invert and tune in the window.

    Args:
        generator: Whose copy is tuned.

    Returns:
        `worst_gui_frame_ms` of `benchmarks.inversion`.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["SPLATHEAD_CONFIG"] = name
        os.environ["SPLATHEAD_STATE"] = name
        photo = _take_photo(generator, folder)
        clock, steps = _live_through(generator, photo, folder)
    print(
        f"{'in the window':<18}{'steps':>6}{'frames/s':>10}{'median ms':>11}{'99 % ms':>9}{'worst ms':>10}"
    )
    for phase, times in clock.frames.items():
        median, late, worst = (1e3 * np.quantile(times, share) for share in (0.5, 0.99, 1.0))
        print(
            f"{phase:<18}{steps.get(phase, 0) or '':>6}{len(times) / sum(times):>10.1f}"
            f"{median:>11.1f}{late:>9.1f}{worst:>10.1f}"
        )
    worst = max(max(clock.frames[phase]) for phase in ("latent inversion", "tuning"))
    return {"worst_gui_frame_ms": round(1e3 * worst, 1)}


def _live_through(generator: Path, photo: Path, folder: Path) -> tuple[_Clock, dict[str, int]]:
    """Open, add the photo, invert, tune; the frames' times, and how many steps were taken."""
    from splatviz_app.preferences import Preferences
    from splatviz_app.session import new_session

    session = new_session(Preferences(save_folder=str(folder)))
    clock, steps = _Clock(), {}
    desk = session.inversion
    latent, tuning = _STEPS
    desk.projector = replace(desk.projector, steps=latent, patience=0)
    desk.tuner = replace(desk.tuner, steps=tuning)

    def act(ctx: Any) -> None:
        hand = WindowHand(ctx, session)
        session.open(generator)
        hand.wait(lambda: session.picture is not None, "the first head")
        hand.settle()
        _show_panel(hand)
        clock.begin("preparing")
        desk.add_files([photo])
        _orbit_until(hand, lambda: not desk.why_not_invert)
        for phase, start in (
            ("latent inversion", desk.start_inversion),
            ("tuning", desk.start_tuning),
        ):
            assert not desk.why_not_invert, desk.why_not_invert
            clock.begin(phase)
            start()
            _orbit_until(hand, lambda: not desk.phase)
            clock.begin("")
            report = desk.report
            assert report is not None, session.log.last
            steps[phase] = report.steps
            hand.settle()

    drive_window(session, act, fps_limit=_FPS, after_frame=clock.tick)
    errors = unexpected(list(session.log.entries))
    assert not errors, errors[0].details
    return clock, steps


def _show_panel(hand: WindowHand) -> None:
    """Bring the panel to the front, as it is while people invert."""
    from splatviz_app.inversion.desk import PANEL
    from widgets import window_parts

    if any(panel.title == PANEL for panel in window_parts().panels):
        hand.show(PANEL)


def _orbit_until(hand: WindowHand, done: Callable[[], bool]) -> None:
    """Wait, and turn the head every other second."""
    x, y = hand.center("//Viewport/##picture")
    hand.move(x, y)
    while not done():
        _for(hand, _REST, done)
        if done():
            return
        hand.ctx.mouse_down(0)
        begin = time.monotonic()
        while (spent := time.monotonic() - begin) < _ORBIT and not done():
            hand.ctx.mouse_teleport_to_pos(
                (x + 80 * math.sin(4 * spent), y + 20 * math.sin(2 * spent))
            )
            hand.frames(1)
        hand.ctx.mouse_up(0)
        hand.move(x, y)


def _for(hand: WindowHand, seconds: float, done: Callable[[], bool]) -> None:
    begin = time.monotonic()
    while time.monotonic() - begin < seconds and not done():
        hand.frames(1)


def _take_photo(generator: Path, folder: Path) -> Path:
    """Draw a random head of the generator from the side, 640 px, before grey."""
    loaded = load_generator(generator).generator
    with torch.no_grad():
        head = loaded.synthesize(loaded.map(random_z(_SEED, 1, loaded.z_dim)))[0]
    camera = OrbitRig(yaw=0.25, pitch=0.05).camera()
    drawn = rasterize(head, camera, (640, 640), background=torch.full((3,), 0.6)).color
    path = folder / "photo.png"
    pixels = (drawn.clamp(0, 1).movedim(0, -1) * 255).round().byte().numpy()
    Image.fromarray(pixels).save(path)
    return path
