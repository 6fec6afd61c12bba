"""The gradient of the cross entropy in two parts: one that depends on the labels, and one that does not.

With outputs N_c(x), their softmax P(c|x) and its normaliser Z, the gradient over a subset S of the training set D is

    g = g_dep + g_ind,   g_dep = -grad <N_y>_S + grad <mean_c N_c>_D,   g_ind = grad <log Z>_S - grad <mean_c N_c>_D

(geometry of memorization, section 4, claim 1, and equation 15). The parts add up without the term over D, too; with it
g_dep vanishes where the labels say nothing, and g_ind where the outputs do not: both are small at the start.

Gradients are those of the layers' weights w^l: of convolutions and linear layers, without biases and without what
BatchNorm learns. They are taken in evaluation mode, with fixed statistics, for in training mode every example's output
depends on the others of its batch, and the gradient is no sum over examples.

Measured on one core, the small VGG of notebook 10 on 3,000 images: 1.0 s for the three gradients of each example, in
batches of 200 (1.4 s in batches of 25), 0.2 s for the statistics. Folding BatchNorm into convolutions would save 5 %.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from landscape_utils.data.pairs import Pairs, resident
from landscape_utils.engine import layers
from landscape_utils.engine.derivatives import differentiable, differentiating, gradients
from landscape_utils.engine.engine import BnHandling
from landscape_utils.engine.inference import check_logits
from landscape_utils.engine.shadow import averaging_statistics, update_statistics
from landscape_utils.kit.errors import unknown

BATCH = {"cuda": 1000, "mps": 500}
CPU_BATCH = 200

Subsets = Mapping[str, Tensor]
Term = Callable[[Tensor, Tensor], Tensor]


def label_term(logits: Tensor, targets: Tensor) -> Tensor:
    """Add up each example's output for its label, N_y."""
    return logits.gather(1, targets[:, None]).sum()


def partition_term(logits: Tensor, targets: Tensor) -> Tensor:
    """Add up log Z, the logarithm of the softmax's normaliser."""
    return logits.logsumexp(1).sum()


def mean_term(logits: Tensor, targets: Tensor) -> Tensor:
    """Add up the mean of the outputs over the classes."""
    return logits.mean(1).sum()


@dataclass(frozen=True, eq=False)
class GradientParts:
    """The two parts of the gradient, over each subset.

    Attributes:
        weights: how many weights each layer has; vectors hold the layers in this order.
        examples: how many examples each subset has.
        dependent, independent: by subset, shape (subsets, weights), float64 on the CPU.
    """

    weights: Mapping[str, int]
    examples: Mapping[str, int]
    dependent: Tensor
    independent: Tensor

    def parts(self) -> dict[str, Tensor]:
        """Return the gradient and its two parts, by name."""
        total = self.dependent + self.independent
        return {"total": total, "dependent": self.dependent, "independent": self.independent}


def gradient_split(
    model: nn.Module,
    data: Pairs,
    subsets: Subsets | None = None,
    *,
    names: Sequence[str] | None = None,
    bn: BnHandling = "update",
) -> xr.Dataset:
    """Measure the label-dependent and the label-independent gradient of each layer, over subsets of the training set.

    Args:
        model: classifier; it is left as it was.
        data: the training set D, inputs (N, ...) and targets (N,), or a DataLoader, which is gone through once.
        subsets: examples by the subset's name, as a mask (N,) or as indices; by default one subset of `all`.
        names: convolutions and linear layers; by default `layers.main_layers`, which leaves out projections on skip
            connections.
        bn: `update` takes BatchNorm's statistics over D, for those of a fresh network say nothing; `keep` the model's.

    Returns:
        Dataset over (layer, subset) of l2 norms, in nats per unit of weight: `total`, `dependent`, `independent`;
        coordinates `weights` of each layer, and `examples` of each subset.

    Raises:
        ValueError: a subset without examples or beyond the data, an unknown layer, a BatchNorm layer that mixes the
            examples of a batch even in evaluation mode, or unusable data.
    """
    network = WeightGradients(model, data, names, bn=bn)
    gradient = split(network, subsets)
    norms = {name: _norms(vectors, list(gradient.weights.values())) for name, vectors in gradient.parts().items()}
    attributes = {"long_name": "l2 norm of the gradient", "units": "nats per unit of weight"}
    return xr.Dataset(
        {name: (("layer", "subset"), values, attributes) for name, values in norms.items()},
        coords={
            "layer": list(gradient.weights),
            "subset": list(gradient.examples),
            "weights": ("layer", list(gradient.weights.values())),
            "examples": ("subset", list(gradient.examples.values())),
        },
        attrs={"bn": bn, "model": type(model).__name__},
    )


