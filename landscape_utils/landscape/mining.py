"""Directions found by optimisation, along which a loss curve has a peak or three basins (mining the loss landscape).

Both algorithms are plain gradient descent on one vector: no momentum, no weight decay. Every epoch draws its order of
examples and its lambdas from a seed of its own, and what it reached is kept on disk, so that a killed mining goes on
from there and on the CPU ends with a bit-identical direction; a finished one is read back.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import xarray as xr
from numpy.typing import ArrayLike
from torch import Tensor, nn
from tqdm import tqdm

from landscape_utils.data.pairs import Pairs, resident
from landscape_utils.engine import space
from landscape_utils.engine.derivatives import BatchNormStatistics, differentiable, differentiating, normalise_by
from landscape_utils.engine.inference import check_logits
from landscape_utils.engine.shadow import fastest_layout, install, pack, probe, unpack, views
from landscape_utils.kit import store
from landscape_utils.kit.bars import BAR
from landscape_utils.kit.store import Shelf
from landscape_utils.training.state import epoch_seed


@dataclass(frozen=True, eq=False)
class Mined:
    """A mined direction.

    Attributes:
        direction: shape (P,), in the order of `model.parameters()`, on the model's device; lambda 1 walks it whole.
        history: Dataset over `epoch`, from 1: `loss`, what was minimised, averaged over the epoch's examples, in nats,
            and `norm`, the direction's at the epoch's end.
        settings: algorithm and numbers that it was mined with.
    """

    direction: Tensor
    history: xr.Dataset
    settings: dict[str, Any]


@torch.inference_mode(False)
def mine_peak(
    model: nn.Module,
    data: Pairs,
    *,
    epochs: int = 40,
    lr: float = 0.1,
    batch_size: int = 128,
    bn: BatchNormStatistics = "keep",
    seed: int = 0,
    progress: bool = True,
) -> Mined:
    """Mine a direction along which the loss falls to both sides, for a w-peak curve.

    minimise over eps the mean of L(theta + lam eps) over lam in [-1, 1]:
    from eps = 0, in epoch e of E, for each batch: lam ~ U[-e/E, e/E]; eps <- eps - lr lam grad L(theta + lam eps)
    (mining the loss landscape, 2.4, equation 2 and algorithm 1)

    The first steps are a random walk along grad L(theta): where that is exactly zero, eps stays zero. What grows out of
    it is negative curvature; what stays of it tilts the curve. Too small an lr leaves eps there, too large a one ends
    in a v-basin or in NaN: `peak_schedule` chooses lr and epochs from the Hessian's ends.

    Args:
        model: classifier at theta; it is left as it was.
        data: inputs (N, ...) and targets (N,), or a DataLoader, which is gone through once.
        epochs: E.
        lr: learning rate.
        batch_size: examples in a batch at most; an epoch's batches are of one size, give or take one example.
        bn: `keep` BatchNorm's running statistics, which are theta's, as `curve(..., bn="keep")` does; or take each
            `batch`'s own as in training, for `curve(..., bn="update")` (the paper updates them, A.2). Dropout is off.
        seed: decides the orders of examples and the lambdas.
        progress: show a bar.

    Returns:
        The direction eps, with history and settings.

    Raises:
        FloatingPointError: the loss is no longer finite.
        OSError: the disk is full; the message names the path and the cache stays valid.
        ValueError: epochs or batch_size below 1, an lr that is not above 0, an unknown bn, or unusable data.
    """
    settings = {"algorithm": "peak", "epochs": epochs, "lr": lr, "batch_size": batch_size, "bn": bn, "seed": seed}
    zero = torch.zeros_like(space.flatten(model))

    def lams(epoch: int) -> tuple[float, float]:
        return -epoch / epochs, epoch / epochs

    inputs, targets = resident(model, data)
    step = partial(_peak_step, lr)
    return _mine(_Problem(model, inputs, targets, zero, zero, settings, lams, step), progress)


@torch.inference_mode(False)
def mine_vvv(
    model: nn.Module,
    data: Pairs,
    phi: Tensor,
    *,
    alpha: float = 0.0,
    gamma: float = 0.1,
    epochs: int = 20,
    lr: float = 0.1,
    batch_size: int = 128,
    seed: int = 0,
    progress: bool = True,
) -> Mined:
    """Mine a direction with a low loss at its end and half way, for a vvv-basin curve.

    minimise over phi the mean of L(phi) + gamma L((1 - lam) theta + lam phi) over lam in [0.5 - alpha, 0.5 + alpha]:
    for each batch: lam ~ U[0.5 - alpha, 0.5 + alpha]; phi_hat = (1 - lam) theta + lam phi;
    phi <- phi - lr (grad L(phi) + gamma lam grad L(phi_hat)); in the end eps = phi - theta
    (mining the loss landscape, 2.5, equation 3 and algorithm 2)

    BatchNorm takes each batch's own statistics, for theta's fit neither phi nor what lies between; look at the curve
    with `curve(..., bn="update")`. The model lies at lambda 0, phi at 1. Dropout is off.

    Args:
        model, data, epochs, lr, batch_size, seed, progress: as for `mine_peak`.
        phi: where to start, shape (P,): weights of a fresh initialisation, for from theta it would hardly move.
        alpha: half the range of lam, in [0, 0.5].
        gamma: weight of the loss between the two, 0 or above.

    Returns:
        The direction eps, with history and settings.

    Raises:
        FloatingPointError, OSError: as for `mine_peak`.
        ValueError: alpha, gamma or phi are not as said, or as for `mine_peak`.
    """
    if not 0 <= alpha <= 0.5:
        raise ValueError(f"alpha is {alpha}; it must lie in [0, 0.5]")
    if not (math.isfinite(gamma) and gamma >= 0):
        raise ValueError(f"gamma is {gamma}; it must be 0 or above")
    theta = space.flatten(model)
    if phi.shape != theta.shape or not phi.isfinite().all():
        raise ValueError(f"phi has shape {tuple(phi.shape)}; give finite weights, flat, of shape {tuple(theta.shape)}")
    settings = {"algorithm": "vvv", "alpha": alpha, "gamma": gamma, "epochs": epochs, "lr": lr}
    settings |= {"batch_size": batch_size, "bn": "batch", "seed": seed}

    def lams(epoch: int) -> tuple[float, float]:
        return 0.5 - alpha, 0.5 + alpha

    step = partial(_vvv_step, lr, gamma)
    inputs, targets = resident(model, data)
    return _mine(_Problem(model, inputs, targets, theta, phi.to(theta), settings, lams, step), progress)


def cosines(direction: Tensor, vectors: Tensor) -> Tensor:
    """Compare a direction with each of several vectors, whatever their signs and lengths.

    |v_i . d| / (|v_i| |d|)   (mining the loss landscape, 2.4, figure 9)

    A random direction in P dimensions has sqrt(2 / (pi P)) on average. A zero vector has NaN.

    >>> cosines(torch.tensor([1.0, 1.0]), torch.eye(2)).round(decimals=3).tolist()
    [0.707, 0.707]

    Args:
        direction: d, shape (P,).
        vectors: rows v_i, shape (k, P), such as eigenvectors of the Hessian.

    Returns:
        Shape (k,), float64, in [0, 1], on the CPU.

    Raises:
        ValueError: the shapes do not match.
    """
    if direction.ndim != 1 or vectors.ndim != 2 or vectors.shape[1] != len(direction):
        shapes = f"{tuple(direction.shape)} and {tuple(vectors.shape)}"
        raise ValueError(f"direction and vectors have shapes {shapes}; they must be (P,) and (k, P)")
    d, v = direction.detach().cpu().double(), vectors.detach().cpu().double()
    similar: Tensor = (v @ d).abs() / (v.norm(dim=1) * d.norm())
    return similar


# --- one step of each algorithm ------------------------------------------------------------------------------------


class Slope:
    """The gradient of a model's loss at any weights; vectors are in the order of `shadow.pack`.

    Attributes:
        tree: the network, and `layout`, that of its inputs.
        theta: the caller's weights.
        weights: where the loss is taken; a step writes them.
        gradient: sum of the gradients since it was last set to zero.
    """

    def __init__(self, model: nn.Module, inputs: Tensor, bn: BatchNormStatistics) -> None:
        """Make a module tree whose parameters and gradients are views of one vector each."""
        self.tree = differentiable(model, inputs)
        self.layout = fastest_layout(self.tree, inputs)
        self.theta = pack(space.flatten(model), self.tree)
        self.weights = self.theta.clone()
        self.gradient = torch.zeros_like(self.weights)
        install(self.tree, self.weights)
        for p, gradient in zip(self.tree.parameters(), views(self.gradient, self.tree), strict=True):
            p.requires_grad_()
            p.grad = gradient  # where backward() adds in place
        normalise_by(self.tree, bn)

    def add(self, x: Tensor, y: Tensor, scale: float = 1.0) -> Tensor:
        """Add scale times the gradient at `weights` over a batch, and give the batch's mean loss."""
        with differentiating():
            loss = F.cross_entropy(self.tree(x), y)
            (scale * loss).backward()
        return loss.detach()


