"""Components of W: those of a plain PCA, kept on disk, and found anew when that is damaged."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models import pca
from models.directions import weights_hash
from models.pca import (
    Components,
    ComponentStep,
    find_components,
    known_components,
    read_components,
    write_components,
)
from tests.models.small import small_generator
from tests.steps import steps_and_result


@pytest.fixture(scope="module")
def generator():
    return small_generator().prepared()


@pytest.fixture(scope="module")
def weights():
    return weights_hash(small_generator())


def run(steps):
    """What a piece of work returns, and what it reported."""
    reports, result = steps_and_result(steps)
    return result, reports


class Linear:
    """A generator whose w are known in closed form: w = center + z · spread."""

    z_dim, w_dim, num_ws, blocks = 10, 14, 2, 3

    def __init__(self, spread, center):
        self.spread, self.center = spread, center
        self.w_avg = center + 0.1  # nearly, as a running mean is

    def map(self, z, camera=None):
        w = self.center + z @ self.spread
        return torch.stack([w - 1, w + 1], dim=1)


def test_they_are_those_of_a_plain_pca_of_the_same_w(generator, monkeypatch):
    monkeypatch.setattr(pca, "_BATCH", 700)  # several batches, the last one smaller
    found, _ = run(find_components(generator, samples=3000, seed=4))
    draw = torch.Generator().manual_seed(4)
    rows = [torch.randn(n, 10, generator=draw) for n in (700, 700, 700, 700, 200)]
    w = generator.map(torch.cat(rows))[:, 0].double().numpy()

    _, sizes, axes = np.linalg.svd(w - w.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(found.mean.numpy(), w.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(found.sigmas.numpy(), sizes / np.sqrt(2999), rtol=1e-4, atol=2e-6)
    # An axis is known up to its sign, and only where its variance is not the neighbours'.
    dots = np.abs((found.axes.numpy() * axes).sum(axis=1))
    assert dots.min() > 0.9999
    assert found.samples == 3000


def test_known_directions_and_deviations_are_found():
    basis = torch.linalg.qr(torch.randn(14, 14, generator=torch.Generator().manual_seed(0)))[0]
    sigmas = torch.tensor([5.0, 3, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01])
    spread = sigmas[:, None] * basis[:10]
    generator = Linear(spread, center=torch.linspace(-50, 80, 14))  # far from 0: nothing may cancel
    found, _ = run(find_components(generator, samples=50_000))
    torch.testing.assert_close(found.sigmas[:10], sigmas, rtol=0.02, atol=0)
    assert found.sigmas[10:].max() < 1e-3
    assert ((found.axes[:10] * basis[:10]).sum(dim=1).abs() > 0.999).all()
    torch.testing.assert_close(found.mean, generator.center, rtol=0, atol=0.1)
    torch.testing.assert_close(found.explained[0].item(), 25 / 39.3, rtol=0.02, atol=0)
    assert found.explained.sum() == pytest.approx(1)
    torch.testing.assert_close(found.axes @ found.axes.mT, torch.eye(14), atol=1e-5, rtol=0)
    assert (found.axes.gather(1, found.axes.abs().argmax(dim=1, keepdim=True)) > 0).all()


def test_it_says_where_it_stands_and_is_the_same_every_time(generator, monkeypatch):
    monkeypatch.setattr(pca, "_BATCH", 100)
    monkeypatch.setattr(pca, "_MIN_SECONDS", 0.0)
    found, reports = run(find_components(generator, samples=250))
    again, _ = run(find_components(generator, samples=250))
    assert torch.equal(found.axes, again.axes)
    assert [report.done for report in reports] == [0, 100, 200, 250]
    assert all(isinstance(report, ComponentStep) and report.total == 250 for report in reports)


def test_they_are_found_once_and_then_read(generator, weights, tmp_path):
    folder = tmp_path / "not" / "there"
    found, _ = run(known_components(generator, weights, folder, 200))
    read, reports = run(known_components(generator, weights, folder, 200))
    assert reports == []
    for name in ("mean", "axes", "sigmas"):
        assert torch.equal(getattr(found, name), getattr(read, name))
    assert read.samples == 200
    better, reports = run(known_components(generator, weights, folder, 300))
    assert reports
    assert better.samples == 300


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "other", "shape", "nan", "length"])
def test_what_is_damaged_or_of_others_is_found_anew(generator, weights, tmp_path, damage):
    found, _ = run(known_components(generator, weights, tmp_path, 200))
    path = tmp_path / f"{weights}.safetensors"
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[:-7])
    elif damage == "text":
        path.write_text("no tensors")
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "other":
        write_components(path, found, "b" * 64)
    else:
        axes, sigmas = found.axes.clone(), found.sigmas.clone()
        if damage == "shape":
            axes = axes[:, :-1].contiguous()
        elif damage == "nan":
            sigmas[2] = torch.nan
        else:
            axes[1] *= 2
        write_components(path, Components(found.mean, axes, sigmas, 200), weights)
    assert read_components(path, weights, 14) is None
    again, reports = run(known_components(generator, weights, tmp_path, 200))
    assert reports
    assert torch.equal(again.axes, found.axes)
    assert read_components(path, weights, 14) is not None


def test_a_full_disk_is_no_reason_to_go_without(generator, weights, tmp_path):
    (tmp_path / "file").write_text("in the way of the folder")
    found, _ = run(known_components(generator, weights, tmp_path / "file", 200))
    assert found.samples == 200
