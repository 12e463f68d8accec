"""Scenes are names; the library holds what is behind them."""

import os

import pytest
import torch

from renderer.errors import LoadError
from renderer.formats.ply import PROFILES, write_ply
from splatviz_app.scenes import (
    GanHead,
    Library,
    OpenedGenerator,
    OpenedPly,
    PlyHead,
    open_scene,
    scene_for,
)
from tests.conftest import some_splats


def opened(count=7):
    return OpenedPly(some_splats(count))


def finish(work):
    """Run a job to its end; its steps and its result."""
    steps = []
    while True:
        try:
            steps.append(next(work))
        except StopIteration as stop:
            return steps, stop.value


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.ply", PlyHead), ("A.PLY", PlyHead), ("b.pkl", GanHead), ("c.v2.safetensors", GanHead)],
)
def test_a_file_is_named_by_its_ending(name, kind):
    scene = scene_for(name)

    assert isinstance(scene, kind)
    assert os.path.isabs(scene.path)
    assert os.path.basename(scene.path) == name


def test_other_endings_are_a_sentence_that_names_ours():
    with pytest.raises(LoadError, match=r"\.pkl, \.safetensors, \.ply") as caught:
        scene_for("holiday.jpg")

    assert caught.value.path == "holiday.jpg"


def test_the_users_folder_may_be_written_with_a_tilde(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))

    assert scene_for("~/head.ply").path == str(tmp_path / "head.ply")


def test_the_same_file_is_the_same_scene_until_it_changes(head_ply):
    before = scene_for(head_ply)
    assert scene_for(str(head_ply)) == before

    os.utime(head_ply, ns=(1, 1))

    assert scene_for(head_ply) != before
    assert scene_for(head_ply).path == before.path


def test_opening_a_ply_reads_all_its_splats_and_reports_where_it_stands(head_ply, head):
    library, scene = Library(), scene_for(head_ply)

    steps, result = finish(open_scene(scene, library))

    assert result.scene == scene
    assert result.show
    assert torch.equal(library[scene].gaussians.means.cpu(), head.means)
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert all(step.done < step.total for step in steps)
    assert "seven.ply" in steps[0].message


def test_a_file_of_another_frame_comes_back_in_ours(tmp_path, head):
    path = tmp_path / "unity.ply"
    write_ply(path, head, PROFILES["unity"])

    assert torch.equal(Library()[scene_for(path)].gaussians.means.cpu(), head.means)


def test_a_frame_that_the_user_chose_counts(head_ply, head):
    turned = Library()[PlyHead(str(head_ply), frame="yz")].gaussians

    assert torch.equal(turned.means.cpu(), head.means * torch.tensor([1.0, -1.0, -1.0]))


def test_opening_a_generator_gives_the_network_and_what_its_file_says(generator_file):
    library, scene = Library(), scene_for(generator_file)

    finish(open_scene(scene, library))

    found = library.find(scene)
    assert isinstance(found, OpenedGenerator)
    assert found.loaded.generator.z_dim == 10
    assert found.summary is found.loaded.summary


@pytest.mark.parametrize("name", ["missing.ply", "missing.safetensors", "missing.pkl"])
def test_a_missing_file_is_a_sentence_and_leaves_the_library_as_it_was(tmp_path, name):
    library = Library()
    scene = scene_for(tmp_path / name)

    with pytest.raises(LoadError, match=name):
        finish(open_scene(scene, library))

    assert library.find(scene) is None


def test_the_library_opens_what_is_missing(head_ply):
    library, scene = Library(), scene_for(head_ply)
    assert library.find(scene) is None

    first = library[scene]

    assert library[scene] is first
    assert library.find(scene) is first


def test_the_oldest_head_is_put_away_when_there_are_too_many():
    library = Library(capacity=2)
    a, b, c = (PlyHead(name) for name in "abc")

    for scene in (a, b, c):
        library.add(scene, opened())

    assert library.find(a) is None
    assert library.find(b) is not None
    assert library.find(c) is not None


def test_a_head_that_is_opened_again_is_the_newest():
    library = Library(capacity=2)
    a, b, c = (PlyHead(name) for name in "abc")
    library.add(a, opened())
    library.add(b, opened())
    again = opened()

    library.add(a, again)
    library.add(c, opened())

    assert library.find(a) is again
    assert library.find(b) is None
