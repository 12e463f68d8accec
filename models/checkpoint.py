"""Generators in files: ours is one `.safetensors`, weights and a JSON header; published `.pkl` are read too.

What a file holds is said, and checked against the network it names, before anything is built.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from models.generator import CgsConfig, CgsGenerator, config_from_state, expected_shapes
from models.legacy_pickle import read_published
from models.points import Placement
from models.published_constants import constants_of
from renderer.errors import CheckpointError
from renderer.files import atomic_write

FORMAT = 1  # of the JSON header; a higher number is from a later version of this program
HEADER = "splathead"  # the header's name among the safetensors file's metadata
OURS, BARE, PUBLISHED = (
    "Splathead checkpoint",
    "safetensors without header",
    "published CGS-GAN pickle",
)

_AGAIN = "Download or copy it again."
_CHUNK = 2**24  # bytes between two steps: some 10 ms


@dataclass(frozen=True)
class Architecture:
    """A family of generators, and how to build one."""

    config: type[CgsConfig]
    build: Callable[[CgsConfig], CgsGenerator]
    shapes: Callable[[CgsConfig], dict[str, torch.Size]]  # names and shapes of all its tensors


CGS = "cgs"
ARCHITECTURES = {CGS: Architecture(CgsConfig, CgsGenerator, expected_shapes)}


@dataclass(frozen=True)
class Provenance:
    """Where weights come from and what may be done with them."""

    # Training pictures shown so far.
    images_seen: int | None = None
    # Terms under which the weights may be used.
    licence: str | None = None
    # File, address or run that they were made from.
    source: str | None = None
    # Anything else that JSON can hold.
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CheckpointSummary:
    """What a file says of itself. With something missing or misshapen it cannot be loaded."""

    path: str
    kind: str  # OURS, BARE or PUBLISHED
    architecture: str  # key of ARCHITECTURES
    config: CgsConfig
    parameters: int  # numbers in all its tensors that belong to the network
    missing: tuple[str, ...]  # names of tensors that the network needs
    unexpected: tuple[str, ...]  # names of tensors that it has no place for
    misshapen: tuple[str, ...]  # "name (2, 3) instead of (4, 3)"
    size: int  # bytes
    provenance: Provenance

    @property
    def resolution(self) -> int:
        """Side of the training pictures in pixels."""
        return self.config.resolution

    @property
    def splats(self) -> int:
        """Splats of one head."""
        return self.config.splats

    @property
    def images_seen(self) -> int | None:
        """Training pictures shown so far, if the file says."""
        return self.provenance.images_seen

    @property
    def licence(self) -> str | None:
        """Terms of use, if the file says."""
        return self.provenance.licence


@dataclass(frozen=True, eq=False)
class LoadedGenerator:
    """A generator from a file: plain, without gradients for its weights, to be `prepared()`."""

    generator: CgsGenerator
    summary: CheckpointSummary
    digest: str  # SHA-256 of the file, hexadecimal


@dataclass(frozen=True)
class LoadStep:
    """Where loading stands."""

    done: int  # bytes, counted once for reading and once for checking
    total: int
    message: str


LoadSteps = Generator[LoadStep, None, LoadedGenerator]


def inspect(path: str | os.PathLike[str]) -> CheckpointSummary:
    """Say what a checkpoint holds, without building it.

    Raises:
        CheckpointError: It holds no generator, or is damaged.
    """
    with _opened(path) as content:
        return content.summary


def load_generator(
    path: str | os.PathLike[str], device: torch.device | str = "cpu"
) -> LoadedGenerator:
    """Load a checkpoint at once; see `load_steps`."""
    steps = load_steps(path, device)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def load_steps(path: str | os.PathLike[str], device: torch.device | str = "cpu") -> LoadSteps:
    """Load a checkpoint of any known kind, yielding where it stands; close it to cancel.

    Raises:
        CheckpointError: The file is damaged, incomplete, holds weights that are not numbers, or no
            known network.
    """
    name = Path(path).name
    size = _size(path)
    digest = yield from _digest(path, size)
    yield LoadStep(size, 2 * size, f"Opening {name}")
    with _opened(path) as content:
        _require_complete(content.summary)
        with torch.device("meta"):
            generator = ARCHITECTURES[content.summary.architecture].build(content.summary.config)
        state: dict[str, Tensor] = {}
        done = reported = 0
        for tensor_name in generator.state_dict():
            state[tensor_name] = content.tensor(tensor_name)
            done += state[tensor_name].nbytes
            if done - reported >= _CHUNK:
                reported = done
                yield LoadStep(size + min(done, size), 2 * size, f"Checking {name}")
        _require_finite(path, state)
        summary = content.summary
    generator.load_state_dict(state, assign=True)
    generator.eval().requires_grad_(False)
    yield LoadStep(2 * size, 2 * size, f"Preparing {name}")
    return LoadedGenerator(generator.to(device), summary, digest)


def save_generator(
    path: str | os.PathLike[str], generator: CgsGenerator, provenance: Provenance | None = None
) -> None:
    """Write a generator as our checkpoint; what was there stays until the new file is complete.

    Raises:
        SaveError: It cannot be written.
    """
    provenance = provenance or Provenance()
    header = {
        "format": FORMAT,
        "architecture": CGS,
        "config": dataclasses.asdict(generator.config),
        **dataclasses.asdict(provenance),
    }
    state = {name: tensor.contiguous() for name, tensor in generator.state_dict().items()}
    metadata = {HEADER: json.dumps(header, ensure_ascii=False, allow_nan=False)}
    with atomic_write(path) as file:
        file.write(safetensors.torch.save(state, metadata))


def convert(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> CheckpointSummary:
    """Write a checkpoint of any known kind as ours, and say what that holds.

    Raises:
        CheckpointError: `source` cannot be loaded.
        SaveError: `target` cannot be written.
    """
    loaded = load_generator(source)
    provenance = loaded.summary.provenance
    if provenance.source is None:
        provenance = dataclasses.replace(provenance, source=Path(source).name)
    save_generator(target, loaded.generator, provenance)
    return inspect(target)


# ── what a file holds ──────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class _Content:
    """An open checkpoint."""

    summary: CheckpointSummary
    read: Callable[[str], Tensor]

    def tensor(self, name: str) -> Tensor:
        """Read one tensor into memory of its own, or of the file's reader. float32, dense"""
        return self.read(name).to(torch.float32).contiguous()


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Generator[_Content, None, None]:
    """Open a checkpoint by what it begins with, whatever its name."""
    size = _size(path)
    if not _is_safetensors(path, size):
        yield _published(path, size)
        return
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            # The copy is ours: a file that is replaced while it is open changes nothing here.
            yield _Content(_safetensors_summary(path, size, file), lambda name: _copied(file, name))
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(path, f"is damaged or incomplete ({error}). {_AGAIN}") from error


