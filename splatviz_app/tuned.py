"""Which change of a generator's weights a picture is made with: the document's, or one in the making."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from models.delta import HEADER, SUFFIX, Tuning
from models.generator import HeadGenerator
from renderer.errors import SplatheadError


@dataclass(frozen=True)
class LiveTuning:
    """A generator that is being tuned, as it is after some step."""

    # Which one: its name in `LiveNetworks`.
    token: int
    # How far it is: what changes with every step.
    step: int


AnyTuning = Tuning | LiveTuning

_LONGEST_HEADER = 2**20  # bytes; that of a tuning names a few hundred parameters


class LiveNetworks:
    """The generators in the making, by token. Filled and read by the engine's thread, emptied by any."""

    def __init__(self) -> None:
        """Begin with none."""
        self._networks: dict[int, HeadGenerator] = {}

    def put(self, token: int, network: HeadGenerator) -> None:
        """Show this one from now on under that token; it is the one that is kept."""
        self._networks = {token: network}

    def clear(self) -> None:
        """Let go of it."""
        self._networks = {}

    def __len__(self) -> int:
        """How many are held: each takes the memory of a generator."""
        return len(self._networks)

    def __getitem__(self, token: int) -> HeadGenerator:
        """The generator of a token.

        Raises:
            SplatheadError: It is not in the making any more.
        """
        network = self._networks.get(token)
        if network is None:
            raise SplatheadError("The tuning this picture was to show has ended; show it again.")
        return network


def what_counts(tuning: AnyTuning | None) -> AnyTuning | None:
    """The tuning, or None where it changes nothing."""
    return None if isinstance(tuning, Tuning) and tuning.strength == 0 else tuning


@lru_cache(maxsize=64)
def digest_of(content: bytes) -> str:
    """SHA-256 of a delta's content, hexadecimal; jobs ask for it early, since it takes a moment."""
    return hashlib.sha256(content).hexdigest()


def is_tuning_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a tuning and no generator, by its name or its first bytes."""
    path = Path(path)
    if path.name.lower().endswith(SUFFIX):
        return True
    if path.suffix.lower() != ".safetensors":
        return False
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if length <= _LONGEST_HEADER else {}
        return HEADER in header.get("__metadata__", {})
    except (OSError, ValueError, RecursionError, AttributeError, TypeError):
        return False  # whoever opens it will say what is wrong
