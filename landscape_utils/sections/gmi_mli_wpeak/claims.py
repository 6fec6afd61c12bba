"""Verdicts on the claims ML-1 to ML-9 and ML-15 to ML-17, from curves, by parts over seeds.

Each part is one number a seed, a mean over networks and curves. Stationary points are counted by the paper's strict
rule; names follow from what stands out on losses up to 2 log C. A curve flatter than 0.001 nats has no count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from landscape_utils.kit import Floats
from landscape_utils.landscape.curves import LEAST
from landscape_utils.landscape.directions import Perturbed, means_by_seed
from landscape_utils.landscape.walks import Line, between, fall, two_sided_drop
from landscape_utils.sections.gmi_mli_wpeak.study import LARGE, PeakLines
from landscape_utils.suite.claims import Judgement, judged

FITTED = 0.1  # of log C: a model with a larger loss has not fitted
PAPERS = "alpha=0, gamma=0.1, independent"  # the setting of the paper's vvv-basin
CONDITIONS: dict[str, Callable[[Line], bool]] = {  # of a Gaussian curve, by ML-1's parts
    "initial": lambda x: _plain(x) and x.place.stage == "initial",
    "early": lambda x: _plain(x) and x.place.stage in ("early", "middle"),
    "late": lambda x: _plain(x) and x.place.stage == "late",
    "unnormalised": lambda x: x.walk.normalisation is None,
    "kept_statistics": lambda x: x.walk.bn == "keep",
    "layer": lambda x: x.walk.normalisation == "layer",
    "filter": lambda x: x.walk.normalisation == "filter",
    "near": lambda x: x.walk.normalisation == "global" and x.walk.scale < 1,
    "far": lambda x: x.walk.normalisation == "global" and x.walk.scale > 1,
}


def one_stationary_point(lines: Sequence[Line]) -> Judgement:
    """ML-1: the share of Gaussian curves with exactly one stationary point, by condition."""
    steep = [x for x in lines if _range(x) > LEAST]
    shares = {
        part: by_seed([x for x in steep if meant(x)], lambda x: x.shape.count == 1)
        for part, meant in CONDITIONS.items()
    }
    flat = len(lines) - len(steep)
    note = f"{flat} of {len(lines)} curves are flatter than {LEAST:g} nats, and not counted." if flat else ""
    return judged("ML-1", note=note, **{k: v if len(v) else "no curve was drawn so" for k, v in shares.items()})


def extra_points_above_chance(lines: Sequence[Line]) -> Judgement:
    """ML-2: of the stationary points beyond each Gaussian curve's first, the share above log C.

    Of models that are better than a guess: around the others everything is above it.
    """
    lines = [x for x in lines if float(x.loss.sel(lam=0, method="nearest")) < x.chance]
    extra = {seed: [_extra(x) for x in lines if x.place.seed == seed] for seed in seeds_of(lines)}
    sums = {seed: np.sum(counts, axis=0) for seed, counts in extra.items()}
    if not sum(high + low for high, low in sums.values()):
        return judged(
            "ML-2", above="no Gaussian curve around a model better than a guess has a second stationary point"
        )
    shares = [high / (high + low) if high + low else np.nan for high, low in sums.values()]
    return judged("ML-2", above=shares, note=f"{int(sum(map(sum, sums.values())))} extra points.")


def _extra(line: Line) -> tuple[int, int]:
    """Count a curve's stationary points beyond the first, above log C and below: the one of the basin is below."""
    beyond = max(line.shape.count - 1, 0)
    high = min(line.shape.count_above or 0, beyond)
    return high, beyond - high


def descents_are_sides(lines: Sequence[Line]) -> Judgement:
    """ML-3: the share of v-sides along the negative gradient, and towards later checkpoints."""
    sides = {
        "gradient": [x for x in lines if x.direction == "Neg. Grad."],
        "checkpoint": [x for x in lines if x.direction.startswith("E=")],
    }
    others = sorted({f"{x.direction} ({x.place}): {_shape(x)}" for x in lines if x.shape.name != "v-side"})
    note = "Others: " + "; ".join(others[:3]) + "." if others else ""
    return judged("ML-3", note=note, **{k: by_seed(x, lambda x: x.shape.name == "v-side") for k, x in sides.items()})


