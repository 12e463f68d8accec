"""Projects: what is saved comes back, what is hostile is refused, and nothing is lost on the way."""

from __future__ import annotations

import json
import shutil
import struct
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from models.checkpoint import save_generator
from models.latents import LatentSettings, Mix, Push, Values
from renderer.camera import OrbitRig
from renderer.errors import LoadError, SaveError
from renderer.formats.ply import write_ply
from splatviz_app.bookmarks import Bookmark
from splatviz_app.directions import Axis, ColorWish, Mark, Palette
from splatviz_app.document import Document
from splatviz_app.edits.stack import KINDS, EditStack
from splatviz_app.edits.values import Animation, Slider
from splatviz_app.pipeline import ViewSettings
from splatviz_app.preferences import Preferences
from splatviz_app.projects import archive
from splatviz_app.projects import content as versions
from splatviz_app.projects.archive import ArchiveStore
from splatviz_app.projects.content import Content, content_of
from splatviz_app.projects.files import (
    note_of,
    pixels_of,
    read_project,
    thumbnail_of,
    write_project,
)
from splatviz_app.projects.frozen_json import Misfit
from splatviz_app.scenes import GanHead, PlyHead
from splatviz_app.selection import Selection
from splatviz_app.session import new_session
from tests.conftest import some_splats
from tests.models.small import small_generator
from tests.steps import settle

FIXTURE = Path(__file__).parent / "files" / "version_1.splathead"
VIEWPORT = (56, 40)  # px


def gradient(height=30, width=50):
    """A picture that differs everywhere. [H, W, 4] uint8"""
    y, x = np.mgrid[:height, :width]
    return np.stack([4 * x, 8 * y, x + y, np.full_like(x, 255)], -1).astype(np.uint8)


def values(*shape, seed=0):
    return Values.of(np.random.RandomState(seed).randn(*shape))


def busy_document(path="/models/head.safetensors", weights="ab" * 32):
    """A document that uses all it can."""
    latent = LatentSettings(
        seed=2**32 - 1, x=0.1, y=-1 / 3, psi=0.77, space="Z", kept=values(1, 14), z=values(10),
        mix=Mix(values(5, 14, seed=1), 1, None, 0.25, "Ada"),
        pushes=(Push("Smile", values(14, seed=2), -1.5, source="pca:0"),), weights=weights,
    )  # fmt: skip
    axis = Axis("own:0", "Freckles", "Mine", values(14, seed=3))
    color = ColorWish("Skin", (0.8, 0.6, 0.5), 0.5, ("a", "b"), (0.0, 1.0), (0.5, -0.5))
    palette = Palette(
        weights, (axis,), (Mark("pca:0", "Age", locked=True),), True,
        having=(latent,), start=LatentSettings(), wishes=(color,),
    )  # fmt: skip
    edits = EditStack(
        tuple(replace(kind(), name=kind.title, key=i) for i, kind in enumerate(KINDS, 1)),
        (
            Slider("x", 3, 0, 10, kind="int"),
            Slider("y", 0.25, animation=Animation("loop", 2.0, ease=False)),
            Slider("z", True, kind="bool"),
            Slider("colour", (0.1, 0.2, 0.3), kind="color"),
        ),
    )
    edits = edits.changed(replace(edits.edits[0], code="gs._xyz += slider.x  # «ä»"))
    bookmark = Bookmark("Ünë “Kopf” 1", latent, weights, thumbnail_of(gradient(), 16))
    return Document(
        scene=GanHead(path, changed=123),
        latent=latent,
        rig=OrbitRig(0.3, -0.2, 2.0, (0.1, -0.2, 0.05), 0.4),
        view=ViewSettings(mode="depth", background=(0.1, 0.2, 0.3), colormap="magma"),
        bookmarks=(bookmark, replace(bookmark, name="Other", latent=LatentSettings())),
        checkpoint=replace(bookmark, thumbnail=b""),
        selection=Selection.of(np.arange(77) % 3 == 0),
        palettes=(palette,),
        edits=edits,
    )


@pytest.fixture
def new(tmp_path):
    """Make a session; it saves into the test's folder."""
    sessions = []

    def make(opened=None):
        session = new_session(Preferences(backend="torch", save_folder=str(tmp_path)))
        session.viewport = VIEWPORT
        sessions.append(session)
        session.update(0.0)
        if opened is not None:
            session.open(opened)
            settle(session)
        return session

    yield make
    for session in sessions:
        session.engine.stop()


