"""Datasets on disk: what is read, in which order, and how what is wrong is counted and named."""

import json
import shutil
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from renderer.camera import Camera, OrbitRig
from renderer.errors import LoadError
from renderer.rasterize import rasterize
from tests.conftest import some_splats
from tests.steps import result_of
from tests.training.heads import SIDE, PaintedHeads, camera_label, painted, write_dataset
from training.__main__ import main
from training.data import (
    Batch,
    DiskImages,
    Sampler,
    TrainingData,
    check,
    mirrored_labels,
    require_sound,
)


@pytest.fixture
def dataset(tmp_path):
    return write_dataset(tmp_path / "heads")


def report_of(images):
    return result_of(check(images))


def test_pictures_masks_and_cameras_are_read_by_number(dataset):
    images = DiskImages(dataset)

    batch = images.read([7, 2])

    assert (images.count, images.resolution, images.has_alphas) == (12, SIDE, True)
    for row, number in enumerate((7, 2)):
        image, alpha = painted(number)
        assert (batch.images[row] - image).abs().max() <= 0.5 / 255 + 1e-6
        assert torch.equal(batch.alphas[row], alpha)
        torch.testing.assert_close(batch.labels[row], camera_label(number))


@pytest.mark.parametrize("layout", ["pictures", "zip", "zip of pictures"])
def test_the_pictures_folder_or_a_zip_is_the_same_dataset(dataset, layout, tmp_path):
    path = dataset / str(SIDE)
    if layout == "zip":
        path = tmp_path / "all.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in dataset.rglob("*.*"):
                archive.write(file, f"heads/{file.relative_to(dataset)}")
    elif layout == "zip of pictures":
        path = dataset / f"{SIDE}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in (dataset / str(SIDE)).iterdir():
                archive.write(file, file.name)
        shutil.rmtree(dataset / str(SIDE))
    expected = [painted(number)[1] for number in range(12)]

    images = DiskImages(path)

    assert images.count == 12
    assert report_of(images).is_sound
    assert torch.equal(images.read(range(12)).alphas, torch.stack(expected))


def test_an_index_list_repeats_and_leaves_out(dataset, tmp_path):
    index = tmp_path / "index.json"
    index.write_text(json.dumps([3, 3, 11, 3]))

    images = DiskImages(dataset, index)

    assert images.count == 4
    torch.testing.assert_close(
        images.labels([1, 2]), torch.stack([camera_label(3), camera_label(11)])
    )
    assert images.digest != DiskImages(dataset).digest


def test_an_index_list_of_another_dataset_is_refused(dataset, tmp_path):
    index = tmp_path / "index.json"
    index.write_text(json.dumps([3, 12, 99]))

    with pytest.raises(LoadError, match=r"lists 2 pictures that the dataset lacks: 12, 99"):
        DiskImages(dataset, index)


def test_the_size_must_be_said_where_there_are_several(dataset):
    shutil.copytree(dataset / str(SIDE), dataset / "32")

    with pytest.raises(LoadError, match=r"of 16, 32 px. Say which"):
        DiskImages(dataset)
    assert DiskImages(dataset, resolution=16).resolution == 16


def test_every_kind_of_fault_is_counted_and_named(dataset):
    pictures, masks = dataset / str(SIDE), dataset / "mask"
    labels = json.loads((dataset / "dataset.json").read_text())["labels"]
    del labels[0]
    labels[0][1][3] = float("nan")  # of picture 1
    labels[1][1][0] = 5.0  # of picture 2: no rotation
    (dataset / "dataset.json").write_text(json.dumps({"labels": labels}))
    (pictures / "00003.png").write_bytes((pictures / "00003.png").read_bytes()[:60])
    Image.new("RGB", (SIDE, SIDE + 1)).save(pictures / "00004.png")
    (masks / "00005.png").unlink()
    (masks / "00006.png").write_bytes(b"no picture")
    Image.new("L", (SIDE * 2, SIDE)).save(masks / "00007.png")

    report = report_of(DiskImages(dataset))

    assert {kind: names for kind, names in report.faults.items() if names} == {
        "label": ("16/00000.png",),
        "camera": ("16/00001.png", "16/00002.png"),
        "unreadable": ("16/00003.png",),
        "size": ("16/00004.png",),
        "mask": ("16/00005.png",),
        "unreadable mask": ("16/00006.png",),
        "mask size": ("16/00007.png",),
    }
    with pytest.raises(LoadError, match=r"2 whose label is no camera: 16/00001.png, 16/00002.png"):
        require_sound(report)


