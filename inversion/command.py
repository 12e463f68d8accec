"""From photos to a head without a window: everything that `python -m inversion` does, in order."""

from __future__ import annotations

import os
import signal
import time
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import cv2
import numpy as np
import torch
import tyro
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from inversion import weights
from inversion.alignment import CropRecipe, Point
from inversion.crop import cut, recipe_for
from inversion.errors import InversionError
from inversion.faces import LEAST_FACE, Face, find_faces
from inversion.identity import load_identity
from inversion.losses import Perception
from inversion.matting import MatteMethod
from inversion.perceptual import Lpips
from inversion.photo import Photo
from inversion.pictures import Picture, decode_picture, read_picture
from inversion.pivotal import memory_estimate, tune
from inversion.prepare import PrepareSettings, matte_of, photo_of, prepare, target_of, warnings_for
from inversion.projector import project
from inversion.results import (
    Folder,
    camera_entry,
    drawn,
    overlay,
    photo_entry,
    quality_entries,
    turntable,
)
from inversion.settings import ProjectorSettings, TuningSettings
from inversion.steps import InversionStep, Quality, Reins
from models.checkpoint import LoadedGenerator, load_generator
from models.delta import SUFFIX, with_delta
from models.directions import weights_hash
from models.generator import CgsGenerator
from models.zoo import DEMO_GENERATOR
from renderer.camera import Camera
from renderer.errors import LoadError
from renderer.gaussians import Gaussians
from renderer.gsplat_backend import why_not

PerceptualName = Literal["lpips-alex", "lpips-vgg", "stand-in"]

_VIDEOS = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v")
_POINTS = 5  # eyes, nose, corners of the mouth

Result = TypeVar("Result")


class Stopped(Exception):
    """Ctrl+C was pressed; the best so far is written."""


@dataclass(frozen=True)
class Options:
    """Find the head of the person in a photo, or in several photos of the same person.

    Photos never leave the computer. What has its name taken in the folder gets another: nothing is
    overwritten.
    """

    # Photos of one person, or one video with --frames.
    photos: tyro.conf.Positional[tuple[Path, ...]]
    # Folder of everything that is written; made if there is none.
    out: Path
    # The generator in which the head is looked for.
    model: Annotated[Path, tyro.conf.arg(aliases=["-m"])] = DEMO_GENERATOR
    # Frames of the video, counted from 0: a photo each.
    frames: tuple[int, ...] = ()
    # Find face, crop and matte, and stop there.
    only_prepare: bool = False
    # Do not tune the generator after latent inversion.
    no_tuning: bool = False
    # How the generator's training pictures were cut; by the name of the model if not given.
    recipe: CropRecipe | None = None
    # How the head is cut out; by the best method there is if not given.
    matte: MatteMethod | None = None
    # Which face of a photo, from the most prominent, 0.
    face: int = 0
    # Landmarks by hand, ten numbers in px of the photo: left and right eye (as in the picture), nose,
    # left and right corner of the mouth. For one photo.
    points: tuple[float, ...] = ()
    # How pictures are compared; by LPIPS (alex) if its weights are there, else by the stand-in.
    perceptual: PerceptualName | None = None
    # Folder with the weights of LPIPS, of the identity network and of MODNet.
    weights: Path | None = None
    # cpu, cuda or cuda:1; the GPU if there is one.
    device: str | None = None
    # Width and height in px of the pictures of the result.
    size: int = 512
    # Latent inversion.
    latent: ProjectorSettings = field(default_factory=ProjectorSettings)
    # Tuning.
    tuning: TuningSettings = field(default_factory=TuningSettings)

    def check(self) -> None:
        """Raise InversionError for what does not fit together."""
        if not self.photos:
            raise InversionError("There is no photo. Name one or several, then --out and a folder.")
        if len(self.points) not in (0, 2 * _POINTS):
            raise InversionError(
                f"--points takes ten numbers, x and y of five landmarks; {len(self.points)} are given."
            )
        if self.points and len(self.photos) + len(self.frames) - bool(self.frames) != 1:
            raise InversionError("--points are those of one photo. Name one only.")
        if self.face < 0 or min(self.frames, default=0) < 0:
            raise InversionError("--face and --frames are counted from 0.")
        if not 16 <= self.size <= 4096:
            raise InversionError(f"--size is between 16 and 4096 px, not {self.size}.")


def work_through(options: Options) -> Iterator[str]:
    """Do everything, and say after each part in a sentence what came of it.

    Raises:
        SplatheadError: Something is not there, damaged or cannot be written, or no face was found.
        Stopped: Ctrl+C was pressed, and the best so far is written.
    """
    options.check()
    folder = Folder(options.out)
    folder.make()
    _use_weights(options.weights)
    pictures = _pictures(options)
    loaded = _loaded(options)
    generator = loaded.generator
    perception = None if options.only_prepare else _perception(options, generator.w_avg.device)
    recipe = options.recipe or recipe_for(loaded.summary)
    report: dict[str, Any] = {"photos": [], "model": str(options.model)}
    photos: list[Photo] = []
    for picture in pictures:
        photo = yield from _prepared(picture, options, recipe)
        photos.append(photo)
        yield from _show(photo, folder, report, options.size)
    if perception is not None:
        yield from _invert(photos, generator, perception, options, folder, report)
    folder.report("report.json", report)
    yield f"Wrote {len(folder.names)} files to {options.out}"
    if "problem" in report:
        raise InversionError(report["problem"])
    if "stopped" in report:
        raise Stopped(f"Stopped. The best head so far is in {options.out}.")


