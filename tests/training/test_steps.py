"""One step: each head is once in a batch, and how the work is shared changes nothing but rounding."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

from renderer.camera import Camera
from renderer.rasterize import rasterize
from tests.training.heads import SMALL, PaintedHeads
from training.data import TrainingData
from training.launch import Processes, joined
from training.losses import blur, centre_loss, generator_loss, neighbour_loss
from training.state import TrainingState
from training.steps import (
    FAKE_FOR_DISCRIMINATOR,
    FAKE_FOR_GENERATOR,
    Stepper,
    random_generator,
    rolled,
    speed_up,
)

ROOT = Path(__file__).resolve().parents[2]
ALONE = Processes(0, 1, torch.device("cpu"))


def stepper(config=SMALL, processes=ALONE):
    data = TrainingData(PaintedHeads(), mirror=config.mirror, seed=config.seed)
    state = TrainingState.fresh(config, processes.device)
    state.images = 16
    speed_up(config, state)
    return Stepper(config, data, processes, state)


def gradients(config=SMALL, processes=ALONE):
    """Take one step of each kind; return the weights' moments, which are the clipped gradients."""
    made = stepper(config, processes)
    real = made.data.batch(16, config.batch)
    made.discriminator_step(real)
    made.r1_step(real)
    _, w_mean = made.generator_step()
    moments = {
        name: tensor
        for name, tensor in made.state.tensors().items()
        if "optimizer.exp_avg." in name
    }
    return moments | {"w_mean": w_mean}


# ---- one person per batch


def test_each_head_is_once_in_a_batch_and_seen_from_different_cameras():
    labels = torch.arange(5.0)[:, None].expand(5, 25)

    views = rolled(labels, 3)[..., 0].long()

    assert views.tolist() == [[0, 1, 2, 3, 4], [1, 2, 3, 4, 0], [2, 3, 4, 0, 1]]
    for batch in views.tolist():
        assert sorted(batch) == [0, 1, 2, 3, 4]  # and each camera is once in a batch, too


def test_the_discriminator_never_meets_a_head_twice_in_a_batch():
    made = stepper(dataclasses.replace(SMALL, views=3))
    seen, drawn = [], []
    made.state.discriminator.register_forward_pre_hook(lambda _, args: seen.append(args))
    whole = made.state.generator.synthesize_with_anchors

    def synthesize(w):
        drawn.append((w, whole(w)))
        return drawn[-1][1]

    made.state.generator.synthesize_with_anchors = synthesize

    made.generator_step()

    ((w, (heads, _)),) = drawn  # each head is synthesised once, however many views there are
    fakes = made._draw(FAKE_FOR_GENERATOR, 3)
    assert len(seen) == 3
    assert len({tuple(row) for row in w.flatten(1).tolist()}) == SMALL.batch
    for view, (images, labels) in enumerate(seen):
        expected = rasterize(
            heads,
            Camera.from_label(fakes.labels[view]),
            (16, 16),
            background=fakes.backgrounds[view],
        ).color  # picture i of every batch is of head i, from another camera each time
        torch.testing.assert_close(images, blur(2 * expected - 1, made._sigma()))
        assert torch.equal(labels, fakes.labels[view])


def test_several_views_are_one_step_with_the_mean_of_their_losses():
    config = dataclasses.replace(SMALL, views=3, generator_clip=0)
    made = stepper(config)
    generator, discriminator = made.state.generator, made.state.discriminator
    fakes, sigma = made._draw(FAKE_FOR_GENERATOR, 3), made._sigma()
    head = generator.synthesize_with_anchors(generator.map(fakes.z))
    total = config.neighbour_weight * neighbour_loss(head.anchors, config.neighbours)
    total = total + config.centre_weight * centre_loss(head.anchors)
    for labels, colours in zip(fakes.labels, fakes.backgrounds, strict=True):
        camera = Camera.from_label(labels)
        picture = rasterize(head.gaussians, camera, (16, 16), background=colours).color
        total = total + generator_loss(discriminator(blur(2 * picture - 1, sigma), labels)) / 3
    total.backward()
    expected = {
        name: p.grad.clone() for name, p in generator.named_parameters() if p.grad is not None
    }
    generator.zero_grad()
    discriminator.zero_grad()

    made.generator_step()

    for name, parameter in generator.named_parameters():
        if name in expected:  # β₁ = 0, so the first moment is the gradient
            found = made.state.generator_optimizer.state[parameter]["exp_avg"]
            torch.testing.assert_close(found, expected[name], rtol=1e-4, atol=1e-6)


