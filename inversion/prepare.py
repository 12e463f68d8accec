"""From a picture to a photo that can be inverted: its face, the square and camera of it, its matte.

`prepare` is long work that yields where it stands; nothing here knows of windows or files.
"""

from __future__ import annotations

import io
import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from PIL import Image

from inversion.alignment import Alignment, CropRecipe, Point
from inversion.crop import cut, inside, to_crop
from inversion.errors import InversionError
from inversion.faces import LEAST_FACE, Face, find_faces, how_it_lies, refine_face
from inversion.light_and_focus import (
    LEAST_LIGHT,
    LEAST_SHARPNESS,
    face_within,
    light_of,
    sharpness_of,
)
from inversion.matting import MatteMethod, matte, with_strokes
from inversion.photo import Photo
from inversion.pictures import Picture, decode_picture, encode_picture
from inversion.pose import align
from inversion.target import Target
from renderer.errors import LoadError

# Side of a stored matte, px.
MATTE_SIDE = 512
# Below this side, px, a crop shows less than a head has.
SMALL_CROP = 256
# Landmarks of a head that is turned by 60° say some 50 to 58°, and beyond that hardly more.
LARGEST_YAW = math.radians(52)
LARGEST_PITCH = math.radians(35)
# A fit of the landmarks worse than this is not trusted.
LARGEST_COST = 15.0
# Share of the crop that may lie outside of the photo.
LARGEST_OUTSIDE = 0.2


@dataclass(frozen=True)
class PrepareSettings:
    """How a photo is prepared."""

    # The square that the generator's training pictures were cut by.
    recipe: CropRecipe = "ffhqc"
    # How the head is told from what is behind it; None takes the best there is.
    matte: MatteMethod | None = None
    # Prepare photos as soon as they are loaded.
    at_once: bool = True


@dataclass(frozen=True)
class PrepareStep:
    """Where the preparation of a photo stands."""

    done: int
    total: int
    message: str


def photo_of(picture: Picture) -> Photo:
    """Begin a photo: the picture as it will be kept, and nothing found in it yet."""
    return Photo(picture.name, encode_picture(picture))


def prepare(
    photo: Photo,
    settings: PrepareSettings = PrepareSettings(),
    face: Face | None = None,
    points: Sequence[Point] = (),
) -> Generator[PrepareStep, None, Photo]:
    """Find the face of a photo, its square and camera, and its matte.

    Args:
        photo: Its picture; what was found before is replaced, and strokes go.
        settings: The recipe and how to matte.
        face: Which face, of those that `find_faces` found; None for the main one.
        points: Landmarks set by hand, px: nothing is looked for, and they are kept.

    Raises:
        InversionError: There is no face, or it is too small.
        LoadError: The photo's content is damaged.
    """
    yield PrepareStep(0, 4, f"Reading {photo.name}")
    picture = decode_picture(photo.content, photo.name)
    if not points:
        yield PrepareStep(1, 4, f"Looking for a face in {photo.name}")
        face = face or main_face(picture)
        _require_large(face, photo.name)
        yield PrepareStep(2, 4, f"Looking closely at the face in {photo.name}")
        points = refine_face(picture.pixels, face).points
    found = replace(
        photo, points=tuple(points), alignment=align(points, settings.recipe), strokes=()
    )
    yield PrepareStep(3, 4, f"Telling the head from the background in {photo.name}")
    return with_matte(found, settings.matte, picture)


def main_face(picture: Picture) -> Face:
    """Find the face that a photo is of.

    Raises:
        InversionError: There is none, or it is too small.
    """
    faces = find_faces(picture.pixels)
    if not faces:
        how = how_it_lies(picture.pixels)
        if how:
            raise InversionError(
                f"The face in {picture.name} lies {how}. Turn the picture upright, then load it again."
            )
        raise InversionError(
            f"No face was found in {picture.name}. Choose a photo that shows one from the front, "
            "or set its landmarks by hand."
        )
    _require_large(faces[0], picture.name)
    return faces[0]


def with_matte(
    photo: Photo, method: MatteMethod | None = None, picture: Picture | None = None
) -> Photo:
    """Make the matte of a photo anew, after its square was moved or another method chosen.

    Args:
        photo: With an alignment.
        method: None for the best there is.
        picture: The decoded content, if it is at hand.

    Raises:
        InversionError: The method cannot be used here.
    """
    assert photo.alignment is not None, photo.name
    picture = picture or decode_picture(photo.content, photo.name)
    crop = crop_of(picture, photo.alignment, MATTE_SIDE)
    points = np.asarray(to_crop(photo.alignment, photo.points))
    found = matte(crop, points, method)
    stream = io.BytesIO()
    Image.fromarray(np.rint(found * 255).astype(np.uint8)).save(stream, "PNG")
    return replace(photo, matte=stream.getvalue())