def peak_schedule(eigenvalues: ArrayLike, batches: int, *, growth: float = 8.0, most: int = 1000) -> tuple[float, int]:
    """Choose algorithm 1's learning rate and epochs by the Hessian's ends, for the paper does not tell them.

    eta = 1.8 / lambda_max: at lambda = 1 a step multiplies an eigenvector's part by 1 - eta lambda_i, which is stable
    below 2 / lambda_max. E so that exp(eta |lambda_min| E batches / 9) = exp(growth), for lambda^2 is 1/9 on average.

    >>> peak_schedule([3.0, -0.5], batches=3)
    (0.6, 80)

    Args:
        eigenvalues: of the Hessian, those of both ends among them.
        batches: steps an epoch.
        growth: by how many powers of e the most negative direction grows.
        most: epochs, at most: next to no negative curvature would ask for ever more.

    Raises:
        ValueError: no eigenvalue is above zero.
    """
    values = np.asarray(eigenvalues, dtype=float)
    if not values.max(initial=0.0) > 0:
        raise ValueError("no eigenvalue is above zero; choose lr and epochs yourself")
    rate = 1.8 / float(values.max())
    down = max(-float(values.min()), np.finfo(float).tiny)
    return rate, max(1, min(most, math.ceil(9 * growth / (rate * down * batches))))


