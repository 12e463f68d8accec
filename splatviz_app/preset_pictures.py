"""What edits would make of the head that is shown, as small pictures: a job."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from splatviz_app.edits.errors import EditError
from splatviz_app.edits.stack import EditStack
from splatviz_app.pipeline import Pipeline, RenderRequest

_MOMENT = 0.4  # seconds: what moves by itself is pictured on its way


@dataclass(frozen=True, eq=False)
class EditPictures:
    """Pictures of the first stacks, and how many there will be: yielded, and returned when complete."""

    done: int
    total: int
    message: str
    # [H, W, 4] uint8 each; None where the edits cannot be applied.
    pictures: tuple[np.ndarray | None, ...]


def draw_edits(
    pipeline: Pipeline, request: RenderRequest, stacks: Sequence[EditStack], side: int
) -> Generator[EditPictures, None, EditPictures]:
    """Draw one head under several stacks of edits.

    Args:
        pipeline: Beside which they are drawn: its own stages stay as they are.
        request: The head, the camera and the view; its edits are not applied.
        stacks: One for each picture.
        side: Of a picture in px.
    """
    beside = pipeline.beside()
    plain = replace(request, size=(side, side), precision="float32", selection=None, time=_MOMENT)
    pictures: tuple[np.ndarray | None, ...] = ()
    for number, stack in enumerate(stacks):
        message = f"Drawing preset {number + 1} of {len(stacks)}"
        yield EditPictures(number, len(stacks), message, pictures)
        try:
            picture = beside(replace(plain, edits=stack.effective())).image
        except EditError:
            picture = None
        pictures = (*pictures, picture)
    return EditPictures(len(stacks), len(stacks), "", pictures)
