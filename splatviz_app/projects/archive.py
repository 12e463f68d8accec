"""The zip of a project: JSON, arrays as safetensors, pictures as PNG. Written whole or not at all.

What is read is untrusted: nothing is unpacked to the disk, every size is bounded before it is read, and
only the names that a project has are let in.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from models.latents import Values
from renderer.errors import LoadError, SaveError
from renderer.files import atomic_write
from splatviz_app.projects.frozen_json import Misfit, checked_values

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"  # how they begin
LARGEST_PICTURE = 1024  # px on a side, of a thumbnail

_JSON, _ARRAYS, _THUMBNAIL = "project.json", "arrays.safetensors", "thumbnail.png"
_NAMES = re.compile(
    r"project\.json|arrays\.safetensors|thumbnail\.png|pictures/\d{1,6}\.png"
    r"|photos/\d{1,6}\.(jpg|png)|tunings/\d{1,6}\.safetensors"
)
_MOST_BYTES = {_JSON: 2**26, _ARRAYS: 2**28}  # unpacked
_MOST_OF_KIND = {"pictures": 2**22, "photos": 2**26, "tunings": 2**29}  # unpacked, each
_MOST_FILE_BYTES = 2**31
_MOST_PACKED_BYTES = 2**29  # unpacked, of all that is packed
_MOST_FILES = 5000
_LARGE = ("photos/", "tunings/")
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # a zip's first day: equal projects are equal files
_AGAIN = "Copy or save it again, or open another."


@dataclass
class ArchiveStore:
    """Arrays and bytes on their way into an archive or out of it. Each content is kept once."""

    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    # What is a file of its own: thumbnails and mattes, photos, tunings; by its name.
    files: dict[str, bytes] = field(default_factory=dict)
    _names: dict[object, str] = field(default_factory=dict)  # by content, or its digest

    def put_array(self, values: Values) -> Any:
        """Keep an array as float32."""
        name = self._names.setdefault(values, f"array {len(self._names)}")
        self.arrays[name] = values.array()
        return {"array": name}

    def array(self, kept: Any) -> Values:
        """Find an array again."""
        found = self._found(kept, "array", np.float32)
        return checked_values(found.shape, np.ascontiguousarray(found, "<f4").tobytes())

    def put_bytes(self, content: bytes) -> Any:
        """Keep bytes; a picture becomes a file that any program can show, as does a tuning."""
        if not content:
            return ""
        # Not the bytes themselves, whose own hash would stop all threads: of a tuning for 50 ms.
        key = hashlib.sha256(content).digest()
        place = _place_of(content)
        if place is not None:
            folder, ending = place
            name = self._names.setdefault(key, f"{folder}/{len(self.files)}{ending}")
            self.files[name] = content
            return {"picture" if folder == "pictures" else "file": name}
        name = self._names.setdefault(key, f"bytes {len(self._names)}")
        self.arrays[name] = np.frombuffer(content, np.uint8)
        return {"bytes": name}

    def content(self, kept: Any) -> bytes:
        """Find bytes again."""
        if kept == "":
            return b""
        for sort in ("picture", "file"):
            if isinstance(kept, dict) and isinstance(kept.get(sort), str):
                if kept[sort] not in self.files:
                    raise Misfit(f"names a {sort} that is missing")
                return self.files[kept[sort]]
        return self._found(kept, "bytes", np.uint8).tobytes()

    def _found(self, kept: Any, sort: str, dtype: type) -> np.ndarray:
        name = kept.get(sort) if isinstance(kept, dict) else None
        found = self.arrays.get(name) if isinstance(name, str) else None
        if found is None or found.dtype != dtype:
            raise Misfit(f"names {'an array' if sort == 'array' else 'bytes'} that is missing")
        return found


@dataclass(frozen=True, eq=False)
class Archive:
    """What a project's zip holds."""

    entry: dict[str, Any]
    store: ArchiveStore
    thumbnail: bytes = b""  # PNG


def write_archive(path: str | os.PathLike[str], archive: Archive) -> None:
    """Write the zip atomically.

    Raises:
        SaveError: It cannot be written, or would be too large to be read again; what was there before
            is untouched.
    """
    text = json.dumps(archive.entry, ensure_ascii=False, allow_nan=False, indent=1)
    files = {_JSON: text.encode(), _ARRAYS: safetensors.numpy.save(archive.store.arrays)}
    files |= archive.store.files
    if archive.thumbnail:
        files[_THUMBNAIL] = archive.thumbnail
    _refuse_too_much(path, files)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for name, content in files.items():
            how = zipfile.ZIP_DEFLATED if name in (_JSON, _ARRAYS) else zipfile.ZIP_STORED
            info = zipfile.ZipInfo(name, _LONG_AGO)
            file.writestr(info, content, how)
    with atomic_write(path) as target:
        target.write(packed.getbuffer())


def read_archive(path: str | os.PathLike[str]) -> Archive:
    """Read a project's zip.

    Raises:
        LoadError: It is missing, damaged, too large, or no project.
    """
    files = _unpacked(path)
    try:
        entry = json.loads(files[_JSON])
        arrays = safetensors.numpy.load(files[_ARRAYS]) if _ARRAYS in files else {}
    except (ValueError, RecursionError) as error:
        raise LoadError(path, f"is damaged: its text cannot be read. {_AGAIN}") from error
    except (safetensors.SafetensorError, KeyError, TypeError, AttributeError) as error:
        raise LoadError(path, f"is damaged: its arrays cannot be read. {_AGAIN}") from error
    if not isinstance(entry, dict):
        raise LoadError(path, f"is damaged: its text is no project. {_AGAIN}")
    own = {name: content for name, content in files.items() if "/" in name}
    for name, content in files.items():
        is_small = name == _THUMBNAIL or name.startswith("pictures/")
        if is_small and not is_thumbnail(content):
            raise LoadError(path, f"is damaged: {name} is no picture of a project. {_AGAIN}")
    return Archive(entry, ArchiveStore(arrays, own), files.get(_THUMBNAIL, b""))


