"""The entry points: which stage follows which. Every thread of a team runs them with the same arrays."""

# ruff: noqa: ANN201 - numba infers the types of kernels from their arguments
# mypy: ignore-errors

from __future__ import annotations

from renderer.cpu_kernels.backward import differentiate_tile
from renderer.cpu_kernels.binning import add_up_entries, count_entries, place_entries
from renderer.cpu_kernels.forward import paint_tile
from renderer.cpu_kernels.frame import CHUNK_ROW, kernel
from renderer.cpu_kernels.projection import project_chunk
from renderer.cpu_kernels.projection_backward import differentiate_chunk
from renderer.cpu_kernels.sorting import (
    add_up_digits,
    count_digits,
    count_passes,
    move_pairs,
    summarize,
)
from renderer.cpu_kernels.team import finish, take, wait

_TILES = 4  # tiles per share


@kernel
def prepare(team, parts, splats, view, frame, scratch):
    """Project the splats and sort them by depth; `frame.summary` then says how many entries follow."""
    chunks = frame.chunks.size // CHUNK_ROW
    share = take(team, 0)
    while share < chunks:
        project_chunk(share, splats, view, frame, scratch.lanes)
        finish(team, 0)
        share = take(team, 0)
    wait(team, 0, chunks)

    if take(team, 1) == 0:
        summarize(frame.chunks, frame.summary)
        finish(team, 1)
    wait(team, 1, 1)

    source, target = frame.pairs, frame.spare
    for turn in range(count_passes(frame.summary)):
        stage = 2 + 3 * turn
        share = take(team, stage)
        while share < parts:
            count_digits(share, parts, turn, source, frame)
            finish(team, stage)
            share = take(team, stage)
        wait(team, stage, parts)

        if take(team, stage + 1) == 0:
            add_up_digits(parts, frame)
            finish(team, stage + 1)
        wait(team, stage + 1, 1)

        share = take(team, stage + 2)
        while share < parts:
            move_pairs(share, parts, turn, source, target, frame)
            finish(team, stage + 2)
            share = take(team, stage + 2)
        wait(team, stage + 2, parts)
        source, target = target, source


@kernel
def paint(team, parts, view, frame, layers, scratch):
    """Sort the splats into tiles and composite them."""
    tiles = view.columns * view.rows
    order = frame.pairs if count_passes(frame.summary) % 2 == 0 else frame.spare
    share = take(team, 0)
    while share < parts:
        count_entries(share, parts, order, frame, view)
        finish(team, 0)
        share = take(team, 0)
    wait(team, 0, parts)

    if take(team, 1) == 0:
        add_up_entries(parts, frame, view)
        finish(team, 1)
    wait(team, 1, 1)

    share = take(team, 2)
    while share < parts:
        place_entries(share, parts, order, frame, view)
        finish(team, 2)
        share = take(team, 2)
    wait(team, 2, parts)

    share = take(team, 3)
    while share * _TILES < tiles:
        for tile in range(share * _TILES, min(share * _TILES + _TILES, tiles)):
            paint_tile(tile, frame, view, layers, scratch)
        share = take(team, 3)


@kernel
def differentiate(team, splats, view, frame, layers, upstream, gradients, scratch):  # noqa: PLR0913
    """Turn gradients of pixels into those of splats and pose, after `prepare` and `paint`."""
    tiles = view.columns * view.rows
    share, shares = take(team, 0), (tiles + _TILES - 1) // _TILES
    while share < shares:
        for tile in range(share * _TILES, min(share * _TILES + _TILES, tiles)):
            differentiate_tile(tile, frame, view, layers, upstream, gradients.lines, scratch)
        finish(team, 0)
        share = take(team, 0)
    wait(team, 0, shares)

    chunks = frame.chunks.size // CHUNK_ROW
    share = take(team, 1)
    while share < chunks:
        differentiate_chunk(share, splats, view, frame, gradients, scratch)
        share = take(team, 1)
