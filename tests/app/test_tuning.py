"""A tuning in the document: what it does to pictures, projects, notes and bookmarks."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from inversion.photo import Stroke
from models.checkpoint import save_generator
from models.delta import SUFFIX, ForeignDelta, Tuning, WeightDelta, delta_between, write_delta
from models.directions import weights_hash
from models.latents import LatentSettings, Values
from renderer.camera import OrbitRig
from renderer.errors import LoadError, SaveError
from splatviz_app.bookmark_jobs import bookmarks_from_text, bookmarks_text, write_bookmarks
from splatviz_app.bookmarks import Bookmark
from splatviz_app.export import PictureOptions, save_head, save_picture
from splatviz_app.inversion.cameras import found_cameras
from splatviz_app.latent_jobs import draw_heads
from splatviz_app.preferences import Preferences
from splatviz_app.projects import archive
from splatviz_app.projects.content import Content
from splatviz_app.projects.files import note_of, read_project, write_project
from splatviz_app.session import new_session
from tests.app.photos import photo_of_head, visible_generator
from tests.steps import result_of, settle

LATENT = LatentSettings(seed=3, x=0.4, psi=0.9)


@pytest.fixture(scope="module")
def generator_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "visible.safetensors"
    save_generator(path, visible_generator())
    return path


@pytest.fixture(scope="module")
def delta():
    """A change of all weights of the generator, also of those that map."""
    base, tuned = visible_generator(), visible_generator()
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if name.startswith("point_gen"):
                parameter += 0.03 * torch.randn(parameter.shape, generator=draw)
    return delta_between(base, tuned, name="Ada")


@pytest.fixture
def new(generator_file):
    sessions = []

    def make(path=generator_file):
        session = new_session(Preferences(backend="torch"))
        session.viewport = (48, 32)
        sessions.append(session)
        session.update(0.0)
        if path is not None:
            session.latent = LATENT
            session.open(path)
            settle(session)
        return session

    yield make
    for session in sessions:
        session.engine.stop()


@pytest.fixture
def session(new):
    return new()


def shown(session):
    settle(session)
    assert session.banner == ""
    return session.result.image.astype(int)


# ---- pictures


def test_without_strength_a_tuning_changes_no_pixel_and_with_it_the_more_the_stronger(
    session, delta
):
    base = shown(session)
    session.tuning = Tuning(delta, 0.0)
    np.testing.assert_array_equal(shown(session), base)

    apart = []
    for strength in (0.25, 0.5, 1.0):
        session.inversion.strength = strength
        apart.append(np.abs(shown(session) - base).mean())

    assert 0 < apart[0] < apart[1] < apart[2]
    session.tuning = None
    np.testing.assert_array_equal(shown(session), base)


def test_full_strength_is_the_generator_that_was_tuned(session, new, delta, tmp_path):
    from models.delta import with_delta

    session.tuning = Tuning(delta)
    tuned = tmp_path / "tuned.safetensors"
    save_generator(tuned, with_delta(visible_generator(), delta))

    np.testing.assert_array_equal(shown(session), shown(new(tuned)))


def test_latent_edits_and_truncation_work_on_top(session, delta):
    session.tuning = Tuning(delta)
    here = shown(session)
    w = session.pipeline.w(session.request())
    session.latent = replace(LATENT, psi=0.2)
    nearer = shown(session)
    assert np.abs(here - nearer).max() > 20
    session.tuning = None
    settle(session)
    session.latent = LATENT
    torch.testing.assert_close(session.pipeline.w(session.request()), w)


def test_the_camera_moves_without_preparing_the_network_again(session, delta, monkeypatch):
    prepared = []
    real = session.pipeline._networks["float32"]._compute
    monkeypatch.setattr(
        session.pipeline._networks["float32"],
        "_compute",
        lambda *key: prepared.append(key) or real(*key),
    )
    session.tuning = Tuning(delta, 0.5)
    settle(session)
    for yaw in (0.1, 0.2, 0.3):
        session.rig = replace(session.rig, yaw=yaw)
        settle(session)
    session.latent = replace(LATENT, x=0.1)
    settle(session)

    assert [key[2].strength for key in prepared] == [0.5]


def test_a_slider_held_by_the_hand_shows_each_strength_and_is_one_step_of_undo(session, delta):
    session.tuning = Tuning(delta, 0.0)
    settle(session)
    before, pictures = session.document, []
    session.hand_is_busy = True
    for strength in (0.3, 0.6, 0.9):
        session.inversion.strength = strength
        session.update(1 / 60)
        session.engine.drain()
        pictures.append(session.result.image)
        assert session.result.request.tuning.strength == strength
    session.hand_is_busy = False
    settle(session)

    assert not np.array_equal(pictures[0], pictures[2])
    session.undo()
    assert session.document == before


def test_a_foreign_tuning_is_a_sentence_and_the_last_picture_stays(session, delta):
    before = shown(session)
    session.tuning = Tuning(replace(delta, weights="ab" * 32))
    settle(session)

    assert isinstance(session.engine.failure.error, ForeignDelta)
    assert "another generator" in session.banner
    np.testing.assert_array_equal(session.result.image, before)


def test_a_damaged_tuning_is_a_sentence(session, delta):
    session.tuning = Tuning(WeightDelta(delta.weights, delta.content[:-7], "Ada"))
    settle(session)

    assert "damaged" in session.banner


def test_strips_of_small_heads_show_the_tuned_ones(session, delta):
    plain = result_of(draw_heads(session.pipeline, session.request(), [LATENT], 24)).pictures
    session.tuning = Tuning(delta)
    settle(session)
    tuned = result_of(draw_heads(session.pipeline, session.request(), [LATENT], 24)).pictures

    assert not np.array_equal(plain[0], tuned[0])


# ---- opening another generator


def test_another_generator_is_opened_without_it_and_undo_goes_back_to_both(
    session, delta, tmp_path
):
    session.tuning = Tuning(delta, 0.75)
    before = shown(session)
    document = session.document
    other = tmp_path / "other.safetensors"
    save_generator(other, visible_generator(seed=1))

    session.open(other)
    settle(session)
    assert session.tuning is None
    assert "undo" in session.toast
    session.undo()

    np.testing.assert_array_equal(shown(session), before)
    assert session.document == document


# ---- projects


@pytest.fixture(scope="module")
def photo():
    strokes = (Stroke(((0.1, 0.2), (0.3, 0.4)), 0.05), Stroke(((0.5, 0.5),), 0.1, adds=False))
    return replace(photo_of_head(0.4), strokes=strokes, used=False)


def test_a_project_with_photos_and_tuning_opens_to_the_same_pixels(
    session, new, delta, photo, tmp_path
):
    session.inversion.photos = (photo, replace(photo, name="twice.jpg", used=True))
    session.tuning = Tuning(delta, 0.6)
    image = shown(session)
    found = found_cameras(delta.weights, [photo], [OrbitRig(0.3, 0.1).camera()])
    session.document = replace(
        session.document,
        cameras=found,
        bookmarks=(Bookmark("Ada", LATENT, delta.weights, tuning=Tuning(delta, 0.3)),),
    )
    settle(session)
    session.project.save(tmp_path / "ada.splathead")
    settle(session)
    assert not session.project.is_changed
    assert "with 2 photos in it" in session.toast

    other = new(None)
    other.open(tmp_path / "ada.splathead")
    np.testing.assert_array_equal(shown(other), image)

    assert other.document == session.document
    seen = other.inversion.camera_of(other.inversion.photos[0])
    assert torch.equal(seen.cam_to_world, OrbitRig(0.3, 0.1).camera().cam_to_world)
    with zipfile.ZipFile(tmp_path / "ada.splathead") as packed:
        names = [name for name in packed.namelist() if "/" in name]
    assert sorted(name.partition("/")[0] for name in names) == ["photos", "pictures", "tunings"]


def test_a_photo_with_alpha_and_a_large_one_are_kept(delta, photo, tmp_path):
    import io

    stream = io.BytesIO()
    Image.fromarray(np.full((1100, 1200, 4), 99, np.uint8)).save(stream, "PNG")
    large = replace(photo, content=stream.getvalue(), name="cut out.png")
    document = replace(new_session().document, photos=(large,))

    write_project(tmp_path / "a.splathead", Content(document))

    assert read_project(tmp_path / "a.splathead").document.photos == (large,)


@pytest.mark.parametrize(
    "change",
    [
        {"points": ((1.0, 2.0),)},
        {"points": ((1e9, 2.0),) * 5},
        {"content": b"MZ no picture"},
        {"matte": b"no picture"},
        {"strokes": (Stroke(((50.0, 0.0),), 0.1),)},
        {"strokes": (Stroke(((0.5, 0.0),), -0.1),)},
    ],
    ids=str,
)
def test_a_photo_that_no_hand_could_set_is_refused_in_a_sentence(photo, change, tmp_path):
    document = replace(new_session().document, photos=(replace(photo, **change),))

    with pytest.raises(SaveError, match="photos"):
        write_project(tmp_path / "a.splathead", Content(document))


@pytest.mark.parametrize("part", [{"side": -3.0}, {"yaw": 1e9}, {"centre": (1e12, 0.0)}])
def test_an_alignment_beyond_all_bounds_is_refused_in_a_sentence(photo, part, tmp_path):
    wild = replace(photo, alignment=replace(photo.alignment, **part))
    document = replace(new_session().document, photos=(wild,))

    with pytest.raises(SaveError, match="photos"):
        write_project(tmp_path / "a.splathead", Content(document))


@pytest.mark.parametrize("place", [0, 16, 17])
def test_a_camera_that_cannot_be_is_refused_in_a_sentence(photo, place, tmp_path):
    label = OrbitRig().camera().to_label().numpy()
    label[place] = -1000.0
    (camera,) = found_cameras("ab" * 32, [photo], [OrbitRig().camera()])
    document = replace(new_session().document, cameras=(replace(camera, label=Values.of(label)),))

    with pytest.raises(SaveError, match="cameras"):
        write_project(tmp_path / "a.splathead", Content(document))


def test_a_matte_that_is_damaged_is_found_when_the_project_is_opened(photo, tmp_path):
    cut = replace(photo, matte=photo.matte[:60])
    write_project(tmp_path / "a.splathead", Content(replace(new_session().document, photos=(cut,))))

    with pytest.raises(LoadError, match="matte"):
        read_project(tmp_path / "a.splathead")


@pytest.mark.parametrize("strength", [-0.1, 1.5])
def test_a_strength_beyond_its_range_is_refused_in_a_sentence(delta, strength, tmp_path):
    document = replace(new_session().document, tuning=Tuning(delta, strength))

    with pytest.raises(SaveError, match="tuning"):
        write_project(tmp_path / "a.splathead", Content(document))


def test_a_project_too_large_to_be_read_again_is_not_written(delta, tmp_path, monkeypatch):
    monkeypatch.setitem(archive._MOST_OF_KIND, "tunings", 1000)
    document = replace(new_session().document, tuning=Tuning(delta))

    with pytest.raises(SaveError, match="more than can be read again"):
        write_project(tmp_path / "a.splathead", Content(document))
    assert not (tmp_path / "a.splathead").exists()


def test_photos_packed_small_to_unpack_large_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.splathead", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("project.json", "{}")
        packed.writestr("photos/0.jpg", bytes(2**20))

    with pytest.raises(LoadError, match="packed"):
        read_project(tmp_path / "bomb.splathead")


# ---- pictures and heads that say how they were made


def picture(session, path):
    work = save_picture(
        session.pipeline, session.request(), path, PictureOptions((40, 30)), session.project.note()
    )
    result_of(work)
    return np.asarray(Image.open(path))


def test_a_note_holds_neither_photo_nor_weights(session, delta, photo):
    session.inversion.photos = (photo,)
    session.tuning = Tuning(delta)
    session.document = replace(
        session.document, bookmarks=(Bookmark("x", LATENT, delta.weights, tuning=Tuning(delta)),)
    )
    settle(session)

    note = note_of(session.document, delta.weights)

    entry = json.loads(note)
    assert entry["document"]["photos"] == []
    assert entry["document"]["tuning"] is None
    assert entry["document"]["bookmarks"] == []
    assert "ada.jpg" not in note
    assert len(note) < 5000
    assert entry["tuning"]["name"] == "Ada"


def test_a_picture_restores_its_tuning_if_the_session_knew_it(session, delta, tmp_path):
    session.tuning = Tuning(delta, 0.8)
    settle(session)
    pixels = picture(session, tmp_path / "one.png")
    before = session.document
    session.tuning = None
    settle(session)

    session.open(tmp_path / "one.png")
    settle(session)

    assert session.document == before
    np.testing.assert_array_equal(picture(session, tmp_path / "two.png"), pixels)


def test_a_picture_restores_its_tuning_from_a_file_beside_it(session, new, delta, tmp_path):
    session.tuning = Tuning(delta, 0.8)
    settle(session)
    pixels = picture(session, tmp_path / "one.png")
    (tmp_path / f"damaged{SUFFIX}").write_bytes(b"nothing")
    write_delta(tmp_path / f"what ever{SUFFIX}", delta)

    other = new()
    other.open(tmp_path / "one.png")
    settle(other)

    assert other.tuning == Tuning(delta, 0.8)
    np.testing.assert_array_equal(picture(other, tmp_path / "two.png"), pixels)


def test_without_its_tuning_all_the_rest_of_a_picture_comes_back_with_a_sentence(
    session, new, delta, photo, tmp_path
):
    session.tuning = Tuning(delta)
    session.latent = replace(LATENT, x=-0.9)
    session.rig = replace(session.rig, yaw=0.5)
    settle(session)
    picture(session, tmp_path / "one.png")

    other = new()
    other.inversion.photos = (photo,)
    other.open(tmp_path / "one.png")
    settle(other)

    assert "“Ada”" in other.banner
    assert other.document == replace(session.document, tuning=None, photos=(photo,))


def test_the_note_in_a_head_for_other_programs_says_the_tuning(session, delta, tmp_path):
    session.tuning = Tuning(delta, 0.5)
    settle(session)
    work = save_head(
        session.pipeline, session.request(), tmp_path / "a.ply", "raw", session.project.note()
    )
    path = result_of(work).path
    before = session.document
    session.undo()
    settle(session)

    session.project.open(path)
    settle(session)

    assert session.document == before


# ---- bookmarks


def test_a_kept_head_comes_back_tuned_as_it_was(session, delta):
    session.tuning = Tuning(delta, 0.7)
    tuned = shown(session)
    kept = Bookmark("Ada", session.latent, delta.weights, tuning=session.tuning)
    session.tuning, session.latent = None, replace(LATENT, x=0.0)
    plain = Bookmark("Bea", session.latent, delta.weights)
    untuned = shown(session)

    session.bring_back(kept)
    np.testing.assert_array_equal(shown(session), tuned)
    session.bring_back(plain)
    np.testing.assert_array_equal(shown(session), untuned)


def test_exported_bookmarks_are_small_and_say_what_is_left_out(session, delta, tmp_path):
    kept = (Bookmark("Ada", LATENT, delta.weights, tuning=Tuning(delta)),)
    assert bookmarks_from_text(bookmarks_text(kept)) == (replace(kept[0], tuning=None),)

    work = write_bookmarks(session.pipeline, session.request(), kept, tmp_path / "heads.json")
    saved = result_of(work)

    assert "without the tunings" in saved.sentence
    assert saved.path.stat().st_size < 3000


def test_the_delta_belongs_to_the_file_that_is_open(session, delta):
    assert delta.weights == session.opened.fingerprint == weights_hash(visible_generator())
