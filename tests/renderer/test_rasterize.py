import math

import pytest
import torch

from renderer import torch_backend
from renderer.camera import Camera, OrbitRig, look_at
from renderer.drawing import MAX_ALPHA, Drawing, Layers
from renderer.errors import BackendError
from renderer.gaussians import Gaussians
from renderer.rasterize import BACKENDS, activate, load_backend, rasterize
from renderer.spherical_harmonics import rgb_to_dc
from tests.renderer.scenes import DIFFERENTIABLE, cloud, gradients_of, to_double, upstream_of

EVERY_BACKEND = [
    pytest.param(name, marks=pytest.mark.gpu) if name == "gsplat" else name for name in BACKENDS
]
SIZE = (45, 29)  # neither square nor a multiple of a tile


def device_of(backend):
    return "cuda" if backend == "gsplat" else "cpu"


def splats(means, *, sigma=0.02, opacity=0.98, colors=None, degree=0):
    means = torch.tensor(means, dtype=torch.float32)
    count = len(means)
    sh = torch.zeros(count, (degree + 1) ** 2, 3)
    if colors is not None:
        sh[:, 0] = rgb_to_dc(torch.tensor(colors, dtype=torch.float32))
    return Gaussians(
        means=means,
        log_scales=torch.full((count, 3), math.log(sigma)),
        quats=torch.tensor([[1.0, 0, 0, 0]]).repeat(count, 1),
        opacity_logits=torch.full((count,), math.log(opacity / (1 - opacity))),
        sh=sh,
    )


def random_head(count, degree, seed=3, batch=()):
    random = torch.Generator().manual_seed(seed)
    return Gaussians(
        means=0.2 * torch.randn(*batch, count, 3, generator=random),
        log_scales=-3 + 0.5 * torch.randn(*batch, count, 3, generator=random),
        quats=torch.randn(*batch, count, 4, generator=random),
        opacity_logits=torch.randn(*batch, count, generator=random),
        sh=0.4 * torch.randn(*batch, count, (degree + 1) ** 2, 3, generator=random),
    )


def camera_at(yaw=0.4, pitch=0.2):
    return OrbitRig(yaw=yaw, pitch=pitch).camera()


def draw_on_its_device(backend, drawing):
    device = device_of(backend)
    moved = {name: getattr(drawing, name).to(device) for name in DIFFERENTIABLE}
    layers = load_backend(backend)(Drawing(**moved, focal=drawing.focal, size=drawing.size))
    return Layers(*(layer.cpu() for layer in layers))


def draw_in_order_of(backend, drawing):
    """The definition, with splats in the float32 order of the backend: equal depths have no other."""
    if backend == "cpu":
        from renderer.cpu_backend import depth_order

        return lambda other: torch_backend.draw(other, depth_order(drawing))
    return torch_backend.draw


@pytest.mark.parametrize("backend", EVERY_BACKEND)
def test_one_splat_lands_where_the_camera_projects_it(backend):
    width, height = SIZE
    camera = camera_at()
    point = torch.tensor([0.11, -0.07, 0.05])
    head = splats([point.tolist()], sigma=0.01, colors=[[1.0, 0.25, 0.0]])
    device = device_of(backend)

    picture = rasterize(head.to(device), camera, SIZE, backend=backend)

    x, y, z = (camera.world_to_cam[:3, :3] @ point + camera.world_to_cam[:3, 3]).tolist()
    focal = float(camera.focal) * height
    weight = picture.alpha.cpu().double()
    columns, rows = torch.arange(width) + 0.5, torch.arange(height) + 0.5
    seen_x, seen_y = (
        (weight.sum(0) * columns).sum() / weight.sum(),
        (weight.sum(1) * rows).sum() / weight.sum(),
    )
    # A splat is cut where it is fainter than 1/255, on a grid of whole pixels.
    assert float(seen_x) == pytest.approx(focal * x / z + width / 2, abs=0.02)
    assert float(seen_y) == pytest.approx(focal * y / z + height / 2, abs=0.02)
    row, column = int(seen_y), int(seen_x)
    assert float(picture.expected_depth[row, column]) == pytest.approx(z, rel=1e-5)
    red, green, blue = picture.color[:, row, column].tolist()
    assert green == pytest.approx(0.25 * red, rel=1e-4)
    assert blue == 0
    assert 0.5 < red < MAX_ALPHA


@pytest.mark.parametrize("backend", EVERY_BACKEND)
def test_nearer_hides_farther(backend):
    colors = [[1.0, 0, 0], [0, 1.0, 0]]
    pair = splats([[0, 0, -0.2], [0, 0, 0.3]], sigma=0.1, opacity=0.9, colors=colors)
    device = device_of(backend)

    front = (
        rasterize(pair.to(device), camera_at(0, 0), SIZE, backend=backend).color[:, 14, 22].cpu()
    )
    behind = (
        rasterize(pair.to(device), camera_at(math.pi, 0), SIZE, backend=backend)
        .color[:, 14, 22]
        .cpu()
    )

    assert front[1] > 5 * front[0] > 0
    assert behind[0] > 5 * behind[1] > 0


