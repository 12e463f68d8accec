"""A change of a generator's weights, as a frozen value bound to the weights it was made for.

Pivotal tuning makes it; it is blended in by a strength from 0 to 1 and saved as safetensors. A file
of it is the value's own bytes, so that both are the same bit for bit.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from models.directions import weights_hash
from models.generator import CgsGenerator
from renderer.errors import LoadError, SplatheadError
from renderer.files import atomic_write

FORMAT = 1  # a higher number is from a later version of this program
HEADER = "splathead tuning"  # neither that of checkpoints nor of directions
SUFFIX = ".tuning.safetensors"

_LONGEST = 200  # characters of a name
_MOST_BYTES = 2**31
_OTHER = "Copy it again, or choose another file."


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


class ForeignDelta(SplatheadError):
    """A delta was to be added to other weights than those it was made for."""

    def __init__(self, name: str) -> None:
        """`name` is the delta's, or empty."""
        what = f"The tuning {name!r}" if name else "This tuning"
        super().__init__(
            f"{what} belongs to another generator, whose weights it would spoil. "
            "Open the generator it was made with, or remove the tuning."
        )


@torch.no_grad()
def delta_between(
    base: CgsGenerator, tuned: CgsGenerator, weights: str = "", name: str = ""
) -> WeightDelta:
    """Say what turns one generator into another of the same shape, to the precision of float16.

    Args:
        base, tuned: The generator as it was, and as it became.
        weights: The hash of `base`; computed if empty.
        name: For the eye.

    Raises:
        ValueError: A difference is not finite, or beyond what float16 can hold.
    """
    assert base.config == tuned.config, (base.config, tuned.config)
    before, differences = dict(base.named_parameters()), {}
    for key, parameter in tuned.named_parameters():
        if parameter is before[key] or parameter.data_ptr() == before[key].data_ptr():
            continue  # shared, as tuning does with all it does not change
        difference = (parameter - before[key]).half()
        if not difference.isfinite().all():
            raise ValueError(f"the change of {key} is not finite")
        if difference.any():
            differences[key] = difference.cpu().contiguous()
    weights = weights or weights_hash(base)
    return WeightDelta(weights, _encoded(differences, weights, name), name)


def with_delta(
    generator: CgsGenerator, delta: WeightDelta, strength: float = 1.0, *, weights: str = ""
) -> CgsGenerator:
    """Add a delta to a generator, which itself stays as it is.

    Args:
        generator: The one the delta was made for.
        delta: What to add.
        strength: How much of it: 0 is the generator bit for bit.
        weights: The hash of the generator, if it is known; hashing 60 million weights takes 0.2 s.

    Returns:
        A generator without gradients, which shares with the given one all that is not changed.

    Raises:
        ForeignDelta: It was made for another generator.
        LoadError: Its bytes are damaged.
    """
    if (weights or weights_hash(generator)) != delta.weights:
        raise ForeignDelta(delta.name)
    try:
        differences = _decoded(delta.content)[0] if strength else {}
    except (ValueError, KeyError, TypeError, RecursionError, safetensors.SafetensorError) as error:
        raise LoadError(delta.name or "tuning", f"is damaged: {error}. {_OTHER}") from error
    parameters = dict(generator.named_parameters())
    changed = {}
    for key, difference in differences.items():
        own = parameters.get(key)
        if own is None or own.shape != difference.shape:
            raise LoadError(delta.name or "tuning", f"does not fit: {key} is another. {_OTHER}")
        changed[key] = own.detach() + strength * difference.to(own.device, own.dtype)
    return sharing_twin(generator, changed)


def sharing_twin(
    generator: CgsGenerator, changed: Mapping[str, Tensor] | None = None
) -> CgsGenerator:
    """Make a generator of the same weights, some of them others; its gradients are off.

    What is not in `changed` lies in the same memory, but flags and gradients are the twin's own.
    """
    with torch.device("meta"):
        twin = CgsGenerator(generator.config)
    twin.load_state_dict({**generator.state_dict(), **(changed or {})}, assign=True)
    return twin.eval().requires_grad_(False)


def write_delta(path: str | os.PathLike[str], delta: WeightDelta) -> None:
    """Write a delta; what was there stays until that is done.

    Raises:
        SaveError: It cannot be written.
    """
    content = delta.content
    tensors, _, name = _decoded(content)
    if name != delta.name:  # it was renamed since
        content = _encoded(tensors, delta.weights, delta.name)
    with atomic_write(path) as file:
        file.write(content)


def read_delta(path: str | os.PathLike[str], weights: str = "") -> WeightDelta:
    """Read what `write_delta` wrote.

    Args:
        path: The file.
        weights: The hash of the generator it shall be added to, if that is to be checked here.

    Raises:
        LoadError: It is missing, damaged, or no tuning.
        ForeignDelta: It was made for another generator.
    """
    try:
        if os.path.getsize(path) > _MOST_BYTES:
            raise ValueError("it is too large")
        delta = decode_delta(Path(path).read_bytes())
    except FileNotFoundError as error:
        raise LoadError(path, "does not exist. Check its name.") from error
    except OSError as error:
        raise LoadError(path, f"cannot be read ({error}). Check its rights.") from error
    except ValueError as error:
        raise LoadError(path, f"holds no tuning, or is damaged: {error}. {_OTHER}") from error
    if weights and weights != delta.weights:
        raise ForeignDelta(delta.name or Path(path).name)
    return delta


def decode_delta(content: bytes) -> WeightDelta:
    """Read a delta from the bytes of its file.

    Raises:
        ValueError: They are no delta. The message continues a sentence.
    """
    try:
        _, weights, name = _decoded(content)
    except (KeyError, TypeError, RecursionError, safetensors.SafetensorError) as error:
        raise ValueError(str(error) or type(error).__name__) from error
    return WeightDelta(weights, content, name)


def _encoded(tensors: Mapping[str, Tensor], weights: str, name: str) -> bytes:
    name = "".join(character for character in name if character.isprintable())[:_LONGEST]
    header = {"format": FORMAT, "weights": weights, "name": name}
    text = json.dumps(header, ensure_ascii=False, allow_nan=False)
    return safetensors.torch.save(dict(tensors), {HEADER: text})


def _decoded(content: bytes) -> tuple[dict[str, Tensor], str, str]:
    """The differences, the weights and the name; of bytes that may hold anything."""
    tensors = safetensors.torch.load(content)  # checks every length against the bytes there are
    length = int.from_bytes(content[:8], "little")
    header = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][HEADER])
    weights, name = header["weights"], header["name"]
    if type(header["format"]) is not int or header["format"] < 1:
        raise ValueError("it does not say its format")
    if header["format"] > FORMAT:
        raise ValueError("it was written by a later version of Splathead; update it")
    if not isinstance(weights, str) or not re.fullmatch(r"[0-9a-f]{64}", weights):
        raise ValueError("it does not say which weights it is for")
    if not isinstance(name, str) or len(name) > _LONGEST or not (name.isprintable() or not name):
        raise ValueError("its name cannot be read")
    for key, tensor in tensors.items():
        if tensor.dtype != torch.float16 or not tensor.isfinite().all():
            raise ValueError(f"{key} is no finite float16")
    return tensors, weights, name
