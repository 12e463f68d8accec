"""Saving: the right pixels, nothing overwritten, and nothing left behind when it does not work."""

from __future__ import annotations

import math
import os
from dataclasses import replace

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from renderer import files
from renderer.camera import OrbitRig
from renderer.errors import SaveError
from renderer.formats.ply import PROFILES, read_ply
from renderer.rasterize import MAX_SIDE
from splatviz_app.engine import Engine, JobState
from splatviz_app.export import PictureOptions, save_head, save_picture
from splatviz_app.pipeline import Pipeline, RenderRequest, ViewSettings
from splatviz_app.scenes import Library, OpenedPly, PlyHead, drawing_device
from tests.conftest import some_splats
from tests.steps import result_of

W, H = 36, 20  # px
SCENE = PlyHead("head.ply")
VIEW = ViewSettings(background=(0.2, 0.5, 0.9))


def showing(gaussians, view=VIEW):
    """A pipeline that knows one head, and a request for it at another size than is saved."""
    library = Library()
    library.add(SCENE, OpenedPly(gaussians.to(drawing_device())))
    rig = OrbitRig(yaw=0.3, pitch=0.2)
    return Pipeline(library), RenderRequest(SCENE, None, rig, view, (64, 64))


@pytest.fixture
def shown():
    return showing(some_splats())


def pixels(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image).astype(np.float64) / 255


def save(shown, path, **options):
    """Save a picture and return its pixels in [0, 1]."""
    pipeline, request = shown
    options = PictureOptions(**({"size": (W, H)} | options))
    return pixels(result_of(save_picture(pipeline, request, path, options)).path)


# ---- pictures


@pytest.mark.parametrize("size", [(36, 20), (20, 36), (1, 1), (33, 17)])
def test_a_picture_has_the_size_that_was_asked_for(shown, tmp_path, size):
    assert save(shown, tmp_path / "a.png", size=size).shape == (size[1], size[0], 3)


def test_the_picture_is_what_the_window_would_show_at_that_size(shown, tmp_path):
    pipeline, request = shown

    saved = save(shown, tmp_path / "a.png")

    seen = pipeline(replace(request, size=(W, H))).image[..., :3] / 255
    np.testing.assert_array_equal(saved, seen)


def test_a_transparent_picture_laid_on_any_colour_is_the_opaque_picture(tmp_path):
    shown = showing(some_splats())

    rgba = save(shown, tmp_path / "a.png", transparent=True)

    assert rgba.shape == (H, W, 4)
    color, alpha = rgba[..., :3], rgba[..., 3:]
    assert alpha.min() == 0
    assert alpha.max() > 0.5
    for background in ((0.2, 0.5, 0.9), (0.0, 0.0, 0.0), (1.0, 0.0, 1.0)):
        opaque = save(
            showing(some_splats(), ViewSettings(background=background)), tmp_path / "b.png"
        )
        # Straight colour times alpha is off by half a step of each; colours above 1 are cut first.
        unclipped = (color < 1).all(-1)
        assert unclipped.mean() > 0.9
        composed = color * alpha + np.array(background) * (1 - alpha)
        difference = np.abs(composed - opaque)[unclipped]
        assert difference.max() <= 1.6 / 255


def test_the_colour_of_a_transparent_picture_does_not_darken_towards_the_edge(tmp_path):
    red = some_splats(1)
    red.means[:] = 0.0
    red.log_scales[:] = math.log(0.08)
    red.sh[:] = torch.tensor([0.8, 0.2, 0.4]).sub(0.5).div(0.28209479)

    rgba = save(showing(red), tmp_path / "a.png", transparent=True)

    faint = (rgba[..., 3] > 0.1) & (rgba[..., 3] < 0.5)
    assert faint.sum() > 10
    # One step in 255 of the straight colour.
    np.testing.assert_allclose(
        rgba[faint][:, :3], np.broadcast_to([0.8, 0.2, 0.4], (faint.sum(), 3)), atol=1.1 / 255
    )


