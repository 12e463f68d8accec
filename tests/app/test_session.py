"""The session, frame by frame, with its engine stepped by the test instead of a thread."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.latents import LatentSettings
from renderer.camera import OrbitRig
from renderer.errors import SplatheadError
from renderer.formats.ply import write_ply
from splatviz_app import controls
from splatviz_app.controls import Inertia
from splatviz_app.engine import JobState, Step
from splatviz_app.export import SavedFile
from splatviz_app.pipeline import ViewSettings
from splatviz_app.preferences import Preferences
from splatviz_app.scenes import scene_for
from splatviz_app.session import new_session
from tests.conftest import some_splats
from tests.steps import settle

VIEWPORT = (48, 32)  # px


@pytest.fixture
def session():
    session = new_session(Preferences())
    session.viewport = VIEWPORT
    yield session
    session.engine.stop()


@pytest.fixture
def plies(tmp_path):
    """Four files of different heads."""
    paths = [tmp_path / f"{name}.ply" for name in "abcd"]
    for seed, path in enumerate(paths):
        write_ply(path, some_splats(seed=seed))
    return paths


def show(session, path):
    session.open(path)
    settle(session)


def log_of(session):
    return [(entry.level, entry.message) for entry in session.log.entries]


# ---- opening


def test_opening_a_head_shows_it(session, plies):
    session.open(plies[0])
    assert session.scene is None  # not before it is read

    settle(session)

    assert session.scene == scene_for(plies[0])
    assert session.result.summary.splats == 7
    assert session.result.image.shape == (VIEWPORT[1], VIEWPORT[0], 4)
    assert session.preferences.recent == (str(plies[0]),)
    assert session.banner == ""
    assert session.opening is None


def test_opening_a_generator_shows_the_head_of_its_latent(session, generator_file):
    session.latent = LatentSettings(seed=2, x=0.3)
    show(session, generator_file)

    first = session.result
    assert first.request.latent == LatentSettings(seed=2, x=0.3)
    session.latent = replace(session.latent, seed=3)
    settle(session)

    assert session.result.request.latent.seed == 3
    assert not np.array_equal(session.result.image, first.image)


def test_a_file_written_anew_takes_the_place_of_what_it_held_without_a_step_of_undo(session, plies):
    show(session, plies[0])
    session.rig = replace(session.rig, yaw=0.4)
    settle(session)
    before = session.result.image

    write_ply(plies[0], some_splats(seed=9))
    os.utime(plies[0], ns=(1, 1))
    show(session, plies[0])

    assert not np.array_equal(session.result.image, before)
    session.undo()
    settle(session)
    assert session.rig.yaw == 0.0
    assert session.scene == scene_for(plies[0]), "undo never leads to what is not there any more"
    session.redo()
    settle(session)
    assert session.rig.yaw == 0.4
    assert not session.history.can_redo


def test_the_latent_of_a_single_head_changes_nothing(session, plies):
    show(session, plies[0])
    drawn = session.engine.frames_drawn

    session.latent = replace(session.latent, seed=9)
    settle(session)

    assert session.engine.frames_drawn == drawn


def test_a_file_that_cannot_be_opened_is_a_sentence_and_the_old_head_stays(
    session, plies, tmp_path
):
    show(session, plies[0])
    before = session.result
    broken = tmp_path / "broken.ply"
    broken.write_bytes(b"ply\nnot really")

    show(session, broken)

    assert "broken.ply" in session.banner
    assert "Traceback" not in session.banner
    assert session.scene == scene_for(plies[0])
    assert session.result is before
    assert session.preferences.recent == (str(plies[0]),)
    assert log_of(session)[-1] == ("error", session.banner)


def test_a_file_of_no_known_kind_is_a_sentence_at_once(session):
    session.open("holiday.mp3")

    assert "holiday.mp3" in session.banner
    assert session.engine.jobs == ()


def test_a_missing_file_leaves_an_empty_session_empty(session, tmp_path):
    show(session, tmp_path / "nowhere.ply")

    assert "does not exist" in session.banner
    assert session.scene is None
    assert session.request() is None


def test_opening_another_file_cancels_the_opening_that_goes_on(session, plies):
    session.open(plies[0])
    first = session.opening
    session.engine.step()  # it has begun
    session.open(plies[1])

    settle(session)

    assert first.state is JobState.CANCELLED
    assert session.toast == "", "nobody asked for the first any more"
    assert session.scene == scene_for(plies[1])
    assert session.preferences.recent == (str(plies[1]),)


def test_an_opening_that_ends_just_before_a_newer_one_begins_does_not_show(session, plies):
    session.open(plies[0])
    session.engine.drain()  # it is over, but the window has not heard of it
    session.open(plies[1])

    settle(session)

    assert session.scene == scene_for(plies[1])
    assert session.preferences.recent == (str(plies[1]),)
    assert not session.history.can_undo


def test_of_several_dropped_files_the_first_head_is_opened_and_the_user_is_told(session, plies):
    session.open_dropped(["notes.txt", str(plies[1]), str(plies[0])])
    settle(session)

    assert session.scene == scene_for(plies[1])
    assert session.toast == "Opening b.ply, the first of 3 files"


def test_dropped_files_of_no_known_kind_are_a_sentence(session):
    session.open_dropped(["notes.txt", "song.mp3"])
    session.open_dropped([])

    assert "notes.txt" in session.banner


def test_a_head_that_opens_well_clears_the_sentence_of_one_that_did_not(session, plies, tmp_path):
    show(session, tmp_path / "nowhere.ply")
    show(session, plies[0])

    assert session.banner == ""


def test_a_file_saved_anew_is_shown_anew_when_opened_again(session, plies):
    show(session, plies[0])
    before = session.result.image

    write_ply(plies[0], some_splats(seed=9))
    show(session, plies[0])

    assert not np.array_equal(session.result.image, before)


def test_other_axes_of_the_file_are_another_scene_that_undo_takes_back(session, plies):
    show(session, plies[0])
    before = session.result.image

    session.document = replace(session.document, scene=replace(session.scene, frame="yz"))
    settle(session)
    turned = session.result.image
    assert not np.array_equal(turned, before)
    session.undo()
    settle(session)

    np.testing.assert_array_equal(session.result.image, before)
    assert session.preferences.recent == (str(plies[0]),)


# ---- one request per change


def test_a_picture_is_asked_for_only_when_something_changed(session, plies):
    show(session, plies[0])
    drawn = session.engine.frames_drawn

    for _ in range(10):
        session.update(1 / 60)
        session.engine.drain()
    assert session.engine.frames_drawn == drawn

    session.rig = replace(session.rig, yaw=0.2)
    settle(session)
    assert session.engine.frames_drawn == drawn + 1


@pytest.mark.parametrize(
    "change",
    [
        {"rig": OrbitRig(pitch=0.3)},
        {"view": ViewSettings(checker=True)},
        {"viewport": (40, 40)},
    ],
)
def test_what_shows_is_drawn_again(session, plies, change):
    show(session, plies[0])
    before = session.result

    for name, value in change.items():
        setattr(session, name, value)
    assert not session.is_settled
    settle(session)

    assert session.result is not before


def test_changes_between_two_frames_of_the_engine_are_drawn_once(session, plies):
    show(session, plies[0])
    drawn = session.engine.frames_drawn

    for step in range(1, 30):
        session.rig = replace(session.rig, yaw=step / 100)
        session.update(1 / 60)
    session.engine.drain()

    assert session.engine.frames_drawn == drawn + 1
    assert session.result.request.rig.yaw == pytest.approx(0.29)


def test_the_resolution_follows_the_window_or_the_users_choice(session, plies):
    show(session, plies[0])
    assert session.full_size == VIEWPORT

    session.view = replace(session.view, resolution=64)
    settle(session)

    assert session.result.request.size == (96, 64)
    session.viewport = (3, 2)
    session.view = replace(session.view, resolution=0)
    assert session.full_size == (16, 16)


# ---- a hand on a slow machine


def claim(session, monkeypatch, seconds):
    """Let pictures claim to take time in proportion to their pixels: `seconds` in full."""
    render = session.pipeline.__call__

    def claiming(request):
        result = render(request)
        width, height = request.size
        share = width * height / (VIEWPORT[0] * VIEWPORT[1])
        return replace(result, seconds={"rasterize": seconds * share, "compose": 0.0})

    monkeypatch.setattr(session.engine, "_render", claiming)


@pytest.fixture
def slow(session, plies, monkeypatch):
    """A session on a machine that takes 0.2 s for a full picture."""
    claim(session, monkeypatch, 0.2)
    show(session, plies[0])
    return session


def drag(session, yaw):
    session.hand_is_busy = True
    session.rig = replace(session.rig, yaw=yaw)
    session.update(1 / 60)
    session.engine.drain()


def test_while_the_hand_moves_the_picture_is_smaller_and_on_release_it_is_full(slow):
    assert slow.result.request.size == VIEWPORT

    for step in range(1, 6):
        drag(slow, step / 10)
        # A quarter of the pixels in a quarter of the time: the budget of 50 ms.
        assert slow.result.request.size == (24, 16)
        assert slow.result.image.shape[:2] == (16, 24)

    slow.hand_is_busy = False
    settle(slow)
    assert slow.result.request.size == VIEWPORT
    assert slow.result.request.rig.yaw == 0.5


def test_a_hand_that_changes_nothing_keeps_the_full_picture(slow):
    drawn = slow.engine.frames_drawn

    slow.hand_is_busy = True  # a button is pressed, or a word typed
    slow.update(1 / 60)
    slow.engine.drain()

    assert slow.engine.frames_drawn == drawn
    assert slow.result.request.size == VIEWPORT


def test_a_smaller_picture_is_not_the_final_one(slow):
    drag(slow, 0.3)

    assert not slow.is_settled
    slow.hand_is_busy = False
    settle(slow)
    assert slow.is_settled


def test_a_gliding_head_is_small_too(slow):
    slow.inertia = Inertia(yaw_speed=2.0)

    slow.update(1 / 60)
    slow.engine.drain()

    assert slow.result.request.size == (24, 16)


def test_a_fast_machine_draws_in_full_while_the_hand_moves(session, plies, monkeypatch):
    claim(session, monkeypatch, 0.01)
    show(session, plies[0])

    drag(session, 0.3)

    assert session.result.request.size == VIEWPORT


def test_a_thrown_head_glides_on_and_comes_to_rest_as_one_step_of_undo(session, plies):
    show(session, plies[0])
    session.inertia = Inertia(yaw_speed=3.0)

    for _ in range(300):
        session.update(1 / 60)
    session.engine.drain()

    assert not session.inertia.moves
    # The speed halves every 0.12 s; what is left when it stands is under half a degree.
    assert session.rig.yaw == pytest.approx(3.0 * 0.12 / math.log(2), abs=0.008)
    session.undo()
    assert session.rig == OrbitRig()


def test_a_hand_stops_a_gliding_head(session, plies):
    show(session, plies[0])
    session.inertia = Inertia(yaw_speed=3.0)
    session.hand_is_busy = True

    session.update(1 / 60)

    assert session.rig.yaw == 0


# ---- precision


def test_a_moving_latent_is_drawn_fast_and_a_resting_one_exactly(session, generator_file):
    show(session, generator_file)
    assert session.result.request.precision == "float32"

    session.hand_is_busy = True
    session.latent = replace(session.latent, x=0.2)
    session.update(1 / 60)
    session.engine.drain()
    assert session.result.request.precision == "fast"

    session.hand_is_busy = False
    settle(session)
    assert session.result.request.precision == "float32"


def test_a_moving_camera_does_not_change_the_precision(session, generator_file):
    show(session, generator_file)

    drag(session, 0.3)

    assert session.result.request.precision == "float32"


@pytest.mark.parametrize("choice", ["float32", "fast"])
def test_the_users_choice_of_precision_counts(session, generator_file, choice):
    session.preferences = replace(session.preferences, precision=choice)
    show(session, generator_file)

    assert session.result.request.precision == choice


# ---- undo


def test_undo_of_a_drag_shows_the_picture_from_before(session, plies):
    show(session, plies[0])
    before = session.result.image
    for step in range(1, 20):
        drag(session, step / 20)
    session.hand_is_busy = False
    settle(session)
    assert not np.array_equal(session.result.image, before)

    session.undo()
    settle(session)

    assert session.rig == OrbitRig()
    np.testing.assert_array_equal(session.result.image, before)
    session.redo()
    settle(session)
    assert session.rig.yaw == 0.95


def test_everything_in_the_document_can_be_undone(session, generator_file):
    show(session, generator_file)
    first = session.document

    session.rig = OrbitRig(yaw=1.0)
    settle(session)
    session.view = ViewSettings(mode="depth")
    settle(session)
    session.latent = LatentSettings(seed=5)
    settle(session)
    last = session.document

    for _ in range(3):
        session.undo()
    assert session.document == first
    for _ in range(3):
        session.redo()
    assert session.document == last


def test_ticks_of_the_wheel_are_one_step(session, plies, monkeypatch):
    show(session, plies[0])
    clock = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])

    for _ in range(5):
        session.rig = controls.zoom(session.rig, 1)
        session.hold()
        clock[0] += 0.1
        session.hand_is_busy = clock[0] < session.busy_until  # as the window says it
        session.update(0.1)
    clock[0] += 1.0
    session.hand_is_busy = clock[0] < session.busy_until
    session.update(1.0)

    assert session.rig.radius < 2.0
    session.undo()
    assert session.rig.radius == OrbitRig().radius


def test_undo_stops_a_gliding_head(session, plies):
    show(session, plies[0])
    session.rig = OrbitRig(yaw=0.5)
    session.update(1 / 60)
    session.inertia = Inertia(yaw_speed=3.0)

    session.undo()
    session.update(1 / 60)

    assert session.rig.yaw == 0


def test_an_empty_window_is_nothing_to_go_back_to(session, plies):
    session.latent = LatentSettings(seed=4)
    session.update(1 / 60)
    show(session, plies[0])

    assert not session.history.can_undo
    session.undo()
    settle(session)

    assert session.scene == scene_for(plies[0])


def test_undo_goes_back_to_the_head_before(session, plies):
    show(session, plies[0])
    first = session.result.image
    show(session, plies[1])

    session.undo()
    settle(session)

    assert session.scene == scene_for(plies[0])
    np.testing.assert_array_equal(session.result.image, first)


def test_undo_back_to_a_head_that_was_put_away_opens_it_again(session, plies):
    show(session, plies[0])
    first = session.result.image
    for path in plies[1:]:
        show(session, path)
    assert session.library.find(scene_for(plies[0])) is None

    for _ in range(3):
        session.undo()
    assert not session.is_settled
    settle(session)

    assert session.scene == scene_for(plies[0])
    np.testing.assert_array_equal(session.result.image, first)
    assert session.history.can_redo
    assert session.preferences.recent[0] == str(plies[3])  # it was not opened by hand


def test_undo_back_to_a_file_that_is_gone_is_a_sentence_and_no_endless_loop(session, plies):
    for path in plies:
        show(session, path)
    Path(plies[0]).unlink()

    for _ in range(3):
        session.undo()
    settle(session)

    assert "a.ply" in session.banner
    assert session.request() is None, "there is nothing to draw or to save"
    assert len(log_of(session)) == len(plies) + 1, "it was tried once"
    session.redo()
    settle(session)
    assert session.result.request.scene == scene_for(plies[1]), "what was undone can be redone"
    assert session.banner == ""
    show(session, plies[2])
    assert session.scene == scene_for(plies[2])


def test_cancelling_the_reopening_of_a_head_does_not_open_it_again_and_again(session, plies):
    for path in plies:
        show(session, path)
    for _ in range(3):
        session.undo()
    session.update(1 / 60)

    session.opening.cancel()
    settle(session)

    assert session.opened is None
    assert session.opening is None
    session.redo()
    settle(session)
    session.undo()
    settle(session)
    assert session.result.request.scene == scene_for(plies[0]), "going there again tries again"


def test_undoing_past_a_head_that_is_gone_reaches_the_one_behind_it(session, plies):
    for path in plies:
        show(session, path)
    Path(plies[1]).unlink()
    session.undo()
    session.undo()  # to b, which is put away and gone
    session.update(1 / 60)

    session.undo()  # to a, before the engine has found that out
    settle(session)

    assert session.scene == scene_for(plies[0])
    assert session.result.request.scene == session.scene


# ---- failures, jobs, notices


def test_a_failing_picture_is_a_banner_over_the_last_good_one_and_goes_with_the_next(
    session, plies
):
    if torch.cuda.is_available():
        pytest.skip("the rasterizer chosen here to fail would not")
    show(session, plies[0])
    before = session.result

    session.preferences = replace(session.preferences, backend="gsplat")
    settle(session)
    assert "gsplat rasterizer needs" in session.banner
    assert session.result is before

    session.preferences = replace(session.preferences, backend=None)
    session.rig = OrbitRig(yaw=0.1)
    settle(session)
    assert session.banner == ""
    assert session.result is not before


def test_a_failure_is_final_too(session, plies):
    if torch.cuda.is_available():
        pytest.skip("the rasterizer chosen here to fail would not")
    session.preferences = replace(session.preferences, backend="gsplat")

    show(session, plies[0])  # fails if it never settles

    assert session.is_settled
    assert session.result is None


def test_a_bug_is_told_apart_from_a_users_error_and_logged_with_its_traceback(session, plies):
    show(session, plies[0])

    def buggy():
        yield Step(0, 1, "dividing")
        return 1 / 0

    session.start_job("Divide", buggy())
    settle(session)

    assert "ZeroDivisionError" in session.banner
    assert "Traceback" in session.log.last.details


def test_a_users_error_is_only_its_sentence(session):
    session.report(SplatheadError("The disk is full."), "Traceback …")

    assert session.banner == "The disk is full."
    assert session.log.last.details == ""


def test_a_saved_file_is_announced(session, plies, monkeypatch):
    show(session, plies[0])
    monkeypatch.setattr("time.monotonic", lambda: 500.0)

    def saving():
        yield Step(0, 1, "Writing")
        return SavedFile(Path("out.png"), "Saved out.png")

    session.start_job("Save", saving())
    settle(session)

    assert session.toast == "Saved out.png"
    assert session.toast_until == pytest.approx(504.0)
    assert log_of(session)[-1] == ("info", "Saved out.png")


def test_a_cancelled_job_is_announced(session, plies):
    show(session, plies[0])

    def endless():
        while True:
            yield Step(0, 0, "on and on")

    job = session.start_job("Endless", endless())
    session.engine.step()
    job.cancel()
    settle(session)

    assert session.toast == "Endless: cancelled"
    assert session.scene == scene_for(plies[0])


def test_a_failing_job_does_not_put_the_head_away(session, plies):
    show(session, plies[0])

    def failing():
        yield Step(0, 1, "")
        raise SplatheadError("No.")

    session.start_job("Fail", failing())
    settle(session)

    assert session.scene == scene_for(plies[0])
    assert session.banner == "No."


# ---- settled


def test_an_empty_session_is_settled_and_an_opening_one_is_not(session, plies):
    assert session.is_settled

    session.open(plies[0])
    assert not session.is_settled
    session.update(1 / 60)
    session.engine.drain()  # read, but the session has not looked
    assert not session.is_settled

    settle(session)
    assert session.is_settled


def test_a_session_with_a_job_is_not_settled(session, plies):
    show(session, plies[0])

    def once():
        yield Step(0, 1, "")

    session.start_job("Once", once())

    assert not session.is_settled
    settle(session)
    assert session.is_settled


def test_a_session_on_the_engines_own_thread_settles_as_well(plies):
    import threading

    session = new_session(Preferences())
    session.viewport = VIEWPORT
    changed = threading.Semaphore(0)
    session.engine.wake = changed.release
    session.engine.start()
    try:
        session.open(plies[0])
        session.update(1 / 60)
        while not session.is_settled:
            assert changed.acquire(timeout=30)
            session.update(1 / 60)
        assert session.result.summary.splats == 7
    finally:
        session.engine.stop()
