"""Work that yields its steps, run to its end as the engine would."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

Step = TypeVar("Step")
Result = TypeVar("Result")


def steps_and_result(work: Generator[Step, None, Result]) -> tuple[list[Step], Result]:
    """Run work to its end: all that it reported, and what it returned."""
    steps: list[Step] = []
    while True:
        try:
            steps.append(next(work))
        except StopIteration as end:
            return steps, end.value


def result_of(work: Generator[Step, None, Result]) -> Result:
    """Run work to its end: what it returned."""
    return steps_and_result(work)[1]
