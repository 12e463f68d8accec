"""The `.ply` of splats (Kerbl et al. 2023): read whatever a program wrote, write what it expects.

Files are untrusted: nothing is allocated before the counts are held against the file's size.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, cast, get_args

import numpy as np
import torch

from renderer.errors import LoadError, SaveError
from renderer.files import atomic_write
from renderer.formats.frames import Frame, mirrored
from renderer.formats.ply_header import NOTE, Element, Header, read_header
from renderer.gaussians import Gaussians

AnyPath = str | os.PathLike[str]

_MEANS = ("x", "y", "z")
_NORMALS = ("nx", "ny", "nz")
_DC = ("f_dc_0", "f_dc_1", "f_dc_2")
_SCALES = ("scale_0", "scale_1", "scale_2")
_QUATS = ("rot_0", "rot_1", "rot_2", "rot_3")
_REQUIRED = (*_MEANS, *_DC, "opacity", *_SCALES[:2], *_QUATS)
_REST_COUNTS = (0, 9, 24, 45)  # columns of f_rest at degree 0 to 3
_FLAT_LOG_SCALE = -20.0  # the third axis of a file of flat splats (2DGS), which has no scale_2


@dataclass(frozen=True)
class PlyProfile:
    """What one program expects of a `.ply`."""

    # What `PROFILES` and the command line call it.
    key: str
    # What a menu calls it.
    label: str
    # One sentence for a tooltip.
    help: str
    # The axes mirrored against ours.
    frame: Frame = ""
    # Always write the 62 columns of the first 3DGS files, zeros where the head has nothing.
    classic: bool = False
    # The program reads spherical harmonics only whole: write degree 1 and 2 as degree 3.
    whole_sh: bool = False


PROFILES: dict[str, PlyProfile] = {
    profile.key: profile
    for profile in (
        PlyProfile(
            "unity",
            "Unity",
            "For UnityGaussianSplatting 1.1.1 and later: z mirrored, so that the head faces the "
            "default camera with its left on its left.",
            frame="z",
            whole_sh=True,
        ),
        PlyProfile(
            "unity-classic",
            "Unity before 1.1.1",
            "For older UnityGaussianSplatting, which only reads files of 62 columns; "
            "four times as large.",
            frame="z",
            classic=True,
            whole_sh=True,
        ),
        PlyProfile(
            "supersplat",
            "SuperSplat",
            "For SuperSplat and other viewers that have y down: turned by 180° about x.",
            frame="yz",
        ),
        PlyProfile(
            "raw", "As it is", "What the head has, in this program's own axes: y up, face to +z."
        ),
    )
}


@dataclass(frozen=True)
class PlySummary:
    """What a `.ply` of splats says of itself."""

    splats: int
    sh_degree: int  # 0 to 3
    size: int  # bytes
    # What `write_ply` was given as `note`, and "profile" and "frame"; {} in others' files.
    note: dict[str, object]


def read_ply(path: AnyPath, frame: Frame | None = None) -> Gaussians:
    """Read a head, float32 on the CPU.

    Columns are found by name, in any order and of any number type; text and both byte orders;
    other elements and columns are skipped. Splats without a third scale (2DGS) get a paper-thin
    one. Rows that hold NaN are kept: drawing drops and counts them.

    Args:
        path: The file.
        frame: The file's axes. If None, those which a file of ours says it has, else ours.

    Raises:
        LoadError: It cannot be read, or is not a `.ply` of splats.
    """
    with _opened(path) as file:
        header = read_header(file, path)
        vertex = _splat_element(header, path)
        rest = _rest_columns(vertex, path)
        rows = _read_rows(file, header, vertex, path)
    sh = _block(rows, vertex, _DC)[:, None, :]  # [N, 1, 3]
    if rest:  # the file has all of red, then all of green, then all of blue
        bands = _block(rows, vertex, rest).reshape(len(sh), 3, -1).swapaxes(1, 2)  # [N, K - 1, 3]
        sh = np.concatenate([sh, bands], axis=1)
    if "scale_2" in vertex.names:
        log_scales = _block(rows, vertex, _SCALES)
    else:
        flat = np.full((vertex.count, 1), _FLAT_LOG_SCALE, np.float32)
        log_scales = np.concatenate([_block(rows, vertex, _SCALES[:2]), flat], axis=1)
    gaussians = Gaussians(
        means=torch.from_numpy(_block(rows, vertex, _MEANS)),
        log_scales=torch.from_numpy(log_scales),
        quats=torch.from_numpy(_block(rows, vertex, _QUATS)),
        opacity_logits=torch.from_numpy(_block(rows, vertex, ("opacity",))[:, 0]),
        sh=torch.from_numpy(sh),
    )
    noted = header.note.get("frame", "")
    return mirrored(gaussians, frame if frame is not None else _known_frame(noted))


def inspect_ply(path: AnyPath) -> PlySummary:
    """Say what a file holds, from its header alone.

    Raises:
        LoadError: It cannot be read, or is not a `.ply` of splats.
    """
    with _opened(path) as file:
        header = read_header(file, path)
        vertex = _splat_element(header, path)
        degree = _REST_COUNTS.index(len(_rest_columns(vertex, path)))
        return PlySummary(vertex.count, degree, os.fstat(file.fileno()).st_size, header.note)


def write_ply(
    path: AnyPath,
    gaussians: Gaussians,
    profile: PlyProfile = PROFILES["raw"],
    note: Mapping[str, object] | None = None,
) -> int:
    """Write a head as one program expects it, whole or not at all.

    Args:
        path: The file to make or replace.
        gaussians: One head, no batch.
        profile: The program that will open it.
        note: JSON values to keep in the file's comments; `inspect_ply` finds them.

    Returns:
        How many splats were left out because they held NaN, infinity or no rotation.

    Raises:
        SaveError: It cannot be written, or no splat is left; what was there before is untouched.
    """
    assert not gaussians.batch_shape, gaussians.batch_shape
    with atomic_write(path) as file:  # first: if all else fails, it frees a reserved name
        head = mirrored(gaussians.detach().to("cpu", torch.float32), profile.frame)
        names, matrix = _columns(head, profile)
        matrix = _without_broken_rows(matrix)
        if not len(matrix):
            sentence = "was not saved: no splats are left. Undo the last edit, then save."
            raise SaveError(path, sentence)
        if note or profile.frame:  # a plain file gets no comments: some readers know none
            note = {**(note or {}), "profile": profile.key, "frame": profile.frame}
        file.write(_header_text(names, len(matrix), note or {}))
        file.write(matrix.data)
    return gaussians.count - len(matrix)


def _columns(head: Gaussians, profile: PlyProfile) -> tuple[list[str], np.ndarray]:
    """Lay out the file's table: the names of its columns and its rows. [N, P] float32"""
    bands = head.sh.shape[1] - 1  # K - 1
    written = 15 if profile.classic or (profile.whole_sh and bands) else bands
    rest = np.zeros((head.count, 3, written), "<f4")  # all of red, of green, of blue
    rest[:, :, :bands] = head.sh[:, 1:].mT.numpy()
    names = [*_MEANS, *_NORMALS, *_DC, *_rest_names(3 * written), "opacity", *_SCALES, *_QUATS]
    matrix = np.zeros((head.count, len(names)), "<f4")
    matrix[:, 0:3] = head.means.numpy()
    matrix[:, 6:9] = head.sh[:, 0].numpy()
    matrix[:, 9:-8] = rest.reshape(head.count, 3 * written)
    matrix[:, -8] = head.opacity_logits.numpy()
    matrix[:, -7:-4] = head.log_scales.numpy()
    matrix[:, -4:] = head.quats.numpy()
    return names, matrix


