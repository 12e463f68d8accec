"""What the kernels share: the arrays of one picture, who wrote them, and how their rows are laid out.

All arrays are flat, and those of vectors begin on a 64-byte boundary. N is the number of splats, never
below 16: fewer are padded with transparent ones.
"""

# ruff: noqa: ANN201 - numba infers the types of kernels from their arguments
# mypy: ignore-errors

from __future__ import annotations

from typing import NamedTuple

from numba import njit
from numpy.typing import NDArray

TILE = 16  # px, side of a tile; it holds 4 x 4 blocks of 4 x 4 px, one block being one vector
CHUNK = 2048  # splats projected in one go; a power of 2, so that id // CHUNK is a shift
BATCH = 256  # splats of a tile composited in one go
ROW = 16  # float32 in a record: one cache line

# A record, what is left of a splat after projection. log2(alpha) at an offset (x, y) from its centre is
# LOG_OPACITY + XX x² + XY x y + YY y²; where the rest comes from is said in `coverage.py`.
U, V, XX, XY, YY, LOG_OPACITY, RED, GREEN, BLUE, DEPTH, HALF_HEIGHT, SLOPE, CHORD, TIP = range(14)

# A row of `Frame.tiles`: the first tile of a 4 x 4 neighbourhood, which of its tiles are touched (one bit
# each, row by row; BIG where the neighbourhood is too small), the splat's first entry counted from the
# first of its chunk, and its number of entries. An entry is one splat in one tile.
FIRST_TILE, TOUCHED, FIRST_ENTRY, ENTRIES = range(4)
BIG = -1

# A row of `Frame.chunks`, eight int64 so that threads do not share a cache line.
CHUNK_ROW = 8
VISIBLE, CHUNK_ENTRIES, NEAREST, FARTHEST, ENTRIES_BEFORE = range(5)

# `Frame.summary`
TOTAL_VISIBLE, TOTAL_ENTRIES, NEAREST_KEY, KEY_BITS = range(4)

# `View.camera`: world_to_cam's rotation row by row, its translation, then these.
TRANSLATION, FOCAL, CENTER_X, CENTER_Y, LIMIT_X, LIMIT_Y = 9, 12, 13, 14, 15, 16
CAMERA_SIZE = 17

# `Gradients.pose` holds per chunk the sums for rotation (9) and translation (3), sixteen lanes each.
POSE_ROW = 12 * 16


class Splats(NamedTuple):
    """What is drawn, after activation. Also: where its gradients go."""

    means: NDArray  # [N * 3] float32
    quats: NDArray  # [N * 4] float32
    scales: NDArray  # [N * 3] float32
    opacities: NDArray  # [N] float32
    colors: NDArray  # [N * 3] float32


class View(NamedTuple):
    """Who looks."""

    camera: NDArray  # [CAMERA_SIZE] float32
    background: NDArray  # [3] float32
    width: int  # px
    height: int  # px
    columns: int  # of tiles
    rows: int  # of tiles


class Frame(NamedTuple):
    """What the stages leave to each other. Written before it is read, so never cleared."""

    records: NDArray  # [N * ROW] float32
    tiles: NDArray  # [N * 4] int32
    pairs: NDArray  # [N] int64: depth's bits, then the splat's number; first per chunk, then sorted
    spare: NDArray  # [N] int64: where the sort puts every other pass
    chunks: NDArray  # [chunks * CHUNK_ROW] int64
    summary: NDArray  # [4] int64
    digits: NDArray  # [parts * 4096] int32: the sort's histograms
    counts: NDArray  # [parts * counts_row] int32: entries, then where the next one goes
    starts: NDArray  # [tiles + 1] int32: where each tile's list begins
    lists: NDArray  # [entries] int32: splats of each tile, near to far
    places: NDArray  # [entries] int32: for each entry, splat after splat, its place in `lists`


class Layers(NamedTuple):
    """Planes of a picture; also: the upstream gradients."""

    color: NDArray  # [3 * H * W] float32
    depth: NDArray  # [H * W] float32
    alpha: NDArray  # [H * W] float32


class Gradients(NamedTuple):
    """What the backward pass writes."""

    lines: NDArray  # [entries * ROW] float32: sums over the pixels of one tile, see `backward.py`
    splats: Splats
    pose: NDArray  # [chunks * POSE_ROW] float32
    wanted: NDArray  # [6] int64: which of means, quats, scales, opacities, colors, pose


class Scratch(NamedTuple):
    """One thread's own memory."""

    records: NDArray  # [BATCH * ROW] float32: a batch of a tile's splats
    bits: NDArray  # [16 * 16] int16: for each block and sixteen splats of the batch, who touches it
    hits: NDArray  # [BATCH + 16] int32: offsets in `records` of those who touch one block
    blocks: NDArray  # [16 * 8 * 16] float32: eight vectors of state for each block
    first: NDArray  # [256] float32: a 16 x 16 matrix
    second: NDArray  # [256] float32: another
    lanes: NDArray  # [8 * 16] int32


def kernel(function):
    """Compile an entry point: runs without the GIL, kept on disk."""
    return njit(nogil=True, cache=True, error_model="numpy")(function)


def inlined(function):
    """Compile a part of a kernel into its callers."""
    return njit(error_model="numpy", forceinline=True)(function)


def part(function):
    """Compile a part of a kernel that is called."""
    return njit(error_model="numpy")(function)