def test_the_command_line_checks(dataset, capsys):
    assert main(["check", str(dataset)]) == 0
    assert "12 pictures of 16 px with masks" in capsys.readouterr().out
    (dataset / "mask" / "00005.png").unlink()
    assert main(["check", str(dataset)]) == 2
    assert "1 without a mask: 16/00005.png." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda d: shutil.rmtree(d), "does not exist"),
        (lambda d: (d / "dataset.json").unlink(), "has no dataset.json"),
        (lambda d: (d / "dataset.json").write_text("{"), "cannot be understood"),
        (lambda d: (d / "dataset.json").write_text('{"labels": []}'), "no picture with a camera"),
        (lambda d: shutil.rmtree(d / "16"), "has no pictures"),
    ],
)
def test_what_is_no_dataset_is_refused_in_a_sentence(dataset, spoil, sentence):
    spoil(dataset)

    with pytest.raises(LoadError, match=sentence):
        DiskImages(dataset)


def test_a_file_that_is_no_zip_is_refused(tmp_path):
    (tmp_path / "heads.zip").write_bytes(b"nothing")

    with pytest.raises(LoadError, match="cannot be opened"):
        DiskImages(tmp_path / "heads.zip")


# ---- order


def test_each_epoch_shows_every_picture_once_in_another_order():
    sampler = Sampler(7, seed=3)

    first, second = sampler.entries(0, 7), sampler.entries(7, 7)

    assert sorted(first) == sorted(second) == list(range(7))
    assert first != second
    assert Sampler(7, seed=4).entries(0, 7) != first


def test_the_order_does_not_depend_on_how_it_is_asked_for():
    sampler = Sampler(7, seed=3)
    whole = sampler.entries(0, 20)

    assert [sampler.entries(i, 1)[0] for i in reversed(range(20))][::-1] == whole
    assert sampler.entries(5, 9) == whole[5:14]


def test_mirroring_shows_each_picture_both_ways():
    data = TrainingData(PaintedHeads(5), mirror=True, seed=0)

    plain, turned = data.at([3]), data.at([8])

    assert data.count == 10
    assert torch.equal(turned.images, plain.images.flip(-1))
    assert torch.equal(turned.alphas, plain.alphas.flip(-1))
    assert not torch.allclose(turned.images, plain.images)
    assert torch.equal(turned.labels, data.labels_at([8]))


def test_a_mirrored_camera_sees_the_mirrored_head():
    head = some_splats()
    camera = OrbitRig(yaw=0.5, pitch=0.3).camera()
    mirror = torch.tensor([-1.0, 1, 1])
    quats = head.quats * torch.tensor([1.0, 1, -1, -1])
    other = type(head)(head.means * mirror, head.log_scales, quats, head.opacity_logits, head.sh)

    seen = rasterize(head, camera, (20, 20), backend="torch").color
    mirrored = Camera.from_label(mirrored_labels(camera.to_label()[None])[0])
    found = rasterize(other, mirrored, (20, 20), backend="torch").color

    torch.testing.assert_close(found, seen.flip(-1), atol=1e-4, rtol=0)


def test_mirroring_negates_the_entries_that_cross_from_left_to_right():
    label = torch.arange(1.0, 26)[None]
    label[0, 12:15] = 0  # a pose's last row is 0, 0, 0, 1

    changed = (mirrored_labels(label) != label)[0]

    assert np.flatnonzero(changed).tolist() == [1, 2, 3, 4, 8]
    assert torch.equal(mirrored_labels(mirrored_labels(label)), label)


def test_a_background_shows_where_the_head_is_not():
    alphas = torch.tensor([0.0, 0.25, 1.0]).view(1, 1, 1, 3)
    batch = Batch(torch.full((1, 3, 1, 3), 0.8), alphas, torch.zeros(1, 25))

    over = batch.over(torch.tensor([[1.0, 0.0, 0.4]])).images[0, :, 0]

    torch.testing.assert_close(over[0], torch.tensor([1.0, 0.95, 0.8]))
    torch.testing.assert_close(over[1], torch.tensor([0.0, 0.2, 0.8]))
