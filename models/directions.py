"""Named directions in W: what to add to w so that a head smiles, wears glasses, or turns grey.

They mean something for one network only, so every file of them names its weights by a hash and is
refused with any other. A file is a `.safetensors`, or JSON with the same content for sharing.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from renderer.errors import LoadError
from renderer.files import atomic_write

FORMAT = 1  # of both kinds of files; a higher number is from a later version of this program
HEADER = "splathead directions"  # not that of checkpoints: nobody shall open these as a network
SHIPPED = ".directions.safetensors"  # replaces a checkpoint's ending

_OTHER = "Copy it again, or choose another file."
_LONGEST = 80  # characters of a name, a group or a unit
_MOST = 10_000  # directions in a file
_MOST_BYTES = 2**28


@dataclass(frozen=True, eq=False)
class Direction:
    """One way to change a head: w + amount · vector. Equal by value."""

    # What it changes: "Smile".
    name: str
    # Under which heading it stands: "Expression", "Skin", "Hair", "Identity", …
    group: str
    # What is added to w for an amount of 1: the same for all blocks [W], or for each [L, W]. float32
    vector: Tensor
    # What an amount of 1 does, as a tooltip says it: "from no glasses to glasses".
    unit: str = "one standard deviation"
    # Amounts between which heads stay natural; a slider goes so far.
    low: float = -2.0
    high: float = 2.0

    def __post_init__(self) -> None:
        """Raise ValueError if this is no direction."""
        for text in (self.name, self.group, self.unit):
            if not 0 < len(text.strip()) <= _LONGEST or not text.isprintable():
                raise ValueError(f"{text[:40]!r} is no readable name")
        shape, kind = tuple(self.vector.shape), self.vector.dtype
        if len(shape) not in (1, 2) or 0 in shape or kind != torch.float32:
            raise ValueError(f"the vector of {self.name!r} has the shape {shape}, {kind}")
        if not self.vector.isfinite().all():
            raise ValueError(f"the vector of {self.name!r} holds what are no numbers")
        if not -math.inf < self.low < self.high < math.inf:
            raise ValueError(f"the range of {self.name!r} is from {self.low} to {self.high}")

    @property
    def w_dim(self) -> int:
        """W"""
        return self.vector.shape[-1]

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Direction)
            and self._said() == other._said()
            and torch.equal(self.vector, other.vector)
        )

    def __hash__(self) -> int:
        return hash(self._said())

    def _said(self) -> tuple[str, str, str, float, float]:
        return self.name, self.group, self.unit, self.low, self.high


def weights_hash(weights: nn.Module | Mapping[str, Tensor]) -> str:
    """Name a network by its numbers: SHA-256 over sorted names, shapes and float32 values.

    A published `.pkl` and what it was converted to have the same. 60 million weights take 0.2 s.

    Args:
        weights: A generator as `load_generator` returns it (not a prepared one), or its tensors.

    Returns:
        64 hexadecimal digits.
    """
    state = weights.state_dict() if isinstance(weights, nn.Module) else weights
    digest = hashlib.sha256()
    for name in sorted(state):
        values = state[name].detach().to("cpu", torch.float32).contiguous()
        digest.update(json.dumps([name, list(values.shape)]).encode())
        digest.update(values.view(-1).numpy().data)
    return digest.hexdigest()


def shipped_directions(checkpoint: str | os.PathLike[str]) -> Path:
    """Where the directions that belong to a checkpoint lie, if there are any: beside it."""
    return Path(checkpoint).with_suffix(SHIPPED)


def write_directions(
    path: str | os.PathLike[str], directions: Iterable[Direction], weights: str
) -> None:
    """Write directions and the weights they are for; what was there stays until that is done.

    Args:
        path: Ends in .json for the form that people can read; anything else is safetensors.
        directions: Of one width W, no two of one name.
        weights: `weights_hash` of their generator.

    Raises:
        SaveError: It cannot be written.
        ValueError: They do not belong together.
    """
    directions = tuple(directions)
    _require_one_family(directions)
    if not _is_hash(weights):
        raise ValueError(f"{weights!r} is no hash of weights")
    entries = [
        {"name": d.name, "group": d.group, "unit": d.unit, "low": d.low, "high": d.high}
        for d in directions
    ]
    header: dict[str, Any] = {"format": FORMAT, "weights": weights, "directions": entries}
    if _is_json(path):
        for entry, direction in zip(entries, directions, strict=True):
            entry["vector"] = direction.vector.tolist()
        text = json.dumps({HEADER: header}, ensure_ascii=False, allow_nan=False)
        content = (text + "\n").encode()
    else:
        tensors = {str(i): d.vector.cpu().contiguous() for i, d in enumerate(directions)}
        text = json.dumps(header, ensure_ascii=False, allow_nan=False)
        content = safetensors.torch.save(tensors, {HEADER: text})
    with atomic_write(path) as file:
        file.write(content)


def read_directions(
    path: str | os.PathLike[str], weights: str, w_dim: int | None = None
) -> tuple[Direction, ...]:
    """Read directions that were written for a network.

    Args:
        path: Of either form; .json by its name.
        weights: `weights_hash` of the generator they shall move.
        w_dim: Its W, if that is to be checked as well.

    Raises:
        LoadError: The file is missing, damaged, or of another network.
    """
    try:
        if os.path.getsize(path) > _MOST_BYTES:
            raise ValueError("it is too large")
        header, vectors = _read_json(path) if _is_json(path) else _read_safetensors(path)
        if not isinstance(header["format"], int) or not _is_hash(header["weights"]):
            raise ValueError("it does not say which weights it is for")
        if header["format"] > FORMAT:
            raise LoadError(path, "was written by a later version of Splathead. Update it.")
        if header["weights"] != weights:
            sentence = "holds directions of another generator. Open the one they were made for."
            raise LoadError(path, sentence)
        entries = header["directions"]
        if not len(entries) == len(vectors) <= _MOST:
            raise ValueError(f"it has {len(vectors)} vectors for {len(entries)} directions")
        directions = tuple(map(_direction, entries, vectors))
        _require_one_family(directions)
    except FileNotFoundError as error:
        raise LoadError(path, "does not exist. Check its name.") from error
    except OSError as error:
        raise LoadError(path, f"cannot be read ({error}). Check its rights.") from error
    except KeyError as error:
        raise LoadError(path, f"holds no directions: {error} is missing. {_OTHER}") from error
    except (ValueError, TypeError, RecursionError, safetensors.SafetensorError) as error:
        raise LoadError(path, f"holds no directions, or is damaged: {error}. {_OTHER}") from error
    if w_dim is not None and any(direction.w_dim != w_dim for direction in directions):
        sentence = f"has directions {directions[0].w_dim} wide; this generator's are {w_dim} wide."
        raise LoadError(path, f"{sentence} {_OTHER}")
    return directions


def _read_safetensors(path: str | os.PathLike[str]) -> tuple[dict[str, Any], list[Tensor]]:
    with safetensors.safe_open(path, framework="pt") as file:
        header = json.loads((file.metadata() or {})[HEADER])
        count = len(file.keys())
        # Copies of our own: what replaces the file while it is open changes nothing here.
        return header, [file.get_tensor(str(i)).clone() for i in range(count)]


def _read_json(path: str | os.PathLike[str]) -> tuple[dict[str, Any], list[Tensor]]:
    header = json.loads(Path(path).read_text(encoding="utf-8"))[HEADER]
    vectors = (entry["vector"] for entry in header["directions"])
    return header, [torch.tensor(vector, dtype=torch.float32) for vector in vectors]


def _direction(entry: Mapping[str, Any], vector: Tensor) -> Direction:
    texts = {name: entry[name] for name in ("name", "group", "unit")}
    if not all(isinstance(text, str) for text in texts.values()):
        raise ValueError("a name is no text")
    return Direction(**texts, vector=vector, low=float(entry["low"]), high=float(entry["high"]))


def _require_one_family(directions: Sequence[Direction]) -> None:
    if len({direction.w_dim for direction in directions}) > 1:
        raise ValueError("its directions are not all of one width")
    names = [direction.name for direction in directions]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"there are two directions named {twice!r}")


def _is_hash(text: object) -> bool:
    return isinstance(text, str) and re.fullmatch(r"[0-9a-f]{64}", text) is not None


def _is_json(path: str | os.PathLike[str]) -> bool:
    return Path(path).suffix.lower() == ".json"
