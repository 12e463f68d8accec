"""The fast differentiable twin makes the plain generator's heads, and its gradients."""

import pytest
import torch

from models import differentiable_generator
from models.delta import sharing_twin
from models.differentiable_generator import DifferentiableGenerator
from tests.models.small import random_z, small_generator

ATTRIBUTES = ("means", "log_scales", "quats", "opacity_logits", "sh")


def gradients(generator, synthesize, w):
    """Slopes of a random sum of everything that is made: to w, and to each parameter."""
    w = w.clone().requires_grad_(True)
    generator.zero_grad(set_to_none=True)
    draw = torch.Generator().manual_seed(5)
    heads = synthesize(w)
    parts = (getattr(heads, name) for name in ATTRIBUTES)
    sum((part * torch.randn(part.shape, generator=draw)).sum() for part in parts).backward()
    return w.grad, {n: p.grad for n, p in generator.named_parameters() if p.grad is not None}


def relative(found, wanted):
    return float((found - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("levels", [1, 2, 4])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("per_block", [False, True])
def test_heads_are_those_of_the_plain_generator(levels, batch, per_block):
    generator = sharing_twin(small_generator(levels=levels))
    w = generator.map(random_z(generator, batch))
    if per_block:
        w = w + 0.3 * torch.randn(batch, generator.blocks, generator.w_dim)

    wanted = generator.synthesize(w)
    found = DifferentiableGenerator(generator).synthesize(w)

    for name in ATTRIBUTES:
        # As the fast generator: 5e-5 of values up to 13 in random networks.
        torch.testing.assert_close(
            getattr(found, name), getattr(wanted, name), atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize("trainable", [False, True])
def test_gradients_are_those_of_the_plain_generator(trainable):
    generator = sharing_twin(small_generator())
    generator.point_gen.requires_grad_(trainable)
    w = generator.map(random_z(generator)).detach()
    twin = DifferentiableGenerator(generator, "float32")

    to_w, to_weights = gradients(generator, generator.synthesize, w)
    found_w, found_weights = gradients(generator, twin.synthesize, w)

    assert relative(found_w, to_w) < 1e-4
    assert found_weights.keys() == to_weights.keys()
    assert bool(found_weights) == trainable
    for name, wanted in to_weights.items():
        # The key bias has no effect on a softmax: its slope is nothing but rounding.
        noise = 1e-3 if name.endswith("c_qkv.bias") else 2e-4
        assert (found_weights[name] - wanted).norm() < noise * wanted.norm() + 1e-4, name


def test_gradients_in_bfloat16_point_the_same_way(monkeypatch):
    # Where the processor lacks it torch multiplies bfloat16 as well, only slowly.
    monkeypatch.setattr(differentiable_generator, "has_bfloat16", lambda device: True)
    generator = sharing_twin(small_generator())
    generator.point_gen.requires_grad_(True)
    w = generator.map(random_z(generator)).detach()
    twin = DifferentiableGenerator(generator, "fast")
    assert twin.rounded

    to_w, to_weights = gradients(generator, generator.synthesize, w)
    found_w, found_weights = gradients(generator, twin.synthesize, w)

    # bfloat16 has 8 bits, 0.4 %, and some of what is summed cancels.
    assert relative(found_w, to_w) < 0.03
    for name, wanted in to_weights.items():
        if name.endswith(".weight"):
            assert relative(found_weights[name], wanted) < 0.06, name


def test_it_computes_with_the_weights_as_they_are_now():
    generator = sharing_twin(small_generator())
    generator.point_gen.requires_grad_(True)
    w = generator.map(random_z(generator)).detach()
    twin = DifferentiableGenerator(generator)
    before = twin.synthesize(w)

    with torch.no_grad():
        for parameter in generator.point_gen.parameters():
            parameter.mul_(1.05)

    wanted = generator.synthesize(w)
    assert not torch.allclose(before.means, wanted.means, atol=1e-3)
    torch.testing.assert_close(twin.synthesize(w).means, wanted.means, atol=1e-4, rtol=1e-4)
