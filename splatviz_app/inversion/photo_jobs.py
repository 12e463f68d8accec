"""Short work on photos, as jobs whose results a panel takes: a matte made again, the clipboard."""

from __future__ import annotations

import sys
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageGrab

from inversion.errors import InversionError
from inversion.matting import MatteMethod
from inversion.photo import Photo
from inversion.pictures import Picture
from inversion.prepare import with_matte
from splatviz_app.engine import Progress, Step

_PATIENCE = 0.02  # seconds that a step waits for the clipboard


@dataclass(frozen=True)
class NewMatte:
    """A photo with another matte."""

    photo: Photo


@dataclass(frozen=True, eq=False)
class Pasted:
    """What the clipboard held: a picture, or the names of files."""

    picture: Picture | None
    files: tuple[Path, ...] = ()


def make_matte(photo: Photo, method: MatteMethod | None) -> Generator[Progress, None, NewMatte]:
    """Tell the head from what is behind it, in the crop as it is; strokes stay.

    Args:
        photo: With an alignment.
        method: None for the best there is.

    Raises:
        InversionError: The method cannot be used here.
    """
    yield Step(0, 1, f"Telling the head from the background in {photo.name}")
    return NewMatte(with_matte(photo, method))


def paste() -> Generator[Progress, None, Pasted]:
    """Look into the clipboard.

    Raises:
        InversionError: It holds no picture, or cannot be read here.
    """
    # Another program is asked, which may take its time: frames and Cancel do not wait for it.
    worker = ThreadPoolExecutor(1, thread_name_prefix="clipboard")
    asked = worker.submit(ImageGrab.grabclipboard)
    worker.shutdown(wait=False)
    while not asked.done():
        yield Step(0, 0, "Looking into the clipboard")
        wait((asked,), _PATIENCE)
    try:
        held = asked.result()
    except (NotImplementedError, OSError) as error:
        raise InversionError(_why_not(error)) from error
    if isinstance(held, Image.Image):
        return Pasted(_as_picture(held))
    if held:
        return Pasted(None, tuple(Path(name) for name in held))
    raise InversionError("There is no picture in the clipboard. Copy one, then paste it here.")


def _why_not(error: Exception) -> str:
    if sys.platform.startswith("linux") and isinstance(error, NotImplementedError):
        return (
            "The clipboard can only be read with wl-paste (package wl-clipboard) or xclip here. "
            "Install one of them, or save the picture and open the file."
        )
    return f"The clipboard cannot be read ({error}). Save the picture and open the file."


def _as_picture(image: Image.Image) -> Picture:
    pixels = np.asarray(image.convert("RGBA"))
    alpha = pixels[..., 3].astype(np.float32) / 255
    opaque = bool((pixels[..., 3] == 255).all())
    return Picture(np.ascontiguousarray(pixels[..., :3]), None if opaque else alpha, "Pasted")
