"""Pictures and heads say how they were made, and bring it back: the identical picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from models.latents import LatentSettings, Push, Values
from renderer.camera import OrbitRig
from renderer.errors import LoadError
from renderer.formats.ply import read_ply
from splatviz_app.bookmarks import Bookmark
from splatviz_app.edits.values import CodeEdit
from splatviz_app.export import PictureOptions, save_head, save_picture
from splatviz_app.pipeline import ViewSettings
from splatviz_app.projects import files
from splatviz_app.projects.files import ply_comments, read_note
from tests.app.test_projects import new, said, settle  # noqa: F401 - new is a fixture
from tests.steps import result_of

OPTIONS = PictureOptions(size=(61, 43), supersampling=2)


def picture(session, path):
    """Save what a session shows. Returns the file, and its pixels."""
    note = session.project.note()
    work = save_picture(session.pipeline, session.request(), path, OPTIONS, note)
    path = result_of(work).path
    return path, np.asarray(Image.open(path))


@pytest.fixture
def artist(new, generator_file):  # noqa: F811
    """A session in which much has been set."""
    session = new(generator_file)
    weights = session.opened.fingerprint
    push = Push("Smile", Values.of(np.linspace(-1, 1, 14)), 0.8, first=1, source="pca:0")
    session.latent = LatentSettings(
        seed=3, x=0.21, y=-0.43, psi=0.9, space="Z", pushes=(push,), weights=weights
    )
    session.rig = OrbitRig(0.4, 0.1, 2.2, (0.05, 0.0, 0.0))
    session.view = ViewSettings(background=(0.2, 0.4, 0.1), splat_scale=1.2)
    session.document = replace(
        session.document, bookmarks=(Bookmark("Mine", session.latent, weights),)
    )
    code = "gs._features_dc = gs._features_dc * 0.5"
    session.edits = session.edits.added(CodeEdit(code=code))
    session.editing.history.agree(code)
    settle(session)
    assert not session.banner, said(session)
    return session


def test_opening_a_picture_brings_back_the_identical_picture(artist, new, tmp_path):  # noqa: F811
    path, pixels = picture(artist, tmp_path / "one.png")

    other = new(artist.scene.path)
    other.editing.history.agree(artist.edits.edits[0].code)
    mine = (Bookmark("Theirs", LatentSettings(), ""),)
    other.document = replace(other.document, bookmarks=mine)
    other.open(path)
    settle(other)
    _, again = picture(other, tmp_path / "two.png")

    assert (pixels == again).all()
    assert np.ptp(pixels) > 50
    assert other.document == replace(artist.document, bookmarks=mine)
    assert other.project.path is None, "a picture is no project"


def test_it_is_one_step_of_undo(artist, new, tmp_path):  # noqa: F811
    path, _ = picture(artist, tmp_path / "one.png")
    before = artist.document
    artist.latent = LatentSettings(seed=8)
    artist.edits = type(artist.edits)()
    settle(artist)
    changed = artist.document
    artist.open(path)
    settle(artist)
    assert artist.document == before
    artist.undo()
    assert artist.document == changed


def test_code_in_a_picture_from_elsewhere_waits_for_the_user_s_word(artist, new, tmp_path):  # noqa: F811
    artist.edits = artist.edits.changed(replace(artist.edits.edits[0], code="gs._opacity = 1 / 0"))
    artist.editing.history.agree(artist.edits.edits[0].code)
    path, _ = picture_without_drawing(artist, tmp_path / "evil.png")
    other = new(artist.scene.path)
    other.open(path)
    settle(other)
    assert not other.banner, "it did not run"
    assert [edit.code for edit in other.editing.waiting(other.edits)] == ["gs._opacity = 1 / 0"]


def picture_without_drawing(session, path):
    """A picture that holds a session's note, whatever it shows."""
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    for key, words in files.picture_text(session.project.note()).items():
        text.add_text(key, words)
    Image.new("RGB", (3, 2)).save(path, pnginfo=text)
    return path, None


