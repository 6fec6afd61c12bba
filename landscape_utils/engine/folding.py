"""BatchNorm with fixed statistics is affine: the convolution before it can do its work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from landscape_utils.engine.shadow import agree

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)  # and no class made of these, which may do more
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
NUDGE = 0.1  # share of the weights' size by which a fold is tried away from a fresh, trivial BatchNorm


class Fold:
    """One convolution that also does what the BatchNorm after it would do.

    gamma (W * x + b - mean) / sqrt(var + eps) + beta = (s W) * x + s (b - mean) + beta, s = gamma / sqrt(var + eps).
    """

    def __init__(self, conv: Convolution, norm: _BatchNorm) -> None:
        """Make the convolution of a tree that is one's own take over; `refresh` after the weights have moved."""
        self._conv, self._norm = conv, norm
        self.refresh()
        conv.forward = lambda x: conv._conv_forward(x, self._weight, self._bias)  # type: ignore[method-assign,assignment]
        norm.forward = lambda x: x  # type: ignore[method-assign,assignment]

    def refresh(self) -> None:
        """Compute the convolution's weight and bias from the weights as they are."""
        conv, norm = self._conv, self._norm
        mean, variance = norm.running_mean, norm.running_var
        assert mean is not None
        assert variance is not None
        scale = torch.rsqrt(variance + norm.eps)
        if norm.affine:
            scale = scale * norm.weight
        shift = scale * (mean if conv.bias is None else mean - conv.bias)
        self._weight = conv.weight * scale.view(-1, *[1] * (conv.weight.ndim - 1))
        self._bias = -shift if norm.bias is None else norm.bias - shift

    def undo(self) -> None:
        """Restore both modules' own forward."""
        del self._conv.forward, self._norm.forward


@torch.inference_mode()
def fold(tree: nn.Module, weights: Tensor, inputs: Tensor) -> list[Fold]:
    """Fold every BatchNorm that reads nothing but a convolution's output into that convolution.

    Tried on the inputs, at weights a little beside the given ones: where the logits are not the same (the
    convolution's output is read elsewhere too, say), nothing is folded.

    Args:
        tree: a model in evaluation mode that is one's own.
        weights: the vector that its parameters view.
        inputs: a few examples.
    """
    kinds = {type(module) for module in tree.modules()}
    if kinds.isdisjoint(CONVOLUTIONS) or kinds.isdisjoint(NORMS):
        return []
    with _nudged(weights):
        pairs = _adjacent(tree, inputs)
        expected = tree(inputs)
        folds = [Fold(conv, norm) for conv, norm in pairs]
        if folds and not _answers(tree, inputs, expected):
            for one in folds:
                one.undo()
            folds = []
    return folds


def _answers(tree: nn.Module, inputs: Tensor, expected: Tensor) -> bool:
    try:
        return agree(tree(inputs), expected)
    except Exception:  # a forward that looks at more than what a convolution gives
        return False


@contextmanager
def _nudged(weights: Tensor) -> Iterator[None]:
    kept = weights.clone()
    noise = torch.randn(weights.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    try:
        weights.add_(noise.to(weights) * (NUDGE * kept.square().mean().sqrt()))
        yield
    finally:
        weights.copy_(kept)


def _adjacent(tree: nn.Module, inputs: Tensor) -> list[tuple[Convolution, _BatchNorm]]:
    """List convolutions and the BatchNorms that are given their very outputs, each called once."""
    made: dict[int, tuple[Any, Tensor]] = {}  # outputs are held, so that no other tensor takes their id
    taken: list[tuple[Any, Any]] = []
    calls: list[nn.Module] = []

    def note(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        calls.append(module)
        if type(module) in CONVOLUTIONS:
            made[id(output)] = (module, output)
        elif type(module) in NORMS and id(args[0]) in made:  # asked now: a later output may have this id
            taken.append((module, made[id(args[0])][0]))

    plain = [m for m in tree.modules() if type(m) in (*CONVOLUTIONS, *NORMS) and not _watched(m)]
    hooks = [module.register_forward_hook(note) for module in plain]
    try:
        tree(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return [
        (conv, norm)
        for norm, conv in taken
        if norm.running_mean is not None and calls.count(norm) == calls.count(conv) == 1
    ]


def _watched(module: nn.Module) -> bool:
    """Check whether somebody's hooks see the module's calls."""
    return bool(module._forward_hooks or module._forward_pre_hooks)
