"""Weights of other networks that inversion can use: which they are, where they lie, how they come here.

Nothing is fetched unless the caller asked the user. A file is opened only if its digest is the
published one; `load` is the one place here that uses `torch.load`, restricted to weights.
"""

from __future__ import annotations

import hashlib
import http.client
import io
import os
import queue
import shutil
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import platformdirs
import torch
from torch import Tensor

from inversion.errors import InversionError
from inversion.steps import Step
from renderer.errors import CheckpointError, SaveError
from renderer.files import atomic_write

VARIABLE = "SPLATHEAD_WEIGHTS"  # may hold a folder, which then is ours
_TIMEOUT = 20.0  # seconds without a byte
_CHUNK = 1 << 19  # bytes at most; hashing and writing them takes about a millisecond
_PATIENCE = 0.02  # seconds that a step waits for the network, so that frames go on


@dataclass(frozen=True)
class WeightsFile:
    """One published file of weights."""

    # As it is published.
    name: str
    # For the user: "LPIPS, the perceptual distance".
    what_for: str
    url: str
    # Of the published file, in hexadecimal digits.
    sha256: str
    size_bytes: int
    # The folder below torch's cache where other programs keep it; None if there is none.
    shared: Literal["hub/checkpoints", "checkpoints"] | None = None


# Digests of torchvision's files begin as their names say. All digests and sizes are those that several
# independent programs check these addresses for.
ALEXNET = WeightsFile(
    "alexnet-owt-7be5be79.pth",
    "LPIPS, the perceptual distance, on AlexNet",
    "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
    244_408_911,
    "hub/checkpoints",
)
VGG16 = WeightsFile(
    "vgg16-397923af.pth",
    "LPIPS, the perceptual distance, on VGG-16",
    "https://download.pytorch.org/models/vgg16-397923af.pth",
    "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
    553_433_881,
    "hub/checkpoints",
)
SQUEEZENET = WeightsFile(
    "squeezenet1_1-b8a52dc0.pth",
    "LPIPS, the perceptual distance, on SqueezeNet",
    "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth",
    "b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b",
    4_958_839,
    "hub/checkpoints",
)
VGGFACE2 = WeightsFile(
    "20180402-114759-vggface2.pt",
    "the identity loss: a network that recognises people",
    "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/20180402-114759-vggface2.pt",
    "281cebca8662831adb987a874bdcb36e73f5b1c6dc5ee5878f305e985625d99b",
    111_898_327,
    "checkpoints",
)
MODNET = WeightsFile(
    "modnet_photographic.onnx",
    "MODNet, the network that cuts people out",
    "https://github.com/yakhyo/modnet/releases/download/weights/modnet_photographic.onnx",
    "5069a5e306b9f5e9f4f2b0360264c9f8ea13b257c7c39943c7cf6a2ec3a102ae",
    25_969_398,
)
# The authors' own export of the same network, which other programs use.
MODNET_EXPORT = WeightsFile(
    "modnet_photographic_portrait_matting.onnx",
    "MODNet, the network that cuts people out",
    "https://github.com/Zeyi-Lin/HivisionIDPhotos/releases/download/pretrained-model/"
    "modnet_photographic_portrait_matting.onnx",
    "07c308cf0fc7e6e8b2065a12ed7fc07e1de8febb7dc7839d7b7f15dd66584df9",
    25_888_640,
)
# What a program may offer to fetch.
KNOWN: tuple[WeightsFile, ...] = (ALEXNET, VGG16, SQUEEZENET, VGGFACE2, MODNET)


def folder() -> Path:
    """Where our own copies lie: the user may also put files there by hand."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named)
    return Path(platformdirs.user_cache_dir("splathead", appauthor=False)) / "weights"


def places(file: WeightsFile) -> tuple[Path, ...]:
    """List the paths at which `file` is looked for, ours first."""
    found = [folder() / file.name]
    if file.shared:
        cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
        torch_home = os.environ.get("TORCH_HOME") or str(Path(cache) / "torch")
        found.append(Path(torch_home).expanduser() / file.shared / file.name)
    return tuple(found)


def find(file: WeightsFile) -> Path | None:
    """Find a file that this or another program fetched before; cheap enough for every frame.

    Only its size is compared, so that what broke off is not taken for it; `load` checks the rest.
    """
    for path in places(file):
        with suppress(OSError):
            if path.stat().st_size == file.size_bytes:
                return path
    return None


def load(file: WeightsFile, path: str | os.PathLike[str] | None = None) -> dict[str, Tensor]:
    """Read a network's parameters, on the CPU.

    Args:
        file: Which one.
        path: Where it lies; None looks for it.

    Raises:
        InversionError: It is nowhere.
        CheckpointError: It is another file, damaged, or cannot be read.
    """
    path = Path(path) if path is not None else find(file)
    if path is None:
        raise InversionError(f"The weights of {file.what_for} are not here. {by_hand(file)}")
    try:
        with open(path, "rb") as content:
            _compare(file, path, content)
            content.seek(0)
            state = torch.load(content, map_location="cpu", weights_only=True)  # noqa: TID251
    except OSError as error:
        raise CheckpointError(path, f"cannot be read ({error.strerror}).") from error
    return dict(state)


def content_of(file: WeightsFile, path: str | os.PathLike[str]) -> bytes:
    """Read a file that another library parses, if it is the published one.

    Raises:
        CheckpointError: It is another file, damaged, or cannot be read.
    """
    check(file, path)
    return Path(path).read_bytes()


def check(file: WeightsFile, path: str | os.PathLike[str]) -> None:
    """Make sure that a file is the published one; reads all of it.

    Raises:
        CheckpointError: It is another file, damaged, or cannot be read.
    """
    try:
        with open(path, "rb") as content:
            _compare(file, Path(path), content)
    except OSError as error:
        raise CheckpointError(path, f"cannot be read ({error.strerror}).") from error


def by_hand(file: WeightsFile) -> str:
    """Tell the user how to get a file without us."""
    return f"Download {file.url} in a browser and put it into {folder()}, keeping its name."


def question(file: WeightsFile) -> str:
    """Ask for the user's consent to a download."""
    host = urllib.parse.urlsplit(file.url).hostname
    return (
        f"Download {file.name} ({_megabytes(file.size_bytes)}) from {host}? It is for "
        f"{file.what_for}. Nothing of yours is sent."
    )


