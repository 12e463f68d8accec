"""torchvision beside any torch: its Python parts work even where its compiled ones cannot be loaded.

The wheels on the package index are built against CUDA; beside a CPU torch they fail at import. The two
operators that the import asks for are then declared here, one of them with a body. Whoever needs
torchvision, or a library on top of it, calls `ensure_torchvision` first.
"""

from __future__ import annotations

import sys
import threading
from functools import cache

import torch
from torch import Tensor

_lock = threading.Lock()


def ensure_torchvision() -> None:
    """Make `import torchvision` work from here on. Cheap when called again."""
    with _lock:
        _import_once()


def suppress_overlapping(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Keep the best of every group of boxes that overlap: greedy non-maximum suppression.

    Args:
        boxes: Left, top, right, bottom. [N, 4]
        scores: Higher is better. [N]
        iou_threshold: Boxes with more than this intersection over union with a better one go.

    Returns:
        Indices of those that stay, the best first. int64 [K]
    """
    order = torch.argsort(scores, descending=True, stable=True)
    low, high = boxes[order, :2], boxes[order, 2:]
    area = (high - low).prod(dim=1)
    alive = torch.ones(len(order), dtype=torch.bool, device=boxes.device)
    kept = []
    for i in range(len(order)):
        if not alive[i]:
            continue
        kept.append(i)
        common = (torch.minimum(high[i], high) - torch.maximum(low[i], low)).clamp(min=0)
        intersection = common.prod(dim=1)
        alive &= ~(intersection / (area[i] + area - intersection) > iou_threshold)
    return order[torch.tensor(kept, dtype=torch.int64, device=boxes.device)]


@cache
def _import_once() -> torch.library.Library | None:
    """Import torchvision, with our operators if its own are not to be had; keeps these alive."""
    try:
        import torchvision

        # It imports without its operators beside some versions of torch.
        if torchvision.extension._has_ops():
            return None
    except RuntimeError:  # "operator torchvision::nms does not exist"
        pass
    for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    ours = torch.library.Library("torchvision", "DEF")
    ours.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    ours.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    ours.impl("nms", suppress_overlapping, "CompositeExplicitAutograd")
    import torchvision

    torchvision.extension._has_ops = lambda: True
    return ours
