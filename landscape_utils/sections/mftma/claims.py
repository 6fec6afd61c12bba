"""Verdicts on the claims MG-1 to MG-6 and MG-13 to MG-16.

The criteria were written before any result on the notebook's own seeds was seen. The trial seed 100 settled how the
networks train, that radius and dimension are medians over manifolds (the mean was ruled by single manifolds whose
centre lay almost within the removed structure), that the layer of logits is left out, as the paper does, and when
memorization begins: MG-2 was first looked at in the epoch of best test accuracy, which lies on a plateau, late enough
for permuted labels to be half memorized already.

"Late" layers are the last quarter of those behind a nonlinearity, "early" ones the first half. Intervals are
Student's 95 % over seeds, those of shares Wilson's.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr

from landscape_utils.kit import Floats
from landscape_utils.memorization.embeddings import neighbour_accuracy
from landscape_utils.memorization.memorized import MEMORIZED
from landscape_utils.suite.claims import Judgement, judge, mean_text, rank_correlation, student, wilson

LEARNED = ("unpermuted", "restored", "test")
ALIKE = 1.25  # ratio up to which capacities count as equal
BEGUN = 2
STILL = 0.10  # relative change up to which a layer's capacity counts as unchanged


def memorizing(accuracies: xr.Dataset) -> Judgement:
    """MG-1: training reaches 99 % and test accuracy peaks before and falls.

    Args:
        accuracies: as `memorized.accuracies` gives.
    """
    test, train = accuracies["test_accuracy"], accuracies["train_accuracy"]
    last = train.sel(epoch=accuracies["last"]).values
    fall = test.sel(epoch=accuracies["best"]).values - test.sel(epoch=accuracies["last"]).values
    low, _ = student(fall)
    memorized = last >= MEMORIZED
    return judge(
        "MG-1",
        criterion="every seed's training accuracy on the permuted labels reaches 99 %, and test accuracy falls from "
        "its best to the last epoch: interval over seeds above 0",
        measured=f"training ends at {_span(last)}; test accuracy falls by {mean_text(fall)} from epoch "
        f"{_epochs(accuracies['best'])} to {_epochs(accuracies['last'])}",
        holds=bool(memorized.all()) and low > 0,
        effect=float(fall.mean()),
        interval=student(fall),
        reason="" if memorized.all() else "not every seed memorized within the epochs given",
        seeds=len(fall),
        clear=abs(low) > 0.01,
    )


def restored_first(accuracies: xr.Dataset) -> Judgement:
    """MG-2: until memorization begins restored labels are predicted better and better, although others are taught.

    Args:
        accuracies: as `memorized.accuracies` gives.
    """
    kinds, chance = accuracies["subset_accuracy"], float(accuracies["subset_accuracy"].isel(epoch=0).mean())
    restored, permuted = (kinds.sel(subset=name) for name in ("restored", "permuted"))
    begun = np.nan_to_num(permuted.values, nan=np.inf) > BEGUN * chance
    before = xr.DataArray(np.maximum(begun.argmax(1) - 1, 0), dims="seed")  # the last epoch before it
    gain = (restored.isel(epoch=before) - restored.isel(epoch=0)).values
    lead = (restored.isel(epoch=before) - permuted.isel(epoch=before)).values
    lost = (restored.isel(epoch=before) - restored.sel(epoch=accuracies["last"])).values
    lows = [student(gain)[0], student(lead)[0]]
    return judge(
        "MG-2",
        criterion=f"memorization begins when permuted accuracy first exceeds {BEGUN} times that at the initialisation: "
        "until then the accuracy on restored labels grows, and is above that on the permuted ones (both intervals "
        "over seeds above 0)",
        measured=f"before epoch {_epochs(before + 1)}: restored grows by {mean_text(gain)}, to {mean_text(lead)} above "
        f"permuted; until the end it falls by {mean_text(lost)}",
        holds=min(lows) > 0,
        effect=float(lead.mean()),
        interval=student(lead),
        seeds=len(lead),
        clear=all(abs(low) > 0.01 for low in lows),
    )


# --- geometry by layer ------------------------------------------------------------------------------------------


class Depths(NamedTuple):
    """Layers behind a nonlinearity, by where they stand."""

    every: list[str]
    early: list[str]
    late: list[str]


def depths(geometry: xr.Dataset) -> Depths:
    """Distinguish early from late layers; the pixels are neither."""
    names = [str(name) for name in geometry["layer"].values[geometry["depth"].values > 0]]
    return Depths(names, names[: max(1, len(names) // 2)], names[-max(1, round(len(names) / 4)) :])


def alike_at_best(geometry: xr.Dataset) -> Judgement:
    """MG-3: at the best epoch three subsets agree layer by layer, and permuted capacity is at its lower bound.

    Args:
        geometry: as `study.by_epoch` gives, with the epoch `best`.
    """
    best = geometry.sel(epoch="best", layer=depths(geometry).every)
    capacity = best["capacity"].mean("seed")
    three = capacity.sel(subset=list(LEARNED))
    ratio = three.max("subset") / three.min("subset")
    above = capacity.sel(subset="permuted") / best["lower_bound"].sel(subset="permuted").mean("seed")
    last = (best["capacity"] / best["lower_bound"]).sel(subset="permuted", layer=depths(geometry).every[-1]).values
    return judge(
        "MG-3",
        criterion="at every layer (means over seeds): the largest of the three capacities is at most "
        f"{ALIKE} times the smallest, and permuted capacity at most {ALIKE} times 2 / M",
        measured=f"largest over smallest: {_by_layer(ratio)}; permuted over its bound: {_by_layer(above)}",
        holds=bool((ratio <= ALIKE).all() and (above <= ALIKE).all()),
        effect=float(above[-1]),
        interval=student(last),
        seeds=len(last),
        clear=bool(abs(ratio.max() - ALIKE) > 0.05 and abs(above.max() - ALIKE) > 0.05),
    )


def late_layers_memorize(geometry: xr.Dataset, claim: str = "MG-4") -> Judgement:
    """MG-4, and MG-14 on spheres: permuted capacity rises in the late layers only, and restored capacity falls there.

    Args:
        geometry: as `study.by_epoch` gives, with the epochs best and final.
        claim: which of the two.
    """
    where = depths(geometry)
    change = geometry["capacity"].sel(epoch="final") / geometry["capacity"].sel(epoch="best") - 1
    late, early = (change.sel(layer=names).mean("layer") for names in (where.late, where.early))
    rises, falls = (late.sel(subset=subset).values for subset in ("permuted", "restored"))
    before = early.sel(subset="permuted").values
    up, down = student(rises), student(falls)
    return judge(
        claim,
        criterion=f"relative change of capacity from the best to the final epoch: permuted, mean of the last "
        f"{len(where.late)} layers, interval over seeds above 0; mean of the first {len(where.early)} within "
        f"{STILL:.0%}; restored, mean of the last {len(where.late)}, interval below 0",
        measured=f"permuted late {mean_text(rises, '+.0%')}, early {mean_text(before, '+.0%')}; "
        f"restored late {mean_text(falls, '+.0%')}",
        holds=up[0] > 0 and abs(float(before.mean())) <= STILL and down[1] < 0,
        effect=float(rises.mean()),
        interval=up,
        seeds=len(rises),
        clear=abs(up[0]) > 0.03 and abs(down[1]) > 0.03 and abs(abs(before.mean()) - STILL) > 0.02,
    )


def shrinking_with_depth(geometry: xr.Dataset) -> Judgement:
    """MG-5: radius and dimension fall with depth, at the best epoch, in the three subsets of learned classes."""
    best = geometry.sel(epoch="best", layer=depths(geometry).every)
    rho = {
        (quantity, subset): np.array(
            [rank_correlation(best["depth"].values, row) for row in best[quantity].sel(subset=subset)]
        )
        for quantity in ("radius", "dimension")
        for subset in LEARNED
    }
    highest = max(student(values)[1] for values in rho.values())
    weakest = max(rho.values(), key=np.mean)
    return judge(
        "MG-5",
        criterion="Spearman's correlation with depth at the best epoch, of unpermuted, restored and test manifolds, is "
        "below 0 for radius and dimension: all six intervals over seeds",
        measured="; ".join(f"{quantity}, {subset}: {mean_text(values)}" for (quantity, subset), values in rho.items()),
        holds=highest < 0,
        effect=float(weakest.mean()),
        interval=student(weakest),
        seeds=len(weakest),
        clear=abs(highest) > 0.05,
    )


# --- capacities -------------------------------------------------------------------------------------------------


def theory_matches(counted: xr.Dataset) -> Judgement:
    """MG-6: mean-field capacity matches the empirical one.

    Args:
        counted: as `study.capacities` gives.
    """
    by_pair = (counted["mean_field"] / counted["empirical"]).stack(pair=("subset", "layer"))
    known = by_pair.dropna("pair")
    criterion = "in every layer and subset mean-field over empirical capacity lies between 0.8 and 1.25"
    if not known.size:
        reason = "no layer has enough features for half of all dichotomies to be separable"
        return judge("MG-6", criterion=criterion, measured="-", holds=None, reason=reason)
    off = np.abs(np.log(known.values))
    worst = known[int(off.argmax())]
    missing = by_pair.size - known.size
    return judge(
        "MG-6",
        criterion=criterion,
        measured=f"{int((off <= np.log(ALIKE)).sum())} of {known.size} pairs; median ratio {known.median():.2f}; worst "
        f"{worst:.2f} ({' in '.join(worst['pair'].item())})",
        holds=bool(off.max() <= np.log(ALIKE)),
        effect=float(known.median()),
        reason=f"{missing} pairs have too few features for an empirical capacity" if missing else "",
        clear=abs(off.max() - np.log(ALIKE)) > 0.05,
    )


def balls_match(geometry: xr.Dataset) -> Judgement:
    """MG-16: capacity is close to that of balls of the manifolds' radius and dimension."""
    ratio = (geometry["capacity"] / geometry["ball_capacity"]).values.ravel()
    ratio = ratio[np.isfinite(ratio)]
    off = np.abs(np.log(ratio))
    return judge(
        "MG-16",
        criterion="over all layers, epochs, subsets and seeds, capacity over that of the balls lies between 0.8 and "
        "1.25 in at least 95 % of cases",
        measured=f"{np.mean(off <= np.log(ALIKE)):.0%} of {len(ratio)}; median ratio {np.median(ratio):.2f}, "
        f"{np.quantile(ratio, 0.025):.2f} to {np.quantile(ratio, 0.975):.2f} in the middle 95 %",
        holds=bool(np.mean(off <= np.log(ALIKE)) >= 0.95),
        effect=float(np.median(ratio)),
        interval=(float(np.quantile(ratio, 0.025)), float(np.quantile(ratio, 0.975))),
        clear=abs(np.mean(off <= np.log(ALIKE)) - 0.95) > 0.02,
    )


