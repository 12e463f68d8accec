"""`python -m models info FILE` says what a checkpoint holds; `convert IN OUT` writes it as ours."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from models.checkpoint import CheckpointSummary, convert, inspect
from renderer.errors import SaveError, SplatheadError


@dataclass(frozen=True)
class Info:
    """Say what a checkpoint holds, without building it."""

    # A .safetensors or a published .pkl.
    file: tyro.conf.Positional[Path]

    def run(self) -> None:
        """Print the summary."""
        print(describe(inspect(self.file)))


@dataclass(frozen=True)
class Convert:
    """Write a checkpoint, usually a published .pkl, as a .safetensors of ours."""

    # What to read.
    source: tyro.conf.Positional[Path]
    # What to write, ending in .safetensors.
    target: tyro.conf.Positional[Path]
    # Replace the target if it exists.
    overwrite: bool = False

    def run(self) -> None:
        """Convert and print what was written."""
        if self.target.suffix.lower() != ".safetensors":
            raise SaveError(self.target, "does not end in .safetensors. Name the target so.")
        if self.target.exists() and not self.overwrite:
            raise SaveError(self.target, "exists. Add --overwrite to replace it.")
        print(describe(convert(self.source, self.target)))


def describe(summary: CheckpointSummary) -> str:
    """Write a summary as lines of a name and a value."""
    provenance = summary.provenance
    lines = {
        "file": summary.path,
        "kind": summary.kind,
        "architecture": f"{summary.architecture}, {summary.config.levels} levels",
        "resolution": f"{summary.resolution} px",
        "splats": f"{summary.splats:,}",
        "parameters": f"{summary.parameters:,}",
        "size": f"{summary.size / 1e6:,.1f} MB",
        "images seen": "not said" if summary.images_seen is None else f"{summary.images_seen:,}",
        "licence": provenance.licence or "not said",
        "source": provenance.source or "not said",
        "missing": _listed(summary.missing),
        "unexpected": _listed(summary.unexpected),
        "misshapen": _listed(summary.misshapen),
    }
    return "\n".join(f"{name:<14}{value}" for name, value in lines.items())


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit status: 0, or 2 with a sentence on standard error."""
    commands = (
        Annotated[Info, tyro.conf.subcommand("info")]
        | Annotated[Convert, tyro.conf.subcommand("convert")]
    )
    command: Info | Convert = tyro.cli(
        commands,
        args=arguments,
        prog="python -m models",
        description="Look into checkpoints and convert them.",
    )
    try:
        command.run()
    except SplatheadError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _listed(names: tuple[str, ...]) -> str:
    """Name a few, and say how many more there are."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more if names else "nothing"


if __name__ == "__main__":
    sys.exit(main())