def read_thumbnail(path: str | os.PathLike[str]) -> bytes:
    """Read a project's picture alone, a PNG; empty if it has none.

    Raises:
        LoadError: As `read_archive`.
    """
    content = _unpacked(path, only=_THUMBNAIL).get(_THUMBNAIL, b"")
    return content if is_thumbnail(content) else b""


def is_thumbnail(content: bytes) -> bool:
    """Whether bytes are a PNG of at most `LARGEST_PICTURE` px on a side, as far as its header tells."""
    if not content.startswith(PNG) or content[12:16] != b"IHDR" or len(content) < 24:
        return False
    return all(0 < side <= LARGEST_PICTURE for side in struct.unpack(">II", content[16:24]))


def _place_of(content: bytes) -> tuple[str, str] | None:
    """The folder and the ending of bytes that are a file of their own; None for others."""
    if content.startswith(PNG):
        small = is_thumbnail(content) and len(content) <= _MOST_OF_KIND["pictures"]
        return ("pictures" if small else "photos"), ".png"
    if content.startswith(JPEG):
        return "photos", ".jpg"
    # A safetensors file begins with the length of its header, which is JSON.
    is_tuning = content[8:9] == b"{" and 0 < int.from_bytes(content[:8], "little") < len(content)
    return ("tunings", ".safetensors") if is_tuning else None


def _most_bytes(name: str) -> int:
    """How large a file of that name may be, unpacked."""
    return _MOST_BYTES.get(name) or _MOST_OF_KIND.get(name.partition("/")[0], 2**22)


def _refuse_too_much(path: str | os.PathLike[str], files: Mapping[str, bytes]) -> None:
    """Stop before a file is written that could not be read again."""
    large = next((name for name, content in files.items() if len(content) > _most_bytes(name)), "")
    total = sum(map(len, files.values()))
    packed = sum(len(content) for name, content in files.items() if name in (_JSON, _ARRAYS))
    is_too_much = total > _MOST_FILE_BYTES or packed > _MOST_PACKED_BYTES
    if large or is_too_much or len(files) > _MOST_FILES:
        sentence = (
            f"was not saved: it would have {total / 2**20:,.0f} MB, more than can be read again. "
            "Take out photos, or bookmarks of tuned heads, then save."
        )
        raise SaveError(path, sentence)


def _unpacked(path: str | os.PathLike[str], only: str = "") -> dict[str, bytes]:
    """Read all files of a zip, or one of them if it is there, each within its bound."""
    try:
        if os.path.getsize(path) > _MOST_FILE_BYTES:
            raise LoadError(path, f"is too large for a project. {_AGAIN}")
        with zipfile.ZipFile(path) as file:
            _refuse_strange(path, file)
            names = [name for name in file.namelist() if only in ("", name)]
            return {name: _content(path, file, name) for name in names}
    except FileNotFoundError as error:
        raise LoadError(path, "does not exist. It may have been moved or renamed.") from error
    except IsADirectoryError as error:
        raise LoadError(path, "is a folder. Choose a .splathead file.") from error
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError) as error:
        raise LoadError(path, f"is damaged, or no project of Splathead. {_AGAIN}") from error
    except OSError as error:
        raise LoadError(path, f"cannot be read ({error.strerror}). Check its rights.") from error
    except (RuntimeError, ValueError) as error:  # encrypted, a way of packing unknown here
        raise LoadError(path, f"was not written by Splathead ({error}). {_AGAIN}") from error


def _refuse_strange(path: str | os.PathLike[str], file: zipfile.ZipFile) -> None:
    """Stop before a zip that is no project, or none that can be trusted."""
    names = file.namelist()
    strange = next((name for name in names if not _NAMES.fullmatch(name)), None)
    if strange is not None:
        shown = ascii(strange[:40])
        raise LoadError(path, f"holds {shown}, which no project does. Save it again.")
    if len(set(names)) != len(names):
        raise LoadError(path, f"holds two files of one name. {_AGAIN}")
    if _JSON not in names:
        raise LoadError(path, "is a zip, but no project of Splathead. Open another file.")
    if any(info.compress_type not in _PACKINGS for info in file.infolist()):
        raise LoadError(path, "is packed in a way that no project is. Save it again.")
    if len(names) > _MOST_FILES:
        raise LoadError(path, f"holds {len(names)} files, more than any project. {_AGAIN}")
    if any(info.compress_type and info.filename.startswith(_LARGE) for info in file.infolist()):
        # So that none of these can be larger unpacked than it is in the file.
        raise LoadError(path, f"is packed in a way that no project is. {_AGAIN}")
    total = sum(info.file_size for info in file.infolist() if info.compress_type)
    for info in file.infolist():
        if info.file_size > _most_bytes(info.filename):
            raise LoadError(path, f"is too large: {info.filename} has {info.file_size:,} bytes.")
    if total > _MOST_PACKED_BYTES:
        raise LoadError(path, f"is too large: it unpacks to {total:,} bytes. {_AGAIN}")


def _content(path: str | os.PathLike[str], file: zipfile.ZipFile, name: str) -> bytes:
    bound = _most_bytes(name)
    with file.open(name) as entry:
        content = entry.read(bound + 1)  # its directory may say too little
    if len(content) > bound:
        raise LoadError(path, f"is too large: {name} has more than {bound:,} bytes. {_AGAIN}")
    return content
