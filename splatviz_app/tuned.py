"""Which change of a generator's weights a picture is made with: the document's, or one in the making."""

from __future__ import annotations

from dataclasses import dataclass

from models.delta import Tuning
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