def said(session):
    return [entry.message for entry in session.log.entries]


# ---- files


def test_a_project_is_read_back_as_it_was(tmp_path):
    document = busy_document(str(tmp_path / "models" / "head.safetensors"))
    path = tmp_path / "Ünterwegs.splathead"
    write_project(path, content_of(document, "cd" * 32, path), gradient())

    read = read_project(path)

    scene = GanHead("head.safetensors")
    assert read.document == replace(document, scene=scene)
    assert read.model.fingerprint == "cd" * 32
    assert read.model.beside == "models/head.safetensors"
    assert list(tmp_path.iterdir()) == [path]


def test_the_zip_holds_json_arrays_and_pictures_that_other_programs_read(tmp_path):
    path = tmp_path / "a.splathead"
    write_project(path, content_of(busy_document(), "", path), gradient())

    with zipfile.ZipFile(path) as file:
        names = set(file.namelist())
        entry = json.loads(file.read("project.json"))
        arrays = safetensors.numpy.load(file.read("arrays.safetensors"))
        thumbnail = pixels_of(file.read("thumbnail.png"))
    assert names == {"project.json", "arrays.safetensors", "thumbnail.png", "pictures/0.png"}
    assert entry["splathead_project"] == 1
    assert entry["document"]["latent"]["psi"] == 0.77
    shapes = [(1, 14), (5, 14), (10,), (10,), (14,), (14,)]  # one of 10 is the selection's bits
    assert sorted(array.shape for array in arrays.values()) == shapes
    assert thumbnail.shape == (192, 192, 4)


def test_equal_documents_are_equal_files(tmp_path):
    paths = tmp_path / "a.splathead", tmp_path / "b.splathead"
    for path in paths:
        write_project(path, content_of(busy_document(), "", path), gradient())
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_thumbnail_is_the_middle_of_the_picture():
    picture = np.zeros((20, 60, 4), np.uint8)
    picture[:, 20:40] = (200, 100, 50, 255)
    assert (pixels_of(thumbnail_of(picture, 8)) == (200, 100, 50, 255)).all()


def test_a_note_names_no_folder_and_no_bookmark():
    document = busy_document("/home/ada/secret/head.safetensors")
    note = note_of(document, "cd" * 32)
    entry = json.loads(note)
    assert entry["model"] == {
        "name": "head.safetensors", "fingerprint": "cd" * 32, "beside": "", "path": "", "program": "",
    }  # fmt: skip
    assert "/home" not in note
    assert entry["document"]["bookmarks"] == []


# ---- versions


def test_a_project_of_version_1_is_read_for_ever():
    read = read_project(FIXTURE)
    assert read.document.latent == busy_document().latent
    assert read.document.rig == busy_document().rig
    assert read.document.view == busy_document().view
    assert [b.name for b in read.document.bookmarks] == ["Ünë “Kopf” 1", "Other"]
    assert pixels_of(read.document.bookmarks[0].thumbnail).shape == (16, 16, 4)
    assert read.document.checkpoint == busy_document().checkpoint
    assert read.document.selection == busy_document().selection
    assert read.document.palettes == busy_document().palettes
    assert read.document.edits.sliders == busy_document().edits.sliders
    known = {type(edit): replace(edit, key=0) for edit in busy_document().edits.edits}
    edits = read.document.edits.edits
    assert [edit.key for edit in edits] == list(range(1, 14)), "the kinds there were then"
    assert [known[type(edit)] for edit in edits] == [replace(edit, key=0) for edit in edits]
    assert read.model.fingerprint == "cd" * 32


def test_an_older_version_goes_through_the_steps_between(monkeypatch):
    def second(entry):
        return {**entry, "origin": entry["origin"] + " two"}

    def third(entry):
        return {**entry, "origin": entry["origin"] + " three"}

    entry = versions.to_json(Content(origin="one"), ArchiveStore())
    monkeypatch.setattr(versions, "FORMAT", 3)
    monkeypatch.setattr(versions, "MIGRATIONS", {1: second, 2: third})
    assert versions.from_json(entry, ArchiveStore()).origin == "one two three"


# ---- hostile files


