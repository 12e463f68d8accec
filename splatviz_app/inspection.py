"""What a file holds, before it is opened: read from its header alone, as a job."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from models.checkpoint import CheckpointSummary, inspect
from renderer.errors import LoadError
from renderer.formats.ply_header import Header, read_header
from splatviz_app.engine import Progress, Step
from splatviz_app.scenes import GanHead, scene_for

Facts = tuple[tuple[str, str], ...]  # names and values, to show in two columns

_SH_REST = {0: 0, 9: 1, 24: 2, 45: 3}  # columns of f_rest to the degree


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
    facts = checkpoint_facts(inspect(path)) if isinstance(scene, GanHead) else _ply_facts(path)
    return Inspection(path, facts)


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
            facts.append((name, f"{len(tensors):,} tensors: {', '.join(tensors[:2])}, …"))
    return tuple(facts)


def size_text(size: int) -> str:
    """Bytes in a unit that is easy to read."""
    return f"{size / 2**20:,.1f} MB" if size >= 2**20 else f"{size / 2**10:,.1f} kB"


def _ply_facts(path: Path) -> Facts:
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            header = read_header(file, path)
    except OSError as error:
        raise LoadError(path, f"cannot be read: {error.strerror}. Check the path.") from error
    return (*_vertex_facts(header, path), ("File size", size_text(size)))


def _vertex_facts(header: Header, path: Path) -> Facts:
    vertex = header.element("vertex")
    if vertex is None or "opacity" not in vertex.names:
        raise LoadError(path, "is not a .ply of splats: it has no opacities. Export it as splats.")
    rest = sum(name.startswith("f_rest_") for name in vertex.names)
    degree = _SH_REST.get(rest)
    profile = header.note.get("profile")
    facts = [
        ("Kind", "Splats in a .ply"),
        ("Splats", f"{vertex.count:,}"),
        (
            "Colour",
            f"Spherical harmonics, degree {degree}" if degree else "The same from all sides",
        ),
    ]
    return (*facts, ("Saved for", str(profile))) if profile else tuple(facts)
