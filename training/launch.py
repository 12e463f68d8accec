"""Processes that train together, and the device of each. The only file of training that knows CUDA.

`torchrun` starts them and says by the environment who is who; without it there is one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import psutil
import torch
import torch.distributed as dist
from torch import Tensor

from training.config import TrainingError

_PATIENCE = timedelta(hours=1)  # how long processes wait for one that evaluates or saves


@dataclass(frozen=True)
class Processes:
    """This process among those that train together."""

    rank: int
    count: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """Add up tensors of the same shapes over all processes, in place, in one message."""
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        for tensor, part in zip(
            tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True
        ):
            tensor.copy_(part.view_as(tensor))

    def any(self, flag: bool) -> bool:
        """Whether it is so in any process; all get the same answer."""
        if self.count == 1:
            return flag
        votes = torch.tensor(float(flag), device=self.device)
        dist.all_reduce(votes)
        return bool(votes > 0)

    def gathered(self, rows: Tensor) -> Tensor:
        """Interleave the rows of all processes, as many in each. [n, …] -> [n · count, …]"""
        if self.count == 1:
            return rows
        everyone = [torch.zeros_like(rows) for _ in range(self.count)]
        dist.all_gather(everyone, rows.contiguous())
        return torch.stack(everyone, dim=1).flatten(0, 1)

    def wait(self) -> None:
        """Wait until all are here."""
        if self.count > 1:
            dist.barrier()


@contextmanager
def joined(device: str | None = None) -> Iterator[Processes]:
    """Join the processes that torchrun started, or be alone; leave them at the end.

    Args:
        device: "cpu", "cuda" or "cuda:1"; the GPU of this process, or the CPU, if None.

    Raises:
        TrainingError: There is no such device.
    """
    rank, count = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    chosen = _device(device, int(os.environ.get("LOCAL_RANK", 0)))
    if count > 1:
        backend = "nccl" if chosen.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=_PATIENCE)
    try:
        yield Processes(rank, count, chosen)
    finally:
        if count > 1:
            dist.destroy_process_group()


def gpu_names() -> tuple[str, ...]:
    """Return what the GPUs that torch can use are called, in the order of their numbers."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return tuple(torch.cuda.get_device_name(number) for number in range(count))


def memory_in_use(device: torch.device) -> int:
    """Return bytes held: at most so far on a GPU, now by this process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return psutil.Process().memory_info().rss


def _device(name: str | None, local_rank: int) -> torch.device:
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        name = f"cuda:{local_rank}"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise TrainingError(f"There is no device {name!r}; choose cpu or cuda.") from error
    if device.type == "cuda":
        if not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count():
            raise TrainingError(
                f"There is no GPU {name} that torch can use; choose --device cpu, or start fewer "
                "processes."
            )
        torch.cuda.set_device(device)
    return device