@pytest.fixture
def packed(tmp_path):
    """Write a zip of the given files over those of a good project; None leaves one out."""

    def pack(files, how=zipfile.ZIP_DEFLATED):
        good = tmp_path / "good.splathead"
        write_project(good, content_of(busy_document(), "", good), gradient())
        with zipfile.ZipFile(good) as file:
            content = {name: file.read(name) for name in file.namelist()} | files
        path = tmp_path / "bad.splathead"
        with zipfile.ZipFile(path, "w", how) as file:
            for name, part in content.items():
                if part is not None:
                    file.writestr(name, part)
        return path

    return pack


def entry_with(change):
    """A good project's JSON, changed; without arrays."""
    document = Document(scene=GanHead("/models/a.safetensors"))
    entry = versions.to_json(content_of(document, "", None), ArchiveStore())
    change(entry)
    return json.dumps(entry)


def put(*path_and_value):
    *path, key, value = path_and_value

    def change(entry):
        part = entry
        for step in path:
            part = part[step]
        part[key] = value

    return change


PNG_HEAD = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR"

HOSTILE = {
    "no project": ({"project.json": None}, "no project"),
    "no JSON": ({"project.json": b"{"}, "damaged"),
    "a list": ({"project.json": b"[1]"}, "damaged"),
    "deep JSON": ({"project.json": b"[" * 200_000}, "damaged"),
    "path traversal": ({"../../evil.png": b"x"}, "'../../evil.png', which no project does"),
    "an absolute path": ({"/etc/passwd": b"x"}, "which no project does"),
    "a program": ({"pictures/0.exe": b"x"}, "which no project does"),
    "a bomb": ({"arrays.safetensors": bytes(2**20 + 1)}, "too large"),
    "a large picture": ({"pictures/1.png": bytes(2**22 + 1)}, "too large"),
    "broken arrays": ({"arrays.safetensors": b"\xff" * 100}, "damaged"),
    "arrays of others": (
        {"arrays.safetensors": safetensors.numpy.save({"x": np.zeros(3, np.float64)})},
        "names an array that is missing",
    ),
    "NaN": (
        {"arrays.safetensors": safetensors.numpy.save(
            {f"array {i}": np.full((1, 14), np.nan, np.float32) for i in range(9)}
        )},
        "not finite",
    ),
    "a wide picture": ({"pictures/0.png": PNG_HEAD + struct.pack(">II", 60_000, 60_000)}, "no picture"),
    "no picture": ({"pictures/0.png": b"MZ"}, "no picture"),
    "a later version": ({"project.json": entry_with(put("splathead_project", 99))}, "later version"),
    "no version": ({"project.json": entry_with(put("splathead_project", True))}, "its version"),
    "version 0": ({"project.json": entry_with(put("splathead_project", 0))}, "its version"),
    "an unknown field": ({"project.json": entry_with(put("document", "shell", "rm"))}, "unknown field"),
    "an unknown scene": (
        {"project.json": entry_with(put("document", "scene", "$type", "Pickle"))}, "'Pickle'"),
    "a wild seed": ({"project.json": entry_with(put("document", "latent", "seed", -1))}, "latent.seed"),
    "a wild size": (
        {"project.json": entry_with(put("document", "view", "resolution", 10**9))}, "view.resolution"),
    "a wild colour map": (
        {"project.json": entry_with(put("document", "view", "colormap", "../x"))}, "view.colormap"),
    "a wild bookmark": (
        {"project.json": entry_with(put("document", "bookmarks", [
            {"name": "", "weights": "", "latent": {"seed": 2**33}}
        ]))}, "latent.seed"),
    "a slider of two kinds": (
        {"project.json": entry_with(put("document", "edits", "sliders", [
            {"name": "x", "kind": "color", "value": 0.5}
        ]))}, "edits.sliders"),
    "an unknown edit": (
        {"project.json": entry_with(put("document", "edits", "edits", [{"$type": "System"}]))},
        "'System'"),
    "a strange slider": (
        {"project.json": entry_with(put("document", "palettes", [{"own": [
            {"source": "own:x", "name": "", "group": "", "vector": {"array": "a"}}
        ]}]))}, "an array that is missing"),
    "no model": ({"project.json": entry_with(put("model", None))}, "which model"),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_file_is_refused_with_a_sentence(what, packed, monkeypatch):
    monkeypatch.setitem(
        archive._MOST_BYTES, "arrays.safetensors", 2**20
    )  # else the bomb takes seconds
    files, words = HOSTILE[what]
    path = packed(files)
    with pytest.raises(LoadError, match="bad") as caught:
        read_project(path)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 400
    assert "Traceback" not in str(caught.value)


def test_a_file_packed_in_another_way_is_refused(packed):
    path = packed({}, zipfile.ZIP_LZMA)
    with pytest.raises(LoadError, match="packed in a way"):
        read_project(path)


def test_what_could_not_be_opened_again_is_not_saved(tmp_path):
    path = tmp_path / "a.splathead"
    path.write_bytes(b"what was there")
    document = Document(latent=LatentSettings(psi=1e38))
    with pytest.raises(SaveError, match=r"could not be opened again: .*psi is too large"):
        write_project(path, content_of(document, "", path))
    assert path.read_bytes() == b"what was there"


def test_a_wild_camera_is_brought_into_its_range(packed):
    path = packed({"project.json": entry_with(put("document", "rig", "radius", 1e30))})
    assert read_project(path).document.rig.radius == 20.0


@pytest.mark.parametrize("part", [0.0, 0.01, 0.3, 0.7, 0.99])
def test_a_truncated_file_is_refused(part, packed):
    path = packed({})
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(LoadError, match="damaged"):
        read_project(path)


def test_every_broken_byte_is_refused_or_harmless(packed):
    path = packed({})
    content = path.read_bytes()
    for place in range(0, len(content), max(1, len(content) // 150)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        with suppress(LoadError):  # any other exception would fail
            read_project(path)


def test_two_files_of_one_name_are_refused(packed):
    path = packed({})
    with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("project.json", b"{}")
    with pytest.raises(LoadError, match="two files of one name"):
        read_project(path)


def test_a_zip_that_says_too_little_of_its_size_is_refused(packed):
    path = packed({"thumbnail.png": None, "pictures/0.png": bytes(2**21)})
    content = path.read_bytes()
    small = struct.pack("<I", 16)
    path.write_bytes(content.replace(struct.pack("<I", 2**21), small))
    with pytest.raises(LoadError, match="damaged"):
        read_project(path)


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.mkdir(), lambda p: p.touch()])
def test_what_is_no_file_or_empty_is_a_sentence(make, tmp_path):
    path = tmp_path / "x.splathead"
    make(path)
    with pytest.raises(LoadError, match=r"x\.splathead"):
        read_project(path)


# ---- the session's project


def test_looking_at_a_head_is_nothing_to_save_but_work_is(new, head_ply):
    session = new(head_ply)
    session.rig = OrbitRig(yaw=0.5)
    session.view = ViewSettings(mode="alpha")
    session.update(0.0)
    assert not session.project.is_changed
    assert session.project.title == "Untitled - Splathead"
    session.latent = LatentSettings(seed=3)
    assert session.project.title == "Untitled* - Splathead"


def test_saved_and_opened_again_the_picture_is_the_same(new, generator_file, tmp_path):
    first = new(generator_file)
    first.latent = LatentSettings(seed=3, x=0.2, y=-0.4, psi=0.9)
    first.rig = OrbitRig(0.4, 0.1, 2.2)
    first.view = ViewSettings(background=(0.2, 0.4, 0.1))
    settle(first)
    path = tmp_path / "day.splathead"
    first.project.save(path)
    settle(first)
    assert not first.project.is_changed
    assert first.project.title == "day - Splathead"

    second = new()
    second.open(path)
    settle(second)

    assert second.document == first.document
    assert not second.project.is_changed
    assert not second.history.can_undo
    assert second.project.path == path
    assert second.preferences.recent == (str(path),)
    assert (second.result.image == first.result.image).all()


def test_without_an_ending_the_file_gets_ours_and_saving_again_asks_nothing(
    new, head_ply, tmp_path
):
    session = new(head_ply)
    session.project.save()
    assert session.project.asks_for_name
    session.project.save(tmp_path / "my.head")
    settle(session)
    assert session.project.path == tmp_path / "my.head.splathead"
    session.rig = OrbitRig(yaw=1.0)
    assert session.project.is_changed, "with a name the camera counts as well"
    session.project.save()
    settle(session)
    assert not session.project.is_changed
    assert read_project(session.project.path).document.rig == OrbitRig(yaw=1.0)


def test_what_changes_while_it_is_being_saved_is_still_to_be_saved(new, head_ply, tmp_path):
    session = new(head_ply)
    session.project.save(tmp_path / "a.splathead")
    session.latent = LatentSettings(seed=9)
    settle(session)
    assert session.project.is_changed
    session.undo()
    assert not session.project.is_changed, "undo went back to what is in the file"


def test_a_saving_that_fails_says_so_and_keeps_asking(new, head_ply, tmp_path):
    session = new(head_ply)
    session.latent = LatentSettings(seed=9)
    session.project.quit()
    session.project.answer("save")
    session.project.save(tmp_path / "no such folder" / "a.splathead")
    settle(session)
    assert "folder does not exist" in session.banner
    assert session.project.is_changed
    assert not session.wants_quit


@pytest.mark.parametrize("answer", ["save", "discard", "cancel"])
def test_quitting_with_unsaved_work_asks_and_does_what_is_answered(answer, new, head_ply, tmp_path):
    session = new(head_ply)
    session.latent = LatentSettings(seed=9)
    session.project.quit()
    assert session.project.question.what == "quit"
    assert not session.wants_quit

    session.project.answer(answer)
    if answer == "save":
        assert session.project.asks_for_name
        session.update(0.0)
        assert not session.wants_quit, "not before it has a name"
        session.project.save(tmp_path / "a.splathead")
    settle(session)

    assert session.wants_quit == (answer != "cancel")
    assert (tmp_path / "a.splathead").exists() == (answer == "save")
    assert session.project.question is None


def test_giving_no_name_gives_up_quitting(new):
    session = new()
    session.latent = LatentSettings(seed=9)
    session.project.quit()
    session.project.answer("save")
    session.project.cancel_saving()
    settle(session)
    assert not session.wants_quit
    assert session.project.is_changed


def test_without_work_quitting_asks_nothing(new, head_ply):
    session = new(head_ply)
    session.project.quit()
    assert session.wants_quit


def test_opening_over_unsaved_work_asks_first(new, head_ply, tmp_path):
    session = new(head_ply)
    path = tmp_path / "a.splathead"
    session.project.save(path)
    settle(session)
    session.latent = LatentSettings(seed=9)
    session.open(path)
    settle(session)
    assert session.project.question.what == "open"
    assert session.latent.seed == 9
    session.project.answer("discard")
    settle(session)
    assert session.latent.seed == 0


def test_a_new_project_keeps_the_head_and_forgets_the_rest(new, head_ply, tmp_path):
    session = new(head_ply)
    session.project.save(tmp_path / "a.splathead")
    settle(session)
    session.rig = OrbitRig(yaw=1.0)
    session.project.new()
    session.project.answer("discard")
    assert session.document == Document(scene=session.scene)
    assert session.project.path is None
    assert not session.project.is_changed
    assert not session.history.can_undo


def test_a_project_that_cannot_be_read_says_so_and_changes_nothing(new, head_ply, tmp_path):
    session = new(head_ply)
    before = session.document
    bad = tmp_path / "bad.splathead"
    bad.write_bytes(b"PK\x03\x04 and no more")
    session.open(bad)
    settle(session)
    assert "bad.splathead is damaged" in session.banner
    assert session.document == before
    assert session.project.path is None


# ---- where the model is


@pytest.fixture
def saved(new, tmp_path):
    """A project and its generator, in folders of their own: (project, generator)."""
    model = tmp_path / "work" / "models" / "small.safetensors"
    model.parent.mkdir(parents=True)
    save_generator(model, small_generator())
    session = new(model)
    session.latent = LatentSettings(seed=5, psi=1.0)
    path = tmp_path / "work" / "head.splathead"
    session.project.save(path)
    settle(session)
    return path, model


def test_project_and_model_may_move_together(saved, new, tmp_path):
    path, _ = saved
    moved = tmp_path / "elsewhere"
    shutil.move(path.parent, moved)
    session = new()
    session.open(moved / path.name)
    settle(session)
    assert session.scene.path == str(moved / "models" / "small.safetensors")
    assert session.latent.seed == 5


def test_the_project_may_move_alone(saved, new, tmp_path):
    path, model = saved
    (tmp_path / "other").mkdir()
    moved = shutil.move(path, tmp_path / "other" / "x.splathead")
    session = new()
    session.open(moved)
    settle(session)
    assert session.scene.path == str(model)


def test_where_the_model_is_missing_the_user_is_asked_and_may_show_it(saved, new, tmp_path):
    path, model = saved
    session = new()
    hidden = shutil.move(model, tmp_path / "renamed.safetensors")
    session.open(path)
    settle(session)
    assert session.scene is None
    assert "small.safetensors is not where it was" in session.project.missing.why

    session.project.locate(Path(hidden))
    settle(session)

    assert session.project.missing is None
    assert session.scene.path == str(hidden)
    assert session.latent.seed == 5
    assert session.project.path == path


def test_the_same_weights_in_another_kind_of_file_are_the_same_model(saved, new, tmp_path):
    import safetensors.torch

    path, model = saved
    bare = tmp_path / "bare.safetensors"
    state = {name: part.contiguous() for name, part in small_generator().state_dict().items()}
    safetensors.torch.save_file(state, bare)
    model.unlink()
    session = new()
    session.open(path)
    settle(session)
    session.project.locate(bare)
    settle(session)
    assert (session.project.missing, session.banner) == (None, "")
    assert session.scene.path == str(bare)


@pytest.mark.parametrize("other", ["generator", "ply", "text"])
def test_another_model_is_refused_with_a_sentence(other, saved, new, tmp_path):
    path, model = saved
    wrong = (
        tmp_path / {"generator": "w.safetensors", "ply": "w.ply", "text": "w.safetensors"}[other]
    )
    if other == "generator":
        save_generator(wrong, small_generator(seed=1))
    elif other == "ply":
        write_ply(wrong, some_splats())
    else:
        wrong.write_text("no generator")
    shutil.copy(wrong, model.with_suffix(wrong.suffix))
    if other == "ply":
        model.unlink()
    session = new()
    session.open(path)
    settle(session)
    assert session.scene is None, "what lies in its place is not taken for it"

    session.project.locate(wrong)
    settle(session)

    assert session.scene is None
    expected = {"generator": "is another generator", "ply": "another kind", "text": "w.safetensors"}
    assert expected[other] in session.project.missing.why


def test_a_head_that_changed_since_is_shown_with_a_word(new, head_ply, tmp_path):
    session = new(head_ply)
    path = tmp_path / "a.splathead"
    session.project.save(path)
    settle(session)
    write_ply(head_ply, some_splats(seed=4))
    other = new()
    other.open(path)
    settle(other)
    assert isinstance(other.scene, PlyHead)
    assert "has changed since a.splathead was saved" in other.toast


def test_a_head_that_was_put_away_is_still_known_by_its_fingerprint(new, head_ply, tmp_path):
    session = new(head_ply)
    fingerprint = session.opened.fingerprint
    session.library._opened.clear()
    path = tmp_path / "a.splathead"
    session.project.save(path)
    assert fingerprint
    settle(session)
    assert read_project(path).model.fingerprint == fingerprint


def test_the_sample_head_is_found_wherever_the_program_is(new, tmp_path):
    from splatviz_app.scenes import SAMPLE_HEAD

    content = content_of(Document(scene=PlyHead(str(SAMPLE_HEAD))), "", tmp_path / "a.splathead")
    assert content.model.program == "examples/sample_head.ply"
    assert content.model.path == ""
    assert versions.places(content.model, Path("/anywhere"))[0] == SAMPLE_HEAD


def test_no_model_is_looked_for_on_another_computer():
    reference = versions.ModelReference("a.pkl", path="//evil.example/share/a.pkl")
    assert versions.places(reference, Path("/projects")) == [Path("/projects/a.pkl")]


def test_a_dropped_project_is_opened_and_beside_it_only_the_first(new, saved, head_ply, tmp_path):
    session = new()
    note = tmp_path / "note.txt"
    note.write_text("")
    session.open_dropped([note, saved[0], head_ply])
    settle(session)
    assert session.project.path == saved[0]


def places_in(entry, place=()):
    """The path of everything in a JSON value."""
    yield place
    if isinstance(entry, dict | list):
        for key in entry if isinstance(entry, dict) else range(len(entry)):
            yield from places_in(entry[key], (*place, key))


JUNK = [None, -1, 1e300, "x", [], {}, True, "inf", [[0]], {"$type": "CodeEdit"}, 0.5]


def test_junk_in_any_place_is_refused_or_harmless():
    store = ArchiveStore()
    text = json.dumps(versions.to_json(content_of(busy_document(), "", None), store))
    refused = 0
    for number, place in enumerate(places_in(json.loads(text))):
        entry = json.loads(text)
        if place:
            put(*place, JUNK[number % len(JUNK)])(entry)
        try:
            versions.from_json(entry, store)
        except Misfit:
            refused += 1
    assert refused > 150