# ---- photos


def _pictures(options: Options) -> list[Picture]:
    """Read all photos before any work is done on one."""
    videos = [path for path in options.photos if path.suffix.lower() in _VIDEOS]
    if not videos and not options.frames:
        return [read_picture(path) for path in options.photos]
    if len(options.photos) > 1 or not videos:
        raise InversionError("--frames are those of one video. Name one video and no photos.")
    return [_frame(videos[0], number) for number in options.frames or (0,)]


def _frame(path: Path, number: int) -> Picture:
    """Read one frame of a video."""
    if not path.is_file():
        raise LoadError(path, "does not exist. Choose another file.")
    video = cv2.VideoCapture(str(path))
    try:
        video.set(cv2.CAP_PROP_POS_FRAMES, number)
        there, frame = video.read()
        count = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    finally:
        video.release()
    if not there:
        if count <= 0:
            raise LoadError(path, "is no video that can be read, or is damaged. Choose another.")
        raise LoadError(path, f"has no frame {number}: it has {count} frames, counted from 0.")
    pixels = np.ascontiguousarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
    return Picture(pixels, None, f"{path.stem}-{number}{path.suffix}")


def _prepared(
    picture: Picture, options: Options, recipe: CropRecipe
) -> Generator[str, None, Photo]:
    """Find the face, the camera and the matte of one photo; say it if there was a choice of faces."""
    photo = photo_of(picture)
    kept = decode_picture(photo.content, photo.name)
    points: tuple[Point, ...] = ()
    face = None
    if options.points:
        scale = max(kept.size) / _side_of(options.photos[0], picture)
        x, y = ([scale * value for value in options.points[i::2]] for i in (0, 1))
        points = tuple(zip(x, y, strict=True))
    else:
        faces = find_faces(kept.pixels)
        face = _chosen_face(faces, options.face, photo.name)
        if len(faces) > 1:
            yield f"{photo.name} shows {len(faces)} faces; --face 0 to {len(faces) - 1} chooses one"
    work = prepare(photo, PrepareSettings(recipe, options.matte), face, points)
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def _chosen_face(faces: Sequence[Face], number: int, name: str) -> Face | None:
    """Return a face by its number; None leaves it to `prepare` to say why there is none."""
    if number < len(faces) and faces[number].side >= LEAST_FACE:
        return faces[number]
    if number == 0:
        return None
    if number < len(faces):
        raise InversionError(f"Face {number} of {name} is too small. Choose a larger photo.")
    there = "one face was" if len(faces) == 1 else f"{len(faces)} faces were"
    raise InversionError(f"There is no face {number} in {name}: {there} found, counted from 0.")


