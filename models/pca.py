"""The axes along which the w of a generator vary most (GANSpace, Härkönen et al. 2020), kept on disk.

They belong to one network, so each file is named by the hash of its weights.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from models.generator import HeadGenerator
from renderer.errors import SaveError
from renderer.files import atomic_write

SAMPLES = 100_000
HEADER = "splathead components"

_FORMAT = 1
_BATCH = 4096  # rows of w at a time: large products, and 8 MB of a 512-wide network
_SEED = 20_200_404  # of the z that are mapped
_MIN_SECONDS = 0.03  # between two reports


@dataclass(frozen=True, eq=False)
class Components:
    """Principal components of w over random z, the largest first. K is W, or fewer."""

    mean: Tensor  # [W] float32
    axes: Tensor  # [K, W] float32, orthonormal; the largest entry of each is positive
    sigmas: Tensor  # [K] float32, standard deviations along the axes
    samples: int  # w they were found from

    @property
    def explained(self) -> Tensor:
        """Each component's share of the variance of w. [K], sums to 1 with K = W"""
        variances = self.sigmas.double().square()
        return (variances / variances.sum().clamp(min=1e-300)).float()


@dataclass(frozen=True)
class ComponentStep:
    """Where the search stands."""

    done: int  # w mapped
    total: int
    message: str


ComponentSteps = Generator[ComponentStep, None, Components]


@torch.no_grad()
def find_components(
    generator: HeadGenerator, samples: int = SAMPLES, seed: int = _SEED
) -> ComponentSteps:
    """Map random z and find along which axes their w vary; close it to cancel.

    Only sums and products of w are kept, so the memory does not grow with `samples`. Products of a
    batch are float32, about the average head so that nothing large cancels; sums are float64.

    Args:
        generator: The prepared one is faster. Where a head has several w, their mean counts.
        samples: How many w, two at least.
        seed: Of the z.
    """
    assert samples >= 2, samples
    about = generator.w_avg
    # Not NumPy's frozen stream, which takes longer than all the rest: whoever uses a component keeps
    # its numbers, and another stream would only be another sample of the same components.
    draw = torch.Generator(about.device).manual_seed(seed)
    width = generator.w_dim
    total = torch.zeros(width, dtype=torch.float64, device=about.device)
    products = torch.zeros(width, width, dtype=torch.float64, device=about.device)
    done, reported = 0, 0.0
    while done < samples:
        if time.monotonic() - reported > _MIN_SECONDS:  # a report between any two would cost time
            yield ComponentStep(done, samples, f"Mapping {samples:,} random heads")
            reported = time.monotonic()
        count = min(_BATCH, samples - done)
        z = torch.randn(count, generator.z_dim, generator=draw, device=about.device)
        offsets = generator.map(z).mean(dim=1) - about  # [count, W]
        total += offsets.sum(dim=0, dtype=torch.float64)
        products += offsets.mT @ offsets
        done += count
    yield ComponentStep(samples, samples, "Finding the components")
    mean = total / samples
    covariance = (products - samples * torch.outer(mean, mean)) / (samples - 1)
    variances, vectors = torch.linalg.eigh(covariance.cpu())  # rising
    return Components(
        mean=(about + mean).float().cpu(),
        axes=_signed(vectors.mT.flip(0)).float().contiguous(),
        sigmas=variances.flip(0).clamp(min=0).sqrt().float(),
        samples=samples,
    )


def known_components(
    generator: HeadGenerator, weights: str, folder: Path, samples: int = SAMPLES
) -> ComponentSteps:
    """Read the components of a generator, or find them and keep them for the next time.

    Args:
        generator: As for `find_components`.
        weights: The hash of its weights (`models.directions.weights_hash`).
        folder: Where they are kept; made if it is missing.
        samples: How many w they are to be found from at least.
    """
    path = folder / f"{weights}.safetensors"
    kept = read_components(path, weights, generator.w_dim)
    if kept is not None and kept.samples >= samples:
        return kept
    found = yield from find_components(generator, samples)
    # A full disk is no reason to go without: they are found anew the next time.
    with suppress(SaveError, OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_components(path, found, weights)
    return found


def write_components(path: str | os.PathLike[str], components: Components, weights: str) -> None:
    """Write components and the weights they belong to.

    Raises:
        SaveError: It cannot be written.
    """
    header = {"format": _FORMAT, "weights": weights, "samples": components.samples}
    tensors = {"mean": components.mean, "axes": components.axes, "sigmas": components.sigmas}
    with atomic_write(path) as file:
        file.write(safetensors.torch.save(tensors, {HEADER: json.dumps(header)}))


def read_components(path: str | os.PathLike[str], weights: str, width: int) -> Components | None:
    """Read what `write_components` wrote; None if it is missing, damaged, or of other weights.

    Args:
        path: The file.
        weights: The hash that it has to name.
        width: W
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[HEADER])
            mean, axes, sigmas = (file.get_tensor(n).clone() for n in ("mean", "axes", "sigmas"))
        samples = header["samples"]
        if header["format"] != _FORMAT or header["weights"] != weights or type(samples) is not int:
            return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError, safetensors.SafetensorError):
        return None
    components = Components(mean, axes, sigmas, samples)
    return components if _is_sound(components, width) else None


def _is_sound(components: Components, width: int) -> bool:
    """Whether these can be components: the disk may have lied."""
    tensors = (components.mean, components.axes, components.sigmas)
    shapes = [tuple(tensor.shape) for tensor in tensors]
    count = len(components.sigmas) if components.sigmas.dim() == 1 else 0
    if shapes != [(width,), (count, width), (count,)] or not 1 <= count <= width:
        return False
    if any(tensor.dtype != torch.float32 for tensor in tensors):
        return False
    if not all(bool(tensor.isfinite().all()) for tensor in tensors):
        return False
    lengths = components.axes.norm(dim=1)
    return bool((lengths - 1).abs().max() < 1e-3 and components.sigmas.min() >= 0)


def _signed(axes: Tensor) -> Tensor:
    """Turn each axis so that its largest entry is positive: the sign of a component is arbitrary."""
    largest = axes.abs().argmax(dim=1, keepdim=True)
    return axes * axes.gather(1, largest).sign()
