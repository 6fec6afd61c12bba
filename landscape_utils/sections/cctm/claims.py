"""Verdicts on the claims CI-1 to CI-5.

The criteria of CI-2 to CI-5 were written before their first result was seen. CI-1 on `glyphs10` is different: the
generator was adjusted, looking at these cells, until its known pairs stood out, so there the verdict checks the
instrument and is no evidence for the paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import combinations

import numpy as np
import xarray as xr

from landscape_utils.data.letters import KNOWN_PAIRS as GLYPH_PAIRS
from landscape_utils.interference.cctm import (
    ClassPairs,
    agreement,
    bootstrap_interval,
    error_shares,
    interference_only,
    interferers,
    mean_cctm,
    recalls,
    symmetry,
    top_cells,
)
from landscape_utils.suite.claims import Judgement, judge, rank_correlation

# Pairs that look alike, as the ledger names them; CI-1 asks of CIFAR-10 only that cat-dog leads.
KNOWN_PAIRS: dict[str, ClassPairs] = {"glyphs10": GLYPH_PAIRS, "cifar10": (("cat", "dog"), ("automobile", "truck"))}
LEADING_PAIRS: dict[str, ClassPairs] = {"glyphs10": GLYPH_PAIRS, "cifar10": (("cat", "dog"),)}


def largest_cells(by_model: Mapping[str, xr.DataArray], dataset: str) -> Judgement:
    """CI-1: the largest cells of the CCTM, averaged over the architectures, are the known pairs, both ways."""
    pairs = LEADING_PAIRS.get(dataset, ())
    wanted = {cell for a, b in pairs for cell in ((a, b), (b, a))}
    criterion = f"the {len(wanted)} largest cells, averaged over architectures, are those of {_named(pairs)}, both ways"
    if not pairs:
        return judge(
            "CI-1",
            criterion="the largest cells are the known pairs",
            measured=_cells(mean_cctm(by_model.values()), 4),
            holds=None,
            reason=f"no pair of {dataset} was named beforehand",
        )
    mean = mean_cctm(by_model.values())
    cells = top_cells(mean, mean.size)
    inside = [rate for a, b, rate in cells if (a, b) in wanted]
    outside = [rate for a, b, rate in cells if (a, b) not in wanted]
    margin = min(inside) - max(outside)
    return judge(
        "CI-1",
        criterion=criterion,
        measured=f"smallest of them {min(inside):.1%}, largest other cell {max(outside):.1%}; {_cells(mean, 4)}",
        holds=margin > 0,
        effect=margin,
        clear=abs(margin) > _one_image(mean),
    )


def is_symmetric(by_model: Mapping[str, xr.DataArray]) -> Judgement:
    """CI-2: in every architecture the off-diagonal cells correlate with their transpose beyond the null."""
    results = {name: symmetry(rates) for name, rates in by_model.items()}
    criterion = "in every architecture r of the cells with their transpose exceeds shuffled rows, p < 0.01"
    r = {name: float(result["correlation"]) for name, result in results.items()}
    p = max(float(result["p_value"]) for result in results.values())
    missing = [name for name, value in r.items() if not np.isfinite(value)]
    if missing:
        return judge(
            "CI-2",
            criterion=criterion,
            measured="-",
            holds=None,
            reason=f"{missing[0]} has no errors, or all its cells are alike",
        )
    least = min(r, key=lambda name: r[name])
    interval = bootstrap_interval(by_model[least], lambda rates: float(symmetry(rates, permutations=1)["correlation"]))
    return judge(
        "CI-2",
        criterion=criterion,
        measured=", ".join(f"{name} r = {value:.2f}" for name, value in r.items()) + f"; largest p = {p:.4f}",
        holds=p < 0.01,
        effect=r[least],
        interval=interval,
        clear=p < 0.002 or p > 0.05,
    )


def largest_share(by_model: Mapping[str, xr.DataArray], dataset: str) -> Judgement:
    """CI-3: the known pairs, or the C/2 leading pairs, hold more than half of all test errors.

    Where no pair was named beforehand, the pairs are chosen on one half of the test images (a binomial split of the
    counts) and their share is measured on the other, so that choosing them does not count in their favour.
    """
    mean = mean_cctm(by_model.values())
    if mean.sizes["true"] < 5 or not error_shares(mean).attrs["errors"]:
        return judge(
            "CI-3",
            criterion="the leading pairs hold more than half of all test errors",
            measured="-",
            holds=None,
            reason="it takes five classes or more, and some errors",
        )
    known = KNOWN_PAIRS.get(dataset)
    if known is not None:
        names = [f"{a}-{b}" for a, b in known]

        def share(rates: xr.DataArray) -> float:
            shares = error_shares(rates)
            return float(shares.where(_either_way(shares, known)).sum())

        value = share(mean)
        interval: tuple[float, float] | None = bootstrap_interval(mean, share)
        what = f"the {len(names)} known pairs"
        uniform = len(names) * error_shares(mean).attrs["uniform_share"]
    else:
        count = mean.sizes["true"] // 2
        value, interval = _split_share(mean, count), None
        what = f"the {count} leading pairs (chosen on one half of the test images, measured on the other)"
        uniform = count * error_shares(mean).attrs["uniform_share"]
    return judge(
        "CI-3",
        criterion=f"{what} hold more than half of all test errors",
        measured=f"{value:.0%} of the errors, against {uniform:.0%} if all pairs were alike",
        holds=value > 0.5,
        effect=value,
        interval=interval,
        clear=abs(value - 0.5) > 0.1 if interval is None else not interval[0] < 0.5 < interval[1],
    )


def same_hard_classes(by_model: Mapping[str, xr.DataArray]) -> Judgement:
    """CI-4: recalls rank the classes alike: mean Spearman correlation of at least 0.5, p < 0.05."""
    criterion = "mean rank correlation of recalls over pairs of architectures at least 0.5, and p < 0.05"
    if len(by_model) < 2:
        return judge("CI-4", criterion=criterion, measured="-", holds=None, reason="it takes two architectures or more")
    result = agreement({name: recalls(rates) for name, rates in by_model.items()})
    rho, p = float(result["mean_correlation"]), float(result["p_value"])
    if not np.isfinite(rho):
        reason = "an architecture's recalls are all alike, so they have no rank"
        return judge("CI-4", criterion=criterion, measured="-", holds=None, reason=reason)
    worst = recalls(mean_cctm(by_model.values())).to_series().nsmallest(2)
    return judge(
        "CI-4",
        criterion=criterion,
        measured=f"mean rho = {rho:.2f}, p = {p:.4f}; lowest recalls: "
        + ", ".join(f"{name} {value:.1%}" for name, value in worst.items()),
        holds=rho >= 0.5 and p < 0.05,
        effect=rho,
        clear=abs(rho - 0.5) > 0.1 and not 0.02 < p < 0.1,
    )


def one_or_many(by_model: Mapping[str, xr.DataArray], threshold: float) -> Judgement:
    """CI-5: over classes and architectures recall falls with the strongest cell and with the number of interferers.

    Both rank correlations with recall must be negative with 95 % intervals (test images drawn anew) below zero.
    """

    def correlation(kind: str, rates: xr.DataArray) -> float:
        if kind == "strongest":
            pressure = interference_only(rates).max("predicted")
        else:
            pressure = interferers(rates, threshold).sum("predicted")
        return rank_correlation(pressure.values, recalls(rates).values)

    criterion = (
        f"recall's rank correlations with the strongest cell and with the number of interferers above {threshold:.1%} "
        "are both negative, 95 % intervals below 0 (means over architectures)"
    )

    values = [np.mean([correlation(kind, r) for r in by_model.values()]) for kind in ("strongest", "number")]
    if not np.isfinite(values).all():
        reason = "recalls, or numbers of interferers, are all alike in an architecture, so they have no rank"
        return judge("CI-5", criterion=criterion, measured="-", holds=None, reason=reason)
    # All architectures saw the same test images, so their intervals are averaged as if they erred together: rather
    # too wide than too narrow.
    intervals = np.array(
        [
            np.mean([bootstrap_interval(r, partial(correlation, kind), draws=200) for r in by_model.values()], axis=0)
            for kind in ("strongest", "number")
        ]
    )
    upper = float(intervals[:, 1].max())
    return judge(
        "CI-5",
        criterion=criterion,
        measured=f"rho = {values[0]:.2f} with the strongest, {values[1]:.2f} with the number "
        f"({_range(intervals[0])} and {_range(intervals[1])})",
        holds=upper < 0,
        effect=float(values[1]),
        interval=(float(intervals[1][0]), float(intervals[1][1])),
        clear=abs(upper) > 0.1,
    )


def _either_way(shares: xr.DataArray, pairs: ClassPairs) -> list[bool]:
    wanted = {frozenset(pair) for pair in pairs}
    return [
        frozenset((str(a), str(b))) in wanted
        for a, b in zip(shares["first"].values, shares["second"].values, strict=True)
    ]


def _split_share(rates: xr.DataArray, count: int, splits: int = 200) -> float:
    """Choose the leading pairs on a random half of the errors, measure their share of the other half; the mean."""
    rng = np.random.default_rng(0)
    errors = np.nan_to_num(interference_only(rates).values) * rates["examples"].values[:, None]
    rows, columns = np.array(list(combinations(range(len(errors)), 2))).T
    both = np.rint(errors[rows, columns] + errors[columns, rows]).astype(int)
    values = []
    for _ in range(splits):
        half = rng.binomial(both, 0.5)
        chosen = np.argsort(-half, kind="stable")[:count]
        rest = both - half
        values.append(rest[chosen].sum() / max(rest.sum(), 1))
    return float(np.mean(values))


def _one_image(rates: xr.DataArray) -> float:
    return 1 / float(rates["examples"].max())


def _cells(rates: xr.DataArray, count: int) -> str:
    return ", ".join(f"{a} as {b} {rate:.1%}" for a, b, rate in top_cells(rates, count))


def _named(pairs: ClassPairs) -> str:
    return ", ".join(f"{a}-{b}" for a, b in pairs)


def _range(interval: Sequence[float]) -> str:
    return f"{interval[0]:.2f} to {interval[1]:.2f}"
