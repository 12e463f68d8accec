"""The CUDA twin: gsplat's kernels in "classic" mode with the same low-pass. Imported when first used.

One difference is beyond our reach: gsplat 1.5.3 caps alpha at 0.999 and not at `MAX_ALPHA`, so the
very centre of an opaque splat (where its Gaussian is above 0.99) is up to 0.009 more opaque.
"""

from __future__ import annotations

import os
import shutil
from functools import cache
from pathlib import Path

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
    if not is_compiled() and not _has_nvcc():
        return (
            "gsplat must build its kernels once and finds no nvcc. Install the CUDA toolkit of torch's "
            "CUDA version and start again, or choose the cpu rasterizer."
        )
    return None


def is_compiled() -> bool:
    """Whether gsplat's kernels came with it or lie in torch's cache: building them takes minutes."""
    import gsplat
    from torch.utils.cpp_extension import _get_build_directory

    built = Path(_get_build_directory("gsplat_cuda", verbose=False))  # as gsplat asks for it
    folders = {"csrc": Path(gsplat.__file__).parent, "gsplat_cuda": built}
    return any(
        file.suffix in (".so", ".pyd", ".lib")
        for name, folder in folders.items()
        for file in folder.glob(f"{name}.*")
    )


def warm_up(*, gradients: bool = True) -> None:
    """Build the kernels or load them, those of the backward pass always with the others."""
    why_not_built()


@cache
def why_not_built() -> str | None:
    """Build gsplat's kernels, or load them: minutes the first time. None, or a sentence why not.

    A failure is remembered until the program ends: trying again costs as long as the first time.
    """
    try:
        from gsplat.cuda._backend import _C
    except (ImportError, OSError, RuntimeError) as error:  # the compiler's own words can be pages
        reason = f" ({str(error).strip().splitlines()[0][:200]})" if str(error).strip() else ""
    else:
        if _C is not None:
            return None
        reason = " (no nvcc was found)"
    return (
        f"gsplat's CUDA kernels could not be built{reason}. Install the CUDA toolkit of torch's CUDA "
        "version and a C++ compiler and start again, or choose the cpu rasterizer."
    )


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

    reason = why_not_built()
    if reason is not None:
        raise BackendError(reason)
    from gsplat import rasterization

    focal = drawing.focal
    intrinsics = torch.tensor(
        [[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], device=drawing.means.device
    )
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
        render_mode="RGB+D",  # color, then the alpha-weighted sum of distances
    )
    alpha = alphas[0, ..., 0]
    color = pictures[0, ..., :3].permute(2, 0, 1) + (1 - alpha) * drawing.background[:, None, None]
    return Layers(color, pictures[0, ..., 3], alpha)


def _has_nvcc() -> bool:
    from torch.utils.cpp_extension import CUDA_HOME

    folders = [f"{CUDA_HOME}/bin"] if CUDA_HOME else []
    search = os.pathsep.join([*folders, os.environ.get("PATH", os.defpath)])
    return shutil.which("nvcc", path=search) is not None