def share_of_permuted(geometry: xr.Dataset, layers: list[str]) -> Judgement:
    """MG-15: early capacity hardly depends on epsilon; at the last layer test falls and permuted manifolds separate.

    Args:
        geometry: as `study.by_epsilon` gives.
        layers: the first, the middle and the last.
    """
    capacity = geometry["capacity"].mean("seed")
    test = capacity.sel(subset="test")
    spread = {layer: float(test.sel(layer=layer).max() / test.sel(layer=layer).min()) for layer in layers[:2]}
    rho = rank_correlation(geometry["epsilon"].values, test.sel(layer=layers[-1]).values)
    noisy = capacity.sel(subset="permuted", layer=layers[-1]).where(geometry["epsilon"] > 0, drop=True)
    apart = (noisy / geometry["lower_bound"].mean("seed").sel(subset="permuted", layer=layers[-1])).min()
    return judge(
        "MG-15",
        criterion="over epsilon, test capacity at the first and the middle layer changes by at most a factor of "
        f"{ALIKE}; at the last it falls (Spearman's rho at most -0.8), and permuted capacity is above {ALIKE} times "
        "2 / M for every epsilon above 0",
        measured="largest over smallest test capacity "
        + ", ".join(f"{v:.2f} ({k})" for k, v in spread.items())
        + f"; at {layers[-1]} rho = {rho:.2f}, permuted at least {float(apart):.2f} times 2 / M",
        holds=max(spread.values()) <= ALIKE and rho <= -0.8 and float(apart) > ALIKE,
        effect=rho,
        reason="one seed at each other share" if _fewest(geometry) < 2 else "",
        clear=all(abs(v - ALIKE) > 0.05 for v in (*spread.values(), float(apart))),
    )


