"""The discriminator against a plain formula in float64, and what it must and must not look at."""

import math

import pytest
import torch
from torch.nn.functional import conv2d, pad

from models.discriminator import (
    Discriminator,
    DiscriminatorConfig,
    append_group_deviation,
    load_published_state,
)
from renderer.camera import OrbitRig

SMALL = DiscriminatorConfig(resolution=32, channel_base=192, channel_max=10)


def small_discriminator(config=SMALL, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = Discriminator(config).double()
        with torch.no_grad():
            for name, parameter in made.named_parameters():
                if name.endswith("bias"):
                    parameter.normal_()
    return made


def some_images(count=8, side=32, seed=1):
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, side, side, generator=draw).double() * 2 - 1


def some_labels(count=8):
    rigs = [OrbitRig(yaw=0.3 * i - 1, pitch=0.1 * i) for i in range(count)]
    return torch.stack([rig.camera().to_label() for rig in rigs]).double()


def plain_logits(state, images, labels, depth):
    """The network written out with loops, shifts and one padding at a time."""

    def lrelu(x):
        return torch.where(x > 0, x, 0.2 * x) * math.sqrt(2)

    def low_pass(x, margin):
        x = pad(x, (margin,) * 4)
        taps = [1 / 8, 3 / 8, 3 / 8, 1 / 8]
        width, height = x.shape[3] - 3, x.shape[2] - 3
        x = sum(tap * x[..., i : i + width] for i, tap in enumerate(taps))
        return sum(tap * x[..., i : i + height, :] for i, tap in enumerate(taps))

    def conv(name, x, **options):
        weight = state[f"{name}.weight"]
        return conv2d(x, weight / math.sqrt(weight[0].numel()), **options)

    def biased(name, x):
        return x + state[f"{name}.bias"].view(1, -1, 1, 1)

    def fc(name, x, lr=1.0):
        weight = state[f"{name}.weight"]
        return x @ (weight * lr / math.sqrt(weight.shape[1])).T + lr * state[f"{name}.bias"]

    x = lrelu(biased("b32.fromrgb", conv("b32.fromrgb", images)))
    for block in ("b32", "b16", "b8"):
        short = conv(f"{block}.skip", low_pass(x, 1), stride=2) * math.sqrt(0.5)
        y = lrelu(biased(f"{block}.conv0", conv(f"{block}.conv0", x, padding=1)))
        y = lrelu(biased(f"{block}.conv1", conv(f"{block}.conv1", low_pass(y, 2), stride=2)))
        x = short + y * math.sqrt(0.5)
    apart = torch.zeros(len(x), 1, 4, 4).double()
    for i in range(len(x)):
        step = len(x) // 4
        members = x[[j for j in range(len(x)) if j % step == i % step]]
        apart[i] = ((members - members.mean(0)).square().mean(0) + 1e-8).sqrt().mean()
    x = lrelu(biased("b4.conv", conv("b4.conv", torch.cat([x, apart], 1), padding=1)))
    x = fc("b4.out", lrelu(fc("b4.fc", x.reshape(len(x), -1))))
    c = fc("mapping.embed", labels)
    c = c / (c.square().mean(1, keepdim=True) + 1e-8).sqrt()
    for layer in range(depth):
        c = lrelu(fc(f"mapping.fc{layer}", c, lr=0.01))
    return (x * c).sum(1) / math.sqrt(x.shape[1])


def test_the_discriminator_is_its_formula_in_float64():
    discriminator = small_discriminator()
    images, labels = some_images(), some_labels()

    found = discriminator(images, labels)

    expected = plain_logits(discriminator.state_dict(), images, labels, SMALL.mapping_depth)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    assert found.std() > 1e-4  # it does tell the pictures apart


def test_gradients_and_their_gradients_match_finite_differences():
    config = DiscriminatorConfig(resolution=16, channel_base=48, channel_max=4)
    discriminator = small_discriminator(config)
    images = some_images(2, 16).requires_grad_()
    labels = some_labels(2)
    direction = some_images(2, 16, seed=5) * 0.1

    def penalty(x):
        (slope,) = torch.autograd.grad(discriminator(x, labels).sum(), x, create_graph=True)
        return slope.square().sum()

    (gradient,) = torch.autograd.grad(penalty(images), images)

    step = 1e-5
    with torch.enable_grad():
        up, down = (penalty(images + sign * step * direction) for sign in (1, -1))
    expected = (up - down) / (2 * step)
    torch.testing.assert_close((gradient * direction).sum(), expected.detach(), rtol=1e-4, atol=0)