def right_angles(
    angles: Mapping[tuple[Perturbed, str], Floats],
    descents: Mapping[Perturbed, float],
    dimensions: Mapping[Perturbed, int],
) -> Judgement:
    """ML-4: Gaussian directions against descent directions: mean and spread, beside those of any fixed direction.

    Args:
        angles: in degrees, of Gaussian directions with a descent direction, by perturbed model and its name.
        descents: the angle between the negative gradient and the way to the end, by perturbed model.
        dimensions: parameters d, by perturbed model.
    """
    off: dict[Perturbed, list[float]] = {}
    spread: dict[Perturbed, list[float]] = {}
    for (place, _), seen in angles.items():
        expected = np.degrees(1 / np.sqrt(dimensions[place]))
        off.setdefault(place, []).append(abs(seen.mean() - 90) / (expected / np.sqrt(len(seen))))
        spread.setdefault(place, []).append(abs(np.std(seen, ddof=1) / expected - 1))
    note = f"Means from {min(map(np.mean, angles.values())):.2f} to {max(map(np.mean, angles.values())):.2f} degrees."
    short = {place: abs(90 - angle) for place, angle in descents.items()}
    of: dict[str, Mapping[Perturbed, object]] = {"mean": off, "spread": spread, "descents": short}
    return judged("ML-4", note=note, **{part: means_by_seed(numbers) for part, numbers in of.items()})


def gaussian_descent_is_negligible(
    pairs: Mapping[Perturbed, tuple[Sequence[Line], Sequence[Line]]], dimensions: Mapping[Perturbed, int]
) -> Judgement:
    """ML-5: the best Gaussian direction's fall at ten times the range, over the gradient's own, at the worst s.

    The best of 100 has a cosine of about 2.5 / sqrt(d) with the gradient, and falls by ten times as much of the
    gradient's: only networks of `LARGE` parameters and more can show less than the threshold.

    Args:
        pairs: by model: curves along the negative gradient, and along the Gaussian direction nearest to it at ten
            times the range, one for each s.
        dimensions: parameters d, by the same models.
    """
    shares = {
        place: max(fall(far) / max(fall(near), 1e-12) for near, far in zip(descent, gaussian, strict=True))
        for place, (descent, gaussian) in pairs.items()
    }
    large = {place: share for place, share in shares.items() if dimensions[place] >= LARGE}
    few = f"no network has {LARGE:,} parameters, and at d = {max(dimensions.values()):,} chance alone gives more"
    seen = ", ".join(f"{place} {share:.0%}" for place, share in shares.items())
    return judged("ML-5", share=means_by_seed(large) or few, note=f"By model: {seen}.")


def one_barrier(lines: Sequence[Line]) -> Judgement:
    """ML-6: the share of curves with one barrier between two valleys, towards solutions and other checkpoints.

    By the turning points, which number three in the paper's pictures: whether both networks lie at the bottoms of
    their valleys is another question, and early ones do not.
    """
    converged = [x for x in lines if _between_solutions(x)]
    others = [x for x in lines if not _between_solutions(x)]
    heights = [float(np.nanmax(between(x)) - max(between(x)[[0, -1]])) for x in converged]
    named = np.mean([x.shape.name == "w-basin" for x in lines])
    return judged(
        "ML-6",
        converged=by_seed(converged, _has_one_barrier),
        checkpoints=by_seed(others, _has_one_barrier),
        note=f"Barriers between solutions of {min(heights):.2g} to {max(heights):.2g} nats; {named:.0%} of all curves "
        "are w-basins by name, with the model at the bottom of its valley.",
    )


def _has_one_barrier(line: Line) -> bool:
    return (len(line.shape.minima), len(line.shape.maxima)) == (2, 1)