def _peak_step(lr: float, slope: Slope, eps: Tensor, lam: float, x: Tensor, y: Tensor) -> Tensor:
    slope.gradient.zero_()
    torch.add(slope.theta, eps, alpha=lam, out=slope.weights)
    loss = slope.add(x, y)
    eps.add_(slope.gradient, alpha=-lr * lam)
    return loss


def _vvv_step(lr: float, gamma: float, slope: Slope, phi: Tensor, lam: float, x: Tensor, y: Tensor) -> Tensor:
    slope.gradient.zero_()
    slope.weights.copy_(phi)
    end = slope.add(x, y)
    torch.lerp(slope.theta, phi, lam, out=slope.weights)
    between = slope.add(x, y, gamma * lam)
    phi.add_(slope.gradient, alpha=-lr)
    return end + gamma * between


# --- the walk through the epochs -----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Problem:
    """What is mined and how.

    Attributes:
        model, inputs, targets: as `pairs.resident` leaves them.
        base: what the direction starts from, shape (P,): the direction is the vector that is optimised minus this.
        start: the vector before the first epoch, shape (P,).
        settings: they name the result on disk.
        lams: the range of lambda in an epoch.
        step: updates the vector in place from a lambda and a batch, and gives the loss that it minimises.
    """

    model: nn.Module
    inputs: Tensor
    targets: Tensor
    base: Tensor
    start: Tensor
    settings: dict[str, Any]
    lams: Callable[[int], tuple[float, float]]
    step: Callable[[Slope, Tensor, float, Tensor, Tensor], Tensor]

    def __post_init__(self) -> None:
        """Refuse numbers with which nothing can be mined, and models that do not classify the data."""
        for name in ("epochs", "batch_size"):
            if self.settings[name] < 1:
                raise ValueError(f"{name} is {self.settings[name]}; it must be 1 or above")
        if not (math.isfinite(self.settings["lr"]) and self.settings["lr"] > 0):
            raise ValueError(f"lr is {self.settings['lr']}; it must be above 0")
        check_logits(probe(self.model, self.inputs[:1], space.flatten(self.model))[0], self.targets)

    @property
    def shelf(self) -> Shelf:
        """Name where the result lies, or will lie."""
        tensors = [self.inputs, self.targets, self.start]
        what = {name: str(value) for name, value in {**self.settings, "mining": store.FORMAT}.items()}
        return store.shelf("mined", store.fingerprint(self.model, tensors, what))


