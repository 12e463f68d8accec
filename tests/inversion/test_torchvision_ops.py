"""torchvision beside any torch."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from inversion.torchvision_ops import ensure_torchvision, suppress_overlapping

ROOT = Path(__file__).resolve().parents[2]


def overlap(a, b):
    """Intersection over union of two boxes, by counting."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return width * height / (sum(areas) - width * height)


def test_torchvision_imports_in_a_fresh_python_and_its_operator_works():
    code = (
        "from inversion.torchvision_ops import ensure_torchvision as e; e(); e(); import torch;"
        "from torchvision.ops import nms; import torchvision.models, torchvision.transforms.functional;"
        "print(nms(torch.tensor([[0.,0,9,9],[1,1,9,9],[20,20,30,30]]), torch.tensor([.5,.9,.1]), .5))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)

    assert done.stdout.strip() == "tensor([1, 2])", done.stderr


@pytest.mark.parametrize("seed", range(4))
def test_of_boxes_that_overlap_the_best_stays(seed):
    random = torch.Generator().manual_seed(seed)
    low = 60 * torch.rand(40, 2, generator=random)
    boxes = torch.cat([low, low + 5 + 30 * torch.rand(40, 2, generator=random)], dim=1)
    scores = torch.rand(40, generator=random)

    kept = suppress_overlapping(boxes, scores, 0.4).tolist()

    assert scores[kept].tolist() == sorted(scores[kept].tolist(), reverse=True)
    assert 1 < len(kept) < 40
    for one in range(40):
        rivals = [
            k for k in kept if scores[k] > scores[one] and overlap(boxes[k], boxes[one]) > 0.4
        ]
        assert (one in kept) == (not rivals)


def test_no_boxes_leave_none():
    assert suppress_overlapping(torch.zeros(0, 4), torch.zeros(0), 0.5).shape == (0,)


def test_torchvision_agrees_with_our_operator():
    ensure_torchvision()
    from torchvision.ops import boxes as theirs

    boxes = torch.tensor([[0.0, 0, 10, 10], [2, 2, 12, 12], [0, 0, 10, 9], [40, 0, 50, 10]])
    scores = torch.tensor([0.7, 0.6, 0.9, 0.2])

    assert torch.equal(theirs.nms(boxes, scores, 0.5), suppress_overlapping(boxes, scores, 0.5))