def test_a_picture_of_a_generator_that_is_not_here_asks_for_it(artist, new, tmp_path):  # noqa: F811
    path, _ = picture(artist, tmp_path / "one.png")
    other = new()
    other.open(path)
    settle(other)
    assert other.project.missing.reference.name == "small.safetensors"
    other.project.locate(type(path)(artist.scene.path))
    settle(other)
    assert other.latent == artist.latent


def test_a_head_s_comments_bring_it_back_as_well(artist, new, tmp_path):  # noqa: F811
    note = artist.project.note()
    work = save_head(artist.pipeline, artist.request(), tmp_path / "h.ply", "raw", note)
    path = result_of(work).path
    assert read_ply(path).count == artist.result.summary.splats
    header = path.read_bytes().split(b"end_header")[0].decode()
    assert max(len(line) for line in header.splitlines()) < 1000

    other = new(artist.scene.path)
    other.project.open(path)
    settle(other)

    assert other.document == replace(artist.document, bookmarks=())


def test_a_note_too_long_for_a_head_is_left_out():
    assert ply_comments("x" * 399_999)
    assert ply_comments("x" * 400_001) == {}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "does not exist"),
        (b"", "not a PNG"),
        (b"GIF89a", "not a PNG"),
        (b"\x89PNG\r\n\x1a\n", "does not say how it was made"),
        (b"\x89PNG\r\n\x1a\n" + b"\xff\xff\xff\xfftEXt", "does not say how it was made"),
        (b"\x89PNG\r\n\x1a\n" + b"\0\0\0\x0btEXtsplathead\0{", "damaged text"),
        (b"\x89PNG\r\n\x1a\n" + b"\0\0\0\x0dtEXtsplathead\0[1]", "damaged text"),
        (b"\x89PNG\r\n\x1a\n" + b"\0\0\0\x0ctEXtsplathead\0{}", "cannot be understood"),
    ],
)
def test_a_picture_without_a_proper_note_is_a_sentence(content, said, tmp_path):
    path = tmp_path / "x.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LoadError, match=said):
        read_note(path)


def test_a_head_of_others_is_a_sentence(head_ply):
    with pytest.raises(LoadError, match="does not say how it was made"):
        read_note(head_ply)


def test_an_array_that_is_no_number_is_refused(artist, tmp_path):
    note = artist.project.note()
    shown = '"float32":"'
    place = note.index(shown) + len(shown)
    broken = note[:place] + "AADAfw" + note[place + 6 :]  # NaN as float32, in base64
    text = files.picture_text(broken)
    assert list(text) == ["splathead"]
    chunk = b"splathead\0" + broken.encode()
    path = tmp_path / "nan.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + len(chunk).to_bytes(4, "big") + b"tEXt" + chunk)
    with pytest.raises(LoadError, match="not finite"):
        read_note(path)


def test_the_command_line_draws_a_project_and_a_picture_again(
    artist, tmp_path, monkeypatch, capsys
):
    import main

    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["main.py", *map(str, arguments)])
        return main.main()

    strange = replace(artist.edits.edits[0], code="gs._opacity = gs._opacity - 2.75")
    artist.edits = artist.edits.changed(strange)
    artist.project.save(tmp_path / "day.splathead")
    settle(artist)
    size = ("--size", 61, 43, "--supersampling", 2, "--backend", "torch")

    assert call("--model", tmp_path / "day.splathead", *size, "--png", tmp_path / "p.png") == 2
    assert "scripts that have not run here" in capsys.readouterr().err

    artist.edits = type(artist.edits)()
    artist.project.save()
    settle(artist)
    first, pixels = picture(artist, tmp_path / "plain.png")
    assert call("--model", tmp_path / "day.splathead", *size, "--png", tmp_path / "a.png") == 0
    assert call("--model", first, *size, "--png", tmp_path / "b.png") == 2, "its model is elsewhere"
    assert "small.safetensors is not where it was" in capsys.readouterr().err
    assert (np.asarray(Image.open(tmp_path / "a.png")) == pixels).all()
