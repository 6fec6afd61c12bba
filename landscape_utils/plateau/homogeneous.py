"""The r-homogeneous-weight network on a balanced data set, trained from many seeds at once.

    f_i(x) = <W_i, x>^r + b_i        (bias plateau, section 4)

Its weights' signal is r-homogeneous and its biases are not, as in a network of r layers with a bias on the last. The
data are k orthogonal directions and small noise, equally many examples a class, drawn anew for each seed.

**Signs.** All entries of W start as |N(0, init^2)|. For even r the signs hardly matter: with little noise every entry
has its own r-th power. For odd r they do. A diagonal entry below zero shrinks towards zero and stalls there, since
d<W_c, e_c>/dt ~ r <W_c, e_c>^(r-1); an entry W_ij below zero grows in size, for it lowers f_i on class j, so that class
j is learned by weights that push the other classes down and not by its own signal. With positive entries odd and even
r behave alike: the diagonal grows, the rest decays.

**Time.** Full-batch gradient descent follows the gradient flow of the mean cross entropy. A seed's step is `rate` over
a bound of its loss's curvature, so that plateaus of hundreds of time units cost few steps; times are those of the flow,
the sum of the steps. A seed is over when all its classes are learned, and keeps its values from then on.
"""

from __future__ import annotations

from functools import reduce
from operator import mul
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from landscape_utils.kit import Floats

LEARNED = 0.9  # smallest probability of the true class over a class's examples from which on the class is learned
EVERY = 5  # steps between checkpoints


class Ensemble(NamedTuple):
    """Networks and their data, one a seed.

    Attributes:
        weight: W, shape (seeds, classes, dim).
        bias: b, shape (seeds, classes, 1).
        inputs: in columns, class after class, shape (seeds, dim, examples).
        squares: |x|^2, shape (seeds, 1, examples).
        time: of the flow, shape (seeds, 1, 1).
    """

    weight: Tensor
    bias: Tensor
    inputs: Tensor
    squares: Tensor
    time: Tensor

    def of(self, seeds: Tensor) -> Ensemble:
        """Select seeds by a mask, shape (seeds,)."""
        return Ensemble(*(part[seeds] for part in self))


def train_homogeneous(
    r: int,
    *,
    seeds: int = 100,
    classes: int = 5,
    dim: int = 20,
    examples: int = 10,
    noise: float = 0.05,
    init: float = 0.2,
    rate: float = 0.2,
    steps: int = 50_000,
    seed: int = 0,
) -> xr.Dataset:
    """Train r-homogeneous-weight networks from many seeds at once, until each has learned all its classes.

    Args:
        r: homogeneity of the weights' part.
        seeds: how many networks; each has its own start and data, the same for every r.
        classes: k.
        dim: d of the inputs, at least k.
        examples: of each class.
        noise: standard deviation of every coordinate of the inputs around their class's direction.
        init: standard deviation of the Gaussian whose absolute value the weights start from; biases start at zero.
        rate: step in units of one over the curvature's bound, below 2.
        steps: at most.
        seed: of the first network; network i is the first one of `seed + i`.

    Returns:
        Dataset over (seed, step, class), a checkpoint each 5 steps: `bias`; `probability`, the smallest one of the
        true class over the class's examples; `signal`, the mean <W_c, x>^r over them. `time` (seed, step) is the
        flow's; `learned` (seed, class) is from `learned_times`.

    Raises:
        ValueError: r below 1, fewer than two classes, or more classes than dimensions.
    """
    _check(r, classes, dim)
    batch = draw(range(seed, seed + seeds), classes=classes, dim=dim, examples=examples, noise=noise, init=init)
    course = _descend(batch, r, rate, steps)
    over = ("seed", "step", "class")
    return xr.Dataset(
        {
            "bias": (over, course["bias"]),
            "probability": (over, course["probability"]),
            "signal": (over, course["signal"]),
            "time": (over[:2], course["time"], {"units": "1 / learning rate"}),
            "learned": (("seed", "class"), learned_times(course["probability"], course["time"])),
        },
        coords={
            "seed": np.arange(seed, seed + seeds),
            "step": EVERY * np.arange(course["time"].shape[1]),
            "class": np.arange(classes),
        },
        attrs={"r": r, "dim": dim, "examples": examples, "noise": noise, "init": init, "rate": rate, "steps": steps},
    )


