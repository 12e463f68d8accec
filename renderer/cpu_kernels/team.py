"""How several threads share one picture without the GIL.

All run the same kernel. Its work is a row of stages, each cut into shares. A thread takes the next share
that nobody has, and goes on to the next stage when all shares of this one are done. Whoever arrives late
finds less to do, whoever never arrives is not waited for: one thread alone finishes as well.
"""

# ruff: noqa: ANN201 - numba infers the types of kernels from their arguments
# mypy: ignore-errors

from __future__ import annotations

import ctypes
import sys

import numpy as np
from numpy.typing import NDArray

from renderer.cpu_kernels.frame import inlined
from renderer.cpu_kernels.memory import call, fetch_add, get, get_shared

MAX_STAGES = 24
_STRIDE = 16  # int64 from stage to stage: shares taken and shares done, each on its own cache line
_DONE = 8
_SPINS = 64  # looks between two offers of the processor to others


def _yield_address() -> int:
    """The operating system's function that lets another thread run."""
    if sys.platform == "win32":
        function = ctypes.windll.kernel32.SwitchToThread
    else:
        function = ctypes.CDLL(None).sched_yield
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def new_team() -> NDArray:
    """Make the counters of one picture; element 0 is the address of the system's yield."""
    team = np.zeros((1 + MAX_STAGES) * _STRIDE, np.int64)
    team[0] = _yield_address()
    return team


def reset(team: NDArray) -> None:
    """Prepare for another kernel."""
    team[1:] = 0


@inlined
def take(team, stage):
    """Return the number of a share that is now this thread's; past the last, there is none left."""
    return fetch_add(team, (1 + stage) * _STRIDE, 1)


@inlined
def finish(team, stage):
    """Say that one share is done."""
    fetch_add(team, (1 + stage) * _STRIDE + _DONE, 1)


@inlined
def wait(team, stage, shares):
    """Wait until all shares of a stage are done."""
    looks = 0
    while get_shared(team, (1 + stage) * _STRIDE + _DONE) < shares:
        looks += 1
        if looks % _SPINS == 0:
            call(get(team, 0))
