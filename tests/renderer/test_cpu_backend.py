import gc
import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from renderer import cpu_backend, torch_backend
from renderer.cpu_backend import depth_order, draw, get_threads, set_threads, warm_up
from tests.renderer.scenes import DIFFERENTIABLE, cloud, gradients_of, to_double, upstream_of

SIZE = (45, 29)


@pytest.fixture(autouse=True)
def _same_threads_afterwards():
    threads = get_threads()
    yield
    set_threads(threads)


def assert_finite(drawing):
    """Draw and differentiate; nothing may be NaN or infinite."""
    for layer in draw(drawing):
        assert layer.isfinite().all()
    for name, gradient in gradients_of(draw, drawing, upstream_of(drawing.size)).items():
        assert gradient.isfinite().all(), name


def assert_agrees(drawing, tolerance=1e-4):
    """Draw and differentiate as torch does in float64; gradients relative to their largest component.

    The kernels' float32 leaves 1e-6 to 5e-5 of that, more where few pixels make up a gradient.
    """
    order = depth_order(drawing)
    for layer, expected in zip(
        draw(drawing), torch_backend.draw(to_double(drawing), order), strict=True
    ):
        assert torch.allclose(layer.double(), expected, atol=5 * tolerance)
    upstream = upstream_of(drawing.size)
    expected = gradients_of(
        lambda other: torch_backend.draw(other, order), to_double(drawing), upstream
    )
    for name, gradient in gradients_of(draw, drawing, upstream).items():
        largest = float(expected[name].abs().max())
        worst = float((gradient - expected[name]).abs().max())
        assert worst <= tolerance * largest, (name, worst / largest)


@pytest.mark.parametrize("count", [1, 7, 15, 16, 17, 33, 2048 + 5])
def test_any_number_of_splats(count):
    assert_agrees(cloud(count, SIZE))


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (17, 3), (5, 64), (33, 47)])
def test_any_size_of_picture(size):
    assert_agrees(cloud(50, size))


def test_no_splats_is_the_background():
    drawing = cloud(0, SIZE)

    layers = draw(drawing)

    assert torch.equal(layers.color, drawing.background[:, None, None].expand(3, 29, 45))
    assert not layers.alpha.any()
    assert not layers.depth.any()
    gradients = gradients_of(draw, drawing, upstream_of(SIZE))
    assert gradients["means"].shape == (0, 3)
    assert torch.allclose(gradients["background"], upstream_of(SIZE).color.sum((1, 2)), atol=1e-3)


def test_splats_behind_and_at_the_camera_are_not_drawn():
    drawing = cloud(8, SIZE)
    eye = -drawing.world_to_cam[:3, :3].T @ drawing.world_to_cam[:3, 3]
    forward = drawing.world_to_cam[2, :3]
    drawing.means[0] = eye
    drawing.means[1] = eye - forward
    drawing.means[2] = eye + 0.009 * forward
    seen = replace(drawing, **{name: getattr(drawing, name)[3:] for name in DIFFERENTIABLE[:5]})

    assert all(torch.equal(a, b) for a, b in zip(draw(drawing), draw(seen), strict=True))
    gradients = gradients_of(draw, drawing, upstream_of(SIZE))
    assert not any(gradients[name][:3].any() for name in DIFFERENTIABLE[:5])
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    assert_agrees(drawing)


def test_nothing_in_sight_leaves_no_gradient():
    drawing = cloud(20, SIZE)
    drawing = replace(drawing, means=drawing.means + torch.tensor([50.0, 0, 0]))

    gradients = gradients_of(draw, drawing, upstream_of(SIZE))

    assert not draw(drawing).alpha.any()
    assert not any(gradients[name].any() for name in (*DIFFERENTIABLE[:5], "world_to_cam"))


def test_transparent_and_opaque_splats():
    drawing = cloud(40, SIZE, sigma=0.1)
    drawing.opacities[::2], drawing.opacities[1::2] = 0, 1

    assert_agrees(drawing)
    assert not gradients_of(draw, drawing, upstream_of(SIZE))["opacities"][::2].any()