def test_coverage_and_depth_are_opaque_even_if_transparency_is_wished(tmp_path):
    for mode in ("alpha", "depth"):
        shown = showing(some_splats(), ViewSettings(mode=mode))
        assert save(shown, tmp_path / "a.png", transparent=True).shape == (H, W, 3)


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("transparent", [False, True])
def test_supersampling_is_averaging_a_larger_picture(shown, tmp_path, factor, transparent):
    large = save(shown, tmp_path / "l.png", size=(W * factor, H * factor), transparent=transparent)
    fine = save(shown, tmp_path / "f.png", supersampling=factor, transparent=transparent)

    if transparent:  # averages of premultiplied colour
        large[..., :3] *= large[..., 3:]
        fine[..., :3] *= fine[..., 3:]
    blocks = large.reshape(H, factor, W, factor, -1).mean(axis=(1, 3))
    assert fine.shape == blocks.shape
    # Both are rounded to 8 bits; premultiplied ones twice. Cut colours do not average.
    unclipped = (large < 1).reshape(H, factor, W, factor, -1).all(axis=(1, 3))
    difference = np.abs(fine - blocks)[unclipped]
    assert difference.max() <= (2.1 if transparent else 1.1) / 255


def test_a_checker_is_as_coarse_in_a_supersampled_picture(tmp_path):
    shown = showing(some_splats(), ViewSettings(checker=True))

    plain = save(shown, tmp_path / "a.png")
    fine = save(shown, tmp_path / "b.png", supersampling=2)

    np.testing.assert_array_equal(plain[0, :5], fine[0, :5])
    np.testing.assert_array_equal(plain[0, -5:], fine[0, -5:])


def test_saving_is_always_exact(shown, tmp_path):
    pipeline, request = shown
    asked = []
    active = pipeline.active
    pipeline.active = lambda request: asked.append(request.precision) or active(request)

    work = save_picture(
        pipeline, replace(request, precision="fast"), tmp_path / "a.png", PictureOptions((W, H))
    )
    result_of(work)

    assert asked == ["float32"]


def test_progress_only_grows_and_says_what_is_done(shown, tmp_path):
    pipeline, request = shown

    steps = list(
        save_picture(pipeline, request, tmp_path / "a.png", PictureOptions((W, H), False, 2))
    )

    assert [step.done for step in steps] == list(range(len(steps)))
    assert {step.total for step in steps} == {len(steps)}
    assert "72 x 40" in steps[1].message
    assert "a.png" in steps[-1].message


# ---- names


def test_nothing_is_ever_overwritten(shown, tmp_path):
    path = tmp_path / "head.png"
    path.write_bytes(b"precious")
    pipeline, request = shown

    names = [
        result_of(save_picture(pipeline, request, path, PictureOptions((W, H)))).path.name
        for _ in range(3)
    ]

    assert names == ["head-2.png", "head-3.png", "head-4.png"]
    assert path.read_bytes() == b"precious"


def test_no_head_is_ever_overwritten(shown, tmp_path):
    path = tmp_path / "head.ply"
    path.write_bytes(b"precious")
    pipeline, request = shown

    saved = result_of(save_head(pipeline, request, path, "raw"))

    assert saved.path == tmp_path / "head-2.ply"
    assert path.read_bytes() == b"precious"
    assert "head-2.ply" in saved.sentence


# ---- what cannot be saved


