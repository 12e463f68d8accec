"""Pictures to learn from: a folder or zip on disk, or anything that makes them by number.

A source is read by number, never in sequence, so that where a run stands in its data is one count.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import threading
import zipfile
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from renderer.camera import Camera
from renderer.errors import LoadError

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
_NAMED = 5  # faulty files that a sentence names
_CHECKED_AT_ONCE = 64  # pictures between two steps: in the window, heads are drawn in between


class Batch(NamedTuple):
    """Pictures with their cameras."""

    images: Tensor  # [B, 3, H, W]  in [0, 1]
    alphas: Tensor  # [B, 1, H, W]  in [0, 1], 1 where the head is
    labels: Tensor  # [B, 25]

    def over(self, backgrounds: Tensor) -> Batch:
        """Put the heads before colours. [B, 3]"""
        behind = backgrounds[:, :, None, None]
        return self._replace(images=self.images * self.alphas + behind * (1 - self.alphas))


class ImageSource(Protocol):
    """Where pictures come from. Number i is the same picture every time; any thread may ask."""

    @property
    def count(self) -> int:
        """How many pictures there are."""
        ...

    @property
    def resolution(self) -> int:
        """Side of the pictures in px."""
        ...

    @property
    def has_alphas(self) -> bool:
        """Whether it is known where the head is; if not, alphas are 1."""
        ...

    @property
    def digest(self) -> str:
        """Text that differs between different data, to key what is computed from them."""
        ...

    def read(self, numbers: Sequence[int]) -> Batch:
        """Return pictures by number, each 0 to `count` - 1."""
        ...

    def labels(self, numbers: Sequence[int]) -> Tensor:
        """Return only their cameras. [B, 25]"""
        ...


# ── order ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Sampler:
    """Goes through `count` entries in a new random order each time; a pure function of position."""

    count: int
    seed: int

    def entries(self, start: int, number: int) -> list[int]:
        """Return entries `start` to `start + number` of the endless sequence."""
        return [
            self._order(position // self.count)[position % self.count]
            for position in range(start, start + number)
        ]

    def _order(self, epoch: int) -> Sequence[int]:
        key = (self.count, self.seed, epoch)
        with _orders_lock:
            if key not in _orders:
                _orders.clear()  # one order is used at a time, two where epochs meet
                _orders[key] = np.random.default_rng([self.seed, epoch]).permutation(self.count)
            return _orders[key]  # type: ignore[return-value]


_orders: dict[tuple[int, int, int], np.ndarray] = {}
_orders_lock = threading.Lock()


class TrainingData:
    """A source with its pictures mirrored, in the order of training."""

    def __init__(self, source: ImageSource, *, mirror: bool, seed: int) -> None:
        """Count each picture twice with `mirror`: as it is, and mirrored."""
        self.source, self.mirror = source, mirror
        self.count = source.count * (2 if mirror else 1)
        self._sampler = Sampler(self.count, seed)

    def batch(self, start: int, number: int) -> Batch:
        """Return pictures `start` to `start + number` of the endless sequence."""
        entries = self._sampler.entries(start, number)
        return self.at(entries)

    def at(self, entries: Sequence[int]) -> Batch:
        """Return pictures by entry: those from `source.count` on are mirrored."""
        batch = self.source.read([entry % self.source.count for entry in entries])
        return mirrored(batch, self._mirrored(entries))

    def labels_at(self, entries: Sequence[int]) -> Tensor:
        """Return only cameras by entry. [B, 25]"""
        labels = self.source.labels([entry % self.source.count for entry in entries])
        which = self._mirrored(entries)
        return torch.where(which[:, None], mirrored_labels(labels), labels)

    def _mirrored(self, entries: Sequence[int]) -> Tensor:
        return torch.tensor([entry >= self.source.count for entry in entries])


def mirrored(batch: Batch, which: Tensor) -> Batch:
    """Mirror some pictures of a batch left to right, and their cameras. which: [B] bool"""
    across = which[:, None, None, None]
    return Batch(
        torch.where(across, batch.images.flip(-1), batch.images),
        torch.where(across, batch.alphas.flip(-1), batch.alphas),
        torch.where(which[:, None], mirrored_labels(batch.labels), batch.labels),
    )


def mirrored_labels(labels: Tensor) -> Tensor:
    """Turn cameras into those of mirrored pictures: M·pose·M, M = diag(-1, 1, 1, 1). [B, 25]"""
    flip = torch.tensor([-1.0, 1.0, 1.0, 1.0]).to(labels)
    poses = labels[:, :16].unflatten(1, (4, 4)) * flip[:, None] * flip
    return torch.cat([poses.flatten(1), labels[:, 16:]], dim=1)


# ── on disk ────────────────────────────────────────────────────────────────────────────────────


class DiskImages:
    """A dataset in a folder or a zip: `RES/NNNNN.png`, `mask/NNNNN.png`, `dataset.json`."""

    def __init__(
        self, path: Path, index: Path | None = None, resolution: int | None = None
    ) -> None:
        """Find pictures, masks and labels; opens no picture.

        Args:
            path: The folder or zip that has `dataset.json`, or the pictures' folder beside it.
            index: A JSON list of picture numbers, with repeats; all pictures once if None.
            resolution: Which pictures, where there are folders of several sizes.

        Raises:
            LoadError: There is no dataset, or its lists cannot be read.
        """
        self.path = path
        self._files = _open_files(path)
        self._names, self._masks = _find_pictures(path, self._files, resolution)
        self._labels, self.unlabelled = _match_labels(path, self._files, self._names)
        entries = range(len(self._names)) if index is None else _read_index(index, self._names)
        self._entries = [number for number in entries if self._names[number] not in self.unlabelled]
        if not self._entries:
            raise LoadError(path, "has no picture with a camera label. Choose another dataset.")
        self.resolution = self._measure()
        self.digest = self._digest()

    @property
    def count(self) -> int:
        """How many pictures there are, repeats counted."""
        return len(self._entries)

    @property
    def has_alphas(self) -> bool:
        """Whether there are masks."""
        return bool(self._masks)

    @property
    def names(self) -> tuple[str, ...]:
        """The files of the different pictures."""
        return tuple(self._names)

    def read(self, numbers: Sequence[int]) -> Batch:
        """Return pictures by number.

        Raises:
            LoadError: A picture cannot be read.
        """
        pictures = [self._picture(self._entries[number]) for number in numbers]
        return Batch(
            torch.stack([image for image, _ in pictures]),
            torch.stack([alpha for _, alpha in pictures]),
            self.labels(numbers),
        )

    def labels(self, numbers: Sequence[int]) -> Tensor:
        """Return only their cameras. [B, 25]"""
        return torch.stack([self._labels[self._entries[number]] for number in numbers])

    def fault_of(self, number: int) -> str | None:
        """Say what is wrong with a different picture: `FAULTS`, or None. Reads it and its mask."""
        name = self._names[number]
        if name in self.unlabelled:
            return "label"
        if not _is_camera(self._labels[number]):
            return "camera"
        side = (self.resolution, self.resolution)
        image = _decoded(self._files, name, "RGB")
        if image is None:
            return "unreadable"
        if image.size != side:
            return "size"
        if not self._masks:
            return None
        mask_name = self._masks.get(_stem(name))
        if mask_name is None:
            return "mask"
        mask = _decoded(self._files, mask_name, "L")
        if mask is None:
            return "unreadable mask"
        return "mask size" if mask.size != side else None

    def _picture(self, number: int) -> tuple[Tensor, Tensor]:
        name = self._names[number]
        image = _decoded(self._files, name, "RGB")
        mask_name = self._masks.get(_stem(name)) if self._masks else None
        mask = _decoded(self._files, mask_name, "L") if mask_name else None
        side = (self.resolution, self.resolution)
        if image is None or image.size != side or (self._masks and (not mask or mask.size != side)):
            raise LoadError(
                self.path, f"has changed or is damaged: {name} or its mask cannot be read. "
                "Run `python -m training check` on it."
            )  # fmt: skip
        alpha = _unit(mask)[None] if mask else torch.ones(1, *side)
        return _unit(image).permute(2, 0, 1), alpha

    def _measure(self) -> int:
        """Take the size from the folder's name, or from the first picture that can be read."""
        size = _size_of_folder(str(PurePosixPath(self._names[0]).parent))
        if size is not None:
            return size
        for name in self._names[:100]:
            image = _decoded(self._files, name, "RGB")
            if image is not None:
                return image.height
        raise LoadError(self.path, "has no picture that can be read. Copy it again.")

    def _digest(self) -> str:
        digest = hashlib.sha256()
        for name in [*self._names, *sorted(self._masks.values())]:
            digest.update(f"{name} {self._files.size(name)}\n".encode())
        digest.update(torch.stack(list(self._labels.values())).numpy().tobytes())
        digest.update(np.array(self._entries).tobytes())
        return digest.hexdigest()