@pytest.mark.parametrize("size", [SIZE, (16, 48), (70, 100)])
@pytest.mark.parametrize("backend", EVERY_BACKEND)
def test_every_backend_draws_what_torch_draws(backend, size):
    drawing = cloud(700, size)
    expected = draw_in_order_of(backend, drawing)(to_double(drawing))

    layers = draw_on_its_device(backend, drawing)

    for layer, other in zip(layers, expected, strict=True):
        error = (layer - other).abs()
        # A sample whose alpha is within float32's rounding of 1/255 may fall on either side of it; its
        # weight, and so the error, is at most 1/255 (times the depth, here below 4).
        assert float(error.mean()) < 2e-6 * 4
        assert float((error > 1e-4).double().mean()) < 1e-3
        assert float(error.max()) < 4 / 255


@pytest.mark.parametrize("size", [SIZE, (70, 100)])
@pytest.mark.parametrize("backend", EVERY_BACKEND)
def test_every_backend_differentiates_as_torch_does(backend, size):
    drawing, upstream = cloud(300, size), upstream_of(size)
    expected = gradients_of(draw_in_order_of(backend, drawing), to_double(drawing), upstream)

    def draw(other):
        return draw_on_its_device(backend, other)

    for name, gradient in gradients_of(draw, drawing, upstream).items():
        # float32 against float64, relative to the largest component: sums of some thousand samples.
        error = (gradient.double() - expected[name]).abs().max() / expected[name].abs().max()
        assert float(error) < 2e-5, name


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_match_finite_differences(name):
    drawing, upstream = to_double(cloud(7, (11, 9), sigma=0.1)), upstream_of((11, 9))
    order = torch_backend.project(drawing)[2].argsort()

    def loss(**changed):
        fields = {field: getattr(drawing, field) for field in DIFFERENTIABLE} | changed
        layers = torch_backend.draw(
            Drawing(**fields, focal=drawing.focal, size=drawing.size), order
        )
        return sum(
            (layer * gradient).sum() for layer, gradient in zip(layers, upstream, strict=True)
        )

    leaf = getattr(drawing, name).clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(**{name: leaf}), leaf)
    random = torch.Generator().manual_seed(5)
    for _ in range(3):
        way = torch.randn(leaf.shape, generator=random, dtype=torch.float64)
        if name == "world_to_cam":
            way[3] = 0  # always 0 0 0 1
        step = 1e-7  # so small that hardly ever a sample crosses 1/255, where the picture jumps
        with torch.no_grad():
            ahead, back = loss(**{name: leaf + step * way}), loss(**{name: leaf - step * way})
        assert float((gradient * way).sum()) == pytest.approx(
            float(ahead - back) / (2 * step), rel=1e-4, abs=1e-5
        )


