"""Work on bookmarks, as jobs: the numbers of a way through them, and their files (`.json`, `.npz`).

Files are untrusted: nothing in them is ever unpickled, and every size is bounded.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
import zlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from models.generator import HeadGenerator
from models.latents import LatentSettings, Values
from renderer.errors import LoadError
from renderer.files import atomic_write, unused_name
from splatviz_app.bookmarks import LONGEST_NAME, Bookmark, Route, Stop
from splatviz_app.engine import Progress, Step
from splatviz_app.export import SavedFile
from splatviz_app.pipeline import Pipeline, RenderRequest
from splatviz_app.projects.archive import is_thumbnail
from splatviz_app.projects.frozen_json import InlineStore, Misfit, checked_values, decode, encode

SUFFIXES = (".json", ".npz")
FORMAT = 1
VERSION = "splathead_bookmarks"  # the name of the format's number in the JSON

_MOST_BYTES = 2**26
_MOST_HEADS = 10_000
_AGAIN = "Export it again, or choose another."
_BROKEN_ZIP = (zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class ReadBookmarks:
    """What a file held."""

    bookmarks: tuple[Bookmark, ...]
    sentence: str


def find_route(
    pipeline: Pipeline, request: RenderRequest, bookmarks: Sequence[Bookmark], weights: str
) -> Generator[Progress, None, Route]:
    """Compute the numbers that are blended on the way through some bookmarks.

    Args:
        pipeline: Knows the generator.
        request: Of a head of it; its latent is not used.
        bookmarks: At least two, of that generator.
        weights: Its hash.
    """
    beside, stops = pipeline.beside(), []
    for number, bookmark in enumerate(bookmarks):
        yield Step(number, len(bookmarks), f"Finding “{bookmark.name}”")
        here = replace(request, latent=bookmark.latent)
        w, z = beside.w(here)[0], beside.z(here)
        stops.append(
            Stop(bookmark.latent, Values.of(w), Values.of(z[0]) if z is not None else None)
        )
    return Route(tuple(stops), weights)


def write_bookmarks(
    pipeline: Pipeline, request: RenderRequest, bookmarks: Sequence[Bookmark], path: Path
) -> Generator[Progress, None, SavedFile]:
    """Write bookmarks of one generator.

    Args:
        pipeline: Knows the generator.
        request: Of a head of it; its latent is not used.
        bookmarks: What is written.
        path: The wished name; its ending is one of `SUFFIXES`. As `.npz` there is also the w of each
            head after truncation, mix and pushes, for other programs: "w" [count, num_ws or blocks, W].

    Raises:
        SaveError: It cannot be written.
    """
    yield Step(0, 2, "Collecting the bookmarks")
    text = bookmarks_text(bookmarks)
    content = text.encode()
    if path.suffix.lower() == ".npz":
        beside = pipeline.beside()
        rows = [beside.w(replace(request, latent=b.latent))[0].cpu().numpy() for b in bookmarks]
        blocks = max(len(row) for row in rows)
        w = np.stack([np.broadcast_to(row, (blocks, row.shape[1])) for row in rows])
        encoded = io.BytesIO()
        names = np.array([bookmark.name for bookmark in bookmarks])
        np.savez(encoded, w=w, names=names, bookmarks=np.array(text))
        content = encoded.getvalue()
    yield Step(1, 2, f"Writing {path.name}")
    path = unused_name(path)
    with atomic_write(path) as file:
        file.write(content)
    heads = "head" if len(bookmarks) == 1 else "heads"
    without = ", without the tunings" if any(bookmark.tuning for bookmark in bookmarks) else ""
    return SavedFile(path, f"Saved {len(bookmarks)} {heads}{without} in {path}")


def read_bookmarks(
    path: Path, generator: HeadGenerator | None, weights: str
) -> Generator[Progress, None, ReadBookmarks]:
    """Read bookmarks, of any generator, or w that another program wrote, for the open one.

    Args:
        path: The file.
        generator: The open one; None if there is none.
        weights: Its hash.

    Raises:
        LoadError: The file is missing or damaged, or its w do not fit the open generator.
    """
    yield Step(0, 1, f"Reading {path.name}")
    try:
        if os.path.getsize(path) > _MOST_BYTES:
            raise LoadError(path, f"is too large for bookmarks. {_AGAIN}")
        arrays = {} if path.suffix.lower() == ".json" else _arrays(path)
        if not arrays:
            found = bookmarks_from_text(path.read_text(encoding="utf-8"))
        elif "bookmarks" in arrays:
            found = bookmarks_from_text(str(arrays["bookmarks"]))
        else:
            found = _from_w(path, arrays, generator, weights)
    except FileNotFoundError as error:
        raise LoadError(path, "does not exist. It may have been moved or renamed.") from error
    except OSError as error:
        raise LoadError(path, f"cannot be read ({error.strerror}). Check its rights.") from error
    except (ValueError, KeyError, RecursionError, MemoryError, EOFError, *_BROKEN_ZIP) as error:
        why = str(error)[:200]
        raise LoadError(path, f"holds no bookmarks, or is damaged ({why}). {_AGAIN}") from error
    foreign = sum(bookmark.weights != weights for bookmark in found)
    remark = f", {foreign} of another generator" if foreign else ""
    heads = "head" if len(found) == 1 else "heads"
    return ReadBookmarks(found, f"Read {len(found)} {heads} from {path.name}{remark}")


def bookmarks_text(bookmarks: Sequence[Bookmark]) -> str:
    """Write bookmarks as JSON, without their tunings, which are large and have files of their own."""
    plain = tuple(replace(bookmark, tuning=None) for bookmark in bookmarks)
    entries = encode(plain, tuple[Bookmark, ...], InlineStore())
    return json.dumps({VERSION: FORMAT, "bookmarks": entries}, ensure_ascii=False, allow_nan=False)


def bookmarks_from_text(text: str) -> tuple[Bookmark, ...]:
    """Read what `bookmarks_text` wrote.

    Raises:
        ValueError: It is none, or of a later version.
    """
    entry = json.loads(text)
    if not isinstance(entry, dict) or not isinstance(entry.get(VERSION), int):
        raise Misfit("it does not say that it holds bookmarks")
    if entry[VERSION] > FORMAT:
        raise Misfit("it was written by a later version of Splathead; update Splathead")
    found = decode(entry.get("bookmarks"), tuple[Bookmark, ...], InlineStore(), "bookmarks")
    for bookmark in found:
        if bookmark.thumbnail and not is_thumbnail(bookmark.thumbnail):
            raise Misfit(f"the picture of “{bookmark.name[:LONGEST_NAME]}” is none")
        if not 0 <= bookmark.latent.seed < 2**32:
            raise Misfit(f"the seed of “{bookmark.name[:LONGEST_NAME]}” is out of its range")
    return found


def _arrays(path: Path) -> dict[str, Any]:
    """Read the arrays of an `.npz` whose size unpacked is bounded."""
    with zipfile.ZipFile(path) as packed:
        if sum(info.file_size for info in packed.infolist()) > _MOST_BYTES:
            raise LoadError(path, f"is too large for bookmarks: it unpacks to more. {_AGAIN}")
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _from_w(
    path: Path, arrays: dict[str, Any], generator: HeadGenerator | None, weights: str
) -> tuple[Bookmark, ...]:
    """Make bookmarks of w [count, rows, W], [rows, W] or [W] that say nothing of their generator."""
    if "w" not in arrays:
        raise LoadError(path, f"holds neither bookmarks nor an array named w. {_AGAIN}")
    if generator is None:
        raise LoadError(path, "holds w only: open the generator they belong to, then import them.")
    w = np.asarray(arrays["w"], np.float32)
    while w.ndim < 3:
        w = w[None]
    rows = {1, generator.num_ws, generator.blocks}
    if w.ndim == 3 and w.shape[1] not in rows and (w == w[:, :1]).all():
        w = w[:, :1]  # repeated for the layers of another network
    if w.ndim != 3 or w.shape[2] != generator.w_dim or w.shape[1] not in rows:
        shape = " x ".join(map(str, arrays["w"].shape))
        raise LoadError(
            path, f"holds w of {shape} numbers, which do not fit the open generator. {_AGAIN}"
        )
    if not 0 < len(w) <= _MOST_HEADS:
        raise LoadError(path, f"holds {len(w)} heads. {_AGAIN}")
    names = [path.stem] if len(w) == 1 else [f"{path.stem} {i + 1}" for i in range(len(w))]
    kept = [checked_values(row.shape, row.astype("<f4").tobytes()) for row in w]
    return tuple(
        Bookmark(
            name[:LONGEST_NAME], LatentSettings(kept=values, psi=1.0, weights=weights), weights
        )
        for name, values in zip(names, kept, strict=True)
    )
