"""Pictures of heads in a folder, with their cameras, masks and everything known about them.

    DIR/RES/00000.png …   DIR/mask/00000.png …   DIR/dataset.json   DIR/attributes.json

Image i depends on the seed and i alone, so a run that was stopped is continued by the same command.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from renderer.camera import Camera
from renderer.errors import LoadError, SaveError, SplatheadError
from renderer.files import atomic_write
from renderer.rasterize import rasterize
from renderer.tonemap import to_bytes
from training.synthetic.cameras import CameraSettings, draw_cameras
from training.synthetic.head import HeadModel
from training.synthetic.parameters import LOOK, Z_DIM

MAX_RESOLUTION = 4096
_BEHIND = 16  # pictures that may wait to be written


@dataclass(frozen=True)
class DatasetSettings:
    """What is drawn. The same settings are the same pictures."""

    # How many images.
    count: int = 10_000
    # Width and height of each image in pixels.
    resolution: int = 256
    # Another seed, other heads and cameras.
    seed: int = 0
    # How many images of each head.
    cameras_per_head: int = 1
    # Colour behind the head, each channel 0 to 1.
    background: tuple[float, float, float] = (1.0, 1.0, 1.0)
    # From where heads are seen.
    cameras: CameraSettings = field(default_factory=CameraSettings)

    def check(self) -> None:
        """Raise a `SplatheadError` for settings that make no sense."""
        if self.count < 1:
            raise SplatheadError(f"A data set of {self.count} images is none; ask for 1 or more.")
        if not 16 <= self.resolution <= MAX_RESOLUTION:
            raise SplatheadError(
                f"Images of {self.resolution} pixels cannot be made; use 16 to {MAX_RESOLUTION}."
            )
        if self.cameras_per_head < 1:
            raise SplatheadError(
                f"A head cannot be seen by {self.cameras_per_head} cameras; use 1 or more."
            )
        if not 0 <= self.seed < 2**32:
            raise SplatheadError(f"The seed {self.seed} is out of range; use 0 to {2**32 - 1}.")


@dataclass(frozen=True)
class Written:
    """Where the work stands."""

    done: int
    total: int
    message: str


def latent_of(seed: int, head: int) -> np.ndarray:
    """The latent of head number `head` of a seed. [512]"""
    return np.random.RandomState([seed, head]).standard_normal(Z_DIM)


def cameras_of(settings: DatasetSettings, head: int) -> Camera:
    """The cameras that see head number `head`. Camera [cameras_per_head]"""
    rng = np.random.RandomState([settings.seed, head, 1])
    return draw_cameras(settings.cameras, settings.cameras_per_head, rng)


def write_dataset(
    model: HeadModel, folder: str | Path, settings: DatasetSettings
) -> Generator[Written, None, Path]:
    """Draw the images that are not there yet, and list them all.

    When it is closed or fails, the images before the first missing one are listed: a smaller data set,
    but a whole one.

    Args:
        model: Makes the heads.
        folder: Is made if it does not exist. One that holds other images is refused.
        settings: What to draw.

    Returns:
        The folder.

    Raises:
        SplatheadError: The settings make no sense.
        LoadError: The folder holds a data set of other settings.
        SaveError: Something could not be written.
    """
    settings.check()
    folder = Path(folder)
    pictures, masks = folder / str(settings.resolution), folder / "mask"
    _claim(folder, model, settings)
    for path in (pictures, masks):
        _make_folder(path)
    # The lists are written at the latest here, whatever happens.
    try:
        with ThreadPoolExecutor(2, thread_name_prefix="png") as writers:
            yield from _draw_missing(model, (pictures, masks), settings, writers)
    finally:
        _list_images(folder, model, settings, _count_whole(pictures, masks, settings.count))
    return folder


def _draw_missing(
    model: HeadModel,
    folders: tuple[Path, Path],
    settings: DatasetSettings,
    writers: ThreadPoolExecutor,
) -> Generator[Written, None, None]:
    views = settings.cameras_per_head
    behind = torch.tensor(settings.background)
    waiting: list[Future[None]] = []
    for head in range(-(-settings.count // views)):
        numbers = range(head * views, min((head + 1) * views, settings.count))
        missing = [i for i in numbers if not _is_there(folders, i)]
        if missing:
            gaussians = model.head(latent_of(settings.seed, head))
            cameras = cameras_of(settings, head)
            size = (settings.resolution, settings.resolution)
            for i in missing:
                seen = rasterize(gaussians, cameras[i - numbers[0]], size, background=behind)
                layers = (to_bytes(seen.color), to_bytes(seen.alpha[None])[..., 0])
                waiting.append(writers.submit(_write_images, folders, i, layers))
            while len(waiting) > _BEHIND:
                waiting.pop(0).result()
        yield Written(numbers[-1] + 1, settings.count, f"head {head + 1}")
    for future in waiting:
        future.result()


def _write_images(
    folders: tuple[Path, Path], number: int, layers: tuple[np.ndarray, np.ndarray]
) -> None:
    """The mask first: a picture is there only when both are."""
    for folder, layer in zip(reversed(folders), reversed(layers), strict=True):
        with atomic_write(folder / _name(number)) as file:
            Image.fromarray(layer).save(file, format="png", compress_level=4)


def _claim(folder: Path, model: HeadModel, settings: DatasetSettings) -> None:
    """Leave a note of the settings in an empty folder, or check that it holds the same images."""
    _make_folder(folder)
    note = folder / "attributes.json"
    if not note.exists():
        if any(folder.iterdir()):
            raise LoadError(
                folder, "holds other files. Choose an empty folder, or one of an earlier run."
            )
        _list_images(folder, model, settings, 0)
        return
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
        before, listed = found["made_from"], len(found["images"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LoadError(note, "is damaged. Choose an empty folder.") from error
    now = _made_from(model, settings)
    different = [name for name in now if before.get(name) != now[name]]
    if different:
        name = different[0]
        raise LoadError(
            folder,
            f"holds images made with another {name.replace('_', ' ')} ({before.get(name)}, now "
            f"{now[name]}). Choose an empty folder, or the same settings.",
        )
    if listed > settings.count:
        raise LoadError(
            folder, f"holds {listed} images already. Ask for {listed} or more, or an empty folder."
        )


def _list_images(folder: Path, model: HeadModel, settings: DatasetSettings, count: int) -> None:
    """Write dataset.json and attributes.json for the first `count` images."""
    labels: list[list[Any]] = []
    known: dict[str, Any] = {}
    views = settings.cameras_per_head
    for head in range(-(-count // views)):
        attributes = model.attributes(latent_of(settings.seed, head))
        label = cameras_of(settings, head).to_label()
        for view, number in enumerate(range(head * views, min((head + 1) * views, count))):
            labels.append([_name(number), [round(float(v), 7) for v in label[view]]])
            known[_name(number)] = {"head": head, **_rounded(attributes)}
    _write_json(folder / "dataset.json", {"labels": labels})
    made_from = _made_from(model, settings)
    _write_json(folder / "attributes.json", {"made_from": made_from, "images": known})


def _made_from(model: HeadModel, settings: DatasetSettings) -> dict[str, Any]:
    """All that decides what image i looks like, as JSON reads it back."""
    named = asdict(settings)
    del named["count"]
    made_from = {
        **named.pop("cameras"),
        **named,
        "splats": model.count,
        "model_seed": model.seed,
        "look": LOOK,
    }
    result: dict[str, Any] = json.loads(json.dumps(made_from))
    return result


def _rounded(attributes: dict[str, Any]) -> dict[str, Any]:
    def short(value: Any) -> Any:
        if isinstance(value, float):
            return round(value, 5)
        return [short(part) for part in value] if isinstance(value, list) else value

    return {name: short(value) for name, value in attributes.items()}


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with atomic_write(path) as file:
        file.write(json.dumps(content, separators=(",", ":")).encode())


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SaveError(
            path, f"could not be made ({error.strerror}). Choose another folder."
        ) from error


def _count_whole(pictures: Path, masks: Path, most: int) -> int:
    """How many images there are before the first missing one."""
    count = 0
    while count < most and _is_there((pictures, masks), count):
        count += 1
    return count


def _is_there(folders: tuple[Path, Path], number: int) -> bool:
    return all((folder / _name(number)).exists() for folder in folders)


def _name(number: int) -> str:
    return f"{number:05d}.png"


def read_labels(folder: str | Path) -> tuple[list[str], Tensor]:
    """Read dataset.json: names, and one label for each. [N, 25]

    Raises:
        LoadError: It is missing or damaged.
    """
    path = Path(folder) / "dataset.json"
    try:
        labels = json.loads(path.read_text(encoding="utf-8"))["labels"]
        return [name for name, _ in labels], torch.tensor([label for _, label in labels])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LoadError(path, "is missing or damaged. Make the data set again.") from error
