"""Paths from one state of a network to another: which parameters move, and how each one depends on alpha."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from landscape_utils.data.pairs import device_of, suited
from landscape_utils.engine import space
from landscape_utils.engine.shadow import answers, renamed, shadow
from landscape_utils.engine.space import StateDict
from landscape_utils.kit.errors import unknown

Scheme = Literal["linear", "homogeneous", "weights", "biases"]
SCHEMES = ("linear", "homogeneous", "weights", "biases")


@dataclass(frozen=True, eq=False)
class Path:
    """The curve theta(alpha) = origin + sum_e alpha^e directions[e].

    Attributes:
        model: a copy with the end's buffers; its parameters are not looked at. Buffers that differ between the two
            ends, and are not statistics of a normalisation, are parameters of it: they move, too.
        origin: where alpha is 0, shape (P,).
        directions: by exponent, each of shape (P,).
    """

    model: nn.Module
    origin: Tensor
    directions: Mapping[int, Tensor]

    def at(self, alpha: float) -> Tensor:
        """Return the weights at a point, shape (P,)."""
        moved = self.origin.clone()
        for exponent, direction in self.directions.items():
            if alpha:  # nothing of an end that is not finite, where the way begins
                moved.add_(direction, alpha=alpha**exponent)
        return moved


def path(
    model: nn.Module,
    start: StateDict,
    end: StateDict,
    inputs: Tensor,
    *,
    scheme: Scheme = "linear",
    layers: Sequence[str] | None = None,
    rest: Literal["start", "end"] = "start",
) -> Path:
    """Lay a path from one state dict to another.

    `linear` moves every parameter as alpha does. `homogeneous` moves the bias of layer l as alpha^l, the weights as
    alpha: b_l(alpha) = b_l0 + alpha^l (b_l* - b_l0), so that from a zero start each term of an r-layer ReLU network
    scales like alpha^r (bias plateau, section 5). `weights` and `biases` move only these.

    Args:
        model: of the states' architecture; it is only read. For `homogeneous`, its layers follow one another.
        start, end: state dicts.
        inputs: one at least, to see in which order the layers are gone through.
        scheme: how the parameters move.
        layers: modules whose parameters move, by name (`features.0`, or `features` for all in it); None for all.
        rest: where the parameters stay that do not move.

    Raises:
        ValueError: an unknown scheme, layer or rest, a state dict of another architecture, or whole numbers in
            buffers that differ between the ends.
    """
    if scheme not in SCHEMES:
        raise unknown("scheme", scheme, SCHEMES)
    if rest not in ("start", "end"):
        raise unknown("rest", rest, ("start", "end"))
    for state in (start, end):
        space.flatten_state(state, model)  # refuses those of another architecture
    own, start, end = shadow(model), renamed(start, model), renamed(end, model)
    own.load_state_dict(dict(end))
    _free_buffers(own, start, end)
    begin, finish = (space.flatten_state(state, own).to(device_of(own)) for state in (start, end))
    exponents = _exponents(own, inputs[:1], scheme, _chosen(own, layers))
    origin = finish.clone() if rest == "end" else begin.clone()
    difference, directions = finish - begin, dict[int, Tensor]()
    for exponent in sorted(set(exponents) - {0}):
        here = _mask(own, [e == exponent for e in exponents])
        origin = torch.where(here, begin, origin)
        directions[exponent] = torch.where(here, difference, 0.0)
    return Path(own, origin, directions)


def layer_depths(model: nn.Module, inputs: Tensor) -> dict[str, int]:
    """Count, for every parameter, the linear layers and convolutions up to its own, in the order of a forward pass.

    Args:
        model: of layers that are gone through one after the other; it is only read.
        inputs: one at least.

    Returns:
        The depth by the parameter's name, 1 for those of the first layer; modules that are not called are left out.
    """
    tree, depths, count = shadow(model), dict[str, int](), 0

    def visit(name: str, module: nn.Module) -> None:
        nonlocal count
        count += isinstance(module, nn.Linear | nn.modules.conv._ConvNd)
        for own, _ in module.named_parameters(recurse=False):
            depths.setdefault(f"{name}.{own}" if name else own, count)

    for name, module in tree.named_modules():
        if next(module.parameters(recurse=False), None) is not None:
            module.register_forward_pre_hook(lambda m, _, name=name: visit(name, m))
    with torch.inference_mode():
        answers(tree, suited(inputs, tree).clone())
    return depths


def _free_buffers(tree: nn.Module, start: StateDict, end: StateDict) -> None:
    """Turn buffers that differ between the ends into parameters, which move from one to the other."""
    for prefix, module in tree.named_modules():
        for name in list(dict(module.named_buffers(recurse=False))):
            key, counter = f"{prefix}.{name}" if prefix else name, name == "num_batches_tracked"
            if counter or isinstance(module, _BatchNorm) or key not in start or torch.equal(start[key], end[key]):
                continue
            if not end[key].is_floating_point():
                raise ValueError(f"buffer {key} differs between the ends and is {end[key].dtype}; give both the same")
            buffer = module._buffers.pop(name)
            assert buffer is not None
            module.register_parameter(name, nn.Parameter(buffer, requires_grad=False))


def _chosen(model: nn.Module, layers: Sequence[str] | None) -> set[str]:
    """List the parameters inside the named modules."""
    modules = dict(model.named_modules())
    for layer in layers or ():
        if layer not in modules:
            raise unknown("layer", layer, modules)
    names = {name for name, _ in model.named_parameters()}
    if layers is None:
        return names
    chosen = {name for name in names if any(name.startswith(f"{layer}.") for layer in layers)}
    if not chosen:
        raise ValueError(f"the layers {list(layers)} have no parameters; name one that has, or give None for all")
    return chosen


def _exponents(model: nn.Module, inputs: Tensor, scheme: Scheme, chosen: set[str]) -> list[int]:
    """Return the power of alpha with which each parameter moves; 0 for one that stays."""
    depths = layer_depths(model, inputs) if scheme == "homogeneous" else {}
    exponents = []
    for name, _ in model.named_parameters():
        bias = name.rpartition(".")[2] == "bias"
        moves = name in chosen and {"weights": not bias, "biases": bias}.get(scheme, True)
        exponents.append((depths.get(name, 1) if bias else 1) if moves else 0)
    return exponents


def _mask(model: nn.Module, chosen: Sequence[bool]) -> Tensor:
    parts = [
        torch.full_like(p, w, dtype=torch.bool).reshape(-1) for p, w in zip(model.parameters(), chosen, strict=True)
    ]
    return torch.cat(parts)