def _norms(vectors: Tensor, sizes: Sequence[int]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.stack([part.norm(dim=1).numpy() for part in vectors.split(list(sizes), dim=1)])


def split(network: WeightGradients, subsets: Subsets | None = None) -> GradientParts:
    """GradientParts the gradient of a prepared network; subsets may overlap, and each example is gone through once.

    Args:
        network: the model on its training set.
        subsets: as for `gradient_split`.
    """
    members = _members(subsets or {"all": torch.arange(network.size)}, network.size)
    # Examples that belong to the same subsets come together: their sums serve all of these.
    patterns, cell = torch.stack(list(members.values())).unique(dim=1, return_inverse=True)
    cells = [(cell == k).nonzero().ravel() for k in range(patterns.shape[1])]
    sums = torch.stack([network.sums((label_term, partition_term, mean_term), rows) for rows in cells])
    examples = {name: int(mask.sum()) for name, mask in members.items()}
    counts = torch.tensor(list(examples.values()), dtype=torch.float64)[:, None]
    label, partition = (patterns.double() @ sums[:, i] / counts for i in (0, 1))
    mean = sums[:, 2].sum(0) / network.size
    return GradientParts(network.weights, examples, mean - label, partition - mean)


def _members(subsets: Subsets, size: int) -> dict[str, Tensor]:
    """Turn masks and indices into masks."""
    members = {}
    for name, given in subsets.items():
        chosen = torch.as_tensor(given).cpu()
        if chosen.dtype == torch.bool:
            if chosen.shape != (size,):
                raise ValueError(f"the mask of {name} has shape {tuple(chosen.shape)}; the data have {size} examples")
            mask = chosen
        else:
            if len(chosen) and not 0 <= int(chosen.min()) <= int(chosen.max()) < size:
                raise ValueError(f"an index of {name} lies outside the {size} examples; give 0 to {size - 1}")
            mask = torch.zeros(size, dtype=torch.bool)
            mask[chosen.long()] = True
        if not mask.any():
            raise ValueError(f"subset {name} has no examples; there is no gradient over it")
        members[name] = mask
    return members


class WeightGradients:
    """A network on its training set, ready for gradients with respect to its layers' weights.

    Attributes:
        tree: the network as it is looked at: a copy in evaluation mode, with its statistics.
        inputs, targets: of the training set, on the model's device.
        size: how many examples there are.
        weights: how many weights each layer has.
    """

    def __init__(
        self, model: nn.Module, data: Pairs, names: Sequence[str] | None = None, *, bn: BnHandling = "update"
    ) -> None:
        """Take the layers' weights, and settle BatchNorm's statistics; see `gradient_split`."""
        if bn not in ("keep", "update"):
            raise unknown("option", bn, ("keep", "update"))
        self.inputs, self.targets = resident(model, data)
        self.size = len(self.targets)
        self.tree = differentiable(model, self.inputs).requires_grad_(False)
        _refuse_mixing(self.tree)
        with torch.inference_mode():
            check_logits(self.tree(self.inputs[:1]), self.targets)
        if bn == "update":
            self._update_norms()
        chosen = _chosen(model, self.inputs, names)
        self._leaves = [self._leaf(name) for name in chosen]
        self.weights = {name: leaf.numel() for name, leaf in zip(chosen, self._leaves, strict=True)}

    @torch.inference_mode()
    def _update_norms(self) -> None:
        norms = averaging_statistics(self.tree)
        if norms:
            # In random order: batches of one class each would be normalised among themselves.
            order = torch.randperm(self.size, generator=torch.Generator().manual_seed(0)).to(self.inputs.device)
            update_statistics(norms, self.size, lambda part: self.tree(self.inputs[order[part]]))

    def _leaf(self, layer: str) -> Tensor:
        named = dict(self.tree.named_parameters())
        name = f"{layer}.weight"
        if name not in named:
            raise ValueError(f"layer {layer} has no weight of its own: it is another's, or computed; leave it out")
        return named[name].requires_grad_()

    @torch.inference_mode(False)
    def sums(self, terms: Sequence[Term], rows: Tensor) -> Tensor:
        """Add up the gradients of terms over examples.

        Args:
            terms: functions of logits (n, C) and targets (n,) that add something up over the examples.
            rows: indices of the examples.

        Returns:
            Shape (terms, weights), float64 on the CPU.
        """
        device = "cpu" if self.inputs.device.type == "mps" else self.inputs.device  # MPS has no float64
        totals = torch.zeros(len(terms), sum(self.weights.values()), dtype=torch.float64, device=device)
        for part in rows.to(self.inputs.device).split(BATCH.get(self.inputs.device.type, CPU_BATCH)):
            with differentiating():
                logits = self.tree(self.inputs[part])
                by_term = [gradients(term(logits, self.targets[part]), self._leaves, keep=True) for term in terms]
            for total, own in zip(totals, by_term, strict=True):
                total += torch.cat([g.reshape(-1) for g in own]).to(total)
        return totals.cpu()


def _chosen(model: nn.Module, inputs: Tensor, names: Sequence[str] | None) -> list[str]:
    if names is None:
        return [layer.name for layer in layers.main_layers(model, inputs)]
    known = [layer.name for layer in layers.layers(model, inputs)]
    for name in names:
        if name not in known:
            raise unknown("layer", name, known)
    return list(names)


def _refuse_mixing(tree: nn.Module) -> None:
    for name, module in tree.named_modules():
        if isinstance(module, _BatchNorm) and module.running_mean is None:
            raise ValueError(
                f"BatchNorm layer {name} keeps no statistics, so that examples mix in every mode; "
                "build it with track_running_stats=True"
            )