def download(
    file: WeightsFile, to: str | os.PathLike[str] | None = None
) -> Generator[Step, None, Path]:
    """Fetch a file from its published address. Ask the user before.

    Closing the generator ends it and leaves nothing behind.

    Args:
        file: Which one.
        to: A folder, made if it is missing; None takes ours.

    Yields:
        Bytes that have arrived.

    Returns:
        Where it lies.

    Raises:
        InversionError: There is no network, the transfer broke off, the disk has no room, or what
            arrived is not the published file.
        SaveError: It cannot be written.
    """
    return (yield from _receive(file, file.url, Path(to) if to is not None else folder()))


def take(file: WeightsFile, path: str | os.PathLike[str]) -> Generator[Step, None, Path]:
    """Copy a file that the user has somewhere into our folder, where it is found from now on.

    Yields, returns and raises as `download`; what lies at `path` may have any name.
    """
    return (yield from _receive(file, Path(path).resolve().as_uri(), folder()))


# ---- checking


def _compare(file: WeightsFile, path: Path, content: io.BufferedReader) -> None:
    """Raise unless the digest is the published one."""
    if hashlib.file_digest(content, "sha256").hexdigest() != file.sha256:
        raise CheckpointError(
            path, f"is not the published {file.name}, or is damaged. {by_hand(file)}"
        )


# ---- fetching


class _Transfer(threading.Thread):
    """Reads an address beside the engine's thread, which must not wait for a network."""

    def __init__(self, url: str) -> None:
        """Begin nothing yet."""
        super().__init__(name="download", daemon=True)
        self.url = url
        # Parts of the content, then an empty one at its end, or what went wrong.
        self.parts: queue.Queue[bytes | Exception] = queue.Queue(maxsize=8)
        self.cancelled = threading.Event()

    def run(self) -> None:
        """Read to the end, or until `cancelled`."""
        request = urllib.request.Request(self.url, headers={"User-Agent": "Splathead"})
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
                while not self.cancelled.is_set():
                    part = response.read1(_CHUNK)  # what is there, without waiting for more
                    self._hand_over(part)
                    if not part:
                        return
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._hand_over(error)

    def _hand_over(self, part: bytes | Exception) -> None:
        while not self.cancelled.is_set():
            with suppress(queue.Full):
                return self.parts.put(part, timeout=0.1)


def _receive(file: WeightsFile, url: str, where: Path) -> Generator[Step, None, Path]:
    """Bring `file` from `url` into the folder `where`."""
    _make_room(file, where)
    path, digest, done = where / file.name, hashlib.sha256(), 0
    transfer = _Transfer(url)
    transfer.start()
    try:
        with atomic_write(path) as target:
            while done <= file.size_bytes:  # what is longer is another file, perhaps endless
                part = _next(transfer)
                if isinstance(part, Exception):
                    raise InversionError(_failure(file, url, _reason(part))) from part
                if part == b"":
                    break
                if part is not None:
                    digest.update(part)
                    done += target.write(part)
                yield _step(file, done)
            if done < file.size_bytes:
                raise InversionError(_failure(file, url, f"it broke off at {_megabytes(done)}"))
            if digest.hexdigest() != file.sha256:
                raise InversionError(_failure(file, url, "what came is not the published file"))
    finally:
        transfer.cancelled.set()
    return path


def _next(transfer: _Transfer) -> bytes | Exception | None:
    """The next part; None if it has not come yet."""
    with suppress(queue.Empty):
        return transfer.parts.get(timeout=_PATIENCE)
    return None


def _make_room(file: WeightsFile, where: Path) -> None:
    """Make the folder, and find out now whether the file will fit."""
    try:
        where.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(where).free
    except OSError as error:
        raise SaveError(
            where, f"cannot be used as a folder ({error.strerror}). Name another in {VARIABLE}."
        ) from error
    if free < file.size_bytes:
        raise InversionError(
            f"{file.name} needs {_megabytes(file.size_bytes)}, and only {_megabytes(free)} are free in "
            f"{where}: free some space, or name another folder in {VARIABLE}."
        )


def _step(file: WeightsFile, done: int) -> Step:
    message = f"Fetching {file.name}: {_megabytes(done)} of {_megabytes(file.size_bytes)}"
    return Step(done, file.size_bytes, message)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.0f} MB" if count >= 10e6 else f"{count / 1e6:.1f} MB"


def _failure(file: WeightsFile, url: str, why: str) -> str:
    if url != file.url:
        return f"{url} cannot be taken as {file.name} ({why}): choose another file."
    return (
        f"{file.name} could not be fetched ({why}): check the network and try again, or download "
        f"{url} in a browser and put it into {folder()}, keeping its name."
    )


def _reason(error: Exception) -> str:
    """What went wrong with the network, in a few words."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answers {error.code}, {error.reason}"
    if isinstance(cause, TimeoutError):
        return "the server does not answer"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return str(cause) or type(cause).__name__
