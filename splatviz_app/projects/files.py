"""Projects in their three places: a `.splathead` file, a picture's text, the comments of a `.ply`."""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from renderer.errors import LoadError, SaveError
from renderer.formats.ply import inspect_ply
from splatviz_app.document import Document
from splatviz_app.projects.archive import (
    PNG,
    Archive,
    ArchiveStore,
    is_thumbnail,
    read_archive,
    write_archive,
)
from splatviz_app.projects.content import (
    Content,
    LaterVersion,
    TuningReference,
    content_of,
    from_json,
    to_json,
)
from splatviz_app.projects.frozen_json import InlineStore, Misfit, Store
from splatviz_app.tuned import digest_of

PROJECT_SUFFIX = ".splathead"
PICTURE_SUFFIX = ".png"
NOTE_SUFFIXES = (PICTURE_SUFFIX, ".ply")  # files that may hold a project beside what they are

_TEXT_KEY = "splathead"  # of the PNG's text
_COMMENT_KEY = "document"  # of the .ply's comments
_COMMENT_LETTERS = 400  # of one comment: some readers have a small buffer for a line
_MOST_PLY_LETTERS = 400_000  # readers of ours take headers of 1 MB
_MOST_PNG_LETTERS = 2**24
_MOST_CHUNKS = 1000  # before the pixels
_THUMBNAIL = 192  # px on a side
_AGAIN = "Save it again, or open another."


def write_project(
    path: str | os.PathLike[str], content: Content, picture: np.ndarray | None = None
) -> None:
    """Write a `.splathead` file, whole or not at all.

    Args:
        path: The file to make or replace.
        content: What it says.
        picture: What the window shows, for the thumbnail. [H, W, 4] uint8

    Raises:
        SaveError: It cannot be written, or could not be read again; what was there is untouched.
    """
    store = ArchiveStore()
    entry = to_json(content, store)
    try:
        from_json(entry, store)
    except Misfit as error:  # no panel should let it come to this, but here nothing is lost yet
        sentence = f"was not saved, for it could not be opened again: {error}. Undo it, then save."
        raise SaveError(path, sentence) from error
    thumbnail = thumbnail_of(picture) if picture is not None else b""
    write_archive(path, Archive(entry, store, thumbnail))


def read_project(path: str | os.PathLike[str]) -> Content:
    """Read a `.splathead` file.

    Raises:
        LoadError: It is missing, damaged, no project, or of a later version.
    """
    archive = read_archive(path)
    content = _understood(path, archive.entry, archive.store)
    for bookmark in (*content.document.bookmarks, content.document.checkpoint):
        if bookmark and bookmark.thumbnail and not is_thumbnail(bookmark.thumbnail):
            raise LoadError(path, f"is damaged: a bookmark's picture is none. {_AGAIN}")
    for photo in content.document.photos:
        if photo.matte and pixels_of(photo.matte) is None:
            raise LoadError(path, f"is damaged: the matte of a photo is no picture. {_AGAIN}")
    return content


def note_of(document: Document, fingerprint: str, time: float = 0.0) -> str:
    """All that is needed to show a document's picture again, as text.

    Args:
        document: What is shown.
        fingerprint: Of the open head or generator.
        time: Of what moves by itself, seconds.
    """
    # Neither photos, which are nobody else's business, nor tunings, which are large, travel in a picture.
    shown = replace(with_surroundings(document, Document()), tuning=None)
    reference = None
    if document.tuning is not None:
        delta = document.tuning.delta
        reference = TuningReference(digest_of(delta.content), document.tuning.strength, delta.name)
    content = replace(content_of(shown, fingerprint, None), time=time, tuning=reference)
    return json.dumps(to_json(content, InlineStore()), allow_nan=False, separators=(",", ":"))


def with_surroundings(document: Document, other: Document) -> Document:
    """Take from another document all that its picture does not depend on."""
    return replace(
        document,
        bookmarks=other.bookmarks,
        checkpoint=other.checkpoint,
        palettes=other.palettes,
        photos=other.photos,
        cameras=other.cameras,
    )


def picture_text(note: str) -> dict[str, str]:
    """The entries of a PNG's text that hold a note: names and texts."""
    return {_TEXT_KEY: note} if 0 < len(note) <= _MOST_PNG_LETTERS else {}


