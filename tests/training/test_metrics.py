"""Distances of feature clouds against what is known in closed form, and what is kept of a dataset."""

import dataclasses

import pytest
import torch

from models.generator import CgsGenerator
from renderer.camera import OrbitRig
from renderer.errors import CheckpointError
from tests.training.heads import SIDE, SMALL, PaintedHeads
from training.config import TrainingError
from training.data import TrainingData
from training.inception import FEATURES, NAME, Inception, find_weights, load_inception, resized
from training.launch import Processes
from training.metrics import (
    Evaluator,
    StandIn,
    Statistics,
    frechet_distance,
    kernel_distance,
    statistics,
)

ALONE = Processes(0, 1, torch.device("cpu"))


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def evaluator(folder, config=SMALL, source=None):
    data = TrainingData(source or PaintedHeads(), mirror=True, seed=0)
    return Evaluator(config, data, ALONE, folder)


def test_frechet_distance_of_normals_that_commute_is_known():
    a = Statistics(torch.tensor([1.0, 2.0]).double(), torch.diag(torch.tensor([4.0, 9.0])).double())
    b = Statistics(torch.tensor([0.0, 5.0]).double(), torch.diag(torch.tensor([1.0, 1.0])).double())

    # |(1, -3)|² + (2 - 1)² + (3 - 1)²
    assert frechet_distance(a, b) == pytest.approx(10 + 1 + 4)


def test_frechet_distance_is_the_trace_formula_for_any_normals():
    def cloud(seed):
        return statistics(draw(50, 4, seed=seed) @ draw(4, 4, seed=seed + 9))

    a, b = cloud(1), cloud(2)
    values = torch.linalg.eigvals(a.covariance @ b.covariance).sqrt().sum().real
    expected = (a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace()

    assert frechet_distance(a, b) == pytest.approx(float(expected - 2 * values), rel=1e-8)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-8)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-8)


def test_statistics_are_numpys():
    rows = draw(7, 3)

    found = statistics(rows.float())

    centred = rows.float().double() - rows.float().double().mean(0)
    torch.testing.assert_close(found.covariance, centred.T @ centred / 6)


def test_kernel_distance_is_its_double_sum():
    x, y = draw(6, 3), draw(6, 3, seed=1) + 0.5

    def kernel(p, q):
        return (float(p @ q) / 3 + 1) ** 3

    same = sum(
        kernel(rows[i], rows[j]) / 30
        for rows in (x, y)
        for i in range(6)
        for j in range(6)
        if i != j
    )
    across = sum(kernel(p, q) / 36 for p in x for q in y)

    assert kernel_distance(x, y, subsets=3) == pytest.approx(same - 2 * across)


def test_kernel_distance_of_the_same_kind_is_about_nothing():
    x, y = draw(400, 5), draw(400, 5, seed=1)

    assert abs(kernel_distance(x, y, subsets=5)) < 0.05 < kernel_distance(x, y + 1, subsets=5)


def test_the_stand_in_tells_pictures_apart_and_is_the_same_everywhere():
    images = PaintedHeads().read(range(6)).images

    a, b = StandIn()(images), StandIn()(images)

    assert a.shape == (6, 192)
    assert torch.equal(a, b)
    assert a.std(dim=0).mean() > 1e-3


