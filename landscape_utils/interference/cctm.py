"""Which class is taken for which, how symmetrically, and what that costs (class interference, section 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
import psutil
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor, nn

from landscape_utils.data.pairs import Pairs, class_names
from landscape_utils.engine.inference import Outcomes, confusion_counts, confusion_rates, outcomes
from landscape_utils.kit.errors import distinct

ClassPair = tuple[str, str]
ClassPairs = Sequence[ClassPair]

CELL = 24  # bytes a cell of a CCTM takes while it is made: its count, the count as a float, the rate
ROUNDING = 1e-9  # what a row of rates may lack of 1 without a NaN prediction


def cctm(model: nn.Module, data: Pairs, *, classes: Sequence[str] | None = None) -> xr.DataArray:
    """Measure how often each class is taken for each other one.

    CCTM(a, b) = #{class-a examples predicted b} / #{class-a examples}   (class interference, section 2.1)

    Args:
        model: classifier; its logits have shape (N, C).
        data: inputs (N, ...) and targets (N,), or a DataLoader of such pairs.
        classes: C names; by default those the data carry, else the indices.

    Returns:
        Array (true, predicted) of rates in [0, 1]; rows sum to 1 (less where a prediction was NaN), NaN where a class
        has no example. The coordinate `examples` counts each class's examples.

    Raises:
        ValueError: a target lies outside the model's C classes, there are not C different names, or the table is
            larger than the memory that is free.
    """
    return cctm_of(outcomes(model, data), class_names(data) if classes is None else classes)


def cctm_of(result: Outcomes, classes: Sequence[str] | None = None) -> xr.DataArray:
    """Build the CCTM from outcomes that were already computed; see `cctm`."""
    names = list(distinct(range(result.classes) if classes is None else classes, "the model's classes", result.classes))
    examples = torch.bincount(result.targets, minlength=result.classes)
    return xr.DataArray(
        _rates(result).numpy(),
        dims=("true", "predicted"),
        coords={"true": names, "predicted": names, "examples": ("true", examples.numpy())},
        name="cctm",
        attrs={"long_name": "cross-class test matrix", "units": "share of the true class"},
    )


def _rates(result: Outcomes) -> Tensor:
    """Divide confusion counts by each class's examples, in float64, or say that the table is too large."""
    size = CELL * result.classes**2
    try:
        if size < psutil.virtual_memory().available:
            counts = confusion_counts(result.targets, result.predicted, result.classes)
            return confusion_rates(counts, result.targets)
    except (MemoryError, RuntimeError) as error:  # of a process that may not take all that is free
        if "allocate" not in str(error):
            raise
    raise ValueError(
        f"a CCTM of {result.classes:,} classes takes {size / 2**30:,.0f} GiB, more than there is; group the classes, "
        "or take outcomes(model, data), which holds one prediction an example"
    )


def mean_cctm(several: Iterable[xr.DataArray]) -> xr.DataArray:
    """Average CCTMs of the same test images, over seeds or architectures."""
    rates: xr.DataArray = xr.concat(list(several), dim="model").mean("model", keep_attrs=True)
    return rates


def by_model(several: Mapping[str, xr.DataArray]) -> xr.Dataset:
    """Stack CCTMs or recalls of several models into one Dataset over `model`."""
    names = list(distinct(several, "the models"))
    return xr.concat(several.values(), dim="model").assign_coords(model=names).to_dataset()


def recalls(rates: xr.DataArray) -> xr.DataArray:
    """Read the diagonal of a CCTM: the share of each class that is recognised; shape (true,)."""
    index = xr.DataArray(np.arange(rates.sizes["true"]), dims="true")
    return rates.isel(predicted=index).drop_vars("predicted").rename("recall")


def interference_only(rates: xr.DataArray) -> xr.DataArray:
    """Leave the diagonal of a CCTM out (NaN there)."""
    return rates.where(~np.eye(rates.sizes["true"], dtype=bool))


def top_cells(rates: xr.DataArray, count: int) -> list[tuple[str, str, float]]:
    """List the largest off-diagonal cells as (true, predicted, rate), largest first; missing classes have none."""
    values = interference_only(rates).values
    order = np.argsort(-values, axis=None, kind="stable")[: min(count, int(np.isfinite(values).sum()))]
    rows, columns = np.unravel_index(order, values.shape)
    names = rates["true"].values
    return [(str(names[a]), str(names[b]), float(values[a, b])) for a, b in zip(rows, columns, strict=True)]


def symmetry(rates: xr.DataArray, *, permutations: int = 2000, seed: int = 0) -> xr.Dataset:
    """Correlate the off-diagonal cells with their transpose, against shuffled rows.

    r = corr(CCTM(a, b), CCTM(b, a)) over a != b. Under the null each row's off-diagonal cells are shuffled, so
    every class keeps its error rate and only its partners are random; p = (1 + #{null >= r}) / (1 + permutations).

    Args:
        rates: CCTM; classes without an example are left out.
        permutations: size of the null sample.
        seed: of the shuffles.

    Returns:
        Dataset with `correlation`, `p_value` and `null` (permutation,). A constant matrix gives NaN, as
        does one of fewer than two classes.
    """
    present = np.flatnonzero(rates.notnull().all("predicted").values)
    matrix = rates.values[np.ix_(present, present)]
    rng, off = np.random.default_rng(seed), ~np.eye(len(matrix), dtype=bool)
    observed, rows = _transpose_correlation(matrix, off), matrix[off].reshape(len(matrix), max(0, len(matrix) - 1))
    null = np.empty(permutations)
    shuffled = matrix.copy()
    for i in range(permutations):
        shuffled[off] = rng.permuted(rows, axis=1).ravel()
        null[i] = _transpose_correlation(shuffled, off)
    p = np.nan if np.isnan(observed) else (1 + np.sum(null >= observed)) / (1 + permutations)
    return xr.Dataset({"correlation": observed, "p_value": p, "null": ("permutation", null)})


