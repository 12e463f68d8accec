"""Directions in W that are learned from examples: heads that have something, and heads that have not."""

from __future__ import annotations

import torch
from torch import Tensor

_RIDGE = 0.05  # weight of |direction|² per example; w is scaled to a spread of 1 for it
_STEPS = 50
_SETTLED = 1e-10


def separating_direction(having: Tensor, lacking: Tensor) -> Tensor:
    """Find the direction that tells two kinds of heads apart, by logistic regression in W.

    Few examples in many dimensions can be told apart in many ways; the ridge picks the way that needs
    the shortest direction, which lies in the span of the examples. Both kinds count the same,
    however many examples there are of each.

    Args:
        having: w of heads that have it, one at least. [n, W]
        lacking: w of heads that have it not, one at least. [m, W]

    Returns:
        Its length is the distance between the middles of the two kinds along it: added to a head
        that lacks it, it gives one that has it, as far as it is linear. [W] float32

    Raises:
        ValueError: The examples of both kinds are the same heads.
    """
    assert having.shape[1:] == lacking.shape[1:], (having.shape, lacking.shape)
    assert len(having), having.shape
    assert len(lacking), lacking.shape
    w = torch.cat([having, lacking]).double().cpu()
    middles = w[: len(having)].mean(dim=0), w[len(having) :].mean(dim=0)
    apart = middles[0] - middles[1]
    if apart.norm() <= 1e-6 * w.norm(dim=1).mean():
        raise ValueError("the examples with it and without it are the same heads")
    x = w - (middles[0] + middles[1]) / 2
    x = x / x.square().sum(dim=1).mean().sqrt()
    kinds = torch.tensor([1.0] * len(having) + [-1.0] * len(lacking), dtype=torch.float64)
    counts = torch.cat(
        [torch.full((len(part),), 0.5 / len(part)) for part in (having, lacking)]
    ).double()
    normal = _regressed(x, kinds, counts)
    normal = normal / normal.norm()
    return (normal * (apart @ normal)).float()


def _regressed(x: Tensor, kinds: Tensor, counts: Tensor) -> Tensor:
    """Minimise sum counts · log(1 + exp(-kinds (x·v + b))) + ridge/2 |v|² by Newton's method.

    v = xᵀa by the representer theorem, so the system has as many unknowns as there are examples, not
    as W has dimensions.

    Args:
        x: [n, W]
        kinds: 1 or -1. [n]
        counts: What each example counts. [n], sums to 1

    Returns:
        v. [W]
    """
    ridge = _RIDGE / len(x)
    gram = x @ x.mT  # [n, n]
    a, b = torch.zeros_like(kinds), torch.zeros((), dtype=x.dtype)
    for _ in range(_STEPS):
        margins = kinds * (gram @ a + b)
        likely = torch.sigmoid(-margins)  # how wrong each example is, 0 to 1
        pull = counts * kinds * likely  # minus the gradient by its score
        curve = counts * likely * (1 - likely)
        # Newton's step in (a, b): [curve·gram + ridge, curve; curve·gram, sum curve].
        n = len(x)
        system = torch.zeros(n + 1, n + 1, dtype=x.dtype)
        system[:n, :n] = curve[:, None] * gram + ridge * torch.eye(n, dtype=x.dtype)
        system[:n, n] = curve
        system[n, :n] = curve @ gram
        system[n, n] = curve.sum() + 1e-12
        step = torch.linalg.solve(system, torch.cat([pull - ridge * a, pull.sum()[None]]))
        size = 1.0  # halved until the step goes downhill: Newton's may overshoot
        before = _loss(gram, kinds, counts, a, b, ridge)
        while _loss(gram, kinds, counts, a + size * step[:n], b + size * step[n], ridge) > before:
            size /= 2
            if size < _SETTLED:
                break
        a, b = a + size * step[:n], b + size * step[n]
        if size * step.norm() < _SETTLED * (1 + a.norm()) or size < _SETTLED:
            break
    return x.mT @ a


def _loss(gram: Tensor, kinds: Tensor, counts: Tensor, a: Tensor, b: Tensor, ridge: float) -> float:
    scores = gram @ a
    wrong = torch.nn.functional.softplus(-kinds * (scores + b))
    return float(counts @ wrong + ridge / 2 * (a @ scores))
