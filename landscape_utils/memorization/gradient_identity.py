"""The split of the gradient by other ways: from the loss in one piece, and for the last layer in closed form."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from landscape_utils.engine.layers import hooked
from landscape_utils.memorization.gradients import Subsets, WeightGradients, split


def deviations(network: WeightGradients, subsets: Subsets) -> dict[str, float]:
    """Compare a split with the gradient itself, and with what is known without differentiating.

    Args:
        network: a prepared network.
        subsets: masks (N,) by name.

    Returns:
        Relative differences, the largest over subsets and layers: `sum` of the two parts from the gradient of the
        mean cross entropy, and the last layer's parts from their `closed_form`, NaN where it has none.
    """
    gradient, sizes = split(network, subsets), list(network.weights.values())
    sums, last = [], []
    for i, subset in enumerate(subsets.values()):
        total = gradient.parts()["total"][i].split(sizes)
        sums += [_difference(*pair) for pair in zip(total, loss_gradient(network, subset), strict=True)]
        known = closed_form(network, subset)
        if known is not None:
            mine = [part[i].split(sizes)[-1] for part in (gradient.dependent, gradient.independent)]
            last += [_difference(*pair) for pair in zip(mine, known, strict=True)]
    return {"sum": max(sums), "closed_form": max(last, default=float("nan"))}


def _difference(mine: Tensor, theirs: Tensor) -> float:
    return float((mine - theirs.flatten()).norm() / theirs.norm())


def loss_gradient(network: WeightGradients, subset: Tensor) -> list[Tensor]:
    """Differentiate the mean cross entropy over a subset in one pass through a copy of the network.

    Args:
        network: a prepared network.
        subset: S, a mask (N,).

    Returns:
        The gradient with respect to each layer's weights, float64 on the CPU.
    """
    twin, mask = copy.deepcopy(network.tree).requires_grad_(), subset.to(network.inputs.device)
    weights = [twin.get_parameter(f"{layer}.weight") for layer in network.weights]
    with torch.enable_grad():
        loss = F.cross_entropy(twin(network.inputs[mask]), network.targets[mask])
        return [g.double().cpu() for g in torch.autograd.grad(loss, weights)]


@torch.inference_mode()
def closed_form(network: WeightGradients, subset: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return both parts for the last layer without differentiating, from its inputs phi and the outputs' softmax P.

    g_dep[a, b] = -<[y = a] phi_b>_S + <phi_b>_D / C,   g_ind[a, b] = <P(a|x) phi_b>_S - <phi_b>_D / C

    This is equation 15 (geometry of memorization, A.2.2) with the last layer's Jacobian. Equation 16, as printed, has
    in place of 1 / C the share of label a in g_dep, and the mean of P(a|x) in g_ind: the same where these are 1 / C;
    elsewhere its two parts do not add up to the gradient.

    Args:
        network: a prepared network.
        subset: S, a mask (N,).

    Returns:
        Both parts, shape (C, features), float64 on the CPU; None where the last of its layers does not give the
        outputs, or is not linear on flat features.
    """
    name, calls = list(network.weights)[-1], list[tuple[Tensor, Tensor]]()
    with hooked(network.tree, [name], lambda name, module, args, output: calls.append((args[0], output))):
        logits = network.tree(network.inputs)
    phi, own = calls[-1]
    if not isinstance(network.tree.get_submodule(name), nn.Linear) or phi.ndim != 2 or own is not logits:
        return None
    phi, chances = phi.double().cpu(), logits.double().softmax(1).cpu()
    labels = F.one_hot(network.targets.cpu(), chances.shape[1]).double()
    centre, share = phi.mean(0) / chances.shape[1], subset.double() / subset.sum()
    return centre - (labels * share[:, None]).T @ phi, (chances * share[:, None]).T @ phi - centre