def _transpose_correlation(matrix: NDArray[np.float64], off: NDArray[np.bool_]) -> float:
    x, y = matrix[off], matrix.T[off]
    if not len(x):
        return np.nan
    x, y = x - x.mean(), y - y.mean()
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / scale if scale > 0 else np.nan


def error_shares(rates: xr.DataArray) -> xr.DataArray:
    """Share all errors out to the unordered pairs of classes, largest first.

    share{a, b} = (n_a CCTM(a, b) + n_b CCTM(b, a)) / sum over all pairs, with n_a examples of class a.

    Returns:
        Array (pair,) that sums to 1 (NaN without any error), with coordinates `first` and `second`; attribute
        `uniform_share` = 2 / (C (C - 1)), what each pair would hold if errors fell anywhere alike (NaN without a pair).
        A NaN prediction is no pair's error.
    """
    names = [str(n) for n in rates["true"].values]
    errors = np.nan_to_num(rates.values) * rates["examples"].values[:, None]
    both = errors + errors.T
    pairs = list(combinations(range(len(names)), 2))
    counts = np.array([both[a, b] for a, b in pairs])
    order = np.argsort(-counts, kind="stable")
    total, uniform = counts.sum(), 1 / len(pairs) if pairs else np.nan
    return xr.DataArray(
        counts[order] / total if total else np.full(len(pairs), np.nan),
        dims="pair",
        coords={
            "pair": [f"{names[pairs[i][0]]}-{names[pairs[i][1]]}" for i in order],
            "first": ("pair", [names[pairs[i][0]] for i in order]),
            "second": ("pair", [names[pairs[i][1]] for i in order]),
        },
        name="error_share",
        attrs={"units": "share of all errors", "errors": float(total), "uniform_share": uniform},
    )


def interferers(rates: xr.DataArray, threshold: float = 0.005) -> xr.DataArray:
    """Mark the classes that interfere with each class: off-diagonal cells above a threshold.

    The paper's threshold is 0.005 (appendix). With n examples a class, one error weighs 1/n.

    Returns:
        Boolean array (true, predicted); summing over `predicted` counts interferers.

    Raises:
        ValueError: the threshold lies outside [0, 1].
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold is {threshold}; rates lie in [0, 1]")
    return (interference_only(rates) > threshold).rename("interferes")


def agreement(by_model: Mapping[str, xr.DataArray], *, permutations: int = 2000, seed: int = 0) -> xr.Dataset:
    """Ask whether the hardest classes are the same for different models, by rank correlation of their recalls.

    Args:
        by_model: recalls (true,) by model, two models or more; classes missing from one are left out.
        permutations: size of the null sample, in which each model's recalls are shuffled over the classes.
        seed: of the shuffles.

    Returns:
        Dataset: `correlation` (model, other) of Spearman coefficients, their mean over pairs `mean_correlation`,
        and `p_value` of that mean.

    Raises:
        ValueError: fewer than two models.
    """
    if len(by_model) < 2:
        raise ValueError(f"agreement needs two models or more, and {len(by_model)} was given")
    names = list(by_model)
    values = np.stack([by_model[name].values for name in names])
    values = values[:, np.isfinite(values).all(0)]
    ranks = pd.DataFrame(values).rank(axis=1).to_numpy()
    pairs = np.triu_indices(len(names), 1)
    with np.errstate(invalid="ignore"):  # equal recalls have no rank correlation: NaN
        correlation = np.corrcoef(ranks)
    if np.isnan(correlation).any():
        permutations = 0
    rng = np.random.default_rng(seed)
    null = np.array([np.corrcoef(rng.permuted(ranks, axis=1))[pairs].mean() for _ in range(permutations)])
    mean = float(correlation[pairs].mean())
    p = np.nan if np.isnan(mean) else (1 + np.sum(null >= mean)) / (1 + permutations)
    return xr.Dataset(
        {
            "correlation": (("model", "other"), correlation),
            "mean_correlation": mean,
            "p_value": p,
        },
        coords={"model": names, "other": names},
    )


def bootstrap_interval(
    rates: xr.DataArray, statistic: Callable[[xr.DataArray], float], *, draws: int = 500, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % percentile interval of a statistic of the CCTM when the examples are drawn anew.

    Each row is redrawn from a multinomial with its own rates and number of examples: what another test set of the
    same size would have shown, the model being the same.

    Args:
        rates: CCTM with the coordinate `examples`.
        statistic: any number computed from a CCTM.
        draws: bootstrap samples.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    values = [statistic(resample(rates, rng)) for _ in range(draws)]
    low, high = np.nanpercentile(values, [2.5, 97.5]) if np.isfinite(values).any() else (np.nan, np.nan)
    return float(low), float(high)


def resample(rates: xr.DataArray, rng: np.random.Generator) -> xr.DataArray:
    """Draw a CCTM that another test set of the same size might have given: each row from its own multinomial."""
    rows = [_redrawn(int(n), row, rng) for n, row in zip(rates["examples"].values, rates.values, strict=True)]
    return rates.copy(data=np.stack(rows))


def _redrawn(n: int, rates: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    if not n:
        return np.full(len(rates), np.nan)
    lost = 1 - rates.sum()  # NaN predictions; NumPy would give them to the last class
    drawn = rng.multinomial(n, [*rates, lost])[:-1] if lost > ROUNDING else rng.multinomial(n, rates)
    return drawn / n