def _side_of(path: Path, picture: Picture) -> int:
    """The longer side of a photo's file in px: large ones were reduced while reading."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
            return max(image.size)
    except (OSError, ValueError, Image.DecompressionBombError):
        return max(picture.size)  # a video's frame


def _show(photo: Photo, folder: Folder, report: dict[str, Any], size: int) -> Iterator[str]:
    """Write what was found in a photo, and say it."""
    assert photo.alignment is not None
    name, found = Path(photo.name).stem, photo.alignment
    picture = decode_picture(photo.content, photo.name)
    cautions = warnings_for(photo)
    folder.picture(f"{name}.overlay.png", overlay(picture.pixels, photo))
    folder.picture(f"{name}.crop.png", cut(picture.pixels, found, size))
    folder.picture(f"{name}.matte.png", np.rint(255 * matte_of(photo, size)).astype(np.uint8))
    report["photos"].append(photo_entry(photo, picture.size, cautions))
    yaw, pitch, roll = (round(np.degrees(a), 1) for a in (found.yaw, found.pitch, found.roll))
    yield (
        f"{photo.name}: a face in a square of {found.side:.0f} px, seen at yaw {yaw}, pitch {pitch}, "
        f"roll {roll} degrees"
    )
    yield from cautions


# ---- the head


def _invert(
    photos: Sequence[Photo],
    generator: CgsGenerator,
    perception: Perception,
    options: Options,
    folder: Folder,
    report: dict[str, Any],
) -> Iterator[str]:
    """Find the head, tune the generator, and write both."""
    digest = weights_hash(generator)
    report |= {
        "weights": digest,
        "perception": perception.describe,
        "latent": asdict(options.latent),
        "tuning": asdict(options.tuning),
        "seconds": {},
    }
    yield perception.describe
    side = max(options.latent.resolution, options.tuning.resolution)
    targets = [target_of(photo, side) for photo in photos]
    reins = Reins()
    title = Path(photos[0].name).stem

    with _timed(report, "latent"):
        work = project(targets, generator, options.latent, perception, reins)
        found = _followed(work, "Latent inversion", reins)
    report["views"] = [
        {"inverted": quality, "camera": camera_entry(camera)}
        for quality, camera in zip(quality_entries(found.quality), found.cameras, strict=True)
    ]
    yield _said("Latent inversion", found.steps, found.quality)
    folder.w("w.npz", found.w, digest, title)
    head = _head(generator, found.w)
    _write_views(folder, photos, head, found.cameras, "inverted", options.size)

    if not options.no_tuning and not reins.finish:
        yield f"Tuning takes about {memory_estimate(generator, options.tuning) / 2**30:.1f} GB of memory"
        tuning = tune(
            targets, generator, found.w, found.cameras, options.tuning, perception, reins,
            weights=digest, name=title,
        )  # fmt: skip
        try:
            with _timed(report, "tuning"):
                tuned = _followed(tuning, "Tuning", reins)
        except InversionError as error:  # what was found before it stays
            report["problem"] = str(error)
        else:
            for entry, quality in zip(report["views"], quality_entries(tuned.quality), strict=True):
                entry["tuned"] = quality
            yield _said("Tuning", tuned.steps, tuned.quality)
            folder.delta(f"head{SUFFIX}", tuned.delta)
            head = _head(with_delta(generator, tuned.delta, 1.0, weights=digest), found.w)
    _write_views(folder, photos, head, found.cameras, "result", options.size)
    folder.picture("novel.png", turntable(head, options.size // 2))
    folder.head("head.ply", head, "unity")
    if reins.finish:
        report["stopped"] = True


def _write_views(
    folder: Folder,
    photos: Sequence[Photo],
    head: Gaussians,
    cameras: Sequence[Camera],
    kind: str,
    size: int,
) -> None:
    """Draw a head as each photo's camera sees it."""
    for photo, camera in zip(photos, cameras, strict=True):
        folder.picture(f"{Path(photo.name).stem}.{kind}.png", drawn(head, camera, size))


def _followed(work: Generator[InversionStep, None, Result], title: str, reins: Reins) -> Result:
    """Run a phase to its end under a progress bar; Ctrl+C ends it at the best step.

    Raises:
        InversionError: It ran away, or the memory does not suffice.
    """
    with tqdm(desc=title, unit=" steps", disable=None) as bar, _ctrl_c_finishes(reins):
        while True:
            try:
                step = next(work)
            except StopIteration as end:
                return end.value
            except (MemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error):
                    raise
                raise InversionError(
                    f"The memory does not suffice for {title.lower()}. Choose a smaller "
                    "--latent.resolution and --tuning.resolution, or fewer photos."
                ) from error
            bar.total = step.total
            if step.done:
                bar.set_postfix(loss=f"{step.losses.total:.4f}", refresh=False)
            bar.update(step.done - bar.n)


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether memory is what was missing: torch says it in several ways."""
    is_plain = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return is_plain or "can't allocate memory" in str(error)


@contextmanager
def _ctrl_c_finishes(reins: Reins) -> Iterator[None]:
    """Let Ctrl+C ask for the end; a second one ends at once."""

    def ask(_number: int, _frame: object) -> None:
        if reins.finish:
            raise KeyboardInterrupt
        reins.finish = True

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _timed(report: dict[str, Any], phase: str) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    report["seconds"][phase] = round(time.perf_counter() - begin, 2)


def _said(phase: str, steps: int, qualities: Sequence[Quality]) -> str:
    """Say in a sentence how near a phase has come."""
    views = ", ".join(f"{quality.psnr:.2f} dB" for quality in qualities)
    return f"{phase}: {steps} steps, {views}"


# ---- networks


def _loaded(options: Options) -> LoadedGenerator:
    """Open the generator on the device that was asked for."""
    name = options.device or ("cpu" if why_not() else "cuda")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise InversionError(f"There is no device {name!r} here. Try --device cpu.") from error
    return load_generator(options.model, device)


def _use_weights(where: Path | None) -> None:
    """Look for weights in a folder of the user's first."""
    if where is None:
        return
    if not where.is_dir():
        raise LoadError(where, "is no folder. Name the one with the weights by --weights.")
    os.environ[weights.VARIABLE] = str(where)


def _head(generator: CgsGenerator, w: Tensor) -> Gaussians:
    with torch.no_grad():
        return generator.synthesize(w[None])


def _perception(options: Options, device: torch.device) -> Perception:
    """Load what pictures are compared by.

    Raises:
        InversionError: What was asked for has no weights here.
        CheckpointError: A file of weights is damaged.
    """
    match options.perceptual:
        case "lpips-alex":
            return Perception(
                Lpips("alex", weights.load(weights.ALEXNET)).to(device), load_identity(device)
            )
        case "lpips-vgg":
            return Perception(
                Lpips("vgg", weights.load(weights.VGG16)).to(device), load_identity(device)
            )
        case "stand-in":
            return Perception(identity=load_identity(device))
        case _:
            return Perception.load(device)
