"""What every gradient needs: a network of one's own whose parameters autograd reaches, and the settings around it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Literal
from unittest import mock

import torch
import torch.utils.checkpoint
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm

from landscape_utils.engine import space
from landscape_utils.engine.shadow import PROBED, answers, classifier
from landscape_utils.kit.errors import unknown

BatchNormStatistics = Literal["keep", "batch"]
NUDGE = 0.1  # share of a parameter's size by which it is moved to see whether the logits depend on it


@contextmanager
def differentiating(*, twice: bool = False) -> Iterator[None]:
    """Take gradients even where the caller takes none.

    Args:
        twice: second derivatives are wanted, which of attention only the plain kernel has.
    """
    kernel = sdpa_kernel(SDPBackend.MATH) if twice else nullcontext()
    plain = mock.patch.object(torch.utils.checkpoint, "CheckpointFunction", _Plain)
    with torch.inference_mode(False), torch.enable_grad(), plain, kernel:
        yield


class _Plain:
    """Stands in for a reentrant checkpoint, which autograd cannot ask for the gradient of a parameter."""

    @staticmethod
    def apply(function: Any, preserve: bool, *args: Any) -> Any:
        """Run the function as if it were not checkpointed."""
        return function(*args)


def differentiable(model: nn.Module, inputs: Tensor) -> nn.Module:
    """Copy a classifier, in evaluation mode, with parameters that require gradients.

    Raises:
        ValueError: a parameter moves the logits, but autograd does not reach it: its gradient would be missing, and
            taken for zero; or as `shadow.classifier` does.
    """
    space.check_parameters(model)
    tree, some = classifier(model), inputs[:PROBED]
    own = dict(tree.named_parameters())
    with differentiating():
        logits = answers(tree.requires_grad_(), some)
        derivatives: Sequence[Tensor | None] = torch.autograd.grad(
            logits.square().sum(), list(own.values()), allow_unused=True
        )
    for name, gradient in zip(own, derivatives, strict=True):
        if gradient is None and _moves(tree, name, own[name], some):
            raise ValueError(
                f"the logits depend on {name}, but its gradient is cut off (no_grad, detach, or a step without one); "
                "let gradients through in forward"
            )
    return tree


def normalise_by(tree: nn.Module, bn: BatchNormStatistics) -> bool:
    """Let a network's BatchNorm layers keep their running statistics, or take each batch's own as in training.

    Returns:
        Whether a layer takes the batch's.

    Raises:
        ValueError: neither `keep` nor `batch`.
    """
    if bn not in ("keep", "batch"):
        raise unknown("bn", bn, ("keep", "batch"))
    layers = [module for module in tree.modules() if isinstance(module, _BatchNorm)]
    for layer in layers:
        layer.train(bn == "batch")
    return bn == "batch" and bool(layers)


@torch.no_grad()
def _moves(tree: nn.Module, name: str, parameter: Tensor, inputs: Tensor) -> bool:
    """Check whether the logits change with a parameter."""
    noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)).to(parameter)
    moved = parameter + NUDGE * (parameter.square().mean().sqrt() + NUDGE) * noise
    return not torch.equal(functional_call(tree, {name: moved}, (inputs,)), tree(inputs))


def gradients(output: Tensor, own: Sequence[Tensor], *, again: bool = False, keep: bool = False) -> Sequence[Tensor]:
    """Differentiate a number; zeros where nothing depends on a parameter, as `differentiable` has made sure.

    Args:
        output: the number.
        own: by what.
        again: so that the result can be differentiated itself.
        keep: the graph, for another time.

    Raises:
        ValueError: a part of the model has no such derivative.
    """
    if not output.requires_grad:
        return [torch.zeros_like(p) for p in own]
    try:
        return torch.autograd.grad(
            output, own, create_graph=again, retain_graph=keep or again, allow_unused=True, materialize_grads=True
        )
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, NotImplementedError) as error:
        problem = " ".join(str(error).split())[:200]
        raise ValueError(
            f"a part of the model has no such derivative ({problem}); build it without that part"
        ) from error