def ply_comments(note: str) -> dict[str, object]:
    """What `write_ply` is to be given so that a `.ply` holds a note; nothing if it is too long."""
    if len(note) > _MOST_PLY_LETTERS:
        return {}
    pieces = [note[i : i + _COMMENT_LETTERS] for i in range(0, len(note), _COMMENT_LETTERS)]
    return {f"{_COMMENT_KEY} {i} of {len(pieces)}": piece for i, piece in enumerate(pieces)}


def read_note(path: str | os.PathLike[str]) -> Content:
    """Read what a picture or a `.ply` says of how it was made.

    Raises:
        LoadError: It cannot be read, or was not saved by Splathead.
    """
    text = _note_in_ply(path) if Path(path).suffix.lower() == ".ply" else _note_in_picture(path)
    if not text:
        sentence = "does not say how it was made. Only files saved by Splathead do."
        raise LoadError(path, sentence)
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LoadError(path, f"says how it was made in a damaged text. {_AGAIN}") from error
    if not isinstance(entry, dict):
        raise LoadError(path, f"says how it was made in a damaged text. {_AGAIN}")
    return _understood(path, entry, InlineStore())


def has_note(path: str | os.PathLike[str]) -> bool:
    """Whether a picture was saved by Splathead and says how it was made; looks at its first bytes."""
    try:
        return Path(path).suffix.lower() == PICTURE_SUFFIX and bool(_note_in_picture(path))
    except LoadError:
        return False


def thumbnail_of(picture: np.ndarray, side: int = _THUMBNAIL) -> bytes:
    """Cut the middle square out of a picture and make it small. PNG

    Args:
        picture: [H, W, 3 or 4] uint8
        side: px
    """
    height, width = picture.shape[:2]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    square = Image.fromarray(
        np.ascontiguousarray(picture[top : top + edge, left : left + edge, :3])
    )
    small = square.resize((side, side), Image.Resampling.LANCZOS)
    encoded = io.BytesIO()
    small.save(encoded, format="PNG")
    return encoded.getvalue()


@lru_cache(maxsize=1024)
def pixels_of(thumbnail: bytes) -> np.ndarray | None:
    """Decode a thumbnail for the window; None if it cannot be. The same array each time.

    Returns:
        [H, W, 4] uint8, contiguous; nobody writes to it.
    """
    if not is_thumbnail(thumbnail):
        return None
    try:
        with Image.open(io.BytesIO(thumbnail), formats=["PNG"]) as image:
            return np.ascontiguousarray(image.convert("RGBA"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _understood(path: str | os.PathLike[str], entry: dict[str, Any], store: Store) -> Content:
    try:
        return from_json(entry, store)
    except LaterVersion as error:
        raise LoadError(
            path, "was written by a later version of Splathead. Update Splathead."
        ) from error
    except (Misfit, RecursionError) as error:
        why = str(error) or "it is nested too deep"
        raise LoadError(path, f"cannot be understood: {why}. {_AGAIN}") from error


def _note_in_picture(path: str | os.PathLike[str]) -> str:
    """The text of a PNG under our name. No pixel is unpacked: ours may have a billion."""
    try:
        with open(path, "rb") as file:
            if file.read(len(PNG)) != PNG:
                raise LoadError(path, "is not a PNG picture. Choose one saved by Splathead.")
            return _text_chunk(file)
    except FileNotFoundError as error:
        raise LoadError(path, "does not exist. It may have been moved or renamed.") from error
    except IsADirectoryError as error:
        raise LoadError(path, "is a folder. Choose a picture in it.") from error
    except OSError as error:
        raise LoadError(path, f"cannot be read ({error.strerror}). Check its rights.") from error


def _text_chunk(file: BinaryIO) -> str:
    """Find our text among the chunks before a PNG's pixels; empty if it is not there."""
    for _ in range(_MOST_CHUNKS):
        head = file.read(8)
        kind, length = head[4:], int.from_bytes(head[:4], "big")
        if len(head) < 8 or kind in (b"IDAT", b"IEND") or length > _MOST_PNG_LETTERS:
            break
        content = file.read(length)
        key, _, text = content.partition(b"\0")
        if kind == b"tEXt" and key == _TEXT_KEY.encode():
            return text.decode("latin-1")
        file.seek(4, os.SEEK_CUR)  # its checksum
    return ""


def _note_in_ply(path: str | os.PathLike[str]) -> str:
    """The pieces of a `.ply`'s comments under our name, put together."""
    note = inspect_ply(path).note
    count = sum(key.startswith(f"{_COMMENT_KEY} ") for key in note)
    pieces = [note.get(f"{_COMMENT_KEY} {i} of {count}") for i in range(count)]
    return "".join(piece for piece in pieces if isinstance(piece, str))
