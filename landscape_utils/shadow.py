"""A module tree that shares the caller's tensors, and can have weights of its own in one vector.

Nothing that is done to it reaches the caller's model: not its mode, nor its gradients, nor its weights.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from landscape_utils import space

ALIGNMENT = 16  # numbers; parameters start at multiples of a cache line


def shadow(model: nn.Module) -> nn.Module:
    """Copy the module tree, in evaluation mode, and none of its tensors."""
    shared: dict[int, Any] = {id(t): t for t in (*model.parameters(), *model.buffers())}
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


def own_statistics(tree: nn.Module) -> list[_BatchNorm]:
    """Give the shadow's BatchNorm layers running statistics of their own, averaged with equal weights."""
    norms = [m for m in tree.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    for module in norms:
        module.momentum = None
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, buffer.clone())
    return norms


@torch.inference_mode()
def probe(model: nn.Module, inputs: Tensor) -> Tensor:
    """Give a model's logits (n, C) for a few inputs, in evaluation mode, without touching it."""
    logits: Tensor = shadow(model)(inputs)
    return logits
