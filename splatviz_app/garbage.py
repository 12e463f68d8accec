"""When Python looks for garbage: not while libraries are loaded, and never again among what they hold.

With torch loaded there are a million objects, and to look at them all takes 0.2 s in which no thread
runs: a window that stands still.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def in_peace() -> Iterator[None]:
    """Look for no garbage meanwhile, nor later in what was imported: modules stay for good anyway."""
    was_on, known = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) != known:
            # Takes all there is for permanent; what is in no cycle still goes when it is done with.
            gc.freeze()
        if was_on:
            gc.enable()
