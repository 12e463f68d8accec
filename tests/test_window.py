"""The real window, driven by ImGui's test engine through EGL: real buttons, no X server.

One run of the window per test. The test function runs on a second thread in lock-step with the frames.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from renderer.formats.ply import write_ply
from renderer.gaussians import Gaussians
from splatviz_app.preferences import Preferences
from splatviz_app.session import Session, new_session

pytestmark = pytest.mark.window
ROOT = Path(__file__).resolve().parent.parent


def ball(count: int = 600, red: float = 1.0) -> Gaussians:
    """An opaque ball, red to the head's left (+x) and blue to its right."""
    generator = torch.Generator().manual_seed(3)
    way = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    side = (way[:, :1] > 0).float()
    color = torch.cat([red * side, torch.zeros_like(side), 1 - side], dim=1)
    return Gaussians(
        means=0.22 * way,
        log_scales=torch.full((count, 3), -3.6),
        quats=torch.tensor([1.0, 0, 0, 0]).expand(count, 4).contiguous(),
        opacity_logits=torch.full((count,), 5.0),
        sh=((color - 0.5) / 0.28209479)[:, None],
    )


@dataclass
class Hand:
    """What a test does in the window."""

    ctx: object
    session: Session

    def wait(self, done: Callable[[], bool], what: str, seconds: float = 60) -> None:
        """Let frames go by until something has happened."""
        begin = time.monotonic()
        while not done():
            assert time.monotonic() - begin < seconds, f"{what} did not happen: {self.log}"
            self.ctx.yield_()

    def settle(self) -> None:
        """Wait for the final picture."""
        self.ctx.yield_(3)
        self.wait(lambda: self.session.is_settled, "the final picture")
        self.ctx.yield_(2)

    def click(self, reference: str) -> None:
        assert self.ctx.item_exists(reference), reference
        self.ctx.item_click(reference)

    def over_picture(self, x: float, y: float) -> None:
        """Move the mouse over the picture, from its top left corner, 0 to 1."""
        info = self.ctx.item_info("//Viewport/##picture")
        low, high = info.rect_full.min, info.rect_full.max
        self.ctx.mouse_move_to_pos((low.x + x * (high.x - low.x), low.y + y * (high.y - low.y)))

    def drag(self, right: float, down: float, button: int = 0) -> None:
        self.over_picture(0.5, 0.5)
        self.ctx.mouse_drag_with_delta((right, down), button)

    @property
    def log(self) -> str:
        return "\n".join(entry.text for entry in self.session.log.entries)


@pytest.fixture
def red_ply(tmp_path: Path) -> Path:
    path = tmp_path / "ball.ply"
    write_ply(path, ball())
    return path


