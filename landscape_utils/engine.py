"""One model, prepared to be evaluated at many points of weight space without touching the caller's own.

What makes it fast: the data stay on the device; a module tree of its own shares every tensor with the caller's
except one vector of weights, which moves from point to point in two additions; convolutions run channels-last;
the batch size is the one measured to be best; and what an MLP does before its first nonlinearity is affine in the
coordinates, so it is computed once a direction instead of once a point.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from landscape_utils import space, store
from landscape_utils.inference import Pairs, check_logits, device_of

Statistics = Literal["keep", "update"]
Precision = Literal["float32", "bf16"]

ALIGNMENT = 16  # numbers; parameters start at multiples of a cache line
NORM_BATCH = 200  # examples whose mean and variance one BatchNorm update sees
FIRST_LAYER_BYTES = 1 << 29  # the most that precomputed first layers may take
CANDIDATES = {"cpu": (25, 50, 100, 200, 500), "cuda": (500, 1000, 2000, 5000), "mps": (250, 500, 1000)}
TRIAL_EXAMPLES, TRIAL_SECONDS = 500, 2.0


class Sums(NamedTuple):
    """One point's totals by class, float64, shape (C,): cross entropies in nats, and right predictions.

    Where a logit is NaN nothing was predicted, and both are NaN.
    """

    loss: Tensor
    right: Tensor


class Engine:
    """A model and data on a device, evaluated at `origin + sum_i lam_i directions[i]`."""

    def __init__(
        self,
        model: nn.Module,
        inputs: Tensor,
        targets: Tensor,
        *,
        origin: Tensor,
        directions: Sequence[Tensor],
        bn: Statistics = "keep",
        precision: Precision = "float32",
    ) -> None:
        """Prepare everything that the points share.

        Args:
            model: classifier; it is only read.
            inputs, targets: as `resident` gives them.
            origin, directions: vectors of shape (P,).
            bn: keep BatchNorm's running statistics, or estimate them anew at each point in one pass over the data.
            precision: float32 (the model's own type), or bf16 for bfloat16 autocast.

        Raises:
            ValueError: as `check_logits` and `space.split` do.
        """
        self.device = device_of(model)
        self._half = precision == "bf16"
        self._model = _shadow(model)
        self._vectors = [_pack(v.to(self.device), model) for v in (origin, *directions)]
        self._weights = self._vectors[0].clone()
        _install(self._model, model, self._weights)
        self._norms = _own_statistics(self._model) if bn == "update" else []
        if self._norms:  # batches of one class each would be normalised among themselves
            order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(0)).to(inputs.device)
            inputs, targets = inputs[order], targets[order]
        self._targets = targets
        if any(isinstance(m, nn.Conv2d) for m in self._model.modules()) and inputs.ndim == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        self._inputs = inputs
        self._first = None
        with torch.inference_mode():
            logits = self._forward(slice(0, 2))
            check_logits(logits, targets)
            self.classes = logits.shape[1]
            self.counts = torch.bincount(targets, minlength=self.classes).cpu()
            self._logits = torch.empty(len(targets), self.classes, dtype=logits.dtype, device=self.device)
        if not self._norms:
            self._first = _FirstLayer.found(self._model, model, self._vectors, inputs)
        self.batch = self._measured_batch(model)

    @torch.inference_mode()
    def at(self, coordinates: Sequence[float]) -> Sums:
        """Evaluate the model at a point: one pass over the data, and one before it to update BatchNorm."""
        self._place(coordinates)
        if self._norms:
            self._update_norms()
        for part in _slices(len(self._targets), self.batch):
            self._logits[part] = self._forward(part)
        losses = F.cross_entropy(self._logits.float() if self._half else self._logits, self._targets, reduction="none")
        right = (self._logits.argmax(1) == self._targets).double().masked_fill_(losses.isnan(), torch.nan)
        loss_sums = torch.bincount(self._targets, losses.double(), self.classes)
        return Sums(loss_sums.cpu(), torch.bincount(self._targets, right, self.classes).cpu())

    def _place(self, coordinates: Sequence[float]) -> None:
        """Move the weights to a point."""
        origin, *directions = self._vectors
        self._weights.copy_(origin)
        for lam, direction in zip(coordinates, directions, strict=True):
            self._weights.add_(direction, alpha=lam)
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

    def _update_norms(self) -> None:
        """Average the batches' means and variances over one pass, as `torch.optim.swa_utils.update_bn` does."""
        for module in self._norms:
            module.reset_running_stats()
            module.train()
        for part in _slices(len(self._targets), NORM_BATCH):
            self._forward(part)
        for module in self._norms:
            module.eval()

    def _measured_batch(self, model: nn.Module) -> int:
        """Look up the best batch size for this model on this device, or measure it once."""
        device = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type
        key = {
            "shapes": [list(p.shape) for p in model.parameters()],
            "input": list(self._inputs.shape[1:]),
            "dtype": str(self._weights.dtype),
            "half": self._half,
            "first_layer": self._first is not None,
            "device": device,
            "threads": torch.get_num_threads(),
            "torch": str(torch.__version__),
        }
        which = store.shelf("batch-sizes", store.digest(key))
        known = which.get_json("batch")
        if known is None:
            known = {"batch": best_batch(self._timed, CANDIDATES.get(self.device.type, CANDIDATES["cpu"]))}
            which.put_json("batch", known)
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


def best_batch(timed: Callable[[int], float], sizes: Sequence[int], *, budget: float = TRIAL_SECONDS) -> int:
    """Choose the batch size of least time an example, each tried three times while the budget in seconds lasts."""
    begun, best = time.perf_counter(), {}
    timed(sizes[0])  # the first pass warms up
    for size in sizes:
        best[size] = min(timed(size) for _ in range(3 if time.perf_counter() - begun < budget / 2 else 1))
        if time.perf_counter() - begun > budget:
            break
    return min(best, key=lambda size: best[size])


def resident(model: nn.Module, data: Pairs) -> tuple[Tensor, Tensor]:
    """Put all data on the model's device in its floating type; a DataLoader is gone through once.

    Raises:
        ValueError: there is no example, or not one target an input.
    """
    if isinstance(data, DataLoader):
        parts = [(x, y) for x, y in data]
        inputs, targets = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    else:
        inputs, targets = data
    if not len(targets) or len(inputs) != len(targets):
        raise ValueError(f"{len(inputs)} inputs and {len(targets)} targets; give one target an input, and at least one")
    parameter = next(model.parameters(), None)
    if parameter is None:
        raise ValueError("the model has no parameters, so there is nothing to move")
    dtype = parameter.dtype if inputs.is_floating_point() else inputs.dtype
    return inputs.to(parameter.device, dtype), targets.to(parameter.device).long()


# --- a module tree that shares the caller's tensors ------------------------------------------------------------


def _shadow(model: nn.Module) -> nn.Module:
    """Copy the module tree, in evaluation mode, and none of its tensors."""
    shared: dict[int, Any] = {id(t): t for t in (*model.parameters(), *model.buffers())}
    return copy.deepcopy(model, shared).eval()


def _offsets(model: nn.Module) -> list[int]:
    offsets = [0]
    for p in model.parameters():
        offsets.append(-(-(offsets[-1] + p.numel()) // ALIGNMENT) * ALIGNMENT)
    return offsets


def _views(vector: Tensor, model: nn.Module) -> list[Tensor]:
    """View a packed vector as the parameters; convolutions' weights are channels-last."""
    views = []
    for p, offset in zip(model.parameters(), _offsets(model), strict=False):
        part = vector[offset : offset + p.numel()]
        if p.ndim == 4:
            o, i, h, w = p.shape
            views.append(part.view(o, h, w, i).permute(0, 3, 1, 2))
        else:
            views.append(part.view(p.shape))
    return views


def _pack(vector: Tensor, model: nn.Module) -> Tensor:
    """Copy a direction (P,) into the order in which the engine keeps weights."""
    parts = space.split(vector, model)
    parameter = next(model.parameters())
    packed = torch.zeros(_offsets(model)[-1], dtype=parameter.dtype, device=parameter.device)
    for view, part in zip(_views(packed, model), parts, strict=True):
        view.copy_(part)
    return packed


def _install(shadow: nn.Module, model: nn.Module, weights: Tensor) -> None:
    """Let the shadow's parameters be views of one vector; tied ones stay tied."""
    own = {
        id(p): nn.Parameter(view, requires_grad=False)
        for p, view in zip(model.parameters(), _views(weights, model), strict=True)
    }
    for module in shadow.modules():
        for name, p in module.named_parameters(recurse=False, remove_duplicate=False):
            setattr(module, name, own[id(p)])


def _own_statistics(shadow: nn.Module) -> list[_BatchNorm]:
    """Give the shadow's BatchNorm layers running statistics of their own, averaged with equal weights."""
    norms = [m for m in shadow.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    for module in norms:
        module.momentum = None
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, buffer.clone())
    return norms


def _slices(size: int, batch: int) -> Iterator[slice]:
    for start in range(0, size, batch):
        yield slice(start, min(start + batch, size))


# --- the first layer, once a direction -------------------------------------------------------------------------


class _FirstLayer(nn.Module):
    """Stands in for a Linear layer whose input the parameters do not move.

    z(lam) = x W0' + b0 + sum_i lam_i (x Wi' + bi), with (Wi, bi) the layer's part of direction i.
    """

    def __init__(self, terms: list[Tensor]) -> None:
        super().__init__()
        self._terms = terms
        self.part = slice(0, 0)
        self.coordinates = [0.0] * (len(terms) - 1)

    def forward(self, x: Tensor) -> Tensor:
        origin, *directions = (term[self.part] for term in self._terms)
        total = origin
        for lam, term in zip(self.coordinates, directions, strict=True):
            total = torch.add(total, term, alpha=lam)
        return total if directions else total.clone()

    @classmethod
    def found(cls, shadow: nn.Module, model: nn.Module, vectors: list[Tensor], inputs: Tensor) -> _FirstLayer | None:
        """Put one in the first layer's place, if that is Linear, alone in its weights, and worth its memory."""
        found = _first_linear(shadow, inputs[:2])
        if found is None:
            return None
        name, layer = found
        memory = len(vectors) * len(inputs) * layer.out_features * inputs.element_size()
        if memory > FIRST_LAYER_BYTES:
            return None
        places = {p: i for i, (p, _) in enumerate(model.named_parameters())}
        weights = [_views(v, model) for v in vectors]
        with torch.inference_mode():
            x = _input_of(shadow, layer, inputs)
            biases = [None if layer.bias is None else parts[places[f"{name}.bias"]] for parts in weights]
            terms = [
                F.linear(x, parts[places[f"{name}.weight"]], bias) for parts, bias in zip(weights, biases, strict=True)
            ]
        first = cls(terms)
        shadow.set_submodule(name, first)
        return first


def _first_linear(shadow: nn.Module, inputs: Tensor) -> tuple[str, nn.Linear] | None:
    """Find a Linear layer, run once and alone in its weights, on rows that no parameter has touched."""
    calls: list[tuple[str, nn.Linear, Any]] = []
    linear = {name: m for name, m in shadow.named_modules() if name and type(m) is nn.Linear}
    handles = [
        m.register_forward_pre_hook(lambda module, args, name=name: calls.append((name, module, args[0])))
        for name, m in linear.items()
    ]
    try:
        with _needing_gradients(shadow), torch.enable_grad():
            shadow(inputs)
    finally:
        for handle in handles:
            handle.remove()
    if not calls or len(list(shadow.named_parameters(remove_duplicate=False))) > len(list(shadow.parameters())):
        return None  # nothing to find, or tied weights
    name, layer, x = calls[0]
    once = [called for called, _, _ in calls].count(name) == 1
    return (name, layer) if once and x.shape == (len(inputs), layer.in_features) and not x.requires_grad else None


@contextmanager
def _needing_gradients(shadow: nn.Module) -> Iterator[None]:
    for p in shadow.parameters():
        p.requires_grad_(True)
    try:
        yield
    finally:
        for p in shadow.parameters():
            p.requires_grad_(False)


def _input_of(shadow: nn.Module, layer: nn.Linear, inputs: Tensor) -> Tensor:
    """Catch what a layer is given for all inputs."""
    caught: list[Tensor] = []
    handle = layer.register_forward_pre_hook(lambda module, args: caught.append(args[0]))
    try:
        for part in _slices(len(inputs), TRIAL_EXAMPLES):
            shadow(inputs[part])
    finally:
        handle.remove()
    return torch.cat(caught)


@torch.inference_mode()
def probe(model: nn.Module, inputs: Tensor) -> Tensor:
    """Give a model's logits (n, C) for a few inputs, in evaluation mode, without touching it."""
    logits: Tensor = _shadow(model)(inputs)
    return logits
