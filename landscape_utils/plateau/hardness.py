"""Two small problems whose interpolation curves say the opposite of how hard they are.

The text has its own pair in an appendix that is not at hand; this pair is this project's, exact and small.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from landscape_utils.kit import Floats

SOLVED = 1e-3  # of the first loss
PATIENCE = 1_000_000


@dataclass(frozen=True)
class Problem:
    """A loss to minimise from a start, with gradient descent's usual step 1 / L.

    Attributes:
        name: with its numbers.
        loss, gradient: of a point, shape (P,).
        start, end: where descent begins, and the minimum, of loss 0.
        step: 1 / L, with L the largest curvature between them.
    """

    name: str
    loss: Callable[[Floats], float]
    gradient: Callable[[Floats], Floats]
    start: Floats
    end: Floats
    step: float


def valley(condition: float) -> Problem:
    """Build L(w) = (k w_1^2 + w_2^2) / 2 with condition number k, from (k^-1/2, 1).

    From any start the curve to the minimum is (1 - alpha)^2 L_0, whatever k; gradient descent takes about k steps.
    """
    scales = np.array([condition, 1.0])
    return Problem(
        f"ill-conditioned valley, k = {condition:g}",
        lambda w: float(scales @ w**2) / 2,
        lambda w: scales * w,
        np.array([condition**-0.5, 1.0]),
        np.zeros(2),
        1 / condition,
    )


def chain(depth: int) -> Problem:
    """Build L(w) = (w^r - 1)^2 / 2, a chain of r layers of one weight, from 1/2.

    The curve to w = 1 stays flat until w^r grows; gradient descent with the step 1/r^2 is there in hundreds of steps.
    """
    return Problem(
        f"chain of {depth} layers",
        lambda w: float((w[0] ** depth - 1) ** 2) / 2,
        lambda w: depth * w ** (depth - 1) * (w**depth - 1),
        np.array([0.5]),
        np.ones(1),
        1 / depth**2,
    )


def line(problem: Problem, points: int = 51) -> xr.DataArray:
    """Return the loss from start to end, as a share of the start's, over `alpha`."""
    alphas = np.linspace(0, 1, points)
    values = [problem.loss((1 - a) * problem.start + a * problem.end) for a in alphas]
    return xr.DataArray(np.array(values) / values[0], dims="alpha", coords={"alpha": alphas}, name=problem.name)


def descent(problem: Problem) -> xr.DataArray:
    """Return the loss of gradient descent over `step`, as a share of the first, until it is 1/1000.

    Raises:
        RuntimeError: it is not there after a million steps.
    """
    w, first = problem.start.copy(), problem.loss(problem.start)
    losses = [1.0]
    while losses[-1] > SOLVED:
        if len(losses) > PATIENCE:
            raise RuntimeError(f"{problem.name} is not solved after {PATIENCE:,} steps; choose milder numbers")
        w -= problem.step * problem.gradient(w)
        losses.append(problem.loss(w) / first)
    return xr.DataArray(losses, dims="step", name=problem.name)


def table(curves: Mapping[str, tuple[xr.DataArray, xr.DataArray]]) -> xr.Dataset:
    """Stack interpolations and descents side by side for saving; a descent that ended earlier is padded with NaN."""
    lines, descents = zip(*curves.values(), strict=True)
    names = xr.Variable("problem", list(curves))
    padded = xr.concat([d.assign_coords(step=np.arange(d.size)) for d in descents], dim=names, join="outer")
    thinned = padded.isel(step=np.unique(np.geomspace(1, padded.sizes["step"], 400).astype(int)) - 1)
    return xr.Dataset({"interpolation": xr.concat(lines, dim=names), "descent": thinned})
