"""What can be shown, named by value (`Scene`), and the opened heads behind those names (`Library`)."""

from __future__ import annotations

import hashlib
import math
import os
import signal
import subprocess
import sys
import time
from collections import OrderedDict
from collections.abc import Generator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch

from models.checkpoint import CheckpointSummary, LoadedGenerator, load_steps
from models.directions import Direction, read_directions, shipped_directions, weights_hash
from models.zoo import DEMO_GENERATOR
from renderer.errors import LoadError
from renderer.formats import READERS, read_head
from renderer.formats.frames import Frame
from renderer.gaussians import Gaussians
from renderer.rasterize import default_backend
from splatviz_app.engine import Progress, Step
from splatviz_app.tuned import is_tuning_file

SAMPLE_HEAD = Path(__file__).resolve().parent.parent / "examples" / "sample_head.ply"
# What comes with the program, under the names that panels show; the first there is opens by itself.
BUILT_IN = {"Demo generator": DEMO_GENERATOR, "Sample head": SAMPLE_HEAD}
GENERATOR_SUFFIXES = (".pkl", ".safetensors")
HEAD_SUFFIXES = tuple(READERS)
SUFFIXES = GENERATOR_SUFFIXES + HEAD_SUFFIXES

# About what it takes; only the progress bar believes it.
_COMPILE_SECONDS = {"cpu": 10.0, "gsplat": 180.0}


@dataclass(frozen=True)
class PlyHead:
    """A head in a `.ply` file."""

    path: str
    # The axes the file was written in; None for what the file says, or ours.
    frame: Frame | None = None
    # When the file was last changed, ns since 1970: what has changed since is another scene.
    changed: int = 0


@dataclass(frozen=True)
class GanHead:
    """A head made by the generator in a checkpoint."""

    path: str
    # When the file was last changed, ns since 1970.
    changed: int = 0


Scene = PlyHead | GanHead


@dataclass(frozen=True, eq=False)
class OpenedPly:
    """The splats of a file, in our axes, on the device that draws."""

    gaussians: Gaussians
    # SHA-256 of the file, hexadecimal.
    fingerprint: str = ""


@dataclass(frozen=True, eq=False)
class OpenedGenerator:
    """A network ready to make heads, on the device that draws."""

    loaded: LoadedGenerator
    # The named directions that lie beside the checkpoint, or why they could not be read.
    directions: tuple[Direction, ...] = ()
    remark: str = ""

    @property
    def summary(self) -> CheckpointSummary:
        """What the checkpoint says of itself."""
        return self.loaded.summary

    @cached_property
    def fingerprint(self) -> str:
        """The hash of the weights (models.directions.weights_hash): the same in a file of any kind."""
        return weights_hash(self.loaded.generator)


Opened = OpenedPly | OpenedGenerator


def scene_for(path: str | Path) -> Scene:
    """Name the scene in a file by its ending.

    Raises:
        LoadError: It is none of ours.
    """
    path = Path(path).expanduser()
    ending = path.suffix.lower()
    if is_tuning_file(path):
        sentence = (
            "is a tuning, which changes a generator: open the generator first, then this file."
        )
        raise LoadError(path, sentence)
    if ending in GENERATOR_SUFFIXES:
        return GanHead(str(path.absolute()), changed=_last_change(path))
    if ending in HEAD_SUFFIXES:
        return PlyHead(str(path.absolute()), changed=_last_change(path))
    raise LoadError(
        path,
        f"is not a head this program can open. Choose a file that ends in {', '.join(SUFFIXES)}.",
    )


def first_head() -> Path:
    """What is opened when nothing is asked for: the first of `BUILT_IN` that is there."""
    return next((path for path in BUILT_IN.values() if path.exists()), SAMPLE_HEAD)


def title_of(path: str | Path) -> str:
    """Name a file as panels do: what comes with the program by its title, others by their name."""
    return next((name for name, own in BUILT_IN.items() if own == Path(path)), Path(path).name)


def is_built_in(path: str | Path) -> bool:
    """Say whether a file comes with the program, so that no list need remember it."""
    return Path(path) in BUILT_IN.values()