def _without_broken_rows(matrix: np.ndarray) -> np.ndarray:
    """Drop rows that hold NaN, infinity or no rotation. [M, P]"""
    # A sum is finite only if all of it is, and a w that is never 0 leaves no row without rotation:
    # two quick looks that nearly every head passes.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(matrix.sum()) and matrix[:, -4].all():
            return matrix
    return matrix[np.isfinite(matrix).all(axis=1) & matrix[:, -4:].any(axis=1)]


def _header_text(names: Sequence[str], count: int, note: Mapping[str, object]) -> bytes:
    # One short comment per entry: some readers have a small buffer for a line. Last, because some
    # want the element right after the format.
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {count}"]
    lines += [f"property float {name}" for name in names]
    lines += [f"comment {NOTE}{json.dumps({key: value})}" for key, value in note.items()]
    return "\n".join([*lines, "end_header", ""]).encode("ascii")


def _rest_names(count: int) -> tuple[str, ...]:
    return tuple(f"f_rest_{i}" for i in range(count))


def _known_frame(noted: object) -> Frame:
    return cast(Frame, noted) if noted in get_args(Frame) else ""


@contextmanager
def _opened(path: AnyPath) -> Iterator[BinaryIO]:
    """Open a regular file; say in a sentence why it cannot be read."""
    try:
        with open(path, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise LoadError(path, "is not a file. Choose a .ply file.")
            yield file
    except FileNotFoundError as error:
        raise LoadError(path, "does not exist. It may have been moved or renamed.") from error
    except IsADirectoryError as error:
        raise LoadError(path, "is a folder. Choose a .ply file in it.") from error
    except OSError as error:
        sentence = f"cannot be read ({error.strerror}). Check its permissions."
        raise LoadError(path, sentence) from error


def _splat_element(header: Header, path: AnyPath) -> Element:
    """Find the splats, or say what the file holds instead."""
    vertex = header.element("vertex")
    names = vertex.names if vertex else []
    missing = [name for name in _REQUIRED if name not in names]
    if "packed_position" in names:
        sentence = (
            "is a compressed PlayCanvas .ply. Open it in SuperSplat and export it uncompressed."
        )
        raise LoadError(path, sentence)
    if vertex is None or not {"opacity", "f_dc_0", "scale_0", "rot_0"} & set(names):
        kind = "a mesh" if header.element("face") else "a point cloud or something else"
        raise LoadError(path, f"is {kind}, not splats. Choose a .ply of Gaussian splats.")
    if missing:
        columns = ", ".join(repr(name) for name in missing)
        sentence = f"lacks columns of a splat .ply: {columns}. Export it again with all of them."
        raise LoadError(path, sentence)
    if vertex.has_lists or len(set(names)) != len(names):
        raise LoadError(path, "has splats of lists, or two columns of one name. Export it again.")
    if vertex.count == 0:
        raise LoadError(path, "holds no splats. Export it again from a head that has some.")
    return vertex


def _rest_columns(vertex: Element, path: AnyPath) -> tuple[str, ...]:
    """Name the columns of view-dependent colour, as many as a degree of 0 to 3 has."""
    found = [name for name in vertex.names if name.startswith("f_rest_")]
    names = _rest_names(len(found))
    if len(found) not in _REST_COUNTS or set(names) != set(found):
        raise LoadError(
            path,
            f"has {len(found)} columns f_rest_…; degree 0 to 3 has the first 0, 9, 24 or 45. "
            "Export it again with degree 0 or 3.",
        )
    return names


def _read_rows(file: BinaryIO, header: Header, vertex: Element, path: AnyPath) -> np.ndarray:
    """Read the splats' rows: [N, P] of one type, or [N] structured with fields "0", "1", …"""
    size = os.fstat(file.fileno()).st_size
    before = header.elements[: header.elements.index(vertex)]
    if header.order == "=":
        return _read_text_rows(file, before, vertex, path)
    for element in before:
        _skip(file, element, header.order, size, path)
    types = [header.order + prop.dtype for prop in vertex.properties]
    dtype = np.dtype([(str(i), kind) for i, kind in enumerate(types)])
    fitting = max(0, size - file.tell()) // dtype.itemsize
    rows = np.fromfile(file, dtype, min(vertex.count, fitting))
    if len(rows) != vertex.count:
        raise _too_short(path, vertex.count, len(rows))
    return rows.view(types[0]).reshape(vertex.count, -1) if len(set(types)) == 1 else rows


def _read_text_rows(
    file: BinaryIO, before: Sequence[Element], vertex: Element, path: AnyPath
) -> np.ndarray:
    """Read rows of text, one line each. [N, P] float64"""
    lines = file.read().splitlines()
    first = sum(element.count for element in before)
    if first + vertex.count > len(lines):
        raise _too_short(path, vertex.count, max(0, len(lines) - first))
    words = b" ".join(lines[first : first + vertex.count]).split()
    width = len(vertex.properties)
    try:
        if len(words) != vertex.count * width:
            raise ValueError(f"{len(words)} numbers")
        return np.fromiter(map(float, words), np.float64, len(words)).reshape(vertex.count, width)
    except ValueError as error:
        sentence = f"has rows that are not {width} numbers. Export or copy it again."
        raise LoadError(path, sentence) from error


def _skip(file: BinaryIO, element: Element, order: str, size: int, path: AnyPath) -> None:
    """Step over the rows of an element that is not the splats."""
    if element.count * element.least_bytes > size - file.tell():
        raise _too_short(path, element.count, 0)
    if not element.has_lists:
        file.seek(element.count * element.least_bytes, os.SEEK_CUR)
        return
    for row in range(element.count):
        for prop in element.properties:
            length = 1
            if prop.length_dtype:
                kind = np.dtype(order + prop.length_dtype)
                raw = file.read(kind.itemsize).ljust(kind.itemsize, b"\0")
                length = max(0, int(np.frombuffer(raw, kind)[0]))
            file.seek(length * np.dtype(prop.dtype).itemsize, os.SEEK_CUR)
        if file.tell() > size:
            raise _too_short(path, element.count, row)


def _too_short(path: AnyPath, promised: int, found: int) -> LoadError:
    sentence = f"is cut short: it promises {promised} rows and holds {found}. Export it again."
    return LoadError(path, sentence)


def _block(rows: np.ndarray, vertex: Element, names: Sequence[str]) -> np.ndarray:
    """Take columns by name, contiguous and native. [N, len(names)] float32"""
    columns = [vertex.names.index(name) for name in names]
    first, last = columns[0], columns[-1] + 1
    together = columns == list(range(first, last))  # then a slice, three times as fast
    block = np.zeros((vertex.count, len(names)), np.float32)
    with np.errstate(over="ignore"):  # a double beyond float32 is infinite, and drawing drops it
        if rows.ndim == 2:
            block[:] = rows[:, first:last] if together else rows[:, columns]
        else:
            for i, column in enumerate(columns):
                block[:, i] = rows[str(column)]
    return block
