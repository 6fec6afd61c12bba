"""Gradients of the mean loss: of single classes' examples, and of all."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from landscape_utils.data.datasets import class_index
from landscape_utils.data.pairs import Pairs, class_names, resident
from landscape_utils.engine.derivatives import (
    BatchNormStatistics,
    differentiable,
    differentiating,
    gradients,
    normalise_by,
)
from landscape_utils.engine.inference import check_logits
from landscape_utils.engine.shadow import TOGETHER
from landscape_utils.kit.bars import BAR
from landscape_utils.kit.clock import spent_on

GRADIENT_BATCH = {"cuda": 1000, "mps": 500}
CPU_GRADIENT_BATCH = 100

Which = str | int


@torch.inference_mode(False)
def class_gradients(model: nn.Module, data: Pairs, classes: Sequence[Which] | None = None) -> Tensor:
    """Average the loss gradient over the examples of each class, in evaluation mode.

    g_c = mean over class c of the gradient of the cross entropy with respect to all parameters
    (class interference, definition 1). BatchNorm uses its running statistics, dropout is off.

    Args:
        model: classifier; it is left as it was, `.grad` too.
        data: inputs (N, ...) and targets (N,), or a DataLoader, which is gone through once.
        classes: names or indices; by default all.

    Returns:
        Shape (classes, P), in the order of `model.parameters()`; NaN for a class without examples.

    Raises:
        ValueError: an unknown class, or unusable data.
    """
    data = resident(model, data)
    (inputs, targets), tree = data, differentiable(model, data.inputs)
    width = _width(tree, inputs, targets)
    wanted = range(width) if classes is None else [_index(data, c, width) for c in classes]
    bar = tqdm(wanted, desc="class gradients", unit="class", **BAR)
    with spent_on("landscapes"):
        return torch.stack([_mean_gradient(tree, inputs[targets == c], targets[targets == c]) for c in bar])


@torch.inference_mode(False)
def mean_gradient(model: nn.Module, data: Pairs, *, bn: BatchNormStatistics = "keep") -> Tensor:
    """Average the loss gradient over all examples; shape (P,), as in `class_gradients`.

    Args:
        model, data: as there.
        bn: `keep` BatchNorm's running statistics (evaluation mode), or take those of the `batch` as in training: of all
            examples together, or of a thousand at a time where there are more.

    Raises:
        ValueError: an unknown bn, or unusable data.
    """
    inputs, targets = resident(model, data)
    tree = differentiable(model, inputs)
    _width(tree, inputs, targets)
    return _mean_gradient(tree, inputs, targets, TOGETHER if normalise_by(tree, bn) else None)


def _width(tree: nn.Module, inputs: Tensor, targets: Tensor) -> int:
    """Count the classes, of which the targets must be."""
    with torch.inference_mode():
        logits = tree(inputs[:1])
    check_logits(logits, targets)
    return int(logits.shape[1])


def _mean_gradient(tree: nn.Module, inputs: Tensor, targets: Tensor, batch: int | None = None) -> Tensor:
    own = list(tree.parameters())
    totals = [torch.zeros_like(p, requires_grad=False) for p in own]
    batch = batch or GRADIENT_BATCH.get(inputs.device.type, CPU_GRADIENT_BATCH)
    for x, y in zip(inputs.split(batch), targets.split(batch), strict=True):
        if len(y):
            with differentiating():
                parts = gradients(F.cross_entropy(tree(x), y, reduction="sum"), own)
            for total, g in zip(totals, parts, strict=True):
                total += g
    return torch.cat([total.reshape(-1) for total in totals]) / (len(targets) or torch.nan)


def _index(data: Pairs, wanted: Which, width: int) -> int:
    return class_index(class_names(data) or [str(c) for c in range(width)], wanted)