def crop_of(picture: Picture, alignment: Alignment, size: int) -> np.ndarray:
    """Cut the crop with the picture's own alpha, if it has one. [size, size, 3 or 4] uint8"""
    crop = cut(picture.pixels, alignment, size)
    if picture.alpha is None:
        return crop
    alpha = cut(picture.alpha, alignment, size, border="blank")
    return np.dstack([crop, np.rint(alpha * 255).astype(np.uint8)])


def matte_of(photo: Photo, size: int) -> np.ndarray:
    """Read the matte with its strokes, in [0, 1]; zeros while there is none. [size, size] float32

    Raises:
        InversionError: It is damaged.
    """
    if not photo.matte:
        return np.zeros((size, size), np.float32)
    try:
        stored = decode_picture(photo.matte, photo.name).pixels[..., 0]
    except LoadError:
        raise InversionError(
            f"The matte of {photo.name} is damaged. Prepare the photo again."
        ) from None
    method = cv2.INTER_AREA if size < len(stored) else cv2.INTER_LINEAR
    resized = cv2.resize(stored.astype(np.float32) / 255, (size, size), interpolation=method)
    return with_strokes(resized, photo.strokes)


def target_of(photo: Photo, size: int) -> Target:
    """Turn a photo into what inversion compares with.

    Args:
        photo: One that `is_ready`.
        size: Side of the target, px.

    Raises:
        InversionError: It was not prepared.
        LoadError: The photo's content is damaged.
    """
    if photo.alignment is None or not photo.is_ready:
        raise InversionError(f"{photo.name} is not prepared yet. Run the preprocessing first.")
    picture = decode_picture(photo.content, photo.name)
    color = cut(picture.pixels, photo.alignment, size)
    weight = inside(picture.pixels.shape, photo.alignment, size)
    return Target(
        name=photo.name,
        color=torch.from_numpy(color.astype(np.float32) / 255).permute(2, 0, 1).contiguous(),
        alpha=torch.from_numpy(matte_of(photo, size)),
        weight=torch.from_numpy(weight),
        camera=photo.alignment.camera(),
        points=torch.tensor(to_crop(photo.alignment, photo.points), dtype=torch.float32),
    )


def warnings_for(photo: Photo) -> tuple[str, ...]:
    """Say what will make a head of this photo poor, one sentence each. Decodes the photo.

    Raises:
        LoadError: The photo's content is damaged.
    """
    alignment = photo.alignment
    if alignment is None:
        return ()
    picture = decode_picture(photo.content, photo.name)
    found = []
    if alignment.side < SMALL_CROP:
        found.append(
            f"The head is only {alignment.side:.0f} px wide; details need {SMALL_CROP} or more."
        )
    if abs(alignment.yaw) > LARGEST_YAW or abs(alignment.pitch) > LARGEST_PITCH:
        found.append("The head is turned very far (60° or more are a guess); check its camera.")
    outside = 1 - float(inside(picture.pixels.shape, alignment, 64).mean())
    if outside > LARGEST_OUTSIDE:
        found.append(f"{outside:.0%} of the crop lie outside of the photo and will not count.")
    if alignment.cost > LARGEST_COST:
        found.append("The landmarks fit a head badly; check them and correct the crop.")
    return (*found, *_light_and_focus(picture.pixels, alignment))


def _require_large(face: Face, name: str) -> None:
    if face.side < LEAST_FACE:
        raise InversionError(
            f"The face in {name} is only {face.side:.0f} px large; "
            f"at least {LEAST_FACE} are needed. Choose a larger photo."
        )


def _light_and_focus(pixels: np.ndarray, alignment: Alignment) -> list[str]:
    """Judge the face in a photo. [H, W, 3] uint8"""
    face, found = face_within(pixels, alignment), []
    if light_of(face) < LEAST_LIGHT:
        found.append("The face is very dark; a brighter photo gives a better head.")
    # Not of a crop that was enlarged: that one is blurred, but the warning of its size says why.
    if alignment.side >= SMALL_CROP and sharpness_of(face) < LEAST_SHARPNESS:
        found.append("The face is blurred; a sharper photo gives a better head.")
    return found
