"""Scenes are names; the library holds what is behind them."""

import os
import sys

import pytest
import torch

from renderer import cpu_backend, gsplat_backend
from renderer.errors import LoadError
from renderer.formats.ply import PROFILES, write_ply
from splatviz_app import scenes
from splatviz_app.scenes import (
    GanHead,
    Library,
    OpenedGenerator,
    OpenedPly,
    PlyHead,
    compile_rasterizer,
    first_head,
    is_built_in,
    open_scene,
    scene_for,
    title_of,
)
from tests.conftest import some_splats
from tests.steps import steps_and_result


def opened(count=7):
    return OpenedPly(some_splats(count))


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


def test_the_first_head_that_comes_with_the_program_and_is_there_opens_by_itself(
    monkeypatch, tmp_path, head_ply
):
    demo = tmp_path / "generator.safetensors"
    monkeypatch.setattr(scenes, "BUILT_IN", {"Demo generator": demo, "Sample head": head_ply})
    assert first_head() == head_ply

    demo.touch()

    assert first_head() == demo


def test_what_comes_with_the_program_has_a_title_and_other_files_their_name(head_ply):
    assert [title_of(path) for path in scenes.BUILT_IN.values()] == [
        "Demo generator",
        "Sample head",
    ]
    assert title_of(scene_for(scenes.SAMPLE_HEAD).path) == "Sample head"
    assert title_of(head_ply) == head_ply.name
    assert is_built_in(str(scenes.SAMPLE_HEAD))
    assert not is_built_in(head_ply)


def test_the_same_file_is_the_same_scene_until_it_changes(head_ply):
    before = scene_for(head_ply)
    assert scene_for(str(head_ply)) == before

    os.utime(head_ply, ns=(1, 1))

    assert scene_for(head_ply) != before
    assert scene_for(head_ply).path == before.path


def test_opening_a_ply_reads_all_its_splats_and_reports_where_it_stands(head_ply, head):
    library, scene = Library(), scene_for(head_ply)

    steps, result = steps_and_result(open_scene(scene, library))

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

    steps_and_result(open_scene(scene, library))

    found = library.find(scene)
    assert isinstance(found, OpenedGenerator)
    assert found.loaded.generator.z_dim == 10
    assert found.summary is found.loaded.summary


@pytest.mark.parametrize("name", ["missing.ply", "missing.safetensors", "missing.pkl"])
def test_a_missing_file_is_a_sentence_and_leaves_the_library_as_it_was(tmp_path, name):
    library = Library()
    scene = scene_for(tmp_path / name)

    with pytest.raises(LoadError, match=name):
        steps_and_result(open_scene(scene, library))

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


# ---- the first run on a machine


@pytest.fixture
def compiler(monkeypatch, tmp_path):
    """Take a shell script for Python, and this machine for one that has compiled nothing."""

    def taking(script):
        python = tmp_path / "python"
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(python))

    monkeypatch.setattr(scenes, "default_backend", lambda device: "cpu")
    monkeypatch.setattr(cpu_backend, "is_compiled", lambda gradients: False)
    return taking


posix = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")


@posix
def test_the_rasterizer_is_compiled_aside_and_says_how_far_it_is(compiler, tmp_path):
    compiler(f'echo "$2" > "{tmp_path}/asked"; sleep 0.2')

    steps = list(compile_rasterizer())

    assert "renderer.cpu_backend" in (tmp_path / "asked").read_text()
    done = [step.done for step in steps]
    assert len(done) > 1
    assert done == sorted(done)
    assert done[-1] < steps[-1].total
    assert all("Compiling" in step.message for step in steps)


@posix
def test_cancelling_ends_the_compiler_and_what_it_started(compiler, tmp_path):
    # The inner shell holds the pipe open for as long as it lives.
    os.mkfifo(tmp_path / "alive")
    compiler(f'sh -c "sleep 60; :" > "{tmp_path}/alive"; :')
    work = compile_rasterizer()
    next(work)
    with open(tmp_path / "alive") as alive:  # waits until it has begun
        work.close()
        assert alive.read() == ""  # waits until it has ended


def test_what_is_compiled_is_not_compiled_again(monkeypatch):
    monkeypatch.setattr(scenes, "default_backend", lambda device: "cpu")
    monkeypatch.setattr(cpu_backend, "is_compiled", lambda gradients: not gradients)

    assert list(compile_rasterizer()) == []


@posix
def test_gradients_are_compiled_aside_when_they_are_wanted(compiler, monkeypatch, tmp_path):
    compiler(f'echo "$2" > "{tmp_path}/asked"')
    monkeypatch.setattr(cpu_backend, "is_compiled", lambda gradients: not gradients)

    list(compile_rasterizer(gradients=True))

    assert "warm_up(gradients=True)" in (tmp_path / "asked").read_text()


def test_the_kernels_of_a_gpu_are_looked_for_where_gsplat_puts_them(monkeypatch, tmp_path):
    pytest.importorskip("gsplat")
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    monkeypatch.setattr(scenes, "default_backend", lambda device: "gsplat")
    assert not gsplat_backend.is_compiled()
    (built,) = tmp_path.rglob("gsplat_cuda")

    (built / "gsplat_cuda.so").touch()

    assert gsplat_backend.is_compiled()
    assert list(compile_rasterizer()) == []
