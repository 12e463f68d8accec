"""A change of a generator's weights, as a frozen value bound to the weights it was made for.

Pivotal tuning makes it; it is blended in by a strength from 0 to 1 and saved as safetensors.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class WeightDelta:
    """What to add to the parameters of one generator."""

    # The hash of the weights it belongs to (models.directions.weights_hash).
    weights: str
    # A safetensors file: parameter name to difference, float16.
    content: bytes = field(repr=False)
    # For the eye.
    name: str = ""


@dataclass(frozen=True)
class Tuning:
    """A delta and how much of it."""

    delta: WeightDelta
    # 0 is the generator as it was, 1 the tuned one.
    strength: float = 1.0
