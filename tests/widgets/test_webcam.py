"""The webcam window, with a video file in the place of a camera."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from inversion.alignment import Alignment
from inversion.guidance import Guidance, Seen
from inversion.webcam import Device, Webcam
from splatviz_app.inversion.previews import decode
from splatviz_app.preferences import Preferences
from splatviz_app.session import new_session
from tests.widgets.hand import Hand
from widgets import webcam
from widgets.webcam import WebcamWindow

LEFT, RIGHT = (220, 40, 30), (30, 60, 210)  # RGB of the film's halves


class Alone:
    """What is in the webcam's window."""

    title = "Webcam"

    def __init__(self):
        self.webcam = WebcamWindow()

    def draw(self, session):
        self.webcam.draw(session)


@pytest.fixture
def film(tmp_path):
    """A short film, red on the left and blue on the right."""
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 50.0, (64, 48))
    frame = np.zeros((48, 64, 3), np.uint8)
    frame[:, :32], frame[:, 32:] = LEFT, RIGHT
    for _ in range(4):
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


@pytest.fixture
def session(tmp_path):
    session = new_session(Preferences(backend="torch", save_folder=str(tmp_path)))
    session.viewport = (40, 24)
    desk = session.inversion
    desk.prepare_settings = replace(desk.prepare_settings, at_once=False)
    return session


@pytest.fixture
def hand(session, monkeypatch):
    # There is no network that finds faces in this test: it would only say that there are none.
    monkeypatch.setattr(webcam, "Watcher", lambda camera: Watching())
    monkeypatch.setattr(webcam, "devices", lambda: (Device(0, "Lens"),))
    with Hand(Alone(), session, size=(900, 620)) as hand:
        yield hand
        hand.panel.webcam.close()


class Watching:
    """Stands for a watcher: it has seen what the test says."""

    seen: Seen | None = None

    def close(self, wait=False):
        """Nothing goes on."""


def play(hand, film):
    window = hand.panel.webcam
    window.open()
    window.start(film)
    hand.until(lambda: window.camera.frame is not None)


def test_no_camera_is_open_before_it_is_asked_for(hand):
    hand.panel.webcam.open()
    hand.frames(2)
    assert hand.panel.webcam.camera is None
    assert hand.sees("only photos you take are kept")
    assert hand.can_use("Start the camera")
    assert not hand.can_use("Take a photo")


def test_a_photo_is_never_mirrored_though_the_picture_is(session, hand, film):
    play(hand, film)
    hand.type("Countdown", "0")
    hand.click("Take a photo")
    hand.until(lambda: not hand.finds("Cancel the shot"))
    hand.settle()
    (photo,) = session.inversion.photos
    pixels = decode(photo).pixels[..., :3].astype(int)
    assert np.abs(pixels[:, 4:28] - LEFT).max() < 40
    assert np.abs(pixels[:, 36:60] - RIGHT).max() < 40
    assert hand.sees("1 photo was added")
    session.undo()
    assert session.inversion.photos == ()


def test_a_countdown_runs_and_is_cancelled(session, hand, film):
    play(hand, film)
    hand.click("Take a photo")
    plan = hand.panel.webcam._plan
    assert plan is not None
    assert 2.0 < plan.seconds_left <= 3.0
    hand.click("Cancel the shot")
    hand.frames(3)
    assert hand.panel.webcam._plan is None
    assert hand.can_use("Take a photo")


def test_three_shots_wait_for_the_head_to_be_turned(session, hand, film):
    play(hand, film)
    window = hand.panel.webcam
    hand.type("Countdown", "0")
    hand.click("Front, left, right")
    said = "No face is seen. Look into the camera."
    window._watcher.seen = Seen(1, window.camera.frame, Guidance("no face", said))
    hand.frames(3)
    assert hand.sees(said)
    for taken, degrees in enumerate((0, 30, -30), start=1):

        def is_taken(taken=taken, degrees=degrees):
            alignment = Alignment((32.0, 24.0), 40.0, yaw=np.radians(degrees))
            pixels = window.camera.frame
            good = Guidance("good", "Good. Hold still.", (), alignment)
            window._watcher.seen = Seen(window.camera.count, pixels, good)
            return window._shots == taken

        hand.until(is_taken)
    hand.settle()
    assert [photo.name for photo in session.inversion.photos] == [
        "Webcam 1 front", "Webcam 2 left", "Webcam 3 right",
    ]  # fmt: skip
    assert not hand.finds("Cancel the shot")


def test_a_camera_that_cannot_be_read_says_so_in_its_place(hand, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no film" * 50)
    window = hand.panel.webcam
    window.open()
    window.start(broken)
    hand.until(lambda: window.camera.error != "")
    assert hand.sees("broken.mp4 cannot be read as a video")
    assert not hand.can_use("Take a photo")
    hand.click("Stop")
    assert window.camera is None
    assert hand.can_use("Start the camera")


def test_closing_the_window_gives_the_camera_back(hand, film):
    play(hand, film)
    camera = hand.panel.webcam.camera
    assert isinstance(camera, Webcam)
    assert camera.is_running
    hand.panel.webcam.close()
    assert hand.panel.webcam.camera is None
    camera._thread.join(5)
    assert not camera.is_running


class Unplugged:
    """A camera that shows three frames and then no more."""

    def __init__(self):
        self.left = 3

    def isOpened(self):
        return True

    def read(self):
        self.left -= 1
        return self.left >= 0, np.full((48, 64, 3), 90, np.uint8)

    def get(self, propId):
        return 0.0

    def set(self, propId, value):
        return False

    def release(self):
        """Nothing is held."""


def test_an_unplugged_camera_says_so_over_its_last_picture_and_takes_no_photo(
    session, hand, monkeypatch
):
    monkeypatch.setattr(
        webcam, "Webcam", lambda source: Webcam(source, opener=lambda _: Unplugged())
    )
    window = hand.panel.webcam
    window.open()
    hand.frames(2)
    hand.click("Start the camera")
    hand.until(lambda: window.camera.frame is not None)
    if hand.can_use("Take a photo"):
        hand.click("Take a photo")
    hand.until(lambda: window.camera.error != "")
    assert hand.sees("it was unplugged")
    assert not hand.can_use("Cancel the shot")
    hand.settle()
    assert session.inversion.photos == ()
