"""Long work on photos and tunings, as jobs: reading, preparing, both phases, files of tunings."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil
import torch

from inversion.errors import InversionError
from inversion.faces import LEAST_FACE, Face, find_faces
from inversion.identity import load_identity
from inversion.losses import Perception
from inversion.perceptual import TRUNKS, Lpips, Trunk
from inversion.photo import Photo
from inversion.pictures import Picture, decode_picture, read_picture
from inversion.pivotal import memory_estimate, tune
from inversion.prepare import PrepareSettings, photo_of, prepare, target_of
from inversion.projector import project
from inversion.settings import ProjectorSettings, TuningSettings
from inversion.steps import Inversion, InversionStep, Tuned
from inversion.target import Target
from inversion.weights import load
from models.delta import SUFFIX, Tuning, WeightDelta, read_delta, write_delta
from models.generator import CgsGenerator
from renderer.errors import SplatheadError
from renderer.files import unused_name
from splatviz_app.engine import Progress, Step
from splatviz_app.export import SavedFile
from splatviz_app.inversion.phases import PhaseRun
from splatviz_app.pipeline import Pipeline
from splatviz_app.preferences import PerceptionChoice
from splatviz_app.scenes import compile_rasterizer, drawing_device
from splatviz_app.tuned import digest_of

_TRUNKS: Mapping[PerceptionChoice, Trunk] = {
    "alexnet": "alex",
    "squeezenet": "squeeze",
    "vgg16": "vgg",
}


@dataclass(frozen=True, eq=False)
class NewPhotos:
    """Pictures that were read, and a sentence for each that could not be."""

    photos: tuple[Photo, ...]
    sentences: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class PreparedPhotos:
    """What preparing made of photos, and a sentence for each where it failed."""

    pairs: tuple[tuple[Photo, Photo], ...]  # before and after
    faces: Mapping[bytes, tuple[Face, ...]]  # all that were found, by the content of their photo
    problems: Mapping[bytes, str]  # by the content of their photo

    def news(self, photo: Photo) -> Photo:
        """What became of a photo; itself if nothing did, or a hand has set it up meanwhile."""
        for old, new in self.pairs:
            if photo.content is old.content and _set_up(photo) == _set_up(old):
                return replace(new, name=photo.name, used=photo.used)
        return photo


@dataclass(frozen=True)
class NewTuning:
    """A tuning from a file, for the document."""

    delta: WeightDelta
    sentence: str


def read_photos(
    sources: Sequence[Path | Picture],
) -> Generator[Progress, None, NewPhotos]:
    """Read pictures, whatever their format, and make photos of them.

    Args:
        sources: Files, or pictures that are here already; one that cannot be read stops no other.
    """
    photos: list[Photo] = []
    sentences: list[str] = []
    for number, source in enumerate(sources):
        yield Step(number, len(sources), f"Reading {source.name}")
        try:
            picture = source if isinstance(source, Picture) else read_picture(source)
            photos.append(photo_of(picture))
        except SplatheadError as error:
            sentences.append(str(error))
    return NewPhotos(tuple(photos), tuple(sentences))


def prepare_photos(
    chosen: Sequence[tuple[Photo, Face | None]],
    settings: PrepareSettings,
    known: Mapping[bytes, tuple[Face, ...]],
) -> Generator[Progress, None, PreparedPhotos]:
    """Find the face, the square and the matte of photos; one where that fails stops no other.

    Args:
        chosen: Photos, each with the face to take, or None for the main one.
        settings: How.
        known: Faces that were found already, by the content of their photo.
    """
    pairs: list[tuple[Photo, Photo]] = []
    faces: dict[bytes, tuple[Face, ...]] = {}
    problems: dict[bytes, str] = {}
    for number, (photo, face) in enumerate(chosen):
        try:
            yield Step(4 * number, 4 * len(chosen), f"Looking for faces in {photo.name}")
            found = known.get(photo.content)
            if found is None:
                found = find_faces(decode_picture(photo.content, photo.name).pixels)
                faces[photo.content] = found
            if face is None and found and found[0].side >= LEAST_FACE:
                face = found[0]  # else `prepare` looks once more, and says what is wrong
            work = prepare(photo, settings, face)
            new = yield from _within(work, 4 * number, 4 * len(chosen))
            pairs.append((photo, new))
        except SplatheadError as error:
            problems[photo.content] = str(error)
    return PreparedPhotos(tuple(pairs), faces, problems)


def invert(
    run: PhaseRun, pipeline: Pipeline, generator: CgsGenerator, settings: ProjectorSettings
) -> Generator[Progress, None, Inversion]:
    """Look for the head of the run's photos.

    Args:
        run: Which photos; where it stands is written there.
        pipeline: Shows it.
        generator: As it was loaded.
        settings: How.

    Raises:
        InversionError: It ran away, or out of memory.
    """
    targets, perception = yield from _prepared(run, settings.resolution)
    work = project(targets, generator, settings, perception, run.reins)
    found = yield from _followed(run, work, pipeline)
    assert isinstance(found, Inversion)
    return found


def tune_head(
    run: PhaseRun, pipeline: Pipeline, generator: CgsGenerator, settings: TuningSettings
) -> Generator[Progress, None, Tuned]:
    """Change a copy of the generator until the run's head looks like its photos.

    Args:
        run: Which photos; where it stands is written there.
        pipeline: Shows it.
        generator: As it was loaded.
        settings: How.

    Raises:
        InversionError: It ran away, or out of memory.
    """
    start = run.start
    _require_memory(memory_estimate(generator, settings))
    w = pipeline.beside().w(start.request)[0]  # [num_ws or blocks, W]
    targets, perception = yield from _prepared(run, settings.resolution)
    name = Path(start.photos[0].name).stem
    work = tune(
        targets, generator, w, start.cameras, settings, perception,
        reins=run.reins, weights=start.weights, name=name,
    )  # fmt: skip
    found = yield from _followed(run, work, pipeline)
    assert isinstance(found, Tuned)
    digest_of(found.delta.content)  # here and now, where nobody waits for a frame
    return found


def save_tuning(tuning: Tuning, path: Path) -> Generator[Progress, None, SavedFile]:
    """Write a tuning to a file of its own; its strength is not kept.

    Args:
        tuning: What is written.
        path: The wished name; a number is added if it is taken.

    Raises:
        SaveError: It cannot be written.
    """
    stem = path.name.removesuffix(".safetensors").removesuffix(SUFFIX.split(".")[1]).rstrip(".")
    path = path.with_name((stem or "head") + SUFFIX)
    yield Step(0, 1, f"Writing {path.name}")
    path = unused_name(path)
    write_delta(path, tuning.delta)
    return SavedFile(path, f"Saved the tuning as {path.name} in {path.parent.resolve()}")


def read_tuning(path: Path) -> Generator[Progress, None, NewTuning]:
    """Read a tuning of any generator.

    Raises:
        LoadError: It is missing, damaged, or no tuning.
    """
    yield Step(0, 1, f"Reading {path.name}")
    delta = read_delta(path)
    digest_of(delta.content)  # here and now, where nobody waits for a frame
    return NewTuning(delta, f"Opened the tuning {path.name}; undo removes it")


def _prepared(
    run: PhaseRun, side: int
) -> Generator[Progress, None, tuple[list[Target], Perception]]:
    """Cut the targets, load what compares with them, and compile what draws heads."""
    yield from compile_rasterizer(gradients=True)
    photos = run.start.photos
    total = len(photos) + 1
    targets = []
    for number, photo in enumerate(photos):
        yield Step(number, total, f"Cutting {photo.name}")
        targets.append(target_of(photo, side))
    run.targets = tuple(_shown(target) for target in targets)
    yield Step(len(photos), total, "Loading what compares pictures")
    perception = load_perception(run.start.perception)
    run.measured_by = perception.describe
    return targets, perception


def load_perception(choice: PerceptionChoice) -> Perception:
    """Load what measures how pictures differ.

    Raises:
        InversionError: Its weights are not here.
        CheckpointError: They are damaged.
    """
    device = drawing_device()
    if choice == "best":
        return Perception.load(device)
    if choice == "stand-in":
        return Perception(identity=load_identity(device))
    trunk = _TRUNKS[choice]
    return Perception(Lpips(trunk, load(TRUNKS[trunk][0])).to(device), load_identity(device))


def _followed(
    run: PhaseRun, work: Generator[InversionStep, None, object], pipeline: Pipeline
) -> Generator[Progress, None, object]:
    """Write down where a phase stands; say in a sentence if there is not memory enough."""
    try:
        return (yield from run.follow(work, pipeline.live))
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        raise InversionError(
            "The memory does not suffice. Choose a smaller resolution or fewer views at a time; "
            "for tuning, let only the last levels change."
        ) from error


def _is_out_of_memory(error: BaseException) -> bool:
    """torch has an exception of its own for it on a GPU, and only words on a CPU."""
    is_plain = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return is_plain or "can't allocate memory" in str(error)


def _require_memory(needed: int) -> None:
    """Stop before the system would end the program, where memory can be told."""
    free = psutil.virtual_memory().available
    if drawing_device().type == "cpu" and needed > free:
        raise InversionError(
            f"Tuning needs about {needed / 2**30:.1f} GB of memory and {free / 2**30:.1f} GB are free. "
            "Let only the last levels change, or choose a smaller resolution."
        )


def _within(
    work: Generator[Progress, None, Photo], before: int, total: int
) -> Generator[Progress, None, Photo]:
    """Count the steps of one photo among those of all."""
    while True:
        try:
            step = next(work)
        except StopIteration as end:
            photo: Photo = end.value
            return photo
        yield Step(before + step.done, total, step.message)


def _set_up(photo: Photo) -> tuple[object, ...]:
    return photo.points, photo.alignment, photo.matte, photo.strokes


def _shown(target: Target) -> np.ndarray:
    """What a target looks like, clear where it does not count. [S, S, 4] uint8"""
    alpha = target.alpha * target.weight
    layers = torch.cat([target.color, alpha[None]]).clamp(0, 1)
    return (255 * layers).round().byte().permute(1, 2, 0).contiguous().cpu().numpy()