@pytest.mark.parametrize("exponent", [-20.0, 0.0, 3.0])
def test_tiny_and_huge_splats(exponent):
    drawing = cloud(40, SIZE)
    # Not quite round: the rotation of a sphere has no gradient but rounding.
    round_ = replace(
        drawing, scales=math.exp(exponent) * torch.tensor([[1.0, 0.7, 1.4]]).repeat(40, 1)
    )
    assert_agrees(round_)

    thin = replace(drawing, scales=torch.tensor([exponent, -20.0, -4.0]).exp().repeat(40, 1))
    assert_finite(thin)


def test_long_thin_splats_over_many_tiles():
    drawing = cloud(30, (150, 90))
    drawing.scales[:] = torch.tensor([1.0, 0.01, 0.003])
    assert_agrees(
        drawing, tolerance=1e-3
    )  # float32 resolves their shape less well: torch's has 1e-4


@pytest.mark.parametrize("field", ["means", "quats", "scales"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e30, 1e-30, 0.0])
def test_numbers_that_make_no_sense_do_no_harm(field, value):
    drawing = cloud(20, SIZE)
    getattr(drawing, field)[3:6] = value
    getattr(drawing, field)[7, 1] = value

    layers = draw(drawing)
    gradients = gradients_of(draw, drawing, upstream_of(SIZE))

    assert all(layer.isfinite().all() for layer in layers)
    healthy = [i for i in range(20) if i not in (3, 4, 5, 7)]
    assert all(gradients[name][healthy].isfinite().all() for name in DIFFERENTIABLE[:5])


def test_equal_depths_keep_their_order():
    drawing = cloud(3000, SIZE)
    forward = drawing.world_to_cam[2, :3]
    drawing.means[:] -= (drawing.means @ forward)[
        :, None
    ] * forward  # all in a plane before the camera
    depths = (drawing.means @ forward + drawing.world_to_cam[2, 3]).float()
    assert len(depths.unique()) < 50

    order = depth_order(drawing)

    assert torch.equal(order.sort().values, torch.arange(3000))
    assert_agrees(drawing, tolerance=1e-3)


def test_many_splats_in_one_tile():
    drawing = cloud(5000, (16, 16), sigma=0.02)
    drawing.opacities[:] *= 0.05
    assert_agrees(drawing, tolerance=1e-3)


def test_the_number_of_threads_changes_nothing():
    drawing, upstream = cloud(5000, (100, 70)), upstream_of((100, 70))
    set_threads(1)
    layers, gradients = draw(drawing), gradients_of(draw, drawing, upstream)

    for threads in (2, 5):
        set_threads(threads)
        assert all(torch.equal(a, b) for a, b in zip(draw(drawing), layers, strict=True))
        again = gradients_of(draw, drawing, upstream)
        assert all(torch.equal(again[name], gradients[name]) for name in DIFFERENTIABLE)


def test_two_threads_may_draw_at_once():
    set_threads(2)
    scenes = [cloud(1500, (64, 48), seed=1), cloud(2500, (50, 81), seed=2)]
    expected = [gradients_of(draw, scene, upstream_of(scene.size)) for scene in scenes]

    def differing(scene, correct):
        wrong = []
        for _ in range(25):
            again = gradients_of(draw, scene, upstream_of(scene.size))
            wrong += [
                name for name in DIFFERENTIABLE if not torch.equal(again[name], correct[name])
            ]
        return wrong

    with ThreadPoolExecutor(2) as callers:
        assert list(callers.map(differing, scenes, expected)) == [[], []]


