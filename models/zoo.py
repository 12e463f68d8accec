"""The generators that are known by name: so far the one that comes with the program."""

from pathlib import Path

# Its named directions lie beside it, and how it was made is told in README.md there.
DEMO_GENERATOR = Path(__file__).resolve().parent / "demo" / "generator.safetensors"