def _mine(problem: _Problem, progress: bool) -> Mined:
    """Mine once: go on from the last epoch that is kept, or read back what is finished."""
    shelf = problem.shelf
    with store.locked(shelf):
        mined = shelf.get_tensors("mined")
        if mined is None:
            store.before_computing()
            mined = _walk(problem, shelf, progress)
            shelf.put_tensors("mined", mined)
            shelf.drop("state")
    history = xr.Dataset(
        {
            "loss": ("epoch", mined["loss"].numpy(), {"units": "nats"}),
            "norm": ("epoch", mined["norm"].numpy(), {"units": "of weights"}),
        },
        coords={"epoch": range(1, problem.settings["epochs"] + 1)},
        attrs=problem.settings,
    )
    return Mined(mined["vector"].to(problem.base) - problem.base, history, problem.settings)


def _walk(problem: _Problem, shelf: Shelf, progress: bool) -> dict[str, Tensor]:
    """Go through the epochs that are missing."""
    settings = problem.settings
    epochs, steps = settings["epochs"], math.ceil(len(problem.targets) / settings["batch_size"])
    begin = shelf.get_tensors("state") or {"vector": problem.start, "loss": torch.tensor([]), "norm": torch.tensor([])}
    slope = Slope(problem.model, problem.inputs, settings["bn"])
    vector = pack(begin["vector"].to(problem.start), slope.tree)
    losses, norms = begin["loss"].tolist(), begin["norm"].tolist()
    inputs = problem.inputs.contiguous(memory_format=slope.layout)
    bar = tqdm(
        total=epochs * steps,
        initial=len(losses) * steps,
        desc=f"mining, {settings['algorithm']}",
        unit="step",
        disable=not progress,
        **BAR,
    )
    thrift = store.Thrift(lambda: shelf.put_tensors("state", _saved(unpack(vector, slope.tree), losses, norms)))
    with bar:
        for epoch in range(len(losses) + 1, epochs + 1):
            losses.append(_epoch(problem, slope, vector, inputs, epoch, bar))
            norms.append(float((unpack(vector, slope.tree) - problem.base).norm()))
            _check_finite(losses[-1], norms[-1], epoch, settings)
            bar.set_postfix_str(f"epoch {epoch}/{epochs}, loss {losses[-1]:.3f}, norm {norms[-1]:.3g}")
            thrift.offer()
    return _saved(unpack(vector, slope.tree), losses, norms)


def _saved(vector: Tensor, losses: list[float], norms: list[float]) -> dict[str, Tensor]:
    """Gather what a resumed or finished mining needs back."""
    history = {"loss": torch.tensor(losses, dtype=torch.float64), "norm": torch.tensor(norms, dtype=torch.float64)}
    return {"vector": vector, **history}


def _check_finite(loss: float, norm: float, epoch: int, settings: dict[str, Any]) -> None:
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise FloatingPointError(
            f"mining diverged: the loss is {loss:.3g} and the direction's norm {norm:.3g} in epoch {epoch} of "
            f"{settings['epochs']} at learning rate {settings['lr']:.3g}; try a smaller lr"
        )


def _epoch(problem: _Problem, slope: Slope, vector: Tensor, inputs: Tensor, epoch: int, bar: tqdm) -> float:
    """Go through all examples once, in batches, and give the mean loss that the steps minimised."""
    settings, targets = problem.settings, problem.targets
    generator = torch.Generator().manual_seed(epoch_seed(settings["seed"], epoch))
    order = torch.randperm(len(targets), generator=generator)
    batches = order.to(inputs.device).tensor_split(math.ceil(len(order) / settings["batch_size"]))
    low, high = problem.lams(epoch)
    total = torch.zeros((), dtype=vector.dtype, device=inputs.device)
    for batch, u in zip(batches, torch.rand(len(batches), generator=generator).tolist(), strict=True):
        loss = problem.step(slope, vector, low + (high - low) * u, inputs[batch], targets[batch])
        total += loss * len(batch)
        bar.update()
    return float(total) / len(targets)
