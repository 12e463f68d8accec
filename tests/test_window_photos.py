"""The photo editor and the webcam in the real window, on EGL without an X server."""

from __future__ import annotations

import threading
import time

import cv2
import numpy as np
import pytest
from imgui_bundle import imgui

from benchmarks.window_hand import drive_window
from inversion.alignment import Alignment
from inversion.photo import Photo
from inversion.pictures import Picture, encode_picture
from inversion.pose import align, guess_points
from inversion.prepare import PrepareSettings
from splatviz_app.inversion.previews import decode
from splatviz_app.preferences import Preferences
from splatviz_app.session import new_session

pytestmark = pytest.mark.window

HEAD = Alignment((210.0, 140.0), 180.0, 0.1, 0.15, 0.1)


def prepared():
    """A photo as if it had been prepared."""
    down, right = np.mgrid[:300, :400]
    pixels = np.stack([right * 255 // 400, down * 255 // 300, (right + down) % 256], axis=-1)
    points = guess_points(HEAD)
    disc = cv2.circle(np.zeros((512, 512), np.uint8), (256, 256), 150, 255, -1)
    matte = cv2.imencode(".png", disc)[1].tobytes()
    content = encode_picture(Picture(pixels.astype(np.uint8), None, "Ada.jpg"))
    return Photo("Ada.jpg", content, points, align(points), matte)


@pytest.fixture
def session(tmp_path, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    settings = PrepareSettings(at_once=False)  # looking for faces is tested elsewhere, and slow
    return new_session(Preferences(save_folder=str(tmp_path), prepare=settings))


def wait(ctx, done):
    begin = time.monotonic()
    while not done():
        assert time.monotonic() - begin < 60, "it does not happen"
        ctx.yield_()


def state_of(ctx, path):
    """What ImGui knows of an item, in a word."""
    is_disabled = ctx.item_info(path).item_flags & int(imgui.ItemFlags_.disabled)
    return "disabled" if is_disabled else "usable"


def drag(ctx, start, end):
    ctx.mouse_teleport_to_pos(start)
    ctx.mouse_down(0)
    for part in (0.5, 1.0):
        ctx.mouse_teleport_to_pos([a + part * (b - a) for a, b in zip(start, end, strict=True)])
        ctx.yield_(1)
    ctx.mouse_up(0)
    ctx.yield_(3)


def test_a_landmark_is_dragged_in_the_editor_and_keys_for_the_head_do_not_reach_it(session):
    session.inversion.photos = (prepared(),)
    session.update(0.01)

    def act(ctx):
        ctx.window_focus("//Inversion")
        ctx.yield_(3)
        ctx.item_double_click("**/##Photo 0")
        wait(ctx, lambda: ctx.item_exists("//Photo/##Canvas"))
        ctx.yield_(3)
        ctx.item_click("//Photo/Fit")
        ctx.yield_(3)
        before = session.inversion.photos
        rect = ctx.item_info("//Photo/##Canvas").rect_full
        width, height = rect.max.x - rect.min.x, rect.max.y - rect.min.y
        margin = 1.2 * imgui.get_font_size()
        scale = min((width - margin) / 400, (height - margin) / 300)
        x, y = before[0].points[2]
        here = (
            rect.min.x + width / 2 + (x - 200) * scale,
            rect.min.y + height / 2 + (y - 150) * scale,
        )
        drag(ctx, here, (here[0] + 12 * scale, here[1]))
        after = session.inversion.photos
        assert after[0].points[2] == pytest.approx((x + 12, y), abs=0.6)
        assert after[0].alignment.yaw < before[0].alignment.yaw
        ctx.key_press(int(imgui.Key.mod_ctrl) | int(imgui.Key.z))
        ctx.yield_(3)
        assert session.inversion.photos == before

        rig, latent = session.rig, session.latent
        for key in (imgui.Key.space, imgui.Key._3):
            ctx.key_press(int(key))
            ctx.yield_(2)
        assert (session.rig, session.latent) == (rig, latent)
        ctx.key_press(int(imgui.Key.escape))
        ctx.yield_(3)
        assert not ctx.item_exists("//Photo/##Canvas")
        ctx.key_press(int(imgui.Key._3))
        ctx.yield_(2)
        assert session.rig != rig

    drive_window(session, act, raise_crashes=True)


def test_a_shot_of_a_film_becomes_a_photo(session, tmp_path):
    film = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter_fourcc(*"MJPG"), 25.0, (64, 48))
    for grey in (40, 90, 140, 190):
        writer.write(np.full((48, 64, 3), grey, np.uint8))
    writer.release()

    def act(ctx):
        ctx.window_focus("//Inversion")
        ctx.yield_(3)
        ctx.item_click("//Inversion/**/Webcam…")
        ctx.yield_(3)
        ctx.item_click("//Webcam/**/Video file…")
        ctx.yield_(4)
        ctx.item_double_click("//Open a video###video/**/film.avi")
        ctx.yield_(3)
        ctx.item_input_value("//Webcam/**/##Countdown", 0.0)
        wait(ctx, lambda: "disabled" not in state_of(ctx, "//Webcam/**/Take a photo"))
        ctx.item_click("//Webcam/**/Take a photo")
        wait(ctx, lambda: len(session.inversion.photos) == 1)
        assert decode(session.inversion.photos[0]).size == (64, 48)
        ctx.item_click("//Webcam/#CLOSE")
        wait(ctx, lambda: not any(t.name == "webcam" for t in threading.enumerate()))

    drive_window(session, act, raise_crashes=True)