def test_the_generators_step_leaves_the_discriminator_alone():
    made = stepper()
    before = {name: t.clone() for name, t in made.state.discriminator.state_dict().items()}

    made.generator_step()

    after = made.state.discriminator.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert all(p.grad is None for p in made.state.discriminator.parameters())


# ---- random numbers


def test_random_numbers_follow_from_the_seed_the_count_and_their_use():
    def draw(*key):
        return torch.randn(4, generator=random_generator(*key)).tolist()

    keys = [(0, 0, 0), (1, 0, 0), (0, 8, 0), (0, 0, FAKE_FOR_DISCRIMINATOR)]

    assert len({tuple(draw(*key)) for key in keys}) == 4
    assert draw(3, 5, 1) == draw(3, 5, 1)


def test_real_and_made_pictures_get_new_colours_each_step():
    made = stepper()
    real = made.data.batch(0, SMALL.batch)
    a, _ = made._real_shard(real, 0)
    made.state.images += SMALL.batch
    b, _ = made._real_shard(real, 0)

    corners = a[:, :, 0, 0]

    assert len({tuple(row) for row in corners.tolist()}) == SMALL.batch
    assert not torch.equal(corners, b[:, :, 0, 0])
    assert -1 <= a.min() < a.max() <= 1


def test_without_random_backgrounds_all_have_the_colour_of_the_settings():
    made = stepper(dataclasses.replace(SMALL, random_background=False, background=(0.2, 0.4, 0.6)))
    images, _ = made._real_shard(made.data.batch(0, SMALL.batch), 0)

    torch.testing.assert_close(images[3, :, 0, 0], 2 * torch.tensor([0.2, 0.4, 0.6]) - 1)


# ---- guards


def test_gradients_that_are_no_numbers_are_replaced_and_counted():
    made = stepper()
    broken = made.state.generator.point_gen._xyz
    broken.register_hook(lambda gradient: gradient * torch.nan)

    logged, _ = made.generator_step()

    assert logged["generator_broken"] == broken.numel()
    assert made.state.is_finite()


def test_long_gradients_are_shortened():
    config = dataclasses.replace(SMALL, generator_clip=0.01)

    moments = gradients(config)

    own = [t for name, t in moments.items() if name.startswith("generator_optimizer")]
    assert torch.cat([t.flatten() for t in own]).norm() == pytest.approx(0.01, rel=1e-3)


# ---- shared work


def assert_close(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        # Sums in another order: a few units of float32 of the largest term in each sum.
        scale = float(tensor.abs().max())
        torch.testing.assert_close(
            found[name], tensor, rtol=1e-3, atol=2e-5 * max(scale, 1e-2), msg=lambda m, n=name: f"{n}: {m}"
        )  # fmt: skip


def test_a_batch_in_parts_is_the_whole_batch():
    assert_close(gradients(dataclasses.replace(SMALL, microbatch=4)), gradients())


def test_two_processes_are_one_with_the_same_global_batch(tmp_path):
    code = """
import sys, torch, safetensors.torch
torch.set_num_threads(1)
from tests.training.test_steps import gradients, SMALL
from training.launch import joined
with joined("cpu") as processes:
    found = gradients(SMALL, processes)
    safetensors.torch.save_file({k: v.contiguous() for k, v in found.items()}, sys.argv[1])
"""
    env = os.environ | {
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2",
        "OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    files = [tmp_path / f"{rank}.safetensors" for rank in range(2)]
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(file)], cwd=ROOT, stderr=subprocess.PIPE, text=True,
            env=env | {"RANK": str(rank)},
        )
        for rank, file in enumerate(files)
    ]  # fmt: skip
    for process in both:
        _, said = process.communicate(timeout=240)
        assert process.returncode == 0, said

    first, second = map(safetensors.torch.load_file, files)

    assert all(torch.equal(first[name], second[name]) for name in first)  # and they stay equal
    assert_close(first, gradients())


def free_port():
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_alone_there_is_nobody_to_wait_for():
    with joined("cpu") as processes:
        rows = torch.arange(6.0).view(3, 2)
        processes.sum_([rows])
        processes.wait()

        assert torch.equal(processes.gathered(rows), torch.arange(6.0).view(3, 2))
        assert (processes.any(True), processes.any(False)) == (True, False)


# ---- faster ways


def test_bfloat16_and_channels_last_change_a_step_only_a_little():
    exact = gradients()
    fast = gradients(dataclasses.replace(SMALL, bfloat16=True, channels_last=True))

    for part in ("generator", "discriminator"):
        a, b = (
            torch.cat([t.flatten() for n, t in moments.items() if n.startswith(f"{part}_")])
            for moments in (exact, fast)
        )
        assert not torch.equal(a, b)
        assert torch.cosine_similarity(a, b, dim=0) > 0.98
