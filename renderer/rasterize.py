"""Splats and a camera to a picture: checks shapes, activates, picks a backend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from renderer.camera import Camera
from renderer.drawing import Backend, Drawing, Layers
from renderer.errors import BackendError
from renderer.gaussians import Gaussians
from renderer.spherical_harmonics import sh_to_rgb

BackendName = Literal["torch", "cpu", "gsplat"]
BACKENDS: tuple[BackendName, ...] = get_args(BackendName)
MAX_SIDE = 16384  # px; a picture beyond this is a slip of the keyboard


@dataclass(frozen=True, eq=False)
class Rendered:
    """A picture, row 0 at the top. Leading dimensions `...` are the batch of heads and cameras."""

    color: Tensor  # [..., 3, H, W]  0 and up, over the background; above 1 where splats are
    depth: Tensor  # [..., H, W]     world units along z, alpha-weighted
    alpha: Tensor  # [..., H, W]     in [0, 1]

    @property
    def expected_depth(self) -> Tensor:
        """Mean distance of what is seen, world units along z; 0 where nothing is. [..., H, W]"""
        return self.depth / self.alpha.clamp_min(1e-6)


@dataclass(frozen=True, eq=False)
class ActiveSplats:
    """One head ready to be drawn from any side: activated, without the rows that are not numbers."""

    means: Tensor  # [N, 3]
    quats: Tensor  # [N, 4]
    scales: Tensor  # [N, 3]
    opacities: Tensor  # [N]
    sh: Tensor  # [N, K, 3]
    dropped: int  # rows left out because they held NaN, infinity or no rotation

    def to(self, device: torch.device) -> ActiveSplats:
        """Move to a device."""
        return ActiveSplats(
            self.means.to(device),
            self.quats.to(device),
            self.scales.to(device),
            self.opacities.to(device),
            self.sh.to(device),
            self.dropped,
        )


def activate(gaussians: Gaussians) -> ActiveSplats:
    """Prepare one head (no batch) for drawing, in float32; worth keeping while only the camera moves."""
    assert not gaussians.batch_shape, gaussians.batch_shape
    gaussians = gaussians.to(dtype=torch.float32)
    kept = gaussians if gaussians.is_finite() else gaussians.select(gaussians.finite())
    return ActiveSplats(
        means=kept.means,
        quats=kept.quats,
        scales=kept.scales,
        opacities=kept.opacities,
        sh=kept.sh,
        dropped=gaussians.count - kept.count,
    )


def rasterize(
    gaussians: Gaussians | ActiveSplats,
    camera: Camera,
    size: tuple[int, int],
    *,
    background: Tensor | None = None,
    backend: BackendName | None = None,
) -> Rendered:
    """Draw splats as a camera sees them; differentiable in the splats, the camera pose and the background.

    Args:
        gaussians: What to draw. A batch of heads is drawn with a batch of cameras.
        camera: Its leading dimensions broadcast against those of `gaussians`.
        size: Width and height in pixels.
        background: Colour behind the head, black if None. [3] or [..., 3]
        backend: "torch", "cpu" or "gsplat"; the fastest for the splats' device if None.

    Returns:
        The picture, where the backend draws: see `device_of`.

    Raises:
        BackendError: The backend cannot run here, or the picture is larger than `MAX_SIDE`.
    """
    width, height = size
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise BackendError(
            f"A picture of {width} x {height} pixels cannot be drawn; use 1 to {MAX_SIDE} on each side."
        )
    backend = backend or default_backend(gaussians.means.device)
    draw, device = load_backend(backend), device_of(backend, gaussians.means.device)
    gaussians, camera = gaussians.to(device), camera.to(device, torch.float32)
    if background is None:
        background = torch.zeros(3, device=device)
    background = background.to(device, torch.float32)

    batch = gaussians.batch_shape if isinstance(gaussians, Gaussians) else torch.Size()
    lead = torch.broadcast_shapes(batch, camera.focal.shape, background.shape[:-1])
    heads = _activate_each(gaussians)  # once, however many cameras see a head
    if not lead:
        return Rendered(*_draw_one(draw, heads[0], camera, background, size))

    poses = camera.cam_to_world.expand(*lead, 4, 4).reshape(-1, 4, 4)
    focals = camera.focal.expand(lead).reshape(-1)
    backgrounds = background.expand(*lead, 3).reshape(-1, 3)
    which = torch.arange(batch.numel()).reshape(batch).expand(lead).reshape(-1).tolist()
    layers = [
        _draw_one(draw, heads[head], Camera(poses[i], focals[i]), backgrounds[i], size)
        for i, head in enumerate(which)
    ]
    color, depth, alpha = (
        torch.stack(parts).unflatten(0, lead) for parts in zip(*layers, strict=True)
    )
    return Rendered(color, depth, alpha)


def default_backend(device: torch.device | str = "cpu") -> BackendName:
    """Name the fastest rasterizer that this machine has for splats on `device`."""
    if torch.device(device).type == "cuda":
        from renderer import gsplat_backend

        return "gsplat" if gsplat_backend.why_not() is None else "cpu"
    return "cpu"


def device_of(backend: BackendName, device: torch.device) -> torch.device:
    """Say where a rasterizer draws splats that are on `device`: "cpu" in main memory, others there."""
    return torch.device("cpu") if backend == "cpu" else device


def available_backends() -> dict[BackendName, str | None]:
    """Each rasterizer, with a sentence why it cannot run on this machine, or None if it can."""
    from renderer import gsplat_backend

    return {"torch": None, "cpu": None, "gsplat": gsplat_backend.why_not()}


def load_backend(name: BackendName) -> Backend:
    """Import a rasterizer when it is first used: each pulls in a compiler of its own."""
    loaders: dict[str, Callable[[], Backend]] = {"torch": _torch, "cpu": _cpu, "gsplat": _gsplat}
    if name not in loaders:
        raise BackendError(
            f"There is no rasterizer called {name!r}; choose one of {', '.join(BACKENDS)}."
        )
    return loaders[name]()


def _activate_each(gaussians: Gaussians | ActiveSplats) -> list[ActiveSplats]:
    """Activate the heads of a batch, its leading dimensions row by row."""
    if isinstance(gaussians, ActiveSplats):
        return [gaussians]
    if not gaussians.batch_shape:
        return [activate(gaussians)]
    flat = gaussians.map(lambda tensor: tensor.flatten(0, len(gaussians.batch_shape) - 1))
    return [activate(flat[i]) for i in range(gaussians.batch_shape.numel())]


def _draw_one(
    draw: Backend, splats: ActiveSplats, camera: Camera, background: Tensor, size: tuple[int, int]
) -> Layers:
    if splats.sh.shape[-2] > 1:
        directions = torch.nn.functional.normalize(splats.means - camera.eye, dim=-1)
    else:
        directions = splats.means  # colour does not depend on it
    return draw(
        Drawing(
            means=splats.means,
            quats=splats.quats,
            scales=splats.scales,
            opacities=splats.opacities,
            colors=sh_to_rgb(splats.sh, directions),
            world_to_cam=camera.world_to_cam,
            focal=float(camera.focal) * size[1],
            size=size,
            background=background,
        )
    )


def _torch() -> Backend:
    from renderer.torch_backend import draw

    return draw


def _cpu() -> Backend:
    from renderer.cpu_backend import draw

    return draw


def _gsplat() -> Backend:
    from renderer.gsplat_backend import draw

    return draw
