"""The bundled generator, where it is there; and what measures and pictures it, on toys."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import demo, demo_directions
from examples import draw_demo_heads
from models.checkpoint import load_generator, save_generator
from models.directions import (
    Direction,
    read_directions,
    shipped_directions,
    weights_hash,
    write_directions,
)
from models.latents import random_z
from models.zoo import DEMO_GENERATOR
from renderer.camera import OrbitRig
from renderer.rasterize import rasterize
from tests.training.test_distill import SETTINGS, Balls
from training.directions import ATTRIBUTES, find_directions
from training.distill import DistillState, measure
from training.synthetic.parameters import DIMENSIONS, Z_DIM

bundled = pytest.mark.skipif(not DEMO_GENERATOR.exists(), reason="no generator is bundled yet")


# ---- the bundled files


@bundled
def test_the_bundled_generator_is_small_free_and_makes_heads():
    size = sum(path.stat().st_size for path in DEMO_GENERATOR.parent.iterdir())
    assert size <= 40e6
    loaded = load_generator(DEMO_GENERATOR)
    assert 20_000 <= loaded.summary.splats <= 60_000
    assert loaded.summary.licence == "Apache-2.0"
    assert loaded.summary.images_seen

    generator = loaded.generator.prepared()
    w = generator.map(random_z(1, 3, generator.z_dim))
    heads = generator.synthesize(w)
    for attribute in (heads.means, heads.log_scales, heads.quats, heads.opacity_logits, heads.sh):
        assert attribute.isfinite().all()
    for head in (heads[i] for i in range(3)):
        alpha = rasterize(head, OrbitRig().camera(), (48, 40)).alpha
        assert alpha[12:28, 18:30].min() > 0.9  # a face
        assert alpha[:8, :8].max() < 0.1  # and nothing in the corner
    assert (heads.means[0] - heads.means[1]).abs().max() > 0.01  # and not all the same


@bundled
def test_the_bundled_mean_of_w_is_that_of_its_mapping():
    generator = load_generator(DEMO_GENERATOR).generator
    with torch.no_grad():
        w = generator.map(random_z(2, 10_000, generator.z_dim))[:, 0]
    assert ((generator.w_avg - w.mean(0)).abs() < 6 * w.std(0) / 100).all()


@bundled
def test_the_bundled_directions_are_those_of_the_bundled_generator():
    generator = load_generator(DEMO_GENERATOR).generator
    path = shipped_directions(DEMO_GENERATOR)
    directions = read_directions(path, weights_hash(generator), generator.w_dim)
    assert {direction.name for direction in directions} >= {
        "Skin tone", "Hair colour", "Hair length", "Beard", "Glasses", "Smile", "Open mouth",
        "Head size", "Identity 2",
    }  # fmt: skip
    assert all(direction.vector.norm() > 0.01 for direction in directions)


# ---- what measures it


@pytest.fixture
def generator():
    return DistillState.fresh(SETTINGS).average


@pytest.fixture
def saved(tmp_path, generator):
    path = tmp_path / "small.safetensors"
    save_generator(path, generator)
    return path


def test_the_benchmark_measures_what_training_measures(generator):
    seen = demo.compare(generator, Balls(), heads=4, size=24)
    psnr, behind = measure(generator, Balls(), count=4, views=3, size=24)
    assert len(seen) == 12
    assert np.mean([view.generator for view in seen]) == psnr
    assert np.mean([view.generator for view in seen if view.yaw > math.pi / 2]) == behind


def test_a_perfect_student_is_far_above_the_guesses_it_is_compared_with(generator):
    class Perfect:
        w_avg = generator.w_avg

        def map(self, z):
            return z[:, None]

        def synthesize(self, w):
            return Balls().heads(w[:, 0] if w.shape[-1] == 512 else torch.zeros(1, 512))

    seen = demo.compare(Perfect(), Balls(), heads=3, size=24)
    assert min(view.generator for view in seen) > 90
    assert max(view.mean_head for view in seen) < 40
    assert max(view.other_head for view in seen) < 40


class Student:
    """Knows the balls of the teacher, fainter."""

    def map(self, z):
        return z[:, None]

    def synthesize(self, w):
        return Balls().heads(0.5 * w[:, 0])


def test_shares_of_directions_are_found_again(monkeypatch):
    monkeypatch.setattr(demo_directions, "_YAWS", (0.0,))  # for speed
    monkeypatch.setattr(demo_directions, "_SIZE", 24)
    vectors = torch.zeros(len(ATTRIBUTES), Z_DIM)
    for vector, attribute in zip(vectors, ATTRIBUTES, strict=True):
        vector[DIMENSIONS[attribute.dimension]] = attribute.end - attribute.start
    own = [a.dimension for a in ATTRIBUTES].index("identity_1")
    other = [a.dimension for a in ATTRIBUTES].index("identity_2")
    vectors[own] -= 0.4 * vectors[other]
    directions = [Direction(a.name, a.group, v) for a, v in zip(ATTRIBUTES, vectors, strict=True)]

    shares = demo_directions.measure_shares(Student(), Balls(), directions, heads=1)

    expected = np.zeros(len(ATTRIBUTES))
    expected[own], expected[other] = 0.5, -0.2
    assert np.allclose(shares.directions[own], expected, atol=0.03)  # colours are clamped at 0
    assert np.allclose(shares.latents[own], 0.5 * (np.arange(len(ATTRIBUTES)) == own), atol=0.03)
    assert (shares.visible > 0).sum() == 3  # the balls show three numbers of z


def test_without_the_head_model_the_benchmark_says_so_and_measures_the_rest(
    saved, capsys, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    assert demo.main(["--generator", str(saved), "--turns", "1"]) == 0
    *_, said, last = capsys.readouterr().out.splitlines()
    assert "--data" in said
    figures = json.loads(last)
    assert figures.keys() == {"psnr_db", "psnr_db_back", "size_mb", "splats", "synthesis_ms"}
    assert figures["psnr_db"] is figures["psnr_db_back"] is None
    assert figures["splats"] == load_generator(saved).summary.splats
    assert figures["synthesis_ms"] > 0


def test_a_missing_file_is_a_sentence(capsys, saved, tmp_path):
    missing = str(tmp_path / "none.npz")
    assert demo.main(["--generator", missing]) == 2
    assert demo.main(["--generator", str(saved), "--turns", "1", "--data", missing]) == 2
    assert draw_demo_heads.main(["--generator", missing]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3
    assert all("none.npz" in sentence for sentence in said)


def test_sheets_show_every_head_and_every_direction(saved, generator, tmp_path):
    directions = find_directions(generator, count=5)
    write_directions(shipped_directions(saved), directions, weights_hash(generator))
    out = ["--out", str(tmp_path), "--side", "20"]
    assert draw_demo_heads.main(["--generator", str(saved), *out]) == 0
    with Image.open(tmp_path / "demo_heads.png") as sheet:
        assert sheet.size == (2 * 4 * 20, 5 * 20)
    with Image.open(tmp_path / "demo_directions.png") as sheet:
        assert sheet.size == (2 * 5 * 12, -(-len(directions) // 2) * 12)
    assert not (tmp_path / "demo_beside.png").exists()