@pytest.mark.parametrize("size", [(MAX_SIDE + 1, 10), (10, MAX_SIDE + 1), (0, 10), (10, -3)])
def test_a_size_that_no_picture_has_is_a_sentence(shown, tmp_path, size):
    pipeline, request = shown

    with pytest.raises(SaveError, match=r"choose 1 to 16384 on each side") as caught:
        result_of(save_picture(pipeline, request, tmp_path / "a.png", PictureOptions(size)))

    assert f"{size[0]} x {size[1]}" in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_supersampling_counts_towards_the_size(shown, tmp_path):
    pipeline, request = shown
    options = PictureOptions((MAX_SIDE // 2, 10), supersampling=4)

    with pytest.raises(SaveError, match="on each side"):
        result_of(save_picture(pipeline, request, tmp_path / "a.png", options))


def test_a_picture_beyond_the_memory_is_a_sentence_before_anything_is_drawn(
    shown, tmp_path, monkeypatch
):
    pipeline, request = shown
    free = psutil.virtual_memory()._replace(available=100_000_000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)

    work = save_picture(pipeline, request, tmp_path / "a.png", PictureOptions((8000, 8000)))
    with pytest.raises(SaveError, match=r"GB of memory and 0\.1 GB are free"):
        next(work)

    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["missing/a", "file/a"])
def test_a_folder_that_cannot_be_written_is_a_sentence(shown, tmp_path, name):
    (tmp_path / "file").write_text("not a folder")
    pipeline, request = shown

    for work in (
        save_picture(pipeline, request, tmp_path / f"{name}.png", PictureOptions((W, H))),
        save_head(pipeline, request, tmp_path / f"{name}.ply", "raw"),
    ):
        with pytest.raises(SaveError, match="its folder does not exist"):
            result_of(work)

    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_write_protected_folder_is_a_sentence(shown, tmp_path):
    pipeline, request = shown
    tmp_path.chmod(0o500)

    with pytest.raises(SaveError, match="not permitted"):
        result_of(save_head(pipeline, request, tmp_path / "a.ply", "raw"))


def test_a_full_disk_leaves_nothing_behind(shown, tmp_path, monkeypatch):
    def full(_file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    pipeline, request = shown

    for work in (
        save_picture(pipeline, request, tmp_path / "a.png", PictureOptions((W, H))),
        save_head(pipeline, request, tmp_path / "a.ply", "raw"),
    ):
        with pytest.raises(SaveError, match="the disk is full"):
            result_of(work)

    assert os.listdir(tmp_path) == []


def test_a_head_without_splats_leaves_nothing_behind(tmp_path):
    head = some_splats()
    head.means[:] = math.nan
    pipeline, request = showing(head)

    with pytest.raises(SaveError, match="no splats are left"):
        result_of(save_head(pipeline, request, tmp_path / "a.ply", "raw"))

    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 4])
def test_cancelling_before_the_file_is_written_leaves_nothing_behind(shown, tmp_path, steps):
    pipeline, request = shown
    engine = Engine(pipeline)
    job = engine.start_job(
        "Save", save_picture(pipeline, request, tmp_path / "a.png", PictureOptions((W, H)))
    )
    for _ in range(steps):
        engine.step()

    job.cancel()
    engine.drain()

    assert job.state is JobState.CANCELLED
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_cancelling_a_head_before_it_is_written_leaves_nothing_behind(shown, tmp_path, steps):
    pipeline, request = shown
    engine = Engine(pipeline)
    job = engine.start_job("Save", save_head(pipeline, request, tmp_path / "a.ply", "raw"))
    for _ in range(steps):
        engine.step()

    job.cancel()
    engine.drain()

    assert job.state is JobState.CANCELLED
    assert os.listdir(tmp_path) == []


# ---- heads


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("bases", [1, 4])
def test_a_saved_head_read_again_is_the_same_picture(tmp_path, profile, bases):
    pipeline, request = showing(some_splats(bases=bases))
    before = pipeline(request).image

    saved = result_of(save_head(pipeline, request, tmp_path / "a.ply", profile))

    after, _ = showing(read_ply(saved.path))
    np.testing.assert_array_equal(after(request).image, before)


def test_a_head_for_unity_has_z_mirrored_in_the_file(shown, tmp_path):
    pipeline, request = shown

    saved = result_of(save_head(pipeline, request, tmp_path / "a.ply", "unity"))

    in_the_file = read_ply(saved.path, frame="")
    expected = some_splats().means * torch.tensor([1.0, 1.0, -1.0])
    assert torch.equal(in_the_file.means, expected)
    assert "for Unity" in saved.sentence


def test_the_splat_scale_of_the_view_is_not_saved(tmp_path):
    pipeline, request = showing(some_splats(), ViewSettings(splat_scale=3.0))
    pipeline(request)

    saved = result_of(save_head(pipeline, request, tmp_path / "a.ply", "raw"))

    assert torch.equal(read_ply(saved.path).log_scales, some_splats().log_scales)


def test_broken_splats_are_left_out_and_counted(tmp_path):
    head = some_splats()
    head.means[3] = math.nan
    pipeline, request = showing(head)

    saved = result_of(save_head(pipeline, request, tmp_path / "a.ply", "raw"))

    assert ", 1 broken splat left out" in saved.sentence
    assert read_ply(saved.path).count == 6
