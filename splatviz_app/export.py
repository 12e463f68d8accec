"""Saving, as jobs: a picture at any size, and a head for other programs. Never overwrites."""

from __future__ import annotations

import io
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from renderer.errors import SaveError
from renderer.files import atomic_write, unused_name
from renderer.formats.ply import PROFILES, write_ply
from renderer.rasterize import MAX_SIDE, Rendered
from renderer.tonemap import straight_rgba, to_bytes
from splatviz_app.engine import Progress, Step
from splatviz_app.pipeline import Pipeline, RenderRequest, compose
from splatviz_app.projects.files import picture_text, ply_comments

# What one pixel takes at the peak: rasterized layers, their composition, the bytes, the encoder.
_BYTES_PER_PIXEL = 80


@dataclass(frozen=True)
class PictureOptions:
    """How a picture is saved."""

    # Width and height in px.
    size: tuple[int, int] = (1024, 1024)
    # Leave out the background: the file gets an alpha channel.
    transparent: bool = False
    # Draw this many times larger on each side and average: smoother edges.
    supersampling: int = 1


@dataclass(frozen=True)
class SavedFile:
    """The result of a saving job."""

    path: Path
    sentence: str


def save_picture(
    pipeline: Pipeline,
    request: RenderRequest,
    path: Path,
    options: PictureOptions,
    note: str = "",
) -> Generator[Progress, None, SavedFile]:
    """Draw what `request` shows at the size of `options` and write a PNG.

    Args:
        pipeline: Draws it.
        request: The head, camera and view; its size is not used.
        path: The wished name; a number is added if it is taken.
        options: Size, background, supersampling.
        note: How it was made (`note_of`), to be kept in the file; opening the picture restores it.

    Raises:
        SaveError: The picture is too large for this machine, or the file cannot be written.
    """
    width, height = options.size
    factor = options.supersampling
    _check_size(path, width * factor, height * factor)
    request = replace(request, size=(width * factor, height * factor), precision="float32")

    yield Step(0, 4, "Making the head")
    active, _ = pipeline.active(request)
    yield Step(1, 4, f"Drawing {width * factor} x {height * factor} pixels")
    transparent = options.transparent and request.view.mode == "color"
    rendered = _shrunk(pipeline.draw(request, active, transparent), factor)
    yield Step(2, 4, "Encoding")
    pixels = to_bytes(straight_rgba(rendered) if transparent else compose(rendered, request.view))
    encoded = io.BytesIO()
    text = PngInfo()
    for key, words in picture_text(note).items():
        text.add_text(key, words)
    Image.fromarray(pixels).save(encoded, format="PNG", compress_level=4, pnginfo=text)
    yield Step(3, 4, f"Writing {path.name}")
    path = _write(path, encoded.getvalue())
    return SavedFile(path, f"Saved {path.name} ({width} x {height}) in {path.parent.resolve()}")


def save_head(
    pipeline: Pipeline, request: RenderRequest, path: Path, profile: str, note: str = ""
) -> Generator[Progress, None, SavedFile]:
    """Write the head as splats for another program.

    Args:
        pipeline: Makes the head.
        request: Which head and which edits of it; its view is not used.
        path: The wished name; a number is added if it is taken.
        profile: A key of `PROFILES`.
        note: How it was made (`note_of`), to be kept in comments.

    Raises:
        SaveError: The file cannot be written.
    """
    yield Step(0, 2, "Making the head")
    gaussians = pipeline.edited(replace(request, precision="float32")).gaussians
    yield Step(1, 2, f"Writing {gaussians.count:,} splats")
    path = unused_name(path)
    comments = ply_comments(note)
    dropped = write_ply(path, gaussians, PROFILES[profile], comments)
    splats = "splat" if dropped == 1 else "splats"
    left_out = f", {dropped:,} broken {splats} left out" if dropped else ""
    if note and not comments:
        left_out += ", without its settings, which are too long"
    label = PROFILES[profile].label
    return SavedFile(path, f"Saved {path.name} for {label}{left_out} in {path.parent.resolve()}")


def _check_size(path: Path, width: int, height: int) -> None:
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise SaveError(
            path, f"would be {width} x {height} pixels; choose 1 to {MAX_SIDE} on each side."
        )
    needed, free = width * height * _BYTES_PER_PIXEL, psutil.virtual_memory().available
    if needed > free:
        raise SaveError(
            path,
            f"needs about {needed / 2**30:.1f} GB of memory and {free / 2**30:.1f} GB are free; "
            "choose a smaller size or less supersampling.",
        )


def _shrunk(rendered: Rendered, factor: int) -> Rendered:
    """Average blocks of factor × factor pixels."""
    if factor == 1:
        return rendered

    def shrink(layer: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(layer[None], factor)[0]

    # Depth is weighted by alpha, so that it may be averaged like a colour.
    stacked = shrink(torch.cat([rendered.color, rendered.depth[None], rendered.alpha[None]]))
    return Rendered(stacked[:3], stacked[3], stacked[4])


def _write(path: Path, content: bytes) -> Path:
    path = unused_name(path)
    with atomic_write(path) as file:
        file.write(content)
    return path
