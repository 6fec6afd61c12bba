"""Verdicts on the claims BP-1, BP-2 and BP-4 to BP-8.

The criteria were written before any result on the notebook's own seeds was seen. The trial seeds from 100 on, which
the notebook does not use, settled how the networks train, that a curve's plateau counts from 0.05 on, and that the
fully connected network is looked at with a small initialisation, too: from a scale of 1 it has no plateau that could
be shortened. BP-2 is measured from small initialisations, for which the theory is made: from Glorot's own weights the
trials had r = 0.73, and plateaus 0.27 shorter than predicted.

One setting was seen on the notebook's own seeds: with the learning rate 0.05 for the fully connected network, to which
it had been lowered because a run diverged, the biases stay smaller, the plateau from small weights is 0.03 and not
0.13, and BP-4 and BP-5 have nothing to shorten there. The first choice, 0.1, was then taken back, with 20 epochs and
not 30, which were chosen on the seeds 100 to 109.

Intervals are Student's 95 % over seeds; three seeds make them wide. Runs that do not fit (training accuracy below 90 %;
0 % where the loss did not stay finite) have no solution to interpolate to: they are left out, and named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import xarray as xr

from landscape_utils.kit import Floats
from landscape_utils.plateau.plateau import bulge, violations
from landscape_utils.sections.bias_plateau.study import FITTED, VARIABLES, Way, lengths
from landscape_utils.suite.claims import Judgement, judge, mean_text, rank_correlation, student

SHORT, LONG = 0.15, 0.3  # a straight line from chance to the solution has 0.1
LEAST = 0.05  # a plateau shorter than this is none
CONVEX = 0.1  # of the range

Contrast = tuple[Sequence[Way], Sequence[Way]]


def plateau_of_the_deeper_network(simple: Sequence[Way], deep: Sequence[Way]) -> Judgement:
    """BP-1: the fully connected network's loss falls early and convexly; the VGG has a long plateau in both."""
    criterion = (
        f"mean over seeds: the fully connected network's loss plateau is at most {SHORT} and its loss within "
        f"{CONVEX:.0%} of convex; the VGG's plateau is at least {LONG} in loss and in error"
    )
    low, high = _fitted(simple), _fitted(deep)
    if not low or not high:
        return judge("BP-1", criterion=criterion, measured="-", holds=None, reason=_unfitted([*simple, *deep]))
    bent = float(np.mean([bulge(way.train) for way in low]))
    early, late = lengths(low, "loss"), {v: lengths(high, v) for v in VARIABLES}
    shortest = min(late.values(), key=np.mean)
    return judge(
        "BP-1",
        criterion=criterion,
        measured=f"{low[0].network}: loss plateau {mean_text(early)}, {bent:.0%} from convex; {high[0].network}: loss "
        f"{mean_text(late['loss'])}, error {mean_text(late['mistake_rate'])}; points above an earlier one, of both: "
        f"loss {_broken([*low, *high], 'loss')}, error {_broken([*low, *high], 'mistake_rate')}",
        holds=float(early.mean()) <= SHORT and bent <= CONVEX and float(shortest.mean()) >= LONG,
        effect=float(shortest.mean()),
        interval=student(shortest),
        reason=_left_out([*simple, *deep]),
        seeds=min(len(low), len(high)),
        clear=abs(shortest.mean() - LONG) > 0.05 and abs(early.mean() - SHORT) > 0.03 and abs(bent - CONVEX) > 0.03,
    )


def competition_predicts(table: xr.Dataset) -> Judgement:
    """BP-2: error plateaus grow with depth and with the bias gap, as the competition of the two terms says.

    Args:
        table: `measured`, `predicted` and `first_flip` over (depth, seed, gap).
    """
    measured, predicted = table["measured"], table["predicted"]
    criterion = (
        "biases on the last layer only: the mean error plateau grows from depth to depth and from gap to gap, and over "
        "all of them measured and predicted lengths correlate with r >= 0.9 (mean over seeds)"
    )
    missing = int(measured.isel(gap=0).isnull().sum())
    if measured.isnull().all(("seed", "gap")).any():
        reason = "at one of the depths no run fits"
        return judge("BP-2", criterion=criterion, measured="-", holds=None, reason=reason)
    by_depth, by_gap = measured.isel(gap=0).mean("seed"), measured.mean(("seed", "depth"))
    r, by_formula = (_correlations(measured, table[name]) for name in ("predicted", "first_flip"))
    deeper, wider = (bool(np.all(np.diff(curve.values) > 0)) for curve in (by_depth, by_gap))
    return judge(
        "BP-2",
        criterion=criterion,
        measured=f"by depth {_listed(by_depth, 'depth')}; by added gap {_listed(by_gap, 'gap')}; r = {mean_text(r)}; "
        f"measured minus predicted {float((measured - predicted).mean()):+.2f} on average; the first class's flip by "
        f"(gap / margin)^(1/(r-1)) correlates with r = {mean_text(by_formula)}",
        holds=deeper and wider and float(r.mean()) >= 0.9,
        effect=float(r.mean()),
        interval=student(r),
        seeds=len(r),
        reason=f"left out: {missing} runs that do not fit" if missing else "",
        clear=abs(r.mean() - 0.9) > 0.02 and min(np.diff(by_depth).min(), np.diff(by_gap).min()) > 0.01,
    )


