"""The command line: the verbs that need no window, in a process of their own or called directly."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import main
from models.checkpoint import save_generator
from models.delta import Tuning, delta_between, read_delta, write_delta
from models.latents import LatentSettings
from renderer.camera import OrbitRig
from renderer.formats.ply import read_ply
from renderer.rasterize import rasterize
from renderer.tonemap import to_bytes
from splatviz_app import scenes
from splatviz_app.export import PictureOptions, save_picture
from splatviz_app.pipeline import Pipeline, RenderRequest, ViewSettings
from splatviz_app.preferences import Preferences
from splatviz_app.scenes import Library, open_scene, scene_for
from splatviz_app.session import new_session
from tests.app.photos import plain_picture
from tests.models.small import small_generator
from tests.steps import result_of

MAIN = Path(main.__file__)


def run(folder, *arguments):
    """Run the program in `folder`, without a screen."""
    env = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    command = [sys.executable, str(MAIN), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=240)


@pytest.fixture
def call(monkeypatch, tmp_path):
    """Call the program in an empty folder; returns its exit code."""
    monkeypatch.chdir(tmp_path)

    def calling(*arguments):
        monkeypatch.setattr(sys, "argv", ["main.py", *map(str, arguments)])
        return main.main()

    return calling


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


# ---- in a process of its own


def test_a_generator_gives_a_picture_and_a_head_without_a_window(tmp_path, generator_file):
    done = run(
        tmp_path, "--model", generator_file, "--seed", 3, "--at", 0.3, "-0.2", "--psi", 0.6,
        "--yaw", "-20", "--size", 40, 24, "--png", "out.png", "--ply", "out.ply", "--profile", "raw",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "Saved out.png (40 x 24)" in done.stdout
    assert "Saved out.ply" in done.stdout
    assert "Traceback" not in done.stderr
    # The same head as the window would show.
    request = RenderRequest(
        scene_for(generator_file), LatentSettings(seed=3, x=0.3, y=-0.2, psi=0.6),
        OrbitRig(yaw=math.radians(-20)), ViewSettings(), (40, 24),
    )  # fmt: skip
    pipeline = Pipeline(Library())
    expected = pipeline(request).image[..., :3].astype(int)
    # Another process may sum in another order; nothing more.
    assert np.abs(pixels(tmp_path / "out.png").astype(int) - expected).max() <= 1
    torch.testing.assert_close(
        read_ply(tmp_path / "out.ply").means, pipeline.gaussians(request).means.cpu()
    )


def test_a_missing_file_is_a_sentence_and_the_exit_code_2(tmp_path):
    done = run(tmp_path, "--model", "nowhere.ply", "--png", "out.png")

    assert done.returncode == 2
    assert "nowhere.ply does not exist" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert os.listdir(tmp_path) == []


def test_without_a_display_it_says_what_can_be_done_and_draws_the_head(tmp_path, head_ply):
    folder = tmp_path / "elsewhere"
    folder.mkdir()

    done = run(folder, "--model", head_ply, "--size", 40, 24)

    assert done.returncode == 0, done.stderr
    assert "no display" in done.stdout
    assert "--png out.png" in done.stdout
    assert pixels(folder / "out" / "head.png").shape == (24, 40, 3)


def test_without_a_display_a_folder_that_cannot_be_made_is_a_sentence(tmp_path, head_ply):
    (tmp_path / "out").write_text("a file, where the folder would be")

    done = run(tmp_path, "--model", head_ply, "--size", 40, 24)

    assert done.returncode == 2
    assert (
        done.stderr.strip()
        == "out cannot be created (File exists). Choose another place with --png."
    )


# ---- called directly


def test_the_help_shows_worked_examples(call, capsys):
    with pytest.raises(SystemExit) as exit_:
        call("--help")

    said = capsys.readouterr().out
    assert exit_.value.code == 0
    assert "--seed 3 --psi 0.7 --png out.png --ply out.ply" in said
    assert "--screenshot window.png" in said


@pytest.mark.parametrize(
    "arguments",
    [["--no-such-thing"], ["--size", "40"], ["--seed", "many"], ["--profile", "blender"]],
)
def test_arguments_that_mean_nothing_end_with_the_exit_code_2(call, capsys, arguments):
    with pytest.raises(SystemExit) as exit_:
        call(*arguments)

    assert exit_.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_head_from_the_side_is_drawn_from_the_side(call, head_ply, head, tmp_path):
    code = call(
        "--model", head_ply, "--yaw", 40, "--pitch", 10, "--radius", 2, "--size", 33, 20,
        "--png", "side.png",
    )  # fmt: skip

    rig = OrbitRig(yaw=math.radians(40), pitch=math.radians(10), radius=2.0)
    expected = rasterize(head, rig.camera(), (33, 20), background=torch.ones(3))
    assert code == 0
    difference = pixels(tmp_path / "side.png").astype(int) - to_bytes(expected.color)
    assert np.abs(difference).max() <= 1  # where a GPU draws it, it rounds otherwise


def test_a_transparent_fine_picture_is_the_one_that_save_picture_makes(call, head_ply, tmp_path):
    code = call(
        "--model", head_ply, "--size", 30, 20, "--transparent", "--supersampling", 2,
        "--png", "out.png",
    )  # fmt: skip

    request = RenderRequest(scene_for(head_ply), None, OrbitRig(), ViewSettings(), (8, 8))
    options = PictureOptions((30, 20), transparent=True, supersampling=2)
    list(save_picture(Pipeline(Library()), request, tmp_path / "again.png", options))
    assert code == 0
    assert pixels(tmp_path / "out.png").shape == (20, 30, 4)
    np.testing.assert_array_equal(pixels(tmp_path / "out.png"), pixels(tmp_path / "again.png"))


def test_the_profile_chooses_the_axes_of_the_file(call, head_ply, head, tmp_path):
    assert call("--model", head_ply, "--ply", "unity.ply") == 0
    assert call("--model", head_ply, "--ply", "raw.ply", "--profile", "raw") == 0

    mirror = torch.tensor([1.0, 1.0, -1.0])
    assert torch.equal(read_ply(tmp_path / "unity.ply", frame="").means, head.means * mirror)
    assert torch.equal(read_ply(tmp_path / "raw.ply", frame="").means, head.means)


def test_only_what_was_asked_for_is_made_and_nothing_is_overwritten(call, head_ply, tmp_path):
    (tmp_path / "out.ply").write_bytes(b"precious")
    before = set(os.listdir(tmp_path))

    assert call("--model", head_ply, "--ply", "out.ply") == 0

    assert set(os.listdir(tmp_path)) - before == {"out-2.ply"}
    assert (tmp_path / "out.ply").read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--png", "nowhere/out.png"], "its folder does not exist"),
        (["--png", "out.png", "--size", "99999", "10"], "choose 1 to 16384 on each side"),
        (["--png", "out.png", "--seed", "-1"], "seed"),
        (["--png", "out.png", "--seed", "4294967296"], "seed"),
        (["--png", "out.png", "--psi", "nan"], "psi"),
        (["--png", "out.png", "--at", "0", "inf"], "map"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(call, capsys, head_ply, arguments, sentence):
    assert call("--model", head_ply, *arguments) == 2

    said = capsys.readouterr().err
    assert sentence in said
    assert "Traceback" not in said


@pytest.mark.skipif(torch.cuda.is_available(), reason="it can run here")
def test_a_rasterizer_that_cannot_run_here_is_a_sentence(call, capsys, head_ply):
    assert call("--model", head_ply, "--png", "out.png", "--backend", "gsplat") == 2

    assert "choose the cpu rasterizer" in capsys.readouterr().err


def test_the_bundled_generator_is_shown_when_no_model_is_given(
    call, tmp_path, generator_file, monkeypatch
):
    bundled = scenes.BUILT_IN | {"Demo generator": Path(generator_file)}
    monkeypatch.setattr(scenes, "BUILT_IN", bundled)
    look = ("--seed", 3, "--size", 40, 24)
    assert call("--png", "bundled.png", *look) == 0
    assert call("--png", "asked.png", *look, "--model", generator_file) == 0

    assert np.array_equal(pixels(tmp_path / "bundled.png"), pixels(tmp_path / "asked.png"))


def test_without_it_the_sample_head_is_shown_when_no_model_is_given(call, tmp_path, monkeypatch):
    absent = {"Demo generator": tmp_path / "none.safetensors", "Sample head": scenes.SAMPLE_HEAD}
    monkeypatch.setattr(scenes, "BUILT_IN", absent)
    assert call("--png", "out.png", "--size", 96, 64) == 0

    image = pixels(tmp_path / "out.png")
    assert image.shape == (64, 96, 3)
    assert (image[0] == 255).all()  # white above it
    covered = (image < 250).any(-1)
    assert 0.15 < covered.mean() < 0.8  # a head fills the middle
    assert covered[24:40, 40:56].all()


# ---- tunings


@pytest.fixture
def tuning(tmp_path):
    """A file of a tuning of the small generator, which moves its head."""
    base, tuned = small_generator(), small_generator()
    with torch.no_grad():
        tuned.point_gen._xyz += 0.5
        for layer in tuned.point_gen.anchors["xyz"]:
            layer.bias += 0.6
    path = tmp_path / "ada.tuning.safetensors"
    write_delta(path, delta_between(base, tuned, name="Ada"))
    return path


def test_a_tuned_head_is_made_and_without_strength_it_is_the_plain_one(
    call, generator_file, tuning, tmp_path
):
    common = ("--model", generator_file, "--seed", 3, "--profile", "raw")
    assert call(*common, "--ply", "plain.ply") == 0
    assert call(*common, "--ply", "tuned.ply", "--tuning", tuning) == 0
    assert call(*common, "--ply", "none.ply", "--tuning", tuning, "--tuning-strength", 0) == 0

    plain, tuned, none = (
        read_ply(tmp_path / f"{name}.ply").means for name in ("plain", "tuned", "none")
    )
    assert torch.equal(plain, none)
    assert (plain - tuned).abs().max() > 0.05


def test_a_tuning_that_cannot_be_added_is_a_sentence(
    call, capsys, generator_file, head_ply, tuning, tmp_path
):
    other = tmp_path / "other.safetensors"
    save_generator(other, small_generator(seed=1))
    for arguments, words in (
        (("--model", other, "--tuning", tuning), "another generator"),
        (("--model", head_ply, "--tuning", tuning), "--model"),
        (("--model", tuning), "is a tuning"),
        (("--model", generator_file, "--tuning", "nowhere.safetensors"), "does not exist"),
        (("--model", generator_file, "--tuning", generator_file), "no tuning"),
        (("--model", generator_file, "--tuning", tuning, "--tuning-strength", 2), "0 to 1"),
    ):
        assert call(*arguments, "--png", "out.png") == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "out.png").exists()


def test_a_project_is_drawn_tuned_as_it_was_saved(call, generator_file, tuning, tmp_path):
    session = new_session(Preferences())
    result_of(open_scene(scene_for(generator_file), session.library))
    session.document = replace(
        session.document,
        scene=scene_for(generator_file),
        tuning=Tuning(read_delta(tuning), 0.5),
    )
    request = session.request()
    expected = session.pipeline.gaussians(request).means
    session.project.save(tmp_path / "day.splathead")
    while session.project.is_saving:
        session.project.poll()

    assert call("--model", "day.splathead", "--ply", "out.ply", "--profile", "raw") == 0

    torch.testing.assert_close(read_ply(tmp_path / "out.ply").means, expected)


def test_the_window_opens_a_photo_beside_the_generator_that_is_to_make_its_head(
    call, generator_file, tmp_path, monkeypatch
):
    pytest.importorskip("imgui_bundle")
    photo = tmp_path / "ada.jpg"
    photo.write_bytes(plain_picture())
    monkeypatch.setattr(scenes, "first_head", lambda: generator_file)
    seen = []

    def runs(session, parts, options):
        for _ in range(20):
            session.update(1 / 60)
            session.engine.drain()
        seen.append(session)

    monkeypatch.setattr("splatviz_app.window.run_window", runs)

    assert call("--fresh", "--model", photo, "--screenshot", "out.png") == 0

    (session,) = seen
    assert session.scene == scene_for(generator_file)
    assert [photo.name for photo in session.inversion.photos] == ["ada.jpg"]
    assert session.wants_panel == "Inversion"
