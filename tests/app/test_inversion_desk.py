"""The desk of inversion in a session: photos, both phases, what undo and cancelling leave."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from inversion.errors import InversionError
from inversion.photo import Photo, Stroke
from inversion.pictures import Picture
from inversion.prepare import PrepareSettings
from inversion.settings import ProjectorSettings, TuningSettings
from models.checkpoint import save_generator
from models.delta import SUFFIX
from models.latents import LatentSettings
from splatviz_app.engine import JobState, Step
from splatviz_app.preferences import Preferences
from splatviz_app.session import new_session
from splatviz_app.tuned import LiveTuning
from tests.app.photos import photo_of_head, plain_picture, visible_generator
from tests.steps import settle

STEPS = 6
PROJECTOR = ProjectorSettings(steps=STEPS, resolution=32, candidates=4, noise=0.0, patience=0)
TUNER = TuningSettings(steps=STEPS, resolution=32)


@pytest.fixture(scope="module")
def generator_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "visible.safetensors"
    save_generator(path, visible_generator())
    return path


@pytest.fixture
def session(generator_file):
    session = new_session(
        Preferences(
            projector=PROJECTOR,
            tuner=TUNER,
            perception="stand-in",
            prepare=PrepareSettings(at_once=False),
        )
    )
    session.viewport = (48, 32)
    session.open(generator_file)
    settle(session)
    yield session
    session.engine.stop()


@pytest.fixture(scope="module")
def photos():
    return (photo_of_head(0.3), photo_of_head(-0.2, name="ben.jpg"))


@pytest.fixture
def desk(session, photos):
    session.inversion.photos = photos
    session.latent = LatentSettings(seed=5, x=0.3, psi=0.8)
    session.update(1 / 60)
    session.engine.drain()
    session.update(1 / 60)
    return session.inversion


def work_until(session, happens, limit=400):
    """Draw frames of the window, one unit of work of the engine each, until something happens."""
    for _ in range(limit):
        session.update(1 / 60)
        if happens():
            return
        session.engine.step()
    raise AssertionError("it never happens")


def values_of(session):
    return len(session.history._values)


# ---- a phase from its start to its end


def test_an_inversion_is_one_step_of_undo_and_its_head_is_shown(session, desk):
    before, steps, image = session.document, values_of(session), session.result.image
    desk.start_inversion()
    assert desk.phase == "latent"
    settle(session)

    assert desk.phase == ""
    assert values_of(session) == steps + 1
    latent = session.latent
    assert latent.kept is not None
    assert latent.psi == 1.0
    assert (latent.seed, latent.x) == (5, 0.3)
    assert latent.weights == session.opened.fingerprint
    assert session.tuning is None
    assert session.preview is None
    assert not np.array_equal(session.result.image, image)
    session.undo()
    settle(session)
    assert session.document == before
    np.testing.assert_array_equal(session.result.image, image)


def test_a_tuning_is_one_step_of_undo_and_keeps_the_place_it_began_from(session, desk):
    before, steps, image = session.document, values_of(session), session.result.image
    desk.start_tuning()
    assert desk.phase == "tuning"
    settle(session)

    assert values_of(session) == steps + 1
    assert session.latent == before.latent
    assert session.tuning.strength == 1.0
    assert session.tuning.delta.weights == session.opened.fingerprint
    assert session.tuning.delta.name == "ada"
    assert not np.array_equal(session.result.image, image)
    session.undo()
    settle(session)
    assert session.document == before
    np.testing.assert_array_equal(session.result.image, image)


def test_a_phase_ends_with_a_curve_a_report_and_pictures_of_each_view(session, desk, photos):
    desk.start_inversion()
    settle(session)
    desk.start_tuning()
    settle(session)

    assert {phase: len(curve) for phase, curve in desk.curves.items()} == {
        "latent": STEPS,
        "tuning": STEPS,
    }
    assert all(np.isfinite(losses.total) for losses in desk.curve)
    assert desk.report.phase == "tuning"
    assert [quality.name for quality in desk.report.before] == ["ada.jpg", "ben.jpg"]
    assert [quality.name for quality in desk.report.after] == ["ada.jpg", "ben.jpg"]
    assert [picture.shape for picture in desk.targets] == [(32, 32, 4)] * 2
    assert [picture.shape for picture in desk.view_pictures] == [(32, 32, 4)] * 2
    assert desk.measured_by
    seen = desk.targets[0].astype(float)
    alpha = seen[..., 3:] / 255
    over_white = alpha * seen[..., :3] + 255 * (1 - alpha)
    assert np.abs(over_white - desk.view_pictures[0][..., :3]).mean() < 80


def test_tuning_takes_the_cameras_that_inversion_found_for_the_same_photos(session, desk, photos):
    desk.start_inversion()
    settle(session)
    found = [desk.camera_of(photo) for photo in photos]
    assert any(
        not torch.equal(camera.cam_to_world, photo.alignment.camera().cam_to_world)
        for camera, photo in zip(found, photos, strict=True)
    )

    desk.start_tuning()
    assert same(desk.run.start.cameras, found)
    settle(session)
    assert same(desk.newest.cameras, found)

    # The other photo's matte is another, but not where its head is; the first one's square was moved.
    moved = replace(photos[0], alignment=replace(photos[0].alignment, side=90.0))
    desk.photos = (moved, replace(photos[1], strokes=(Stroke(((0.5, 0.5),), 0.1),)))
    assert same([desk.camera_of(moved)], [moved.alignment.camera()])
    assert same([desk.camera_of(desk.photos[1])], found[1:])
    session.undo()
    session.undo()
    session.undo()
    assert desk.photos == photos
    assert same([desk.camera_of(photos[0])], [photos[0].alignment.camera()])


def same(cameras, others):
    """Whether these are the same cameras, bit for bit."""
    return all(
        torch.equal(camera.to_label(), other.to_label())
        for camera, other in zip(cameras, others, strict=True)
    )


# ---- while it goes on


def test_the_head_on_its_way_is_shown_while_the_document_stays_and_the_camera_is_free(
    session, desk
):
    before = session.document
    desk.start_inversion()
    work_until(session, lambda: session.preview is not None)
    session.engine.step()

    shown = session.result.request
    assert shown.latent == session.preview.latent
    assert session.own_request().latent == before.latent
    assert shown.latent.kept is not None
    assert session.document == before
    session.rig = replace(session.rig, yaw=0.7)
    work_until(session, lambda: session.result.request.rig.yaw == 0.7)
    assert session.result.request.latent.kept is not None


def test_the_network_in_the_making_is_shown_as_it_changes(session, desk):
    desk.start_tuning()
    seen = {}

    def shown():
        tuning = session.result.request.tuning
        if isinstance(tuning, LiveTuning):
            seen[tuning.step] = session.result.image
        return desk.phase == ""

    desk._session.engine.seconds_busy = 0.0
    for _ in range(400):
        desk._shown_at = 0.0  # as if drawing took no time
        session.update(1 / 60)
        if shown():
            break
        session.engine.seconds_busy = 0.0
        session.engine.step()

    assert len(seen) >= 3
    pictures = list(seen.values())
    assert not np.array_equal(pictures[0], pictures[-1])
    settle(session)
    assert len(session.pipeline.live) == 0, "its memory is given back"
    assert session.result.request.tuning == session.tuning


@pytest.mark.parametrize("phase", ["latent", "tuning"])
def test_cancelling_leaves_the_session_as_it_was(session, desk, phase):
    before, steps, image = session.document, values_of(session), session.result.image
    desk.start_inversion() if phase == "latent" else desk.start_tuning()
    job = desk.job
    work_until(session, lambda: len(desk.curve) >= 2 and session.preview is not None)

    desk.cancel()
    settle(session)

    assert job.state is JobState.CANCELLED
    assert session.document == before
    assert values_of(session) == steps
    assert session.preview is None
    assert desk.phase == ""
    assert desk.report is None
    np.testing.assert_array_equal(session.result.image, image)


def test_a_pause_lets_frames_through_and_resuming_goes_on(session, desk):
    desk.start_inversion()
    work_until(session, lambda: len(desk.curve) == 2)
    desk.pause()
    session.rig = replace(session.rig, yaw=0.4)
    session.update(1 / 60)
    session.engine.drain()

    assert desk.is_paused
    assert session.result.request.rig.yaw == 0.4
    assert len(desk.curve) == 2
    desk.resume()
    settle(session)
    assert len(desk.curve) == STEPS


def test_finishing_takes_the_best_so_far(session, desk):
    desk.projector = replace(PROJECTOR, steps=1000)
    desk.start_inversion()
    work_until(session, lambda: len(desk.curve) == 3)
    desk.pause()
    desk.finish()
    settle(session)

    assert session.latent.kept is not None
    assert desk.report.steps < 10


def test_starting_over_begins_anew(session, desk):
    desk.start_inversion()
    first = desk.run
    work_until(session, lambda: len(desk.curve) == 3)

    desk.start_over()
    settle(session)

    assert desk.run is not first
    assert len(desk.curve) == STEPS
    assert session.latent.kept is not None


def test_another_head_chosen_meanwhile_is_shown_and_is_where_undo_leads(session, desk):
    desk.start_inversion()
    work_until(session, lambda: session.preview is not None)
    session.latent = replace(session.latent, x=-0.5)
    session.update(1 / 60)

    assert session.preview is None
    assert session.request().latent.x == -0.5
    desk.shows_preview = True
    session.update(1 / 60)
    assert session.request().latent.kept is not None, "the panel can show it again"
    settle(session)
    assert session.latent.kept is not None
    session.undo()
    assert session.latent == LatentSettings(seed=5, x=-0.5, psi=0.8)


def test_opening_another_generator_stops_the_phase_with_a_word(session, desk, tmp_path):
    other = tmp_path / "other.safetensors"
    save_generator(other, visible_generator(seed=1))
    desk.start_inversion()
    job = desk.job
    work_until(session, lambda: len(desk.curve) == 2)

    session.open(other)
    work_until(session, lambda: session.scene.path == str(other))
    settle(session)

    assert job.state is JobState.CANCELLED
    assert session.scene.path == str(other)
    assert session.latent.kept is None
    assert any("stopped" in entry.message for entry in session.log.entries)
    assert session.preview is None


def test_short_work_does_not_wait_for_a_phase(session, desk, tmp_path):
    desk.projector = replace(PROJECTOR, steps=1000)
    desk.start_inversion()
    work_until(session, lambda: len(desk.curve) == 2)

    desk.add_picture(picture())
    work_until(session, lambda: len(desk.photos) == 3)

    assert desk.phase == "latent"
    assert len(desk.curve) < 10
    desk.cancel()


def test_a_phase_that_fails_offers_the_best_so_far(session, desk, monkeypatch):
    before = session.document
    real = PhaseBreaks(desk)
    monkeypatch.setattr("splatviz_app.inversion.jobs.project", real)
    desk.start_inversion()
    settle(session)

    assert session.document == before
    assert session.banner == "The search ran away."
    assert desk.rescued is not None
    desk.accept_rescued()
    settle(session)
    assert session.latent.kept is not None
    assert desk.rescued is None


def test_too_little_memory_is_a_sentence_before_the_work_and_during_it(session, desk, monkeypatch):
    before = session.document
    monkeypatch.setattr("splatviz_app.inversion.jobs.memory_estimate", lambda *_: 2**50)
    desk.start_tuning()
    settle(session)
    assert "GB" in session.banner
    session.banner = ""

    def greedy(*args, **kwargs):
        yield Step(0, 1, "")
        raise RuntimeError(
            "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
        )

    monkeypatch.setattr("splatviz_app.inversion.phases.PhaseRun.follow", greedy)
    desk.start_inversion()
    settle(session)

    assert "memory" in session.banner
    assert "RuntimeError" not in session.banner
    assert session.document == before


def test_undo_does_not_hoard_tunings(session, desk, monkeypatch):
    desk.start_tuning()
    settle(session)
    one = len(session.tuning.delta.content)
    monkeypatch.setattr("splatviz_app.inversion.desk._MOST_UNDONE", int(2.5 * one))

    for seed in range(3):
        desk.tuner = replace(TUNER, seed=seed, learning_rate=0.01 * (seed + 1))
        desk.start_tuning()
        settle(session)

    held = {id(d.tuning.delta) for d in session.history.values if d.tuning is not None}
    assert len(held) == 2
    session.undo()
    settle(session)
    assert session.tuning is not None


def test_opening_a_project_stops_the_phase(session, desk, tmp_path):
    session.project.save(tmp_path / "day.splathead")
    while session.project.is_saving:
        session.update(1 / 60)
    desk.start_inversion()
    job = desk.job
    work_until(session, lambda: len(desk.curve) == 2)
    session.open(tmp_path / "day.splathead")
    work_until(session, lambda: session.opening is None)
    settle(session)

    assert job.state is JobState.CANCELLED
    assert session.latent == LatentSettings(seed=5, x=0.3, psi=0.8)
    assert not session.project.is_changed


class PhaseBreaks:
    """`project`, but it runs away after four steps."""

    def __init__(self, desk):
        self.desk = desk

    def __call__(self, *args, **kwargs):
        from inversion.projector import project

        for step in project(*args, **kwargs):
            if step.done > 4:
                raise InversionError("The search ran away.")
            yield step


@pytest.mark.parametrize("act", ["start_inversion", "start_tuning", "prepare"])
def test_a_damaged_photo_is_a_sentence(session, desk, photos, act):
    broken = replace(photos[0], name="broken.jpg", content=photos[0].content[:300])
    desk.photos = (broken,)
    before = session.document
    getattr(desk, act)()
    settle(session)

    assert "broken.jpg" in session.banner
    assert "should not" not in session.banner
    assert session.document == before


def test_weights_that_are_not_here_are_a_sentence(session, desk):
    before = session.document
    desk.perception_choice = "vgg16"
    desk.start_inversion()
    settle(session)

    assert "VGG" in session.banner
    assert "should not" not in session.banner
    assert session.document == before
    assert desk.rescued is None


# ---- what it needs


def test_what_is_missing_is_said(session, desk, photos):
    assert desk.why_not_invert == desk.why_not_tune == ""
    desk.photos = tuple(replace(photo, used=False) for photo in photos)
    assert "left out" in desk.why_not_invert
    desk.photos = (photos[0], Photo("raw.jpg", plain_picture()))
    assert "raw.jpg" in desk.why_not_invert
    desk.photos = ()
    assert "Add a photo" in desk.why_not_invert
    desk.start_inversion()
    assert desk.phase == ""


def test_without_a_generator_nothing_is_inverted(head_ply, photos):
    session = new_session(Preferences())
    session.open(head_ply)
    settle(session)
    session.inversion.photos = photos

    assert "generator" in session.inversion.why_not_invert
    session.engine.stop()


# ---- photos


def picture():
    pixels = np.zeros((40, 50, 3), np.uint8)
    pixels[..., 0] = np.arange(50)
    return Picture(pixels, None, "shot 1")


def test_dropped_pictures_become_photos_in_one_step_and_the_panel_is_asked_for(
    session, tmp_path, head_ply
):
    paths = [tmp_path / f"{name}.jpg" for name in "ab"]
    for seed, path in enumerate(paths):
        path.write_bytes(plain_picture(seed))
    steps = values_of(session)

    session.open_dropped([str(paths[0]), str(head_ply), str(paths[1])])
    assert session.wants_panel == "Inversion"
    settle(session)

    assert [photo.name for photo in session.document.photos] == ["a.jpg", "b.jpg"]
    assert session.scene.path == str(head_ply)
    assert values_of(session) >= steps + 1


def test_a_picture_that_cannot_be_read_is_a_sentence_and_the_others_come_in(session, tmp_path):
    good, bad = tmp_path / "good.jpg", tmp_path / "bad.jpg"
    good.write_bytes(plain_picture())
    bad.write_bytes(b"\xff\xd8 no picture")

    session.open_dropped([bad, good])
    settle(session)

    assert [photo.name for photo in session.document.photos] == ["good.jpg"]
    assert "bad.jpg" in session.banner


def test_a_photo_without_a_face_stays_unprepared_and_the_sentence_says_so(session):
    session.inversion.photos = (Photo("wall.jpg", plain_picture()),)
    session.inversion.prepare()
    settle(session)

    assert not session.inversion.photos[0].is_ready
    assert "wall.jpg" in session.banner
    assert session.inversion.candidates(0) == ()


def test_what_preparing_finds_is_part_of_the_step_that_added_the_photo(
    session, monkeypatch, photos
):
    def finds(photo, settings, face=None):
        yield from ()
        return replace(photos[0], name=photo.name, content=photo.content)

    monkeypatch.setattr("splatviz_app.inversion.jobs.prepare", finds)
    monkeypatch.setattr("splatviz_app.inversion.jobs.find_faces", lambda pixels: ())
    session.inversion.prepare_settings = PrepareSettings(at_once=True)
    steps = values_of(session)

    session.inversion.add_picture(picture())
    settle(session)

    assert session.inversion.photos[0].is_ready
    assert values_of(session) == steps + 1
    session.undo()
    assert session.inversion.photos == ()
    session.redo()
    assert session.inversion.photos[0].is_ready


def test_a_photo_left_out_while_it_is_prepared_stays_left_out(session, monkeypatch, photos):
    raw = replace(photos[0], points=(), alignment=None, matte=b"")

    def finds(photo, settings, face=None):
        yield from ()
        return photos[0]

    monkeypatch.setattr("splatviz_app.inversion.jobs.prepare", finds)
    monkeypatch.setattr("splatviz_app.inversion.jobs.find_faces", lambda pixels: ())
    session.inversion.photos = (raw,)
    session.inversion.prepare()
    assert session.inversion.is_preparing_photo(raw)
    session.inversion.photos = (replace(raw, used=False),)
    settle(session)

    assert session.inversion.photos == (replace(photos[0], used=False),)


# ---- files of tunings


def test_a_tuning_saved_and_dropped_again_makes_the_same_head(session, desk, tmp_path):
    desk.start_tuning()
    settle(session)
    image = session.result.image
    desk.save_delta(tmp_path / f"ada{SUFFIX}")
    settle(session)
    session.tuning = None
    settle(session)
    assert not np.array_equal(session.result.image, image)

    session.open_dropped([tmp_path / f"ada{SUFFIX}"])
    settle(session)

    np.testing.assert_array_equal(session.result.image, image)
    renamed = tmp_path / "ada.safetensors"
    (tmp_path / f"ada{SUFFIX}").rename(renamed)
    session.tuning = None
    session.open(renamed)
    settle(session)
    np.testing.assert_array_equal(session.result.image, image)


def test_a_tuning_of_another_generator_is_refused_in_a_sentence(session, desk, tmp_path):
    desk.start_tuning()
    settle(session)
    desk.save_delta(tmp_path / "ada")
    settle(session)
    other = tmp_path / "other.safetensors"
    save_generator(other, visible_generator(seed=1))
    session.open(other)
    settle(session)
    assert session.tuning is None, "left out with the generator it belongs to"

    session.open(tmp_path / f"ada{SUFFIX}")
    settle(session)

    assert session.tuning is None
    assert "another generator" in session.banner
    session.undo()
    settle(session)
    assert session.tuning is not None


def test_a_generators_file_is_no_tuning(session, generator_file):
    session.inversion.open_delta(generator_file)
    settle(session)

    assert "no tuning" in session.banner
    assert session.tuning is None
