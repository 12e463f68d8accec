"""A folder of pictures: complete, labelled, continued exactly, and refused with a sentence."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from renderer.camera import Camera
from renderer.errors import LoadError, SplatheadError
from renderer.rasterize import rasterize
from training.synthetic.__main__ import main
from training.synthetic.cameras import CameraSettings, draw_cameras
from training.synthetic.dataset import DatasetSettings, latent_of, read_labels, write_dataset
from training.synthetic.stream import StreamSettings, draw_batch, stream

SETTINGS = DatasetSettings(
    count=5, resolution=24, seed=3, cameras_per_head=2, background=(0.2, 0.9, 0.4)
)


def write(model, folder, settings=SETTINGS):
    return list(write_dataset(model, folder, settings))


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


@pytest.fixture(scope="module")
def written(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("heads")
    write(model, folder)
    return folder


# ---- cameras


def test_cameras_look_at_the_middle_from_the_known_distance():
    cameras = draw_cameras(CameraSettings(), 7, np.random.RandomState(0))
    ahead = cameras.eye + 2.7 * cameras.cam_to_world[:, :3, 2]

    assert torch.allclose(ahead, torch.zeros(7, 3), atol=1e-5)
    assert torch.allclose(cameras.focal, torch.tensor(4.2647))


def test_most_cameras_stand_before_the_face_and_none_too_high():
    settings = CameraSettings(pitch_spread=0.4, pitch_limit_deg=20)
    eyes = draw_cameras(settings, 4000, np.random.RandomState(0)).eye
    yaw = torch.atan2(eyes[:, 0], eyes[:, 2])

    # 60 % are normal with 0.6 rad, the others uniform: within 0.6 rad stand 68 % and 19 % of them.
    assert (yaw.abs() < 0.6).float().mean() == pytest.approx(0.6 * 0.683 + 0.4 * 0.191, abs=0.03)
    pitch = torch.asin(eyes[:, 1] / 2.7).rad2deg()
    assert pitch.abs().max() < 20.01
    assert (pitch.abs() > 19.9).float().mean() > 0.1


# ---- the folder


def test_every_image_has_a_mask_a_label_and_attributes(written):
    names = [f"{i:05d}.png" for i in range(5)]

    assert sorted(p.name for p in (written / "24").iterdir()) == names
    assert sorted(p.name for p in (written / "mask").iterdir()) == names
    labelled, labels = read_labels(written)
    assert labelled == names
    assert labels.shape == (5, 25)
    known = json.loads((written / "attributes.json").read_text())
    assert list(known["images"]) == names
    assert [known["images"][name]["head"] for name in names] == [0, 0, 1, 1, 2]


def test_a_picture_is_the_head_seen_by_its_label(model, written):
    names, labels = read_labels(written)
    for i in (1, 4):
        head = model.head(latent_of(3, i // 2))
        background = torch.tensor(SETTINGS.background)
        seen = rasterize(head, Camera.from_label(labels[i]), (24, 24), background=background)

        picture = np.asarray(Image.open(written / "24" / names[i]))
        mask = np.asarray(Image.open(written / "mask" / names[i]))
        assert picture.shape == (24, 24, 3)
        assert mask.shape == (24, 24)
        # Labels are rounded to seven digits; 8 bits are half a step off.
        assert np.abs(picture / 255 - seen.color.permute(1, 2, 0).numpy()).max() < 1.5 / 255
        assert np.abs(mask / 255 - seen.alpha.numpy()).max() < 1.5 / 255
        assert mask.max() > 250


def test_attributes_are_those_of_the_head(model, written):
    known = json.loads((written / "attributes.json").read_text())["images"]["00003.png"]

    for name, value in model.attributes(latent_of(3, 1)).items():
        if isinstance(value, str):
            assert known[name] == value
        else:
            assert np.allclose(known[name], value, atol=1e-5)


def test_stopped_and_continued_is_the_same_as_never_stopped(model, written, tmp_path):
    work = write_dataset(model, tmp_path, SETTINGS)
    next(work)
    next(work)
    work.close()  # as Ctrl+C does

    stopped = read_labels(tmp_path)[0]
    assert 1 <= len(stopped) < 5
    for name in stopped:  # a smaller data set, but a whole one
        assert (tmp_path / "24" / name).exists()
        assert (tmp_path / "mask" / name).exists()
    write(model, tmp_path)
    assert contents(tmp_path) == contents(written)


def test_what_is_there_is_not_drawn_again(model, written, tmp_path):
    write(model, tmp_path, DatasetSettings(**{**vars(SETTINGS), "count": 3}))
    first = tmp_path / "24" / "00000.png"
    before = first.stat().st_mtime_ns
    (tmp_path / "24" / "00001.png").unlink()

    write(model, tmp_path)

    assert first.stat().st_mtime_ns == before
    assert contents(tmp_path) == contents(written)


def test_progress_ends_at_the_count(model, tmp_path):
    steps = write(model, tmp_path)

    assert [step.done for step in steps] == [2, 4, 5]
    assert {step.total for step in steps} == {5}


# ---- refusals


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"count": 0}, "0 images"),
        ({"resolution": 8}, "8 pixels"),
        ({"resolution": 100_000}, "100000 pixels"),
        ({"cameras_per_head": 0}, "0 cameras"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_senseless_settings_are_refused(model, tmp_path, change, sentence):
    with pytest.raises(SplatheadError, match=sentence):
        write(model, tmp_path / "new", DatasetSettings(**{**vars(SETTINGS), **change}))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"seed": 4}, "another seed"),
        ({"resolution": 32}, "another resolution"),
        ({"count": 4}, "5 images"),
    ],
)
def test_a_folder_of_other_images_is_refused(model, written, change, sentence):
    before = contents(written)

    with pytest.raises(LoadError, match=sentence):
        write(model, written, DatasetSettings(**{**vars(SETTINGS), **change}))
    assert contents(written) == before


def test_a_folder_of_other_files_is_refused(model, tmp_path):
    (tmp_path / "holiday.txt").write_text("mine")

    with pytest.raises(LoadError, match="holds other files"):
        write(model, tmp_path)


def test_a_damaged_note_is_named(model, tmp_path):
    (tmp_path / "attributes.json").write_text("{")

    with pytest.raises(LoadError, match=r"attributes\.json is damaged"):
        write(model, tmp_path)


def test_missing_labels_are_named(tmp_path):
    with pytest.raises(LoadError, match=r"dataset\.json is missing"):
        read_labels(tmp_path)


# ---- the command line


def test_the_command_writes_a_data_set(mesh_file, tmp_path, capsys):
    out = tmp_path / "heads"
    arguments = ["--data", str(mesh_file), "--out", str(out), "--count", "2", "--resolution", "20"]

    assert main([*arguments, "--splats", "9000"]) == 0
    assert capsys.readouterr().out == f"2 images in {out}\n"
    assert len(read_labels(out)[0]) == 2


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    missing = tmp_path / "no.npz"

    assert main(["--data", str(missing), "--out", str(tmp_path), "--count", "0"]) == 2
    assert "0 images" in capsys.readouterr().err
    assert main(["--data", str(missing), "--out", str(tmp_path / "heads"), "--count", "1"]) == 2
    said = capsys.readouterr().err
    assert "no.npz" in said
    assert "Traceback" not in said


# ---- the stream

STREAM = StreamSettings(heads=2, views=3, resolution=20, seed=8)


def test_a_batch_holds_what_was_asked_for(model):
    batch = draw_batch(model, STREAM, 0)

    assert batch.z.shape == (2, 512)
    assert batch.gaussians.batch_shape == (2,)
    assert batch.cameras.focal.shape == (2, 3)
    assert batch.images.shape == (2, 3, 3, 20, 20)
    assert batch.alphas.shape == (2, 3, 20, 20)


def test_pictures_of_a_batch_belong_to_their_heads_and_cameras(model):
    batch = draw_batch(model, STREAM, 4)
    seen = rasterize(model.head(batch.z[1].double()), batch.cameras[1][2], (20, 20))

    # The latent is handed out in float32.
    assert torch.allclose(batch.images[1, 2], seen.color, atol=2e-3)
    assert torch.allclose(batch.alphas[1, 2], seen.alpha, atol=2e-3)
    over = batch.over(torch.tensor([0.0, 1.0, 0.5]))
    behind = (1 - seen.alpha) * torch.tensor([0.0, 1.0, 0.5])[:, None, None]
    assert torch.allclose(over[1, 2], seen.color + behind, atol=4e-3)


def test_a_stream_goes_on_where_it_was(model):
    whole = stream(model, STREAM)
    steps = [next(whole) for _ in range(3)]
    again = next(stream(model, STREAM, first=2))

    assert again.step == 2
    assert torch.equal(again.images, steps[2].images)
    assert torch.equal(again.cameras.cam_to_world, steps[2].cameras.cam_to_world)
    assert not torch.equal(steps[0].z, steps[1].z)
    other = draw_batch(model, StreamSettings(heads=2, views=3, resolution=20, seed=9), 2)
    assert not torch.equal(other.z, again.z)
