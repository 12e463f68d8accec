"""Cameras that are files, cameras that fail in every way they can, and the list of them."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

from inversion import webcam
from inversion.errors import InversionError
from inversion.webcam import Device, Webcam, devices
from tests.steps import result_of

COLORS = [(200, 40, 60), (40, 200, 60), (60, 40, 200), (220, 220, 40)]  # RGB, one per frame


@pytest.fixture
def opened():
    """Opens webcams, and gives them back at the end of a test."""
    cameras = []

    def open_it(*args, **kwargs):
        cameras.append(Webcam(*args, **kwargs))
        return cameras[-1]

    yield open_it
    for camera in cameras:
        camera.close(wait=True)


def write_video(path, frames, rate=50.0):
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), rate, (width, height))
    assert writer.isOpened()
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


@pytest.fixture(scope="module")
def colors_video(tmp_path_factory):
    frames = [np.full((48, 64, 3), color, np.uint8) for color in COLORS]
    return write_video(tmp_path_factory.mktemp("video") / "colors.avi", frames)


def frames_of(camera, enough, tries=2000):
    """Watch a camera until `enough(frames)` or its end: every frame that was seen."""
    seen, last = [], 0
    for _ in range(tries):
        runs = camera.is_running
        count, frame = camera.newest
        if count != last:
            last = count
            seen.append(frame)
        if enough(seen) or not runs:
            return seen
        threading.Event().wait(0.002)
    raise AssertionError(f"after {tries} looks: {len(seen)} frames, {camera.error!r}")


def color_of(frame):
    """Which of COLORS a frame has."""
    return int(np.argmin(np.abs(np.array(COLORS) - frame.mean(axis=(0, 1))).sum(axis=1)))


class Source:
    """A camera made of pictures (blue first); None stands for a read that fails."""

    def __init__(self, pictures=(), opens=True, shape=(48, 64, 3)):
        self.pictures, self.opens = list(pictures), opens
        self.released, self.properties = threading.Event(), {}

    def isOpened(self):
        return self.opens

    def read(self):
        picture = self.pictures.pop(0) if self.pictures else None
        return picture is not None, picture

    def get(self, prop):
        return 0.0

    def set(self, prop, value):
        self.properties[prop] = value
        return True

    def release(self):
        self.released.set()


class Endless(Source):
    """A camera that always has another picture."""

    def read(self):
        return True, np.full((48, 64, 3), (10, 20, 30), np.uint8)


# ---- video files


def test_a_video_file_stands_for_a_camera(tmp_path, opened):
    photo = cv2.resize(skimage.data.astronaut(), (256, 256), interpolation=cv2.INTER_AREA)
    camera = opened(write_video(tmp_path / "face.avi", [photo] * 3))

    frame = frames_of(camera, bool)[0]

    assert frame.shape == (256, 256, 3)
    assert frame.dtype == np.uint8
    # In red, green, blue, and not mirrored: JPEG's loss is a few levels.
    assert np.abs(frame.astype(int) - photo).mean() < 6
    assert np.abs(frame[:, ::-1].astype(int) - photo).mean() > 20
    assert camera.error == ""


def test_a_file_plays_its_frames_in_order_and_ends(colors_video, opened):
    camera = opened(colors_video, loops=False)

    order = [color_of(frame) for frame in frames_of(camera, lambda seen: False)]

    assert order == sorted(order)  # a slow reader may miss one
    assert order[-1] == 3
    assert camera.count == 4
    assert color_of(camera.frame) == 3  # the last one stays
    assert camera.error == ""
    assert not camera.is_running


def test_a_file_begins_again_if_it_loops(colors_video, opened):
    camera = opened(colors_video)

    frames_of(camera, lambda seen: camera.count > 9)

    assert camera.is_running
    assert camera.error == ""


def test_a_compressed_film_begins_again_too(tmp_path, opened):
    path = tmp_path / "film.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 100, (64, 48))
    for color in COLORS:
        writer.write(np.full((48, 64, 3), color[::-1], np.uint8))
    writer.release()
    camera = opened(path)

    frames_of(
        camera, lambda seen: camera.count > 9 and len({color_of(frame) for frame in seen}) == 4
    )

    assert camera.error == ""


def test_only_the_newest_frame_is_kept_and_nobody_can_write_to_it(colors_video, opened):
    camera = opened(colors_video, loops=False)
    frames_of(camera, lambda seen: False)

    assert camera.newest == (4, camera.frame)
    with pytest.raises(ValueError, match="read-only"):
        camera.frame[0, 0] = 0


def test_a_file_that_breaks_off_ends_where_it_does(tmp_path, opened):
    photo = cv2.resize(skimage.data.astronaut(), (128, 128), interpolation=cv2.INTER_AREA)
    content = write_video(tmp_path / "whole.avi", [photo] * 20, rate=200.0).read_bytes()
    (tmp_path / "half.avi").write_bytes(content[: len(content) // 2])

    camera = opened(tmp_path / "half.avi", loops=False)
    frames_of(camera, lambda seen: False)

    assert 0 < camera.count < 20
    assert camera.error == ""


@pytest.mark.parametrize("content", [b"", b"not a video", bytes(5000)])
def test_a_file_that_is_no_video_says_so(tmp_path, opened, content):
    (tmp_path / "notes.mp4").write_bytes(content)

    camera = opened(tmp_path / "notes.mp4")
    frames_of(camera, lambda seen: False)

    assert camera.error == "notes.mp4 cannot be read as a video. Choose another file."
    assert camera.frame is None
    assert not camera.is_opening


def test_a_missing_file_says_so(tmp_path, opened):
    camera = opened(tmp_path / "none.mp4")
    frames_of(camera, lambda seen: False)

    assert "none.mp4 is not there" in camera.error


def test_an_address_is_not_opened(opened):
    camera = opened("http://127.0.0.1:9/stream.mp4")
    frames_of(camera, lambda seen: False)

    assert "is not there" in camera.error


# ---- cameras


def test_a_camera_that_is_unplugged_keeps_its_last_frame_and_says_so(opened):
    source = Source([np.full((48, 64, 3), (30, 20, 10), np.uint8)] * 2)
    camera = opened(0, opener=lambda _: source)

    frames_of(camera, lambda seen: False)

    assert camera.error == (
        "Camera 0 sends no more pictures: it was unplugged, or another program took it. Connect "
        "it and open it again."
    )
    assert camera.frame[0, 0].tolist() == [10, 20, 30]
    assert camera.count == 2
    assert source.released.is_set()


def test_a_few_frames_that_fail_are_forgiven(opened):
    picture = np.full((48, 64, 3), (30, 20, 10), np.uint8)
    source = Source([None, None, picture, None, None, None, picture])
    camera = opened(0, opener=lambda _: source)

    frames_of(camera, lambda seen: camera.count == 2)

    assert camera.count == 2


def test_a_camera_without_a_single_frame_says_so(opened):
    camera = opened(3, opener=lambda _: Source())
    frames_of(camera, lambda seen: False)

    assert "Camera 3 sends no pictures" in camera.error
    assert camera.frame is None


def test_a_busy_camera_is_tried_for_a_moment_then_says_so(opened, monkeypatch):
    monkeypatch.setattr(webcam, "_PATIENCE", 0.1)
    sources = []
    camera = opened(0, opener=lambda _: sources.append(Source(opens=False)) or sources[-1])

    frames_of(camera, lambda seen: False)

    assert "another program may be using it" in camera.error
    assert len(sources) > 1
    assert all(source.released.is_set() for source in sources)


def test_a_camera_that_becomes_free_is_opened(opened):
    sources = [Source(opens=False), Endless()]
    camera = opened(0, opener=lambda _: sources.pop(0))

    frames_of(camera, bool)

    assert camera.error == ""
    assert camera.is_running


def test_a_camera_that_is_closed_is_given_back_and_sends_nothing_more():
    source = Endless()
    camera = Webcam(0, opener=lambda _: source)
    frames_of(camera, bool)

    camera.close(wait=True)

    count = camera.count
    assert source.released.is_set()
    assert not camera.is_running
    assert not camera.is_opening
    assert camera.error == ""
    assert camera.count == count
    assert camera.frame is not None
    camera.close()  # again does nothing


def test_a_camera_is_asked_for_large_pictures(opened):
    source = Endless()
    frames_of(opened(0, opener=lambda _: source), bool)

    assert source.properties[cv2.CAP_PROP_FRAME_WIDTH] == webcam.WIDTH


def test_a_grey_camera_gives_colors_too(opened):
    camera = opened(0, opener=lambda _: Source([np.full((48, 64), 90, np.uint8)]))

    assert frames_of(camera, bool)[0].shape == (48, 64, 3)


def test_frames_of_a_very_large_camera_are_shrunk(opened):
    picture = np.zeros((1500, 4096, 3), np.uint8)
    picture[:, :2048] = 255
    camera = opened(0, opener=lambda _: Source([picture]))

    frame = frames_of(camera, bool)[0]

    assert frame.shape == (750, 2048, 3)
    assert frame[:, :1020].min() == 255
    assert frame[:, 1030:].max() == 0


# ---- which there are


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="cameras are listed on Linux")
def test_cameras_are_listed_by_name_without_opening_them(tmp_path):
    nodes, names = tmp_path / "dev", tmp_path / "sys"
    nodes.mkdir()
    for number, index, name in ((10, 0, "Desk camera\n"), (2, 0, "Built-in"), (3, 1, "Built-in")):
        (nodes / f"video{number}").mkdir()  # cannot be opened
        (names / f"video{number}").mkdir(parents=True)
        (names / f"video{number}" / "name").write_text(name)
        (names / f"video{number}" / "index").write_text(f"{index}\n")
    (nodes / "video7").touch()  # of a driver that says nothing
    (nodes / "videocodec").touch()

    assert devices(nodes, names) == (
        Device(2, "Built-in"), Device(7, "Camera 7"), Device(10, "Desk camera"),
    )  # fmt: skip


def test_without_a_camera_the_list_is_empty_and_opening_one_says_so(monkeypatch, opened):
    there_is_one = webcam.Path("/dev/video99").exists()
    assert not there_is_one

    camera = opened(99)
    frames_of(camera, lambda seen: False)

    if sys.platform.startswith("linux"):
        assert camera.error.startswith("No camera was found.")
    else:
        assert camera.error


def test_a_camera_that_may_not_be_used_says_so(opened):
    def forbidden(_):
        raise InversionError("You may not use /dev/video0.")

    camera = opened(0, opener=forbidden)
    frames_of(camera, lambda seen: False)

    assert camera.error == "You may not use /dev/video0."


def test_probing_opens_the_first_few_and_gives_each_back(monkeypatch):
    sources = {index: Source(opens=index in (0, 2)) for index in range(webcam.PROBED)}
    monkeypatch.setattr(webcam, "open_capture", sources.get)

    assert result_of(webcam.probe()) == (Device(0, "Camera 0"), Device(2, "Camera 2"))
    assert all(source.released.is_set() for source in sources.values())


_LEFT_OPEN = """
import sys, time
import torch
from inversion.guidance import Watcher
from inversion.webcam import Webcam

def slowly(pixels):
    with torch.inference_mode():
        torch.nn.functional.conv2d(torch.rand(1, 3, 500, 500), torch.rand(64, 3, 9, 9))
    return ()

watcher = Watcher(Webcam(sys.argv[1]), slowly)
while watcher.seen is None:
    time.sleep(0.01)
"""


def test_a_program_that_ends_with_a_camera_open_ends_in_peace(colors_video):
    command = [sys.executable, "-c", _LEFT_OPEN, str(colors_video)]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
