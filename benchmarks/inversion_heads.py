"""How near inversion comes to heads that are known: synthetic ones that the generator never learned from.

Everything about a head follows from its number, so that a run that was stopped goes on the same.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from inversion.alignment import Alignment
from inversion.crop import cut, inside, to_crop
from inversion.faces import find_faces, refine_face
from inversion.losses import Perception
from inversion.pivotal import tune
from inversion.pose import align, guess_points
from inversion.projector import project
from inversion.settings import ProjectorSettings, TuningSettings
from inversion.target import Target
from inversion.views import degrees_between
from models.delta import with_delta
from models.directions import weights_hash
from models.generator import CgsGenerator, HeadGenerator
from renderer.camera import GAN_FOCAL, GAN_RADIUS, Camera, OrbitRig
from renderer.gaussians import Gaussians
from renderer.rasterize import rasterize
from training.synthetic.parameters import Z_DIM
from training.synthetic.stream import HeadSource

_SEED = 8_500_000  # of the latents and cameras; no training sees them
_PHOTO = 512  # px of the picture in which landmarks are looked for
IN_PLACE = ", in place"  # ends the rows of heads that were brought to where the photo has them
_LEAST_TURN = 10.0  # degrees of yaw between the single view and those it is judged by

Result = TypeVar("Result")


@dataclass(frozen=True)
class Method:
    """How heads are looked for."""

    projector: ProjectorSettings = field(default_factory=ProjectorSettings)
    tuning: TuningSettings = field(default_factory=TuningSettings)
    # Of the pictures by which the outcome is judged, px.
    size: int = 256


@dataclass(frozen=True, eq=False)
class View:
    """What a head looks like from one camera."""

    camera: Camera
    # Over black. [3, S, S]
    color: Tensor
    alpha: Tensor  # [S, S]
    # How much a pixel counts; 1 if None. [S, S]
    weight: Tensor | None = None

    def psnr(self, head: Gaussians) -> float:
        """Compare a head [1] over the pixels that this one covers, before white: dB."""
        white = torch.ones(3)
        size = (self.alpha.shape[1], self.alpha.shape[0])
        with torch.no_grad():
            drawn = rasterize(head[0], self.camera, size, background=white).color
        wanted = self.color + (1 - self.alpha)
        counts = self.alpha > 0.5
        if self.weight is not None:
            counts = counts & (self.weight > 0.5)
        squared = (drawn.clamp(0, 1) - wanted.clamp(0, 1)).square().mean(0)
        return float(-10 * torch.log10(squared[counts].mean().clamp_min(1e-10)))

    def target(self, name: str, points: Tensor) -> Target:
        """Say it as inversion wants it: colours as they are where nothing shines through."""
        bare = (self.color / self.alpha.clamp_min(1e-3)).clamp(0, 1)
        weight = torch.ones_like(self.alpha) if self.weight is None else self.weight
        return Target(name, bare, self.alpha, weight, self.camera, points)


@dataclass(frozen=True, eq=False)
class Subject:
    """One synthetic head, and how it is seen."""

    index: int
    z: Tensor  # [1, Z]
    gaussians: Gaussians  # [1, N, …]
    single: View  # within 30 degrees of the front
    three: tuple[View, ...]  # front, left and right
    novel: tuple[View, ...]  # within 45 degrees; judged by, never given
    wide: tuple[View, ...]  # 45 to 90 degrees; the same


@dataclass
class Outcome:
    """What was measured of one head: PSNR in dB by row and column, cameras in degrees."""

    index: int
    psnr: dict[str, dict[str, float]] = field(default_factory=dict)
    camera_deg: dict[str, float] = field(default_factory=dict)
    steps: dict[str, list[int]] = field(default_factory=dict)  # of inversion and of tuning
    seconds: float = 0.0
    cpu_seconds: float = 0.0  # does not count while others have the core

    def entry(self) -> dict[str, Any]:
        """Say it as JSON can hold it."""
        return dict(vars(self))


def subject(model: HeadSource, index: int, size: int) -> Subject:
    """Make a head and look at it from all sides that matter.

    Args:
        model: Makes the head.
        index: Which one.
        size: Of the pictures, px.
    """
    draw = np.random.RandomState([_SEED, index])
    z = torch.from_numpy(draw.standard_normal((1, Z_DIM))).float()
    head = model.heads(z)
    yaw = draw.uniform(-30, 30)
    given = _orbit(yaw, draw.uniform(-10, 10))
    around = [(side + draw.uniform(-5, 5), draw.uniform(-10, 10)) for side in (0, 35, -35)]
    novel: list[tuple[float, float]] = []
    while len(novel) < 6:
        place = (draw.uniform(-45, 45), draw.uniform(-15, 15))
        if abs(place[0] - yaw) >= _LEAST_TURN:
            novel.append(place)
    wide = [(side * draw.uniform(45, 90), draw.uniform(-15, 15)) for side in (-1, 1)]

    def views(places: Sequence[tuple[float, float]]) -> tuple[View, ...]:
        return tuple(look(head, _orbit(*place), size) for place in places)

    return Subject(
        index, z, head, look(head, given, size), views(around), views(novel), views(wide)
    )


def look(head: Gaussians, camera: Camera, size: int) -> View:
    """Draw a head [1]."""
    with torch.no_grad():
        drawn = rasterize(head[0], camera, (size, size))
    return View(camera, drawn.color, drawn.alpha)


def measure(
    one: Subject, generator: CgsGenerator, method: Method, perception: Perception
) -> Outcome:
    """Find a head again: from one view, from three, and from one whose camera is not known.

    Args:
        one: The head.
        generator: In which it is looked for.
        method: How.
        perception: Of the losses.
    """
    begin, worked = time.monotonic(), time.process_time()
    outcome = Outcome(one.index)
    with torch.no_grad():
        bounds = {
            "mean head": generator.synthesize(generator.w_avg[None, None]),
            "head of the true latent": generator.synthesize(generator.map(one.z)),
        }
    for name, head in bounds.items():
        outcome.psnr[name] = _judge(one, (one.single,), head, "inverted")

    known = replace(method, projector=replace(method.projector, refine_cameras=False))
    _recover(outcome, "one view", one, (one.single,), generator, known, perception)
    _recover(outcome, "three views", one, one.three, generator, known, perception)
    found = _photographed(one, method.size)
    if found is not None:
        alignment, view = found
        outcome.camera_deg["landmarks"] = apart(view.camera, alignment.angle, one.single.camera)
        for name, refines in (("camera of landmarks", False), ("camera refined", True)):
            way = replace(method, projector=replace(method.projector, refine_cameras=refines))
            camera = _recover(outcome, name, one, (view,), generator, way, perception, alignment)[0]
            if refines:
                error = apart(camera, alignment.angle, one.single.camera)
                outcome.camera_deg["refined"] = error
    outcome.seconds = round(time.monotonic() - begin, 2)
    outcome.cpu_seconds = round(time.process_time() - worked, 2)
    return outcome


def _recover(  # noqa: PLR0913 - a row of the table, with everything it needs
    outcome: Outcome,
    row: str,
    one: Subject,
    given: Sequence[View],
    generator: CgsGenerator,
    method: Method,
    perception: Perception,
    alignment: Alignment | None = None,
) -> tuple[Camera, ...]:
    """Invert, then tune, and note how near both come; the cameras that were found.

    Where the camera was found, not known, there is a second row: a head that is turned and a camera that
    is turned as much make the same photo, so there the head is brought to where the photo has it.
    """
    targets = [view.target(str(i), _points(view)) for i, view in enumerate(given)]
    found = run(project(targets, generator, method.projector, perception))
    seen = [replace(view, camera=camera) for view, camera in zip(given, found.cameras, strict=True)]
    first = _head(generator, found.w)
    outcome.psnr[row] = _judge(one, seen, first, "inverted")
    digest = weights_hash(generator)
    tuned = run(
        tune(targets, generator, found.w, found.cameras, method.tuning, perception, weights=digest)
    )
    changed = with_delta(generator, tuned.delta, weights=digest)
    second = _head(changed, found.w)
    outcome.psnr[row] |= _judge(one, seen, second, "tuned")
    if alignment is not None:
        matrix = into_photo(found.cameras[0], alignment, one.single.camera)
        heads = {"inverted": first.transformed(matrix), "tuned": second.transformed(matrix)}
        judged = [_judge(one, (one.single,), head, phase) for phase, head in heads.items()]
        outcome.psnr[f"{row}{IN_PLACE}"] = judged[0] | judged[1]
    outcome.steps[row] = [found.steps, tuned.steps]
    return found.cameras


def _judge(one: Subject, given: Sequence[View], head: Gaussians, phase: str) -> dict[str, float]:
    """Average the PSNR over each kind of views."""
    kinds = {"given": given, "novel": one.novel, "wide": one.wide}
    return {
        f"{kind}_{phase}": round(float(np.mean([view.psnr(head) for view in views])), 4)
        for kind, views in kinds.items()
    }


def _photographed(one: Subject, size: int) -> tuple[Alignment, View] | None:
    """Look for the face of the single view as in a photo: where it is, and its crop; None if not found."""
    photo = look(one.gaussians, one.single.camera, _PHOTO)
    grey = photo.color + 0.6 * (1 - photo.alpha)
    pixels = (grey.clamp(0, 1).movedim(0, -1) * 255).round().byte().numpy()
    faces = find_faces(pixels)
    if not faces:
        return None
    alignment = align(refine_face(pixels, faces[0]).points, "ffhqc")
    layers = torch.cat([photo.color, photo.alpha[None]]).movedim(0, -1).numpy()
    crop = torch.from_numpy(cut(layers, alignment, size)).movedim(-1, 0).float()
    weight = torch.from_numpy(inside((_PHOTO, _PHOTO), alignment, size)).float()
    view = View(alignment.camera(), crop[:3].clamp(0, 1), crop[3].clamp(0, 1), weight)
    return alignment, view


def _points(view: View) -> Tensor:
    """Where the landmarks of any face are, in sides of the crop. [5, 2]"""
    rig = OrbitRig.from_camera(view.camera)
    here = Alignment((0.5, 0.5), 1.0, yaw=rig.yaw, pitch=rig.pitch)
    return torch.tensor(to_crop(here, guess_points(here)), dtype=torch.float32)


def apart(camera: Camera, angle: float, true: Camera) -> float:
    """How far a camera of a crop is turned from the photo's: degrees.

    Args:
        camera: Of the crop.
        angle: By which the crop is turned clockwise in the photo, radians.
        true: Of the photo.
    """
    pose = camera.cam_to_world.clone()
    pose[:3, :3] = pose[:3, :3] @ _upright(angle).mT
    return degrees_between(Camera(pose, camera.focal), true)


def into_photo(camera: Camera, alignment: Alignment, true: Camera) -> Tensor:
    """Say how a found head must be turned, moved and scaled so that the photo's own camera sees it in place.

    Args:
        camera: Of the crop, as it was found.
        alignment: Of the crop in the photo.
        true: Of the photo.

    Returns:
        From the world of the found head to that of the photo, to the first order of the head's depth
        over its distance. [4, 4]
    """
    upright, seen = _upright(alignment.angle), camera.world_to_cam
    side = alignment.side / _PHOTO
    aside = torch.tensor([*alignment.centre, 0.0]) / _PHOTO - torch.tensor([0.5, 0.5, 0.0])
    scale = side * GAN_RADIUS / seen[2, 3]
    across = seen[:3, 3] * torch.tensor([1.0, 1.0, 0.0])
    back = true.cam_to_world[:3, :3]
    matrix = torch.eye(4)
    matrix[:3, :3] = scale * back @ upright @ seen[:3, :3]
    matrix[:3, 3] = back @ (scale * upright @ across + GAN_RADIUS / GAN_FOCAL * aside)
    return matrix


def _upright(angle: float) -> Tensor:
    """From the axes of a crop that is turned clockwise by an angle to the photo's. [3, 3]"""
    cos, sin = math.cos(angle), math.sin(angle)
    return torch.tensor([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])


def _head(generator: HeadGenerator, w: Tensor) -> Gaussians:
    with torch.no_grad():
        return generator.synthesize(w[None])


def _orbit(yaw_deg: float, pitch_deg: float) -> Camera:
    return OrbitRig(yaw=math.radians(yaw_deg), pitch=math.radians(pitch_deg)).camera()


def run(work: Generator[Any, None, Result]) -> Result:
    """Run work to its end: what it returned."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value