def test_worse_pictures_are_further_away():
    real = torch.rand(64, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 0.1
    real += PaintedHeads(64).read(range(64)).images * 0.9
    network = StandIn()
    start = statistics(network(real))

    far = [
        frechet_distance(start, statistics(network((real + amount * torch.rand_like(real)).clamp(0, 1))))
        for amount in (0.0, 0.1, 0.4)
    ]  # fmt: skip

    assert far[0] < 1e-6 < far[1] < far[2]


def test_a_dataset_is_looked_at_once(tmp_path):
    class Counting(PaintedHeads):
        def read(self, numbers):
            reads.append(len(numbers))
            return super().read(numbers)

    reads: list[int] = []
    generator = CgsGenerator(SMALL.generator_config())

    first = evaluator(tmp_path, source=Counting()).evaluate(generator)
    looked = sum(reads)
    second = evaluator(tmp_path, source=Counting()).evaluate(generator)

    assert looked == sum(reads) == 20
    assert first == second
    assert list(first) == ["stand-in"]


def test_other_data_and_damaged_files_are_looked_at_again(tmp_path):
    generator = CgsGenerator(SMALL.generator_config())
    first = evaluator(tmp_path).evaluate(generator)
    other = evaluator(tmp_path, source=PaintedHeads(11, digest="other")).evaluate(generator)
    assert first != other
    for path in (tmp_path / "metrics").iterdir():
        path.write_bytes(b"damaged")

    assert evaluator(tmp_path).evaluate(generator) == first


# ---- Inception


def test_without_inceptions_weights_fid_is_refused_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("SPLATHEAD_INCEPTION", str(tmp_path / NAME))
    config = dataclasses.replace(SMALL, metrics=("fid", "kid"))

    with pytest.raises(TrainingError, match=r"does not exist. Download .* --metrics stand-in"):
        evaluator(tmp_path, config).check()
    evaluator(tmp_path).check()  # the stand-in needs none


def test_another_file_is_not_opened_as_inceptions(tmp_path, monkeypatch):
    path = tmp_path / NAME
    path.write_bytes(b"anything")
    monkeypatch.setenv("SPLATHEAD_INCEPTION", str(path))

    assert find_weights() == path
    with pytest.raises(CheckpointError, match="Download it again"):
        load_inception(path, torch.device("cpu"))


def test_resizing_puts_pixel_i_at_i_times_the_ratio():
    row = torch.tensor([0.0, 10.0, 20.0]).view(1, 1, 1, 3)

    # Pixels at 0, 0.6, 1.2, 1.8, 2.4; beyond the last one it is repeated.
    torch.testing.assert_close(resized(row, 5)[0, 0, 0], torch.tensor([0.0, 6.0, 12.0, 18.0, 20.0]))


def test_fid_fid_3d_and_kid_come_from_one_look_through_one_network(tmp_path, monkeypatch):
    network, looked = StandIn(), []  # in place of Inception, which takes a second a picture here
    network.register_forward_pre_hook(lambda _, args: looked.append(len(args[0])))
    monkeypatch.setattr("training.metrics.find_weights", lambda: tmp_path)
    monkeypatch.setattr("training.metrics.load_inception", lambda path, device: network)
    config = dataclasses.replace(SMALL, metrics=("fid", "fid3d", "kid"))

    found = evaluator(tmp_path, config).evaluate(CgsGenerator(config.generator_config()))

    assert found["fid"] == found["fid3d"]  # this generator has no condition
    assert found["fid"] > 0
    assert found["kid"] > 0
    assert sum(looked) == 20 + 16


def test_a_conditioned_generator_meets_the_frontal_camera_in_fid_3d(tmp_path, monkeypatch):
    class Conditioned(CgsGenerator):
        conditions_on_camera = True

        def map(self, z, camera=None):
            seen.append(camera.cam_to_world)
            return super().map(z)

    seen: list[torch.Tensor] = []
    monkeypatch.setattr("training.metrics.find_weights", lambda: tmp_path)
    monkeypatch.setattr("training.metrics.load_inception", lambda path, device: StandIn())
    config = dataclasses.replace(SMALL, metrics=("fid", "fid3d"))

    evaluator(tmp_path, config).evaluate(Conditioned(config.generator_config()))

    varied, frontal = seen
    assert varied[:, 0, 3].std() > 0.1
    assert torch.equal(frontal, OrbitRig().camera().cam_to_world.expand(16, 4, 4))


def test_inception_has_its_parts_and_features():
    network = Inception()

    parameters = sum(tensor.numel() for tensor in network.parameters())
    assert network(torch.rand(1, 3, 20, 30)).shape == (1, FEATURES)
    assert parameters == 21_785_568  # as its authors count them, without the classifier
