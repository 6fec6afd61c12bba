"""Forward passes that leave the caller's model as they found it.

One pass over the data gives each example's prediction and loss; rates, recalls and mean losses follow from these.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from landscape_utils.data.pairs import Pairs, batch_count, batches, device_of, suited
from landscape_utils.engine.shadow import answers, classifier
from landscape_utils.kit.bars import BAR

# Small batches keep activations in the cache and out of the page allocator; a GPU wants to be filled.
BATCH = {"cuda": 2000, "mps": 1000}
CPU_BATCH = 125


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What a model made of each example.

    Attributes:
        targets: true classes, shape (N,).
        predicted: classes of largest logit, shape (N,); -1 where a logit is NaN or infinite, and nothing was predicted.
        losses: cross entropies in nats, shape (N,); NaN where nothing was predicted.
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
        """Return the share of right predictions; NaN over no examples."""
        return float((self.predicted == self.targets).double().mean())


def outcomes(model: nn.Module, data: Pairs) -> Outcomes:
    """Run a copy of a model in evaluation mode over all data, in batches, on the model's device.

    Args:
        model: classifier; its logits have shape (N, C).
        data: inputs (N, ...) and targets (N,), in any form that `pairs.batches` takes; a stream is not held in memory.

    Raises:
        ValueError: the logits are not (N, C), a target lies outside the C classes, or the data are not clear.
    """
    size = BATCH.get(device_of(model).type, CPU_BATCH)
    targets, predicted, losses, classes, tree = [], [], [], 0, classifier(model)
    bar = tqdm(batches(data, size), total=batch_count(data, size), desc="predictions", unit="batch", **BAR)
    with torch.inference_mode():
        for x, y in bar:
            logits = answers(tree, suited(x, tree))
            check_logits(logits, y)
            guessed, loss = judged(logits, y.to(logits.device))
            classes = logits.shape[1]
            targets.append(y.cpu())
            predicted.append(guessed.cpu())
            losses.append(loss.cpu())
    return Outcomes(torch.cat(targets), torch.cat(predicted), torch.cat(losses), classes)


def judged(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Read predictions (n,) and cross entropies (n,) in nats off logits (n, C).

    Where a logit is NaN or infinite, but for minus infinity beside finite ones, there is no softmax: the prediction is
    -1, and the loss NaN.
    """
    predicted = predictions(logits)
    losses = F.cross_entropy(logits.float() if logits.dtype.itemsize < 4 else logits, targets, reduction="none")
    return predicted, losses.masked_fill(predicted < 0, torch.nan)


def predictions(logits: Tensor) -> Tensor:
    """Find the class of largest logit, shape (n,); -1 where a logit is NaN or infinite, as in `judged`."""
    best = logits.max(1)
    return best.indices.masked_fill(~best.values.isfinite(), -1)


def check_logits(logits: Tensor, targets: Tensor) -> None:
    """Refuse targets outside the C classes of logits (n, C).

    Raises:
        ValueError: one lies outside.
    """
    classes = logits.shape[1]
    if len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < classes:
        raise ValueError(f"a target lies outside the model's {classes} classes; targets must be 0 to {classes - 1}")


def confusion_counts(targets: Tensor, predicted: Tensor, classes: int) -> Tensor:
    """Count predictions: entry (a, b) is how many class-a examples were taken for b; shape (C, C), int64."""
    targets, predicted = targets[predicted >= 0], predicted[predicted >= 0]
    return torch.bincount(targets * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def confusion_rates(counts: Tensor, targets: Tensor) -> Tensor:
    """Divide counts (C, C) by each class's examples, in float64; rows without an example are NaN."""
    return counts.double() / torch.bincount(targets, minlength=len(counts))[:, None]
