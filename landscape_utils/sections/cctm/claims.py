"""What CI-1 to CI-5 ask of the CCTMs, one number a seed.

CI-1 and CI-3 on `glyphs10` check the instrument: the generator was adjusted, looking at these cells, until its known
pairs stood out. The first half of CI-5 is nearly an identity anywhere, for a recall is one minus its row's sum.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

import numpy as np
import xarray as xr

from landscape_utils.data.letters import KNOWN_PAIRS as GLYPH_PAIRS
from landscape_utils.interference.cctm import (
    ClassPairs,
    agreement,
    error_shares,
    interference_only,
    interferers,
    mean_cctm,
    recalls,
    symmetry,
    top_cells,
)
from landscape_utils.suite.claims import Judgement, judged, rank_correlation

Seeds = Sequence[Mapping[str, xr.DataArray]]  # CCTMs by architecture, for each seed
# Pairs that look alike, as the ledger names them; CI-1 asks of CIFAR-10 only that cat-dog leads.
KNOWN_PAIRS: dict[str, ClassPairs] = {"glyphs10": GLYPH_PAIRS, "cifar10": (("cat", "dog"), ("automobile", "truck"))}
LEADING_PAIRS: dict[str, ClassPairs] = {"glyphs10": GLYPH_PAIRS, "cifar10": (("cat", "dog"),)}


def largest_cells(seeds: Seeds, dataset: str) -> Judgement:
    """CI-1: how far the least cell of the known pairs lies above the largest other one, in the architectures' mean."""
    pairs = LEADING_PAIRS.get(dataset, ())
    means = [mean_cctm(by_model.values()) for by_model in seeds]
    leading = ", ".join(f"{a} as {b} {rate:.1%}" for a, b, rate in top_cells(mean_cctm(means), 4))
    if not pairs:
        return judged("CI-1", margin=f"no pair of {dataset} was named beforehand", note=f"Largest cells: {leading}.")
    named = ", ".join(f"{a}-{b}" for a, b in pairs)
    return judged(
        "CI-1",
        margin=[_margin(mean, pairs) for mean in means],
        note=f"Known pairs: {named}. Largest cells: {leading}.",
    )


def _margin(rates: xr.DataArray, pairs: ClassPairs) -> float:
    wanted = {cell for a, b in pairs for cell in ((a, b), (b, a))}
    cells = {(a, b): rate for a, b, rate in top_cells(rates, rates.size)}
    return min(cells[cell] for cell in wanted) - max(rate for cell, rate in cells.items() if cell not in wanted)


def is_symmetric(seeds: Seeds) -> Judgement:
    """CI-2: how far the cells' correlation with their transpose lies above 99 % of shuffles within rows.

    It is a mean over architectures.
    """
    return judged("CI-2", beyond_shuffled=[_mean(_beyond_shuffled, by_model) for by_model in seeds])


def _beyond_shuffled(rates: xr.DataArray) -> float:
    found = symmetry(rates, permutations=500)
    return float(found.correlation - np.quantile(found.null, 0.99))


def largest_share(seeds: Seeds, dataset: str) -> Judgement:
    """CI-3: the share of all test errors that the known pairs hold, or else the C/2 leading ones.

    Where no pair was named beforehand, the pairs are chosen on one half of the test images (a binomial split of the
    counts) and their share is measured on the other, so that choosing them does not count in their favour.
    """
    means = [mean_cctm(by_model.values()) for by_model in seeds]
    if means[0].sizes["true"] < 5:
        return judged("CI-3", share="it takes five classes or more")
    uniform = error_shares(means[0]).attrs["uniform_share"]
    known = KNOWN_PAIRS.get(dataset)
    if known is not None:
        values, count, which = [_share_of(mean, known) for mean in means], len(known), "known"
    else:
        count, which = means[0].sizes["true"] // 2, "leading"
        values = [_split_share(mean, count) for mean in means]
    note = f"The {count} {which} pairs would hold {count * uniform:.0%} if all pairs were alike."
    return judged("CI-3", share=values, note=note)


def _share_of(rates: xr.DataArray, pairs: ClassPairs) -> float:
    shares, wanted = error_shares(rates), {frozenset(pair) for pair in pairs}
    ends = zip(shares["first"].values, shares["second"].values, strict=True)
    inside = [frozenset((str(a), str(b))) in wanted for a, b in ends]
    return float(shares.where(inside).sum(skipna=True, min_count=1))


def _split_share(rates: xr.DataArray, count: int, splits: int = 200) -> float:
    """Choose the leading pairs on a random half of the errors, measure their share of the other half; the mean."""
    rng = np.random.default_rng(0)
    errors = np.nan_to_num(interference_only(rates).values) * rates["examples"].values[:, None]
    rows, columns = np.array(list(combinations(range(len(errors)), 2))).T
    both = np.rint(errors[rows, columns] + errors[columns, rows]).astype(int)
    if not both.sum():
        return np.nan
    values = []
    for _ in range(splits):
        half = rng.binomial(both, 0.5)
        chosen = np.argsort(-half, kind="stable")[:count]
        rest = both - half
        values.append(rest[chosen].sum() / max(rest.sum(), 1))
    return float(np.mean(values))


def same_hard_classes(seeds: Seeds) -> Judgement:
    """CI-4: Spearman's correlation of the classes' recalls, a mean over pairs of architectures."""
    if len(seeds[0]) < 2:
        return judged("CI-4", rho="it takes two architectures or more")
    found = [agreement({name: recalls(r) for name, r in by_model.items()}, permutations=0) for by_model in seeds]
    means = [mean_cctm(by_model.values()) for by_model in seeds]
    worst = recalls(mean_cctm(means)).to_series().nsmallest(2)
    note = "Lowest recalls: " + ", ".join(f"{name} {value:.0%}" for name, value in worst.items()) + "."
    return judged("CI-4", rho=[float(one.mean_correlation) for one in found], note=note)


def one_or_many(seeds: Seeds, threshold: float) -> Judgement:
    """CI-5: recall's rank correlations over classes with the strongest cell and with the number of interferers.

    Each is a mean over architectures.
    """

    def strongest(rates: xr.DataArray) -> float:
        return rank_correlation(interference_only(rates).max("predicted").values, recalls(rates).values)

    def number(rates: xr.DataArray) -> float:
        return rank_correlation(interferers(rates, threshold).sum("predicted").values, recalls(rates).values)

    return judged(
        "CI-5",
        strongest=[_mean(strongest, by_model) for by_model in seeds],
        number=[_mean(number, by_model) for by_model in seeds],
        note=f"An interferer's cell exceeds {threshold:.1%}.",
    )


def _mean(statistic: Callable[[xr.DataArray], float], by_model: Mapping[str, xr.DataArray]) -> float:
    """Average over the architectures; NaN where one of them has no such number."""
    return float(np.mean([statistic(rates) for rates in by_model.values()]))
