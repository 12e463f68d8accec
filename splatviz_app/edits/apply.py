"""The stage between the splats and their activation: a stack of edits, applied in order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from renderer.gaussians import Gaussians
from splatviz_app.edits.errors import EditError
from splatviz_app.edits.splats import EditedSplats
from splatviz_app.edits.stack import EditStack
from splatviz_app.edits.values import EditContext


@torch.no_grad()
def apply_edits(
    gaussians: Gaussians, level_sizes: tuple[int, ...], stack: EditStack, context: EditContext
) -> EditedSplats:
    """Apply every edit of a stack that is on.

    Equal heads, stacks and contexts give equal results, random numbers included.

    Args:
        gaussians: The head, not changed. [N]
        level_sizes: Splats of each of its generator's levels, N in all.
        stack: The edits; their sliders' values are in `context`.
        context: The rest.

    Raises:
        EditError: An edit cannot be applied; it names it.
    """
    splats = EditedSplats(gaussians, level_sizes)
    for edit in stack.edits:
        if not edit.enabled:
            continue
        try:
            with _as_if_alone(gaussians.means.device):
                splats = edit.apply(splats, context)
        except EditError as error:
            raise error.of(edit.shown_name, edit.key) from error
    return splats


@contextmanager
def _as_if_alone(device: torch.device) -> Iterator[None]:
    """Let torch and NumPy draw the same numbers inside each time, and outside as if nothing had been."""
    before, dtype = np.random.get_state(), torch.get_default_dtype()
    index = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(index, device_type="cuda"):
        torch.default_generator.manual_seed(0)
        if index:
            torch.get_device_module(device).manual_seed(0)
        np.random.set_state(np.random.RandomState(0).get_state())
        try:
            yield
        finally:
            np.random.set_state(before)
            torch.set_default_dtype(dtype)
