"""Synthetic heads as a source to learn from: number i is always the same picture."""

from dataclasses import replace

import pytest
import torch

from renderer.camera import Camera
from renderer.errors import LoadError
from tests.training.heads import SMALL
from training.data import TrainingData
from training.launch import Processes
from training.loop import train
from training.made import MadeHeads, digest_of
from training.synthetic.stream import StreamSettings


@pytest.fixture(scope="module")
def heads(mesh_file):
    return MadeHeads.load(mesh_file, resolution=16, seed=3)


def test_a_number_is_always_the_same_picture(heads):
    first = heads.read([5, 900_000])
    again = heads.read([900_000, 7, 5])

    assert torch.equal(first.images[0], again.images[2])
    assert torch.equal(first.alphas[1], again.alphas[0])
    assert not torch.equal(again.images[0], again.images[1])


def test_cameras_are_known_without_making_the_heads(heads):
    assert torch.equal(heads.labels([4, 9]), heads.read([4, 9]).labels)
    Camera.from_label(heads.labels([4, 9]))


def test_colours_are_not_darkened_where_heads_are_see_through(heads):
    batch = heads.read(range(4))

    assert 0 <= batch.images.min() < batch.images.max() <= 1
    black = batch.over(torch.zeros(4, 3)).images
    torch.testing.assert_close(black, batch.images * batch.alphas)
    assert batch.alphas[:, :, 0, 0].max() < 0.5 < batch.alphas.max()  # a head, and room around it


def test_another_seed_size_or_model_is_other_data(heads, mesh_file, tmp_path):
    other = tmp_path / "other.npz"
    other.write_bytes(mesh_file.read_bytes() + b" ")
    same = StreamSettings(resolution=16, seed=3)
    keys = [
        (mesh_file, same), (mesh_file, replace(same, seed=4)),
        (mesh_file, replace(same, resolution=32)), (other, same),
    ]  # fmt: skip

    assert digest_of(*keys[0]) == heads.digest
    assert len({digest_of(*key) for key in keys}) == 4


def test_one_can_train_on_it(heads, tmp_path):
    steps = train(
        tmp_path, SMALL, heads, Processes(0, 1, torch.device("cpu")), cache=tmp_path,
        should_stop=lambda: True,
    )  # fmt: skip

    assert list(steps)[-1].done == 8
    assert TrainingData(heads, mirror=True, seed=0).count == 2_000_000


def test_what_is_no_head_model_is_refused(tmp_path):
    (tmp_path / "x.npz").write_bytes(b"nothing")

    with pytest.raises(LoadError):
        MadeHeads.load(tmp_path / "x.npz", 16, 0)
