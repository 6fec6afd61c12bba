"""What the Hessian foretells: slope and curvature along a line, and loss changes under Gaussian noise.

L(w + d) - L(w) = g^T d + d^T H d / 2 + ... (mining the loss landscape, section 3).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from tqdm import tqdm

from landscape_utils.data.pairs import Pairs
from landscape_utils.engine import space
from landscape_utils.engine.evaluate import evaluating
from landscape_utils.kit.bars import BAR
from landscape_utils.landscape.hessian_operator import HessianOperator
from landscape_utils.landscape.traces import Estimate, trace_estimates

TOGETHER = 10  # directions for which a model is prepared at once: preparing takes as long as dozens of small passes


def slope_and_curvature(
    model: nn.Module,
    data: Pairs,
    direction: Tensor,
    lambdas: Sequence[float] | NDArray[np.float64],
    *,
    progress: bool = True,
) -> xr.Dataset:
    """Evaluate the loss and its first two derivatives along a line, exactly.

    L(w + lam d), slope d^T g(w + lam d), curvature d^T H(w + lam d) d; the model is in evaluation mode.

    Args:
        model: classifier, left as it was.
        data: inputs (N, ...) and targets (N,), or a DataLoader, which is gone through once.
        direction: d, shape (P,), in the order of `model.parameters()`.
        lambdas: where to evaluate.
        progress: a bar over the points.

    Returns:
        Dataset over `lam`: loss (nats), slope (nats per lam), curvature (nats per lam squared). The attribute `norm_1`
        is |d|, what one unit of lam walks.

    Raises:
        ValueError: lambdas that are not finite numbers in one dimension, a direction of another shape, or wrong data.
        FloatingPointError: a derivative is not finite.
    """
    axis = _axis(lambdas)
    operator = HessianOperator(model, data)
    d, rows = operator.checked(direction), []
    for lam in tqdm(axis, desc="slope and curvature", unit="point", disable=not progress, **BAR):
        expansion = operator.expand(d, at=operator.origin + float(lam) * d if lam else None)
        rows.append((expansion.loss, _dot(d, expansion.gradient), _dot(d, expansion.product)))
    loss, slope, curvature = np.array(rows).T
    return xr.Dataset(
        {
            "loss": ("lam", loss, {"units": "nats", "long_name": "mean cross entropy"}),
            "slope": ("lam", slope, {"units": "nats per lam"}),
            "curvature": ("lam", curvature, {"units": "nats per lam squared"}),
        },
        coords={"lam": axis},
        attrs={
            "norm_1": float(d.double().norm()),
            "unit": "one step is the direction's own norm",
            **operator.attributes,
        },
    )


def gaussian_moments(
    model: nn.Module,
    data: Pairs,
    lam: ArrayLike,
    sigma: float = 1.0,
    *,
    probes: int = 30,
    seed: int = 0,
    progress: bool = True,
) -> xr.Dataset:
    """Predict mean and variance of the loss change L(w + lam eps) - L(w) for eps ~ N(0, sigma^2), to second order.

    mean = (lam sigma)^2 tr H / 2, variance = (lam sigma)^2 |g|^2 + (lam sigma)^4 tr H^2 / 2
    (mining the loss landscape, section 3); see `quadratic_moments`.

    Args:
        model, data: as for `slope_and_curvature`.
        lam: one, or several of them.
        sigma: standard deviation of each entry of eps.
        probes, seed: of the random signs by which the traces are estimated.
        progress: a bar over the products.

    Returns:
        Dataset over `lam`: mean (nats), variance (nats squared), and their standard errors mean_error and
        variance_error. Attributes: trace, square_trace, gradient_norm and sigma.

    Raises:
        ValueError: lam or sigma is not finite, fewer than two probes, or wrong data.
        FloatingPointError: a derivative is not finite.
    """
    operator, axis = HessianOperator(model, data), _axis(np.atleast_1d(np.asarray(lam, dtype=float)))
    gradient = operator.expand(torch.zeros_like(operator.origin)).gradient.double()
    traces = trace_estimates(operator, operator.size, probes, seed=seed, progress=progress)
    return quadratic_moments(float(gradient.norm()), *traces, axis, sigma).assign_attrs(operator.attributes)


def quadratic_moments(
    gradient_norm: float, trace: Estimate, square_trace: Estimate, lam: NDArray[np.float64], sigma: float
) -> xr.Dataset:
    """Return mean and variance of g^T x + x^T H x / 2 for x = lam eps, eps ~ N(0, sigma^2), over `lam`.

    Args:
        gradient_norm: |g|.
        trace, square_trace: tr H and tr H^2.
        lam: shape (n,).
        sigma: standard deviation of each entry of eps.

    Returns:
        As `gaussian_moments`.

    Raises:
        ValueError: sigma is not a finite number above 0.
    """
    if not np.isfinite(sigma) or sigma <= 0:
        raise ValueError(f"sigma is {sigma}; it must be above 0")
    variance = (lam * sigma) ** 2  # of each entry of the step
    return xr.Dataset(
        {
            "mean": ("lam", variance * trace.value / 2, {"units": "nats"}),
            "mean_error": ("lam", variance * trace.standard_error / 2, {"units": "nats"}),
            "variance": (
                "lam",
                variance * gradient_norm**2 + variance**2 * square_trace.value / 2,
                {"units": "nats squared"},
            ),
            "variance_error": ("lam", variance**2 * square_trace.standard_error / 2, {"units": "nats squared"}),
        },
        coords={"lam": lam},
        attrs={
            "trace": trace.value,
            "square_trace": square_trace.value,
            "gradient_norm": gradient_norm,
            "sigma": float(sigma),
        },
    )


def gaussian_changes(
    model: nn.Module,
    data: Pairs,
    lam: ArrayLike,
    sigma: float = 1.0,
    draws: int = 20,
    seed: int = 0,
    *,
    progress: bool = True,
) -> xr.DataArray:
    """Measure the loss changes L(w + lam eps) - L(w) for draws of eps ~ N(0, sigma^2), and for -eps.

    In the mean of both the slope falls out: of L(w + x) - L(w) there is left x^T H x / 2 and what is of even order.

    Args:
        model, data: as for `slope_and_curvature`.
        lam: one, or several, above 0 and increasing; every draw is walked along at all of them.
        sigma: standard deviation of each entry of eps.
        draws: directions.
        seed: of the draws: the same seed gives the same directions on every device.
        progress: a bar over the draws.

    Returns:
        Array (draw, sign, lam), in nats; sign is 1 for eps and -1 for -eps.

    Raises:
        ValueError: lam that does not increase from above 0 or is not finite, sigma not above 0, draws below 1, or wrong
            data.
    """
    if draws < 1:
        raise ValueError(f"draws is {draws}; it must be at least 1")
    if not np.isfinite(sigma) or sigma <= 0:
        raise ValueError(f"sigma is {sigma}; it must be above 0")
    axis = _axis(np.atleast_1d(np.asarray(lam, dtype=float)))
    if axis[0] <= 0 or (np.diff(axis) <= 0).any():
        raise ValueError(f"lam is {axis.tolist()}; it must increase from above 0, for each draw is walked both ways")
    seeds = np.random.SeedSequence(seed).generate_state(draws)
    rows = []
    with tqdm(total=draws, desc="Gaussian draws", unit="draw", disable=not progress, **BAR) as bar:
        for some in np.array_split(seeds, -(-draws // TOGETHER)):
            rows += _changes_along(
                model, data, [sigma * space.gaussian_direction(model, seed=int(s)) for s in some], axis
            )
            bar.update(len(some))
    return xr.DataArray(
        np.stack(rows),
        {"sign": [1, -1], "lam": axis},
        dims=("draw", "sign", "lam"),
        name="change",
        attrs={"units": "nats", "sigma": float(sigma), "seed": seed},
    )


def _changes_along(
    model: nn.Module, data: Pairs, directions: Sequence[Tensor], axis: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    """Measure loss changes both ways along each of some directions, from one preparation of the model."""
    both = np.stack([axis, -axis])
    with evaluating(model, data, directions, len(directions) * both.size, cache=False, progress=False) as at:
        places = np.concatenate([np.zeros((1, len(directions))), *(np.outer(both, e) for e in np.eye(len(directions)))])
        loss = at(places)["loss"].values
    return list((loss[1:] - loss[0]).reshape(len(directions), *both.shape))


def angles(first: Tensor, second: Tensor) -> Tensor:
    """Measure the angles between vectors in degrees: arccos(a^T b / (|a| |b|)).

    Args:
        first: shape (m, P), or (P,).
        second: shape (n, P), or (P,).

    Returns:
        Shape (m, n), float64, from 0 to 180; NaN for a zero vector.

    Raises:
        ValueError: the vectors have different lengths P.
    """
    a, b = (torch.atleast_2d(v).double() for v in (first, second))
    if a.shape[-1] != b.shape[-1]:
        raise ValueError(f"the vectors have {a.shape[-1]} and {b.shape[-1]} entries; angles need the same number")
    a, b = (v / v.norm(dim=1, keepdim=True) for v in (a, b))
    degrees: Tensor = (a @ b.T).clamp(-1, 1).arccos().rad2deg()
    return degrees


def _axis(lambdas: ArrayLike) -> NDArray[np.float64]:
    axis = np.asarray(lambdas, dtype=float)
    if axis.ndim != 1 or not len(axis) or not np.isfinite(axis).all():
        raise ValueError("lam must be finite numbers in one dimension, one at least")
    return axis


def _dot(a: Tensor, b: Tensor) -> float:
    return float(a.double() @ b.double())
