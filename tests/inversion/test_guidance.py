"""Guidance: what is wrong with a frame is told, and shots are taken when the head is right for a while."""

from __future__ import annotations

import math
import threading
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
import skimage.data

from inversion.alignment import Alignment
from inversion.faces import Face, find_faces
from inversion.guidance import (
    FRONT_LEFT_RIGHT,
    SENTENCES,
    Guidance,
    ShotPlan,
    Watcher,
    assess,
)
from inversion.light_and_focus import LEAST_SHARPNESS, sharpness_of
from inversion.pose import align, guess_points
from inversion.webcam import Webcam

SIZE = (720, 1280)  # px, height and width


def face_at(middle=(640, 360), side=400.0, yaw=0.0, pitch=10.0):
    """A generic face: the square around its head, and its pose in degrees."""
    there = Alignment(middle, side, 0.0, math.radians(yaw), math.radians(pitch))
    points = guess_points(there)
    x, y = np.array(points).T
    half = 1.4 * max(np.ptp(x), np.ptp(y)) / 2
    box = (x.mean() - half, y.mean() - half, x.mean() + half, y.mean() + half)
    return Face(tuple(map(float, box)), points, 1.0)


def frame(light=0.6, noise=0.1, seed=0):
    """A wall with coarse spots and fine grain, as a face has shapes and skin."""
    rng = np.random.RandomState(seed)
    spots = rng.standard_normal((SIZE[0] // 80, SIZE[1] // 80))
    spots = cv2.resize(spots, SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    picture = light + noise * (spots + rng.standard_normal(SIZE))[..., None]
    return np.clip(255 * picture, 0, 255).astype(np.uint8).repeat(3, axis=2)


FRAME = frame()


# ---- frames


def test_a_frame_with_one_face_that_looks_ahead_is_good():
    guidance = assess(FRAME, [face_at()])

    assert guidance.is_good
    assert guidance.sentence == SENTENCES["good"]
    assert guidance.points == face_at().points
    # The fit draws the pitch towards what is likely.
    assert math.degrees(guidance.alignment.yaw) == pytest.approx(0, abs=1)
    assert guidance.alignment.side == pytest.approx(400, rel=0.03)


@pytest.mark.parametrize(
    ("faces", "state"),
    [
        ([], "no face"),
        ([face_at((400, 360)), face_at((900, 360))], "two faces"),
        ([face_at(side=200)], "too small"),
        ([face_at((100, 360))], "cut off"),
        ([face_at((640, 50))], "cut off"),
        ([face_at(yaw=75)], "turned too far"),
        ([face_at(yaw=-75)], "turned too far"),
        ([face_at(pitch=60)], "turned too far"),
        ([face_at(yaw=40)], "good"),  # of a multi-shot
        ([face_at(), face_at((1100, 200), side=120)], "good"),  # somebody far behind
    ],
)
def test_what_is_wrong_with_a_face_is_told(faces, state):
    guidance = assess(FRAME, faces)

    assert guidance.state == state
    assert guidance.sentence == SENTENCES[state]


def test_darkness_and_blur_are_told():
    dark = frame(light=0.1, noise=0.02)
    blurred = cv2.GaussianBlur(FRAME, (0, 0), 4)

    assert assess(dark, [face_at()]).state == "too dark"
    assert assess(blurred, [face_at()]).state == "blurred"


def astronauts_face(blur=0.0, light=1.0, noise=0.0):
    """Her face out of a crop of 256 px, as a camera out of focus or in the dark would see it."""
    photo = skimage.data.astronaut()
    photo = cv2.GaussianBlur(photo, (0, 0), blur) if blur else photo
    crop = cv2.resize(photo[16:206, 129:319], (256, 256))[64:192, 64:192]
    grain = noise * np.random.RandomState(0).standard_normal(crop.shape)
    return np.clip(light * crop + grain, 0, 255).astype(np.uint8)


def test_blur_of_a_real_face_lowers_its_sharpness_at_every_step():
    found = [sharpness_of(astronauts_face(blur)) for blur in (0, 1, 1.5, 2, 4)]

    assert found == sorted(found, reverse=True)
    assert found[1] > LEAST_SHARPNESS > found[3]


def test_neither_light_nor_noise_decides_whether_a_face_is_sharp():
    assert sharpness_of(astronauts_face(light=0.4)) == pytest.approx(
        sharpness_of(astronauts_face()), rel=0.05
    )
    assert sharpness_of(astronauts_face(blur=3, noise=6)) < LEAST_SHARPNESS


def test_what_was_good_stays_so_a_little_longer():
    at_the_bound = face_at(side=250)  # 256 px are needed
    good = assess(FRAME, [face_at()])

    assert assess(FRAME, [at_the_bound]).state == "too small"
    assert assess(FRAME, [at_the_bound], previous=good).state == "good"
    assert assess(FRAME, [face_at(side=200)], previous=good).state == "too small"


def test_the_astronaut_is_told_to_come_closer_then_to_hold_still():
    photo = skimage.data.astronaut()[:300, 60:400]
    (face,) = find_faces(photo)
    nearer = Face(
        tuple(2 * v for v in face.box), tuple((2 * x, 2 * y) for x, y in face.points), 1.0
    )
    large = cv2.resize(photo, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)

    assert assess(photo, [face]).state == "too small"  # the square around her head has 190 px
    assert assess(large, [nearer]).state == "good"
    assert face.points[2] == pytest.approx((225 - 60, 129), abs=4)  # her nose


# ---- shots


def seen(yaw=0.0, state="good"):
    alignment = None if state == "no face" else Alignment((0, 0), 300, yaw=math.radians(yaw))
    return Guidance(state, SENTENCES[state], (), alignment)


def watch(plan, *looks):
    """Feed (time, guidance) to a plan."""
    for now, guidance in looks:
        plan = plan.watched(guidance, now)
    return plan


def test_a_head_that_is_right_is_taken_after_holding_and_counting():
    plan = ShotPlan(hold_seconds=1, count_seconds=3)
    shown = []
    for now in np.arange(10, 14.01, 0.25):
        plan = plan.watched(seen(), float(now))
        shown.append((now, plan.seconds_left, plan.is_due))

    assert [s for t, s, _ in shown if t < 11] == [None] * 4
    assert [math.ceil(s) for t, s, _ in shown if 11 <= t < 14] == [3] * 4 + [2] * 4 + [1] * 4
    assert [due for _, _, due in shown] == [False] * 16 + [True]


def test_a_head_that_is_wrong_for_long_begins_anew():
    plan = watch(ShotPlan(), (0, seen()), (0.4, seen()), (1, seen(state="blurred")))
    assert plan.sentence == SENTENCES["blurred"]
    assert plan.seconds_left is None

    plan = watch(plan, (3, seen()), (3.4, seen()), (3.8, seen()))

    assert plan.seconds_left == pytest.approx(2.9)


def test_a_blink_of_the_detector_does_not_begin_anew_and_is_not_taken():
    plan = watch(ShotPlan(), (0, seen()), (3.5, seen()))
    assert plan.seconds_left is None  # nobody looked for three seconds: that is no holding still

    plan = watch(ShotPlan(), *[(0.4 * i, seen()) for i in range(9)])  # to 3.2
    blinked = plan.watched(seen(state="no face"), 3.6)
    due = blinked.watched(seen(state="no face"), 3.69)

    assert due.seconds_left == pytest.approx(0.01)
    assert due.watched(seen(), 3.7).is_due
    assert not due.watched(seen(state="no face"), 3.7).is_due


def test_three_views_are_asked_for_one_after_the_other():
    plan, now, taken = replace(FRONT_LEFT_RIGHT, hold_seconds=0.1, count_seconds=0.1), 0.0, []
    for yaw in (0.0, 30.0, -30.0):
        for _ in range(5):
            now += 0.1
            plan = plan.watched(seen(yaw), now)
            if plan.is_due:
                taken.append((plan.view, yaw))
                plan = plan.after_shot()

    assert taken == [("front", 0.0), ("left", 30.0), ("right", -30.0)]
    assert plan.is_done
    assert plan.view is None
    assert plan.taken == 3
    done = plan.watched(seen(), now + 9)
    assert not done.is_due
    assert done.sentence == "All pictures are taken."


@pytest.mark.parametrize(
    ("view", "yaw", "side"),
    [
        ("front", 20, "left"), ("front", -20, "right"),
        ("left", 0, "right"), ("left", 53, "left"), ("left", -30, "right"),
        ("right", 0, "left"), ("right", -53, "right"),
    ],
)  # fmt: skip
def test_a_head_that_is_turned_wrongly_is_told_its_own_direction(view, yaw, side):
    plan = ShotPlan((view,)).watched(seen(yaw), 0)

    assert plan.due is None
    assert plan.sentence.endswith(f"turn your head a little to your {side}.")


def test_the_left_view_shows_the_left_side_of_a_head():
    # The head's left is at +x (CONVENTIONS.md): there stands the camera that sees it.
    alignment = align(face_at(yaw=30).points)

    plan = ShotPlan(("left",)).watched(Guidance("good", "", (), alignment), 0)

    assert plan.due is not None
    assert alignment.camera().cam_to_world[0, 3] > 1


def test_a_range_that_was_reached_is_left_a_little_later():
    plan = ShotPlan(("left",)).watched(seen(21), 0)

    assert plan.watched(seen(18), 0.1).sentence == SENTENCES["good"]
    assert ShotPlan(("left",)).watched(seen(18), 0.1).due is None


def test_a_shot_can_be_taken_of_whatever_is_seen():
    plan = ShotPlan(count_seconds=2, is_strict=False)

    plan = watch(plan, *[(0.4 * i, seen(80, "too dark")) for i in range(5)])  # to 1.6
    assert plan.seconds_left == pytest.approx(0.4)

    assert plan.watched(None, 2.0).is_due


def test_nothing_is_taken_before_the_camera_sends():
    plan = watch(ShotPlan(), (0, None), (5, None))

    assert plan.sentence == "Waiting for the camera."
    assert plan.due is None


# ---- beside the window


class Still:
    """A capture that always shows the same picture."""

    def __init__(self, picture):
        self.picture = picture

    def isOpened(self):
        return True

    def read(self):
        threading.Event().wait(0.001)
        return True, self.picture

    def get(self, prop):
        return 0.0

    def set(self, prop, value):
        return True

    def release(self):
        pass


def test_frames_are_judged_beside_the_window_and_late_ones_passed_over():
    camera = Webcam(0, opener=lambda _: Still(FRAME))
    looks, go_on = [], threading.Semaphore(0)

    def slowly(pixels):
        looks.append(camera.count)
        assert go_on.acquire(timeout=20)
        return [face_at()]

    watcher = Watcher(camera, slowly)
    try:
        assert watcher.seen is None
        for look in range(3):
            target = camera.count + 5
            while camera.count < target or len(looks) <= look:
                threading.Event().wait(0.001)  # frames come while the detector works
            go_on.release()
        while watcher.seen is None or watcher.seen.count < looks[1]:
            threading.Event().wait(0.001)
    finally:
        watcher.close()
        go_on.release()
        camera.close(wait=True)
        watcher.close(wait=True)

    assert watcher.seen.guidance.is_good
    assert watcher.seen.pixels.shape == (*SIZE, 3)
    assert all(b - a > 1 for a, b in pairwise(looks))


def test_the_last_frame_of_a_video_is_judged_and_the_watcher_ends(tmp_path):
    writer = cv2.VideoWriter(
        str(tmp_path / "face.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 100, SIZE[::-1]
    )
    for _ in range(3):
        writer.write(FRAME)
    writer.release()
    camera = Webcam(tmp_path / "face.avi", loops=False)

    watcher = Watcher(camera, lambda pixels: [face_at()])
    watcher._thread.join(20)

    assert not camera.is_running
    assert watcher.seen.count == camera.count == 3
    camera.close(wait=True)