def _check(r: int, classes: int, dim: int) -> None:
    if r < 1:
        raise ValueError(f"r is {r}; the weights' part needs a homogeneity of 1 or more")
    if not 2 <= classes <= dim:
        raise ValueError(f"{classes} classes in {dim} dimensions; choose at least 2, and no more than dimensions")


def draw(seeds: range, *, classes: int, dim: int, examples: int, noise: float, init: float) -> Ensemble:
    """Draw networks and balanced data, one a seed: W = |N(0, init^2)|, b = 0, x = e_c + N(0, noise^2).

    Args:
        seeds: a number each.
        classes, dim, examples, noise, init: as in `train_homogeneous`.
    """
    centres = np.repeat(np.eye(dim, classes), examples, axis=1)
    weights, inputs = [], []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        weights.append(init * abs(rng.standard_normal((classes, dim))))
        inputs.append(centres + noise * rng.standard_normal(centres.shape))
    bias, time = (torch.zeros(len(seeds), n, 1, dtype=torch.float64) for n in (classes, 1))
    x = torch.tensor(np.stack(inputs))
    return Ensemble(torch.tensor(np.stack(weights)), bias, x, x.square().sum(1, keepdim=True), time)


class Forward(NamedTuple):
    """What one pass gives, each of shape (seeds, classes, examples).

    Attributes:
        signal: <W_i, x>^r.
        slope: r <W_i, x>^(r-1).
        bend: r (r-1) <W_i, x>^(r-2).
        probability: softmax of the outputs.
        error: the probability less the one-hot class.
    """

    signal: Tensor
    slope: Tensor
    bend: Tensor
    probability: Tensor
    error: Tensor


def forward(batch: Ensemble, r: int) -> Forward:
    """Evaluate the networks on their data."""
    projection = batch.weight @ batch.inputs
    second = _power(projection, max(r - 2, 0))
    first = second * projection if r > 1 else second
    signal = first * projection
    probability = torch.softmax(signal + batch.bias, 1)
    return Forward(signal, r * first, r * (r - 1) * second, probability, probability - _targets(probability))


def _power(values: Tensor, exponent: int) -> Tensor:
    """Multiply repeatedly, which is several times faster than torch's power of float64."""
    return reduce(mul, [values] * exponent) if exponent else torch.ones_like(values)


def gradients(batch: Ensemble, seen: Forward) -> tuple[Tensor, Tensor]:
    """Differentiate the mean cross entropy by W and b, shapes (seeds, classes, dim) and (seeds, classes, 1)."""
    weight = (seen.error * seen.slope) @ batch.inputs.mT / seen.error.shape[2]
    return weight, seen.error.mean(2, keepdim=True)


