"""Reading pictures of every common kind into upright RGB, and writing them small enough to keep.

A file is a stranger: whatever is wrong with it becomes one sentence, and how large it would become is
known before anything is unpacked.
"""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, JpegImagePlugin, UnidentifiedImageError

from renderer.errors import LoadError

PICTURE_SUFFIXES = (
    ".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif", ".avif", ".tif", ".tiff", ".bmp", ".gif",
    ".jp2", ".ppm", ".pgm", ".tga",
)  # fmt: skip
# Longest side that is kept, px; a face in a photo never needs more.
KEPT_SIDE = 2048
# A JPEG is unpacked at an eighth of its size if need be; all others whole.
LARGEST_JPEG = 400_000_000  # pixels
LARGEST = 120_000_000  # pixels
LARGEST_FILE = 1_000_000_000  # bytes

_FORMATS = (
    "PNG", "JPEG", "WEBP", "HEIF", "AVIF", "TIFF", "BMP", "GIF", "JPEG2000", "PPM", "TGA", "MPO",
)  # fmt: skip
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1", b"heif")
# What Pillow's readers throw at damaged files.
_DAMAGED = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError,
    ZeroDivisionError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture in memory, upright."""

    pixels: np.ndarray  # sRGB [H, W, 3] uint8
    alpha: np.ndarray | None  # which pixels show something, in [0, 1]; None for all [H, W] float32
    name: str  # for the user

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, px."""
        return self.pixels.shape[1], self.pixels.shape[0]


def read_picture(path: str | os.PathLike[str]) -> Picture:
    """Read a picture file; larger ones are reduced on the way.

    Raises:
        LoadError: It is missing, no picture, damaged, too large, or needs a library.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise LoadError(path, "is a folder. Choose the pictures in it.")
        if path.stat().st_size > LARGEST_FILE:
            raise LoadError(path, "is larger than a gigabyte. Make the picture smaller first.")
        content = path.read_bytes()
    except FileNotFoundError:
        raise LoadError(path, "does not exist. Choose another file.") from None
    except OSError as error:
        raise LoadError(path, f"cannot be read ({error.strerror or error}).") from error
    return _decode(content, path.name, path)


def decode_picture(content: bytes, name: str) -> Picture:
    """Read a picture from memory: a photo's content, or what a clipboard holds.

    Raises:
        LoadError: It is no picture, damaged, too large, or needs a library.
    """
    return _decode(content, name, name)


def encode_picture(picture: Picture) -> bytes:
    """Write a picture as JPEG, or as PNG if it has alpha; at most `KEPT_SIDE` px wide and high."""
    image = Image.fromarray(picture.pixels)
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(np.rint(picture.alpha * 255).astype(np.uint8)))
    _reduce(image, KEPT_SIDE)
    stream = io.BytesIO()
    if picture.alpha is None:
        image.save(stream, "JPEG", quality=95, subsampling=0)
    else:
        image.save(stream, "PNG", compress_level=3)
    return stream.getvalue()


def _decode(content: bytes, name: str, path: str | os.PathLike[str]) -> Picture:
    if not content:
        raise LoadError(path, "is empty. Choose another picture.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of odd tags and of sizes that we judge
            image = _open(content, path)
            image.load()  # of a file with several pictures the first
            pixels, alpha = _as_rgb(_upright(image))
    except UnidentifiedImageError:
        raise LoadError(path, _why_unknown(content)) from None
    except MemoryError:
        raise LoadError(path, "does not fit in memory. Make the picture smaller first.") from None
    except _DAMAGED as error:
        raise LoadError(
            path, f"is damaged or incomplete ({_first_line(error)}). Copy or export it again."
        ) from error
    return Picture(pixels, alpha, name)


def _open(content: bytes, path: str | os.PathLike[str]) -> Image.Image:
    """Open without unpacking, and refuse what would be too large."""
    if content[:3] == b"\xff\xd8\xff":
        # Not through Image.open, which refuses large ones although they can be read at a fraction.
        image: Image.Image = JpegImagePlugin.JpegImageFile(io.BytesIO(content))
        _require_size(image, LARGEST_JPEG, path)
        image.draft(None, (KEPT_SIDE, KEPT_SIDE))
        _require_size(image, LARGEST, path)
        return image
    _offer_heif()
    try:
        image = Image.open(io.BytesIO(content), formats=_known_formats())
    except Image.DecompressionBombError:
        raise LoadError(path, _too_large(LARGEST)) from None
    _require_size(image, LARGEST, path)
    return image


def _require_size(image: Image.Image, most: int, path: str | os.PathLike[str]) -> None:
    if image.width * image.height > most:
        raise LoadError(path, _too_large(most))


def _too_large(most: int) -> str:
    return f"has more than {most // 1_000_000} megapixels. Make the picture smaller first."


def _known_formats() -> list[str]:
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def _offer_heif() -> None:
    """Let Pillow read HEIC, if the library for it is installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return
    register_heif_opener()