# ── checking ───────────────────────────────────────────────────────────────────────────────────

FAULTS = {
    "label": "without a label in dataset.json",
    "camera": "whose label is no camera",
    "unreadable": "that cannot be read",
    "size": "of the wrong size",
    "mask": "without a mask",
    "unreadable mask": "whose mask cannot be read",
    "mask size": "whose mask is of the wrong size",
}


@dataclass(frozen=True)
class DataReport:
    """What a check of a dataset found."""

    path: str
    resolution: int  # px
    pictures: int  # different ones
    entries: int  # pictures of an epoch, repeats counted, before mirroring
    has_masks: bool
    faults: dict[str, tuple[str, ...]]  # names of files by kind of fault

    @property
    def is_sound(self) -> bool:
        """Whether one can train on it."""
        return not any(self.faults.values())

    def sentences(self) -> list[str]:
        """Say what is there, and what is wrong: counted, and the first few named."""
        masks = "with masks" if self.has_masks else "without masks"
        lines = [
            f"{self.pictures:,} pictures of {self.resolution} px {masks}, {self.entries:,} an epoch."
        ]
        for kind, names in self.faults.items():
            if names:
                more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
                lines.append(f"{len(names):,} {FAULTS[kind]}: {', '.join(names[:_NAMED])}{more}.")
        return lines


