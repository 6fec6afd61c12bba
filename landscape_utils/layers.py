"""The layers of any network, in the order in which a forward pass meets them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import activation
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm

from landscape_utils.inference import device_of, evaluating

WEIGHTED = (nn.Linear, _ConvNd)
NORMALISING = (_BatchNorm, _InstanceNorm, nn.LayerNorm, nn.GroupNorm)
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
    """

    name: str
    modules: tuple[str, ...]
    output: str
    call: int
    nonlinear: bool

    def entries(self, state: Mapping[str, Tensor]) -> list[str]:
        """List the entries of a state dict that are the layer's: parameters and BatchNorm's statistics."""
        return [key for key in state if key.rpartition(".")[0] in self.modules]


def layers(model: nn.Module, inputs: Tensor) -> list[Layer]:
    """Find a network's layers, by one forward pass in evaluation mode.

    Which normalisation and which nonlinearity belong to a layer is read off the tensors that pass between modules. A
    nonlinearity that is no module (`F.relu`) cannot be seen: such a layer's activation is its own output.

    Args:
        model: any module.
        inputs: what it takes; one example is enough.

    Returns:
        The layers by first use; a layer that is used again counts once.

    Raises:
        ValueError: the model has no convolution and no linear layer.
    """
    found: dict[str, Layer] = {}
    owner: dict[int, str] = {}  # the layer whose output a tensor is, until its nonlinearity
    kept, calls = [], dict.fromkeys(dict(model.named_modules()), -1)  # tensors are kept so that ids stay their own

    def note(name: str, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        calls[name] += 1
        kept.append((args, output))
        source = owner.get(id(args[0])) if args else None
        if isinstance(module, WEIGHTED):
            owner[id(output)] = name
            found.setdefault(name, Layer(name, (name,), name, calls[name], False))
        elif source is not None:
            layer = found[source]
            if isinstance(module, NONLINEAR):
                owner.pop(id(args[0]), None)
                if not layer.nonlinear:
                    found[source] = Layer(layer.name, layer.modules, name, calls[name], True)
            else:
                owner[id(output)] = source
                if isinstance(module, NORMALISING) and not layer.nonlinear and name not in layer.modules:
                    found[source] = Layer(layer.name, (*layer.modules, name), name, calls[name], False)

    with hooked(model, [n for n, m in model.named_modules() if not list(m.children())], note):
        forward(model, inputs[:1])
    if not found:
        raise ValueError(f"{type(model).__name__} has no convolution and no linear layer; there is nothing to look at")
    return list(found.values())


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


def forward(model: nn.Module, inputs: Tensor) -> None:
    """Run a forward pass where the model is, in evaluation mode, for what its hooks see."""
    with evaluating(model), torch.inference_mode():
        model(inputs.to(device_of(model)))
