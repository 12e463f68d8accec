"""The CUDA twin: gsplat's kernels in "classic" mode with the same low-pass. Imported when first used."""

from __future__ import annotations

from functools import cache

import torch

from renderer.drawing import LOW_PASS, NEAR, Drawing, Layers
from renderer.errors import BackendError


@cache
def why_not() -> str | None:
    """Say in a sentence why gsplat cannot run here; None if it can. Builds nothing."""
    if not torch.cuda.is_available():
        return "The gsplat rasterizer needs an NVIDIA GPU that torch can use; choose the cpu rasterizer."
    try:
        import gsplat  # noqa: F401
    except ImportError as error:
        return f"gsplat is not installed ({error}); run `make run` again, or choose the cpu rasterizer."
    return None


def draw(drawing: Drawing) -> Layers:
    """Rasterize on the GPU.

    Raises:
        BackendError: There is no GPU, the splats are not on it, or gsplat's kernels do not build.
    """
    reason = why_not()
    if reason is not None:
        raise BackendError(reason)
    if not drawing.means.is_cuda:
        raise BackendError(
            "The gsplat rasterizer draws splats that are on the GPU; move the head there first."
        )
    width, height = drawing.size
    if drawing.count == 0:  # gsplat's kernels do not take empty tensors
        clear = torch.zeros(height, width, device=drawing.means.device)
        return Layers(
            drawing.background[:, None, None].expand(3, height, width).clone(), clear, clear.clone()
        )

    from gsplat import rasterization

    focal = drawing.focal
    intrinsics = torch.tensor(
        [[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], device=drawing.means.device
    )
    try:
        pictures, alphas, _ = rasterization(
            drawing.means,
            drawing.quats,
            drawing.scales,
            drawing.opacities,
            drawing.colors,
            drawing.world_to_cam[None],
            intrinsics[None],
            width,
            height,
            near_plane=NEAR,
            eps2d=LOW_PASS,
            packed=False,  # faster for one small scene
            rasterize_mode="classic",
            render_mode="RGB+D",
        )
    except (ImportError, AttributeError) as error:
        # What gsplat raises when its kernels did not compile.
        raise BackendError(
            "gsplat's CUDA kernels could not be built. Install the CUDA toolkit (nvcc) of torch's CUDA "
            f"version and a C++ compiler, or choose the cpu rasterizer. ({error})"
        ) from error
    alpha = alphas[0, ..., 0]
    color = pictures[0, ..., :3].permute(2, 0, 1) + (1 - alpha) * drawing.background[:, None, None]
    return Layers(color, pictures[0, ..., 3], alpha)