@dataclass(frozen=True)
class CheckStep:
    """Where a check stands."""

    done: int  # pictures
    total: int
    message: str


def check(images: DiskImages) -> Generator[CheckStep, None, DataReport]:
    """Read every picture and mask of a dataset, and count what one cannot train on."""
    found: dict[str, list[str]] = {kind: [] for kind in FAULTS}
    names = images.names
    with ThreadPoolExecutor(8) as threads:
        for start in range(0, len(names), _CHECKED_AT_ONCE):
            numbers = range(start, min(start + _CHECKED_AT_ONCE, len(names)))
            for number, fault in zip(numbers, threads.map(images.fault_of, numbers), strict=True):
                if fault is not None:
                    found[fault].append(names[number])
            yield CheckStep(numbers.stop, len(names), f"Checking {images.path.name}")
    return DataReport(
        path=str(images.path),
        resolution=images.resolution,
        pictures=len(names),
        entries=images.count,
        has_masks=images.has_alphas,
        faults={kind: tuple(faulty) for kind, faulty in found.items()},
    )


def require_sound(report: DataReport) -> None:
    """Stop before training on a dataset with faults.

    Raises:
        LoadError: It has some; the sentence counts and names them.
    """
    if not report.is_sound:
        faults = " ".join(report.sentences()[1:])
        raise LoadError(report.path, f"has pictures {faults} Repair or remove them.")


# ── files ──────────────────────────────────────────────────────────────────────────────────────


class _Folder:
    """Files under a folder, by their names relative to it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.names = sorted(
            found.relative_to(path).as_posix() for found in path.rglob("*") if found.is_file()
        )

    def size(self, name: str) -> int:
        return (self._path / name).stat().st_size

    def read(self, name: str) -> bytes:
        return (self._path / name).read_bytes()


class _Zip:
    """Files in a zip; each thread has the archive open for itself."""

    def __init__(self, path: Path) -> None:
        self._path, self._local = path, threading.local()
        self._sizes = {
            entry.filename: entry.file_size
            for entry in self._archive().infolist()
            if not entry.is_dir()
        }
        self.names = sorted(self._sizes)

    def size(self, name: str) -> int:
        return self._sizes[name]

    def read(self, name: str) -> bytes:
        return self._archive().read(name)

    def _archive(self) -> zipfile.ZipFile:
        if not hasattr(self._local, "archive"):
            self._local.archive = zipfile.ZipFile(self._path)
        return self._local.archive


class _Beside:
    """A zip of pictures, with its labels and masks beside it."""

    def __init__(self, pictures: _Zip, folder: Path) -> None:
        self._pictures, self._folder = pictures, folder
        masks = [f"mask/{found.name}" for found in (folder / "mask").glob("*") if found.is_file()]
        self.names = sorted({*pictures.names, *masks, "dataset.json"})

    def size(self, name: str) -> int:
        inside = name in self._pictures.names
        return self._pictures.size(name) if inside else (self._folder / name).stat().st_size

    def read(self, name: str) -> bytes:
        if name == "dataset.json" or name.startswith("mask/"):
            return (self._folder / name).read_bytes()
        return self._pictures.read(name)


_Files = _Folder | _Zip | _Beside


def _open_files(path: Path) -> _Files:
    try:
        if path.is_dir():
            if not (path / "dataset.json").exists() and (path.parent / "dataset.json").exists():
                return _Folder(path.parent)
            return _Folder(path)
        if path.exists():
            archive = _Zip(path)
            is_whole = any(PurePosixPath(name).name == "dataset.json" for name in archive.names)
            if not is_whole and (path.parent / "dataset.json").exists():
                return _Beside(archive, path.parent)
            return archive
    except (OSError, zipfile.BadZipFile) as error:
        raise LoadError(path, f"cannot be opened ({error}). Choose a folder or a zip.") from error
    raise LoadError(path, "does not exist. Check its name.")


def _find_pictures(
    path: Path, files: _Files, resolution: int | None
) -> tuple[list[str], dict[str, str]]:
    """Find the pictures to use, and the masks by the pictures' stems."""
    pictures: dict[str, list[str]] = {}
    for name in files.names:
        if PurePosixPath(name).suffix.lower() in _SUFFIXES:
            pictures.setdefault(str(PurePosixPath(name).parent), []).append(name)
    masks = [names for folder, names in pictures.items() if PurePosixPath(folder).name == "mask"]
    folders = {f: names for f, names in pictures.items() if PurePosixPath(f).name != "mask"}
    if isinstance(files, _Folder) and path.name in folders and not (path / "dataset.json").exists():
        folders = {path.name: folders[path.name]}
    sized = {f: n for f, n in folders.items() if _size_of_folder(f) == resolution}
    folders = (sized if resolution else None) or folders
    if not folders:
        raise LoadError(path, "has no pictures (.jpg, .png, .webp). Choose another dataset.")
    sizes = sorted({size for size in map(_size_of_folder, folders) if size is not None})
    if len(sizes) > 1:
        listed = ", ".join(map(str, sizes))
        raise LoadError(path, f"has pictures of {listed} px. Say which, by --resolution.")
    names = sorted(name for found in folders.values() for name in found)
    return names, {_stem(name): name for found in masks for name in found}


