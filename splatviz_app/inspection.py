"""What a file holds, before it is opened: read from its header alone, as a job."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from models.checkpoint import CheckpointSummary, inspect
from renderer.formats.ply import PROFILES, PlySummary, inspect_ply
from splatviz_app.engine import Progress, Step
from splatviz_app.scenes import GanHead, scene_for

Facts = tuple[tuple[str, str], ...]  # names and values, to show in two columns


@dataclass(frozen=True)
class Inspection:
    """What is known of a file."""

    path: Path
    facts: Facts


def inspect_file(path: str | Path) -> Generator[Progress, None, Inspection]:
    """Read what a file says of itself.

    Raises:
        LoadError: It is missing, damaged or of another kind.
    """
    path = Path(path)
    scene = scene_for(path)
    yield Step(0, 1, f"Reading {path.name}")
    if isinstance(scene, GanHead):
        return Inspection(path, checkpoint_facts(inspect(path)))
    return Inspection(path, ply_facts(inspect_ply(path)))


def checkpoint_facts(summary: CheckpointSummary) -> Facts:
    """What a checkpoint says of itself, for the eye; what it does not say is left out."""
    facts = [
        ("Kind", summary.kind[:1].upper() + summary.kind[1:]),
        ("Architecture", summary.architecture.upper()),
        ("Resolution", f"{summary.resolution} px"),
        ("Splats", f"{summary.splats:,}"),
        ("Parameters", f"{summary.parameters:,}"),
    ]
    if summary.images_seen is not None:
        facts.append(("Trained on", f"{summary.images_seen:,} pictures"))
    facts.append(("Licence", summary.licence or "The file does not say"))
    facts.append(("File size", size_text(summary.size)))
    for name, tensors in (
        ("Missing", summary.missing),
        ("Unexpected", summary.unexpected),
        ("Misshapen", summary.misshapen),
    ):
        if tensors:
            more = ", …" if len(tensors) > 2 else ""
            facts.append((name, f"{len(tensors):,}: {', '.join(tensors[:2])}{more}"))
    return tuple(facts)


def ply_facts(summary: PlySummary) -> Facts:
    """What a `.ply` says of itself, for the eye."""
    degree, profile = summary.sh_degree, PROFILES.get(str(summary.note.get("profile")))
    colour = f"Spherical harmonics, degree {degree}" if degree else "The same from all sides"
    facts = [("Kind", "Splats in a .ply"), ("Splats", f"{summary.splats:,}"), ("Colour", colour)]
    if profile is not None and profile.frame:  # not for "As it is"
        facts.append(("Saved for", profile.label))
    return (*facts, ("File size", size_text(summary.size)))


def size_text(size: int) -> str:
    """Bytes in a unit that is easy to read."""
    return f"{size / 2**20:,.1f} MB" if size >= 2**20 else f"{size / 2**10:,.1f} kB"