@pytest.mark.parametrize("backend", EVERY_BACKEND)
def test_the_gradient_reaches_the_camera_pose(backend):
    device = device_of(backend)
    head = random_head(60, degree=2).to(device)
    eye, target, up = torch.tensor([0.3, 0.4, 2.5]), torch.zeros(3), torch.tensor([0.0, 1.0, 0.0])
    focal = torch.tensor(4.0)
    random = torch.Generator().manual_seed(2)
    pattern = torch.randn(3, SIZE[1], SIZE[0], generator=random).to(device)

    def gradient(name):
        leaf = eye.clone().to(device).requires_grad_()
        pose = look_at(leaf, target.to(device), up.to(device))
        picture = rasterize(head, Camera(pose, focal.to(device)), SIZE, backend=name)
        (pattern * picture.color).sum().backward()
        return leaf.grad.cpu()

    assert torch.allclose(gradient(backend), gradient("torch"), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize("backend", EVERY_BACKEND)
def test_colours_depend_on_the_view_as_in_torch(backend, degree):
    device = device_of(backend)
    head, camera = random_head(40, degree).to(device), camera_at(0.9, -0.3)
    leaves = [head.sh.clone().requires_grad_(), head.sh.clone().requires_grad_()]
    pictures = [
        rasterize(
            Gaussians(head.means, head.log_scales, head.quats, head.opacity_logits, sh),
            camera,
            SIZE,
            backend=name,
        )
        for sh, name in zip(leaves, (backend, "torch"), strict=True)
    ]
    for picture in pictures:
        picture.color.square().sum().backward()

    assert torch.allclose(pictures[0].color, pictures[1].color, atol=1e-4)
    assert torch.allclose(
        leaves[0].grad, leaves[1].grad, rtol=1e-3, atol=1e-3 * float(leaves[1].grad.abs().max())
    )


@pytest.mark.parametrize("backend", EVERY_BACKEND)
def test_a_batch_is_its_heads_and_cameras_one_by_one(backend):
    device = device_of(backend)
    heads = random_head(7, degree=1, batch=(2,)).to(device)
    rigs = [camera_at(0.0, 0.1), camera_at(0.7, -0.2)]
    cameras = Camera(
        torch.stack([rig.cam_to_world for rig in rigs]), torch.stack([rig.focal for rig in rigs])
    )
    backgrounds = torch.tensor([[0.1, 0.2, 0.3], [0.9, 0.8, 0.1]], device=device)

    pictures = rasterize(heads, cameras, SIZE, background=backgrounds, backend=backend)

    assert pictures.color.shape == (2, 3, SIZE[1], SIZE[0])
    assert pictures.depth.shape == pictures.alpha.shape == (2, SIZE[1], SIZE[0])
    for i in range(2):
        alone = rasterize(heads[i], rigs[i], SIZE, background=backgrounds[i], backend=backend)
        assert torch.equal(pictures.color[i], alone.color)
        assert torch.equal(pictures.depth[i], alone.depth)
        assert torch.equal(pictures.alpha[i], alone.alpha)


def test_leading_dimensions_of_heads_and_cameras_broadcast():
    heads = random_head(7, degree=1, batch=(2, 1))
    rigs = [camera_at(0.0, 0.1), camera_at(0.7, -0.2), camera_at(-1.3, 0.4)]
    cameras = Camera(
        torch.stack([rig.cam_to_world for rig in rigs]), torch.stack([rig.focal for rig in rigs])
    )

    pictures = rasterize(heads, cameras, SIZE)
    of_one = rasterize(activate(heads[1][0]), cameras, SIZE)

    assert pictures.color.shape == (2, 3, 3, SIZE[1], SIZE[0])
    assert pictures.alpha.shape == (2, 3, SIZE[1], SIZE[0])
    for i in range(2):
        for j in range(3):
            alone = rasterize(heads[i][0], rigs[j], SIZE)
            assert torch.equal(pictures.color[i, j], alone.color)
    assert torch.equal(pictures.color[1], of_one.color)
    assert torch.equal(pictures.depth[1], of_one.depth)


@pytest.mark.parametrize("backend", EVERY_BACKEND)
def test_the_background_shows_where_nothing_is(backend):
    background = torch.tensor([0.2, 0.5, 0.9], device=device_of(backend))
    head = splats([[0.0, 0, 0]], sigma=0.01, colors=[[1.0, 0, 0]]).to(background.device)

    picture = rasterize(head, camera_at(), SIZE, background=background, backend=backend)

    assert torch.equal(picture.color[:, 0, 0], background)
    assert float(picture.alpha[0, 0]) == float(picture.depth[0, 0]) == 0
    assert torch.allclose(
        picture.color.mean((1, 2))[2], 0.9 * (1 - picture.alpha).mean(), atol=1e-6
    )  # this splat has no blue


def test_rows_that_are_not_numbers_are_left_out():
    head = random_head(9, degree=0)
    head.means[2, 1], head.log_scales[4, 0], head.opacity_logits[5] = math.nan, math.inf, -math.inf
    head.quats[7] = 0

    active = activate(head)

    assert active.dropped == 4
    kept = [0, 1, 3, 6, 8]
    assert torch.equal(active.means, head.means[kept])
    for backend in ("torch", "cpu"):
        color = rasterize(head, camera_at(), SIZE, backend=backend).color
        clean = rasterize(
            head.select(torch.isin(torch.arange(9), torch.tensor(kept))),
            camera_at(),
            SIZE,
            backend=backend,
        )
        assert torch.equal(color, clean.color)


@pytest.mark.parametrize("backend", ["torch", "cpu"])
def test_a_head_in_float64_is_drawn_like_one_in_float32(backend):
    head = random_head(9, degree=1)

    double = rasterize(head.to(dtype=torch.float64), camera_at(), SIZE, backend=backend)

    assert double.color.dtype == torch.float32
    assert torch.equal(double.color, rasterize(head, camera_at(), SIZE, backend=backend).color)


def test_impossible_requests_are_refused_with_a_sentence():
    head = random_head(3, degree=0)
    with pytest.raises(BackendError, match="0 x 9 pixels"):
        rasterize(head, camera_at(), (0, 9))
    with pytest.raises(BackendError, match="no rasterizer called 'vulkan'"):
        rasterize(head, camera_at(), SIZE, backend="vulkan")
