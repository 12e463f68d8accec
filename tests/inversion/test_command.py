"""`python -m inversion`: what it writes, what it keeps after Ctrl+C, and that nothing is overwritten."""

import json
import math
import signal

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from examples.inversion_pictures import sheet_of
from inversion import command
from inversion.__main__ import main
from inversion.alignment import Alignment
from inversion.crop import corners
from inversion.errors import InversionError
from models.checkpoint import load_generator
from models.delta import read_delta, with_delta
from models.directions import weights_hash
from renderer.formats import read_head
from splatviz_app.bookmark_jobs import read_bookmarks
from tests.steps import result_of

POINTS = (204.4, 101.4, 246.8, 104.0, 224.6, 129.1, 202.0, 139.9, 245.3, 142.1)  # of the astronaut
QUICK = [
    "--latent.steps=3", "--latent.candidates=3", "--latent.resolution=32", "--tuning.steps=2",
    "--tuning.resolution=32", "--size=64",
]  # fmt: skip


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "eileen.png"
    Image.fromarray(astronaut()).save(path)
    return path


@pytest.fixture
def by_hand():
    return ["--points", *map(str, POINTS)]


def run(*arguments):
    return main([str(argument) for argument in arguments])


def report_of(folder, name="report.json"):
    return json.loads((folder / name).read_text())


def shape_of(path):
    return np.asarray(Image.open(path)).shape


def test_a_photo_becomes_a_head(photo, by_hand, generator_file, tmp_path, capsys):
    out = tmp_path / "new" / "out"

    assert run(photo, "--model", generator_file, "--out", out, *by_hand, *QUICK) == 0

    said = capsys.readouterr()
    assert "Latent inversion: 3 steps" in said.out
    assert "Tuning: 2 steps" in said.out
    names = {path.name for path in out.iterdir()}
    assert names == {
        "eileen.overlay.png", "eileen.crop.png", "eileen.matte.png", "eileen.inverted.png",
        "eileen.result.png", "novel.png", "head.ply", "w.npz", "head.tuning.safetensors",
        "report.json",
    }  # fmt: skip
    assert shape_of(out / "eileen.overlay.png") == (512, 512, 3)
    assert shape_of(out / "eileen.crop.png") == shape_of(out / "eileen.result.png") == (64, 64, 3)
    assert shape_of(out / "eileen.matte.png") == (64, 64)
    assert shape_of(out / "novel.png") == (32, 8 * 32, 3)
    assert set(report_of(out)["files"]) == names


def test_the_files_belong_together(photo, by_hand, generator_file, tmp_path):
    out = tmp_path / "out"
    generator = load_generator(generator_file).generator
    digest = weights_hash(generator)

    run(photo, "--model", generator_file, "--out", out, *by_hand, *QUICK)

    kept = result_of(read_bookmarks(out / "w.npz", generator, digest)).bookmarks
    assert [(b.weights, b.latent.psi) for b in kept] == [(digest, 1.0)]
    w = torch.from_numpy(kept[0].latent.kept.array())
    tuned = with_delta(generator, read_delta(out / "head.tuning.safetensors", digest))
    expected = tuned.synthesize(w[None])[0]
    found = read_head(out / "head.ply")
    assert torch.allclose(found.means, expected.means, atol=1e-6)
    assert torch.allclose(found.sh, expected.sh, atol=1e-5)
    assert not torch.allclose(found.sh, generator.synthesize(w[None])[0].sh, atol=1e-5)
    report = report_of(out)
    assert report["weights"] == digest
    (view,) = report["views"]
    assert all(math.isfinite(view[phase]["psnr"]) for phase in ("inverted", "tuned"))
    assert view["inverted"]["lpips"] is None
    assert report["latent"]["steps"] == 3


def test_only_prepare_shows_what_was_found_and_stops(photo, by_hand, generator_file, tmp_path):
    out = tmp_path / "out"

    assert (
        run(photo, "--model", generator_file, "--out", out, "--only-prepare", "--size=48", *by_hand)
        == 0
    )

    assert sorted(path.name for path in out.iterdir()) == [
        "eileen.crop.png", "eileen.matte.png", "eileen.overlay.png", "report.json",
    ]  # fmt: skip
    (found,) = report_of(out)["photos"]
    np.testing.assert_allclose(np.ravel(found["points"]), POINTS)
    assert len(found["camera"]) == 25


def test_without_tuning_there_is_no_delta(photo, by_hand, generator_file, tmp_path):
    out = tmp_path / "out"

    run(photo, "--model", generator_file, "--out", out, "--no-tuning", *by_hand, *QUICK)

    assert not (out / "head.tuning.safetensors").exists()
    assert (out / "head.ply").exists()
    assert "tuned" not in report_of(out)["views"][0]


def test_a_second_run_overwrites_nothing(photo, by_hand, generator_file, tmp_path):
    out = tmp_path / "out"
    arguments = (photo, "--model", generator_file, "--out", out, "--only-prepare", *by_hand)
    run(*arguments)
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    assert run(*arguments, "--size=40") == 0

    assert {name: (out / name).read_bytes() for name in before} == before
    assert set(report_of(out, "report-2.json")["files"]) == {
        "eileen.overlay-2.png", "eileen.crop-2.png", "eileen.matte-2.png", "report-2.json",
    }  # fmt: skip


def press_ctrl_c_at(monkeypatch, phase, step):
    """Let Ctrl+C be pressed while a phase reports a step."""
    work = getattr(command, phase)

    def interrupted(*arguments, **more):
        steps = work(*arguments, **more)
        while True:
            try:
                report = next(steps)
            except StopIteration as end:
                return end.value
            if report.done == step:
                signal.raise_signal(signal.SIGINT)
            yield report

    monkeypatch.setattr(command, phase, interrupted)


