"""What MG-1 to MG-6 and MG-13 to MG-16 ask of courses, manifolds and planes, one number a seed.

Trials on the seed 100, before the first result on the notebook's own, settled that radius and dimension are medians
over manifolds (the mean was ruled by single manifolds whose centre lay almost within the removed structure), that the
layer of logits is left out, as the paper does, and when memorization begins: MG-2 was first looked at in the epoch of
best test accuracy, which lies on a plateau, late enough for permuted labels to be half memorized already.

"Late" layers are the last quarter of those behind a nonlinearity, "early" ones the first half.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr

from landscape_utils.kit import Floats
from landscape_utils.suite.claims import Judgement, judged, rank_correlation

LEARNED = ("unpermuted", "restored", "test")
ALIKE = 1.25  # ratio up to which capacities count as equal
BEGUN = 0.1  # of the way from chance to 1
NO_MANY = "this profile trains on no further data of many classes"


def memorizing(accuracies: xr.Dataset) -> Judgement:
    """MG-1: what training accuracy ends at, and how far test accuracy falls from its best to the last epoch.

    Args:
        accuracies: as `memorized.accuracies` gives.
    """
    test, last = accuracies["test_accuracy"], accuracies["last"]
    return judged(
        "MG-1",
        memorized=accuracies["train_accuracy"].sel(epoch=last),
        falls=test.sel(epoch=accuracies["best"]).values - test.sel(epoch=last).values,
        note=f"Best epoch {_epochs(accuracies['best'])}, last epoch {_epochs(last)}.",
    )


def restored_first(accuracies: xr.Dataset) -> Judgement:
    """MG-2: how the accuracy on restored labels does until permuted accuracy has left chance.

    Args:
        accuracies: as `memorized.accuracies` gives.
    """
    kinds, chance = accuracies["subset_accuracy"], float(accuracies["subset_accuracy"].isel(epoch=0).mean())
    restored, permuted = (kinds.sel(subset=name) for name in ("restored", "permuted"))
    begun = (permuted > chance + BEGUN * (1 - chance)).transpose("seed", "epoch").values
    if not begun.any(1).all():
        reason = "not in every seed are permuted labels learned"
        return judged("MG-2", gain=reason, lead=reason)
    before = xr.DataArray(np.maximum(begun.argmax(1) - 1, 0), dims="seed")  # the last epoch before it
    lost = restored.isel(epoch=before).values - restored.sel(epoch=accuracies["last"]).values
    return judged(
        "MG-2",
        gain=restored.isel(epoch=before).values - restored.isel(epoch=0).values,
        lead=(restored - permuted).isel(epoch=before),
        note=f"Memorization begins in epoch {_epochs(before + 1)}; until the end restored accuracy falls by "
        f"{lost.mean():.0%}.",
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
    """MG-3: how far three subsets' capacities are apart at the best epoch, and permuted ones from their lower bound.

    Args:
        geometry: as `study.by_epoch` gives, with the epoch `best`.
    """
    best = geometry.sel(epoch="best", layer=depths(geometry).every)
    three = best["capacity"].sel(subset=list(LEARNED))
    ratio = three.max("subset") / three.min("subset")
    above = (best["capacity"] / best["lower_bound"]).sel(subset="permuted")
    return judged(
        "MG-3",
        agree=ratio.max("layer"),
        bound=above.max("layer"),
        note=f"Largest over smallest {_by_layer(ratio.mean('seed'))}; permuted over its bound "
        f"{_by_layer(above.mean('seed'))}.",
    )


def late_layers_memorize(geometry: xr.Dataset, claim: str = "MG-4") -> Judgement:
    """MG-4, and MG-14 on spheres: the relative changes of capacity from the best to the final epoch.

    Args:
        geometry: as `study.by_epoch` gives, with the epochs best and final.
        claim: which of the two.
    """
    where = depths(geometry)
    change = geometry["capacity"].sel(epoch="final") / geometry["capacity"].sel(epoch="best") - 1
    late = change.sel(layer=where.late).mean("layer")
    return judged(
        claim,
        late=late.sel(subset="permuted"),
        early=xr.apply_ufunc(np.abs, change.sel(subset="permuted", layer=where.early)).mean("layer"),
        restored=late.sel(subset="restored"),
        note=f"Late: {', '.join(where.late)}; early: {', '.join(where.early)}.",
    )


def shrinking_with_depth(geometry: xr.Dataset) -> Judgement:
    """MG-5: how radius and dimension go with depth at the best epoch (Spearman), weakest of three subsets."""
    best = geometry.sel(epoch="best", layer=depths(geometry).every, subset=list(LEARNED))
    rho = {
        name: [
            max(rank_correlation(best["depth"].values, row) for row in of_seed.transpose("subset", "layer").values)
            for of_seed in best[name].transpose("seed", ...)
        ]
        for name in ("radius", "dimension")
    }
    return judged("MG-5", radius=rho["radius"], dimension=rho["dimension"])


# --- capacities -------------------------------------------------------------------------------------------------


def theory_matches(counted: xr.Dataset, many: xr.Dataset | None) -> Judgement:
    """MG-6: the largest factor between mean-field and empirical capacity, over layers and subsets.

    Args:
        counted: as `study.capacities` gives.
        many: the same for many classes, if there is such.
    """
    off, of_many = _factors(counted), None if many is None else _factors(many)
    return judged(
        "MG-6",
        factor=_worst(off),
        many=NO_MANY if of_many is None else _worst(of_many),
        note=_close(off) + ("" if of_many is None else f" Many classes: {_close(of_many)}"),
    )


def _factors(counted: xr.Dataset) -> xr.DataArray:
    """Divide mean-field by empirical capacity, over (seed, pair); pairs that no seed could count are left out."""
    return (counted["mean_field"] / counted["empirical"]).stack(pair=("subset", "layer")).dropna("pair", how="all")


def _worst(ratio: xr.DataArray) -> xr.DataArray | str:
    if not ratio.size:
        return "no layer has enough features for half of all dichotomies to be separable"
    worst: xr.DataArray = xr.where(ratio > 1, ratio, 1 / ratio).max("pair")
    return worst


def _close(ratio: xr.DataArray) -> str:
    if not ratio.size:
        return ""
    near = np.abs(np.log(ratio)) <= np.log(ALIKE)
    counted = int(ratio.notnull().sum())
    return (
        f"{float(near.sum()) / counted:.0%} of {counted} are within {ALIKE}; median ratio {float(ratio.median()):.2f}."
    )


def balls_match(geometry: xr.Dataset, many: xr.Dataset | None) -> Judgement:
    """MG-16: the share of layers, epochs and subsets whose capacity is within a factor of 1.25 of the balls'.

    Args:
        geometry: as `study.by_epoch` gives.
        many: the same for many classes, if there is such.
    """
    ratio, of_many = _over_balls(geometry), None if many is None else _over_balls(many)
    return judged(
        "MG-16",
        share=_near(ratio),
        many=NO_MANY if of_many is None else _near(of_many),
        note=_spread(ratio) + ("" if of_many is None else f" Many classes: {_spread(of_many)}"),
    )


def _over_balls(geometry: xr.Dataset) -> xr.DataArray:
    return (geometry["capacity"] / geometry["ball_capacity"]).stack(case=("epoch", "subset", "layer")).dropna("case")


def _near(ratio: xr.DataArray) -> xr.DataArray:
    near: xr.DataArray = (np.abs(np.log(ratio)) <= np.log(ALIKE)).mean("case")
    return near


def _spread(ratio: xr.DataArray) -> str:
    low, middle, high = np.quantile(ratio, (0.025, 0.5, 0.975))
    return f"Median ratio {middle:.2f}; the middle 95 % lie between {low:.2f} and {high:.2f}."


def share_of_permuted(geometry: xr.Dataset, layers: list[str]) -> Judgement:
    """MG-15: how capacity at the first, a middle and the last layer goes with the share of permuted labels.

    Args:
        geometry: as `study.by_epsilon` gives.
        layers: the first, the middle and the last.
    """
    if geometry.sizes["epsilon"] < 3:
        why = "fewer than three shares of permuted labels were looked at"
        return judged("MG-15", first=why, middle=why, last=why, permuted=why)
    test = geometry["capacity"].sel(subset="test").transpose("seed", "epsilon", "layer")
    first, middle = ((test.max("epsilon") / test.min("epsilon")).sel(layer=layer) for layer in layers[:2])
    last = test.sel(layer=layers[-1]).values
    noisy = (geometry["capacity"] / geometry["lower_bound"]).sel(subset="permuted", layer=layers[-1])
    return judged(
        "MG-15",
        first=first,
        middle=middle,
        last=[rank_correlation(geometry["epsilon"].values, row) for row in last],
        permuted=noisy.where(geometry["epsilon"] > 0, drop=True).min("epsilon"),
        note=f"Layers {', '.join(layers)}.",
    )


# --- planes ---------------------------------------------------------------------------------------------------


def planes_separate(planes: xr.Dataset, middle: str, last: str) -> Judgement:
    """MG-13: the shares of examples that most of their ten nearest in UMAP's plane agree with, compared.

    Args:
        planes: as `study.planes_of` gives.
        middle, last: layers.
    """

    def share(epoch: str, layer: str, subset: str) -> Floats:
        found: Floats = planes["agreement"].sel(epoch=epoch, layer=layer, subset=subset).values
        return found

    best = {subset: share("best", last, subset) for subset in (*LEARNED, "permuted")}
    end = {subset: share("final", last, subset) for subset in ("restored", "permuted")}
    inner = {subset: share("final", middle, subset) for subset in ("restored", "permuted")}
    said = {f"{last}, best": best, f"{last}, final": end, f"{middle}, final": inner}
    return judged(
        "MG-13",
        best=np.min([best[subset] for subset in LEARNED], axis=0) - best["permuted"],
        end=end["permuted"] - best["permuted"],
        restored=best["restored"] - end["restored"],
        middle=inner["restored"] - inner["permuted"],
        note="; ".join(
            f"{place}: " + ", ".join(f"{subset} {value.mean():.0%}" for subset, value in shares.items())
            for place, shares in said.items()
        )
        + ".",
    )


# --- small things ------------------------------------------------------------------------------------------------


def _epochs(values: xr.DataArray) -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low}" if low == high else f"{low} to {high}"


def _by_layer(values: xr.DataArray) -> str:
    return f"by layer {', '.join(f'{float(v):.2f}' for v in values)}"