def _copied(file: safetensors.safe_open, name: str) -> Tensor:
    return file.get_tensor(name).clone()


def _safetensors_summary(
    path: str | os.PathLike[str], size: int, file: safetensors.safe_open
) -> CheckpointSummary:
    shapes = {name: torch.Size(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    text = (file.metadata() or {}).get(HEADER)
    if text is None:
        return _summary(path, BARE, size, shapes, _config_of(path, shapes, {}), Provenance())
    try:
        header = json.loads(text)
        written = header["format"]
        if not isinstance(written, int) or written < 1:
            raise ValueError("its format is no number")
        if written > FORMAT:
            raise CheckpointError(path, "was written by a later version of Splathead. Update it.")
        if header["architecture"] not in ARCHITECTURES:
            name = str(header["architecture"])[:40]
            known = ", ".join(ARCHITECTURES)
            raise CheckpointError(
                path,
                f"holds a network of the kind {name!r}; this version knows {known}. Update it.",
            )
        config = _config_from_json(header["config"])
        provenance = _provenance_from_json(header)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        sentence = f"has a header that cannot be understood ({error}). {_AGAIN}"
        raise CheckpointError(path, sentence) from error
    return _summary(path, OURS, size, shapes, config, provenance)


def _published(path: str | os.PathLike[str], size: int) -> _Content:
    file = read_published(path, only={"G_ema"})
    if not file.networks:
        file = read_published(path, only={"G"})
    if not file.networks:
        raise CheckpointError(path, "holds no generator, neither G_ema nor G. Choose another file.")
    (network,) = file.networks.values()
    shapes = {name: tensor.shape for name, tensor in network.state.items()}
    config = _config_of(path, shapes, constants_of(network))
    seen = file.values.get("cur_nimg")
    provenance = Provenance(
        images_seen=seen if isinstance(seen, int) else None,
        licence="the terms of the authors of CGS-GAN, who published the weights",
    )
    summary = _summary(path, PUBLISHED, size, shapes, config, provenance)
    return _Content(summary, network.state.__getitem__)


def _summary(
    path: str | os.PathLike[str],
    kind: str,
    size: int,
    shapes: Mapping[str, torch.Size],
    config: CgsConfig,
    provenance: Provenance,
) -> CheckpointSummary:
    """Compare the tensors of a file with those of the network it names."""
    expected = ARCHITECTURES[CGS].shapes(config)
    both = [name for name in expected if name in shapes]
    return CheckpointSummary(
        path=os.fspath(path),
        kind=kind,
        architecture=CGS,
        config=config,
        parameters=sum(shapes[name].numel() for name in both),
        missing=tuple(name for name in expected if name not in shapes),
        unexpected=tuple(name for name in shapes if name not in expected),
        misshapen=tuple(
            f"{name} {tuple(shapes[name])} instead of {tuple(expected[name])}"
            for name in both
            if shapes[name] != expected[name]
        ),
        size=size,
        provenance=provenance,
    )


def _config_of(
    path: str | os.PathLike[str],
    shapes: Mapping[str, torch.Size],
    constants: Mapping[str, float | int],
) -> CgsConfig:
    try:
        return config_from_state(shapes, constants)
    except ValueError as error:
        raise CheckpointError(path, f"{error}. Choose the file of a CGS generator.") from error


# ── checks ─────────────────────────────────────────────────────────────────────────────────────


def _require_complete(summary: CheckpointSummary) -> None:
    faults = [
        ("lacks", summary.missing),
        ("has the wrong shape of", summary.misshapen),
        ("has no use for", _alarming(summary)),
    ]
    for fault, names in faults:
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise CheckpointError(
                summary.path,
                f"{fault} {', '.join(names[:3])}{more}: it is not the CGS generator of "
                f"{summary.resolution} px that it seems to be. {_AGAIN}",
            )


def _alarming(summary: CheckpointSummary) -> tuple[str, ...]:
    """Pick the unexpected tensors that mean that this is another network.

    Published files also hold constants and modules that were never used; those are let pass.
    """
    if summary.kind == OURS:
        return summary.unexpected
    inside = ("mapping_network.", "point_gen.")
    constants = (*Placement._fields, "scale_init", "scale_end")
    return tuple(
        name
        for name in summary.unexpected
        if name.startswith(inside) and name.rpartition(".")[2] not in constants
    )


def _require_finite(path: str | os.PathLike[str], state: Mapping[str, Tensor]) -> None:
    # 0·x is 0 for every finite x and NaN for NaN and ±Inf, so one sum tells for a whole tensor.
    bad = {
        name: int((~tensor.isfinite()).sum())
        for name, tensor in state.items()
        if (tensor * 0).sum() != 0
    }
    if bad:
        raise CheckpointError(
            path,
            f"holds {sum(bad.values()):,} weights that are not numbers, the first in "
            f"{next(iter(bad))}: its training diverged. Use an earlier checkpoint.",
        )


def _size(path: str | os.PathLike[str]) -> int:
    try:
        if Path(path).is_dir():
            raise CheckpointError(path, "is a folder. Choose the file of a generator.")
        return os.stat(path).st_size
    except FileNotFoundError as error:
        raise CheckpointError(path, "does not exist. Check its name, or download it.") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(path, f"cannot be read ({error}). Check its name.") from error


def _is_safetensors(path: str | os.PathLike[str], size: int) -> bool:
    """Look for a safetensors header; by its name alone only what cannot be a pickle either."""
    try:
        with open(path, "rb") as file:
            start = file.read(9)
    except OSError as error:
        raise CheckpointError(
            path, f"cannot be read ({error.strerror}). Check its rights."
        ) from error
    if start[8:] == b"{" and int.from_bytes(start[:8], "little") <= size - 8:
        return True
    return Path(path).suffix.lower() == ".safetensors" and start[:1] != b"\x80"


def _digest(path: str | os.PathLike[str], size: int) -> Generator[LoadStep, None, str]:
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                yield LoadStep(min(file.tell(), size), 2 * size, f"Reading {Path(path).name}")
    except OSError as error:
        raise CheckpointError(path, f"cannot be read ({error.strerror}). {_AGAIN}") from error
    return digest.hexdigest()


# ── headers ────────────────────────────────────────────────────────────────────────────────────


def _config_from_json(values: object) -> CgsConfig:
    """Rebuild a configuration, every field of its own type. Raises ValueError, TypeError, OverflowError."""
    if not isinstance(values, dict):
        raise ValueError("its configuration is no object")

    def number(value: object, kind: type) -> int | float:
        if isinstance(value, bool) or not isinstance(value, int if kind is int else int | float):
            raise ValueError(f"{value!r} is not {kind.__name__}")
        return kind(value)

    known: dict[str, Any] = {}
    for entry in dataclasses.fields(CgsConfig):
        if entry.name in values:
            value = values[entry.name]
            if entry.name == "features":
                if not isinstance(value, list):
                    raise ValueError("its features are no list")
                known[entry.name] = tuple(number(item, int) for item in value)
            else:
                known[entry.name] = number(value, float if entry.type == "float" else int)
    if unknown := set(values) - set(known):
        raise ValueError(f"its configuration has an unknown {min(unknown)}")
    return CgsConfig(**known)


def _provenance_from_json(header: Mapping[str, Any]) -> Provenance:
    def text(name: str) -> str | None:
        return header[name] if isinstance(header.get(name), str) else None

    seen, extra = header.get("images_seen"), header.get("extra")
    return Provenance(
        images_seen=seen if isinstance(seen, int) else None,
        licence=text("licence"),
        source=text("source"),
        extra=extra if isinstance(extra, dict) else {},
    )
