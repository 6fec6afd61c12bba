"""The spectrum of a model's Hessian: extremal eigenpairs and density (mining the loss landscape, section 3).

H is the Hessian of the mean cross entropy, with dropout off; see `hessian_operator`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from landscape_utils.data.pairs import Pairs
from landscape_utils.engine.derivatives import BatchNormStatistics
from landscape_utils.kit import store
from landscape_utils.kit.clock import spent_on
from landscape_utils.kit.journal import Journal
from landscape_utils.kit.store import PART, Shelf
from landscape_utils.landscape.hessian_operator import HessianOperator, Parameters, products_bar
from landscape_utils.landscape.lanczos import Extremal, extremal_pairs, quadrature

PAIRS = "eigenpairs-and-density"  # the file; of what is called eigenpairs there is no density beside
FINE = 1e-4  # a tolerance below this is beyond float32's products, whose rounding is 1e-7 of the largest eigenvalue


class ConvergenceWarning(UserWarning):
    """An eigenpair's residual is larger than was asked for."""


# --- extremal eigenpairs ---------------------------------------------------------------------------------------


def hessian_eigenpairs(
    model: nn.Module,
    data: Pairs,
    k: int = 5,
    *,
    tol: float = 1e-6,
    parameters: Parameters = None,
    bn: BatchNormStatistics = "keep",
    seed: int = 0,
    max_products: int = 2000,
    cache: bool = True,
    progress: bool = True,
) -> xr.Dataset:
    """Find the k largest and the k smallest eigenvalues of the Hessian, with their eigenvectors.

    H v = lambda v; both ends from one Krylov space, until |H v - lambda v| <= tol max(|lambda|, 0.01 max |lambda|) for
    every pair (mining the loss landscape, section 3: P.E. and N.E. directions).

    Args:
        model: classifier, left as it was.
        data: inputs (N, ...) and targets (N,), or a DataLoader, which is gone through once.
        k: pairs at each end; where P < 2k all P are given, the larger half from above.
        tol: see above. Products are in the model's dtype; in float64 for a tol below 1e-4, which float32 cannot give.
        parameters: names of layers or parameters, a block of H; by default all, frozen ones too.
        bn: `keep` BatchNorm's running statistics (evaluation mode), or take those of the `batch`, as in training and as
            curves with `bn="update"`.
        seed: of the vector at which the Krylov space starts.
        max_products: products with H, at most.
        cache: keep the result on disk, and use what is there.
        progress: a bar with the products taken and the worst residual in units of the criterion's right side / tol.

    Returns:
        Dataset over `rank`: P.E.1 (the largest) to P.E.k, then N.E.1 (the smallest, mostly the most negative) to N.E.k;
        `eigenvalue` (nats per squared unit of weight), `residual` |H v - lambda v|, `residual_ratio` to be compared
        with tol, `converged`; `eigenvector` (rank, parameter) of unit norm, its largest entry positive, in the order
        of `model.parameters()`; and over `node` what the same products tell of all eigenvalues, see `density_beside`.
        Attributes: products, tol, parameters, largest_residual_ratio.

    Raises:
        ValueError: k below 1, a tol that is not above 0, an unknown layer, or unusable data.
        FloatingPointError: a product is not finite.

    Warns:
        ConvergenceWarning: `max_products` did not suffice.
    """
    if k < 1:
        raise ValueError(f"k is {k}; it must be at least 1")
    if not 0 < tol < 1:
        raise ValueError(f"tol is {tol}; it must be between 0 and 1")
    operator = HessianOperator(model, data, parameters=parameters, dtype=_precision(model, tol), bn=bn)
    if max_products < min(2 * k, operator.size):
        raise ValueError(f"max_products is {max_products}; {k} pairs at each end need {min(2 * k, operator.size)}")
    smallest = min(k, operator.size // 2)
    largest = min(k, operator.size - smallest)

    def pairs_of(operator: HessianOperator, shelf: Shelf | None) -> xr.Dataset:
        journal = Journal(shelf, f"{PAIRS}{PART}{operator.dtype}".replace(".", "-"))
        with products_bar("Hessian eigenpairs", None, progress, tol) as tick:
            start = _gaussian(operator, np.random.SeedSequence(seed))
            limits: dict[str, Any] = {"tol": tol, "max_products": max_products}
            extremal = extremal_pairs(operator, start, largest, smallest, tick=tick, journal=journal, **limits)
        return _pairs_dataset(extremal, largest, tol, operator)

    def compute(shelf: Shelf | None) -> xr.Dataset:
        pairs = pairs_of(operator, shelf)
        if pairs.attrs["products"] == max_products or bool(pairs.converged.all()) or not _can_be_finer(operator):
            return pairs
        # Examples that are learned by heart leave second derivatives that float32 cannot hold.
        finer = pairs_of(HessianOperator(model, data, parameters=parameters, dtype=torch.float64, bn=bn), shelf)
        return finer.assign(eigenvector=finer.eigenvector.astype(pairs.eigenvector.dtype))

    settings = {"k": k, "tol": tol, "seed": seed, "max_products": max_products, "parameters": operator.names}
    result = _kept("eigenpairs", PAIRS, settings, operator, compute) if cache else compute(None)
    if not bool(result.converged.all()):
        worst = result.attrs["largest_residual_ratio"]
        warnings.warn(
            f"after {result.attrs['products']} products {int((~result.converged).sum())} of {len(result['rank'])} "
            f"eigenpairs have residuals above tol={tol:g} (the worst {worst:.1e}); raise max_products or tol",
            ConvergenceWarning,
            stacklevel=2,
        )
    return result


def _precision(model: nn.Module, tol: float) -> torch.dtype:
    parameter = next(model.parameters(), None)
    if parameter is None or parameter.device.type == "mps":  # MPS has no float64
        return torch.float32
    return torch.promote_types(parameter.dtype, torch.float32) if tol >= FINE else torch.float64


def _can_be_finer(operator: HessianOperator) -> bool:
    return operator.dtype != torch.float64 and operator.device.type != "mps"  # MPS has no float64


def _pairs_dataset(extremal: Extremal, largest: int, tol: float, operator: HessianOperator) -> xr.Dataset:
    smallest = len(extremal.values) - largest
    ranks = [f"P.E.{i + 1}" for i in range(largest)] + [f"N.E.{i + 1}" for i in range(smallest)]
    peaks = extremal.vectors.gather(1, extremal.vectors.abs().argmax(1, keepdim=True))
    vectors = (extremal.vectors * peaks.sign()).to("cpu", operator.dtype)
    ratios = extremal.ratios.numpy()
    units = {"units": "nats per squared unit of weight"}
    return xr.Dataset(
        {
            "eigenvalue": ("rank", extremal.values.numpy(), units),
            "residual": ("rank", extremal.residuals.numpy(), {**units, "long_name": "|H v - lambda v|"}),
            "residual_ratio": ("rank", ratios, {"long_name": "residual / max(|lambda|, 0.01 max |lambda|)"}),
            "converged": ("rank", ratios <= tol),
            "eigenvector": (("rank", "parameter"), vectors.numpy(), {"long_name": "unit vectors"}),
            "node_eigenvalue": ("node", extremal.nodes.numpy(), units),
            "node_weight": ("node", extremal.weights.numpy(), {"units": "share of the eigenvalues"}),
        },
        coords={"rank": ranks},
        attrs={
            "products": extremal.products,
            "tol": tol,
            "largest_residual_ratio": float(ratios.max()),
            **operator.attributes,
        },
    )


def _kept(
    kind: str,
    name: str,
    settings: dict[str, object],
    operator: HessianOperator,
    compute: Callable[[Shelf], xr.Dataset],
) -> xr.Dataset:
    """Look a result up by its name, unless the model answers a few examples otherwise than it did then."""
    of_batch = {} if operator.bn == "keep" else {"bn": operator.bn}
    settings = {**settings, **of_batch, "kind": kind, "dtype": operator.dtype}
    named = {name: str(value) for name, value in settings.items()}
    key = store.fingerprint(operator.model, [operator.inputs, operator.targets], named)
    shelf = store.shelf("spectra", key)
    return store.remembered("spectra", key, name, lambda: compute(shelf), logits=operator.logits)


# --- density --------------------------------------------------------------------------------------------------


def hessian_density(
    model: nn.Module,
    data: Pairs,
    *,
    steps: int = 80,
    probes: int = 4,
    parameters: Parameters = None,
    bn: BatchNormStatistics = "keep",
    seed: int = 0,
    cache: bool = True,
    progress: bool = True,
) -> xr.Dataset:
    """Estimate the density of the Hessian's eigenvalues by stochastic Lanczos quadrature.

    rho = mean over probes of sum_i w_i delta(t - t_i), with nodes t_i the eigenvalues of the probe's tridiagonal matrix
    and w_i the squared first entries of its eigenvectors (Ghorbani et al. 2019, algorithm 1).

    Args:
        model, data, parameters, bn, cache: as for `hessian_eigenpairs`; products are in the model's dtype.
        steps: of Lanczos' method, products a probe; fewer where there are fewer parameters.
        probes: random vectors of which the density is the mean.
        seed: of the probes.
        progress: a bar over the products.

    Returns:
        Dataset over `probe` and `node`: `eigenvalue`, ascending, and `weight`, which sums to one over a probe's nodes.
        Where a probe's Krylov space ends early, the nodes left over have weight zero. See `smoothed_density`.

    Raises:
        ValueError: steps or probes below 1, an unknown layer, or unusable data.
        FloatingPointError: a product is not finite.
    """
    for name, value in (("steps", steps), ("probes", probes)):
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1")
    operator = HessianOperator(model, data, parameters=parameters, bn=bn)
    steps = min(steps, operator.size)

    def compute(shelf: Shelf | None) -> xr.Dataset:
        nodes, weights = np.zeros((2, probes, steps))
        with products_bar("Hessian density", steps * probes, progress) as tick:
            for i, sequence in enumerate(np.random.SeedSequence(seed).spawn(probes)):
                journal = Journal(shelf, f"density{PART}{i}")
                t, w = quadrature(_counted(operator, journal, tick), _gaussian(operator, sequence), steps)
                nodes[i], weights[i, : len(w)] = t[-1], w
                nodes[i, : len(t)] = t
        return xr.Dataset(
            {
                "eigenvalue": (("probe", "node"), nodes, {"units": "nats per squared unit of weight"}),
                "weight": (("probe", "node"), weights, {"units": "share of the eigenvalues"}),
            },
            attrs={"steps": steps, "seed": seed, **operator.attributes},
        )

    settings: dict[str, object] = {"steps": steps, "probes": probes, "seed": seed, "parameters": operator.names}
    return _kept("density", "density", settings, operator, compute) if cache else compute(None)


def density_beside(pairs: xr.Dataset) -> xr.Dataset:
    """Return the density that the products of `hessian_eigenpairs` give beside the pairs, of one probe.

    Its Krylov space starts at a random vector, as that of `hessian_density` does.

    Returns:
        As `hessian_density`; there are as many nodes as there were products, up to the first restart.
    """
    named = {"node_eigenvalue": "eigenvalue", "node_weight": "weight"}
    density = pairs[list(named)].rename(named).expand_dims("probe").assign_attrs(pairs.attrs)
    return density.assign_attrs(steps=density.sizes["node"])


def smoothed_density(density: xr.Dataset, *, width: float = 0.01, points: int = 500) -> xr.DataArray:
    """Smooth a density's nodes with a Gaussian kernel and average over the probes.

    Args:
        density: from `hessian_density`.
        width: standard deviation of the kernel, as a share of the range of the nodes.
        points: of the grid, which reaches five widths beyond the nodes.

    Returns:
        Array over `eigenvalue`, whose integral is one.
    """
    nodes, weights = density.eigenvalue.values, density.weight.values
    low, high = float(nodes.min()), float(nodes.max())
    sigma = width * ((high - low) or 1.0)
    grid = np.linspace(low - 5 * sigma, high + 5 * sigma, points)
    kernel = np.exp(-0.5 * ((grid - nodes.reshape(-1, 1)) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
    rho = (weights.reshape(-1, 1) * kernel).sum(0) / len(nodes)
    return xr.DataArray(rho, {"eigenvalue": grid}, name="density", attrs={"width": sigma})


def _gaussian(operator: HessianOperator, sequence: np.random.SeedSequence) -> Tensor:
    drawn = np.random.default_rng(sequence).standard_normal(operator.size)
    return torch.from_numpy(drawn).to(operator.device, operator.dtype)


def _counted(
    operator: HessianOperator, journal: Journal, tick: Callable[[int, float | None], None]
) -> Callable[[Tensor], Tensor]:
    def product(vector: Tensor) -> Tensor:
        with spent_on("landscapes"):
            image = journal.step(lambda: operator(vector))
        tick(0, None)
        return image

    return product
