"""One model, prepared to be evaluated at many points of weight space without touching the caller's own.

What makes it fast: the data stay on the device; a module tree of its own shares every tensor with the caller's
except one vector of weights, which moves from point to point in two additions; convolutions run channels-last and
take over the BatchNorm that follows them; the batch size is the one measured to be best; and what an MLP does before
its first nonlinearity is affine in the coordinates, so it is computed once a direction instead of once a point.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from landscape_utils.data.pairs import device_of
from landscape_utils.engine.first_layer import FirstLayer
from landscape_utils.engine.folding import Fold, fold
from landscape_utils.engine.inference import check_logits, judged
from landscape_utils.engine.shadow import (
    averaging_statistics,
    classifier,
    fastest_layout,
    few_enough,
    gather,
    install,
    pack,
    update_statistics,
    views,
)
from landscape_utils.kit import store
from landscape_utils.kit.threads import processor

BnHandling = Literal["keep", "update"]
Precision = Literal["float32", "bf16"]

CANDIDATES = {"cpu": (25, 50, 100, 200, 500), "cuda": (500, 1000, 2000, 5000), "mps": (250, 500, 1000)}
CANDIDATES["first layer"] = (500, 1000, 2000)  # what is left of an MLP has small activations
TRIAL_EXAMPLES, TRIAL_SECONDS, TRIAL_SHARE = 500, 2.0, 0.05


class Sums(NamedTuple):
    """One point's totals by class, float64, shape (C,): cross entropies in nats, and right predictions.

    Where a logit is NaN nothing was predicted, and both are NaN.
    """

    loss: Tensor
    right: Tensor


class Engine:
    """A model and data on a device, evaluated at `origin + sum_i lam_i directions[i]`."""

    @torch.inference_mode(False)  # where the first layer is found by what needs gradients
    def __init__(
        self,
        model: nn.Module,
        inputs: Tensor,
        targets: Tensor,
        *,
        origin: Tensor,
        directions: Sequence[Tensor],
        bn: BnHandling = "keep",
        precision: Precision = "float32",
        points: int = 1,
    ) -> None:
        """Prepare everything that the points share.

        Args:
            model: classifier; it is only read.
            inputs, targets: as `pairs.resident` gives them.
            origin, directions: vectors of shape (P,).
            bn: keep BatchNorm's running statistics, or update them at each point: those of all examples, as in
                training, where `few_enough`; else averaged over batches, in one pass more.
            precision: float32 (the model's own type), or bf16 for bfloat16 autocast.
            points: at how many the model will be evaluated: the more, the longer a batch size is looked for.

        Raises:
            ValueError: as `check_logits` and `space.split` do.
        """
        self.device = device_of(model)
        self._adder = "cpu" if self.device.type == "mps" else self.device.type  # MPS has no float64
        self._half = precision == "bf16"
        self._model = classifier(model)
        layout = fastest_layout(self._model, inputs)
        self._vectors = [pack(v.to(self.device), self._model) for v in (origin, *directions)]
        self._weights = self._vectors[0].clone()
        install(self._model, self._weights)
        self._norms = averaging_statistics(self._model) if bn == "update" else []
        if self._norms:  # batches of one class each would be normalised among themselves
            order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(0)).to(inputs.device)
            inputs, targets = inputs[order], targets[order]
        self._targets = targets
        self._inputs = inputs.contiguous(memory_format=layout)
        self._first, self._folds = None, list[Fold]()
        with torch.inference_mode():
            logits = self._forward(slice(0, 2))
            check_logits(logits, targets)
            self.classes = logits.shape[1]
            self._logits = torch.empty(len(targets), self.classes, dtype=logits.dtype, device=self.device)
        if not self._norms:
            self._first = self._first_layer()
            self._folds = fold(self._model, self._weights, self._inputs[:2])
        self._together = bool(self._norms) and few_enough(inputs)
        if self._together:
            for module in self._norms:
                module.train()
        self.batch = len(targets) if self._together else self._measured_batch(model, points)

    def _first_layer(self) -> FirstLayer | None:
        """Compute an affine first layer once; its weights then need not move from point to point."""
        names = [name for name, _ in self._model.named_parameters()]
        parts = [views(vector, self._model) for vector in self._vectors]
        first = FirstLayer.of(self._model, self._weights, self._vectors, self._inputs)
        left = dict(self._model.named_parameters())
        if first is not None and left:
            kept = [[part for name, part in zip(names, every, strict=True) if name in left] for every in parts]
            self._vectors = [gather(every, self._model) for every in kept]
            self._weights = self._vectors[0].clone()
            install(self._model, self._weights)
        return first

    @torch.inference_mode()
    def at(self, coordinates: Sequence[float]) -> Sums:
        """Evaluate the model at a point: one pass over the data, and one before it where BatchNorm needs averages."""
        self._place(coordinates)
        if self._norms and not self._together:
            update_statistics(self._norms, len(self._targets), self._forward)
        for part in _slices(len(self._targets), self.batch):
            self._logits[part] = self._forward(part)
        logits = self._logits.float() if self._half else self._logits
        predicted, losses = judged(logits, self._targets)
        targets, losses, hits = (t.to(self._adder) for t in (self._targets, losses, predicted == self._targets))
        right = hits.double().masked_fill_(losses.isnan(), torch.nan)
        loss_sums = torch.bincount(targets, losses.double(), self.classes)
        return Sums(loss_sums.cpu(), torch.bincount(targets, right, self.classes).cpu())

    def _place(self, coordinates: Sequence[float]) -> None:
        """Move the weights to a point."""
        origin, *directions = self._vectors
        self._weights.copy_(origin)
        for lam, direction in zip(coordinates, directions, strict=True):
            if lam != 0:  # nothing of a direction that is not finite, where it is not walked
                self._weights.add_(direction, alpha=lam)
        for one in self._folds:
            one.refresh()
        if self._first is not None:
            self._first.coordinates = list(coordinates)

    def _forward(self, part: slice) -> Tensor:
        if self._first is not None:
            self._first.part = part
        if not self._half:
            logits: Tensor = self._model(self._inputs[part])
            return logits
        with torch.autocast(self.device.type, torch.bfloat16):
            logits = self._model(self._inputs[part])
        return logits

    def _measured_batch(self, model: nn.Module, points: int) -> int:
        """Look up the best batch size for this model on this machine, or measure it once, if the job is worth it."""
        device = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type
        key = {
            "shapes": [list(p.shape) for p in model.parameters()],
            "input": list(self._inputs.shape[1:]),
            "dtype": str(self._weights.dtype),
            "half": self._half,
            "first_layer": self._first is not None,
            "device": device if self.device.type == "cuda" else f"{device} {processor()}",
            "threads": torch.get_num_threads(),
            "torch": str(torch.__version__),
        }
        shelf = store.shelf("batch-sizes", store.digest(key))
        known = shelf.get_json("batch")
        if known is None:
            kind = self.device.type if self._first is None else "first layer"
            trial = best_batch(self._timed, CANDIDATES.get(kind, CANDIDATES["cpu"]), points * len(self._targets))
            size, whole = trial
            if not whole:
                return size
            known = {"batch": size}
            shelf.put_json("batch", known)
        return int(known["batch"])

    @torch.inference_mode()
    def _timed(self, batch: int) -> float:
        """Time the pass of an example at a batch size, in seconds; infinite where memory does not suffice."""
        examples = min(len(self._targets), max(TRIAL_EXAMPLES, batch))
        begun = time.perf_counter()
        try:
            for part in _slices(examples, batch):
                last = self._forward(part)
            last.sum().item()  # waits for a GPU
        except torch.OutOfMemoryError:
            return torch.inf
        return (time.perf_counter() - begun) / examples


def _slices(size: int, batch: int) -> Iterator[slice]:
    for start in range(0, size, batch):
        yield slice(start, min(start + batch, size))


class Trial(NamedTuple):
    """The batch size of least time, and whether all sizes were tried."""

    size: int
    whole: bool


def best_batch(timed: Callable[[int], float], sizes: Sequence[int], passes: int) -> Trial:
    """Choose the batch size of least time an example; a small job is not worth trying all.

    Args:
        timed: gives the seconds an example at a batch size.
        sizes: from small to large; one in the middle is tried first.
        passes: examples that the job will take through the model: a trial may take a twentieth of their time.
    """
    begun, middle = time.perf_counter(), sizes[len(sizes) // 2]
    timed(middle)  # the first pass warms up
    best = {middle: timed(middle)}
    budget = min(TRIAL_SECONDS, TRIAL_SHARE * passes * best[middle])
    for size in sorted(sizes, key=lambda size: abs(sizes.index(size) - len(sizes) // 2)):
        if time.perf_counter() - begun > budget:
            return Trial(min(best, key=lambda size: best[size]), False)
        again = [timed(size) for _ in range(3 if time.perf_counter() - begun < budget / 2 else 1)]
        best[size] = min(*again, best.get(size, torch.inf))
    return Trial(min(best, key=lambda size: best[size]), True)
