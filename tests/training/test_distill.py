"""Distillation on toy heads: a ball whose colour is three numbers of z."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
import torch
from safetensors.torch import load_file

from models.checkpoint import load_generator
from renderer.errors import LoadError
from renderer.gaussians import Gaussians
from training.distill import (
    DistillSettings,
    DistillState,
    distill,
    measure,
    picture_loss,
    save,
    schedule,
    take_step,
)
from training.synthetic.parameters import ACTIVE

SETTINGS = DistillSettings(
    points=16, width=16, first_blocks=1, resolution=64, steps=12, heads=2, views=2,
    picture=24, last_picture=32, warm_up=2, bfloat16=False, checkpoint_steps=5, measure_steps=1000,
)  # fmt: skip


class Balls:
    """Heads that are balls; the first three numbers of z are their colour."""

    def __init__(self, count: int = 40) -> None:
        way = torch.randn(count, 3, generator=torch.Generator().manual_seed(1))
        self.means = 0.2 * torch.nn.functional.normalize(way, dim=-1)

    def heads(self, z) -> Gaussians:
        z = torch.as_tensor(z).float()
        batch, count = len(z), len(self.means)
        return Gaussians(
            means=self.means.expand(batch, -1, -1),
            log_scales=torch.full((batch, count, 3), -3.0),
            quats=torch.tensor([1.0, 0, 0, 0]).expand(batch, count, 4),
            opacity_logits=torch.full((batch, count), 4.0),
            sh=z[:, None, None, :3].expand(batch, count, 1, 3),
        )

    def part(self, name: str) -> slice:
        return slice(0, 7)


def run(folder, settings=SETTINGS):
    return list(distill(Balls(), settings, folder))


def test_steps_lower_the_error_on_heads_never_seen():
    settings = dataclasses.replace(SETTINGS, steps=110, learning_rate=0.01)
    state = DistillState.fresh(settings)
    before = measure(state.generator, Balls(), count=3, views=2, size=24)[0]
    for _ in range(110):
        take_step(state, Balls(), settings)
    after = measure(state.generator, Balls(), count=3, views=2, size=24)[0]
    assert after > before + 1  # dB


def test_resumed_equals_uninterrupted_to_the_bit(tmp_path):
    run(tmp_path / "whole")
    work = distill(Balls(), SETTINGS, tmp_path / "parts")
    for _ in range(7):  # a checkpoint lies at step 5: steps 6 and 7 are lost and done again
        next(work)
    work.close()
    resumed = run(tmp_path / "parts")
    assert resumed[0].done == 6
    # Not the bytes of the files: the library writes the header's entries in any order.
    first, second = (
        load_file(tmp_path / name / "state.safetensors") for name in ("whole", "parts")
    )
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(second[name], tensor), name


def test_a_run_of_other_settings_is_not_overwritten(tmp_path):
    run(tmp_path, dataclasses.replace(SETTINGS, steps=2))
    before = (tmp_path / "state.safetensors").read_bytes()
    with pytest.raises(LoadError, match="other settings"):
        run(tmp_path, dataclasses.replace(SETTINGS, steps=2, seed=1))
    assert (tmp_path / "state.safetensors").read_bytes() == before


def test_a_damaged_run_says_so(tmp_path):
    run(tmp_path, dataclasses.replace(SETTINGS, steps=1))
    path = tmp_path / "state.safetensors"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(LoadError, match="damaged"):
        run(tmp_path, dataclasses.replace(SETTINGS, steps=1))


def test_the_averaged_generator_opens_as_a_checkpoint(tmp_path):
    state = DistillState.fresh(SETTINGS)
    take_step(state, Balls(), SETTINGS)
    save(state, SETTINGS, tmp_path)
    loaded = load_generator(tmp_path / "generator.safetensors")
    for name, tensor in state.average.state_dict().items():
        assert torch.equal(loaded.generator.state_dict()[name], tensor), name
    assert "distilled" in (loaded.summary.provenance.source or "")


def test_the_end_is_measured_and_logged(tmp_path):
    steps = run(tmp_path, dataclasses.replace(SETTINGS, steps=2))
    assert [step.psnr is not None for step in steps] == [False, True]
    (line,) = (tmp_path / "log.jsonl").read_text().splitlines()
    assert json.loads(line)["psnr_db"] == steps[-1].psnr


def test_idle_dimensions_of_z_change_nothing():
    state = DistillState.fresh(SETTINGS)
    for _ in range(2):
        take_step(state, Balls(), SETTINGS)
    assert not state.generator.mapping_network.layers()[0].weight[:, ACTIVE:512].any()


def test_the_loss_is_zero_only_for_the_same_picture():
    color, alpha = torch.rand(1, 2, 3, 12, 16), torch.rand(1, 2, 12, 16)
    weight = 1 + torch.rand(1, 2, 12, 16)
    assert picture_loss(color, alpha, color, alpha, weight) == 0
    assert picture_loss(color + 0.01, alpha, color, alpha, weight) > 0
    assert picture_loss(color, alpha + 0.01, color, alpha, weight) == pytest.approx(0.005, rel=1e-3)


def test_the_rate_warms_up_and_ends_at_two_percent():
    settings = dataclasses.replace(SETTINGS, steps=1000, warm_up=10)
    assert schedule(0, settings) == pytest.approx(0.1, rel=1e-3)
    assert schedule(10, settings) > 0.99
    assert schedule(1000, settings) == pytest.approx(0.02)
    assert math.isclose(schedule(500, settings), 0.51, rel_tol=1e-6)


def test_a_run_may_go_on_longer_and_from_near(tmp_path):
    run(tmp_path, dataclasses.replace(SETTINGS, steps=2))
    steps = run(tmp_path, dataclasses.replace(SETTINGS, steps=3, close_ups=1.0))
    assert [step.done for step in steps] == [3]


def test_close_ups_change_what_is_learned(tmp_path):
    far, near = tmp_path / "far", tmp_path / "near"
    losses = [
        run(folder, dataclasses.replace(SETTINGS, steps=1, close_ups=share))[0].loss
        for folder, share in ((far, 0.0), (near, 1.0))
    ]
    assert losses[0] != losses[1]