@pytest.fixture
def in_window(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Session]:
    """Run a test function in a window of its own."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)

    def run(act: Callable[[Hand], None], *, opened: Path | None = None) -> Session:
        from benchmarks.window_hand import drive_window

        session = new_session(Preferences(save_folder=str(tmp_path)))
        if opened is not None:
            session.open(opened)

        def test(ctx: object) -> None:
            hand = Hand(ctx, session)
            if opened is not None:
                hand.wait(lambda: session.picture is not None, "the first picture")
                hand.settle()
            act(hand)

        drive_window(session, test, raise_crashes=True)
        return session

    return run


def test_an_empty_window_says_what_to_do_and_draws_every_panel(in_window) -> None:
    def act(hand: Hand) -> None:
        hand.ctx.yield_(5)
        for title in (
            "Head",
            "Latent",
            "Camera",
            "Render",
            "Training",
            "Save",
            "Performance",
            "Log",
        ):
            assert hand.ctx.window_info(f"//{title}").window is not None, title
        assert hand.session.picture is None

    in_window(act)


def test_a_drag_over_the_picture_turns_the_head_and_the_picture_changes(in_window, red_ply) -> None:
    def act(hand: Hand) -> None:
        session = hand.session
        before = session.picture.result.image.copy()
        hand.drag(120, 0)
        hand.settle()
        assert session.rig.yaw < -0.2
        assert abs(session.rig.pitch) < 0.02
        after = session.picture.result.image
        assert after.shape == before.shape
        assert np.abs(after.astype(int) - before).mean() > 5

    in_window(act, opened=red_ply)


def test_a_drag_is_one_step_of_undo(in_window, red_ply) -> None:
    def act(hand: Hand) -> None:
        session = hand.session
        start = session.rig
        hand.drag(80, 30)
        hand.settle()
        turned = session.rig
        assert turned != start
        hand.ctx.key_press(int(_key("mod_ctrl")) | int(_key("z")))
        hand.settle()
        assert session.rig == start
        hand.ctx.key_press(int(_key("mod_ctrl")) | int(_key("mod_shift")) | int(_key("z")))
        hand.settle()
        assert session.rig == turned

    in_window(act, opened=red_ply)


def test_the_right_button_moves_the_head_and_the_wheel_zooms_towards_the_cursor(
    in_window, red_ply
) -> None:
    def act(hand: Hand) -> None:
        session = hand.session
        hand.drag(60, 0, button=1)
        hand.settle()
        assert session.rig.target[0] < -0.02, "the head follows the hand, so the target goes left"
        assert session.rig.yaw == 0
        radius = session.rig.radius
        hand.over_picture(0.5, 0.5)
        hand.ctx.mouse_wheel_y(2)
        hand.settle()
        assert session.rig.radius < 0.9 * radius

    in_window(act, opened=red_ply)


def test_a_double_click_turns_about_the_point_under_the_cursor(in_window, red_ply) -> None:
    def act(hand: Hand) -> None:
        session = hand.session
        hand.over_picture(0.5, 0.4)
        hand.ctx.mouse_double_click(0)
        hand.settle()
        x, y, z = session.rig.target
        assert z > 0.1, "on the near side of the ball"
        assert y > 0.02
        assert abs((x * x + y * y + z * z) ** 0.5 - 0.22) < 0.06, "on its surface"

    in_window(act, opened=red_ply)


def test_keys_turn_the_head_but_not_while_a_text_field_has_the_focus(in_window, red_ply) -> None:
    def act(hand: Hand) -> None:
        session = hand.session
        hand.over_picture(0.5, 0.5)
        hand.ctx.key_press(_key("_3"))
        hand.settle()
        assert session.rig.yaw == pytest.approx(np.pi / 2)
        hand.ctx.item_click("//Save/**/##Picture name")
        hand.ctx.key_chars("1f3")
        hand.ctx.yield_(2)
        assert session.rig.yaw == pytest.approx(np.pi / 2), "1 would have been the front view"
        hand.ctx.key_press(_key("escape"))
        hand.ctx.yield_(3)
        assert not session.wants_quit

    in_window(act, opened=red_ply)


def test_in_an_open_list_the_arrows_choose_and_escape_closes_it(in_window, red_ply) -> None:
    from imgui_bundle import imgui

    def is_open() -> bool:
        return imgui.is_popup_open("", imgui.PopupFlags_.any_popup)

    def act(hand: Hand) -> None:
        rig, ctx = hand.session.rig, hand.ctx
        hand.click("//Save/##Size")
        ctx.yield_(2)
        assert is_open()
        ctx.key_press(_key("down_arrow"))
        ctx.yield_(2)
        ctx.key_press(_key("escape"))
        ctx.yield_(4)
        assert not is_open()
        assert hand.session.rig == rig, "meanwhile the arrows are not the head's"
        ctx.key_press(_key("left_arrow"))
        ctx.yield_(2)
        assert hand.session.rig != rig, "and now they are again"
        assert not hand.session.wants_quit

    in_window(act, opened=red_ply)


def test_the_picture_reaches_the_edges_of_its_panel(in_window, red_ply) -> None:
    def act(hand: Hand) -> None:
        window = hand.ctx.window_info("//Viewport").window
        picture = hand.ctx.item_info("//Viewport/##picture").rect_full
        assert abs(picture.min.x - window.pos.x) <= 1
        assert abs(picture.max.x - (window.pos.x + window.size.x)) <= 1
        assert abs(picture.max.y - (window.pos.y + window.size.y)) <= 1
        assert hand.session.viewport == hand.session.picture.result.request.size

    in_window(act, opened=red_ply)


def test_the_view_menu_hides_a_panel_changes_the_theme_and_resets_the_layout(
    in_window, red_ply
) -> None:
    from imgui_bundle import hello_imgui

    def act(hand: Hand) -> None:
        def choose(path: str) -> None:
            hand.ctx.set_ref("##MainMenuBar")
            hand.ctx.menu_click(path)
            hand.ctx.set_ref("")
            hand.ctx.yield_(5)

        window = hello_imgui.get_runner_params()
        log = next(p for p in window.docking_params.dockable_windows if p.label == "Log")
        narrow = hand.session.viewport
        choose("View/Log")
        assert not log.is_visible
        assert hand.session.viewport[1] > narrow[1], "the picture takes the room"
        choose("View/Theme/Light")
        light = hello_imgui.ImGuiTheme_.imgui_colors_light
        assert window.imgui_window_params.tweaked_theme.theme == light
        choose("View/Reset layout")
        assert log.is_visible
        hand.settle()
        assert hand.session.viewport == narrow

    in_window(act, opened=red_ply)


def test_closing_the_window_in_the_middle_of_work_ends_it_and_leaves_no_half_of_a_file(
    in_window, red_ply, tmp_path
) -> None:
    def act(hand: Hand) -> None:
        hand.click("//Save/**/4x")
        hand.click("//Save/**/Save picture")
        hand.click("//Save/**/Save .ply")
        hand.session.open(red_ply)
        hand.ctx.yield_()

    session = in_window(act, opened=red_ply)
    assert not session.engine.jobs
    assert {path.name for path in tmp_path.iterdir()} <= {"ball.ply", "head.ply", "head.png"}


def test_saving_a_picture_and_a_head_writes_files_that_open(in_window, red_ply, tmp_path) -> None:
    def act(hand: Hand) -> None:
        hand.click("//Save/**/Save picture")
        hand.wait(lambda: (tmp_path / "head.png").exists(), "the picture")
        hand.settle()
        hand.click("//Save/**/Save picture")
        hand.wait(lambda: (tmp_path / "head-2.png").exists(), "the second picture")
        hand.click("//Save/**/Save .ply")
        hand.wait(lambda: not hand.session.engine.jobs, "the head")

    in_window(act, opened=red_ply)
    picture = np.asarray(Image.open(tmp_path / "head.png"))
    assert picture.shape == (1024, 1024, 3)
    middle = picture[512, 300:500].mean(0), picture[512, 524:724].mean(0)
    assert middle[0][2] > 150, "the ball's right side, on the left of the picture, is blue"
    assert middle[1][0] > 150
    assert (tmp_path / "head.ply").stat().st_size > 600 * 68


def test_a_project_is_saved_changed_and_asked_about_before_it_is_left(
    in_window, red_ply, tmp_path
) -> None:
    path = tmp_path / "day.splathead"
    saved = {}

    def act(hand: Hand) -> None:
        session, ctx = hand.session, hand.ctx
        session.project.save(path)
        hand.wait(lambda: not session.project.is_saving, "the saving")
        hand.drag(120, 0)
        hand.settle()
        assert session.project.title == "day* - Splathead"
        ctx.key_press(int(_key("mod_ctrl")) | int(_key("s")))
        hand.wait(lambda: session.project.title == "day - Splathead", "Ctrl+S")
        hand.drag(60, 0)
        hand.settle()
        saved["rig"] = session.rig
        ctx.key_press(int(_key("mod_ctrl")) | int(_key("q")))
        ctx.yield_(4)
        assert not session.wants_quit
        ctx.item_click("//Unsaved changes/Cancel")
        ctx.yield_(4)
        assert session.project.question is None
        ctx.key_press(int(_key("mod_ctrl")) | int(_key("n")))  # the same question; the window stays
        ctx.yield_(4)
        ctx.item_click("//Unsaved changes/Save")
        hand.wait(lambda: session.project.path is None, "a new project after this was saved")
        assert session.project.title == "Untitled - Splathead"

    in_window(act, opened=red_ply)
    reopened = in_window(lambda hand: None, opened=path)
    assert reopened.rig == saved["rig"]
    assert reopened.project.title == "day - Splathead"


def test_a_file_that_is_no_head_says_so_and_keeps_the_picture(in_window, red_ply, tmp_path) -> None:
    bad = tmp_path / "bad.ply"
    bad.write_bytes(red_ply.read_bytes()[:2000])

    def act(hand: Hand) -> None:
        session = hand.session
        shown = session.scene
        session.open(bad)
        hand.wait(lambda: bool(session.banner), "the sentence")
        hand.settle()
        assert "bad.ply" in session.banner
        assert "Traceback" not in session.banner
        assert session.scene == shown
        assert session.picture is not None
        assert hand.ctx.item_exists("//Viewport/**/Dismiss")
        hand.click("//Viewport/**/Dismiss")
        hand.ctx.yield_(2)
        assert not session.banner

    in_window(act, opened=red_ply)


def test_the_window_stays_alive_while_the_engine_is_busy(in_window, red_ply) -> None:
    def act(hand: Hand) -> None:
        from splatviz_app.engine import JobState, Step

        def work():
            # Ends only when it is cancelled, so frames that pass pass beside it.
            for i in itertools.count():
                time.sleep(0.02)
                yield Step(i, 0, "Counting")

        job = hand.session.start_job("Count", work())
        hand.wait(lambda: job.state is JobState.RUNNING, "the start of the job")
        hand.ctx.yield_(5)
        hand.drag(50, 0)
        assert hand.session.rig.yaw != 0, "the hand went on beside the job"
        assert job.state is JobState.RUNNING
        job.cancel()
        hand.wait(lambda: job.state is JobState.CANCELLED, "the end of the job")

    in_window(act, opened=red_ply)


def test_a_panel_that_fails_does_not_take_the_window_with_it(
    in_window, red_ply, monkeypatch
) -> None:
    from imgui_bundle import imgui

    from widgets.performance import PerformancePanel

    def broken(self, session) -> None:
        imgui.begin_child("half")
        imgui.push_id("deep")
        raise ZeroDivisionError("broken on purpose")

    monkeypatch.setattr(PerformancePanel, "draw", broken)

    def act(hand: Hand) -> None:
        hand.ctx.item_click("//Performance/#TAB") if hand.ctx.item_exists(
            "//Performance/#TAB"
        ) else None
        hand.ctx.window_focus("//Performance")
        hand.ctx.yield_(20)
        hand.drag(80, 0)
        hand.settle()
        assert hand.session.rig.yaw < -0.1
        assert any("broken on purpose" in entry.details for entry in hand.session.log.entries)

    with pytest.raises(ZeroDivisionError):
        in_window(act, opened=red_ply)


def test_a_screenshot_shows_the_whole_window(red_ply, tmp_path) -> None:
    shot = tmp_path / "window.png"
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    command = [
        sys.executable,
        "main.py",
        "--fresh",
        "--model",
        str(red_ply),
        "--screenshot",
        str(shot),
    ]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    picture = np.asarray(Image.open(shot).convert("RGB")).astype(int)
    assert picture.shape == (800, 1280, 3)
    red, blue = picture[..., 0] - picture[..., 2] > 150, picture[..., 2] - picture[..., 0] > 150
    assert red.sum() > 5000, "the ball's left side"
    assert blue.sum() > 5000
    assert np.nonzero(blue)[1].mean() < np.nonzero(red)[1].mean(), "not mirrored"


def test_a_screenshot_of_what_cannot_be_opened_ends_with_the_sentence(tmp_path) -> None:
    shot, bad = tmp_path / "window.png", tmp_path / "bad.ply"
    bad.write_bytes(b"ply\nformat")
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    command = [sys.executable, "main.py", "--fresh", "--model", str(bad), "--screenshot", str(shot)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 2
    assert "bad.ply" in done.stderr
    assert "Traceback" not in done.stderr
    assert shot.exists(), "with the sentence over the empty window"


@pytest.mark.skipif(
    not (shutil.which("Xvfb") and shutil.which("xdotool") and sys.platform == "linux"),
    reason="needs Xvfb and xdotool",
)
def test_a_real_mouse_under_a_real_x_server_turns_the_head(red_ply, tmp_path) -> None:
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "1400x900x24", "-nolisten", "tcp"],
        pass_fds=(write,), stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(write)
    with os.fdopen(read) as pipe:
        display = ":" + pipe.readline().strip()
    environment = {**os.environ, "DISPLAY": display, "SPLATHEAD_CONFIG": str(tmp_path / "config")}
    environment.pop("PYOPENGL_PLATFORM", None)
    said = tmp_path / "rig.txt"
    program = tmp_path / "drive.py"
    program.write_text(_X_PROGRAM)
    window = subprocess.Popen(
        [sys.executable, str(program), str(ROOT), str(red_ply), str(said)],
        env=environment, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip

    def xdotool(*words: str) -> str:
        return subprocess.run(
            ["xdotool", *words], env=environment, capture_output=True, text=True, timeout=30
        ).stdout

    def rig() -> list[float]:
        return [float(word) for word in said.read_text().split()] if said.exists() else []

    def wait(done: Callable[[], bool], what: str) -> None:
        begin = time.monotonic()
        while not done():
            assert window.poll() is None, window.stderr.read()
            assert time.monotonic() - begin < 90, what
            time.sleep(0.05)

    try:
        wait(lambda: bool(rig()), "the picture")
        x, y = (str(round(v)) for v in rig()[2:4])
        ident = xdotool("search", "--name", "Splathead").split()[-1]
        xdotool("mousemove", "--window", ident, x, y)
        time.sleep(0.3)
        xdotool("mousedown", "1")
        for _ in range(10):
            xdotool("mousemove_relative", "--", "12", "0")
            time.sleep(0.03)
        time.sleep(0.3)  # a hand that rests does not throw the head
        xdotool("mouseup", "1")
        wait(lambda: rig()[0] < -0.2, "the turn")
        assert abs(rig()[1]) < 0.05
        xdotool("key", "--window", ident, "ctrl+q")
        xdotool("key", "ctrl+q")
        window.wait(timeout=90)
        assert window.returncode == 0
    finally:
        window.kill()
        server.terminate()
        server.wait()


_X_PROGRAM = """
import sys
from pathlib import Path

root, head, said = sys.argv[1:]
sys.path.insert(0, root)
from splatviz_app.session import new_session
from splatviz_app.window import WindowOptions, run_window
from imgui_bundle import imgui
from widgets import window_parts

session = new_session()
session.open(head)

def after_frame():
    window = imgui.internal.find_window_by_name("Viewport")
    if session.picture is not None and session.is_settled and window is not None:
        x, y = window.pos.x + window.size.x / 2, window.pos.y + window.size.y / 2
        rig = session.rig
        Path(said + ".new").write_text(f"{rig.yaw} {rig.pitch} {x} {y}")
        Path(said + ".new").replace(said)

run_window(session, window_parts(), WindowOptions(after_frame=after_frame))
"""


def _key(name: str) -> object:
    from imgui_bundle import imgui

    return getattr(imgui.Key, name)
