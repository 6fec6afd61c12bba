"""The layers of any network, in the order in which a forward pass meets them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import activation
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.overrides import TorchFunctionMode

from landscape_utils.data.pairs import suited
from landscape_utils.engine.shadow import answers, shadow

WEIGHTED = (nn.Linear, _ConvNd)
NORMALISING = (_BatchNorm, _InstanceNorm, nn.LayerNorm, nn.GroupNorm)
SUMS = (torch.add, Tensor.add, Tensor.add_, Tensor.__add__, Tensor.__radd__, Tensor.__iadd__)
NONLINEAR = tuple(getattr(activation, name) for name in activation.__all__ if name != "MultiheadAttention")


@dataclass(frozen=True)
class Layer:
    """A convolution or linear layer with the normalisation and the nonlinearity that follow it.

    Attributes:
        name: of the convolution or linear layer.
        modules: it, and its normalisation if there is one: they hold the layer's parameters and statistics.
        output: the module that gives the layer's activation: its nonlinearity, or where no nonlinear module follows
            (the last layer, a projection on a skip connection) the last of `modules`.
        call: which call of that module is meant, from 0; some networks call one ReLU several times.
        nonlinear: whether a nonlinearity follows.
        by_example: whether the layer gives one row an example; windows of pictures, say, it sees as so many examples.
    """

    name: str
    modules: tuple[str, ...]
    output: str
    call: int
    nonlinear: bool
    by_example: bool = True

    def entries(self, state: Mapping[str, Tensor]) -> list[str]:
        """List the entries of a state dict that are the layer's: parameters and BatchNorm's statistics."""
        below = tuple(f"{module}." if module else "" for module in self.modules)  # a parametrised weight is made there
        return [key for key in state if key.startswith(below)]


def layers(model: nn.Module, inputs: Tensor) -> list[Layer]:
    """Find a network's layers, by one forward pass in evaluation mode.

    Which normalisation and which nonlinearity belong to a layer is read off the tensors that pass between modules. A
    nonlinearity that is no module (`F.relu`) cannot be seen: such a layer's activation is its own output. The
    nonlinearity behind the sum of a branch and a skip connection belongs to the branch: to the layer that lies deeper;
    a normalisation behind it (a transformer's) is of the sum, and of no layer.

    Args:
        model: any module.
        inputs: what it takes; two examples are enough.

    Returns:
        The layers by first use; a layer that is used again counts once.

    Raises:
        ValueError: the model has no convolution and no linear layer.
    """
    tree, named = shadow(model), dict[str, Layer]()
    owner: dict[int, str] = {}  # the layer whose output a tensor is, until its nonlinearity
    sums: set[int] = set()  # tensors that are one, up to the next nonlinearity
    depth: dict[int, int] = {}  # how many layers lie between the inputs and a tensor
    kept, calls = [], dict.fromkeys(dict(tree.named_modules()), -1)  # tensors are kept so that ids stay their own

    def note_sum(terms: tuple[Any, ...], output: Tensor) -> None:
        kept.append((terms, output))
        sums.add(id(output))
        deepest = max(terms, key=lambda term: (id(term) in owner, depth.get(id(term), 0)))
        depth[id(output)] = max(depth.get(id(term), 0) for term in terms)
        if id(deepest) in owner:
            owner[id(output)] = owner[id(deepest)]

    def note(name: str, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        calls[name] += 1
        kept.append((args, output))
        depth[id(output)] = max((depth.get(id(a), 0) for a in args), default=0) + isinstance(module, WEIGHTED)
        source = owner.get(id(args[0])) if args else None
        if isinstance(module, WEIGHTED):
            owner[id(output)] = name
            rows = len(output) == len(inputs) if isinstance(output, Tensor) and output.ndim else False
            named.setdefault(name, Layer(name, (name,), name, calls[name], False, rows))
        elif source is not None:
            layer = named[source]
            if isinstance(module, NONLINEAR):
                owner.pop(id(args[0]), None)
                if not layer.nonlinear:
                    named[source] = replace(layer, output=name, call=calls[name], nonlinear=True)
            else:
                owner[id(output)] = source
                if id(args[0]) in sums:
                    sums.add(id(output))
                elif isinstance(module, NORMALISING) and not layer.nonlinear and name not in layer.modules:
                    named[source] = replace(layer, modules=(*layer.modules, name), output=name, call=calls[name])

    inputs = inputs[:2]
    watched = [n for n, m in tree.named_modules() if isinstance(m, WEIGHTED) or not list(m.children())]
    with hooked(tree, watched, note), _Sums(note_sum):
        forward(tree, inputs)
    if not named:
        raise ValueError(f"{type(model).__name__} has no convolution and no linear layer; there is nothing to look at")
    return list(named.values())


class _Sums(TorchFunctionMode):
    """Call note(terms, sum) after every addition of tensors."""

    def __init__(self, note: Callable[[tuple[Any, ...], Tensor], None]) -> None:
        super().__init__()
        self.note = note

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        output = func(*args, **named)
        if func in SUMS:
            self.note((*args, *(named[term] for term in ("input", "other") if term in named))[:2], output)
        return output


def main_layers(model: nn.Module, inputs: Tensor) -> list[Layer]:
    """List the layers that a nonlinearity follows, and the last one: projections on skip connections are left out.

    All layers, where no nonlinearity is a module.
    """
    every = layers(model, inputs)
    main = [layer for layer in every if layer.nonlinear or layer is every[-1]]
    return main if len(main) > 1 else every


@contextmanager
def hooked(model: nn.Module, names: Sequence[str], note: Any) -> Iterator[None]:
    """Call note(name, module, args, output) after every call of the named modules."""
    modules = dict(model.named_modules())

    def hook(name: str) -> Any:
        return lambda module, args, output: note(name, module, args, output)

    handles = [modules[name].register_forward_hook(hook(name)) for name in names]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def forward(tree: nn.Module, inputs: Tensor) -> None:
    """Run a forward pass of a copy on inputs that stay as they are, for what its hooks see."""
    with torch.inference_mode():
        answers(tree, suited(inputs, tree).clone())
