"""What CI-6 to CI-13 and CI-19 ask of ego space, one number a seed.

Data come as Datasets over (architecture, recipe, seed); a number is a mean over the architectures. A seed of which one
of two recipes has not fitted the training set is left out of the step between them: it would be compared too early.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from landscape_utils.engine.crossing import REACH
from landscape_utils.kit import Floats
from landscape_utils.suite.claims import Judgement, judged, rank_correlation

FITTED = 0.9  # of the training set
ONE_PAIR = "the two pairs are one"
COMPASS = [135.0, 315.0]  # degrees: one class ascends while the other descends


def accuracy_by_recipe(accuracies: xr.Dataset) -> Judgement:
    """CI-6: the gains in test accuracy from the small rate to the big one, and from there to annealing."""
    test = accuracies["test_accuracy"].mean("architecture", skipna=False)
    return judged("CI-6", annealed_over_big=_step(test, "big-lr", "anneal-lr"), big_over_small=_step(test))


def flat_area_by_recipe(claim: str, radii: xr.Dataset, accuracies: xr.Dataset) -> Judgement:
    """CI-7 (in theta) and CI-7d (in distance walked): the same two steps of the flat area, in decades.

    Args:
        claim: CI-7 or CI-7d.
        radii: `area` and `area_theta` of the most interfering pair's space, as of `flat_radii`.
        accuracies: with `train_accuracy`.
    """
    area = radii[{"CI-7": "area_theta", "CI-7d": "area"}[claim]]
    decades = _decades(area).where(_fitted(accuracies)).mean("architecture", skipna=False)
    return judged(claim, annealed_over_big=_step(decades, "big-lr", "anneal-lr"), big_over_small=_step(decades))


def _step(values: xr.DataArray, low: str = "small-lr", high: str = "big-lr") -> xr.DataArray:
    return values.sel(recipe=high) - values.sel(recipe=low)


def _decades(area: xr.DataArray) -> xr.DataArray:
    return area.copy(data=np.log10(area.values))


def _fitted(accuracies: xr.Dataset) -> xr.DataArray:
    return accuracies["train_accuracy"] >= FITTED


def sharper_for_interfering_pair(most: xr.Dataset, least: xr.Dataset) -> Judgement:
    """CI-8: decades between the flat areas of the most and of a hardly interfering pair, with big-lr.

    Args:
        most: `area_theta` of the most interfering pair's space.
        least: of the other one's.
    """
    a, b = (_decades(radii["area_theta"].sel(recipe="big-lr")) for radii in (most, least))
    if a.equals(b):
        return judged("CI-8", sharper=ONE_PAIR)
    return judged("CI-8", sharper=(a - b).mean("architecture"))


def depends_on_the_cut(others: Sequence[xr.Dataset], random: xr.DataArray, dataset: str) -> Judgement:
    """CI-9: how the radius of flatness, in distance walked, depends on the direction, with big-lr.

    Args:
        others: `walked` over (architecture, recipe, seed, angle) in the spaces of the second and of a hardly
            interfering pair, of which the paper says so; in the most interfering pair's it is sharp all around.
        random: radii along random directions (architecture, recipe, seed, direction).
        dataset: on CIFAR-10 the paper points at 135 degrees.
    """
    walked = xr.concat([radii["walked"].sel(recipe="big-lr") for radii in others], "pair").clip(max=REACH)
    typical = walked.median("angle")
    ratio = (walked.max("angle") / walked.min("angle")).mean(["pair", "architecture"])
    flat = (random.sel(recipe="big-lr").clip(max=REACH).median("direction") / typical).mean(["pair", "architecture"])
    at = (walked.sel(angle=COMPASS, method="nearest").mean("angle") / typical).mean(["pair", "architecture"])
    return judged(
        "CI-9",
        cut=ratio,
        random_flat=flat,
        at_135=at if dataset == "cifar10" else f"it is about CIFAR-10's pairs, and this run is on {dataset}",
        note=f"A typical radius is {float(typical.median()):.2%} of |w| in ego space.",
    )


def sharper_yet_better(radii: xr.Dataset, accuracies: xr.Dataset) -> Judgement:
    """CI-10: by how much the architecture of the smaller flat area is the better one, with small-lr.

    Of more than two architectures the sharpest is compared with the flattest.
    """
    if radii.sizes["architecture"] < 2:
        return judged("CI-10", gain="it takes two architectures")
    area = radii["area_theta"].sel(recipe="small-lr").where(_fitted(accuracies).sel(recipe="small-lr"))
    sound = area.dropna("seed")
    if not sound.sizes["seed"]:
        return judged("CI-10", gain="no seed of every architecture has fitted its training set")
    test = accuracies["test_accuracy"].sel(recipe="small-lr", seed=sound["seed"])
    sharpest = test.sel(architecture=sound.idxmin("architecture"))
    flattest = test.sel(architecture=sound.idxmax("architecture"))
    means = ", ".join(f"{a} {float(sound.sel(architecture=a).mean()):.1g}" for a in sound["architecture"].values)
    return judged("CI-10", gain=(sharpest - flattest).reindex(seed=area["seed"]), note=f"Mean areas: {means}.")


def alike_surfaces(similar: Sequence[xr.DataArray], rates: Sequence[xr.DataArray]) -> Judgement:
    """CI-11: rank correlation over pairs of classes of surface similarity and interference, both ways' mean.

    Args:
        similar: for each seed, similarity (class, other), averaged over models and over the spaces of other classes;
            NaN where there is none.
        rates: the CCTM of the same models.
    """
    return judged("CI-11", rho=[_rho(s.values, r.values) for s, r in zip(similar, rates, strict=True)])


def _rho(similar: Floats, rates: Floats) -> float:
    both = (rates + rates.T) / 2
    upper = np.triu(np.isfinite(similar) & np.isfinite(both), 1)
    return rank_correlation(similar[upper], both[upper]) if upper.sum() >= 6 else np.nan


def own_ascent(spaces: Sequence[Sequence[xr.Dataset]]) -> Judgement:
    """CI-12: how often, in its pair's space, a class's loss is higher at the window's edge on its own ascent axis.

    And how often, of the four ends of the axes, it is highest where the partner is minimised; by chance, in a quarter.

    Args:
        spaces: for each seed, of the most interfering pair, one a model.
    """
    ends = [[_axis_ends(grid, mine) for grid in of_seed for mine in (1, 2)] for of_seed in spaces]
    return judged(
        "CI-12",
        own=[np.mean([end["own ascent"] > end["centre"] for end in of_seed]) for of_seed in ends],
        partner=[np.mean([max(end, key=end.__getitem__) == "partner descent" for end in of_seed]) for of_seed in ends],
    )


def _axis_ends(grid: xr.Dataset, mine: int) -> dict[str, float]:
    """Return one class's loss at the centre and at the ends of the two axes, by what they mean to the class."""
    name = grid.attrs["first" if mine == 1 else "second"]
    loss = grid["class_loss"].sel({"class": name}).transpose(f"theta{mine}", f"theta{3 - mine}").values
    i, j = (int(np.flatnonzero(grid[f"theta{axis}"].values == 0)[0]) for axis in (mine, 3 - mine))
    ends = {
        "centre": loss[i, j],
        "own ascent": loss[0, j],
        "own descent": loss[-1, j],
        "partner ascent": loss[i, 0],
        "partner descent": loss[i, -1],
    }
    return {end: float(np.nan_to_num(value, nan=np.inf)) for end, value in ends.items()}


def convex_combination(error: float) -> Judgement:
    """CI-13: the largest relative distance of an interference model from its convex combination, in float64."""
    return judged("CI-13", error=error, note="Over 20 random models.")


def moved_more_by_second(most: xr.DataArray, second: xr.DataArray, dataset: str) -> Judgement:
    """CI-19: the share of classes whose loss rises more in the second pair's space than in the first's.

    Args:
        most: median rises over the window (architecture, seed, class), of models trained with anneal-lr, in the most
            interfering pair's space.
        second: in the second pair's.
        dataset: the claim is about CIFAR-10's cat-dog and car-truck.
    """
    if dataset != "cifar10":
        return judged("CI-19", more=f"it is about CIFAR-10's pairs, and this run is on {dataset}")
    if most.equals(second):
        return judged("CI-19", more=ONE_PAIR)
    more = (second > most).where(most.notnull() & second.notnull()).mean(["architecture", "class"])
    note = f"Mean rise {float(second.mean()):.2g} against {float(most.mean()):.2g} nats."
    return judged("CI-19", more=more, note=note)