@pytest.mark.parametrize(
    ("phase", "left"), [("project", set()), ("tune", {"head.tuning.safetensors"})]
)
def test_ctrl_c_keeps_the_best_so_far(
    phase, left, photo, by_hand, generator_file, tmp_path, capsys, monkeypatch
):
    out, before = tmp_path / "out", signal.getsignal(signal.SIGINT)
    press_ctrl_c_at(monkeypatch, phase, 1)

    status = run(photo, "--model", generator_file, "--out", out, *by_hand, *QUICK)

    assert status == 130
    assert "The best head so far is in" in capsys.readouterr().err
    names = {path.name for path in out.iterdir()}
    assert {"head.ply", "w.npz", "eileen.result.png", "novel.png", "report.json"} <= names
    assert names & {"head.tuning.safetensors"} == left
    assert report_of(out)["stopped"]
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("raised", "sentence"),
    [
        (InversionError("It ran away."), "It ran away."),
        (MemoryError(), "The memory does not suffice for tuning."),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "The memory does not suffice"),
    ],
)
def test_when_tuning_fails_what_was_found_stays(
    raised, sentence, photo, by_hand, generator_file, tmp_path, capsys, monkeypatch
):
    def fails(*_, **__):
        raise raised
        yield

    monkeypatch.setattr(command, "tune", fails)
    out = tmp_path / "out"

    assert run(photo, "--model", generator_file, "--out", out, *by_hand, *QUICK) == 2

    assert sentence in capsys.readouterr().err
    assert {"head.ply", "w.npz", "eileen.result.png"} <= {path.name for path in out.iterdir()}
    assert sentence in report_of(out)["problem"]


def test_several_photos_make_one_head(photo, generator_file, tmp_path):
    second, out = tmp_path / "again.png", tmp_path / "out"
    Image.fromarray(np.ascontiguousarray(astronaut()[:, ::-1])).save(second)

    status = run(photo, second, "--model", generator_file, "--out", out, "--no-tuning", *QUICK)

    assert status == 0
    names = {path.name for path in out.iterdir()}
    assert {"eileen.result.png", "again.result.png", "head.ply"} <= names
    first, mirrored = report_of(out)["photos"]
    # Mirrored, the face looks the other way and lies in the mirrored place.
    assert mirrored["alignment"]["yaw"] == pytest.approx(
        -first["alignment"]["yaw"], abs=math.radians(3)
    )
    x, y = mirrored["alignment"]["centre"]
    assert (512 - x, y) == pytest.approx(first["alignment"]["centre"], abs=4)
    assert len(report_of(out)["views"]) == 2


def test_frames_of_a_video_are_photos(generator_file, tmp_path):
    video, out = tmp_path / "turn.mp4", tmp_path / "out"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"mp4v"), 25, (512, 512))
    frame = cv2.cvtColor(astronaut(), cv2.COLOR_RGB2BGR)
    for shift in (0, 16, 32):
        writer.write(np.roll(frame, shift, axis=1))
    writer.release()
    arguments = ("--model", generator_file, "--out", out, "--only-prepare")

    assert run(video, "--frames", 0, 2, *arguments) == 0

    first, last = report_of(out)["photos"]
    assert [first["name"], last["name"]] == ["turn-0.mp4", "turn-2.mp4"]
    moved = last["alignment"]["centre"][0] - first["alignment"]["centre"][0]
    assert moved == pytest.approx(32, abs=4)


def test_points_are_px_of_the_file_even_if_it_is_kept_smaller(generator_file, tmp_path):
    large, out = tmp_path / "large.jpg", tmp_path / "out"
    Image.fromarray(astronaut()).resize((4096, 4096)).save(large)
    points = [str(8 * value) for value in POINTS]

    run(large, "--model", generator_file, "--out", out, "--only-prepare", "--points", *points)

    (found,) = report_of(out)["photos"]
    assert found["size"] == [2048, 2048]
    np.testing.assert_allclose(np.ravel(found["points"]), 4 * np.array(POINTS))


def test_the_overlay_draws_the_crop_where_it_is(photo, by_hand, generator_file, tmp_path):
    out = tmp_path / "out"

    run(photo, "--model", generator_file, "--out", out, "--only-prepare", *by_hand)

    overlay = np.asarray(Image.open(out / "eileen.overlay.png")).astype(int)
    changed = np.abs(overlay - astronaut()).sum(2) > 60
    alignment = Alignment(**report_of(out)["photos"][0]["alignment"])
    for x, y in corners(alignment):
        near = changed[max(0, round(y) - 4) : round(y) + 4, max(0, round(x) - 4) : round(x) + 4]
        assert near.any()
    assert changed.mean() < 0.05


def test_help_explains_every_setting(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])

    assert end.value.code == 0
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for words in (
        "Photos never leave the computer",
        "--latent.steps",
        "Steps at most",
        "--no-tuning",
    ):
        assert words in said


def test_the_picture_of_docs_is_composed_of_what_a_run_leaves(generator_file, by_hand, tmp_path):
    path, out = tmp_path / "astronaut.png", tmp_path / "out"
    Image.fromarray(astronaut()).save(path)
    run(path, "--model", generator_file, "--out", out, "--no-tuning", *by_hand, *QUICK)

    sheet = np.asarray(sheet_of(out, astronaut(), 40)).astype(int)

    assert sheet.shape == (40 + 16, 7 * 40, 3)
    crop = np.asarray(Image.open(out / "astronaut.crop.png").resize((40, 40))).astype(int)
    assert np.abs(sheet[:40, 40:80] - crop).mean() < 4
    matte = sheet[:40, 80:120]
    assert matte[20, 20].min() > 250  # the face
    assert matte[2, 2].max() < 5  # the wall behind her