def _why_unknown(content: bytes) -> str:
    if content[4:8] == b"ftyp" and content[8:12] in _HEIC_BRANDS:
        if "HEIF" in Image.OPEN:
            return "is a damaged HEIC picture. Copy or export it again."
        return (
            'is a HEIC picture, which needs a library: install it with "pip install pillow-heif" '
            "and start again, or export the picture as JPEG."
        )
    return "is not a picture that can be read. Save it as JPEG or PNG."


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0].rstrip(".") if text else type(error).__name__


def _upright(image: Image.Image) -> Image.Image:
    """Turn as EXIF says. Its tags may be damaged although the pixels are not: then it stays."""
    try:
        return ImageOps.exif_transpose(image)
    except _DAMAGED:
        return image


def _as_rgb(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """Any mode to sRGB and alpha. [H, W, 3] uint8, [H, W] float32 or None"""
    image = _in_srgb(image)
    if image.mode in ("I", "F", "I;16", "I;16B", "I;16L", "I;16N"):
        grey = Image.fromarray(_to_8_bit(np.asarray(image)))
        image = grey.convert("RGB")
    elif "transparency" in image.info or image.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        image = image.convert("RGBA")
    else:
        image = image.convert("RGB")
    _reduce(image, KEPT_SIDE)
    array = np.array(image)
    if array.shape[2] == 3:
        return array, None
    alpha = array[..., 3]
    pixels = np.ascontiguousarray(array[..., :3])
    return pixels, None if alpha.min() == 255 else (alpha / 255).astype(np.float32)


def _in_srgb(image: Image.Image) -> Image.Image:
    """Apply the colour profile that a picture brings; phones take theirs in Display P3."""
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "RGBA", "CMYK"):
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = "RGB" if image.mode == "CMYK" else image.mode
        found = ImageCms.profileToProfile(
            image, source, ImageCms.createProfile("sRGB"), outputMode=mode
        )
    except (ImageCms.PyCMSError, *_DAMAGED):
        return image  # a broken profile: the numbers as they are
    return found or image


def _to_8_bit(values: np.ndarray) -> np.ndarray:
    """Scale what a grey picture of more than 8 bits holds; nothing is clipped. uint8"""
    whole = values.astype(np.float64)
    whole = np.nan_to_num(whole, posinf=0.0, neginf=0.0)
    top = float(whole.max(initial=0))
    # A float picture may be in [0, 1] or [0, 255]; integers of 16 bits may sit in 32.
    ranges = (1.0, 255.0, 65535.0, 2.0**31 - 1) if values.dtype.kind == "f" else (65535.0, 2.0**31)
    most = next((r for r in ranges if top <= r), top)
    return np.rint(np.clip(whole / most, 0, 1) * 255).astype(np.uint8)


def _reduce(image: Image.Image, side: int) -> None:
    """Shrink in place, if it is larger."""
    if max(image.size) > side:
        image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)
