"""The one door for data: whatever holds examples becomes inputs (N, ...), targets (N,) and class names.

What it cannot know it refuses in one sentence: which part of a batch the targets are, targets that are not whole
numbers, complex numbers, two classes of one name.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as Examples

from landscape_utils.data.datasets import Dataset, Labelled
from landscape_utils.kit.errors import distinct

Pairs = Labelled | tuple[Any, Any] | Mapping[str, Any] | DataLoader[Any] | Examples[Any] | Sequence[Any]

TARGETS = ("targets", "target", "labels", "label", "y")  # what the targets of a batch that is a dict are called
BATCH = 125  # examples of a dataset that come together
BATCH_VALUES = 2000 * 3 * 32 * 32  # larger images come in smaller batches
TAKEN = "give (inputs, targets), a Labelled, a torch Dataset, or a DataLoader of pairs"


def resident(model: nn.Module, data: Pairs) -> Labelled:
    """Read all examples once, and put them on the model's device in its floating type.

    Raises:
        ValueError: there is no example, or as `batches` does.
    """
    inputs, targets = zip(*batches(data), strict=True)
    x, y = (parts[0] if len(parts) == 1 else torch.cat(parts) for parts in (inputs, targets))
    if not len(y):
        raise ValueError("the data hold 0 inputs and 0 targets; give one target an input, and at least one")
    return Labelled(suited(x, model), suited(y, model), class_names(data))


def batches(data: Pairs, size: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    """Go through the examples in order, as inputs (n, ...) and targets (n,) of int64.

    Args:
        data: a pair, triple or dict of tensors or arrays; a `Labelled`; a torch `Dataset` of such examples, or a
            `DataLoader` of such batches. Of more than two parts, the second is the targets where it can be nothing
            else; a dict names them.
        size: examples in a batch, at most; a DataLoader keeps its own. By default tensors come in one piece.

    Raises:
        ValueError: what the data are is not clear, they have no batch, or the targets are not whole numbers.
    """
    if isinstance(data, Dataset):
        raise ValueError("the data are a training and a test set; give one of them, e.g. data.test")
    if _is_batch(data):
        inputs, targets = _pair(data)
        step = max(1, len(targets)) if size is None else _fitting(inputs, size)
        yield from zip(inputs.split(step), targets.split(step), strict=True)
        return
    if not isinstance(data, DataLoader):
        if not hasattr(data, "__getitem__") and not isinstance(data, Examples):
            raise ValueError(f"the data are a {type(data).__name__}; {TAKEN}")
        data = DataLoader(data, batch_size=size or BATCH)  # type: ignore[arg-type]
    empty = True
    for batch in data:
        empty = False
        yield _pair(batch)
    if empty:
        raise ValueError("the data hold no batch; a loader with drop_last=True drops a batch that is too small")


def batch_count(data: Pairs, size: int) -> int | None:
    """Count the batches that `batches` gives; None where a stream does not know."""
    parts: Any = data.values() if isinstance(data, Mapping) else data
    try:
        if isinstance(data, DataLoader):
            return len(data)
        first = next(iter(parts)) if _is_batch(data) else parts
        return -(-len(first) // (_fitting(first, size) if _is_batch(data) else size)) or 1
    except TypeError:
        return None


def _fitting(inputs: Tensor, size: int) -> int:
    """Make batches of large images smaller."""
    return max(1, min(size, BATCH_VALUES // (math.prod(inputs.shape[1:]) or 1)))


def class_names(data: Pairs) -> tuple[str, ...] | None:
    """Read the names of the classes off the data, or off the dataset that a loader or subset goes through.

    Raises:
        ValueError: two are alike.
    """
    while not hasattr(data, "classes") and hasattr(data, "dataset"):
        data = data.dataset
    names = getattr(data, "classes", None)
    return distinct(names, "the classes") if isinstance(names, Sequence) and not isinstance(names, str) else None


def suited(tensor: Tensor, model: nn.Module) -> Tensor:
    """Move data to the model's device, and real numbers into its floating type if it has a single one."""
    types = {p.dtype for p in model.parameters() if p.is_floating_point()}
    dtype = types.pop() if len(types) == 1 and tensor.is_floating_point() else tensor.dtype
    moved = tensor.to(device_of(model), dtype, non_blocking=True)
    with torch.inference_mode(False):  # what an inference tensor takes part in cannot be differentiated
        return moved.clone() if moved.is_inference() else moved


