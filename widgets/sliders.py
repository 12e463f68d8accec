"""What the tabs of the Latent panel share: the sliders of the open generator, and how one is moved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from imgui_bundle import icons_fontawesome_4, imgui

from splatviz_app.directions import (
    SHIPPED,
    Axis,
    Mark,
    Palette,
    axis_of,
    moved,
    realigned,
    zeroed,
)
from splatviz_app.engine import Job, JobState, Work
from splatviz_app.latent_jobs import FoundComponents, find_axes
from splatviz_app.scenes import GanHead, OpenedGenerator
from splatviz_app.session import Session
from widgets import fields

LOCKED = icons_fontawesome_4.ICON_FA_LOCK
UNLOCKED = icons_fontawesome_4.ICON_FA_UNLOCK
_KEPT = 4  # generators whose components are kept


class Sliders:
    """The sliders there are, and the jobs that make more of them. One for the whole panel."""

    def __init__(self) -> None:
        """Know none yet."""
        self.axes: Mapping[str, Axis] = {}  # by source: shipped, own, components
        self._built_of: tuple[object, ...] = ()
        self._components: dict[str, FoundComponents] = {}  # by the generator's weights
        self._search: dict[str, Job] = {}  # the same
        self._waited: list[tuple[Job, Callable[[Any], None]]] = []

    def follow(self, session: Session) -> None:
        """Take what jobs brought, and build the sliders of what is open; once per frame."""
        over = [waited for waited in self._waited if waited[0].state.is_over]
        self._waited = [waited for waited in self._waited if not waited[0].state.is_over]
        for job, take in over:
            if job.state is JobState.DONE:
                take(job.result)
        opened = session.opened
        if not isinstance(opened, OpenedGenerator):
            self.axes = {}
            return
        found = self.components(session)
        built_of = (opened, session.palette.own, found)
        if any(a is not b for a, b in zip(built_of, self._built_of or (None,) * 3, strict=True)):
            shipped = tuple(axis_of(direction, SHIPPED) for direction in opened.directions)
            components = found.axes if found is not None else ()
            every = (*shipped, *session.palette.own, *components)
            self.axes = {axis.source: axis for axis in every}
            self._built_of = built_of

    # ---- long work

    def start(self, session: Session, title: str, work: Work, take: Callable[[Any], None]) -> Job:
        """Start a job and hand over its result in the first frame after its end."""
        job = session.start_job(title, work)
        self._waited.append((job, take))
        return job

    def awaits(self, job: Job) -> bool:
        """Whether what a job brings is still to be taken."""
        return any(waiting is job for waiting, _ in self._waited)

    def components(self, session: Session) -> FoundComponents | None:
        """The components of the open generator, if they are found already."""
        return self._components.get(session.palette.weights)

    def search(self, session: Session) -> Job | None:
        """The job that looks for the components of the open generator; None if there was none yet."""
        return self._search.get(session.palette.weights)

    def find_components(self, session: Session) -> None:
        """Begin to look for the components of the open generator."""
        scene, weights = session.scene, session.palette.weights
        assert isinstance(scene, GanHead), scene

        def take(found: FoundComponents) -> None:
            self._components[found.weights] = found
            while len(self._components) > _KEPT:
                self._components.pop(next(iter(self._components)))
                self._search.pop(next(iter(self._search)))

        work = find_axes(session.pipeline, scene, weights)
        self._search[weights] = self.start(session, "Find components", work, take)

    # ---- moving

    def move(self, session: Session, amounts: Mapping[str, float]) -> None:
        """Set some sliders."""
        session.latent = moved(session.latent, session.palette, self.axes, amounts)

    def zero(self, session: Session, sources: Iterable[str]) -> None:
        """Set sliders to 0 that are not locked."""
        session.latent = zeroed(session.latent, session.palette, sources)

    def mark(self, session: Session, mark: Mark) -> None:
        """Decide something about a slider."""
        self.replace_palette(session, session.palette.marked(mark))

    def replace_palette(self, session: Session, palette: Palette) -> None:
        """Put a palette in place, and let the sliders follow it."""
        session.palette = palette
        session.latent = realigned(session.latent, palette, self.axes)

    def locked_axes(self, session: Session) -> list[Axis]:
        """The locked sliders that are known."""
        return [self.axes[s] for s in sorted(session.palette.locked) if s in self.axes]


def draw_tools(
    sliders: Sliders,
    session: Session,
    listed: Sequence[Axis],
    draw_at_random: Callable[[Sequence[Axis]], Mapping[str, float]],
) -> None:
    """Zero, Randomise, and whether sliders leave the locked ones alone.

    Args:
        sliders: Those of the panel.
        session: Whose head they move.
        listed: The sliders that are shown.
        draw_at_random: Finds random amounts for those that are not locked.
    """
    palette = session.palette
    free = [axis for axis in listed if axis.source not in palette.locked]
    none = "" if free else "All of them are locked." if listed else "There are none."
    pressed = fields.buttons(("Zero", "Randomise"), _HELP, {"Zero": none, "Randomise": none})
    if pressed == "Zero":
        sliders.zero(session, [axis.source for axis in listed])
    elif pressed == "Randomise":
        sliders.move(session, draw_at_random(free))
    with fields.unless("" if palette.locked else "Lock a slider first: the padlock beside it."):
        _, wanted = imgui.checkbox("Orthogonal to locked", palette.orthogonal)
        fields.tooltip(
            "Take out of every slider what would change what the locked ones do. "
            "Applies to all that are not locked, at once."
        )
    if wanted != palette.orthogonal:
        sliders.replace_palette(session, replace(palette, orthogonal=wanted))


_HELP = {
    "Zero": "Set all sliders listed here to 0, but for the locked ones.",
    "Randomise": "Draw all sliders listed here at random, but for the locked ones.",
}
