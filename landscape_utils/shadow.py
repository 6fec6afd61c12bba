"""A module tree that shares the caller's tensors, and can have weights of its own in one vector.

Nothing that is done to it reaches the caller's model: not its mode, nor its gradients, nor its weights.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from landscape_utils import space

ALIGNMENT = 16  # numbers; parameters start at multiples of a cache line
NORM_BATCH = 200  # examples whose mean and variance one BatchNorm update sees


def shadow(model: nn.Module) -> nn.Module:
    """Copy the module tree, in evaluation mode, with buffers of its own and the caller's parameters."""
    shared: dict[int, Any] = {id(p): p for p in model.parameters()}
    for module in model.modules():  # activations that a module keeps are nobody's to copy; buffers are, for some count
        shared |= {id(t): t for t in vars(module).values() if isinstance(t, Tensor)}
    return copy.deepcopy(model, shared).eval()


def _offsets(model: nn.Module) -> list[int]:
    offsets = [0]
    for p in model.parameters():
        offsets.append(-(-(offsets[-1] + p.numel()) // ALIGNMENT) * ALIGNMENT)
    return offsets


def views(vector: Tensor, model: nn.Module) -> list[Tensor]:
    """View a packed vector as the parameters; convolutions' weights are channels-last."""
    found = []
    for p, offset in zip(model.parameters(), _offsets(model), strict=False):
        part = vector[offset : offset + p.numel()]
        if p.ndim == 4:
            o, i, h, w = p.shape
            found.append(part.view(o, h, w, i).permute(0, 3, 1, 2))
        else:
            found.append(part.view(p.shape))
    return found


def pack(vector: Tensor, model: nn.Module) -> Tensor:
    """Copy a direction (P,) into the order in which the engine keeps weights."""
    parts = space.split(vector, model)
    parameter = next(model.parameters())
    packed = torch.zeros(_offsets(model)[-1], dtype=parameter.dtype, device=parameter.device)
    for view, part in zip(views(packed, model), parts, strict=True):
        view.copy_(part)
    return packed


def install(tree: nn.Module, model: nn.Module, weights: Tensor) -> None:
    """Let the shadow's parameters be views of one vector; tied ones stay tied."""
    own = {
        id(p): nn.Parameter(view, requires_grad=False)
        for p, view in zip(model.parameters(), views(weights, model), strict=True)
    }
    for module in tree.modules():
        for name, p in module.named_parameters(recurse=False, remove_duplicate=False):
            setattr(module, name, own[id(p)])


def averaging_statistics(tree: nn.Module) -> list[_BatchNorm]:
    """Let the BatchNorm layers of a tree average their statistics with equal weights, and list them."""
    norms = [m for m in tree.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    for module in norms:
        module.momentum = None
    return norms


def update_statistics(norms: Sequence[_BatchNorm], examples: int, forward: Callable[[slice], object]) -> None:
    """Average the batches' means and variances over one pass, as `torch.optim.swa_utils.update_bn` does.

    Args:
        norms: as `averaging_statistics` gives them.
        examples: how many there are.
        forward: runs the tree on some of them.
    """
    for module in norms:
        module.reset_running_stats()
        module.train()
    for part in torch.arange(examples).tensor_split(-(-examples // NORM_BATCH)):
        forward(slice(int(part[0]), int(part[-1]) + 1))  # batches of one size: none of a single example
    for module in norms:
        module.eval()


@torch.inference_mode()
def probe(model: nn.Module, inputs: Tensor, weights: Tensor) -> Tensor:
    """Give a model's logits (n, C) for a few inputs at other weights (P,), in evaluation mode, without touching it."""
    names = [name for name, _ in model.named_parameters()]
    moved = dict(zip(names, space.split(weights, model), strict=True))
    logits: Tensor = functional_call(shadow(model), moved, (inputs,))
    return logits