def device_of(model: nn.Module) -> torch.device:
    """Find where a model's parameters live; the CPU for a model without any."""
    parameter = next(model.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


# --- one batch -------------------------------------------------------------------------------------------------


def _is_batch(data: object) -> bool:
    """Distinguish one batch of arrays from a collection of examples."""
    if isinstance(data, Labelled):
        return True
    parts = list(data.values()) if isinstance(data, Mapping) else data
    return isinstance(parts, tuple | list) and bool(parts) and isinstance(parts[0], Tensor | np.ndarray)


def _pair(batch: Any) -> tuple[Tensor, Tensor]:
    """Find the inputs and the targets of a batch."""
    inputs, targets = _named(batch) if isinstance(batch, Mapping) else _ordered(batch)
    if not isinstance(inputs, Tensor | np.ndarray):
        raise ValueError(f"the inputs are a {type(inputs).__name__}; they must be one tensor or array (N, ...)")
    x, y = torch.as_tensor(inputs), whole_targets(targets)
    if x.is_complex():
        raise ValueError(
            f"the inputs are {x.dtype}; they must be real numbers, e.g. real and imaginary parts as channels"
        )
    if x.ndim == 0 or len(x) != len(y):
        raise ValueError(f"{len(x) if x.ndim else 1} inputs and {len(y)} targets; give one target an input")
    return x, y


def _named(batch: Mapping[str, Any]) -> tuple[Any, Any]:
    """Take the part of a dict that is called like targets, and the one other that holds examples."""
    targets = [key for key in batch if key in TARGETS]
    others = [key for key in batch if key not in TARGETS]
    inputs = others if len(others) == 1 else [key for key in others if getattr(batch[key], "ndim", 1) > 1]
    if len(targets) != 1 or len(inputs) != 1:
        raise ValueError(
            f"a batch has the parts {', '.join(map(str, batch))}; which are inputs, and which targets, is unclear; "
            f"{TAKEN}"
        )
    return batch[inputs[0]], batch[targets[0]]


def _ordered(batch: Any) -> tuple[Any, Any]:
    """Take the first two parts; what follows must be no second input."""
    parts = list(batch) if isinstance(batch, tuple | list | Labelled) else [batch]
    if len(parts) < 2 or any(getattr(part, "ndim", 2) > 1 for part in parts[2:]):
        raise ValueError(f"a batch has {len(parts)} parts, which are no inputs and targets; {TAKEN}")
    return parts[0], parts[1]


def whole_targets(given: Any) -> Tensor:
    """Read targets as class indices, shape (N,), int64: whole numbers of any type, (N, 1), or one-hot.

    Raises:
        ValueError: they are none of these.
    """
    try:
        targets = torch.as_tensor(given)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"the targets are a {type(given).__name__}; they must be class indices (N,)") from None
    if targets.ndim == 2 and targets.shape[1] == 1:
        targets = targets[:, 0]
    if targets.ndim == 2 and _one_hot(targets):
        targets = targets.int().argmax(1)
    if targets.ndim != 1:
        raise ValueError(f"the targets have shape {tuple(targets.shape)}; they must be class indices (N,), or one-hot")
    if targets.is_complex() or (targets.is_floating_point() and not torch.equal(targets, targets.round())):
        raise ValueError(f"the targets are no whole numbers but {targets.dtype}; a classifier's are class indices (N,)")
    return targets.to(torch.int64)


def _one_hot(targets: Tensor) -> bool:
    return not targets.is_complex() and bool(((targets == 0) | (targets == 1)).all() and (targets.sum(1) == 1).all())
