"""A network's affine first layer, computed once a direction instead of once a point."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from landscape_utils.engine.shadow import TRIED, agree, views

BYTES = 1 << 29  # the most that the precomputed outputs may take
BATCH = 5000
NUDGE = 0.05  # share of the weights' norm by which the layer is tried away from the origin


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
        # A term that is not finite leaves no trace where its coordinate is zero.
        moves = [(lam, term) for lam, term in zip(self.coordinates, directions, strict=True) if lam != 0]
        total = torch.add(origin, moves[0][1], alpha=moves[0][0]) if moves else origin.clone()
        for lam, term in moves[1:]:
            total.add_(term, alpha=lam)
        return total

    @classmethod
    def of(cls, tree: nn.Module, weights: Tensor, vectors: list[Tensor], inputs: Tensor) -> FirstLayer | None:
        """Build one in the first layer's place, if that is Linear, alone in its weights, and worth its memory."""
        linear = _first_linear(tree, inputs[:TRIED])
        if linear is None:
            return None
        name, layer = linear
        memory = len(vectors) * len(inputs) * layer.out_features * inputs.element_size()
        if memory > BYTES:
            return None
        places = {p: i for i, (p, _) in enumerate(tree.named_parameters())}
        parts_of = [views(v, tree) for v in vectors]
        with torch.inference_mode():
            x = _input_of(tree, layer, inputs)
            biases = [None if layer.bias is None else parts[places[f"{name}.bias"]] for parts in parts_of]
            terms = [
                F.linear(x, parts[places[f"{name}.weight"]], bias) for parts, bias in zip(parts_of, biases, strict=True)
            ]
            first = cls(terms)
            with _moved(first, weights, vectors):
                return first if _takes_its_place(first, tree, name, inputs[:TRIED]) else None


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
    except RuntimeError:  # a forward that writes into what it moves by
        return None
    finally:
        for handle in handles:
            handle.remove()
    if not calls or len(list(tree.named_parameters(remove_duplicate=False))) > len(list(tree.parameters())):
        return None  # nothing to find, or tied weights
    name, layer, x = calls[0]
    once = [called for called, _, _ in calls].count(name) == 1
    return (name, layer) if once and x.shape == (len(inputs), layer.in_features) and not x.requires_grad else None


def _hooks(module: nn.Module) -> bool:
    """Check whether the user hangs on to what goes through a module."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _takes_its_place(first: FirstLayer, tree: nn.Module, name: str, inputs: Tensor) -> bool:
    """Install a layer's stand-in in the tree, unless the network then answers otherwise or asks for its weights."""
    layer, expected = tree.get_submodule(name), tree(inputs)
    tree.set_submodule(name, first)
    first.part = slice(0, len(inputs))
    try:
        same = agree(tree(inputs), expected)
    except Exception:  # such as a forward that asks for the layer's weights
        same = False
    if not same:
        tree.set_submodule(name, layer)
    return same


@contextmanager
def _moved(first: FirstLayer, weights: Tensor, vectors: list[Tensor]) -> Iterator[None]:
    """Walk a little along every direction that is finite: there, a layer whose input moves too gives itself away."""
    origin, *directions = vectors
    steps = [float(NUDGE * origin.norm() / d.norm()) if 0 < float(d.norm()) < torch.inf else 0.0 for d in directions]
    first.coordinates = steps
    for step, direction in zip(steps, directions, strict=True):
        if step:
            weights.add_(direction, alpha=step)
    try:
        yield
    finally:
        weights.copy_(origin)


@contextmanager
def _needing_gradients(tree: nn.Module) -> Iterator[None]:
    for p in tree.parameters():
        p.requires_grad_(True)
    try:
        yield
    finally:
        for p in tree.parameters():
            p.requires_grad_(False)


class _Caught(Exception):
    """A layer's input was seen: nothing after it need be computed."""


def _input_of(tree: nn.Module, layer: nn.Linear, inputs: Tensor) -> Tensor:
    """Catch what a layer is given for all inputs."""
    caught: list[Tensor] = []

    def catch(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        caught.append(args[0])
        raise _Caught

    handle = layer.register_forward_pre_hook(catch)
    try:
        for part in inputs.split(BATCH):
            with suppress(_Caught):
                tree(part)
    finally:
        handle.remove()
    return caught[0] if len(caught) == 1 else torch.cat(caught)