def _match_labels(
    path: Path, files: _Files, names: Iterable[str]
) -> tuple[dict[int, Tensor], frozenset[str]]:
    """Read `dataset.json`; return labels by picture, and the pictures without one."""
    lists = [name for name in files.names if PurePosixPath(name).name == "dataset.json"]
    if not lists:
        raise LoadError(path, "has no dataset.json with camera labels. Choose another dataset.")
    try:
        listed = json.loads(files.read(min(lists, key=len)))["labels"]
        pairs = listed.items() if isinstance(listed, dict) else listed
        found = {
            _stem(name): torch.tensor([float(x) for x in label])
            for name, label in pairs
            if label is not None and len(label) == 25
        }
    except (ValueError, KeyError, TypeError, OSError) as error:
        sentence = f"has a dataset.json that cannot be understood ({error}). Write it again."
        raise LoadError(path, sentence) from error
    stems = {number: _stem(name) for number, name in enumerate(names)}
    labels = {number: found[stem] for number, stem in stems.items() if stem in found}
    return labels, frozenset(
        name for number, name in enumerate(names) if stems[number] not in found
    )


def _read_index(path: Path, names: Sequence[str]) -> list[int]:
    """Read picture numbers, and find the pictures. A number not there is an error."""
    by_number = {_number(name): position for position, name in enumerate(names)}
    try:
        listed = [int(number) for number in json.loads(path.read_bytes())]
    except (OSError, ValueError, TypeError) as error:
        raise LoadError(path, f"is no JSON list of picture numbers ({error}).") from error
    lacking = sorted({number for number in listed if number not in by_number})
    if lacking:
        few = ", ".join(map(str, lacking[:_NAMED]))
        raise LoadError(
            path, f"lists {len(lacking):,} pictures that the dataset lacks: {few}. "
            "Use the list that was made for this dataset."
        )  # fmt: skip
    return [by_number[number] for number in listed]


def _size_of_folder(folder: str) -> int | None:
    """Read the size of pictures from their folder's name, "512", where it tells."""
    name = PurePosixPath(folder).name
    is_size = name.isdecimal() and str(int(name)) == name and int(name) >= 16
    return int(name) if is_size and int(name) & (int(name) - 1) == 0 else None


def _stem(name: str) -> str:
    return PurePosixPath(name).stem


def _number(name: str) -> int:
    """Read the number of a picture from its name: img00012.png is 12; -1 without digits."""
    digits = re.findall(r"\d+", _stem(name))
    return int(digits[-1]) if digits else -1


def _decoded(files: _Files, name: str, mode: str) -> Image.Image | None:
    """Decode a picture; None if it cannot be."""
    try:
        with Image.open(io.BytesIO(files.read(name))) as image:
            return image.convert(mode)
    except (OSError, ValueError, SyntaxError, KeyError, zipfile.BadZipFile,
            Image.DecompressionBombError):  # fmt: skip
        return None


def _unit(image: Image.Image) -> Tensor:
    """Turn 8-bit values into [0, 1]."""
    return torch.from_numpy(np.array(image)).float() / 255


def _is_camera(label: Tensor) -> bool:
    """Whether a label is finite, and its pose a rotation that `Camera` can be."""
    if not bool(label.isfinite().all()):
        return False
    try:
        rotation = Camera.from_label(label).cam_to_world[:3, :3]
    except ValueError:
        return False
    return torch.allclose(rotation @ rotation.T, torch.eye(3), atol=1e-2)