def _targets(probability: Tensor) -> Tensor:
    """Return the one-hot classes, shape (classes, examples)."""
    _, classes, examples = probability.shape
    return torch.eye(classes, dtype=probability.dtype).repeat_interleave(examples // classes, 1)


def curvature(batch: Ensemble, seen: Forward) -> Tensor:
    """Bound the Hessian's norm, shape (seeds, 1, 1).

    max_i mean_x [2 p_i (1-p_i) (1 + slope_i^2 |x|^2) + |p_i - y_i| |bend_i| |x|^2]

    The softmax's Jacobian diag(p) - p p' is at most 2 diag(p (1-p)), by diagonal dominance, which leaves one block a
    class; a block's norm is at most its trace.
    """
    p = seen.probability
    outer = 2 * p * (1 - p) * (1 + seen.slope * seen.slope * batch.squares)
    inner = seen.error.abs() * seen.bend.abs() * batch.squares
    return (outer + inner).mean(2, keepdim=True).amax(1, keepdim=True)


def _descend(batch: Ensemble, r: int, rate: float, steps: int) -> dict[str, Floats]:
    """Descend, seeds dropping out as they are over; give what `train_homogeneous` records, over (seed, step, ...)."""
    now: dict[str, Floats] = {}
    course: dict[str, list[Floats]] = {}
    going = np.arange(len(batch.bias))
    for step in range(steps + 1):
        seen = forward(batch, r)
        if step % EVERY == 0:
            for name, values in _checkpoint(batch, seen).items():
                now.setdefault(name, values.copy())[going] = values
                course.setdefault(name, []).append(now[name].copy())
            left = (now["probability"][going] < LEARNED).any(1)
            if not left.any():
                break
            if not left.all():
                keep = torch.from_numpy(left)
                batch, seen, going = batch.of(keep), Forward(*(part[keep] for part in seen)), going[left]
        batch = _step(batch, seen, rate)
    return {name: np.stack(values, axis=1) for name, values in course.items()}


def _step(batch: Ensemble, seen: Forward, rate: float) -> Ensemble:
    weight, bias = gradients(batch, seen)
    size = rate / curvature(batch, seen)
    return batch._replace(weight=batch.weight - size * weight, bias=batch.bias - size * bias, time=batch.time + size)


def _checkpoint(batch: Ensemble, seen: Forward) -> dict[str, Floats]:
    """Look at each class on its own examples."""
    values = {
        "bias": batch.bias[..., 0],
        "probability": _own(seen.probability).amin(1),
        "signal": _own(seen.signal).mean(1),
        "time": batch.time[:, 0, 0],
    }
    return {name: value.numpy() for name, value in values.items()}


def _own(outputs: Tensor) -> Tensor:
    """Take each class's output on the class's examples, shape (seeds, examples of a class, classes)."""
    classes = outputs.shape[1]
    return outputs.reshape(len(outputs), classes, classes, -1).diagonal(dim1=1, dim2=2)


def learned_times(probability: Floats, time: Floats) -> Floats:
    """Find when each class is learned: from then on all its examples have a probability of at least 0.9.

    A class that is forgotten in between is learned when it comes back. Between checkpoints the time is interpolated.

    Args:
        probability: smallest one of the true class over a class's examples, shape (seeds, checkpoints, classes).
        time: of the checkpoints, shape (seeds, checkpoints).

    Returns:
        Times, shape (seeds, classes); NaN for a class that is not learned at the end.
    """
    late = probability < LEARNED
    count = late.shape[1]
    first = np.where(late.any(1), count - late[:, ::-1].argmax(1), 0)  # checkpoint from which on it is learned
    before, after = np.maximum(first - 1, 0), np.minimum(first, count - 1)
    rows, columns = np.indices(first.shape)
    start, end = (probability[rows, at, columns] for at in (before, after))
    share = np.divide(LEARNED - start, end - start, out=np.ones_like(start), where=end != start)
    times = time[rows, before] + share * (time[rows, after] - time[rows, before])
    return np.where(late[:, -1], np.nan, times)


def finished(results: xr.Dataset) -> xr.DataArray:
    """Return the seeds (seed,) that learned all their classes."""
    return results["learned"].notnull().all("class")


def learned_last(results: xr.Dataset) -> xr.DataArray:
    """Return the class (seed,) that was learned last; one that was never learned is later than all."""
    return results["learned"].fillna(np.inf).argmax("class")


def largest_bias(results: xr.Dataset) -> xr.DataArray:
    """Return the class (seed,) with the largest bias at the end."""
    return results["bias"].isel(step=-1).argmax("class")


def carried_by_bias(results: xr.Dataset) -> xr.DataArray:
    """Return the seeds (seed,) in which the class learned last has a smaller mean signal than bias at the end."""
    end, last = results.isel(step=-1), learned_last(results)
    return end["signal"].isel({"class": last}) < end["bias"].isel({"class": last})


def rank_table(results: xr.Dataset) -> xr.DataArray:
    """Count which rank the final bias has by the order in which classes were learned.

    Returns:
        Shares (rank, order) of the finished seeds, 1 the smallest bias and the first class; columns sum to 1.
    """
    done = results.isel(seed=finished(results).values)
    order, rank = (
        pd.DataFrame(x.values).rank(axis=1, method="first").to_numpy()
        for x in (done["learned"], done["bias"].isel(step=-1))
    )
    number = np.arange(1, done.sizes["class"] + 1)
    shares = [[np.mean((rank == a)[order == b]) for b in number] for a in number]
    return xr.DataArray(shares, dims=("rank", "order"), coords={"rank": number, "order": number})
