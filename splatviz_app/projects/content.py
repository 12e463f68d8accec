"""What a project says: the document, and which model it needs. Its JSON has a version.

A field that is added to a value gets a default and needs no new version; whoever renames or removes one
raises `FORMAT` and adds a step to `MIGRATIONS`.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from inversion.alignment import Alignment
from inversion.photo import Photo
from models.delta import Tuning
from models.latents import LatentSettings
from renderer.camera import Camera
from renderer.rasterize import MAX_SIDE
from renderer.tonemap import COLORMAPS
from splatviz_app import controls
from splatviz_app.document import Document
from splatviz_app.inversion.cameras import FoundCamera
from splatviz_app.projects.archive import JPEG, PNG
from splatviz_app.projects.frozen_json import Misfit, Store, decode, encode
from splatviz_app.scenes import Scene

FORMAT = 1
VERSION = "splathead_project"  # the name of the format's number in the JSON

# From the JSON of a version to that of the next: {1: one_to_two, …}.
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}

_PROGRAM = Path(__file__).resolve().parent.parent.parent
_LAST_SEED = 2**32 - 1
_LARGEST_SPLATS = 100.0  # times their size
_COLOR_LIMIT = 100.0
_FARTHEST = 1e5  # px from a photo's corner
_LABEL = 25  # numbers of a camera label
_FARTHEST_CAMERA = 100.0  # world units, and image heights of its focal length
_WIDEST_STROKE = 4.0  # sides of the crop, and how far from it a stroke goes
_OWN_SOURCE = re.compile(r"own:\d{1,9}")  # of a slider of one's own


class LaterVersion(Misfit):
    """Written by a later version of this program."""


@dataclass(frozen=True)
class ModelReference:
    """Where a scene's file was, and how to know it again. Any of the places may be empty."""

    # Its name, for the eye.
    name: str
    # SHA-256: of a generator's weights (weights_hash), of any other file's bytes; empty if not known.
    fingerprint: str = ""
    # The way to it from the project's folder, with slashes.
    beside: str = ""
    # The way to it from the root.
    path: str = ""
    # The way to it from the program's folder: of what comes with the program.
    program: str = ""


@dataclass(frozen=True)
class TuningReference:
    """Which tuning a picture was made with: a picture does not hold the tuning itself."""

    # SHA-256 of the delta's content.
    digest: str
    # How much of it.
    strength: float = 1.0
    # Its name, for the eye.
    name: str = ""


@dataclass(frozen=True)
class Content:
    """All of a project. The scene's own path is only a name: `model` says where it is."""

    document: Document = field(default_factory=Document)
    model: ModelReference | None = None
    # The project that the document was opened from: of an autosave only.
    origin: str = ""
    # Where the clock stood of what moves by itself, seconds.
    time: float = 0.0
    # What the document was tuned by: of a note only, whose document has no tuning.
    tuning: TuningReference | None = None


def content_of(document: Document, fingerprint: str, project: Path | None) -> Content:
    """Make a project of a document.

    Args:
        document: What is kept.
        fingerprint: Of the open head or generator; empty if it is not known.
        project: The file it is for. If None it travels alone: no folder is named, since that says
            more of a user than a picture should.
    """
    scene = document.scene
    if scene is None:
        return Content(document)
    document = replace(document, scene=replace(scene, path=Path(scene.path).name, changed=0))
    return Content(document, _reference(Path(scene.path), fingerprint, project))


def to_json(content: Content, store: Store) -> dict[str, Any]:
    """Write a project as JSON; arrays and bytes go to the store."""
    return {VERSION: FORMAT, **encode(content, Content, store)}


def from_json(entry: dict[str, Any], store: Store) -> Content:
    """Read a project of this version or an older one.

    Raises:
        LaterVersion: It is of a later version.
        Misfit: It is no project.
    """
    entry = dict(entry)
    version = entry.pop(VERSION, None)
    if type(version) is not int or version < 1:
        raise Misfit("it does not say its version")
    if version > FORMAT:
        raise LaterVersion("it was written by a later version of Splathead")
    for older in range(version, FORMAT):
        try:
            entry = MIGRATIONS[older](entry)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise Misfit(f"it is no project of version {older}") from error
    content = decode(entry, Content, store, "the project")
    assert isinstance(content, Content)
    if (content.document.scene is None) != (content.model is None):
        raise Misfit("the project does not say which model it needs")
    if content.tuning is not None and not 0 <= content.tuning.strength <= 1:
        raise Misfit("its tuning.strength cannot be what it is")
    return replace(content, document=_within_bounds(content.document))