def test_its_parameters_have_the_published_names():
    with torch.device("meta"):
        state = Discriminator(DiscriminatorConfig(512)).state_dict()

    assert state["b512.fromrgb.weight"].shape == (64, 3, 1, 1)
    assert state["b512.conv1.weight"].shape == (128, 64, 3, 3)
    assert state["b64.skip.weight"].shape == (512, 512, 1, 1)
    assert "b64.skip.bias" not in state
    assert "b64.fromrgb.weight" not in state
    assert state["b4.conv.weight"].shape == (512, 513, 3, 3)
    assert state["b4.fc.weight"].shape == (512, 8192)
    assert {name.split(".")[1] for name in state if name.startswith("mapping.")} == {
        "embed", "fc0", "fc1",
    }  # fmt: skip


def test_a_published_state_loads_with_the_block_that_was_never_used():
    source = small_discriminator(seed=3)
    state = {name: tensor.clone() for name, tensor in source.state_dict().items()}
    state |= {"b8_pose.conv0.weight": torch.zeros(3), "b32.conv1.resample_filter": torch.ones(4, 4)}
    config = DiscriminatorConfig.from_state({name: tensor.shape for name, tensor in state.items()})
    target = Discriminator(config).double()

    load_published_state(target, state)

    assert config == SMALL
    assert torch.equal(target(some_images(), some_labels()), source(some_images(), some_labels()))


def test_a_missing_or_misshapen_tensor_is_named():
    discriminator = small_discriminator()
    state = discriminator.state_dict()
    lacking = {name: tensor for name, tensor in state.items() if name != "b16.conv0.bias"}

    with pytest.raises(ValueError, match=r"lacks b16\.conv0\.bias"):
        load_published_state(discriminator, lacking)
    with pytest.raises(ValueError, match=r"b4\.out\.bias of the shape \(3,\)"):
        load_published_state(discriminator, state | {"b4.out.bias": torch.zeros(3)})


def test_the_camera_changes_the_verdict():
    discriminator, images, labels = small_discriminator(), some_images(), some_labels()

    assert not torch.allclose(discriminator(images, labels), discriminator(images, labels.flip(0)))


def test_a_group_of_equal_pictures_shows_no_deviation_and_others_do():
    x = torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    x[[0, 2, 4, 6]] = x[0].clone()

    deviation = append_group_deviation(x, 4)[:, 3]

    assert (deviation[[0, 2, 4, 6]] < 2e-4).all()  # √1e-8, the term that keeps its slope finite
    assert (deviation[[1, 3, 5, 7]] > 0.5).all()


def test_batches_smaller_than_a_group_or_no_multiple_of_it_are_compared_as_far_as_they_go():
    x = torch.randn(6, 3, 4, 4)

    assert append_group_deviation(x, 4).shape == (6, 4, 4, 4)  # three groups of two
    assert append_group_deviation(x[:1], 4)[:, 3].max() < 2e-4


@pytest.mark.parametrize("resolution", [0, 8, 24, 100])
def test_a_resolution_that_cannot_be_halved_to_four_is_refused(resolution):
    with pytest.raises(ValueError, match="power of two"):
        DiscriminatorConfig(resolution)


def test_bfloat16_changes_the_verdict_only_a_little():
    torch_state = small_discriminator().float().state_dict()
    exact, low = Discriminator(SMALL), Discriminator(SMALL, bfloat16=True)
    exact.load_state_dict(torch_state)
    low.load_state_dict(torch_state)
    images, labels = some_images().float(), some_labels().float()

    a, b = exact(images, labels), low(images, labels)

    assert b.dtype == torch.float32
    assert not torch.equal(a, b)
    # bfloat16 keeps 8 bits, and the verdicts' spread passes some ten layers.
    assert (a - b).abs().max() < 0.1 * (a.max() - a.min()) + 0.02