def biases_make_the_plateau(pairs: Mapping[str, Contrast]) -> Judgement:
    """BP-4: trained without biases, the error plateau is at most half as long.

    Args:
        pairs: (with biases, without), by network.
    """
    return _shortened("BP-4", "without biases", pairs, at_most=0.5)


def homogeneous_biases_shorten(pairs: Mapping[str, Contrast]) -> Judgement:
    """BP-5: with the biases interpolated homogeneously, the error plateau of the same solutions is shorter.

    Args:
        pairs: (linear, homogeneous), by network.
    """
    return _shortened("BP-5", "with homogeneous biases", pairs, at_most=1.0)


def _shortened(claim: str, what: str, pairs: Mapping[str, Contrast], *, at_most: float) -> Judgement:
    """Compare error plateaus pairwise where there is one to shorten."""
    share = "" if at_most == 1 else f", and the mean at most {at_most:.0%} of it"
    criterion = (
        f"in every network whose mean error plateau is above {LEAST}: {what} it is shorter, the interval of the "
        f"difference (paired by seed) above 0{share}"
    )
    parts, holds, ranges, idle, judged = [], [], [], [], []
    for name, (before, after) in pairs.items():
        a, b = _paired(before, after)
        if len(a) < 2 or a.mean() <= LEAST:
            parts.append(f"{name}: {mean_text(a)}, nothing to shorten" if len(a) > 1 else f"{name}: too few runs fit")
            idle.append(len(a))
            continue
        judged.append(len(a))
        ranges.append((float((a - b).mean()), student(a - b)))
        holds.append(ranges[-1][1][0] > 0 and float(b.mean()) <= at_most * float(a.mean()))
        parts.append(f"{name}: {a.mean():.2f} to {b.mean():.2f}, difference {mean_text(a - b)}")
    every = [way for pair in pairs.values() for ways in pair for way in ways]
    if not holds:
        reason = f"no network with two fitting runs has an error plateau above {LEAST}"
        text = "; ".join(parts)
        return judge(claim, criterion=criterion, measured=text, holds=None, reason=reason, seeds=max(idle))
    effect, of = min(ranges, key=lambda x: x[1][0])
    return judge(
        claim,
        criterion=criterion,
        measured="; ".join(parts),
        holds=all(holds),
        effect=effect,
        interval=of,
        reason=_left_out(every),
        seeds=min(judged),
        clear=all(abs(low) > 0.01 for _, (low, _) in ranges),
    )


def small_and_deep_are_flat(pairs: Mapping[str, Contrast]) -> Judgement:
    """BP-6: a smaller initialisation, and a greater depth, make both plateaus longer.

    Args:
        pairs: (larger initialisation or shallower network, smaller or deeper), by what is compared.
    """
    parts, lows, effects, seeds = [], [], [], []
    every = [way for pair in pairs.values() for ways in pair for way in ways]
    criterion = (
        "in every comparison the plateau is longer, in loss and in error: the interval of the difference (paired by "
        "seed) lies above 0"
    )
    for name, (short, long) in pairs.items():
        for variable in VARIABLES:
            a, b = _paired(short, long, variable)
            if len(a) < 2:
                reason = f"too few runs fit: {name}"
                return judge("BP-6", criterion=criterion, measured="-", holds=None, reason=reason, seeds=len(a))
            seeds.append(len(a))
            low, high = student(b - a)
            lows.append(low)
            effects.append((float(np.mean(b - a)), (low, high)))
            parts.append(f"{name}, {_WORDS[variable]}: {mean_text(b - a)}")
    effect, of = min(effects, key=lambda x: x[1][0])
    return judge(
        "BP-6",
        criterion=criterion,
        measured="longer by " + "; ".join(parts),
        holds=min(lows) > 0,
        effect=effect,
        interval=of,
        reason=_left_out(every),
        seeds=min(seeds),
        clear=all(abs(low) > 0.01 for low in lows),
    )


