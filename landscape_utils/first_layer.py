"""A network's affine first layer, computed once a direction instead of once a point."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from landscape_utils.shadow import views

BYTES = 1 << 29  # the most that the precomputed outputs may take
BATCH = 500


class FirstLayer(nn.Module):
    """Stands in for a Linear layer whose input the parameters do not move.

    z(lam) = x W0' + b0 + sum_i lam_i (x Wi' + bi), with (Wi, bi) the layer's part of direction i.
    """

    def __init__(self, terms: list[Tensor]) -> None:
        """Take the layer's outputs for all inputs: those of the origin's weights, then of each direction's."""
        super().__init__()
        self._terms = terms
        self.part = slice(0, 0)
        self.coordinates = [0.0] * (len(terms) - 1)

    def forward(self, x: Tensor) -> Tensor:
        """Combine the outputs of the examples in `part` at `coordinates`."""
        origin, *directions = (term[self.part] for term in self._terms)
        total = origin.clone()
        for lam, term in zip(self.coordinates, directions, strict=True):
            total.add_(term, alpha=lam)
        return total

    @classmethod
    def found(cls, tree: nn.Module, model: nn.Module, vectors: list[Tensor], inputs: Tensor) -> FirstLayer | None:
        """Put one in the first layer's place, if that is Linear, alone in its weights, and worth its memory."""
        found = _first_linear(tree, inputs[:2])
        if found is None:
            return None
        name, layer = found
        memory = len(vectors) * len(inputs) * layer.out_features * inputs.element_size()
        if memory > BYTES:
            return None
        places = {p: i for i, (p, _) in enumerate(model.named_parameters())}
        weights = [views(v, model) for v in vectors]
        with torch.inference_mode():
            x = _input_of(tree, layer, inputs)
            biases = [None if layer.bias is None else parts[places[f"{name}.bias"]] for parts in weights]
            terms = [
                F.linear(x, parts[places[f"{name}.weight"]], bias) for parts, bias in zip(weights, biases, strict=True)
            ]
            first = cls(terms)
            return first if _takes_its_place(first, tree, name, inputs[:2]) else None


def _first_linear(tree: nn.Module, inputs: Tensor) -> tuple[str, nn.Linear] | None:
    """Find a Linear layer, run once and alone in its weights, on rows that no parameter has touched."""
    calls: list[tuple[str, nn.Linear, Any]] = []
    own = dict(tree.named_parameters())
    linear = {name: m for name, m in tree.named_modules() if type(m) is nn.Linear}
    linear = {name: m for name, m in linear.items() if name and f"{name}.weight" in own and not _hooks(m)}
    handles = [
        m.register_forward_pre_hook(lambda module, args, name=name: calls.append((name, module, args[0])))
        for name, m in linear.items()
    ]
    try:
        with _needing_gradients(tree), torch.enable_grad():
            tree(inputs)
    finally:
        for handle in handles:
            handle.remove()
    if not calls or len(list(tree.named_parameters(remove_duplicate=False))) > len(list(tree.parameters())):
        return None  # nothing to find, or tied weights
    name, layer, x = calls[0]
    once = [called for called, _, _ in calls].count(name) == 1
    return (name, layer) if once and x.shape == (len(inputs), layer.in_features) and not x.requires_grad else None


def _hooks(module: nn.Module) -> bool:
    """Tell whether the user hangs on to what goes through a module."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _takes_its_place(first: FirstLayer, tree: nn.Module, name: str, inputs: Tensor) -> bool:
    """Put a layer's stand-in into the tree, unless the network then answers otherwise or asks for its weights."""
    layer, expected = tree.get_submodule(name), tree(inputs)
    tree.set_submodule(name, first)
    first.part = slice(0, len(inputs))
    scale = float(expected.abs().max())
    try:
        same = torch.allclose(tree(inputs), expected, rtol=1e-4, atol=1e-4 * scale, equal_nan=True)
    except AttributeError:
        same = False
    if not same:
        tree.set_submodule(name, layer)
    return same


@contextmanager
def _needing_gradients(tree: nn.Module) -> Iterator[None]:
    for p in tree.parameters():
        p.requires_grad_(True)
    try:
        yield
    finally:
        for p in tree.parameters():
            p.requires_grad_(False)


def _input_of(tree: nn.Module, layer: nn.Linear, inputs: Tensor) -> Tensor:
    """Catch what a layer is given for all inputs."""
    caught: list[Tensor] = []
    handle = layer.register_forward_pre_hook(lambda module, args: caught.append(args[0]))
    try:
        for part in inputs.split(BATCH):
            tree(part)
    finally:
        handle.remove()
    return torch.cat(caught)
