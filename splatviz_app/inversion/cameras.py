"""Cameras of photos as latent inversion corrected them: values of the document, for tuning to use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from inversion.alignment import Alignment
from inversion.photo import Photo
from models.latents import Values
from renderer.camera import Camera
from splatviz_app.tuned import digest_of


@dataclass(frozen=True)
class FoundCamera:
    """The camera of one photo."""

    # The hash of the generator's weights that it was found with.
    weights: str
    # SHA-256 of the photo's content.
    photo: str
    # What it was found from: once that is another, this camera is void.
    alignment: Alignment
    # The GAN's numbers of it. [25]
    label: Values


def found_cameras(
    weights: str, photos: Sequence[Photo], cameras: Sequence[Camera]
) -> tuple[FoundCamera, ...]:
    """Keep cameras as values.

    Args:
        weights: The hash of the generator's weights.
        photos: Those that they see; prepared.
        cameras: One for each.
    """
    return tuple(
        FoundCamera(
            weights, digest_of(photo.content), photo.alignment, Values.of(camera.to_label())
        )
        for photo, camera in zip(photos, cameras, strict=True)
        if photo.alignment is not None
    )


def camera_of(photo: Photo, found: Iterable[FoundCamera], weights: str) -> Camera | None:
    """The camera that was found for a photo; that of its alignment if none was, None without that."""
    digest = digest_of(photo.content)
    for camera in found:
        place = (camera.weights, camera.photo, camera.alignment)
        if place == (weights, digest, photo.alignment):
            return Camera.from_label(camera.label.tensor())
    return photo.alignment.camera() if photo.alignment is not None else None