def _between_solutions(line: Line) -> bool:
    return line.place.stage == "late" and line.direction == f"E'={line.place.epoch}"


def eigenvectors_are_basins_and_peaks(lines: Sequence[Line]) -> Judgement:
    """ML-7: P.E. directions are v-basins, N.E. directions w-peaks early, and lower ones later.

    Args:
        lines: along P.E. and N.E. directions of early and late models, those of N.E. walked to where the loss is back.
    """
    positive = [x for x in lines if x.direction.startswith("P.E.")]
    early, late = (
        [x for x in lines if x.direction.startswith("N.E.") and x.place.stage == stage] for stage in ("early", "late")
    )
    drops = [by_seed(group, two_sided_drop) for group in (early, late)]
    with np.errstate(divide="ignore", invalid="ignore"):
        shrunk = np.divide(drops[1], drops[0])
    return judged(
        "ML-7",
        positive=by_seed(positive, lambda x: x.shape.name == "v-basin"),
        negative_early=by_seed(early, lambda x: x.shape.name == "w-peak"),
        negative_lower=np.where(np.isfinite(shrunk), shrunk, np.nan),
        note=f"Mean two-sided fall early {np.mean(drops[0]):.2g} and late {np.mean(drops[1]):.2g} nats.",
    )


def overlaps_all(cosines: Mapping[Perturbed, xr.DataArray], dimensions: Mapping[Perturbed, int]) -> Judgement:
    """ML-8: mined directions overlap the eigenvectors of negative eigenvalues, and more than those of positive ones.

    Args:
        cosines: |cos| with the eigenvectors, over `rank`, by model.
        dimensions: parameters d, by the same models.
    """
    ends = {end: {place: float(c[_end(c, end)].mean()) for place, c in cosines.items()} for end in ("N.E.", "P.E.")}
    chance = {place: np.sqrt(2 / (np.pi * dimensions[place])) for place in cosines}
    over = {place: mean / chance[place] for place, mean in ends["N.E."].items()}
    more = {place: mean - ends["P.E."][place] for place, mean in ends["N.E."].items()}
    touched = {place: float((c > 2 * chance[place]).mean()) for place, c in cosines.items()}
    of: dict[str, Mapping[Perturbed, float]] = {"all": touched, "above_chance": over, "more": more}
    shares: dict[str, Any] = {part: means_by_seed(numbers) for part, numbers in of.items()}
    return judged("ML-8", **shares)


def mined_is_deeper(mined: Mapping[Perturbed, PeakLines]) -> Judgement:
    """ML-8d: the mined curve falls deeper to both sides than the deepest along an N.E. direction, as far walked.

    Args:
        mined: curves along mined directions and along N.E. directions, by model.
    """
    gains = {place: two_sided_drop(x.whole) - max(map(two_sided_drop, x.negative)) for place, x in mined.items()}
    falling = [two_sided_drop(x.whole) > LEAST for x in mined.values()]
    note = f"{sum(falling)} of {len(falling)} mined curves fall to both sides."
    return judged("ML-8d", deeper=means_by_seed(gains), note=note)


def second_models_basin(lines: Sequence[Line]) -> Judgement:
    """ML-9: a ResNet's curve towards a second model is a vvv-basin, an MLP's is none, at the paper's setting.

    Judged at alpha 0 and gamma 0.1 from the independent solution, where both models have fitted; the others are told.

    Args:
        lines: towards second models, by setting of alpha and gamma, and place to start.
    """
    fitted = [x for x in lines if max(end_loss(x), float(x.loss.sel(lam=0, method="nearest"))) < FITTED * x.chance]
    parts: dict[str, list[float] | str] = {}
    for part, words in (("resnet", "a ResNet"), ("mlp", "an MLP")):
        of_kind = [x for x in fitted if x.place.architecture.startswith(part) and x.direction == PAPERS]
        parts[part] = by_seed(of_kind, _is_vvv) or f"no curve of {words} leads from a fitted model to a fitted one"
    groups: dict[str, list[bool]] = {}
    for x in fitted:
        groups.setdefault(f"{x.place.architecture} from the {x.direction.rsplit(', ', 1)[-1]}", []).append(_is_vvv(x))
    told = ", ".join(f"{what} {sum(of)} of {len(of)}" for what, of in groups.items())
    note = f"{len(fitted)} of {len(lines)} curves join fitted models; vvv-basins at all settings: {told}."
    return judged("ML-9", note=note, **parts)


