"""A change of weights as a value: exact in a file, bound to its generator, blended by a strength."""

from dataclasses import replace

import pytest
import safetensors.torch
import torch

from models.delta import (
    HEADER,
    ForeignDelta,
    WeightDelta,
    decode_delta,
    delta_between,
    read_delta,
    sharing_twin,
    with_delta,
    write_delta,
)
from models.directions import weights_hash
from renderer.errors import LoadError
from tests.models.small import random_z, small_generator


def tuned_from(base, seed=1, size=0.01):
    """A generator whose tree differs a little from another's in every parameter."""
    draw = torch.Generator().manual_seed(seed)
    changed = {
        name: value + size * torch.randn(value.shape, generator=draw)
        for name, value in base.state_dict().items()
        if name.startswith("point_gen.")
    }
    return sharing_twin(base, changed)


@pytest.fixture
def base():
    return small_generator()


@pytest.fixture
def delta(base):
    return delta_between(base, tuned_from(base), name="Ada")


def test_strength_1_is_the_tuned_generator_to_the_precision_of_float16(base, delta):
    tuned = tuned_from(base)

    blended = with_delta(base, delta)

    for (name, wanted), found in zip(tuned.named_parameters(), blended.parameters(), strict=True):
        change = (wanted - dict(base.named_parameters())[name]).abs()
        # float16 has 11 bits; adding to float32 weights of about 1 rounds as well.
        assert ((found - wanted).abs() <= change / 2048 + 2e-7).all(), name


def test_strength_0_is_the_generator_bit_for_bit(base, delta):
    before = {name: value.clone() for name, value in base.state_dict().items()}

    blended = with_delta(base, delta, 0)

    for name, value in blended.state_dict().items():
        assert value.numpy().tobytes() == before[name].numpy().tobytes(), name


def test_half_the_strength_is_half_the_change(base, delta):
    half, whole = with_delta(base, delta, 0.5), with_delta(base, delta)

    for start, mid, end in zip(
        base.parameters(), half.parameters(), whole.parameters(), strict=True
    ):
        torch.testing.assert_close(mid - start, 0.5 * (end - start), atol=3e-7, rtol=1e-4)


def test_adding_a_delta_leaves_the_generator_as_it_was(base, delta):
    before = weights_hash(base)

    blended = with_delta(base, delta)

    assert weights_hash(base) == before
    assert weights_hash(blended) != before
    assert not any(parameter.requires_grad for parameter in blended.parameters())
    shared = blended.mapping_network.fc0.weight.data_ptr()
    assert shared == base.mapping_network.fc0.weight.data_ptr()


def test_a_delta_is_the_same_after_a_file_bit_for_bit(base, delta, tmp_path):
    path = tmp_path / "ada.tuning.safetensors"

    write_delta(path, delta)

    assert read_delta(path) == delta
    assert path.read_bytes() == delta.content
    assert decode_delta(path.read_bytes()) == delta


def test_a_renamed_delta_keeps_its_new_name_in_a_file(base, delta, tmp_path):
    path = tmp_path / "ada.tuning.safetensors"

    write_delta(path, replace(delta, name="Countess\nof Lovelace"))

    assert read_delta(path).name == "Countessof Lovelace"
    z = random_z(base)
    first = with_delta(base, delta).synthesize(base.map(z))
    again = with_delta(base, read_delta(path)).synthesize(base.map(z))
    assert torch.equal(first.means, again.means)


def test_a_delta_holds_only_what_changed(base):
    changed = {"point_gen._xyz": base.point_gen._xyz.detach() + 0.5}

    delta = delta_between(base, sharing_twin(base, changed))

    assert list(safetensors.torch.load(delta.content)) == ["point_gen._xyz"]


def test_a_change_that_float16_cannot_hold_is_refused(base):
    changed = {"point_gen._xyz": base.point_gen._xyz.detach() + 1e6}

    with pytest.raises(ValueError, match="_xyz is not finite"):
        delta_between(base, sharing_twin(base, changed))


def test_a_delta_of_another_generator_is_refused_with_a_sentence(delta, tmp_path):
    stranger = small_generator(seed=1)
    path = tmp_path / "ada.tuning.safetensors"
    write_delta(path, delta)

    with pytest.raises(ForeignDelta, match="'Ada' belongs to another generator"):
        with_delta(stranger, delta)
    with pytest.raises(ForeignDelta, match="Open the generator it was made with"):
        read_delta(path, weights_hash(stranger))


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 40, 400, 2000])
def test_a_truncated_file_is_refused_with_a_sentence(delta, tmp_path, kept):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(delta.content[:kept])

    with pytest.raises(LoadError, match="holds no tuning, or is damaged"):
        read_delta(path)


def made(tensors=None, header='{"format": 1, "weights": "%s", "name": ""}'):
    """A safetensors file with any header."""
    text = header % ("a" * 64) if "%s" in header else header
    return safetensors.torch.save(tensors or {"x": torch.ones(2).half()}, {HEADER: text})


@pytest.mark.parametrize(
    "content",
    [
        safetensors.torch.save({"x": torch.ones(2).half()}),
        made(header="{"),
        made(header="[]"),
        made(header="[" * 100_000),
        made(header='{"format": 2, "weights": "%s", "name": ""}'),
        made(header='{"format": true, "weights": "%s", "name": ""}'),
        made(header='{"format": 1, "weights": "abc", "name": ""}'),
        made(header='{"format": 1, "weights": "%s", "name": 3}'),
        made(header='{"format": 1, "weights": "%s", "name": "a\\u0007"}'),
        made({"x": torch.ones(2)}),
        made({"x": torch.tensor([1, torch.inf]).half()}),
        b"\xff" * 4096,
    ],
)
def test_a_hostile_file_is_refused_with_a_sentence(content, tmp_path):
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(content)

    with pytest.raises(LoadError, match="holds no tuning, or is damaged"):
        read_delta(path)


def test_a_missing_file_is_refused_with_a_sentence(tmp_path):
    with pytest.raises(LoadError, match="does not exist"):
        read_delta(tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    "tensors",
    [{"point_gen.nonsense": torch.ones(2).half()}, {"point_gen._xyz": torch.ones(2).half()}],
)
def test_a_delta_whose_parts_do_not_fit_is_refused_with_a_sentence(base, tensors):
    weights = weights_hash(base)
    header = '{"format": 1, "weights": "%s", "name": ""}' % weights  # noqa: UP031
    delta = WeightDelta(weights, made(tensors, header))

    with pytest.raises(LoadError, match="does not fit"):
        with_delta(base, delta)


def test_a_delta_with_spoilt_bytes_is_refused_when_it_is_added(base, delta):
    with pytest.raises(LoadError, match="is damaged"):
        with_delta(base, replace(delta, content=delta.content[:-5]))