def places(reference: ModelReference, folder: Path) -> list[Path]:
    """Where a model may be, the likeliest first.

    Args:
        reference: What the project says.
        folder: Of the project.
    """
    found = []
    if reference.program:
        found.append(_PROGRAM / reference.program)
    if reference.beside:
        found.append(folder / reference.beside)
    if reference.path and not reference.path.startswith(("//", "\\\\")):
        # Not on another computer: asking there, a file from elsewhere could learn who opened it.
        found.append(Path(reference.path))
    found.append(folder / Path(reference.name).name)
    return list(dict.fromkeys(Path(os.path.normpath(place)) for place in found))


def located(scene: Scene, path: Path, changed: int) -> Scene:
    """The scene of a project in the file where it was found."""
    return replace(scene, path=str(path.absolute()), changed=changed)


def tunings_of(document: Document) -> Iterator[Tuning]:
    """Every tuning that a document holds."""
    holders = (document, *document.bookmarks, document.checkpoint)
    yield from (holder.tuning for holder in holders if holder is not None and holder.tuning)


def _reference(path: Path, fingerprint: str, project: Path | None) -> ModelReference:
    plain = ModelReference(path.name, fingerprint)
    if path.is_relative_to(_PROGRAM):
        return replace(plain, program=path.relative_to(_PROGRAM).as_posix())
    if project is None:
        return plain
    try:
        beside = Path(os.path.relpath(path, project.absolute().parent)).as_posix()
    except ValueError:  # on another drive
        beside = ""
    return replace(plain, beside=beside, path=str(path))


def _within_bounds(document: Document) -> Document:
    """Bring the camera into its range, and refuse what a panel could never have set.

    Raises:
        Misfit: A number is out of all bounds.
    """
    view = document.view
    sliders = document.edits.sliders
    allowed = {
        "latent.seed": all(0 <= latent.seed <= _LAST_SEED for latent in _latents(document)),
        "view.resolution": 0 <= view.resolution <= MAX_SIDE,
        "view.splat_scale": 0 < view.splat_scale <= _LARGEST_SPLATS,
        "view.background": all(abs(part) <= _COLOR_LIMIT for part in view.background),
        "view.colormap": view.colormap in COLORMAPS,
        "edits.sliders": all((s.kind == "color") == isinstance(s.value, tuple) for s in sliders),
        "palettes.own": all(
            _OWN_SOURCE.fullmatch(axis.source)
            for palette in document.palettes
            for axis in palette.own
        ),
        "tuning": all(map(_is_possible_tuning, tunings_of(document))),
        "photos": all(map(_is_possible_photo, document.photos)),
        "cameras": all(map(_is_possible_camera, document.cameras)),
    }
    for name, is_allowed in allowed.items():
        if not is_allowed:
            raise Misfit(f"its {name} cannot be what it is")
    return replace(document, rig=controls.limited(document.rig))


def _latents(document: Document) -> Iterator[LatentSettings]:
    """Every place in a latent space that a document holds."""
    yield document.latent
    for bookmark in (*document.bookmarks, document.checkpoint):
        if bookmark is not None:
            yield bookmark.latent
    for palette in document.palettes:
        yield from (*palette.having, *palette.lacking)
        if palette.start is not None:
            yield palette.start


def _is_possible_tuning(tuning: Tuning) -> bool:
    """Whether it is worth keeping; what is in it is looked at when it is used."""
    is_hash = re.fullmatch(r"[0-9a-f]{64}", tuning.delta.weights) is not None
    return 0 <= tuning.strength <= 1 and is_hash and bool(tuning.delta.content)


def _is_possible_alignment(found: Alignment) -> bool:
    turns = (found.angle, found.yaw, found.pitch, found.roll)
    return (
        all(abs(place) <= _FARTHEST for place in found.centre)
        and 0 < found.side <= _FARTHEST
        and all(abs(turn) <= 2 * math.pi for turn in turns)
    )


def _is_possible_camera(camera: FoundCamera) -> bool:
    """Whether a head can be drawn from it."""
    if camera.label.shape != (_LABEL,) or not _is_possible_alignment(camera.alignment):
        return False
    label = camera.label.tensor()
    try:
        focal = float(Camera.from_label(label).focal)
    except ValueError:  # skewed, stretched or off-centre
        return False
    return focal > 0 and bool((label.abs() <= _FARTHEST_CAMERA).all())


def _is_possible_photo(photo: Photo) -> bool:
    """Whether the numbers of a photo are such as hands and detectors set."""
    places = [place for stroke in photo.strokes for point in stroke.path for place in point]
    return (
        (photo.alignment is None or _is_possible_alignment(photo.alignment))
        and photo.content.startswith((PNG, JPEG))
        and photo.matte[: len(PNG)] in (b"", PNG)
        and len(photo.points) in (0, 5)
        and all(abs(place) <= _FARTHEST for point in photo.points for place in point)
        and all(abs(place) <= _WIDEST_STROKE for place in places)
        and all(0 < stroke.radius <= _WIDEST_STROKE for stroke in photo.strokes)
    )