def _is_vvv(line: Line) -> bool:
    return line.shape.name == "vvv-basin"


def end_loss(line: Line) -> float:
    """Return the loss of the other model, at lambda = 1."""
    return float(line.loss.sel(lam=1, method="nearest"))


def falls_monotonically(lines: Sequence[Line]) -> Judgement:
    """ML-15: the largest climb on the way from the initialisation to the solution, over the range on [0, 1].

    Args:
        lines: from the initialisation (lambda 0) to the solution (lambda 1).
    """
    return judged("ML-15", climb=by_seed(lines, lambda x: _largest_rise(between(x))))


def chaotic_above_chance(lines: Sequence[Line], accuracies: Mapping[str, Sequence[float]]) -> Judgement:
    """ML-16: RN56-NS has extra stationary points above log C only and one at s = 4; RN110-NS hardly trains.

    Args:
        lines: Gaussian curves at several scales.
        accuracies: test accuracies by architecture, one a seed.
    """
    without = [x for x in lines if x.place.architecture == "resnet56-ns" and x.place.stage == "late" and _normed(x)]
    near, far = ([x for x in without if x.walk.scale == s] for s in (1, 4))
    extra = [x for x in near if x.shape.count > 1]
    none = "it takes resnet56-ns, which trains at the standard profile"
    return judged(
        "ML-16",
        extra_above=by_seed(extra, lambda x: _extra(x)[0] / sum(_extra(x)))
        or ("no curve has extra points at s = 1" if near else none),
        smooth_from_afar=by_seed(far, lambda x: x.shape.count) or none,
        hardly_trains=list(accuracies.get("resnet110-ns", ())) or none.replace("56", "110"),
    )


def at_most_five(lines: Sequence[Line]) -> Judgement:
    """ML-17: the largest count of stationary points over all curves drawn; flat ones, which count rounding, are out."""
    lines = [x for x in lines if _range(x) > LEAST]
    most = max(lines, key=lambda x: x.shape.count)
    many = sum(x.shape.count > 5 for x in lines)
    largest = [max(x.shape.count for x in lines if x.place.seed == seed) for seed in seeds_of(lines)]
    note = f"{many} of {len(lines)} curves have more than five; most at {most.place}, {most.direction}, {most.walk}."
    return judged("ML-17", largest=largest, note=note)


# --- small things ----------------------------------------------------------------------------------------------


def seeds_of(lines: Iterable[Line]) -> list[int]:
    """List the seeds of the perturbed models."""
    return sorted({x.place.seed for x in lines})


def by_seed(lines: Sequence[Line], number: Callable[[Line], float]) -> list[float]:
    """Average a number over the networks' means over their curves, one value a seed."""
    found: dict[Perturbed, list[float]] = {}
    for line in lines:
        found.setdefault(line.place, []).append(float(number(line)))
    return means_by_seed(found)


def _normed(line: Line) -> bool:
    return line.walk.normalisation == "global" and line.walk.bn == "update"


def _plain(line: Line) -> bool:
    return _normed(line) and line.walk.scale == 1


def _range(line: Line) -> float:
    finite = line.loss.values[np.isfinite(line.loss.values)]
    return float(np.ptp(finite)) if len(finite) else np.inf


def _shape(line: Line) -> str:
    return line.shape.name or line.shape.reason or ""


def _end(cosines: xr.DataArray, end: str) -> list[int]:
    return [i for i, name in enumerate(cosines["rank"].values) if str(name).startswith(end)]


def _largest_rise(loss: Floats) -> float:
    climb = float(np.max(loss - np.minimum.accumulate(loss)))
    return climb / float(np.ptp(loss))
