"""Work that yields its steps, run to its end as the engine would; and sessions, as the window would."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from splatviz_app.session import Session

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


def settle(session: Session) -> Session:
    """Draw frames of the window until nothing is left to do."""
    for _ in range(40):
        session.update(1 / 60)
        session.engine.drain()
        while session.project.is_saving:
            session.update(1 / 60)
        if session.is_settled and not session.inertia.moves:
            session.update(1 / 60)
            return session
    raise AssertionError("it does not settle")