def drawing_device() -> torch.device:
    """The device that makes and draws heads here."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass(frozen=True, eq=False)
class OpenedScene:
    """The result of `open_scene`: the name, now known to the library."""

    scene: Scene
    # Whether the user asked for it by name, and not undo for one that had been put away.
    show: bool


class Library:
    """The opened heads, newest last. Filled by the engine's thread, looked into by any."""

    def __init__(self, capacity: int = 2) -> None:
        """Keep up to `capacity` heads: a generator takes 250 MB and up."""
        self._opened: OrderedDict[Scene, Opened] = OrderedDict()
        self._capacity = capacity

    def find(self, scene: Scene) -> Opened | None:
        """The opened head of that name, or None if it is not open."""
        return self._opened.get(scene)

    def scenes(self) -> list[Scene]:
        """The names of the opened heads, newest last."""
        return list(self._opened)

    def __getitem__(self, scene: Scene) -> Opened:
        """The opened head of that name; opened now, without progress, if it is not."""
        if scene not in self._opened:
            for _ in open_scene(scene, self):
                pass
        return self._opened[scene]

    def add(self, scene: Scene, opened: Opened) -> None:
        """Keep a head and put the oldest away if there are too many."""
        self._opened[scene] = opened
        self._opened.move_to_end(scene)
        while len(self._opened) > self._capacity:
            self._opened.popitem(last=False)


def open_scene(
    scene: Scene, library: Library, show: bool = True
) -> Generator[Progress, None, OpenedScene]:
    """Read and check a file, and add it to the library.

    Args:
        scene: What to open.
        library: Where it goes once it is complete.
        show: Handed through to the result.

    Raises:
        LoadError: The file is missing, damaged or of another kind.
    """
    name = Path(scene.path).name
    yield from compile_rasterizer()
    if isinstance(scene, GanHead):
        loaded = yield from load_steps(scene.path, device=drawing_device())
        generator = _with_directions(scene.path, loaded)
        library.add(scene, generator)
    else:
        yield Step(0, 2, f"Reading {name}")
        head = read_head(scene.path, scene.frame)
        yield Step(1, 2, f"Preparing {head.count:,} splats")
        with open(scene.path, "rb") as file:
            fingerprint = hashlib.file_digest(file, "sha256").hexdigest()
        library.add(scene, OpenedPly(head.to(drawing_device()), fingerprint))
    return OpenedScene(scene, show)


def _with_directions(path: str, loaded: LoadedGenerator) -> OpenedGenerator:
    """Read the directions that lie beside a checkpoint; those of another are left where they are."""
    beside = shipped_directions(path)
    generator = OpenedGenerator(loaded)
    if beside.exists():
        try:
            directions = read_directions(beside, generator.fingerprint, loaded.generator.w_dim)
            generator = replace(generator, directions=directions)
        except LoadError as error:
            generator = replace(generator, remark=str(error))
    _ = generator.fingerprint  # here and now, where nobody waits for a frame
    return generator


def compile_rasterizer(gradients: bool = False) -> Generator[Progress, None, None]:
    """Compile this machine's rasterizer, once; a process of its own does it.

    In this one the compiler would hold the interpreter, and with it the window, for seconds, and what
    is asked of the engine meanwhile would wait, for minutes on a GPU.

    Args:
        gradients: Whether the backward pass is wanted as well.
    """
    name = default_backend(drawing_device())
    if name == "gsplat":
        from renderer import gsplat_backend

        is_ready = gsplat_backend.is_compiled()  # both passes come together
    else:
        from renderer import cpu_backend

        is_ready = cpu_backend.is_compiled(gradients=gradients)
    if is_ready:
        return
    compiler = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"from renderer.{name}_backend import warm_up; warm_up(gradients={gradients})",
        ],
        cwd=Path(__file__).resolve().parent.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a group of its own: it starts compilers that must end with it
    )
    begin, needed = time.monotonic(), _COMPILE_SECONDS[name]
    try:
        while compiler.poll() is None:
            spent = time.monotonic() - begin
            # Nobody knows how long it takes: the bar comes ever nearer to its end.
            done = round(1000 * (1 - math.exp(-spent / needed)))
            yield Step(done, 1000, "Compiling the rasterizer for this machine, only this once")
            time.sleep(0.03)
    finally:
        _end(compiler)


def _end(process: subprocess.Popen) -> None:
    """End a process, and those it started, that has a group of its own."""
    if process.poll() is None:
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last_change(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0  # opening it will say what is wrong