def test_pictures_wait_for_their_gradients_independently():
    scenes = [cloud(60, SIZE, seed=1), cloud(80, (30, 52), seed=2)]
    expected = [gradients_of(draw, scene, upstream_of(scene.size))["means"] for scene in scenes]
    leaves = [scene.means.clone().requires_grad_() for scene in scenes]

    pictures = [
        draw(replace(scene, means=leaf)) for scene, leaf in zip(scenes, leaves, strict=True)
    ]
    draw(cloud(500, SIZE, seed=3))  # must not disturb them
    for scene, picture in zip(scenes, pictures, strict=True):
        torch.autograd.backward(list(picture), list(upstream_of(scene.size)))

    assert all(torch.equal(leaf.grad, right) for leaf, right in zip(leaves, expected, strict=True))


def test_memory_is_used_again():
    stock = cpu_backend._pictures
    drawing = cloud(60, SIZE)
    leaf = drawing.means.clone().requires_grad_()
    draw(drawing)
    before = len(stock._free)
    assert before > 0

    picture = draw(replace(drawing, means=leaf))
    assert len(stock._free) == before - 1  # kept for the gradient
    del picture
    gc.collect()
    assert len(stock._free) == before


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_only_what_is_wanted_is_differentiated(name):
    drawing, upstream = cloud(40, SIZE), upstream_of(SIZE)
    full = gradients_of(draw, drawing, upstream)
    leaf = getattr(drawing, name).clone().requires_grad_()

    torch.autograd.backward(list(draw(replace(drawing, **{name: leaf}))), list(upstream))

    assert torch.allclose(leaf.grad, full[name], rtol=1e-6)


@pytest.mark.parametrize("layer", ["color", "depth", "alpha"])
def test_each_layer_has_a_gradient_of_its_own(layer):
    drawing, upstream = cloud(40, SIZE), upstream_of(SIZE)
    order = depth_order(drawing)

    def gradient(backend):
        leaf = drawing.means.clone().requires_grad_()
        picture = backend(replace(drawing, means=leaf))
        (getattr(picture, layer) * getattr(upstream, layer)).sum().backward()
        return leaf.grad

    expected = gradient(lambda other: torch_backend.draw(other, order))
    assert torch.allclose(gradient(draw), expected, atol=1e-4 * float(expected.abs().max()))


def test_upstream_gradients_may_lie_in_memory_as_they_like():
    drawing = cloud(40, SIZE)
    pattern = upstream_of(SIZE).color
    leaves = [drawing.colors.clone().requires_grad_() for _ in range(2)]

    draw(replace(drawing, colors=leaves[0])).color.backward(pattern)
    draw(replace(drawing, colors=leaves[1])).color.backward(
        pattern.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    )

    assert torch.equal(leaves[0].grad, leaves[1].grad)
    draw(replace(drawing, colors=leaves[0])).color.sum().backward()  # an expanded gradient


def test_without_gradients_nothing_is_kept():
    drawing = cloud(40, SIZE)
    leaf = drawing.means.requires_grad_()
    with torch.no_grad():
        assert draw(replace(drawing, means=leaf)).color.grad_fn is None
    assert draw(cloud(40, SIZE)).color.grad_fn is None


def test_inputs_may_be_parts_of_larger_tensors():
    drawing = cloud(40, SIZE)
    packed = torch.cat([drawing.means, drawing.scales, drawing.quats], dim=1)
    sliced = replace(drawing, means=packed[:, :3], scales=packed[:, 3:6], quats=packed[:, 6:])

    assert torch.equal(draw(sliced).color, draw(drawing).color)


def test_warm_up_says_what_it_does():
    said = []
    warm_up(said.append)
    assert len(said) == 2
    assert all(sentence for sentence in said)


def test_other_users_of_numba_keep_their_settings(tmp_path):
    program = (
        "import numba; from numba.core import config; before = config.CACHE_DIR;"
        "import renderer.cpu_kernels; assert config.CACHE_DIR == before"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)


def test_vectors_start_on_cache_lines():
    for count in (1, 100, 100_000):
        array = cpu_backend._aligned(count, np.float32)
        assert len(array) == count
        assert array.ctypes.data % 64 == 0