# --- planes ---------------------------------------------------------------------------------------------------


def planes_separate(planes: xr.Dataset, middle: str, last: str) -> Judgement:
    """MG-13: in UMAP's plane of the last layer permuted examples separate only at the end; restored ones stay apart.

    Args:
        planes: as `embeddings.planes` gives, at the epochs best and final.
        middle, last: layers.
    """

    def share(epoch: str, layer: str, subset: str) -> tuple[float, tuple[float, float]]:
        position = planes["position"].sel(epoch=epoch, layer=layer).values
        hits, of = neighbour_accuracy(position, planes["label"].sel(subset=subset).values)
        return hits / of, wilson(hits, of)

    best = {subset: share("best", last, subset) for subset in (*LEARNED, "permuted")}
    end = {subset: share("final", last, subset) for subset in ("restored", "permuted")}
    inner = {subset: share("final", middle, subset) for subset in ("restored", "permuted")}
    others = min(best[subset][1][0] for subset in LEARNED)
    order = (
        others > best["permuted"][1][1],  # separate at the best epoch, permuted ones not
        end["permuted"][1][0] > best["permuted"][1][1],  # these at the end
        end["restored"][1][1] < best["restored"][1][0],  # where the restored ones no longer do
        inner["restored"][1][0] > inner["permuted"][1][1],  # but still in the middle
    )
    said = {
        f"{last}, best": best,
        f"{last}, final": end,
        f"{middle}, final": inner,
    }
    return judge(
        "MG-13",
        criterion="share of examples whose class most of their ten neighbours in the plane have: at the best epoch, "
        "last layer, unpermuted, restored and test each above permuted; permuted higher, and restored lower, at the "
        "final epoch; in the middle layer restored above permuted still (all: Wilson's 95 % intervals apart)",
        measured="; ".join(
            f"{place}: " + ", ".join(f"{subset} {value:.0%}" for subset, (value, _) in shares.items())
            for place, shares in said.items()
        ),
        holds=all(order),
        effect=end["permuted"][0] - best["permuted"][0],
        reason="one seed",
        clear=sum(order) != 3,
    )


# --- small things ------------------------------------------------------------------------------------------------


def _span(values: Floats) -> str:
    return f"{values.min():.1%} to {values.max():.1%}"


def _epochs(values: xr.DataArray) -> str:
    return ", ".join(str(int(v)) for v in values.values)


def _by_layer(values: xr.DataArray) -> str:
    return ", ".join(f"{float(v):.2f}" for v in values)


def _fewest(geometry: xr.Dataset) -> int:
    """Count the seeds at the share that has the fewest."""
    return int(geometry["train_accuracy"].notnull().sum("seed").min())