def bias_follows_the_order(orders: xr.Dataset) -> Judgement:
    """BP-7: on small data sets, classes learned later end with larger last-layer biases.

    Args:
        orders: `epoch` and `bias` over (seed, class).
    """
    r = np.array([_rank_correlation(orders.isel(seed=i)) for i in range(orders.sizes["seed"])])
    r = r[np.isfinite(r)]
    criterion = (
        "Spearman's correlation of learning epoch and final bias, averaged over seeds, is above 0 with its interval"
    )
    if len(r) < 2:
        reason = "in the others all classes are learned at one epoch"
        return judge("BP-7", criterion=criterion, measured="-", holds=None, reason=reason, seeds=len(r))
    low, high = student(r)
    return judge(
        "BP-7",
        criterion=criterion,
        measured=f"mean rho {mean_text(r)} over {len(r)} runs",
        holds=low > 0,
        effect=float(r.mean()),
        interval=(low, high),
        seeds=len(r),
        clear=abs(low) > 0.03 and abs(high) > 0.03,
    )


def shape_is_not_hardness(curves: Mapping[str, tuple[xr.DataArray, xr.DataArray]]) -> Judgement:
    """BP-8: a convex curve can belong to a hard problem, and one with a plateau to an easy one.

    Args:
        curves: (interpolation, descent) by problem, the hard one first.
    """
    (hard, slow), (easy, fast) = curves.values()
    convex = float(np.max(-np.diff(hard.values, 2)))
    flat = float(hard["alpha"][int(np.argmax(easy.values < 0.9))])
    ratio = (slow.sizes["step"] - 1) / (fast.sizes["step"] - 1)
    return judge(
        "BP-8",
        criterion="a problem with a monotonic, convex curve takes gradient descent at least 100 times as many steps "
        f"(with the step 1/L, L the largest curvature) as one whose loss is above 90 % for at least {LONG} of the way",
        measured=f"{hard.name}: convex, {slow.sizes['step'] - 1:,} steps; {easy.name}: flat for {flat:.2f} of the way, "
        f"{fast.sizes['step'] - 1:,} steps",
        holds=convex <= 1e-12 and bool(np.all(np.diff(hard.values) < 0)) and flat >= LONG and ratio >= 100,
        effect=ratio,
    )


# --- small things ------------------------------------------------------------------------------------------------

_WORDS = {"loss": "loss", "mistake_rate": "error"}


def _fitted(ways: Iterable[Way]) -> list[Way]:
    return [way for way in ways if way.accuracy >= FITTED]


def _paired(a: Sequence[Way], b: Sequence[Way], variable: str = "mistake_rate") -> tuple[Floats, Floats]:
    """Return both plateaus of the seeds at which both runs fit."""
    both = [(x, y) for x, y in zip(a, b, strict=True) if min(x.accuracy, y.accuracy) >= FITTED]
    return lengths((x for x, _ in both), variable), lengths((y for _, y in both), variable)


def _broken(ways: Sequence[Way], variable: str) -> str:
    points = sum(way.train.sizes["alpha"] for way in ways)
    return f"{sum(violations(way.train, variable) for way in ways):.0f} of {points}"


def _left_out(ways: Iterable[Way]) -> str:
    """Name the runs that do not fit; nothing where all do."""
    out = [way for way in ways if way.accuracy < FITTED]
    names = sorted(
        {f"{', '.join(filter(None, (w.network, w.variant)))}, seed {w.seed} ({w.accuracy:.0%})" for w in out}
    )
    return f"left out, for they do not fit: {'; '.join(names)}" if names else ""


def _unfitted(ways: Iterable[Way]) -> str:
    return f"no run of one of the networks fits; {_left_out(ways)}"


def _correlations(a: xr.DataArray, b: xr.DataArray) -> Floats:
    """Correlate over depths and gaps, one number a seed; seeds with fewer than three pairs are left out."""
    correlations = []
    for seed in range(a.sizes["seed"]):
        x, y = a.isel(seed=seed).values.ravel(), b.isel(seed=seed).values.ravel()
        known = np.isfinite(x) & np.isfinite(y)
        if known.sum() > 2:
            correlations.append(float(np.corrcoef(x[known], y[known])[0, 1]))
    return np.array(correlations)


def _rank_correlation(order: xr.Dataset) -> float:
    epochs, bias = np.nan_to_num(order["epoch"].values, nan=np.inf), order["bias"].values  # never learned: last
    return rank_correlation(epochs, bias)


def _listed(values: xr.DataArray, dim: str) -> str:
    return ", ".join(f"{float(c):g}: {float(v):.2f}" for c, v in zip(values[dim], values, strict=True))
