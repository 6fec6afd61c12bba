"""What a training remembers of each epoch: losses, accuracies, CCTMs, last-layer biases, label subsets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from landscape_utils.data.datasets import Dataset
from landscape_utils.data.labels import SUBSETS, PermutedLabels
from landscape_utils.engine.inference import Outcomes, confusion_counts, confusion_rates, outcomes

Row = dict[str, Tensor]


def measure_epoch(model: nn.Module, data: Dataset, labels: PermutedLabels, loss: float, lr: float) -> Row:
    """Measure one epoch: un-augmented training images and test images, in evaluation mode."""
    train, test = outcomes(model, data.train), outcomes(model, data.test)
    row = {"batch_loss": torch.tensor(loss), "learning_rate": torch.tensor(lr)}
    for name, result in (("train", train), ("test", test)):
        counts = confusion_counts(result.targets, result.predicted, result.classes)
        row[f"{name}_loss"] = torch.tensor(result.loss)
        row[f"{name}_accuracy"] = torch.tensor(result.accuracy)
        row[f"{name}_cctm"] = confusion_rates(counts, result.targets).float()
    bias = last_bias(model, train.classes)
    if bias is not None:
        row["last_bias"] = bias.detach().float().cpu().clone()
    if labels.permuted.any():
        row["subset_accuracy"] = _subset_accuracies(train, test, labels)
    return row


def _subset_accuracies(train: Outcomes, test: Outcomes, labels: PermutedLabels) -> Tensor:
    permuted = labels.permuted
    hit, true = train.predicted == train.targets, train.predicted == labels.original.cpu()
    parts = (hit[~permuted], hit[permuted], true[permuted], test.predicted == test.targets)
    return torch.stack([part.double().mean() for part in parts])


def last_bias(model: nn.Module, classes: int) -> Tensor | None:
    """Find the bias of the last layer that has one output a class; None where it has no bias."""
    layers = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d) and m.weight.shape[0] == classes]
    return layers[-1].bias if layers else None


def to_dataset(rows: Sequence[Row], classes: Sequence[str], attributes: dict[str, Any]) -> xr.Dataset:
    """Stack epochs into a Dataset over `epoch`; CCTMs have dimensions (epoch, true, predicted)."""
    inner = {"cctm": ("true", "predicted"), "bias": ("class",), "accuracy": ("subset",)}
    variables = {}
    for name in rows[0]:
        values = torch.stack([row[name] for row in rows]).numpy()
        variables[name] = (("epoch", *(inner[name.rsplit("_", 1)[1]] if values.ndim > 1 else ())), values)
    names = list(classes)
    coordinates: dict[str, Any] = {
        "epoch": np.arange(len(rows)),
        "true": names,
        "predicted": names,
        "class": names,
    }
    if "subset_accuracy" in variables:
        coordinates["subset"] = list(SUBSETS)
    return xr.Dataset(variables, coords=coordinates, attrs={"loss_units": "nats", **attributes})
