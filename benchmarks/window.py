"""The real window, without an X server: load, latent drag, camera drag, save.

    python -m benchmarks.window

Synthetic mouse events turn the camera and walk the latent pad; what is counted reaches the window's
texture. The last line is one JSON object:

    worst_gui_frame_ms     the longest frame of the window while all of that went on
    first_picture_s        from the start of the process to the first head on screen, caches warm
    camera_drag_fps_240k   pictures per second of a 240k-splat head at 512 x 512 while it is turned
    latent_drag_fps_512    heads per second of a 512 generator (random weights) while the pad is dragged
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

_DRAG_SECONDS = 4.0
_PICTURE = 512  # px


def main() -> None:
    """Measure, print a table and the JSON line."""
    if "--first-picture" in sys.argv:
        _first_picture()
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SPLATHEAD_CONFIG"] = folder
        head, generator = _write_heads(Path(folder))
        first = _measure_first_picture()
        drive = _drive(head, generator, Path(folder))
    figures = {
        "worst_gui_frame_ms": round(1000 * drive.worst_frame, 1),
        "first_picture_s": round(first, 2),
        "camera_drag_fps_240k": round(drive.rates["camera drag"], 1),
        "latent_drag_fps_512": round(drive.rates["latent drag"], 1),
    }
    print(
        f"{'phase':<16}{'frames/s':>10}{'median ms':>11}{'99 % ms':>10}{'worst ms':>10}{'pictures/s':>12}"
    )
    for phase, times in drive.frames.items():
        ordered = sorted(times)
        middle, late = ordered[len(ordered) // 2], ordered[int(0.99 * (len(ordered) - 1))]
        print(
            f"{phase:<16}{len(times) / drive.lasted[phase]:>10.1f}{1000 * middle:>11.1f}"
            f"{1000 * late:>10.1f}{1000 * ordered[-1]:>10.1f}{drive.rates[phase]:>12.1f}"
        )
    print(f"picture while dragging: {drive.picture_size}")
    print(json.dumps(figures))


# ---- from the start of the process to the first head on screen


def _measure_first_picture() -> float:
    """Median of three starts, after one that fills the caches."""
    seconds = []
    for _ in range(4):
        begin = time.monotonic()
        command = [sys.executable, "-m", "benchmarks.window", "--first-picture"]
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds.append(float(answer.stdout.strip().splitlines()[-1]) - begin)
    return sorted(seconds[1:])[1]


def _first_picture() -> None:
    """What `python main.py` does, until the first head is on screen; prints the monotonic clock."""
    from splatviz_app.scenes import first_head
    from splatviz_app.session import new_session
    from splatviz_app.window import WindowOptions, run_window
    from widgets import window_parts

    session = new_session()
    session.open(first_head())

    def after_frame() -> None:
        # The texture is drawn in the frame after the one that uploaded it.
        if session.picture is not None and not session.wants_quit:
            print(time.monotonic(), flush=True)
            session.wants_quit = True

    run_window(session, window_parts(), WindowOptions(remember=False, after_frame=after_frame))


# ---- one session in the window


@dataclass
class _Drive:
    """Walks through the phases, one frame at a time, as the window calls it."""

    frames: dict[str, list[float]] = field(default_factory=dict)  # seconds of each frame
    lasted: dict[str, float] = field(default_factory=dict)  # seconds of each phase
    rates: dict[str, float] = field(default_factory=dict)  # pictures per second
    picture_size: tuple[int, int] = (0, 0)

    @property
    def worst_frame(self) -> float:
        """Seconds of the longest frame of all phases."""
        return max(max(times) for times in self.frames.values() if times)


def _drive(head: Path, generator: Path, folder: Path) -> _Drive:
    from imgui_bundle import glfw_utils, imgui  # before glfw
    import glfw  # isort: skip

    from splatviz_app.session import new_session
    from splatviz_app.window import WindowOptions, run_window
    from widgets import pad, window_parts

    session = new_session()
    drive = _Drive()
    pad_place: list[tuple[float, float, float, float]] = []
    draw_pad = pad.Pad.draw

    def watched_pad(self: pad.Pad, *arguments: object) -> object:
        result = draw_pad(self, *arguments)  # type: ignore[arg-type]
        low, high = imgui.get_item_rect_min(), imgui.get_item_rect_max()
        pad_place[:] = [(low.x, low.y, high.x, high.y)]
        return result

    pad.Pad.draw = watched_pad  # type: ignore[method-assign, assignment]

    def mouse(x: float, y: float, down: bool | None = None) -> None:
        # GLFW's own cursor, which its null platform keeps: ImGui asks for it every frame.
        glfw.set_cursor_pos(glfw_utils.glfw_window_hello_imgui(), x, y)
        if down is not None:
            imgui.get_io().add_mouse_button_event(0, down)

    def phase(name: str, steps: Iterator[None]) -> Iterator[None]:
        """Time the frames of `steps` and count the pictures that reach the texture."""
        times, pictures, seen = [], 0, session.picture
        begin = last = time.perf_counter()
        for _ in steps:
            yield
            now = time.perf_counter()
            times.append(now - last)
            last = now
            if session.picture is not seen:
                pictures, seen = pictures + 1, session.picture
        drive.frames[name], drive.lasted[name] = times, last - begin
        drive.rates[name] = pictures / (last - begin)

    def until(done: Callable[[], bool], limit: float = 120.0) -> Iterator[None]:
        begin = time.perf_counter()
        while not done():
            assert time.perf_counter() - begin < limit, session.log.last
            yield

    def drag(place: Callable[[], tuple[float, float, float, float]]) -> Iterator[None]:
        """Press, circle for some seconds, let go."""
        x0, y0, x1, y1 = place()
        center = ((x0 + x1) / 2, (y0 + y1) / 2)
        mouse(*center)
        yield
        mouse(*center, down=True)
        yield
        begin = time.perf_counter()
        while (spent := time.perf_counter() - begin) < _DRAG_SECONDS:
            swing = 0.3 * math.sin(2 * spent)
            mouse(center[0] + swing * (x1 - x0), center[1] + 0.2 * swing * (y1 - y0))
            yield
        if session.picture is not None:
            drive.picture_size = session.picture.result.request.size
        mouse(*center, down=False)
        yield

    def viewport() -> tuple[float, float, float, float]:
        window = imgui.internal.find_window_by_name("Viewport")
        return (
            window.pos.x + 20,
            window.pos.y + 40,
            window.pos.x + window.size.x - 20,
            window.pos.y + window.size.y - 20,
        )

    def script() -> Iterator[None]:
        yield from until(lambda: imgui.get_frame_count() > 10)
        session.open(head)
        yield from phase("load .ply", until(lambda: session.picture is not None))
        # A picture of 512 x 512, whatever the docks left for the viewport.
        width, height = session.viewport
        session.view = session.view.__class__(
            resolution=round(_PICTURE * math.sqrt(height / width))
        )
        yield from until(lambda: session.is_settled)
        yield from phase("camera drag", drag(viewport))
        session.open(generator)
        yield from phase(
            "load generator",
            until(lambda: session.scene is not None and session.scene.path == str(generator)),
        )
        yield from phase("first head", until(lambda: session.is_settled))
        yield from phase("latent drag", drag(lambda: pad_place[0]))
        yield from until(lambda: session.is_settled)
        _save(session, folder)
        yield from phase("save", until(lambda: not session.engine.jobs))
        session.wants_quit = True
        yield from until(lambda: False)

    steps = script()
    options = WindowOptions(
        remember=False, after_frame=lambda: next(steps, None), raise_crashes=True, fps_limit=60
    )
    run_window(session, window_parts(), options)
    pad.Pad.draw = draw_pad  # type: ignore[method-assign]
    return drive


def _save(session: object, folder: Path) -> None:
    from splatviz_app import export
    from splatviz_app.session import Session

    assert isinstance(session, Session)
    request = session.request()
    assert request is not None
    options = export.PictureOptions((2048, 2048), transparent=True)
    work = export.save_picture(session.pipeline, request, folder / "picture.png", options)
    session.start_job("Save picture", work)
    session.start_job(
        "Save head", export.save_head(session.pipeline, request, folder / "head.ply", "unity")
    )


def _write_heads(folder: Path) -> tuple[Path, Path]:
    """A 240k-splat head as .ply, and a 512 generator with random weights as our checkpoint."""
    from benchmarks.generator import random_generator
    from benchmarks.scenes import head_scene
    from models.checkpoint import save_generator
    from renderer.formats.ply import write_ply
    from renderer.gaussians import Gaussians
    from renderer.spherical_harmonics import rgb_to_dc

    head, generator = folder / "head_240k.ply", folder / "random_512.safetensors"
    scene = head_scene(240_000, _PICTURE)
    splats = Gaussians(
        means=scene.means,
        log_scales=scene.scales.log(),
        quats=scene.quats,
        opacity_logits=scene.opacities.logit(),
        sh=rgb_to_dc(scene.colors)[:, None],
    )
    write_ply(head, splats)
    save_generator(generator, random_generator(512))
    return head, generator


if __name__ == "__main__":
    main()
