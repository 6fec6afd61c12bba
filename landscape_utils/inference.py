"""Forward passes that leave the caller's model as they found it.

One pass over the data gives each example's prediction and loss; rates, recalls and mean losses follow from these.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from landscape_utils.data import Labelled

Pairs = Labelled | tuple[Tensor, Tensor] | DataLoader[Any]

# Small batches keep activations in the cache and out of the page allocator; a GPU wants to be filled.
BATCH = {"cuda": 2000, "mps": 1000}
CPU_BATCH = 125
BAR: dict[str, Any] = {"leave": False, "delay": 2.0}  # of tqdm: what is done in two seconds needs no bar
BATCH_VALUES = 2000 * 3 * 32 * 32  # larger images come in smaller batches


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What a model made of each example.

    Attributes:
        targets: true classes, shape (N,).
        predicted: classes of largest logit, shape (N,).
        losses: cross entropies in nats, shape (N,).
        classes: width of the logits.
    """

    targets: Tensor
    predicted: Tensor
    losses: Tensor
    classes: int

    @property
    def loss(self) -> float:
        """Average the loss in float64; NaN over no examples."""
        return float(self.losses.double().mean())

    @property
    def accuracy(self) -> float:
        """Give the share of right predictions; NaN over no examples."""
        return float((self.predicted == self.targets).double().mean())


def outcomes(model: nn.Module, data: Pairs) -> Outcomes:
    """Run a model in evaluation mode over all data, in batches, on the model's device.

    Args:
        model: classifier; its logits have shape (N, C).
        data: inputs (N, ...) and targets (N,), or a DataLoader of such pairs.

    Raises:
        ValueError: the logits are not (N, C), or a target lies outside the C classes.
    """
    device = device_of(model)
    targets, predicted, losses, classes = [], [], [], 0
    with evaluating(model), torch.inference_mode():
        parts = batches(data, BATCH.get(device.type, CPU_BATCH))
        for x, y in tqdm(parts, total=batch_count(data, device), desc="predictions", unit="batch", **BAR):
            x, y = x.to(device, non_blocking=True), y.to(device, non_blocking=True).long()
            logits = model(x)
            check_logits(logits, y)
            classes = logits.shape[1]
            targets.append(y.cpu())
            predicted.append(logits.argmax(1).cpu())
            losses.append(F.cross_entropy(logits.float(), y, reduction="none").cpu())
    return Outcomes(torch.cat(targets), torch.cat(predicted), torch.cat(losses), classes)


def check_logits(logits: Tensor, targets: Tensor) -> None:
    """Refuse what is no classifier's output for these targets.

    Raises:
        ValueError: the logits are not (N, C), or a target lies outside the C classes.
    """
    if logits.ndim != 2:
        raise ValueError(f"the model's output has shape {tuple(logits.shape)}; a classifier's is (N, classes)")
    classes = logits.shape[1]
    if len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < classes:
        raise ValueError(f"a target lies outside the model's {classes} classes; targets must be 0 to {classes - 1}")


def confusion_counts(targets: Tensor, predicted: Tensor, classes: int) -> Tensor:
    """Count predictions: entry (a, b) is how many class-a examples were taken for b; shape (C, C), int64."""
    return torch.bincount(targets * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def confusion_rates(counts: Tensor) -> Tensor:
    """Divide counts (C, C) by their row sums, in float64; rows without an example are NaN."""
    return counts.double() / counts.sum(1, keepdim=True)


def batches(data: Pairs, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Go through pairs in order, large images in smaller batches; a DataLoader keeps its own.

    No examples make one empty batch.
    """
    if isinstance(data, DataLoader):
        loader: Iterable[tuple[Tensor, Tensor]] = data
        yield from loader
        return
    inputs, targets = data
    batch = _fitting(inputs, batch)
    yield from zip(inputs.split(batch), targets.split(batch), strict=True)


def _fitting(inputs: Tensor, batch: int) -> int:
    """Make batches of large images smaller."""
    return max(1, min(batch, BATCH_VALUES // (inputs[:1].numel() or 1)))


def batch_count(data: Pairs, device: torch.device) -> int | None:
    """Count the batches that `batches` gives; None where a DataLoader does not know."""
    if isinstance(data, DataLoader):
        return len(data) if hasattr(data.dataset, "__len__") else None
    inputs, _ = data
    return math.ceil(len(inputs) / _fitting(inputs, BATCH.get(device.type, CPU_BATCH))) or 1


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode and every one of its modules back, whatever happens inside."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def device_of(model: nn.Module) -> torch.device:
    """Find where a model's parameters live; the CPU for a model without any."""
    parameter = next(model.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device
